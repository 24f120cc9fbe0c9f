//! What the database has of one run.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flow_core::digest::Digest;
use flow_core::run::event::Recorded;
use flow_core::store::StoreError;

use super::open::Database;
use super::record::{self, Applied, Content, Item, applied_key, items, pack_key, packs_prefix};
use crate::journal::{JournalFile, Tip, short};
use crate::run_index::checkpoint_at;

/// Where an item stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Position of the item in the journal.
    position: u64,
    /// Position in the key of its pack.
    pack: u64,
    /// Byte at which it begins in the pack.
    at: u32,
}

/// The directory of a run's packs. The packs themselves stay in the database.
#[derive(Debug)]
pub(super) struct RunPacks {
    journal: JournalFile,
    applied: Applied,
    /// By half the digest of the lookup.
    checkpoints: HashMap<[u8; 16], Place>,
    payloads: HashMap<Digest, Place>,
    damaged: bool,
    faulted: AtomicBool,
}

impl RunPacks {
    /// Reads the directory; `None` if the database has not seen the run, or there is no such run.
    pub(super) fn read(database: &Database, journal: &Path) -> Result<Option<Self>, StoreError> {
        let Some(journal) = JournalFile::open(journal)? else { return Ok(None) };
        let identity = journal.header.identity;
        let Some(applied) = applied(database, &journal)? else { return Ok(None) };
        let mut packs = Self {
            journal,
            applied,
            checkpoints: HashMap::new(),
            payloads: HashMap::new(),
            damaged: false,
            faulted: AtomicBool::new(false),
        };
        database.each(&packs_prefix(&identity), |(key, value)| packs.index(&key, &value))?;
        Ok(Some(packs))
    }

    fn index(&mut self, key: &[u8], sealed: &[u8]) {
        let Some(pack) = record::unseal(key, sealed) else {
            self.damaged = true;
            return;
        };
        let first = record::position_in(key);
        for (at, position, item) in items(pack) {
            let place = Place { position, pack: first, at: u32::try_from(at).unwrap_or(u32::MAX) };
            match item {
                Item::Payload { digest, .. } => {
                    self.payloads.insert(digest, place);
                }
                Item::Checkpoint { lookup, .. } => {
                    // Packs may overlap after a repair; the latest checkpoint counts.
                    let known = self.checkpoints.entry(hash(lookup)).or_insert(place);
                    if known.position < position {
                        *known = place;
                    }
                }
            }
        }
    }

    /// The last checkpoint with this lookup.
    ///
    /// # Errors
    /// Whatever shows that the database cannot be trusted with it.
    pub(super) fn checkpoint(
        &self,
        database: &Database,
        lookup: &[u8],
    ) -> Result<Option<Recorded>, StoreError> {
        let Some(place) = self.checkpoints.get(&hash(lookup)) else { return Ok(None) };
        self.with_item(database, place, |item| match item {
            Item::Checkpoint { lookup: found, content } if found == lookup => match content {
                Content::Here(event) => event.parse().map_err(StoreError::Database),
                Content::InJournal(len) => {
                    checkpoint_at(&self.journal, lookup, place.position, len)
                }
            },
            _ => Err(moved()),
        })
        .map(Some)
    }

    /// A payload, checked against its digest.
    pub(super) fn payload(
        &self,
        database: &Database,
        digest: &Digest,
    ) -> Result<Option<Arc<[u8]>>, StoreError> {
        let Some(place) = self.payloads.get(digest) else { return Ok(None) };
        self.with_item(database, place, |item| match item {
            Item::Payload { bytes, .. } if Digest::of(bytes) == *digest => Ok(bytes.into()),
            _ => Err(moved()),
        })
        .map(Some)
    }

    fn with_item<T>(
        &self,
        database: &Database,
        place: &Place,
        read: impl FnOnce(Item<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let key = pack_key(&self.journal.header.identity, place.pack);
        let sealed = database.get(&key)?.ok_or_else(moved)?;
        let pack = record::unseal(&key, &sealed).ok_or_else(moved)?;
        let (_, item, _) = record::item_at(pack, place.at as usize).ok_or_else(moved)?;
        read(item)
    }

    /// How far the journal had been taken over when this was read.
    pub(super) fn applied_to(&self) -> u64 {
        self.applied.tip.offset
    }

    /// Whether some pack did not fit its checksum.
    pub(super) fn has_damage(&self) -> bool {
        self.damaged
    }

    /// Whether nobody has asked this before: one repair is enough.
    pub(super) fn is_first_fault(&self) -> bool {
        !self.faulted.swap(true, Ordering::AcqRel)
    }
}

fn moved() -> StoreError {
    StoreError::Database("a checkpoint is not where it was".into())
}

fn hash(lookup: &[u8]) -> [u8; 16] {
    short(&blake3::hash(lookup))
}

/// How far a journal has been taken over, after checking that it is still the journal that was.
///
/// # Errors
/// [`StoreError::Damaged`] if the journal is an older copy of itself.
pub(crate) fn applied(
    database: &Database,
    journal: &JournalFile,
) -> Result<Option<Applied>, StoreError> {
    let key = applied_key(&journal.header.identity);
    let Some(sealed) = database.get(&key)? else { return Ok(None) };
    let Some(applied) = Applied::unseal(&key, &sealed) else {
        tracing::warn!("a position in the checkpoint database is damaged");
        return Ok(None);
    };
    let Applied { frame_at, tip, .. } = applied;
    if tip == Tip::first(&journal.header) || journal.has_frame(frame_at, &tip)? {
        return Ok(Some(applied));
    }
    let reason = format!(
        "results up to byte {} were recorded from this journal and are not in it: it is an older \
         copy, or was cut; put the newer one back, or remove the folder `checkpoints` to go on with \
         this one",
        tip.offset
    );
    Err(journal.damaged(frame_at, reason))
}
