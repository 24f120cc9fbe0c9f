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
    // The end of the file may be torn, so every piece begins a line of its own.
    let lines: String = std::iter::once("\n".to_owned()).chain(lines).collect();
    if lines.len() == 1 {
        return;
    }
    let file = open_plain_with(path, OpenOptions::new().append(true).create(true));
    let write =
        |mut file: File| file.write_all(lines.as_bytes()).map_err(StoreError::io("write", path));
    if let Err(error) = file.and_then(write) {
        tracing::debug!(%error, "lines were not added");
    }
}

/// Where the first line begins that does not fit its check, if there is one. The last one may be torn.
pub(crate) fn fault(bytes: &[u8], fits: impl Fn(&str) -> bool) -> Option<u64> {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.strip_suffix(b"\n");
        let is_sound = |text: &[u8]| text.is_empty() || str::from_utf8(text).is_ok_and(&fits);
        if whole.is_some_and(|text| !is_sound(text)) {
            return Some(at);
        }
        at += line.len() as u64;
    }
    None
}
