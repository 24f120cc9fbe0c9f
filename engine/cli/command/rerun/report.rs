//! How the outcome of a trial is told, beside what the run recorded.

use flow_core::id::TaskId;
use flow_core::payload::PayloadRef;
use flow_core::run::event::Outputs;
use flow_core::run::line::outputs_json;
use flow_core::store::{InlinePayload, Store};
use flow_runtime::{Trial, TrialResult};
use serde_json::{Map, Value, json};

use crate::args::RerunArgs;
use crate::compare::Desk;
use crate::history::History;
use crate::report::failure_block;
use crate::report::human::name;
use crate::report::text::{bytes, clean, duration};
use crate::report::view::value_of;
use crate::session::Session;

/// So many differences of one payload are told.
const DIFFERENCES_MAX: usize = 5;

/// Larger payloads are compared by digest alone.
const COMPARED_MAX: u64 = 16 << 20;

/// What came of it, beside what the run recorded.
pub(super) struct Report<'a> {
    pub(super) env: &'a Session,
    pub(super) store: &'a dyn Store,
    pub(super) history: &'a History,
    /// The task, as the run knows it.
    pub(super) task: TaskId,
    pub(super) result: TrialResult,
    pub(super) args: &'a RerunArgs,
}

impl Report<'_> {
    fn recorded(&self) -> Outputs {
        self.history.state.done(self.task).map(|done| done.outputs.clone()).unwrap_or_default()
    }

    /// New outputs and their values that no journal has.
    fn made(&self) -> (Outputs, &[InlinePayload]) {
        match &self.result.outcome {
            Trial::Succeeded { outputs, payloads, .. } => (outputs.clone(), payloads),
            Trial::Skipped { .. } | Trial::Failed(_) => (Outputs::new(), &[]),
        }
    }

    /// Whether the same came out as before.
    pub(super) fn is_same(&self) -> bool {
        let (new, _) = self.made();
        let digests = |outputs: &Outputs| -> Vec<(String, flow_core::digest::Digest)> {
            outputs.iter().map(|(port, payload)| (port.clone(), payload.digest)).collect()
        };
        let succeeded = matches!(self.result.outcome, Trial::Succeeded { .. });
        let recorded = self.history.state.done(self.task);
        succeeded && recorded.is_some_and(|done| digests(&done.outputs) == digests(&new))
    }

    pub(super) fn object(&self) -> Value {
        let task = self.history.state.task_ref(self.task);
        let (status, error) = match &self.result.outcome {
            Trial::Succeeded { .. } => ("succeeded", None),
            Trial::Skipped { .. } => ("skipped", None),
            Trial::Failed(error) => ("failed", Some(error)),
        };
        json!({
            "run": self.history.run(),
            "node": task.node,
            "item": task.item.map(|item| item.key),
            "attempt": self.result.attempt,
            "status": status,
            "same": self.is_same(),
            "outputs": self.ports(),
            "error": error,
        })
    }

    /// Every port with its recorded and its new payload.
    fn ports(&self) -> Value {
        let run = self.history.run();
        let (new, _) = self.made();
        let recorded =
            outputs_json(&self.recorded(), &|payload| value_of(self.store, run, payload));
        let new = outputs_json(&new, &|payload| self.new_value(payload));
        let mut ports = Map::new();
        for port in &self.history.state.graph().node(self.task.node).outputs {
            let one = json!({ "recorded": recorded.get(&port.name), "new": new.get(&port.name) });
            ports.insert(port.name.clone(), one);
        }
        Value::Object(ports)
    }

    pub(super) fn text(&self) -> String {
        let paint = self.env.stderr;
        let name = name(&self.history.state.task_ref(self.task));
        let attempt = self.result.attempt;
        let mut text = match &self.result.outcome {
            Trial::Failed(error) => {
                let next = self.env.command(&["rerun", self.history.run().as_str(), &name]);
                failure_block::render(&name, error, Some(&next), paint)
            }
            Trial::Skipped { reason } => {
                format!("{} {name} skipped: {}\n", paint.dim("↷"), clean(reason))
            }
            Trial::Succeeded { duration_ms, .. } => {
                let took = duration(*duration_ms);
                let mut out = format!("{} {name} attempt {attempt}, {took}\n", paint.good("✔"));
                out.push_str(&self.comparison());
                out
            }
        };
        if let Some(folder) = &self.result.folder {
            text.push_str(&format!("  its scratch folder: {}\n", folder.display()));
        }
        text
    }

    fn comparison(&self) -> String {
        let paint = self.env.stderr;
        let (recorded, (new, _)) = (self.recorded(), self.made());
        let (fate, adopts) = match (self.args.adopt, self.history.state.done(self.task)) {
            (true, _) => ("the run takes this result for its own", true),
            (false, Some(_)) => ("the run keeps its recorded result", false),
            (false, None) => ("the run has no result of it; `flow resume` would make one", false),
        };
        if self.history.state.done(self.task).is_none() {
            return format!("  {fate}\n");
        }
        let mut out = String::new();
        for port in &self.history.state.graph().node(self.task.node).outputs {
            let line = match (recorded.get(&port.name), new.get(&port.name)) {
                (Some(old), Some(new)) if old.digest == new.digest => {
                    format!("{} {} ({})", paint.good("same   "), port.name, bytes(new.size))
                }
                (None, None) => format!("{} {} (absent)", paint.good("same   "), port.name),
                (old, new) => {
                    let side = |payload: Option<&PayloadRef>| {
                        payload.map_or("absent".to_owned(), |p| {
                            format!("{} ({})", p.digest.short(), bytes(p.size))
                        })
                    };
                    let (old, new) = (side(old), side(new));
                    format!("{} {}: {old} → {new}", paint.odd("differs"), port.name)
                }
            };
            out.push_str(&format!("  {line}\n"));
            out.push_str(&self.places(recorded.get(&port.name), new.get(&port.name)));
        }
        let fate = format!("  {fate}");
        out.push_str(&if adopts { fate } else { paint.dim(&fate) });
        out.push('\n');
        out
    }

    /// The first places at which two JSON payloads differ.
    fn places(&self, old: Option<&PayloadRef>, new: Option<&PayloadRef>) -> String {
        let (Some(old), Some(new)) = (old, new) else { return String::new() };
        let is_file = old.artifact.is_some() || new.artifact.is_some();
        if old.digest == new.digest || is_file || old.size.max(new.size) > COMPARED_MAX {
            return String::new();
        }
        let before = value_of(self.store, self.history.run(), old);
        let (Some(before), Some(after)) = (before, self.new_value(new)) else {
            return String::new();
        };
        let desk = Desk::new(self.env, self.store, DIFFERENCES_MAX);
        let lines = desk.values(&before, &after).lines;
        lines.iter().map(|line| format!("      {line}\n")).collect()
    }

    /// The value of a payload that the trial made.
    fn new_value(&self, payload: &PayloadRef) -> Option<Value> {
        let (_, inline) = self.made();
        match inline.iter().find(|(digest, _)| *digest == payload.digest) {
            Some((_, bytes)) => serde_json::from_slice(bytes).ok(),
            None => value_of(self.store, self.history.run(), payload),
        }
    }
}
