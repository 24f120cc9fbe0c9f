//! The store: whether it opens, can be written and locked, and how its database stands.

use std::path::Path;

use flow_core::store::StoreError;
use flow_store::{DatabaseState, DiskStore};
use rustix::fs::{Access, access};

use super::{Check, disk};
use crate::failure::Failure;
use crate::session::Session;

/// All about the store.
pub(super) fn checks(env: &Session) -> Vec<Check> {
    match env.open_store() {
        Ok(store) => of_store(&store, env),
        Err(Failure::Store(StoreError::NoStore(dir))) => of_none(&dir, env),
        Err(failure) => vec![Check::fault("store", failure.to_string(), failure.fix(env))],
    }
}

fn of_store(store: &DiskStore, env: &Session) -> Vec<Check> {
    let mut checks = vec![Check::ok("store", format!("{} opens", store.dir().display()))];
    checks.push(match store.try_disk() {
        Ok(()) => Check::ok("store", "files can be written, locked and synced"),
        Err(error) => {
            let failure = Failure::from(error);
            Check::fault("store", failure.to_string(), failure.fix(env))
        }
    });
    checks.push(database(store, env));
    checks.extend(disk::checks(store.dir()));
    checks
}

fn database(store: &DiskStore, env: &Session) -> Check {
    let about = "checkpoints";
    match store.database_state() {
        Ok(DatabaseState::Sound) => Check::ok(about, "the database opens"),
        Ok(DatabaseState::Absent) => Check::ok(about, "none yet; made when needed"),
        Ok(DatabaseState::InUse) => Check::ok(about, "another process has the database"),
        Ok(DatabaseState::Damaged(reason)) => Check::fault(
            about,
            format!("the database is damaged: {reason}"),
            format!("nothing is lost; make it again: {}", env.command(&["verify", "--repair"])),
        ),
        Err(error) => {
            let failure = Failure::from(error);
            Check::fault(about, failure.to_string(), failure.fix(env))
        }
    }
}

/// The place where a store would be made.
fn of_none(dir: &Path, env: &Session) -> Vec<Check> {
    let make = env.command(&["run", "FILE"]);
    let Some(folder) = dir.ancestors().find(|folder| folder.is_dir()) else { return Vec::new() };
    let place = format!("none yet at {}", dir.display());
    let mut checks = vec![match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Check::ok("store", format!("{place}; made by {make}")),
        Err(error) => Check::fault(
            "store",
            format!("{place}, and {} cannot be written: {error}", folder.display()),
            "make it writable, or name another place with --store",
        ),
    }];
    checks.extend(disk::checks(folder));
    checks
}
