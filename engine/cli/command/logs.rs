//! `flow logs`: the events of a run and what its programs wrote.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use flow_core::digest::Hasher;
use flow_core::id::{RunId, TaskId};
use flow_core::run::Recorded;
use flow_core::run::event::{Event, KeptOutput, RunEnd, TaskRef};
use flow_core::stage::Stream;
use flow_core::store::{Store, StoreError};

use crate::args::{LogLevel, LogsArgs};
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::report::human::Lines;
use crate::report::jsonl;
use crate::report::splitter::Splitter;
use crate::report::tell;
use crate::report::text::clean;
use crate::session::{Session, Verbosity, find_run};
use crate::target::{self, Target};

/// How often a run is looked at that is followed.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &LogsArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    let wanted = Wanted::of(args, &history)?;
    let lines = Lines::new(&run, history.state.graph(), env.stdout, env.prompt());
    let (shown, open) = (store.as_ref(), BTreeMap::new());
    let mut printer = Printer { env, store: shown, run: &run, lines, wanted, open, ended: false };
    let mut tail = store.tail_run(&run)?;
    loop {
        let started = Instant::now();
        // Asked before the records are read: what it wrote last is among them.
        let is_held = store.holder(&run)?.is_some();
        for recorded in tail.news()? {
            printer.tell(&recorded);
        }
        let is_over = printer.ended || !is_held || !args.follow;
        printer.drain_all(!is_held);
        env.out.flush();
        if is_over || printer.nobody_reads() {
            return Ok(Exit::SUCCEEDED);
        }
        // Many attempts at once are looked at less often, so that following costs a twentieth of a
        // processor at most.
        std::thread::sleep(POLL.max(started.elapsed() * 20));
    }
}

/// What is told.
struct Wanted {
    /// The only node, or item, to tell of.
    only: Option<TaskRef>,
    /// What names of nodes inside the only one begin with, if it is a nested workflow.
    inside: Option<String>,
    attempt: Option<u32>,
    level: LogLevel,
}

impl Wanted {
    fn of(args: &LogsArgs, history: &History) -> Result<Self, Failure> {
        let (attempt, level) = (args.attempt, args.level);
        let Some(text) = &args.node else {
            return Ok(Self { only: None, inside: None, attempt, level });
        };
        let Target { node, item } = target::node(&history.state, text)?;
        let graph = history.state.graph();
        let ends = item.is_none() && graph.node(node).ends_workflow();
        Ok(Self {
            only: Some(history.state.task_ref(TaskId { node, item })),
            inside: ends.then(|| format!("{}/", graph.node(node).name)),
            attempt,
            level,
        })
    }

    fn has_event(&self, event: &Event) -> bool {
        let is_attempt = self.attempt.is_none_or(|wanted| attempt_of(event) == Some(wanted));
        is_attempt && level(event) >= self.level && self.is_about(event)
    }

    fn is_about(&self, event: &Event) -> bool {
        let Some(only) = &self.only else { return true };
        match (event.node(), &only.item) {
            (Some(node), None) => *node == *only.node || self.is_inside(node),
            (Some(_), Some(_)) => event.task() == Some(only),
            (None, _) => false,
        }
    }

    fn is_inside(&self, node: &str) -> bool {
        self.inside.as_ref().is_some_and(|prefix| node.starts_with(prefix))
    }

    /// Whether output of an attempt is told: it is no more than information.
    fn has_output(&self, task: &TaskRef, attempt: u32) -> bool {
        let is_task = self.only.as_ref().is_none_or(|only| {
            only == task
                || (only.item.is_none() && only.node == task.node)
                || self.is_inside(&task.node)
        });
        is_task && self.level == LogLevel::Info && self.attempt.is_none_or(|own| own == attempt)
    }
}

/// The attempt that an event is about.
fn attempt_of(event: &Event) -> Option<u32> {
    match event {
        Event::AttemptStarted { attempt, .. }
        | Event::AttemptFailed { attempt, .. }
        | Event::RetryScheduled { attempt, .. }
        | Event::CallRetried { attempt, .. }
        | Event::PassedOver { attempt, .. }
        | Event::Succeeded { attempt, .. }
        | Event::Failed { attempt, .. }
        | Event::Unknown { attempt, .. }
        | Event::Cancelled { attempt, .. } => Some(*attempt),
        Event::Waiting { wait, .. } => Some(wait.attempt),
        _ => None,
    }
}

/// How serious an event is.
fn level(event: &Event) -> LogLevel {
    match event {
        Event::Failed { .. }
        | Event::NodeFailed { .. }
        | Event::Unknown { .. }
        | Event::RunFinished { status: RunEnd::Failed } => LogLevel::Error,
        Event::AttemptFailed { .. }
        | Event::RetryScheduled { .. }
        | Event::CallRetried { .. }
        | Event::PassedOver { .. }
        | Event::FellBack { .. }
        | Event::Cancelled { .. }
        | Event::RunInterrupted { .. }
        | Event::RunFinished { status: RunEnd::Cancelled } => LogLevel::Warn,
        Event::Succeeded { warnings, .. } if !warnings.is_empty() => LogLevel::Warn,
        _ => LogLevel::Info,
    }
}

struct Printer<'a> {
    env: &'a Session,
    store: &'a dyn Store,
    run: &'a RunId,
    lines: Lines,
    wanted: Wanted,
    /// Attempts that go on, with what was told of their output.
    open: BTreeMap<(TaskRef, u32), Captured>,
    /// Whether the run has ended.
    ended: bool,
}

/// What was told of the captured output of an attempt, by stream.
#[derive(Default)]
struct Captured {
    streams: [Follower; 2],
    /// What is on record of them.
    kept: Vec<KeptOutput>,
}

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Printer<'_> {
    /// Tells a record, and before the end of an attempt what it has written.
    fn tell(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::RunFinished { .. } | Event::RunInterrupted { .. } => self.ended = true,
            Event::RunResumed { .. } => self.ended = false,
            Event::AttemptStarted { task, attempt, .. }
                if self.wanted.has_output(task, *attempt) =>
            {
                self.open.insert((task.clone(), *attempt), Captured::default());
            }
            Event::OutputKept { task, attempt, kept } => {
                if let Some(captured) = self.open.get_mut(&(task.clone(), *attempt)) {
                    captured.kept.clone_from(kept);
                }
            }
            Event::AttemptFailed { task, attempt, .. } | Event::Succeeded { task, attempt, .. } => {
                if let Some(mut captured) = self.open.remove(&(task.clone(), *attempt)) {
                    self.drain(task, *attempt, &mut captured, true);
                }
            }
            _ => {}
        }
        if self.wanted.has_event(&recorded.event) {
            self.tell_event(recorded);
        }
    }

    fn tell_event(&self, recorded: &Recorded) {
        if self.env.json {
            if let Some(line) = jsonl::event(self.run, self.store, recorded) {
                self.env.out.line(&line.to_string());
            }
        } else if let Some(line) = self.lines.event(recorded) {
            self.env.out.write(line.as_bytes());
        }
    }

    /// Tells what the attempts that go on have written since; all of it where nothing follows.
    fn drain_all(&mut self, is_last: bool) {
        let mut open = std::mem::take(&mut self.open);
        for ((task, attempt), captured) in &mut open {
            self.drain(task, *attempt, captured, is_last);
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
            let is_of = |kept: &&KeptOutput| path.ends_with(&kept.file);
            if let Some(kept) = captured.kept.iter().find(is_of).filter(|_| is_last) {
                follower.compare(&path, kept, task);
            }
        }
    }

    /// Tells a line of a program. Whoever wants its bytes as they were asks for JSON, where control
    /// characters are escaped.
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
        self.env.out.write(self.lines.output(task, stream, &clean(&text)).as_bytes());
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
    lines: Splitter,
    digest: Hasher,
    refused: bool,
}

impl Follower {
    /// Gives every line that is new; the last one without its end too, if nothing follows.
    /// What cannot be read is told once and not tried again.
    fn read(&mut self, path: &Path, is_last: bool, line: &mut dyn FnMut(&[u8])) {
        if self.refused {
            return;
        }
        if let Err(error) = self.read_on(path, line) {
            self.refused = true;
            tell(&format!("warning: captured output cannot be shown: {error}\n"));
        }
        if is_last {
            self.lines.finish(line);
        }
    }

    /// Warns if what was read is not what was written.
    fn compare(&mut self, path: &Path, kept: &KeptOutput, task: &TaskRef) {
        let (at, path) = (self.at, path.display());
        if self.refused || kept.at != 0 || self.digest.finish() == kept.digest {
            return;
        }
        self.refused = true;
        let what = match kept.bytes.checked_sub(at).filter(|lost| *lost > 0) {
            Some(lost) => format!(
                "{path} at byte {at}: the last {lost} bytes of what {task} wrote are not there"
            ),
            None => format!(
                "{path}: what {task} wrote was changed since, or did not reach the disk whole"
            ),
        };
        tell(&format!("warning: {what}\n"));
    }

    fn read_on(&mut self, path: &Path, line: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        // An attempt without output has no file.
        let Some(mut file) = flow_store::open_plain(path)? else { return Ok(()) };
        let failed = || StoreError::io("read", path);
        file.seek(SeekFrom::Start(self.at)).map_err(failed())?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = file.read(&mut buffer).map_err(failed())?;
            if length == 0 {
                return Ok(());
            }
            self.at += length as u64;
            self.digest.update(&buffer[..length]);
            self.lines.push(&buffer[..length], line);
        }
    }
}
