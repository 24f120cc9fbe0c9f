//! Traces for an OpenTelemetry collector, read by a collector that knows the wire format alone: what
//! arrives, and that nothing of it costs a run anything. Built with the feature `otel`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::Command;

use insta::assert_snapshot;

use super::harness::{Done, Place};
use super::services::server::{Api, Asked, Reply};
use super::services::{Server, Trouble};

/// A message in the format of Protocol Buffers: fields by number, each with what it was in order.
#[derive(Debug, Clone, Default)]
struct Message(BTreeMap<u64, Vec<Field>>);

#[derive(Debug, Clone)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Message {
    fn read(mut bytes: &[u8]) -> Self {
        let mut message = Self::default();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Field::Bytes(take(&mut bytes, length).to_vec())
                }
                5 => Field::Number(
                    u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into(),
                ),
                kind => panic!("a field of kind {kind}"),
            };
            message.0.entry(tag >> 3).or_default().push(field);
        }
        message
    }

    fn all(&self, number: u64) -> Vec<Self> {
        let fields = self.0.get(&number).into_iter().flatten();
        let read = fields.map(|field| match field {
            Field::Bytes(bytes) => Self::read(bytes),
            Field::Number(_) => panic!("field {number} is a number"),
        });
        read.collect()
    }

    fn one(&self, number: u64) -> Self {
        self.all(number).into_iter().next().unwrap_or_default()
    }

    fn bytes(&self, number: u64) -> &[u8] {
        match self.0.get(&number).map(|all| &all[0]) {
            Some(Field::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    fn text(&self, number: u64) -> String {
        String::from_utf8(self.bytes(number).to_vec()).unwrap()
    }

    fn hex(&self, number: u64) -> String {
        self.bytes(number).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn number(&self, number: u64) -> u64 {
        match self.0.get(&number).map(|all| &all[0]) {
            Some(Field::Number(value)) => *value,
            _ => 0,
        }
    }

    /// Pairs of names and values, as `KeyValue` has them.
    fn attributes(&self, number: u64) -> BTreeMap<String, String> {
        self.all(number).iter().map(|pair| (pair.text(1), pair.one(2).value())).collect()
    }

    /// An `AnyValue`.
    fn value(&self) -> String {
        match self.0.keys().next() {
            Some(1) => self.text(1),
            Some(2) => (self.number(2) == 1).to_string(),
            Some(3) => self.number(3).to_string(),
            Some(4) => f64::from_bits(self.number(4)).to_string(),
            other => panic!("a value of kind {other:?}"),
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// A collector that answers every message so.
struct Collector(Vec<u8>);

impl Api for Collector {
    fn answer(&self, _asked: &Asked, _base: &str) -> Reply {
        Reply::new(200, "application/x-protobuf", self.0.clone())
    }

    fn failure(&self, status: u16) -> Reply {
        Reply::empty(status)
    }
}

/// A span as it arrived.
#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    begin: u64,
    end: u64,
    attributes: BTreeMap<String, String>,
    notes: Vec<(String, BTreeMap<String, String>)>,
    links: Vec<String>,
    status: u64,
    says: String,
}

impl Span {
    fn of(span: &Message) -> Self {
        Self {
            trace: span.hex(1),
            id: span.hex(2),
            parent: span.hex(4),
            name: span.text(5),
            kind: span.number(6),
            begin: span.number(7),
            end: span.number(8),
            attributes: span.attributes(9),
            notes: span.all(11).iter().map(|note| (note.text(2), note.attributes(3))).collect(),
            links: span.all(13).iter().map(|link| link.hex(2)).collect(),
            status: span.one(15).number(3),
            says: span.one(15).text(2),
        }
    }

    fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

/// All spans that a collector got, those that began first before the others.
fn spans(server: &Server) -> Vec<Span> {
    let mut spans: Vec<Span> = server
        .asked("POST", "/v1/traces")
        .iter()
        .flat_map(|asked| Message::read(&asked.body).all(1))
        .flat_map(|resource| resource.all(2))
        .flat_map(|scope| scope.all(2))
        .map(|span| Span::of(&span))
        .collect();
    spans.sort_by_key(|span| (span.begin, span.kind != 2, std::cmp::Reverse(span.end)));
    spans
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

/// The tree of spans below one, each with what it says of itself.
fn tree(spans: &[Span], parent: &str, depth: usize, text: &mut String) {
    let mut children: Vec<&Span> = spans.iter().filter(|span| span.parent == parent).collect();
    children.sort_by(|a, b| (&a.name, &a.attributes).cmp(&(&b.name, &b.attributes)));
    for span in children {
        assert!(span.begin > 0 && span.end >= span.begin, "{span:?}");
        let status = ["", " ok", " error"][span.status as usize];
        let indent = "  ".repeat(depth);
        let says = if span.says.is_empty() { "" } else { ": " };
        writeln!(text, "{indent}{}{status}{says}{}", span.name, span.says).unwrap();
        for (name, value) in &span.attributes {
            writeln!(text, "{indent}  . {name} = {value}").unwrap();
        }
        for (name, told) in &span.notes {
            writeln!(text, "{indent}  - {name} {told:?}").unwrap();
        }
        tree(spans, &span.id, depth + 1, text);
    }
}

fn traced(place: &Place, server: &Server, args: &[&str]) -> Done {
    place.finish(with_collector(place, &server.url(), args))
}

fn with_collector(place: &Place, url: &str, args: &[&str]) -> Command {
    let mut command = place.command(args);
    for name in ["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_RESOURCE_ATTRIBUTES"] {
        command.env_remove(name);
    }
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url).env("OTEL_SERVICE_NAME", "reels");
    command
}

const MIXED: &str = r#"
[secrets]
token = { env = "TOKEN" }
[nodes.list]
stage = "value"
with = { value = ["a", "b"] }
outputs = { list = "list<string>" }
[nodes.say]
stage = "command"
for_each = "list.list"
key = "{{ item }}"
with = { argv = ["echo", "{{ item }}"] }
outputs = { said = "string" }
[nodes.shaky]
stage = "command"
retry = { attempts = 2, base = "1ms", jitter = false, on = ["exit:*"] }
with = { shell = "echo $TOKEN >&2; exit 3", env = { TOKEN = "{{ secrets.token }}" } }
[nodes.never]
stage = "noop"
when = "false"
"#;

#[test]
fn a_run_arrives_as_a_tree_of_run_nodes_and_attempts() {
    let place = Place::with(MIXED);
    let server = Server::start(Collector(Vec::new()));
    let mut first = with_collector(&place, &server.url(), &["run", "flow.toml", "--run-id", "one"]);
    first.env("TOKEN", "hush-hush-hush");
    place.finish(first).exits(1);
    let spans = spans(&server);
    let mut text = String::new();
    tree(&spans, "", 0, &mut text);
    assert_snapshot!(text, @r#"
    RUN test error: the run failed
      . cicd.pipeline.action.name = RUN
      . cicd.pipeline.name = test
      . cicd.pipeline.result = failure
      . cicd.pipeline.run.id = one
      . flow.resumed = false
      . flow.run.status = failed
      list ok
        . cicd.pipeline.task.name = list
        . cicd.pipeline.task.run.result = success
        . flow.stage = value
        list attempt ok
          . cicd.pipeline.task.name = list
          . cicd.pipeline.task.run.id = one/list/1
          . cicd.pipeline.task.run.result = success
          . flow.attempt = 1
      never
        . cicd.pipeline.task.name = never
        . cicd.pipeline.task.run.result = skip
        . flow.skipped = `when` is false: false
        . flow.stage = noop
      say ok
        . cicd.pipeline.task.name = say
        . cicd.pipeline.task.run.result = success
        . flow.items.left_out = 0
        . flow.items.succeeded = 2
        . flow.stage = command
        say attempt ok
          . cicd.pipeline.task.name = say
          . cicd.pipeline.task.run.id = one/say[a]/1
          . cicd.pipeline.task.run.result = success
          . flow.attempt = 1
          . flow.item.index = 0
          . flow.item.key = a
        say attempt ok
          . cicd.pipeline.task.name = say
          . cicd.pipeline.task.run.id = one/say[b]/1
          . cicd.pipeline.task.run.result = success
          . flow.attempt = 1
          . flow.item.index = 1
          . flow.item.key = b
      shaky error: process: `/bin/sh` ended with exit code 3
        . cicd.pipeline.task.name = shaky
        . cicd.pipeline.task.run.result = failure
        . error.type = process
        . flow.error.code = E0204
        . flow.stage = command
        . process.exit.code = 3
        - retry_scheduled {"flow.delay_ms": "1"}
        - exception {"exception.message": "`/bin/sh` ended with exit code 3", "exception.type": "process"}
        shaky attempt error: process: `/bin/sh` ended with exit code 3
          . cicd.pipeline.task.name = shaky
          . cicd.pipeline.task.run.id = one/shaky/1
          . cicd.pipeline.task.run.result = failure
          . error.type = process
          . flow.attempt = 1
          . flow.error.code = E0204
          . process.exit.code = 3
          - exception {"exception.message": "`/bin/sh` ended with exit code 3", "exception.type": "process"}
        shaky attempt error: process: `/bin/sh` ended with exit code 3
          . cicd.pipeline.task.name = shaky
          . cicd.pipeline.task.run.id = one/shaky/2
          . cicd.pipeline.task.run.result = failure
          . error.type = process
          . flow.attempt = 2
          . flow.error.code = E0204
          . process.exit.code = 3
          - exception {"exception.message": "`/bin/sh` ended with exit code 3", "exception.type": "process"}
    "#);
    assert!(spans.iter().all(|span| span.trace == spans[0].trace));
    let asked = server.ledger();
    let resource = Message::read(&asked[0].body).one(1).one(1).attributes(1);
    assert_eq!(resource["service.name"], "reels");
    assert!(asked.iter().all(|asked| {
        let sent = String::from_utf8_lossy(&asked.body);
        asked.header("content-type") == Some("application/x-protobuf")
            && !sent.contains("hush-hush")
    }));
}

#[test]
fn a_resumed_run_is_in_the_same_trace_and_links_to_its_beginning() {
    let place = Place::with(
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"test\", \"-e\", \"{{ workflow.dir }}/ready\"] }\n",
    );
    let server = Server::start(Collector(Vec::new()));
    let failed = traced(&place, &server, &["run", "flow.toml", "--json"]).exits(1);
    let run = failed.lines()[0]["run"].as_str().unwrap().to_owned();
    place.write("ready", "");
    traced(&place, &server, &["resume", &run]).exits(0);
    let spans = spans(&server);
    let runs: Vec<&Span> = spans.iter().filter(|span| span.name == "RUN test").collect();
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|span| span.parent.is_empty() && span.trace == run.replace('-', "")));
    assert_eq!((runs[0].status, runs[1].status), (2, 1));
    assert_eq!(
        (runs[0].get("flow.run.status"), runs[1].get("flow.run.status")),
        ("failed", "succeeded")
    );
    assert_eq!(runs[1].links, [runs[0].id.clone()]);
    let ids: std::collections::BTreeSet<&String> = spans.iter().map(|span| &span.id).collect();
    assert_eq!(ids.len(), spans.len());
}

#[test]
fn an_interrupted_run_ends_its_spans_as_cancelled() {
    let place = Place::with(
        "[nodes.a]\nstage = \"command\"\nwith = { shell = \"echo > $FLOW_WORKFLOW_DIR/begun; sleep 600\" }\n",
    );
    let server = Server::start(Collector(Vec::new()));
    let mut child =
        with_collector(&place, &server.url(), &["run", "flow.toml", "-q"]).spawn().unwrap();
    place.wait_for("begun");
    super::harness::send(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let spans = spans(&server);
    assert_eq!(only(&spans, "RUN test").get("flow.run.status"), "interrupted");
    assert_eq!(only(&spans, "RUN test").get("cicd.pipeline.result"), "cancellation");
    assert_eq!(only(&spans, "a").get("cicd.pipeline.task.run.result"), "cancellation");
    assert_eq!(only(&spans, "a attempt").get("cicd.pipeline.task.run.result"), "cancellation");
}

#[test]
fn more_spans_than_one_message_takes_all_arrive() {
    let nodes: String = (0..800).map(|n| format!("[nodes.n{n}]\nstage = \"noop\"\n")).collect();
    let place = Place::with(&nodes);
    let server = Server::start(Collector(Vec::new()));
    let done = traced(&place, &server, &["run", "flow.toml", "-q"]).exits(0);
    assert!(!done.stderr.contains("traces"), "{done}");
    assert_eq!(spans(&server).len(), 1 + 2 * 800);
    assert!(server.ledger().len() > 1);
}

/// Runs two nodes with this collector, which must cost nothing and be told once.
fn is_told_once(url: &str, says: &str) {
    let place = Place::with("[nodes.a]\nstage = \"noop\"\n[nodes.b]\nstage = \"noop\"\n");
    let mut command = with_collector(&place, url, &["run", "flow.toml"]);
    command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "300").env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1");
    let done = place.finish(command).exits(0);
    let told: Vec<&str> = done.stderr.lines().filter(|line| line.contains("traces")).collect();
    assert_eq!(told.len(), 1, "{done}");
    assert!(told[0].contains(says), "{says}: {done}");
    assert_eq!(place.show("latest")["status"], "succeeded");
}

#[test]
fn a_collector_that_is_down_slow_or_lies_is_told_once_and_costs_nothing() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    is_told_once(&format!("http://{nobody}"), "refused");
    is_told_once("nowhere", "OTEL_EXPORTER_OTLP_ENDPOINT cannot be used");
    let troubles = [
        (Trouble::Silence(60_000), "no answer within 300 ms"),
        (Trouble::Reset, "does not reach"),
        (Trouble::Html, "as no collector of traces does"),
        (Trouble::Status(503), "it answers 503"),
        (Trouble::TooMany(3600), "it answers 429"),
        (Trouble::ShortBody, "does not reach"),
    ];
    for (trouble, says) in troubles {
        let server = Server::start(Collector(Vec::new()));
        server.order(vec![Some(trouble); 20]);
        let says =
            if says == "does not reach" { "traces do not reach the collector" } else { says };
        is_told_once(&server.url(), says);
    }
    // Field 1: rejected_spans = 2, error_message = "no".
    let refuses = Server::start(Collector(vec![0x0a, 6, 0x08, 2, 0x12, 2, b'n', b'o']));
    is_told_once(&refuses.url(), "it refused 2 spans and said \"no\"");
    let endless = Server::start(Collector(vec![0; 200_000]));
    is_told_once(&endless.url(), "too long");
}

#[test]
fn nothing_is_sent_where_no_collector_is_named_or_traces_are_switched_off() {
    let place = Place::with("[nodes.a]\nstage = \"noop\"\n");
    let server = Server::start(Collector(Vec::new()));
    for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let mut command = with_collector(&place, &server.url(), &["run", "flow.toml"]);
        command.env(name, value);
        place.finish(command).exits(0);
    }
    let mut command = with_collector(&place, &server.url(), &["run", "flow.toml"]);
    command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
    place.finish(command).exits(0);
    assert_eq!(server.ledger().len(), 0);
}

#[test]
fn the_program_says_that_it_can_send_traces() {
    let place = Place::new();
    let done = place.flow(&["--version"]).exits(0);
    assert_eq!(done.stdout.lines().nth(1), Some("features: otel"));
    let mut doctor = place.command(&["doctor", "--json"]);
    doctor.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    let report = place.finish(doctor).json();
    let checks = report["checks"].as_array().unwrap();
    let traces = checks.iter().find(|check| check["about"] == "traces").unwrap();
    assert_eq!(traces["message"], "go where OTEL_EXPORTER_OTLP_ENDPOINT says");
}
