//! Where servers point, and what goes there.

use serde_json::{Value, json};

use super::server::{Server, ok, redirect};
use super::{get, run, told, value};

/// A server that redirects `/` with a status, and says what it gets anywhere else.
fn pointing(status: &'static str) -> Server {
    Server::new(move |seen, wire| {
        let answer = match seen.line().contains(" / ") {
            true => redirect(status, "/there?x=1#part"),
            false => ok("application/json", &json!(seen.line()).to_string()),
        };
        drop(wire.write_all(&answer));
    })
}

/// A server that answers, and one on another port that redirects to it under a name.
fn pair(host: &str) -> (Server, Server) {
    let target = Server::json("true");
    let to = target.named(host, "/there");
    (Server::saying([redirect("302 Found", &to)]), target)
}

#[tokio::test]
async fn methods_change_as_every_client_does() {
    for (status, method, then) in [
        ("301 Moved Permanently", "GET", "GET"),
        ("301 Moved Permanently", "POST", "GET"),
        ("302 Found", "POST", "GET"),
        ("302 Found", "PUT", "PUT"),
        ("303 See Other", "POST", "GET"),
        ("303 See Other", "DELETE", "GET"),
        ("307 Temporary Redirect", "POST", "POST"),
        ("308 Permanent Redirect", "PUT", "PUT"),
    ] {
        let server = pointing(status);
        let mut config = json!({ "url": server.url("/"), "method": method });
        if method != "GET" {
            config["body"] = json!("payload");
        }
        let drafts = run(config).await.expect("an answer");
        assert_eq!(value(&drafts, "body"), &json!(format!("{then} /there?x=1 HTTP/1.1")));
        let seen = &server.seen()[1];
        let (body, described) = if then == method && method != "GET" {
            (&b"payload"[..], Some("text/plain; charset=utf-8"))
        } else {
            (&b""[..], None)
        };
        assert_eq!(
            (seen.body.as_slice(), seen.header("content-type")),
            (body, described),
            "{status}"
        );
    }
}

#[tokio::test]
async fn ten_redirects_are_followed_and_a_loop_is_not() {
    let counting = |last: usize| {
        Server::new(move |seen, wire| {
            let count: usize =
                seen.line().split(['/', ' ']).nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
            let answer = match count >= last {
                true => ok("application/json", "true"),
                false => redirect("302 Found", &format!("/{}", count + 1)),
            };
            drop(wire.write_all(&answer));
        })
    };
    get(counting(10).url("/0")).await.expect("ten are followed");
    let endless = counting(usize::MAX);
    insta::assert_snapshot!(told(get(endless.url("/0")).await), @"
    config: GET http://127.0.0.1:[port]/0: the server redirects more than 10 times
    hint: ask for the URL that it should end at
    ");
    assert_eq!(endless.seen().len(), 11);
}

#[tokio::test]
async fn another_host_must_be_allowed() {
    let (first, target) = pair("localhost");
    let ask = |allowed: Value| run(json!({ "url": first.url("/"), "allowed_hosts": allowed }));
    insta::assert_snapshot!(told(ask(json!([])).await), @r#"
    config: GET http://127.0.0.1:[port]/: the server redirects to another host: http://localhost:[port]/there
    hint: if that is right, allow it: allowed_hosts = ["localhost"]
    "#);
    insta::assert_snapshot!(told(ask(json!(["example.com", "*.localhost"])).await), @r#"
    config: GET http://127.0.0.1:[port]/: the server redirects to another host: http://localhost:[port]/there
    hint: if that is right, allow it: allowed_hosts = ["localhost"]
    "#);
    assert!(target.seen().is_empty());
    for allowed in [json!(["LOCALHOST"]), json!(["*"])] {
        ask(allowed).await.expect("it is allowed");
    }
}

#[tokio::test]
async fn credentials_stay_with_their_own_origin() {
    // The same host, but another port: followed, without what only the first one may see.
    for host in ["127.0.0.1", "localhost"] {
        let (first, target) = pair(host);
        let config = json!({
            "url": first.url("/"), "allowed_hosts": ["localhost"],
            "headers": { "Authorization": "Bearer x", "X-Api-Key": "y", "Cookie": "z", "Accept": "text/json" }
        });
        run(config).await.expect("an answer");
        let (before, after) = (first.only(), target.only());
        for name in ["authorization", "x-api-key", "cookie"] {
            assert!(before.header(name).is_some() && after.header(name).is_none(), "{name}");
        }
        assert_eq!(after.header("accept"), Some("text/json"));
        assert_eq!(after.header("referer"), None);
    }
    let server = pointing("302 Found");
    run(json!({ "url": server.url("/"), "headers": { "X-Key": "y" } })).await.expect("an answer");
    assert_eq!(server.seen()[1].header("x-key"), Some("y"), "the same origin");
}

#[tokio::test]
async fn a_refusal_behind_a_redirect_says_why_credentials_were_missing() {
    let target = Server::saying(["HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"]);
    let first = Server::saying([redirect("302 Found", &target.url("/private?sign=1"))]);
    insta::assert_snapshot!(told(get(first.url("/")).await), @"
    auth: GET http://127.0.0.1:[port]/: the server answered 401 Unauthorized
    cause: redirected to http://127.0.0.1:[port]/private?…
    hint: the server redirected to another origin, which gets none of the node's headers: use the URL that it ends at
    status 401
    ");
}

#[tokio::test]
async fn strange_targets_are_refused() {
    for target in ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[nonsense", "//"] {
        let server = Server::saying([redirect("302 Found", target)]);
        let error = get(server.url("/")).await.expect_err("it is refused");
        assert_eq!(error.class.name(), "config", "{target}: {error}");
        assert!(!error.unsent && server.seen().len() == 1, "{target}");
    }
}

#[tokio::test]
async fn credentials_in_a_target_are_not_used() {
    let target = Server::json("true");
    let to = target.url("/").replace("http://", "http://user:canary@");
    let first = Server::saying([redirect("302 Found", &to)]);
    get(first.url("/")).await.expect("an answer");
    assert_eq!(target.only().header("authorization"), None);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_after_a_redirect_was_not_the_first() {
    let first = Server::saying([redirect("307 Temporary Redirect", "http://127.0.0.1:1/")]);
    let error = run(json!({ "url": first.url("/"), "json": 1 })).await.expect_err("it is refused");
    assert_eq!((error.class.name(), error.unsent), ("network", false));
}
