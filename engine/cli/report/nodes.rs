//! The nodes of a run as rows of a table.

use flow_core::id::{NodeId, TaskId};
use flow_core::run::state::{Phase, Task, Tasks};

use super::human::{in_short, name};
use super::style::Paint;
use super::table::{self, Cell};
use super::text::{clean, count, cut, duration, used};
use super::view::{NodeSummary, node_summary, of_task, skip_reason};
use crate::history::History;

/// Columns of what is said of a node, at most.
const NOTE_MAX: usize = 120;

/// A table of nodes, with its titles.
pub(crate) fn table(
    history: &History,
    nodes: impl IntoIterator<Item = NodeId>,
    paint: Paint,
) -> String {
    let titles = ["", "NODE", "STATUS", "ATTEMPTS", "TIME", ""];
    let titles = titles.map(|word| Cell::painted(word, |text| paint.dim(text))).to_vec();
    let rows = nodes.into_iter().map(|id| node_row(history, id, paint));
    table::render(&std::iter::once(titles).chain(rows).collect::<Vec<_>>(), 0)
}

/// The row of a node.
pub(crate) fn node_row(history: &History, id: NodeId, paint: Paint) -> Vec<Cell> {
    let state = &history.state;
    let summary = node_summary(state, id, history.outline.status);
    let note = match summary.status {
        "succeeded" if summary.reused => "reused".to_owned(),
        "pending" => match state.blocked_by(id).as_slice() {
            [] => String::new(),
            by => {
                let names: Vec<&str> = by.iter().map(|n| &*state.graph().node(*n).name).collect();
                format!("blocked by {}", names.join(", "))
            }
        },
        "skipped" => clean(skip_reason(state, id).unwrap_or_default()),
        "failed" => summary.error.as_ref().map(|error| in_short(error)).unwrap_or_default(),
        _ => waiting_note(state.task(TaskId::whole(id))),
    };
    let items = match &state.node(id).tasks {
        Tasks::Items(tasks) => {
            let done = tasks.iter().filter(|t| matches!(t.phase, Phase::Succeeded(_))).count();
            format!("{done}/{}", count(tasks.len(), "item"))
        }
        _ => String::new(),
    };
    let used = used(state.node(id).usage);
    let note = [items, used, note].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    row(&state.graph().node(id).name, &summary, &note.join(", "), paint)
}

fn row(name: &str, summary: &NodeSummary, note: &str, paint: Paint) -> Vec<Cell> {
    let (symbol, color): (_, fn(Paint, &str) -> String) = match summary.status {
        "succeeded" => ("✔", Paint::good),
        "failed" => ("✘", Paint::bad),
        "running" => ("●", Paint::busy),
        "waiting" => ("↻", Paint::odd),
        "cancelled" => ("■", Paint::odd),
        "skipped" => ("↷", Paint::dim),
        _ => ("·", Paint::dim),
    };
    let attempts = if summary.attempts == 0 { String::new() } else { summary.attempts.to_string() };
    vec![
        Cell::painted(symbol, |text| color(paint, text)),
        Cell::plain(name),
        Cell::painted(summary.status, |text| color(paint, text)),
        Cell::plain(attempts),
        Cell::plain(summary.duration_ms.map(duration).unwrap_or_default()),
        Cell::painted(&cut(note, NOTE_MAX), |text| paint.dim(text)),
    ]
}

/// When a waiting task is tried again, and why it has to be.
fn waiting_note(task: Option<&Task>) -> String {
    match task {
        Some(Task { phase: Phase::Waiting { at, .. }, last_error, .. }) => {
            let why = last_error.as_ref().map(|error| format!(", after {}", in_short(error)));
            format!("next attempt at {at:.0}{}", why.unwrap_or_default())
        }
        _ => String::new(),
    }
}

/// The row of a task.
pub(crate) fn task_row(history: &History, id: TaskId, task: &Task, paint: Paint) -> Vec<Cell> {
    let summary = of_task(task, history.state.invocation(), history.outline.status);
    let note = match &task.phase {
        Phase::Succeeded(_) if summary.reused => "reused".to_owned(),
        Phase::Failed(error) => in_short(error),
        Phase::Skipped(reason) => clean(reason),
        _ => waiting_note(Some(task)),
    };
    let note = [used(task.usage), note].into_iter().filter(|part| !part.is_empty());
    let note = note.collect::<Vec<_>>().join(", ");
    row(&name(&history.state.task_ref(id)), &summary, &note, paint)
}
