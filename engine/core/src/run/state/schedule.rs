//! What the decisions ask of a state: what may start, what is on its way, and whether anything is left.

use std::time::Duration;

use super::{RunState, Task, Tasks};
use crate::id::{NodeId, TaskId};
use crate::run::decide::StopReason;

impl RunState {
    pub(in crate::run) fn ready(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.ready.iter().map(|(_, task)| *task)
    }

    pub(in crate::run) fn free_slots(&self) -> u32 {
        self.slots.saturating_sub(self.in_use)
    }

    pub(in crate::run) fn node_room(&self, node: NodeId) -> u32 {
        let limit = self.graph.node(node).fan.as_ref().and_then(|f| f.max_parallel);
        limit.map_or(u32::MAX, |n| n.saturating_sub(self.nodes[node.index()].running))
    }

    pub(in crate::run) fn unresolved(&self) -> impl Iterator<Item = usize> + '_ {
        self.unresolved.iter().copied().filter(|g| !self.resolving.contains(g))
    }

    pub(in crate::run) fn to_gather(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.to_gather.iter().copied().filter(|n| !self.gathering.contains(n))
    }

    pub(in crate::run) fn waiting(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.waiting.iter().copied()
    }

    /// Whether nothing is on its way: neither handed out, nor being recorded.
    pub(in crate::run) fn is_quiet(&self) -> bool {
        self.handed_out.is_empty()
            && self.settling == 0
            && self.resolving.is_empty()
            && self.gathering.is_empty()
    }

    /// Whether nothing is on its way, nothing can start, and nothing is waited for.
    pub(in crate::run) fn is_exhausted(&self) -> bool {
        self.is_quiet() && self.nothing_to_start() && self.awaiting.is_empty()
    }

    /// Whether nothing is on its way and nothing can start.
    pub(in crate::run) fn is_idle(&self) -> bool {
        self.is_quiet() && self.nothing_to_start()
    }

    pub(super) fn nothing_to_start(&self) -> bool {
        self.ready.is_empty()
            && self.waiting.is_empty()
            && self.unresolved.is_empty()
            && self.to_gather.is_empty()
            && self.to_probe.is_empty()
            && self.gates.iter().all(|gate| gate.queue.is_empty())
    }

    pub(in crate::run) fn has_failures(&self) -> bool {
        self.failed > 0 || !self.unknown.is_empty()
    }

    pub(in crate::run) fn is_unknown(&self, task: TaskId) -> bool {
        self.unknown.contains(&task)
    }

    /// Whether this process leaves when only waiting is left.
    pub(in crate::run) fn leaves_waits(&self) -> bool {
        self.leaves_waits
    }

    pub(in crate::run) fn to_probe(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.to_probe.iter().copied().filter(|task| !self.handed_out.contains_key(task))
    }

    /// Whether a task in front of this gate may ask to be let through.
    pub(in crate::run) fn gate_admits(&self, gate: usize) -> bool {
        self.gates.get(gate).is_none_or(|gate| !gate.closed && gate.asking.is_none())
    }

    pub(in crate::run) fn is_asking(&self, task: TaskId) -> bool {
        let gate = self.graph.node(task.node).gate.and_then(|gate| self.gates.get(gate));
        gate.is_some_and(|gate| gate.asking == Some(task))
    }

    /// How many ready tasks stand in front of each gate.
    pub fn queue_lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.gates.iter().map(|gate| gate.queue.len())
    }

    /// Ready tasks in front of gates.
    pub(in crate::run) fn queued(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.gates.iter().flat_map(|gate| gate.queue.iter().map(|(_, task)| *task))
    }

    /// Nodes that always run and have not ended in this invocation.
    pub(in crate::run) fn open_always(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.graph.always().iter().copied().filter(|id| {
            let over = |task: &Task| task.phase.is_over();
            self.wanted[id.index()]
                && matches!(&self.nodes[id.index()].tasks, Tasks::One(task) if !over(task))
        })
    }

    /// How many attempts of a task are on record as begun.
    pub(in crate::run) fn attempts_of(&self, task: TaskId) -> u32 {
        self.task(task).map_or(0, |task| task.attempts)
    }

    /// Whether any attempt of a task is being worked at.
    pub(in crate::run) fn is_worked_at(&self, task: TaskId) -> bool {
        self.handed_out.contains_key(&task)
    }

    /// Whether this attempt of a task is the one that is being worked at.
    pub(in crate::run) fn is_handed_out(&self, task: TaskId, attempt: u32) -> bool {
        self.handed_out.get(&task) == Some(&attempt)
    }

    pub(in crate::run) fn deadline_of(&self, node: NodeId) -> Option<Duration> {
        self.deadlines.get(&node).copied()
    }

    pub(in crate::run) fn stop(&self) -> Option<&StopReason> {
        self.stop.as_ref()
    }
}
