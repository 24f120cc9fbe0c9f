//! For authors of stages: runs one attempt of a stage as the engine does it, with its inputs held
//! to their types, a scratch folder, and its outputs checked and stored, but without a workflow
//! file and without a run to go on with.
//!
//! ```
//! # use std::sync::Arc;
//! # use flow_core::stage::{BoxFuture, Context, Draft, Drafts, Job, Ports, PortSpec, Stage, StageSpec};
//! # use flow_core::{error::StageError, schema::Type};
//! # struct Double(StageSpec);
//! # impl Stage for Double {
//! #     fn spec(&self) -> &StageSpec { &self.0 }
//! #     fn run<'a>(&'a self, _: &'a dyn Context, job: Job) -> BoxFuture<'a, Result<Drafts, StageError>> {
//! #         let n = job.inputs["n"].as_i64().unwrap_or_default();
//! #         Box::pin(async move { Ok(Drafts::from([("twice".to_owned(), Draft::Value((2 * n).into()))])) })
//! #     }
//! # }
//! # let port = |name: &str| PortSpec { name: name.into(), ty: Type::Integer, optional: false,
//! #     retypable: false, doc: "A number." };
//! # let double = Double(StageSpec { name: "double", version: 1, summary: "Doubles.", inputs: Ports::Fixed(vec![port("n")]),
//! #     outputs: Ports::Fixed(vec![port("twice")]), config: vec![], needs_scratch: false, example: "" });
//! use flow_runtime::testing::StageTest;
//! use serde_json::json;
//!
//! let store = Arc::new(flow_store::MemoryStore::new()?);
//! let done = StageTest::new(double).input("n", json!(21)).run(store)?;
//! assert_eq!(done.outputs["twice"], json!(42));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod node;

pub use crate::executor::Recollection;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_core::catalog::Catalog;
use flow_core::error::{ErrorClass, StageError};
use flow_core::id::{RunId, TaskId};
use flow_core::payload::Artifact;
use flow_core::run::decide::News as Told;
use flow_core::run::{Outcome, Recorded};
use flow_core::stage::{
    CallRetry, CancelReason, Fallback, Progress, SharedStage, Stage, Stream, Usage,
};
use flow_core::store::Store;
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::bus::{Bus, Observer, Passing};
use crate::executor::{
    Assignment, Beginning, Keeper, Line, SpareFolders, Surroundings, assignment, execute_node,
};
use crate::secrets::Secrets;

/// Tests so far: several may have one store, and each is a run of its own there.
static TESTS: AtomicU64 = AtomicU64::new(1);

/// The node that a test runs.
const NODE: &str = "tested";

/// One attempt of a stage, prepared.
pub struct StageTest {
    stage: SharedStage,
    catalog: Catalog,
    with: Value,
    inputs: IndexMap<String, Given>,
    outputs: IndexMap<String, String>,
    attempt: u32,
    timeout: Option<Duration>,
    cancel: Option<(CancelReason, When)>,
    tools: BTreeMap<String, PathBuf>,
    started_at: Timestamp,
    memory: Recollection,
    secrets: Arc<Secrets>,
}

/// What is on an input port.
enum Given {
    Value(Value),
    Path(PathBuf),
}

/// When an attempt is told to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    AtOnce,
    OnProgress,
}

/// What an attempt made.
pub struct Tested {
    /// The payloads by port, artifacts as `{"$file": …}` and `{"$dir": …}`; absent outputs are not
    /// there.
    pub outputs: BTreeMap<String, Value>,
    /// Warnings of the stage and of the types.
    pub warnings: Vec<String>,
    /// What the stage told of its progress, in order.
    pub progress: Vec<Progress>,
    /// Calls that it made again, in order.
    pub retries: Vec<CallRetry>,
    /// Providers that it passed over, in order.
    pub fallbacks: Vec<Fallback>,
    /// What its calls used.
    pub usage: Usage,
    /// What its programs wrote to stdout.
    pub stdout: Vec<u8>,
    /// What its programs wrote to stderr.
    pub stderr: Vec<u8>,
    store: Arc<dyn Store>,
}

impl fmt::Debug for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tested")
            .field("outputs", &self.outputs)
            .field("warnings", &self.warnings)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl Tested {
    /// The bytes of the file on an output port.
    ///
    /// # Errors
    /// When the port has no file, or the store cannot give it.
    pub fn bytes(&self, port: &str) -> Result<Vec<u8>, Box<StageError>> {
        let operation = format!("read output {port}");
        let artifact = self.outputs.get(port).and_then(Artifact::from_json);
        let Some(artifact) = artifact.filter(|artifact| !artifact.is_dir()) else {
            return Err(refused(&operation, "there is no file on this port".into()));
        };
        let path = self
            .store
            .object(&artifact.digest)
            .map_err(|error| refused(&operation, error.to_string()))?;
        std::fs::read(path).map_err(|error| Box::new(StageError::from_io(operation, &error)))
    }

    /// Copies the file or folder on an output port to `target`, which must not exist.
    ///
    /// # Errors
    /// When the port has no artifact, or it cannot be written.
    pub fn place(&self, port: &str, target: &Path) -> Result<(), Box<StageError>> {
        let operation = format!("read output {port}");
        let artifact = self.outputs.get(port).and_then(Artifact::from_json);
        let artifact = artifact
            .ok_or_else(|| refused(&operation, "there is no artifact on this port".into()))?;
        self.store.place(&artifact, target).map_err(|error| refused(&operation, error.to_string()))
    }
}

impl StageTest {
    /// The first attempt of a stage without inputs and settings.
    #[must_use]
    pub fn new(stage: impl Stage + 'static) -> Self {
        let stage: SharedStage = Arc::new(stage);
        Self {
            catalog: Catalog::new(),
            stage,
            with: json!({}),
            inputs: IndexMap::new(),
            outputs: IndexMap::new(),
            attempt: 1,
            timeout: None,
            cancel: None,
            tools: BTreeMap::new(),
            started_at: Timestamp::UNIX_EPOCH,
            memory: Recollection::default(),
            secrets: Arc::default(),
        }
    }

    /// Sets `with`. Templates are rendered as in a workflow file.
    #[must_use]
    pub fn with(mut self, with: Value) -> Self {
        self.with = with;
        self
    }

    /// Puts a value on an input port. On a port that the stage does not declare itself it is
    /// `json`.
    #[must_use]
    pub fn input(mut self, port: &str, value: Value) -> Self {
        self.inputs.insert(port.to_owned(), Given::Value(value));
        self
    }

    /// Puts a file or folder on an input port.
    #[must_use]
    pub fn input_path(mut self, port: &str, path: impl Into<PathBuf>) -> Self {
        self.inputs.insert(port.to_owned(), Given::Path(path.into()));
        self
    }

    /// Declares an output, where the stage lets the workflow do so.
    #[must_use]
    pub fn output(mut self, port: &str, ty: &str) -> Self {
        self.outputs.insert(port.to_owned(), ty.to_owned());
        self
    }

    /// Adds types that outputs may name.
    #[must_use]
    pub fn types(mut self, catalog: Catalog) -> Self {
        self.catalog = catalog;
        self
    }

    /// The number of the attempt, from 1.
    #[must_use]
    pub fn attempt(mut self, number: u32) -> Self {
        self.attempt = number;
        self
    }

    /// The time for the attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Tells the stage to stop as soon as it begins.
    #[must_use]
    pub fn cancelled(mut self, reason: CancelReason) -> Self {
        self.cancel = Some((reason, When::AtOnce));
        self
    }

    /// Tells the stage to stop when it first tells of its progress.
    #[must_use]
    pub fn cancelled_on_progress(mut self, reason: CancelReason) -> Self {
        self.cancel = Some((reason, When::OnProgress));
        self
    }

    /// Where a program is, as `[tools]` says it.
    #[must_use]
    pub fn tool(mut self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.tools.insert(name.to_owned(), path.into());
        self
    }

    /// When the run began, for stages whose result depends on the day.
    #[must_use]
    pub fn started_at(mut self, time: Timestamp) -> Self {
        self.started_at = time;
        self
    }

    /// What the attempt finds, and where it leaves what it remembers: the same for two tests makes
    /// them attempts of one task.
    #[must_use]
    pub fn memory(mut self, memory: &Recollection) -> Self {
        self.memory = memory.clone();
        self
    }

    /// Values that are hidden in all that the attempt tells.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = Arc::new(secrets);
        self
    }

    /// Runs the attempt to its end, in a runtime of its own.
    ///
    /// # Errors
    /// The failure of the attempt, as the engine would record it; of class `config` if the node
    /// would have been refused before the run.
    pub fn run(self, store: Arc<dyn Store>) -> Result<Tested, Box<StageError>> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Box::new(StageError::from_io("start a runtime", &error)))?
            .block_on(self.run_here(store))
    }

    /// Runs the attempt to its end, inside the runtime of the caller.
    ///
    /// # Errors
    /// As [`StageTest::run`].
    pub async fn run_here(self, store: Arc<dyn Store>) -> Result<Tested, Box<StageError>> {
        let params = self.params(store.as_ref())?;
        let graph = Arc::new(self.graph()?);
        let manifest = self.manifest(params);
        let (cancel, receiver) = watch::channel(None);
        let news = News::default();
        let reason_at = |when| self.cancel.filter(|(_, at)| *at == when).map(|(reason, _)| reason);
        cancel.send_replace(reason_at(When::AtOnce));
        let listener = Listener {
            news: news.clone(),
            cancel: cancel.clone(),
            reason: reason_at(When::OnProgress),
        };
        let (bus, watcher) = Bus::start(vec![Box::new(listener)])
            .map_err(|error| Box::new(StageError::from_io("start a thread", &error)))?;
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        let run = RunId::new(&format!("test-{number}"))
            .map_err(|error| refused("name the run", error.to_string()))?;
        let around = Surroundings {
            run,
            zone: jiff::tz::TimeZone::UTC,
            graph: Arc::clone(&graph),
            store: Arc::clone(&store),
            manifest: Arc::new(manifest),
            bus: Some(bus),
            spare: SpareFolders::default(),
            earlier: crate::executor::Earlier::default(),
            clock: Arc::new(crate::SystemClock::start()),
            parsed: crate::executor::Parsed::default(),
            secrets: Arc::clone(&self.secrets),
        };
        let work = self.assignment(&around)?;
        let begin = |_: Beginning| {
            let (sender, receiver) = oneshot::channel();
            // The receiver is right here, so the word always arrives.
            sender.send(()).ok();
            receiver
        };
        let heard = news.clone();
        let line = Line {
            begin: Box::new(begin),
            tell: Box::new(move |told| heard.take_in(told)),
            keeper: Keeper::Here(self.memory.clone()),
            cancel: receiver,
        };
        let outcome = execute_node(&around, &work, line).await;
        let captured = |stream| {
            let path =
                crate::capture_path(store.as_ref(), &around.run, &work.task, self.attempt, stream);
            std::fs::read(path).unwrap_or_default()
        };
        let (stdout, stderr) = (captured(Stream::Stdout), captured(Stream::Stderr));
        let outputs = outputs(&around, outcome);
        drop(around);
        drop(cancel);
        watcher.finish();
        let (outputs, warnings, usage) = outputs.map_err(|mut error| {
            error.attempt = self.attempt;
            error
        })?;
        let Heard { progress, retries, fallbacks } = std::mem::take(&mut *news.heard());
        Ok(Tested { outputs, warnings, progress, retries, fallbacks, usage, stdout, stderr, store })
    }

    fn assignment(&self, around: &Surroundings) -> Result<Assignment, Box<StageError>> {
        let state = crate::replay(&around.graph, &around.manifest, &[]);
        let node = around
            .graph
            .find(NODE)
            .ok_or_else(|| refused("find the node", "it is not in the graph".into()))?;
        let task = TaskId { node, item: None };
        Ok(assignment(&state, &around.manifest, task, self.attempt))
    }
}

fn refused(operation: &str, message: String) -> Box<StageError> {
    Box::new(StageError::new(ErrorClass::Config, operation, message))
}

type Made = (BTreeMap<String, Value>, Vec<String>, Usage);

/// The payloads of an attempt that succeeded.
fn outputs(around: &Surroundings, outcome: Outcome) -> Result<Made, Box<StageError>> {
    let (outputs, payloads, warnings, usage) = match outcome {
        Outcome::Succeeded { outputs, payloads, warnings, usage, .. } => {
            (outputs, payloads, warnings, usage)
        }
        Outcome::Failed { error, .. } => return Err(error),
        _ => return Ok(Made::default()),
    };
    let mut values = BTreeMap::new();
    for (port, payload) in outputs {
        let value = match &payload.artifact {
            Some(artifact) => artifact.to_json(),
            None => {
                let inline = payloads.iter().find(|(digest, _)| *digest == payload.digest);
                let bytes = match inline {
                    Some((_, bytes)) => bytes.to_vec(),
                    None => around
                        .store
                        .payload(&around.run, &payload)
                        .map_err(|error| refused("read an output", error.to_string()))?
                        .to_vec(),
                };
                serde_json::from_slice(&bytes)
                    .map_err(|error| refused("read an output", error.to_string()))?
            }
        };
        values.insert(port, value);
    }
    let warnings = warnings.into_iter().map(|warning| warning.message).collect();
    Ok((values, warnings, usage))
}

/// What a stage told while it worked.
#[derive(Clone, Default)]
struct News(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    progress: Vec<Progress>,
    retries: Vec<CallRetry>,
    fallbacks: Vec<Fallback>,
}

impl News {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, told: Told) {
        match told {
            Told::Process(_) | Told::Output(_) => {}
            Told::Retry(retry) => self.heard().retries.push(*retry),
            Told::Fallback(fallback) => self.heard().fallbacks.push(*fallback),
        }
    }
}

struct Listener {
    news: News,
    cancel: watch::Sender<Option<CancelReason>>,
    /// Why the attempt is told to stop at its first news.
    reason: Option<CancelReason>,
}

impl Observer for Listener {
    fn event(&mut self, _recorded: &Recorded) {}

    fn passing(&mut self, passing: &Passing) {
        if let Passing::Progress { progress, .. } = passing {
            self.news.heard().progress.push(progress.clone());
            if let Some(reason) = self.reason.take() {
                self.cancel.send_replace(Some(reason));
            }
        }
    }
}
