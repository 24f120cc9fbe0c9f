//! `flow verify`: reads every byte of the store, names what is damaged or lost, and sets right what
//! can be.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use flow_core::run::event::{Event, RunEnd};
use flow_core::store::Store;
use flow_store::{Finding, FindingKind, Progress, Repairs};
use serde_json::{Value, json};

use crate::args::VerifyArgs;
use crate::failure::{Exit, Failure};
use crate::report::tell;
use crate::report::text::{bytes, clean, count};
use crate::session::{Session, Verbosity};

pub(crate) fn run(args: &VerifyArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let meter = RefCell::new(Meter::new(env));
    let checked = Cell::new(Progress::default());
    let mut found = Vec::new();
    let mut report = |finding: Finding| {
        if !env.json {
            meter.borrow_mut().clear();
            env.out.line(&line(&finding));
            env.out.flush();
        }
        found.push(finding);
    };
    let mut progress = |now: Progress| {
        checked.set(now);
        meter.borrow_mut().show(now);
    };
    let repairs = match args.repair {
        true => Some(store.repair(&mut report, &mut progress)?),
        false => {
            store.verify(&mut report, &mut progress)?;
            None
        }
    };
    meter.borrow_mut().clear();
    let damaged = found.iter().filter(|finding| counts(finding)).count();
    let next = next_commands(env, store.as_ref(), &found, args.repair);
    if env.json {
        env.out.line(&object(checked.get(), &found, repairs, &next).to_string());
    } else if env.verbosity > Verbosity::Quiet {
        tell(&closing(checked.get(), damaged, repairs, &next));
    }
    Ok(if damaged == 0 { Exit::SUCCEEDED } else { Exit::FAILED })
}

/// Whether a finding makes the exit code 1. What lies aside, or could not be looked at because a
/// process uses it, is told and is no damage; a torn end is, because something is to be done.
fn counts(finding: &Finding) -> bool {
    !finding.kind.is_note() || finding.kind == FindingKind::TornEnd
}

/// A finding with what to do about it.
fn line(finding: &Finding) -> String {
    let word = if counts(finding) { "" } else { "note: " };
    clean(&format!("{word}{finding}; {}", finding.remedy))
}

/// What to type next, in this order.
fn next_commands(
    env: &Session,
    store: &dyn Store,
    found: &[Finding],
    repaired: bool,
) -> Vec<String> {
    let mut next = Vec::new();
    let has = |kinds: &[FindingKind]| found.iter().any(|finding| kinds.contains(&finding.kind));
    let repairable = [
        FindingKind::Object,
        FindingKind::TornEnd,
        FindingKind::Database,
        FindingKind::List,
        FindingKind::Captured,
        FindingKind::Log,
        FindingKind::WrongKind,
    ];
    if !repaired && has(&repairable) {
        next.push(env.command(&["verify", "--repair"]));
    }
    let lost =
        |finding: &&Finding| matches!(finding.kind, FindingKind::Object | FindingKind::Missing);
    for finding in found.iter().filter(lost) {
        let (Some(run), Some(task)) = (&finding.run, &finding.task) else { continue };
        let command = match succeeded(store, run) {
            // Nothing is left to do in it, so it makes nothing again by itself.
            true => env.command(&["rerun", run.as_str(), &task.to_string()]),
            false => env.command(&["resume", run.as_str()]),
        };
        if !next.contains(&command) {
            next.push(command);
        }
    }
    next
}

fn succeeded(store: &dyn Store, run: &flow_core::id::RunId) -> bool {
    let records = store.read_run(run).unwrap_or_default();
    let last = records.iter().rev().find_map(|record| match &record.event {
        Event::RunFinished { status } => Some(Some(*status)),
        Event::RunStarted { .. } | Event::RunResumed { .. } => Some(None),
        _ => None,
    });
    last.flatten() == Some(RunEnd::Succeeded)
}

/// What was read, what was found, what was done, and what is to do.
fn closing(checked: Progress, damaged: usize, repairs: Option<Repairs>, next: &[String]) -> String {
    let result = match damaged {
        0 => "nothing found".to_owned(),
        number => format!("{number} found"),
    };
    let mut text = format!("checked {}: {result}\n", read(checked));
    if let Some(done) = repairs.map(repaired).filter(|_| damaged > 0) {
        text.push_str(&format!("repaired: {done}\n"));
    }
    for command in next {
        text.push_str(&format!("next: {command}\n"));
    }
    text
}

fn read(checked: Progress) -> String {
    let files = usize::try_from(checked.files).unwrap_or(usize::MAX);
    format!("{}, {}", count(files, "file"), bytes(checked.bytes))
}

fn repaired(repairs: Repairs) -> String {
    let mut done = Vec::new();
    let number = |of: u64, noun: &str| count(usize::try_from(of).unwrap_or(usize::MAX), noun);
    if repairs.torn_ends > 0 {
        done.push(format!("dropped {}", number(repairs.torn_ends, "torn end")));
    }
    if repairs.objects > 0 {
        let objects = number(repairs.objects, "damaged object");
        done.push(format!("moved {objects} to quarantine/"));
    }
    if repairs.moved > 0 {
        let moved = number(repairs.moved, "file");
        done.push(format!("cleared the way for {moved} that the store makes again"));
    }
    if repairs.database {
        done.push("made the checkpoint database again from the journals".to_owned());
    }
    if done.is_empty() { "nothing that could be".to_owned() } else { done.join(", ") }
}

fn object(
    checked: Progress,
    found: &[Finding],
    repairs: Option<Repairs>,
    next: &[String],
) -> Value {
    let finding = |finding: &Finding| {
        let item = finding.task.as_ref().and_then(|task| task.item.as_ref());
        json!({
            "kind": kind(finding.kind),
            "note": !counts(finding),
            "path": finding.path,
            "offset": finding.offset,
            "run": finding.run,
            "node": finding.task.as_ref().map(|task| &task.node),
            "item": item.map(|item| &item.key),
            "port": finding.port,
            "reason": finding.reason,
            "remedy": finding.remedy,
        })
    };
    json!({
        "files": checked.files,
        "bytes": checked.bytes,
        "findings": found.iter().map(finding).collect::<Vec<_>>(),
        "repairs": repairs.map(|repairs| json!({
            "torn_ends": repairs.torn_ends,
            "objects": repairs.objects,
            "moved": repairs.moved,
            "database": repairs.database,
        })),
        "next": next,
    })
}

fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Journal => "journal",
        FindingKind::OlderJournal => "older_journal",
        FindingKind::TornEnd => "torn_end",
        FindingKind::RecordedFile => "recorded_file",
        FindingKind::Object => "object",
        FindingKind::Missing => "missing",
        FindingKind::Database => "database",
        FindingKind::List => "list",
        FindingKind::Captured => "captured",
        FindingKind::Log => "log",
        FindingKind::Cut => "cut",
        FindingKind::WrongKind => "wrong_kind",
        FindingKind::Stray => "stray",
        FindingKind::NotChecked => "not_checked",
    }
}

/// How far the check is, in one line of a terminal.
struct Meter {
    on: bool,
    shown: Option<Instant>,
}

impl Meter {
    /// A line is drawn again only after this long.
    const PAUSE: Duration = Duration::from_millis(100);

    fn new(env: &Session) -> Self {
        let on = env.verbosity > Verbosity::Quiet && io::stderr().is_terminal();
        Self { on, shown: None }
    }

    fn show(&mut self, now: Progress) {
        if self.on && self.shown.is_none_or(|at| at.elapsed() >= Self::PAUSE) {
            tell(&format!("\r\x1b[Kchecking: {}", read(now)));
            self.shown = Some(Instant::now());
        }
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            tell("\r\x1b[K");
        }
    }
}
