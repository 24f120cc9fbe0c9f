//! What comes from outside the attempts: the clock, people, and the system.

use super::{Action, Decision, Mark, Now, StopReason};
use crate::call::Usage;
use crate::error::{ErrorClass, StageError};
use crate::id::TaskId;
use crate::run::event::{Awaited, Event, Outputs};
use crate::run::state::RunState;
use crate::stage::CancelReason;
use crate::store::InlinePayload;

/// The wait of a task is over: a retry may begin, a sleep is done, a question has had no answer.
pub(super) fn due(state: &RunState, task: TaskId, now: Now) -> Decision {
    let Some(awaited) = state.awaited(task) else {
        return Decision { marks: vec![Mark::Due(task)], ..Decision::default() };
    };
    if awaited.question.is_none() {
        return ends_wait(state, task, awaited, Outputs::new(), Vec::new(), now);
    }
    let error = StageError::new(
        ErrorClass::Timeout,
        "wait for an answer",
        "nobody answered within its timeout",
    )
    .hint("raise `timeout` of the node, or resume the run and answer: `flow approve RUN NODE`");
    fails_wait(state, task, awaited, Box::new(error))
}

/// A person answered.
pub(super) fn answered(
    state: &RunState,
    task: TaskId,
    answer: Result<(Outputs, Vec<InlinePayload>), Box<StageError>>,
    now: Now,
) -> Decision {
    let asks = |awaited: &&std::sync::Arc<Awaited>| awaited.question.is_some();
    let Some(awaited) = state.awaited(task).filter(asks) else { return Decision::default() };
    match answer {
        Ok((outputs, payloads)) => ends_wait(state, task, awaited, outputs, payloads, now),
        Err(error) => fails_wait(state, task, awaited, error),
    }
}

fn ends_wait(
    state: &RunState,
    task: TaskId,
    awaited: &Awaited,
    outputs: Outputs,
    payloads: Vec<InlinePayload>,
    now: Now,
) -> Decision {
    let began = state.task(task).and_then(|t| t.started_at).unwrap_or(now.wall);
    let waited =
        now.wall.since(began).ok().and_then(|span| span.total(jiff::Unit::Millisecond).ok());
    let event = Event::Succeeded {
        task: state.task_ref(task),
        attempt: awaited.attempt,
        key: awaited.key,
        outputs,
        // The clock may have been set back meanwhile.
        duration_ms: waited.map_or(0, |ms| ms.max(0.0) as u64),
        warnings: Vec::new(),
        usage: Usage::default(),
        provisional: false,
    };
    Decision {
        events: vec![event],
        payloads,
        marks: vec![Mark::Settling(task)],
        ..Decision::default()
    }
}

fn fails_wait(
    state: &RunState,
    task: TaskId,
    awaited: &Awaited,
    mut error: Box<StageError>,
) -> Decision {
    error.attempt = awaited.attempt;
    let event = Event::Failed { task: state.task_ref(task), attempt: awaited.attempt, error };
    Decision { events: vec![event], marks: vec![Mark::Settling(task)], ..Decision::default() }
}

/// A person found out whether an effect happened.
pub(super) fn settled(
    state: &RunState,
    task: TaskId,
    happened: Option<(Outputs, Vec<InlinePayload>)>,
    now: Now,
) -> Decision {
    let known = state.task(task).filter(|_| state.is_unknown(task));
    let Some((unknown, key)) = known.and_then(|t| Some((t, t.key?))) else {
        return Decision::default();
    };
    let name = state.task_ref(task);
    let by = "a person".to_owned();
    let mut decision = Decision { marks: vec![Mark::Settling(task)], ..Decision::default() };
    let settled = Event::EffectSettled { task: name.clone(), happened: happened.is_some(), by };
    decision.events.push(settled);
    match happened {
        Some((outputs, payloads)) => {
            decision.payloads = payloads;
            decision.events.push(Event::Succeeded {
                task: name,
                attempt: unknown.attempts,
                key,
                outputs,
                duration_ms: 0,
                warnings: Vec::new(),
                usage: Usage::default(),
                provisional: false,
            });
        }
        None => {
            // It may begin again at once, with all its attempts.
            decision.events.push(Event::RetryScheduled {
                task: name,
                attempt: unknown.attempts + 1,
                delay_ms: 0,
                at: now.wall,
            });
            decision.then.push(Action::Wake { task, after: std::time::Duration::ZERO });
        }
    }
    decision
}

/// A person cancels the run.
pub(super) fn cancel(state: &RunState) -> Decision {
    if state.closing().is_some() || state.stop().is_some() {
        return Decision::default();
    }
    stop_with(StopReason::Cancelled, CancelReason::Cancelled)
}

pub(super) fn interrupt(state: &RunState, signal: String, again: bool) -> Decision {
    let reason = if again { CancelReason::Killed } else { CancelReason::Interrupted };
    let mut decision = stop_with(StopReason::Interrupted(signal), reason);
    if again && matches!(state.stop(), Some(StopReason::Interrupted(_))) {
        // The first signal's name is the one on record.
        decision.marks.clear();
    }
    decision
}

pub(super) fn stop_with(stop: StopReason, cancel: CancelReason) -> Decision {
    Decision {
        marks: vec![Mark::Stopping(stop)],
        actions: vec![Action::CancelAll(cancel)],
        ..Decision::default()
    }
}
