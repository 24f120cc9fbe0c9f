//! Taking a run up again: what had begun or failed may begin again, and what a changed definition
//! touches is open again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::event::ItemRef;
use super::state::{Before, Carried, Phase, RunPhase, RunState, Task, Tasks, Whole};
use crate::error::ErrorClass;
use crate::id::{NodeId, TaskId};

impl RunState {
    /// A process takes the run up: what had begun or failed may begin again. Failures that were
    /// accepted by a finished node stay.
    pub(super) fn take_up(&mut self) {
        self.invocation += 1;
        let cut_short = self.phase == RunPhase::Open;
        self.phase = RunPhase::Open;
        self.finished_at = None;
        self.failed = 0;
        self.stop = None;
        self.closing = None;
        let again = self.failed_workflows();
        if !again.is_empty() {
            self.reset(&again, false);
            self.failed = 0;
        }
        for id in self.graph.ids() {
            if self.graph.node(id).always {
                continue;
            }
            // What a node let go stays gone, unless the node itself failed for it.
            let accepts = self.graph.node(id).optional;
            let has_failed = matches!(self.nodes[id.index()].whole, Whole::Failed(_));
            let node_failed = has_failed && !accepts;
            let drops = self.drops(id) && !node_failed;
            if node_failed && self.drops(id) {
                self.reopen_dropped(id);
            }
            // That an optional node failed is final: what waited for it has gone on.
            let open_whole = !(has_failed && accepts) && self.take_up_whole(id);
            let repeats = self.graph.node(id).effect.as_ref().is_some_and(|e| e.idempotent);
            let probes = self.has_probe(id);
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
                let here = TaskId { node: id, item: fanned.then_some(index) };
                if matches!(task.phase, Phase::Unknown(_)) {
                    if !repeats {
                        if probes {
                            self.to_probe.insert(here);
                        }
                        continue;
                    }
                    self.unknown.remove(&here);
                }
                // A dropped item was let go, and so was the failure of an optional node: what waited
                // for it has gone on without it.
                let let_go = (drops || accepts) && matches!(task.phase, Phase::Failed(_));
                // A person's no is final; a service that said no may be asked again.
                let refused = matches!(
                    &task.phase,
                    Phase::Failed(e) if e.class == ErrorClass::Rejected && e.provider.is_none()
                );
                self.failed += u32::from(refused && !let_go && !fanned);
                if let_go || refused || !task.take_up(limit) {
                    continue;
                }
                reopened += u32::from(was_over);
                if opened && task.item_waits == 0 {
                    task.phase = Phase::Ready;
                    ready.push(here);
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
        self.take_up_always(cut_short);
    }

    /// What always runs does so once for each invocation. One that was cut short after all else had
    /// ended well goes on where it was.
    fn take_up_always(&mut self, cut_short: bool) {
        let graph = Arc::clone(&self.graph);
        let others = || graph.ids().filter(|id| !graph.node(*id).always && self.wanted[id.index()]);
        let goes_on = cut_short && others().all(|id| self.ended_well(id));
        for &id in graph.always() {
            let node = graph.node(id);
            let Tasks::One(task) = &mut self.nodes[id.index()].tasks else { continue };
            let (attempts, over) = (task.attempts, task.phase.is_over());
            if goes_on && over {
                continue;
            }
            if !goes_on || task.phase == Phase::Running {
                *task = Task {
                    attempts,
                    intent: task.intent.take(),
                    memories: task.memories.take(),
                    usage: task.usage,
                    ..Task::new(0)
                };
            }
            let waits =
                node.needs.iter().filter(|need| !goes_on || !self.is_over(need.node)).count();
            self.nodes[id.index()].waits = waits as u32;
        }
    }

    fn is_over(&self, node: NodeId) -> bool {
        self.task(TaskId::whole(node)).is_some_and(|task| task.phase.is_over())
    }

    /// Opens nodes again, with all that depends on them. Attempts stay counted, and an effect that
    /// may have happened stays unknown.
    /// Failures that were accepted stay so if `lets_go`.
    pub(super) fn reset(&mut self, names: &[Arc<str>], lets_go: bool) {
        let graph = Arc::clone(&self.graph);
        let nodes: BTreeSet<NodeId> = names.iter().filter_map(|name| graph.find(name)).collect();
        self.reuses = true;
        for &id in &nodes {
            self.keep_and_clear(id, lets_go);
        }
        self.forget_lists(&nodes);
        for &id in &nodes {
            self.reset_waits(id);
        }
        for &id in &nodes {
            if self.nodes[id.index()].waits == 0 {
                self.open_node(id);
            }
        }
        self.failed = 0;
        for id in graph.ids() {
            self.failed += u32::from(self.has_failed(id) && self.unknown_of(id).next().is_none());
        }
    }

    /// Replaces the tasks of a node by fresh ones.
    fn keep_and_clear(&mut self, id: NodeId, lets_go: bool) {
        let items = self.items(id).cloned();
        let is_fan = self.graph.node(id).fan.is_some();
        // A node that failed for what it let go gives it another try.
        let failed = matches!(self.nodes[id.index()].whole, Whole::Failed(_));
        let accepts = lets_go && (self.graph.node(id).optional || self.drops(id) && !failed);
        let state = &mut self.nodes[id.index()];
        (state.whole, state.finished_at, state.running) = (Whole::Open, None, 0);
        state.parked.clear();
        let old = std::mem::replace(
            &mut state.tasks,
            if is_fan { Tasks::Unresolved } else { Tasks::One(Task::new(0)) },
        );
        let mut ids = Vec::new();
        match old {
            Tasks::One(task) if !is_fan => {
                ids.push(TaskId::whole(id));
                state.tasks = Tasks::One(Task::carrying(&Carried::of(&task, accepts)));
            }
            Tasks::Items(tasks) if is_fan => {
                for (index, task) in (0_u32..).zip(&tasks) {
                    ids.push(TaskId::item(id, index));
                    let key = items.as_ref().and_then(|items| items.get(index as usize));
                    let Some(key) = key.map(|item| Arc::clone(&item.key)) else { continue };
                    self.carried.insert((id, key), Carried::of(task, accepts));
                }
            }
            Tasks::One(_) | Tasks::Items(_) | Tasks::Unresolved => {}
        }
        for task in ids {
            self.unready(task);
            for set in
                [&mut self.waiting, &mut self.awaiting, &mut self.to_probe, &mut self.unknown]
            {
                set.remove(&task);
            }
            let phase = self.task(task).map(|task| task.phase.clone());
            if matches!(phase, Some(Phase::Unknown(_))) {
                self.keep_unknown(task);
            }
        }
        self.to_gather.remove(&id);
    }

    fn keep_unknown(&mut self, task: TaskId) {
        self.unknown.insert(task);
        if self.has_probe(task.node) {
            self.to_probe.insert(task);
        }
    }

    /// Lists whose producers are open again are read again; the others keep their items.
    fn forget_lists(&mut self, nodes: &BTreeSet<NodeId>) {
        let graph = Arc::clone(&self.graph);
        for (group, list) in graph.groups().iter().enumerate() {
            let mut stale = list.members.iter().all(|member| nodes.contains(member));
            list.list.each_node(&mut |node, _| stale |= nodes.contains(&node));
            self.unresolved.remove(&group);
            if stale {
                self.items[group] = None;
                continue;
            }
            let Some(items) = self.items[group].clone() else { continue };
            for &member in list.members.iter().filter(|member| nodes.contains(member)) {
                let state = &mut self.nodes[member.index()];
                state.tasks = Tasks::Items(vec![Task::new(0); items.len()]);
                self.carry_over(member, &items);
            }
        }
    }

    /// Gives items what they had before their list was read again.
    pub(super) fn carry_over(&mut self, node: NodeId, items: &[ItemRef]) {
        if self.carried.is_empty() {
            return;
        }
        for item in items {
            let Some(carried) = self.carried.remove(&(node, Arc::clone(&item.key))) else {
                continue;
            };
            let id = TaskId::item(node, item.index);
            let Some(task) = self.task_mut(id) else { continue };
            *task = Task { item_waits: task.item_waits, ..Task::carrying(&carried) };
            if carried.unknown.is_some() {
                self.keep_unknown(id);
            }
        }
    }

    /// Counts anew what a node and its items wait for.
    fn reset_waits(&mut self, id: NodeId) {
        let graph = Arc::clone(&self.graph);
        let needs = &graph.node(id).needs;
        let open = needs.iter().filter(|need| !need.same_item && !self.ended_well(need.node));
        self.nodes[id.index()].waits = open.count() as u32;
        let Tasks::Items(items) = &self.nodes[id.index()].tasks else { return };
        let (count, mut still_open) = (items.len() as u32, 0);
        for index in 0..count {
            let same = needs.iter().filter(|need| need.same_item);
            let lets_on = |need: &&crate::graph::Need| {
                self.task(TaskId::item(need.node, index)).is_some_and(|task| match task.phase {
                    Phase::Succeeded(_) | Phase::Skipped(_) => true,
                    Phase::Failed(_) => self.drops(need.node),
                    _ => false,
                })
            };
            let waits = same.filter(|need| !lets_on(need)).count() as u32;
            if let Some(task) = self.task_mut(TaskId::item(id, index)) {
                task.item_waits = waits;
                still_open += 1;
            }
        }
        self.nodes[id.index()].open_items = still_open;
    }

    /// A node failed for the items that it dropped: they run again, and whatever went on without
    /// them waits for them once more, as far as no finished node has accepted their absence.
    fn reopen_dropped(&mut self, id: NodeId) {
        let Tasks::Items(items) = &self.nodes[id.index()].tasks else { return };
        let dropped: Vec<u32> = (0_u32..)
            .zip(items)
            .filter(|(_, task)| matches!(task.phase, Phase::Failed(_)))
            .map(|(index, _)| index)
            .collect();
        for index in dropped {
            self.hold_same_items(id, index);
        }
    }

    fn hold_same_items(&mut self, id: NodeId, index: u32) {
        let graph = Arc::clone(&self.graph);
        for dependent in graph.node(id).dependents.iter().filter(|d| d.same_item) {
            let node = dependent.node;
            if self.nodes[node.index()].whole == Whole::Succeeded {
                continue;
            }
            let task = TaskId::item(node, index);
            let Some(held) = self.task_mut(task) else { continue };
            held.item_waits += 1;
            let was_skipped = matches!(held.phase, Phase::Skipped(_));
            if was_skipped || matches!(held.phase, Phase::Ready) {
                held.phase = Phase::Pending;
                held.finished_at = None;
                self.unready(task);
            }
            if was_skipped {
                self.nodes[node.index()].open_items += 1;
                self.to_gather.remove(&node);
                self.hold_same_items(node, index);
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

impl Carried {
    fn of(task: &Task, accepts_failure: bool) -> Self {
        let unknown = match &task.phase {
            Phase::Unknown(error) => Some(Arc::clone(error)),
            _ => None,
        };
        let (attempts, key) = (task.attempts, task.key);
        let before = Before::of(task, accepts_failure).map(Arc::new);
        let memories = task.memories.clone();
        Self {
            attempts,
            intent: task.intent.clone(),
            key,
            unknown,
            before,
            memories,
            usage: task.usage,
        }
    }
}

impl Before {
    fn of(task: &Task, accepts_failure: bool) -> Option<Self> {
        let mut found = match (&task.before, &task.phase) {
            // It has not had its turn since it was opened: what held then still does.
            (Some(before), Phase::Pending | Phase::Ready) => Self::clone(before),
            (Some(before), _) => Self { tried: before.tried.clone(), ..Self::default() },
            (None, _) => Self::default(),
        };
        found.tried.extend(&task.tried);
        match &task.phase {
            Phase::Failed(error) if accepts_failure => {
                found.let_go = task.key.map(|key| (key, Arc::clone(error)));
            }
            Phase::Awaiting(awaited) => found.awaited = Some(Arc::clone(awaited)),
            _ => {}
        }
        (found != Self::default()).then_some(found)
    }
}

impl Task {
    fn carrying(carried: &Carried) -> Self {
        let phase = match &carried.unknown {
            Some(error) => Phase::Unknown(Arc::clone(error)),
            None => Phase::Pending,
        };
        let (attempts, intent) = (carried.attempts, carried.intent.clone());
        let (key, last_error) = (carried.key, carried.unknown.clone());
        let (before, memories) = (carried.before.clone(), carried.memories.clone());
        let usage = carried.usage;
        Self { phase, attempts, intent, key, last_error, before, memories, usage, ..Self::new(0) }
    }

    /// Prepares the task for another invocation; false if it stays as it is.
    fn take_up(&mut self, attempts: u32) -> bool {
        match self.phase {
            Phase::Running => {
                // An attempt that a crash cut short counts, but never costs the last one.
                self.used = (self.used + 1).min(attempts.saturating_sub(1));
            }
            Phase::Failed(_) | Phase::Cancelled | Phase::Unknown(_) => {
                self.used = 0;
                self.variant = 0;
            }
            Phase::Pending | Phase::Ready => {}
            Phase::Waiting { .. }
            | Phase::Awaiting(_)
            | Phase::Succeeded(_)
            | Phase::Skipped(_) => return false,
        }
        self.phase = Phase::Pending;
        self.finished_at = None;
        true
    }
}
