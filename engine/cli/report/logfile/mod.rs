//! The log files of a store: `logs/pipeline.log` has everything, `logs/errors.log` every failure
//! with its causes. One JSON object a line, each with the run, node, item and attempt that it is
//! about, so that the lines of jobs side by side can be told apart, and a check, so that `flow verify`
//! finds a line that was changed.

mod rotating;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use flow_core::error::StageError;
use flow_core::id::RunId;
use flow_core::run::Recorded;
use flow_core::run::event::{Event, TaskRef};
use flow_runtime::{Observer, Passing, Secrets};
use flow_store::sealed_line;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::rotating::{LONGEST, Rotating};
use super::human::{in_short, passes};
use super::tell;

/// The two files, open for appending. Lines of many processes may interleave, never their parts:
/// whole lines are written in one call each.
#[derive(Debug)]
pub(crate) struct LogFiles {
    pipeline: Rotating,
    errors: Rotating,
    secrets: Arc<Secrets>,
    /// Whether it was told that a file cannot be written.
    told: bool,
}

impl LogFiles {
    /// Opens the files in `dir`, which is made if it is not there.
    pub(crate) fn open(dir: &Path, secrets: Arc<Secrets>) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let open = |name| Rotating::open(dir.join(name), LONGEST);
        let (pipeline, errors) = (open("pipeline.log")?, open("errors.log")?);
        Ok(Self { pipeline, errors, secrets, told: false })
    }

    fn write(&mut self, all: &[u8], errors: &[u8]) {
        let mut written = self.pipeline.write(all);
        if !errors.is_empty() {
            written = written.and(self.errors.write(errors));
        }
        // A log that cannot be written must not stop a run: the journal has every fact.
        if let Err(error) = written
            && !std::mem::replace(&mut self.told, true)
        {
            tell(&format!("warning: the log files cannot be written: {error}\n"));
        }
    }
}

/// The log files, shared between the observer and the engine's own words.
pub(crate) type SharedLog = Arc<Mutex<LogFiles>>;

/// The longest text in a line, in bytes.
const LONGEST_TEXT: usize = 64 * 1024;

/// Cuts every text in a line that is too long: the journal has the whole of it.
fn bound(line: &mut Value) {
    match line {
        Value::String(text) if text.len() > LONGEST_TEXT => {
            let end = text.floor_char_boundary(LONGEST_TEXT);
            let rest = text.len() - end;
            text.truncate(end);
            text.push_str(&format!("… ({rest} more bytes)"));
        }
        Value::Array(list) => list.iter_mut().for_each(bound),
        Value::Object(map) => map.values_mut().for_each(bound),
        _ => {}
    }
}

/// A line with its texts cut. It is masked before: half a secret would not be found.
fn bounded(line: String) -> String {
    if line.len() <= LONGEST_TEXT {
        return line;
    }
    match serde_json::from_str(&line) {
        Ok(mut value) => {
            bound(&mut value);
            value.to_string()
        }
        Err(_) => line,
    }
}

/// Writes one line at once.
pub(crate) fn write_line(log: &SharedLog, line: &Value, is_error: bool) {
    let mut files = log.lock().unwrap_or_else(PoisonError::into_inner);
    // The engine's own words may quote anything; events were masked before they were recorded.
    let masked = files.secrets.mask(&line.to_string()).into_owned();
    let line = sealed_line(&bounded(masked));
    let errors = if is_error { line.as_bytes() } else { &[] };
    files.write(line.as_bytes(), errors);
}

/// Logs the events of a run.
pub(crate) struct LogReporter {
    run: RunId,
    log: SharedLog,
    all: Vec<u8>,
    errors: Vec<u8>,
}

impl LogReporter {
    pub(crate) fn new(run: RunId, log: SharedLog) -> Self {
        Self { run, log, all: Vec::new(), errors: Vec::new() }
    }

    fn add(&mut self, line: Map<String, Value>, is_error: bool) {
        let mut line = Value::Object(line);
        bound(&mut line);
        let line = sealed_line(&line.to_string());
        self.all.extend_from_slice(line.as_bytes());
        if is_error {
            self.errors.extend_from_slice(line.as_bytes());
        }
    }

    /// What the failure happened in, outermost first.
    fn spans(&self, event: &Event, attempt: Option<u32>) -> Value {
        let mut spans = vec![json!({"name": "run", "run_id": self.run})];
        let item = event.task().and_then(|task| task.item.as_ref()).map(|item| &item.key);
        spans.extend(event.node().map(|node| json!({"name": "node", "node": node, "item": item})));
        spans.extend(attempt.map(|attempt| json!({"name": "attempt", "attempt": attempt})));
        Value::Array(spans)
    }

    fn head(
        &self,
        at: Timestamp,
        level: &str,
        task: Option<&TaskRef>,
        node: Option<&str>,
    ) -> Map<String, Value> {
        let head = json!({
            "ts": at.to_string(),
            "level": level,
            "target": "flow",
            "run_id": self.run,
            "node": node.or(task.map(|task| &*task.node)),
            "item": task.and_then(|task| task.item.as_ref()).map(|item| &item.key),
        });
        match head {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

impl Observer for LogReporter {
    fn event(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        let Some(name) = event.name() else { return };
        let told = Told::of(event);
        let mut line = self.head(recorded.ts, told.level, event.task(), event.node());
        line.insert("attempt".into(), json!(told.attempt));
        line.insert("event".into(), json!(name));
        line.insert("message".into(), json!(told.message));
        if let Some(ms) = told.duration_ms {
            line.insert("duration_ms".into(), json!(ms));
        }
        if let Some(error) = told.error {
            line.insert("error".into(), json!(error));
            line.insert("spans".into(), self.spans(event, told.attempt));
        }
        self.add(line, told.error.is_some());
    }

    fn passing(&mut self, passing: &Passing) {
        if let Passing::Note { task, message } = passing {
            let mut line = self.head(Timestamp::now(), "WARN", task.as_ref(), None);
            line.insert("attempt".into(), Value::Null);
            line.insert("event".into(), json!("log"));
            line.insert("message".into(), json!(message));
            self.add(line, false);
        }
    }

    fn idle(&mut self) {
        if self.all.is_empty() {
            return;
        }
        self.log.lock().unwrap_or_else(PoisonError::into_inner).write(&self.all, &self.errors);
        self.all.clear();
        self.errors.clear();
    }
}

/// What a line says of an event.
struct Told<'a> {
    level: &'static str,
    message: String,
    attempt: Option<u32>,
    duration_ms: Option<u64>,
    error: Option<&'a StageError>,
}

impl<'a> Told<'a> {
    fn of(event: &'a Event) -> Self {
        let told = |level, message: String| Self {
            level,
            message,
            attempt: None,
            duration_ms: None,
            error: None,
        };
        match event {
            Event::RunStarted { workflow, .. } => {
                told("INFO", format!("run of workflow {workflow} started"))
            }
            Event::RunResumed { notes, .. } => told(
                "INFO",
                ["run resumed".to_owned()]
                    .into_iter()
                    .chain(notes.clone())
                    .collect::<Vec<_>>()
                    .join("; "),
            ),
            Event::RunInterrupted { signal } => {
                told("WARN", format!("run interrupted by {signal}"))
            }
            Event::RunFinished { status } => {
                let status = json!(status);
                told("INFO", format!("run {}", status.as_str().unwrap_or_default()))
            }
            Event::ItemsResolved { .. }
            | Event::ProcessStarted { .. }
            | Event::OutputKept { .. }
            | Event::Remembered { .. }
            | Event::EffectSettled { .. }
            | Event::Invalidated { .. }
            | Event::OutputsLost { .. } => told("DEBUG", String::new()),
            Event::CacheHit { from, .. } => told("INFO", format!("cache hit: run {from}")),
            Event::CacheMiss { .. } => told("INFO", "cache miss".to_owned()),
            Event::CallRetried { attempt, retry, .. } => Self {
                attempt: Some(*attempt),
                error: Some(&retry.error),
                ..told(
                    "WARN",
                    format!(
                        "{}: {}; call {} follows in {} ms",
                        retry.provider,
                        in_short(&retry.error),
                        retry.call,
                        retry.delay_ms
                    ),
                )
            },
            Event::PassedOver { attempt, fallback, .. } => Self {
                attempt: Some(*attempt),
                error: fallback.reason.error(),
                ..told("WARN", passes(fallback))
            },
            Event::FellBack { from, to, error, .. } => Self {
                error: Some(error),
                ..told("WARN", format!("{to} takes the place of {from}: {}", in_short(error)))
            },
            Event::Waiting { wait, .. } => told(
                "INFO",
                match (&wait.question, wait.until) {
                    (Some(question), _) => format!("waits for an answer: {}", question.message),
                    (None, Some(until)) => format!("waits until {until}"),
                    (None, None) => "waits".to_owned(),
                },
            ),
            Event::Unknown { attempt, error, .. } => Self {
                attempt: Some(*attempt),
                error: Some(error),
                ..told("ERROR", format!("it may have happened: {}", in_short(error)))
            },
            Event::AttemptStarted { attempt, .. } => Self {
                attempt: Some(*attempt),
                ..told("INFO", format!("attempt {attempt} started"))
            },
            Event::AttemptFailed { attempt, error, .. } => Self {
                attempt: Some(*attempt),
                error: Some(error),
                ..told("WARN", format!("attempt {attempt} failed: {}", in_short(error)))
            },
            Event::RetryScheduled { attempt, delay_ms, .. } => Self {
                attempt: Some(*attempt),
                ..told("INFO", format!("attempt {attempt} follows in {delay_ms} ms"))
            },
            Event::Succeeded { attempt, duration_ms, .. } => Self {
                attempt: Some(*attempt),
                duration_ms: Some(*duration_ms),
                ..told("INFO", format!("succeeded in {duration_ms} ms"))
            },
            Event::Reused { from, .. } => told("INFO", format!("reused from {from}")),
            Event::Failed { attempt, error, .. } => Self {
                attempt: Some(*attempt),
                error: Some(error),
                ..told("ERROR", format!("failed: {}", in_short(error)))
            },
            Event::Skipped { reason, .. } | Event::NodeSkipped { reason, .. } => {
                told("INFO", format!("skipped: {reason}"))
            }
            Event::Cancelled { attempt, .. } => {
                Self { attempt: Some(*attempt), ..told("WARN", "cancelled".to_owned()) }
            }
            Event::NodeGathered { succeeded, left_out, .. } => {
                told("INFO", format!("{succeeded} items succeeded, {left_out} left out"))
            }
            Event::NodeFailed { error, .. } => {
                Self { error: Some(error), ..told("ERROR", format!("failed: {}", in_short(error))) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_megabyte_is_cut_at_a_character_and_says_so() {
        let mut line = json!({"message": "é".repeat(500_000), "error": {"causes": ["short"]}});
        bound(&mut line);
        let text = line["message"].as_str().unwrap_or_default();
        assert!(text.len() < LONGEST_TEXT + 50 && text.ends_with("é… (934464 more bytes)"));
        assert_eq!(line["error"]["causes"][0], "short");
    }
}
