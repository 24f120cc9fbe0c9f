//! The critical path: of all chains of tasks that waited for each other, the one whose attempts
//! took longest.

use flow_core::id::{NodeId, TaskId};
use flow_core::run::RunState;
use flow_core::run::state::{Phase, Task, Tasks};

use crate::report::text::millis_between;

/// A chain of tasks, in the order they ran, and its time in milliseconds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) ms: u64,
}

/// The best chain that ends with a task.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    ms: u64,
    before: Option<TaskId>,
}

/// Time that a task took in the run's latest invocation, from its first attempt to its end: its
/// retries, and the waits between them, held up what came after as well.
pub(crate) fn spent(task: &Task, invocation: u32) -> u64 {
    if task.ended_in != invocation || task.reused {
        return 0;
    }
    let span = task.started_at.zip(task.finished_at);
    let span = span.map_or(0, |(from, to)| millis_between(from, to));
    match &task.phase {
        // What began in an earlier invocation was idle in between.
        Phase::Succeeded(done) if task.attempts == 1 => done.duration_ms,
        Phase::Succeeded(_) | Phase::Failed(_) => span,
        _ => 0,
    }
}

/// The critical path of the latest invocation.
pub(crate) fn critical(state: &RunState) -> Path {
    let graph = state.graph();
    let mut ends: Vec<Vec<End>> = vec![Vec::new(); graph.nodes().len()];
    // The best of each node, for those who wait for all of it.
    let mut whole: Vec<(u64, Option<TaskId>)> = vec![(0, None); graph.nodes().len()];
    for id in graph.in_order() {
        let needs = &graph.node(id).needs;
        let outer =
            needs.iter().filter(|need| !need.same_item).map(|need| whole[need.node.index()]);
        let outer = outer.max_by_key(|(ms, _)| *ms).unwrap_or_default();
        let tasks = match &state.node(id).tasks {
            Tasks::One(task) => std::slice::from_ref(task),
            Tasks::Items(items) => items,
            Tasks::Unresolved => &[],
        };
        let mut own = Vec::with_capacity(tasks.len());
        for (index, task) in tasks.iter().enumerate() {
            let same = needs.iter().filter(|need| need.same_item).filter_map(|need| {
                let end = ends[need.node.index()].get(index)?;
                Some((end.ms, Some(task_id(state, need.node, index))))
            });
            let (before, task_before) =
                same.fold(outer, |best, one| if one.0 > best.0 { one } else { best });
            let ms = before + spent(task, state.invocation());
            own.push(End { ms, before: task_before });
        }
        // What has no task yet passes on what it waited for.
        let best = own.iter().enumerate().max_by_key(|(_, end)| end.ms);
        whole[id.index()] =
            best.map_or(outer, |(index, end)| (end.ms, Some(task_id(state, id, index))));
        ends[id.index()] = own;
    }
    let (ms, mut at) = whole.into_iter().max_by_key(|(ms, _)| *ms).unwrap_or_default();
    let mut tasks = Vec::new();
    while let Some(task) = at {
        if state.task(task).is_some_and(|task| spent(task, state.invocation()) > 0) {
            tasks.push(task);
        }
        let place = task.item.map_or(0, |item| item as usize);
        at = ends[task.node.index()].get(place).and_then(|end| end.before);
    }
    tasks.reverse();
    Path { tasks, ms }
}

fn task_id(state: &RunState, node: NodeId, index: usize) -> TaskId {
    match (&state.node(node).tasks, u32::try_from(index)) {
        (Tasks::Items(_), Ok(index)) => TaskId::item(node, index),
        _ => TaskId::whole(node),
    }
}
