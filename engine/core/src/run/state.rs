//! The state of a run: the fold of its events, with what is ready kept at hand so that no step
//! looks at all nodes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::decide::{Mark, StopReason};
use super::event::{Event, ItemRef, Outputs, Recorded, RunEnd, TaskRef};
use crate::definition::OnItemFailure;
use crate::digest::Digest;
use crate::error::StageError;
use crate::graph::{Graph, Take};
use crate::id::{NodeId, TaskId};

/// The result of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Digest of all that the result depends on.
    pub key: Digest,
    /// The outputs by port.
    pub outputs: Outputs,
    /// How long the attempt took, in milliseconds; 0 where it was reused.
    pub duration_ms: u64,
}

/// Where a task is.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Something that it needs has not ended.
    Pending,
    /// Nothing holds it back but a slot.
    Ready,
    /// An attempt is on record as begun.
    Running,
    /// The next attempt begins later.
    Waiting {
        /// When, by the wall clock.
        at: Timestamp,
        /// The whole wait, which no clock can make longer.
        delay: Duration,
    },
    /// Done.
    Succeeded(Arc<Done>),
    /// It did not run.
    Skipped(Arc<str>),
    /// It failed for good.
    Failed(Arc<StageError>),
    /// It was stopped because the run is cancelled or fails fast.
    Cancelled,
}

impl Phase {
    /// Whether nothing more happens to the task by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded(_) | Self::Skipped(_) | Self::Failed(_) | Self::Cancelled)
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Where it is.
    pub phase: Phase,
    /// Attempts that were begun in this run, all invocations together.
    pub attempts: u32,
    /// Attempts that count against the retry policy.
    pub used: u32,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The invocation that ended it, from 1.
    pub ended_in: u32,
    /// Whether its result was taken from an earlier checkpoint.
    pub reused: bool,
    /// The failure of its latest attempt.
    pub last_error: Option<Arc<StageError>>,
    /// Same items of other nodes that have not ended.
    item_waits: u32,
}

impl Task {
    fn new(item_waits: u32) -> Self {
        Self {
            phase: Phase::Pending,
            attempts: 0,
            used: 0,
            started_at: None,
            finished_at: None,
            ended_in: 0,
            reused: false,
            last_error: None,
            item_waits,
        }
    }
}

/// The tasks of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Tasks {
    /// It is not fanned out.
    One(Task),
    /// It is fanned out and its list is not known yet.
    Unresolved,
    /// One task for each item.
    Items(Vec<Task>),
}

/// How a fanned-out node ended as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Whole {
    /// Some item has not ended, or the node is not fanned out.
    Open,
    /// Gathered.
    Succeeded,
    /// Did not run.
    Skipped(Arc<str>),
    /// Failed.
    Failed(Arc<StageError>),
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeState {
    /// Its tasks.
    pub tasks: Tasks,
    /// How it ended as a whole, if it is fanned out.
    pub whole: Whole,
    /// When it ended as a whole.
    pub finished_at: Option<Timestamp>,
    /// The invocation that ended it as a whole.
    pub ended_in: u32,
    /// Needed nodes that have not ended well.
    waits: u32,
    /// Items that have not ended.
    open_items: u32,
    /// Items handed out.
    running: u32,
    /// Ready items over the node's own limit.
    parked: VecDeque<TaskId>,
}

/// How a run stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunPhase {
    /// Not finished.
    Open,
    /// Stopped by a signal and resumable.
    Interrupted,
    /// Finished.
    Finished(RunEnd),
}

/// The state of a run.
#[derive(Clone)]
pub struct RunState {
    graph: Arc<Graph>,
    /// Which nodes are wanted.
    wanted: Vec<bool>,
    nodes: Vec<NodeState>,
    items: Vec<Option<Arc<Vec<ItemRef>>>>,
    phase: RunPhase,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    invocation: u32,
    last_seq: u64,
    ready: BTreeSet<(Reverse<i64>, TaskId)>,
    /// Fanned-out nodes that are open and whose list must be read.
    unresolved: BTreeSet<usize>,
    /// Fanned-out nodes whose items have all ended.
    to_gather: BTreeSet<NodeId>,
    waiting: BTreeSet<TaskId>,
    failed: u32,
    // What this process has done since it took the run up.
    slots: u32,
    in_use: u32,
    handed_out: BTreeMap<TaskId, ()>,
    settling: u32,
    resolving: BTreeSet<usize>,
    gathering: BTreeSet<NodeId>,
    deadlines: BTreeMap<NodeId, Duration>,
    stop: Option<StopReason>,
}

impl RunState {
    /// The state before the first event. `only` limits the run to a node and its ancestors;
    /// `slots` tasks run at once.
    #[must_use]
    pub fn new(graph: Arc<Graph>, only: Option<NodeId>, slots: u32) -> Self {
        let mut wanted = vec![only.is_none(); graph.nodes().len()];
        for id in only.into_iter().flat_map(|node| graph.ancestors(node)) {
            wanted[id.index()] = true;
        }
        let nodes = graph
            .nodes()
            .iter()
            .map(|node| NodeState {
                tasks: match node.fan {
                    None => Tasks::One(Task::new(0)),
                    Some(_) => Tasks::Unresolved,
                },
                whole: Whole::Open,
                finished_at: None,
                ended_in: 0,
                waits: node.needs.iter().filter(|n| !n.same_item).count() as u32,
                open_items: 0,
                running: 0,
                parked: VecDeque::new(),
            })
            .collect();
        let items = vec![None; graph.groups().len()];
        let mut state = Self {
            graph,
            wanted,
            nodes,
            items,
            phase: RunPhase::Open,
            started_at: None,
            finished_at: None,
            invocation: 0,
            last_seq: 0,
            ready: BTreeSet::new(),
            unresolved: BTreeSet::new(),
            to_gather: BTreeSet::new(),
            waiting: BTreeSet::new(),
            failed: 0,
            slots,
            in_use: 0,
            handed_out: BTreeMap::new(),
            settling: 0,
            resolving: BTreeSet::new(),
            gathering: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            stop: None,
        };
        let open: Vec<NodeId> =
            state.graph.ids().filter(|id| state.nodes[id.index()].waits == 0).collect();
        for id in open {
            state.open_node(id);
        }
        state
    }

    // What is known.

    /// The graph that the run executes.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &NodeState {
        &self.nodes[id.index()]
    }

    /// Whether the node is part of what is wanted.
    #[must_use]
    pub fn is_wanted(&self, id: NodeId) -> bool {
        self.wanted[id.index()]
    }

    /// A task, if it exists.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        match (&self.nodes.get(id.node.index())?.tasks, id.item) {
            (Tasks::One(task), None) => Some(task),
            (Tasks::Items(items), Some(index)) => items.get(index as usize),
            _ => None,
        }
    }

    /// The items of a fanned-out node, once known.
    #[must_use]
    pub fn items(&self, node: NodeId) -> Option<&Arc<Vec<ItemRef>>> {
        let fan = self.graph.node(node).fan.as_ref()?;
        self.items[fan.group].as_ref()
    }

    /// How the run stands.
    #[must_use]
    pub fn phase(&self) -> RunPhase {
        self.phase
    }

    /// When the run began.
    #[must_use]
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When the run ended.
    #[must_use]
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.finished_at
    }

    /// How often a process took the run up.
    #[must_use]
    pub fn invocation(&self) -> u32 {
        self.invocation
    }

    /// Whether any task is handed out.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.handed_out.is_empty()
    }

    /// Number of the latest event.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The name of a task.
    #[must_use]
    pub fn task_ref(&self, id: TaskId) -> TaskRef {
        let item = id.item.and_then(|index| self.items(id.node)?.get(index as usize)).cloned();
        TaskRef { node: Arc::clone(&self.graph.node(id.node).name), item }
    }

    /// The task with this name.
    #[must_use]
    pub fn find(&self, task: &TaskRef) -> Option<TaskId> {
        let node = self.graph.find(&task.node)?;
        Some(TaskId { node, item: task.item.as_ref().map(|i| i.index) })
    }

    /// The outputs of a task that is done.
    #[must_use]
    pub fn done(&self, id: TaskId) -> Option<&Arc<Done>> {
        match &self.task(id)?.phase {
            Phase::Succeeded(done) => Some(done),
            _ => None,
        }
    }

    /// Whether the outputs of a node, or of one of its items, are there.
    #[must_use]
    pub fn is_present(&self, node: NodeId, take: Take, item: Option<u32>) -> bool {
        match take {
            Take::Whole => self.done(TaskId::whole(node)).is_some(),
            Take::SameItem => self.done(TaskId { node, item }).is_some(),
            Take::Gather => self.nodes[node.index()].whole == Whole::Succeeded,
        }
    }

    /// Nodes that failed and hold this one back, directly or not.
    #[must_use]
    pub fn blocked_by(&self, node: NodeId) -> Vec<NodeId> {
        let mut seen = BTreeSet::new();
        let mut stack: Vec<NodeId> = self.graph.node(node).needs.iter().map(|n| n.node).collect();
        let mut found = BTreeSet::new();
        while let Some(at) = stack.pop() {
            if !seen.insert(at) {
                continue;
            }
            if self.has_failed(at) {
                found.insert(at);
            } else if !self.ended_well(at) {
                stack.extend(self.graph.node(at).needs.iter().map(|n| n.node));
            }
        }
        found.into_iter().collect()
    }

    /// Whether a node failed for good.
    #[must_use]
    pub fn has_failed(&self, node: NodeId) -> bool {
        let state = &self.nodes[node.index()];
        match &state.tasks {
            Tasks::One(task) => matches!(task.phase, Phase::Failed(_)),
            _ => matches!(state.whole, Whole::Failed(_)),
        }
    }

    /// Whether a node ended and lets its dependents go on.
    #[must_use]
    pub fn ended_well(&self, node: NodeId) -> bool {
        let state = &self.nodes[node.index()];
        match &state.tasks {
            Tasks::One(task) => matches!(task.phase, Phase::Succeeded(_) | Phase::Skipped(_)),
            _ => matches!(state.whole, Whole::Succeeded | Whole::Skipped(_)),
        }
    }

    // What decide asks.

    pub(super) fn ready(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.ready.iter().map(|(_, task)| *task)
    }

    pub(super) fn free_slots(&self) -> u32 {
        self.slots.saturating_sub(self.in_use)
    }

    pub(super) fn node_room(&self, node: NodeId) -> u32 {
        let limit = self.graph.node(node).fan.as_ref().and_then(|f| f.max_parallel);
        limit.map_or(u32::MAX, |n| n.saturating_sub(self.nodes[node.index()].running))
    }

    pub(super) fn unresolved(&self) -> impl Iterator<Item = usize> + '_ {
        self.unresolved.iter().copied().filter(|g| !self.resolving.contains(g))
    }

    pub(super) fn to_gather(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.to_gather.iter().copied().filter(|n| !self.gathering.contains(n))
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.waiting.iter().copied()
    }

    /// Whether nothing is on its way: neither handed out, nor being recorded.
    pub(super) fn is_quiet(&self) -> bool {
        self.handed_out.is_empty()
            && self.settling == 0
            && self.resolving.is_empty()
            && self.gathering.is_empty()
    }

    /// Whether nothing is on its way and nothing can start.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_quiet()
            && self.ready.is_empty()
            && self.waiting.is_empty()
            && self.unresolved.is_empty()
            && self.to_gather.is_empty()
    }

    pub(super) fn has_failures(&self) -> bool {
        self.failed > 0
    }

    pub(super) fn is_handed_out(&self, task: TaskId) -> bool {
        self.handed_out.contains_key(&task)
    }

    pub(super) fn deadline_of(&self, node: NodeId) -> Option<Duration> {
        self.deadlines.get(&node).copied()
    }

    pub(super) fn stop(&self) -> Option<&StopReason> {
        self.stop.as_ref()
    }

    // Marks.

    /// Notes what this process has done. Never recorded.
    pub fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::HandedOut { task, deadline } => {
                self.unready(*task);
                self.waiting.remove(task);
                self.in_use += 1;
                self.nodes[task.node.index()].running += 1;
                self.handed_out.insert(*task, ());
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
                self.settling += 1;
            }
            Mark::CameBack(task) => {
                self.handed_out.remove(task);
                self.in_use = self.in_use.saturating_sub(1);
                self.settling += 1;
                let node = &mut self.nodes[task.node.index()];
                node.running = node.running.saturating_sub(1);
                if let Some(next) = node.parked.pop_front() {
                    self.make_ready(next);
                }
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

    fn unready(&mut self, task: TaskId) {
        let priority = self.graph.node(task.node).policy.priority;
        self.ready.remove(&(Reverse(priority), task));
    }

    fn make_ready(&mut self, task: TaskId) {
        let priority = self.graph.node(task.node).policy.priority;
        self.ready.insert((Reverse(priority), task));
    }

    // Facts.

    /// Folds a fact into the state. The driver calls it once the fact is durable; replay calls it
    /// for every fact of a journal.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.last_seq = recorded.seq.unwrap_or(self.last_seq);
        let ts = recorded.ts;
        match &recorded.event {
            Event::RunStarted { .. } => {
                self.started_at = Some(ts);
                self.invocation = 1;
            }
            Event::RunResumed { .. } => self.take_up(),
            Event::RunInterrupted { .. } => self.phase = RunPhase::Interrupted,
            Event::RunFinished { status } => {
                self.phase = RunPhase::Finished(*status);
                self.finished_at = Some(ts);
            }
            Event::ItemsResolved { nodes, keys } => self.expand(nodes, keys),
            Event::AttemptStarted { task, attempt, .. } => {
                self.change(task, |t| {
                    t.phase = Phase::Running;
                    t.attempts = t.attempts.max(*attempt);
                    t.started_at = t.started_at.or(Some(ts));
                });
                if let Some(id) = self.find(task) {
                    self.unready(id);
                    self.waiting.remove(&id);
                }
            }
            Event::OutputsLost { task, .. } => self.lose(task),
            Event::ProcessStarted { .. } => {}
            Event::AttemptFailed { task, error, .. } => {
                self.change(task, |t| {
                    t.last_error = Some(Arc::new(error.as_ref().clone()));
                    t.phase = Phase::Pending;
                });
            }
            Event::RetryScheduled { task, delay_ms, at, .. } => {
                let delay = Duration::from_millis(*delay_ms);
                self.change(task, |t| {
                    t.used += 1;
                    t.phase = Phase::Waiting { at: *at, delay };
                });
                if let Some(id) = self.find(task) {
                    self.unready(id);
                    self.waiting.insert(id);
                }
            }
            Event::Succeeded { task, key, outputs, duration_ms, .. } => {
                let done = Done { key: *key, outputs: outputs.clone(), duration_ms: *duration_ms };
                self.end(task, Phase::Succeeded(Arc::new(done)), ts, false);
            }
            Event::Reused { task, key, outputs, .. } => {
                let done = Done { key: *key, outputs: outputs.clone(), duration_ms: 0 };
                self.end(task, Phase::Succeeded(Arc::new(done)), ts, true);
            }
            Event::Failed { task, error, .. } => {
                self.end(task, Phase::Failed(Arc::new(error.as_ref().clone())), ts, false);
            }
            Event::Skipped { task, reason } => {
                self.end(task, Phase::Skipped(reason.as_str().into()), ts, false);
            }
            Event::Cancelled { task, .. } => self.end(task, Phase::Cancelled, ts, false),
            Event::NodeGathered { node, .. } => self.end_whole(node, Whole::Succeeded, ts),
            Event::NodeSkipped { node, reason } => {
                self.end_whole(node, Whole::Skipped(reason.as_str().into()), ts);
            }
            Event::NodeFailed { node, error } => {
                self.end_whole(node, Whole::Failed(Arc::new(error.as_ref().clone())), ts);
            }
        }
    }

    fn task_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        match (&mut self.nodes.get_mut(id.node.index())?.tasks, id.item) {
            (Tasks::One(task), None) => Some(task),
            (Tasks::Items(items), Some(index)) => items.get_mut(index as usize),
            _ => None,
        }
    }

    fn change(&mut self, task: &TaskRef, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.find(task).and_then(|id| self.task_mut(id)) {
            change(task);
        }
    }

    fn end(&mut self, task: &TaskRef, phase: Phase, ts: Timestamp, reused: bool) {
        let Some(id) = self.find(task) else { return };
        let invocation = self.invocation;
        let failed = matches!(phase, Phase::Failed(_));
        let lets_on = matches!(phase, Phase::Succeeded(_) | Phase::Skipped(_));
        let Some(task) = self.task_mut(id) else { return };
        task.phase = phase;
        task.finished_at = Some(ts);
        task.ended_in = invocation;
        task.reused = reused;
        self.unready(id);
        self.waiting.remove(&id);
        match id.item {
            None => {
                if failed {
                    self.failed += 1;
                }
                if lets_on {
                    self.release(id.node);
                }
            }
            Some(index) => {
                let drops = self.drops(id.node);
                if lets_on || (failed && drops) {
                    self.release_item(id.node, index);
                }
                let node = &mut self.nodes[id.node.index()];
                node.open_items = node.open_items.saturating_sub(1);
                self.note_gatherable(id.node);
            }
        }
    }

    pub(super) fn drops(&self, node: NodeId) -> bool {
        let fan = self.graph.node(node).fan.as_ref();
        fan.is_some_and(|f| f.on_item_failure == OnItemFailure::Drop)
    }

    fn end_whole(&mut self, node: &str, whole: Whole, ts: Timestamp) {
        let Some(id) = self.graph.find(node) else { return };
        self.to_gather.remove(&id);
        self.gathering.remove(&id);
        let lets_on = matches!(whole, Whole::Succeeded | Whole::Skipped(_));
        if matches!(whole, Whole::Failed(_)) {
            self.failed += 1;
        }
        let invocation = self.invocation;
        let state = &mut self.nodes[id.index()];
        state.whole = whole;
        state.finished_at = Some(ts);
        state.ended_in = invocation;
        if let Some(group) = self.graph.node(id).fan.as_ref().map(|f| f.group)
            && self.graph.groups()[group].members.iter().all(|m| {
                self.nodes[m.index()].whole != Whole::Open || self.nodes[m.index()].waits > 0
            })
        {
            self.unresolved.remove(&group);
            self.resolving.remove(&group);
        }
        if lets_on {
            self.release(id);
        }
    }

    /// A task that was done must run again: whatever has not ended waits for it once more.
    fn lose(&mut self, task: &TaskRef) {
        let Some(id) = self.find(task) else { return };
        let Some(lost) = self.task_mut(id) else { return };
        if !matches!(lost.phase, Phase::Succeeded(_)) {
            return;
        }
        lost.phase = Phase::Pending;
        lost.finished_at = None;
        let waits_for_items = lost.item_waits > 0;
        let graph = Arc::clone(&self.graph);
        let dependents = &graph.node(id.node).dependents;
        let mut ended_whole = id.item.is_none();
        if let Some(index) = id.item {
            for dependent in dependents.iter().filter(|d| d.same_item) {
                self.hold(TaskId::item(dependent.node, index), true);
            }
            let state = &mut self.nodes[id.node.index()];
            state.open_items += 1;
            ended_whole = std::mem::replace(&mut state.whole, Whole::Open) == Whole::Succeeded;
            self.to_gather.remove(&id.node);
        }
        for dependent in dependents.iter().filter(|d| ended_whole && !d.same_item) {
            self.nodes[dependent.node.index()].waits += 1;
            let count = match &self.nodes[dependent.node.index()].tasks {
                Tasks::Items(items) => items.len() as u32,
                Tasks::One(_) | Tasks::Unresolved => 0,
            };
            self.hold(TaskId::whole(dependent.node), false);
            for index in 0..count {
                self.hold(TaskId::item(dependent.node, index), false);
            }
            self.to_gather.remove(&dependent.node);
        }
        if self.nodes[id.node.index()].waits == 0 && !waits_for_items {
            if let Some(lost) = self.task_mut(id) {
                lost.phase = Phase::Ready;
            }
            self.make_ready(id);
        }
    }

    /// Makes a task that could start wait again; `by_item` if for the same item of another node.
    fn hold(&mut self, id: TaskId, by_item: bool) {
        let Some(task) = self.task_mut(id) else { return };
        if by_item && !task.phase.is_over() {
            task.item_waits += 1;
        }
        if matches!(task.phase, Phase::Ready) {
            task.phase = Phase::Pending;
            self.unready(id);
        }
    }

    /// A node ended well: whoever waits for all of it may go on.
    fn release(&mut self, node: NodeId) {
        let graph = Arc::clone(&self.graph);
        for dependent in graph.node(node).dependents.iter().filter(|d| !d.same_item) {
            let state = &mut self.nodes[dependent.node.index()];
            state.waits = state.waits.saturating_sub(1);
            if state.waits == 0 {
                self.open_node(dependent.node);
            }
        }
    }

    /// An item ended: the same items that wait for it may go on.
    fn release_item(&mut self, node: NodeId, index: u32) {
        let graph = Arc::clone(&self.graph);
        for dependent in graph.node(node).dependents.iter().filter(|d| d.same_item) {
            let state = &mut self.nodes[dependent.node.index()];
            let open = state.waits == 0;
            let Tasks::Items(items) = &mut state.tasks else { continue };
            let Some(task) = items.get_mut(index as usize) else { continue };
            task.item_waits = task.item_waits.saturating_sub(1);
            if open && task.item_waits == 0 && matches!(task.phase, Phase::Pending) {
                task.phase = Phase::Ready;
                self.make_ready(TaskId::item(dependent.node, index));
            }
        }
    }

    /// Nothing of other nodes holds this one back any more.
    fn open_node(&mut self, id: NodeId) {
        if !self.wanted[id.index()] {
            return;
        }
        let group = self.graph.node(id).fan.as_ref().map(|f| f.group);
        let mut ready = Vec::new();
        match &mut self.nodes[id.index()].tasks {
            Tasks::One(task) if matches!(task.phase, Phase::Pending) => {
                task.phase = Phase::Ready;
                ready.push(TaskId::whole(id));
            }
            Tasks::One(_) => {}
            Tasks::Unresolved => {
                self.unresolved.extend(group);
            }
            Tasks::Items(items) => {
                for (index, task) in (0_u32..).zip(items.iter_mut()) {
                    if task.item_waits == 0 && matches!(task.phase, Phase::Pending) {
                        task.phase = Phase::Ready;
                        ready.push(TaskId::item(id, index));
                    }
                }
            }
        }
        for task in ready {
            self.make_ready(task);
        }
        self.note_gatherable(id);
    }

    fn note_gatherable(&mut self, id: NodeId) {
        let state = &self.nodes[id.index()];
        let ended = matches!(state.tasks, Tasks::Items(_)) && state.open_items == 0;
        if ended && state.waits == 0 && state.whole == Whole::Open {
            self.to_gather.insert(id);
        }
    }

    fn expand(&mut self, nodes: &[Arc<str>], keys: &[Arc<str>]) {
        let items: Arc<Vec<ItemRef>> = Arc::new(
            (0..).zip(keys).map(|(index, key)| ItemRef { key: Arc::clone(key), index }).collect(),
        );
        for name in nodes {
            let Some(id) = self.graph.find(name) else { continue };
            let graph = Arc::clone(&self.graph);
            let node = graph.node(id);
            let Some(fan) = &node.fan else { continue };
            self.unresolved.remove(&fan.group);
            self.resolving.remove(&fan.group);
            self.items[fan.group] = Some(Arc::clone(&items));
            let waits = node.needs.iter().filter(|n| n.same_item).count() as u32;
            let state = &mut self.nodes[id.index()];
            state.tasks = Tasks::Items(vec![Task::new(waits); items.len()]);
            state.open_items = items.len() as u32;
        }
        for id in nodes.iter().filter_map(|name| self.graph.find(name)).collect::<Vec<_>>() {
            if self.nodes[id.index()].waits == 0 {
                self.open_node(id);
            }
        }
    }

    /// A process takes the run up: what had begun or failed may begin again. Failures that were
    /// accepted by a finished node stay.
    fn take_up(&mut self) {
        self.invocation += 1;
        self.phase = RunPhase::Open;
        self.finished_at = None;
        self.failed = 0;
        self.stop = None;
        for id in self.graph.ids() {
            let drops = self.drops(id);
            let open_whole = self.take_up_whole(id);
            let limit = self.graph.node(id).policy.retry.attempts;
            let mut ready = Vec::new();
            let mut reopened = 0;
            let opened = self.nodes[id.index()].waits == 0 && self.wanted[id.index()];
            let tasks: &mut [Task] = match &mut self.nodes[id.index()].tasks {
                Tasks::One(task) => std::slice::from_mut(task),
                Tasks::Unresolved => &mut [],
                Tasks::Items(items) if open_whole => items,
                Tasks::Items(_) => &mut [],
            };
            let fanned = self.graph.nodes()[id.index()].fan.is_some();
            for (index, task) in (0_u32..).zip(tasks) {
                let was_over = task.phase.is_over();
                // A dropped item was let go: what waited for it has gone on without it.
                let let_go = drops && matches!(task.phase, Phase::Failed(_));
                if let_go || !task.take_up(limit) {
                    continue;
                }
                reopened += u32::from(was_over);
                if opened && task.item_waits == 0 {
                    task.phase = Phase::Ready;
                    ready.push(TaskId { node: id, item: fanned.then_some(index) });
                }
            }
            if fanned {
                self.nodes[id.index()].open_items += reopened;
                if reopened > 0 {
                    self.to_gather.remove(&id);
                }
            }
            for task in ready {
                self.make_ready(task);
            }
        }
    }

    /// Opens a failed fanned-out node again; whether its items may change.
    fn take_up_whole(&mut self, id: NodeId) -> bool {
        let state = &mut self.nodes[id.index()];
        if matches!(state.whole, Whole::Failed(_)) {
            state.whole = Whole::Open;
            state.finished_at = None;
            if state.tasks == Tasks::Unresolved && state.waits == 0 {
                let group = self.graph.node(id).fan.as_ref().map(|f| f.group);
                self.unresolved.extend(group);
            }
        }
        self.note_gatherable(id);
        self.nodes[id.index()].whole == Whole::Open
    }
}

impl Task {
    /// Prepares the task for another invocation; false if it stays as it is.
    fn take_up(&mut self, attempts: u32) -> bool {
        match self.phase {
            Phase::Running => {
                // An attempt that a crash cut short counts, but never costs the last one.
                self.used = (self.used + 1).min(attempts.saturating_sub(1));
            }
            Phase::Failed(_) | Phase::Cancelled => self.used = 0,
            Phase::Pending | Phase::Ready => {}
            Phase::Waiting { .. } | Phase::Succeeded(_) | Phase::Skipped(_) => return false,
        }
        self.phase = Phase::Pending;
        self.finished_at = None;
        true
    }
}
