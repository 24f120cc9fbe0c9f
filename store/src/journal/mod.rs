//! The journal of a run: one append-only file of frames, the truth of that run.
//!
//! A frame is what one append wrote. It carries a checksum, the link to the frame before it, and
//! the position that was known to be durable when it was written. That last number tells a torn end
//! from damage: an invalid frame at the end is what a crash leaves behind and is dropped, but one
//! that was durable once is damage, and is reported with its place.

mod entry;
mod frame;
mod header;
mod reader;
mod writer;

#[cfg(test)]
mod fault_tests;

pub(crate) use entry::{Entry, EventEntry, entry_at};
pub(crate) use header::{HEADER_LEN, Header, u32_at, u64_at};
pub(crate) use reader::JournalFile;
pub(crate) use writer::{DiskJournal, Observer};

/// Where the next frame of a journal goes, and what it must link to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    /// Byte offset of the next frame.
    pub(crate) offset: u64,
    /// Number of the next frame.
    pub(crate) number: u64,
    /// Checksum of the frame before it; of the header, for the first one.
    pub(crate) link: [u8; 16],
}

impl Tip {
    /// The place of the first frame.
    pub(crate) fn first(header: &Header) -> Self {
        let mut link = [0; 16];
        link.copy_from_slice(&header.identity[..16]);
        Self { offset: HEADER_LEN, number: 1, link }
    }
}

/// Names a journal among all: the first half of its header's digest.
pub(crate) type Identity = [u8; 16];

/// The first half of a hash: enough to tell damage, and half the space.
pub(crate) fn short(hash: &blake3::Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}
