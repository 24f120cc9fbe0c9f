//! Events as JSON Lines on stdout.

use std::sync::Arc;

use flow_core::id::RunId;
use flow_core::payload::PayloadRef;
use flow_core::run::Recorded;
use flow_core::run::event::TaskRef;
use flow_core::store::Store;
use flow_runtime::{Observer, Passing};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Results;
use super::view::value_of;
use crate::session::Verbosity;

/// Writes one object per event, handed over whenever nothing more is waiting.
pub(crate) struct JsonReporter {
    pub(crate) run: RunId,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) out: Arc<Results>,
    pub(crate) verbosity: Verbosity,
}

/// The object of an event; `None` for internal ones.
pub(crate) fn event(run: &RunId, store: &dyn Store, recorded: &Recorded) -> Option<Value> {
    let value = |payload: &PayloadRef| value_of(store, run, payload);
    recorded.to_public_json(run, &value)
}

/// The object of output of a program.
pub(crate) fn log(run: &RunId, task: &TaskRef, attempt: u32, stream: &str, text: &str) -> Value {
    passing(run, "log", Some(task), json!({ "attempt": attempt, "stream": stream, "text": text }))
}

fn passing(run: &RunId, event: &str, task: Option<&TaskRef>, rest: Value) -> Value {
    let mut object = json!({
        "ts": Timestamp::now().to_string(),
        "run": run,
        "event": event,
        "node": task.map(|task| &task.node),
        "item": task.and_then(|task| task.item.as_ref()).map(|item| &item.key),
    });
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
    }
    object
}

impl Observer for JsonReporter {
    fn event(&mut self, recorded: &Recorded) {
        if let Some(line) = event(&self.run, self.store.as_ref(), recorded) {
            self.out.line(&line.to_string());
        }
    }

    fn passing(&mut self, news: &Passing) {
        if self.verbosity < Verbosity::Verbose {
            return;
        }
        let line = match news {
            Passing::Progress { task, attempt, progress } => {
                let mut rest = json!(progress);
                rest["attempt"] = json!(attempt);
                passing(&self.run, "progress", Some(task), rest)
            }
            Passing::Log { task, attempt, stream, bytes } => {
                let text = String::from_utf8_lossy(bytes);
                let stream = json!(stream);
                log(&self.run, task, *attempt, stream.as_str().unwrap_or_default(), &text)
            }
            // What waits is told by its events.
            Passing::Queue { .. } => return,
            Passing::Note { task, message } => {
                let rest = json!({ "stream": "engine", "text": message });
                passing(&self.run, "log", task.as_ref(), rest)
            }
        };
        self.out.line(&line.to_string());
    }

    fn idle(&mut self) {
        self.out.flush();
    }
}
