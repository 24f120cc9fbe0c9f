//! Folders: a manifest object that names a file object for each file.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use flow_core::digest::{Digest, EntryKind, ManifestEntry, manifest_bytes};
use flow_core::store::StoreError;

use super::put::{Source, Staged};
use super::{Objects, put};
use crate::files::{ensure_dir, sync_together};

/// So many files of a folder are on their way to the disk before the first is waited for.
const TOGETHER: usize = 64;

/// Any of the three bits that let someone run a file.
const EXECUTABLE: u32 = 0o111;

impl Objects {
    /// Stores a folder. Returns the digest of its manifest and the bytes of all files.
    pub(crate) fn put_dir(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let meta = fs::symlink_metadata(path).map_err(StoreError::io("read", path))?;
        if !meta.is_dir() {
            return Err(refused(path));
        }
        // Files below the store's own scratch space are linked instead of copied.
        let own = path.starts_with(self.layout.scratch());
        let from = if own { Source::Linked } else { Source::Kept };
        let (mut entries, mut staged, mut total) = (Vec::new(), Vec::new(), 0);
        let mut folders = vec![(path.to_owned(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            for (path, name, meta) in list(&folder)? {
                let relative = format!("{prefix}{name}");
                let kind = meta.file_type();
                if kind.is_dir() {
                    folders.push((path, format!("{relative}/")));
                    entries.push(dir_entry(relative));
                } else if kind.is_file() {
                    let file = self.stage(&path, from)?;
                    total += file.size;
                    entries.push(file_entry(relative, meta.permissions().mode(), &file));
                    staged.push(file);
                    if staged.len() == TOGETHER {
                        self.finish_all(&mut staged)?;
                    }
                } else {
                    return Err(refused(&path));
                }
            }
        }
        self.finish_all(&mut staged)?;
        let digest = self.put_bytes(&manifest_bytes(&mut entries))?;
        Ok((digest, total))
    }

    fn finish_all(&self, staged: &mut Vec<Staged>) -> Result<(), StoreError> {
        sync_together(staged, Staged::sync)?;
        staged.drain(..).try_for_each(|file| self.admit(&file))
    }

    /// Makes a fresh folder of links at `target`.
    pub(super) fn place_dir(&self, digest: &Digest, target: &Path) -> Result<(), StoreError> {
        let entries = self.manifest(digest)?;
        fs::create_dir(target).map_err(StoreError::io("create", target))?;
        // Entries are sorted by path, so a folder comes before what is in it.
        for (path, entry) in entries {
            let target = target.join(path);
            match (entry.kind, entry.digest) {
                (EntryKind::Dir, _) => {
                    ensure_dir(&target)?;
                }
                // A link would share its mode with the object, which is no program.
                (EntryKind::File, Some(digest)) if entry.executable => {
                    put::copy_out(&self.object(&digest)?, &target, put::PROGRAM)?;
                }
                (EntryKind::File, Some(digest)) => self.place_file(&digest, &target)?,
                (EntryKind::File, None) => {}
            }
        }
        Ok(())
    }

    /// Whether all objects of a folder still have their bytes.
    pub(super) fn check_dir(&self, digest: &Digest) -> Result<(), StoreError> {
        for (_, entry) in self.manifest(digest)? {
            if let Some(digest) = entry.digest {
                self.object(&digest)?;
            }
        }
        Ok(())
    }

    /// Reads a manifest, and refuses one that would reach out of its folder.
    pub(crate) fn manifest(
        &self,
        digest: &Digest,
    ) -> Result<Vec<(PathBuf, ManifestEntry)>, StoreError> {
        let bytes = self.read(digest)?;
        let damaged = |reason: String| StoreError::Damaged {
            path: self.layout.object(digest),
            offset: 0,
            reason,
        };
        let mut entries = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: ManifestEntry = serde_json::from_slice(line).map_err(|error| {
                damaged(format!("this is not the manifest of a folder: {error}"))
            })?;
            let path = PathBuf::from(&entry.path);
            let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
            if !inside || entry.path.is_empty() {
                return Err(damaged(format!("the path {:?} leads out of the folder", entry.path)));
            }
            if entry.kind == EntryKind::File && entry.digest.is_none() {
                return Err(damaged(format!("the file {:?} has no digest", entry.path)));
            }
            entries.push((path, entry));
        }
        Ok(entries)
    }
}

fn dir_entry(path: String) -> ManifestEntry {
    ManifestEntry { path, kind: EntryKind::Dir, executable: false, size: 0, digest: None }
}

fn file_entry(path: String, mode: u32, file: &Staged) -> ManifestEntry {
    let executable = mode & EXECUTABLE != 0;
    let (size, digest) = (file.size, Some(file.digest));
    ManifestEntry { path, kind: EntryKind::File, executable, size, digest }
}

/// What is in a folder, links not followed, with names as text.
fn list(folder: &Path) -> Result<Vec<(PathBuf, String, fs::Metadata)>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("read", folder))? {
        let entry = entry.map_err(StoreError::io("read", folder))?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "this name is not UTF-8");
            return Err(StoreError::io("store", path)(source));
        };
        let meta = entry.metadata().map_err(StoreError::io("read", &path))?;
        found.push((path, name, meta));
    }
    Ok(found)
}

/// The error for what is neither a file nor a folder.
pub(super) fn refused(path: &Path) -> StoreError {
    let reason = "this is neither a regular file nor a folder, and links are not followed";
    StoreError::io("store", path)(io::Error::new(io::ErrorKind::InvalidInput, reason))
}
