//! `flow runs`: the runs of a store, newest first.

use std::time::Duration;

use flow_core::catalog::Catalog;
use flow_core::store::{Store, StoreError};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::args::{RunStatus, RunsArgs};
use crate::failure::{Exit, Failure};
use crate::history::{History, Outline};
use crate::report::style::Paint;
use crate::report::table::{self, Cell};
use crate::report::text::{ago, clean, duration, millis_between};
use crate::report::{tell, view};
use crate::session::Session;

pub(crate) fn run(args: &RunsArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let now = Timestamp::now();
    let outlines = outlines(args, store.as_ref(), env, now)?;
    if env.json {
        let catalog = env.catalog();
        let list: Vec<Value> =
            outlines.iter().map(|outline| object(store.as_ref(), outline, &catalog)).collect();
        env.out.line(&Value::Array(list).to_string());
    } else if outlines.is_empty() {
        tell("no runs\n");
    } else {
        env.out.write(table::render(&rows(&outlines, env.stdout, now), 0).as_bytes());
    }
    Ok(Exit::SUCCEEDED)
}

/// The wanted runs, newest first. A run that cannot be read is told and left out.
fn outlines(
    args: &RunsArgs,
    store: &dyn Store,
    env: &Session,
    now: Timestamp,
) -> Result<Vec<Outline>, Failure> {
    let since = args.last.map(|span| begin(now, span));
    let catalog = env.catalog();
    let mut found = Vec::new();
    for entry in store.runs()?.into_iter().rev() {
        if since.is_some_and(|since| entry.created_at < since) {
            continue;
        }
        match read(store, &entry.id, &catalog) {
            Ok(mut outline) => {
                outline.started_at = outline.started_at.or(Some(entry.created_at));
                let status = args.status.is_none_or(|status| status == outline.status);
                let workflow = args.workflow.as_ref().is_none_or(|name| *name == outline.workflow);
                if status && workflow {
                    found.push(outline);
                }
            }
            // It may have been removed since the list was read.
            Err(StoreError::NoRun(_)) => {}
            Err(error) => {
                let word = env.stderr.odd("warning");
                tell(&format!("{word}: run {} is left out: {error}\n", entry.id));
            }
        }
    }
    Ok(found)
}

fn begin(now: Timestamp, span: Duration) -> Timestamp {
    now.checked_sub(span).unwrap_or(Timestamp::MIN)
}

fn read(
    store: &dyn Store,
    run: &flow_core::id::RunId,
    catalog: &Catalog,
) -> Result<Outline, StoreError> {
    let holder = store.holder(run)?;
    let records = store.read_run(run)?;
    let mut outline = Outline::of(run, &records, holder.as_deref());
    if outline.may_wait
        && let Ok(history) = History::read(store, run, catalog)
    {
        outline.status = history.outline.status;
    }
    Ok(outline)
}

/// The object of a run without its nodes. Outputs need the recorded workflow; a run whose workflow
/// this version does not accept is listed without them.
fn object(store: &dyn Store, outline: &Outline, catalog: &Catalog) -> Value {
    let history = History::read(store, &outline.run, catalog);
    let outputs = history.map_or_else(|_| json!({}), |history| view::outputs(&history, store));
    Value::Object(view::outline(outline, outputs))
}

fn rows(outlines: &[Outline], paint: Paint, now: Timestamp) -> Vec<Vec<Cell>> {
    let head = ["", "RUN", "WORKFLOW", "STATUS", "STARTED", "TIME", ""];
    let head = head.map(|word| Cell::painted(word, |text| paint.dim(text))).to_vec();
    let row = |outline: &Outline| {
        let (symbol, color): (_, fn(Paint, &str) -> String) = symbol(outline.status);
        let started = outline.started_at.map(|at| ago(at, now)).unwrap_or_default();
        let end = match outline.status {
            RunStatus::Running => Some(now),
            _ => outline.finished_at,
        };
        let took = outline.started_at.zip(end).map(|(from, to)| duration(millis_between(from, to)));
        let failed: Vec<&str> = outline.failures.iter().map(|(node, _)| &**node).collect();
        let failed = if failed.is_empty() {
            String::new()
        } else {
            format!("failed: {}", failed.join(", "))
        };
        vec![
            Cell::painted(symbol, |text| color(paint, text)),
            Cell::plain(outline.run.as_str()),
            Cell::plain(clean(&outline.workflow)),
            Cell::painted(outline.status.name(), |text| color(paint, text)),
            Cell::plain(started),
            Cell::plain(took.unwrap_or_default()),
            Cell::painted(&failed, |text| paint.dim(text)),
        ]
    };
    std::iter::once(head).chain(outlines.iter().map(row)).collect()
}

/// The symbol of a status and how it is painted.
fn symbol(status: RunStatus) -> (&'static str, fn(Paint, &str) -> String) {
    match status {
        RunStatus::Succeeded => ("✔", Paint::good),
        RunStatus::Failed => ("✘", Paint::bad),
        RunStatus::Running => ("●", Paint::busy),
        RunStatus::Interrupted | RunStatus::Cancelled => ("■", Paint::odd),
        RunStatus::Waiting => ("↻", Paint::odd),
    }
}
