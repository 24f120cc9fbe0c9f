//! The end of an invocation: a recap, the failures again, and one line of counts.

use flow_core::id::{NodeId, TaskId};
use flow_core::run::RunState;
use flow_core::run::state::{Phase, Task, Tasks, Whole};
use jiff::Timestamp;

use super::human::name;
use super::recap::Recap;
use super::text::{clean, duration, millis_between};
use super::{failure_block, style::Paint};
use crate::args::RunStatus;
use crate::history::History;
use crate::report::view::node_summary;
use crate::session::{Session, Verbosity};

/// More failed items of one node than this are counted, not shown.
const ITEMS_MAX: usize = 5;

/// The recap, the failures, and the line of counts. `since` is when this invocation began.
pub(crate) fn render(
    history: &History,
    env: &Session,
    since: Timestamp,
    recap: Option<&Recap>,
) -> String {
    let paint = env.stderr;
    let recap = recap.filter(|_| env.verbosity > Verbosity::Quiet);
    let mut out = recap.map(|recap| recap.render(history, paint)).unwrap_or_default();
    let failures = failures(history, env, paint);
    if !failures.is_empty() {
        out.push_str(&format!("\n{failures}\n"));
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
    for (question, command) in questions(history, env) {
        out.push_str(&format!("{question}\n  {} {command}\n", paint.good("answer:")));
    }
    // The failure of a node tells it already.
    let told = !history.outline.failures.is_empty();
    if !told && matches!(status, RunStatus::Interrupted | RunStatus::Failed | RunStatus::Waiting) {
        let resume = env.command(&["resume", run.as_str()]);
        out.push_str(&format!("{} {resume}\n", paint.good("go on with:")));
    }
    out
}

/// What nodes of the run ask, each with the command that answers.
fn questions(history: &History, env: &Session) -> Vec<(String, String)> {
    let state = &history.state;
    let asked = state.awaiting().filter_map(|task| {
        let question = state.awaited(task)?.question.as_ref()?;
        let task = state.task_ref(task);
        let command = env.prompt().answer(history.run().as_str(), &task, question);
        Some((format!("{} asks: {}", name(&task), clean(&question.message)), command))
    });
    asked.take(ITEMS_MAX).collect()
}

/// All failures that stand, each in full.
pub(crate) fn failures(history: &History, env: &Session, paint: Paint) -> String {
    let state = &history.state;
    let next = next(history, env);
    let mut blocks = Vec::new();
    for id in state.graph().ids() {
        // What the run or a finished node accepted is no failure of the run.
        if state.graph().node(id).optional {
            continue;
        }
        let whole = match (&state.node(id).tasks, &state.node(id).whole) {
            (Tasks::One(Task { phase: Phase::Failed(error) | Phase::Unknown(error), .. }), _) => {
                Some(error)
            }
            (Tasks::Unresolved | Tasks::Items(_), Whole::Failed(error)) => Some(error),
            _ => None,
        };
        if whole.is_some() || state.node(id).whole == Whole::Open {
            items(state, id, paint, &mut blocks);
        }
        let name = &state.graph().node(id).name;
        blocks
            .extend(whole.map(|error| failure_block::render(name, error, next.as_deref(), paint)));
    }
    blocks.join("\n")
}

/// Adds a block for each failed item of a node, up to a number that can still be read.
fn items(state: &RunState, id: NodeId, paint: Paint, blocks: &mut Vec<String>) {
    let Tasks::Items(tasks) = &state.node(id).tasks else { return };
    let mut left_out = Vec::new();
    let mut shown = 0;
    for (index, task) in (0..).zip(tasks) {
        let (Phase::Failed(error) | Phase::Unknown(error)) = &task.phase else { continue };
        let name = name(&state.task_ref(TaskId::item(id, index)));
        if shown < ITEMS_MAX {
            shown += 1;
            blocks.push(failure_block::render(&name, error, None, paint));
        } else {
            left_out.push(name);
        }
    }
    if !left_out.is_empty() {
        let names = left_out.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
        blocks.push(format!("  and {} more: {names}\n", left_out.len()));
    }
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
        ["succeeded", "failed", "unknown", "skipped", "cancelled", "running", "waiting", "pending"]
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
