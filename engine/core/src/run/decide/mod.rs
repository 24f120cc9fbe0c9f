//! What happens next: a pure function of state, signal and time.
//!
//! Every signal is answered with events (facts to be made durable), marks (what this process
//! notes), and actions. Actions wait until the events beside them are written; what follows from a
//! fact is asked for with [`Signal::Applied`] once the fact is durable. So nothing that depends on
//! a completion starts before its record is synced, by construction.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::event::{Event, KeptOutput, Outputs, Question, RunEnd, Warning};
use super::memory::Kept;
use super::state::{Phase, RunState};
use crate::call::{CallRetry, Fallback, Usage};
use crate::digest::Digest;
use crate::error::StageError;
use crate::id::{NodeId, RunId, TaskId};
use crate::stage::{CancelReason, ProcessId};
use crate::store::InlinePayload;

mod ended;
mod outside;
mod schedule;

/// The time, as decisions need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, for records that people read.
    pub wall: Timestamp,
    /// Monotonic time since this process took the run up, for every span that is measured.
    pub elapsed: Duration,
}

/// Something that happened.
#[derive(Debug)]
pub enum Signal {
    /// Facts were made durable and applied; see what can go on.
    Applied,
    /// An attempt is prepared and would begin.
    Begun {
        /// The task.
        task: TaskId,
        /// Number of the attempt.
        attempt: u32,
        /// Its key.
        key: Digest,
        /// The idempotency key, if it acts on the outside world.
        intent: Option<Arc<str>>,
        /// Whether results of other runs were looked for, and none could be taken.
        cache_missed: bool,
    },
    /// An attempt tells what it does.
    Told {
        /// The task.
        task: TaskId,
        /// Number of the attempt.
        attempt: u32,
        /// What it does.
        news: News,
    },
    /// An attempt leaves something to later ones, and waits until that is durable.
    Remembers {
        /// The task.
        task: TaskId,
        /// The key of its result.
        key: Digest,
        /// The name by which it will be asked for.
        name: String,
        /// What is kept.
        kept: Kept,
    },
    /// A task came back.
    Ended {
        /// The task.
        task: TaskId,
        /// Number of the attempt.
        attempt: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// The wait of a task is over.
    Due(TaskId),
    /// The gate of a task let it through.
    Admitted(TaskId),
    /// The gate of a task did not let it through.
    Refused(TaskId),
    /// A gate may let something through again.
    GateOpened(usize),
    /// A person answered what a task asked.
    Answered {
        /// The task.
        task: TaskId,
        /// The answer, as the task's outputs; or why it fails.
        answer: Result<(Outputs, Vec<InlinePayload>), Box<StageError>>,
    },
    /// A person found out whether an unknown effect happened.
    Settled {
        /// The task.
        task: TaskId,
        /// The outputs, if it happened.
        happened: Option<(Outputs, Vec<InlinePayload>)>,
    },
    /// A person cancels the run.
    Cancel,
    /// The list of a group was read.
    Resolved {
        /// The group.
        group: usize,
        /// Keys of the items in list order.
        keys: Result<Vec<Arc<str>>, StageError>,
    },
    /// A person or the system asks to stop.
    Interrupt {
        /// The signal, such as `SIGINT`.
        signal: String,
        /// Whether it is not the first time.
        again: bool,
    },
    /// The deadline of the run has passed.
    Deadline,
}

/// What an attempt does while it goes on, recorded without being waited for.
#[derive(Debug)]
pub enum News {
    /// It started a process.
    Process(ProcessId),
    /// Its stage has written this, and nothing more follows.
    Output(Vec<KeptOutput>),
    /// It makes a failed call again.
    Retry(Box<CallRetry>),
    /// It passes over a provider.
    Fallback(Box<Fallback>),
}

/// What came of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// It is done; its outputs are stored.
    Succeeded {
        /// Its key.
        key: Digest,
        /// Its outputs.
        outputs: Outputs,
        /// Payloads that stand in the journal.
        payloads: Vec<InlinePayload>,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// What was odd.
        warnings: Vec<Warning>,
        /// What its calls used.
        usage: Usage,
        /// Whether it is second best, so that no other run takes it.
        provisional: bool,
    },
    /// An earlier result has the same key.
    Reused {
        /// Its key.
        key: Digest,
        /// Its outputs.
        outputs: Outputs,
        /// Payloads that stand in the journal, where they come from another one.
        payloads: Vec<InlinePayload>,
        /// Where it comes from.
        from: Origin,
    },
    /// There is nothing to do but to wait.
    Waits {
        /// Its key.
        key: Digest,
        /// How long, if not for ever.
        delay: Option<Duration>,
        /// What a person is asked.
        question: Option<Question>,
    },
    /// A probe ended.
    Probed {
        /// Whether the effect happened; `None` if the probe cannot tell.
        happened: Option<bool>,
        /// The outputs, if it happened.
        outputs: Outputs,
        /// Payloads that stand in the journal.
        payloads: Vec<InlinePayload>,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// Its condition is false.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It failed before its node was opened again, that was accepted, and nothing has changed.
    LetGo {
        /// Why.
        error: Box<StageError>,
    },
    /// It failed.
    Failed {
        /// Why.
        error: Box<StageError>,
        /// Whether the attempt had begun.
        begun: bool,
        /// What its calls used.
        usage: Usage,
    },
}

/// Where a result was taken from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// This run made it, before its definition changed.
    ThisRun,
    /// Another run, or another node of this one, made it.
    Cache {
        /// The run.
        run: RunId,
        /// When.
        made_at: Timestamp,
    },
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Prepare and run an attempt.
    Start {
        /// The task.
        task: TaskId,
        /// Number of the attempt.
        attempt: u32,
        /// Time for it.
        timeout: Option<Duration>,
        /// Whether `timeout` is what the node's deadline leaves.
        by_deadline: bool,
    },
    /// The attempt's start is written: it may act.
    Proceed(TaskId),
    /// Ask the probe of a task whether its effect happened.
    Probe {
        /// The task.
        task: TaskId,
        /// Number of the attempt that it is about.
        attempt: u32,
    },
    /// Look again at what can go on.
    Again,
    /// Send [`Signal::Due`] after this long.
    Wake {
        /// The task.
        task: TaskId,
        /// The wait.
        after: Duration,
    },
    /// Read the list of a group.
    Resolve(usize),
    /// Tell all running attempts to stop.
    CancelAll(CancelReason),
    /// The run is over for this process.
    Finish(Ending),
}

/// How the run is over for this process.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// Finished.
    Finished(RunEnd),
    /// Stopped by a signal.
    Interrupted(String),
    /// Only waiting is left, and this process does not wait.
    Waiting,
    /// The store failed.
    StoreFailed(Box<StageError>),
}

/// Something this process notes.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A task was handed out and holds a slot; its deadline, as elapsed time.
    HandedOut {
        /// The task.
        task: TaskId,
        /// When its node's deadline passes, if it has one.
        deadline: Option<Duration>,
    },
    /// A ready item is over its node's own limit.
    Parked(TaskId),
    /// A ready task stands in front of its gate.
    Queued(TaskId),
    /// A gate let a task through.
    Admitted(TaskId),
    /// A gate did not let a task through.
    Refused(TaskId),
    /// A gate may let something through again.
    GateOpened(usize),
    /// A probe was handed out and holds a slot.
    Probing(TaskId),
    /// The probe of a task was asked in this invocation.
    Probed(TaskId),
    /// All that the run is for has ended; what always runs may start.
    Closing(RunEnd),
    /// A task is being recorded without having been handed out.
    Settling(TaskId),
    /// A task came back and is being recorded.
    CameBack(TaskId),
    /// A recording is durable.
    Settled,
    /// The list of a group is being read.
    Resolving(usize),
    /// The end of a fanned-out node is being recorded.
    Gathering(NodeId),
    /// The wait of a task is over.
    Due(TaskId),
    /// Nothing new starts.
    Stopping(StopReason),
    /// The end of the run is being recorded.
    Finishing,
}

/// Why nothing new starts.
#[derive(Debug, Clone, PartialEq)]
pub enum StopReason {
    /// A signal.
    Interrupted(String),
    /// A failure, in a run that fails fast.
    FailFast,
    /// A person.
    Cancelled,
    /// The run's deadline.
    Deadline,
    /// The store failed.
    Store(Box<StageError>),
}

/// What follows from a signal.
#[derive(Debug, Default)]
pub struct Decision {
    /// Facts to be recorded, in order.
    pub events: Vec<Event>,
    /// Payloads that must be durable with them.
    pub payloads: Vec<InlinePayload>,
    /// What this process notes, at once.
    pub marks: Vec<Mark>,
    /// What is to be done once the events are written.
    pub actions: Vec<Action>,
    /// What is to be done once the events are durable and applied.
    pub then: Vec<Action>,
}

/// Decides. Costs no more than the neighbourhood of what the signal is about.
#[must_use]
pub fn decide(state: &RunState, signal: Signal, now: Now) -> Decision {
    let marked = |mark| Decision { marks: vec![mark], ..Decision::default() };
    match signal {
        Signal::Applied => schedule::schedule(state, now),
        Signal::Begun { task, attempt, key, intent, cache_missed } => {
            ended::begun(state, task, attempt, key, intent, cache_missed)
        }
        Signal::Told { task, attempt, news } => ended::told(state, task, attempt, news),
        Signal::Remembers { task, key, name, kept } => {
            ended::remembers(state, task, key, name, kept)
        }
        Signal::Ended { task, attempt, outcome } => {
            ended::ended(state, task, attempt, outcome, now)
        }
        Signal::Due(task) => outside::due(state, task, now),
        Signal::Admitted(task) if state.is_asking(task) => marked(Mark::Admitted(task)),
        Signal::Refused(task) if state.is_asking(task) => marked(Mark::Refused(task)),
        Signal::Admitted(_) | Signal::Refused(_) => Decision::default(),
        Signal::GateOpened(gate) => marked(Mark::GateOpened(gate)),
        Signal::Answered { task, answer } => outside::answered(state, task, answer, now),
        Signal::Settled { task, happened } => outside::settled(state, task, happened, now),
        Signal::Cancel => outside::cancel(state),
        Signal::Resolved { group, keys } => schedule::resolved(state, group, keys),
        Signal::Interrupt { signal, again } => outside::interrupt(state, signal, again),
        Signal::Deadline if state.closing().is_some() => Decision::default(),
        Signal::Deadline => outside::stop_with(StopReason::Deadline, CancelReason::Deadline),
    }
}

/// Wake-ups that a process owes the tasks that wait, when it takes a run up.
#[must_use]
pub fn owed_wakes(state: &RunState, now: Now) -> Vec<Action> {
    let wake = |task, at: Timestamp, delay: Duration| {
        let left = now.wall.until(at).ok().and_then(|s| Duration::try_from(s).ok());
        // A clock that was set back must not make the wait longer than it was.
        Action::Wake { task, after: left.unwrap_or(Duration::ZERO).min(delay) }
    };
    let retries = state.waiting().filter_map(|task| match &state.task(task)?.phase {
        Phase::Waiting { at, delay } => Some(wake(task, *at, *delay)),
        _ => None,
    });
    let waits = state.awaiting().filter_map(|task| {
        let awaited = state.awaited(task)?;
        Some(wake(task, awaited.until?, Duration::from_millis(awaited.delay_ms)))
    });
    retries.chain(waits).collect()
}
