//! Requests to services, from the workflow file to the payload.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::harness::Place;

/// A server on loopback that says the answers in order, and the last one again.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answers: &[&[u8]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.to_vec()).collect();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let request = read(&mut socket);
                let mut seen = record.lock().unwrap();
                let answer = &answers[seen.len().min(answers.len() - 1)];
                seen.push(request);
                drop(socket.write_all(answer));
            }
        });
        Self { address, seen }
    }

    fn json(body: &str) -> Self {
        Self::new(&[&ok(body.as_bytes())])
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// A folder whose workflow has `URL` where this server is.
    fn place(&self, nodes: &str) -> Place {
        Place::with(&nodes.replace("URL", &format!("http://{}", self.address)))
    }
}

fn read(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        if text.len() > head.len() && body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
            return text;
        }
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).unwrap_or_default() {
            0 => return text,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", body)
}

const GAMES: &str = r#"
[types.Game.fields]
id = "string"
line = { type = "number", greater_than = 0 }
[nodes.games]
stage = "http"
with = { url = "URL/games", query = { sport = "nfl", week = [17, 18] }, headers = { X-Key = "k" } }
outputs.body = "list<Game>"
"#;

#[test]
fn json_is_fetched_as_the_declared_type() {
    let server = Server::json(r#"[{"id": "buf_mia", "line": 275.5, "more": true}]"#);
    let place = server.place(&format!(
        "{GAMES}
[nodes.first]
stage = \"jq\"
inputs = {{ games = \"games.body\" }}
with = {{ filter = \".[0].id\" }}
outputs.id = \"string\"
[outputs]
id = \"first.id\"
status = \"games.status\"
headers = \"games.headers\"
"
    ));
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    assert_snapshot!(place.flow(&["output", "one"]).exits(0), @r#"
    exit: 0
    --- stdout
    {"headers":{"connection":"close","content-length":"48"},"id":"buf_mia","status":200}
    "#);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with("GET /games?sport=nfl&week=17&week=18 HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[0].contains("\r\nx-key: k\r\n"), "{seen:?}");
}

#[test]
fn a_payload_of_another_type_fails_for_good_with_its_place() {
    let server = Server::json(r#"[{"id": "a", "line": 1}, {"id": "b", "line": -3}]"#);
    let place = server.place(GAMES);
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    let node = &place.show("one")["nodes"][0];
    let error = &node["error"];
    assert_eq!((&error["class"], &error["port"]), (&"validation".into(), &"body".into()));
    assert_eq!((&error["pointer"], &node["attempts"]), (&"/1/line".into(), &1.into()));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_file_comes_byte_for_byte_and_is_what_it_is_declared_to_be() {
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[7; 200_000]].concat();
    let server = Server::new(&[&ok(&png)]);
    let nodes = r#"
[nodes.picture]
stage = "http"
with = { url = "URL/x.png" }
outputs.body = "file<image/png>"
"#;
    let place = server.place(nodes);
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    let output = place.command(&["output", "one", "picture.body"]).output().unwrap();
    assert!(output.stdout == png, "the bytes differ");
    let shown = &place.show("one")["nodes"][0]["outputs"]["body"];
    assert_eq!((&shown["name"], &shown["media_type"]), (&"body.png".into(), &"image/png".into()));

    let place = server.place(&nodes.replace("image/png", "audio/*"));
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    assert_eq!(place.show("one")["nodes"][0]["error"]["class"], "validation");
}

#[test]
fn a_retry_waits_as_long_as_the_server_asks() {
    let busy = answer("503 Service Unavailable\r\nRetry-After: 1\r\nX-Request-Id: r-1", b"busy");
    let server = Server::new(&[&busy, &ok(b"[]")]);
    // Without the header the wait would be a minute.
    let place = server.place(&format!("{GAMES}retry = {{ base = \"60s\", jitter = false }}\n"));
    let done = place.flow(&["run", "flow.toml", "--json"]).exits(0);
    let events = done.lines();
    let of = |name: &str| events.iter().find(|event| event["event"] == name).unwrap();
    assert_eq!(of("retry_scheduled")["delay_ms"], 1_000);
    let error = &of("attempt_failed")["error"];
    assert_eq!((&error["class"], &error["http_status"]), (&"http_5xx".into(), &503.into()));
    assert_eq!((&error["request_id"], &error["causes"]), (&"r-1".into(), &vec!["busy"].into()));
    assert_eq!((&error["retryable"], &error.get("unsent")), (&true.into(), &None));
    let node = &events.last().unwrap()["nodes"][0];
    assert_eq!((&node["status"], &node["attempts"]), (&"succeeded".into(), &2.into()));
}

#[test]
fn a_wait_beyond_the_deadline_is_not_begun() {
    let busy = answer("429 Too Many Requests\r\nRetry-After: 1000000000000", b"");
    let server = Server::new(&[&busy]);
    let place = server.place(&format!("{GAMES}deadline = \"1h\"\n"));
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    let error = &place.show("one")["nodes"][0]["error"];
    assert_eq!((&error["class"], &error["retryable"]), (&"rate_limited".into(), &false.into()));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn the_timeout_of_the_node_covers_the_whole_answer() {
    // A length that is never reached, on a connection that stays open.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut socket in listener.incoming().map_while(Result::ok) {
            read(&mut socket);
            drop(socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n["));
            held.push(socket);
        }
    });
    let place = Place::with(&format!(
        "[nodes.slow]\nstage = \"http\"\nwith = {{ url = \"http://{address}/x?secret=canary\" }}\n\
         timeout = \"300ms\"\nretry = {{ attempts = 1 }}\n"
    ));
    let done = place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    let error = &place.show("one")["nodes"][0]["error"];
    assert_eq!(error["class"], "timeout");
    assert_eq!(error["operation"], format!("GET http://{address}/x?…"));
    assert!(!done.stderr.contains("canary"), "{done}");
}

#[test]
fn what_is_sent_is_typed_and_files_are_streamed() {
    let server = Server::json("{}");
    let place = server.place(
        r#"
[nodes.ids]
stage = "value"
with = { value = [1, 2] }
outputs.ids = "list<integer>"
[nodes.data]
stage = "command"
with = { argv = ["printf", "some bytes"] }
outputs.data = "file<text/plain>"
[nodes.post]
stage = "http"
inputs = { ids = "ids.ids" }
with = { url = "URL/{{ 'a b' | urlencode }}", query = { id = "{{ inputs.ids }}" }, json = { ids = "{{ inputs.ids }}", text = "of {{ inputs.ids }}" } }
[nodes.put]
stage = "http"
after = ["post"]
inputs = { data = "data.data" }
with = { url = "URL/", method = "PUT", body = "{{ inputs.data }}" }
"#,
    );
    place.flow(&["run", "flow.toml"]).exits(0);
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /a%20b?id=1&id=2 HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[0].ends_with("\r\n\r\n{\"ids\":[1,2],\"text\":\"of [1,2]\"}"), "{seen:?}");
    assert!(seen[1].starts_with("PUT / HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[1].contains("\r\ncontent-type: text/plain\r\n"), "{seen:?}");
    assert!(seen[1].contains("\r\ncontent-length: 10\r\n"), "{seen:?}");
    assert!(seen[1].ends_with("\r\n\r\nsome bytes"), "{seen:?}");
}

#[test]
fn a_proxy_of_the_environment_is_used() {
    let proxy = Server::json("[]");
    let place = Place::with(&GAMES.replace("URL", "http://far.invalid"));
    let run = |no_proxy: &str| {
        let mut command = place.command(&["run", "flow.toml"]);
        command.env("HTTP_PROXY", format!("http://{}", proxy.address));
        command.env("http_proxy", format!("http://{}", proxy.address));
        command.env("NO_PROXY", no_proxy).env("no_proxy", no_proxy);
        command
    };
    place.finish(run("")).exits(0);
    let seen = proxy.seen();
    assert!(seen[0].starts_with("GET http://far.invalid/games?"), "{seen:?}");
    place.write("flow.toml", &format!("{}retry = {{ attempts = 1 }}\n", place.read("flow.toml")));
    place.finish(run("far.invalid")).exits(1);
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn https_without_certificates_to_trust_says_how_to_get_them() {
    let server = Server::json("[]");
    let place = server.place(
        r#"
[nodes.plain]
stage = "http"
with = { url = "URL/" }
[nodes.tls]
stage = "http"
with = { url = "https://127.0.0.1:9/" }
"#,
    );
    place.write("none.pem", "");
    let mut command = place.command(&["run", "flow.toml", "--run-id", "one"]);
    command.env("SSL_CERT_FILE", "none.pem").env_remove("SSL_CERT_DIR");
    place.finish(command).exits(1);
    let shown = place.show("one");
    assert_eq!(shown["nodes"][0]["status"], "succeeded");
    let error = &shown["nodes"][1]["error"];
    assert_eq!((&error["class"], &error["unsent"]), (&"config".into(), &true.into()));
    assert!(error["hint"].as_str().unwrap().contains("ca-certificates"), "{error}");
}

#[test]
fn faults_are_told_before_the_run() {
    let place = Place::with(
        r#"
[nodes.a]
stage = "http"
with = { url = "ftp://example.com/", metod = "GET", expect = [20] }
[nodes.b]
stage = "http"
with = { url = "http://example.com/", method = "GTE", headers = { "X Key" = "1" } }
outputs = { body = "Nothing", status = "string", more = "json" }
"#,
    );
    assert_snapshot!(place.flow(&["validate", "flow.toml"]), @r#"
    exit: 3
    --- stderr
    error[W117]: `url` has the scheme `ftp`
     --> flow.toml:6:16
      |
    6 | with = { url = "ftp://example.com/", metod = "GET", expect = [20] }
      |  ^^^^^^^^^^^^^^^^^^^^
      |
      = help: use http or https; a file beside the workflow is a parameter of type `file`

    error[W111]: stage `http` has no field `metod`
     --> flow.toml:6:38
      |
    6 | with = { url = "ftp://example.com/", metod = "GET", expect = [20] }
      |  ^^^^^
      |
      = help: did you mean `method`?

    error[W117]: 20 is no status that an answer ends with
     --> flow.toml:6:63
      |
    6 | with = { url = "ftp://example.com/", metod = "GET", expect = [20] }
      |  ^^
      |
      = help: write a number from 200 to 599, or a class such as "2xx"

    error[W117]: `GTE` is no method that can be sent
     --> flow.toml:9:48
      |
    9 | with = { url = "http://example.com/", method = "GTE", headers = { "X Key" = "1" } }
      |  ^^^^^
      |
      = help: did you mean GET?

    error[W117]: `X Key` is no name of a header
     --> flow.toml:9:77
      |
    9 | with = { url = "http://example.com/", method = "GTE", headers = { "X Key" = "1" } }
      |  ^^^
      |
      = help: name it with letters, digits and hyphens, or leave it out

    error[W109]: there is no type `Nothing`
      --> flow.toml:10:20
       |
    10 | outputs = { body = "Nothing", status = "string", more = "json" }
       |  ^^^^^^^^^
       |
       = help: declare it under `[types]`, or use a built-in type such as string, number, json, file or list<…>

    error[W116]: output `status` of stage `http` is `integer`
      --> flow.toml:10:40
       |
    10 | outputs = { body = "Nothing", status = "string", more = "json" }
       |  ^^^^^^^^
       |
       = help: leave the declaration out: the stage brings its own

    error[W116]: stage `http` has no output `more`
      --> flow.toml:10:50
       |
    10 | outputs = { body = "Nothing", status = "string", more = "json" }
       |  ^^^^
       |
       = help: it has body, status, headers

    error: flow.toml is not valid: 8 faults
    "#);
}

#[test]
fn the_stage_tells_what_it_takes() {
    assert_snapshot!(Place::new().flow(&["stages", "http"]).exits(0), @r#"
    exit: 0
    --- stdout
    http: Sends an HTTP request and takes the answer as a typed value or a file.

    INPUTS
      as the workflow declares them

    OUTPUTS
      body  json  or as declared  The answer's body: JSON, text for a `string`, its bytes for a `file`; with `T?` an empty one is absent.
      status  integer  The status of the answer.
      headers  map<string>  Its headers under lower-case names; several of one name are joined by a comma.

    WITH
      url  text  Where to: `http` or `https`, without credentials in it.
      method  text  optional  GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS; GET by default, POST with a body.
      headers  json  optional  A table of headers. They go to the URL's own origin alone; null leaves one out.
      query  json  optional  A table of parameters for the URL. A list gives one for each element; null leaves one out.
      json  json  optional  A JSON body.
      body  text or value  optional  A body: text, or a reference: a file's bytes, a string as it is, anything else as JSON.
      expect  list<json>  optional  Statuses that count as success, such as [200, 404] or ["2xx"]; 2xx by default.
      allowed_hosts  list<string>  optional  Hosts besides the URL's own that redirects may go to: `cdn.example.com`, `*.example.com`, or `*` for any.

    EXAMPLE
      [nodes.slate]
      stage  = "http"
      with  = { url = "https://api.example.com/games", query = { date = "{{ run.date }}" }, headers = { Accept = "application/json" } }
      timeout = "30s"
      outputs.body = "Slate"
    "#);
}

#[test]
fn calls_are_counted_whether_they_fail_or_not() {
    let busy = answer("503 Service Unavailable", b"");
    let fine = ok(br#"[{"id": "a", "line": 1}]"#);
    let server = Server::new(&[&busy, &fine]);
    let retry = "[nodes.games]\nretry = { base = \"1ms\" }";
    let place = server.place(&GAMES.replace("[nodes.games]", retry));
    let lines = place.flow(&["run", "flow.toml", "--run-id", "one", "--json"]).exits(0).lines();
    let usage_of = |event: &str| {
        let line = lines.iter().find(|line| line["event"] == event).unwrap();
        line["usage"].clone()
    };
    assert_eq!(usage_of("attempt_failed"), json!({ "calls": 1 }));
    assert_eq!(usage_of("node_succeeded"), json!({ "calls": 1 }));
    assert_eq!(usage_of("attempt_started"), Value::Null);
    let run = lines.last().unwrap();
    assert_eq!(run["usage"], json!({ "calls": 2 }));
    assert_eq!(run["nodes"][0]["usage"], json!({ "calls": 2 }));
    let listed = place.flow(&["runs", "--json"]).exits(0).json();
    assert_eq!(listed[0]["usage"], json!({ "calls": 2 }));
    assert_snapshot!(place.flow(&["show", "one"]).exits(0), @"
    exit: 0
    --- stdout
    run one succeeded
      workflow  test ([dir]/flow.toml)
      started  [date] (just now), [took]
      used  2 calls

       NODE  STATUS  ATTEMPTS  TIME
    ✔  games  succeeded  2  [took]  2 calls
    ");
}
