//! Tells the events of a run on stderr while it goes on.

use std::collections::{HashMap, HashSet};

use flow_core::run::Recorded;
use flow_core::run::event::{Event, RunEnd, TaskRef};
use flow_core::stage::Stream;
use flow_runtime::{Observer, Passing};
use jiff::Timestamp;

use super::human::Lines;
use super::live::Handle;
use super::text::{clean, count};
use crate::session::Verbosity;

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// Tells events as lines, and brings them to the region where there is one.
pub(crate) struct Teller {
    lines: Lines,
    verbosity: Verbosity,
    screen: Handle,
    has_region: bool,
    /// What is to be told; handed over when nothing more is waiting.
    text: String,
    /// What programs wrote that was not told yet.
    partial: HashMap<(TaskRef, Stream), Vec<u8>>,
    /// Tasks whose attempt was told to have begun. Output may overtake that fact, which is told
    /// once it is durable; it waits here until then.
    begun: HashSet<TaskRef>,
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
            partial: HashMap::new(),
            begun: HashSet::new(),
            left_out: 0,
        }
    }

    /// Tells the output of these tasks from the beginning: there is no fact that they began.
    pub(crate) fn beside(mut self, task: TaskRef) -> Self {
        self.begun.insert(task);
        self
    }

    /// Whether an event gets a line. Where a region shows what goes on and a recap follows, only
    /// what a person may have to think about scrolls by.
    fn is_told(&self, event: &Event) -> bool {
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
        self.output(task, stream, &whole);
    }

    fn output(&mut self, task: &TaskRef, stream: Stream, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if self.screen.is_behind() {
            self.left_out += text.lines().count();
            return;
        }
        if self.left_out > 0 {
            let lines = count(std::mem::take(&mut self.left_out), "line");
            let words = format!("{lines} of output left out: they came faster than they could be shown");
            self.text.push_str(&self.lines.note(Timestamp::now(), None, &words));
        }
        for line in text.lines() {
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
            self.output(task, stream, &rest);
        }
    }
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
        for ((task, stream), rest) in std::mem::take(&mut self.partial) {
            self.output(&task, stream, &rest);
        }
        self.idle();
    }
}
