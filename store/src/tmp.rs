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

    /// Removes all that dead processes left, or only counts it.
    pub(crate) fn sweep_all(&self, dry_run: bool) -> Result<u64, StoreError> {
        let entries = fs::read_dir(&self.parent).map_err(StoreError::io("read", &self.parent))?;
        let mut count = 0;
        for entry in entries {
            let path = entry.map_err(StoreError::io("read", &self.parent))?.path();
            if is_abandoned(&path) {
                count += 1;
                if !dry_run {
                    remove(&path);
                }
            }
        }
        Ok(count)
    }

    /// Removes what dead processes left.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.parent) else { return };
        let paths = entries.flatten().take(SWEEP_MAX).map(|entry| entry.path());
        paths.filter(|path| is_abandoned(path)).for_each(|path| remove(&path));
    }
}

/// Whether nobody uses a temporary file or folder any more. Whoever finds a folder locked for the
/// moment of this look makes another one.
fn is_abandoned(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => File::open(path).is_ok_and(|folder| folder.try_lock().is_ok()),
        Ok(_) => is_old(path),
        Err(_) => false,
    }
}

fn remove(path: &Path) {
    let removed = match fs::symlink_metadata(path).map(|meta| meta.is_dir()) {
        Ok(true) => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    if let Err(error) = removed {
        tracing::debug!(path = %path.display(), %error, "a temporary file stays behind");
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
