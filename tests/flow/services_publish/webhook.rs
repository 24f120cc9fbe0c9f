//! News of a piece to a webhook.

use super::*;

publishes_once!(WEBHOOK, SMALL, Webhook::default());

#[test]
fn news_are_signed_and_have_a_key_that_the_piece_gives() {
    let (api, place) = (Webhook::default(), place(&WEBHOOK, SMALL));
    let server = Server::start(api.clone());
    run(&place, &WEBHOOK, &server).exits(0);
    let receipt = receipt(&place);
    assert_eq!((&receipt["status"], &receipt["remote_id"]), (&json!("published"), &json!("wh-1")));
    let asked = server.asked("POST", "/hook").remove(0);
    let body = asked.json();
    assert_eq!(body["video"]["sha256"], receipt["sha256"]);
    assert_eq!(
        (&body["title"], &body["privacy"]),
        (&json!("Bills at Dolphins"), &json!("private"))
    );
    assert_eq!(asked.header("idempotency-key"), body["id"].as_str());
    // Another run of the same piece has the same key.
    run_as(&place, &WEBHOOK, &server, "two", Some("test-key")).exits(0);
    assert_eq!(api.posts().len(), 1);
    let again = place.flow(&["output", "two", "publish.receipt"]).exits(0).json();
    assert_eq!(again["status"], "unchanged");
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::start(Webhook::default());
    let place_1 = place(&WEBHOOK, SMALL);
    run_as(&place_1, &WEBHOOK, &server, "one", Some("wrong-key")).exits(1);
    assert_eq!(told(&place_1, &WEBHOOK, "auth")["request_id"], "wh-req-1");
    for (url, class) in
        [(server.url() + "/gone", "http_4xx"), ("https://webhook.invalid".into(), "config")]
    {
        let place = place(&WEBHOOK, SMALL);
        run_with(&place, &WEBHOOK, &server, &json!({"base_url": url}), &[]).exits(1);
        told(&place, &WEBHOOK, class);
    }
    let place = place(&WEBHOOK, SMALL);
    run_with(&place, &WEBHOOK, &server, &json!({}), &["title=refused"]).exits(1);
    let error = error(&place);
    assert_eq!(error["class"], "http_4xx");
    assert!(error["causes"][0].as_str().unwrap().contains("not wanted"), "{error:#}");
}
