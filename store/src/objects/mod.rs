//! Content-addressed files: larger payloads, artifacts, and the manifests of folders.
//!
//! An object is written aside, synced, and renamed to the digest of its bytes, so what can be seen
//! under a name is complete. Names become durable in [`Objects::settle`], many at once. Bytes are
//! checked against the name once per process and state of the file; a file that does not fit is
//! put aside, never handed out.

mod folder;
mod keep;
mod put;
mod state;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::digest::{Digest, Hasher};
use flow_core::payload::Artifact;
use flow_core::store::StoreError;

use crate::files::{ensure_dir, sync_dir, sync_together};
use crate::layout::Layout;
use crate::plain::open_plain;
use crate::platform;
use crate::tmp::{TmpSpace, unique_name};
pub(crate) use state::FileState;

/// How much of a file is in memory at once.
const CHUNK: usize = 1 << 20;

/// The objects of one store.
#[derive(Debug)]
pub(crate) struct Objects {
    layout: Layout,
    tmp: Arc<TmpSpace>,
    /// Folders with names that are not durable yet.
    dirty: Mutex<BTreeSet<PathBuf>>,
    /// Held while folders are synced, so that nobody takes names for durable that still wait.
    settling: Mutex<()>,
    failed: AtomicBool,
    /// The state in which each object was when its bytes were known to be right.
    verified: Mutex<HashMap<Digest, FileState>>,
    /// The lock that tells others that objects are stored here.
    user: Mutex<Option<File>>,
    /// A collection was waited for in vain.
    impatient: AtomicBool,
}

impl Objects {
    pub(crate) fn new(layout: Layout, tmp: Arc<TmpSpace>) -> Self {
        Self {
            layout,
            tmp,
            dirty: Mutex::default(),
            settling: Mutex::default(),
            failed: AtomicBool::new(false),
            verified: Mutex::default(),
            user: Mutex::default(),
            impatient: AtomicBool::new(false),
        }
    }

    /// Makes the names of all objects durable that were stored before the call.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        let _turn = lock(&self.settling);
        if self.failed.load(Ordering::Acquire) {
            let source = std::io::Error::other("an earlier sync of the objects failed");
            return Err(StoreError::io("sync", self.layout.objects())(source));
        }
        let dirty: Vec<_> = std::mem::take(&mut *lock(&self.dirty)).into_iter().collect();
        let synced = sync_together(&dirty, |folder| sync_dir(folder));
        if synced.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        synced
    }

    /// The path of an object whose bytes are right.
    pub(crate) fn object(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.layout.object(digest);
        if FileState::of(&path)?.is_some_and(|state| self.is_verified(digest, &state)) {
            return Ok(path);
        }
        let mut file = self.open(digest, &path)?;
        let before = FileState::of_open(&file, &path)?;
        let found = hash(&mut file, &path)?;
        if found != *digest {
            return Err(self.put_aside(digest, &path, &other_bytes(&found)));
        }
        // Only a state that was there before and after the bytes were read vouches for them.
        if FileState::of_open(&file, &path)? == before {
            lock(&self.verified).insert(*digest, before);
        }
        Ok(path)
    }

    /// The bytes of an object.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.layout.object(digest);
        let mut bytes = Vec::new();
        let mut file = self.open(digest, &path)?;
        file.read_to_end(&mut bytes).map_err(StoreError::io("read", &path))?;
        let found = Digest::of(&bytes);
        if found == *digest {
            return Ok(bytes);
        }
        Err(self.put_aside(digest, &path, &other_bytes(&found)))
    }

    /// Opens an object. Whatever lies in its place and is no file is damage as any other.
    fn open(&self, digest: &Digest, path: &Path) -> Result<File, StoreError> {
        match open_plain(path) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(StoreError::Missing { digest: *digest, path: path.to_owned() }),
            Err(StoreError::NoFile { found, .. }) => {
                Err(self.put_aside(digest, path, &no_file(found)))
            }
            Err(error) => Err(error),
        }
    }

    /// Moves an object out of the way if its bytes are wrong, whatever was known of it.
    pub(crate) fn put_aside_if_wrong(&self, path: &Path) -> Result<bool, StoreError> {
        let Some(digest) = digest_at(path) else { return Ok(false) };
        let error = match open_plain(path) {
            Ok(None) => return Ok(false),
            Ok(Some(mut file)) => {
                let found = hash(&mut file, path)?;
                if found == digest {
                    return Ok(false);
                }
                self.put_aside(&digest, path, &other_bytes(&found))
            }
            Err(StoreError::NoFile { found, .. }) => self.put_aside(&digest, path, &no_file(found)),
            Err(error) => return Err(error),
        };
        tracing::warn!(%error, "an object is damaged");
        Ok(fs::symlink_metadata(path).is_err())
    }

    /// Puts an artifact at `target`.
    pub(crate) fn place(&self, artifact: &Artifact, target: &Path) -> Result<(), StoreError> {
        if artifact.is_dir() {
            self.place_dir(&artifact.digest, target)
        } else {
            self.place_file(&artifact.digest, target)
        }
    }

    /// Whether the objects of an artifact still have their bytes.
    pub(crate) fn check(&self, artifact: &Artifact) -> Result<(), StoreError> {
        if artifact.is_dir() {
            self.check_dir(&artifact.digest)
        } else {
            self.object(&artifact.digest).map(|_| ())
        }
    }

    /// Links an object, or copies it where it cannot be linked.
    fn place_file(&self, digest: &Digest, target: &Path) -> Result<(), StoreError> {
        let source = self.object(digest)?;
        match fs::hard_link(&source, target) {
            Ok(()) => {
                self.was_linked(digest, &source);
                Ok(())
            }
            Err(error) if platform::link_needs_copy(&error) => {
                put::copy_out(&source, target, put::READ_ONLY)
            }
            Err(error) => Err(StoreError::io("link", target)(error)),
        }
    }

    /// A new link changes the time of the file's last change of state and nothing else.
    fn was_linked(&self, digest: &Digest, path: &Path) {
        let Ok(Some(now)) = FileState::of(path) else { return };
        if let Some(known) = lock(&self.verified).get_mut(digest)
            && known.differs_in_links_only(&now)
        {
            *known = now;
        }
    }

    fn is_verified(&self, digest: &Digest, state: &FileState) -> bool {
        lock(&self.verified).get(digest) == Some(state)
    }

    fn remember(&self, digest: Digest, path: &Path) -> Result<(), StoreError> {
        if let Some(state) = FileState::of(path)? {
            lock(&self.verified).insert(digest, state);
        }
        Ok(())
    }

    /// Moves an object that is not what it should be out of the way, so that making it again can succeed.
    fn put_aside(&self, digest: &Digest, path: &Path, what: &str) -> StoreError {
        lock(&self.verified).remove(digest);
        let quarantine = self.layout.quarantine();
        let aside = quarantine.join(format!("{digest}.{}", unique_name()));
        let moved = ensure_dir(&quarantine)
            .and_then(|_| fs::rename(path, &aside).map_err(StoreError::io("move", path)));
        let kept = match moved {
            Ok(()) => format!("it was moved to {}", aside.display()),
            Err(error) => format!("it could not be moved out of the way: {error}"),
        };
        StoreError::Damaged { path: path.to_owned(), offset: 0, reason: format!("{what}; {kept}") }
    }

    fn mark_dirty(&self, folder: &Path) {
        lock(&self.dirty).insert(folder.to_owned());
    }
}

/// What is wrong with an object of other bytes.
fn other_bytes(found: &Digest) -> String {
    format!("its bytes have the digest {}", found.short())
}

/// What is wrong with what is no file.
fn no_file(found: &str) -> String {
    format!("it is {found}, and a plain file belongs there")
}

/// The digest that a path in the object store is named after.
pub(crate) fn digest_at(path: &Path) -> Option<Digest> {
    let folder = path.parent()?.file_name()?.to_str()?;
    format!("{folder}{}", path.file_name()?.to_str()?).parse().ok()
}

/// Hashes the rest of a file.
pub(crate) fn hash(file: &mut File, path: &Path) -> Result<Digest, StoreError> {
    let mut hasher = Hasher::default();
    each_chunk(file, path, |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// Hands the rest of a file over piece by piece.
fn each_chunk(
    file: &mut File,
    path: &Path,
    mut visit: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let size = file.metadata().map_err(StoreError::io("read", path))?.len();
    // A buffer one larger than a small file meets the end in its first read.
    let wanted = usize::try_from(size).unwrap_or(CHUNK).saturating_add(1).min(CHUNK);
    let mut buffer = vec![0; wanted];
    let mut total = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(n) => {
                total += n as u64;
                visit(&buffer[..n])?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io("read", path)(error)),
        }
    }
}

/// Locks; a thread that panicked with the lock held left plain data behind it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
