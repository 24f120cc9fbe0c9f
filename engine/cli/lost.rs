//! Who made what the store has lost.

use std::collections::BTreeMap;

use flow_core::error::ErrorClass;
use flow_core::graph::{Source, Take};
use flow_core::id::TaskId;
use flow_core::run::RunState;
use flow_core::store::{Store, StoreError};

use crate::failure::{Failure, LostResult};
use crate::history::History;
use crate::report::human::name;
use crate::target::{self, Target};

/// Lost results by the names of their tasks, each after those it needs.
pub(crate) fn named(state: &RunState, lost: BTreeMap<TaskId, String>) -> Vec<LostResult> {
    let mut lost: Vec<(TaskId, String)> = lost.into_iter().collect();
    // Whatever a node needs has fewer nodes before it than the node itself.
    lost.sort_by_key(|(task, _)| (state.graph().ancestors(task.node).len(), *task));
    lost.into_iter()
        .map(|(task, reason)| LostResult { task: name(&state.task_ref(task)), reason })
        .collect()
}

/// A failure to read what a run made, with the tasks that make it again: those behind `target`, an
/// output as the command line names it, or behind the outputs of the workflow.
pub(crate) fn explained(
    failure: Failure,
    store: &dyn Store,
    history: &History,
    target: Option<&str>,
) -> Failure {
    let message = match &failure {
        Failure::Store(error @ (StoreError::Damaged { .. } | StoreError::Missing { .. })) => {
            error.to_string()
        }
        Failure::Unreadable(error) if error.class == ErrorClass::Io => error.message.clone(),
        _ => return failure,
    };
    // If even that cannot be found out, the first failure is the better one to tell.
    let Ok(found) = behind(store, history, target) else { return failure };
    match named(&history.state, found) {
        lost if lost.is_empty() => failure,
        lost => Failure::Lost { message, run: history.run().to_string(), lost },
    }
}

fn behind(
    store: &dyn Store,
    history: &History,
    target: Option<&str>,
) -> Result<BTreeMap<TaskId, String>, Failure> {
    let (run, state) = (history.run(), &history.state);
    let mut found = BTreeMap::new();
    match target {
        Some(text) => {
            let (Target { node, item }, _) = target::output(state, text)?;
            let take = match (&state.graph().node(node).fan, item) {
                (None, _) => Take::Whole,
                (Some(_), Some(_)) => Take::SameItem,
                (Some(_), None) => Take::Gather,
            };
            let (port, path) = (String::new(), Vec::new());
            let source = Source::Output { node, port, path, optional: true, take };
            found.extend(flow_runtime::lost_behind(store, run, state, &source, item)?);
        }
        None => {
            for output in state.graph().outputs().values() {
                found.extend(flow_runtime::lost_behind(store, run, state, &output.source, None)?);
            }
        }
    }
    Ok(found)
}
