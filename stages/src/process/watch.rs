//! Watching one program until nothing of it is left: its streams, its limits, its end.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use flow_core::error::StageError;
use flow_core::stage::{CancelReason, Context, ProcessId, Stream};
use rustix::io::Errno;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::command::{Captured, Command, ExitRule, Finished, Keep, LineSink};
use super::failure::Failures;
use super::output::{Lines, Spool, Tail};
use super::platform;
use super::protocol::{End, Reply, Request};
use super::run::{Feed, Guard, Ours};

/// One read of a pipe takes at most this much.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// What is read of a pipe after the program's end, at most; more can only come from a process that
/// got the pipe from elsewhere.
const LAST_READ: usize = 4 << 20;

/// How long what must end may take beyond its grace before the attempt ends without it.
const PATIENCE: Duration = Duration::from_millis(800);

/// How often an attempt that is being ended asks whether it must now be killed.
const ASK_AGAIN: Duration = Duration::from_millis(50);

thread_local! {
    /// Reads are handed on at once, so all programs of a thread share one buffer.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// A program that was started and has not been reported as wholly gone.
pub(super) struct Running<'a> {
    context: &'a dyn Context,
    command: &'a Command,
    guard: Guard,
    replies: mpsc::UnboundedReceiver<Reply>,
    began: Instant,
    last_output: Instant,
    stdout: Output,
    stderr: Output,
    lines: Option<(Lines, LineSink)>,
    tail: Tail,
    end: Option<End>,
    gone: bool,
    stop: Option<Stop>,
    give_up_at: Option<Instant>,
    ask_at: Instant,
}

/// Why the program is being ended.
enum Stop {
    /// The context said so.
    Asked(CancelReason),
    /// It wrote nothing for too long.
    Silent(Duration),
    /// Its output cannot be kept.
    Unkept(io::Error),
    /// The starter process is gone.
    StarterLost,
}

/// Where one stream goes.
struct Output {
    spool: Option<Spool>,
    widened: bool,
}

/// What a read of a pipe came to.
#[derive(PartialEq, Eq)]
enum Read {
    Bytes(usize),
    Nothing,
    End,
}

impl<'a> Running<'a> {
    /// Begins to watch a program that was started just now.
    pub(super) fn new(
        context: &'a dyn Context,
        command: &'a Command,
        guard: Guard,
        replies: mpsc::UnboundedReceiver<Reply>,
        sink: Option<LineSink>,
    ) -> Self {
        let now = Instant::now();
        let output = |keep, name: &str| Output {
            spool: (keep == Keep::All)
                .then(|| Spool::new(context.side(), &format!("{name}-{}", guard.id))),
            widened: false,
        };
        Self {
            stdout: output(command.stdout, "stdout"),
            stderr: output(command.stderr, "stderr"),
            context,
            command,
            guard,
            replies,
            began: now,
            last_output: now,
            lines: sink.map(|sink| (Lines::default(), sink)),
            tail: Tail::default(),
            end: None,
            gone: false,
            stop: None,
            give_up_at: None,
            ask_at: now,
        }
    }

    /// Watches until nothing of the program is left, or nobody waits for the rest any longer.
    pub(super) async fn watch(&mut self, first: Option<Option<Reply>>, ours: Ours) {
        if let Some(reply) = first {
            self.note(reply);
        }
        if self.is_over() {
            self.read_rest(ours.stdout.as_fd(), ours.stderr.as_fd());
            return;
        }
        match Pipes::register(ours) {
            Ok(mut pipes) => {
                self.serve(&mut pipes).await;
                self.read_rest_of(&pipes);
            }
            Err(error) => {
                self.stop_for(Stop::Unkept(error), Duration::ZERO);
                self.serve(&mut Pipes::default()).await;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.gone || self.give_up_at.is_some_and(|at| at <= Instant::now())
    }

    async fn serve(&mut self, pipes: &mut Pipes) {
        let context = self.context;
        let mut cancelled = context.cancelled();
        while !self.is_over() {
            let due = self.due();
            tokio::select! {
                biased;
                reply = self.replies.recv() => self.note(reply),
                reason = &mut cancelled, if self.stop.is_none() && self.end.is_none() => {
                    self.stop_for(Stop::Asked(reason), grace_for(reason, self.command));
                }
                () = sleep_until_some(due) => self.look_at_the_clock().await,
                () = pipes.ready() => self.read_both(pipes),
            }
        }
    }

    /// Takes in what the starter process says.
    fn note(&mut self, reply: Option<Reply>) {
        match reply {
            Some(Reply::Started { pid, start_time, .. }) => {
                let boot_id = platform::boot_id().to_owned();
                self.context.process_started(ProcessId { pid, start_time, boot_id });
            }
            Some(Reply::Exited { end, alone, .. }) => {
                self.end = Some(end);
                self.gone = alone;
                let limit = LINGER_AND_LOOK + self.command.grace + PATIENCE;
                self.give_up_at.get_or_insert(Instant::now() + limit);
            }
            Some(Reply::Gone { .. }) => self.gone = true,
            Some(Reply::Failed { .. } | Reply::AllGone) => {}
            None => {
                self.stop = Some(Stop::StarterLost);
                self.gone = true;
            }
        }
    }

    /// Has the program and all its descendants ended.
    fn stop_for(&mut self, stop: Stop, grace: Duration) {
        let now = Instant::now();
        self.stop = Some(stop);
        self.give_up_at = Some(now + grace + PATIENCE);
        self.ask_at = now + ASK_AGAIN;
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.guard.link.send(&Request::End { id: self.guard.id, grace_ms }, Vec::new());
    }

    /// The next moment at which the clock alone changes something.
    fn due(&self) -> Option<Instant> {
        let (idle, ask) = match (&self.stop, self.end) {
            (Some(_), _) => (None, Some(self.ask_at)),
            (None, Some(_)) => (None, None),
            (None, None) => (self.command.idle_timeout.map(|limit| self.last_output + limit), None),
        };
        [idle, ask, self.give_up_at].into_iter().flatten().min()
    }

    async fn look_at_the_clock(&mut self) {
        self.ask_at = Instant::now() + ASK_AGAIN;
        if let Some(Stop::Asked(reason)) = &self.stop
            && *reason != CancelReason::Killed
        {
            // The engine may have been told to stop a second time: that ends the grace.
            let again = timeout(Duration::ZERO, self.context.cancelled()).await;
            if again == Ok(CancelReason::Killed) {
                self.stop_for(Stop::Asked(CancelReason::Killed), Duration::ZERO);
            }
        }
        let idle = self.command.idle_timeout.filter(|_| self.stop.is_none() && self.end.is_none());
        if let Some(limit) = idle
            && self.last_output + limit <= Instant::now()
        {
            self.stop_for(Stop::Silent(limit), self.command.grace);
        }
    }

    /// Reads once from each pipe that has something, so that neither waits for the other.
    fn read_both(&mut self, pipes: &mut Pipes) {
        for (slot, stream) in
            [(&mut pipes.stdout, Stream::Stdout), (&mut pipes.stderr, Stream::Stderr)]
        {
            let Some(pipe) = slot else { continue };
            match self.take(stream, |buffer| pipe.try_read(buffer)) {
                Read::Bytes(READ_BYTES) => self.output(stream).widen(pipe.as_fd()),
                Read::Bytes(_) | Read::Nothing => {}
                Read::End => *slot = None,
            }
        }
        pipes.feed();
    }

    fn output(&mut self, stream: Stream) -> &mut Output {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Reads once and hands on what was read.
    fn take(&mut self, stream: Stream, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> Read {
        BUFFER.with_borrow_mut(|buffer| match read(buffer) {
            Ok(0) => Read::End,
            Ok(length) => {
                self.hand_on(stream, &buffer[..length]);
                Read::Bytes(length)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Read::Nothing,
                _ => Read::End,
            },
        })
    }

    fn hand_on(&mut self, stream: Stream, bytes: &[u8]) {
        self.last_output = Instant::now();
        if !self.command.quiet {
            self.context.capture(stream, bytes);
        }
        if stream == Stream::Stderr {
            self.tail.write(bytes);
        } else if let Some((lines, sink)) = &mut self.lines {
            lines.write(bytes, sink);
        }
        let output = self.output(stream);
        if let Some(spool) = &mut output.spool
            && let Err(error) = spool.write(bytes)
        {
            output.spool = None;
            self.stop_for(Stop::Unkept(error), self.command.grace);
        }
    }

    fn read_rest_of(&mut self, pipes: &Pipes) {
        for (pipe, stream) in [(&pipes.stdout, Stream::Stdout), (&pipes.stderr, Stream::Stderr)] {
            if let Some(pipe) = pipe {
                self.read_rest_from(stream, pipe.as_fd());
            }
        }
    }

    fn read_rest(&mut self, stdout: BorrowedFd<'_>, stderr: BorrowedFd<'_>) {
        self.read_rest_from(Stream::Stdout, stdout);
        self.read_rest_from(Stream::Stderr, stderr);
    }

    /// Reads what is still in a pipe. Whoever could write more is gone, so nothing is waited for.
    fn read_rest_from(&mut self, stream: Stream, pipe: BorrowedFd<'_>) {
        let mut total = 0;
        while total < LAST_READ {
            let read = self.take(stream, |buffer| {
                loop {
                    match rustix::io::read(pipe, &mut *buffer) {
                        Err(Errno::INTR) => {}
                        other => return other.map_err(io::Error::from),
                    }
                }
            });
            match read {
                Read::Bytes(length) => total += length,
                Read::Nothing | Read::End => return,
            }
        }
    }

    /// The result.
    pub(super) fn conclude(mut self) -> Result<Finished, StageError> {
        if let Some((lines, mut sink)) = self.lines.take() {
            lines.finish(&mut sink);
        }
        if self.gone {
            // Nothing is left to be killed when this is dropped.
            self.guard.link.unregister(self.guard.id);
        }
        let stderr_tail = self.tail.text();
        match self.judge() {
            Ok(exit_code) => Ok(Finished {
                exit_code,
                stdout: self.stdout.finish(),
                stderr: self.stderr.finish(),
                stderr_tail,
            }),
            Err(error) => Err(StageError { stderr_tail, ..error }),
        }
    }

    fn judge(&self) -> Result<i32, StageError> {
        let failures = Failures(self.command);
        match (&self.stop, self.end) {
            (Some(Stop::Asked(reason)), _) => Err(failures.stopped(*reason, self.began.elapsed())),
            (Some(Stop::Silent(limit)), _) => Err(failures.silent(*limit)),
            (Some(Stop::Unkept(error)), _) => Err(failures.io("its output cannot be kept", error)),
            (Some(Stop::StarterLost), _) | (None, None) => Err(failures.starter_lost()),
            (None, Some(End::Code(code))) if code == 0 || self.command.exit == ExitRule::Any => {
                Ok(code)
            }
            (None, Some(end)) => Err(failures.ended(end)),
        }
    }
}

/// What the starter process gives leftovers before their SIGTERM, with room to look.
const LINGER_AND_LOOK: Duration = Duration::from_millis(300);

fn grace_for(reason: CancelReason, command: &Command) -> Duration {
    if reason == CancelReason::Killed { Duration::ZERO } else { command.grace }
}

async fn sleep_until_some(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Output {
    fn widen(&mut self, pipe: BorrowedFd<'_>) {
        if !self.widened {
            self.widened = true;
            platform::widen_pipe(pipe);
        }
    }

    fn finish(self) -> Captured {
        self.spool.map(Spool::finish).unwrap_or_default()
    }
}

/// The engine's ends of the pipes, as the runtime watches them.
#[derive(Default)]
struct Pipes {
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
    stdin: Option<(pipe::Sender, Feed)>,
}

impl Pipes {
    fn register(ours: Ours) -> io::Result<Self> {
        let stdin = match ours.stdin {
            Some((pipe, feed)) => Some((pipe::Sender::from_owned_fd_unchecked(pipe)?, feed)),
            None => None,
        };
        Ok(Self {
            stdout: Some(pipe::Receiver::from_owned_fd_unchecked(ours.stdout)?),
            stderr: Some(pipe::Receiver::from_owned_fd_unchecked(ours.stderr)?),
            stdin,
        })
    }

    /// Resolves when a pipe can be served. A pipe that cannot be watched counts as ready: serving
    /// it finds out why.
    async fn ready(&self) {
        tokio::select! {
            _ = readable(self.stdout.as_ref()) => {}
            _ = readable(self.stderr.as_ref()) => {}
            _ = writable(self.stdin.as_ref()) => {}
        }
    }

    /// Writes what the program's stdin takes at once.
    fn feed(&mut self) {
        if let Some((pipe, feed)) = &mut self.stdin
            && !feed.write(|bytes| pipe.try_write(bytes))
        {
            self.stdin = None;
        }
    }
}

async fn readable(pipe: Option<&pipe::Receiver>) -> io::Result<()> {
    match pipe {
        Some(pipe) => pipe.readable().await,
        None => std::future::pending().await,
    }
}

async fn writable(stdin: Option<&(pipe::Sender, Feed)>) -> io::Result<()> {
    match stdin {
        Some((pipe, _)) => pipe.writable().await,
        None => std::future::pending().await,
    }
}
