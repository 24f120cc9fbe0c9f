//! Checking what is kept for people: what programs wrote, and the logs. No result depends on it, so that it is
//! not synced before a step counts as done, and its end may be lost with the power.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flow_core::digest::{Digest, Hasher};
use flow_core::id::RunId;
use flow_core::run::event::{KeptOutput, TaskRef};
use flow_core::store::StoreError;

use super::finding::{Finding, FindingKind};
use super::package::OUTPUT;
use super::verify::{Check, or_told};
use crate::files::entries;
use crate::plain::open_plain;
use crate::sealed::{self, Line};

const SAVED: &str = "no result depends on it; `flow verify --repair` moves the file to quarantine/";
const NO_MATTER: &str = "no result depends on it, and nothing has to be done";

/// Checks what an attempt wrote to a file.
pub(super) fn check_captured(
    check: &mut Check<'_>,
    run: &RunId,
    task: &TaskRef,
    kept: &KeptOutput,
) -> Result<(), StoreError> {
    // The record may have been made elsewhere, and name what no attempt can have written.
    let is_name = Path::new(&kept.file).file_name().is_some_and(|name| name == &*kept.file);
    if !is_name || kept.at.saturating_add(kept.bytes) > LONGEST_FILE {
        return Ok(());
    }
    let path = check.store.layout.run(run).join(OUTPUT).join(&kept.file);
    let Some(part) = or_told(read_part(&path, kept))? else { return Ok(()) };
    check.read(part.bytes);
    let (lost, end) = (kept.bytes - part.bytes, kept.at + part.bytes);
    let finding = if lost > 0 {
        let reason = format!("the last {lost} bytes of what the program wrote are not there");
        Finding::new(FindingKind::Cut, path, reason, NO_MATTER).at(end)
    } else if part.digest == kept.digest {
        return Ok(());
    } else if part.has_hole {
        let reason = "a part of what the program wrote never reached the disk: it is zeros";
        Finding::new(FindingKind::Cut, path, reason, NO_MATTER).at(kept.at)
    } else {
        let (found, recorded) = (part.digest.short(), kept.digest.short());
        let reason = format!(
            "what the program wrote was changed: it has the digest {found}, recorded is {recorded}"
        );
        Finding::new(FindingKind::Captured, path, reason, SAVED).at(kept.at)
    };
    check.report(Finding { task: Some(task.clone()), ..finding.of_run(run) });
    Ok(())
}

/// No file is longer on any system.
const LONGEST_FILE: u64 = i64::MAX.unsigned_abs();

/// A longer line of a log is looked at in pieces, so that no file of any kind fills the memory.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// What is there of what was kept.
struct Part {
    bytes: u64,
    digest: Digest,
    /// Whether it has zeros to the end of a sector or to its own end: what a file system gives for
    /// blocks that it had no time to write.
    has_hole: bool,
}

/// Nothing atomic of a disk is smaller.
const SECTOR: u64 = 512;

/// Reads what is there of what was kept; nothing without the file.
fn read_part(path: &Path, kept: &KeptOutput) -> Result<Part, StoreError> {
    let (mut hasher, mut has_hole) = (Hasher::default(), false);
    let (mut at, mut last) = (kept.at, None);
    if let Some(mut file) = open_plain(path)? {
        let failed = || StoreError::io("read", path);
        file.seek(SeekFrom::Start(at)).map_err(failed())?;
        let (mut file, mut buffer) = (file.take(kept.bytes), vec![0; 64 * 1024]);
        loop {
            let length = file.read(&mut buffer).map_err(failed())?;
            let Some(end) = buffer[..length].last() else { break };
            hasher.update(&buffer[..length]);
            let ends =
                (at..).zip(&buffer[..length]).filter(|(at, _)| (at + 1).is_multiple_of(SECTOR));
            has_hole |= ends.into_iter().any(|(_, byte)| *byte == 0);
            (at, last) = (at + length as u64, Some(*end));
        }
    }
    Ok(Part { bytes: at - kept.at, digest: hasher.finish(), has_hole: has_hole || last == Some(0) })
}

/// Checks every line of every log.
pub(super) fn check_logs(check: &mut Check<'_>) -> Result<(), StoreError> {
    let layout = check.store.layout.clone();
    for (path, kind) in entries(&layout.logs())? {
        if kind.is_file() && path.extension().is_none_or(|extension| extension != "lock") {
            check_log(check, &path)?;
        }
    }
    Ok(())
}

/// Reports the first line of a log that was changed, and the first one that is not whole.
fn check_log(check: &mut Check<'_>, path: &Path) -> Result<(), StoreError> {
    let Some(file) = open_plain(path)? else { return Ok(()) };
    let (mut reader, mut line, mut at) = (BufReader::new(file), Vec::new(), 0_u64);
    let (mut changed, mut cut) = (Places::default(), Places::default());
    let next = |reader: &mut BufReader<_>, line: &mut Vec<u8>| {
        reader.take(LONGEST_LINE).read_until(b'\n', line).map_err(StoreError::io("read", path))
    };
    while next(&mut reader, &mut line)? > 0 {
        match sealed::look_at(&line) {
            Line::Whole => {}
            Line::Cut => cut.add(at),
            Line::Changed => changed.add(at),
        }
        at += line.len() as u64;
        line.clear();
    }
    check.read(at);
    if let Some((at, lines)) = changed.told() {
        let reason = format!("{lines} was changed since it was written");
        check.report(Finding::new(FindingKind::Log, path, reason, SAVED).at(at));
    }
    if let Some((at, lines)) = cut.told() {
        let reason = format!("{lines} is not whole: its writer was stopped or had no room");
        check.report(Finding::new(FindingKind::Cut, path, reason, NO_MATTER).at(at));
    }
    Ok(())
}

/// Where lines of a kind are.
#[derive(Default)]
struct Places {
    first: Option<u64>,
    count: usize,
}

impl Places {
    fn add(&mut self, at: u64) {
        self.first.get_or_insert(at);
        self.count += 1;
    }

    /// The first place, and how many lines there are.
    fn told(&self) -> Option<(u64, String)> {
        let lines = match self.count {
            1 => "a line".to_owned(),
            count => format!("the first of {count} such lines"),
        };
        self.first.map(|at| (at, lines))
    }
}
