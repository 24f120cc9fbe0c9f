//! Whether files lie where files belong, and folders where folders do. What has its place in a store
//! may have been replaced by anything: a pipe, a link, a socket.

use std::fs::{self, FileType};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use flow_core::id::RunId;
use flow_core::store::StoreError;

use super::finding::{Finding, FindingKind};
use super::package::OUTPUT;
use super::verify::Check;
use crate::files::{ensure_dir, entries, if_there};
use crate::layout::{INBOX, JOURNAL, LOCK, Layout, PROGRAMS};
use crate::plain;
use crate::tmp::unique_name;

/// What may lie at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Folder,
    Socket,
}

/// What stands in a store's folder.
const KNOWN: [(&str, Place); 20] = [
    ("format", Place::File),
    ("runs", Place::Folder),
    ("runs.list", Place::File),
    ("runs.notes", Place::File),
    ("objects", Place::Folder),
    ("tmp", Place::Folder),
    ("logs", Place::Folder),
    ("scratch", Place::Folder),
    ("quarantine", Place::Folder),
    ("checkpoints", Place::Folder),
    ("checkpoints.lock", Place::File),
    ("checkpoints.socket", Place::Socket),
    ("cache.removed", Place::File),
    ("cache.lock", Place::File),
    ("flights", FLIGHTS),
    ("pools", Place::Folder),
    ("rates", Place::Folder),
    ("objects.users", Place::File),
    ("objects.lock", Place::File),
    ("gc.lock", Place::File),
];

#[cfg(target_os = "linux")]
const FLIGHTS: Place = Place::File;
#[cfg(not(target_os = "linux"))]
const FLIGHTS: Place = Place::Folder;

/// What is never made again by itself, so that nothing in its place is moved away.
const NEEDED: [&str; 5] = ["format", "runs", "objects", "tmp", "quarantine"];

impl Place {
    fn takes(self, kind: FileType) -> bool {
        match self {
            Self::File => kind.is_file(),
            Self::Folder => kind.is_dir(),
            Self::Socket => kind.is_socket(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::File => "a plain file",
            Self::Folder => "a folder",
            Self::Socket => "a socket",
        }
    }
}

/// Reports what lies in the place of something else, and what a store has nothing of. Objects and
/// the files of the database are looked at by those who read them.
pub(super) fn check(check: &mut Check<'_>, ids: &[RunId]) -> Result<(), StoreError> {
    let layout = check.store.layout.clone();
    for (path, kind) in entries(layout.root())? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((_, place)) => expect(check, &path, kind, *place, None),
            None if name.starts_with("checkpoints.new-") => {}
            None => check.stray(&path, "a store has nothing of this name"),
        }
    }
    for folder in [layout.logs(), layout.rates()] {
        expect_all(check, &folder, Place::File, None)?;
    }
    expect_all(check, &layout.pools(), Place::Folder, None)?;
    for (pool, _) in folder_entries(&layout.pools())? {
        expect_all(check, &pool, Place::File, None)?;
    }
    ids.iter().try_for_each(|run| check_run(check, run))
}

fn check_run(check: &mut Check<'_>, run: &RunId) -> Result<(), StoreError> {
    let folder = check.store.layout.run(run);
    for (path, kind) in entries(&folder)? {
        let is_folder = [INBOX, OUTPUT].iter().any(|name| path.ends_with(name));
        let place = if is_folder { Place::Folder } else { Place::File };
        expect(check, &path, kind, place, Some(run));
    }
    for inner in [INBOX, OUTPUT] {
        expect_all(check, &folder.join(inner), Place::File, Some(run))?;
    }
    Ok(())
}

/// Reports whatever in a folder is of another kind.
fn expect_all(
    check: &mut Check<'_>,
    folder: &Path,
    place: Place,
    run: Option<&RunId>,
) -> Result<(), StoreError> {
    for (path, kind) in folder_entries(folder)? {
        expect(check, &path, kind, place, run);
    }
    Ok(())
}

/// What is in a folder; nothing if that is no folder.
fn folder_entries(folder: &Path) -> Result<Vec<(std::path::PathBuf, FileType)>, StoreError> {
    if fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir()) {
        return entries(folder);
    }
    Ok(Vec::new())
}

fn expect(check: &mut Check<'_>, path: &Path, kind: FileType, place: Place, run: Option<&RunId>) {
    if place.takes(kind) {
        return;
    }
    let reason = format!("it is {}, and {} belongs there", plain::name(kind), place.name());
    let remedy = if is_made_again(&check.store.layout, path) {
        "`flow verify --repair` moves it out of the way; the store makes its own again"
    } else if path.ends_with(JOURNAL) {
        "put the journal back, or remove the folder of the run"
    } else {
        "put back what was there; nothing else is ever read in its place"
    };
    let finding = Finding::new(FindingKind::WrongKind, path, reason, remedy);
    check.report(match run {
        Some(run) => finding.of_run(run),
        None => finding,
    });
}

/// Whether the store makes what belongs at a path again by itself.
fn is_made_again(layout: &Layout, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let folder = path.parent().unwrap_or(path);
    if folder == layout.root() {
        return !NEEDED.iter().any(|needed| name == *needed);
    }
    if folder.parent() == Some(&*layout.runs()) {
        return [LOCK, PROGRAMS, INBOX].iter().any(|own| name == *own);
    }
    !folder.ends_with(OUTPUT) || !folder.starts_with(layout.runs())
}

/// Moves what lies in the place of something that is made again out of the way.
pub(super) fn put_aside(layout: &Layout, path: &Path) -> Result<bool, StoreError> {
    if !is_made_again(layout, path) {
        return Ok(false);
    }
    move_away(layout, path)
}

/// Moves a file that nothing depends on out of the way, unless it is gone.
pub(super) fn move_away(layout: &Layout, path: &Path) -> Result<bool, StoreError> {
    let quarantine = layout.quarantine();
    ensure_dir(&quarantine)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = quarantine.join(format!("{name}.{}", unique_name()));
    Ok(if_there(fs::rename(path, aside)).map_err(StoreError::io("move", path))?.is_some())
}
