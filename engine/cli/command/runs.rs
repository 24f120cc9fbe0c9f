//! `flow runs`: the runs of a store, newest first.

use std::time::Duration;

use flow_core::catalog::Catalog;
use flow_core::id::RunId;
use flow_core::store::{Listed, RunEntry, Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{RunStatus, RunsArgs};
use crate::failure::{Exit, Failure};
use crate::history::{History, Outline};
use crate::report::style::Paint;
use crate::report::table::{self, Cell};
use crate::report::text::{ago, clean, duration, millis_between};
use crate::report::{tell, view};
use crate::session::Session;

/// Notes of another form, or of another version of `flow`, are not read.
const NOTE_FORM: &str = concat!(env!("CARGO_PKG_VERSION"), "/1");

/// Notes are for quick lists: a run with more to tell than this many bytes is read again.
const NOTE_MAX: usize = 16 * 1024;

/// So many nodes of a run that failed are named.
const FAILED_MAX: usize = 3;

/// What the list tells of a run; it is noted once the run has ended.
#[derive(Serialize, Deserialize)]
struct Row {
    form: String,
    run: RunId,
    workflow: String,
    status: RunStatus,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// Names of nodes.
    failed: Vec<String>,
    /// The object of the run without its nodes as text, where JSON was asked for.
    object: Option<String>,
}

pub(crate) fn run(args: &RunsArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let now = Timestamp::now();
    let rows = rows(args, store.as_ref(), env, now)?;
    if env.json {
        let objects: Vec<&str> = rows.iter().filter_map(|row| row.object.as_deref()).collect();
        env.out.line(&format!("[{}]", objects.join(",")));
    } else if rows.is_empty() {
        tell("no runs\n");
    } else {
        env.out.write(table::render(&cells(&rows, env.stdout, now), 0).as_bytes());
    }
    Ok(Exit::SUCCEEDED)
}

/// The wanted runs, newest first. A run that cannot be read is told and left out.
fn rows(
    args: &RunsArgs,
    store: &dyn Store,
    env: &Session,
    now: Timestamp,
) -> Result<Vec<Row>, Failure> {
    let since = args.last.map(|span| begin(now, span));
    let catalog = env.catalog();
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for Listed { entry, stamp, note } in store.listed()?.into_iter().rev() {
        if since.is_some_and(|since| entry.created_at < since) {
            continue;
        }
        let noted = note.and_then(|note| noted(&note, env.json));
        let row = match noted.map_or_else(|| read(store, &entry, &catalog, env.json), Ok) {
            Ok((row, is_final)) => {
                if let Some(stamp) = stamp.filter(|_| is_final) {
                    notes.extend(note_of(&row).map(|text| (entry.id, stamp, text)));
                }
                row
            }
            // It may have been removed since the list was read.
            Err(StoreError::NoRun(_)) => continue,
            Err(error) => {
                let word = env.stderr.odd("warning");
                tell(&format!("{word}: run {} is left out: {error}\n", entry.id));
                continue;
            }
        };
        let status = args.status.is_none_or(|status| status == row.status);
        let workflow = args.workflow.as_ref().is_none_or(|name| *name == row.workflow);
        if status && workflow {
            found.push(row);
        }
    }
    store.note(&notes);
    Ok(found)
}

/// What was noted, and that it need not be noted again.
fn noted(text: &str, with_object: bool) -> Option<(Row, bool)> {
    let row: Row = serde_json::from_str(text).ok()?;
    let serves = row.form == NOTE_FORM && (row.object.is_some() || !with_object);
    serves.then_some((row, false))
}

fn note_of(row: &Row) -> Option<String> {
    serde_json::to_string(row).ok().filter(|text| text.len() <= NOTE_MAX)
}

fn begin(now: Timestamp, span: Duration) -> Timestamp {
    now.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// A run as its records tell it, and whether that holds until more is recorded.
fn read(
    store: &dyn Store,
    entry: &RunEntry,
    catalog: &Catalog,
    with_object: bool,
) -> Result<(Row, bool), StoreError> {
    let run = &entry.id;
    let holder = store.holder(run)?;
    let records = store.read_run(run)?;
    let mut outline = Outline::of(run, &records, holder.as_deref());
    if outline.may_wait
        && let Ok(history) = History::read(store, run, catalog)
    {
        outline.status = history.outline.status;
    }
    outline.started_at = outline.started_at.or(Some(entry.created_at));
    let object = with_object.then(|| object(store, &outline, catalog));
    let has_all = object.as_ref().is_none_or(|object| !object["outputs"].is_null());
    let is_final = outline.finished_at.is_some() && has_all;
    Ok((row(outline, object), is_final))
}

fn row(outline: Outline, object: Option<Value>) -> Row {
    Row {
        form: NOTE_FORM.into(),
        run: outline.run,
        workflow: outline.workflow,
        status: outline.status,
        started_at: outline.started_at,
        finished_at: outline.finished_at,
        failed: outline.failures.iter().map(|(node, _)| node.to_string()).collect(),
        object: object.map(|object| object.to_string()),
    }
}

/// The object of a run without its nodes. Outputs need the recorded workflow; a run whose workflow
/// this version does not accept is listed without them.
fn object(store: &dyn Store, outline: &Outline, catalog: &Catalog) -> Value {
    let history = History::read(store, &outline.run, catalog);
    let outputs = history.map_or_else(|_| json!({}), |history| view::outputs(&history, store));
    Value::Object(view::outline(outline, outputs))
}

fn cells(rows: &[Row], paint: Paint, now: Timestamp) -> Vec<Vec<Cell>> {
    let head = ["", "RUN", "WORKFLOW", "STATUS", "STARTED", "TIME", ""];
    let head = head.map(|word| Cell::painted(word, |text| paint.dim(text))).to_vec();
    let cells = |row: &Row| {
        let (symbol, color): (_, fn(Paint, &str) -> String) = symbol(row.status);
        let started = row.started_at.map(|at| ago(at, now)).unwrap_or_default();
        let end = match row.status {
            RunStatus::Running => Some(now),
            _ => row.finished_at,
        };
        let took = row.started_at.zip(end).map(|(from, to)| duration(millis_between(from, to)));
        let failed = failed(&row.failed);
        vec![
            Cell::painted(symbol, |text| color(paint, text)),
            Cell::plain(row.run.as_str()),
            Cell::plain(clean(&row.workflow)),
            Cell::painted(row.status.name(), |text| color(paint, text)),
            Cell::plain(started),
            Cell::plain(took.unwrap_or_default()),
            Cell::painted(&failed, |text| paint.dim(text)),
        ]
    };
    std::iter::once(head).chain(rows.iter().map(cells)).collect()
}

/// The nodes that failed; of many, the first.
fn failed(names: &[String]) -> String {
    let shown = names.iter().take(FAILED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => shown,
        1..=FAILED_MAX => format!("failed: {shown}"),
        more => format!("failed: {shown} and {} more", more - FAILED_MAX),
    }
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
