//! Answers other processes, in the process that has the checkpoint database.

use std::fs;
use std::io::{self, PipeWriter};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use rustix::event::{PollFd, PollFlags, poll};

use super::wire::{self, Answer};
use crate::layout::Layout;
use crate::platform;

/// A question comes in one piece right after the connection.
const PATIENCE: Duration = Duration::from_millis(100);

/// Listens until it is dropped. Whoever makes it holds the guard of the checkpoint database, so there
/// is one at a time.
pub(crate) struct Server {
    path: PathBuf,
    /// Ends the thread when it is closed.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to listen. Where that does not work, other processes go without the cache.
    pub(crate) fn start(
        layout: &Layout,
        answer: impl Fn(&Digest) -> Answer + Send + 'static,
    ) -> io::Result<Self> {
        let path = layout.socket();
        // A process that was killed leaves its socket behind.
        crate::files::if_there(fs::remove_file(&path))?;
        let listener = platform::listen(&path)?;
        listener.set_nonblocking(true)?;
        let (stopped, stop) = io::pipe()?;
        let thread = std::thread::Builder::new().name("flow-cache".into());
        let thread = thread.spawn(move || {
            if let Err(error) = serve(&listener, &stopped, &answer) {
                tracing::warn!(%error, "other processes are not answered any more");
            }
        })?;
        Ok(Self { path, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        crate::files::discard(&self.path);
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread that answers other processes panicked");
        }
    }
}

/// Answers one question after the other: each takes microseconds.
fn serve(
    listener: &UnixListener,
    stopped: &io::PipeReader,
    answer: &impl Fn(&Digest) -> Answer,
) -> io::Result<()> {
    loop {
        let mut ready = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        if !ready[1].revents().is_empty() {
            return Ok(());
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            // Such as too many open files: the asker goes on without an answer.
            Err(error) => {
                tracing::debug!(%error, "a question was not taken");
                std::thread::sleep(PATIENCE);
                continue;
            }
        };
        let answered = stream
            .set_nonblocking(false)
            .and_then(|()| wire::serve(&stream, Instant::now() + PATIENCE, answer));
        if let Err(error) = answered {
            tracing::debug!(%error, "a question was not answered");
        }
    }
}
