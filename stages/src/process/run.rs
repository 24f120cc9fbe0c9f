//! Starting one program: where it is, its streams, and what to do when it does not start.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_core::error::StageError;
use flow_core::stage::Context;
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio_retry::RetryIf;
use tokio_retry::strategy::ExponentialBackoff;

use super::command::{Command, Finished, Stdin};
use super::failure::Failures;
use super::platform;
use super::protocol::{Reply, Request, Spawn, Step};
use super::spawner::{Link, Spawner};
use super::watch::{READ_BYTES, Running};

impl Spawner {
    /// Runs a program to its end.
    ///
    /// Every byte that it writes goes to `context.capture`. When `context.cancelled()` resolves,
    /// the program and all its descendants get SIGTERM, and SIGKILL after the command's grace;
    /// the same happens to descendants that outlive the program.
    ///
    /// # Errors
    /// When the program is not there (`missing_tool`), cannot be executed (`config`), ends in a
    /// way that the command's [`ExitRule`](super::ExitRule) does not accept (`process`), takes too long or is silent
    /// for too long (`timeout`), is told to stop (`cancelled`), or when the machine cannot start
    /// or serve it (`io`, `disk_full`).
    pub async fn run(
        &self,
        context: &dyn Context,
        mut command: Command,
    ) -> Result<Finished, StageError> {
        let sink = command.on_stdout_line.take();
        let Started { guard, replies, first, ours } =
            self.start_patiently(context, &command).await?;
        let mut running = Running::new(context, &command, guard, replies, sink);
        running.watch(first, ours).await;
        running.conclude()
    }

    /// Starts a program; what may pass soon (a file still open for writing, too many processes or
    /// open files) is tried again for a while.
    async fn start_patiently(
        &self,
        context: &dyn Context,
        command: &Command,
    ) -> Result<Started, StageError> {
        // 10, 20, 40, … ms, about six seconds in all.
        let waits = ExponentialBackoff::from_millis(2)
            .factor(5)
            .max_delay(Duration::from_millis(500))
            .take(18);
        let start = RetryIf::start(waits, || self.start(context, command), NotStarted::may_pass);
        // Once asked for, a program is watched to its end, so that it too ends in good order.
        tokio::select! {
            biased;
            started = start => started.map_err(|failure| failure.into_error(command)),
            reason = context.cancelled() => Err(Failures(command).stopped(reason, Duration::ZERO)),
        }
    }

    async fn start(&self, context: &dyn Context, command: &Command) -> Result<Started, NotStarted> {
        let folder = working_folder(context, command);
        let path = command.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path);
        let program = self
            .paths()
            .resolve(&command.program, path.map(|path| path.as_os_str()))
            .ok_or(NotStarted::NotFound)?;
        let program = folder.join(program);
        let link = self.link().map_err(|e| NotStarted::Engine("the starter process", e))?;
        let (mut ours, theirs) =
            open_streams(&command.stdin).map_err(|e| NotStarted::Engine("the pipes", e))?;
        let id = link.new_id();
        let spawn = Spawn {
            id,
            grace_ms: u64::try_from(command.grace.as_millis()).unwrap_or(u64::MAX),
            has_stdin: theirs.len() > 2,
            program: program.clone().into_os_string(),
            cwd: folder.into_os_string(),
            token: self.token(id),
            argv: std::iter::once(command.program.as_os_str())
                .chain(command.args.iter().map(OsString::as_os_str))
                .map(OsStr::to_owned)
                .collect(),
            set: environment(command),
            remove: command.env_remove.clone(),
        };
        if size_of_strings(&spawn) > LARGEST_REQUEST {
            let errno = Errno::TOOBIG.raw_os_error();
            let step = Step::Execute;
            return Err(NotStarted::System { step, errno, program, searched: false });
        }
        let mut replies = link.register(id);
        let guard = Guard { link: link.clone(), id };
        link.send(&Request::Spawn(Box::new(spawn)), theirs);
        ours.feed();
        // The first word comes at once if the program cannot be started, with its end if that is
        // near, else after a moment: until then its pipes have room enough.
        let first = tokio::select! {
            biased;
            reply = replies.recv() => Some(reply),
            _ = context.cancelled() => None,
        };
        if let Some(Some(Reply::Failed { step, errno, .. })) = first {
            self.paths().clear();
            let searched = !command.program.as_os_str().as_bytes().contains(&b'/');
            return Err(NotStarted::System { step, errno, program, searched });
        }
        Ok(Started { guard, replies, first, ours })
    }
}

/// Strings beyond this size are refused by every system, and would only burden the socket.
const LARGEST_REQUEST: usize = 32 << 20;

fn size_of_strings(spawn: &Spawn) -> usize {
    spawn.argv.iter().chain(&spawn.set).map(|text| text.len()).sum()
}

fn working_folder(context: &dyn Context, command: &Command) -> PathBuf {
    let own = command.cwd.as_deref().unwrap_or(context.scratch());
    let folder = if own.as_os_str().is_empty() { context.workflow_dir() } else { own };
    folder.to_owned()
}

fn environment(command: &Command) -> Vec<OsString> {
    let last: BTreeMap<&OsString, &OsString> =
        command.env.iter().map(|(name, value)| (name, value)).collect();
    last.into_iter()
        .map(|(name, value)| {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            entry
        })
        .collect()
}

/// Why a program does not run.
enum NotStarted {
    /// It is not on PATH.
    NotFound,
    /// The engine could not do its part.
    Engine(&'static str, io::Error),
    /// The system refused.
    System { step: Step, errno: i32, program: PathBuf, searched: bool },
}

impl NotStarted {
    /// Whether the same may work in a moment.
    fn may_pass(&self) -> bool {
        if let Self::System { program, searched: true, .. } = self
            && !program.exists()
        {
            // It was where PATH says when that was looked up: look again.
            return true;
        }
        let number = match self {
            Self::NotFound => None,
            Self::Engine(_, error) => error.raw_os_error(),
            Self::System { errno, .. } => Some(*errno),
        };
        number.map(Errno::from_raw_os_error).is_some_and(|errno| {
            matches!(
                errno,
                Errno::TXTBSY | Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE
            )
        })
    }

    fn into_error(self, command: &Command) -> StageError {
        let failures = Failures(command);
        match self {
            Self::NotFound => failures.not_found(),
            Self::Engine(what, error) => failures.not_set_up(what, &error),
            Self::System { step, errno, program, .. } => {
                failures.not_started(step, errno, &program)
            }
        }
    }
}

/// A program that was asked for.
pub(super) struct Started {
    pub(super) guard: Guard,
    pub(super) replies: mpsc::UnboundedReceiver<Reply>,
    /// The first reply; `None` if the attempt was told to stop before, an inner `None` if the
    /// starter process is gone.
    pub(super) first: Option<Option<Reply>>,
    pub(super) ours: Ours,
}

/// Kills the program when its attempt is dropped before the program's end.
pub(super) struct Guard {
    pub(super) link: Arc<Link>,
    pub(super) id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.link.unregister(self.id) {
            self.link.send(&Request::End { id: self.id, grace_ms: 0 }, Vec::new());
        }
    }
}

/// The engine's ends of a program's streams.
pub(super) struct Ours {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) stdin: Option<(OwnedFd, Feed)>,
}

/// Bytes on their way to a program.
pub(super) struct Feed {
    bytes: Arc<[u8]>,
    written: usize,
}

/// Opens the streams of a program: the engine's ends, and the program's in the order in which
/// they are sent.
fn open_streams(stdin: &Stdin) -> io::Result<(Ours, Vec<OwnedFd>)> {
    let (stdout, their_stdout) = platform::output_pipe()?;
    let (stderr, their_stderr) = platform::output_pipe()?;
    let mut ours = Ours { stdout, stderr, stdin: None };
    let mut theirs = vec![their_stdout, their_stderr];
    match stdin {
        Stdin::Empty => {}
        Stdin::File(file) => theirs.push(file.as_fd().try_clone_to_owned()?),
        Stdin::Bytes(bytes) => {
            let (their_stdin, pipe) = platform::input_pipe()?;
            if bytes.len() > READ_BYTES {
                platform::widen_pipe(pipe.as_fd());
            }
            theirs.push(their_stdin);
            ours.stdin = Some((pipe, Feed { bytes: bytes.clone(), written: 0 }));
        }
    }
    Ok((ours, theirs))
}

impl Ours {
    /// Writes what the program's stdin takes at once.
    fn feed(&mut self) {
        if let Some((pipe, feed)) = &mut self.stdin
            && !feed.write(|bytes| Ok(rustix::io::write(&*pipe, bytes)?))
        {
            self.stdin = None;
        }
    }
}

impl Feed {
    /// Writes what the pipe takes; `false` when nothing is left to do, because all is written or
    /// nobody reads any more.
    pub(super) fn write(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> bool {
        while self.written < self.bytes.len() {
            match write(&self.bytes[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return true,
                    // The program has closed its stdin: that is its own affair.
                    _ => return false,
                },
            }
        }
        false
    }
}
