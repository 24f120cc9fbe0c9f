//! Counters that show where answers came from.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an open store has done so far, for diagnosis and for proving which source was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Lookups of checkpoints and payloads that asked the checkpoint database.
    pub database_gets: u64,
    /// Those that it answered.
    pub database_hits: u64,
    /// Checkpoints that came from a journal because the database did not have them.
    pub journal_hits: u64,
    /// Checkpoints written to the database.
    pub checkpoints_written: u64,
    /// Times the database was found damaged, in part or whole, and set right from the journals.
    pub database_repairs: u64,
}

/// The counters behind [`StoreStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) database_gets: AtomicU64,
    pub(crate) database_hits: AtomicU64,
    pub(crate) journal_hits: AtomicU64,
    pub(crate) checkpoints_written: AtomicU64,
    pub(crate) database_repairs: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> StoreStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            database_gets: get(&self.database_gets),
            database_hits: get(&self.database_hits),
            journal_hits: get(&self.journal_hits),
            checkpoints_written: get(&self.checkpoints_written),
            database_repairs: get(&self.database_repairs),
        }
    }
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
