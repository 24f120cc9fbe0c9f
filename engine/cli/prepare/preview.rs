//! A store that is only looked at: what would be stored is digested where it lies, and results are
//! looked for in what is there. Whoever foresees a run gives this to the functions that a run uses.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::payload::{Artifact, PayloadRef};
use flow_core::policy::Rate;
use flow_core::run::Recorded;
use flow_core::run::event::TaskRef;
use flow_core::store::{
    Adopt, CacheEntry, Checkpoint, Hold, Journal, Message, RunEntry, Store, StoreError,
};
use flow_store::DiskStore;
use jiff::Timestamp;

use super::changes::{file_digest, folder_digest};

/// A store that is not written to. Without one on the disk it is empty.
pub(crate) struct Preview {
    disk: Option<Arc<DiskStore>>,
    /// Results of the run that is looked at, by node, item and key: its records tell all of them.
    results: HashMap<Lookup, Checkpoint>,
    /// What would have been stored.
    bytes: Mutex<HashMap<Digest, Arc<[u8]>>>,
    files: Mutex<HashMap<Digest, PathBuf>>,
}

impl Preview {
    /// Looks at a store, for a run with these records.
    pub(crate) fn new(disk: Option<Arc<DiskStore>>, run: &RunId, records: &[Recorded]) -> Self {
        let results = records
            .iter()
            .filter_map(|recorded| Checkpoint::of(run, recorded))
            .map(|found| (lookup(&found.task, &found.key), found))
            .collect();
        Self { disk, results, bytes: Mutex::default(), files: Mutex::default() }
    }

    fn kept(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn place_of(&self, digest: &Digest) -> Option<PathBuf> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn note(&self, path: &Path, found: (Digest, u64)) -> (Digest, u64) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(found.0, path.to_owned());
        found
    }

    fn disk(&self) -> Result<&DiskStore, StoreError> {
        self.disk.as_deref().ok_or_else(|| StoreError::NoStore(PathBuf::new()))
    }
}

/// A node, the key of an item, and the key of a result.
type Lookup = (Arc<str>, Option<Arc<str>>, Digest);

fn lookup(task: &TaskRef, key: &Digest) -> Lookup {
    let item = task.item.as_ref().map(|item| Arc::clone(&item.key));
    (Arc::clone(&task.node), item, *key)
}

/// Nothing that foresees a run asks for this.
fn refused<T>(operation: &'static str) -> Result<T, StoreError> {
    let source = io::Error::new(io::ErrorKind::Unsupported, "the store is only looked at");
    Err(StoreError::io(operation, "")(source))
}

impl Store for Preview {
    fn create_run(&self, _: &RunId, _: &[(&str, &[u8])]) -> Result<Box<dyn Journal>, StoreError> {
        refused("create a run")
    }

    fn open_run(&self, _: &RunId) -> Result<Box<dyn Journal>, StoreError> {
        refused("take up a run")
    }

    fn read_run(&self, run: &RunId) -> Result<Vec<Recorded>, StoreError> {
        self.disk()?.read_run(run)
    }

    fn holder(&self, run: &RunId) -> Result<Option<String>, StoreError> {
        self.disk()?.holder(run)
    }

    fn run_file(&self, run: &RunId, name: &str) -> Result<Vec<u8>, StoreError> {
        self.disk()?.run_file(run, name)
    }

    fn put_run_file(&self, _: &RunId, _: &str, _: &[u8]) -> Result<(), StoreError> {
        refused("write")
    }

    fn remove_private(&self, _: &RunId) -> Result<(), StoreError> {
        refused("remove files")
    }

    fn run_dir(&self, run: &RunId) -> PathBuf {
        self.disk.as_ref().map(|disk| disk.run_dir(run)).unwrap_or_default()
    }

    fn runs(&self) -> Result<Vec<RunEntry>, StoreError> {
        self.disk.as_ref().map_or_else(|| Ok(Vec::new()), |disk| disk.runs())
    }

    fn checkpoint(
        &self,
        _: &RunId,
        task: &TaskRef,
        key: &Digest,
    ) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.results.get(&lookup(task, key)).cloned())
    }

    fn payload(&self, run: &RunId, payload: &PayloadRef) -> Result<Arc<[u8]>, StoreError> {
        match self.kept(&payload.digest) {
            Some(bytes) => Ok(bytes),
            None => self.disk()?.payload(run, payload),
        }
    }

    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let mut kept = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(digest, bytes.into());
        Ok(digest)
    }

    fn put_file(&self, path: &Path, _: Adopt) -> Result<(Digest, u64), StoreError> {
        let found = file_digest(path).map_err(StoreError::io("read", path))?;
        Ok(self.note(path, found))
    }

    fn put_dir(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let found = folder_digest(path).map_err(StoreError::io("read", path))?;
        Ok(self.note(path, found))
    }

    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn object(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        match self.place_of(digest) {
            Some(path) => Ok(path),
            None => self.disk()?.object(digest),
        }
    }

    fn place(&self, _: &Artifact, _: &Path) -> Result<(), StoreError> {
        refused("place a file")
    }

    fn check_artifact(&self, artifact: &Artifact) -> Result<(), StoreError> {
        match self.place_of(&artifact.digest) {
            Some(_) => Ok(()),
            None => self.disk()?.check_artifact(artifact),
        }
    }

    fn scratch(&self, _: &RunId, _: &str) -> Result<PathBuf, StoreError> {
        refused("make a folder")
    }

    fn cached(&self, key: &Digest) -> Result<Option<Checkpoint>, StoreError> {
        self.disk.as_ref().map_or(Ok(None), |disk| disk.cached(key))
    }

    fn cache_entries(&self) -> Result<Vec<CacheEntry>, StoreError> {
        self.disk.as_ref().map_or_else(|| Ok(Vec::new()), |disk| disk.cache_entries())
    }

    fn cache_remove(&self, _: &Digest) -> Result<bool, StoreError> {
        refused("remove a cache entry")
    }

    fn cache_clear(&self) -> Result<u64, StoreError> {
        refused("clear the cache")
    }

    fn try_flight(&self, _: &Digest) -> Result<Option<Box<dyn Hold>>, StoreError> {
        refused("work on a key")
    }

    fn try_pool(&self, _: &str, _: u32) -> Result<Option<Box<dyn Hold>>, StoreError> {
        refused("take a place in a pool")
    }

    fn try_rate(&self, _: &str, _: Rate, _: Timestamp) -> Result<Option<Duration>, StoreError> {
        refused("start under a rate")
    }

    fn post(&self, _: &RunId, _: &[u8]) -> Result<(), StoreError> {
        refused("leave a message")
    }

    fn inbox(&self, run: &RunId) -> Result<Vec<Message>, StoreError> {
        self.disk()?.inbox(run)
    }

    fn take_message(&self, _: &RunId, _: &str) -> Result<(), StoreError> {
        refused("take a message")
    }

    fn flush(&self) {}
}
