//! Frames: what one append writes, and how it is checked.

use flow_core::run::event::Recorded;
use flow_core::store::InlinePayload;

use super::entry;
use super::header::{Header, u32_at, u64_at};
use super::{Tip, short};

/// Bytes before the body: magic, length, number, durable position, link, checksum.
pub(crate) const FRAME_HEAD: usize = 56;

/// The first bytes of a frame, unlikely in text and in numbers.
pub(crate) const MAGIC: [u8; 4] = [0xF1, 0x0E, 0x4A, 0x9D];

/// What the checksum covers of the head.
const CHECKED: usize = 40;

/// A buffer more than this large is given back after its frame.
const KEEP_BUFFER: usize = 1 << 20;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the body.
    pub(crate) len: u32,
    /// Number of the frame, from 1.
    pub(crate) number: u64,
    /// Everything before this position was durable when the frame was written.
    pub(crate) synced_to: u64,
    /// Checksum of the frame before it.
    pub(crate) link: [u8; 16],
    /// Checksum of this frame.
    pub(crate) checksum: [u8; 16],
}

impl Head {
    /// Reads a head; `None` if these bytes do not begin a frame.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<FRAME_HEAD>()?;
        if head[..4] != MAGIC {
            return None;
        }
        let (mut link, mut checksum) = ([0; 16], [0; 16]);
        link.copy_from_slice(&head[24..40]);
        checksum.copy_from_slice(&head[40..56]);
        Some(Self {
            len: u32_at(head, 4),
            number: u64_at(head, 8),
            synced_to: u64_at(head, 16),
            link,
            checksum,
        })
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_len(&self) -> u64 {
        FRAME_HEAD as u64 + u64::from(self.len)
    }

    /// The place after this frame, if it begins at `offset`.
    pub(crate) fn tip_after(&self, offset: u64) -> Tip {
        Tip { offset: offset + self.frame_len(), number: self.number + 1, link: self.checksum }
    }
}

/// The checksum of a whole frame.
pub(crate) fn checksum(identity: &[u8; 32], frame: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(identity);
    hasher.update(&frame[..CHECKED]);
    hasher.update(&frame[FRAME_HEAD..]);
    short(&hasher.finalize())
}

/// Builds frames in one buffer that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct FrameBuilder {
    buffer: Vec<u8>,
}

/// A finished frame.
pub(crate) struct Built<'a> {
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// The place after it.
    pub(crate) next: Tip,
    /// How many of its events are checkpoints.
    pub(crate) checkpoints: u64,
}

impl FrameBuilder {
    /// Builds the frame that goes to `tip`.
    pub(crate) fn build(
        &mut self,
        header: &Header,
        tip: &Tip,
        synced_to: u64,
        records: &[Recorded],
        payloads: &[InlinePayload],
    ) -> std::io::Result<Built<'_>> {
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.buffer.resize(FRAME_HEAD, 0);
        // Payloads go first, so that no reader ever sees a record without what it refers to.
        for (digest, bytes) in payloads {
            entry::write_payload(digest, bytes, &mut self.buffer)?;
        }
        let mut checkpoints = 0;
        for record in records {
            checkpoints += u64::from(entry::write_event(record, &mut self.buffer)?);
        }
        let len = self.buffer.len() - FRAME_HEAD;
        let len = u32::try_from(len).map_err(std::io::Error::other)?;
        let head = &mut self.buffer[..FRAME_HEAD];
        head[..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&len.to_le_bytes());
        head[8..16].copy_from_slice(&tip.number.to_le_bytes());
        head[16..24].copy_from_slice(&synced_to.to_le_bytes());
        head[24..40].copy_from_slice(&tip.link);
        let sum = checksum(&header.identity, &self.buffer);
        self.buffer[CHECKED..FRAME_HEAD].copy_from_slice(&sum);
        let next = Tip {
            offset: tip.offset + self.buffer.len() as u64,
            number: tip.number + 1,
            link: sum,
        };
        Ok(Built { bytes: &self.buffer, next, checkpoints })
    }
}
