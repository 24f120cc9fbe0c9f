//! Marks: what this process has done since it took the run up. Never recorded, because a crash
//! leaves nothing of it.

use std::cmp::Reverse;

use super::decide::{Mark, StopReason};
use super::event::RunEnd;
use super::state::{GateState, RunState};
use crate::id::{NodeId, TaskId};

impl RunState {
    /// Notes what this process has done. Never recorded.
    pub fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::HandedOut { task, deadline } => {
                self.unready(*task);
                self.waiting.remove(task);
                if let Some(gate) = self.gate_mut(task.node) {
                    gate.asking = Some(*task);
                }
                self.in_use += 1;
                self.nodes[task.node.index()].running += 1;
                self.handed_out.insert(*task, self.attempts_of(*task) + 1);
                if let Some(deadline) = deadline {
                    self.deadlines.entry(task.node).or_insert(*deadline);
                }
            }
            Mark::Parked(task) => {
                self.unready(*task);
                self.nodes[task.node.index()].parked.push_back(*task);
            }
            Mark::Settling(task) => {
                self.unready(*task);
                self.awaiting.remove(task);
                self.unknown.remove(task);
                self.settling += 1;
            }
            Mark::Queued(task) => {
                self.unready(*task);
                let place = (Reverse(self.graph.node(task.node).policy.priority), *task);
                if let Some(gate) = self.gate_mut(task.node) {
                    gate.queue.insert(place);
                }
            }
            Mark::Admitted(task) => {
                if let Some(gate) = self.gate_mut(task.node) {
                    gate.asking = None;
                }
                self.call_next(self.graph.node(task.node).gate);
            }
            Mark::Refused(task) => self.refuse(*task),
            Mark::GateOpened(gate) => {
                if let Some(state) = self.gates.get_mut(*gate) {
                    state.closed = false;
                }
                self.call_next(Some(*gate));
            }
            Mark::Probing(task) => {
                self.in_use += 1;
                self.nodes[task.node.index()].running += 1;
                self.handed_out.insert(*task, self.attempts_of(*task));
            }
            Mark::Probed(task) => {
                self.to_probe.remove(task);
            }
            Mark::Closing(end) => self.close(*end),
            Mark::CameBack(task) => {
                self.give_back(*task);
                self.settling += 1;
            }
            Mark::Finishing => self.settling += 1,
            Mark::Settled => self.settling = self.settling.saturating_sub(1),
            Mark::Resolving(group) => {
                self.resolving.insert(*group);
            }
            Mark::Gathering(node) => {
                self.gathering.insert(*node);
            }
            Mark::Due(task) => {
                if self.waiting.remove(task) {
                    self.make_ready(*task);
                }
            }
            Mark::Stopping(reason) => self.stop = Some(reason.clone()),
        }
    }

    /// A task holds no slot any more; the next item of its node may have it.
    fn give_back(&mut self, task: TaskId) {
        self.handed_out.remove(&task);
        self.in_use = self.in_use.saturating_sub(1);
        let node = &mut self.nodes[task.node.index()];
        node.running = node.running.saturating_sub(1);
        if let Some(next) = node.parked.pop_front() {
            self.make_ready(next);
        }
        let asked = self.gate_mut(task.node).filter(|gate| gate.asking == Some(task));
        if let Some(gate) = asked {
            gate.asking = None;
            self.call_next(self.graph.node(task.node).gate);
        }
    }

    /// A task was not let through: it goes back to the head of the queue, and the gate is closed.
    fn refuse(&mut self, task: TaskId) {
        let place = (Reverse(self.graph.node(task.node).policy.priority), task);
        if let Some(gate) = self.gate_mut(task.node) {
            gate.closed = true;
            gate.queue.insert(place);
        }
        self.give_back(task);
    }

    /// Lets the first task in front of an open gate ask. One at a time: each answer is known before
    /// the next question.
    fn call_next(&mut self, gate: Option<usize>) {
        let Some(gate) = gate.and_then(|gate| self.gates.get_mut(gate)) else { return };
        if gate.closed || gate.asking.is_some() {
            return;
        }
        if let Some((_, next)) = gate.queue.pop_first() {
            self.make_ready(next);
        }
    }

    fn gate_mut(&mut self, node: NodeId) -> Option<&mut GateState> {
        self.graph.node(node).gate.and_then(|gate| self.gates.get_mut(gate))
    }

    /// All that the run is for has ended: what is left belongs to another invocation, and the nodes
    /// that always run may start.
    fn close(&mut self, end: RunEnd) {
        self.closing = Some(end);
        if !matches!(self.stop, Some(StopReason::Interrupted(_))) {
            self.stop = None;
        }
        self.ready.clear();
        self.waiting.clear();
        self.awaiting.clear();
        self.unresolved.clear();
        self.to_gather.clear();
        self.to_probe.clear();
        self.gates.iter_mut().for_each(|gate| gate.queue.clear());
        self.nodes.iter_mut().for_each(|node| node.parked.clear());
        let open: Vec<NodeId> =
            self.open_always().filter(|id| self.nodes[id.index()].waits == 0).collect();
        for id in open {
            self.open_node(id);
        }
    }

    pub(super) fn unready(&mut self, task: TaskId) {
        let place = (Reverse(self.graph.node(task.node).policy.priority), task);
        if !self.ready.remove(&place)
            && let Some(gate) = self.gate_mut(task.node)
        {
            gate.queue.remove(&place);
        }
    }

    pub(super) fn make_ready(&mut self, task: TaskId) {
        let priority = self.graph.node(task.node).policy.priority;
        self.ready.insert((Reverse(priority), task));
    }
}
