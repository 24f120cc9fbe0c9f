//! Kernel locks on small files, given free by the kernel when their process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use flow_core::store::StoreError;

use crate::plain::open_plain_with;
use crate::platform;

/// What is done under a lock that is taken briefly takes microseconds; so often it is tried. Nobody
/// waits for ever, because a process that is stopped keeps its locks.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// Opens a file whose locks matter and not its content, and makes it if it is not there.
pub(crate) fn open(path: &Path) -> Result<File, StoreError> {
    open_plain_with(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
}

/// Locks a whole file if nobody has it locked.
pub(crate) fn try_lock(file: &File, path: &Path) -> Result<bool, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(refused(path, error)),
    }
}

/// The file at `path`, locked for something that takes no time; `None` if others have it all the
/// time.
pub(crate) fn briefly(path: &Path) -> Result<Option<File>, StoreError> {
    let file = open(path)?;
    for _ in 0..TRIES {
        if try_lock(&file, path)? {
            return Ok(Some(file));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(None)
}

/// The error for a lock that failed for another reason than that someone has it.
pub(crate) fn refused(path: &Path, error: std::io::Error) -> StoreError {
    if platform::lacks_locks(&error) {
        return StoreError::NoLocks(path.to_owned());
    }
    StoreError::io("lock", path)(error)
}
