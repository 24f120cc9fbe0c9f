//! The folders of runs: making one, and listing all.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::{PRIVATE_PREFIX, RunEntry, StoreError};
use jiff::Timestamp;

use crate::files::{
    check_name, discard, ensure_dir, if_there, sync_dir, write_all_synced, write_synced_with,
};
use crate::journal::{self, JournalFile};
use crate::layout::{INBOX, JOURNAL, LOCK, Layout, PROGRAMS};
use crate::lease::{Refusal, RunLease};
use crate::lines;
use crate::plain::open_plain;
use crate::tmp::TmpSpace;

/// The modes of recorded files, before the mask of the process.
const EVERYBODY: u32 = 0o666;
const OWNER_ONLY: u32 = 0o600;

/// Makes the folder of a run with everything in it, and takes its lease. The folder is made aside
/// and renamed, so that a run is there as a whole or not at all.
pub(crate) fn create(
    layout: &Layout,
    tmp: &TmpSpace,
    run: &RunId,
    files: &[(&str, &[u8])],
) -> Result<RunLease, StoreError> {
    let target = layout.run(run);
    if target.exists() {
        return Err(StoreError::RunExists(run.clone()));
    }
    let aside = tmp.fresh()?;
    let created_at = Timestamp::now();
    let lease = fill(&aside, run, files, created_at)?;
    admit(layout, &aside, run, created_at)?;
    Ok(lease)
}

/// Gives a folder that was made aside the name of a run.
pub(crate) fn admit(
    layout: &Layout,
    aside: &Path,
    run: &RunId,
    created_at: Timestamp,
) -> Result<(), StoreError> {
    let target = layout.run(run);
    match fs::rename(aside, &target) {
        Ok(()) => {}
        Err(error) if is_taken(&error) => return Err(StoreError::RunExists(run.clone())),
        Err(error) => return Err(StoreError::io("rename", &target)(error)),
    }
    sync_dir(&layout.runs())?;
    append_to_list(layout, [RunEntry { id: run.clone(), created_at }].iter());
    Ok(())
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

fn fill(
    folder: &Path,
    run: &RunId,
    files: &[(&str, &[u8])],
    created_at: Timestamp,
) -> Result<RunLease, StoreError> {
    ensure_dir(folder)?;
    ensure_dir(&folder.join(INBOX))?;
    files.iter().try_for_each(|(name, _)| check_file_name(name))?;
    let header = journal::Header::new(run, created_at).1;
    let all = files.iter().copied().chain([(JOURNAL, &header[..])]);
    write_all_synced(all.map(|(name, content)| (folder.join(name), content)))?;
    let lease = RunLease::take(folder).map_err(|refusal| match refusal {
        Refusal::Failed(error) => error,
        Refusal::Held(holder) => StoreError::Held { run: run.clone(), holder },
    })?;
    sync_dir(folder)?;
    Ok(lease)
}

/// Refuses names that a recorded file cannot have.
pub(crate) fn check_file_name(name: &str) -> Result<(), StoreError> {
    check_name(name)?;
    if [JOURNAL, LOCK, PROGRAMS, INBOX].contains(&name) {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the store uses this name itself");
        return Err(StoreError::io("use", name)(source));
    }
    Ok(())
}

/// Replaces a recorded file as a whole.
pub(crate) fn put_file(
    folder: &Path,
    tmp: &TmpSpace,
    name: &str,
    content: &[u8],
) -> Result<(), StoreError> {
    check_file_name(name)?;
    let aside = tmp.fresh()?;
    let target = folder.join(name);
    let mode = if name.starts_with(PRIVATE_PREFIX) { OWNER_ONLY } else { EVERYBODY };
    let renamed = write_synced_with(&aside, content, mode)
        .and_then(|()| fs::rename(&aside, &target).map_err(StoreError::io("rename", &target)));
    if renamed.is_err() {
        discard(&aside);
    }
    renamed?;
    sync_dir(folder)
}

/// Removes the private files in the folder of a run.
pub(crate) fn remove_private(folder: &Path) -> Result<(), StoreError> {
    let mut removed = false;
    for entry in fs::read_dir(folder).map_err(StoreError::io("read", folder))? {
        let name = entry.map_err(StoreError::io("read", folder))?.file_name();
        if name.as_encoded_bytes().starts_with(PRIVATE_PREFIX.as_bytes()) {
            let path = folder.join(name);
            if_there(fs::remove_file(&path)).map_err(StoreError::io("remove", path))?;
            removed = true;
        }
    }
    if removed { sync_dir(folder) } else { Ok(()) }
}

/// All runs, oldest first. The folder of runs says which there are; the list only spares looking
/// into the journal of each for the time, and is completed where it lacks some.
pub(crate) fn list(layout: &Layout) -> Result<Vec<RunEntry>, StoreError> {
    let known = read_list(layout)?;
    let folder = layout.runs();
    let (mut runs, mut unlisted) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&folder).map_err(StoreError::io("read", &folder))? {
        let entry = entry.map_err(StoreError::io("read", &folder))?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| RunId::new(name).ok()) else { continue };
        if let Some(created_at) = known.get(&id) {
            runs.push(RunEntry { id, created_at: *created_at });
        } else if let Some(created_at) = time_of(layout, &id)? {
            let entry = RunEntry { id, created_at };
            unlisted.push(entry.clone());
            runs.push(entry);
        }
    }
    append_to_list(layout, unlisted.iter());
    runs.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(runs)
}

/// The ids of all runs, in no order.
pub(crate) fn ids(layout: &Layout) -> Result<Vec<RunId>, StoreError> {
    let folder = layout.runs();
    let mut ids = Vec::new();
    for entry in fs::read_dir(&folder).map_err(StoreError::io("read", &folder))? {
        let name = entry.map_err(StoreError::io("read", &folder))?.file_name();
        ids.extend(name.to_str().and_then(|name| RunId::new(name).ok()));
    }
    Ok(ids)
}

/// When a run was created: by its journal, else by its folder, so that one damaged run does not
/// hide all others. `None` if it is gone meanwhile.
fn time_of(layout: &Layout, run: &RunId) -> Result<Option<Timestamp>, StoreError> {
    match JournalFile::open(&layout.journal(run)) {
        Ok(Some(journal)) => return Ok(Some(journal.header.created_at)),
        Ok(None) => {}
        Err(error) => tracing::warn!(%run, %error, "a run has no readable journal"),
    }
    let path = layout.run(run);
    let meta = if_there(fs::metadata(&path)).map_err(StoreError::io("read", &path))?;
    let modified = meta.filter(fs::Metadata::is_dir).and_then(|meta| meta.modified().ok());
    Ok(modified.map(|time| Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)))
}

/// Reads the list of runs. Lines that do not fit their check are skipped: the list is not synced,
/// so its end may be torn.
fn read_list(layout: &Layout) -> Result<HashMap<RunId, Timestamp>, StoreError> {
    let bytes = lines::read(&layout.run_list())?;
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    Ok(lines.filter_map(parse_line).collect())
}

/// A line of the list: seconds, nanoseconds, id, and a check over these.
fn line(entry: &RunEntry) -> String {
    let at = entry.created_at;
    let text = format!("{} {} {}", at.as_second(), at.subsec_nanosecond(), entry.id);
    let check = Digest::of(text.as_bytes()).short();
    format!("{text} {check}\n")
}

/// Whether a line of the list of runs is what was written.
pub(crate) fn fits(line: &str) -> bool {
    parse_line(line).is_some()
}

fn parse_line(line: &str) -> Option<(RunId, Timestamp)> {
    let (text, check) = line.rsplit_once(' ')?;
    if Digest::of(text.as_bytes()).short() != check {
        return None;
    }
    let mut parts = text.split(' ');
    let second = parts.next()?.parse().ok()?;
    let nanosecond = parts.next()?.parse().ok()?;
    Some((RunId::new(parts.next()?).ok()?, Timestamp::new(second, nanosecond).ok()?))
}

/// Notes that a run was taken up, for those who follow what all runs record.
pub(crate) fn note_opened(layout: &Layout, run: &RunId, created_at: Timestamp) {
    append_to_list(layout, [RunEntry { id: run.clone(), created_at }].iter());
}

/// Follows the list of runs for those that were created or taken up.
#[derive(Debug)]
pub(crate) struct ListFollower {
    /// How much of the list was read: whole lines.
    read: u64,
}

impl ListFollower {
    /// Begins at the present end.
    pub(crate) fn at_end(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.run_list();
        let meta = if_there(fs::metadata(&path)).map_err(StoreError::io("read", &path))?;
        Ok(Self { read: meta.map_or(0, |meta| meta.len()) })
    }

    /// The runs that were added since the last look; all, if the list was made anew.
    pub(crate) fn new_runs(&mut self, layout: &Layout) -> Result<Vec<RunId>, StoreError> {
        let path = layout.run_list();
        let meta = if_there(fs::metadata(&path)).map_err(StoreError::io("read", &path))?;
        let len = meta.map_or(0, |meta| meta.len());
        if len == self.read {
            return Ok(Vec::new());
        }
        let from = if len < self.read { 0 } else { self.read };
        let Some(file) = open_plain(&path)? else { return Ok(Vec::new()) };
        let mut bytes = vec![0; usize::try_from(len - from).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, from).map_err(StoreError::io("read", &path))?;
        // The last line may not be complete yet.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read = from + whole as u64;
        let lines = bytes[..whole].split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| str::from_utf8(line).ok().and_then(parse_line));
        Ok(lines.map(|(run, _)| run).collect())
    }
}

/// Adds runs to the list, which can do without them.
fn append_to_list<'a>(layout: &Layout, entries: impl Iterator<Item = &'a RunEntry>) {
    lines::append(&layout.run_list(), entries.map(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_is_read_back_and_a_changed_one_is_not() {
        let id = RunId::new("nightly-7").expect("an id");
        let created_at = Timestamp::new(1_700_000_000, 123).expect("a time");
        let text = line(&RunEntry { id: id.clone(), created_at });
        assert_eq!(parse_line(text.trim_end()), Some((id, created_at)));
        for cut in 0..text.len() - 1 {
            assert_eq!(parse_line(&text[..cut]), None, "{cut}");
        }
        assert_eq!(parse_line(&text.replace("nightly-7", "nightly-8")), None);
    }
}
