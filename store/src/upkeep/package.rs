//! The form of an exported run: a tar archive, and behind it the digest of all its bytes.
//!
//! The archive begins with `flow-export.json`, which says what it is and of which format. Then come
//! the objects, `objects/<digest>`, and then the folder of the run, `run/…`. Any program that reads
//! tar archives can look into it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flow_core::digest::{Digest, Hasher};
use flow_core::id::RunId;
use flow_core::store::StoreError;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The format that this version writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// Name of the first entry.
pub(super) const HEADER: &str = "flow-export.json";
/// What the names of objects begin with.
pub(super) const OBJECTS: &str = "objects/";
/// What the names of the run's files begin with.
pub(super) const RUN: &str = "run/";
/// The folder of captured output in the folder of a run.
pub(super) const OUTPUT: &str = "output";

/// Stands before the digest at the end.
const MARK: &[u8; 8] = b"FLOWEXP\n";
/// Mark and digest.
pub(super) const TRAILER: u64 = 8 + 32;

/// The first entry.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// The format of everything else.
    pub(super) format: u32,
    /// The run.
    pub(super) run: RunId,
    /// When it was created.
    pub(super) created_at: Timestamp,
}

/// Hashes what is written.
pub(super) struct Hashing<W> {
    to: W,
    hasher: Hasher,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, hasher: Hasher::default() }
    }

    /// Writes the digest of everything before it.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(MARK)?;
        self.to.write_all(self.hasher.finish().as_bytes())?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.to.write(bytes)?;
        self.hasher.update(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Checks that a file is a whole export. Returns the length of the archive in it.
pub(super) fn check(file: &mut File, path: &Path) -> Result<u64, StoreError> {
    let damaged = |offset: u64, reason: &str| StoreError::Damaged {
        path: path.to_owned(),
        offset,
        reason: reason.to_owned(),
    };
    let size = file.metadata().map_err(StoreError::io("read", path))?.len();
    let len = size.checked_sub(TRAILER).ok_or_else(|| damaged(0, "this is no exported run"))?;
    let mut hasher = Hasher::default();
    let mut archive = Read::by_ref(file).take(len);
    let read = io::copy(&mut archive, &mut hasher);
    read.map_err(StoreError::io("read", path))?;
    let mut trailer = [0; TRAILER as usize];
    file.read_exact(&mut trailer).map_err(StoreError::io("read", path))?;
    let (mark, digest) = trailer.split_at(MARK.len());
    if mark != MARK {
        return Err(damaged(len, "this is no exported run, or its end is missing"));
    }
    if digest != hasher.finish().as_bytes() {
        return Err(damaged(0, "its bytes do not have the digest at its end: copy it again"));
    }
    Ok(len)
}

/// The name of an object in the archive.
pub(super) fn object_name(digest: &Digest) -> String {
    format!("{OBJECTS}{digest}")
}
