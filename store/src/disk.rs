//! The store on disk.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::payload::{Artifact, PayloadRef};
use flow_core::run::event::{Recorded, TaskRef};
use flow_core::store::{
    Adopt, CacheEntry, Checkpoint, Hold, INLINE_MAX, InlinePayload, Journal, Listed, Message, Rate,
    RunEntry, Stamp, Store, StoreError,
};
use jiff::Timestamp;

use crate::checkpoints::Checkpoints;
use crate::files::{check_name, if_there};
use crate::journal::{DiskJournal, JournalFile, Observer};
use crate::layout::Layout;
use crate::lease::{self, Refusal, RunLease};
use crate::objects::Objects;
use crate::payloads::RecentPayloads;
use crate::plain::{self, open_plain};
use crate::run_index::RunIndex;
use crate::stats::{Counters, StoreStats, count};
use crate::tail::RunTail;
use crate::tmp::TmpSpace;
use crate::{bytes, cache, holds, inbox, lookup, notes, rates, runs};

/// So many journals are kept open for questions about them.
const INDEXES_MAX: usize = 64;

/// A store in a folder. Any number of processes may have it open at once.
///
/// Opening reads one small file. The checkpoint database is opened by a thread of its own once a
/// run is created or taken over, or a checkpoint is asked for.
pub struct DiskStore {
    pub(crate) layout: Layout,
    pub(crate) tmp: Arc<TmpSpace>,
    pub(crate) objects: Objects,
    shared: Arc<Shared>,
    /// Indexes of the journals that something was asked about.
    indexes: Mutex<HashMap<RunId, Arc<Mutex<RunIndex>>>>,
}

/// What the journals need of their store.
struct Shared {
    recent: RecentPayloads,
    checkpoints: Checkpoints,
    counters: Arc<Counters>,
}

impl Observer for Shared {
    fn appended(&self, payloads: &[InlinePayload]) {
        self.recent.keep(payloads);
    }

    fn synced(&self, run: &RunId, position: u64, checkpoints: u64) {
        self.checkpoints.take_over(run, position, checkpoints);
    }
}

impl DiskStore {
    /// Opens the store in the folder `dir`.
    ///
    /// # Errors
    /// [`StoreError::NoStore`], [`StoreError::TooNew`], [`StoreError::Damaged`] if its format
    /// cannot be read, or failure to read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Layout::open(dir).map(Self::with)
    }

    /// Opens the store in the folder `dir`, and makes it first if it is not there. Any number of
    /// processes may do so at once, and dying on the way leaves nothing to repair.
    ///
    /// # Errors
    /// As [`DiskStore::open`], or failure to write; [`StoreError::Damaged`] if the folder has runs
    /// but is no store any more.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        Layout::create(dir).map(Self::with)
    }

    fn with(layout: Layout) -> Self {
        let counters = Arc::new(Counters::default());
        let tmp = Arc::new(TmpSpace::new(layout.tmp()));
        let shared = Shared {
            recent: RecentPayloads::default(),
            checkpoints: Checkpoints::new(layout.clone(), counters.clone()),
            counters,
        };
        Self {
            objects: Objects::new(layout.clone(), tmp.clone()),
            tmp,
            layout,
            shared: Arc::new(shared),
            indexes: Mutex::default(),
        }
    }

    /// The folder of the store, as an absolute path.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.layout.root()
    }

    /// The folder for the log files of the engine itself.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.layout.logs()
    }

    /// What this store has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.shared.counters.read()
    }

    fn require_run(&self, run: &RunId) -> Result<(), StoreError> {
        let path = self.layout.run(run);
        match if_there(fs::metadata(&path)).map_err(StoreError::io("read", &path))? {
            Some(meta) if meta.is_dir() => Ok(()),
            _ => Err(StoreError::NoRun(run.to_string())),
        }
    }

    /// The journal of a run that is there, for reading.
    pub(crate) fn journal_file(&self, run: &RunId) -> Result<JournalFile, StoreError> {
        let path = self.layout.journal(run);
        if let Some(journal) = JournalFile::open(&path)? {
            return Ok(journal);
        }
        self.require_run(run)?;
        Err(no_journal(path))
    }

    /// The records of a run as they are written, from the first on.
    ///
    /// # Errors
    /// A run that does not exist or has no journal.
    pub fn tail_run(&self, run: &RunId) -> Result<RunTail, StoreError> {
        Ok(RunTail::new(self.journal_file(run)?))
    }

    /// Asks the index of a run's journal, which is opened when it is first asked.
    fn ask_index<T>(
        &self,
        run: &RunId,
        ask: impl FnOnce(&mut RunIndex) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match indexes.get(run) {
            Some(index) => index.clone(),
            None => {
                let path = self.layout.journal(run);
                let Some(index) = RunIndex::open(&path)? else { return Ok(None) };
                let index = Arc::new(Mutex::new(index));
                if indexes.len() >= INDEXES_MAX {
                    indexes.clear();
                }
                indexes.insert(run.clone(), index.clone());
                index
            }
        };
        drop(indexes);
        let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut index)
    }

    /// Takes the lock of a run and opens its journal.
    pub(crate) fn open_journal(&self, run: &RunId) -> Result<DiskJournal, StoreError> {
        self.require_run(run)?;
        let path = self.layout.journal(run);
        let lease = RunLease::take(&self.layout.run(run)).map_err(|refusal| match refusal {
            Refusal::Held(holder) => StoreError::Held { run: run.clone(), holder },
            Refusal::Failed(error) => error,
        })?;
        if open_plain(&path)?.is_none() {
            return Err(no_journal(path));
        }
        DiskJournal::open(path, lease, self.shared.clone())
    }

    /// Has the whole journal of a run taken over into the checkpoint database.
    pub(crate) fn index_run(&self, run: &RunId) {
        self.shared.checkpoints.prepare();
        self.shared.checkpoints.take_over_all(run);
    }

    /// An inline payload from wherever it is found first.
    fn inline(&self, run: &RunId, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        if let Some(bytes) = self.shared.recent.get(digest) {
            return Ok(Some(bytes));
        }
        let bytes = match self.shared.checkpoints.payload(run, digest) {
            Some(bytes) => Some(bytes),
            None => self.ask_index(run, |index| index.payload(digest))?,
        };
        if let Some(bytes) = &bytes {
            self.shared.recent.keep(&[(*digest, bytes.clone())]);
        }
        Ok(bytes)
    }
}

/// The error for a run whose folder is there and whose journal is not.
pub(crate) fn no_journal(path: PathBuf) -> StoreError {
    StoreError::Damaged { path, offset: 0, reason: "the run has lost its journal".into() }
}

impl Store for DiskStore {
    fn create_run(
        &self,
        run: &RunId,
        files: &[(&str, &[u8])],
    ) -> Result<Box<dyn Journal>, StoreError> {
        self.shared.checkpoints.prepare();
        let lease = runs::create(&self.layout, &self.tmp, run, files)?;
        let path = self.layout.journal(run);
        Ok(Box::new(DiskJournal::fresh(path, lease, self.shared.clone())?))
    }

    fn open_run(&self, run: &RunId) -> Result<Box<dyn Journal>, StoreError> {
        let journal = self.open_journal(run)?;
        runs::note_opened(&self.layout, run, journal.created_at());
        self.shared.checkpoints.prepare();
        self.shared.checkpoints.take_over(run, journal.end(), 0);
        Ok(Box::new(journal))
    }

    fn read_run(&self, run: &RunId) -> Result<Vec<Recorded>, StoreError> {
        let (records, _) = self.journal_file(run)?.records(0)?;
        Ok(records)
    }

    fn visit_run(&self, run: &RunId, visit: &mut dyn FnMut(Recorded)) -> Result<(), StoreError> {
        self.journal_file(run)?.visit(0, visit).map(drop)
    }

    fn holder(&self, run: &RunId) -> Result<Option<String>, StoreError> {
        self.require_run(run)?;
        lease::holder(&self.layout.lock(run))
    }

    fn run_file(&self, run: &RunId, name: &str) -> Result<Vec<u8>, StoreError> {
        self.require_run(run)?;
        runs::check_file_name(name)?;
        let path = self.layout.run(run).join(name);
        let absent = || StoreError::io("read", &path)(io::ErrorKind::NotFound.into());
        plain::read(&path)?.ok_or_else(absent)
    }

    fn put_run_file(&self, run: &RunId, name: &str, content: &[u8]) -> Result<(), StoreError> {
        self.require_run(run)?;
        runs::put_file(&self.layout.run(run), &self.tmp, name, content)
    }

    fn remove_private(&self, run: &RunId) -> Result<(), StoreError> {
        self.require_run(run)?;
        runs::remove_private(&self.layout.run(run))
    }

    fn run_dir(&self, run: &RunId) -> PathBuf {
        self.layout.run(run)
    }

    fn runs(&self) -> Result<Vec<RunEntry>, StoreError> {
        runs::list(&self.layout)
    }

    fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        notes::add_to(&self.layout, self.runs()?)
    }

    fn note(&self, notes: &[(RunId, Stamp, String)]) {
        notes::keep(&self.layout, notes);
    }

    fn checkpoint(
        &self,
        run: &RunId,
        task: &TaskRef,
        key: &Digest,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let lookup = lookup::of(task, key);
        if let Some(recorded) = self.shared.checkpoints.find(run, &lookup)? {
            return Ok(Checkpoint::of(run, &recorded));
        }
        let found = self.ask_index(run, |index| index.checkpoint(&lookup))?;
        let Some((position, recorded)) = found else { return Ok(None) };
        count(&self.shared.counters.journal_hits);
        tracing::debug!(%run, %task, "took a checkpoint from the journal");
        self.shared.checkpoints.missed(run, position);
        Ok(Checkpoint::of(run, &recorded))
    }

    fn payload(&self, run: &RunId, payload: &PayloadRef) -> Result<Arc<[u8]>, StoreError> {
        if payload.size <= INLINE_MAX
            && let Some(bytes) = self.inline(run, &payload.digest)?
        {
            return Ok(bytes);
        }
        self.objects.read(&payload.digest).map(Into::into)
    }

    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.objects.put_bytes(bytes)
    }

    fn put_file(&self, path: &Path, adopt: Adopt) -> Result<(Digest, u64), StoreError> {
        self.objects.put_file(path, adopt)
    }

    fn put_dir(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        self.objects.put_dir(path)
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.objects.settle()
    }

    fn object(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        self.objects.object(digest)
    }

    fn place(&self, artifact: &Artifact, target: &Path) -> Result<(), StoreError> {
        self.objects.place(artifact, target)
    }

    fn check_artifact(&self, artifact: &Artifact) -> Result<(), StoreError> {
        self.objects.check(artifact)
    }

    fn scratch(&self, run: &RunId, name: &str) -> Result<PathBuf, StoreError> {
        fresh_folder(&self.layout.scratch().join(run.as_str()), name)
    }

    fn cached(&self, key: &Digest) -> Result<Option<Checkpoint>, StoreError> {
        let Some(checkpoint) = self.shared.checkpoints.cached(key)? else { return Ok(None) };
        Ok(bytes::are_there(self, &self.objects, &checkpoint)?.then_some(checkpoint))
    }

    fn cache_entries(&self) -> Result<Vec<CacheEntry>, StoreError> {
        cache::entries(&self.layout)
    }

    fn cache_remove(&self, key: &Digest) -> Result<bool, StoreError> {
        Ok(cache::remove(&self.layout, &self.tmp, Some(key))? > 0)
    }

    fn cache_clear(&self) -> Result<u64, StoreError> {
        cache::remove(&self.layout, &self.tmp, None)
    }

    fn try_flight(&self, key: &Digest) -> Result<Option<Box<dyn Hold>>, StoreError> {
        holds::try_flight(&self.layout, key)
    }

    fn try_pool(&self, pool: &str, size: u32) -> Result<Option<Box<dyn Hold>>, StoreError> {
        holds::try_pool(&self.layout, pool, size)
    }

    fn try_rate(
        &self,
        rate: &str,
        limit: Rate,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError> {
        rates::try_rate(&self.layout, rate, limit, now)
    }

    fn post(&self, run: &RunId, message: &[u8]) -> Result<(), StoreError> {
        self.require_run(run)?;
        inbox::post(&self.layout, &self.tmp, run, message)
    }

    fn inbox(&self, run: &RunId) -> Result<Vec<Message>, StoreError> {
        let messages = inbox::read(&self.layout, run)?;
        if messages.is_empty() {
            self.require_run(run)?;
        }
        Ok(messages)
    }

    fn take_message(&self, run: &RunId, name: &str) -> Result<(), StoreError> {
        inbox::take(&self.layout, run, name)
    }

    fn flush(&self) {
        self.shared.checkpoints.flush();
    }
}

/// Makes a folder that was not there before, in `parent`. An attempt that died may have left one
/// of the same name; a number then sets them apart.
pub(crate) fn fresh_folder(parent: &Path, name: &str) -> Result<PathBuf, StoreError> {
    check_name(name)?;
    let mut path = parent.join(name);
    let mut number = 1;
    loop {
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            // The parent is there but for the first time, so it is not looked for before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number += 1;
                path = parent.join(format!("{name}.{number}"));
            }
            Err(error) => return Err(StoreError::io("create", path)(error)),
        }
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
