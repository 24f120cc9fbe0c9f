//! Events as plain lines for people.

use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::Graph;
use flow_core::id::RunId;
use flow_core::run::Recorded;
use flow_core::run::event::{Awaited, Event, RunEnd, TaskRef};
use flow_core::stage::{Fallback, FallbackReason, Progress, Stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::style::Paint;
use super::text::{bytes, clean, count, duration, width};
use crate::session::Prompt;

/// Names are aligned up to this width; longer ones push what follows to the right.
const NAME_MAX: usize = 32;

/// Turns events into lines.
pub(crate) struct Lines {
    run: RunId,
    paint: Paint,
    prompt: Prompt,
    zone: TimeZone,
    /// Width of the column of names.
    width: usize,
}

impl Lines {
    pub(crate) fn new(run: &RunId, graph: &Graph, paint: Paint, prompt: Prompt) -> Self {
        let longest = graph.nodes().iter().map(|node| {
            // An item's key in brackets follows the name.
            node.name.len() + if node.fan.is_some() { 10 } else { 0 }
        });
        let width = longest.max().unwrap_or(0).clamp(8, NAME_MAX);
        Self { run: run.clone(), paint, prompt, zone: TimeZone::system(), width }
    }

    /// The line of an event; `None` for those that say nothing new to people.
    pub(crate) fn event(&self, recorded: &Recorded) -> Option<String> {
        let said = self.say(&recorded.event)?;
        Some(self.line(recorded.ts, &said))
    }

    /// A line of output of a program.
    pub(crate) fn output(&self, task: &TaskRef, stream: Stream, text: &str) -> String {
        let bar = match stream {
            Stream::Stdout => self.paint.dim("│"),
            Stream::Stderr => self.paint.odd("│"),
        };
        format!("         {bar} {} {text}\n", self.paint.dim(&self.padded(&name(task))))
    }

    /// A line for how far an attempt is.
    pub(crate) fn progress(&self, at: Timestamp, task: &TaskRef, progress: &Progress) -> String {
        self.line(at, &Said::of(Mark::Busy, "·", &name(task), how_far(progress)))
    }

    /// A line in the engine's own words.
    pub(crate) fn note(&self, at: Timestamp, task: Option<&TaskRef>, words: &str) -> String {
        let name = task.map(name).unwrap_or_default();
        self.line(at, &Said::of(Mark::Odd, "!", &name, clean(words)))
    }

    fn line(&self, at: Timestamp, said: &Said) -> String {
        let time = at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        let paint = self.paint;
        let symbol = match said.mark {
            Mark::Good => paint.good(said.symbol),
            Mark::Bad => paint.bad(said.symbol),
            Mark::Odd => paint.odd(said.symbol),
            Mark::Busy => paint.busy(said.symbol),
            Mark::Faint => paint.dim(said.symbol),
        };
        let name = self.padded(&said.name);
        let name = if said.mark == Mark::Bad { paint.strong(&name) } else { name };
        let mut line = format!("{} {symbol} {name} {}", paint.dim(&time), said.what);
        line.truncate(line.trim_end().len());
        for more in &said.more {
            line.push_str(&format!("\n{:11}{}", "", paint.dim(more)));
        }
        line.push('\n');
        line
    }

    fn padded(&self, name: &str) -> String {
        let pad = self.width.saturating_sub(width(name));
        format!("{name}{}", " ".repeat(pad))
    }

    fn say(&self, event: &Event) -> Option<Said> {
        let task = event.task().map(name).unwrap_or_default();
        Some(match event {
            Event::RunStarted { workflow, .. } => Said::of(
                Mark::Busy,
                "▶",
                "run",
                format!("{} of workflow {}", self.run, clean(workflow)),
            ),
            Event::RunResumed { notes, .. } => {
                let said = Said::of(Mark::Busy, "▶", "run", format!("{} resumed", self.run));
                Said { more: notes.iter().map(|note| clean(note)).collect(), ..said }
            }
            Event::RunInterrupted { signal } => {
                Said::of(Mark::Odd, "■", "run", format!("interrupted by {signal}"))
            }
            Event::RunFinished { status } => match status {
                RunEnd::Succeeded => Said::of(Mark::Good, "✔", "run", "succeeded".into()),
                RunEnd::Failed => Said::of(Mark::Bad, "✘", "run", "failed".into()),
                RunEnd::Cancelled => Said::of(Mark::Odd, "■", "run", "cancelled".into()),
            },
            Event::ItemsResolved { .. }
            | Event::ProcessStarted { .. }
            | Event::OutputKept { .. }
            | Event::Remembered { .. }
            | Event::EffectSettled { .. }
            | Event::Invalidated { .. }
            | Event::CacheMiss { .. }
            | Event::CacheHit { .. }
            | Event::OutputsLost { .. } => return None,
            Event::CallRetried { retry, .. } => {
                let what = format!(
                    "{}: {}; call {} in {}",
                    clean(&retry.provider),
                    in_short(&retry.error),
                    retry.call,
                    duration(retry.delay_ms)
                );
                Said::of(Mark::Odd, "↻", &task, what)
            }
            Event::PassedOver { fallback, .. } => Said::of(Mark::Odd, "⇢", &task, passes(fallback)),
            Event::FellBack { from, to, error, .. } => {
                let what = format!("{from} failed ({}); {to} takes its place", in_short(error));
                Said::of(Mark::Odd, "⇢", &task, what)
            }
            Event::Waiting { task: asks, wait } => {
                let answer = |question| self.prompt.answer(self.run.as_str(), asks, question);
                let more = wait.question.iter().map(|ask| format!("answer: {}", answer(ask)));
                let said = Said::of(Mark::Odd, "◷", &task, waits_for(wait));
                Said { more: more.collect(), ..said }
            }
            Event::Unknown { error, .. } => {
                let said = Said::of(
                    Mark::Bad,
                    "?",
                    &task,
                    format!("it may have happened: {}", in_short(error)),
                );
                Said { more: error.hint.iter().map(|hint| clean(hint)).collect(), ..said }
            }
            Event::AttemptStarted { attempt, .. } => {
                let what = if *attempt > 1 { format!("attempt {attempt}") } else { String::new() };
                Said::of(Mark::Busy, "●", &task, what)
            }
            // A failure that is final is told by the event that follows.
            Event::AttemptFailed { error, .. } if error.class == ErrorClass::Cancelled => {
                Said::of(Mark::Odd, "■", &task, "stopped".into())
            }
            Event::AttemptFailed { error, .. } if !error.retryable => return None,
            Event::AttemptFailed { attempt, error, .. } => {
                Said::of(Mark::Odd, "✗", &task, format!("attempt {attempt}: {}", in_short(error)))
            }
            Event::RetryScheduled { attempt, delay_ms, .. } => {
                let what = format!("attempt {attempt} in {}", duration(*delay_ms));
                Said::of(Mark::Odd, "↻", &task, what)
            }
            Event::Succeeded { duration_ms, warnings, .. } => {
                let said = Said::of(Mark::Good, "✔", &task, duration(*duration_ms));
                let more = warnings.iter().map(|warning| {
                    let place = [&warning.port, &warning.pointer];
                    let place: Vec<&str> =
                        place.into_iter().flatten().map(String::as_str).collect();
                    let place = if place.is_empty() { String::new() } else { place.concat() + " " };
                    clean(&format!("warning: {place}{}", warning.message))
                });
                Said { more: more.collect(), ..said }
            }
            Event::Reused { from, .. } => {
                Said::of(Mark::Good, "✔", &task, format!("reused from {from}"))
            }
            Event::Failed { error, .. } => Said::of(Mark::Bad, "✘", &task, in_short(error)),
            Event::Skipped { reason, .. } => {
                Said::of(Mark::Faint, "↷", &task, format!("skipped: {}", clean(reason)))
            }
            Event::Cancelled { .. } => Said::of(Mark::Odd, "■", &task, "cancelled".into()),
            Event::NodeGathered { node, succeeded, left_out } => {
                let mut what = count(*succeeded as usize, "item");
                if *left_out > 0 {
                    what.push_str(&format!(", {left_out} left out"));
                }
                Said::of(Mark::Good, "✔", node, what)
            }
            Event::NodeFailed { node, error } => Said::of(Mark::Bad, "✘", node, in_short(error)),
            Event::NodeSkipped { node, reason } => {
                Said::of(Mark::Faint, "↷", node, format!("skipped: {}", clean(reason)))
            }
        })
    }
}

/// That a provider is passed over, and why.
pub(crate) fn passes(fallback: &Fallback) -> String {
    let from = clean(&fallback.from);
    let why = match &fallback.reason {
        FallbackReason::NoKey => format!("{from} has no key"),
        FallbackReason::Exhausted => format!("the quota of {from} is used up"),
        FallbackReason::Failed(error) => format!("{from} failed ({})", in_short(error)),
    };
    match &fallback.to {
        Some(to) => format!("{why}; {} takes its place", clean(to)),
        None => format!("{why}; nothing is left to take its place"),
    }
}

/// What a task waits for, in a few words.
fn waits_for(wait: &Awaited) -> String {
    let until = wait.until.map(|at| format!(" until {}", at.strftime("%Y-%m-%d %H:%M:%S UTC")));
    let until = until.unwrap_or_default();
    match &wait.question {
        None => format!("waits{until}"),
        Some(question) => format!("asks{until}: {}", clean(&question.message)),
    }
}

/// What a line says, before it is painted.
struct Said {
    mark: Mark,
    symbol: &'static str,
    name: String,
    what: String,
    /// Lines below.
    more: Vec<String>,
}

impl Said {
    fn of(mark: Mark, symbol: &'static str, name: &str, what: String) -> Self {
        Self { mark, symbol, name: name.to_owned(), what, more: Vec::new() }
    }
}

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Good,
    Bad,
    Odd,
    Busy,
    Faint,
}

/// The name of a task, harmless whatever an item's key has in it.
pub(crate) fn name(task: &TaskRef) -> String {
    clean(&task.to_string())
}

/// How far an attempt is: `encoding 43 % of 12.0 s`, `receiving 3.4 MB`, `speaking 2 of 7 sections`.
pub(crate) fn how_far(progress: &Progress) -> String {
    let amount = |value: f64| match progress.unit {
        // What is below zero or beyond the largest number is the nearest one.
        "bytes" => bytes(value as u64),
        "seconds" => duration((value * 1_000.0) as u64),
        unit => format!("{} {unit}", (value * 10.0).round() / 10.0),
    };
    let far = match progress.total {
        Some(total) if total > 0.0 => {
            let percent = (progress.done / total * 100.0).clamp(0.0, 100.0);
            format!("{percent:.0} % of {}", amount(total))
        }
        _ => amount(progress.done),
    };
    clean(format!("{} {far}", progress.message).trim())
}

/// A failure in one line.
pub(crate) fn in_short(error: &StageError) -> String {
    format!("{}: {}", error.class.name(), clean(&error.message))
}
