//! What a server gets.

use std::fs;

use flow_core::stage::{Context, Stage};
use serde_json::{Value, json};

use super::super::HttpStage;
use super::server::Server;
use super::{get, job, run, settings, told, value};
use crate::process::testing::TestContext;
use flow_core::schema::Type;

#[tokio::test]
async fn a_get_says_who_asks_and_what_it_takes() {
    let server = Server::json("{\"a\": 1}");
    let drafts = get(server.url("/games")).await.expect("an answer");
    assert_eq!(value(&drafts, "body"), &json!({ "a": 1 }));
    assert_eq!(value(&drafts, "status"), &json!(200));
    assert_eq!(value(&drafts, "headers")["content-type"], json!("application/json"));
    let seen = server.only();
    assert_eq!(seen.line(), "GET /games HTTP/1.1");
    assert_eq!(seen.header("accept"), Some("application/json, */*;q=0.5"));
    assert_eq!(seen.header("accept-encoding"), Some("gzip"));
    assert_eq!(seen.header("user-agent"), Some(concat!("flow/", env!("CARGO_PKG_VERSION"))));
    assert_eq!((seen.header("content-type"), seen.header("content-length")), (None, None));
}

#[tokio::test]
async fn parameters_are_added_to_the_query_and_escaped() {
    let server = Server::json("1");
    let query = json!({
        "text": "a b&c=d", "n": 5, "yes": true, "none": null, "ids[]": [1, "zwei", null], "no": []
    });
    run(json!({ "url": server.url("/x?first=1#part"), "query": query })).await.expect("an answer");
    let line = "GET /x?first=1&text=a+b%26c%3Dd&n=5&yes=true&ids%5B%5D=1&ids%5B%5D=zwei HTTP/1.1";
    assert_eq!(server.only().line(), line);
}

#[tokio::test]
async fn headers_are_sent_as_they_are_and_win_over_the_usual_ones() {
    let server = Server::json("1");
    let headers = json!({
        "X-Key": "abc", "X-Number": 7, "X-None": null, "Accept": "text/csv",
        "User-Agent": "mine", "Content-Type": "application/x-thing"
    });
    run(json!({ "url": server.url("/"), "headers": headers, "json": {} }))
        .await
        .expect("an answer");
    let seen = server.only();
    for (name, value) in [
        ("x-key", Some("abc")),
        ("x-number", Some("7")),
        ("x-none", None),
        ("accept", Some("text/csv")),
        ("user-agent", Some("mine")),
        ("content-type", Some("application/x-thing")),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_body_makes_a_post_and_names_its_type() {
    let context = TestContext::new();
    let path = context.scratch().join("data.wav");
    fs::write(&path, "bytes of a file").expect("a file");
    let file = json!({ "$file": "00", "path": path, "media_type": "audio/wav" });
    for (name, given, sent, media_type) in [
        (
            "json",
            json!({ "b": [1.0, null], "a": "é" }),
            "{\"a\":\"é\",\"b\":[1,null]}",
            "application/json",
        ),
        ("json", Value::Null, "null", "application/json"),
        ("body", json!("plain"), "plain", "text/plain; charset=utf-8"),
        ("body", json!(["a"]), "[\"a\"]", "application/json"),
        ("body", file, "bytes of a file", "audio/wav"),
    ] {
        let server = Server::json("1");
        let config = json!({ "url": server.url("/"), name: given });
        HttpStage::with(settings())
            .run(&context, job(config, Type::Json))
            .await
            .expect("an answer");
        let seen = server.only();
        assert_eq!(seen.line(), "POST / HTTP/1.1", "{name}");
        assert_eq!(String::from_utf8_lossy(&seen.body), sent);
        assert_eq!(seen.header("content-type"), Some(media_type));
        assert_eq!(seen.header("content-length"), Some(sent.len().to_string().as_str()));
    }
}

#[tokio::test]
async fn methods_are_upper_case_on_the_wire() {
    for method in ["put", "PATCH", "Delete", "OPTIONS"] {
        let server = Server::json("1");
        run(json!({ "url": server.url("/"), "method": method })).await.expect("an answer");
        assert_eq!(server.only().line(), format!("{} / HTTP/1.1", method.to_uppercase()));
    }
}

#[tokio::test]
async fn an_effect_sends_the_same_key_unless_the_headers_set_one() {
    let table = [
        (true, "POST", json!({}), Some("key-1")),
        (true, "DELETE", json!({}), Some("key-1")),
        (true, "GET", json!({}), None),
        (false, "POST", json!({}), None),
        (true, "POST", json!({ "idempotency-KEY": "own" }), Some("own")),
    ];
    for (acts, method, headers, expected) in table {
        let context = if acts { TestContext::acting() } else { TestContext::new() };
        let server = Server::json("1");
        let config = json!({ "url": server.url("/"), "method": method, "headers": headers });
        HttpStage::with(settings())
            .run(&context, job(config, Type::Json))
            .await
            .expect("an answer");
        assert_eq!(server.only().header("idempotency-key"), expected, "{acts} {method}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_without_its_value() {
    let url = "http://127.0.0.1:9/";
    let secret = "s3cret\nvalue";
    let table = [
        json!({ "url": "not a url" }),
        json!({ "url": "file:///etc/passwd" }),
        json!({ "url": "https://user:s3cret@example.com/" }),
        json!({ "url": url, "method": "CONNECT" }),
        json!({ "url": url, "headers": { "X-Key": secret } }),
        json!({ "url": url, "headers": { "X Key": "1" } }),
        json!({ "url": url, "headers": { "Content-Length": "1" } }),
        json!({ "url": url, "headers": { "X-Key": [secret] } }),
        json!({ "url": url, "headers": "a template gave text" }),
        json!({ "url": url, "query": { "q": { "s3cret": 1 } } }),
        json!({ "url": url, "json": 1, "body": "x" }),
        json!({ "url": url, "json": 1, "method": "GET" }),
        json!({ "url": url, "body": { "$dir": "00", "path": "/tmp" } }),
        json!({ "url": url, "body": { "$file": "00", "path": "/no/such/file" } }),
    ];
    let mut all = Vec::new();
    for config in table {
        let told = told(run(config).await);
        assert!(told.ends_with("unsent"), "{told}");
        all.push(told);
    }
    let all = all.join("\n\n");
    assert!(!all.contains("s3cret"), "{all}");
    insta::assert_snapshot!(all);
}
