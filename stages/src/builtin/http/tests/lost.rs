//! Connections that are not made, and answers that do not come whole.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use flow_core::error::ErrorClass;
use flow_core::schema::Type;
use flow_core::stage::{CancelReason, Stage};
use serde_json::json;

use super::super::HttpStage;
use super::server::{Server, reset_on_close};
use super::{get, job, run, run_with, settings, told};
use crate::process::testing::TestContext;
use crate::transport::Settings;

async fn after(bytes: &'static str) -> String {
    told(get(Server::saying([bytes]).url("/")).await)
}

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    insta::assert_snapshot!(told(get(format!("http://{address}/x?y=1")).await), @"
    network: GET http://127.0.0.1:[port]/x?…: cannot connect to 127.0.0.1:[port]
    cause: tcp connect error
    cause: Connection refused (os error 111)
    unsent
    ");
}

#[tokio::test]
async fn a_name_without_an_address_sent_nothing() {
    let error = get("http://nothing.invalid/").await.expect_err("there is no such name");
    assert_eq!((error.class, error.unsent), (ErrorClass::Network, true));
    assert_eq!(error.to_string(), "GET http://nothing.invalid/: `nothing.invalid` has no address");
    assert_eq!(error.provider.as_deref(), Some("nothing.invalid"));
}

#[tokio::test]
async fn a_connection_that_is_never_made_is_given_up() {
    // With its queue full, Linux drops what asks for a further connection.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    rustix::net::listen(&listener, 0).expect("a short queue");
    let address: SocketAddr = listener.local_addr().expect("its address");
    let fill = || TcpStream::connect_timeout(&address, Duration::from_millis(100));
    let held: Vec<TcpStream> = std::iter::from_fn(|| fill().ok()).take(16).collect();
    assert!(held.len() < 16, "the queue is never full");
    let settings = Settings { connect: Duration::from_millis(50), ..settings() };
    let job = job(json!({ "url": format!("http://{address}/") }), Type::Json);
    insta::assert_snapshot!(told(run_with(settings, job).await), @"
    network: GET http://127.0.0.1:[port]/: no connection to 127.0.0.1:[port] within 50ms
    cause: tcp connect error
    cause: deadline has elapsed
    unsent
    ");
}

#[tokio::test]
async fn a_reset_is_a_lost_connection() {
    let before = Server::new(|_, wire| reset_on_close(wire));
    let error = get(before.url("/")).await.expect_err("a reset");
    assert_eq!((error.class, error.unsent), (ErrorClass::Network, false), "{error}");
    let within = Server::new(|_, wire| {
        drop(wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"));
        let mut word = [0];
        // The client has read what there is when it is asked to speak; it never does.
        wire.socket().set_read_timeout(Some(Duration::from_millis(50))).expect("a socket option");
        drop(wire.read(&mut word));
        reset_on_close(wire);
    });
    let error = get(within.url("/")).await.expect_err("a reset");
    assert_eq!((error.class, error.unsent), (ErrorClass::Network, false), "{error}");
}

#[tokio::test]
async fn a_server_that_closes_without_a_word_is_a_network_failure() {
    insta::assert_snapshot!(after("").await, @"
    network: GET http://127.0.0.1:[port]/: the server closed the connection without an answer
    cause: connection closed before message completed
    ");
    insta::assert_snapshot!(after("HTTP/1.1 200 OK\r\nContent-").await, @"
    network: GET http://127.0.0.1:[port]/: the server closed the connection without an answer
    cause: connection closed before message completed
    ");
}

#[tokio::test]
async fn a_truncated_body_is_never_a_success() {
    insta::assert_snapshot!(after("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"a\": 1}").await, @"
    malformed: GET http://127.0.0.1:[port]/: the body ended or broke off after 8 bytes
    cause: error reading a body from connection
    cause: end of file before message length reached
    status 200, port body
    ");
    insta::assert_snapshot!(
        after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"a\": 1}\r\n").await, @"
    malformed: GET http://127.0.0.1:[port]/: the body ended or broke off after 8 bytes
    cause: error reading a body from connection
    cause: unexpected EOF during chunk size line
    status 200, port body
    ");
    insta::assert_snapshot!(
        after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\"a\": 1}\r\n").await, @"
    malformed: GET http://127.0.0.1:[port]/: the body ended or broke off after 0 bytes
    cause: error reading a body from connection
    cause: Invalid chunk size line: missing size digit
    status 200, port body
    ");
    // Where only the close tells the end, JSON tells whether it was whole.
    insta::assert_snapshot!(after("HTTP/1.1 200 OK\r\n\r\n{\"a\": 1").await, @r#"
    malformed: GET http://127.0.0.1:[port]/: the body is not acceptable JSON: EOF while parsing an object (at byte 6)
    cause: {"a": 1
    hint: take it as it is with outputs.body = "string" or "file"
    status 200, port body, offset 6, found `1`
    "#);
    get(Server::saying(["HTTP/1.1 200 OK\r\n\r\n{\"a\": 1}"]).url("/")).await.expect("it is whole");
    // Too short a length cuts the JSON.
    insta::assert_snapshot!(after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{\"a\": 1}").await, @r#"
    malformed: GET http://127.0.0.1:[port]/: the body is not acceptable JSON: EOF while parsing a value (at byte 4)
    cause: {"a":
    hint: take it as it is with outputs.body = "string" or "file"
    status 200, port body, offset 4, found `:`
    "#);
}

#[tokio::test]
async fn what_is_no_http_is_malformed() {
    insta::assert_snapshot!(after("SSH-2.0-OpenSSH_9.2\r\n\r\n").await, @"
    malformed: GET http://127.0.0.1:[port]/: the head of the answer is not HTTP, or too large
    cause: invalid HTTP version parsed
    hint: check port and scheme in `url`; 100 headers in 400 KiB are taken at most
    ");
    insta::assert_snapshot!(after("HTTP/1.1 20x Fine\r\n\r\n").await, @"
    malformed: GET http://127.0.0.1:[port]/: the head of the answer is not HTTP, or too large
    cause: invalid HTTP status-code parsed
    hint: check port and scheme in `url`; 100 headers in 400 KiB are taken at most
    ");
    insta::assert_snapshot!(after("HTTP/1.1 200 OK\r\nNo colon here\r\n\r\n").await, @"
    malformed: GET http://127.0.0.1:[port]/: the head of the answer is not HTTP, or too large
    cause: invalid HTTP header parsed
    hint: check port and scheme in `url`; 100 headers in 400 KiB are taken at most
    ");
    let long = Server::new(|_, wire| {
        drop(wire.write_all(b"HTTP/1.1 200 OK\r\n"));
        let line = format!("X-Long: {}\r\n", "x".repeat(8_000));
        for _ in 0..250 {
            if wire.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
        drop(wire.write_all(b"\r\n"));
    });
    let error = get(long.url("/")).await.expect_err("2 MB of headers");
    assert_eq!(error.class, ErrorClass::Malformed, "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_even_without_a_timeout() {
    let silent = Server::new(|_, wire| drop(wire.read(&mut [0])));
    let settings = Settings { idle: Duration::from_millis(50), ..settings() };
    let run = run_with(settings, job(json!({ "url": silent.url("/") }), Type::Json));
    insta::assert_snapshot!(told(run.await), @"
    timeout: GET http://127.0.0.1:[port]/: the server sent nothing for 50ms
    hint: set `timeout` of the node, so that the next attempt comes sooner
    ");
}

#[tokio::test]
async fn a_drip_is_ended_by_the_attempt_and_not_by_its_bytes() {
    let (dripped, drips) = mpsc::channel();
    let server = Server::new(move |_, wire| {
        drop(wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"));
        while wire.write_all(b" ").and_then(|()| wire.flush()).is_ok() {
            if dripped.send(()).is_err() {
                return;
            }
            // The next byte is due later; a client that has gone is seen at once.
            let pause = Some(Duration::from_millis(10));
            wire.socket().set_read_timeout(pause).expect("a socket option");
            if wire.read(&mut [0]).is_ok() {
                return;
            }
        }
    });
    let context = TestContext::new();
    let stage = HttpStage::with(Settings { idle: Duration::from_secs(5), ..settings() });
    let work = stage.run(&context, job(json!({ "url": server.url("/") }), Type::Json));
    let watch = async {
        let seen = tokio::task::spawn_blocking(move || (drips.iter().take(10).count(), drips));
        let _kept = seen.await.expect("a thread");
        context.cancel(CancelReason::Timeout);
        std::future::pending::<()>().await;
    };
    let result = tokio::select! { result = work => result, () = watch => unreachable!() };
    insta::assert_snapshot!(told(result), @"timeout: GET http://127.0.0.1:[port]/: the attempt was told to stop before the answer was complete");
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_work_may_have_been_sent() {
    let server = Server::new(|_, _| {});
    let config = json!({ "url": server.url("/orders"), "json": { "buy": 1 } });
    let error = run(config).await.expect_err("no answer");
    assert_eq!((error.class, error.unsent), (ErrorClass::Network, false));
    // Once: to ask again is for the node's policy.
    assert_eq!(server.only().body, b"{\"buy\":1}");
}
