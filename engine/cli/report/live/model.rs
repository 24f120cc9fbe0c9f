//! What the region shows, as a fold of events: each changes the places of its own task alone,
//! however many nodes there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::graph::Graph;
use flow_core::id::{NodeId, TaskId};
use flow_core::run::event::{Awaited, Event, Question as Ask, TaskRef};
use flow_core::run::state::{NodeState, Phase, Tasks, Whole};
use flow_core::run::{Recorded, RunState};
use flow_core::stage::Progress;
use jiff::Timestamp;

use crate::report::human::in_short;

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Pending,
    Running,
    Waiting,
    Succeeded,
    Skipped,
    Failed,
    Cancelled,
    Unknown,
}

/// Number of kinds of [`At`].
const KINDS: usize = 8;

/// An attempt that goes on.
#[derive(Debug)]
pub(super) struct Busy {
    pub(super) task: TaskRef,
    pub(super) attempt: u32,
    pub(super) progress: Option<Progress>,
}

/// An attempt that follows later.
#[derive(Debug)]
pub(super) struct Retry {
    pub(super) task: TaskRef,
    pub(super) attempt: u32,
    /// Why the last one failed.
    pub(super) error: String,
}

/// What people are asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) task: TaskRef,
    pub(super) ask: Ask,
}

/// A fanned-out node whose items are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Items {
    pub(super) all: u32,
    pub(super) ended: u32,
    pub(super) failed: u32,
    pub(super) reused: u32,
}

/// The run as the region shows it.
pub(super) struct Model {
    graph: Arc<Graph>,
    pub(super) run: String,
    pub(super) since: Timestamp,
    at: Vec<At>,
    counts: [usize; KINDS],
    /// Nodes that belong to the run.
    pub(super) wanted: usize,
    /// Nodes, or items, whose result was taken from elsewhere.
    pub(super) reused: usize,
    /// Tasks that have succeeded.
    pub(super) done: usize,
    /// Attempts that go on, the longest first.
    pub(super) busy: BTreeMap<(Timestamp, TaskId), Busy>,
    /// Attempts that follow, the next one first.
    pub(super) retries: BTreeMap<(Timestamp, TaskId), Retry>,
    /// What waits for an instant, the next one first.
    pub(super) timers: BTreeMap<(Timestamp, TaskId), TaskRef>,
    /// What people are asked.
    pub(super) questions: BTreeMap<TaskId, Question>,
    /// Fanned-out nodes that go on.
    pub(super) fans: BTreeMap<NodeId, Items>,
    /// Tasks in front of pools and rates, by the names of these.
    pub(super) queues: BTreeMap<String, usize>,
    /// Where in the maps above a task stands. Few do at once, and each for a short time: a table of
    /// hashes would be made anew all the time.
    places: BTreeMap<TaskId, Timestamp>,
    /// Why the latest attempt of a task failed, until the next one is known.
    errors: BTreeMap<TaskId, String>,
}

impl Model {
    /// The run as `state` has it.
    pub(super) fn new(run: &str, state: &RunState, since: Timestamp) -> Self {
        let graph = state.graph();
        let mut model = Self::empty(run, graph, since);
        model.at = graph.ids().map(|id| at_of(state.node(id))).collect();
        for id in graph.ids().filter(|id| state.is_wanted(*id)) {
            model.wanted += 1;
            model.counts[model.at[id.index()] as usize] += 1;
            model.take_over(id, state);
        }
        for task in state.awaiting() {
            if let Some(awaited) = state.awaited(task) {
                model.waits(task, state.task_ref(task), awaited);
            }
        }
        model
    }

    fn empty(run: &str, graph: &Arc<Graph>, since: Timestamp) -> Self {
        Self {
            graph: Arc::clone(graph),
            run: run.to_owned(),
            since,
            at: vec![At::Pending; graph.nodes().len()],
            counts: [0; KINDS],
            wanted: 0,
            reused: 0,
            done: 0,
            busy: BTreeMap::new(),
            retries: BTreeMap::new(),
            timers: BTreeMap::new(),
            questions: BTreeMap::new(),
            fans: BTreeMap::new(),
            queues: BTreeMap::new(),
            places: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }

    /// One attempt beside a run, of which there are no events.
    pub(super) fn beside(
        run: &str,
        state: &RunState,
        task: TaskId,
        attempt: u32,
        now: Timestamp,
    ) -> Self {
        let mut model = Self::empty(run, state.graph(), now);
        (model.wanted, model.counts[At::Pending as usize]) = (1, 1);
        model.begins(task, state.task_ref(task), attempt, now);
        model
    }

    /// Takes over what came of a node in an earlier invocation.
    fn take_over(&mut self, id: NodeId, state: &RunState) {
        let succeeded = |phase: &Phase| matches!(phase, Phase::Succeeded(_));
        let old = match &state.node(id).tasks {
            Tasks::One(task) => usize::from(succeeded(&task.phase)),
            Tasks::Unresolved => 0,
            Tasks::Items(items) => {
                let number = |is: fn(&Phase) -> bool| {
                    u32::try_from(items.iter().filter(|item| is(&item.phase)).count())
                        .unwrap_or(u32::MAX)
                };
                let old = number(succeeded);
                if self.at[id.index()] < At::Succeeded {
                    let items = Items {
                        all: number(|_| true),
                        ended: number(Phase::is_over),
                        failed: number(|phase| matches!(phase, Phase::Failed(_))),
                        reused: old,
                    };
                    self.fans.insert(id, items);
                }
                old as usize
            }
        };
        self.reused += old;
        self.done += old;
    }

    /// Nodes that stand so.
    pub(super) fn count(&self, at: At) -> usize {
        self.counts[at as usize]
    }

    /// The name of a node.
    pub(super) fn name(&self, node: NodeId) -> &str {
        &self.graph.node(node).name
    }

    /// The name of the workflow.
    pub(super) fn workflow(&self) -> &str {
        self.graph.name()
    }

    /// Notes how far an attempt is.
    pub(super) fn progress(&mut self, task: &TaskRef, progress: &Progress) {
        let busy = self.id(task).and_then(|id| {
            let at = *self.places.get(&id)?;
            self.busy.get_mut(&(at, id))
        });
        if let Some(busy) = busy {
            busy.progress = Some(progress.clone());
        }
    }

    /// Notes how many tasks stand in front of a pool or rate.
    pub(super) fn queue(&mut self, gate: &str, waiting: usize) {
        match waiting {
            0 => drop(self.queues.remove(gate)),
            _ => drop(self.queues.insert(gate.to_owned(), waiting)),
        }
    }

    /// Folds an event.
    pub(super) fn event(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        if let Some(task) = event.task() {
            if let Some(id) = self.id(task) {
                self.task_event(id, task, recorded.ts, event);
            }
            return;
        }
        match event {
            Event::ItemsResolved { nodes, keys } => {
                let all = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                for id in nodes.iter().filter_map(|name| self.graph.find(name)) {
                    self.fans.insert(id, Items { all, ..Items::default() });
                }
            }
            Event::Invalidated { nodes } => {
                for name in nodes {
                    self.node_is(name, At::Pending);
                }
            }
            Event::NodeGathered { node, .. } => self.node_is(node, At::Succeeded),
            Event::NodeFailed { node, .. } => self.node_is(node, At::Failed),
            Event::NodeSkipped { node, .. } => self.node_is(node, At::Skipped),
            _ => {}
        }
    }

    fn task_event(&mut self, id: TaskId, task: &TaskRef, ts: Timestamp, event: &Event) {
        match event {
            Event::AttemptStarted { attempt, .. } => self.begins(id, task.clone(), *attempt, ts),
            Event::AttemptFailed { error, .. } => {
                self.leave(id);
                self.errors.insert(id, in_short(error));
                self.task_is(id, At::Pending);
            }
            Event::RetryScheduled { attempt, at, .. } => {
                let error = self.errors.remove(&id).unwrap_or_default();
                self.put(id, *at);
                let retry = Retry { task: task.clone(), attempt: *attempt, error };
                self.retries.insert((*at, id), retry);
                self.task_is(id, At::Waiting);
            }
            Event::Waiting { wait, .. } => {
                self.waits(id, task.clone(), wait);
                self.task_is(id, At::Waiting);
            }
            Event::Succeeded { .. } => self.ends(id, At::Succeeded, false),
            Event::Reused { .. } => self.ends(id, At::Succeeded, true),
            Event::Failed { .. } => self.ends(id, At::Failed, false),
            Event::Skipped { .. } => self.ends(id, At::Skipped, false),
            Event::Cancelled { .. } => self.ends(id, At::Cancelled, false),
            Event::Unknown { .. } => {
                self.leave(id);
                self.task_is(id, At::Unknown);
            }
            Event::FellBack { .. } | Event::EffectSettled { .. } | Event::OutputsLost { .. } => {
                self.leave(id);
                self.task_is(id, At::Pending);
            }
            _ => {}
        }
    }

    fn id(&self, task: &TaskRef) -> Option<TaskId> {
        let node = self.graph.find(&task.node)?;
        Some(TaskId { node, item: task.item.as_ref().map(|item| item.index) })
    }

    fn begins(&mut self, id: TaskId, task: TaskRef, attempt: u32, at: Timestamp) {
        self.put(id, at);
        self.errors.remove(&id);
        self.busy.insert((at, id), Busy { task, attempt, progress: None });
        self.task_is(id, At::Running);
    }

    fn waits(&mut self, id: TaskId, task: TaskRef, awaited: &Awaited) {
        let until = awaited.until.unwrap_or(Timestamp::MAX);
        self.put(id, until);
        if let Some(ask) = &awaited.question {
            self.questions.insert(id, Question { task, ask: ask.clone() });
        } else {
            self.timers.insert((until, id), task);
        }
    }

    fn ends(&mut self, id: TaskId, at: At, reused: bool) {
        self.leave(id);
        self.errors.remove(&id);
        self.done += usize::from(at == At::Succeeded);
        self.reused += usize::from(reused);
        if let (Some(_), Some(fan)) = (id.item, self.fans.get_mut(&id.node)) {
            fan.ended += 1;
            fan.failed += u32::from(at == At::Failed);
            fan.reused += u32::from(reused);
        }
        self.task_is(id, at);
    }

    /// Puts a task where the maps have it under this instant.
    fn put(&mut self, id: TaskId, at: Timestamp) {
        self.leave(id);
        self.places.insert(id, at);
    }

    /// Takes a task out of the maps.
    fn leave(&mut self, id: TaskId) {
        let Some(at) = self.places.remove(&id) else { return };
        self.busy.remove(&(at, id));
        self.retries.remove(&(at, id));
        self.timers.remove(&(at, id));
        self.questions.remove(&id);
    }

    /// Notes how a task stands. A fanned-out node runs from its first item on until it ends as a
    /// whole.
    fn task_is(&mut self, id: TaskId, at: At) {
        match id.item {
            None => self.set(id.node, at),
            Some(_) => self.set(id.node, At::Running),
        }
    }

    fn node_is(&mut self, name: &str, at: At) {
        let Some(id) = self.graph.find(name) else { return };
        self.fans.remove(&id);
        self.set(id, at);
    }

    fn set(&mut self, node: NodeId, at: At) {
        let was = std::mem::replace(&mut self.at[node.index()], at);
        self.counts[was as usize] = self.counts[was as usize].saturating_sub(1);
        self.counts[at as usize] += 1;
    }
}

/// How a node stood when the run was taken up.
fn at_of(node: &NodeState) -> At {
    match (&node.tasks, &node.whole) {
        (Tasks::One(task), _) => match &task.phase {
            Phase::Pending | Phase::Ready | Phase::Running => At::Pending,
            Phase::Waiting { .. } | Phase::Awaiting(_) => At::Waiting,
            Phase::Unknown(_) => At::Unknown,
            Phase::Succeeded(_) => At::Succeeded,
            Phase::Skipped(_) => At::Skipped,
            Phase::Failed(_) => At::Failed,
            Phase::Cancelled => At::Cancelled,
        },
        (_, Whole::Open) => At::Pending,
        (_, Whole::Succeeded) => At::Succeeded,
        (_, Whole::Skipped(_)) => At::Skipped,
        (_, Whole::Failed(_)) => At::Failed,
    }
}
