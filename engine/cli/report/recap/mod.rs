//! The recap at the end of an invocation: what came of each node, what took long, what was odd.

mod path;

use flow_core::call::Usage;
use flow_core::id::NodeId;
use flow_core::run::event::{Event, TaskRef, Warning};
use flow_core::run::state::Tasks;
use flow_core::run::{Recorded, RunState};
use jiff::Timestamp;

use super::human::name;
use super::nodes;
use super::passed_over::PassedOver;
use super::style::Paint;
use super::text::{clean, count, cut, duration, millis_between, used};
use super::view::node_summary;
use crate::history::History;

/// A run of fewer nodes needs no recap: one look shows all of it.
const NODES_MIN: usize = 3;

/// Up to so many nodes each get a row.
const NODES_MAX: usize = 24;

/// Of more nodes, so many that did not simply succeed get one.
const ODD_MAX: usize = 10;

/// Warnings that are told again.
const WARNINGS_MAX: usize = 5;

/// Tasks of the critical path that are named.
const PATH_MAX: usize = 8;

/// Slowest nodes that are named.
const SLOW_MAX: usize = 3;

/// An invocation that took less has nothing that is worth being made faster.
const WORTH_MS: u64 = 1_000;

/// What the records of an invocation tell beside the state that they fold into.
#[derive(Default)]
pub(crate) struct Recap {
    /// Attempts that followed a failed one.
    retries: usize,
    /// Calls of remote services that were made again within an attempt.
    calls: usize,
    warnings: Vec<(TaskRef, Warning)>,
    /// When the first and the last record were made.
    span: Option<(Timestamp, Timestamp)>,
    /// What calls of remote services used, in attempts that failed too.
    usage: Usage,
    passed_over: PassedOver,
}

impl Recap {
    /// Takes in the next record: what happened before the run was last taken up does not count.
    pub(crate) fn take(&mut self, recorded: &Recorded) {
        self.passed_over.take(&recorded.event);
        let begun = self.span.map_or(recorded.ts, |(begun, _)| begun);
        self.span = Some((begun, recorded.ts));
        match &recorded.event {
            Event::RunStarted { .. } | Event::RunResumed { .. } => {
                *self = Self { span: Some((recorded.ts, recorded.ts)), ..Self::default() };
            }
            Event::RetryScheduled { .. } => self.retries += 1,
            Event::CallRetried { .. } => self.calls += 1,
            Event::AttemptFailed { usage, .. } => self.usage.add(*usage),
            Event::Succeeded { task, warnings, usage, .. } => {
                self.usage.add(*usage);
                let warnings = warnings.iter().map(|warning| (task.clone(), warning.clone()));
                self.warnings.extend(warnings);
            }
            _ => {}
        }
    }

    /// The recap as lines; empty where there is nothing to look back on.
    pub(crate) fn render(&self, history: &History, paint: Paint) -> String {
        let state = &history.state;
        let wanted: Vec<NodeId> = state.graph().ids().filter(|id| state.is_wanted(*id)).collect();
        let mut out = String::new();
        if wanted.len() >= NODES_MIN {
            out = format!("\n{}", table(history, &wanted, paint));
            out.push_str(&self.notes(state, wanted.len(), paint));
        }
        if !self.usage.is_nothing() {
            out.push_str(&labelled("used", &used(self.usage), paint));
        }
        let passed_over = self.passed_over.told();
        if !passed_over.is_empty() {
            out.push_str(&labelled("providers", &passed_over, paint));
        }
        out.push_str(&self.warned(paint));
        out
    }

    /// What took long, and what was tried again.
    fn notes(&self, state: &RunState, nodes: usize, paint: Paint) -> String {
        let mut out = String::new();
        let mut row = |label: &str, text: String| out.push_str(&labelled(label, &text, paint));
        // No path is longer than all of it.
        let took = self.span.map_or(0, |(from, to)| millis_between(from, to));
        let critical = if took < WORTH_MS { path::Path::default() } else { path::critical(state) };
        let is_worth_it = critical.ms >= WORTH_MS;
        if is_worth_it && nodes > NODES_MAX {
            row("slowest", slowest(state));
        }
        if is_worth_it && critical.tasks.len() > 1 {
            row("critical path", chain(state, &critical));
        }
        let again = [(self.retries, "attempt"), (self.calls, "call")];
        let again = again.into_iter().filter(|(number, _)| *number > 0);
        let again: Vec<String> = again.map(|(number, noun)| count(number, noun)).collect();
        if !again.is_empty() {
            row("retried", format!("{} after a failure", again.join(", ")));
        }
        out
    }

    /// The first warnings again.
    fn warned(&self, paint: Paint) -> String {
        let line = |(task, warning): &(TaskRef, Warning)| {
            let words = clean(&format!("{task}: {}", warning.message));
            format!("{} {words}\n", paint.odd("warning:"))
        };
        let mut out: String = self.warnings.iter().take(WARNINGS_MAX).map(line).collect();
        if self.warnings.len() > WARNINGS_MAX {
            let more = count(self.warnings.len() - WARNINGS_MAX, "more warning");
            out.push_str(&format!("{} {more}\n", paint.odd("warning:")));
        }
        out
    }
}

fn labelled(label: &str, text: &str, paint: Paint) -> String {
    format!("{} {text}\n", paint.dim(&format!("{label:<13}")))
}

/// A row for each of a few nodes; of many, for those that did not simply succeed.
fn table(history: &History, wanted: &[NodeId], paint: Paint) -> String {
    if wanted.len() <= NODES_MAX {
        return nodes::table(history, wanted.iter().copied(), paint);
    }
    let is_odd = |id: &&NodeId| {
        let summary = node_summary(&history.state, **id, history.outline.status);
        let tasks = match &history.state.node(**id).tasks {
            Tasks::Items(items) => items.len(),
            _ => 1,
        };
        !matches!(summary.status, "succeeded" | "pending") || summary.attempts as usize > tasks
    };
    let mut odd = wanted.iter().filter(is_odd);
    let shown: Vec<NodeId> = odd.by_ref().take(ODD_MAX).copied().collect();
    let more = odd.count();
    if shown.is_empty() {
        return String::new();
    }
    let mut out = nodes::table(history, shown, paint);
    if more > 0 {
        out.push_str(
            &paint.dim(&format!("… and {more} more that were tried again or did not run\n")),
        );
    }
    out
}

/// The nodes whose tasks took longest: `assemble 34.0 s · narrate 12.1 s in 40 items`.
fn slowest(state: &RunState) -> String {
    let mut all: Vec<(u64, NodeId, usize)> = state
        .graph()
        .ids()
        .map(|id| {
            let invocation = state.invocation();
            match &state.node(id).tasks {
                Tasks::One(task) => (path::spent(task, invocation), id, 0),
                Tasks::Unresolved => (0, id, 0),
                Tasks::Items(items) => {
                    (items.iter().map(|task| path::spent(task, invocation)).sum(), id, items.len())
                }
            }
        })
        .filter(|(ms, _, _)| *ms > 0)
        .collect();
    all.sort_by_key(|(ms, id, _)| (std::cmp::Reverse(*ms), *id));
    let words = all.iter().take(SLOW_MAX).map(|(ms, id, items)| {
        let name = &state.graph().node(*id).name;
        match items {
            0 => format!("{name} {}", duration(*ms)),
            items => format!("{name} {} in {}", duration(*ms), count(*items, "item")),
        }
    });
    words.collect::<Vec<_>>().join(" · ")
}

/// `slate 1.0 s → narrate[a] 12.0 s → assemble[a] 20.1 s: 33.1 s`
fn chain(state: &RunState, path: &path::Path) -> String {
    let whole = path.tasks.len();
    let shown = path.tasks.iter().enumerate().filter(|(place, _)| {
        // Of a long one both ends are shown.
        whole <= PATH_MAX || *place < PATH_MAX / 2 || *place >= whole - PATH_MAX / 2
    });
    let mut words: Vec<String> = Vec::new();
    for (place, id) in shown {
        let ms = state.task(*id).map_or(0, |task| path::spent(task, state.invocation()));
        if whole > PATH_MAX && place == whole - PATH_MAX / 2 {
            words.push(format!("… {} more …", whole - PATH_MAX / 2 * 2));
        }
        words.push(format!("{} {}", cut(&name(&state.task_ref(*id)), 40), duration(ms)));
    }
    format!("{}: {}", words.join(" → "), duration(path.ms))
}
