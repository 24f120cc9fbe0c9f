//! What to run: a program with its arguments, streams and limits, and what it left behind.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_core::error::ErrorKind;
use flow_core::stage::Draft;

/// How long descendants have between SIGTERM and SIGKILL, unless a command says otherwise.
pub const GRACE: Duration = Duration::from_secs(5);

/// Where a program's standard input comes from.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    /// Nothing: the program reads an end of file at once.
    #[default]
    Empty,
    /// These bytes; a program that does not read them all is no failure.
    Bytes(Arc<[u8]>),
    /// An open file, from its current position.
    File(Arc<File>),
}

/// Whether a stream is kept for the caller. Every byte goes to
/// [`Context::capture`](flow_core::stage::Context::capture) in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Not kept.
    #[default]
    Nothing,
    /// Kept whole: in memory while small, else in a file of the attempt's side folder.
    All,
}

/// Which ends of a program count as success. Death by a signal never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExitRule {
    /// Exit code 0 alone.
    #[default]
    Zero,
    /// Any exit code; the caller looks at [`Finished::exit_code`].
    Any,
}

/// Takes a program's stdout line by line, without line ends, invalid UTF-8 replaced.
pub type LineSink = Box<dyn FnMut(&str) + Send + Sync>;

/// A program to run. Made by [`Command::new`], run by [`Spawner::run`](super::Spawner::run).
pub struct Command {
    /// The program: a name is searched on PATH, anything with a `/` is a path.
    pub program: PathBuf,
    /// Arguments, without the program itself.
    pub args: Vec<OsString>,
    /// Variables set on top of the engine's environment.
    pub env: Vec<(OsString, OsString)>,
    /// Variables of the engine's environment that the program does not get.
    pub env_remove: Vec<OsString>,
    /// Working folder; the context's scratch folder if `None`.
    pub cwd: Option<PathBuf>,
    /// Standard input.
    pub stdin: Stdin,
    /// Longest silence on both output streams together.
    pub idle_timeout: Option<Duration>,
    /// Whether stdout is kept.
    pub stdout: Keep,
    /// Whether stderr is kept; its tail always is.
    pub stderr: Keep,
    /// The family of this command's errors.
    pub kind: ErrorKind,
    /// What is being done, for errors: `run ffmpeg`.
    pub operation: String,
    /// Which exit codes are success.
    pub exit: ExitRule,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Whether the context learns nothing of its output, because it is the engine's own affair.
    pub quiet: bool,
    /// Called for each line of stdout as it comes.
    pub on_stdout_line: Option<LineSink>,
}

impl Command {
    /// A program without arguments and input, whose streams are captured and not kept.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let operation = format!("run {}", program.display());
        Self {
            program,
            args: Vec::new(),
            env: Vec::new(),
            env_remove: Vec::new(),
            cwd: None,
            stdin: Stdin::Empty,
            idle_timeout: None,
            stdout: Keep::Nothing,
            stderr: Keep::Nothing,
            kind: ErrorKind::Engine,
            operation,
            exit: ExitRule::Zero,
            grace: GRACE,
            quiet: false,
            on_stdout_line: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Sets standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Keeps stdout whole.
    #[must_use]
    pub fn keep_stdout(mut self) -> Self {
        self.stdout = Keep::All;
        self
    }

    /// Keeps stderr whole.
    #[must_use]
    pub fn keep_stderr(mut self) -> Self {
        self.stderr = Keep::All;
        self
    }

    /// Sets the longest silence.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets the family of errors.
    #[must_use]
    pub fn kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says what is being done, for errors.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.operation = operation.into();
        self
    }

    /// Sets which exit codes are success.
    #[must_use]
    pub fn exit(mut self, rule: ExitRule) -> Self {
        self.exit = rule;
        self
    }

    /// Sets what takes stdout line by line.
    #[must_use]
    pub fn on_stdout_line(mut self, sink: impl FnMut(&str) + Send + Sync + 'static) -> Self {
        self.on_stdout_line = Some(Box::new(sink));
        self
    }

    /// The whole command as text, for errors.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        std::iter::once(self.program.to_string_lossy().into_owned())
            .chain(self.args.iter().map(|a| a.to_string_lossy().into_owned()))
            .collect()
    }
}

impl fmt::Debug for Command {
    /// Arguments only: the environment may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("argv", &self.argv()).finish_non_exhaustive()
    }
}

/// A stream that was kept whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Captured {
    /// All its bytes.
    Memory(Vec<u8>),
    /// A file with all its bytes.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
}

impl Captured {
    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes, in memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::File { path, .. } => std::fs::read(path),
        }
    }

    /// The stream as a draft of an output.
    #[must_use]
    pub fn into_draft(self) -> Draft {
        match self {
            Self::Memory(bytes) => Draft::Bytes(bytes),
            Self::File { path, .. } => Draft::Path(path),
        }
    }
}

impl Default for Captured {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

/// A program that ended in a way that its [`ExitRule`] accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code.
    pub exit_code: i32,
    /// stdout, if it was kept.
    pub stdout: Captured,
    /// stderr, if it was kept.
    pub stderr: Captured,
    /// The last lines of stderr, control characters escaped.
    pub stderr_tail: String,
}
