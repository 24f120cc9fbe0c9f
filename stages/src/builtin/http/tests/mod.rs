//! Requests to servers on loopback that answer well, badly, or not at all.

mod answers;
mod checks;
mod lost;
mod redirects;
mod requests;
mod server;
mod statuses;
mod tls;

use std::collections::BTreeMap;

use flow_core::error::StageError;
use flow_core::schema::Type;
use flow_core::stage::{Draft, Drafts, Job, OutputFrom, OutputSlot, Stage};
use serde_json::{Value, json};

use super::HttpStage;
use crate::process::testing::TestContext;
use crate::transport::Settings;

fn settings() -> Settings {
    // A proxy of the machine that tests run on has no part in them.
    Settings { proxies: false, ..Settings::default() }
}

fn slot(name: &str, ty: Type) -> OutputSlot {
    let from = OutputFrom::Default;
    OutputSlot { name: name.into(), ty, from, json_lines: false, path: None }
}

fn job(config: Value, body: Type) -> Job {
    let outputs = vec![
        slot("body", body),
        slot("status", Type::Integer),
        slot("headers", Type::Map(Box::new(Type::String))),
    ];
    Job { config, inputs: BTreeMap::new(), outputs, timeout: None, reserved: Vec::new() }
}

async fn run_with(settings: Settings, job: Job) -> Result<Drafts, StageError> {
    HttpStage::with(settings).run(&TestContext::new(), job).await
}

/// Runs a configuration and takes the body as a type.
async fn run_as(body: Type, config: Value) -> Result<Drafts, StageError> {
    run_with(settings(), job(config, body)).await
}

/// Runs a configuration and takes the body as JSON.
async fn run(config: Value) -> Result<Drafts, StageError> {
    run_as(Type::Json, config).await
}

/// Gets a URL.
async fn get(url: impl Into<String>) -> Result<Drafts, StageError> {
    run(json!({ "url": url.into() })).await
}

/// The value of an output.
fn value<'a>(drafts: &'a Drafts, port: &str) -> &'a Value {
    match drafts.get(port) {
        Some(Draft::Value(value)) => value,
        other => panic!("`{port}` is {other:?}"),
    }
}

/// What a failure says, with the ports of test servers replaced.
fn told(result: Result<Drafts, StageError>) -> String {
    let error = result.expect_err("it fails");
    let mut lines = vec![format!("{}: {error}", error.class.name())];
    lines.extend(error.causes.iter().map(|cause| format!("cause: {cause}")));
    lines.extend(error.hint.iter().map(|hint| format!("hint: {hint}")));
    let mut marks = Vec::new();
    if error.unsent {
        marks.push("unsent".to_owned());
    }
    marks.extend(error.http_status.map(|status| format!("status {status}")));
    marks.extend(error.retry_after_ms.map(|ms| format!("retry after {ms} ms")));
    marks.extend(error.request_id.iter().map(|id| format!("request id {id}")));
    marks.extend(error.port.iter().map(|port| format!("port {port}")));
    marks.extend(error.offset.map(|offset| format!("offset {offset}")));
    marks.extend(error.found.iter().map(|found| format!("found {found}")));
    if !marks.is_empty() {
        lines.push(marks.join(", "));
    }
    without_ports(&lines.join("\n"))
}

/// A text in which `:12345` is `:[port]`.
fn without_ports(text: &str) -> String {
    let mut shown = String::new();
    for (index, part) in text.split(':').enumerate() {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if index > 0 {
            shown.push(':');
        }
        shown.push_str(if index > 0 && digits >= 4 { "[port]" } else { &part[..digits] });
        shown.push_str(&part[digits..]);
    }
    shown
}
