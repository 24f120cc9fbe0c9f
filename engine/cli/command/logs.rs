//! `flow logs`: the events of a run and what its programs wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal as _, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flow_core::id::RunId;
use flow_core::run::Recorded;
use flow_core::run::event::{Event, TaskRef};
use flow_core::stage::Stream;
use flow_core::store::Store;

use crate::args::LogsArgs;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::report::human::Lines;
use crate::report::jsonl;
use crate::report::text::clean;
use crate::session::{Session, Verbosity, find_run};
use crate::target::{self, Target};

/// How often a run is looked at that is followed.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &LogsArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let mut history = History::read(store.as_ref(), &run, &env.catalog())?;
    let only = match &args.node {
        Some(text) => Some(only(&history, text)?),
        None => None,
    };
    let lines = Lines::new(&run, history.state.graph(), env.stdout, env.prompt());
    let mut printer = Printer {
        env,
        store: store.as_ref(),
        run: &run,
        lines,
        only,
        seen: 0,
        open: BTreeMap::new(),
        ended: false,
    };
    loop {
        let started = Instant::now();
        history.holder = store.holder(&run)?;
        let records = store.read_run(&run)?;
        printer.tell(&records);
        printer.drain_all();
        env.out.flush();
        let is_over = printer.ended || history.holder.is_none();
        if !args.follow || is_over || printer.nobody_reads() {
            return Ok(Exit::SUCCEEDED);
        }
        // A long journal is read less often, so that following costs a tenth of a processor at most.
        std::thread::sleep(POLL.max(started.elapsed() * 10));
    }
}

/// The name that events of the wanted node have.
fn only(history: &History, text: &str) -> Result<TaskRef, Failure> {
    let Target { node, item } = target::node(&history.state, text)?;
    Ok(history.state.task_ref(flow_core::id::TaskId { node, item }))
}

struct Printer<'a> {
    env: &'a Session,
    store: &'a dyn Store,
    run: &'a RunId,
    lines: Lines,
    /// The only node, or item, to tell of.
    only: Option<TaskRef>,
    /// Records that were told.
    seen: usize,
    /// Attempts that go on, with what was told of their output.
    open: BTreeMap<(TaskRef, u32), Captured>,
    /// Whether the run has ended.
    ended: bool,
}

/// What was told of the captured output of an attempt, by stream.
#[derive(Default)]
struct Captured {
    streams: [Follower; 2],
}

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Printer<'_> {
    /// Tells the records that are new.
    fn tell(&mut self, records: &[Recorded]) {
        for recorded in records.iter().skip(self.seen) {
            self.ended = match &recorded.event {
                Event::RunFinished { .. } | Event::RunInterrupted { .. } => true,
                Event::RunResumed { .. } => false,
                _ => self.ended,
            };
            if self.is_wanted(&recorded.event) {
                self.tell_one(recorded);
            }
        }
        self.seen = self.seen.max(records.len());
    }

    fn is_wanted(&self, event: &Event) -> bool {
        let Some(only) = &self.only else { return true };
        match (event.node(), &only.item) {
            (Some(node), None) => *node == *only.node,
            (Some(_), Some(_)) => event.task() == Some(only),
            (None, _) => false,
        }
    }

    fn tell_one(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::AttemptStarted { task, attempt, .. } => {
                self.open.insert((task.clone(), *attempt), Captured::default());
            }
            Event::AttemptFailed { task, attempt, .. } | Event::Succeeded { task, attempt, .. } => {
                if let Some(mut captured) = self.open.remove(&(task.clone(), *attempt)) {
                    self.drain(task, *attempt, &mut captured, true);
                }
            }
            _ => {}
        }
        if self.env.json {
            if let Some(line) = jsonl::event(self.run, self.store, recorded) {
                self.env.out.line(&line.to_string());
            }
        } else if let Some(line) = self.lines.event(recorded) {
            self.env.out.write(line.as_bytes());
        }
    }

    /// Tells what the attempts that go on have written since.
    fn drain_all(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        for ((task, attempt), captured) in &mut open {
            self.drain(task, *attempt, captured, false);
        }
        self.open = open;
    }

    fn drain(&self, task: &TaskRef, attempt: u32, captured: &mut Captured, is_last: bool) {
        // Events alone are what programs read, unless they ask for more.
        if self.env.json && self.env.verbosity < Verbosity::Verbose {
            return;
        }
        for (stream, follower) in STREAMS.into_iter().zip(&mut captured.streams) {
            let path = flow_runtime::capture_path(self.store, self.run, task, attempt, stream);
            follower.read(&path, is_last, &mut |line| self.output(task, attempt, stream, line));
        }
    }

    fn output(&self, task: &TaskRef, attempt: u32, stream: Stream, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if self.env.json {
            let stream = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            let line = jsonl::log(self.run, task, attempt, stream, &text);
            self.env.out.line(&line.to_string());
            return;
        }
        let text = if std::io::stdout().is_terminal() { clean(&text) } else { text.into_owned() };
        self.env.out.write(self.lines.output(task, stream, &text).as_bytes());
    }

    /// Whether stdout was closed.
    fn nobody_reads(&self) -> bool {
        !self.env.out.write(b"")
    }
}

/// Reads a file that may grow, line by line.
#[derive(Default)]
struct Follower {
    at: u64,
    /// The beginning of a line whose end is not there yet.
    partial: Vec<u8>,
}

impl Follower {
    /// Gives every line that is new; the last one without its end too, if nothing follows.
    fn read(&mut self, path: &PathBuf, is_last: bool, line: &mut dyn FnMut(&[u8])) {
        // An attempt without output has no file.
        let Ok(mut file) = File::open(path) else { return };
        if file.seek(SeekFrom::Start(self.at)).is_err() {
            return;
        }
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = file.read(&mut buffer) {
            self.at += length as u64;
            self.partial.extend_from_slice(&buffer[..length]);
            let mut rest = self.partial.as_slice();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let whole = &rest[..end];
                line(whole.strip_suffix(b"\r").unwrap_or(whole));
                rest = &rest[end + 1..];
            }
            self.partial = rest.to_vec();
        }
        if is_last && !self.partial.is_empty() {
            line(&std::mem::take(&mut self.partial));
        }
    }
}
