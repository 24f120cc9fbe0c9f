//! One attempt beside a run: the same steps with the recorded inputs, and nothing of it recorded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{Graph, InputPort};
use flow_core::id::{RunId, TaskId};
use flow_core::run::event::{Outputs, Warning};
use flow_core::run::manifest::Manifest;
use flow_core::run::{Outcome, RunState};
use flow_core::stage::{CancelReason, Usage};
use flow_core::store::{InlinePayload, Store};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::{
    Assignment, Keeper, Line, LoadFault, Recollection, Surroundings, execute_node, value_at,
};
use crate::bus::{Bus, Observer};
use crate::secrets::Secrets;
use crate::wiring::{Wire, wire};

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
        /// Digest of all that the result depends on.
        key: Digest,
        /// What was odd.
        warnings: Vec<Warning>,
        /// What its calls used.
        usage: Usage,
        /// Whether it is second best, so that no other run takes it.
        provisional: bool,
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
    /// Its scratch folder, if it was to be kept and the stage had one.
    pub folder: Option<PathBuf>,
}

/// How a trial differs from what the run would do.
#[derive(Debug, Default)]
pub struct TrialPlan {
    /// Values for input ports, in the place of the recorded ones.
    pub inputs: BTreeMap<String, Value>,
    /// Whether the scratch folder stays after success too.
    pub keep: bool,
    /// Values that are given to the stage and hidden in all that is written.
    pub secrets: Arc<Secrets>,
}

/// One task of a run, to be tried beside it.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// Where the run is recorded.
    pub store: &'a Arc<dyn Store>,
    /// The run.
    pub run: &'a RunId,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Its state.
    pub state: &'a RunState,
    /// The task.
    pub task: TaskId,
    /// How the trial differs from what the run would do.
    pub plan: &'a TrialPlan,
}

impl Case<'_> {
    /// The number that the trial runs under.
    fn attempt(&self) -> u32 {
        self.state.task(self.task).map_or(0, |task| task.attempts) + 1
    }

    pub(super) fn surroundings(&self, bus: Option<Bus>) -> Surroundings {
        let (store, graph) = (Arc::clone(self.store), Arc::clone(self.state.graph()));
        let (manifest, secrets) = (Arc::new(self.manifest.clone()), Arc::clone(&self.plan.secrets));
        Surroundings { bus, ..Surroundings::beside(store, self.run, graph, manifest, secrets) }
    }

    pub(super) fn assignment(&self, folder: &Arc<OnceLock<PathBuf>>) -> Assignment {
        let mut assignment = Assignment {
            beside: true,
            failed_before: false,
            keep: self.plan.keep.then(|| Arc::clone(folder)),
            ..assignment(self.state, self.manifest, self.task, self.attempt())
        };
        let ports = &self.state.graph().node(self.task.node).inputs;
        for (port, wire) in ports.iter().zip(&mut assignment.inputs) {
            if let Some(value) = self.plan.inputs.get(&port.name) {
                *wire = Wire::Value { value: value.clone(), path: Vec::new(), optional: true };
            }
        }
        assignment
    }
}

/// Runs one task again with its recorded inputs, beside the run. The observers get its passing news.
///
/// # Errors
/// A system that gives no thread for them.
pub async fn try_once(
    case: Case<'_>,
    cancel: watch::Receiver<Option<CancelReason>>,
    observers: Vec<Box<dyn Observer>>,
) -> std::io::Result<TrialResult> {
    let (bus, seen) = Bus::start(observers)?;
    let result = try_watched(case, cancel, bus).await;
    seen.finish();
    Ok(result)
}

async fn try_watched(
    case: Case<'_>,
    cancel: watch::Receiver<Option<CancelReason>>,
    bus: Bus,
) -> TrialResult {
    let attempt = case.attempt();
    let folder = Arc::new(OnceLock::new());
    let (around, assignment) = (case.surroundings(Some(bus)), case.assignment(&folder));
    let begin = |_: super::Beginning| {
        let (sender, receiver) = oneshot::channel();
        // The receiver is right here, so the word always arrives.
        sender.send(()).ok();
        receiver
    };
    let keeper = Keeper::Here(Recollection::default());
    let line = Line { begin: Box::new(begin), tell: Box::new(|_| {}), keeper, cancel };
    let outcome = match execute_node(&around, &assignment, line).await {
        Outcome::Succeeded {
            outputs,
            payloads,
            duration_ms,
            key,
            warnings,
            usage,
            provisional,
        } => Trial::Succeeded { outputs, payloads, duration_ms, key, warnings, usage, provisional },
        Outcome::Reused { key, outputs, .. } => {
            let (payloads, warnings, usage) = (Vec::new(), Vec::new(), Usage::default());
            let (duration_ms, provisional) = (0, false);
            Trial::Succeeded { outputs, payloads, duration_ms, key, warnings, usage, provisional }
        }
        Outcome::Skipped { reason } => Trial::Skipped { reason },
        Outcome::Waits { .. } | Outcome::Probed { .. } => {
            let message = "a stage that waits does no work that could be done again";
            let error = StageError::new(ErrorClass::Config, "run the stage again", message);
            Trial::Failed(Box::new(error.hint("approve it, or resume the run")))
        }
        Outcome::Failed { mut error, .. } | Outcome::LetGo { mut error } => {
            error.attempt = attempt;
            Trial::Failed(error)
        }
    };
    TrialResult { attempt, outcome, folder: folder.get().cloned() }
}

impl Surroundings {
    /// What tasks see that are looked at beside their run: nobody watches, and results of the run
    /// are not taken.
    pub(crate) fn beside(
        store: Arc<dyn Store>,
        run: &RunId,
        graph: Arc<Graph>,
        manifest: Arc<Manifest>,
        secrets: Arc<Secrets>,
    ) -> Self {
        Self {
            run: run.clone(),
            zone: crate::runner::zone(&graph),
            graph,
            store,
            manifest,
            bus: None,
            spare: super::SpareFolders::default(),
            earlier: super::Earlier::default(),
            clock: Arc::new(crate::clock::SystemClock::start()),
            parsed: super::Parsed::default(),
            secrets,
        }
    }
}

/// The work of one attempt, wired to what has ended so far.
pub(crate) fn assignment(
    state: &RunState,
    manifest: &Manifest,
    task: TaskId,
    attempt: u32,
) -> Assignment {
    let node = state.graph().node(task.node);
    let wires = |ports: &[InputPort]| {
        let ports = ports.iter();
        ports.map(|port| wire(state, &manifest.params, &port.source, Some(task))).collect()
    };
    let inputs = wires(&node.inputs);
    let params = wires(node.params.as_deref().unwrap_or_default());
    let own_item = node.fan.as_ref().filter(|fan| !fan.inherited);
    let item = own_item.map(|fan| wire(state, &manifest.params, &fan.item, Some(task)));
    Assignment {
        node: task.node,
        task: state.task_ref(task),
        attempt,
        failed_before: state.task(task).is_some_and(|t| t.last_error.is_some()),
        timeout: node.policy.timeout,
        by_deadline: false,
        inputs,
        item,
        params,
        beside: false,
        variant: state.task(task).map_or(0, |t| t.variant),
        intent: state.task(task).and_then(|t| t.intent.clone()),
        reuse: state.reuses(),
        before: state.task(task).and_then(|t| t.before.clone()),
        memories: state.task(task).and_then(|t| t.memories.clone()),
        keep: None,
        closing: state.closing(),
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
