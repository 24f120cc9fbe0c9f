//! Checking everything that a store has.

use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::StoreError;

use super::finding::{Finding, FindingKind, Progress};
use super::{database, kinds, objects, runs, words};
use crate::cache::removed_fault;
use crate::files::entries;
use crate::lines::Fault;
use crate::{DiskStore, lines, plain};

/// A check that goes on.
pub(super) struct Check<'a> {
    pub(super) store: &'a DiskStore,
    report: &'a mut dyn FnMut(Finding),
    progress: &'a mut dyn FnMut(Progress),
    done: Progress,
}

impl Check<'_> {
    pub(super) fn report(&mut self, finding: Finding) {
        (self.report)(finding);
    }

    /// Reports what nothing in a store is.
    pub(super) fn stray(&mut self, path: &Path, reason: &str) {
        let remedy = "nothing uses it; remove it if you do not know it";
        self.report(Finding::new(FindingKind::Stray, path, reason, remedy));
    }

    /// Counts a file that was read.
    pub(super) fn read(&mut self, bytes: u64) {
        self.done.files += 1;
        self.done.bytes += bytes;
        (self.progress)(self.done);
    }
}

impl DiskStore {
    /// Reads every byte that matters and reports whatever is damaged, missing or unknown. Nothing
    /// is changed, and nobody is disturbed: runs go on meanwhile, and what they make during the
    /// check may or may not be looked at. Returns how much was read.
    ///
    /// # Errors
    /// Failure to read that is not about a single run or object.
    pub fn verify(
        &self,
        report: &mut dyn FnMut(Finding),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Progress, StoreError> {
        let mut check = Check { store: self, report, progress, done: Progress::default() };
        let mut known = objects::check(&mut check)?;
        let ids = all_runs(&mut check)?;
        for run in &ids {
            runs::check(&mut check, run, &mut known)?;
        }
        kinds::check(&mut check, &ids)?;
        check_lists(&mut check)?;
        words::check_logs(&mut check)?;
        database::check(&mut check, &ids)?;
        check_strays(&mut check, &ids)?;
        Ok(check.done)
    }
}

impl DiskStore {
    /// Refuses a run of which something is lost.
    pub(super) fn require_whole(&self, run: &RunId) -> Result<(), StoreError> {
        let mut lost = None;
        let mut report = |finding: Finding| {
            let is_needed = finding.kind != FindingKind::Captured && !finding.kind.is_note();
            if is_needed && lost.is_none() {
                lost = Some(finding);
            }
        };
        let progress = &mut |_| {};
        let mut check =
            Check { store: self, report: &mut report, progress, done: Progress::default() };
        runs::check(&mut check, run, &mut objects::Known::new())?;
        match lost {
            None => Ok(()),
            Some(finding) if finding.kind == FindingKind::Missing => {
                let digest = crate::objects::digest_at(&finding.path).unwrap_or(Digest::of(b""));
                Err(StoreError::Missing { digest, path: finding.path })
            }
            Some(Finding { path, offset, reason, .. }) => {
                Err(StoreError::Damaged { path, offset: offset.unwrap_or(0), reason })
            }
        }
    }
}

/// The runs, sorted; what lies between them is reported.
fn all_runs(check: &mut Check<'_>) -> Result<Vec<RunId>, StoreError> {
    let mut ids = Vec::new();
    for (path, kind) in entries(&check.store.layout.runs())? {
        let id = path.file_name().and_then(|name| RunId::new(name.to_str()?).ok());
        match id.filter(|_| kind.is_dir()) {
            Some(id) => ids.push(id),
            None => check.stray(&path, "this is no run"),
        }
    }
    ids.sort();
    Ok(ids)
}

/// Nothing, if what was to be read is no file: that is told by itself.
pub(super) fn or_told<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::NoFile { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Checks the lists, which only save time or say what was removed from the cache.
fn check_lists(check: &mut Check<'_>) -> Result<(), StoreError> {
    let layout = check.store.layout.clone();
    let completed = "it is completed from the runs by itself, and `flow verify --repair` makes it anew; nothing is lost";
    check_list(check, layout.run_list(), crate::runs::fits, completed)?;
    let passed_over = "`flow runs` reads the records instead, and `flow verify --repair` moves it away; nothing is lost";
    check_list(check, layout.notes(), crate::notes::fits, passed_over)?;
    let path = layout.removed();
    if let Some(offset) = or_told(removed_fault(&layout))?.flatten() {
        let remedy = "what was removed from the cache may count again: remove it once more, after `flow verify --repair`";
        let finding = Finding::new(FindingKind::List, path, "a line is damaged", remedy);
        check.report(finding.at(offset));
    }
    Ok(())
}

/// Checks the lines of a file that only saves time.
fn check_list(
    check: &mut Check<'_>,
    path: PathBuf,
    fits: fn(&str) -> bool,
    remedy: &str,
) -> Result<(), StoreError> {
    let bytes = or_told(plain::read(&path))?.flatten().unwrap_or_default();
    check.read(bytes.len() as u64);
    let (kind, reason, offset) = match lines::fault(&bytes, fits) {
        None => return Ok(()),
        Some(Fault::Cut(offset)) => (FindingKind::Cut, "a line is not whole", offset),
        Some(Fault::Changed(offset)) => (FindingKind::List, "a line is damaged", offset),
    };
    check.report(Finding::new(kind, path, reason, remedy).at(offset));
    Ok(())
}

/// Reports what nobody needs.
fn check_strays(check: &mut Check<'_>, ids: &[RunId]) -> Result<(), StoreError> {
    let layout = check.store.layout.clone();
    for (path, _) in entries(&layout.scratch())? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !ids.iter().any(|id| id.as_str() == name) {
            let remedy = "`flow gc` removes it";
            let reason = "these are working folders of a run that is gone";
            check.report(Finding::new(FindingKind::Stray, path, reason, remedy));
        }
    }
    for (path, _) in entries(&layout.quarantine())? {
        let remedy = "it was put here because it was damaged; remove it when you are done with it";
        check.report(Finding::new(FindingKind::Stray, path, "it was put aside", remedy));
    }
    Ok(())
}
