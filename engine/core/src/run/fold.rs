//! The fold: how each fact changes the state, live and in replay alike.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::event::{Event, ItemRef, Recorded, TaskRef};
use super::state::{Done, Phase, RunPhase, RunState, Task, Tasks, Whole};
use crate::definition::OnItemFailure;
use crate::id::{NodeId, TaskId};

impl RunState {
    /// Folds a fact into the state. The driver calls it once the fact is durable; replay calls it
    /// for every fact of a journal.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.last_seq = recorded.seq.unwrap_or(self.last_seq);
        let ts = recorded.ts;
        self.count(&recorded.event);
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
            Event::AttemptStarted { task, attempt, key, intent } => {
                self.change(task, |t| {
                    t.phase = Phase::Running;
                    t.attempts = t.attempts.max(*attempt);
                    t.key = Some(*key);
                    t.started_at = t.started_at.or(Some(ts));
                    if intent.is_some() {
                        t.intent.clone_from(intent);
                    }
                });
                if let Some(id) = self.find(task) {
                    self.unready(id);
                    self.waiting.remove(&id);
                }
            }
            Event::OutputsLost { task, .. } => self.lose(task),
            Event::ProcessStarted { .. }
            | Event::OutputKept { .. }
            | Event::CallRetried { .. }
            | Event::PassedOver { .. }
            | Event::CacheHit { .. }
            | Event::CacheMiss { .. } => {}
            Event::Remembered { task, key, name, kept } => {
                self.change(task, |t| {
                    let memories = t.memories.get_or_insert_default();
                    Arc::make_mut(memories).keep(*key, name.clone(), kept.clone());
                });
            }
            Event::AttemptFailed { task, error, .. } => {
                self.change(task, |t| {
                    t.last_error = Some(Arc::new(error.as_ref().clone()));
                    t.phase = Phase::Pending;
                    if error.is_answer() {
                        t.intent = None;
                    }
                });
            }
            Event::FellBack { task, variant, error, .. } => {
                self.change(task, |t| {
                    t.last_error = Some(Arc::new(error.as_ref().clone()));
                    t.tried.extend(t.key);
                    t.variant = *variant;
                    t.used = 0;
                    t.phase = Phase::Ready;
                });
                if let Some(id) = self.find(task) {
                    self.make_ready(id);
                }
            }
            Event::Waiting { task, wait } => {
                self.change(task, |t| t.phase = Phase::Awaiting(Arc::new(wait.as_ref().clone())));
                if let Some(id) = self.find(task) {
                    self.unready(id);
                    self.awaiting.insert(id);
                }
            }
            Event::Unknown { task, error, .. } => self.lose_sight(task, error),
            Event::EffectSettled { task, happened, .. } => self.settle_effect(task, *happened),
            Event::Invalidated { nodes } => self.reset(nodes, true),
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
            Event::Succeeded { task, attempt, key, outputs, duration_ms, .. } => {
                let done = Done { key: *key, outputs: outputs.clone(), duration_ms: *duration_ms };
                self.end(task, Phase::Succeeded(Arc::new(done)), ts, false);
                // A result that was adopted from a trial has no start on record.
                self.change(task, |t| t.attempts = t.attempts.max(*attempt));
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

    pub(super) fn task_mut(&mut self, id: TaskId) -> Option<&mut Task> {
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

    /// Counts what the calls of an attempt used.
    fn count(&mut self, event: &Event) {
        let usage = event.usage();
        let Some(task) = event.task().filter(|_| !usage.is_nothing()) else { return };
        self.change(task, |t| t.usage.add(usage));
        if let Some(id) = self.graph.find(&task.node) {
            self.nodes[id.index()].usage.add(usage);
        }
    }

    fn end(&mut self, task: &TaskRef, phase: Phase, ts: Timestamp, reused: bool) {
        let Some(id) = self.find(task) else { return };
        let invocation = self.invocation;
        let done = matches!(phase, Phase::Succeeded(_) | Phase::Skipped(_));
        let (fails, lets_on) = (self.fails_run(id, &phase), self.lets_on(id, &phase));
        let Some(before) = self.task(id).map(|task| task.phase.clone()) else { return };
        let (had_failed, had_let_on) = (self.fails_run(id, &before), self.lets_on(id, &before));
        let Some(task) = self.task_mut(id) else { return };
        task.phase = phase;
        task.finished_at = Some(ts);
        task.ended_in = invocation;
        task.reused = reused;
        if done {
            task.intent = None;
            task.memories = None;
        }
        self.unready(id);
        for set in [&mut self.waiting, &mut self.awaiting, &mut self.unknown, &mut self.to_probe] {
            set.remove(&id);
        }
        match id.item {
            None => {
                // A result may take the place of another end, when it is adopted.
                self.failed = self.failed.saturating_sub(u32::from(had_failed)) + u32::from(fails);
                if lets_on && !had_let_on {
                    self.release(id.node);
                }
            }
            Some(index) => {
                if lets_on && !had_let_on {
                    self.release_item(id.node, index);
                }
                let node = &mut self.nodes[id.node.index()];
                node.open_items = node.open_items.saturating_sub(u32::from(!before.is_over()));
                self.note_gatherable(id.node);
            }
        }
    }

    /// Whether a whole task that ended so fails the run.
    fn fails_run(&self, id: TaskId, phase: &Phase) -> bool {
        matches!(phase, Phase::Failed(_)) && !self.graph.node(id.node).optional
    }

    /// Whether whatever waits for a task may go on once it is here.
    fn lets_on(&self, id: TaskId, phase: &Phase) -> bool {
        let node = self.graph.node(id.node);
        let failed = matches!(phase, Phase::Failed(_));
        let accepted = match id.item {
            // Whatever came of a node that always runs, the next one of its kind runs too.
            None => (failed && node.optional) || (node.always && phase.is_over()),
            Some(_) => failed && self.drops(id.node),
        };
        accepted || matches!(phase, Phase::Succeeded(_) | Phase::Skipped(_))
    }

    pub(super) fn drops(&self, node: NodeId) -> bool {
        let fan = self.graph.node(node).fan.as_ref();
        fan.is_some_and(|f| f.on_item_failure == OnItemFailure::Drop)
    }

    fn end_whole(&mut self, node: &str, whole: Whole, ts: Timestamp) {
        let Some(id) = self.graph.find(node) else { return };
        self.to_gather.remove(&id);
        self.gathering.remove(&id);
        let failed = matches!(whole, Whole::Failed(_));
        let lets_on = !failed || self.graph.node(id).optional;
        if !lets_on {
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

    /// An effect may have happened: nothing goes on until that is known.
    fn lose_sight(&mut self, task: &TaskRef, error: &crate::error::StageError) {
        let Some(id) = self.find(task) else { return };
        let Some(lost) = self.task_mut(id) else { return };
        lost.phase = Phase::Unknown(Arc::new(error.clone()));
        lost.last_error = Some(Arc::new(error.clone()));
        self.unready(id);
        self.waiting.remove(&id);
        self.unknown.insert(id);
        if self.has_probe(id.node) {
            self.to_probe.insert(id);
        }
    }

    pub(super) fn has_probe(&self, node: NodeId) -> bool {
        self.graph.node(node).effect.as_ref().is_some_and(|effect| effect.probe.is_some())
    }

    /// It is known whether an effect happened. If it did not, the task may begin again.
    fn settle_effect(&mut self, task: &TaskRef, happened: bool) {
        let Some(id) = self.find(task) else { return };
        self.unknown.remove(&id);
        self.to_probe.remove(&id);
        let Some(task) = self.task_mut(id) else { return };
        task.phase = Phase::Pending;
        if !happened {
            task.intent = None;
            task.used = 0;
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
    pub(super) fn open_node(&mut self, id: NodeId) {
        // What always runs waits for the end of all others.
        let too_early = self.closing.is_none() && self.graph.node(id).always;
        if !self.wanted[id.index()] || too_early {
            return;
        }
        let group = self.graph.node(id).fan.as_ref().map(|f| f.group);
        let mut ready = Vec::new();
        let is_open = self.nodes[id.index()].whole == Whole::Open;
        match &mut self.nodes[id.index()].tasks {
            Tasks::One(task) if matches!(task.phase, Phase::Pending) => {
                task.phase = Phase::Ready;
                ready.push(TaskId::whole(id));
            }
            Tasks::One(_) => {}
            // One that was skipped with the others over its list, before all that it waited for had
            // ended, has no list to be read any more.
            Tasks::Unresolved => {
                self.unresolved.extend(group.filter(|_| is_open));
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

    pub(super) fn note_gatherable(&mut self, id: NodeId) {
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
            self.carry_over(id, &items);
        }
        for id in nodes.iter().filter_map(|name| self.graph.find(name)).collect::<Vec<_>>() {
            if self.nodes[id.index()].waits == 0 {
                self.open_node(id);
            }
        }
    }
}
