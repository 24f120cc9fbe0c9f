//! A run with scripted stages: what each task does is said beforehand, what was executed is noted.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use flow_core::catalog::Catalog;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{Graph, check};
use flow_core::id::RunId;
use flow_core::run::manifest::Manifest;
use flow_core::run::{Ending, Event, Recorded};
use flow_core::stage::{BoxFuture, Context, Draft, Drafts, Job, Ports, Stage, StageSpec};
use flow_core::store::Store;
use flow_runtime::{Observer, RunError, Runner, SystemClock, open, start};
use flow_store::MemoryStore;
use serde_json::json;

/// What a scripted attempt does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Value(i64),
    Text(&'static str),
    List(i64),
    Transient,
    Permanent,
    Panic,
}

#[derive(Default)]
struct Script {
    steps: Mutex<HashMap<String, Vec<Step>>>,
    executed: Mutex<Vec<String>>,
    inputs: Mutex<HashMap<(String, String), serde_json::Value>>,
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
        self.script.executed.lock().unwrap().push(name.clone());
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
            let fail = |class| Err(StageError::new(class, "play a script", "as scripted"));
            let value = match step {
                Step::Value(n) => json!(n),
                Step::Text(text) => json!(text),
                Step::List(n) => json!((0..n).collect::<Vec<_>>()),
                Step::Transient => return fail(ErrorClass::Network),
                Step::Permanent => return fail(ErrorClass::Config),
                Step::Panic => panic!("as scripted"),
            };
            Ok(job.outputs.iter().map(|o| (o.name.clone(), Draft::Value(value.clone()))).collect())
        })
    }
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Recorded>>>);

impl Observer for Notes {
    fn event(&mut self, recorded: &Recorded) {
        self.0.lock().unwrap().push(recorded.clone());
    }
}

/// A workflow with its script and its store.
pub(crate) struct Harness {
    graph: Arc<Graph>,
    store: Arc<MemoryStore>,
    script: Arc<Script>,
    notes: Notes,
    run: RunId,
}

impl Harness {
    pub(crate) fn new(text: &str) -> Self {
        let script = Arc::new(Script::default());
        let spec = StageSpec {
            name: "script",
            version: 1,
            summary: "Does what it is told.",
            inputs: Ports::Declared,
            outputs: Ports::Declared,
            config: Vec::new(),
            needs_scratch: false,
            example: "",
        };
        let catalog = Catalog::new().with(Scripted { spec, script: Arc::clone(&script) });
        let loaded = flow_workflows::parse("test.toml", text, "/".into());
        assert!(loaded.is_valid(), "{:?}", loaded.diagnostics);
        let graph =
            check(&loaded.definition.unwrap(), &catalog).unwrap_or_else(|f| panic!("{f:?}"));
        Self {
            graph: Arc::new(graph),
            store: Arc::new(MemoryStore::new().unwrap()),
            script,
            notes: Notes::default(),
            run: RunId::new("r").unwrap(),
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
            flow_version: "test".into(),
            workflow_path: "/test.toml".into(),
            definition: flow_core::digest::Digest::of(b""),
            params: BTreeMap::new(),
            param_paths: BTreeMap::new(),
            files: BTreeMap::new(),
            uses: BTreeMap::new(),
            env: BTreeMap::new(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            only: None,
            max_parallel: self.graph.settings().max_parallel.unwrap_or(2),
            fresh: false,
        }
    }

    /// The state before anything has happened.
    pub(crate) fn state(&self) -> flow_core::run::RunState {
        flow_runtime::replay(&self.graph, &self.manifest(), &[])
    }

    pub(crate) fn run(&self) -> Ending {
        self.try_run().unwrap()
    }

    pub(crate) fn try_run(&self) -> Result<Ending, RunError> {
        let store: Arc<dyn Store> = self.store.clone();
        let opened = start(&store, self.run.clone(), Arc::clone(&self.graph), self.manifest(), "")?;
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

    fn drive(
        &self,
        store: Arc<dyn Store>,
        opened: flow_runtime::Opened,
    ) -> Result<Ending, RunError> {
        // Paused time passes at once when nothing else is to be done: waits cost nothing.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (_keep, control) = tokio::sync::mpsc::unbounded_channel();
        let runner = Runner { store, clock: Arc::new(SystemClock::start()) };
        runtime.block_on(runner.drive(opened, vec![Box::new(self.notes.clone())], control))
    }

    pub(crate) fn executed(&self) -> Vec<String> {
        self.script.executed.lock().unwrap().clone()
    }

    /// Public events as `name` or `name task`.
    pub(crate) fn told(&self) -> Vec<String> {
        let notes = self.notes.0.lock().unwrap();
        notes
            .iter()
            .filter_map(|r| {
                let name = r.event.name()?;
                Some(match (r.event.task(), r.event.node()) {
                    (Some(task), _) => format!("{name} {task}"),
                    (None, Some(node)) => format!("{name} {node}"),
                    _ => name.to_owned(),
                })
            })
            .collect()
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
