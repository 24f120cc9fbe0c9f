//! What executions took in the past.

use std::collections::HashMap;
use std::sync::Arc;

use flow_core::call::Usage;
use flow_core::digest::Digest;
use flow_core::run::Recorded;
use flow_core::run::event::{Event, TaskRef};

use super::past::is_same_task;
use crate::report::text::{duration, used};

/// What an execution took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// Milliseconds.
    pub(crate) ms: u64,
    /// What its calls used, as far as the stage told it.
    pub(crate) usage: Usage,
}

impl Cost {
    /// What the latest execution of a task took.
    pub(crate) fn of_task(records: &[Recorded], task: &TaskRef) -> Option<Self> {
        Self::latest(records, |other, _| is_same_task(other, task))
    }

    /// What the latest execution took that made the result with this key, of whichever task.
    pub(crate) fn of_result(records: &[Recorded], key: Digest) -> Option<Self> {
        Self::latest(records, |_, other| other == key)
    }

    fn latest(records: &[Recorded], is_it: impl Fn(&TaskRef, Digest) -> bool) -> Option<Self> {
        records.iter().rev().find_map(|recorded| match &recorded.event {
            Event::Succeeded { task, key, duration_ms, usage, .. } if is_it(task, *key) => {
                Some(Self { ms: *duration_ms, usage: *usage })
            }
            _ => None,
        })
    }

    /// The money, where there was any.
    pub(crate) fn usd(&self) -> Option<f64> {
        Some(self.usage.usd).filter(|usd| *usd > 0.0)
    }

    /// `1.2 s ($0.012)`: the span, and the money where there was any.
    pub(crate) fn in_short(&self) -> String {
        let usage = Usage { usd: self.usage.usd, ..Usage::default() };
        Self { usage, ..*self }.in_full()
    }

    /// `1.2 s ($0.012, 812 tokens, 3 calls)`.
    pub(crate) fn in_full(&self) -> String {
        match used(self.usage) {
            nothing if nothing.is_empty() => duration(self.ms),
            used => format!("{} ({used})", duration(self.ms)),
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, cost| {
            sum.ms = sum.ms.saturating_add(cost.ms);
            sum.usage.add(cost.usage);
            sum
        })
    }
}

/// The costs of the items of a node by their keys; of a node that is not fanned out under no key.
type Items = HashMap<Option<Arc<str>>, Cost>;

/// Costs by node and item, of the latest execution of each that is on record.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    nodes: HashMap<Arc<str>, Items>,
}

impl Costs {
    /// Goes through the records of runs, the newest run first.
    pub(crate) fn of<'a>(runs: impl IntoIterator<Item = &'a [Recorded]>) -> Self {
        let mut costs = Self::default();
        costs.fill(runs);
        costs
    }

    /// Adds what older runs tell of nodes that have no costs yet.
    pub(crate) fn fill<'a>(&mut self, runs: impl IntoIterator<Item = &'a [Recorded]>) {
        for records in runs {
            let mut of_run: HashMap<Arc<str>, Items> = HashMap::new();
            for recorded in records {
                if let Event::Succeeded { task, duration_ms, usage, .. } = &recorded.event {
                    let item = task.item.as_ref().map(|item| Arc::clone(&item.key));
                    let cost = Cost { ms: *duration_ms, usage: *usage };
                    of_run.entry(Arc::clone(&task.node)).or_default().insert(item, cost);
                }
            }
            for (node, items) in of_run {
                self.nodes.entry(node).or_insert(items);
            }
        }
    }

    /// Whether anything is known of a node.
    pub(crate) fn knows(&self, node: &str) -> bool {
        self.nodes.contains_key(node)
    }

    /// What a whole node took, all its items together.
    pub(crate) fn node(&self, node: &str) -> Option<Cost> {
        self.nodes.get(node).map(|items| items.values().copied().sum())
    }

    /// What a task took; of an item that is new, what the others took on average.
    pub(crate) fn task(&self, task: &TaskRef) -> Option<Cost> {
        let items = self.nodes.get(&task.node)?;
        let item = task.item.as_ref().map(|item| Arc::clone(&item.key));
        items.get(&item).copied().or_else(|| {
            let (all, number): (Cost, _) = (items.values().copied().sum(), items.len() as u64);
            let usage = Usage {
                usd: all.usage.usd / number as f64,
                tokens: all.usage.tokens.checked_div(number)?,
                calls: all.usage.calls.checked_div(number)?,
            };
            Some(Cost { ms: all.ms.checked_div(number)?, usage })
        })
    }
}
