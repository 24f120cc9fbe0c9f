//! Whether a store can be worked with here: quick questions that read no runs.

use std::fs;
use std::io::Write as _;

use flow_core::store::StoreError;

use crate::checkpoints::inspect;
use crate::files::discard;
use crate::{DiskStore, locks};

/// How the checkpoint database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseState {
    /// There is none; it is made when it is needed.
    Absent,
    /// Another process has it.
    InUse,
    /// It opens.
    Sound,
    /// It does not open; it is made again from the journals when it is needed.
    Damaged(String),
}

impl DiskStore {
    /// How the checkpoint database stands.
    ///
    /// # Errors
    /// Failure to read.
    pub fn database_state(&self) -> Result<DatabaseState, StoreError> {
        match inspect(&self.layout) {
            Ok(Some(_)) => Ok(DatabaseState::Sound),
            Ok(None) if !self.layout.checkpoints().exists() => Ok(DatabaseState::Absent),
            Ok(None) => Ok(DatabaseState::InUse),
            Err(StoreError::Database(reason)) => Ok(DatabaseState::Damaged(reason)),
            Err(error) => Err(error),
        }
    }

    /// Does once what runs do all the time: makes a file, locks it, writes, syncs, renames, removes.
    ///
    /// # Errors
    /// [`StoreError::NoLocks`], or the step that failed.
    pub fn try_disk(&self) -> Result<(), StoreError> {
        let (path, target) = (self.tmp.fresh()?, self.tmp.fresh()?);
        let tried = try_file(&path)
            .and_then(|()| fs::rename(&path, &target).map_err(StoreError::io("rename", &path)));
        discard(&path);
        discard(&target);
        tried
    }
}

fn try_file(path: &std::path::Path) -> Result<(), StoreError> {
    let mut file = locks::open(path)?;
    locks::try_lock(&file, path)?;
    file.write_all(b"flow").map_err(StoreError::io("write", path))?;
    file.sync_all().map_err(StoreError::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_store_can_be_worked_with_and_the_trial_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = DiskStore::create(&folder.path().join("store")).expect("a store");
        assert_eq!(store.database_state().expect("asked"), DatabaseState::Absent);
        store.try_disk().expect("it can be written");
        let own = store.tmp.fresh().expect("a path");
        let left = fs::read_dir(own.parent().expect("a folder")).expect("listed").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_database_that_does_not_open_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = DiskStore::create(&folder.path().join("store")).expect("a store");
        fs::create_dir(store.layout.checkpoints()).expect("a folder");
        fs::write(store.layout.checkpoints().join("conf"), b"nonsense").expect("a file");
        let state = store.database_state().expect("asked");
        assert!(matches!(state, DatabaseState::Damaged(_)), "{state:?}");
    }
}
