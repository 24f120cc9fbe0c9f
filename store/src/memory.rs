//! A store for tests: journals in memory, objects and folders in a temporary folder.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::payload::{Artifact, PayloadRef};
use flow_core::run::event::{Recorded, TaskRef};
use flow_core::store::{
    Adopt, CacheEntry, Checkpoint, Hold, INLINE_MAX, InlinePayload, Journal, JournalSync, Message,
    PRIVATE_PREFIX, Position, Rate, RunEntry, Store, StoreError,
};
use jiff::Timestamp;

use crate::disk::fresh_folder;
use crate::layout::Layout;
use crate::objects::Objects;
use crate::tmp::{TmpSpace, unique_name};
use crate::{bytes, holds, inbox, lookup, rates, runs};

/// A store that forgets everything when it is dropped, and can be told to fail.
///
/// Journals follow the rules of the disk: what was not synced is lost in [`MemoryStore::crash`],
/// and after a failed write or sync a journal is of no more use.
pub struct MemoryStore {
    // Dropped in this order: the objects use the folder.
    objects: Objects,
    tmp: Arc<TmpSpace>,
    layout: Layout,
    state: Arc<Mutex<State>>,
    _root: Root,
}

/// A folder that is removed with its store.
struct Root(PathBuf);

#[derive(Default)]
struct State {
    runs: HashMap<RunId, Run>,
    /// How many appends, syncs and recorded files still work, if there is a limit.
    left: Option<u64>,
    /// Counts the crashes; journals of an earlier life are dead.
    life: u64,
}

struct Run {
    created_at: Timestamp,
    files: BTreeMap<String, Vec<u8>>,
    entries: Vec<Entry>,
    synced: usize,
    held: bool,
    /// Up to where results do not count for the cache, by key or for all.
    removed: HashMap<Option<Digest>, usize>,
}

#[derive(Clone)]
enum Entry {
    Record(Recorded),
    Payload(InlinePayload),
}

impl MemoryStore {
    /// An empty store, with a temporary folder for what must be files.
    ///
    /// # Errors
    /// Failure to make that folder.
    pub fn new() -> Result<Self, StoreError> {
        let root = Root(std::env::temp_dir().join(format!("flow-memory-{}", unique_name())));
        let layout = Layout::create(&root.0)?;
        let tmp = Arc::new(TmpSpace::new(layout.tmp()));
        let objects = Objects::new(layout.clone(), tmp.clone());
        Ok(Self { objects, tmp, layout, state: Arc::default(), _root: root })
    }

    /// Makes the `n`-th append, sync or recorded file from now on fail, counted from 1 over all runs.
    /// A journal fails from then on; others go on.
    pub fn fail_after(&self, n: u64) {
        lock(&self.state).left = Some(n.saturating_sub(1));
    }

    /// Loses what was not synced and gives all runs free, as the death of the process and of the
    /// machine would. Journals that are still open fail from then on.
    pub fn crash(&self) {
        let mut state = lock(&self.state);
        state.life += 1;
        state.left = None;
        for run in state.runs.values_mut() {
            run.entries.truncate(run.synced);
            run.held = false;
        }
    }

    /// Names of the private files of a run.
    #[must_use]
    pub fn private_files(&self, run: &RunId) -> Vec<String> {
        let state = lock(&self.state);
        let files = state.runs.get(run).into_iter().flat_map(|run| run.files.keys());
        files.filter(|name| name.starts_with(PRIVATE_PREFIX)).cloned().collect()
    }

    fn with_run<T>(
        &self,
        run: &RunId,
        use_it: impl FnOnce(&mut Run) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = lock(&self.state);
        let found = state.runs.get_mut(run).ok_or_else(|| StoreError::NoRun(run.to_string()))?;
        use_it(found)
    }

    fn journal(&self, run: &RunId, life: u64) -> Box<dyn Journal> {
        let core = Core {
            state: self.state.clone(),
            run: run.clone(),
            life,
            path: self.layout.journal(run),
            failed: Mutex::new(false),
        };
        Box::new(MemoryJournal(Arc::new(core)))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "a temporary folder stays behind");
        }
    }
}

/// An open journal in memory.
struct MemoryJournal(Arc<Core>);

struct Core {
    state: Arc<Mutex<State>>,
    run: RunId,
    life: u64,
    /// Where it would be on disk, for messages.
    path: PathBuf,
    failed: Mutex<bool>,
}

impl Core {
    /// Does something with the run, unless it is time to fail.
    fn attempt<T>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&mut Run) -> T,
    ) -> Result<T, StoreError> {
        let mut state = lock(&self.state);
        let mut failed = lock(&self.failed);
        let life = state.life;
        *failed |= state.is_time_to_fail();
        match state.runs.get_mut(&self.run) {
            Some(run) if !*failed && life == self.life => Ok(act(run)),
            _ => {
                *failed = true;
                let source = std::io::Error::other("told to fail");
                Err(StoreError::io(operation, &self.path)(source))
            }
        }
    }
}

impl Journal for MemoryJournal {
    fn programs_lock(&self) -> Result<Option<std::fs::File>, StoreError> {
        Ok(None)
    }

    fn append(
        &mut self,
        records: &[Recorded],
        payloads: &[InlinePayload],
    ) -> Result<Position, StoreError> {
        self.0.attempt("write", |run| {
            run.entries.extend(payloads.iter().cloned().map(Entry::Payload));
            run.entries.extend(records.iter().cloned().map(Entry::Record));
            Position(run.entries.len() as u64)
        })
    }

    fn syncer(&self) -> Arc<dyn JournalSync> {
        self.0.clone()
    }

    fn replay(&self) -> Result<Vec<Recorded>, StoreError> {
        let state = lock(&self.0.state);
        let run = state.runs.get(&self.0.run);
        Ok(run.map(Run::records).unwrap_or_default())
    }
}

impl JournalSync for Core {
    fn sync(&self) -> Result<Position, StoreError> {
        self.attempt("sync", |run| {
            run.synced = run.entries.len();
            Position(run.synced as u64)
        })
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        if state.life == self.0.life
            && let Some(run) = state.runs.get_mut(&self.0.run)
        {
            run.held = false;
        }
    }
}

impl State {
    /// Counts one more that works, if it does.
    fn is_time_to_fail(&mut self) -> bool {
        let fails = self.left == Some(0);
        self.left = self.left.filter(|_| !fails).map(|left| left - 1);
        fails
    }

    /// The newest durable result of each key that some run made.
    fn newest(&self) -> HashMap<Digest, Checkpoint> {
        let mut newest: HashMap<Digest, Checkpoint> = HashMap::new();
        for (id, run) in &self.runs {
            for made in run.made(id) {
                let known = newest.get(&made.key);
                if known.is_none_or(|known| (known.at, &known.run) <= (made.at, &made.run)) {
                    newest.insert(made.key, made);
                }
            }
        }
        newest
    }
}

impl Run {
    /// The durable results that this run made and that were not removed from the cache.
    fn made(&self, id: &RunId) -> impl Iterator<Item = Checkpoint> {
        self.entries[..self.synced].iter().enumerate().filter_map(|(at, entry)| match entry {
            Entry::Record(record) if record.event.is_made() => {
                let made = Checkpoint::of(id, record)?;
                let removed = |key| self.removed.get(&key).is_some_and(|end| at < *end);
                (!removed(None) && !removed(Some(made.key))).then_some(made)
            }
            _ => None,
        })
    }

    fn records(&self) -> Vec<Recorded> {
        let record = |entry: &Entry| match entry {
            Entry::Record(record) => Some(record.clone()),
            Entry::Payload(_) => None,
        };
        self.entries.iter().filter_map(record).collect()
    }

    fn payload(&self, wanted: &Digest) -> Option<Arc<[u8]>> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Payload((digest, bytes)) if digest == wanted => Some(bytes.clone()),
            _ => None,
        })
    }
}

impl Store for MemoryStore {
    fn create_run(
        &self,
        run: &RunId,
        files: &[(&str, &[u8])],
    ) -> Result<Box<dyn Journal>, StoreError> {
        let mut recorded = BTreeMap::new();
        for (name, content) in files {
            runs::check_file_name(name)?;
            recorded.insert((*name).to_owned(), content.to_vec());
        }
        let mut state = lock(&self.state);
        if state.runs.contains_key(run) {
            return Err(StoreError::RunExists(run.clone()));
        }
        let folder = self.layout.run(run);
        fs::create_dir_all(&folder).map_err(StoreError::io("create", folder))?;
        let (entries, synced, created_at) = (Vec::new(), 0, Timestamp::now());
        let removed = HashMap::new();
        let made = Run { created_at, files: recorded, entries, synced, held: true, removed };
        state.runs.insert(run.clone(), made);
        Ok(self.journal(run, state.life))
    }

    fn open_run(&self, run: &RunId) -> Result<Box<dyn Journal>, StoreError> {
        let life = lock(&self.state).life;
        self.with_run(run, |found| {
            if found.held {
                return Err(StoreError::Held { run: run.clone(), holder: this_process() });
            }
            found.held = true;
            Ok(())
        })?;
        Ok(self.journal(run, life))
    }

    fn read_run(&self, run: &RunId) -> Result<Vec<Recorded>, StoreError> {
        self.with_run(run, |found| Ok(found.records()))
    }

    fn holder(&self, run: &RunId) -> Result<Option<String>, StoreError> {
        self.with_run(run, |found| Ok(found.held.then(this_process)))
    }

    fn run_file(&self, run: &RunId, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.run_dir(run).join(name);
        self.with_run(run, |found| {
            let content = found.files.get(name).cloned();
            content.ok_or_else(|| StoreError::io("read", path)(std::io::ErrorKind::NotFound.into()))
        })
    }

    fn put_run_file(&self, run: &RunId, name: &str, content: &[u8]) -> Result<(), StoreError> {
        runs::check_file_name(name)?;
        if lock(&self.state).is_time_to_fail() {
            let source = std::io::Error::other("told to fail");
            return Err(StoreError::io("write", self.run_dir(run).join(name))(source));
        }
        self.with_run(run, |found| {
            found.files.insert(name.to_owned(), content.to_vec());
            Ok(())
        })
    }

    fn remove_private(&self, run: &RunId) -> Result<(), StoreError> {
        self.with_run(run, |found| {
            found.files.retain(|name, _| !name.starts_with(PRIVATE_PREFIX));
            Ok(())
        })
    }

    fn run_dir(&self, run: &RunId) -> PathBuf {
        self.layout.run(run)
    }

    fn runs(&self) -> Result<Vec<RunEntry>, StoreError> {
        let state = lock(&self.state);
        let entry = |(id, run): (&RunId, &Run)| (run.created_at, id.clone());
        let mut all: Vec<_> = state.runs.iter().map(entry).collect();
        all.sort();
        Ok(all.into_iter().map(|(created_at, id)| RunEntry { id, created_at }).collect())
    }

    fn checkpoint(
        &self,
        run: &RunId,
        task: &TaskRef,
        key: &Digest,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let wanted = lookup::of(task, key);
        let state = lock(&self.state);
        let records = state.runs.get(run).map(Run::records).unwrap_or_default();
        let is_wanted = |record: &&Recorded| {
            lookup::parts(record).is_some_and(|(task, key)| lookup::of(task, key) == wanted)
        };
        Ok(records.iter().rev().find(is_wanted).and_then(|record| Checkpoint::of(run, record)))
    }

    fn payload(&self, run: &RunId, payload: &PayloadRef) -> Result<Arc<[u8]>, StoreError> {
        let inline = lock(&self.state).runs.get(run).and_then(|run| run.payload(&payload.digest));
        match inline.filter(|_| payload.size <= INLINE_MAX) {
            Some(bytes) => Ok(bytes),
            None => self.objects.read(&payload.digest).map(Into::into),
        }
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
        let found = lock(&self.state).newest().remove(key);
        let Some(checkpoint) = found else { return Ok(None) };
        Ok(bytes::are_there(self, &self.objects, &checkpoint)?.then_some(checkpoint))
    }

    fn cache_entries(&self) -> Result<Vec<CacheEntry>, StoreError> {
        let newest = lock(&self.state).newest();
        let mut entries: Vec<_> = newest.values().map(CacheEntry::of).collect();
        entries.sort_by_key(|entry| (entry.at, entry.key));
        Ok(entries)
    }

    fn cache_remove(&self, key: &Digest) -> Result<bool, StoreError> {
        let mut state = lock(&self.state);
        let was_there = state.newest().contains_key(key);
        for run in state.runs.values_mut() {
            run.removed.insert(Some(*key), run.entries.len());
        }
        Ok(was_there)
    }

    fn cache_clear(&self) -> Result<u64, StoreError> {
        let mut state = lock(&self.state);
        let count = state.newest().len() as u64;
        for run in state.runs.values_mut() {
            run.removed.insert(None, run.entries.len());
        }
        Ok(count)
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
        self.with_run(run, |_| inbox::post(&self.layout, &self.tmp, run, message))
    }

    fn inbox(&self, run: &RunId) -> Result<Vec<Message>, StoreError> {
        self.with_run(run, |_| inbox::read(&self.layout, run))
    }

    fn take_message(&self, run: &RunId, name: &str) -> Result<(), StoreError> {
        inbox::take(&self.layout, run, name)
    }

    fn flush(&self) {}
}

fn this_process() -> String {
    format!("process {}", std::process::id())
}

/// Locks; a thread that panicked with the lock held left plain data behind it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{finished, run_id, started};

    crate::conformance::conformance_tests!(|_: &Path| MemoryStore::new().expect("a store"));

    #[test]
    fn the_chosen_call_fails_and_its_journal_with_it() {
        let store = MemoryStore::new().expect("a store");
        let mut journal = store.create_run(&run_id("one"), &[]).expect("a run");
        let mut other = store.create_run(&run_id("two"), &[]).expect("a run");
        store.fail_after(3);
        journal.append(&[started(1)], &[]).expect("the first call works");
        journal.syncer().sync().expect("the second call works");
        assert!(journal.append(&[finished(2)], &[]).is_err());
        assert!(journal.syncer().sync().is_err());
        other.append(&[started(1)], &[]).expect("the other run goes on");
        drop(journal);
        let journal = store.open_run(&run_id("one")).expect("the run can be taken up");
        assert_eq!(journal.replay().expect("records"), [started(1)]);
    }

    #[test]
    fn a_crash_loses_what_was_not_synced_and_nothing_else() {
        let store = MemoryStore::new().expect("a store");
        let mut journal = store.create_run(&run_id("one"), &[]).expect("a run");
        journal.append(&[started(1)], &[]).expect("an append");
        journal.syncer().sync().expect("a sync");
        journal.append(&[finished(2)], &[]).expect("an append");
        store.crash();
        assert!(journal.append(&[finished(3)], &[]).is_err());
        let taken_up = store.open_run(&run_id("one")).expect("nobody holds it");
        assert_eq!(taken_up.replay().expect("records"), [started(1)]);
        drop(journal);
        assert!(store.holder(&run_id("one")).expect("an answer").is_some());
    }
}
