//! Who runs a run: a kernel lock on a file, given free by the kernel when its process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use flow_core::store::StoreError;
use jiff::Timestamp;

use crate::{files, platform};

/// A process that only asks who has the lock holds it for microseconds; so often it is asked again.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(2);

/// The longest note of a holder that is read.
const NOTE_MAX: u64 = 1024;

/// The right to append to a run's journal. Given free when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    _file: File,
}

/// Why a lease could not be had.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Someone has it.
    Held(String),
    /// It cannot be locked at all.
    Failed(StoreError),
}

impl Lease {
    /// Takes the lock at `path`, and leaves a note there for whoever finds it taken.
    pub(crate) fn take(path: &Path) -> Result<Self, Refusal> {
        let failed = |error| Refusal::Failed(StoreError::io("lock", path)(error));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(Refusal::Held(note(&mut file))),
                Err(TryLockError::Error(error)) if platform::lacks_locks(&error) => {
                    return Err(Refusal::Failed(StoreError::NoLocks(path.to_owned())));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        if file.metadata().map_err(failed)?.nlink() == 0 {
            return Err(failed(std::io::ErrorKind::NotFound.into()));
        }
        let note = format!(
            "process {} on host {}, since {:.0}",
            std::process::id(),
            platform::host_name(),
            Timestamp::now(),
        );
        file.set_len(0).and_then(|()| file.write_all(note.as_bytes())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Who has the lock at `path`, if anyone. Looking disturbs a process that is taking the lock for
/// microseconds at most, and that process tries again.
pub(crate) fn holder(path: &Path) -> Result<Option<String>, StoreError> {
    let file = files::if_there(File::open(path)).map_err(StoreError::io("open", path))?;
    let Some(mut file) = file else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(note(&mut file))),
        Err(TryLockError::Error(error)) if platform::lacks_locks(&error) => {
            Err(StoreError::NoLocks(path.to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}

/// What the holder wrote about itself; it may just be about to.
fn note(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(NOTE_MAX).read_to_string(&mut text) {
        Ok(_) if !text.is_empty() => text,
        _ => "a process that has only just started".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_until_it_is_dropped_and_names_its_holder() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lock");
        assert_eq!(holder(&path).expect("an answer"), None);
        let lease = Lease::take(&path).expect("the lock is free");
        let name = format!("process {} on host", std::process::id());
        assert!(holder(&path).expect("an answer").is_some_and(|text| text.starts_with(&name)));
        assert!(matches!(Lease::take(&path), Err(Refusal::Held(text)) if text.starts_with(&name)));
        drop(lease);
        assert_eq!(holder(&path).expect("an answer"), None);
        Lease::take(&path).expect("the lock is free again");
    }

    #[test]
    fn asking_for_the_holder_all_the_time_never_keeps_a_process_from_its_lease() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lock");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    holder(&path).expect("an answer");
                }
            });
            for _ in 0..200 {
                Lease::take(&path).expect("only readers compete");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
