//! The two streams: results on stdout, everything else on stderr.

use std::io::{self, BufWriter, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Standard output. Writing never fails where it happens: whoever closed the stream has seen
/// enough, and any other failure is kept and told by [`Results::finish`], because the run goes on.
#[derive(Debug)]
pub(crate) struct Results {
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
        Self { state: Mutex::new(State { stdout, ended: false, failure: None }) }
    }

    /// Writes bytes. False once nobody takes any more, so that a long stream can stop.
    pub(crate) fn write(&self, bytes: &[u8]) -> bool {
        self.with(|stdout| stdout.write_all(bytes))
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) {
        self.with(|stdout| {
            stdout.write_all(text.as_bytes())?;
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
