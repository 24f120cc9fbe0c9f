//! The thread that makes the journal of a run durable, so that its owner never waits for the disk.

use std::sync::Arc;
use std::sync::mpsc;

use flow_core::store::{JournalSync, Position, StoreError};

/// The thread, until it is stopped.
pub(crate) struct SyncThread {
    requests: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl SyncThread {
    /// Starts it. `tell` gets what each sync came to, and says whether anybody still listens.
    pub(crate) fn start(
        journal: Arc<dyn JournalSync>,
        tell: impl Fn(Result<Position, StoreError>) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, receiver) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("journal-sync".into()).spawn(move || {
            while receiver.recv().is_ok() {
                let result = journal.sync();
                let failed = result.is_err();
                // After a failed sync nothing more may be acknowledged, so it is never tried again.
                if !tell(result) || failed {
                    break;
                }
            }
        })?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks for a sync of everything that is written by now.
    pub(crate) fn request(&self) {
        if let Some(requests) = &self.requests {
            // A thread that is gone has told its failure already.
            requests.send(()).ok();
        }
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sync thread panicked");
        }
    }
}
