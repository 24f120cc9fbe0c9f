//! Which results a journal has, by key: small entries, so that the results of all runs can be read
//! at once.

use std::collections::{HashMap, HashSet};

use flow_core::store::StoreError;

use super::open::Database;
use super::record::{SEAL, VALUE_MAX, seal, unseal};
use crate::journal::{EventEntry, Identity, u64_at};

/// Half a key, time, position.
const ENTRY: usize = 16 + 8 + 8;

/// A result in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    /// The first half of its key.
    pub(crate) key: [u8; 16],
    /// When it was made, in nanoseconds since 1970.
    pub(crate) nanos: i64,
    /// Where it stands in the journal.
    pub(crate) position: u64,
}

impl KeyEntry {
    /// The entry of an event, if it is a result that its run made.
    pub(crate) fn of(position: u64, event: &EventEntry<'_>) -> Option<Self> {
        let key = crate::cache::half(&event.made_key()?);
        let (second, nanosecond) = event.time();
        let nanos = second.saturating_mul(1_000_000_000).saturating_add(i64::from(nanosecond));
        Some(Self { key, nanos, position })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.nanos.to_le_bytes());
        out.extend_from_slice(&self.position.to_le_bytes());
    }

    fn read(bytes: &[u8; ENTRY]) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&bytes[..16]);
        Self { key, nanos: u64_at(bytes, 16).cast_signed(), position: u64_at(bytes, 24) }
    }
}

/// Collects the results of one journal into records.
#[derive(Debug)]
pub(super) struct KeyPacker {
    identity: Identity,
    open: Vec<u8>,
    first: u64,
}

impl KeyPacker {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, open: Vec::new(), first: 0 }
    }

    /// Takes an entry. Returns a record when one is full.
    pub(super) fn add(&mut self, entry: &KeyEntry) -> Option<(Vec<u8>, Vec<u8>)> {
        if self.open.is_empty() {
            self.first = entry.position;
        }
        entry.write(&mut self.open);
        if SEAL + self.open.len() + ENTRY > VALUE_MAX { self.close() } else { None }
    }

    /// The last record.
    pub(super) fn close(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        if self.open.is_empty() {
            return None;
        }
        let key = [b"k", &self.identity[..], &self.first.to_be_bytes()].concat();
        let value = seal(&key, &self.open);
        self.open.clear();
        Some((key, value))
    }
}

/// Shows what the database has of all journals. Records that are damaged are left out, which shows
/// in the number of entries.
pub(crate) fn key_entries(
    database: &Database,
    mut visit: impl FnMut(&Identity, &mut dyn Iterator<Item = KeyEntry>),
) -> Result<(), StoreError> {
    database.each(b"k", |(key, sealed)| {
        let identity = key.get(1..).and_then(|rest| rest.first_chunk::<16>());
        if let (Some(identity), Some(value)) = (identity, unseal(&key, &sealed)) {
            visit(identity, &mut value.as_chunks::<ENTRY>().0.iter().map(KeyEntry::read));
        }
    })
}

/// How many different results the database has of each journal.
pub(crate) fn key_counts(database: &Database) -> Result<HashMap<Identity, u64>, StoreError> {
    let mut positions: HashMap<Identity, HashSet<u64>> = HashMap::new();
    key_entries(database, |identity, entries| {
        positions.entry(*identity).or_default().extend(entries.map(|entry| entry.position));
    })?;
    Ok(positions.into_iter().map(|(identity, all)| (identity, all.len() as u64)).collect())
}

/// How many values do not fit their checksums.
pub(crate) fn damaged_values(database: &Database) -> Result<u64, StoreError> {
    let mut damaged = 0;
    for prefix in [b"b", b"c", b"k"] {
        database.each(prefix, |(key, sealed)| {
            damaged += u64::from(unseal(&key, &sealed).is_none());
        })?;
    }
    Ok(damaged)
}
