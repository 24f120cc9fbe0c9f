//! What the engine asks of a store: plain data in, plain data out, with the store's own error.
//!
//! A store keeps, for every run, a journal (the truth of that run); for all runs together, the
//! bytes of larger payloads and artifacts by digest; and an index of checkpoints that can always
//! be rebuilt from the journals. All methods block; the driver decides on which thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::RunId;
use crate::payload::{Artifact, PayloadRef};
pub use crate::policy::Rate;
use crate::run::event::{Event, Outputs, Recorded, TaskRef};

/// JSON payloads of at most this many bytes stand in the journal; larger ones become objects.
pub const INLINE_MAX: u64 = 64 * 1024;

/// The durable record of a finished task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The run that made it.
    pub run: RunId,
    /// The task.
    pub task: TaskRef,
    /// Digest of all that the result depends on.
    pub key: Digest,
    /// The attempt that made it; 0 where it was reused.
    pub attempt: u32,
    /// The outputs by port.
    pub outputs: Outputs,
    /// When it was recorded: the result was made then, unless it was reused.
    pub at: Timestamp,
}

/// A checkpoint that answers for its key in every run of the store.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheEntry {
    /// Digest of all that the result depends on.
    pub key: Digest,
    /// The run that made it.
    pub run: RunId,
    /// The task.
    pub task: TaskRef,
    /// When the result was made.
    pub at: Timestamp,
    /// Bytes of all its outputs together.
    pub size: u64,
}

impl CacheEntry {
    /// The entry that a checkpoint is.
    #[must_use]
    pub fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            key: checkpoint.key,
            run: checkpoint.run.clone(),
            task: checkpoint.task.clone(),
            at: checkpoint.at,
            size: checkpoint.outputs.values().map(|output| output.size).sum(),
        }
    }
}

/// Something that is had as long as this value lives. When its process dies, by whatever death, the
/// kernel gives it free.
pub trait Hold: Send {}

/// A message in the inbox of a run: its name, which tells its place, and its content.
pub type Message = (String, Vec<u8>);

/// A recorded file whose name begins with this can be read by its owner only and is never exported.
pub const PRIVATE_PREFIX: &str = "private.";

/// No message for a run is longer.
pub const MESSAGE_MAX: u64 = 1 << 20;

impl Checkpoint {
    /// The checkpoint that an event is, if it is one.
    #[must_use]
    pub fn of(run: &RunId, recorded: &Recorded) -> Option<Self> {
        let (task, attempt, key, outputs) = match &recorded.event {
            Event::Succeeded { task, attempt, key, outputs, .. } => (task, *attempt, key, outputs),
            Event::Reused { task, key, outputs, .. } => (task, 0, key, outputs),
            _ => return None,
        };
        Some(Self {
            run: run.clone(),
            task: task.clone(),
            key: *key,
            attempt,
            outputs: outputs.clone(),
            at: recorded.ts,
        })
    }
}

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was being done, such as `sync`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// There is no store here.
    #[error("there is no store at {}", .0.display())]
    NoStore(PathBuf),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoRun(String),
    /// A run with this id is there already.
    #[error("there is a run {0} already")]
    RunExists(RunId),
    /// Another process has the run.
    #[error("another process has run {run}: {holder}")]
    Held {
        /// The run.
        run: RunId,
        /// Who has it, such as `process 4711 on host alpha`.
        holder: String,
    },
    /// Something else lies where a plain file belongs.
    #[error("{} is {found}, and a plain file belongs there", path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
        /// What lies there, such as `a named pipe`.
        found: &'static str,
    },
    /// Bytes are not what was written.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What does not fit.
        reason: String,
    },
    /// An object that a payload refers to is gone.
    #[error("object {digest} is missing (looked for {})", path.display())]
    Missing {
        /// The object.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error("{} has format {found}, and this version reads up to {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known.
        known: u32,
    },
    /// The file system cannot lock files, so no run on it can be guarded.
    #[error("the file system at {} does not support file locks", .0.display())]
    NoLocks(PathBuf),
    /// The checkpoint database failed.
    #[error("checkpoint database: {0}")]
    Database(String),
}

impl StoreError {
    /// An [`StoreError::Io`] for `map_err`.
    pub fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}

/// What of a journal has been written: a byte position, growing with every append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position(pub u64);

/// The inline payload of a journal record.
pub type InlinePayload = (Digest, Arc<[u8]>);

/// The journal of one run, held by its single writer. Dropping it gives the run free.
pub trait Journal: Send {
    /// Writes records with the payloads they refer to, in one write, without waiting for the disk.
    /// Returns the position after them. After an error the journal must not be used again.
    ///
    /// # Errors
    /// Any failure to write; a short write is continued, not reported.
    fn append(
        &mut self,
        records: &[Recorded],
        payloads: &[InlinePayload],
    ) -> Result<Position, StoreError>;

    /// A handle that makes what was appended durable, for use on another thread.
    fn syncer(&self) -> Arc<dyn JournalSync>;

    /// Everything that was recorded so far, in order, payloads left out.
    ///
    /// # Errors
    /// Damage before the last record, or failure to read.
    fn replay(&self) -> Result<Vec<Recorded>, StoreError>;

    /// A lock for whoever starts programs for this run and may outlive this process: while it is
    /// kept open, nobody else can take the run up. `None` where no other process could.
    ///
    /// # Errors
    /// A system without a free descriptor.
    fn programs_lock(&self) -> Result<Option<std::fs::File>, StoreError>;
}

/// Makes a journal durable.
pub trait JournalSync: Send + Sync {
    /// Returns when everything appended before the call is on stable storage, with the position up
    /// to which that holds. After an error nothing more may be acknowledged: the run stops.
    ///
    /// # Errors
    /// The failed sync.
    fn sync(&self) -> Result<Position, StoreError>;
}

/// A run as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEntry {
    /// Its id.
    pub id: RunId,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Tells one state of the record of a run from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub u64);

/// A run as it is listed, with what was noted of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The run.
    pub entry: RunEntry,
    /// The state of its record; `None` while that may change without being told from another.
    pub stamp: Option<Stamp>,
    /// What was noted when its record was in this state.
    pub note: Option<String>,
}

/// How bytes come into the object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopt {
    /// The file may be moved: nobody else keeps it.
    Move,
    /// The file must stay as it is.
    Copy,
}

/// A store.
pub trait Store: Send + Sync {
    /// Creates a run with its recorded files (name, content) and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::RunExists`], or failure to write.
    fn create_run(
        &self,
        run: &RunId,
        files: &[(&str, &[u8])],
    ) -> Result<Box<dyn Journal>, StoreError>;

    /// Takes the lock of an existing run. A torn last record is dropped.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::Held`], [`StoreError::Damaged`], or failure to read.
    fn open_run(&self, run: &RunId) -> Result<Box<dyn Journal>, StoreError>;

    /// Reads the records of a run without its lock, while it may grow.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], damage, or failure to read.
    fn read_run(&self, run: &RunId) -> Result<Vec<Recorded>, StoreError>;

    /// Shows the records of a run one after the other, as [`Store::read_run`] gives them, without
    /// keeping them.
    ///
    /// # Errors
    /// As [`Store::read_run`]; the records before the fault were shown.
    fn visit_run(&self, run: &RunId, visit: &mut dyn FnMut(Recorded)) -> Result<(), StoreError> {
        self.read_run(run)?.into_iter().for_each(visit);
        Ok(())
    }

    /// Who has the run's lock right now, if anyone who lives.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], or failure to read.
    fn holder(&self, run: &RunId) -> Result<Option<String>, StoreError>;

    /// A file recorded with the run.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], or failure to read.
    fn run_file(&self, run: &RunId, name: &str) -> Result<Vec<u8>, StoreError>;

    /// Adds or replaces a file recorded with the run, durably. See [`PRIVATE_PREFIX`].
    ///
    /// # Errors
    /// Failure to write.
    fn put_run_file(&self, run: &RunId, name: &str, content: &[u8]) -> Result<(), StoreError>;

    /// Durably removes the private files of a run, if it has any. See [`PRIVATE_PREFIX`].
    ///
    /// # Errors
    /// [`StoreError::NoRun`], or failure to write.
    fn remove_private(&self, run: &RunId) -> Result<(), StoreError>;

    /// A folder of the run for captured output and other growing files.
    fn run_dir(&self, run: &RunId) -> PathBuf;

    /// All runs, oldest first.
    ///
    /// # Errors
    /// Failure to read.
    fn runs(&self) -> Result<Vec<RunEntry>, StoreError>;

    /// All runs, oldest first, each with what was noted of it if its record is still the same.
    ///
    /// # Errors
    /// As [`Store::runs`].
    fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let bare = |entry| Listed { entry, stamp: None, note: None };
        Ok(self.runs()?.into_iter().map(bare).collect())
    }

    /// Keeps one line of text on each of these runs, found out from the record in this state, to
    /// spare reading it again. A store may forget it at any time.
    fn note(&self, _notes: &[(RunId, Stamp, String)]) {}

    /// The checkpoint of a task with this key, from the checkpoint database, else from the journal.
    ///
    /// # Errors
    /// Failure to read; damage in the database is repaired, not reported here.
    fn checkpoint(
        &self,
        run: &RunId,
        task: &TaskRef,
        key: &Digest,
    ) -> Result<Option<Checkpoint>, StoreError>;

    /// The canonical JSON of a payload that is no artifact, checked against its digest.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], or failure to read.
    fn payload(&self, run: &RunId, payload: &PayloadRef) -> Result<Arc<[u8]>, StoreError>;

    /// Stores bytes as an object. Durable once [`Store::settle`] returns.
    ///
    /// # Errors
    /// Failure to write.
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError>;

    /// Stores a regular file as an object; returns its digest and size. Durable once
    /// [`Store::settle`] returns. The caller has checked that `path` is no link.
    ///
    /// # Errors
    /// Failure to read or write.
    fn put_file(&self, path: &Path, adopt: Adopt) -> Result<(Digest, u64), StoreError>;

    /// Stores a folder: its files and its manifest. Symbolic links and special files are refused.
    /// Returns the manifest's digest and the bytes of all files. Durable once [`Store::settle`]
    /// returns.
    ///
    /// # Errors
    /// Failure to read or write; an entry that is neither file nor folder is an I/O error of kind
    /// `InvalidInput` that names it.
    fn put_dir(&self, path: &Path) -> Result<(Digest, u64), StoreError>;

    /// Makes the names of all objects stored so far durable.
    ///
    /// # Errors
    /// The failed sync.
    fn settle(&self) -> Result<(), StoreError>;

    /// The path of an object, after its bytes were checked against the digest (once per process
    /// and inode state). The file must not be changed.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] or failure to read.
    fn object(&self, digest: &Digest) -> Result<PathBuf, StoreError>;

    /// Puts an artifact at `target`, which must not exist: a hard link of a file where possible, a
    /// fresh folder of links for a folder. Files are read-only.
    ///
    /// # Errors
    /// As [`Store::object`], or failure to write.
    fn place(&self, artifact: &Artifact, target: &Path) -> Result<(), StoreError>;

    /// Whether all objects of an artifact, those of a folder's files as well, have their bytes (once
    /// per process and inode state, as [`Store::object`]); a changed one is put aside.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] naming the changed object, or failure to
    /// read.
    fn check_artifact(&self, artifact: &Artifact) -> Result<(), StoreError>;

    /// A fresh folder for one attempt of a run.
    ///
    /// # Errors
    /// Failure to write.
    fn scratch(&self, run: &RunId, name: &str) -> Result<PathBuf, StoreError>;

    /// The latest checkpoint with this key among those that tasks of any run made and that were
    /// durable before the call, in whatever process; results that were themselves reused do not
    /// count. `None` as well if its bytes are gone, it was removed from the cache, or the process
    /// that knows gives no answer within a second. Its payloads are read with the id of its run;
    /// whoever reuses it records small ones again with its own run, which may outlive that one.
    ///
    /// # Errors
    /// Failure to read.
    fn cached(&self, key: &Digest) -> Result<Option<Checkpoint>, StoreError>;

    /// The newest entry of each key, oldest first.
    ///
    /// # Errors
    /// Failure to read.
    fn cache_entries(&self) -> Result<Vec<CacheEntry>, StoreError>;

    /// Durably makes [`Store::cached`] forget what has this key by now; a later checkpoint with it
    /// counts again. Nothing is taken from the runs. Returns whether there was an entry.
    ///
    /// # Errors
    /// Failure to read or write.
    fn cache_remove(&self, key: &Digest) -> Result<bool, StoreError>;

    /// As [`Store::cache_remove`], for all keys. Returns how many entries there were.
    ///
    /// # Errors
    /// Failure to read or write.
    fn cache_clear(&self) -> Result<u64, StoreError>;

    /// The right to work on a key, which one attempt of all runs and processes has at a time. `None`
    /// if another one has it.
    ///
    /// # Errors
    /// [`StoreError::NoLocks`], or failure to write.
    fn try_flight(&self, key: &Digest) -> Result<Option<Box<dyn Hold>>, StoreError>;

    /// A place in a pool of `size`, which all runs of the store share. `None` if as many as that
    /// are taken, by whatever size they were asked for.
    ///
    /// # Errors
    /// A name that is no identifier, [`StoreError::NoLocks`], or failure to write.
    fn try_pool(&self, pool: &str, size: u32) -> Result<Option<Box<dyn Hold>>, StoreError>;

    /// Who has the places of a pool, in words for people, as far as that is known.
    fn pool_holders(&self, _pool: &str) -> Vec<String> {
        Vec::new()
    }

    /// Asks for a start under a rate that all runs of the store share. `None` if it is granted, and
    /// then it is noted; else the time after which to ask again, which is never longer than the
    /// span, whatever the clock does. A start that is granted counts, whether it happens or not.
    ///
    /// # Errors
    /// A name that is no identifier, [`StoreError::NoLocks`], or failure to read or write.
    fn try_rate(
        &self,
        rate: &str,
        limit: Rate,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError>;

    /// Durably leaves a message for whoever has the run, now or later.
    ///
    /// # Errors
    /// [`StoreError::NoRun`]; an I/O error of kind `InvalidInput` for a message longer than
    /// [`MESSAGE_MAX`]; or failure to write.
    fn post(&self, run: &RunId, message: &[u8]) -> Result<(), StoreError>;

    /// The messages that wait for a run, oldest first. What lies there and cannot be a message is
    /// moved out of the way. May leave some for the next call when there are very many.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], or failure to read.
    fn inbox(&self, run: &RunId) -> Result<Vec<Message>, StoreError>;

    /// Removes a message, after what it says was recorded. One that is gone already is as good.
    ///
    /// # Errors
    /// Failure to write.
    fn take_message(&self, run: &RunId, name: &str) -> Result<(), StoreError>;

    /// Waits until the checkpoint database has everything that was synced before the call.
    fn flush(&self);
}
