//! Bringing bytes into the object store, and copying them out of it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flow_core::digest::{Digest, Hasher};
use flow_core::store::{Adopt, StoreError};

use super::state::FileState;
use super::{Objects, each_chunk, hash};
use crate::files::{discard, ensure_dir};
use crate::plain::open_plain;
use crate::platform;

/// The mode of objects: nobody writes to them.
pub(super) const READ_ONLY: u32 = 0o444;
/// The mode of a placed file that is a program.
pub(super) const PROGRAM: u32 = 0o555;

/// After so many bytes a file that is being copied is sent on its way to the disk.
const SEND: usize = 8 << 20;

/// A present object up to this size is read and checked before its bytes are written again.
const CHECK_BEFORE_WRITE: u64 = 1 << 20;

/// What may be done with a file that is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It can be taken away.
    Moved,
    /// It is the store's own, so that it may become a second name of the object: both then have the
    /// same bytes and the same mode.
    Linked,
    /// It stays as it is and belongs to someone else.
    Kept,
}

/// A temporary file that is complete, and perhaps not durable yet.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    file: File,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl Staged {
    /// Makes its bytes durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))
    }
}

impl Objects {
    /// Stores bytes.
    pub(crate) fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let held = self.hold_all()?;
        let has = self.has(&digest, bytes.len() as u64)?;
        drop(held);
        if has {
            return Ok(digest);
        }
        let path = self.tmp.fresh()?;
        let file = self.or_discard(&path, write_new(&path, bytes))?;
        self.admit(&Staged { path, file, digest, size: bytes.len() as u64 })?;
        Ok(digest)
    }

    /// Stores a regular file.
    pub(crate) fn put_file(&self, path: &Path, adopt: Adopt) -> Result<(Digest, u64), StoreError> {
        let adopt = if adopt == Adopt::Move { Source::Moved } else { Source::Kept };
        let staged = self.stage(path, adopt)?;
        self.or_discard(&staged.path, staged.sync())?;
        self.admit(&staged)?;
        Ok((staged.digest, staged.size))
    }

    /// Gets a file's bytes into a temporary file by the cheapest way, and has them hashed.
    pub(super) fn stage(&self, path: &Path, from: Source) -> Result<Staged, StoreError> {
        let target = self.tmp.fresh()?;
        let staged = self.bring(path, from, &target);
        self.or_discard(&target, staged)
    }

    fn or_discard<T>(&self, staged: &Path, stored: Result<T, StoreError>) -> Result<T, StoreError> {
        if stored.is_err() {
            discard(staged);
        }
        stored
    }

    fn bring(&self, path: &Path, from: Source, target: &Path) -> Result<Staged, StoreError> {
        let mut source = open_regular(path)?;
        let links = source.metadata().map_err(StoreError::io("read", path))?.nlink();
        // A file with a second name may still be changed under that one.
        if links == 1 && from != Source::Kept {
            let brought = match from {
                Source::Moved => fs::rename(path, target),
                _ => fs::hard_link(path, target),
            };
            match brought {
                Ok(()) => return seal(target),
                Err(error) if platform::link_needs_copy(&error) => {}
                Err(error) => return Err(StoreError::io("move", path)(error)),
            }
        }
        copy_in(&mut source, path, target)
    }

    /// Gives a staged file its name once it is durable, unless the right file has it already.
    pub(super) fn admit(&self, staged: &Staged) -> Result<(), StoreError> {
        let admitted = self.name(&staged.path, staged.digest);
        self.or_discard(&staged.path, admitted)
    }

    fn name(&self, staged: &Path, digest: Digest) -> Result<(), StoreError> {
        let held = self.hold_all()?;
        let path = self.layout.object(&digest);
        let folder = path.parent().unwrap_or(self.layout.root());
        if ensure_dir(folder)? {
            self.mark_dirty(&self.layout.objects());
        }
        let verified = FileState::of(&path)?.is_some_and(|state| self.is_verified(&digest, &state));
        if verified && self.renew(&digest, &path)? {
            discard(staged);
        } else {
            // This also heals an object whose bytes have gone bad.
            self.give_name(staged, digest, &path)?;
            self.remember(digest, &path)?;
        }
        drop(held);
        self.mark_dirty(folder);
        Ok(())
    }

    /// Renames a staged file; whatever is no file and keeps it from that goes out of the way.
    fn give_name(&self, staged: &Path, digest: Digest, path: &Path) -> Result<(), StoreError> {
        let Err(error) = fs::rename(staged, path) else { return Ok(()) };
        if !self.put_aside_if_wrong(path)? {
            return Err(StoreError::io("rename", path)(error));
        }
        tracing::warn!(%digest, "the place of an object was taken by something else");
        fs::rename(staged, path).map_err(StoreError::io("rename", path))
    }

    /// Whether an object is there already, as far as that is cheap to know for sure.
    fn has(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let path = self.layout.object(digest);
        let Some(state) = FileState::of(&path)? else { return Ok(false) };
        let good = state.size() == size
            && (self.is_verified(digest, &state)
                || size <= CHECK_BEFORE_WRITE && self.object(digest).is_ok())
            && self.renew(digest, &path)?;
        if good {
            // Another process may have put it there without having settled its name.
            self.mark_dirty(path.parent().unwrap_or(self.layout.root()));
        }
        Ok(good)
    }
}

/// Makes a file read-only and hashes it, while it is already on its way to the disk.
fn seal(path: &Path) -> Result<Staged, StoreError> {
    let mut file = open_regular(path)?;
    file.set_permissions(Permissions::from_mode(READ_ONLY))
        .map_err(StoreError::io("change the mode of", path))?;
    let size = file.metadata().map_err(StoreError::io("read", path))?.len();
    platform::start_writing(&file);
    let digest = hash(&mut file, path)?;
    Ok(Staged { path: path.to_owned(), file, digest, size })
}

/// Copies a file that stays as it is: shares its blocks where possible, else hashes while writing.
fn copy_in(source: &mut File, path: &Path, staged: &Path) -> Result<Staged, StoreError> {
    let file = create(staged, READ_ONLY)?;
    if platform::clone_file(source, &file).is_ok() {
        return seal(staged);
    }
    let (mut writer, mut hasher, mut unsent) = (&file, Hasher::default(), 0);
    let size = each_chunk(source, path, |bytes| {
        hasher.update(bytes);
        writer.write_all(bytes).map_err(StoreError::io("write", staged))?;
        unsent += bytes.len();
        if unsent >= SEND {
            unsent = 0;
            platform::start_writing(&file);
        }
        Ok(())
    })?;
    platform::start_writing(&file);
    Ok(Staged { path: staged.to_owned(), digest: hasher.finish(), file, size })
}

/// Copies an object to `target`, which must not exist. Not synced: attempts start afresh after a
/// crash.
pub(super) fn copy_out(source: &Path, target: &Path, mode: u32) -> Result<(), StoreError> {
    let absent = || StoreError::io("open", source)(io::ErrorKind::NotFound.into());
    let mut from = open_plain(source)?.ok_or_else(absent)?;
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

fn write_new(path: &Path, bytes: &[u8]) -> Result<File, StoreError> {
    let mut file = create(path, READ_ONLY)?;
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    file.sync_all().map_err(StoreError::io("sync", path))?;
    Ok(file)
}

/// Opens a regular file for reading: no link, no folder, no pipe or device.
fn open_regular(path: &Path) -> Result<File, StoreError> {
    match open_plain(path) {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(StoreError::io("open", path)(io::ErrorKind::NotFound.into())),
        Err(StoreError::NoFile { .. }) => Err(super::folder::refused(path)),
        Err(error) => Err(error),
    }
}
