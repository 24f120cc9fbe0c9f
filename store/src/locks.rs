//! Kernel locks on small files, given free by the kernel when their process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use flow_core::store::StoreError;
use jiff::Timestamp;

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

/// What a process writes into a file that it has locked, for whoever finds it locked.
pub(crate) fn own_note() -> String {
    let (id, host) = (std::process::id(), platform::host_name());
    format!("process {id} on host {host}, since {:.0}", Timestamp::now())
}

/// The note of a process, and whether that is stopped.
pub(crate) fn with_state(note: &str) -> String {
    match process_here(note).filter(|pid| platform::is_stopped(*pid)) {
        Some(pid) => format!("{note}, which is stopped: `kill -CONT {pid}` lets it go on"),
        None => note.to_owned(),
    }
}

/// The process of a note, if it is one of this machine.
pub(crate) fn process_here(note: &str) -> Option<i32> {
    let (pid, rest) = note.strip_prefix("process ")?.split_once(" on host ")?;
    let (host, _) = rest.split_once(", since ")?;
    pid.parse().ok().filter(|_| host == platform::host_name())
}

/// The error for a lock that failed for another reason than that someone has it.
pub(crate) fn refused(path: &Path, error: std::io::Error) -> StoreError {
    if platform::lacks_locks(&error) {
        return StoreError::NoLocks(path.to_owned());
    }
    StoreError::io("lock", path)(error)
}
