//! The checkpoint database: found quickly on resume, written behind the journals.
//!
//! One thread opens it, writes it, and closes it. A run never waits for that thread: its journal
//! is the truth, and whoever opens the database next takes over what it lacks. What the database
//! says is checked, and what it does not say is looked up in the journal, so nothing depends on its
//! state.

mod keys;
mod locate;
mod open;
mod packs;
mod record;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::run::event::Recorded;
use flow_core::store::StoreError;

use crate::cache::Index;
use crate::layout::Layout;
use crate::stats::{Counters, count};
use packs::RunPacks;

pub(crate) use keys::{KeyEntry, damaged_values, key_counts, key_entries};
pub(crate) use open::{Database, forget, inspect, put_aside};
pub(crate) use packs::applied;

/// Longer than this nobody waits for the writer: what it does not do is not lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// The directories of so many runs are kept.
const RUNS_MAX: usize = 64;

/// The checkpoint database of one store, opened when it is needed.
pub(crate) struct Checkpoints {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What was read for each run that was asked about.
    packs: Mutex<HashMap<RunId, Arc<RunPacks>>>,
}

/// What the writer thread shares with everybody else.
struct Shared {
    layout: Layout,
    counters: Arc<Counters>,
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes those who wait for the writer.
    progress: Condvar,
    database: RwLock<Option<Arc<Database>>>,
    /// The results of all runs, once someone asked for one of them.
    index: Mutex<Option<Index>>,
    /// Until when nobody is asked, after someone did not answer.
    unanswered: Mutex<Option<Instant>>,
}

/// The writer's orders, and how far it is.
#[derive(Debug, Default)]
struct State {
    started: bool,
    /// How many attempts to open the database were asked for after the first, and are over: the
    /// first is the first of these.
    tries: u64,
    tried: u64,
    /// The database cannot be opened or written.
    failed: bool,
    finished: bool,
    closing: bool,
    /// Orders that were given, and those among them that are done.
    ordered: u64,
    done: u64,
    /// Someone waits, so there is no point in gathering more.
    urgent: bool,
    /// Checkpoints in the orders that wait.
    waiting: u64,
    orders: HashMap<RunId, Order>,
}

/// What is to be taken over from a journal.
#[derive(Debug, Clone, Copy, Default)]
struct Order {
    /// Up to which position.
    upto: u64,
    /// Whether to begin at the start, because the database lost something.
    again: bool,
    /// Whether the journal is another process's, so that what it wrote may not be durable.
    sync: bool,
}

impl Checkpoints {
    pub(crate) fn new(layout: Layout, counters: Arc<Counters>) -> Self {
        let shared = Shared {
            layout,
            counters,
            state: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            database: RwLock::default(),
            index: Mutex::default(),
            unanswered: Mutex::default(),
        };
        Self { shared: Arc::new(shared), thread: Mutex::default(), packs: Mutex::default() }
    }

    /// Starts the writer, which begins to open the database.
    pub(crate) fn prepare(&self) {
        let mut state = self.shared.state();
        if state.started {
            return;
        }
        state.started = true;
        state.tries = 1;
        drop(state);
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("flow-checkpoints".into());
        match thread.spawn(move || writer::run(&shared)) {
            Ok(handle) => *lock(&self.thread) = Some(handle),
            Err(error) => {
                tracing::warn!(%error, "the checkpoint database is not written");
                self.shared.state().finished = true;
            }
        }
    }

    /// Orders the journal of a run to be taken over up to a position that is durable, with about
    /// so many checkpoints.
    pub(crate) fn take_over(&self, run: &RunId, upto: u64, checkpoints: u64) {
        self.shared.order(run, Order { upto, again: false, sync: false }, checkpoints);
    }

    /// Orders all of a journal to be taken over, whoever holds it.
    pub(crate) fn take_over_all(&self, run: &RunId) {
        self.shared.order(run, Order { upto: u64::MAX, again: false, sync: true }, 0);
    }

    /// Waits until everything is written that was ordered before the call.
    pub(crate) fn flush(&self) {
        let mut state = self.shared.state();
        let target = state.ordered;
        state.urgent = true;
        self.shared.work.notify_one();
        let reached = |state: &State| state.done >= target;
        if !self.shared.wait(state, reached) {
            tracing::warn!("gave up waiting for the checkpoint database");
        }
    }

    /// The last checkpoint with this lookup that the database has, if it can be trusted.
    pub(crate) fn find(&self, run: &RunId, lookup: &[u8]) -> Result<Option<Recorded>, StoreError> {
        self.prepare();
        let state = self.shared.state();
        self.shared.wait(state, |state| state.tried > 0);
        let Some(database) = self.shared.database() else { return Ok(None) };
        let Some(packs) = self.packs_of(&database, run)? else { return Ok(None) };
        count(&self.shared.counters.database_gets);
        let found = packs.checkpoint(&database, lookup);
        let found = self.answer(run, &packs, found);
        tracing::debug!(%run, hit = found.is_some(), "asked the checkpoint database");
        Ok(found)
    }

    /// A small payload, if the database is open already and has it. Its digest is checked.
    pub(crate) fn payload(&self, run: &RunId, digest: &Digest) -> Option<Arc<[u8]>> {
        let database = self.shared.database()?;
        let packs = self.packs_of(&database, run).ok().flatten()?;
        count(&self.shared.counters.database_gets);
        let found = packs.payload(&database, digest);
        self.answer(run, &packs, found)
    }

    /// Tells that the journal has a checkpoint at `position` that the database did not know. If it
    /// should have, it is set right.
    pub(crate) fn missed(&self, run: &RunId, position: u64) {
        let packs = lock(&self.packs).get(run).cloned();
        if let Some(packs) = packs.filter(|packs| packs.applied_to() > position) {
            self.mend(run, &packs);
        }
    }

    /// Counts a hit; takes an error for damage in the database, which is mended and not reported.
    fn answer<T>(
        &self,
        run: &RunId,
        packs: &RunPacks,
        found: Result<Option<T>, StoreError>,
    ) -> Option<T> {
        match found {
            Ok(found) => {
                if found.is_some() {
                    count(&self.shared.counters.database_hits);
                }
                found
            }
            Err(error) => {
                tracing::warn!(%run, %error, "the checkpoint database is damaged");
                self.mend(run, packs);
                None
            }
        }
    }

    /// Orders everything of a run to be written again, once.
    fn mend(&self, run: &RunId, packs: &RunPacks) {
        if packs.is_first_fault() {
            count(&self.shared.counters.database_repairs);
            let order = Order { upto: packs.applied_to(), again: true, sync: false };
            self.shared.order(run, order, 0);
        }
    }

    /// What the database has of a run, read once; `None` if it has not seen the run.
    fn packs_of(
        &self,
        database: &Database,
        run: &RunId,
    ) -> Result<Option<Arc<RunPacks>>, StoreError> {
        let mut all = lock(&self.packs);
        if let Some(packs) = all.get(run) {
            return Ok(Some(packs.clone()));
        }
        let path = self.shared.layout.journal(run);
        let packs = match RunPacks::read(database, &path) {
            Ok(Some(packs)) => Arc::new(packs),
            Ok(None) => return Ok(None),
            Err(StoreError::Database(reason)) => {
                tracing::warn!(reason, "the checkpoint database cannot be read");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if packs.has_damage() {
            self.mend(run, &packs);
        }
        if all.len() >= RUNS_MAX {
            all.clear();
        }
        all.insert(run.clone(), packs.clone());
        Ok(Some(packs))
    }
}

impl Drop for Checkpoints {
    /// Has the rest written and the database closed, so that another process can have it.
    fn drop(&mut self) {
        let Some(thread) = lock(&self.thread).take() else { return };
        let mut state = self.shared.state();
        state.closing = true;
        self.shared.work.notify_one();
        if !self.shared.wait(state, |state| state.finished) {
            tracing::warn!("the checkpoint database was not closed; the journals have it all");
        } else if thread.join().is_err() {
            tracing::warn!("the writer of the checkpoint database panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn order(&self, run: &RunId, order: Order, checkpoints: u64) {
        let mut state = self.state();
        if !state.started || state.finished {
            return;
        }
        state.ordered += 1;
        state.waiting += checkpoints;
        let wake = state.orders.is_empty() || state.waiting >= writer::GATHER_MAX;
        let known = state.orders.entry(run.clone()).or_default();
        known.upto = known.upto.max(order.upto);
        known.again |= order.again;
        known.sync |= order.sync;
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    fn database(&self) -> Option<Arc<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_database(&self, database: Option<Arc<Database>>) {
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *place, database);
        // Closing takes a moment, and nobody needs to wait for it.
        drop(place);
        drop(before);
    }

    /// Waits until `reached`, or the writer is gone, or patience is at its end: then false.
    fn wait(&self, mut state: MutexGuard<'_, State>, reached: impl Fn(&State) -> bool) -> bool {
        let until = Instant::now() + PATIENCE;
        while state.started && !state.finished && !reached(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.progress.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// Locks; a thread that panicked with the lock held left plain data behind it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
