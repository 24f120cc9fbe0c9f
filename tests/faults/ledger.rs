//! What the programs have noted, and what the engine has told.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) kind: Kind,
    pub(crate) task: String,
    pub(crate) attempt: u64,
    /// The idempotency key of the attempt.
    pub(crate) key: String,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Start,
    End,
    /// The program acted on the world.
    Act,
    /// Another attempt of the same task was alive.
    Overlap,
    /// A probe has looked.
    Probe,
}

/// Reads a ledger; a line that was not finished has not been written.
pub(crate) fn read(path: &Path) -> Vec<Note> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| note(line).unwrap_or_else(|| panic!("a line of the ledger: {line}")))
        .collect()
}

/// The lines of a ledger that were written before a time.
pub(crate) fn before(text: &str, time: u64) -> String {
    let is_before = |line: &&str| {
        line.split(' ').nth(4).and_then(|word| word.parse().ok()).is_some_and(|at: u64| at < time)
    };
    text.lines().filter(is_before).map(|line| format!("{line}\n")).collect()
}

fn note(line: &str) -> Option<Note> {
    let words: Vec<&str> = line.split(' ').collect();
    let [kind, task, attempt, _pid, _time, key] = words[..] else { return None };
    let kind = match kind {
        "S" => Kind::Start,
        "E" => Kind::End,
        "W" => Kind::Act,
        "O" => Kind::Overlap,
        "P" => Kind::Probe,
        _ => return None,
    };
    let (task, key) = (task.to_owned(), key.to_owned());
    Some(Note { kind, task, attempt: attempt.parse().ok()?, key })
}

/// A result: the digests of its ports.
pub(crate) type Outputs = BTreeMap<String, String>;

/// That a task was told to have succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) task: String,
    pub(crate) attempt: u64,
    pub(crate) outputs: Outputs,
}

/// The result that a line tells of.
pub(crate) fn told_in(line: &str) -> Option<Told> {
    told_by(&serde_json::from_str(line).ok()?)
}

/// The results in the complete lines that an invocation has printed.
pub(crate) fn told(stdout: &str) -> Vec<Told> {
    let complete = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
    complete.lines().filter_map(told_in).collect()
}

fn told_by(event: &Value) -> Option<Told> {
    let name = event["event"].as_str()?;
    let is_result =
        matches!(name, "node_succeeded" | "item_succeeded") && event["attempt"].is_u64();
    is_result.then(|| Told {
        task: task(event["node"].as_str().unwrap_or(""), event["item"].as_str()),
        attempt: event["attempt"].as_u64().unwrap_or(0),
        outputs: digests(&event["outputs"]),
    })
}

/// The name of a task, as the programs note it.
pub(crate) fn task(node: &str, item: Option<&str>) -> String {
    item.map_or_else(|| node.to_owned(), |item| format!("{node}[{item}]"))
}

/// The digests of outputs by port.
pub(crate) fn digests(outputs: &Value) -> Outputs {
    let ports = outputs.as_object().into_iter().flatten();
    ports
        .map(|(port, payload)| (port.clone(), payload["digest"].as_str().unwrap_or("").to_owned()))
        .collect()
}

/// What `flow show` says of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) status: String,
    pub(crate) attempts: u64,
    pub(crate) outputs: Outputs,
}

/// All tasks of `flow show RUN --json`.
pub(crate) fn shown(show: &Value) -> BTreeMap<String, Shown> {
    let mut tasks = BTreeMap::new();
    for node in show["nodes"].as_array().into_iter().flatten() {
        let name = node["id"].as_str().unwrap_or("");
        let items = node["items"].as_array().map_or(&[][..], Vec::as_slice);
        if items.is_empty() {
            tasks.insert(task(name, None), one(node));
        }
        for item in items {
            tasks.insert(task(name, item["key"].as_str()), one(item));
        }
    }
    tasks
}

fn one(value: &Value) -> Shown {
    Shown {
        status: value["status"].as_str().unwrap_or("").to_owned(),
        attempts: value["attempts"].as_u64().unwrap_or(0),
        outputs: digests(&value["outputs"]),
    }
}
