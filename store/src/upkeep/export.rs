//! Writing one run, with all that it needs, into one file.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::{PRIVATE_PREFIX, StoreError};

use super::marks::{each_digest_in, is_json};
use super::package::{FORMAT, HEADER, Hashing, Header, OUTPUT, RUN, object_name};
use crate::DiskStore;
use crate::files::{discard, entries, sync_dir};
use crate::journal::{HEADER_LEN, JournalFile};
use crate::layout::{INBOX, JOURNAL, LOCK, PROGRAMS};
use crate::plain::open_plain;
use crate::tmp::unique_name;

/// The mode of files in the archive.
const MODE: u32 = 0o644;

type Archive = tar::Builder<Hashing<BufWriter<File>>>;

impl DiskStore {
    /// Writes a run with all its payloads into a new file, which another store can import. Private
    /// files of the run and waiting messages stay here. A run that is going on is written as far
    /// as it is. Every byte is checked on the way; a run that has lost some cannot be exported.
    ///
    /// # Errors
    /// [`StoreError::NoRun`]; [`StoreError::Missing`] or [`StoreError::Damaged`] if something that
    /// it needs is lost; an I/O error of kind `AlreadyExists` if `target` exists; failure to write.
    pub fn export(&self, run: &RunId, target: &Path) -> Result<(), StoreError> {
        let journal = self.journal_file(run)?;
        if target.exists() {
            return Err(StoreError::io("create", target)(io::ErrorKind::AlreadyExists.into()));
        }
        let objects = self.objects_of(run)?;
        let aside = aside(target);
        let written = self.write(run, &journal, &objects, &aside).and_then(|()| {
            fs::rename(&aside, target).map_err(StoreError::io("rename", target))?;
            sync_dir(folder_of(target))
        });
        if written.is_err() {
            discard(&aside);
        }
        written
    }

    /// All objects that a run refers to, directly or through others.
    fn objects_of(&self, run: &RunId) -> Result<BTreeSet<Digest>, StoreError> {
        self.require_whole(run)?;
        let (mut all, mut open) = (BTreeSet::new(), Vec::new());
        let mut sources: Vec<PathBuf> = self.recorded_files(run)?;
        while let Some(source) = sources.pop() {
            each_digest_in(&source, &mut |digest| open.push(digest))?;
            for digest in open.drain(..) {
                let path = self.layout.object(&digest);
                if path.is_file() && all.insert(digest) && is_json(&path)? {
                    sources.push(path);
                }
            }
        }
        Ok(all)
    }

    /// The files of a run that are taken along, without its captured output.
    fn recorded_files(&self, run: &RunId) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = Vec::new();
        for (path, kind) in entries(&self.layout.run(run))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(INBOX);
            let stays = [LOCK, PROGRAMS, INBOX].contains(&name) || name.starts_with(PRIVATE_PREFIX);
            if kind.is_file() && !stays {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn write(
        &self,
        run: &RunId,
        journal: &JournalFile,
        objects: &BTreeSet<Digest>,
        path: &Path,
    ) -> Result<(), StoreError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(StoreError::io("create", path))?;
        let mut archive = tar::Builder::new(Hashing::new(BufWriter::new(file)));
        let failed = || StoreError::io("write", path);
        let created_at = journal.header.created_at;
        let header = Header { format: FORMAT, run: run.clone(), created_at };
        let header = serde_json::to_vec(&header).map_err(|error| failed()(error.into()))?;
        add(&mut archive, HEADER, header.len() as u64, &header[..]).map_err(failed())?;
        for digest in objects {
            let object = self.objects.object(digest)?;
            add_file(&mut archive, &object_name(digest), &object, path)?;
        }
        for source in self.recorded_files(run)? {
            let name = name_in(&source, &self.layout.run(run));
            if name != format!("{RUN}{JOURNAL}") {
                add_file(&mut archive, &name, &source, path)?;
            }
        }
        for source in files_below(&self.layout.run(run).join(OUTPUT))? {
            add_file(&mut archive, &name_in(&source, &self.layout.run(run)), &source, path)?;
        }
        add_journal(&mut archive, journal, path)?;
        let hashing = archive.into_inner().map_err(failed())?;
        let buffered = hashing.finish().map_err(failed())?;
        let file = buffered.into_inner().map_err(|error| failed()(error.into_error()))?;
        file.sync_all().map_err(failed())
    }
}

/// Adds the journal up to its last whole frame, closed there.
fn add_journal(
    archive: &mut Archive,
    journal: &JournalFile,
    path: &Path,
) -> Result<(), StoreError> {
    let mut reader = journal.reader();
    while reader.next()?.is_some() {}
    let end = reader.tip().offset;
    // A run that is going on may have written its last frames just now.
    journal.file.sync_data().map_err(StoreError::io("sync", &journal.path))?;
    let header = journal.header.closed_at(&journal.read_at(0, HEADER_LEN as usize)?, end);
    let mut file = &journal.file;
    file.seek(SeekFrom::Start(HEADER_LEN)).map_err(StoreError::io("read", &journal.path))?;
    let content = header.chain(file.take(end - HEADER_LEN));
    add(archive, &format!("{RUN}{JOURNAL}"), end, content).map_err(StoreError::io("write", path))
}

fn add_file(
    archive: &mut Archive,
    name: &str,
    source: &Path,
    path: &Path,
) -> Result<(), StoreError> {
    let absent = || StoreError::io("open", source)(io::ErrorKind::NotFound.into());
    let file = open_plain(source)?.ok_or_else(absent)?;
    let size = file.metadata().map_err(StoreError::io("read", source))?.len();
    // Captured output may grow meanwhile.
    add(archive, name, size, file.take(size)).map_err(StoreError::io("write", path))
}

fn add(archive: &mut Archive, name: &str, size: u64, content: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(MODE);
    archive.append_data(&mut header, name, content)
}

/// The name in the archive of a file in a run's folder.
fn name_in(path: &Path, folder: &Path) -> String {
    let inner = path.strip_prefix(folder).unwrap_or(path);
    format!("{RUN}{}", inner.to_string_lossy())
}

/// All regular files below a folder, sorted, with names as text.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for (path, kind) in entries(&folder)? {
            match path.to_str() {
                Some(_) if kind.is_dir() => folders.push(path),
                Some(_) if kind.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn aside(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}.part", unique_name()));
    PathBuf::from(name)
}
