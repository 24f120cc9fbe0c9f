//! Events as plain lines for people.

use std::collections::{HashMap, HashSet};

use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::Graph;
use flow_core::id::RunId;
use flow_core::run::Recorded;
use flow_core::run::event::{Awaited, Event, RunEnd, TaskRef};
use flow_core::stage::{Fallback, FallbackReason, Progress, Stream};
use flow_runtime::{Observer, Passing};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::style::Paint;
use super::tell;
use super::text::{clean, count, duration};
use crate::session::Verbosity;

/// Names are aligned up to this width; longer ones push what follows to the right.
const NAME_MAX: usize = 32;

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// Turns events into lines.
pub(crate) struct Lines {
    run: RunId,
    paint: Paint,
    zone: TimeZone,
    /// Width of the column of names.
    width: usize,
}

impl Lines {
    pub(crate) fn new(run: &RunId, graph: &Graph, paint: Paint) -> Self {
        let longest = graph.nodes().iter().map(|node| {
            // An item's key in brackets follows the name.
            node.name.len() + if node.fan.is_some() { 10 } else { 0 }
        });
        let width = longest.max().unwrap_or(0).clamp(8, NAME_MAX);
        Self { run: run.clone(), paint, zone: TimeZone::system(), width }
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
        let far = match progress.total {
            Some(total) if total > 0.0 => {
                format!("{:.0} % of {total} {}", progress.done / total * 100.0, progress.unit)
            }
            _ => format!("{} {}", progress.done, progress.unit),
        };
        let what = clean(&format!("{} {far}", progress.message));
        self.line(at, &Said::of(Mark::Busy, "·", &name(task), what.trim().to_owned()))
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
        let pad = self.width.saturating_sub(name.chars().count());
        format!("{name}{}", " ".repeat(pad))
    }

    fn say(&self, event: &Event) -> Option<Said> {
        let task = event.task().map(name).unwrap_or_default();
        Some(match event {
            Event::RunStarted { workflow, .. } => {
                Said::of(Mark::Busy, "▶", "run", format!("{} of workflow {workflow}", self.run))
            }
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
            Event::Waiting { wait, .. } => Said::of(Mark::Odd, "◷", &task, waits_for(wait)),
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

/// A failure in one line.
pub(crate) fn in_short(error: &StageError) -> String {
    format!("{}: {}", error.class.name(), clean(&error.message))
}

/// Tells the events of a run on stderr while it goes on.
pub(crate) struct HumanReporter {
    lines: Lines,
    verbosity: Verbosity,
    /// What is to be told; handed over when nothing more is waiting.
    text: String,
    /// What programs wrote that was not told yet.
    partial: HashMap<(TaskRef, Stream), Vec<u8>>,
    /// Tasks whose attempt was told to have begun. Output may overtake that fact, which is told
    /// once it is durable; it waits here until then.
    begun: HashSet<TaskRef>,
}

impl HumanReporter {
    pub(crate) fn new(lines: Lines, verbosity: Verbosity) -> Self {
        Self {
            lines,
            verbosity,
            text: String::new(),
            partial: HashMap::new(),
            begun: HashSet::new(),
        }
    }

    fn log(&mut self, task: &TaskRef, stream: Stream, bytes: &[u8]) {
        self.partial.entry((task.clone(), stream)).or_default().extend_from_slice(bytes);
        if self.begun.contains(task) {
            self.whole_lines(task, stream);
        }
    }

    /// Tells the lines of a program that are whole.
    fn whole_lines(&mut self, task: &TaskRef, stream: Stream) {
        let Some(partial) = self.partial.get_mut(&(task.clone(), stream)) else { return };
        let Some(end) = partial.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = partial.split_off(end + 1);
        let whole = std::mem::replace(partial, rest);
        for line in String::from_utf8_lossy(&whole).lines() {
            self.text.push_str(&self.lines.output(task, stream, &clean(line)));
        }
    }

    /// Notes that an attempt has begun, and tells what it has written since.
    fn begin_output(&mut self, task: &TaskRef) {
        self.begun.insert(task.clone());
        for stream in STREAMS {
            self.whole_lines(task, stream);
        }
    }

    /// Tells everything that a program wrote before its attempt ended.
    fn end_output(&mut self, task: &TaskRef) {
        self.begun.remove(task);
        for stream in STREAMS {
            let rest = self.partial.remove(&(task.clone(), stream)).unwrap_or_default();
            for line in String::from_utf8_lossy(&rest).lines() {
                self.text.push_str(&self.lines.output(task, stream, &clean(line)));
            }
        }
    }
}

impl Observer for HumanReporter {
    fn event(&mut self, recorded: &Recorded) {
        let task = recorded.event.task().filter(|_| self.verbosity == Verbosity::Verbose);
        let begins = matches!(recorded.event, Event::AttemptStarted { .. });
        let ends = matches!(recorded.event, Event::AttemptFailed { .. } | Event::Succeeded { .. });
        if let Some(task) = task.filter(|_| ends) {
            self.end_output(task);
        }
        let is_failure = matches!(recorded.event, Event::Failed { .. } | Event::NodeFailed { .. });
        if self.verbosity > Verbosity::Quiet || is_failure {
            self.text.extend(self.lines.event(recorded));
        }
        if let Some(task) = task.filter(|_| begins) {
            self.begin_output(task);
        }
    }

    fn passing(&mut self, passing: &Passing) {
        let now = Timestamp::now();
        match passing {
            Passing::Note { task, message } if self.verbosity > Verbosity::Quiet => {
                let line = self.lines.note(now, task.as_ref(), message);
                self.text.push_str(&line);
            }
            Passing::Log { task, stream, bytes, .. } if self.verbosity == Verbosity::Verbose => {
                self.log(task, *stream, bytes);
            }
            Passing::Progress { task, progress, .. } if self.verbosity == Verbosity::Verbose => {
                let line = self.lines.progress(now, task, progress);
                self.text.push_str(&line);
            }
            _ => {}
        }
    }

    fn idle(&mut self) {
        if !self.text.is_empty() {
            tell(&self.text);
            self.text.clear();
        }
    }
}
