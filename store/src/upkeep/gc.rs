//! Removing runs that are no longer wanted, and objects that no run needs.
//!
//! Runs go on meanwhile, and what they make is safe, by the order of the steps: first all objects
//! are listed with the times of their last changes of state; then it is asked whether any process
//! stores objects; then what the remaining runs refer to is marked; and last, what is not marked is
//! removed if its time is still the same. Whoever stores an object, or relies on one that is there,
//! moves that time on, and holds a lock as long as it is about to refer to it. So an object that is
//! unmarked and unchanged is needed only by a process that stored it before the list was made and
//! has not recorded it yet. If there may be such a process, what is younger than its run, or than
//! an hour, is left for the next time.
//!
//! A run's folder is renamed aside before anything of it is removed, and objects go only after that
//! name is durable. A collection that is killed leaves nothing but work for the next one.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use flow_core::id::RunId;
use flow_core::run::event::Event;
use flow_core::store::{RunEntry, Store, StoreError};
use jiff::Timestamp;

use super::marks::{Candidate, Marks};
use crate::files::{entries, if_there, sync_dir};
use crate::journal::Identity;
use crate::lease::{self, Lease};
use crate::objects::FileState;
use crate::{DiskStore, cache, checkpoints, locks, notes, runs};

/// File systems note times in steps of at most this.
const TICK: Duration = Duration::from_millis(25);

/// What someone may have stored and not recorded yet is at most so old, unless its run is older.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// A run's lock may be noted a little after its first object.
const SLACK: Duration = Duration::from_secs(60);

/// So many objects are removed before others may store again.
const AT_ONCE: usize = 64;

/// Which runs are kept.
///
/// A run is removed if it is none of the newest `keep_last`, and ended before `older_than`. A limit
/// that is not given says nothing; with neither, all runs are kept. A run without an end can be
/// resumed: it is removed only if `older_than` is given and its last record is older. A run that
/// someone has, or that cannot be read, is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// So many of the newest runs are kept.
    pub keep_last: Option<usize>,
    /// Runs whose last record is at least as new as this are kept.
    pub older_than: Option<Timestamp>,
}

/// What a collection removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// The runs.
    pub runs: Vec<RunId>,
    /// How many objects.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
    /// How many working folders and temporary files of dead processes.
    pub leftovers: u64,
    /// How many objects nothing seems to need that are left for the next time, because a process
    /// may be about to refer to them.
    pub spared: u64,
}

impl DiskStore {
    /// Removes the runs that `retention` gives up, what only they needed, and what dead processes
    /// left behind. With `dry_run` it only says what it would remove. Runs may go on meanwhile.
    ///
    /// # Errors
    /// An I/O error of kind `WouldBlock` if another collection is going on; failure to read or write.
    pub fn gc(&self, retention: &Retention, dry_run: bool) -> Result<Collected, StoreError> {
        let path = self.layout.collection();
        let Some(alone) = locks::briefly(&path)? else {
            return Err(StoreError::io("collect under", path)(
                std::io::ErrorKind::WouldBlock.into(),
            ));
        };
        let mut marks = Marks::of(&self.layout)?;
        // From here on no object gets a time that is in the list.
        std::thread::sleep(TICK);
        let quiet = self.is_quiet()?;
        let runs = self.remove_runs(retention, dry_run)?;
        let mut collected = Collected { runs, ..Collected::default() };
        let threshold = if quiet { None } else { Some(self.threshold()?) };
        let kept = self.mark_all(&mut marks, &collected.runs)?;
        self.sweep(&marks, threshold, dry_run, &mut collected)?;
        collected.leftovers = self.remove_leftovers(&collected.runs, dry_run)?;
        if !dry_run {
            self.forget_runs(&kept)?;
        }
        drop(alone);
        Ok(collected)
    }

    /// Whether no process stores objects.
    fn is_quiet(&self) -> Result<bool, StoreError> {
        let path = self.layout.users();
        locks::try_lock(&locks::open(&path)?, &path)
    }

    /// What is younger than this may be about to be referred to.
    fn threshold(&self) -> Result<SystemTime, StoreError> {
        let now = SystemTime::now();
        let mut oldest = now.checked_sub(GRACE).unwrap_or(SystemTime::UNIX_EPOCH);
        for run in runs::ids(&self.layout)? {
            let path = self.layout.lock(&run);
            if lease::holder(&path)?.is_some()
                && let Ok(since) = fs::metadata(&path).and_then(|meta| meta.modified())
            {
                let since = since.checked_sub(SLACK).unwrap_or(SystemTime::UNIX_EPOCH);
                oldest = oldest.min(since);
            }
        }
        Ok(oldest)
    }

    fn mark_all(
        &self,
        marks: &mut Marks,
        removed: &[RunId],
    ) -> Result<HashSet<Identity>, StoreError> {
        let mut kept = HashSet::new();
        for run in runs::ids(&self.layout)? {
            // In a dry run those that would be removed are still there.
            if removed.contains(&run) {
                continue;
            }
            marks.mark_run(&self.layout, &run)?;
            if let Ok(Some(journal)) = crate::journal::JournalFile::open(&self.layout.journal(&run))
            {
                kept.insert(journal.header.short_identity());
            }
        }
        Ok(kept)
    }

    /// Removes what is not marked.
    fn sweep(
        &self,
        marks: &Marks,
        threshold: Option<SystemTime>,
        dry_run: bool,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        let all: Vec<&Candidate> = marks.unneeded().collect();
        let path = self.layout.removal();
        for some in all.chunks(AT_ONCE) {
            let removing = locks::open(&path)?;
            removing.lock().map_err(|error| locks::refused(&path, error))?;
            for object in some {
                let same = FileState::of(&object.path)? == Some(object.state);
                if !same || threshold.is_some_and(|threshold| !object.state.is_before(threshold)) {
                    collected.spared += 1;
                    continue;
                }
                if !dry_run {
                    if_there(fs::remove_file(&object.path))
                        .map_err(StoreError::io("remove", &object.path))?;
                }
                collected.objects += 1;
                collected.bytes += object.state.size();
            }
        }
        Ok(())
    }

    /// Removes working folders of runs that are gone, and what dead processes left.
    fn remove_leftovers(&self, removed: &[RunId], dry_run: bool) -> Result<u64, StoreError> {
        let mut count = self.tmp.sweep_all(dry_run)?;
        // Working folders are listed before the runs are looked for: a run is there before its are.
        for (path, _) in entries(&self.layout.scratch())? {
            let run = path.file_name().and_then(|name| RunId::new(name.to_str()?).ok());
            let is_needed = |run: &RunId| self.layout.run(run).exists() && !removed.contains(run);
            if run.as_ref().is_none_or(is_needed) {
                continue;
            }
            count += 1;
            if !dry_run {
                remove_tree(&path);
            }
        }
        Ok(count)
    }

    /// Has the database and the cache forget runs that are gone.
    fn forget_runs(&self, kept: &HashSet<Identity>) -> Result<(), StoreError> {
        cache::tidy_removed(&self.layout, &self.tmp, |journal| kept.contains(journal))?;
        // If another process has the database, the next collection may do it.
        if let Err(error) = checkpoints::forget(&self.layout, |journal| kept.contains(journal)) {
            tracing::debug!(%error, "the checkpoint database still has what is gone");
        }
        Ok(())
    }

    /// Removes the runs that are not kept; a dry run only tells which.
    fn remove_runs(&self, retention: &Retention, dry_run: bool) -> Result<Vec<RunId>, StoreError> {
        let mut removed = Vec::new();
        if retention.keep_last.is_none() && retention.older_than.is_none() {
            return Ok(removed);
        }
        let newest_last = self.runs()?;
        let candidates = newest_last.len().saturating_sub(retention.keep_last.unwrap_or(0));
        let mut given_up = Vec::new();
        for entry in &newest_last[..candidates] {
            let path = self.layout.lock(&entry.id);
            if lease::holder(&path)?.is_none() && self.is_given_up(entry, retention) {
                given_up.push(entry.clone());
            }
        }
        if dry_run {
            return Ok(given_up.into_iter().map(|entry| entry.id).collect());
        }
        for some in given_up.chunks(AT_ONCE) {
            removed.extend(self.remove_together(some, retention)?);
        }
        if !removed.is_empty() {
            // Nothing of a removed run stays, and the notes come again.
            notes::clear(&self.layout)?;
        }
        Ok(removed)
    }

    /// Renames runs aside, makes that durable, and removes what is in them.
    fn remove_together(
        &self,
        runs: &[RunEntry],
        retention: &Retention,
    ) -> Result<Vec<RunId>, StoreError> {
        let mut aside = Vec::new();
        for entry in runs {
            let run = &entry.id;
            // With its lock held nobody takes it up any more, and it may just have been.
            let Ok(lease) = Lease::take(&self.layout.lock(run)) else { continue };
            if !self.is_given_up(entry, retention) {
                continue;
            }
            let (path, target) = (self.layout.run(run), self.tmp.fresh()?);
            fs::rename(&path, &target).map_err(StoreError::io("rename", &path))?;
            aside.push((run.clone(), target, lease));
        }
        sync_dir(&self.layout.runs())?;
        // What is left, should this end here, lies where temporary files are swept.
        aside.iter().for_each(|(_, path, _)| remove_tree(path));
        Ok(aside.into_iter().map(|(run, _, _)| run).collect())
    }

    fn is_given_up(&self, entry: &RunEntry, retention: &Retention) -> bool {
        let Ok(records) = self.read_run(&entry.id) else { return false };
        let last = records.last().map_or(entry.created_at, |record| record.ts);
        let finished = records.iter().rev().find_map(|record| match record.event {
            Event::RunFinished { .. } => Some(true),
            Event::RunStarted { .. } | Event::RunResumed { .. } => Some(false),
            _ => None,
        });
        match retention.older_than {
            Some(limit) => last < limit,
            None => finished == Some(true),
        }
    }
}

/// Removes a folder with all that is in it; what cannot be removed is left for the next time.
fn remove_tree(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a folder stays behind");
    }
}
