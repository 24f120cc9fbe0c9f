//! Taking a run from a file that another store exported.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::{Adopt, PRIVATE_PREFIX, Store, StoreError};

use super::package::{self, FORMAT, HEADER, Header, OBJECTS, OUTPUT, RUN};
use crate::DiskStore;
use crate::files::{check_name, ensure_dir, sync_dir};
use crate::journal::JournalFile;
use crate::layout::{INBOX, JOURNAL};
use crate::runs;

/// The first entry is a few hundred bytes.
const HEADER_MAX: u64 = 64 * 1024;

impl DiskStore {
    /// Takes the run in an exported file into this store, and returns its id. The whole file is
    /// checked before anything of it is taken, every object against its name, and the run appears
    /// at once, when all that it needs is durable.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the file is not exactly what was exported; [`StoreError::TooNew`];
    /// [`StoreError::RunExists`]; failure to read or write.
    pub fn import(&self, source: &Path) -> Result<RunId, StoreError> {
        let mut file = File::open(source).map_err(StoreError::io("open", source))?;
        let len = package::check(&mut file, source)?;
        file.rewind().map_err(StoreError::io("read", source))?;
        let aside = self.tmp.fresh()?;
        ensure_dir(&aside)?;
        let imported = Import { store: self, source, aside: &aside }.take(file.take(len));
        if imported.is_err() && aside.exists() {
            fs::remove_dir_all(&aside).map_err(StoreError::io("remove", &aside))?;
        }
        imported
    }
}

/// An import that goes on.
struct Import<'a> {
    store: &'a DiskStore,
    source: &'a Path,
    /// Where the run's folder is made.
    aside: &'a Path,
}

impl Import<'_> {
    fn take(&self, archive: impl Read) -> Result<RunId, StoreError> {
        let mut archive = tar::Archive::new(archive);
        let mut header = None;
        for entry in archive.entries().map_err(StoreError::io("read", self.source))? {
            let mut entry = entry.map_err(StoreError::io("read", self.source))?;
            let at = entry.raw_header_position();
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if entry.header().entry_type() != tar::EntryType::Regular {
                return Err(self.refused(at, format!("{name:?} is no regular file")));
            }
            if header.is_none() {
                header = Some(self.header(&name, at, &mut entry)?);
            } else if let Some(digest) = name.strip_prefix(OBJECTS) {
                self.object(digest, at, &mut entry)?;
            } else if let Some(path) = name.strip_prefix(RUN).and_then(path_in_run) {
                self.file(&path, &mut entry)?;
            } else {
                return Err(self.refused(at, format!("{name:?} does not belong to a run")));
            }
        }
        let header = header.ok_or_else(|| self.refused(0, "it is empty".into()))?;
        self.admit(&header)?;
        Ok(header.run)
    }

    fn header(&self, name: &str, at: u64, entry: &mut impl Read) -> Result<Header, StoreError> {
        let mut bytes = Vec::new();
        let read = entry.take(HEADER_MAX).read_to_end(&mut bytes);
        read.map_err(StoreError::io("read", self.source))?;
        let header = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
        let format = header.as_ref().and_then(|header| header.get("format")?.as_u64());
        let format =
            format.and_then(|format| u32::try_from(format).ok()).filter(|_| name == HEADER);
        let Some(found) = format else {
            return Err(self.refused(at, "this is no exported run".into()));
        };
        if found > FORMAT {
            return Err(StoreError::TooNew { path: self.source.into(), found, known: FORMAT });
        }
        let header: Header = serde_json::from_slice(&bytes)
            .map_err(|error| self.refused(at, format!("its first entry: {error}")))?;
        if self.store.layout.run(&header.run).exists() {
            return Err(StoreError::RunExists(header.run));
        }
        Ok(header)
    }

    /// Stores an object, if its bytes are those of its name.
    fn object(&self, name: &str, at: u64, entry: &mut impl Read) -> Result<(), StoreError> {
        let expected = name.parse::<Digest>();
        let expected = expected.or(Err(self.refused(at, format!("{name:?} is no digest"))))?;
        let staged = self.store.tmp.fresh()?;
        copy(entry, &staged, self.source)?;
        let (found, _) = self.store.put_file(&staged, Adopt::Move)?;
        if found != expected {
            return Err(self.refused(at, format!("an object has the digest {}", found.short())));
        }
        Ok(())
    }

    /// Puts a file into the folder that becomes the run's.
    fn file(&self, path: &Path, entry: &mut impl Read) -> Result<(), StoreError> {
        let target = self.aside.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        }
        copy(entry, &target, self.source)
    }

    /// Makes everything durable, and then gives the run its name.
    fn admit(&self, header: &Header) -> Result<(), StoreError> {
        let path = self.aside.join(JOURNAL);
        let journal = JournalFile::open(&path)?;
        let journal = journal.ok_or_else(|| self.refused(0, "it has no journal".into()))?;
        let mut reader = journal.reader();
        while reader.next()?.is_some() {}
        if journal.header.run != header.run {
            return Err(self.refused(0, format!("it has the journal of {}", journal.header.run)));
        }
        ensure_dir(&self.aside.join(INBOX))?;
        sync_folders(self.aside)?;
        self.store.settle()?;
        runs::admit(&self.store.layout, self.aside, &header.run, journal.header.created_at)
    }

    fn refused(&self, offset: u64, reason: String) -> StoreError {
        StoreError::Damaged { path: self.source.to_owned(), offset, reason }
    }
}

/// The path of a file in a run's folder: a recorded file, or one below the captured output.
fn path_in_run(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    let plain = path.components().all(|part| match part {
        Component::Normal(part) => str::from_utf8(part.as_bytes()).is_ok_and(is_plain),
        _ => false,
    });
    let recorded = name == JOURNAL || runs::check_file_name(name).is_ok();
    let private = name.starts_with(PRIVATE_PREFIX);
    (plain && !private && (recorded || path.starts_with(OUTPUT))).then_some(path)
}

fn is_plain(name: &str) -> bool {
    check_name(name).is_ok()
}

fn copy(from: &mut impl Read, target: &Path, source: &Path) -> Result<(), StoreError> {
    let mut file = File::create_new(target).map_err(StoreError::io("create", target))?;
    io::copy(from, &mut file).map_err(StoreError::io("copy from", source))?;
    file.sync_all().map_err(StoreError::io("sync", target))
}

/// Makes the names in a folder and in all below it durable.
fn sync_folders(folder: &Path) -> Result<(), StoreError> {
    for (path, kind) in crate::files::entries(folder)? {
        if kind.is_dir() {
            sync_folders(&path)?;
        }
    }
    sync_dir(folder)
}
