//! How the outlook is told.

use serde_json::{Value, json};

use super::Planned;
use super::outlook::{Act, Fate, Outlook, Row};
use crate::compare::Cost;
use crate::report::human::name;
use crate::report::style::Paint;
use crate::report::table::{self, Cell};
use crate::report::text::{clean, count};

/// So many items of a node are told one by one, where they come to different things.
const ITEMS_MAX: usize = 20;

/// All acts, as they are counted.
const ACTS: [(Act, &str); 6] = [
    (Act::Run, "run"),
    (Act::Reuse, "reused"),
    (Act::Unknown, "unknown"),
    (Act::Skip, "skipped"),
    (Act::Wait, "waiting"),
    (Act::Fail, "failing"),
];

/// The outlook as an object.
pub(super) fn object(planned: &Planned, outlook: &Outlook) -> Value {
    let (cost, unknown) = outlook.cost();
    let mut summary: serde_json::Map<String, Value> =
        ACTS.iter().map(|(act, word)| ((*word).to_owned(), json!(outlook.number(*act)))).collect();
    summary.insert("cost_ms".into(), json!(cost.ms));
    summary.insert("cost_usd".into(), json!(cost.usage.usd));
    summary.insert("without_cost".into(), json!(unknown));
    let nodes: Vec<Value> = outlook.rows.iter().map(|row| node(planned, row)).collect();
    json!({
        "workflow": planned.graph.name(),
        "file": planned.manifest.workflow_path,
        "run": planned.run,
        "nodes": nodes,
        "summary": summary,
    })
}

fn node(planned: &Planned, row: &Row) -> Value {
    let node = planned.graph.node(row.node);
    let mut object = fate(&row.fate);
    object["id"] = json!(node.name);
    object["stage"] = json!(node.work.stage.spec().name);
    let item = |(task, known): &(flow_core::run::event::TaskRef, Fate)| {
        let mut object = fate(known);
        let item = task.item.as_ref();
        object["key"] = json!(item.map(|item| &item.key));
        object["index"] = json!(item.map(|item| item.index));
        object
    };
    object["items"] = row.items.iter().map(item).collect();
    object
}

fn fate(fate: &Fate) -> Value {
    json!({
        "action": fate.act.name(),
        "reason": { "code": fate.code, "text": fate.reason },
        "from": fate.from.as_ref().map(|(run, at)| {
            json!({ "run": run, "made_at": at.map(|at| at.to_string()) })
        }),
        "depends_on": fate.depends_on,
        "cost_ms": fate.cost.map(|cost| cost.ms),
        "cost_usd": fate.cost.as_ref().and_then(Cost::usd),
    })
}

/// The outlook for people.
pub(super) fn text(planned: &Planned, outlook: &Outlook, paint: Paint) -> String {
    let workflow = paint.strong(&clean(planned.graph.name()));
    let mut out = match &planned.run {
        Some(run) => format!("what a resume of run {run} of {workflow} would do\n"),
        None => format!("what a run of {workflow} would do\n"),
    };
    let mut rows = Vec::new();
    for row in &outlook.rows {
        rows.push(cells(&planned.graph.node(row.node).name, &row.fate, paint));
        let differ = row.items.iter().any(|(_, fate)| fate.act != row.fate.act);
        let shown = if differ { ITEMS_MAX } else { 0 };
        for (task, fate) in row.items.iter().take(shown) {
            rows.push(cells(&name(task), fate, paint));
        }
        if differ && row.items.len() > shown {
            let more = count(row.items.len() - shown, "more item");
            rows.push(vec![Cell::default(), Cell::plain(format!("and {more}"))]);
        }
    }
    out.push_str(&table::render(&rows, 0));
    out.push_str(&summary(outlook));
    out
}

fn cells(name: &str, fate: &Fate, paint: Paint) -> Vec<Cell> {
    let (symbol, color): (_, fn(Paint, &str) -> String) = match fate.act {
        Act::Run => ("▶", Paint::busy),
        Act::Reuse => ("✔", Paint::good),
        Act::Unknown => ("?", Paint::odd),
        Act::Skip => ("↷", Paint::dim),
        Act::Wait => ("↻", Paint::odd),
        Act::Fail => ("✘", Paint::bad),
    };
    let cost = fate.cost.filter(|_| fate.act == Act::Run);
    let cost = cost.as_ref().map(Cost::in_short).unwrap_or_default();
    vec![
        Cell::painted(symbol, |text| color(paint, text)),
        Cell::plain(clean(name)),
        Cell::painted(fate.act.name(), |text| color(paint, text)),
        Cell::plain(cost),
        Cell::painted(&fate.reason, |text| paint.dim(text)),
    ]
}

/// `2 run, 3 reused, 1 unknown`, and what that takes by past durations.
fn summary(outlook: &Outlook) -> String {
    let numbers: Vec<String> = ACTS
        .iter()
        .enumerate()
        .map(|(at, (act, word))| (at, outlook.number(*act), word))
        // The first three are always told.
        .filter(|(at, number, _)| *at < 3 || *number > 0)
        .map(|(_, number, word)| format!("{number} {word}"))
        .collect();
    let mut line = numbers.join(", ");
    let (cost, unknown) = outlook.cost();
    if outlook.number(Act::Run) > unknown {
        line.push_str(&format!("; about {} of work, by what it took in the past", cost.in_short()));
        if unknown > 0 {
            line.push_str(&format!(", {} without", count(unknown, "node")));
        }
    }
    line.push('\n');
    line
}
