//! Space for files that are not complete yet: one folder per open store, swept when its owner died.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use flow_core::store::StoreError;

/// A folder without a lock is taken for abandoned after this time.
const ABANDONED_AFTER: Duration = Duration::from_secs(60 * 60);

/// How many leftovers one process looks at: cleaning must not delay a run.
const SWEEP_MAX: usize = 32;

/// A name that no other process or thread uses at the same time.
pub(crate) fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since_epoch.map_or(0, |time| time.as_nanos());
    format!("{}-{nanos:x}-{count:x}", std::process::id())
}

/// The temporary folder of one open store. Its folder is made when it is first needed.
#[derive(Debug)]
pub(crate) struct TmpSpace {
    parent: PathBuf,
    own: Mutex<Option<Own>>,
}

/// A folder and the lock that shows others that its owner lives.
#[derive(Debug)]
struct Own {
    path: PathBuf,
    _lock: File,
}

impl TmpSpace {
    pub(crate) fn new(parent: PathBuf) -> Self {
        Self { parent, own: Mutex::new(None) }
    }

    /// A path in the temporary folder at which nothing is.
    pub(crate) fn fresh(&self) -> Result<PathBuf, StoreError> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = &*own {
            return Ok(own.path.join(unique_name()));
        }
        self.sweep();
        let made = self.make_folder()?;
        let path = made.path.join(unique_name());
        *own = Some(made);
        Ok(path)
    }

    /// Makes a folder and locks it. A sweeper may come between the two; then the next name is tried.
    fn make_folder(&self) -> Result<Own, StoreError> {
        loop {
            let path = self.parent.join(unique_name());
            fs::create_dir(&path).map_err(StoreError::io("create", &path))?;
            let Ok(folder) = File::open(&path) else { continue };
            match folder.try_lock() {
                Err(fs::TryLockError::WouldBlock) => continue,
                // Without locks nobody can sweep either.
                Err(fs::TryLockError::Error(_)) | Ok(()) => {}
            }
            let held = folder.metadata().map(|m| (m.dev(), m.ino()));
            let named = fs::metadata(&path).map(|m| (m.dev(), m.ino()));
            if matches!((held, named), (Ok(held), Ok(named)) if held == named) {
                return Ok(Own { path, _lock: folder });
            }
        }
    }

    /// Removes what dead processes left.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.parent) else { return };
        for entry in entries.flatten().take(SWEEP_MAX) {
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = match is_dir {
                true => sweep_folder(&path),
                false if is_old(&path) => fs::remove_file(&path),
                false => Ok(()),
            };
            if let Err(error) = removed {
                tracing::debug!(path = %path.display(), %error, "a temporary file stays behind");
            }
        }
    }
}

fn sweep_folder(path: &Path) -> std::io::Result<()> {
    let folder = File::open(path)?;
    match folder.try_lock() {
        Ok(()) => fs::remove_dir_all(path),
        Err(fs::TryLockError::WouldBlock) => Ok(()),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn is_old(path: &Path) -> bool {
    let age = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED_AFTER))
}

impl Drop for TmpSpace {
    fn drop(&mut self) {
        let own = self.own.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = own.take()
            && let Err(error) = fs::remove_dir_all(&own.path)
        {
            tracing::debug!(path = %own.path.display(), %error, "a temporary folder stays behind");
        }
    }
}
