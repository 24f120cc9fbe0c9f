//! Stages: the kinds of work, and what they see of the world while they work.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

pub use crate::call::{CallRetry, Fallback, FallbackReason, Usage};
use crate::error::StageError;
use crate::schema::Type;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A typed slot of a stage.
#[derive(Debug, Clone)]
pub struct PortSpec {
    /// Name of the port.
    pub name: String,
    /// Type of its payloads.
    pub ty: Type,
    /// Whether the workflow may leave an input unbound.
    pub optional: bool,
    /// Whether the workflow may declare another type for an output; `ty` is that of an undeclared one.
    pub retypable: bool,
    /// What it carries, as a sentence.
    pub doc: &'static str,
}

/// Where a stage's ports come from.
#[derive(Debug, Clone)]
pub enum Ports {
    /// The stage has exactly these.
    Fixed(Vec<PortSpec>),
    /// The workflow declares them: any number of inputs, or outputs with types of its choice.
    Declared,
    /// The workflow declares exactly one.
    DeclaredOne,
}

/// How a field of `with` is read and rendered.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    /// A list of strings, each a text template or `{ each = EXPR }`; becomes a list of strings.
    Argv,
    /// A text template in which every `{{ }}` is quoted as one shell word.
    Shell,
    /// A text template.
    Text,
    /// A table of text templates.
    TextMap,
    /// Text for a program's stdin: one `{{ }}` alone gives its value (a composite as JSON, an
    /// artifact as `{"$file": …}` with its path), anything else is a text template.
    Stdin,
    /// Any JSON with templates inside; a string that is one `{{ }}` gives the typed value.
    Json,
    /// A duration such as `30s`, without templates; becomes milliseconds.
    Duration,
    /// A string without templates, checked by the stage.
    Literal,
    /// A value without templates that must have this type.
    Plain(Type),
}

/// One field of a stage's `with`.
#[derive(Debug, Clone)]
pub struct FieldSpec {
    /// Name of the field.
    pub name: &'static str,
    /// How it is read.
    pub kind: FieldKind,
    /// Whether it may be left out.
    pub optional: bool,
    /// What it means, as a sentence.
    pub doc: &'static str,
}

/// What a stage is, as data: printed by `flow stages`, and checked against by the graph.
#[derive(Debug, Clone)]
pub struct StageSpec {
    /// Name in workflow files; may be dotted.
    pub name: &'static str,
    /// Part of every key: raised when the same inputs give another result.
    pub version: u32,
    /// What it does, as a sentence.
    pub summary: &'static str,
    /// Input ports.
    pub inputs: Ports,
    /// Output ports.
    pub outputs: Ports,
    /// Fields of `with`.
    pub config: Vec<FieldSpec>,
    /// Whether an attempt gets a scratch folder with its inputs linked into it.
    pub needs_scratch: bool,
    /// A complete node in TOML.
    pub example: &'static str,
}

/// A stream of captured output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How `command` takes an output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OutputFrom {
    /// From `$FLOW_OUTPUTS`, or from stdout if it is the only output.
    #[default]
    Default,
    /// From a path or glob relative to the scratch folder.
    Path(String),
    /// From a captured stream.
    Stream(Stream),
}

/// An output port as the workflow declares it.
#[derive(Debug, Clone)]
pub struct OutputSlot {
    /// Name of the port.
    pub name: String,
    /// Declared type.
    pub ty: Type,
    /// Where its bytes come from.
    pub from: OutputFrom,
    /// Whether the bytes are JSON Lines to be read into a list.
    pub json_lines: bool,
    /// The absolute path that `{{ outputs.PORT }}` rendered to, where the stage has a scratch folder.
    pub path: Option<PathBuf>,
}

/// One attempt's work, fully rendered. `Debug` shows no value of `config`, which may have secrets
/// in it.
#[derive(Clone)]
pub struct Job {
    /// `with`, rendered: `Argv` is a list of strings, `Duration` a number of milliseconds.
    pub config: Value,
    /// Input payloads by port; artifact references carry `path` where there is a scratch folder.
    pub inputs: BTreeMap<String, Value>,
    /// Declared outputs, in declared order.
    pub outputs: Vec<OutputSlot>,
    /// Time that is left for this attempt.
    pub timeout: Option<Duration>,
    /// Top-level paths of the scratch folder that hold what came in: an output's glob never
    /// matches them.
    pub reserved: Vec<String>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = self.config.as_object().map(|map| map.keys().collect::<Vec<_>>());
        f.debug_struct("Job")
            .field("config", &fields.unwrap_or_default())
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What a stage hands to the gate for one output port. The gate reads it by the port's type,
/// validates it and stores it; a stage can never put a payload on an edge by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Draft {
    /// A value; a `file` or `dir` inside is a path (absolute, or relative to the scratch folder).
    Value(Value),
    /// Bytes as a program wrote them: text for a `string`, the content for a `file`, else JSON.
    Bytes(Vec<u8>),
    /// A file or folder below the attempt's folder: the content for `file` and `dir`, else JSON
    /// or text to be read.
    Path(PathBuf),
    /// Files for a `list<file>`, in order.
    Paths(Vec<PathBuf>),
    /// JSON Lines for a list.
    Lines(Vec<u8>),
}

/// What a stage made: a draft by port. An absent port is null to a `T?`, a fault to any other type.
pub type Drafts = BTreeMap<String, Draft>;

/// Why an attempt must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// Its `timeout` has passed.
    Timeout,
    /// A `deadline` of the node or the run has passed.
    Deadline,
    /// The engine was told to stop once.
    Interrupted,
    /// The engine was told to stop twice: no grace period.
    Killed,
    /// The run was cancelled, or fails fast.
    Cancelled,
}

/// Passing news from a stage; never journalled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// Work done so far.
    pub done: f64,
    /// All work, if known, in the same unit.
    pub total: Option<f64>,
    /// Unit, such as `frames` or `bytes`.
    pub unit: &'static str,
    /// What is going on, such as `encoding`.
    pub message: String,
}

/// A process as resume must know it, to end just that one and not a later one with its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ProcessId {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// How a stage reaches the world: all it may ask of the engine.
pub trait Context: Send + Sync {
    /// The run.
    fn run_id(&self) -> &str;
    /// The node's name.
    fn node(&self) -> &str;
    /// The item's key, in a fanned-out node.
    fn item(&self) -> Option<&str>;
    /// The item's index, in a fanned-out node.
    fn index(&self) -> Option<u32>;
    /// Number of this attempt, from 1.
    fn attempt(&self) -> u32;
    /// Whether an earlier attempt failed by itself: not one that a crash or a signal cut short, and
    /// not in a trial beside the run. A stage may then do its work in a safer way.
    fn failed_before(&self) -> bool {
        self.attempt() > 1
    }
    /// Stable across attempts and resumes: a hash of run, node, item and key.
    fn idempotency_key(&self) -> &str;
    /// Whether the node is declared to act on the outside world.
    fn has_effect(&self) -> bool {
        false
    }
    /// The working folder of this attempt; empty path for stages without one.
    fn scratch(&self) -> &Path;
    /// A folder of the engine's own files for this attempt, beside `scratch`: outside the working
    /// folder, so that a program's globs never meet them. It exists where `scratch` does.
    fn side(&self) -> &Path;
    /// The folder of the workflow file.
    fn workflow_dir(&self) -> &Path;
    /// When the run began, for stages whose result depends on the day; the same after a resume.
    fn run_started_at(&self) -> jiff::Timestamp;
    /// The date of the run in the workflow's time zone.
    fn run_date(&self) -> jiff::civil::Date;
    /// The path of a program: `[tools]` first, else the name itself for a search on PATH.
    fn tool(&self, name: &str) -> PathBuf;
    /// Variables of the engine's environment that no program gets: those of declared secrets.
    fn withheld_env(&self) -> &[String] {
        &[]
    }
    /// Resolves when the attempt must stop.
    fn cancelled(&self) -> BoxFuture<'_, CancelReason>;
    /// Tells how far the work is.
    fn progress(&self, progress: Progress);
    /// Takes captured output; the context caps, stores and streams it.
    fn capture(&self, stream: Stream, bytes: &[u8]);
    /// Records a started process, so that a later resume can end it.
    fn process_started(&self, process: ProcessId);
    /// A warning for people that does not fail the attempt.
    fn warn(&self, message: String);
    /// Records that a call of a remote service failed and will be made again. Waits for nothing.
    fn call_retried(&self, retry: CallRetry);
    /// Records that a provider of a chain is passed over. Waits for nothing.
    fn provider_fallback(&self, fallback: Fallback);
    /// Says that the result is second best, such as that of the last provider of a chain: other runs
    /// do not take it, whatever `cache` says.
    fn provisional(&self) {}
    /// Adds to what the calls of this attempt used. It stands in the event that ends the attempt,
    /// however that goes.
    fn used(&self, usage: Usage);
    /// Leaves a value to this attempt and to later ones of the same task with the same key, after a
    /// resume too. It is durable when this returns, in the place of what had its name before, and
    /// forgotten when the task succeeds. A trial beside the run keeps it for itself.
    ///
    /// # Errors
    /// Of class `validation` for a name over [`REMEMBERED_NAME_MAX`], a value over
    /// [`REMEMBERED_MAX`], or one that has a secret in it; of class `store` when it cannot be kept.
    fn remember<'a>(&'a self, name: &'a str, value: Value)
    -> BoxFuture<'a, Result<(), StageError>>;
    /// The value that was remembered by this name.
    fn remembered(&self, name: &str) -> Option<Value>;
    /// As [`Context::remember`], for the bytes of a file. `path` is absolute, or relative to the
    /// scratch folder.
    ///
    /// # Errors
    /// As [`Context::remember`]; also when the file is not there, is no regular file, or cannot be
    /// read.
    fn remember_file<'a>(
        &'a self,
        name: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<(), StageError>>;
    /// Copies the file that was remembered by this name to `to`, which is absolute, or relative to
    /// the scratch folder, and must not exist. Its bytes are checked first. False if nothing was
    /// remembered, or what was is lost.
    ///
    /// # Errors
    /// When the copy cannot be written.
    fn remembered_file<'a>(
        &'a self,
        name: &'a str,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<bool, StageError>>;
    /// As [`Context::remember`], for a text that must not be shown, such as the address of an
    /// upload. It is kept in a private file of the run, which is never exported and is removed when
    /// the run succeeds, and hidden like a declared secret from here on.
    ///
    /// # Errors
    /// Of class `validation` for a text that is too short or too long to be hidden; of class
    /// `store` when it cannot be kept.
    fn remember_secret<'a>(
        &'a self,
        name: &'a str,
        value: &'a str,
    ) -> BoxFuture<'a, Result<(), StageError>>;
    /// The secret that was remembered by this name.
    fn remembered_secret(&self, name: &str) -> Option<String>;
    /// A number in [0, 1) by chance, for waits that must not all end at once.
    fn chance(&self) -> f64;
}

/// The longest name of something remembered, in bytes.
pub const REMEMBERED_NAME_MAX: usize = 256;

/// The largest remembered value, in bytes of JSON.
pub const REMEMBERED_MAX: usize = 64 * 1024;

/// A node as a stage sees it before the run, to refuse what cannot work.
pub struct NodeView<'a> {
    /// `with`, as written, templates unrendered.
    pub config: &'a Value,
    /// Bound input ports and their types.
    pub inputs: &'a BTreeMap<String, Type>,
    /// Declared outputs.
    pub outputs: &'a [OutputSlot],
    /// `[tools]`.
    pub tools: &'a BTreeMap<String, String>,
    /// The folder of the workflow file.
    pub workflow_dir: &'a Path,
    /// Files and folders that `uses` brings into the scratch folder.
    pub uses: &'a [String],
    /// Names of the workflow's parameters.
    pub params: &'a [String],
}

/// A fault that a stage finds in a node before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// JSON pointer into `with`; empty for the node as a whole.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

/// Something a stage needs of the machine before the run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// What is missing, such as `ffmpeg`.
    pub what: String,
    /// How to get it, such as `apt-get install ffmpeg` or `brew install ffmpeg`.
    pub fix: String,
}

/// What a stage waits for in the place of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    /// This long, from when the wait is recorded.
    For(Duration),
    /// This instant.
    Until(jiff::Timestamp),
    /// A person's answer.
    Answer {
        /// What is asked.
        message: String,
        /// The answers among which one is chosen; none: yes or no.
        choices: Vec<String>,
    },
}

/// A kind of work.
pub trait Stage: Send + Sync {
    /// What this stage is.
    fn spec(&self) -> &StageSpec;

    /// Faults of a node that only the stage can know. Pure: no disk, no network.
    fn check(&self, _node: &NodeView<'_>) -> Vec<ConfigFault> {
        Vec::new()
    }

    /// What in the configuration hardly means what was meant; told as warnings.
    fn remarks(&self, _node: &NodeView<'_>) -> Vec<ConfigFault> {
        Vec::new()
    }

    /// What the machine lacks for this node: programs, fonts, filters. Called before a run starts,
    /// once per distinct configuration; may look at the machine.
    fn preflight(&self, _node: &NodeView<'_>) -> Vec<Missing> {
        Vec::new()
    }

    /// Whether the stage waits instead of working: its node holds no slot meanwhile, and the wait
    /// outlives the process.
    fn waits(&self) -> bool {
        false
    }

    /// What it waits for. Asked of stages that wait, in the place of [`Stage::run`].
    ///
    /// # Errors
    /// When `with` says something that cannot be waited for.
    fn wait(&self, _job: &Job) -> Result<Wait, StageError> {
        Ok(Wait::For(Duration::ZERO))
    }

    /// Free disk space in bytes that an attempt may need, where that is worth asking for before a
    /// run.
    fn disk_needed(&self) -> u64 {
        0
    }

    /// Does the work of one attempt. A stage must stop soon after [`Context::cancelled`] resolves;
    /// its result is then ignored except for an error's details.
    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>>;
}

/// A shared stage.
pub type SharedStage = Arc<dyn Stage>;
