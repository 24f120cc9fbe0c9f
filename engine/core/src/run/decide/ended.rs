//! Attempts that begin and end: results, retries, fallbacks, and effects without an answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Action, Decision, Mark, News, Now, Origin, Outcome, StopReason};
use crate::call::Usage;
use crate::digest::Digest;
use crate::error::{ErrorClass, StageError};
use crate::graph::Work;
use crate::id::TaskId;
use crate::policy::draw;
use crate::run::event::{Awaited, Event, TaskRef};
use crate::run::memory::Kept;
use crate::run::state::RunState;
use crate::stage::CancelReason;

/// An attempt would begin. Its start must be written first, and synced if it acts on the world.
pub(super) fn begun(
    state: &RunState,
    task: TaskId,
    attempt: u32,
    key: Digest,
    intent: Option<Arc<str>>,
    cache_missed: bool,
) -> Decision {
    if !state.is_handed_out(task, attempt) {
        return Decision::default();
    }
    let name = state.task_ref(task);
    let mut decision = Decision::default();
    let proceed = if intent.is_some() { &mut decision.then } else { &mut decision.actions };
    proceed.push(Action::Proceed(task));
    if cache_missed {
        decision.events.push(Event::CacheMiss { task: name.clone(), key });
    }
    decision.events.push(Event::AttemptStarted { task: name, attempt, key, intent });
    decision
}

/// An attempt tells what it does.
pub(super) fn told(state: &RunState, task: TaskId, attempt: u32, news: News) -> Decision {
    let task = state.task_ref(task);
    let event = match news {
        News::Output(kept) => Event::OutputKept { task, attempt, kept },
        News::Process(process) => Event::ProcessStarted { task, attempt, process },
        News::Retry(retry) => Event::CallRetried { task, attempt, retry },
        News::Fallback(fallback) => Event::PassedOver { task, attempt, fallback },
    };
    Decision { events: vec![event], ..Decision::default() }
}

/// An attempt leaves something to later ones. One that was given up leaves nothing.
pub(super) fn remembers(
    state: &RunState,
    task: TaskId,
    key: Digest,
    name: String,
    kept: Kept,
) -> Decision {
    if !state.is_worked_at(task) {
        return Decision::default();
    }
    let event = Event::Remembered { task: state.task_ref(task), key, name, kept };
    Decision { events: vec![event], ..Decision::default() }
}

pub(super) fn ended(
    state: &RunState,
    task: TaskId,
    attempt: u32,
    outcome: Outcome,
    now: Now,
) -> Decision {
    // A late result of an attempt that was given up is refused.
    if !state.is_handed_out(task, attempt) {
        return Decision::default();
    }
    let name = state.task_ref(task);
    let mut decision = Decision { marks: vec![Mark::CameBack(task)], ..Decision::default() };
    match outcome {
        Outcome::Succeeded {
            key,
            outputs,
            payloads,
            duration_ms,
            warnings,
            usage,
            provisional,
        } => {
            decision.payloads = payloads;
            decision.events.push(Event::Succeeded {
                task: name,
                attempt,
                key,
                outputs,
                duration_ms,
                warnings,
                usage,
                provisional,
            });
        }
        Outcome::Reused { key, outputs, payloads, from } => {
            decision.payloads = payloads;
            let from = match from {
                Origin::ThisRun => "this run".to_owned(),
                Origin::Cache { run, made_at } => {
                    let from = run.to_string();
                    let hit = Event::CacheHit { task: name.clone(), key, from, made_at };
                    decision.events.push(hit);
                    format!("run {run}")
                }
            };
            decision.events.push(Event::Reused { task: name, key, outputs, from });
        }
        Outcome::Waits { key, delay, question } => {
            let at = delay.map(|delay| now.wall.checked_add(delay).unwrap_or(Timestamp::MAX));
            let delay_ms = delay.map_or(0, millis);
            let wait = Awaited { attempt, key, until: at, delay_ms, question };
            decision.events.push(Event::Waiting { task: name, wait: Box::new(wait) });
            decision.then.extend(delay.map(|after| Action::Wake { task, after }));
        }
        Outcome::Probed { happened, outputs, payloads, duration_ms } => {
            decision.marks.push(Mark::Probed(task));
            let by = "probe".to_owned();
            let settled = |happened| Event::EffectSettled { task: name.clone(), happened, by };
            match happened {
                None => {}
                Some(true) => {
                    // Only an attempt that began can be unknown, so its key is known.
                    let Some(key) = state.task(task).and_then(|t| t.key) else { return decision };
                    decision.payloads = payloads;
                    decision.events.push(settled(true));
                    decision.events.push(Event::Succeeded {
                        task: name,
                        attempt,
                        key,
                        outputs,
                        duration_ms,
                        warnings: Vec::new(),
                        usage: Usage::default(),
                        provisional: false,
                    });
                }
                Some(false) => {
                    decision.events.push(settled(false));
                    undone(state, task, &name, attempt, now, &mut decision);
                }
            }
        }
        Outcome::Skipped { reason } => {
            decision.events.push(Event::Skipped { task: name, reason });
        }
        Outcome::LetGo { mut error } => {
            let attempt = attempt - 1;
            error.attempt = attempt;
            decision.events.push(Event::Failed { task: name, attempt, error });
        }
        Outcome::Failed { error, begun, usage } => {
            let begun = begun.then_some(usage);
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
    used: Option<Usage>,
    now: Now,
    decision: &mut Decision,
) {
    let begun = used.is_some();
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
        usage: used.unwrap_or_default(),
    };
    let unknown = begun && is_unknown(state, task, &error);
    let repeats = state.graph().node(task.node).effect.as_ref().is_some_and(|e| e.idempotent);
    if unknown && !repeats {
        decision.events.push(attempt_failed(&error));
        left_unknown(state, name, attempt, error, decision);
        return;
    }
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
        try_again(task, name, if begun { attempt + 1 } else { attempt }, delay, now, decision);
        return;
    }
    if unknown {
        left_unknown(state, name, attempt, error, decision);
        return;
    }
    if let Some((variant, from, to)) = fallback(state, task, now) {
        decision.events.push(Event::FellBack { task: name.clone(), variant, from, to, error });
        return;
    }
    if cut_by_deadline(state, task, &error) {
        error.causes.push("the node's `deadline` leaves no time for another attempt".into());
    }
    let attempt = if begun { attempt } else { attempt - 1 };
    error.attempt = attempt;
    decision.events.push(Event::Failed { task: name.clone(), attempt, error });
    let dropped = task.item.is_some() && state.drops(task.node);
    let accepted = dropped || state.graph().node(task.node).optional;
    if !accepted {
        fail_fast(state, decision);
    }
}

fn fail_fast(state: &RunState, decision: &mut Decision) {
    let ends = state.stop().is_none() && state.closing().is_none();
    if state.graph().settings().fail_fast && ends {
        decision.marks.push(Mark::Stopping(StopReason::FailFast));
        decision.actions.push(Action::CancelAll(CancelReason::Cancelled));
    }
}

/// Whether an attempt that ended may have acted on the world without saying so.
fn is_unknown(state: &RunState, task: TaskId, error: &StageError) -> bool {
    state.graph().node(task.node).effect.is_some() && !error.is_answer()
}

fn left_unknown(
    state: &RunState,
    name: &TaskRef,
    attempt: u32,
    mut error: Box<StageError>,
    decision: &mut Decision,
) {
    error.retryable = false;
    error.hint = Some(format!(
        "find out whether it happened, and say so: `flow resolve RUN '{name}' --done` or `--not-done`"
    ));
    decision.events.push(Event::Unknown { task: name.clone(), attempt, error });
    fail_fast(state, decision);
}

fn try_again(
    task: TaskId,
    name: &TaskRef,
    attempt: u32,
    delay: Duration,
    now: Now,
    decision: &mut Decision,
) {
    let at = now.wall.checked_add(delay).unwrap_or(Timestamp::MAX);
    let delay_ms = millis(delay);
    decision.events.push(Event::RetryScheduled { task: name.clone(), attempt, delay_ms, at });
    decision.then.push(Action::Wake { task, after: delay });
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A probe found that an effect did not happen: its failure is an ordinary one.
fn undone(
    state: &RunState,
    task: TaskId,
    name: &TaskRef,
    attempt: u32,
    now: Now,
    decision: &mut Decision,
) {
    let last = state.task(task).and_then(|t| t.last_error.clone());
    let mut error = last.map_or_else(
        || StageError::new(ErrorClass::Process, "act", "the effect did not happen"),
        |error| error.as_ref().clone(),
    );
    error.unsent = true;
    error.hint = None;
    error.causes.push("the probe found that it did not happen".into());
    // An interrupted attempt says nothing of what a new one would do.
    let delay = match error.class {
        ErrorClass::Cancelled => Some(Duration::ZERO),
        _ => retry_delay(state, task, name, &error, now),
    };
    match delay {
        Some(delay) => try_again(task, name, attempt + 1, delay, now, decision),
        None => {
            let error = Box::new(error);
            decision.events.push(Event::Failed { task: name.clone(), attempt, error });
            fail_fast(state, decision);
        }
    }
}

/// The next fallback of a task, if there is one and time for it: its number, the stage that failed
/// and the one that takes its place.
fn fallback(state: &RunState, task: TaskId, now: Now) -> Option<(u32, String, String)> {
    let node = state.graph().node(task.node);
    let variant = state.task(task).map_or(0, |t| t.variant);
    let late = state.deadline_of(task.node).is_some_and(|deadline| now.elapsed >= deadline);
    if late || matches!(state.stop(), Some(stop) if !matches!(stop, StopReason::Interrupted(_))) {
        return None;
    }
    let next = node.fallbacks.get(variant as usize)?;
    let name = |work: &Work| work.stage.spec().name.to_owned();
    Some((variant + 1, name(node.variant(variant)), name(next)))
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
        || matches!(
            state.stop(),
            Some(StopReason::Deadline | StopReason::FailFast | StopReason::Cancelled)
        )
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
