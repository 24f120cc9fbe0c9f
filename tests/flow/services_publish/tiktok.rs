//! A piece on TikTok.

use super::*;

publishes_once!(TIKTOK, TWO_CHUNKS, TikTok { polls: 2, ..TikTok::default() });

#[test]
fn chunks_follow_each_other_and_the_post_is_waited_for() {
    let api = TikTok { polls: 3, ..TikTok::default() };
    let (server, place) = (Server::start(api.clone()), place(&TIKTOK, TWO_CHUNKS));
    run(&place, &TIKTOK, &server).exits(0);
    let receipt = receipt(&place);
    assert_eq!(
        (&receipt["status"], &receipt["remote_id"]),
        (&json!("published"), &json!("v_pub_file~v2.1"))
    );
    assert_eq!(server.asked("PUT", "/video/").len(), 2);
    assert_eq!((api.posts().len(), api.again()), (1, 0));
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::start(TikTok::default());
    for (title, class) in [
        ("too many", "quota_exhausted"),
        ("wrong format", "validation"),
        ("expires", "http_4xx"),
        ("never ready", "timeout"),
    ] {
        let place = place(&TIKTOK, SMALL);
        let (title, more) = (format!("title={title}"), json!({"poll_max": "20ms"}));
        run_with(&place, &TIKTOK, &server, &more, &[&title]).exits(1);
        told(&place, &TIKTOK, class);
    }
    let place_1 = place(&TIKTOK, SMALL);
    run_with(&place_1, &TIKTOK, &server, &json!({}), &["privacy=public"]).exits(1);
    assert!(told(&place_1, &TIKTOK, "rejected")["hint"].as_str().unwrap().contains("privacy"));
    let place = place(&TIKTOK, SMALL);
    run_as(&place, &TIKTOK, &server, "one", Some("wrong-key")).exits(1);
    assert_eq!(told(&place, &TIKTOK, "auth")["request_id"], "2026LOG1");
}
