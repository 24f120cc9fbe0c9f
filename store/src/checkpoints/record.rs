//! What stands in the checkpoint database.
//!
//! Under `c`, the journal's identity and a position: a pack of checkpoints and small payloads, as
//! they stand in the journal from that position on. Under `k` likewise: the keys of what the run
//! made. Under `b` and the identity: how far the journal has been taken over. Packs keep the database quick: it takes nearly as long to write a
//! record of a hundred bytes as one of three thousand. Each value carries a checksum over its key
//! and itself, because the database does not notice all damage.

use flow_core::digest::Digest;

use super::keys::{KeyEntry, KeyPacker};
use crate::journal::{Entry, EventEntry, Identity, Tip, entry_at, short, u32_at, u64_at};

/// No value is larger: the database would put large ones into files that it never syncs.
pub(crate) const VALUE_MAX: usize = 3 * 1024;

/// Payloads up to this size go along with the checkpoints.
const PAYLOAD_MAX: usize = 1024;

/// A batch is closed once it has this many bytes.
const BATCH_MAX: usize = 768 * 1024;

const VERSION: u8 = 1;
/// Version and checksum.
pub(super) const SEAL: usize = 1 + 16;
/// The position before each item of a pack.
const POSITION: usize = 8;
/// In place of an event that is too large: where it stands in the journal, and its lookup.
const POINTER: u8 = b'Q';

/// The key of a pack.
pub(crate) fn pack_key(identity: &[u8; 32], position: u64) -> Vec<u8> {
    let mut key = packs_prefix(identity);
    key.extend_from_slice(&position.to_be_bytes());
    key
}

/// What the keys of all packs of a journal begin with.
pub(crate) fn packs_prefix(identity: &[u8; 32]) -> Vec<u8> {
    [b"c", &identity[..16]].concat()
}

/// The position in a pack's key.
pub(crate) fn position_in(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The key under which it stands how far a journal has been taken over.
pub(crate) fn applied_key(identity: &[u8; 32]) -> Vec<u8> {
    [b"b", &identity[..16]].concat()
}

/// Puts version and checksum before a value.
pub(super) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(SEAL + value.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&checksum(key, value));
    sealed.extend_from_slice(value);
    sealed
}

/// The value without version and checksum; `None` if it is not what was written under this key.
pub(crate) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (head, value) = sealed.split_at_checked(SEAL)?;
    (head[0] == VERSION && head[1..] == checksum(key, value)).then_some(value)
}

fn short_identity(identity: &[u8; 32]) -> Identity {
    let mut half = [0; 16];
    half.copy_from_slice(&identity[..16]);
    half
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    short(&hasher.finalize())
}

/// How far a journal has been taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Where the last frame that was taken over begins.
    pub(crate) frame_at: u64,
    /// The place after it.
    pub(crate) tip: Tip,
    /// How many results of the run are before it.
    pub(crate) made: u64,
}

impl Applied {
    pub(crate) fn seal(&self, key: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(48);
        value.extend_from_slice(&self.frame_at.to_le_bytes());
        value.extend_from_slice(&self.tip.offset.to_le_bytes());
        value.extend_from_slice(&self.tip.number.to_le_bytes());
        value.extend_from_slice(&self.tip.link);
        value.extend_from_slice(&self.made.to_le_bytes());
        seal(key, &value)
    }

    pub(crate) fn unseal(key: &[u8], sealed: &[u8]) -> Option<Self> {
        let value = unseal(key, sealed)?;
        let link = value.get(24..40)?.try_into().ok()?;
        let tip = Tip { offset: u64_at(value, 8), number: u64_at(value, 16), link };
        Some(Self { frame_at: u64_at(value, 0), tip, made: u64_at(value, 40) })
    }
}

/// Collects entries of one journal into packs.
#[derive(Debug)]
pub(crate) struct Packer {
    identity: [u8; 32],
    /// Finished packs: key and value.
    packs: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
    /// Position of the first entry in the open pack.
    first: u64,
    open: Vec<u8>,
    keys: KeyPacker,
    /// How many checkpoints went in.
    pub(crate) checkpoints: u64,
    /// How many of them the run made.
    pub(crate) made: u64,
}

impl Packer {
    pub(crate) fn new(identity: [u8; 32]) -> Self {
        let (packs, open) = (Vec::new(), Vec::new());
        let keys = KeyPacker::new(short_identity(&identity));
        Self { identity, packs, bytes: 0, first: 0, open, keys, checkpoints: 0, made: 0 }
    }

    /// Takes an entry that stands at `position` in the journal, if it is of use here.
    pub(crate) fn add(&mut self, position: u64, raw: &[u8], entry: &Entry<'_>) {
        match entry {
            Entry::Payload { bytes, .. } if bytes.len() <= PAYLOAD_MAX => self.push(position, raw),
            Entry::Event(event @ EventEntry { lookup: Some(lookup), .. }) => {
                self.checkpoints += 1;
                if let Some(key) = KeyEntry::of(position, event) {
                    self.made += 1;
                    let full = self.keys.add(&key);
                    self.put(full);
                }
                if raw.len() + POSITION + SEAL <= VALUE_MAX {
                    self.push(position, raw);
                } else {
                    self.push(position, &pointer(raw.len(), lookup));
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, position: u64, item: &[u8]) {
        if SEAL + self.open.len() + POSITION + item.len() > VALUE_MAX {
            self.close();
        }
        if self.open.is_empty() {
            self.first = position;
        }
        self.open.extend_from_slice(&position.to_le_bytes());
        self.open.extend_from_slice(item);
    }

    /// Finishes what is open.
    pub(crate) fn finish(&mut self) {
        self.close();
        let keys = self.keys.close();
        self.put(keys);
    }

    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let key = pack_key(&self.identity, self.first);
        let value = seal(&key, &self.open);
        self.put(Some((key, value)));
        self.open.clear();
    }

    fn put(&mut self, record: Option<(Vec<u8>, Vec<u8>)>) {
        self.bytes += record.as_ref().map_or(0, |(_, value)| value.len());
        self.packs.extend(record);
    }

    /// The finished packs; the open one stays.
    pub(crate) fn take(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.bytes = 0;
        std::mem::take(&mut self.packs)
    }

    /// Whether it is time to write what was collected.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BATCH_MAX
    }
}

fn pointer(len: usize, lookup: &[u8]) -> Vec<u8> {
    let mut item = vec![POINTER];
    // An entry's length fits 32 bits, as it stands in the journal; a lookup is a few hundred bytes.
    let field = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    item.extend_from_slice(&field(4 + lookup.len()));
    item.extend_from_slice(&field(len));
    item.extend_from_slice(lookup);
    item
}

/// One item of a pack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Item<'a> {
    /// A checkpoint.
    Checkpoint {
        /// By what it is found.
        lookup: &'a [u8],
        /// What it is.
        content: Content<'a>,
    },
    /// A payload.
    Payload {
        /// Its digest, as written beside it.
        digest: Digest,
        /// Its bytes.
        bytes: &'a [u8],
    },
}

/// The content of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Content<'a> {
    /// It stands here.
    Here(EventEntry<'a>),
    /// It stands in the journal, with so many bytes.
    InJournal(u32),
}

/// The items of a pack: for each its place in the pack and its position in the journal.
pub(crate) fn items(pack: &[u8]) -> impl Iterator<Item = (usize, u64, Item<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (position, item, len) = item_at(pack, at)?;
        let place = at;
        at += len;
        Some((place, position, item))
    })
}

/// The item at a place in a pack, with its position in the journal and the bytes it takes.
pub(crate) fn item_at(pack: &[u8], at: usize) -> Option<(u64, Item<'_>, usize)> {
    let position = u64_at(pack, at);
    let rest = pack.get(at + POSITION..).filter(|rest| !rest.is_empty())?;
    if rest[0] == POINTER {
        let len = 5 + u32_at(rest, 1) as usize;
        let lookup = rest.get(9..len)?;
        let content = Content::InJournal(u32_at(rest, 5));
        return Some((position, Item::Checkpoint { lookup, content }, POSITION + len));
    }
    let (entry, len) = entry_at(rest).ok()?;
    let item = match entry {
        Entry::Payload { digest, bytes } => Item::Payload { digest, bytes },
        Entry::Event(event) => {
            Item::Checkpoint { lookup: event.lookup?, content: Content::Here(event) }
        }
    };
    Some((position, item, POSITION + len))
}
