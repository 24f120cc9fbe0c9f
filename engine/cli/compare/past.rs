//! Runs as their records left them, at any point of them.

use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::digest::Digest;
use flow_core::graph::Graph;
use flow_core::id::{RunId, TaskId};
use flow_core::run::event::{Event, TaskRef};
use flow_core::run::manifest::{MANIFEST_FILE, Manifest};
use flow_core::run::{Recorded, RunState};
use flow_core::store::{Store, StoreError};
use flow_runtime::Recipes;
use jiff::Timestamp;

use crate::failure::Failure;

/// A run as a part of its records left it: the whole of them, or all before a later change.
pub(crate) struct Past {
    pub(crate) run: RunId,
    pub(crate) records: Vec<Recorded>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) state: RunState,
}

impl Past {
    /// Reads a run. A graph that `known` has too is not made again.
    ///
    /// # Errors
    /// A record that cannot be read, or a workflow that this version does not accept any more.
    pub(crate) fn read(
        store: &dyn Store,
        run: &RunId,
        catalog: &Catalog,
        known: Option<&Self>,
    ) -> Result<Self, Failure> {
        Self::of(store, run, store.read_run(run)?, catalog, known)
    }

    /// A run whose records were read already.
    ///
    /// # Errors
    /// As [`Past::read`].
    pub(crate) fn of(
        store: &dyn Store,
        run: &RunId,
        records: Vec<Recorded>,
        catalog: &Catalog,
        known: Option<&Self>,
    ) -> Result<Self, Failure> {
        let (manifest, text) = flow_runtime::recorded_generation(store, run, &records)?;
        let shared = known.filter(|known| same_definition(&known.manifest, &manifest));
        let graph: Arc<Graph> = match shared {
            Some(known) => Arc::clone(known.state.graph()),
            None => crate::prepare::recorded(&manifest, &text, catalog)?,
        };
        let state = flow_runtime::replay(&graph, &manifest, &records);
        Ok(Self { run: run.clone(), records, manifest: Arc::new(manifest), state })
    }

    /// The same run before a record.
    ///
    /// # Errors
    /// As [`Past::read`].
    pub(crate) fn before(
        &self,
        store: &dyn Store,
        record: usize,
        catalog: &Catalog,
    ) -> Result<Self, Failure> {
        let records = self.records[..record].to_vec();
        Self::of(store, &self.run, records, catalog, Some(self))
    }

    /// What its results are made of.
    pub(crate) fn recipes(&self, store: &Arc<dyn Store>) -> Recipes<'_> {
        Recipes::new(store, &self.run, &self.manifest, &self.state)
    }

    /// The task with this name and item.
    pub(crate) fn find(&self, task: &TaskRef) -> Option<TaskId> {
        let node = self.state.graph().find(&task.node)?;
        let Some(item) = &task.item else {
            return self.state.graph().node(node).fan.is_none().then(|| TaskId::whole(node));
        };
        let items = self.state.items(node)?;
        let found = items.iter().find(|known| known.key == item.key)?;
        Some(TaskId::item(node, found.index))
    }

    /// When it began.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.state.started_at().unwrap_or(self.manifest.started_at)
    }
}

/// Whether two manifests give the same graph.
fn same_definition(one: &Manifest, other: &Manifest) -> bool {
    one.definition == other.definition
        && one.files == other.files
        && one.workflow_path == other.workflow_path
}

/// Whether two names are those of one task: an item is known by its key, wherever it stands.
pub(crate) fn is_same_task(one: &TaskRef, other: &TaskRef) -> bool {
    let key = |task: &TaskRef| task.item.as_ref().map(|item| Arc::clone(&item.key));
    one.node == other.node && key(one) == key(other)
}

/// The latest result of a task before a record, with its place: key, outputs and how long it took.
pub(crate) fn result_before(
    records: &[Recorded],
    task: &TaskRef,
    end: usize,
) -> Option<(usize, Digest)> {
    let found = records[..end].iter().enumerate().rev();
    found.into_iter().find_map(|(at, recorded)| match &recorded.event {
        Event::Succeeded { task: other, key, .. } | Event::Reused { task: other, key, .. } => {
            is_same_task(other, task).then_some((at, *key))
        }
        _ => None,
    })
}

/// How long the latest execution of a task took, in milliseconds.
pub(crate) fn took(records: &[Recorded], task: &TaskRef) -> Option<u64> {
    records.iter().rev().find_map(|recorded| match &recorded.event {
        Event::Succeeded { task: other, duration_ms, .. } if is_same_task(other, task) => {
            Some(*duration_ms)
        }
        _ => None,
    })
}

/// The runs before this one, newest first; all of them for one that is not there yet.
///
/// # Errors
/// A store that cannot be read.
pub(crate) fn earlier_runs(
    store: &dyn Store,
    run: Option<&RunId>,
) -> Result<Vec<RunId>, StoreError> {
    let mut runs: Vec<RunId> = store.runs()?.into_iter().map(|entry| entry.id).collect();
    if let Some(place) = run.and_then(|run| runs.iter().position(|known| known == run)) {
        runs.truncate(place);
    }
    runs.reverse();
    Ok(runs)
}

/// The records of a run, if it is one of this workflow: of the same file, or of the same name. One
/// that cannot be read is none.
pub(crate) fn records_of_workflow(
    store: &dyn Store,
    run: &RunId,
    (path, name): (&std::path::Path, &str),
) -> Option<Vec<Recorded>> {
    let manifest: Manifest =
        serde_json::from_slice(&store.run_file(run, MANIFEST_FILE).ok()?).ok()?;
    let records = store.read_run(run).ok()?;
    let named = records.iter().any(|recorded| {
        matches!(&recorded.event, Event::RunStarted { workflow, .. } if workflow == name)
    });
    (manifest.workflow_path == path || named).then_some(records)
}
