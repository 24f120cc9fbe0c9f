//! Nested workflows in a run: whether what is around a task has begun, and what failed inside.

use std::sync::Arc;

use super::state::{Phase, RunState, Tasks, Whole};
use crate::error::StageError;
use crate::graph::Take;
use crate::id::{NodeId, TaskId};

impl RunState {
    /// Whether an output of a node, or of one of its items, is there. What ends a nested workflow
    /// has only those outputs that were made inside.
    #[must_use]
    pub fn has_output(&self, node: NodeId, port: &str, take: Take, item: Option<u32>) -> bool {
        if !self.is_present(node, take, item) {
            return false;
        }
        let task = match take {
            Take::Whole => TaskId::whole(node),
            Take::SameItem => TaskId { node, item },
            Take::Gather => return true,
        };
        !self.graph.node(node).ends_workflow()
            || self.done(task).is_some_and(|done| done.outputs.contains_key(port))
    }

    /// Why the nested workflow that a node stands in did not begin, now that it cannot any more.
    pub(super) fn never_began(&self, within: NodeId, item: Option<u32>) -> Option<Arc<str>> {
        let params = self.counterpart(within, item);
        if self.done(params).is_some() {
            return None;
        }
        let name = &self.graph.node(within).name;
        let workflow = name.strip_suffix("/params").unwrap_or(name);
        Some(match self.task(params).map(|task| &task.phase) {
            Some(Phase::Skipped(reason)) => Arc::clone(reason),
            _ => format!("its workflow `{workflow}` did not begin").into(),
        })
    }

    /// The first failure inside a nested workflow that ends here.
    pub(super) fn failed_inside(&self, task: TaskId) -> Option<StageError> {
        self.graph.node(task.node).encloses.iter().find_map(|&inside| {
            let (name, error) = self.failure_of(inside, task)?;
            let mut found = StageError::new(
                error.class,
                "run a nested workflow",
                format!("`{name}` failed inside it"),
            )
            .cause(error);
            found.kind = error.kind;
            Some(found)
        })
    }

    fn failure_of(&self, inside: NodeId, end: TaskId) -> Option<(String, &StageError)> {
        if let Whole::Failed(error) = &self.nodes[inside.index()].whole {
            return Some((self.graph.node(inside).name.to_string(), error));
        }
        let here = self.counterpart(inside, end.item);
        match &self.task(here)?.phase {
            Phase::Failed(error) => Some((self.task_ref(here).to_string(), error)),
            _ => None,
        }
    }

    /// The task of another node for the same item, if that node is fanned out alike.
    fn counterpart(&self, node: NodeId, item: Option<u32>) -> TaskId {
        match self.graph.node(node).fan {
            Some(_) => TaskId { node, item },
            None => TaskId::whole(node),
        }
    }

    /// Fanned-out workflows that failed as a whole, although failures inside were let go: all
    /// inside, and what depends on them.
    pub(super) fn failed_workflows(&self) -> Vec<Arc<str>> {
        let graph = &self.graph;
        let failed = graph.ids().filter(|id| {
            let node = graph.node(*id);
            node.ends_workflow()
                && !node.optional
                && matches!(self.nodes[id.index()].whole, Whole::Failed(_))
                && matches!(self.nodes[id.index()].tasks, Tasks::Items(_))
        });
        let inside: Vec<NodeId> =
            failed.flat_map(|id| graph.node(id).encloses.iter().copied()).collect();
        let all = graph.with_descendants(&inside);
        all.iter()
            .map(|id| graph.node(*id))
            .filter(|node| !node.always)
            .map(|node| Arc::clone(&node.name))
            .collect()
    }
}
