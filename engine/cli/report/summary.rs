//! The end of an invocation: the failures again, and one line of counts.

use flow_core::error::StageError;
use flow_core::id::TaskId;
use flow_core::run::RunState;
use flow_core::run::state::{Phase, Tasks, Whole};
use jiff::Timestamp;
use std::sync::Arc;

use super::human::name;
use super::text::{clean, duration, millis_between};
use super::{failure_block, style::Paint};
use crate::args::RunStatus;
use crate::history::History;
use crate::report::view::node_summary;
use crate::session::Session;

/// More failed items of one node than this are counted, not shown.
const ITEMS_MAX: usize = 5;

/// The failures and the line of counts. `since` is when this invocation began.
pub(crate) fn render(history: &History, env: &Session, since: Timestamp) -> String {
    let paint = env.stderr;
    let mut out = failures(history, env, paint);
    let has_no_failure = out.is_empty();
    if !has_no_failure {
        out.insert(0, '\n');
    }
    let status = history.outline.status;
    let word = match status {
        RunStatus::Succeeded => paint.good("succeeded"),
        RunStatus::Failed => paint.bad("failed"),
        other => paint.odd(other.name()),
    };
    let took = duration(millis_between(since, Timestamp::now()));
    let run = history.run();
    out.push_str(&format!("run {run} {word}: {} in {took}\n", counts(&history.state, status)));
    // Each failure tells it already.
    if has_no_failure && matches!(status, RunStatus::Interrupted | RunStatus::Failed) {
        let resume = env.command(&["resume", run.as_str()]);
        out.push_str(&format!("{} {resume}\n", paint.good("go on with:")));
    }
    out
}

/// All failures that stand, each in full.
pub(crate) fn failures(history: &History, env: &Session, paint: Paint) -> String {
    let state = &history.state;
    let mut out = String::new();
    for id in state.graph().ids() {
        let node = &state.graph().node(id).name;
        let next = || next(history, env);
        match (&state.node(id).tasks, &state.node(id).whole) {
            (Tasks::One(task), _) => {
                if let Phase::Failed(error) = &task.phase {
                    out.push_str(&failure_block::render(node, error, next().as_deref(), paint));
                }
            }
            (Tasks::Unresolved, Whole::Failed(error)) => {
                out.push_str(&failure_block::render(node, error, next().as_deref(), paint));
            }
            (Tasks::Items(_), Whole::Failed(error)) => {
                out.push_str(&items(state, id, paint));
                out.push_str(&failure_block::render(node, error, next().as_deref(), paint));
            }
            (Tasks::Items(_), Whole::Open) => out.push_str(&items(state, id, paint)),
            (Tasks::Unresolved | Tasks::Items(_), _) => {}
        }
    }
    out
}

/// The failed items of a node.
fn items(state: &RunState, id: flow_core::id::NodeId, paint: Paint) -> String {
    let failed: Vec<(String, Arc<StageError>)> = match &state.node(id).tasks {
        Tasks::Items(tasks) => (0..)
            .zip(tasks)
            .filter_map(|(index, task)| match &task.phase {
                Phase::Failed(error) => {
                    Some((name(&state.task_ref(TaskId::item(id, index))), error.clone()))
                }
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let mut out = String::new();
    for (name, error) in failed.iter().take(ITEMS_MAX) {
        out.push_str(&failure_block::render(name, error, None, paint));
    }
    if failed.len() > ITEMS_MAX {
        let names: Vec<&str> = failed[ITEMS_MAX..].iter().take(20).map(|(n, _)| &**n).collect();
        let more = failed.len() - ITEMS_MAX;
        out.push_str(&format!("  and {more} more: {}\n", clean(&names.join(", "))));
    }
    out
}

/// The command to go on after a failure.
fn next(history: &History, env: &Session) -> Option<String> {
    (history.outline.status != RunStatus::Running)
        .then(|| env.command(&["resume", history.run().as_str()]))
}

/// `3 succeeded (1 reused), 1 failed, 2 pending`.
fn counts(state: &RunState, status: RunStatus) -> String {
    let mut reused = 0;
    let mut by_word: Vec<(&str, usize)> =
        ["succeeded", "failed", "skipped", "cancelled", "running", "waiting", "pending"]
            .map(|word| (word, 0))
            .to_vec();
    for id in state.graph().ids().filter(|id| state.is_wanted(*id)) {
        let summary = node_summary(state, id, status);
        reused += usize::from(summary.reused);
        if let Some((_, number)) = by_word.iter_mut().find(|(word, _)| *word == summary.status) {
            *number += 1;
        }
    }
    let parts: Vec<String> = by_word
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(word, number)| match (*word, reused) {
            ("succeeded", 1..) => format!("{number} succeeded ({reused} reused)"),
            _ => format!("{number} {word}"),
        })
        .collect();
    if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
}
