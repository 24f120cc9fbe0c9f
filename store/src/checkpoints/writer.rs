//! The thread that takes journals over into the database.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::StoreError;

use super::open::{self, Database};
use super::packs::applied;
use super::record::{Applied, Packer, applied_key};
use super::{Order, Shared};
use crate::cache::{Answer, Server};
use crate::journal::{JournalFile, Tip};
use crate::stats::count;

/// So long, or so many checkpoints, are gathered for one batch.
const GATHER: Duration = Duration::from_millis(100);
pub(super) const GATHER_MAX: u64 = 1024;

/// Opens the database, writes it until the store is closed, and closes it.
pub(super) fn run(shared: &Arc<Shared>) {
    let worked = catch_unwind(AssertUnwindSafe(|| {
        let mut writer = Writer { shared, feeds: HashMap::new(), failed: false, server: None };
        writer.open();
        shared.state().tried = 1;
        shared.progress.notify_all();
        while let Some(orders) = writer.next_orders() {
            writer.obey(&orders.runs);
            let mut state = shared.state();
            state.done = orders.until;
            state.tried = state.tried.max(orders.tries);
            drop(state);
            shared.progress.notify_all();
        }
    }));
    if worked.is_err() {
        tracing::warn!("the writer of the checkpoint database panicked; the journals have it all");
    }
    // The server is gone with the writer.
    shared.set_database(None);
    let mut state = shared.state();
    state.finished = true;
    drop(state);
    shared.progress.notify_all();
}

struct Writer<'a> {
    shared: &'a Arc<Shared>,
    feeds: HashMap<RunId, Feed>,
    /// After a failed write the database is not touched again by this process.
    failed: bool,
    /// Answers other processes while this one has the database. Gone before the database is.
    server: Option<Server>,
}

/// A journal and how far it has been taken over.
struct Feed {
    journal: JournalFile,
    tip: Tip,
    /// How many results of the run are before it.
    made: u64,
}

/// What is to be done at once.
struct Orders {
    runs: HashMap<RunId, Order>,
    until: u64,
    tries: u64,
}

impl Writer<'_> {
    /// Opens the database if that can be done now.
    fn open(&mut self) {
        if self.failed || self.shared.database().is_some() {
            return;
        }
        match open::open(&self.shared.layout) {
            Ok(Some((database, repaired))) => {
                if repaired {
                    count(&self.shared.counters.database_repairs);
                }
                self.shared.set_database(Some(Arc::new(database)));
                self.listen();
            }
            Ok(None) => tracing::debug!("another process has the checkpoint database"),
            Err(error) => {
                tracing::warn!(%error, "the checkpoint database cannot be opened");
                self.give_up();
            }
        }
    }

    /// Begins to answer other processes.
    fn listen(&mut self) {
        let shared = Arc::downgrade(self.shared);
        let answer = move |key: &Digest| match shared.upgrade() {
            Some(shared) => shared.answer(key),
            None => Answer::Unable,
        };
        match Server::start(&self.shared.layout, answer) {
            Ok(server) => self.server = Some(server),
            Err(error) => tracing::debug!(%error, "other processes go without the cache"),
        }
    }

    /// Leaves the database alone from now on, and to other processes.
    fn give_up(&mut self) {
        self.failed = true;
        self.shared.state().failed = true;
        self.server = None;
        self.shared.set_database(None);
    }

    /// Waits for orders, and a little longer for more of them. `None` when the store is closed and
    /// nothing is left to do.
    fn next_orders(&self) -> Option<Orders> {
        let mut state = self.shared.state();
        while state.orders.is_empty() && state.tries == state.tried {
            if state.closing {
                return None;
            }
            let woken = self.shared.work.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + GATHER;
        while !state.closing && !state.urgent && state.waiting < GATHER_MAX {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.shared.work.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.urgent = false;
        state.waiting = 0;
        let (until, tries) = (state.ordered, state.tries);
        Some(Orders { runs: std::mem::take(&mut state.orders), until, tries })
    }

    fn obey(&mut self, orders: &HashMap<RunId, Order>) {
        let open = self.shared.database().or_else(|| {
            self.open();
            self.shared.database()
        });
        let Some(database) = open else { return };
        for (run, order) in orders {
            match self.take_over(&database, run, order) {
                Ok(()) => {}
                Err(StoreError::Damaged { path, offset, reason }) => {
                    tracing::warn!(%run, path = %path.display(), offset, reason, "not taken over");
                }
                Err(error) => {
                    tracing::warn!(%run, %error, "the checkpoint database is given up");
                    self.give_up();
                    return;
                }
            }
        }
    }

    /// Takes the tail of a journal over.
    fn take_over(
        &mut self,
        database: &Database,
        run: &RunId,
        order: &Order,
    ) -> Result<(), StoreError> {
        let Some(mut feed) = self.feed(database, run)? else { return Ok(()) };
        if order.again {
            (feed.tip, feed.made) = (Tip::first(&feed.journal.header), 0);
        }
        if order.sync {
            let path = &feed.journal.path;
            feed.journal.file.sync_data().map_err(StoreError::io("sync", path))?;
        }
        let Feed { journal, tip, made } = &mut feed;
        let identity = journal.header.identity;
        let mut reader = journal.reader_from(*tip);
        let mut packer = Packer::new(identity);
        let mut taken = None;
        while tip.offset < order.upto {
            let Some(frame) = reader.next_written()? else { break };
            let frame_at = frame.offset;
            for found in frame.entries() {
                let (position, raw, entry) = found?;
                packer.add(position, raw, &entry);
                if packer.is_full() {
                    // The position moves with the frame's last entry; until then the packs may
                    // well be written twice.
                    self.write(database, &mut packer, None)?;
                }
            }
            *tip = reader.tip();
            taken = Some(Applied { frame_at, tip: *tip, made: *made + packer.made });
        }
        packer.finish();
        *made += packer.made;
        let applied = taken.map(|applied| (applied_key(&identity), applied));
        self.write(database, &mut packer, applied)?;
        self.feeds.insert(run.clone(), feed);
        Ok(())
    }

    /// The journal of a run, and where to go on in it.
    fn feed(&mut self, database: &Database, run: &RunId) -> Result<Option<Feed>, StoreError> {
        if let Some(feed) = self.feeds.remove(run) {
            return Ok(Some(feed));
        }
        let Some(journal) = JournalFile::open(&self.shared.layout.journal(run))? else {
            return Ok(None);
        };
        let first = Tip::first(&journal.header);
        let known = applied(database, &journal)?;
        let (tip, made) = known.map_or((first, 0), |applied| (applied.tip, applied.made));
        Ok(Some(Feed { journal, tip, made }))
    }

    fn write(
        &self,
        database: &Database,
        packer: &mut Packer,
        applied: Option<(Vec<u8>, Applied)>,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let packs = packer.take();
        if packs.is_empty() && applied.is_none() {
            return Ok(());
        }
        for (key, value) in packs {
            batch.insert(key, value);
        }
        if let Some((key, applied)) = applied {
            let value = applied.seal(&key);
            batch.insert(key, value);
        }
        database.write(batch)?;
        let written = std::mem::take(&mut packer.checkpoints);
        self.shared.counters.checkpoints_written.fetch_add(written, Ordering::Relaxed);
        Ok(())
    }
}
