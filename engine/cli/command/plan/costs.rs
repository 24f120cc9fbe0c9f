//! What nodes took in the past.

use std::collections::HashMap;
use std::sync::Arc;

use flow_core::run::Recorded;
use flow_core::run::event::{Event, TaskRef};

/// What something took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    /// Milliseconds.
    pub(super) ms: u64,
    /// US dollars; 0 where no stage told any.
    pub(super) usd: f64,
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, cost| Self {
            ms: sum.ms + cost.ms,
            usd: sum.usd + cost.usd,
        })
    }
}

/// The costs of the items of a node by their keys; of a node that is not fanned out under no key.
type Items = HashMap<Option<Arc<str>>, Cost>;

/// Costs by node and item, of the latest execution of each that is on record.
#[derive(Debug, Default)]
pub(super) struct Costs {
    nodes: HashMap<Arc<str>, Items>,
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
            let mut of_run: HashMap<Arc<str>, Items> = HashMap::new();
            for recorded in records {
                if let Event::Succeeded { task, duration_ms, usage, .. } = &recorded.event {
                    let item = task.item.as_ref().map(|item| Arc::clone(&item.key));
                    let cost = Cost { ms: *duration_ms, usd: usage.usd };
                    of_run.entry(Arc::clone(&task.node)).or_default().insert(item, cost);
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
    pub(super) fn node(&self, node: &str) -> Option<Cost> {
        self.nodes.get(node).map(|items| items.values().copied().sum())
    }

    /// What a task took; of an item that is new, what the others took on average.
    pub(super) fn task(&self, task: &TaskRef) -> Option<Cost> {
        let items = self.nodes.get(&task.node)?;
        let item = task.item.as_ref().map(|item| Arc::clone(&item.key));
        items.get(&item).copied().or_else(|| {
            let all: Cost = items.values().copied().sum();
            let ms = all.ms.checked_div(items.len() as u64)?;
            Some(Cost { ms, usd: all.usd / items.len() as f64 })
        })
    }
}
