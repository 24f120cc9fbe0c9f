//! Events: the durable facts of a run. Progress, logs, `show` and resume all derive from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::memory::Kept;
use crate::call::{CallRetry, Fallback, Usage};
use crate::digest::Digest;
use crate::error::StageError;
use crate::payload::PayloadRef;
use crate::stage::ProcessId;

/// A task by name, as events and checkpoints know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskRef {
    /// Name of the node.
    pub node: Arc<str>,
    /// The item, in a fanned-out node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemRef>,
}

/// An item of a fanned-out node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemRef {
    /// Its key: stable when the list changes, if the workflow gives one.
    pub key: Arc<str>,
    /// Its place in the list.
    pub index: u32,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Every node succeeded or was skipped as declared.
    Succeeded,
    /// Some node failed and nothing accepted the failure.
    Failed,
    /// A person cancelled it.
    Cancelled,
}

/// The outputs of a task by port. A port that is not there is absent (null).
pub type Outputs = BTreeMap<String, PayloadRef>;

/// A warning about a payload or from a stage, which does not fail anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The port, if it is about a payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// JSON pointer into that payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What is odd.
    pub message: String,
}

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Awaited {
    /// Number of the attempt that waits.
    pub attempt: u32,
    /// Its key.
    pub key: Digest,
    /// When the wait is over; a question without it waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The whole wait in milliseconds, which no clock can make longer; 0 without `until`.
    #[serde(default)]
    pub delay_ms: u64,
    /// What a person is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The question.
    pub message: String,
    /// The answers among which one is chosen; none: yes or no.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// What an attempt wrote to a file of captured output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptOutput {
    /// Name of the file in the folder of captured output.
    pub file: String,
    /// Where in the file it begins.
    pub at: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Their digest.
    pub digest: Digest,
}

/// One durable fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run exists; its manifest and definition are recorded beside the journal.
    RunStarted {
        /// Name of the workflow.
        workflow: String,
        /// Parameter values in force.
        params: Value,
        /// Digest of the recorded manifest, which holds the digest of the definition.
        manifest: Digest,
        /// How many tasks hold a slot at once.
        max_parallel: u32,
    },
    /// A process took the run up again.
    RunResumed {
        /// What was adopted or found to differ, for people.
        #[serde(default)]
        notes: Vec<String>,
        /// Digest of the manifest in force from here on.
        manifest: Digest,
    },
    /// The process was told to stop and ended its children; the run can be resumed.
    RunInterrupted {
        /// The signal that asked for it, such as `SIGINT`.
        signal: String,
    },
    /// Nothing is left to do.
    RunFinished {
        /// How it ended.
        status: RunEnd,
    },
    /// The items of fanned-out nodes over one list are known. Internal.
    ItemsResolved {
        /// The nodes that run an item for each element.
        nodes: Vec<Arc<str>>,
        /// Keys of the items, in list order.
        keys: Vec<Arc<str>>,
    },
    /// The stored outputs of a task that was done are missing or damaged: it must run again. Internal;
    /// people are told by the notes of `run_resumed`.
    OutputsLost {
        /// The task.
        task: TaskRef,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// An attempt begins. Written before anything of it runs.
    AttemptStarted {
        /// The task.
        task: TaskRef,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// Its key.
        key: Digest,
        /// The idempotency key, if the attempt may act on the outside world: from here on it may
        /// have happened, until its end says otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        intent: Option<Arc<str>>,
    },
    /// A process of an attempt was started. Internal.
    ProcessStarted {
        /// The task.
        task: TaskRef,
        /// Number of the attempt.
        attempt: u32,
        /// The process.
        process: ProcessId,
    },
    /// What a stage wrote while it worked is in files of the run. Internal.
    OutputKept {
        /// The task.
        task: TaskRef,
        /// Number of the attempt.
        attempt: u32,
        /// What it wrote, by stream.
        kept: Vec<KeptOutput>,
    },
    /// A call of a remote service failed and is made again within its attempt.
    CallRetried {
        /// The task.
        task: TaskRef,
        /// Number of the attempt.
        attempt: u32,
        /// The call.
        retry: Box<CallRetry>,
    },
    /// A provider of a chain was passed over within an attempt.
    PassedOver {
        /// The task.
        task: TaskRef,
        /// Number of the attempt.
        attempt: u32,
        /// From which provider to which, and why.
        fallback: Box<Fallback>,
    },
    /// An attempt left something to later ones with the same key. Internal.
    Remembered {
        /// The task.
        task: TaskRef,
        /// The key of its result.
        key: Digest,
        /// The name by which it is asked for.
        name: String,
        /// What is kept.
        kept: Kept,
    },
    /// An attempt failed.
    AttemptFailed {
        /// The task.
        task: TaskRef,
        /// Number of the attempt.
        attempt: u32,
        /// Why.
        error: Box<StageError>,
        /// What its calls used.
        #[serde(default, skip_serializing_if = "Usage::is_nothing")]
        usage: Usage,
    },
    /// Another attempt will follow.
    RetryScheduled {
        /// The task.
        task: TaskRef,
        /// Number of the next attempt.
        attempt: u32,
        /// The wait before it, in milliseconds.
        delay_ms: u64,
        /// When it begins.
        at: Timestamp,
    },
    /// Retries are exhausted, and other work takes the place of what failed.
    FellBack {
        /// The task.
        task: TaskRef,
        /// Which work it is now: the nth fallback.
        variant: u32,
        /// The stage that failed.
        from: String,
        /// The stage that takes its place.
        to: String,
        /// Why the first one failed.
        error: Box<StageError>,
    },
    /// A task waits for an instant or an answer, and holds nothing meanwhile.
    Waiting {
        /// The task.
        task: TaskRef,
        /// What it waits for.
        wait: Box<Awaited>,
    },
    /// An attempt of an effect ended without an answer: it may have happened.
    Unknown {
        /// The task.
        task: TaskRef,
        /// Number of the attempt.
        attempt: u32,
        /// How it ended.
        error: Box<StageError>,
    },
    /// It was found out whether an unknown effect happened. Internal: what follows from it is told.
    EffectSettled {
        /// The task.
        task: TaskRef,
        /// Whether it happened.
        happened: bool,
        /// Who found it out: `probe`, or a person.
        by: String,
    },
    /// A result of another run has the same key and is young enough.
    CacheHit {
        /// The task.
        task: TaskRef,
        /// The key.
        key: Digest,
        /// The run that made the result.
        from: String,
        /// When it was made.
        made_at: Timestamp,
    },
    /// No result of another run could be taken.
    CacheMiss {
        /// The task.
        task: TaskRef,
        /// The key.
        key: Digest,
    },
    /// Results of these nodes are open again: each is taken up where its key is what it was, and
    /// made again where it is not. The set has all that depends on its members. Internal.
    Invalidated {
        /// The nodes.
        nodes: Vec<Arc<str>>,
    },
    /// A task is done and its outputs are stored.
    Succeeded {
        /// The task.
        task: TaskRef,
        /// The attempt that did it.
        attempt: u32,
        /// Its key.
        key: Digest,
        /// Its outputs.
        outputs: Outputs,
        /// How long the attempt took, in milliseconds.
        duration_ms: u64,
        /// What was odd about it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Warning>,
        /// What its calls used.
        #[serde(default, skip_serializing_if = "Usage::is_nothing")]
        usage: Usage,
        /// Whether it is second best, so that no other run takes it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        provisional: bool,
    },
    /// A task's result was taken from an earlier checkpoint with the same key.
    Reused {
        /// The task.
        task: TaskRef,
        /// Its key.
        key: Digest,
        /// Its outputs.
        outputs: Outputs,
        /// Where the result comes from, such as `this run`.
        from: String,
    },
    /// A task failed for good.
    Failed {
        /// The task.
        task: TaskRef,
        /// The last attempt; 0 if none began.
        attempt: u32,
        /// Why.
        error: Box<StageError>,
    },
    /// A task did not run because its condition is false or an input is absent.
    Skipped {
        /// The task.
        task: TaskRef,
        /// Why.
        reason: String,
    },
    /// A task was stopped because the run is cancelled or fails fast.
    Cancelled {
        /// The task.
        task: TaskRef,
        /// The attempt that was stopped.
        attempt: u32,
    },
    /// A whole fanned-out node ended well; items that were dropped are left out.
    NodeGathered {
        /// Name of the node.
        node: Arc<str>,
        /// Items that succeeded.
        succeeded: u32,
        /// Items that were dropped or skipped.
        left_out: u32,
    },
    /// A whole fanned-out node failed.
    NodeFailed {
        /// Name of the node.
        node: Arc<str>,
        /// Why.
        error: Box<StageError>,
    },
    /// A whole fanned-out node did not run.
    NodeSkipped {
        /// Name of the node.
        node: Arc<str>,
        /// Why.
        reason: String,
    },
}

/// An event with its place and time in the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Number of the event in its run, from 1; `None` for internal ones.
    pub seq: Option<u64>,
    /// Wall-clock time, for people: order comes from `seq` alone.
    pub ts: Timestamp,
    /// The fact.
    pub event: Event,
}

impl Event {
    /// The name that people see; `None` for internal events.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::RunStarted { .. } => "run_started",
            Self::RunResumed { .. } => "run_resumed",
            Self::RunInterrupted { .. } => "run_interrupted",
            Self::RunFinished { .. } => "run_finished",
            Self::ItemsResolved { .. }
            | Self::ProcessStarted { .. }
            | Self::OutputKept { .. }
            | Self::Remembered { .. }
            | Self::OutputsLost { .. }
            | Self::EffectSettled { .. }
            | Self::Invalidated { .. } => return None,
            Self::CallRetried { .. } => "call_retried",
            Self::FellBack { .. } | Self::PassedOver { .. } => "provider_fallback",
            Self::Waiting { .. } => "waiting",
            Self::Unknown { task, .. } => task.pick("node_unknown", "item_unknown"),
            Self::CacheHit { .. } => "cache_hit",
            Self::CacheMiss { .. } => "cache_miss",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::Succeeded { task, .. } => task.pick("node_succeeded", "item_succeeded"),
            Self::Reused { task, .. } => task.pick("node_reused", "item_reused"),
            Self::Failed { task, .. } => task.pick("node_failed", "item_failed"),
            Self::Skipped { task, .. } => task.pick("node_skipped", "item_skipped"),
            Self::Cancelled { task, .. } => task.pick("node_cancelled", "item_cancelled"),
            Self::NodeGathered { .. } => "node_succeeded",
            Self::NodeFailed { .. } => "node_failed",
            Self::NodeSkipped { .. } => "node_skipped",
        })
    }

    /// Whether it is a result that other runs may take: one that was made, and not second best.
    #[must_use]
    pub fn is_made(&self) -> bool {
        matches!(self, Self::Succeeded { provisional: false, .. })
    }

    /// The task it is about, if it is about one.
    #[must_use]
    pub fn task(&self) -> Option<&TaskRef> {
        match self {
            Self::AttemptStarted { task, .. }
            | Self::OutputsLost { task, .. }
            | Self::ProcessStarted { task, .. }
            | Self::OutputKept { task, .. }
            | Self::CallRetried { task, .. }
            | Self::PassedOver { task, .. }
            | Self::Remembered { task, .. }
            | Self::AttemptFailed { task, .. }
            | Self::RetryScheduled { task, .. }
            | Self::Succeeded { task, .. }
            | Self::Reused { task, .. }
            | Self::Failed { task, .. }
            | Self::Skipped { task, .. }
            | Self::FellBack { task, .. }
            | Self::Waiting { task, .. }
            | Self::Unknown { task, .. }
            | Self::EffectSettled { task, .. }
            | Self::CacheHit { task, .. }
            | Self::CacheMiss { task, .. }
            | Self::Cancelled { task, .. } => Some(task),
            _ => None,
        }
    }

    /// What it says that calls used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        match self {
            Self::Succeeded { usage, .. } | Self::AttemptFailed { usage, .. } => *usage,
            _ => Usage::default(),
        }
    }

    /// The node it is about, if it is about one.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::NodeGathered { node, .. }
            | Self::NodeFailed { node, .. }
            | Self::NodeSkipped { node, .. } => Some(node),
            other => other.task().map(|task| &*task.node),
        }
    }
}

impl TaskRef {
    /// A whole node.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self { node: name.into(), item: None }
    }

    fn pick(&self, node: &'static str, item: &'static str) -> &'static str {
        if self.item.is_some() { item } else { node }
    }
}

impl std::fmt::Display for TaskRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.item {
            None => f.write_str(&self.node),
            Some(item) => write!(f, "{}[{}]", self.node, item.key),
        }
    }
}
