//! What commands noted about runs, to spare reading their records again.
//!
//! A note counts as long as the journal of its run is the one that was read, by inode, size and
//! times. Nothing depends on it: a line that does not fit its check is skipped, and where there is
//! no note the records are read.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::{Listed, RunEntry, Stamp, StoreError};

use crate::files::{discard, if_there};
use crate::layout::Layout;
use crate::lines;

/// A journal that was written to so lately may be written to again without another time.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// So many lines more than runs are kept before the notes begin anew.
const SPARE_LINES: usize = 1000;

/// Adds to each run what was noted of it and still holds.
pub(crate) fn add_to(layout: &Layout, runs: Vec<RunEntry>) -> Result<Vec<Listed>, StoreError> {
    let bytes = lines::read(&layout.notes())?;
    let mut count = 0;
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        count += 1;
        Line::read(str::from_utf8(line).ok()?)
    });
    // The last line of a run is its newest.
    let lines: HashMap<&str, Line<'_>> = lines.map(|line| (line.run, line)).collect();
    if count > 2 * runs.len() + SPARE_LINES {
        discard(&layout.notes());
    }
    let now = SystemTime::now();
    let listed = runs.into_iter().map(|entry| {
        let stamp = stamp(layout, &entry.id, now);
        let line = lines.get(entry.id.as_str()).filter(|line| Some(line.stamp) == stamp);
        let note = line.filter(|line| line.fits()).map(|line| line.text.to_owned());
        Listed { entry, stamp, note }
    });
    Ok(listed.collect())
}

/// Keeps notes, each with the state of the record that it was taken from.
pub(crate) fn keep(layout: &Layout, notes: &[(RunId, Stamp, String)]) {
    let lines = notes.iter().map(|(run, stamp, text)| Line::write(run, *stamp, text));
    lines::append(&layout.notes(), lines);
}

/// Forgets all notes.
pub(crate) fn clear(layout: &Layout) -> Result<(), StoreError> {
    let path = layout.notes();
    if_there(fs::remove_file(&path)).map_err(StoreError::io("remove", path)).map(drop)
}

/// Whether a line of the notes is what was written.
pub(crate) fn fits(line: &str) -> bool {
    Line::read(line).is_some_and(|line| line.fits())
}

/// The state of the journal of a run. `None` if it is gone, or may change without a trace.
fn stamp(layout: &Layout, run: &RunId, now: SystemTime) -> Option<Stamp> {
    let meta = fs::symlink_metadata(layout.journal(run)).ok()?;
    let age = now.duration_since(meta.modified().ok()?).ok()?;
    (age >= SETTLED_AFTER).then(|| state(&meta))
}

fn state(meta: &Metadata) -> Stamp {
    let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
    let mut bytes = Vec::with_capacity(48);
    bytes.extend(meta.ino().to_le_bytes());
    bytes.extend(meta.size().to_le_bytes());
    bytes.extend(times.iter().flat_map(|time| time.to_le_bytes()));
    let digest = Digest::of(&bytes);
    let mut half = [0; 8];
    half.copy_from_slice(&digest.as_bytes()[..8]);
    Stamp(u64::from_le_bytes(half))
}

/// A line: the run, the state of its journal, a check over the rest, and the text.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line<'a> {
    run: &'a str,
    stamp: Stamp,
    check: &'a str,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn write(run: &RunId, Stamp(stamp): Stamp, text: &str) -> String {
        let check = Line::check(run.as_str(), Stamp(stamp), text);
        format!("{run} {stamp:016x} {check} {text}\n")
    }

    fn read(line: &'a str) -> Option<Self> {
        let mut parts = line.splitn(4, ' ');
        let (run, stamp) = (parts.next()?, parts.next()?);
        let stamp = Stamp(u64::from_str_radix(stamp, 16).ok()?);
        Some(Self { run, stamp, check: parts.next()?, text: parts.next()? })
    }

    /// Whether it is what was written.
    fn fits(&self) -> bool {
        Line::check(self.run, self.stamp, self.text) == self.check
    }

    fn check(run: &str, Stamp(stamp): Stamp, text: &str) -> String {
        Digest::of(format!("{run} {stamp:016x} {text}").as_bytes()).short()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_and_a_changed_one_is_not() {
        let id = RunId::new("nightly-7").expect("an id");
        let text = Line::write(&id, Stamp(7), r#"{"status":"all is well"}"#);
        let line = Line::read(text.trim_end()).expect("a line");
        assert_eq!(
            (line.run, line.stamp, line.text),
            ("nightly-7", Stamp(7), r#"{"status":"all is well"}"#)
        );
        assert_eq!(lines::fault(text.as_bytes(), fits), None);
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(lines::fault(&bytes, fits), Some(lines::Fault::Changed(0)), "{at}");
            assert_eq!(lines::fault(&text.as_bytes()[..at], fits), None, "a torn end");
        }
    }
}
