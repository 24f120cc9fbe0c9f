//! Calls of services as people see them, and how they end when the run is told to stop.

use std::process::Child;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::harness::{Place, send, wait_until};
use super::services::balldontlie::BallDontLie;
use super::services::{Server, Trouble};

const SLATE: &str = r#"
[params]
services = { type = "json" }
[secrets]
key = { env = "BALLDONTLIE_API_KEY", optional = true }
[nodes.slate]
stage = "media.slate"
with = { sport = "nfl", date = "2025-12-28", providers = ["goatedbets", "balldontlie"], services = "{{ params.services }}", keys = { balldontlie = "{{ secrets.key }}" } }
"#;

/// A server with one game that answers the first request so.
fn server(trouble: Trouble) -> Server {
    let server = Server::start(BallDontLie { games: 1, ..BallDontLie::default() });
    server.order([Some(trouble)]);
    server
}

fn args(server: &Server, base: &str) -> Vec<String> {
    let services = json!({ "balldontlie": { "base_url": server.url(), "base": base, "max": base, "timeout": "10m" } });
    let services = format!("services={services}");
    ["run", "flow.toml", "--run-id", "one", "--param", &services].map(str::to_owned).into()
}

/// Starts the run with its events in the file `stdout`.
fn started(place: &Place, server: &Server, base: &str) -> Child {
    let args = args(server, base);
    let mut command = place.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let file = |name: &str| std::fs::File::create(place.path(name)).unwrap();
    command.arg("--json").env("BALLDONTLIE_API_KEY", "test-key");
    command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap()
}

fn event(place: &Place, name: &str) -> Value {
    let text = place.read("stdout");
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["event"] == name).unwrap()
}

/// That an attempt was told to stop, and that its call was ended by itself: one that has to be
/// dropped has the operation of its stage.
fn is_stopped(place: &Place) {
    let failed = event(place, "attempt_failed");
    let error = &failed["error"];
    assert_eq!((&error["class"], &error["provider"]), (&json!("cancelled"), &json!("balldontlie")));
    assert_ne!(error["operation"], "run stage media.slate");
    assert_eq!(failed["usage"], json!({ "calls": 1 }));
}

#[test]
fn a_call_that_is_made_again_and_a_provider_that_is_passed_over_are_told() {
    let place = Place::with(SLATE);
    let server = server(Trouble::Status(503));
    let args = args(&server, "1ms");
    let mut command = place.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("BALLDONTLIE_API_KEY", "test-key");
    let done = place.finish(command).exits(0);
    let told: Vec<&str> =
        done.stderr.lines().filter(|l| l.contains('⇢') || l.contains('↻')).collect();
    // That there is no key for a service is no news for a person; the log has it.
    assert_eq!(told.len(), 1, "{}", done.stderr);
    let after_name = |line: &str| line.split_once("slate").unwrap().1.trim().to_owned();
    assert_snapshot!(after_name(told[0]), @"balldontlie: http_5xx: balldontlie answered 503; call 2 in 0 ms");
    let log = place.read(".flow/logs/pipeline.log");
    assert!(log.contains("goatedbets has no key; balldontlie takes its place"), "{log}");
    assert!(log.contains("call 2 follows in "), "{log}");
    assert!(place.read(".flow/logs/errors.log").contains("\"provider\":\"balldontlie\""));
}

#[test]
fn a_run_that_is_cancelled_does_not_wait_for_an_answer() {
    let place = Place::with(SLATE);
    let server = server(Trouble::Silence(30_000));
    let mut run = started(&place, &server, "1ms");
    wait_until("the service is asked", || !server.ledger().is_empty());
    place.flow(&["cancel", "one"]).exits(0);
    run.wait().unwrap();
    assert_eq!(place.show("one")["status"], "cancelled");
    is_stopped(&place);
}

#[test]
fn a_run_that_is_cancelled_does_not_wait_for_the_next_try() {
    let place = Place::with(SLATE);
    let server = server(Trouble::Status(503));
    let mut run = started(&place, &server, "50s");
    wait_until("a call is to be made again", || place.read("stdout").contains("call_retried"));
    place.flow(&["cancel", "one"]).exits(0);
    run.wait().unwrap();
    assert_eq!(place.show("one")["status"], "cancelled");
    is_stopped(&place);
    assert_eq!(server.ledger().len(), 1);
}

#[test]
fn a_node_that_waits_for_the_next_try_ends_in_its_time_and_says_what_it_waited_for() {
    let place = Place::with(&format!("{SLATE}timeout = \"2s\"\nretry = {{ attempts = 1 }}\n"));
    let server = server(Trouble::Status(503));
    let mut run = started(&place, &server, "50s");
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let error = &event(&place, "attempt_failed")["error"];
    assert_eq!((&error["class"], &error["provider"]), (&json!("timeout"), &json!("balldontlie")));
    let cause = "call 2 was to follow, since balldontlie answered 503";
    assert!(error["causes"].to_string().contains(cause), "{error}");
    assert_eq!(server.ledger().len(), 1);
}

#[test]
fn a_signal_ends_the_wait_for_the_next_try_and_the_run_goes_on_later() {
    let place = Place::with(SLATE);
    let server = server(Trouble::Status(503));
    let mut run = started(&place, &server, "50s");
    wait_until("a call is to be made again", || place.read("stdout").contains("call_retried"));
    send(&run, "-INT");
    assert_eq!(run.wait().unwrap().code(), Some(130));
    is_stopped(&place);
    let mut resume = place.command(&["resume", "one"]);
    resume.env("BALLDONTLIE_API_KEY", "test-key");
    place.finish(resume).exits(0);
    let calls = server.ledger().len();
    assert_eq!(place.show("one")["usage"], json!({ "calls": calls }));
}

#[test]
fn a_provider_that_failed_and_the_one_in_its_place_stand_at_the_end_and_in_show() {
    let place =
        Place::with(&SLATE.replace("keys = { ", "keys = { goatedbets = \"{{ secrets.key }}\", "));
    let server = server(Trouble::Status(503));
    let at = json!({ "base_url": server.url(), "attempts": 1 });
    let services = format!("services={}", json!({ "goatedbets": at, "balldontlie": at }));
    let mut command = place.command(&["run", "flow.toml", "--run-id", "one", "--param", &services]);
    command.env("BALLDONTLIE_API_KEY", "test-key");
    let done = place.finish(command).exits(0);
    let line = |text: &str| text.lines().find(|line| line.contains("providers")).map(str::to_owned);
    let (end, show) = (line(&done.stderr), line(&place.flow(&["show", "one"]).exits(0).stdout));
    assert_snapshot!(end.unwrap(), @"providers     goatedbets failed (http_5xx), balldontlie took its place");
    assert_snapshot!(show.unwrap().trim(), @"providers goatedbets failed (http_5xx), balldontlie took its place");
}
