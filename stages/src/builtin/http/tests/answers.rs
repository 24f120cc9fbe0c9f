//! How an answer becomes outputs.

use std::io::Write as _;

use flow_core::error::ErrorClass;
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{Context, Draft, OutputSlot, Stage};
use serde_json::{Value, json};

use super::super::HttpStage;
use super::server::{Server, answer, ok};
use super::{get, job, run_as, settings, slot, told, value};
use crate::process::testing::TestContext;

fn file() -> Type {
    Type::File(None)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zipped(body: &[u8]) -> Vec<u8> {
    answer("200 OK", &["Content-Encoding: gzip", "Content-Type: application/json"], body)
}

async fn body_of(ty: Type, bytes: Vec<u8>) -> Option<Draft> {
    let server = Server::saying([bytes]);
    let mut drafts = run_as(ty, json!({ "url": server.url("/") })).await.expect("an answer");
    drafts.remove("body")
}

async fn refused(ty: Type, bytes: Vec<u8>) -> String {
    let server = Server::saying([bytes]);
    told(run_as(ty, json!({ "url": server.url("/") })).await)
}

#[tokio::test]
async fn the_declared_type_says_how_a_body_is_read() {
    let text = |text: &str| Some(Draft::Value(json!(text)));
    let plain = |body: &str| ok("text/plain", body);
    for (ty, bytes, expected) in [
        (Type::Json, plain("[1, 2]"), Some(Draft::Value(json!([1, 2])))),
        (Type::Integer, plain(" 7\n"), Some(Draft::Value(json!(7)))),
        (Type::String, plain("a\nb\n"), text("a\nb\n")),
        (Type::String, plain(""), text("")),
        (Type::String.optional(), plain(""), None),
        (Type::Json.optional(), plain(""), None),
        (Type::Json.optional(), plain("null"), Some(Draft::Value(Value::Null))),
        (Type::Json.optional(), b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), None),
        (Type::Json, zipped(&gzip(b"{\"a\":1}")), Some(Draft::Value(json!({ "a": 1 })))),
    ] {
        assert_eq!(body_of(ty.clone(), bytes).await, expected, "{ty}");
    }
}

#[tokio::test]
async fn text_is_read_in_the_character_set_that_the_server_names() {
    let with = |charset: &str, body: &[u8]| {
        answer("200 OK", &[&format!("Content-Type: text/csv{charset}")], body)
    };
    for (bytes, expected) in [
        (with("; charset=ISO-8859-1", b"caf\xe9"), "café"),
        (with("; header=present; Charset=\"utf-8\"", "café".as_bytes()), "café"),
        (with("; charset=shift_jis", b"\x83\x65"), "テ"),
        (with("", "café".as_bytes()), "café"),
    ] {
        assert_eq!(body_of(Type::String, bytes).await, Some(Draft::Value(json!(expected))));
    }
    insta::assert_snapshot!(refused(Type::String, with("", b"caf\xe9")).await, @r#"
    malformed: GET http://127.0.0.1:[port]/: the body is not UTF-8 (at byte 3)
    hint: take it as a file: outputs.body = "file"
    status 200, port body, offset 3, found the byte 0xe9
    "#);
    insta::assert_snapshot!(refused(Type::String, with("; charset=klingon", b"x")).await, @"
    malformed: GET http://127.0.0.1:[port]/: the body has the unknown character set `klingon`
    status 200, port body
    ");
    insta::assert_snapshot!(refused(Type::String, with("; charset=euc-jp", b"\xff\xff")).await, @"
    malformed: GET http://127.0.0.1:[port]/: the body is not EUC-JP
    status 200, port body
    ");
    // JSON is UTF-8 whatever a server says.
    let json =
        answer("200 OK", &["Content-Type: application/json; charset=latin1"], b"\"caf\xc3\xa9\"");
    assert_eq!(body_of(Type::Json, json).await, Some(Draft::Value(json!("café"))));
}

#[tokio::test]
async fn json_lines_become_a_list() {
    let lines = || OutputSlot { json_lines: true, ..slot("body", Type::Json.list()) };
    let run = async |body: &str| {
        let server = Server::saying([ok("application/x-ndjson", body)]);
        let mut job = job(json!({ "url": server.url("/") }), Type::Json);
        job.outputs[0] = lines();
        HttpStage::with(settings()).run(&TestContext::new(), job).await
    };
    let drafts = run("{\"a\":1}\n\n[2]\n").await.expect("an answer");
    assert_eq!(value(&drafts, "body"), &json!([{ "a": 1 }, [2]]));
    insta::assert_snapshot!(told(run("1\n2\n{\n").await), @r#"
    malformed: GET http://127.0.0.1:[port]/: the body is not acceptable JSON: EOF while parsing an object (at byte 6)
    cause: the server calls it application/x-ndjson
    cause: {
    hint: take it as it is with outputs.body = "string" or "file"
    status 200, port body, offset 6, found the end
    "#);
}

#[tokio::test]
async fn a_2xx_with_a_broken_body_is_malformed() {
    insta::assert_snapshot!(refused(Type::Json, ok("application/json", "{\"a\":1")).await, @r#"
    malformed: GET http://127.0.0.1:[port]/: the body is not acceptable JSON: EOF while parsing an object (at byte 5)
    cause: the server calls it application/json
    cause: {"a":1
    hint: take it as it is with outputs.body = "string" or "file"
    status 200, port body, offset 5, found `1`
    "#);
    let page = "<html>\u{1b}[31m down for maintenance</html>";
    insta::assert_snapshot!(refused(Type::Json, ok("text/html", page)).await, @r#"
    malformed: GET http://127.0.0.1:[port]/: the body is not acceptable JSON: expected value (at byte 0)
    cause: the server calls it text/html
    cause: <html>\u{1b}[31m down for maintenance</html>
    hint: take it as it is with outputs.body = "string" or "file"
    status 200, port body, offset 0, found `<html>\u{1b}[31m down for maintenance</html>`
    "#);
    insta::assert_snapshot!(refused(Type::Json, ok("application/json", "")).await, @r#"
    malformed: GET http://127.0.0.1:[port]/: the answer has no body, and `json` is declared
    hint: if it may be empty: outputs.body = "json?"
    status 200, port body, offset 0, found nothing
    "#);
    insta::assert_snapshot!(refused(Type::Json, ok("application/json", "{\"a\":1,\"a\":2}")).await, @r#"
    malformed: GET http://127.0.0.1:[port]/: the body is not acceptable JSON: the key "a" stands twice (at byte 9)
    cause: the server calls it application/json
    cause: {"a":1,"a":2}
    hint: take it as it is with outputs.body = "string" or "file"
    status 200, port body, offset 9, found `":2}`
    "#);
    let brotli = answer("200 OK", &["Content-Encoding: br"], b"\x0b\x02\x80{}\x03");
    insta::assert_snapshot!(refused(Type::Json, brotli).await, @"
    malformed: GET http://127.0.0.1:[port]/: the body is compressed with `br`, which was not asked for
    status 200, port body
    ");
    insta::assert_snapshot!(refused(Type::Json, zipped(b"this is no gzip")).await, @"
    malformed: GET http://127.0.0.1:[port]/: the body cannot be decompressed
    cause: Invalid gzip header
    status 200, port body
    ");
    let whole = gzip(&[b'1'; 1000]);
    insta::assert_snapshot!(refused(Type::Json, zipped(&whole[..whole.len() - 9])).await, @"
    malformed: GET http://127.0.0.1:[port]/: the body cannot be decompressed
    cause: unexpected end of file
    status 200, port body
    ");
}

#[tokio::test]
async fn a_file_is_streamed_to_where_the_gate_takes_it() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let server = Server::saying([answer("200 OK", &[], &bytes)]);
    let context = TestContext::new();
    let mut job = job(json!({ "url": server.url("/clip") }), file());
    let path = context.side().join("body.mp4");
    job.outputs[0].path = Some(path.clone());
    job.outputs[0].ty = Type::File(MediaPattern::parse("video/mp4"));
    let drafts = HttpStage::with(settings()).run(&context, job).await.expect("an answer");
    assert_eq!(drafts.get("body"), Some(&Draft::Path(path.clone())));
    assert!(std::fs::read(path).expect("the file") == bytes, "the bytes differ");
    // What a file is asked for is its bytes, not a compressed form of them.
    assert_eq!(server.only().header("accept-encoding"), Some("identity"));
    let last = context.seen().progress.pop().expect("progress");
    assert_eq!((last.done, last.total, last.unit), (3e6, Some(3e6), "bytes"));
}

#[tokio::test]
async fn a_part_of_a_file_is_left_nowhere() {
    let server = Server::saying(["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"]);
    let context = TestContext::new();
    let job = job(json!({ "url": server.url("/") }), file());
    let result = HttpStage::with(settings()).run(&context, job).await;
    insta::assert_snapshot!(told(result), @"
    malformed: GET http://127.0.0.1:[port]/: the body ended or broke off after 4 bytes
    cause: error reading a body from connection
    cause: end of file before message length reached
    status 200, port body
    ");
    assert!(!context.scratch().join("body").exists());
}

#[tokio::test]
async fn a_value_is_limited_by_its_decoded_size() {
    // 65 MiB of blanks in a body of some KiB.
    let bomb = gzip(&vec![b' '; 65 << 20]);
    assert!(bomb.len() < 100_000);
    insta::assert_snapshot!(refused(Type::Json, zipped(&bomb)).await, @r#"
    validation: GET http://127.0.0.1:[port]/: the body has more than 64 MiB, which is too much for a value
    hint: take it as a file: outputs.body = "file"
    status 200, port body
    "#);
    // A length that is known is judged before a byte is read.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    insta::assert_snapshot!(refused(Type::String, head.into()).await, @r#"
    validation: GET http://127.0.0.1:[port]/: the body has more than 64 MiB, which is too much for a value
    hint: take it as a file: outputs.body = "file"
    status 200, port body
    "#);
}

#[tokio::test]
async fn a_body_of_unknown_length_stops_at_the_limit() {
    let server = Server::new(|_, wire| {
        let block = vec![b'x'; 1 << 20];
        drop(wire.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
        for _ in 0..1000 {
            if wire.write_all(&block).is_err() {
                return;
            }
        }
        panic!("all of 1 GB was taken");
    });
    let error = get(server.url("/")).await.expect_err("too much");
    assert_eq!(error.class, ErrorClass::Validation);
}

#[tokio::test]
async fn several_headers_of_a_name_are_joined() {
    let server =
        Server::saying([answer("200 OK", &["X-A: 1", "x-a: zwei", "X-Latin: caf\u{e9}"], b"1")]);
    let drafts = get(server.url("/")).await.expect("an answer");
    assert_eq!(value(&drafts, "headers")["x-a"], json!("1, zwei"));
    assert_eq!(value(&drafts, "headers")["x-latin"], json!("café"));
}

#[tokio::test]
async fn head_has_headers_alone() {
    let server = Server::saying(["HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n"]);
    let config = json!({ "url": server.url("/"), "method": "HEAD" });
    let drafts = run_as(Type::Json.optional(), config).await.expect("an answer");
    assert_eq!(drafts.get("body"), None);
    assert_eq!(value(&drafts, "headers")["content-length"], json!("5000000000"));
}

#[tokio::test]
async fn bytes_after_the_end_belong_to_no_answer() {
    let server = Server::saying([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2".to_vec()]);
    let stage = HttpStage::with(settings());
    for _ in 0..2 {
        let job = job(json!({ "url": server.url("/") }), Type::Json);
        let drafts = stage.run(&TestContext::new(), job).await.expect("an answer");
        assert_eq!(value(&drafts, "body"), &json!(1));
    }
}

#[tokio::test]
async fn a_large_value_is_read_as_a_small_one_is() {
    let list = |length: usize, end: &str| format!("[{}1{end}", "1,".repeat(length));
    let whole = ok("application/json", &list(200_000, "]"));
    let Some(Draft::Value(value)) = body_of(Type::Json, whole).await else { panic!("no value") };
    assert_eq!(value.as_array().map(Vec::len), Some(200_001));
    let server = Server::saying([ok("application/json", &list(200_000, "}"))]);
    let error = get(server.url("/")).await.expect_err("it is no list");
    assert_eq!((error.class, error.offset), (ErrorClass::Malformed, Some(400_002)));
}
