//! A run as JSON: what `show --json` prints, and `run --json` as its last line.

use flow_core::call::Usage;
use flow_core::id::{NodeId, RunId, TaskId};
use flow_core::payload::PayloadRef;
use flow_core::run::RunState;
use flow_core::run::line::outputs_json;
use flow_core::run::state::{NodeState, Phase, Task, Tasks, Whole};
use flow_core::store::Store;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::args::RunStatus;
use crate::history::{History, Outline};
use crate::report::tell;
use crate::report::text::{clean, millis_between};

/// The JSON of a stored payload, if it can be read.
pub(crate) fn value_of(store: &dyn Store, run: &RunId, payload: &PayloadRef) -> Option<Value> {
    let bytes = store.payload(run, payload).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The whole object of a run.
pub(crate) fn run(history: &History, store: &dyn Store) -> Value {
    let mut object = outline(&history.outline, outputs(history, store));
    let view = View { history, store };
    let nodes: Vec<Value> = history.state.graph().ids().map(|id| view.node(id)).collect();
    object.insert("nodes".into(), Value::Array(nodes));
    Value::Object(object)
}

/// The object of a run without its nodes.
pub(crate) fn outline(outline: &Outline, outputs: Value) -> Map<String, Value> {
    let object = json!({
        "id": outline.run,
        "workflow": outline.workflow,
        "status": outline.status.name(),
        "params": outline.params,
        "started_at": outline.started_at.map(|at| at.to_string()),
        "finished_at": outline.finished_at.map(|at| at.to_string()),
        "error": outline.failures.first().map(|(_, error)| error),
        "outputs": outputs,
        "usage": usage(outline.usage),
    });
    let mut object = match object {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let (hits, misses) = (outline.cache_hits, outline.cache_misses);
    if hits + misses > 0 {
        object.insert("cache".into(), json!({ "hits": hits, "misses": misses }));
    }
    object
}

/// The outputs of the workflow that are there; null, with a word on stderr, where one cannot be
/// read: an empty object would say that there are none.
pub(crate) fn outputs(history: &History, store: &dyn Store) -> Value {
    match history.outputs(store) {
        Ok(outputs) => json!(outputs),
        Err(error) => {
            let run = history.run();
            tell(&format!(
                "warning: the outputs of run {run} cannot be read: {}\n",
                clean(&error.to_string())
            ));
            Value::Null
        }
    }
}

/// The object of one node, or of one item.
pub(crate) fn part(history: &History, store: &dyn Store, node: NodeId, item: Option<u32>) -> Value {
    let view = View { history, store };
    match item.and_then(|index| Some((index, history.state.task(TaskId::item(node, index))?))) {
        Some((index, task)) => view.item(node, index, task),
        None => view.node(node),
    }
}

struct View<'a> {
    history: &'a History,
    store: &'a dyn Store,
}

impl View<'_> {
    fn node(&self, id: NodeId) -> Value {
        let state = &self.history.state;
        let node = state.graph().node(id);
        let summary = node_summary(state, id, self.history.outline.status);
        let blocked: Vec<&str> = match summary.status {
            "pending" => {
                state.blocked_by(id).iter().map(|n| &*state.graph().node(*n).name).collect()
            }
            _ => Vec::new(),
        };
        let (key, outputs, items) = match &state.node(id).tasks {
            Tasks::One(task) => (key_of(task), self.outputs(task), Vec::new()),
            Tasks::Unresolved => (Value::Null, json!({}), Vec::new()),
            Tasks::Items(tasks) => {
                let items = (0..).zip(tasks).map(|(index, task)| self.item(id, index, task));
                (Value::Null, json!({}), items.collect())
            }
        };
        json!({
            "id": node.name,
            "stage": node.work.stage.spec().name,
            "status": summary.status,
            "reused": summary.reused,
            "attempts": summary.attempts,
            "key": key,
            "blocked_by": blocked,
            "started_at": summary.started_at.map(|at| at.to_string()),
            "finished_at": summary.finished_at.map(|at| at.to_string()),
            "duration_ms": summary.duration_ms,
            "error": summary.error,
            "usage": usage(state.node(id).usage),
            "outputs": outputs,
            "items": items,
        })
    }

    fn item(&self, node: NodeId, index: u32, task: &Task) -> Value {
        let state = &self.history.state;
        let key = state.task_ref(TaskId::item(node, index)).item.map(|item| item.key);
        let error = match &task.phase {
            Phase::Failed(error) | Phase::Unknown(error) => Some(error.as_ref()),
            _ => None,
        };
        json!({
            "key": key,
            "index": index,
            "status": task_status(task, self.history.outline.status),
            "reused": is_reused(task, state.invocation()),
            "attempts": task.attempts,
            "usage": usage(task.usage),
            "outputs": self.outputs(task),
            "error": error,
        })
    }

    fn outputs(&self, task: &Task) -> Value {
        let Phase::Succeeded(done) = &task.phase else { return json!({}) };
        let value = |payload: &PayloadRef| value_of(self.store, self.history.run(), payload);
        outputs_json(&done.outputs, &value)
    }
}

/// What calls used; null where there is nothing to tell.
pub(crate) fn usage(usage: Usage) -> Value {
    if usage.is_nothing() { Value::Null } else { json!(usage) }
}

fn key_of(task: &Task) -> Value {
    match &task.phase {
        Phase::Succeeded(done) => json!(done.key),
        _ => json!(task.key),
    }
}

/// How a node stands as a whole, for JSON and for tables.
pub(crate) struct NodeSummary {
    /// The word for it.
    pub(crate) status: &'static str,
    /// Whether its result was made before the latest time that the run was taken up.
    pub(crate) reused: bool,
    /// Attempts that were begun.
    pub(crate) attempts: u32,
    /// When the first of them began.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// How long it took, if it ended.
    pub(crate) duration_ms: Option<u64>,
    /// Why it failed.
    pub(crate) error: Option<std::sync::Arc<flow_core::error::StageError>>,
}

/// How a node stands.
pub(crate) fn node_summary(state: &RunState, id: NodeId, run: RunStatus) -> NodeSummary {
    let node = state.node(id);
    match &node.tasks {
        Tasks::One(task) => of_task(task, state.invocation(), run),
        Tasks::Unresolved => of_items(node, &[], state.invocation(), run),
        Tasks::Items(tasks) => of_items(node, tasks, state.invocation(), run),
    }
}

/// How a task stands.
pub(crate) fn of_task(task: &Task, invocation: u32, run: RunStatus) -> NodeSummary {
    let span = task.started_at.zip(task.finished_at).map(|(from, to)| millis_between(from, to));
    let (duration_ms, error) = match &task.phase {
        Phase::Succeeded(done) => (Some(done.duration_ms), None),
        Phase::Failed(error) | Phase::Unknown(error) => (span, Some(error.clone())),
        _ => (span, None),
    };
    NodeSummary {
        status: task_status(task, run),
        reused: is_reused(task, invocation),
        attempts: task.attempts,
        started_at: task.started_at,
        finished_at: task.finished_at,
        duration_ms,
        error,
    }
}

fn of_items(node: &NodeState, tasks: &[Task], invocation: u32, run: RunStatus) -> NodeSummary {
    let started_at = tasks.iter().filter_map(|task| task.started_at).min();
    let done = |task: &&Task| matches!(task.phase, Phase::Succeeded(_));
    let old = node.ended_in < invocation
        || (tasks.iter().any(|t| done(&t))
            && tasks.iter().filter(done).all(|task| is_reused(task, invocation)));
    let (status, error) = match &node.whole {
        Whole::Succeeded => ("succeeded", None),
        Whole::Skipped(_) => ("skipped", None),
        Whole::Failed(error) => ("failed", Some(error.clone())),
        Whole::Open => (open_status(tasks, run), None),
    };
    NodeSummary {
        status,
        reused: status == "succeeded" && old,
        attempts: tasks.iter().map(|task| task.attempts).sum(),
        started_at,
        finished_at: node.finished_at,
        duration_ms: started_at.zip(node.finished_at).map(|(from, to)| millis_between(from, to)),
        error,
    }
}

/// The word for a fanned-out node some of whose items have not ended.
fn open_status(tasks: &[Task], run: RunStatus) -> &'static str {
    let any = |status: &str| tasks.iter().any(|task| task_status(task, run) == status);
    let begun = tasks.iter().any(|task| task.phase.is_over());
    if any("unknown") {
        "unknown"
    } else if any("running") || (begun && run == RunStatus::Running) {
        "running"
    } else if any("waiting") {
        "waiting"
    } else if any("cancelled") {
        "cancelled"
    } else {
        "pending"
    }
}

/// The word for a task. What was running when its process died is pending again.
pub(crate) fn task_status(task: &Task, run: RunStatus) -> &'static str {
    match &task.phase {
        Phase::Running if matches!(run, RunStatus::Running | RunStatus::Waiting) => "running",
        // An effect that was cut short may have happened.
        Phase::Running if task.intent.is_some() => "unknown",
        Phase::Unknown(_) => "unknown",
        Phase::Awaiting(_) => "waiting",
        Phase::Pending | Phase::Ready | Phase::Running => "pending",
        Phase::Waiting { .. } => "waiting",
        Phase::Succeeded(_) => "succeeded",
        Phase::Skipped(_) => "skipped",
        Phase::Failed(_) => "failed",
        Phase::Cancelled => "cancelled",
    }
}

fn is_reused(task: &Task, invocation: u32) -> bool {
    matches!(task.phase, Phase::Succeeded(_)) && (task.reused || task.ended_in < invocation)
}

/// Why a node was skipped, if it was.
pub(crate) fn skip_reason(state: &RunState, id: NodeId) -> Option<&str> {
    let node = state.node(id);
    match (&node.tasks, &node.whole) {
        (Tasks::One(task), _) => match &task.phase {
            Phase::Skipped(reason) => Some(reason),
            _ => None,
        },
        (_, Whole::Skipped(reason)) => Some(reason),
        _ => None,
    }
}
