//! Checking the checkpoint database against the journals.

use std::collections::HashMap;

use flow_core::id::RunId;
use flow_core::store::StoreError;

use super::finding::{Finding, FindingKind};
use super::verify::Check;
use crate::checkpoints::{Database, applied, damaged_values, inspect, key_counts};
use crate::journal::JournalFile;

/// Checks the database, if no other process has it and it can be opened.
pub(super) fn check(check: &mut Check<'_>, ids: &[RunId]) -> Result<(), StoreError> {
    let path = check.store.layout.checkpoints();
    let remedy = "it is made again from the journals: `flow verify --repair` does it now";
    let database = match inspect(&check.store.layout) {
        Ok(Some(database)) => database,
        Ok(None) if !path.exists() => return Ok(()),
        Ok(None) => {
            let remedy = "check again when no other process uses the store";
            let reason = "another process has the checkpoint database";
            check.report(Finding::new(FindingKind::NotChecked, path, reason, remedy));
            return Ok(());
        }
        Err(StoreError::Database(reason)) => {
            check.report(Finding::new(FindingKind::Database, path, reason, remedy));
            return Ok(());
        }
        Err(error) => {
            let reason = format!("it cannot be opened: {error}");
            check.report(Finding::new(FindingKind::NotChecked, path, reason, remedy));
            return Ok(());
        }
    };
    match damaged_values(&database) {
        Ok(0) => {}
        Ok(count) => {
            let reason = format!("{count} of its values do not fit their checksums");
            check.report(Finding::new(FindingKind::Database, &path, reason, remedy));
        }
        Err(error) => {
            check.report(Finding::new(FindingKind::Database, &path, error.to_string(), remedy));
            return Ok(());
        }
    }
    check_positions(check, &database, ids)
}

/// Checks how far each journal was taken over.
fn check_positions(
    check: &mut Check<'_>,
    database: &Database,
    ids: &[RunId],
) -> Result<(), StoreError> {
    let counts = key_counts(database).unwrap_or_else(|_| HashMap::new());
    for run in ids {
        let path = check.store.layout.journal(run);
        // Journals that cannot be opened were told before.
        let Ok(Some(journal)) = JournalFile::open(&path) else { continue };
        match applied(database, &journal) {
            Ok(Some(applied)) => {
                let found = counts.get(&journal.header.short_identity()).copied().unwrap_or(0);
                if found < applied.made {
                    let reason = format!("it lacks {} results of a run", applied.made - found);
                    let remedy =
                        "they are read from the journal; `flow verify --repair` puts them in";
                    let path = check.store.layout.checkpoints();
                    let finding = Finding::new(FindingKind::Database, path, reason, remedy);
                    check.report(finding.of_run(run));
                }
            }
            Ok(None) => {}
            Err(StoreError::Damaged { offset, reason, .. }) => {
                let remedy = "put the newer copy of the run back, or remove the folder `checkpoints` \
                              to go on with this one";
                let finding = Finding::new(FindingKind::OlderJournal, path, reason, remedy);
                check.report(finding.at(offset).of_run(run));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
