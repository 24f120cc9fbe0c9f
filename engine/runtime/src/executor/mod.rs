//! One attempt, wherever it runs: load inputs by digest → gate in → run → gate out → store bytes.
//!
//! An [`Assignment`] is plain data: names, digests and spans of time. What a stage makes goes
//! through the gate before anyone can refer to it.

mod admit;
mod answer;
mod artifacts;
mod cache;
mod capture;
mod context;
mod earlier;
mod folder;
mod items;
mod lay_out;
mod load;
mod media_type;
mod memory;
mod once;
mod probe;
mod recipe;
mod scope;
mod stopping;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{Graph, Node, Work};
use flow_core::id::{NodeId, RunId};
use flow_core::key::{KeyParts, idempotency_key};
use flow_core::policy::CachePolicy;
use flow_core::render::{compose_symbolic, render};
use flow_core::run::Outcome;
use flow_core::run::decide::News;
use flow_core::run::event::{Question, RunEnd, TaskRef};
use flow_core::run::manifest::Manifest;
use flow_core::run::memory::Memories;
use flow_core::run::state::Before;
use flow_core::schema::{Severity, Type, validate};
use flow_core::stage::{CancelReason, Job, OutputFrom, Stream, Usage, Wait};
use flow_core::store::{Hold, Store, StoreError};
use serde_json::{Map, Value};
use tokio::sync::{oneshot, watch};

use crate::bus::Bus;
use crate::clock::Clock;
use crate::secrets::Secrets;
use crate::wiring::Wire;
use context::{AttemptContext, Lines};
use folder::Folder;
use memory::AttemptMemory;
use scope::Scopes;
use stopping::run_stage;
use tracing::Instrument as _;

pub(crate) use answer::answer_outputs;
pub use answer::{Answer, admit_outputs};
pub(crate) use cache::{Found, check_outputs, find};
pub(crate) use earlier::Earlier;
pub(crate) use folder::SpareFolders;
pub(crate) use items::read_items;
pub use lay_out::{LaidOut, lay_out};
pub(crate) use load::Parsed;
pub use load::{LoadFault, value_at};
pub(crate) use media_type::detect as detect_media_type;
pub use memory::Recollection;
pub(crate) use memory::{Keeper, Memo};
pub(crate) use once::assignment;
pub use once::{Case, Trial, TrialPlan, TrialResult, input_values, try_once};
pub(crate) use probe::probe_node;
pub use recipe::{Made, Recipes};

/// What all attempts of a run share.
pub(crate) struct Surroundings {
    pub(crate) run: RunId,
    pub(crate) graph: Arc<Graph>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) zone: jiff::tz::TimeZone,
    pub(crate) bus: Option<Bus>,
    pub(crate) spare: SpareFolders,
    /// Results of this run by key, where its nodes were opened again.
    pub(crate) earlier: Earlier,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) parsed: Parsed,
    pub(crate) secrets: Arc<Secrets>,
}

/// One attempt, as plain data.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) node: NodeId,
    pub(crate) task: TaskRef,
    pub(crate) attempt: u32,
    /// Whether an earlier attempt failed by itself.
    pub(crate) failed_before: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) by_deadline: bool,
    /// Inputs by port.
    pub(crate) inputs: Vec<Wire>,
    /// What `item` is, in a fanned-out node.
    pub(crate) item: Option<Wire>,
    /// What templates read of the parameters of a nested workflow.
    pub(crate) params: Vec<Wire>,
    /// Whether it runs beside the run, so that nothing of it may stand among the run's own.
    pub(crate) beside: bool,
    /// Which work it runs: 0 is the node's own, n its nth fallback.
    pub(crate) variant: u32,
    /// The idempotency key of an effect that may have happened already.
    pub(crate) intent: Option<Arc<str>>,
    /// Whether a result of the run's own is taken where its key is the same.
    pub(crate) reuse: bool,
    /// What came of it before its node was opened again.
    pub(crate) before: Option<Arc<Before>>,
    /// What earlier attempts left.
    pub(crate) memories: Option<Arc<Memories>>,
    /// Whether its scratch folder stays after success too, and where it is noted.
    pub(crate) keep: Option<Arc<std::sync::OnceLock<PathBuf>>>,
    /// How the run ends, for a node that always runs.
    pub(crate) closing: Option<RunEnd>,
}

/// What an attempt tells before it acts.
pub(crate) struct Beginning {
    pub(crate) key: Digest,
    /// The idempotency key, if it acts on the outside world.
    pub(crate) intent: Option<Arc<str>>,
    /// Whether results of other runs were looked for, and none could be taken.
    pub(crate) cache_missed: bool,
    /// The single flight of its key: held until the result can be found by others.
    pub(crate) flight: Option<Box<dyn Hold>>,
}

/// Takes news of an attempt.
pub(crate) type Tell = Box<dyn Fn(News) + Send + Sync>;

/// What the calls of an attempt used so far.
#[derive(Clone, Default)]
pub(crate) struct Spent(Arc<Mutex<Usage>>);

impl Spent {
    fn add(&self, usage: Usage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(usage);
    }

    fn sum(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two-way line between an attempt and its driver.
pub(crate) struct Line {
    /// Tells that the attempt would begin, and waits for the word.
    pub(crate) begin: Box<dyn FnOnce(Beginning) -> oneshot::Receiver<()> + Send>,
    /// Tells what is recorded without being waited for.
    pub(crate) tell: Tell,
    /// Where it goes what the attempt remembers.
    pub(crate) keeper: Keeper,
    /// Resolves to the reason when the attempt must stop.
    pub(crate) cancel: watch::Receiver<Option<CancelReason>>,
}

/// A value on an input port, admitted.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) name: String,
    /// The payload as it is stored; null if absent.
    pub(crate) value: Value,
    /// Digest for the key; `None` if absent.
    pub(crate) digest: Option<Digest>,
}

/// All that an attempt takes in.
pub(crate) struct Taken<'a> {
    inputs: Vec<Input>,
    /// Parameters of the workflow file that the node stands in.
    params: Cow<'a, BTreeMap<String, Value>>,
    /// What `item` is, in a fanned-out node.
    item: Option<Value>,
}

impl<'a> Taken<'a> {
    fn load(
        around: &'a Surroundings,
        node: &Node,
        assignment: &Assignment,
    ) -> Result<Self, Box<StageError>> {
        Ok(Self {
            inputs: load::inputs(around, node, assignment)?,
            params: load::params(around, node, assignment)?,
            item: load::item(around, assignment)?,
        })
    }
}

/// Runs one attempt from start to end.
pub(crate) async fn execute_node(
    around: &Surroundings,
    assignment: &Assignment,
    line: Line,
) -> Outcome {
    let started = Instant::now();
    let (mut begun, spent) = (false, Spent::default());
    let work = attempt(around, assignment, line, started, &mut begun, &spent);
    let work = work.instrument(span(assignment));
    match guarded(work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => {
            let error = around.secrets.mask_error(error);
            Outcome::Failed { error, begun, usage: spent.sum() }
        }
        Err(panic) => {
            let node = around.graph.node(assignment.node);
            let stage = node.variant(assignment.variant).stage.spec().name;
            let error = StageError::new(
                ErrorClass::Panic,
                format!("run stage {stage}"),
                format!("the stage panicked: {panic}"),
            )
            .hint("this is a bug of the stage; please report it with this message");
            let error = around.secrets.mask_error(Box::new(error));
            Outcome::Failed { error, begun: true, usage: spent.sum() }
        }
    }
}

/// What the engine's own words are about while an attempt goes on.
fn span(assignment: &Assignment) -> tracing::Span {
    let item = assignment.task.item.as_ref().map(|item| &*item.key);
    tracing::info_span!(
        "attempt",
        node = &*assignment.task.node,
        item = item,
        attempt = assignment.attempt
    )
}

/// Lets a panic of a stage become a failure of its attempt.
async fn guarded<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic_text(panic.as_ref()))),
        }
    })
    .await
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

/// What a task comes to before results of other runs are looked for.
pub(crate) enum Considered<'a> {
    /// It is skipped, or the run has its result.
    Settled(Outcome),
    /// Nothing of it is there.
    Open {
        /// What it takes in.
        taken: Taken<'a>,
        /// Its key.
        key: Digest,
    },
}

/// Looks at what a task takes in, its condition, its key, and the run's own results. Nothing of it
/// acts on anything.
pub(crate) fn consider<'a>(
    around: &'a Surroundings,
    assignment: &Assignment,
) -> Result<Considered<'a>, Box<StageError>> {
    let node = around.graph.node(assignment.node);
    let work = node.variant(assignment.variant);
    let taken = Taken::load(around, node, assignment)?;
    let symbolic = Scopes::symbolic(around, node, work, assignment, &taken);
    if let Some(reason) = scope::condition(node, &symbolic)? {
        return Ok(Considered::Settled(Outcome::Skipped { reason }));
    }
    let key = key_parts(around, node, work, &symbolic, &taken.inputs)?.digest();
    if let Some(outcome) = earlier::outcome(around, node, assignment, &taken, &key)? {
        return Ok(Considered::Settled(outcome));
    }
    Ok(Considered::Open { taken, key })
}

async fn attempt(
    around: &Surroundings,
    assignment: &Assignment,
    line: Line,
    started: Instant,
    begun: &mut bool,
    spent: &Spent,
) -> Result<Outcome, Box<StageError>> {
    let node = around.graph.node(assignment.node);
    let work = node.variant(assignment.variant);
    let (taken, key) = match consider(around, assignment)? {
        Considered::Settled(outcome) => return Ok(outcome),
        Considered::Open { taken, key } => (taken, key),
    };
    let flight = match node.policy.cache {
        CachePolicy::Off => None,
        _ if assignment.beside || around.manifest.fresh => None,
        policy => {
            match cache::look(around, &assignment.task, &key, policy, line.cancel.clone()).await? {
                cache::Look::Hit(outcome) => return Ok(outcome),
                cache::Look::Miss(flight) => Some(flight),
            }
        }
    };
    let idempotency = match &assignment.intent {
        Some(intent) => intent.to_string(),
        None => idempotency_key(
            around.run.as_str(),
            &assignment.task.node,
            assignment.task.item.as_ref().map(|i| &*i.key),
            &key,
        ),
    };
    let cancel = line.cancel.clone();
    let beginning = Beginning {
        key,
        intent: node.effect.is_some().then(|| idempotency.as_str().into()),
        cache_missed: flight.is_some(),
        flight,
    };
    // A dropped sender means that the run is over for this process.
    if (line.begin)(beginning).await.is_err() {
        let message = "the run ended before the attempt began";
        return Err(cancelled(message));
    }
    *begun = true;
    let unsent = |error: Box<StageError>| Box::new(StageError { unsent: true, ..*error });
    let folder = Folder::make(around, node, work, assignment, &taken.inputs).map_err(unsent)?;
    if let (Some(keep), Some(work)) = (&assignment.keep, folder.work()) {
        keep.get_or_init(|| work);
    }
    let real = Scopes::real(around, node, work, assignment, &taken, &folder, &idempotency)
        .map_err(unsent)?;
    let job = Job {
        config: real.render(around, work).map_err(unsent)?,
        inputs: real.inputs(),
        outputs: real.outputs(node),
        timeout: assignment.timeout,
        reserved: folder.reserved(),
    };
    if work.stage.waits() {
        return waits(around, node, work, assignment, &job, key);
    }
    let memory = AttemptMemory::open(around, assignment, key, line.keeper);
    let lines = Lines { tell: line.tell, memory, spent: spent.clone(), cancel };
    let context = AttemptContext::new(around, assignment, &folder, idempotency, lines);
    let made = make(around, node, work, &folder, &context, job, assignment).await;
    let mut admitted = match made {
        Ok(admitted) => admitted,
        Err(error) => return Err(folder.keep(around, error).await),
    };
    admitted.warnings.extend(context.take_warnings());
    if assignment.keep.is_none() {
        folder.remove(around);
    }
    Ok(Outcome::Succeeded {
        key,
        outputs: admitted.outputs,
        payloads: admitted.payloads,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        warnings: admitted.warnings,
        usage: spent.sum(),
        provisional: context.is_provisional(),
    })
}

/// Runs the stage, and holds what it made to the declared outputs.
async fn make(
    around: &Surroundings,
    node: &Node,
    work: &Work,
    folder: &Folder,
    context: &AttemptContext,
    job: Job,
    assignment: &Assignment,
) -> Result<admit::Admitted, Box<StageError>> {
    let drafts = run_stage(work, context, job, assignment).await;
    context.end_of_output();
    let drafts = drafts?;
    folder.check_inputs(around)?;
    tokio::select! {
        biased;
        admitted = admit::outputs(around, node, folder, drafts) => admitted,
        // What was made is worth the wait after a first signal, however large it is.
        () = context.killed() => {
            let message = "the run was stopped while they were stored";
            Err(Box::new(StageError::new(ErrorClass::Cancelled, "store outputs", message)))
        }
    }
}

/// What a stage that does not work waits for.
fn waits(
    around: &Surroundings,
    node: &Node,
    work: &Work,
    assignment: &Assignment,
    job: &Job,
    key: Digest,
) -> Result<Outcome, Box<StageError>> {
    let now = around.clock.now().wall;
    let before = assignment.before.as_ref().and_then(|before| before.awaited.as_ref());
    if let Some(awaited) = before.filter(|awaited| awaited.key == key) {
        // The same wait goes on: an edit elsewhere does not lengthen it.
        let whole = Duration::from_millis(awaited.delay_ms);
        let left = |until| now.until(until).ok().and_then(|span| Duration::try_from(span).ok());
        let delay = awaited.until.map(|until| left(until).unwrap_or_default().min(whole));
        return Ok(Outcome::Waits { key, delay, question: awaited.question.clone() });
    }
    let (delay, question) = match work.stage.wait(job).map_err(Box::new)? {
        Wait::For(delay) => (Some(delay), None),
        Wait::Until(instant) => {
            let left = now.until(instant).ok().and_then(|span| Duration::try_from(span).ok());
            // An instant that has passed is no wait.
            (Some(left.unwrap_or(Duration::ZERO)), None)
        }
        Wait::Answer { mut message, mut choices } => {
            // What is asked is recorded and shown.
            around.secrets.mask_in_place(&mut message);
            choices.iter_mut().for_each(|choice| around.secrets.mask_in_place(choice));
            (node.policy.timeout, Some(Question { message, choices }))
        }
    };
    Ok(Outcome::Waits { key, delay, question })
}

fn cancelled(message: &str) -> Box<StageError> {
    Box::new(StageError::new(ErrorClass::Cancelled, "begin an attempt", message))
}

/// All that the result depends on.
fn key_parts<'a>(
    around: &Surroundings,
    node: &Node,
    work: &'a Work,
    symbolic: &Scopes,
    inputs: &[Input],
) -> Result<KeyParts<'a>, Box<StageError>> {
    let config = if work.has_templates {
        let rendered = render(&work.config, symbolic.scope(), &mut compose_symbolic);
        Cow::Owned(rendered.map_err(|(field, message)| scope::template_error(&field, message))?)
    } else if work.raw_config.is_null() {
        // No `with` and an empty one are the same.
        Cow::Owned(Value::Object(Map::new()))
    } else {
        Cow::Borrowed(&work.raw_config)
    };
    let uses = node
        .uses
        .iter()
        .filter_map(|path| {
            let used = around.manifest.uses.get(&node.home.recorded(path))?;
            let mark = if used.executable { " (executable)" } else { "" };
            Some((format!("{path}{mark}"), used.artifact.digest))
        })
        .collect();
    let outputs = node.outputs.iter().map(|o| (o.name.clone(), taken_text(o))).collect();
    let inputs = inputs.iter().map(|i| (i.name.clone(), i.digest)).collect();
    let spec = work.stage.spec();
    Ok(KeyParts { stage: spec.name, version: spec.version, config, inputs, uses, outputs })
}

/// A declared output: its type and where it is taken from.
fn taken_text(output: &flow_core::graph::OutputPort) -> String {
    let from = match &output.from {
        OutputFrom::Default => String::new(),
        OutputFrom::Path(path) => format!(" path {path}"),
        OutputFrom::Stream(Stream::Stdout) => " stdout".to_owned(),
        OutputFrom::Stream(Stream::Stderr) => " stderr".to_owned(),
    };
    let lines = if output.json_lines { " lines" } else { "" };
    format!("{}{from}{lines}", type_text(&output.ty))
}

/// A type with all its fields and conditions: a name alone would not change when they do.
fn type_text(ty: &Type) -> String {
    match ty {
        Type::Record(record) => {
            let fields: Vec<String> = record
                .fields
                .iter()
                .map(|(name, ty)| format!("{name}:{}", type_text(ty)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Type::Constrained(c) => {
            let conditions: Vec<String> = c.constraints.iter().map(ToString::to_string).collect();
            format!("{}({})", type_text(&c.base), conditions.join(","))
        }
        Type::Schema(schema) => format!("schema {}", schema.digest()),
        Type::List(t) => format!("list<{}>", type_text(t)),
        Type::Map(t) => format!("map<{}>", type_text(t)),
        Type::Optional(t) => format!("{}?", type_text(t)),
        other => other.to_string(),
    }
}

/// Holds a payload to its type; the fault names the port and the place.
pub(crate) fn gate(
    direction: &str,
    port: &str,
    ty: &Type,
    value: &Value,
) -> Result<Vec<flow_core::run::event::Warning>, Box<StageError>> {
    let faults = validate(ty, value);
    let mut refusing = faults.iter().filter(|f| f.severity == Severity::Error);
    let Some(first) = refusing.next() else {
        return Ok(faults
            .into_iter()
            .map(|f| flow_core::run::event::Warning {
                port: Some(port.to_owned()),
                pointer: Some(f.pointer),
                message: format!("expected {}, found {}", f.expected, f.found),
            })
            .collect());
    };
    let place = if first.pointer.is_empty() { "the whole payload" } else { &first.pointer };
    let mut error = StageError::new(
        ErrorClass::Validation,
        format!("check {direction} port {port}"),
        format!("{place} of `{port}` must be {}, and is {}", first.expected, first.found),
    )
    .kind(flow_core::error::ErrorKind::Validation)
    .port(port)
    .hint(if direction == "input" {
        "change the node that makes this payload, or the type that takes it"
    } else {
        "change what the node writes, or the type that its output declares"
    });
    error.pointer = Some(first.pointer.clone());
    error.expected = Some(first.expected.clone());
    error.found = Some(first.found.clone());
    error.causes = refusing
        .map(|f| format!("{} must be {}, and is {}", f.pointer, f.expected, f.found))
        .collect();
    Err(Box::new(error))
}

/// A failure of the store while bytes are read or written for an attempt.
pub(crate) fn store_error(operation: &str, error: &StoreError) -> Box<StageError> {
    let class = match error {
        StoreError::Io { source, .. } => StageError::from_io("", source).class,
        StoreError::Missing { .. } | StoreError::Damaged { .. } => ErrorClass::Io,
        _ => ErrorClass::Store,
    };
    let mut found = StageError::new(class, operation, error.to_string());
    if matches!(error, StoreError::Missing { .. } | StoreError::Damaged { .. }) {
        found.hint = Some(
            "the payload is not used; run the node that makes it again with `flow rerun RUN NODE`"
                .into(),
        );
    }
    Box::new(found)
}

/// Where the captured output of an attempt is: `output/<task>.<attempt>.<stream>` in the run's
/// folder.
#[must_use]
pub fn capture_path(
    store: &dyn Store,
    run: &RunId,
    task: &TaskRef,
    attempt: u32,
    stream: flow_core::stage::Stream,
) -> PathBuf {
    let stream = match stream {
        flow_core::stage::Stream::Stdout => "stdout",
        flow_core::stage::Stream::Stderr => "stderr",
    };
    store
        .run_dir(run)
        .join("output")
        .join(format!("{}.{attempt}.{stream}", folder::file_name(task)))
}
