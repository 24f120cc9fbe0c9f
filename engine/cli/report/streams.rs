//! The two streams: results on stdout, everything else on stderr.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::text::clean_json;

/// Standard output. Writing never fails where it happens: whoever closed the stream has seen
/// enough, and any other failure is kept and told by [`Results::finish`], because the run goes on.
#[derive(Debug)]
pub(crate) struct Results {
    /// JSON must not steer it. What else is written was made harmless before.
    is_terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stdout: BufWriter<io::Stdout>,
    /// Nobody takes any more.
    ended: bool,
    failure: Option<io::Error>,
}

impl Results {
    pub(crate) fn new() -> Self {
        let stdout = BufWriter::with_capacity(64 * 1024, io::stdout());
        let state = Mutex::new(State { stdout, ended: false, failure: None });
        Self { is_terminal: io::stdout().is_terminal(), state }
    }

    /// Writes bytes. False once nobody takes any more, so that a long stream can stop.
    pub(crate) fn write(&self, bytes: &[u8]) -> bool {
        let bytes = self.shown(bytes);
        self.with(|stdout| stdout.write_all(&bytes))
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) {
        let text = self.shown(text.as_bytes());
        self.with(|stdout| {
            stdout.write_all(&text)?;
            stdout.write_all(b"\n")
        });
    }

    /// Hands over what was written so far.
    pub(crate) fn flush(&self) {
        self.with(BufWriter::flush);
    }

    /// Hands over everything.
    ///
    /// # Errors
    /// The first failure to write that was not a closed stream.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.flush();
        self.lock().failure.take().map_or(Ok(()), Err)
    }

    /// The bytes as they are, or as a terminal takes them.
    fn shown<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match std::str::from_utf8(bytes) {
            Ok(text) if self.is_terminal && !text.is_ascii() => {
                Cow::Owned(clean_json(text).into_bytes())
            }
            _ => Cow::Borrowed(bytes),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, write: impl FnOnce(&mut BufWriter<io::Stdout>) -> io::Result<()>) -> bool {
        let mut state = self.lock();
        if state.ended {
            return false;
        }
        if let Err(error) = write(&mut state.stdout) {
            state.ended = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                state.failure = Some(error);
            }
        }
        !state.ended
    }
}

/// Writes text to stderr, through the screen where there is one. Where that fails, nobody is left
/// to be told.
pub(crate) fn tell(text: &str) {
    if super::live::say(text) {
        return;
    }
    io::stderr().lock().write_all(text.as_bytes()).ok();
}
