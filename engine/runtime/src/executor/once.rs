//! One attempt beside a run: the same steps with the recorded inputs, and nothing of it recorded.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::error::StageError;
use flow_core::id::{RunId, TaskId};
use flow_core::run::event::Outputs;
use flow_core::run::manifest::Manifest;
use flow_core::run::{Outcome, RunState};
use flow_core::stage::CancelReason;
use flow_core::store::{InlinePayload, Store};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::{Assignment, Line, LoadFault, Surroundings, execute_node, value_at};
use crate::wiring::wire;

/// What came of a trial.
#[derive(Debug)]
pub enum Trial {
    /// It made outputs.
    Succeeded {
        /// The outputs by port.
        outputs: Outputs,
        /// Their JSON where it is small; nothing refers to it but this.
        payloads: Vec<InlinePayload>,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// Its condition is false.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It failed.
    Failed(Box<StageError>),
}

/// A trial with the number it ran under.
#[derive(Debug)]
pub struct TrialResult {
    /// One more than the attempts of the run.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Trial,
}

/// Runs one task again with its recorded inputs, beside the run.
pub async fn try_once(
    store: Arc<dyn Store>,
    run: &RunId,
    manifest: &Manifest,
    state: &RunState,
    task: TaskId,
    cancel: watch::Receiver<Option<CancelReason>>,
) -> TrialResult {
    let graph = Arc::clone(state.graph());
    let attempt = state.task(task).map_or(0, |t| t.attempts) + 1;
    let around = Surroundings {
        run: run.clone(),
        zone: crate::runner::zone(&graph),
        graph,
        store,
        manifest: Arc::new(manifest.clone()),
        bus: None,
        spare: super::SpareFolders::default(),
    };
    let assignment = Assignment {
        beside: true,
        failed_before: false,
        ..assignment(state, manifest, task, attempt)
    };
    let begin = |_| {
        let (sender, receiver) = oneshot::channel();
        // The receiver is right here, so the word always arrives.
        sender.send(()).ok();
        receiver
    };
    let line = Line { begin: Box::new(begin), process: Box::new(|_| {}), cancel };
    let outcome = match execute_node(&around, &assignment, line).await {
        Outcome::Succeeded { outputs, payloads, duration_ms, .. } => {
            Trial::Succeeded { outputs, payloads, duration_ms }
        }
        Outcome::Reused { outputs, .. } => {
            Trial::Succeeded { outputs, payloads: Vec::new(), duration_ms: 0 }
        }
        Outcome::Skipped { reason } => Trial::Skipped { reason },
        Outcome::Failed { mut error, .. } => {
            error.attempt = attempt;
            Trial::Failed(error)
        }
    };
    TrialResult { attempt, outcome }
}

/// The work of one attempt, wired to what has ended so far.
pub(crate) fn assignment(
    state: &RunState,
    manifest: &Manifest,
    task: TaskId,
    attempt: u32,
) -> Assignment {
    let node = state.graph().node(task.node);
    let inputs = node
        .inputs
        .iter()
        .map(|input| wire(state, &manifest.params, &input.source, Some(task)))
        .collect();
    let item = node.fan.as_ref().map(|fan| wire(state, &manifest.params, &fan.item, Some(task)));
    Assignment {
        node: task.node,
        task: state.task_ref(task),
        attempt,
        failed_before: state.task(task).is_some_and(|t| t.last_error.is_some()),
        timeout: node.policy.timeout,
        by_deadline: false,
        inputs,
        item,
        beside: false,
    }
}

/// The input payloads of a task by port, as they were recorded.
///
/// # Errors
/// [`LoadFault`] of the first input that cannot be read.
pub fn input_values(
    store: &dyn Store,
    run: &RunId,
    manifest: &Manifest,
    state: &RunState,
    task: TaskId,
) -> Result<BTreeMap<String, Value>, LoadFault> {
    let node = state.graph().node(task.node);
    node.inputs
        .iter()
        .map(|input| {
            let wire = wire(state, &manifest.params, &input.source, Some(task));
            Ok((input.name.clone(), value_at(store, run, &wire)?))
        })
        .collect()
}
