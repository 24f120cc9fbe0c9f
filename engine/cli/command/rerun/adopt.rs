//! Making the result of a trial the run's own, and running what depends on it.

use std::sync::Arc;

use flow_core::graph::Graph;
use flow_core::id::NodeId;
use flow_core::run::event::Event;
use flow_core::run::state::{Phase, Tasks, Whole};
use flow_core::store::Store;
use flow_runtime::{Clock as _, Opened, SystemClock, Trial};
use flow_store::DiskStore;

use super::Report;
use crate::args::RerunArgs;
use crate::command::drive::{drive_quietly, exit_of};
use crate::failure::{Exit, Failure};
use crate::report::tell;
use crate::session::Session;

/// Records the result as a success of the run's task, and drives what depends on it if that was
/// asked for: there too a result is taken where its key is the same.
pub(super) fn adopt(
    args: &RerunArgs,
    env: &Session,
    store: &Arc<DiskStore>,
    report: &Report<'_>,
    mut opened: Opened,
) -> Result<Exit, Failure> {
    let Trial::Succeeded { outputs, payloads, duration_ms, key, warnings, usage, provisional } =
        &report.result.outcome
    else {
        return Ok(Exit::FAILED);
    };
    let state = &report.history.state;
    let graph = Arc::clone(state.graph());
    let event = Event::Succeeded {
        task: state.task_ref(report.task),
        attempt: report.result.attempt,
        key: *key,
        outputs: outputs.clone(),
        duration_ms: *duration_ms,
        warnings: warnings.clone(),
        usage: *usage,
        provisional: *provisional,
    };
    opened.adopt(event, payloads.clone());
    let shared: Arc<dyn Store> = store.clone();
    let dependents = direct(&graph, report.task.node);
    if !args.downstream || dependents.is_empty() {
        flow_runtime::record_adopted(&shared, &mut opened, SystemClock::start().now())?;
        if !env.json {
            tell(&stale(env, report));
        }
        return Ok(Exit::SUCCEEDED);
    }
    store.settle()?;
    opened.invalidate(&dependents);
    let manifest = report.history.manifest.clone();
    let (ending, _) = drive_quietly(env, store, report.history.run(), manifest, opened)?;
    Ok(exit_of(&ending))
}

/// The nodes that wait for a node.
fn direct(graph: &Graph, node: NodeId) -> Vec<NodeId> {
    graph.node(node).dependents.iter().map(|dependent| dependent.node).collect()
}

/// What there is to say of results that were made from the one before.
fn stale(env: &Session, report: &Report<'_>) -> String {
    let state = &report.history.state;
    let graph = state.graph();
    if report.is_same() {
        return String::new();
    }
    let has_result = |id: NodeId| match &state.node(id).tasks {
        Tasks::One(task) => matches!(task.phase, Phase::Succeeded(_)),
        _ => matches!(state.node(id).whole, Whole::Succeeded),
    };
    let direct = direct(graph, report.task.node);
    let behind = graph.with_descendants(&direct);
    let stale: Vec<&str> =
        behind.iter().filter(|id| has_result(**id)).map(|id| &*graph.node(*id).name).collect();
    if stale.is_empty() {
        return String::new();
    }
    let run = report.history.run().as_str();
    format!(
        "  made from the result before it: {}\n  run them again as far as they change: {}\n",
        stale.join(", "),
        env.command(&["resume", run, "--update"])
    )
}
