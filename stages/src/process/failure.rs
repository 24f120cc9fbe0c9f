//! Errors of programs: what happened, as a class, a sentence and a way out.

use std::ffi::OsStr;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::policy::{format_duration, signal_name};
use flow_core::stage::CancelReason;
use rustix::io::Errno;

use super::command::Command;
use super::program::install_hint;
use super::protocol::{End, Step};

/// Makes the errors of one command: all carry its family, operation and whole argv.
pub(super) struct Failures<'a>(pub(super) &'a Command);

impl Failures<'_> {
    fn error(&self, class: ErrorClass, message: impl Into<String>) -> StageError {
        let mut error = StageError::new(class, &self.0.operation, message).kind(self.0.kind);
        error.argv = self.0.argv();
        error
    }

    fn name(&self) -> std::borrow::Cow<'_, str> {
        self.0.program.to_string_lossy()
    }

    /// The program is not on PATH.
    pub(super) fn not_found(&self) -> StageError {
        let name = self.name();
        self.error(ErrorClass::MissingTool, format!("`{name}` was not found on PATH"))
            .hint(install_hint(&name))
    }

    /// The engine itself could not do its part.
    pub(super) fn io(&self, what: &str, error: &io::Error) -> StageError {
        let mut failure = StageError::from_io(&self.0.operation, error).kind(self.0.kind);
        failure.message = format!("{what}: {error}");
        failure.argv = self.0.argv();
        failure
    }

    /// The starter process went away while the program ran.
    pub(super) fn starter_lost(&self) -> StageError {
        self.error(
            ErrorClass::Io,
            "the engine's starter process was killed, and the program with it",
        )
        .hint("it may have been the system's memory killer: see `dmesg`")
    }

    /// The starter process, or what leads to it, could not be set up.
    pub(super) fn not_set_up(&self, what: &str, error: &io::Error) -> StageError {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        match errno.and_then(|errno| self.no_room(errno)) {
            Some(failure) => failure.cause(format!("cannot set up {what}: {error}")),
            None => self.io(&format!("cannot set up {what}"), error),
        }
    }

    /// The system is short of something that others may give back soon.
    fn no_room(&self, errno: Errno) -> Option<StageError> {
        let failure = |message| self.error(ErrorClass::Io, message);
        match errno {
            Errno::AGAIN => {
                Some(failure("the system has no room for another process").hint(
                    "see `ulimit -u` and the limits of the container, or lower `max_parallel`",
                ))
            }
            Errno::NOMEM => Some(failure("the system has no memory for another process")),
            Errno::MFILE | Errno::NFILE => Some(
                failure("too many files are open")
                    .hint("raise `ulimit -n`, or lower `max_parallel`"),
            ),
            _ => None,
        }
    }

    /// The program could not be started.
    pub(super) fn not_started(&self, step: Step, errno: i32, file: &Path) -> StageError {
        let error = io::Error::from_raw_os_error(errno);
        match step {
            Step::Descriptors => self.io("the starter process could not take its streams", &error),
            Step::Folder => self.io("the working folder cannot be entered", &error),
            Step::Execute => self.not_executed(errno, file).cause(error),
        }
    }

    fn not_executed(&self, errno: i32, file: &Path) -> StageError {
        let shown = file.display();
        match Errno::from_raw_os_error(errno) {
            Errno::NOENT | Errno::NOTDIR if file.exists() => self.interpreter_missing(file),
            Errno::NOENT | Errno::NOTDIR => self
                .error(ErrorClass::MissingTool, format!("there is no file `{shown}`"))
                .hint("a path in `argv` is relative to the workflow file, or to the scratch folder for what `uses` brings there"),
            Errno::ACCESS | Errno::PERM if file.is_dir() => {
                self.error(ErrorClass::Config, format!("`{shown}` is a folder, not a program"))
            }
            Errno::ACCESS | Errno::PERM => self
                .error(ErrorClass::Config, format!("`{shown}` may not be executed"))
                .hint(format!("chmod +x {shown}")),
            Errno::NOEXEC => self
                .error(ErrorClass::Config, format!("`{shown}` is not a program of this machine"))
                .hint("a script begins with a line such as `#!/bin/sh`; a binary must be built for this processor"),
            Errno::LOOP => self.error(ErrorClass::Config, format!("`{shown}` is a link to itself")),
            Errno::TOOBIG => self
                .error(ErrorClass::Config, "the arguments and the environment are larger than the system allows")
                .hint("pass large values through `stdin` or as a file: in `argv` a list or a record becomes the path of one"),
            Errno::INVAL => self.unpassable(),
            Errno::TXTBSY => self
                .error(ErrorClass::Io, format!("`{shown}` is being written by another process")),
            other => self
                .no_room(other)
                .unwrap_or_else(|| self.error(ErrorClass::Io, format!("`{shown}` could not be started"))),
        }
    }

    /// Systems end every text that they hand to a program at its first NUL character.
    fn unpassable(&self) -> StageError {
        let has_nul = |text: &OsStr| text.as_bytes().contains(&0);
        let variable =
            self.0.env.iter().find(|(name, value)| has_nul(name) || has_nul(value)).map(|(n, _)| n);
        let argument = self.0.args.iter().position(|arg| has_nul(arg));
        let (what, hint) = match (variable, argument) {
            (Some(name), _) if name == "FLOW_ITEM" => (
                "the item's key, which FLOW_ITEM brings,".to_owned(),
                "let `key` name the item without that character, or leave it out: it is the index then",
            ),
            (Some(name), _) => (
                format!("the variable `{}`", name.display()),
                "pass such a value through `stdin` or as a file",
            ),
            (None, Some(at)) => (
                format!("argument {} of the program", at + 1),
                "pass such a value through `stdin` or as a file",
            ),
            (None, None) => ("the program's name".to_owned(), "name a program that is there"),
        };
        let message = format!("{what} holds a NUL character, which no program can be given");
        self.error(ErrorClass::Config, message).hint(hint)
    }

    /// The file is there, so what is missing is what its first line names.
    fn interpreter_missing(&self, file: &Path) -> StageError {
        let shown = file.display();
        match interpreter_of(file) {
            Some(interpreter) => self
                .error(
                    ErrorClass::MissingTool,
                    format!(
                        "the first line of `{shown}` names `{}`, which is not there",
                        interpreter.escape_debug()
                    ),
                )
                .hint(if interpreter.ends_with('\r') {
                    "the script has Windows line ends: convert it with `dos2unix`".to_owned()
                } else {
                    install_hint(&interpreter)
                }),
            None => self.error(
                ErrorClass::MissingTool,
                format!("`{shown}` needs a program loader that is not on this machine"),
            ),
        }
    }

    /// The program ended by itself in a way that is no success.
    pub(super) fn ended(&self, end: End) -> StageError {
        match end {
            End::Code(code) => {
                let mut error = self.error(ErrorClass::Process, code_message(&self.name(), code));
                error.exit_code = Some(code);
                error
            }
            End::Signal(signal) => {
                let name = signal_name(signal);
                let message = format!("`{}` was ended by {name}", self.name());
                let mut error = self.error(ErrorClass::Process, message);
                if signal == 9 {
                    error = error
                        .hint("somebody killed it, or the system was out of memory: see `dmesg`");
                }
                error.signal = Some(name);
                error
            }
        }
    }

    /// The attempt was told to stop.
    pub(super) fn stopped(&self, reason: CancelReason, after: Duration) -> StageError {
        let after = format_duration(rounded(after));
        let name = self.name();
        let (class, message) = match reason {
            CancelReason::Timeout => (
                ErrorClass::Timeout,
                format!(
                    "`{name}` had not ended after {after}, when the attempt's `timeout` passed"
                ),
            ),
            CancelReason::Deadline => (
                ErrorClass::Timeout,
                format!("`{name}` had not ended after {after}, when the `deadline` passed"),
            ),
            CancelReason::Interrupted | CancelReason::Killed => (
                ErrorClass::Cancelled,
                format!("`{name}` was ended after {after}, because the engine was told to stop"),
            ),
            CancelReason::Cancelled => (
                ErrorClass::Cancelled,
                format!("`{name}` was ended after {after}, because the run was cancelled"),
            ),
        };
        self.error(class, message)
    }

    /// The program wrote nothing for too long.
    pub(super) fn silent(&self, limit: Duration) -> StageError {
        let message = format!("`{}` wrote nothing for {}", self.name(), format_duration(limit));
        self.error(ErrorClass::Timeout, message)
            .hint("raise `idle_timeout`, or make the program report its progress")
    }
}

fn code_message(name: &str, code: i32) -> String {
    let meaning = match code {
        75 => ": a failure that may pass (EX_TEMPFAIL)",
        126 => ": a command in it was found but may not be executed",
        127 => ": a command in it was not found",
        129..=159 => {
            return format!(
                "`{name}` ended with exit code {code}: a command in it was ended by {}",
                signal_name(code - 128)
            );
        }
        _ => "",
    };
    format!("`{name}` ended with exit code {code}{meaning}")
}

/// A time that people read: full seconds from ten seconds on, else tenths.
fn rounded(time: Duration) -> Duration {
    let step = if time >= Duration::from_secs(10) { 1_000 } else { 100 };
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if ms < step { time } else { Duration::from_millis(ms / step * step) }
}

/// What the `#!` line of a script names; `None` for other files.
fn interpreter_of(file: &Path) -> Option<String> {
    let open = std::fs::File::open(file).ok()?;
    let mut line = Vec::new();
    io::BufReader::new(open.take(256)).read_until(b'\n', &mut line).ok()?;
    let text = String::from_utf8_lossy(&line).into_owned();
    let named = text.strip_prefix("#!")?.trim_matches([' ', '\t', '\n']);
    Some(named.split([' ', '\t']).next().unwrap_or(named).to_owned())
}
