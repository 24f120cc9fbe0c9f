//! Who runs a run: a kernel lock on a file, given free by the kernel when its process ends.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use flow_core::store::StoreError;

use crate::layout::{LOCK, PROGRAMS};
use crate::plain::open_plain;
use crate::{locks, platform};

/// A process that only asks who has the lock holds it for microseconds; so often it is asked again.
/// So does a child of a process that was killed, until it has become another program.
const PATIENCE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(2);

/// How long the programs and children of a process that died are waited for. They have five seconds
/// to end in good order before they are killed.
const PROGRAMS_PATIENCE: Duration = Duration::from_secs(15);

/// The longest note of a holder that is read.
const NOTE_MAX: u64 = 1024;

/// The right to drive a run: to append to its journal, and to start programs for it. The second
/// lock is shared with whoever ends the programs should this process die, so that the run cannot
/// be taken up while one of them lives.
#[derive(Debug)]
pub(crate) struct RunLease {
    programs: File,
    _lease: Lease,
}

impl RunLease {
    /// Takes both locks in the folder of a run, the second as soon as the programs of a process
    /// that died have ended.
    pub(crate) fn take(folder: &Path) -> Result<Self, Refusal> {
        let lease = Lease::take(&folder.join(LOCK))?;
        let path = folder.join(PROGRAMS);
        let programs = open_lock(&path)?;
        if !lock_within(&programs, &path, PROGRAMS_PATIENCE)? {
            return Err(Refusal::Held(
                "programs of a process that died, which have not ended yet".to_owned(),
            ));
        }
        Ok(Self { programs, _lease: lease })
    }

    /// The second lock once more: it is free when all its descriptors are closed.
    pub(crate) fn share_programs(&self) -> std::io::Result<File> {
        self.programs.try_clone()
    }
}

/// The right to a run's folder. Given free when dropped.
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
        let mut file = open_lock(path)?;
        if !lock_within(&file, path, PATIENCE)? {
            let note = note(&mut file);
            // A process that was killed may leave a child that has not become another program yet, which
            // takes long where the machine has much to do.
            if is_alive(&note) || !lock_within(&file, path, PROGRAMS_PATIENCE)? {
                return Err(Refusal::Held(locks::with_state(&note)));
            }
        }
        if file.metadata().map_err(failed)?.nlink() == 0 {
            return Err(failed(std::io::ErrorKind::NotFound.into()));
        }
        let note = locks::own_note();
        file.set_len(0).and_then(|()| file.write_all(note.as_bytes())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn open_lock(path: &Path) -> Result<File, Refusal> {
    locks::open(path).map_err(Refusal::Failed)
}

/// Locks a file; `false` if others keep it locked for as long as `patience`.
fn lock_within(file: &File, path: &Path, patience: Duration) -> Result<bool, Refusal> {
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if begin.elapsed() < patience => {
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if platform::lacks_locks(&error) => {
                return Err(Refusal::Failed(StoreError::NoLocks(path.to_owned())));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Refusal::Failed(StoreError::io("lock", path)(error)));
            }
        }
    }
}

/// Who has the lock at `path`, if anyone who lives: what a dead process has left to a child is nobody's,
/// and is waited for by whoever takes the lock. Looking disturbs a process that is taking the lock
/// for microseconds at most, and that process tries again.
pub(crate) fn holder(path: &Path) -> Result<Option<String>, StoreError> {
    let Some(mut file) = open_plain(path)? else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let note = Some(note(&mut file)).filter(|note| is_alive(note));
            Ok(note.map(|note| locks::with_state(&note)))
        }
        Err(TryLockError::Error(error)) if platform::lacks_locks(&error) => {
            Err(StoreError::NoLocks(path.to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}

/// Whether the process that a note names may be alive: unless it is one of this machine that is gone.
fn is_alive(note: &str) -> bool {
    locks::process_here(note).is_none_or(platform::is_alive)
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

    #[test]
    fn a_lock_that_a_dead_process_left_to_a_child_is_waited_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lock");
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        child.wait().expect("its end");
        let mut left = open_lock(&path).expect("a lock");
        left.lock().expect("it is free");
        let note = format!("process {} on host {}, since x", child.id(), platform::host_name());
        left.write_all(note.as_bytes()).expect("a note");
        assert_eq!(holder(&path).expect("an answer"), None, "who is dead has nothing");
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| Lease::take(&path));
            // Longer than a living holder is given.
            while begin.elapsed() < 3 * PATIENCE {
                std::thread::sleep(PAUSE);
            }
            drop(left);
            assert!(taker.join().expect("no panic").is_ok());
        });
    }

    #[test]
    fn a_run_is_taken_up_when_the_programs_of_its_last_process_have_ended() {
        let dir = tempfile::tempdir().expect("a folder");
        let lease = RunLease::take(dir.path()).expect("both are free");
        let starter = lease.share_programs().expect("a descriptor");
        drop(lease);
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| {
                RunLease::take(dir.path()).expect("the programs end");
                ended.load(std::sync::atomic::Ordering::SeqCst)
            });
            // The taker has the first lock and waits for the second.
            while holder(&dir.path().join(LOCK)).expect("an answer").is_none() {
                std::thread::yield_now();
            }
            ended.store(true, std::sync::atomic::Ordering::SeqCst);
            drop(starter);
            assert!(taker.join().expect("no panic"), "it was taken up too early");
        });
    }
}
