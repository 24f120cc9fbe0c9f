//! `flow rerun`: runs one stage again with its recorded inputs, beside the run.

use std::sync::Arc;

use flow_core::id::TaskId;
use flow_core::payload::PayloadRef;
use flow_core::run::RunState;
use flow_core::run::event::{Outputs, outputs_json};
use flow_core::stage::CancelReason;
use flow_core::store::{InlinePayload, Store};
use flow_runtime::{Trial, TrialResult};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::drive::runtime;
use super::signals::Signals;
use crate::args::RerunArgs;
use crate::bug;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::prepare;
use crate::report::human::name;
use crate::report::text::{bytes, clean, duration};
use crate::report::view::value_of;
use crate::report::{failure_block, tell};
use crate::session::{Session, find_run};
use crate::target;

pub(crate) fn run(args: &RerunArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    let target = target::node(&history.state, &args.node)?;
    // Nobody may take the run up meanwhile: this attempt uses its folders. Refused while it is held.
    let lock = store.open_run(&run)?;
    let task = target::task(&history.state, target)?;
    check_inputs(&history.state, task, env, run.as_str())?;
    let missing =
        prepare::missing(history.state.graph(), env.store_place().as_deref(), |id| id == task.node);
    if !missing.is_empty() {
        return Err(Failure::Missing(missing));
    }
    bug::during(run.as_str());
    let shared: Arc<dyn Store> = store.clone();
    let (result, signal) = try_it(&history, &shared, task)?;
    drop(lock);
    let report = Report { env, store: store.as_ref(), history: &history, task, result };
    if env.json {
        env.out.line(&report.object().to_string());
    } else {
        tell(&report.text());
    }
    Ok(match (signal, &report.result.outcome) {
        (Some(signal), _) => Exit::interrupted(signal),
        (None, Trial::Failed(_)) => Exit::FAILED,
        (None, Trial::Succeeded { .. } | Trial::Skipped { .. }) => Exit::SUCCEEDED,
    })
}

/// Refuses a task whose inputs are not there.
fn check_inputs(state: &RunState, task: TaskId, env: &Session, run: &str) -> Result<(), Failure> {
    let node = state.graph().node(task.node);
    let present = |producer, take| state.is_present(producer, take, task.item);
    let item = node.fan.as_ref().map(|fan| &fan.item);
    let sources = node.inputs.iter().filter(|i| !i.ty.is_optional()).map(|i| &i.source);
    if sources.chain(item).all(|source| source.is_satisfied(&present)) {
        return Ok(());
    }
    let name = name(&state.task_ref(task));
    Err(Failure::state(
        format!("`{name}` cannot run yet: what it takes as input is not there"),
        format!("go on with the run first: {}", env.command(&["resume", run])),
    ))
}

/// Runs the attempt; signals stop it. The first of them is returned.
fn try_it(
    history: &History,
    store: &Arc<dyn Store>,
    task: TaskId,
) -> Result<(TrialResult, Option<&'static str>), Failure> {
    let runtime = runtime()?;
    let (sender, cancel) = watch::channel(None);
    let done = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let trial = flow_runtime::try_once(
            Arc::clone(store),
            history.run(),
            &history.manifest,
            &history.state,
            task,
            cancel,
        );
        tokio::pin!(trial);
        let mut first = None;
        loop {
            tokio::select! {
                result = &mut trial => return Ok((result, first)),
                signal = signals.next() => {
                    let reason = match first {
                        None => CancelReason::Interrupted,
                        Some(_) => CancelReason::Killed,
                    };
                    sender.send_replace(Some(reason));
                    first = first.or(Some(signal));
                }
            }
        }
    });
    runtime.shutdown_background();
    done
}

/// What came of it, beside what the run recorded.
struct Report<'a> {
    env: &'a Session,
    store: &'a dyn Store,
    history: &'a History,
    task: TaskId,
    result: TrialResult,
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
    fn is_same(&self) -> bool {
        let (new, _) = self.made();
        let digests = |outputs: &Outputs| -> Vec<(String, flow_core::digest::Digest)> {
            outputs.iter().map(|(port, payload)| (port.clone(), payload.digest)).collect()
        };
        let succeeded = matches!(self.result.outcome, Trial::Succeeded { .. });
        let recorded = self.history.state.done(self.task);
        succeeded && recorded.is_some_and(|done| digests(&done.outputs) == digests(&new))
    }

    fn object(&self) -> Value {
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
        let (new, inline) = self.made();
        let recorded =
            outputs_json(&self.recorded(), &|payload| value_of(self.store, run, payload));
        let new = outputs_json(&new, &|payload: &PayloadRef| {
            let found = inline.iter().find(|(digest, _)| *digest == payload.digest);
            found.and_then(|(_, bytes)| serde_json::from_slice(bytes).ok())
        });
        let mut ports = Map::new();
        for port in &self.history.state.graph().node(self.task.node).outputs {
            let one = json!({ "recorded": recorded.get(&port.name), "new": new.get(&port.name) });
            ports.insert(port.name.clone(), one);
        }
        Value::Object(ports)
    }

    fn text(&self) -> String {
        let paint = self.env.stderr;
        let name = name(&self.history.state.task_ref(self.task));
        let attempt = self.result.attempt;
        match &self.result.outcome {
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
        }
    }

    fn comparison(&self) -> String {
        let paint = self.env.stderr;
        let (recorded, (new, _)) = (self.recorded(), self.made());
        if self.history.state.done(self.task).is_none() {
            return "  the run has no result of it; `flow resume` would make one\n".to_owned();
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
        }
        out.push_str(&paint.dim("  the run keeps its recorded result"));
        out.push('\n');
        out
    }
}
