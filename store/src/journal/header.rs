//! The first bytes of a journal: what it is, whose, and since when.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flow_core::id::RunId;
use flow_core::store::StoreError;
use jiff::Timestamp;

/// Bytes before the first frame.
pub(crate) const HEADER_LEN: u64 = 192;

const MAGIC: &[u8; 8] = b"FLOWJRNL";
const VERSION: u32 = 1;

/// The part that is written once: magic, version, id, time of creation, random bytes.
const FIXED: usize = 112;
/// Where its digest stands.
const IDENTITY: std::ops::Range<usize> = FIXED..FIXED + 32;
/// Where the closing mark stands: a position and its checksum.
const MARK_AT: usize = 144;
const MARK_LEN: usize = 24;

/// What the header of a journal says.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// The run.
    pub(crate) run: RunId,
    /// When the run was created.
    pub(crate) created_at: Timestamp,
    /// Digest of the above with random bytes: names this journal among all, and keys its
    /// checksums, so that bytes of another journal are never taken for its own.
    pub(crate) identity: [u8; 32],
    /// A position that was durable when the journal was last closed; 0 if it never was.
    pub(crate) mark: u64,
}

impl Header {
    /// The header of a new journal.
    pub(crate) fn new(run: &RunId, created_at: Timestamp) -> (Self, [u8; HEADER_LEN as usize]) {
        let mut bytes = [0; HEADER_LEN as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let id = run.as_str().as_bytes();
        bytes[12] = id.len().to_le_bytes()[0];
        bytes[16..16 + id.len()].copy_from_slice(id);
        bytes[80..88].copy_from_slice(&created_at.as_second().to_le_bytes());
        bytes[88..92].copy_from_slice(&created_at.subsec_nanosecond().to_le_bytes());
        bytes[96..104].copy_from_slice(&random().to_le_bytes());
        bytes[104..112].copy_from_slice(&random().to_le_bytes());
        let identity = *blake3::hash(&bytes[..FIXED]).as_bytes();
        bytes[IDENTITY].copy_from_slice(&identity);
        (Self { run: run.clone(), created_at, identity, mark: 0 }, bytes)
    }

    /// The first half of the identity: enough to tell journals apart.
    pub(crate) fn short_identity(&self) -> super::Identity {
        let mut half = [0; 16];
        half.copy_from_slice(&self.identity[..16]);
        half
    }

    /// Reads the header of a journal.
    pub(crate) fn read(file: &File, path: &Path) -> Result<Self, StoreError> {
        let damaged = |reason: &str| StoreError::Damaged {
            path: path.to_owned(),
            offset: 0,
            reason: reason.to_owned(),
        };
        let mut bytes = [0; HEADER_LEN as usize];
        file.read_exact_at(&mut bytes, 0).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => damaged("the journal ends before its header does"),
            _ => StoreError::io("read", path)(error),
        })?;
        if &bytes[..8] != MAGIC {
            return Err(damaged("this is not a journal"));
        }
        let version = u32_at(&bytes, 8);
        if version > VERSION {
            let path = path.to_owned();
            return Err(StoreError::TooNew { path, found: version, known: VERSION });
        }
        let identity = *blake3::hash(&bytes[..FIXED]).as_bytes();
        if bytes[IDENTITY] != identity {
            return Err(damaged("the header does not match its checksum"));
        }
        let id = bytes.get(16..16 + usize::from(bytes[12])).unwrap_or_default();
        let run = std::str::from_utf8(id).ok().and_then(|text| RunId::new(text).ok());
        let nanos = i32::from_le_bytes([bytes[88], bytes[89], bytes[90], bytes[91]]);
        let created_at = Timestamp::new(u64_at(&bytes, 80).cast_signed(), nanos).ok();
        let (Some(run), Some(created_at)) = (run, created_at) else {
            return Err(damaged("the header names no run"));
        };
        let mark = Self::read_mark(&identity, &bytes[MARK_AT..MARK_AT + MARK_LEN]);
        Ok(Self { run, created_at, identity, mark })
    }

    /// The position in a closing mark. A mark that does not fit its checksum says nothing: it is
    /// only a second witness, and is written over in place.
    fn read_mark(identity: &[u8; 32], bytes: &[u8]) -> u64 {
        let position = u64_at(bytes, 0);
        if bytes[8..] == mark_checksum(identity, position) { position } else { 0 }
    }

    /// The bytes of this header for a copy of the journal that is closed at `position`.
    pub(crate) fn closed_at(&self, bytes: &[u8], position: u64) -> Vec<u8> {
        let mut copy = bytes.to_vec();
        if let Some(mark) = copy.get_mut(MARK_AT..MARK_AT + MARK_LEN) {
            mark.copy_from_slice(&self.mark_bytes(position));
        }
        copy
    }

    fn mark_bytes(&self, position: u64) -> [u8; MARK_LEN] {
        let mut bytes = [0; MARK_LEN];
        bytes[..8].copy_from_slice(&position.to_le_bytes());
        bytes[8..].copy_from_slice(&mark_checksum(&self.identity, position));
        bytes
    }

    /// Notes in the file that everything before `position` was durable.
    pub(crate) fn write_mark(&self, file: &File, position: u64) -> std::io::Result<()> {
        file.write_all_at(&self.mark_bytes(position), MARK_AT as u64)
    }
}

/// What is wrong with the bytes of a header behind its identity, if anything is.
pub(super) fn fault(identity: &[u8; 32], bytes: &[u8]) -> Option<&'static str> {
    let (mark, rest) = bytes.get(MARK_AT..)?.split_at_checked(MARK_LEN)?;
    let whole = mark.iter().all(|byte| *byte == 0) || Header::read_mark(identity, mark) != 0;
    if !whole {
        return Some("the mark that says where the journal was closed does not fit its checksum");
    }
    let is_empty = rest.iter().all(|byte| *byte == 0);
    (!is_empty).then_some("something is written where the header has nothing")
}

fn mark_checksum(identity: &[u8; 32], position: u64) -> [u8; 16] {
    super::short(&blake3::keyed_hash(identity, &position.to_le_bytes()))
}

/// Bits that another process or another call does not have: the standard library seeds its hash
/// tables from the kernel's random source.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The number at `at`; zero where the bytes end before it.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The number at `at`; zero where the bytes end before it.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}
