//! Runs from the outside: start one, take one up, drive it to its end.

use std::borrow::Cow;
use std::sync::Arc;

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::Graph;
use flow_core::id::TaskId;
use flow_core::id::{NodeId, RunId};
use flow_core::payload::{Artifact, DIR_MEDIA_TYPE};
use flow_core::run::manifest::{DEFINITION_FILE, MANIFEST_FILE, Manifest, in_force};
use flow_core::run::state::{Phase, Tasks};
use flow_core::run::{Ending, Event, Recorded, RunState};
use flow_core::schema::Type;
use flow_core::store::{Adopt, InlinePayload, Journal, Store, StoreError};
use tokio::sync::mpsc;

use crate::bus::{Bus, Observer};
use crate::clock::Clock;
use crate::dispatcher::Dispatcher;
use crate::executor::{Earlier, Surroundings};
use crate::generation::manifest_bytes;
use crate::secrets::Secrets;

/// A word from outside to a run in progress.
#[derive(Debug, Clone)]
pub enum Control {
    /// Stop: the first time with grace, the second time at once.
    Interrupt {
        /// The signal that asked for it, such as `SIGINT`.
        signal: String,
    },
    /// End the run for good.
    Cancel,
}

/// Why a run cannot go on in this process. The run itself stays as its journal says.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed: nothing more was acknowledged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process could not start its own threads.
    #[error("cannot start a thread: {0}")]
    Io(#[from] std::io::Error),
}

/// A run that this process holds.
pub struct Opened {
    pub(crate) run: RunId,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) manifest_digest: Digest,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) state: RunState,
    pub(crate) notes: Vec<String>,
    /// Nodes whose results are open again, with all that depends on them.
    pub(crate) invalidated: Vec<Arc<str>>,
    /// Whether another manifest and definition are in force from here on.
    pub(crate) updated: bool,
    /// Values that are given to stages and hidden in all that is written.
    pub(crate) secrets: Arc<Secrets>,
    /// Facts that are recorded when the run is taken up.
    pub(crate) first: (Vec<Event>, Vec<InlinePayload>),
}

impl Opened {
    /// The state so far.
    #[must_use]
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The state as this process begins with it: what had begun or failed is open again.
    #[must_use]
    pub fn at_start(&self) -> Cow<'_, RunState> {
        if self.state.invocation() == 0 {
            return Cow::Borrowed(&self.state);
        }
        let mut state = self.state.clone();
        let event = Event::RunResumed { notes: Vec::new(), manifest: self.manifest_digest };
        state.apply(&Recorded { seq: None, ts: jiff::Timestamp::UNIX_EPOCH, event });
        Cow::Owned(state)
    }

    /// The lock for whoever starts programs for this run and may outlive this process.
    ///
    /// # Errors
    /// A system without a free descriptor.
    pub fn programs_lock(&self) -> Result<Option<std::fs::File>, StoreError> {
        self.journal.programs_lock()
    }

    /// Gives the run its secrets, as this invocation reads them.
    pub fn keep_secrets(&mut self, secrets: Arc<Secrets>) {
        self.secrets = secrets;
    }

    /// The secrets of this invocation.
    #[must_use]
    pub fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// Makes this process leave when only waiting is left.
    pub fn leave_waits(&mut self) {
        self.state.leave_waits();
    }

    /// Puts another definition and manifest in force, whose digest [`record_generation`] gave. All
    /// nodes are open again: a result is taken where its key is what it was. Nothing of this holds
    /// before the resumption is on record, and then all of it does.
    ///
    /// # Errors
    /// A journal that cannot be read.
    ///
    /// [`record_generation`]: crate::record_generation
    pub fn update(
        &mut self,
        graph: Arc<Graph>,
        manifest: Manifest,
        digest: Digest,
    ) -> Result<(), StoreError> {
        self.state = replay(&graph, &manifest, &self.journal.replay()?);
        (self.manifest, self.manifest_digest) = (Arc::new(manifest), digest);
        self.updated = true;
        self.invalidate(&graph.ids().collect::<Vec<_>>());
        Ok(())
    }

    /// Opens the results of nodes again: each is taken where its key is what it was, and made anew
    /// where it is not. Whatever depends on them is opened too.
    pub fn invalidate(&mut self, nodes: &[NodeId]) {
        let graph = Arc::clone(self.state.graph());
        let all = graph.with_descendants(nodes);
        self.invalidated = all.into_iter().map(|id| Arc::clone(&graph.node(id).name)).collect();
    }

    /// Records a result beside those of the run's own attempts, in the place of the one before.
    pub fn adopt(&mut self, event: Event, payloads: Vec<InlinePayload>) {
        self.first.0.push(event);
        self.first.1.extend(payloads);
    }

    /// Adds a line to what the resumption tells people.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }
}

/// Creates a run with its recorded manifest and definition, and takes its lock.
///
/// # Errors
/// [`StoreError::RunExists`], or failure to write.
pub fn start(
    store: &Arc<dyn Store>,
    run: RunId,
    graph: Arc<Graph>,
    manifest: Manifest,
    definition: &str,
) -> Result<Opened, StoreError> {
    let recorded = manifest_bytes(&manifest)?;
    let files = [(MANIFEST_FILE, recorded.as_slice()), (DEFINITION_FILE, definition.as_bytes())];
    let journal = store.create_run(&run, &files)?;
    let state = fresh_state(&graph, &manifest);
    Ok(Opened {
        run,
        manifest_digest: Digest::of(&recorded),
        manifest: Arc::new(manifest),
        journal,
        state,
        notes: Vec::new(),
        invalidated: Vec::new(),
        updated: false,
        secrets: Arc::default(),
        first: (Vec::new(), Vec::new()),
    })
}

/// Takes up an existing run: its lock, and the state that its journal folds into.
///
/// # Errors
/// [`StoreError::Held`] while another process has it, damage, or failure to read.
pub fn open(
    store: &Arc<dyn Store>,
    run: &RunId,
    graph: Arc<Graph>,
    manifest: Manifest,
) -> Result<Opened, StoreError> {
    let journal = store.open_run(run)?;
    let records = journal.replay()?;
    crate::leftovers::end_leftovers(&records);
    let state = replay(&graph, &manifest, &records);
    let manifest_digest = match in_force(&records) {
        Some(digest) => digest,
        None => Digest::of(&manifest_bytes(&manifest)?),
    };
    Ok(Opened {
        run: run.clone(),
        manifest_digest,
        manifest: Arc::new(manifest),
        journal,
        state,
        notes: Vec::new(),
        invalidated: Vec::new(),
        updated: false,
        secrets: Arc::default(),
        first: (Vec::new(), Vec::new()),
    })
}

/// The state that records fold into.
#[must_use]
pub fn replay(graph: &Arc<Graph>, manifest: &Manifest, records: &[Recorded]) -> RunState {
    let mut state = fresh_state(graph, manifest);
    for recorded in records {
        state.apply(recorded);
    }
    state
}

/// The state of a run of which nothing is recorded yet.
#[must_use]
pub fn fresh_state(graph: &Arc<Graph>, manifest: &Manifest) -> RunState {
    let only = manifest.only.as_deref().and_then(|name| graph.find(name));
    RunState::new(Arc::clone(graph), only, manifest.max_parallel)
}

/// Drives runs.
pub struct Runner {
    /// Where runs are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Runner {
    /// Drives a run until nothing is left to do, it is interrupted, or the store fails. Every event
    /// reaches the observers after it is durable. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`RunError`] when the store fails; the run can be resumed once the cause is gone.
    pub async fn drive(
        &self,
        opened: Opened,
        observers: Vec<Box<dyn Observer>>,
        control: mpsc::UnboundedReceiver<Control>,
    ) -> Result<Ending, RunError> {
        let (bus, watch) = Bus::start(observers)?;
        let around = Surroundings {
            run: opened.run.clone(),
            zone: zone(opened.state.graph()),
            graph: Arc::clone(opened.state.graph()),
            store: Arc::clone(&self.store),
            manifest: Arc::clone(&opened.manifest),
            bus: Some(bus.clone()),
            spare: crate::executor::SpareFolders::default(),
            earlier: match opened.state.reuses() || !opened.invalidated.is_empty() {
                true => Earlier::of(&opened.journal.replay()?),
                false => Earlier::default(),
            },
            clock: Arc::clone(&self.clock),
            parsed: crate::executor::Parsed::default(),
            secrets: Arc::clone(&opened.secrets),
        };
        let first = match opened.state.invocation() {
            0 => vec![Event::RunStarted {
                workflow: around.graph.name().to_owned(),
                params: serde_json::json!(opened.manifest.params),
                manifest: opened.manifest_digest,
                max_parallel: opened.manifest.max_parallel,
            }],
            _ => {
                let how = TakeUp {
                    notes: &opened.notes,
                    manifest: opened.manifest_digest,
                    updated: opened.updated,
                    first: &opened.first.0,
                    invalidated: &opened.invalidated,
                };
                resumption(self.store.as_ref(), &opened.run, &opened.state, &how)?
            }
        };
        let payloads = opened.first.1;
        let dispatcher =
            Dispatcher::new(around, opened.journal, opened.state, Arc::clone(&self.clock), bus)?;
        let result = dispatcher.run((first, payloads), control).await;
        watch.finish();
        result
    }
}

/// How a run is taken up.
pub(crate) struct TakeUp<'a> {
    /// What is told to people.
    pub(crate) notes: &'a [String],
    /// The manifest in force from here on.
    pub(crate) manifest: Digest,
    /// Whether that is another one.
    pub(crate) updated: bool,
    /// Facts that are recorded with it.
    pub(crate) first: &'a [Event],
    /// Nodes whose results are open again.
    pub(crate) invalidated: &'a [Arc<str>],
}

/// What is recorded when a run is taken up: that it is, and which results must be made again.
pub(crate) fn resumption(
    store: &dyn Store,
    run: &RunId,
    state: &RunState,
    how: &TakeUp<'_>,
) -> Result<Vec<Event>, StoreError> {
    // Whoever looks for an earlier result looks whether its bytes are there.
    let lost = match how.updated {
        true => std::collections::BTreeMap::new(),
        false => crate::losses::lost_tasks(store, run, state)?,
    };
    let mut notes = how.notes.to_vec();
    let mut losses = Vec::new();
    for (task, reason) in lost {
        let task = state.task_ref(task);
        notes.push(format!("{task} runs again, because its output is lost: {reason}"));
        losses.push(Event::OutputsLost { task, reason });
    }
    let mut events = vec![Event::RunResumed { notes, manifest: how.manifest }];
    events.extend(unanswered(state));
    events.extend(losses);
    events.extend(how.first.iter().cloned());
    if !how.invalidated.is_empty() {
        events.push(Event::Invalidated { nodes: how.invalidated.to_vec() });
    }
    Ok(events)
}

/// Effects whose attempts were cut short: nobody knows whether they happened.
fn unanswered(state: &RunState) -> Vec<Event> {
    let graph = state.graph();
    let acts = |id: &NodeId| graph.node(*id).effect.as_ref().is_some_and(|e| !e.idempotent);
    let mut events = Vec::new();
    for id in graph.ids().filter(acts) {
        let tasks: Vec<TaskId> = match &state.node(id).tasks {
            Tasks::One(_) => vec![TaskId::whole(id)],
            Tasks::Items(items) => (0..items.len() as u32).map(|i| TaskId::item(id, i)).collect(),
            Tasks::Unresolved => Vec::new(),
        };
        for task in tasks {
            let Some(found) = state.task(task) else { continue };
            if found.phase != Phase::Running || found.intent.is_none() {
                continue;
            }
            let name = state.task_ref(task);
            let message = "the process that ran it ended before the attempt did";
            let mut error = StageError::new(ErrorClass::Cancelled, "act on the outside world", message)
                .hint(format!("find out whether it happened, and say so: `flow resolve RUN '{name}' --done` or `--not-done`"));
            error.attempt = found.attempts;
            let (attempt, error) = (found.attempts, Box::new(error));
            events.push(Event::Unknown { task: name, attempt, error });
        }
    }
    events
}

/// Records words of people in a run that no process drives.
///
/// # Errors
/// Failure to write. [`RunError::Store`]; nothing was recorded then.
pub fn record_word(
    store: &Arc<dyn Store>,
    opened: &mut Opened,
    word: crate::inbox::Word,
    now: flow_core::run::Now,
) -> Result<bool, RunError> {
    let mut seq = opened.state.last_seq();
    let mut record = |event: Event| {
        let named = event.name().is_some();
        seq += u64::from(named);
        Recorded { seq: named.then_some(seq), ts: now.wall, event }
    };
    let mut records: Vec<Recorded> =
        unanswered(&opened.state).into_iter().map(&mut record).collect();
    records.iter().for_each(|recorded| opened.state.apply(recorded));
    let signal = crate::inbox::signal(store, &opened.state, word);
    let decision = signal.map(|signal| flow_core::run::decide(&opened.state, signal, now));
    let Some(decision) = decision.filter(|decision| !decision.events.is_empty()) else {
        return Ok(false);
    };
    let said: Vec<Recorded> = decision.events.into_iter().map(record).collect();
    said.iter().for_each(|recorded| opened.state.apply(recorded));
    records.extend(said);
    store.settle()?;
    opened.journal.append(&records, &decision.payloads)?;
    opened.journal.syncer().sync()?;
    Ok(true)
}

/// The time zone of a workflow; the check has made sure that it is known.
pub(crate) fn zone(graph: &Graph) -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::get(&graph.settings().timezone).unwrap_or(jiff::tz::TimeZone::UTC)
}

/// Stores a file or folder that a parameter or `uses` names, and describes it.
///
/// # Errors
/// A [`StageError`] that names the path: not there, not of the wanted kind, or unreadable.
pub fn file_artifact(
    store: &dyn Store,
    path: &std::path::Path,
    ty: &Type,
) -> Result<Artifact, Box<StageError>> {
    let operation = format!("read {}", path.display());
    let io = |e: &std::io::Error| Box::new(StageError::from_io(operation.clone(), e));
    let failed =
        |e: StoreError| Box::new(StageError::new(ErrorClass::Io, operation.clone(), e.to_string()));
    let real = path.canonicalize().map_err(|e| io(&e))?;
    let meta = std::fs::metadata(&real).map_err(|e| io(&e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if meta.is_dir() {
        let (digest, size) = store.put_dir(&real).map_err(failed)?;
        return Ok(Artifact { digest, name, size, media_type: DIR_MEDIA_TYPE.into() });
    }
    if !meta.is_file() {
        let message = "it is neither a file nor a folder";
        return Err(Box::new(StageError::new(ErrorClass::Validation, operation, message)));
    }
    let pattern = match ty.inner() {
        Type::File(pattern) => pattern.as_ref(),
        _ => None,
    };
    let media_type = crate::executor::detect_media_type(&real, pattern).map_err(|e| io(&e))?;
    let (digest, size) = store.put_file(&real, Adopt::Copy).map_err(failed)?;
    Ok(Artifact { digest, name, size, media_type })
}
