//! What happens next: a pure function of state, signal and time.
//!
//! Every signal is answered with events (facts to be made durable), marks (what this process
//! notes), and actions. Actions wait until the events beside them are written; what follows from a
//! fact is asked for with [`Signal::Applied`] once the fact is durable. So nothing that depends on
//! a completion starts before its record is synced, by construction.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::event::{Event, Outputs, RunEnd, TaskRef, Warning};
use super::state::{Phase, RunState, Tasks};
use crate::digest::Digest;
use crate::error::{ErrorClass, StageError};
use crate::graph::Source;
use crate::id::{NodeId, TaskId};
use crate::policy::draw;
use crate::stage::CancelReason;
use crate::store::InlinePayload;

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
    },
    /// An attempt started a process.
    Process {
        /// The task.
        task: TaskId,
        /// Number of the attempt.
        attempt: u32,
        /// The process.
        process: crate::stage::ProcessId,
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
    },
    /// An earlier result has the same key.
    Reused {
        /// Its key.
        key: Digest,
        /// Its outputs.
        outputs: Outputs,
        /// Where it comes from.
        from: String,
    },
    /// Its condition is false.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It failed.
    Failed {
        /// Why.
        error: Box<StageError>,
        /// Whether the attempt had begun.
        begun: bool,
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
    match signal {
        Signal::Applied => schedule(state, now),
        Signal::Begun { task, attempt, key } => begun(state, task, attempt, key),
        Signal::Process { task, attempt, process } => Decision {
            events: vec![Event::ProcessStarted { task: state.task_ref(task), attempt, process }],
            ..Decision::default()
        },
        Signal::Ended { task, attempt, outcome } => ended(state, task, attempt, outcome, now),
        Signal::Due(task) => Decision { marks: vec![Mark::Due(task)], ..Decision::default() },
        Signal::Resolved { group, keys } => resolved(state, group, keys),
        Signal::Interrupt { signal, again } => interrupt(state, signal, again),
        Signal::Deadline => stop_with(StopReason::Deadline, CancelReason::Deadline),
    }
}

/// Hands out ready tasks, gathers ended nodes, and notices the end.
fn schedule(state: &RunState, now: Now) -> Decision {
    let mut decision = Decision::default();
    if let Some(stop) = state.stop() {
        if state.is_quiet() {
            finish_stopped(state, stop, &mut decision);
        }
        return decision;
    }
    for node in state.to_gather() {
        gather(state, node, &mut decision);
    }
    for group in state.unresolved() {
        resolve(state, group, &mut decision);
    }
    hand_out(state, now, &mut decision);
    if state.is_exhausted() {
        let end = if state.has_failures() { RunEnd::Failed } else { RunEnd::Succeeded };
        finish(end, &mut decision);
    }
    decision
}

fn finish(end: RunEnd, decision: &mut Decision) {
    decision.marks.push(Mark::Finishing);
    decision.events.push(Event::RunFinished { status: end });
    decision.then.push(Action::Finish(Ending::Finished(end)));
}

fn finish_stopped(state: &RunState, stop: &StopReason, decision: &mut Decision) {
    match stop {
        StopReason::Interrupted(signal) => {
            decision.marks.push(Mark::Finishing);
            decision.events.push(Event::RunInterrupted { signal: signal.clone() });
            decision.then.push(Action::Finish(Ending::Interrupted(signal.clone())));
        }
        StopReason::Deadline if settle_late(state, decision) => {}
        StopReason::FailFast | StopReason::Deadline => {
            // Whatever could still be gathered belongs to the next invocation.
            let end = match stop {
                StopReason::Deadline if state.is_exhausted() && !state.has_failures() => {
                    RunEnd::Succeeded
                }
                _ => RunEnd::Failed,
            };
            finish(end, decision);
        }
        StopReason::Store(error) => {
            decision.marks.push(Mark::Finishing);
            decision.then.push(Action::Finish(Ending::StoreFailed(error.clone())));
        }
    }
}

/// Fails what the run's deadline leaves no time for; false if there is nothing.
fn settle_late(state: &RunState, decision: &mut Decision) -> bool {
    let late: Vec<TaskId> = state.waiting().chain(state.ready()).collect();
    for task in &late {
        let attempt = state.task(*task).map_or(0, |t| t.attempts);
        let message = match attempt {
            0 => "the deadline of the run passed before it began",
            _ => "the deadline of the run passed before its next attempt",
        };
        let mut error = StageError::new(ErrorClass::Timeout, "wait for a turn", message)
            .hint("raise `deadline` of the workflow, or resume the run: every invocation has the whole span");
        error.attempt = attempt;
        let last = state.task(*task).and_then(|t| t.last_error.as_ref());
        error.causes.extend(last.map(ToString::to_string));
        decision.marks.push(Mark::Settling(*task));
        let task = state.task_ref(*task);
        decision.events.push(Event::Failed { task, attempt, error: Box::new(error) });
    }
    !late.is_empty()
}

fn resolve(state: &RunState, group: usize, decision: &mut Decision) {
    let list = &state.graph().groups()[group].list;
    decision.marks.push(Mark::Resolving(group));
    if list.is_satisfied(&|node, take| state.is_present(node, take, None)) {
        decision.actions.push(Action::Resolve(group));
        return;
    }
    for &member in &state.graph().groups()[group].members {
        decision.events.push(Event::NodeSkipped {
            node: Arc::clone(&state.graph().node(member).name),
            reason: "the list that it runs over is absent".into(),
        });
    }
}

fn resolved(state: &RunState, group: usize, keys: Result<Vec<Arc<str>>, StageError>) -> Decision {
    let members = &state.graph().groups()[group].members;
    let names = members.iter().map(|m| Arc::clone(&state.graph().node(*m).name));
    let events = match keys {
        Ok(keys) => vec![Event::ItemsResolved { nodes: names.collect(), keys }],
        Err(error) => {
            names.map(|node| Event::NodeFailed { node, error: Box::new(error.clone()) }).collect()
        }
    };
    Decision { events, ..Decision::default() }
}

fn hand_out(state: &RunState, now: Now, decision: &mut Decision) {
    let mut slots = state.free_slots();
    let mut taken: std::collections::HashMap<NodeId, u32> = std::collections::HashMap::new();
    for task in state.ready() {
        if let Some(reason) = absent_input(state, task) {
            decision.marks.push(Mark::Settling(task));
            decision.events.push(Event::Skipped { task: state.task_ref(task), reason });
            continue;
        }
        if slots == 0 {
            break;
        }
        let room = taken.entry(task.node).or_insert(0);
        if *room >= state.node_room(task.node) {
            decision.marks.push(Mark::Parked(task));
            continue;
        }
        *room += 1;
        slots -= 1;
        start(state, task, now, decision);
    }
}

fn start(state: &RunState, task: TaskId, now: Now, decision: &mut Decision) {
    let policy = &state.graph().node(task.node).policy;
    let deadline = state
        .deadline_of(task.node)
        .or_else(|| policy.deadline.map(|d| now.elapsed.saturating_add(d)));
    let left = deadline.map(|d| d.saturating_sub(now.elapsed));
    let by_deadline = match (left, policy.timeout) {
        (Some(left), Some(timeout)) => left < timeout,
        (left, _) => left.is_some(),
    };
    let timeout = if by_deadline { left } else { policy.timeout };
    let attempt = state.task(task).map_or(0, |t| t.attempts) + 1;
    decision.marks.push(Mark::HandedOut { task, deadline });
    decision.actions.push(Action::Start { task, attempt, timeout, by_deadline });
}

/// Why a task cannot run although all that it needs has ended: an input that must be there is
/// absent.
fn absent_input(state: &RunState, task: TaskId) -> Option<String> {
    let node = state.graph().node(task.node);
    let present = |producer, take| state.is_present(producer, take, task.item);
    let missing = node
        .inputs
        .iter()
        .find(|input| !input.ty.is_optional() && !input.source.is_satisfied(&present));
    if let Some(input) = missing {
        return Some(format!("its input `{}` is absent", input.name));
    }
    match &node.fan {
        Some(fan)
            if matches!(fan.item, Source::Output { .. }) && !fan.item.is_satisfied(&present) =>
        {
            Some("the item that it runs for was left out".into())
        }
        _ => None,
    }
}

fn gather(state: &RunState, node: NodeId, decision: &mut Decision) {
    let graph_node = state.graph().node(node);
    let Tasks::Items(items) = &state.node(node).tasks else { return };
    let count = |test: &dyn Fn(&Phase) -> bool| items.iter().filter(|t| test(&t.phase)).count();
    let succeeded = count(&|p| matches!(p, Phase::Succeeded(_)));
    let failed = count(&|p| matches!(p, Phase::Failed(_)));
    let left_out = items.len() - succeeded;
    let name = Arc::clone(&graph_node.name);
    decision.marks.push(Mark::Gathering(node));
    if failed > 0 && !state.drops(node) {
        let first = items.iter().find_map(|t| match &t.phase {
            Phase::Failed(error) => Some(error.as_ref().clone()),
            _ => None,
        });
        let cause = first.map_or_else(String::new, |e| e.to_string());
        let class = items
            .iter()
            .find_map(|t| match &t.phase {
                Phase::Failed(error) => Some(error.class),
                _ => None,
            })
            .unwrap_or(ErrorClass::Process);
        let error = StageError::new(
            class,
            format!("run {} items", items.len()),
            format!("{failed} of {} items failed", items.len()),
        )
        .cause(cause)
        .hint("on_item_failure = \"drop\" would leave failed items out");
        decision.events.push(Event::NodeFailed { node: name, error: Box::new(error) });
        return;
    }
    // Skipped items were not meant to run, so they do not count against the share.
    let judged = succeeded + failed;
    let share = if judged == 0 { 1.0 } else { succeeded as f64 / judged as f64 };
    let wanted = graph_node.fan.as_ref().and_then(|f| f.min_success).unwrap_or(0.0);
    if share + f64::EPSILON < wanted {
        let error = StageError::new(
            ErrorClass::Process,
            format!("run {} items", items.len()),
            format!("{succeeded} of {judged} items succeeded, and min_success asks for {wanted}"),
        );
        decision.events.push(Event::NodeFailed { node: name, error: Box::new(error) });
        return;
    }
    decision.events.push(Event::NodeGathered {
        node: name,
        succeeded: succeeded as u32,
        left_out: left_out as u32,
    });
}

fn begun(state: &RunState, task: TaskId, attempt: u32, key: Digest) -> Decision {
    if !state.is_handed_out(task) {
        return Decision::default();
    }
    Decision {
        events: vec![Event::AttemptStarted { task: state.task_ref(task), attempt, key }],
        actions: vec![Action::Proceed(task)],
        ..Decision::default()
    }
}

fn ended(state: &RunState, task: TaskId, attempt: u32, outcome: Outcome, now: Now) -> Decision {
    // A late result of an attempt that was given up is refused.
    if !state.is_handed_out(task) {
        return Decision::default();
    }
    let name = state.task_ref(task);
    let mut decision = Decision { marks: vec![Mark::CameBack(task)], ..Decision::default() };
    match outcome {
        Outcome::Succeeded { key, outputs, payloads, duration_ms, warnings } => {
            decision.payloads = payloads;
            decision.events.push(Event::Succeeded {
                task: name,
                attempt,
                key,
                outputs,
                duration_ms,
                warnings,
            });
        }
        Outcome::Reused { key, outputs, from } => {
            decision.events.push(Event::Reused { task: name, key, outputs, from });
        }
        Outcome::Skipped { reason } => {
            decision.events.push(Event::Skipped { task: name, reason });
        }
        Outcome::Failed { error, begun } => {
            failed(state, task, &name, attempt, error, begun, now, &mut decision);
        }
    }
    decision
}

#[expect(clippy::too_many_arguments, reason = "one step of `ended`, split off for its length")]
fn failed(
    state: &RunState,
    task: TaskId,
    name: &TaskRef,
    attempt: u32,
    mut error: Box<StageError>,
    begun: bool,
    now: Now,
    decision: &mut Decision,
) {
    error.attempt = attempt;
    if error.class == ErrorClass::Store {
        let reason = StopReason::Store(error);
        decision.marks.push(Mark::Stopping(reason));
        decision.actions.push(Action::CancelAll(CancelReason::Killed));
        return;
    }
    let attempt_failed = |error: &StageError| Event::AttemptFailed {
        task: name.clone(),
        attempt,
        error: Box::new(error.clone()),
    };
    if error.class == ErrorClass::Cancelled {
        decision.events.extend(begun.then(|| attempt_failed(&error)));
        if !matches!(state.stop(), Some(StopReason::Interrupted(_))) {
            decision.events.push(Event::Cancelled { task: name.clone(), attempt });
        }
        return;
    }
    let delay = retry_delay(state, task, name, &error, now);
    error.retryable = delay.is_some();
    decision.events.extend(begun.then(|| attempt_failed(&error)));
    if let Some(delay) = delay {
        let at = now.wall.checked_add(delay).unwrap_or(Timestamp::MAX);
        decision.events.push(Event::RetryScheduled {
            task: name.clone(),
            attempt: if begun { attempt + 1 } else { attempt },
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            at,
        });
        decision.then.push(Action::Wake { task, after: delay });
        return;
    }
    if cut_by_deadline(state, task, &error) {
        error.causes.push("the node's `deadline` leaves no time for another attempt".into());
    }
    let attempt = if begun { attempt } else { attempt - 1 };
    error.attempt = attempt;
    decision.events.push(Event::Failed { task: name.clone(), attempt, error });
    let accepted = task.item.is_some() && state.drops(task.node);
    if state.graph().settings().fail_fast && !accepted && state.stop().is_none() {
        decision.marks.push(Mark::Stopping(StopReason::FailFast));
        decision.actions.push(Action::CancelAll(CancelReason::Cancelled));
    }
}

/// Whether another attempt would follow if the node's deadline left time for it.
fn cut_by_deadline(state: &RunState, task: TaskId, error: &StageError) -> bool {
    let retry = &state.graph().node(task.node).policy.retry;
    let used = state.task(task).map_or(0, |t| t.used) + 1;
    state.stop().is_none()
        && retry.covers(error)
        && used < retry.attempts
        && state.deadline_of(task.node).is_some()
}

/// The wait before another attempt; `None` if there is none.
fn retry_delay(
    state: &RunState,
    task: TaskId,
    name: &TaskRef,
    error: &StageError,
    now: Now,
) -> Option<Duration> {
    let retry = &state.graph().node(task.node).policy.retry;
    let used = state.task(task).map_or(0, |t| t.used) + 1;
    if !retry.covers(error)
        || used >= retry.attempts
        || matches!(state.stop(), Some(StopReason::Deadline | StopReason::FailFast))
    {
        return None;
    }
    let seed = format!("{name}/{used}/{}", now.wall.as_nanosecond());
    let asked = error.retry_after_ms.map(Duration::from_millis);
    let delay = retry.delay(used, draw(&seed), asked);
    match state.deadline_of(task.node) {
        Some(deadline) if now.elapsed.saturating_add(delay) >= deadline => None,
        _ => Some(delay),
    }
}

fn interrupt(state: &RunState, signal: String, again: bool) -> Decision {
    let reason = if again { CancelReason::Killed } else { CancelReason::Interrupted };
    let mut decision = stop_with(StopReason::Interrupted(signal), reason);
    if again && matches!(state.stop(), Some(StopReason::Interrupted(_))) {
        // The first signal's name is the one on record.
        decision.marks.clear();
    }
    decision
}

fn stop_with(stop: StopReason, cancel: CancelReason) -> Decision {
    Decision {
        marks: vec![Mark::Stopping(stop)],
        actions: vec![Action::CancelAll(cancel)],
        ..Decision::default()
    }
}

/// Wake-ups that a process owes the tasks that wait, when it takes a run up.
#[must_use]
pub fn owed_wakes(state: &RunState, now: Now) -> Vec<Action> {
    state
        .waiting()
        .filter_map(|task| match &state.task(task)?.phase {
            Phase::Waiting { at, delay } => {
                let left = now.wall.until(*at).ok().and_then(|s| Duration::try_from(s).ok());
                // A clock that was set back must not make the wait longer than it was.
                Some(Action::Wake { task, after: left.unwrap_or(Duration::ZERO).min(*delay) })
            }
            _ => None,
        })
        .collect()
}
