//! How what was found is told.

use flow_core::explain::{Divergence, Side};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::findings::{Effort, Finding, Findings, Port, word};
use crate::compare::Past;
use crate::report::human::name;
use crate::report::style::Paint;
use crate::report::text::{ago, bytes, clean, count, duration};

/// So many tasks are told in full.
const TASKS_MAX: usize = 30;

/// So many tasks that took another time are told.
const EFFORTS_MAX: usize = 10;

/// What was found as an object.
pub(super) fn object(before: &Past, after: &Past, findings: &Findings) -> Value {
    let run = |past: &Past| {
        json!({
            "run": past.run, "workflow": past.state.graph().name(),
            "started_at": past.started_at().to_string(),
        })
    };
    let side = |side: Side| if side == Side::Before { "before" } else { "after" };
    let nodes: Vec<Value> = findings
        .nodes
        .iter()
        .map(|(node, only)| json!({ "node": node, "only": side(*only) }))
        .collect();
    let effort = |effort: &Effort| {
        json!({
            "node": effort.task.node,
            "item": effort.task.item.as_ref().map(|item| &item.key),
            "attempts": effort.attempts, "duration_ms": effort.took_ms,
        })
    };
    json!({
        "before": run(before),
        "after": run(after),
        "same": findings.is_empty(),
        "same_definition": findings.same_definition,
        "ends": findings.ends,
        "params": findings.params.as_ref().map(|contrast| &contrast.json),
        "env": findings.env,
        "nodes": nodes,
        "tasks": findings.tasks.iter().map(Finding::json).collect::<Vec<_>>(),
        "efforts": findings.efforts.iter().map(effort).collect::<Vec<_>>(),
        "summary": {
            "same": findings.same,
            "began": findings.number(|d| d == Divergence::Began),
            "followed": findings.number(|d| d == Divergence::Followed),
            "healed": findings.number(|d| d == Divergence::Healed),
            "only": findings.number(|d| matches!(d, Divergence::Only(_))),
        },
    })
}

/// What was found, for people.
pub(super) fn text(before: &Past, after: &Past, findings: &Findings, paint: Paint) -> String {
    let now = Timestamp::now();
    let run = |past: &Past| {
        format!("{} ({})", paint.strong(past.run.as_str()), ago(past.started_at(), now))
    };
    let mut out = format!("run {} → run {}\n", run(before), run(after));
    let mut row = |label: &str, text: &str| {
        out.push_str(&format!("  {} {text}\n", paint.dim(&format!("{label:<9}"))));
    };
    match &findings.workflows {
        Some([old, new]) => row("workflow", &format!("{} → {}", clean(old), clean(new))),
        None if !findings.same_definition => {
            row(
                "workflow",
                &format!("{}, and its file has changed", clean(after.state.graph().name())),
            );
        }
        None => row("workflow", &clean(after.state.graph().name())),
    }
    if let Some([old, new]) = findings.ends {
        row("status", &format!("{old} → {new}"));
    }
    for line in findings.params.iter().flat_map(|contrast| &contrast.lines) {
        row("param", line);
    }
    for name in &findings.env {
        // A value may be anything, so only the name is told.
        row("env", &format!("{} has another value", clean(name)));
    }
    for (node, side) in &findings.nodes {
        let run = if *side == Side::Before { before } else { after };
        row("node", &format!("{} is only in run {}", clean(node), run.run));
    }
    if !findings.tasks.is_empty() {
        out.push('\n');
    }
    for finding in findings.tasks.iter().take(TASKS_MAX) {
        task(finding, paint, &mut out);
    }
    if findings.tasks.len() > TASKS_MAX {
        out.push_str(&format!("and {}\n", count(findings.tasks.len() - TASKS_MAX, "more task")));
    }
    efforts(&findings.efforts, paint, &mut out);
    out.push_str(&format!("\n{}\n", summary(findings)));
    out
}

fn task(finding: &Finding, paint: Paint, out: &mut String) {
    let (symbol, word) = match finding.divergence {
        Divergence::Began => (paint.bad("✱"), "began here"),
        Divergence::Healed => (paint.good("✔"), "healed here"),
        Divergence::Followed => (paint.odd("↳"), "followed"),
        Divergence::Only(Side::Before) => (paint.odd("-"), "is gone"),
        Divergence::Only(Side::After) => (paint.odd("+"), "is new"),
        Divergence::Same => (paint.dim("="), word(finding.divergence)),
    };
    out.push_str(&format!(
        "{symbol} {} {word}{}\n",
        paint.strong(&name(&finding.task)),
        note(finding)
    ));
    let mut rows = |label: &str, lines: &[String]| {
        for (at, line) in lines.iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            out.push_str(&format!("    {} {line}\n", paint.dim(&format!("{label:<14}"))));
        }
    };
    for cause in &finding.causes {
        rows(&cause.what, &cause.contrast.lines);
    }
    for port in &finding.ports {
        rows(&format!("→ {}", port.name), &how(port));
    }
}

/// What there is to say of a task beside what its payloads tell.
fn note(finding: &Finding) -> String {
    if let [Some(was), Some(is)] = &finding.stands
        && (was.status != is.status || finding.ports.is_empty() && was.error != is.error)
    {
        let side = |stand: &super::findings::Stand| match &stand.error {
            Some(error) => format!("{} ({error})", stand.status),
            None => stand.status.to_owned(),
        };
        return format!(": {} → {}", side(was), side(is));
    }
    match (finding.divergence, &finding.stands) {
        (Divergence::Healed, _) => ": its inputs differ, and the same came of them".to_owned(),
        (Divergence::Began, [Some(was), Some(is)]) if was.key == is.key => {
            ": all that it depends on is the same, and something else came of it".to_owned()
        }
        (Divergence::Began, _) if finding.ports.is_empty() => {
            ", and the same came of it".to_owned()
        }
        _ => String::new(),
    }
}

fn how(port: &Port) -> Vec<String> {
    if let Some(contrast) = &port.contrast {
        return contrast.lines.clone();
    }
    let side = |payload: &Option<flow_core::payload::PayloadRef>| {
        payload.as_ref().map_or("absent".to_owned(), |payload| {
            format!("{} ({})", payload.digest.short(), bytes(payload.size))
        })
    };
    vec![format!("{} → {}", side(&port.payloads[0]), side(&port.payloads[1]))]
}

/// What took another number of attempts, or much longer.
fn efforts(efforts: &[Effort], paint: Paint, out: &mut String) {
    if efforts.is_empty() {
        return;
    }
    out.push_str(&format!("\n{}\n", paint.dim("beside the results:")));
    for effort in efforts.iter().take(EFFORTS_MAX) {
        let mut parts = Vec::new();
        let [was, is] = effort.attempts;
        if was != is {
            parts.push(format!("{was} → {}", count(is as usize, "attempt")));
        }
        if let [Some(was), Some(is)] = effort.took_ms {
            parts.push(format!("{} → {}", duration(was), duration(is)));
        }
        out.push_str(&format!("  {}: {}\n", name(&effort.task), parts.join(", ")));
    }
    if efforts.len() > EFFORTS_MAX {
        out.push_str(&format!("  and {}\n", count(efforts.len() - EFFORTS_MAX, "more task")));
    }
}

fn summary(findings: &Findings) -> String {
    if findings.tasks.is_empty() {
        return format!("all {} are the same", count(findings.same, "task"));
    }
    let numbers = [
        (findings.number(|d| d == Divergence::Began), "began"),
        (findings.number(|d| d == Divergence::Followed), "followed"),
        (findings.number(|d| d == Divergence::Healed), "healed"),
        (findings.number(|d| matches!(d, Divergence::Only(_))), "in one run alone"),
    ];
    let told: Vec<String> =
        numbers.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let differ = count(findings.tasks.len(), "task");
    let verb = if findings.tasks.len() == 1 { "differs" } else { "differ" };
    format!("{differ} {verb}: {}; {} the same", told.join(", "), findings.same)
}
