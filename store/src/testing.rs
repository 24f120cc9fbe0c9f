//! What the tests of several modules need.

use std::path::Path;
use std::sync::Arc;

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::payload::{Artifact, PayloadRef};
use flow_core::run::event::{Event, Outputs, Recorded, RunEnd, TaskRef};
use flow_core::store::{Adopt, InlinePayload, Journal, Store};
use jiff::Timestamp;

pub(crate) fn run_id(text: &str) -> RunId {
    RunId::new(text).expect("a run id")
}

pub(crate) fn payload(bytes: &[u8]) -> InlinePayload {
    (Digest::of(bytes), bytes.into())
}

pub(crate) fn json_ref(bytes: &[u8]) -> PayloadRef {
    PayloadRef::of_json("json".into(), bytes)
}

/// A record of event `n`: numbered, at a time that depends on `n` alone.
pub(crate) fn record(n: u64, event: Event) -> Recorded {
    let ts = Timestamp::new(1_700_000_000 + n.cast_signed(), 123_456_789).expect("a time");
    Recorded { seq: Some(n), ts, event }
}

/// Task `n` succeeded with one output.
pub(crate) fn succeeded(n: u64, output: &[u8]) -> Recorded {
    let outputs: Outputs = [("value".to_owned(), json_ref(output))].into();
    let event = Event::Succeeded {
        task: task(n),
        attempt: 1,
        key: key(n),
        outputs,
        duration_ms: n,
        warnings: Vec::new(),
        usage: flow_core::call::Usage::default(),
        provisional: false,
    };
    record(n, event)
}

pub(crate) fn task(n: u64) -> TaskRef {
    TaskRef::node(&format!("task-{n:05}"))
}

pub(crate) fn key(n: u64) -> Digest {
    Digest::of(&n.to_le_bytes())
}

pub(crate) fn started(n: u64) -> Recorded {
    record(n, Event::AttemptStarted { task: task(n), attempt: 1, key: key(n), intent: None })
}

pub(crate) fn finished(n: u64) -> Recorded {
    record(n, Event::RunFinished { status: RunEnd::Succeeded })
}

/// Appends the success of tasks `from..to`, each with its payload, and syncs.
pub(crate) fn succeed(journal: &mut dyn Journal, tasks: std::ops::Range<u64>) {
    for n in tasks {
        let bytes = output(n);
        journal.append(&[succeeded(n, &bytes)], &[payload(&bytes)]).expect("an append");
    }
    journal.syncer().sync().expect("a sync");
}

/// The output of task `n`.
pub(crate) fn output(n: u64) -> Vec<u8> {
    format!("{{\"n\":{n}}}").into_bytes()
}

pub(crate) fn artifact(store: &dyn Store, path: &Path) -> Artifact {
    let meta = std::fs::metadata(path).expect("a file or folder");
    let stored =
        if meta.is_dir() { store.put_dir(path) } else { store.put_file(path, Adopt::Copy) };
    let (digest, size) = stored.expect("it can be stored");
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let media_type = if meta.is_dir() { "inode/directory" } else { "text/plain" }.to_owned();
    Artifact { digest, name, size, media_type }
}

pub(crate) fn text(bytes: &Arc<[u8]>) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
