//! What can go on: tasks are handed out, lists read, ended nodes gathered, and the end is noticed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Action, Decision, Ending, Mark, Now, StopReason};
use crate::error::{ErrorClass, StageError};
use crate::graph::Source;
use crate::id::{NodeId, TaskId};
use crate::run::event::{Event, RunEnd};
use crate::run::state::{Phase, RunState, Tasks};

/// Hands out ready tasks, gathers ended nodes, and notices the end.
pub(super) fn schedule(state: &RunState, now: Now) -> Decision {
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
    hand_out_probes(state, &mut decision);
    hand_out(state, now, &mut decision);
    if state.is_exhausted() {
        let end = if state.has_failures() { RunEnd::Failed } else { RunEnd::Succeeded };
        close(state, end, &mut decision);
    } else if state.leaves_waits() && state.is_idle() {
        decision.marks.push(Mark::Finishing);
        decision.then.push(Action::Finish(Ending::Waiting));
    }
    decision
}

/// Ends the run, after the nodes that always run.
fn close(state: &RunState, end: RunEnd, decision: &mut Decision) {
    match state.closing() {
        None if state.open_always().next().is_some() => {
            decision.marks.push(Mark::Closing(end));
            decision.actions.push(Action::Again);
        }
        None => finish(end, decision),
        // A failure of what always runs is a failure of the run.
        Some(RunEnd::Succeeded) => finish(end, decision),
        Some(known) => finish(known, decision),
    }
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
        StopReason::Cancelled => {
            cancel_what_waits(state, decision);
            close(state, RunEnd::Cancelled, decision);
        }
        StopReason::FailFast | StopReason::Deadline => {
            // Whatever could still be gathered belongs to the next invocation.
            let end = match stop {
                StopReason::Deadline if state.is_exhausted() && !state.has_failures() => {
                    RunEnd::Succeeded
                }
                _ => RunEnd::Failed,
            };
            close(state, end, decision);
        }
        StopReason::Store(error) => {
            decision.marks.push(Mark::Finishing);
            decision.then.push(Action::Finish(Ending::StoreFailed(error.clone())));
        }
    }
}

/// Tasks that could start, or wait for something that would let them.
fn open_tasks(state: &RunState) -> Vec<TaskId> {
    state.waiting().chain(state.ready()).chain(state.queued()).chain(state.awaiting()).collect()
}

fn cancel_what_waits(state: &RunState, decision: &mut Decision) {
    for task in open_tasks(state) {
        let attempt = state.attempts_of(task);
        decision.marks.push(Mark::Settling(task));
        decision.events.push(Event::Cancelled { task: state.task_ref(task), attempt });
    }
}

/// Fails what the run's deadline leaves no time for; false if there is nothing.
fn settle_late(state: &RunState, decision: &mut Decision) -> bool {
    let late = open_tasks(state);
    for task in &late {
        let attempt = state.attempts_of(*task);
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
    let outside = state.graph().groups()[group].within;
    let never_began = outside.and_then(|within| state.never_began(within, None));
    let present = |node, port: &str, take| state.has_output(node, port, take, None);
    if never_began.is_none() && list.is_satisfied(&present) {
        decision.actions.push(Action::Resolve(group));
        return;
    }
    let reason = never_began.unwrap_or_else(|| "the list that it runs over is absent".into());
    for &member in &state.graph().groups()[group].members {
        decision.events.push(Event::NodeSkipped {
            node: Arc::clone(&state.graph().node(member).name),
            reason: reason.to_string(),
        });
    }
}

pub(super) fn resolved(
    state: &RunState,
    group: usize,
    keys: Result<Vec<Arc<str>>, StageError>,
) -> Decision {
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

/// Probes go first: what they find out lets work go on that was begun long ago.
fn hand_out_probes(state: &RunState, decision: &mut Decision) {
    for task in state.to_probe().take(state.free_slots() as usize) {
        let attempt = state.attempts_of(task);
        decision.marks.push(Mark::Probing(task));
        decision.actions.push(Action::Probe { task, attempt });
    }
}

fn hand_out(state: &RunState, now: Now, decision: &mut Decision) {
    let mut slots = state.free_slots().saturating_sub(decision.actions.len() as u32);
    let mut asked: BTreeSet<usize> = BTreeSet::new();
    let mut taken: std::collections::HashMap<NodeId, u32> = std::collections::HashMap::new();
    for task in state.ready() {
        if let Some(error) = state.failed_inside(task) {
            decision.marks.push(Mark::Settling(task));
            let task = state.task_ref(task);
            decision.events.push(Event::Failed { task, attempt: 0, error: Box::new(error) });
            continue;
        }
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
        // One task at a time asks a gate; the others stand in front of it.
        if let Some(gate) = state.graph().node(task.node).gate
            && !(state.gate_admits(gate) && asked.insert(gate))
        {
            decision.marks.push(Mark::Queued(task));
            continue;
        }
        *room += 1;
        slots -= 1;
        start(state, task, now, decision);
    }
}

fn start(state: &RunState, task: TaskId, now: Now, decision: &mut Decision) {
    let node = state.graph().node(task.node);
    let policy = &node.policy;
    let variant = state.task(task).map_or(0, |t| t.variant);
    let own_timeout = node.variant(variant).timeout.or(policy.timeout);
    let deadline = state
        .deadline_of(task.node)
        .or_else(|| policy.deadline.map(|d| now.elapsed.saturating_add(d)));
    let left = deadline.map(|d| d.saturating_sub(now.elapsed));
    let by_deadline = match (left, own_timeout) {
        (Some(left), Some(timeout)) => left < timeout,
        (left, _) => left.is_some(),
    };
    let timeout = if by_deadline { left } else { own_timeout };
    let attempt = state.attempts_of(task) + 1;
    decision.marks.push(Mark::HandedOut { task, deadline });
    decision.actions.push(Action::Start { task, attempt, timeout, by_deadline });
}

/// Why a task cannot run although all that it needs has ended: an input that must be there is
/// absent.
fn absent_input(state: &RunState, task: TaskId) -> Option<String> {
    let node = state.graph().node(task.node);
    if let Some(reason) = node.within.and_then(|within| state.never_began(within, task.item)) {
        return Some(reason.to_string());
    }
    let present = |producer, port: &str, take| state.has_output(producer, port, take, task.item);
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
