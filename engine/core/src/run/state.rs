//! The state of a run: the fold of its events, with what is ready kept at hand so that no step
//! looks at all nodes.

mod schedule;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::decide::StopReason;
use super::event::{Awaited, ItemRef, Outputs, RunEnd, TaskRef};
use super::memory::Memories;
use crate::call::Usage;
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
    /// It waits for an instant or an answer.
    Awaiting(Arc<Awaited>),
    /// Its effect may have happened, and nobody knows.
    Unknown(Arc<StageError>),
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
    /// The key of its latest attempt.
    pub key: Option<crate::digest::Digest>,
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
    /// Which work it runs: 0 is the node's own, n its nth fallback.
    pub variant: u32,
    /// The idempotency key of an effect that may have happened: kept until that is settled.
    pub intent: Option<Arc<str>>,
    /// Keys of the works that failed before a fallback took their place.
    pub tried: Vec<Digest>,
    /// What came of it before its node was opened again, where that holds for the same key.
    pub before: Option<Arc<Before>>,
    /// What its attempts remember, until one of them succeeds.
    pub memories: Option<Arc<Memories>>,
    /// What the calls of all its attempts used.
    pub usage: Usage,
    /// Same items of other nodes that have not ended.
    pub(super) item_waits: u32,
}

/// What came of a task before its node was opened again, beside a result: it counts as long as the
/// key is what it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Before {
    /// Keys of the works that failed before a fallback took their place.
    pub tried: Vec<Digest>,
    /// A failure that was accepted, with its key.
    pub let_go: Option<(Digest, Arc<StageError>)>,
    /// What it waited for.
    pub awaited: Option<Arc<Awaited>>,
}

impl Task {
    pub(super) fn new(item_waits: u32) -> Self {
        Self {
            phase: Phase::Pending,
            attempts: 0,
            used: 0,
            key: None,
            started_at: None,
            finished_at: None,
            ended_in: 0,
            reused: false,
            last_error: None,
            variant: 0,
            intent: None,
            tried: Vec::new(),
            before: None,
            memories: None,
            usage: Usage::default(),
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
    /// What the calls of all its attempts used, those of items that are gone included.
    pub usage: Usage,
    /// Needed nodes that have not ended well.
    pub(super) waits: u32,
    /// Items that have not ended.
    pub(super) open_items: u32,
    /// Items handed out.
    pub(super) running: u32,
    /// Ready items over the node's own limit.
    pub(super) parked: VecDeque<TaskId>,
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
    pub(super) graph: Arc<Graph>,
    /// Which nodes are wanted.
    pub(super) wanted: Vec<bool>,
    pub(super) nodes: Vec<NodeState>,
    pub(super) items: Vec<Option<Arc<Vec<ItemRef>>>>,
    pub(super) phase: RunPhase,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) invocation: u32,
    pub(super) last_seq: u64,
    pub(super) ready: BTreeSet<(Reverse<i64>, TaskId)>,
    /// Fanned-out nodes that are open and whose list must be read.
    pub(super) unresolved: BTreeSet<usize>,
    /// Fanned-out nodes whose items have all ended.
    pub(super) to_gather: BTreeSet<NodeId>,
    pub(super) waiting: BTreeSet<TaskId>,
    /// Tasks that wait for an instant or an answer.
    pub(super) awaiting: BTreeSet<TaskId>,
    /// Tasks whose effect may have happened.
    pub(super) unknown: BTreeSet<TaskId>,
    /// Those among them that a probe has not been asked about in this invocation.
    pub(super) to_probe: BTreeSet<TaskId>,
    pub(super) failed: u32,
    /// Whether results are looked for among the run's own before work is done: after its
    /// definition changed.
    pub(super) reuses: bool,
    /// What is kept of items whose list is read again, by node and key.
    pub(super) carried: BTreeMap<(NodeId, Arc<str>), Carried>,
    // What this process has done since it took the run up.
    pub(super) slots: u32,
    pub(super) in_use: u32,
    /// Tasks that are being worked at, with the numbers of their attempts.
    pub(super) handed_out: BTreeMap<TaskId, u32>,
    pub(super) settling: u32,
    pub(super) resolving: BTreeSet<usize>,
    pub(super) gathering: BTreeSet<NodeId>,
    pub(super) deadlines: BTreeMap<NodeId, Duration>,
    pub(super) gates: Vec<GateState>,
    pub(super) stop: Option<StopReason>,
    pub(super) leaves_waits: bool,
    /// How the run will have ended, once the nodes that always run have.
    pub(super) closing: Option<RunEnd>,
}

/// What an item keeps when its list is read again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Carried {
    pub(super) attempts: u32,
    pub(super) intent: Option<Arc<str>>,
    pub(super) key: Option<crate::digest::Digest>,
    /// The failure that left its effect unknown.
    pub(super) unknown: Option<Arc<StageError>>,
    pub(super) before: Option<Arc<Before>>,
    pub(super) memories: Option<Arc<Memories>>,
    pub(super) usage: Usage,
}

/// A gate, as this process sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct GateState {
    /// Nothing is let through for now.
    pub(super) closed: bool,
    /// The task that is asking to be let through.
    pub(super) asking: Option<TaskId>,
    /// Ready tasks that wait in front of it.
    pub(super) queue: BTreeSet<(Reverse<i64>, TaskId)>,
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
                usage: Usage::default(),
                waits: whole_needs(node),
                open_items: 0,
                running: 0,
                parked: VecDeque::new(),
            })
            .collect();
        let items = vec![None; graph.groups().len()];
        let gates = vec![GateState::default(); graph.gates().len()];
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
            awaiting: BTreeSet::new(),
            unknown: BTreeSet::new(),
            to_probe: BTreeSet::new(),
            failed: 0,
            reuses: false,
            carried: BTreeMap::new(),
            slots,
            in_use: 0,
            handed_out: BTreeMap::new(),
            settling: 0,
            resolving: BTreeSet::new(),
            gathering: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            gates,
            stop: None,
            leaves_waits: false,
            closing: None,
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

    /// Makes this process leave when only waiting is left.
    pub fn leave_waits(&mut self) {
        self.leaves_waits = true;
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

    /// Whether a node failed for good, or its effect is unknown, and nothing accepts that.
    #[must_use]
    pub fn has_failed(&self, node: NodeId) -> bool {
        let state = &self.nodes[node.index()];
        let failed = match &state.tasks {
            Tasks::One(task) => match task.phase {
                Phase::Failed(_) => !self.graph.node(node).optional,
                Phase::Unknown(_) => true,
                _ => false,
            },
            _ => matches!(state.whole, Whole::Failed(_)) && !self.graph.node(node).optional,
        };
        failed || state.whole == Whole::Open && self.unknown_of(node).next().is_some()
    }

    /// Tasks of a node whose effect is unknown.
    pub fn unknown_of(&self, node: NodeId) -> impl Iterator<Item = TaskId> + '_ {
        let all = TaskId::whole(node)..=TaskId { node, item: Some(u32::MAX) };
        self.unknown.range(all).copied()
    }

    /// Whether a node ended and lets its dependents go on.
    #[must_use]
    pub fn ended_well(&self, node: NodeId) -> bool {
        let state = &self.nodes[node.index()];
        let accepts = self.graph.node(node).optional;
        match &state.tasks {
            Tasks::One(task) => match task.phase {
                Phase::Succeeded(_) | Phase::Skipped(_) => true,
                Phase::Failed(_) => accepts,
                _ => false,
            },
            _ => match state.whole {
                Whole::Succeeded | Whole::Skipped(_) => true,
                Whole::Failed(_) => accepts,
                Whole::Open => false,
            },
        }
    }

    /// Whether results are looked for among the run's own before work is done.
    #[must_use]
    pub fn reuses(&self) -> bool {
        self.reuses
    }

    /// How the run will have ended, while the nodes that always run do.
    #[must_use]
    pub fn closing(&self) -> Option<RunEnd> {
        self.closing
    }

    /// Tasks that wait for an instant or an answer.
    pub fn awaiting(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.awaiting.iter().copied()
    }

    /// What a task waits for, if it does.
    #[must_use]
    pub fn awaited(&self, task: TaskId) -> Option<&Arc<Awaited>> {
        match &self.task(task)?.phase {
            Phase::Awaiting(awaited) if self.awaiting.contains(&task) => Some(awaited),
            _ => None,
        }
    }

    /// Whether nothing is left to do but to wait for instants and answers.
    #[must_use]
    pub fn only_waits(&self) -> bool {
        self.phase == RunPhase::Open
            && !self.awaiting.is_empty()
            && self.nothing_to_start()
            && !self.nodes.iter().any(|node| match &node.tasks {
                Tasks::One(task) => task.phase == Phase::Running,
                Tasks::Items(items) => {
                    node.open_items > 0 && items.iter().any(|t| t.phase == Phase::Running)
                }
                Tasks::Unresolved => false,
            })
    }
}

/// How many nodes a node waits for as a whole.
pub(super) fn whole_needs(node: &crate::graph::Node) -> u32 {
    node.needs.iter().filter(|need| !need.same_item).count() as u32
}
