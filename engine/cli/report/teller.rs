//! Tells the events of a run on stderr while it goes on.

use std::collections::{HashMap, HashSet};

use flow_core::run::Recorded;
use flow_core::run::event::{Event, RunEnd, TaskRef};
use flow_core::stage::{Fallback, FallbackReason, Stream};
use flow_runtime::{Observer, Passing};
use jiff::Timestamp;

use super::human::Lines;
use super::live::Handle;
use super::splitter::Splitter;
use super::text::{bytes, clean, count};
use crate::session::Verbosity;

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// Bytes of a line of a program that are shown while it runs.
const SHOWN_MAX: usize = 2_000;

/// Tells events as lines, and brings them to the region where there is one.
pub(crate) struct Teller {
    lines: Lines,
    verbosity: Verbosity,
    screen: Handle,
    has_region: bool,
    /// What is to be told; handed over when nothing more is waiting.
    text: String,
    /// What programs wrote before their attempts were told to have begun. Output may overtake that
    /// fact, which is told once it is durable; it waits here until then.
    early: HashMap<(TaskRef, Stream), Vec<u8>>,
    /// Lines of attempts that were told to have begun.
    lines_of: HashMap<(TaskRef, Stream), Splitter>,
    /// Lines of programs that were left out because nobody takes what is told already.
    left_out: usize,
}

impl Teller {
    pub(crate) fn new(lines: Lines, verbosity: Verbosity, screen: Handle) -> Self {
        Self {
            lines,
            verbosity,
            has_region: screen.has_region(),
            screen,
            text: String::new(),
            early: HashMap::new(),
            lines_of: HashMap::new(),
            left_out: 0,
        }
    }

    /// Tells the output of an attempt from the beginning: no fact says that it began.
    pub(crate) fn beside(mut self, task: &TaskRef) -> Self {
        self.begin_output(task);
        self
    }

    /// Whether an event gets a line. Where a region shows what goes on and a recap follows, only
    /// what a person may have to think about scrolls by.
    fn is_told(&self, event: &Event) -> bool {
        // That somebody has no key for a service is nothing new to them, item by item.
        let no_key = |fallback: &Fallback| fallback.reason == FallbackReason::NoKey;
        if matches!(event, Event::PassedOver { fallback, .. } if no_key(fallback)) {
            return self.verbosity == Verbosity::Verbose;
        }
        match self.verbosity {
            Verbosity::Quiet => matches!(event, Event::Failed { .. } | Event::NodeFailed { .. }),
            Verbosity::Normal if self.has_region => match event {
                Event::Succeeded { warnings, .. } => !warnings.is_empty(),
                Event::AttemptStarted { .. }
                | Event::Reused { .. }
                | Event::Skipped { .. }
                | Event::NodeSkipped { .. }
                | Event::NodeGathered { .. }
                | Event::RunFinished { status: RunEnd::Succeeded } => false,
                Event::Waiting { wait, .. } => wait.question.is_some(),
                _ => true,
            },
            Verbosity::Normal | Verbosity::Verbose => true,
        }
    }

    fn log(&mut self, task: &TaskRef, stream: Stream, bytes: &[u8]) {
        let place = (task.clone(), stream);
        match self.lines_of.get_mut(&place) {
            None => self.early.entry(place).or_default().extend_from_slice(bytes),
            Some(splitter) => {
                let mut lines = Vec::new();
                splitter.push(bytes, &mut |line| lines.push(shown(line)));
                self.output(task, stream, &lines);
            }
        }
    }

    /// Tells lines of a program, unless those before them are still waiting to be shown.
    fn output(&mut self, task: &TaskRef, stream: Stream, lines: &[String]) {
        if self.screen.is_behind() {
            self.left_out += lines.len();
            return;
        }
        if self.left_out > 0 {
            let number = count(std::mem::take(&mut self.left_out), "line");
            let words = format!("{number} of output left out: more than could be shown in time");
            self.text.push_str(&self.lines.note(Timestamp::now(), None, &words));
        }
        for line in lines {
            self.text.push_str(&self.lines.output(task, stream, line));
        }
    }

    /// Notes that an attempt has begun, and tells what it has written since.
    fn begin_output(&mut self, task: &TaskRef) {
        for stream in STREAMS {
            let place = (task.clone(), stream);
            self.lines_of.insert(place.clone(), Splitter::default());
            if let Some(early) = self.early.remove(&place) {
                self.log(task, stream, &early);
            }
        }
    }

    /// Tells everything that a program wrote before its attempt ended.
    fn end_output(&mut self, task: &TaskRef) {
        for stream in STREAMS {
            let place = (task.clone(), stream);
            let early = self.early.remove(&place).unwrap_or_default();
            let mut splitter = self.lines_of.remove(&place).unwrap_or_default();
            let mut lines = Vec::new();
            splitter.push(&early, &mut |line| lines.push(shown(line)));
            splitter.finish(&mut |line| lines.push(shown(line)));
            self.output(task, stream, &lines);
        }
    }
}

/// A line of a program as a terminal takes it: harmless, and not longer than anyone reads.
fn shown(line: &[u8]) -> String {
    if line.len() <= SHOWN_MAX {
        return clean(&String::from_utf8_lossy(line));
    }
    let head = clean(&String::from_utf8_lossy(&line[..SHOWN_MAX]));
    format!("{head}… ({} in all: see `flow logs`)", bytes(line.len() as u64))
}

impl Observer for Teller {
    fn event(&mut self, recorded: &Recorded) {
        let task = recorded.event.task().filter(|_| self.verbosity == Verbosity::Verbose);
        let begins = matches!(recorded.event, Event::AttemptStarted { .. });
        let ends = matches!(recorded.event, Event::AttemptFailed { .. } | Event::Succeeded { .. });
        if let Some(task) = task.filter(|_| ends) {
            self.end_output(task);
        }
        if self.is_told(&recorded.event) {
            self.text.extend(self.lines.event(recorded));
        }
        if let Some(task) = task.filter(|_| begins) {
            self.begin_output(task);
        }
        if self.has_region {
            self.screen.event(recorded);
        }
    }

    fn passing(&mut self, passing: &Passing) {
        match passing {
            Passing::Note { task, message } if self.verbosity > Verbosity::Quiet => {
                let line = self.lines.note(Timestamp::now(), task.as_ref(), message);
                self.text.push_str(&line);
            }
            Passing::Log { task, stream, bytes, .. } if self.verbosity == Verbosity::Verbose => {
                self.log(task, *stream, bytes);
            }
            Passing::Progress { task, progress, .. } if self.has_region => {
                self.screen.progress(task, progress);
            }
            Passing::Queue { gate, waiting } if self.has_region => {
                self.screen.queue(gate, *waiting);
            }
            Passing::Progress { task, progress, .. } if self.verbosity == Verbosity::Verbose => {
                let line = self.lines.progress(Timestamp::now(), task, progress);
                self.text.push_str(&line);
            }
            _ => {}
        }
    }

    fn idle(&mut self) {
        if !self.text.is_empty() {
            self.screen.say(&self.text);
            self.text.clear();
        }
    }
}

impl Drop for Teller {
    /// Tells what was written without the end of a line by an attempt that no event ends.
    fn drop(&mut self) {
        let open: HashSet<TaskRef> = self.lines_of.keys().map(|(task, _)| task.clone()).collect();
        for task in open {
            self.end_output(&task);
        }
        self.idle();
    }
}
