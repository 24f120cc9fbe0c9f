//! How the answer is told.

use flow_core::id::RunId;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{Answer, REUSED};
use crate::compare::{Cost, Told};
use crate::report::human::{in_short, name};
use crate::report::table::{self, Cell};
use crate::report::text::{ago, clean, count, used};
use crate::report::view::usage;
use crate::session::Session;

/// So many parts that differ are told in full.
const CHANGES_MAX: usize = 8;

/// The answer as an object.
pub(super) fn object(run: &RunId, answer: &Answer) -> Value {
    let attempts: Vec<Value> = answer
        .failures
        .iter()
        .map(|(attempt, error)| json!({ "attempt": attempt, "error": error }))
        .collect();
    json!({
        "run": run,
        "node": answer.task.node,
        "item": answer.task.item.as_ref().map(|item| &item.key),
        "status": answer.status,
        "verdict": answer.verdict.replace(' ', "_"),
        "reason": { "code": answer.code, "text": answer.reason },
        "compared_with": answer.compared.as_ref().map(|(other, at)| {
            json!({ "run": other, "same_run": other == run, "at": at.to_string() })
        }),
        "changes": answer.changes.iter().map(Told::json).collect::<Vec<_>>(),
        "unchanged": answer.unchanged,
        "notes": answer.notes,
        "attempts": answer.attempts,
        "failures": attempts,
        "duration_ms": answer.took_ms,
        "usage": usage(answer.usage),
        "previous_duration_ms": answer.cost_before.map(|cost| cost.ms),
        "previous_usage": answer.cost_before.map(|cost| usage(cost.usage)),
        "blocked_by": answer.blocked_by,
    })
}

/// The answer for people.
pub(super) fn one(env: &Session, run: &RunId, answer: &Answer) -> String {
    let paint = env.stdout;
    let task = paint.strong(&name(&answer.task));
    let mut out = format!("{task} {} in run {run}: {}\n", answer.verdict, answer.reason);
    let mut row = |label: &str, lines: &[String]| {
        for (at, line) in lines.iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            out.push_str(&format!("  {} {line}\n", paint.dim(&format!("{label:<14}"))));
        }
    };
    for change in answer.changes.iter().take(CHANGES_MAX) {
        row(&change.what, &change.contrast.lines);
    }
    if answer.changes.len() > CHANGES_MAX {
        let more = answer.changes.len() - CHANGES_MAX;
        row("", &[format!("and {} of its key", count(more, "more part"))]);
    }
    for note in &answer.notes {
        row("note", std::slice::from_ref(note));
    }
    if !answer.unchanged.is_empty() {
        row("unchanged", &[answer.unchanged.join(", ")]);
    }
    if let Some((other, at)) = &answer.compared {
        let whose = if other == run {
            "the result before it in this run".into()
        } else {
            format!("run {other}")
        };
        row("compared with", &[format!("{whose}, {}", ago(*at, Timestamp::now()))]);
    }
    let failures: Vec<String> = answer
        .failures
        .iter()
        .map(|(attempt, error)| format!("attempt {attempt} failed: {}", in_short(error)))
        .collect();
    row("attempts", &failures);
    if let Some(cost) = cost(answer) {
        row("cost", &[cost]);
    }
    out
}

/// What it took, now and the time before.
fn cost(answer: &Answer) -> Option<String> {
    let now = match answer.took_ms {
        Some(ms) => Some(Cost { ms, usage: answer.usage }.in_full()),
        None => Some(used(answer.usage)).filter(|used| !used.is_empty()),
    };
    match (now, answer.cost_before.as_ref().map(Cost::in_full)) {
        (Some(now), Some(before)) => Some(format!("{now}, {before} before")),
        (Some(now), None) => Some(now),
        (None, Some(before)) if answer.verdict == REUSED => {
            Some(format!("{before} when it was made"))
        }
        (None, Some(before)) => Some(format!("{before} the time before")),
        (None, None) => None,
    }
}

/// The answers for the items of a node.
pub(super) fn items(
    env: &Session,
    run: &RunId,
    node: &str,
    whole: Option<&str>,
    answers: &[Answer],
    (more, cost): (usize, Option<Cost>),
) -> String {
    let paint = env.stdout;
    let all = count(answers.len() + more, "item");
    let reason = whole.map(|reason| format!(", {}", clean(reason))).unwrap_or_default();
    let mut out = format!("{} in run {run}: {all}{reason}\n", paint.strong(&clean(node)));
    let row = |answer: &Answer| {
        let first = answer.changes.first().and_then(|change| change.contrast.lines.first());
        let line = first.map(|line| format!(": {line}")).unwrap_or_default();
        vec![
            Cell::plain(name(&answer.task)),
            Cell::plain(answer.verdict),
            Cell::plain(format!("{}{line}", answer.reason)),
        ]
    };
    out.push_str(&table::render(&answers.iter().map(row).collect::<Vec<_>>(), 2));
    if more > 0 {
        out.push_str(&format!("  and {}\n", count(more, "more item")));
    }
    if let Some(cost) = cost {
        out.push_str(&format!(
            "  {}  {} for all items together\n",
            paint.dim("cost"),
            cost.in_full()
        ));
    }
    out
}
