//! Runs as their records left them, at any point of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::digest::Digest;
use flow_core::id::{RunId, TaskId};
use flow_core::run::event::{Event, TaskRef};
use flow_core::run::manifest::{MANIFEST_FILE, Manifest};
use flow_core::run::{Recorded, RunState};
use flow_core::store::{Store, StoreError};
use flow_runtime::Recipes;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::history::{Known, Recording};

/// Among so many runs the previous one is looked for ahead of time.
const PREVIOUS_MAX: usize = 20;

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
        let recording = Recording::read(store, run, catalog, known.map(Self::known))?;
        Ok(Self::new(run, recording))
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
        let known = known.map(Self::known);
        let recording = Recording::of(store, run, records, catalog, known)?;
        Ok(Self::new(run, recording))
    }

    fn new(run: &RunId, recording: Recording) -> Self {
        let Recording { records, manifest, graph } = recording;
        let state = flow_runtime::replay(&graph, &manifest, &records);
        Self { run: run.clone(), records, manifest: Arc::new(manifest), state }
    }

    fn known(&self) -> Known<'_> {
        (&self.manifest, self.state.graph())
    }

    /// Reads a run, and at the same time the last one before it of the same file, with which it is
    /// most often compared.
    ///
    /// # Errors
    /// As [`Past::read`], of the run itself.
    pub(crate) fn with_previous(
        store: &dyn Store,
        run: &RunId,
        catalog: &Catalog,
    ) -> Result<(Self, Option<Self>), Failure> {
        std::thread::scope(|scope| {
            let read = || previous(store, run, catalog);
            let aside = std::thread::Builder::new().spawn_scoped(scope, read);
            let past = Self::read(store, run, catalog, None)?;
            Ok((past, aside.ok().and_then(|aside| aside.join().ok()).flatten()))
        })
    }

    /// Reads two runs at the same time.
    ///
    /// # Errors
    /// As [`Past::read`].
    pub(crate) fn both(
        store: &dyn Store,
        (one, other): (&RunId, &RunId),
        catalog: &Catalog,
    ) -> Result<(Self, Self), Failure> {
        std::thread::scope(|scope| {
            let read = || Self::read(store, other, catalog, None);
            let aside = std::thread::Builder::new().spawn_scoped(scope, read);
            let one = Self::read(store, one, catalog, None)?;
            let aside = aside.ok().and_then(|aside| aside.join().ok());
            let other = match aside {
                Some(other) => other?,
                None => Self::read(store, other, catalog, Some(&one))?,
            };
            Ok((one, other))
        })
    }

    /// Reads a run, if it is one of this workflow. One that this version does not accept any more
    /// is none, as there is nothing in it to compare with.
    pub(crate) fn of_workflow(
        store: &dyn Store,
        run: &RunId,
        workflow: (&Path, &str),
        catalog: &Catalog,
        known: &Self,
    ) -> Option<Self> {
        if file_of(store, run).as_deref() == Some(workflow.0) {
            return Self::read(store, run, catalog, Some(known)).ok();
        }
        let records = records_of_workflow(store, run, workflow)?;
        Self::of(store, run, records, catalog, Some(known)).ok()
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

/// Whether two names are those of one task: an item is known by its key, wherever it stands.
pub(crate) fn is_same_task(one: &TaskRef, other: &TaskRef) -> bool {
    let key = |task: &TaskRef| task.item.as_ref().map(|item| Arc::clone(&item.key));
    one.node == other.node && key(one) == key(other)
}

/// The latest result of a task before a record, with its place and its key.
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
    (path, name): (&Path, &str),
) -> Option<Vec<Recorded>> {
    let of_file = file_of(store, run).as_deref() == Some(path);
    let records = store.read_run(run).ok()?;
    let named = records.iter().any(|recorded| {
        matches!(&recorded.event, Event::RunStarted { workflow, .. } if workflow == name)
    });
    (of_file || named).then_some(records)
}

/// The last run before this one that was started from the same file.
fn previous(store: &dyn Store, run: &RunId, catalog: &Catalog) -> Option<Past> {
    let file = file_of(store, run)?;
    let earlier = earlier_runs(store, Some(run)).ok()?;
    let is_same = |run: &&RunId| file_of(store, run).as_ref() == Some(&file);
    let run = earlier.iter().take(PREVIOUS_MAX).find(is_same)?;
    Past::read(store, run, catalog, None).ok()
}

/// The file that a run was started from.
fn file_of(store: &dyn Store, run: &RunId) -> Option<PathBuf> {
    let manifest = store.run_file(run, MANIFEST_FILE).ok()?;
    Some(serde_json::from_slice::<Manifest>(&manifest).ok()?.workflow_path)
}
