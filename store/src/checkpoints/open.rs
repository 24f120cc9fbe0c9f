//! Opening the checkpoint database, whatever state it was left in.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::store::StoreError;

use crate::files::{ensure_dir, entries, if_there, sync_dir};
use crate::journal::Identity;
use crate::layout::Layout;
use crate::locks;
use crate::plain::{self, open_plain};
use crate::tmp::unique_name;

/// Memory for pages.
const CACHE: u64 = 16 << 20;

/// Threads of a database that was closed just now may hold its file for a moment.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// What the name of a folder begins with in which a database is being made.
const NEW: &str = "checkpoints.new-";

/// The open database. At most one process has it at a time.
pub(crate) struct Database {
    /// Always there, until it is dropped.
    db: Option<sled::Db>,
    /// The same file as the database writes to, for syncs that it does not do itself.
    data: File,
    path: PathBuf,
    /// Held until the database is closed.
    _guard: File,
}

/// Why the database could not be opened.
enum Refusal {
    /// Its content is damaged.
    Damaged(String),
    /// Something else is wrong, such as a full disk.
    Failed(StoreError),
}

/// The database, and whether it had to be repaired for that; `None` if another process has it.
pub(crate) fn open(layout: &Layout) -> Result<Option<(Database, bool)>, StoreError> {
    let Some(guard) = take_guard(layout)? else { return Ok(None) };
    let path = layout.checkpoints();
    if !is_there(&path)? {
        create(layout, &path)?;
    }
    let (db, repaired) = match open_sled(&path) {
        Ok(db) => (db, false),
        Err(Refusal::Failed(error)) => return Err(error),
        Err(Refusal::Damaged(reason)) => {
            tracing::warn!(path = %path.display(), reason, "the checkpoint database is damaged");
            (repair(layout, &path)?, true)
        }
    };
    let data = data_of(&path)?;
    Ok(Some((Database { db: Some(db), data, path, _guard: guard }, repaired)))
}

/// Opens the database as it is, to look at it; `None` if there is none, or another process has it.
///
/// # Errors
/// [`StoreError::Database`] if it is damaged.
pub(crate) fn inspect(layout: &Layout) -> Result<Option<Database>, StoreError> {
    let path = layout.checkpoints();
    if !is_there(&path)? {
        return Ok(None);
    }
    let Some(guard) = take_guard(layout)? else { return Ok(None) };
    let db = open_sled(&path).map_err(|refusal| match refusal {
        Refusal::Failed(error) => error,
        Refusal::Damaged(reason) => StoreError::Database(reason),
    })?;
    let data = data_of(&path)?;
    Ok(Some(Database { db: Some(db), data, path, _guard: guard }))
}

/// The file that the database writes to.
fn data_of(path: &Path) -> Result<File, StoreError> {
    let path = path.join("db");
    let absent = || StoreError::io("open", &path)(io::ErrorKind::NotFound.into());
    open_plain(&path)?.ok_or_else(absent)
}

/// Puts the database aside, so that it is made again from the journals. Returns false if another
/// process has it.
pub(crate) fn put_aside(layout: &Layout) -> Result<bool, StoreError> {
    let path = layout.checkpoints();
    let Some(guard) = take_guard(layout)? else { return Ok(false) };
    let quarantine = layout.quarantine();
    ensure_dir(&quarantine)?;
    let aside = quarantine.join(format!("checkpoints.{}", unique_name()));
    if_there(fs::rename(&path, &aside)).map_err(StoreError::io("move", &path))?;
    sync_dir(layout.root())?;
    drop(guard);
    Ok(true)
}

/// So many records are removed at once.
const FORGET: usize = 512;

/// Removes the records of journals that are gone, if no other process has the database.
pub(crate) fn forget(
    layout: &Layout,
    is_there: impl Fn(&Identity) -> bool,
) -> Result<(), StoreError> {
    let Some(database) = inspect(layout)? else { return Ok(()) };
    let mut gone = Vec::new();
    for prefix in [b"b", b"c", b"k"] {
        database.each(prefix, |(key, _)| {
            let journal = key.get(1..).and_then(|rest| rest.first_chunk());
            if journal.is_some_and(|journal| !is_there(journal)) {
                gone.push(key);
            }
        })?;
    }
    for some in gone.chunks(FORGET) {
        let mut batch = sled::Batch::default();
        some.iter().for_each(|key| batch.remove(key.clone()));
        database.write(batch)?;
    }
    Ok(())
}

fn take_guard(layout: &Layout) -> Result<Option<File>, StoreError> {
    let path = layout.checkpoints_lock();
    let guard = locks::open(&path)?;
    Ok(locks::try_lock(&guard, &path)?.then_some(guard))
}

/// Makes an empty database aside and renames it: the database itself cannot be opened again if it
/// is killed while it makes its files.
fn create(layout: &Layout, path: &Path) -> Result<(), StoreError> {
    remove_leftovers(layout)?;
    let aside = layout.root().join(format!("{NEW}{}", unique_name()));
    // The database would make the store's own folder anew if that is gone by now.
    ensure_dir(&aside)?;
    let db = open_sled(&aside).map_err(|refusal| match refusal {
        Refusal::Failed(error) => error,
        Refusal::Damaged(reason) => StoreError::Database(reason),
    })?;
    guarded(|| db.flush())?;
    close(db);
    for entry in fs::read_dir(&aside).map_err(StoreError::io("read", &aside))? {
        let path = entry.map_err(StoreError::io("read", &aside))?.path();
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        file.sync_all().map_err(StoreError::io("sync", &path))?;
    }
    sync_dir(&aside)?;
    fs::rename(&aside, path).map_err(StoreError::io("rename", path))?;
    sync_dir(layout.root())
}

/// Removes databases that were never finished. The guard is held, so nobody works on them.
fn remove_leftovers(layout: &Layout) -> Result<(), StoreError> {
    let root = layout.root();
    for entry in fs::read_dir(root).map_err(StoreError::io("read", root))? {
        let entry = entry.map_err(StoreError::io("read", root))?;
        if entry.file_name().to_string_lossy().starts_with(NEW) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Opens a damaged database without its snapshots, which are only caches; if that does not help,
/// puts it aside as a whole and begins an empty one. What is lost either way is in the journals.
fn repair(layout: &Layout, path: &Path) -> Result<sled::Db, StoreError> {
    let quarantine = layout.quarantine();
    ensure_dir(&quarantine)?;
    let name = unique_name();
    for (snapshot, _) in entries(path)? {
        let file = snapshot.file_name().unwrap_or_default().to_string_lossy();
        if file.starts_with("snap.") {
            let aside = quarantine.join(format!("{name}.{file}"));
            fs::rename(&snapshot, &aside).map_err(StoreError::io("move", &snapshot))?;
        }
    }
    match open_sled(path) {
        Ok(db) => return Ok(db),
        Err(Refusal::Failed(error)) => return Err(error),
        Err(Refusal::Damaged(reason)) => {
            tracing::warn!(reason, "the checkpoint database is made anew from the journals");
        }
    }
    let aside = quarantine.join(format!("checkpoints.{name}"));
    fs::rename(path, &aside).map_err(StoreError::io("move", path))?;
    create(layout, path)?;
    open_sled(path).map_err(|refusal| match refusal {
        Refusal::Failed(error) => error,
        Refusal::Damaged(reason) => StoreError::Database(reason),
    })
}

/// Whether anything lies where the database belongs.
fn is_there(path: &Path) -> Result<bool, StoreError> {
    let meta = if_there(fs::symlink_metadata(path)).map_err(StoreError::io("read", path))?;
    Ok(meta.is_some())
}

/// Refuses what the database would wait at for ever, or could do nothing with.
fn check_kinds(path: &Path) -> Result<(), Refusal> {
    let damaged = |path: &Path, found, wanted| {
        Refusal::Damaged(format!("{} is {found}, and {wanted} belongs there", path.display()))
    };
    let failed = |error| Refusal::Failed(StoreError::io("read", path)(error));
    match if_there(fs::symlink_metadata(path)).map_err(failed)?.map(|meta| meta.file_type()) {
        Some(kind) if !kind.is_dir() => return Err(damaged(path, plain::name(kind), "a folder")),
        _ => {}
    }
    for (file, kind) in entries(path).map_err(Refusal::Failed)? {
        // Large values would be files in a folder of their own.
        let is_folder = file.file_name().is_some_and(|name| name == "blobs");
        if kind.is_dir() != is_folder || !(kind.is_dir() || kind.is_file()) {
            let wanted = if is_folder { "a folder" } else { "a plain file" };
            return Err(damaged(&file, plain::name(kind), wanted));
        }
    }
    Ok(())
}

fn open_sled(path: &Path) -> Result<sled::Db, Refusal> {
    check_kinds(path)?;
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE)
        .mode(sled::Mode::HighThroughput)
        .flush_every_ms(None);
    let mut tries = 0;
    loop {
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let error = match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) => error,
            Err(_) => return Err(Refusal::Damaged("it made its reader panic".into())),
        };
        match error {
            // The guard keeps other processes out, so a lock that is taken is our own of just now.
            sled::Error::Io(io) if io.kind() == io::ErrorKind::Other && tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            sled::Error::Io(io) if !is_damage(&io) => {
                return Err(Refusal::Failed(StoreError::io("open", path)(io)));
            }
            other => return Err(Refusal::Damaged(other.to_string())),
        }
    }
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Calls into the database, which panics on some kinds of damage.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| StoreError::Database(error.to_string())),
        Err(_) => Err(StoreError::Database("it panicked".into())),
    }
}

/// Closes a database, which panics if its last sync fails. What it lacks then is in the journals.
fn close(db: sled::Db) {
    if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
        tracing::warn!("the checkpoint database could not be closed cleanly");
    }
}

/// A key with its value.
pub(crate) type Pair = (sled::IVec, sled::IVec);

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            close(db);
        }
    }
}

impl Database {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        let db = self.db()?;
        guarded(|| db.get(key))
    }

    fn db(&self) -> Result<&sled::Db, StoreError> {
        self.db.as_ref().ok_or_else(|| StoreError::Database("it is closed".into()))
    }

    /// All pairs whose keys begin with `prefix`, in order.
    pub(crate) fn each(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(Pair),
    ) -> Result<(), StoreError> {
        let db = self.db()?;
        guarded(|| {
            for pair in db.scan_prefix(prefix) {
                visit(pair?);
            }
            Ok(())
        })
    }

    /// Writes a batch and makes it durable. Only one thread may do this, and after an error
    /// nothing more may be written.
    pub(crate) fn write(&self, batch: sled::Batch) -> Result<(), StoreError> {
        let db = self.db()?;
        guarded(|| db.apply_batch(batch))?;
        // The database's own flush leaves the file's size and the disk's cache alone.
        guarded(|| db.flush())?;
        self.data.sync_data().map_err(StoreError::io("sync", &self.path))
    }
}
