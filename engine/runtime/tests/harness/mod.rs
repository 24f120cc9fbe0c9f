//! A run with scripted stages: what each task does is said beforehand, what was executed is noted.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod dag;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::catalog::Catalog;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{Graph, check};
use flow_core::id::RunId;
use flow_core::run::manifest::Manifest;
use flow_core::run::state::{Phase, Tasks};
use flow_core::run::{Ending, Event, Now, Recorded};
use flow_core::schema::Type;
use flow_core::stage::{
    BoxFuture, Context, Draft, Drafts, Job, PortSpec, Ports, Stage, StageSpec, Usage, Wait,
};
use flow_core::store::Store;
use flow_runtime::{
    Case, Clock, Observer, Passing, RunError, Runner, SystemClock, Trial, TrialPlan, Word, open,
    record_generation, recorded_generation, start, try_once,
};
use flow_store::MemoryStore;
use jiff::SignedDuration;
use serde_json::json;

/// What a scripted attempt does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Value(i64),
    Text(&'static str),
    List(i64),
    Transient,
    Permanent,
    /// Ends without an answer.
    Lost,
    /// Ends with this exit code.
    Exit(i32),
    Panic,
}

/// What attempts have bought, and what they were told is remembered.
#[derive(Debug, Default)]
pub(crate) struct Purchases {
    /// Names of tasks, each time that one bought something.
    pub(crate) bought: Vec<String>,
    /// How many steps of a purchase were on record when an attempt went on, by task and
    /// idempotency key.
    kept: HashMap<(String, String), usize>,
    /// Tasks that did not find what was on record.
    pub(crate) lost: Vec<String>,
}

#[derive(Default)]
struct Script {
    steps: Mutex<HashMap<String, Vec<Step>>>,
    executed: Mutex<Vec<String>>,
    /// Idempotency keys, beside `executed`.
    keys: Mutex<Vec<String>>,
    inputs: Mutex<HashMap<(String, String), serde_json::Value>>,
    purchases: Mutex<Purchases>,
}

struct Scripted {
    spec: StageSpec,
    script: Arc<Script>,
}

impl Stage for Scripted {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        let name = context
            .item()
            .map_or_else(|| context.node().to_owned(), |i| format!("{}[{i}]", context.node()));
        let name = match self.spec.name {
            "script" => name,
            "buy" => name,
            other => format!("{name}:{other}"),
        };
        self.script.executed.lock().unwrap().push(name.clone());
        self.script.keys.lock().unwrap().push(context.idempotency_key().to_owned());
        for (port, value) in &job.inputs {
            self.script.inputs.lock().unwrap().insert((name.clone(), port.clone()), value.clone());
        }
        let step = {
            let mut steps = self.script.steps.lock().unwrap();
            match steps.get_mut(&name) {
                Some(list) if !list.is_empty() => list.remove(0),
                _ => Step::Value(1),
            }
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.spec.name == "buy" {
                self.script.buy_once(context, &name).await?;
            }
            let fail = |class| Err(StageError::new(class, "play a script", "as scripted"));
            let value = match step {
                Step::Value(n) => json!(n),
                Step::Text(text) => json!(text),
                Step::List(n) => json!((0..n).collect::<Vec<_>>()),
                Step::Transient => return fail(ErrorClass::Network),
                Step::Permanent => return fail(ErrorClass::Config),
                Step::Lost => return fail(ErrorClass::Network),
                Step::Exit(code) => {
                    let error =
                        StageError::new(ErrorClass::Process, "play a script", "as scripted");
                    return Err(StageError { exit_code: Some(code), ..error });
                }
                Step::Panic => panic!("as scripted"),
            };
            Ok(job.outputs.iter().map(|o| (o.name.clone(), Draft::Value(value.clone()))).collect())
        })
    }
}

impl Script {
    /// Buys something that must not be bought twice, in the way of a stage that orders work from a
    /// service: the number of the order is remembered before anything else is done, then the
    /// address that it is asked for at, then what came of it so far.
    async fn buy_once(&self, context: &dyn Context, name: &str) -> Result<(), StageError> {
        let key = context.idempotency_key().to_owned();
        let place = (name.to_owned(), key.clone());
        let half = context.scratch().join("half");
        let found = [
            context.remembered("order").is_some(),
            context.remembered_secret("address") == Some(format!("https://there/{key}")),
            context.remembered_file("half", &half).await?,
        ];
        let found = found.into_iter().take_while(|found| *found).count();
        let kept = self.purchases.lock().unwrap().kept.get(&place).copied().unwrap_or(0);
        if found < kept {
            self.purchases.lock().unwrap().lost.push(name.to_owned());
        }
        let now_kept = |count| self.purchases.lock().unwrap().kept.insert(place.clone(), count);
        if found < 1 {
            self.purchases.lock().unwrap().bought.push(name.to_owned());
            context.used(Usage { usd: 0.5, tokens: 0, calls: 1 });
            context.remember("order", json!(name)).await?;
            now_kept(1);
        }
        if found < 2 {
            context.remember_secret("address", &format!("https://there/{key}")).await?;
            now_kept(2);
        }
        if found < 3 {
            std::fs::write(&half, &key).unwrap();
            context.remember_file("half", &half).await?;
            now_kept(3);
        }
        assert_eq!(std::fs::read(&half).unwrap(), key.as_bytes());
        Ok(())
    }
}

/// A stage that waits: an hour, or for an answer.
struct Waiting {
    spec: StageSpec,
    wait: Wait,
}

impl Stage for Waiting {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn waits(&self) -> bool {
        true
    }

    fn wait(&self, _job: &Job) -> Result<Wait, StageError> {
        Ok(self.wait.clone())
    }

    fn run<'a>(
        &'a self,
        _context: &'a dyn Context,
        _job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        panic!("a stage that waits is never run");
    }
}

/// The idempotency keys and node names of the attempts are noted by this name.
fn spec(name: &'static str, outputs: Ports) -> StageSpec {
    StageSpec {
        name,
        version: 1,
        summary: "Does what it is told.",
        inputs: Ports::Declared,
        outputs,
        config: Vec::new(),
        needs_scratch: false,
        example: "",
    }
}

fn catalog(script: &Arc<Script>) -> Catalog {
    let scripted =
        |name, outputs| Scripted { spec: spec(name, outputs), script: Arc::clone(script) };
    let decision = PortSpec {
        name: "decision".into(),
        ty: Type::Json,
        optional: false,
        retypable: false,
        doc: "",
    };
    let question = Wait::Answer { message: "go on?".into(), choices: Vec::new() };
    Catalog::new()
        .with(scripted("script", Ports::Declared))
        .with(scripted("spare", Ports::Declared))
        .with(scripted("probe", Ports::Declared))
        .with(Scripted {
            spec: StageSpec { needs_scratch: true, ..spec("buy", Ports::Declared) },
            script: Arc::clone(script),
        })
        .with(Waiting {
            spec: spec("nap", Ports::Fixed(Vec::new())),
            wait: Wait::For(Duration::from_secs(3_600)),
        })
        .with(Waiting { spec: spec("ask", Ports::Fixed(vec![decision])), wait: question })
}

/// A clock that is ahead, or behind, by a span.
struct Off(SystemClock, SignedDuration);

impl Clock for Off {
    fn now(&self) -> Now {
        let now = self.0.now();
        Now { wall: now.wall + self.1, ..now }
    }
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Recorded>>>, Arc<Mutex<Vec<String>>>);

impl Observer for Notes {
    fn event(&mut self, recorded: &Recorded) {
        self.0.lock().unwrap().push(recorded.clone());
    }

    fn passing(&mut self, passing: &Passing) {
        if let Passing::Note { message, .. } = passing {
            self.1.lock().unwrap().push(message.clone());
        }
    }
}

fn graph(text: &str, catalog: &Catalog) -> Arc<Graph> {
    let loaded = flow_workflows::parse("test.toml", text, "/".into());
    assert!(loaded.is_valid(), "{:?}", loaded.diagnostics);
    Arc::new(check(&loaded.definition.unwrap(), catalog).unwrap_or_else(|f| panic!("{f:?}")))
}

/// Where a task is, without what differs from one time to the next.
fn short(phase: &Phase) -> String {
    match phase {
        Phase::Succeeded(done) => {
            let digests = done.outputs.values().map(|payload| payload.digest.short());
            format!("succeeded {}", digests.map(|d| d.to_string()).collect::<Vec<_>>().join(" "))
        }
        Phase::Failed(error) => format!("failed: {}", error.class.name()),
        Phase::Skipped(_) => "skipped".to_owned(),
        other => format!("{other:?}").split(['(', ' ']).next().unwrap().to_owned(),
    }
}

/// A workflow with its script and its store.
pub(crate) struct Harness {
    graph: Arc<Graph>,
    /// The text of the workflow.
    text: String,
    catalog: Catalog,
    store: Arc<MemoryStore>,
    script: Arc<Script>,
    notes: Notes,
    run: RunId,
    /// How long the latest invocation took, by the time that passes at once.
    took: Mutex<Duration>,
}

impl Harness {
    pub(crate) fn new(text: &str) -> Self {
        let script = Arc::new(Script::default());
        let catalog = catalog(&script);
        Self {
            graph: graph(text, &catalog),
            text: text.to_owned(),
            catalog,
            store: Arc::new(MemoryStore::new().unwrap()),
            script,
            notes: Notes::default(),
            run: RunId::new("r").unwrap(),
            took: Mutex::default(),
        }
    }

    pub(crate) fn script(self, task: &str, steps: &[Step]) -> Self {
        self.script.steps.lock().unwrap().insert(task.to_owned(), steps.to_vec());
        self
    }

    pub(crate) fn fail_store_after(&self, n: u64) {
        self.store.fail_after(n);
    }

    /// What a restart after a failure finds.
    pub(crate) fn heal_store(&self) {
        self.store.fail_after(u64::MAX);
        self.store.crash();
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            max_parallel: self.graph.settings().max_parallel.unwrap_or(2),
            ..Manifest::new("/test.toml".into(), &self.text, jiff::Timestamp::UNIX_EPOCH)
        }
    }

    /// The state before anything has happened.
    pub(crate) fn state(&self) -> flow_core::run::RunState {
        flow_runtime::replay(&self.graph, &self.manifest(), &[])
    }

    /// What the engine said in its own words.
    pub(crate) fn words(&self) -> Vec<String> {
        self.notes.1.lock().unwrap().clone()
    }

    pub(crate) fn run(&self) -> Ending {
        self.try_run().unwrap()
    }

    pub(crate) fn try_run(&self) -> Result<Ending, RunError> {
        let store: Arc<dyn Store> = self.store.clone();
        let graph = Arc::clone(&self.graph);
        let opened = start(&store, self.run.clone(), graph, self.manifest(), &self.text)?;
        self.drive(store, opened)
    }

    pub(crate) fn resume(&self) -> Ending {
        self.try_resume().unwrap()
    }

    /// Resumes the run, or starts it if a failure came before it was on record.
    pub(crate) fn try_resume(&self) -> Result<Ending, RunError> {
        let store: Arc<dyn Store> = self.store.clone();
        if store.read_run(&self.run).is_err() {
            return self.try_run();
        }
        let opened = open(&store, &self.run, Arc::clone(&self.graph), self.manifest())?;
        self.drive(store, opened)
    }

    /// Puts another text in force and drives the run.
    pub(crate) fn try_update(&mut self, text: &str) -> Result<Ending, RunError> {
        let store: Arc<dyn Store> = self.store.clone();
        let (before, recorded) = (Arc::clone(&self.graph), self.manifest());
        let mut opened = open(&store, &self.run, before, recorded)?;
        (self.graph, self.text) = (graph(text, &self.catalog), text.to_owned());
        let digest = record_generation(store.as_ref(), &self.run, &self.manifest(), text, &[])?;
        opened.update(Arc::clone(&self.graph), self.manifest(), digest)?;
        self.drive(store, opened)
    }

    /// Whether the run goes by the latest text. A text that it does not go by is as good as none.
    pub(crate) fn is_updated(&self) -> bool {
        let records = self.store.read_run(&self.run).unwrap();
        let (manifest, text) =
            recorded_generation(self.store.as_ref(), &self.run, &records).unwrap();
        assert_eq!(manifest.definition, flow_core::digest::Digest::of(text.as_bytes()));
        text == self.text
    }

    fn drive(
        &self,
        store: Arc<dyn Store>,
        opened: flow_runtime::Opened,
    ) -> Result<Ending, RunError> {
        self.drive_at(store, opened, SignedDuration::ZERO)
    }

    fn drive_at(
        &self,
        store: Arc<dyn Store>,
        opened: flow_runtime::Opened,
        off: SignedDuration,
    ) -> Result<Ending, RunError> {
        // Paused time passes at once when nothing else is to be done: waits cost nothing.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (_keep, control) = tokio::sync::mpsc::unbounded_channel();
        let runner = Runner { store, clock: Arc::new(Off(SystemClock::start(), off)) };
        runtime.block_on(async {
            let begin = tokio::time::Instant::now();
            let notes = vec![Box::new(self.notes.clone()) as Box<dyn Observer>];
            let ended = runner.drive(opened, notes, control).await;
            *self.took.lock().unwrap() = begin.elapsed();
            ended
        })
    }

    /// Where a node that is not fanned out is, as its journal tells.
    pub(crate) fn phase_of(&self, node: &str) -> flow_core::run::state::Phase {
        let id = self.graph.find(node).unwrap();
        self.replayed().task(flow_core::id::TaskId::whole(id)).unwrap().phase.clone()
    }

    /// Where each task is, and what it made, as its journal tells.
    pub(crate) fn summary(&self) -> Vec<String> {
        let records = self.store.read_run(&self.run).unwrap();
        let state = flow_runtime::replay(&self.graph, &self.manifest(), &records);
        let mut lines = Vec::new();
        for id in self.graph.ids() {
            let name = &self.graph.node(id).name;
            let tasks: Vec<Phase> = match &state.node(id).tasks {
                Tasks::One(task) => vec![task.phase.clone()],
                Tasks::Items(items) => items.iter().map(|item| item.phase.clone()).collect(),
                Tasks::Unresolved => Vec::new(),
            };
            lines.push(format!(
                "{name}: {}",
                tasks.iter().map(short).collect::<Vec<_>>().join(", ")
            ));
        }
        lines
    }

    /// Idempotency keys of what was executed, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.script.keys.lock().unwrap().clone()
    }

    /// Leaves a word in the inbox of the run, which must be there.
    pub(crate) fn post(&self, word: &Word) {
        self.store.post(&self.run, &word.to_message()).unwrap();
    }

    /// Runs, and leaves when only waiting is left.
    pub(crate) fn run_without_waiting(&self) -> Ending {
        let store: Arc<dyn Store> = self.store.clone();
        let mut opened =
            start(&store, self.run.clone(), Arc::clone(&self.graph), self.manifest(), "").unwrap();
        opened.leave_waits();
        self.drive(store, opened).unwrap()
    }

    /// Resumes as if so long had passed since, and leaves when only waiting is left.
    pub(crate) fn resume_without_waiting(&self, later: SignedDuration) -> Ending {
        let store: Arc<dyn Store> = self.store.clone();
        let mut opened = open(&store, &self.run, Arc::clone(&self.graph), self.manifest()).unwrap();
        opened.leave_waits();
        self.drive_at(store, opened, later).unwrap()
    }

    /// Resumes with a clock that is off by so much; gives how long it took.
    pub(crate) fn resume_at(&self, off: SignedDuration) -> (Ending, Duration) {
        let store: Arc<dyn Store> = self.store.clone();
        let opened = open(&store, &self.run, Arc::clone(&self.graph), self.manifest()).unwrap();
        let ended = self.drive_at(store, opened, off).unwrap();
        (ended, *self.took.lock().unwrap())
    }

    /// Resumes with all results open again.
    pub(crate) fn resume_opened(&self) -> Ending {
        let store: Arc<dyn Store> = self.store.clone();
        let mut opened = open(&store, &self.run, Arc::clone(&self.graph), self.manifest()).unwrap();
        opened.invalidate(&self.graph.ids().collect::<Vec<_>>());
        self.drive(store, opened).unwrap()
    }

    /// Runs a node that is not fanned out again, beside the run.
    pub(crate) fn try_beside(&self, node: &str) -> Trial {
        let store: Arc<dyn Store> = self.store.clone();
        let (state, manifest) = (self.replayed(), self.manifest());
        let task = flow_core::id::TaskId::whole(self.graph.find(node).unwrap());
        let plan = TrialPlan::default();
        let (_keep, cancel) = tokio::sync::watch::channel(None);
        let (store, run) = (&store, &self.run);
        let case = Case { store, run, manifest: &manifest, state: &state, task, plan: &plan };
        let trial = try_once(case, cancel, Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(trial).unwrap().outcome
    }

    /// All records of the run.
    pub(crate) fn records(&self) -> Vec<Recorded> {
        self.store.read_run(&self.run).unwrap()
    }

    /// Records a word while nobody drives the run; false if nothing waits for it.
    pub(crate) fn record(&self, word: Word) -> bool {
        let store: Arc<dyn Store> = self.store.clone();
        let mut opened = open(&store, &self.run, Arc::clone(&self.graph), self.manifest()).unwrap();
        let now = SystemClock::start().now();
        flow_runtime::record_word(&store, &mut opened, word, now).unwrap()
    }

    /// Another workflow in the place of this one, with the same store, script and run.
    pub(crate) fn with_workflow(self, text: &str) -> Self {
        let catalog = catalog(&self.script);
        let loaded = flow_workflows::parse("test.toml", text, "/".into());
        let graph =
            check(&loaded.definition.unwrap(), &catalog).unwrap_or_else(|f| panic!("{f:?}"));
        Self { graph: Arc::new(graph), ..self }
    }

    /// Another run of the same workflow in the same store.
    pub(crate) fn another_run(self, run: &str) -> Self {
        Self { run: RunId::new(run).unwrap(), notes: Notes::default(), ..self }
    }

    /// What was bought so far.
    pub(crate) fn purchases(&self) -> std::sync::MutexGuard<'_, Purchases> {
        self.script.purchases.lock().unwrap()
    }

    /// The state that the journal folds into.
    pub(crate) fn replayed(&self) -> flow_core::run::RunState {
        let records = self.store.read_run(&self.run).unwrap();
        flow_runtime::replay(&self.graph, &self.manifest(), &records)
    }

    /// Names of the private files of the run.
    pub(crate) fn private_files(&self) -> Vec<String> {
        self.store.private_files(&self.run)
    }

    pub(crate) fn executed(&self) -> Vec<String> {
        self.script.executed.lock().unwrap().clone()
    }

    /// Public events as `name` or `name task`.
    pub(crate) fn told(&self) -> Vec<String> {
        lines(&self.notes.0.lock().unwrap())
    }

    /// The same of all that is on record, whether it could be told or not.
    pub(crate) fn recorded(&self) -> Vec<String> {
        lines(&self.records())
    }

    /// Tasks whose success was told.
    pub(crate) fn succeeded(&self) -> Vec<String> {
        let notes = self.notes.0.lock().unwrap();
        notes
            .iter()
            .filter_map(|r| match &r.event {
                Event::Succeeded { task, .. } => Some(task.to_string()),
                _ => None,
            })
            .collect()
    }

    /// What an input port of a task saw.
    pub(crate) fn input_of(&self, task: &str, port: &str) -> serde_json::Value {
        self.script.inputs.lock().unwrap()[&(task.to_owned(), port.to_owned())].clone()
    }

    pub(crate) fn error_of(&self, node: &str) -> StageError {
        let notes = self.notes.0.lock().unwrap();
        notes
            .iter()
            .find_map(|r| match &r.event {
                Event::Failed { task, error, .. } if &*task.node == node => {
                    Some(error.as_ref().clone())
                }
                _ => None,
            })
            .unwrap()
    }
}

fn lines(records: &[Recorded]) -> Vec<String> {
    let line = |recorded: &Recorded| {
        let name = recorded.event.name()?;
        Some(match (recorded.event.task(), recorded.event.node()) {
            (Some(task), _) => format!("{name} {task}"),
            (None, Some(node)) => format!("{name} {node}"),
            _ => name.to_owned(),
        })
    };
    records.iter().filter_map(line).collect()
}
