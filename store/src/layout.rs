//! Where things are in a store's folder, and how such a folder comes to be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::StoreError;

use crate::files::{self, ensure_dir, if_there, sync_dir};
use crate::plain;
use crate::tmp::unique_name;

/// The format of the folder that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// The folders that every store has from the start.
const FOLDERS: [&str; 5] = ["runs", "objects", "tmp", "logs", "scratch"];

/// The paths of one store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Finds an existing store.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(dir).map_err(StoreError::io("find", dir))?;
        let layout = Self { root };
        let path = layout.format();
        let text = plain::read(&path)?;
        let Some(text) = text else {
            layout.refuse_headless()?;
            return Err(StoreError::NoStore(layout.root));
        };
        let found = number_in(&text).ok_or(StoreError::Damaged {
            path: path.clone(),
            offset: 0,
            reason: "this is not the number of a store format".into(),
        })?;
        if found > FORMAT {
            return Err(StoreError::TooNew { path, found, known: FORMAT });
        }
        Ok(layout)
    }

    /// Makes a store, or finds it: any number of processes may do this at once, and a process that
    /// dies on the way leaves nothing that the next one does not complete.
    pub(crate) fn create(dir: &Path) -> Result<Self, StoreError> {
        match Self::open(dir) {
            Err(StoreError::NoStore(_)) => {}
            other => return other,
        }
        let root = std::path::absolute(dir).map_err(StoreError::io("find", dir))?;
        create_durably(&root)?;
        let layout = Self { root };
        for folder in FOLDERS {
            ensure_dir(&layout.root.join(folder))?;
        }
        layout.write_format()?;
        sync_dir(&layout.root)?;
        Self::open(dir)
    }

    /// A folder with runs but without its format was a store once: something removed parts of it,
    /// and going on as if it were new would hide that.
    fn refuse_headless(&self) -> Result<(), StoreError> {
        let runs = self.runs();
        let listed = if_there(fs::read_dir(&runs)).map_err(StoreError::io("read", &runs))?;
        let has_runs = listed.is_some_and(|mut entries| entries.next().is_some());
        // Another process may have finished the very same creation in the meantime.
        if has_runs && !self.format().exists() {
            return Err(StoreError::Damaged {
                path: self.format(),
                offset: 0,
                reason: "it is missing, though the store has runs".into(),
            });
        }
        Ok(())
    }

    /// Puts the format in place last, as the mark of a complete store. A link never replaces a
    /// file that another process, perhaps of a newer version, has put there.
    fn write_format(&self) -> Result<(), StoreError> {
        let path = self.format();
        let aside = self.root.join("tmp").join(unique_name());
        files::write_synced(&aside, format!("{FORMAT}\n").as_bytes())?;
        let linked = fs::hard_link(&aside, &path);
        let placed = match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if crate::platform::link_needs_copy(&error) => fs::rename(&aside, &path),
            other => other,
        };
        files::discard(&aside);
        placed.map_err(StoreError::io("create", path))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    pub(crate) fn run(&self, run: &RunId) -> PathBuf {
        self.runs().join(run.as_str())
    }

    pub(crate) fn journal(&self, run: &RunId) -> PathBuf {
        self.run(run).join(JOURNAL)
    }

    pub(crate) fn lock(&self, run: &RunId) -> PathBuf {
        self.run(run).join(LOCK)
    }

    /// The list of runs with their times, which only saves looking into every journal.
    pub(crate) fn run_list(&self) -> PathBuf {
        self.root.join("runs.list")
    }

    /// What commands noted about runs, which only saves reading their records.
    pub(crate) fn notes(&self) -> PathBuf {
        self.root.join("runs.notes")
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(crate) fn object(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let (folder, rest) = name.split_at(2);
        let mut path = self.objects();
        path.push(folder);
        path.push(rest);
        path
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The file whose bytes are locked by those who work on a key.
    pub(crate) fn flights(&self) -> PathBuf {
        self.root.join("flights")
    }

    /// The folders of pools, with a file for each place.
    pub(crate) fn pools(&self) -> PathBuf {
        self.root.join("pools")
    }

    /// The files of rates.
    pub(crate) fn rates(&self) -> PathBuf {
        self.root.join("rates")
    }

    /// Locked by all who store objects, as long as their stores are open.
    pub(crate) fn users(&self) -> PathBuf {
        self.root.join("objects.users")
    }

    /// Locked by those who rely on objects being there, and alone by whoever removes some.
    pub(crate) fn removal(&self) -> PathBuf {
        self.root.join("objects.lock")
    }

    /// Held by the one process that collects what nobody needs.
    pub(crate) fn collection(&self) -> PathBuf {
        self.root.join("gc.lock")
    }

    pub(crate) fn inbox(&self, run: &RunId) -> PathBuf {
        self.run(run).join(INBOX)
    }

    /// What was removed from the cache.
    pub(crate) fn removed(&self) -> PathBuf {
        self.root.join("cache.removed")
    }

    /// Held while that file is replaced.
    pub(crate) fn removed_lock(&self) -> PathBuf {
        self.root.join("cache.lock")
    }

    /// Where the process that has the checkpoint database answers others.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("checkpoints.socket")
    }

    /// Guards the folder of the checkpoint database, which may be replaced as a whole.
    pub(crate) fn checkpoints_lock(&self) -> PathBuf {
        self.root.join("checkpoints.lock")
    }
}

/// The number that a line has, and nothing else is in the file.
fn number_in(text: &[u8]) -> Option<u32> {
    str::from_utf8(text).ok()?.strip_suffix('\n')?.parse().ok()
}

/// Makes a folder with all that leads to it, and makes the names durable that were not there.
fn create_durably(root: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = root.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(root).map_err(StoreError::io("create", root))?;
    missing.iter().filter_map(|path| path.parent()).try_for_each(sync_dir)
}

/// Name of a run's journal in its folder.
pub(crate) const JOURNAL: &str = "journal";
/// Name of a run's lock file in its folder.
pub(crate) const LOCK: &str = "lock";
/// Name of the file that is locked while programs of a run may live, in its folder.
pub(crate) const PROGRAMS: &str = "programs";
/// Name of the folder in a run's folder where other processes leave commands.
pub(crate) const INBOX: &str = "inbox";
