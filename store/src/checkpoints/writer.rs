//! The thread that takes journals over into the database.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use flow_core::id::RunId;
use flow_core::store::StoreError;

use super::open::{self, Database};
use super::packs::applied;
use super::record::{Applied, Packer, applied_key};
use super::{Order, Shared};
use crate::journal::{JournalFile, Tip};
use crate::stats::count;

/// So long, or so many checkpoints, are gathered for one batch.
const GATHER: Duration = Duration::from_millis(100);
pub(super) const GATHER_MAX: u64 = 1024;

/// Opens the database, writes it until the store is closed, and closes it.
pub(super) fn run(shared: &Shared) {
    let worked = catch_unwind(AssertUnwindSafe(|| {
        let mut writer = Writer { shared, feeds: HashMap::new(), failed: false };
        writer.open();
        shared.state().tried = true;
        shared.progress.notify_all();
        while let Some(orders) = writer.next_orders() {
            writer.obey(&orders.runs);
            let mut state = shared.state();
            state.done = orders.until;
            drop(state);
            shared.progress.notify_all();
        }
    }));
    if worked.is_err() {
        tracing::warn!("the writer of the checkpoint database panicked; the journals have it all");
    }
    shared.set_database(None);
    let mut state = shared.state();
    state.finished = true;
    drop(state);
    shared.progress.notify_all();
}

struct Writer<'a> {
    shared: &'a Shared,
    feeds: HashMap<RunId, Feed>,
    /// After a failed write the database is not touched again by this process.
    failed: bool,
}

/// A journal and how far it has been taken over.
struct Feed {
    journal: JournalFile,
    tip: Tip,
}

/// What is to be done at once.
struct Orders {
    runs: HashMap<RunId, Order>,
    until: u64,
}

impl Writer<'_> {
    /// Opens the database if that can be done now.
    fn open(&mut self) {
        if self.failed {
            return;
        }
        match open::open(&self.shared.layout) {
            Ok(Some((database, repaired))) => {
                if repaired {
                    count(&self.shared.counters.database_repairs);
                }
                self.shared.set_database(Some(Arc::new(database)));
            }
            Ok(None) => tracing::debug!("another process has the checkpoint database"),
            Err(error) => {
                tracing::warn!(%error, "the checkpoint database cannot be opened");
                self.failed = true;
            }
        }
    }

    /// Waits for orders, and a little longer for more of them. `None` when the store is closed and
    /// nothing is left to do.
    fn next_orders(&self) -> Option<Orders> {
        let mut state = self.shared.state();
        while state.orders.is_empty() {
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
        Some(Orders { runs: std::mem::take(&mut state.orders), until: state.ordered })
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
                    self.failed = true;
                    self.shared.set_database(None);
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
            feed.tip = Tip::first(&feed.journal.header);
        }
        let Feed { journal, tip } = &mut feed;
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
            taken = Some(Applied { frame_at, tip: *tip });
        }
        packer.close();
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
        let tip = applied(database, &journal)?.map_or(first, |applied| applied.tip);
        Ok(Some(Feed { journal, tip }))
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
