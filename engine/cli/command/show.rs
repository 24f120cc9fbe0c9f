//! `flow show`: the states, attempts, timings, errors and outputs of a run.

use std::mem::ManuallyDrop;

use flow_core::id::TaskId;
use flow_core::run::event::Outputs;
use flow_core::run::state::{Phase, Tasks};
use flow_core::store::Store;
use jiff::Timestamp;
use serde_json::Value;

use crate::args::{RunStatus, ShowArgs};
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::report::human::name;
use crate::report::style::Paint;
use crate::report::table::{self, Cell};
use crate::report::text::{ago, bytes, clean, count, duration, millis_between, used};
use crate::report::view::{part, value_of};
use crate::report::{failure_block, nodes, summary, view};
use crate::session::{Session, find_run};
use crate::target::{self, Target};

/// Values up to this many characters are shown beside their port.
const VALUE_MAX: usize = 60;

pub(crate) fn run(args: &ShowArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    // The process ends with this: to give back piece by piece what a large run takes costs time only.
    let history = ManuallyDrop::new(History::read(store.as_ref(), &run, &env.catalog())?);
    let target = args.node.as_deref().map(|node| target::node(&history.state, node)).transpose()?;
    let text = match (target, env.json) {
        (None, true) => format!("{}\n", view::run(&history, store.as_ref())),
        (Some(at), true) => format!("{}\n", part(&history, store.as_ref(), at.node, at.item)),
        (None, false) => whole(&history, env),
        (Some(at), false) => one(&history, env, store.as_ref(), at),
    };
    env.out.write(text.as_bytes());
    Ok(Exit::SUCCEEDED)
}

/// A run: its head, a row for each node, failures in full, and how to go on.
fn whole(history: &History, env: &Session) -> String {
    let paint = env.stdout;
    let mut out = head(history, paint);
    if !history.state.graph().nodes().is_empty() {
        out.push('\n');
        out.push_str(&nodes::table(history, history.state.graph().ids(), paint));
    }
    let failures = summary::failures(history, env, paint);
    if !failures.is_empty() {
        out.push('\n');
        out.push_str(&failures);
    } else if history.outline.status == RunStatus::Interrupted {
        let resume = env.command(&["resume", history.run().as_str()]);
        out.push_str(&format!("\n{} {resume}\n", paint.good("go on with:")));
    }
    out
}

fn head(history: &History, paint: Paint) -> String {
    let outline = &history.outline;
    let now = Timestamp::now();
    let status = outline.status.name();
    let status = match outline.status {
        RunStatus::Succeeded => paint.good(status),
        RunStatus::Failed => paint.bad(status),
        RunStatus::Running => paint.busy(status),
        _ => paint.odd(status),
    };
    let mut out = format!("run {} {status}\n", paint.strong(outline.run.as_str()));
    let mut row = |label: &str, text: String| {
        out.push_str(&format!("  {} {text}\n", paint.dim(&format!("{label:<9}"))));
    };
    row(
        "workflow",
        format!("{} ({})", clean(&outline.workflow), history.manifest.workflow_path.display()),
    );
    if let Some(at) = outline.started_at {
        let end = outline.finished_at.or((outline.status == RunStatus::Running).then_some(now));
        let took = end.map(|end| format!(", {}", duration(millis_between(at, end))));
        row("started", format!("{at:.0} ({}){}", ago(at, now), took.unwrap_or_default()));
    }
    if let Some(holder) = history.holder.as_ref().filter(|_| history.end().is_none()) {
        row("held by", clean(holder));
    }
    let (hits, misses) = (outline.cache_hits, outline.cache_misses);
    if hits + misses > 0 {
        row("cache", hit_rate(hits, misses));
    }
    if !outline.usage.is_nothing() {
        row("used", used(outline.usage));
    }
    let passed_over = &outline.passed_over;
    for (label, told) in [("providers", passed_over.told()), ("no key", passed_over.without_key())]
    {
        if !told.is_empty() {
            row(label, told);
        }
    }
    if let Value::Object(params) = &outline.params {
        for (name, value) in params {
            row("param", format!("{name} = {}", short_value(value)));
        }
    }
    out
}

/// How many results were taken from other runs, of those that were looked for.
fn hit_rate(hits: usize, misses: usize) -> String {
    let looked = hits + misses;
    format!(
        "{hits} of {} taken from other runs ({} %)",
        count(looked, "result"),
        100 * hits / looked
    )
}

/// One node or item: its row, its items, its outputs, its failure.
fn one(history: &History, env: &Session, store: &dyn Store, at: Target) -> String {
    let paint = env.stdout;
    let state = &history.state;
    let id = TaskId { node: at.node, item: at.item };
    let mut rows = Vec::new();
    match (state.task(id), at.item) {
        (Some(task), Some(_)) => rows.push(nodes::task_row(history, id, task, paint)),
        _ => rows.push(nodes::node_row(history, at.node, paint)),
    }
    if let (Tasks::Items(tasks), None) = (&state.node(at.node).tasks, at.item) {
        for (index, task) in (0..).zip(tasks) {
            rows.push(nodes::task_row(history, TaskId::item(at.node, index), task, paint));
        }
    }
    let mut out = table::render(&rows, 0);
    let Some(task) = state.task(id) else { return out };
    match &task.phase {
        Phase::Succeeded(done) => {
            out.push_str(&format!("  {} {}\n", paint.dim("key      "), done.key));
            out.push_str(&outputs(history, store, &done.outputs, paint));
        }
        Phase::Failed(error) => {
            let next = env.command(&["resume", history.run().as_str()]);
            out.push('\n');
            let name = name(&state.task_ref(id));
            out.push_str(&failure_block::render(&name, error, Some(&next), paint));
        }
        _ => {}
    }
    out
}

fn outputs(history: &History, store: &dyn Store, outputs: &Outputs, paint: Paint) -> String {
    let row = |(port, payload): (&String, &flow_core::payload::PayloadRef)| {
        let what = match &payload.artifact {
            Some(artifact) => clean(&artifact.name),
            None => value_of(store, history.run(), payload)
                .map(|value| short_value(&value))
                .unwrap_or_default(),
        };
        vec![
            Cell::painted("output", |text| paint.dim(text)),
            Cell::plain(port),
            Cell::painted(&payload.ty, |text| paint.dim(text)),
            Cell::plain(bytes(payload.size)),
            Cell::plain(what),
        ]
    };
    table::render(&outputs.iter().map(row).collect::<Vec<_>>(), 2)
}

/// A value in a few words.
fn short_value(value: &Value) -> String {
    if let Some(artifact) = flow_core::payload::Artifact::from_json(value) {
        return format!("{} ({})", clean(&artifact.name), bytes(artifact.size));
    }
    let text = clean(&value.to_string());
    if text.chars().count() <= VALUE_MAX {
        return text;
    }
    let head: String = text.chars().take(VALUE_MAX).collect();
    format!("{head}…")
}
