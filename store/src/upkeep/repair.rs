//! Setting right what can be set right. What was recorded is never removed.

use flow_core::id::RunId;
use flow_core::store::{Store, StoreError};

use super::finding::{Finding, FindingKind, Progress};
use super::kinds;
use crate::{DiskStore, cache, runs};

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repairs {
    /// Journals whose torn end was dropped: nothing of it was ever acknowledged.
    pub torn_ends: u64,
    /// Damaged objects that were moved to `quarantine/`, so that a resume makes them again.
    pub objects: u64,
    /// Things of another kind that lay in the place of what the store makes again by itself,
    /// damaged lists that were made anew, and damaged files that nothing depends on.
    pub moved: u64,
    /// Whether the checkpoint database was put aside and made again from the journals.
    pub database: bool,
}

impl DiskStore {
    /// Checks the store as [`DiskStore::verify`] does, reports what it finds, and then drops torn
    /// ends, moves damaged objects out of the way, and makes a damaged database again. Journals
    /// are never removed, and a database that knows of a newer copy of a journal is left alone.
    ///
    /// # Errors
    /// As [`DiskStore::verify`], or failure to write.
    pub fn repair(
        &self,
        report: &mut dyn FnMut(Finding),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Repairs, StoreError> {
        let mut found = Vec::new();
        let mut collect = |finding: Finding| {
            found.push((finding.kind, finding.path.clone(), finding.run.clone()));
            report(finding);
        };
        self.verify(&mut collect, progress)?;
        let has = |wanted| found.iter().any(|(kind, ..)| *kind == wanted);
        let mut repairs = Repairs::default();
        for (kind, path, run) in &found {
            match (kind, run) {
                (FindingKind::Object, _) => {
                    repairs.objects += u64::from(self.objects.put_aside_if_wrong(path)?);
                }
                (FindingKind::WrongKind, _) => {
                    repairs.moved += u64::from(kinds::put_aside(&self.layout, path)?);
                }
                (FindingKind::List, _) if *path == self.layout.removed() => {
                    cache::mend_removed(&self.layout, &self.tmp)?;
                    repairs.moved += 1;
                }
                (FindingKind::List | FindingKind::Captured | FindingKind::Log, _) => {
                    repairs.moved += u64::from(kinds::move_away(&self.layout, path)?);
                }
                (FindingKind::TornEnd, Some(run)) => {
                    repairs.torn_ends += u64::from(self.drop_torn_end(run)?);
                }
                _ => {}
            }
        }
        if has(FindingKind::Database) && !has(FindingKind::OlderJournal) {
            repairs.database = self.remake_database()?;
        }
        Ok(repairs)
    }

    /// Takes a run up, which drops its torn end, and lets it go. A run that someone has is left
    /// alone.
    fn drop_torn_end(&self, run: &RunId) -> Result<bool, StoreError> {
        match self.open_journal(run) {
            Ok(journal) => {
                drop(journal);
                Ok(true)
            }
            Err(StoreError::Held { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts the database aside and takes all journals over again.
    fn remake_database(&self) -> Result<bool, StoreError> {
        if !crate::checkpoints::put_aside(&self.layout)? {
            return Ok(false);
        }
        for run in runs::ids(&self.layout)? {
            self.index_run(&run);
        }
        self.flush();
        Ok(true)
    }
}
