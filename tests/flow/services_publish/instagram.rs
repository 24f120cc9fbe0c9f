//! A piece as a reel of Instagram.

use super::*;

publishes_once!(INSTAGRAM, SMALL, Instagram { polls: 2, ..Instagram::default() });

#[test]
fn a_container_is_filled_waited_for_and_published() {
    let api = Instagram { polls: 3, ..Instagram::default() };
    let (server, place) = (Server::start(api.clone()), place(&INSTAGRAM, SMALL));
    run(&place, &INSTAGRAM, &server).exits(0);
    let receipt = receipt(&place);
    assert_eq!(receipt["url"], "https://www.instagram.com/reel/R1/");
    assert_eq!((&receipt["remote_id"], api.again()), (&json!("1801"), 0));
    assert_eq!(api.posts(), ["Bills at Dolphins: over 262.5"]);
}

#[test]
fn a_container_is_never_published_again() {
    let api = Instagram::default();
    let (server, place) = (Server::start(api.clone()), place(&INSTAGRAM, SMALL));
    // Container, status, upload, status, and the publication, whose answer is lost.
    server.order([None, None, None, None, Some(Trouble::Lost)]);
    run(&place, &INSTAGRAM, &server).exits(0);
    assert_eq!((api.posts().len(), api.again()), (1, 0));
    assert_eq!(receipt(&place)["status"], "unchanged");
    assert_eq!(receipt(&place)["remote_id"], "1801");
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::start(Instagram::default());
    for (title, class) in [
        ("quota", "quota_exhausted"),
        ("broken", "rejected"),
        ("expired", "rejected"),
        ("never ready", "timeout"),
    ] {
        let place = place(&INSTAGRAM, SMALL);
        let (title, more) = (format!("title={title}"), json!({"poll_max": "20ms"}));
        run_with(&place, &INSTAGRAM, &server, &more, &[&title]).exits(1);
        told(&place, &INSTAGRAM, class);
    }
    let place = place(&INSTAGRAM, SMALL);
    run_as(&place, &INSTAGRAM, &server, "one", Some("wrong-key")).exits(1);
    assert_eq!(told(&place, &INSTAGRAM, "auth")["request_id"], "AbCtrace1");
}
