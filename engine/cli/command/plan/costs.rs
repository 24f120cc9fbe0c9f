//! What nodes took in the past.

use std::collections::HashMap;
use std::sync::Arc;

use flow_core::run::Recorded;
use flow_core::run::event::{Event, TaskRef};

/// Milliseconds by node and item, of the latest execution of each that is on record.
#[derive(Debug, Default)]
pub(super) struct Costs {
    nodes: HashMap<Arc<str>, HashMap<Option<Arc<str>>, u64>>,
}

impl Costs {
    /// Goes through the records of runs, the newest run first.
    pub(super) fn of<'a>(runs: impl IntoIterator<Item = &'a [Recorded]>) -> Self {
        let mut costs = Self::default();
        costs.fill(runs);
        costs
    }

    /// Adds what older runs tell of nodes that have no costs yet.
    pub(super) fn fill<'a>(&mut self, runs: impl IntoIterator<Item = &'a [Recorded]>) {
        for records in runs {
            let mut of_run: HashMap<Arc<str>, HashMap<Option<Arc<str>>, u64>> = HashMap::new();
            for recorded in records {
                if let Event::Succeeded { task, duration_ms, .. } = &recorded.event {
                    let item = task.item.as_ref().map(|item| Arc::clone(&item.key));
                    of_run.entry(Arc::clone(&task.node)).or_default().insert(item, *duration_ms);
                }
            }
            for (node, items) in of_run {
                self.nodes.entry(node).or_insert(items);
            }
        }
    }

    /// Whether anything is known of a node.
    pub(super) fn knows(&self, node: &str) -> bool {
        self.nodes.contains_key(node)
    }

    /// What a whole node took, all its items together.
    pub(super) fn node(&self, node: &str) -> Option<u64> {
        self.nodes.get(node).map(|items| items.values().sum())
    }

    /// What a task took; of an item that is new, what the others took on average.
    pub(super) fn task(&self, task: &TaskRef) -> Option<u64> {
        let items = self.nodes.get(&task.node)?;
        let item = task.item.as_ref().map(|item| Arc::clone(&item.key));
        let known = items.get(&item).copied();
        known.or_else(|| items.values().sum::<u64>().checked_div(items.len() as u64))
    }
}
