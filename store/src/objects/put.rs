//! Bringing bytes into the object store, and copying them out of it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use flow_core::digest::{Digest, Hasher};
use flow_core::store::{Adopt, StoreError};

use super::state::FileState;
use super::{Objects, each_chunk, hash};
use crate::files::{discard, ensure_dir};
use crate::platform;

/// The mode of objects: nobody writes to them.
pub(super) const READ_ONLY: u32 = 0o444;
/// The mode of a placed file that is a program.
pub(super) const PROGRAM: u32 = 0o555;

/// A present object up to this size is read and checked before its bytes are written again.
const CHECK_BEFORE_WRITE: u64 = 1 << 20;

impl Objects {
    /// Stores bytes.
    pub(crate) fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.has(&digest, bytes.len() as u64)? {
            return Ok(digest);
        }
        let staged = self.tmp.fresh()?;
        let stored = write_new(&staged, bytes).and_then(|()| self.admit(&staged, digest));
        self.or_discard(&staged, stored)?;
        Ok(digest)
    }

    /// Stores a regular file.
    pub(crate) fn put_file(&self, path: &Path, adopt: Adopt) -> Result<(Digest, u64), StoreError> {
        let staged = self.tmp.fresh()?;
        let stored = self.stage(path, adopt, &staged).and_then(|(digest, size)| {
            self.admit(&staged, digest)?;
            Ok((digest, size))
        });
        self.or_discard(&staged, stored)
    }

    /// Stores a regular file under a second name, so that the first stays where it is. Only for
    /// files that are the store's own: both names have the same bytes and the same mode.
    pub(super) fn put_linked(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let alone = fs::symlink_metadata(path).is_ok_and(|meta| meta.nlink() == 1);
        let linked = self.tmp.fresh()?;
        if !alone || fs::hard_link(path, &linked).is_err() {
            return self.put_file(path, Adopt::Copy);
        }
        let stored = seal(&linked).and_then(|(digest, size)| {
            self.admit(&linked, digest)?;
            Ok((digest, size))
        });
        self.or_discard(&linked, stored)
    }

    fn or_discard<T>(&self, staged: &Path, stored: Result<T, StoreError>) -> Result<T, StoreError> {
        if stored.is_err() {
            discard(staged);
        }
        stored
    }

    /// Gets a file's bytes into `staged`, durable and read-only, by the cheapest way.
    fn stage(&self, path: &Path, adopt: Adopt, staged: &Path) -> Result<(Digest, u64), StoreError> {
        let mut source = open_regular(path)?;
        let meta = source.metadata().map_err(StoreError::io("read", path))?;
        // A file with a second name may still be changed under that one.
        if adopt == Adopt::Move && meta.nlink() == 1 {
            match fs::rename(path, staged) {
                Ok(()) => return seal(staged),
                Err(error) if platform::link_needs_copy(&error) => {}
                Err(error) => return Err(StoreError::io("move", path)(error)),
            }
        }
        copy_in(&mut source, path, staged)
    }

    /// Gives a staged file its name, unless the right file has it already.
    fn admit(&self, staged: &Path, digest: Digest) -> Result<(), StoreError> {
        let path = self.layout.object(&digest);
        let folder = path.parent().unwrap_or(self.layout.root());
        if ensure_dir(folder)? {
            self.mark_dirty(&self.layout.objects());
        }
        let verified = FileState::of(&path)?.is_some_and(|state| self.is_verified(&digest, &state));
        if verified {
            discard(staged);
        } else {
            // This also heals an object whose bytes have gone bad.
            fs::rename(staged, &path).map_err(StoreError::io("rename", &path))?;
            self.remember(digest, &path)?;
        }
        self.mark_dirty(folder);
        Ok(())
    }

    /// Whether an object is there already, as far as that is cheap to know for sure.
    fn has(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let path = self.layout.object(digest);
        let Some(state) = FileState::of(&path)? else { return Ok(false) };
        let good = state.size() == size
            && (self.is_verified(digest, &state)
                || size <= CHECK_BEFORE_WRITE && self.object(digest).is_ok());
        if good {
            // Another process may have put it there without having settled its name.
            self.mark_dirty(path.parent().unwrap_or(self.layout.root()));
        }
        Ok(good)
    }
}

/// Makes a file read-only and durable while its bytes are hashed.
fn seal(path: &Path) -> Result<(Digest, u64), StoreError> {
    let mut file = open_regular(path)?;
    file.set_permissions(Permissions::from_mode(READ_ONLY))
        .map_err(StoreError::io("change the mode of", path))?;
    let size = file.metadata().map_err(StoreError::io("read", path))?.len();
    let digest = hash(&mut file, path)?;
    file.sync_all().map_err(StoreError::io("sync", path))?;
    Ok((digest, size))
}

/// Copies a file that stays as it is: shares its blocks where possible, else hashes while writing.
fn copy_in(source: &mut File, path: &Path, staged: &Path) -> Result<(Digest, u64), StoreError> {
    let target = create(staged, READ_ONLY)?;
    if platform::clone_file(source, &target).is_ok() {
        drop(target);
        return seal(staged);
    }
    let (mut writer, mut hasher) = (&target, Hasher::default());
    let size = each_chunk(source, path, |bytes| {
        hasher.update(bytes);
        writer.write_all(bytes).map_err(StoreError::io("write", staged))
    })?;
    target.sync_all().map_err(StoreError::io("sync", staged))?;
    Ok((hasher.finish(), size))
}

/// Copies an object to `target`, which must not exist. Not synced: attempts start afresh after a
/// crash.
pub(super) fn copy_out(source: &Path, target: &Path, mode: u32) -> Result<(), StoreError> {
    let mut from = File::open(source).map_err(StoreError::io("open", source))?;
    let mut to = create(target, mode)?;
    if platform::clone_file(&from, &to).is_ok() {
        return Ok(());
    }
    io::copy(&mut from, &mut to).map_err(StoreError::io("write", target))?;
    Ok(())
}

/// Creates a file that only this handle can write to.
fn create(path: &Path, mode: u32) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(StoreError::io("create", path))?;
    // The mode given at creation is cut by the mask of the process.
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(StoreError::io("change the mode of", path))?;
    Ok(file)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = create(path, READ_ONLY)?;
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    file.sync_all().map_err(StoreError::io("sync", path))
}

/// Opens a regular file for reading: no link, no folder, no pipe or device.
fn open_regular(path: &Path) -> Result<File, StoreError> {
    let opened =
        OpenOptions::new().read(true).custom_flags(platform::careful_open_flags()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(_) if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) => {
            return Err(super::folder::refused(path));
        }
        Err(error) => return Err(StoreError::io("open", path)(error)),
    };
    if file.metadata().map_err(StoreError::io("read", path))?.is_file() {
        return Ok(file);
    }
    Err(super::folder::refused(path))
}
