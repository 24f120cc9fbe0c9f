//! Two runs, task by task: where they part, and where they come together again.

use std::collections::HashMap;
use std::mem::discriminant;

use crate::id::{NodeId, TaskId};
use crate::run::RunState;
use crate::run::event::{Outputs, TaskRef};
use crate::run::state::{Phase, Task, Tasks};

/// Which of two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first one.
    Before,
    /// The second one.
    After,
}

/// How a task of one run stands to that of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// The same key and the same end.
    Same,
    /// Its inputs are the same, and its key or its end is not: it begins here.
    Began,
    /// Its inputs differ, and so does what came of it.
    Followed,
    /// Its inputs differ, and the same came of it.
    Healed,
    /// Only one of the runs has it.
    Only(Side),
}

/// A task of two runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Its name.
    pub task: TaskRef,
    /// What it is in the first run.
    pub before: Option<TaskId>,
    /// What it is in the second run.
    pub after: Option<TaskId>,
    /// How they stand to each other.
    pub divergence: Divergence,
}

/// Compares all tasks of two runs, by the names of nodes and the keys of items, in the order of the
/// second graph; what only the first run has comes last. `same_inputs` is asked only about tasks
/// that are not the same.
pub fn compare(
    before: &RunState,
    after: &RunState,
    mut same_inputs: impl FnMut(TaskId, TaskId) -> bool,
) -> Vec<Compared> {
    let mut found = Vec::new();
    for node in after.graph().in_order() {
        let other = before.graph().find(&after.graph().node(node).name);
        let known = other.map(|other| by_item(before, other)).unwrap_or_default();
        for id in tasks(after, node) {
            let task = after.task_ref(id);
            let old = known.get(&item_of(&task)).copied();
            let divergence = match old {
                None => Divergence::Only(Side::After),
                Some(old) => divergence((before, old), (after, id), &mut same_inputs),
            };
            found.push(Compared { task, before: old, after: Some(id), divergence });
        }
    }
    for node in before.graph().in_order() {
        let other = after.graph().find(&before.graph().node(node).name);
        let known = other.map(|other| by_item(after, other)).unwrap_or_default();
        for id in tasks(before, node) {
            let task = before.task_ref(id);
            if !known.contains_key(&item_of(&task)) {
                let divergence = Divergence::Only(Side::Before);
                found.push(Compared { task, before: Some(id), after: None, divergence });
            }
        }
    }
    found
}

fn divergence(
    (before, old): (&RunState, TaskId),
    (after, new): (&RunState, TaskId),
    same_inputs: &mut impl FnMut(TaskId, TaskId) -> bool,
) -> Divergence {
    let (Some(was), Some(is)) = (before.task(old), after.task(new)) else {
        return Divergence::Same;
    };
    let same_end = same_end(was, is);
    if same_end && key(was) == key(is) {
        return Divergence::Same;
    }
    match (same_inputs(old, new), same_end) {
        (true, _) => Divergence::Began,
        (false, true) => Divergence::Healed,
        (false, false) => Divergence::Followed,
    }
}

/// The key of what came of a task, else of its latest attempt.
fn key(task: &Task) -> Option<crate::digest::Digest> {
    match &task.phase {
        Phase::Succeeded(done) => Some(done.key),
        _ => task.key,
    }
}

/// Whether the same came of two tasks. What has not ended has come to nothing yet.
fn same_end(was: &Task, is: &Task) -> bool {
    match (&was.phase, &is.phase) {
        (Phase::Succeeded(was), Phase::Succeeded(is)) => same_outputs(&was.outputs, &is.outputs),
        (was, is) if was.is_over() || is.is_over() => discriminant(was) == discriminant(is),
        _ => true,
    }
}

/// Whether two tasks have the same payloads on the same ports.
fn same_outputs(was: &Outputs, is: &Outputs) -> bool {
    was.len() == is.len()
        && was.iter().zip(is).all(|((a, x), (b, y))| a == b && x.digest == y.digest)
}

/// The tasks of a node.
fn tasks(state: &RunState, node: NodeId) -> Vec<TaskId> {
    match &state.node(node).tasks {
        Tasks::One(_) => vec![TaskId::whole(node)],
        Tasks::Unresolved => Vec::new(),
        Tasks::Items(items) => (0..items.len() as u32).map(|i| TaskId::item(node, i)).collect(),
    }
}

/// The tasks of a node by the keys of their items.
fn by_item(state: &RunState, node: NodeId) -> HashMap<Option<std::sync::Arc<str>>, TaskId> {
    tasks(state, node).into_iter().map(|id| (item_of(&state.task_ref(id)), id)).collect()
}

fn item_of(task: &TaskRef) -> Option<std::sync::Arc<str>> {
    task.item.as_ref().map(|item| item.key.clone())
}
