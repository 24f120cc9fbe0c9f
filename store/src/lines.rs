//! Files of lines that only spare work: each line has a check of its own, nothing waits until they are
//! on the disk, and whatever is lost of them is found out again.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use flow_core::store::StoreError;

use crate::plain::{self, open_plain_with};

/// The bytes of such a file; none where there is no file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    match plain::read(path) {
        Err(error @ StoreError::NoFile { .. }) => {
            tracing::warn!(%error, "the file is not used");
            Ok(Vec::new())
        }
        other => Ok(other?.unwrap_or_default()),
    }
}

/// Adds lines, each with its end, in one write.
pub(crate) fn append(path: &Path, lines: impl Iterator<Item = String>) {
    // The end of the file may be torn, so every line begins with an end of line.
    let lines: String = lines.flat_map(|line| ["\n".to_owned(), line]).collect();
    if lines.is_empty() {
        return;
    }
    let file = open_plain_with(path, OpenOptions::new().append(true).create(true));
    let write =
        |mut file: File| file.write_all(lines.as_bytes()).map_err(StoreError::io("write", path));
    if let Err(error) = file.and_then(write) {
        tracing::debug!(%error, "lines were not added");
    }
}

/// A line that does not fit its check, by where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The beginning of one: its writer was stopped, and what another one added follows at once.
    Cut(u64),
    /// It was changed.
    Changed(u64),
}

/// The first line that was changed, else the first one that is cut, if there is one. The last line may be torn.
pub(crate) fn fault(bytes: &[u8], fits: impl Fn(&str) -> bool) -> Option<Fault> {
    let (mut at, mut cut) = (0, None);
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let whole = line.strip_suffix(b"\n");
        let is_sound = |text: &[u8]| text.is_empty() || str::from_utf8(text).is_ok_and(&fits);
        if whole.is_some_and(|text| !is_sound(text)) {
            // Every line begins with an end of line: behind a whole one that makes an empty line.
            match lines.peek().is_some_and(|next| *next != b"\n") {
                true => cut = cut.or(Some(Fault::Cut(at))),
                false => return Some(Fault::Changed(at)),
            }
        }
        at += line.len() as u64;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(text: &str) -> Option<Fault> {
        fault(text.as_bytes(), |line| line.starts_with("sound"))
    }

    #[test]
    fn a_torn_line_is_told_from_one_that_was_changed() {
        assert_eq!(fault_of("\nsound 1\n\nsound 2\n\nsound 3\n\nsou"), None);
        assert_eq!(fault_of("\nsound 1\n\nso\nsound 2\n"), Some(Fault::Cut(10)));
        assert_eq!(fault_of("\nsound 1\n\nsoun 2\n\nsound 3\n"), Some(Fault::Changed(10)));
        assert_eq!(fault_of("\nso\nsound 1\n\nsoun 2\n"), Some(Fault::Changed(13)));
    }
}
