//! Statuses, and what a server says besides.

use flow_core::policy::Retry;
use serde_json::json;

use super::server::{Server, answer};
use super::{get, run, told, value};

async fn refused(status: &str, headers: &[&str], body: &str) -> String {
    told(get(Server::saying([answer(status, headers, body.as_bytes())]).url("/x")).await)
}

#[tokio::test]
async fn a_status_has_its_class_and_the_default_policy_knows_it() {
    for (status, class, again) in [
        ("300 Multiple Choices", "validation", false),
        ("304 Not Modified", "validation", false),
        ("400 Bad Request", "http_4xx", false),
        ("401 Unauthorized", "auth", false),
        ("402 Payment Required", "http_4xx", false),
        ("403 Forbidden", "auth", false),
        ("404 Not Found", "http_4xx", false),
        ("407 Proxy Authentication Required", "auth", false),
        ("408 Request Timeout", "network", true),
        ("409 Conflict", "http_4xx", false),
        ("422 Unprocessable", "http_4xx", false),
        ("425 Too Early", "network", true),
        ("429 Too Many Requests", "rate_limited", true),
        ("451 Unavailable", "http_4xx", false),
        ("500 Internal Server Error", "http_5xx", true),
        ("503 Service Unavailable", "http_5xx", true),
        ("599 Odd", "http_5xx", true),
        ("999 Request Denied", "malformed", true),
    ] {
        let server = Server::saying([answer(status, &[], b"")]);
        let error = get(server.url("/")).await.expect_err("it fails");
        assert_eq!(error.class.name(), class, "{status}");
        assert_eq!(Retry::default().covers(&error), again, "{status}");
        assert_eq!(error.http_status, status[..3].parse().ok());
        assert!(!error.unsent, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_shows_what_the_server_says() {
    let body = "{\"error\":\"no such game\"}\r\n\u{7}";
    insta::assert_snapshot!(refused("404 Not Found", &["X-Request-Id: req-7"], body).await, @r#"
    http_4xx: GET http://127.0.0.1:[port]/x: the server answered 404 Not Found
    cause: {"error":"no such game"}\r\n\u{7}
    hint: check `url`; if this is an answer too, say so: expect = ["2xx", 404]
    status 404, request id req-7
    "#);
    insta::assert_snapshot!(refused("401 Unauthorized", &["request-id: a1"], "").await, @"
    auth: GET http://127.0.0.1:[port]/x: the server answered 401 Unauthorized
    hint: check the credentials in `headers`, and what they allow
    status 401, request id a1
    ");
    insta::assert_snapshot!(refused("599 Odd", &[], "ä").await, @"
    http_5xx: GET http://127.0.0.1:[port]/x: the server answered 599
    cause: ä
    status 599
    ");
    let long = refused("500 Internal Server Error", &[], &"ä".repeat(100_000)).await;
    assert!(long.contains("ää…") && long.len() < 2_300, "{long}");
}

#[tokio::test]
async fn retry_after_is_carried_in_both_forms() {
    for (header, expected) in [
        ("Retry-After: 7", Some(7_000)),
        ("Retry-After: Fri, 01 Jan 2027 00:01:00 GMT", Some(60_000)),
        ("Retry-After: Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Retry-After: soon", None),
        ("Retry-After: 1000000000000", Some(3_153_600_000_000)),
        ("X-Other: 7", None),
    ] {
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let headers = [header, "Date: Fri, 01 Jan 2027 00:00:00 GMT"];
            let server = Server::saying([answer(status, &headers, b"")]);
            let error = get(server.url("/")).await.expect_err("it fails");
            assert_eq!(error.retry_after_ms, expected, "{status} {header}");
        }
    }
}

#[tokio::test]
async fn expected_statuses_are_success_and_others_are_not() {
    let not_found = || Server::saying([answer("404 Not Found", &[], b"[]")]);
    for expect in [json!([200, 404]), json!(["404"]), json!(["2xx", "4xx"])] {
        let server = not_found();
        let drafts = run(json!({ "url": server.url("/"), "expect": expect })).await;
        assert_eq!(value(&drafts.expect("an answer"), "status"), &json!(404));
    }
    let found = Server::saying([answer("302 Found", &["Location: /elsewhere"], b"[]")]);
    let drafts = run(json!({ "url": found.url("/"), "expect": [302] })).await.expect("an answer");
    assert_eq!(value(&drafts, "headers")["location"], json!("/elsewhere"));
    let server = Server::saying([answer("200 OK", &[], b"[]")]);
    let result = run(json!({ "url": server.url("/"), "expect": [201, "4xx"] })).await;
    insta::assert_snapshot!(told(result), @"
    validation: GET http://127.0.0.1:[port]/: the server answered 200 OK, and 201, 4xx is expected
    cause: []
    hint: if this is right too, add it to `expect`
    status 200, found 200
    ");
}

#[tokio::test]
async fn nothing_that_was_sent_is_in_a_message() {
    let echo = Server::new(|seen, wire| {
        let said = format!("no: {} {}", seen.head, String::from_utf8_lossy(&seen.body));
        drop(wire.write_all(&answer("400 Bad Request", &[], said.as_bytes())));
    });
    let config = json!({
        "url": echo.url("/x?token=canary-url"),
        "query": { "key": "canary-query" },
        "headers": { "Authorization": "Bearer canary-header", "X-Key": "canary-key" }
    });
    let told = told(run(config).await);
    assert!(told.contains("GET http://127.0.0.1:[port]/x?…") && told.contains("[sent]"), "{told}");
    assert!(!told.contains("canary"), "{told}");
    // Nor where no server is.
    let config = json!({
        "url": "http://127.0.0.1:1/x?token=canary-url", "headers": { "X-Key": "canary-key" },
        "body": "canary-body"
    });
    let told = super::told(run(config).await);
    assert!(!told.contains("canary"), "{told}");
}
