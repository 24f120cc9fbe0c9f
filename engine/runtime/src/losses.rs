//! Results whose bytes are gone: found when a run is taken up, and made again.

use std::collections::{BTreeMap, HashSet};

use flow_core::graph::{Source, Take};
use flow_core::id::{NodeId, RunId, TaskId};
use flow_core::run::RunState;
use flow_core::run::state::{Phase, Tasks};
use flow_core::store::{Store, StoreError};

use crate::executor::check_outputs;

/// The tasks whose outputs something still needs and whose bytes are missing or damaged, with what
/// is wrong. What has ended and is needed by nothing is not looked at.
///
/// # Errors
/// Any other failure of the store.
pub(crate) fn lost_tasks(
    store: &dyn Store,
    run: &RunId,
    state: &RunState,
) -> Result<BTreeMap<TaskId, String>, StoreError> {
    let mut search = Search { store, run, state, seen: HashSet::new(), lost: BTreeMap::new() };
    for id in state.graph().ids().filter(|id| state.is_wanted(*id)) {
        for task in open_tasks(state, id) {
            search.inputs(task)?;
        }
    }
    for output in state.graph().outputs().values() {
        search.source(&output.source, None)?;
    }
    Ok(search.lost)
}

/// The tasks whose missing or damaged outputs one task takes as input, with what is wrong.
///
/// # Errors
/// Any other failure of the store.
pub fn lost_inputs(
    store: &dyn Store,
    run: &RunId,
    state: &RunState,
    task: TaskId,
) -> Result<BTreeMap<TaskId, String>, StoreError> {
    let mut search = Search { store, run, state, seen: HashSet::new(), lost: BTreeMap::new() };
    search.inputs(task)?;
    Ok(search.lost)
}

/// The tasks whose missing or damaged outputs a reference gives to `item`, or to whoever is no
/// item, with what is wrong.
///
/// # Errors
/// Any other failure of the store.
pub fn lost_behind(
    store: &dyn Store,
    run: &RunId,
    state: &RunState,
    source: &Source,
    item: Option<u32>,
) -> Result<BTreeMap<TaskId, String>, StoreError> {
    let mut search = Search { store, run, state, seen: HashSet::new(), lost: BTreeMap::new() };
    search.source(source, item)?;
    Ok(search.lost)
}

/// The tasks of a node that will run, if what they need ends well.
fn open_tasks(state: &RunState, id: NodeId) -> Vec<TaskId> {
    let is_open = |phase: &Phase| !matches!(phase, Phase::Succeeded(_) | Phase::Skipped(_));
    match &state.node(id).tasks {
        Tasks::One(task) if is_open(&task.phase) => vec![TaskId::whole(id)],
        Tasks::One(_) => Vec::new(),
        Tasks::Unresolved => vec![TaskId::whole(id)],
        Tasks::Items(items) => (0..)
            .zip(items)
            .filter(|(_, task)| is_open(&task.phase))
            .map(|(index, _)| TaskId::item(id, index))
            .collect(),
    }
}

struct Search<'a> {
    store: &'a dyn Store,
    run: &'a RunId,
    state: &'a RunState,
    seen: HashSet<TaskId>,
    lost: BTreeMap<TaskId, String>,
}

impl Search<'_> {
    fn inputs(&mut self, task: TaskId) -> Result<(), StoreError> {
        let graph = std::sync::Arc::clone(self.state.graph());
        let node = graph.node(task.node);
        for input in node.inputs.iter().chain(node.params.iter().flatten()) {
            self.source(&input.source, task.item)?;
        }
        if let Some(fan) = &node.fan {
            self.source(&fan.item, task.item)?;
            let group = &graph.groups()[fan.group];
            self.source(&group.list, None)?;
            for param in group.params.iter().flatten() {
                self.source(&param.source, None)?;
            }
        }
        Ok(())
    }

    fn source(&mut self, source: &Source, item: Option<u32>) -> Result<(), StoreError> {
        let mut producers = Vec::new();
        source.each_node(&mut |node, take| match (take, &self.state.node(node).tasks) {
            (Take::Whole, _) => producers.push(TaskId::whole(node)),
            (Take::SameItem, _) => producers.push(TaskId { node, item }),
            (Take::Gather, Tasks::Items(items)) => {
                producers.extend((0..items.len() as u32).map(|index| TaskId::item(node, index)));
            }
            (Take::Gather, _) => {}
        });
        for producer in producers {
            self.producer(producer)?;
        }
        Ok(())
    }

    fn producer(&mut self, task: TaskId) -> Result<(), StoreError> {
        if !self.seen.insert(task) {
            return Ok(());
        }
        let Some(done) = self.state.done(task).cloned() else { return Ok(()) };
        match check_outputs(self.store, self.run, &done.outputs) {
            Ok(()) => Ok(()),
            Err(error @ (StoreError::Missing { .. } | StoreError::Damaged { .. })) => {
                self.lost.insert(task, error.to_string());
                // It will run again, so what it needs must be there too.
                self.inputs(task)
            }
            Err(other) => Err(other),
        }
    }
}
