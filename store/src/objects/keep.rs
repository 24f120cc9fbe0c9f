//! Keeping objects from being collected before something refers to them.
//!
//! Whoever stores objects, or relies on one that is there already, holds a lock as long as its
//! store is open, so that a collection knows whether there is anybody of that kind. An object that
//! is relied on is renewed: the time of its last change of state moves on. Both that and the removal
//! of an object happen under a second lock, so that none is removed between the look at it and
//! the renewal.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flow_core::digest::Digest;
use flow_core::payload::Artifact;
use flow_core::store::StoreError;

use super::{FileState, Objects, lock, put};
use crate::files::if_there;
use crate::{locks, platform};

impl Objects {
    /// Makes it known that this process stores objects.
    pub(super) fn join(&self) -> Result<(), StoreError> {
        let mut user = lock(&self.user);
        if user.is_none() {
            let path = self.layout.users();
            let file = locks::open(&path)?;
            share(&file, &path)?;
            *user = Some(file);
        }
        Ok(())
    }

    /// Keeps objects from being removed as long as the result is held.
    pub(super) fn hold_all(&self) -> Result<File, StoreError> {
        self.join()?;
        let path = self.layout.removal();
        let file = locks::open(&path)?;
        share(&file, &path)?;
        Ok(file)
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

/// Takes a lock together with others. A collection has it for itself for microseconds at a time.
fn share(file: &File, path: &Path) -> Result<(), StoreError> {
    match file.lock_shared() {
        // Where files cannot be locked nothing is collected either.
        Err(error) if platform::lacks_locks(&error) => Ok(()),
        other => other.map_err(StoreError::io("lock", path)),
    }
}
