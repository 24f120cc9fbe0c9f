//! A run as it is recorded: read without its lock, while it may go on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flow_core::call::Usage;
use flow_core::catalog::Catalog;
use flow_core::error::StageError;
use flow_core::graph::Graph;
use flow_core::id::RunId;
use flow_core::run::event::{Event, RunEnd};
use flow_core::run::manifest::Manifest;
use flow_core::run::state::RunPhase;
use flow_core::run::{Recorded, RunState};
use flow_core::store::Store;
use jiff::Timestamp;

use crate::args::RunStatus;
use crate::failure::Failure;
use crate::prepare;
use crate::report::passed_over::PassedOver;

/// What the records of a run tell without its workflow.
pub(crate) struct Outline {
    /// The run.
    pub(crate) run: RunId,
    /// Name of the workflow; empty before the first record.
    pub(crate) workflow: String,
    /// Parameter values.
    pub(crate) params: serde_json::Value,
    /// When it began.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// How it stands.
    pub(crate) status: RunStatus,
    /// Failures of whole nodes that stand, in the order they happened; there once all records are
    /// taken.
    pub(crate) failures: Vec<(Arc<str>, StageError)>,
    /// Whether anything of it waited for an instant or an answer, and it has not ended: whether it
    /// still does only the whole state tells.
    pub(crate) may_wait: bool,
    /// Results of other runs that were looked for and found.
    pub(crate) cache_hits: usize,
    /// Results of other runs that were looked for and not found.
    pub(crate) cache_misses: usize,
    /// What the calls of all attempts used.
    pub(crate) usage: Usage,
    /// Providers of services that were passed over.
    pub(crate) passed_over: PassedOver,
    /// How it ended, as far as the records were taken.
    end: Option<RunEnd>,
    /// The failures by node, each with its place among all that were taken.
    failed: HashMap<Arc<str>, (usize, StageError)>,
    /// How many failures were taken.
    taken: usize,
}

impl Outline {
    /// Folds records. `holder` is who had the run before they were read: asked in this order, a run
    /// that ends meanwhile is never taken for an interrupted one.
    pub(crate) fn of(run: &RunId, records: &[Recorded], holder: Option<&str>) -> Self {
        let mut outline = Self::empty(run);
        records.iter().for_each(|recorded| outline.take(recorded));
        outline.settled(holder)
    }

    /// A run without records.
    pub(crate) fn empty(run: &RunId) -> Self {
        Self {
            run: run.clone(),
            workflow: String::new(),
            params: serde_json::json!({}),
            started_at: None,
            finished_at: None,
            status: RunStatus::Interrupted,
            failures: Vec::new(),
            may_wait: false,
            cache_hits: 0,
            cache_misses: 0,
            usage: Usage::default(),
            passed_over: PassedOver::default(),
            end: None,
            failed: HashMap::new(),
            taken: 0,
        }
    }

    /// Takes in the next record.
    pub(crate) fn take(&mut self, recorded: &Recorded) {
        self.usage.add(recorded.event.usage());
        self.passed_over.take(&recorded.event);
        match &recorded.event {
            Event::RunStarted { workflow, params, .. } => {
                self.workflow.clone_from(workflow);
                self.params = params.clone();
                self.started_at = Some(recorded.ts);
            }
            Event::RunResumed { .. } => {
                self.end = None;
                self.finished_at = None;
            }
            Event::RunFinished { status } => {
                self.end = Some(*status);
                self.finished_at = Some(recorded.ts);
            }
            Event::Waiting { .. } => self.may_wait = true,
            Event::CacheHit { .. } => self.cache_hits += 1,
            Event::CacheMiss { .. } => self.cache_misses += 1,
            event => self.note(event),
        }
    }

    /// What all records together tell; `holder` as in [`Outline::of`].
    fn settled(mut self, holder: Option<&str>) -> Self {
        // What failed and was accepted is no error of a run that has succeeded.
        if self.end != Some(RunEnd::Succeeded) {
            let mut failed: Vec<_> = std::mem::take(&mut self.failed).into_iter().collect();
            failed.sort_by_key(|(_, (place, _))| *place);
            self.failures = failed.into_iter().map(|(node, (_, error))| (node, error)).collect();
        }
        self.status = match self.end {
            Some(RunEnd::Succeeded) => RunStatus::Succeeded,
            Some(RunEnd::Failed) => RunStatus::Failed,
            Some(RunEnd::Cancelled) => RunStatus::Cancelled,
            None if holder.is_some() => RunStatus::Running,
            None => RunStatus::Interrupted,
        };
        self.may_wait &= self.end.is_none();
        self
    }

    /// Notes what an event means for the failures: items count through their nodes alone.
    fn note(&mut self, event: &Event) {
        let Some(node) = event.node() else { return };
        if event.task().is_some_and(|task| task.item.is_some()) {
            return;
        }
        if let Event::Failed { error, .. } | Event::NodeFailed { error, .. } = event {
            self.taken += 1;
            self.failed.insert(node.into(), (self.taken, error.as_ref().clone()));
        } else if !self.failed.is_empty() {
            self.failed.remove(node);
        }
    }
}

/// A run with all that it recorded.
pub(crate) struct History {
    pub(crate) outline: Outline,
    pub(crate) manifest: Manifest,
    pub(crate) state: RunState,
    /// Who has the run.
    pub(crate) holder: Option<String>,
}

impl History {
    /// Reads a run.
    ///
    /// # Errors
    /// A record that cannot be read, or a workflow that this version does not accept any more.
    pub(crate) fn read(store: &dyn Store, run: &RunId, catalog: &Catalog) -> Result<Self, Failure> {
        let holder = store.holder(run)?;
        let Recording { records, manifest, graph } = Recording::read(store, run, catalog, None)?;
        let state = flow_runtime::replay(&graph, &manifest, &records);
        let mut outline = Outline::empty(run);
        records.iter().for_each(|recorded| outline.take(recorded));
        Ok(Self::new(outline, manifest, state, holder))
    }

    /// A run of which `outline` and `state` have taken in all records.
    pub(crate) fn new(
        outline: Outline,
        manifest: Manifest,
        state: RunState,
        holder: Option<String>,
    ) -> Self {
        let mut outline = outline.settled(holder.as_deref());
        let accepted = |name: &str| {
            let graph = state.graph();
            graph.find(name).is_some_and(|id| graph.node(id).optional)
        };
        outline.failures.retain(|(name, _)| !accepted(name));
        if state.only_waits() {
            outline.status = RunStatus::Waiting;
        }
        // They are those in force, and a run that was just created has no records yet.
        state.graph().name().clone_into(&mut outline.workflow);
        outline.params = serde_json::json!(manifest.params);
        outline.started_at = outline.started_at.or(Some(manifest.started_at));
        Self { outline, manifest, state, holder }
    }

    /// The run.
    pub(crate) fn run(&self) -> &RunId {
        &self.outline.run
    }

    /// How the run ended, if it did.
    pub(crate) fn end(&self) -> Option<RunEnd> {
        match self.state.phase() {
            RunPhase::Finished(end) => Some(end),
            RunPhase::Open | RunPhase::Interrupted => None,
        }
    }

    /// The values of `[outputs]` that are there.
    ///
    /// # Errors
    /// A payload that the store cannot give.
    pub(crate) fn outputs(
        &self,
        store: &dyn Store,
    ) -> Result<BTreeMap<String, serde_json::Value>, Box<StageError>> {
        let params = &self.manifest.params;
        let finished = self.end() == Some(RunEnd::Succeeded);
        let mut outputs = BTreeMap::new();
        for (name, output) in self.state.graph().outputs() {
            let wire = flow_runtime::wiring::wire(&self.state, params, &output.source, None);
            // What a finished run skipped is null; what has not ended yet is not there.
            let is_there = output.source.is_satisfied(&|node, port, take| {
                finished || self.state.has_output(node, port, take, None)
            });
            let mut is_wanted = true;
            output.source.each_node(&mut |node, _| is_wanted &= self.state.is_wanted(node));
            if is_there && is_wanted {
                let value = flow_runtime::value_at(store, self.run(), &wire);
                outputs.insert(name.clone(), value.map_err(load_fault)?);
            }
        }
        Ok(outputs)
    }
}

/// Why a value cannot be had, as an error for people.
pub(crate) fn load_fault(fault: flow_runtime::LoadFault) -> Box<StageError> {
    use flow_core::error::ErrorClass;
    match fault {
        flow_runtime::LoadFault::Store(error) => error,
        flow_runtime::LoadFault::NoField { pointer, field } => Box::new(StageError::new(
            ErrorClass::Validation,
            "read a payload",
            format!("it has no field `{field}` at {pointer:?}"),
        )),
    }
}

/// What a run recorded, and the workflow that it has put in force.
pub(crate) struct Recording {
    pub(crate) records: Vec<Recorded>,
    pub(crate) manifest: Manifest,
    pub(crate) graph: Arc<Graph>,
}

/// A workflow in force that is at hand already.
pub(crate) type Known<'a> = (&'a Manifest, &'a Arc<Graph>);

impl Recording {
    /// Reads a run. The graph of `known` is not made again if it is that of this run too.
    ///
    /// # Errors
    /// As [`History::read`].
    pub(crate) fn read(
        store: &dyn Store,
        run: &RunId,
        catalog: &Catalog,
        known: Option<Known<'_>>,
    ) -> Result<Self, Failure> {
        std::thread::scope(|scope| {
            // What a run began with is nearly always what is in force, so its graph is made while
            // the records are read.
            let first = || in_force(store, run, &[], catalog, known);
            let ahead = std::thread::Builder::new().spawn_scoped(scope, first);
            let records = store.read_run(run)?;
            let ahead = ahead.ok().and_then(|ahead| ahead.join().ok()).and_then(Result::ok);
            let made = ahead.as_ref().map(|(manifest, graph)| (manifest, graph));
            let (manifest, graph) = in_force(store, run, &records, catalog, made.or(known))?;
            Ok(Self { records, manifest, graph })
        })
    }

    /// What a run whose records were read already has put in force.
    ///
    /// # Errors
    /// As [`History::read`].
    pub(crate) fn of(
        store: &dyn Store,
        run: &RunId,
        records: Vec<Recorded>,
        catalog: &Catalog,
        known: Option<Known<'_>>,
    ) -> Result<Self, Failure> {
        let (manifest, graph) = in_force(store, run, &records, catalog, known)?;
        Ok(Self { records, manifest, graph })
    }
}

/// The manifest and graph that the records of a run have put in force.
fn in_force(
    store: &dyn Store,
    run: &RunId,
    records: &[Recorded],
    catalog: &Catalog,
    known: Option<Known<'_>>,
) -> Result<(Manifest, Arc<Graph>), Failure> {
    let (manifest, text) = flow_runtime::recorded_generation(store, run, records)?;
    let graph = match known.filter(|(known, _)| same_definition(known, &manifest)) {
        Some((_, graph)) => Arc::clone(graph),
        None => prepare::recorded(&manifest, &text, catalog)?,
    };
    Ok((manifest, graph))
}

/// Whether two manifests give the same graph.
fn same_definition(one: &Manifest, other: &Manifest) -> bool {
    one.definition == other.definition
        && one.files == other.files
        && one.workflow_path == other.workflow_path
}
