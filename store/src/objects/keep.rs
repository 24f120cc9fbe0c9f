//! Keeping objects from being collected before something refers to them.
//!
//! Whoever stores objects, or relies on one that is there already, holds a lock as long as its
//! store is open, so that a collection knows whether there is anybody of that kind. An object that
//! is relied on is renewed: the time of its last change of state moves on. Both that and the removal
//! of an object happen under a second lock, so that none is removed between the look at it and
//! the renewal.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::payload::Artifact;
use flow_core::store::StoreError;

use super::{FileState, Objects, lock, put};
use crate::files::if_there;
use crate::{locks, platform};

/// A collection removes a few objects at a time; nobody waits longer than this, once.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_micros(500);

impl Objects {
    /// Makes it known that this process stores objects.
    pub(super) fn join(&self) -> Result<(), StoreError> {
        let mut user = lock(&self.user);
        if user.is_none() {
            let path = self.layout.users();
            let file = locks::open(&path)?;
            // A collection has it for microseconds; one that is stopped just then is asked again
            // with the next object.
            if self.share(&file, &path)? {
                *user = Some(file);
            }
        }
        Ok(())
    }

    /// Keeps objects from being removed as long as the result is held. A collection that is stopped
    /// while it removes some is not waited for: it looks at each object right before it removes it.
    pub(super) fn hold_all(&self) -> Result<File, StoreError> {
        self.join()?;
        let path = self.layout.removal();
        let file = locks::open(&path)?;
        self.share(&file, &path)?;
        Ok(file)
    }

    /// Takes a lock together with others. Returns whether it could be had in time.
    fn share(&self, file: &File, path: &Path) -> Result<bool, StoreError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match file.try_lock_shared() {
                Ok(()) => {
                    self.impatient.store(false, Ordering::Relaxed);
                    return Ok(true);
                }
                // Where files cannot be locked nothing is collected either.
                Err(TryLockError::Error(error)) if platform::lacks_locks(&error) => {
                    return Ok(true);
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if self.impatient.load(Ordering::Relaxed) || Instant::now() >= until {
                tracing::warn!(path = %path.display(), "a collection of objects stands still");
                self.impatient.store(true, Ordering::Relaxed);
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Moves the time on at which an object was last of use. Others may have it for removed already;
    /// returns whether it is there.
    pub(super) fn renew(&self, digest: &Digest, path: &Path) -> Result<bool, StoreError> {
        let mode = Permissions::from_mode(put::READ_ONLY);
        let renewed = if_there(fs::set_permissions(path, mode));
        match renewed {
            Ok(Some(())) => {}
            Ok(None) => return Ok(false),
            // Someone else's object, in a store that several people use.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Ok(path.exists());
            }
            Err(error) => return Err(StoreError::io("change the mode of", path)(error)),
        }
        // That changed nothing but the time.
        self.was_linked(digest, path);
        Ok(true)
    }

    /// Whether all objects of an artifact are there, which are kept for the time being; their bytes
    /// are checked when they are read.
    pub(crate) fn expect(&self, artifact: &Artifact) -> Result<(), StoreError> {
        let held = self.hold_all()?;
        self.expect_one(&artifact.digest)?;
        if artifact.is_dir() {
            let entries = self.manifest(&artifact.digest)?;
            let mut files = entries.iter().filter_map(|(_, entry)| entry.digest);
            files.try_for_each(|digest| self.expect_one(&digest))?;
        }
        drop(held);
        Ok(())
    }

    fn expect_one(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.layout.object(digest);
        if FileState::of(&path)?.is_some() && self.renew(digest, &path)? {
            return Ok(());
        }
        Err(StoreError::Missing { digest: *digest, path })
    }
}

#[cfg(test)]
mod tests {
    use flow_core::store::Store;

    use crate::DiskStore;
    use crate::locks;

    #[test]
    fn a_collection_that_stands_still_holds_nobody_up_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = DiskStore::create(&folder.path().join("store")).expect("a store");
        let (removal, users) = (store.layout.removal(), store.layout.users());
        let stopped = [&removal, &users].map(|path| {
            let file = locks::open(path).expect("a file");
            assert!(locks::try_lock(&file, path).expect("a lock"));
            file
        });
        for n in 0..200_u8 {
            store.put_bytes(&[n]).expect("an object");
        }
        assert!(store.objects.user.lock().expect("a lock").is_none());
        drop(stopped);
        store.put_bytes(b"x").expect("an object");
        assert!(store.objects.user.lock().expect("a lock").is_some());
        let again = locks::open(&users).expect("a file");
        assert!(!locks::try_lock(&again, &users).expect("an answer"), "a collection sees it");
    }
}
