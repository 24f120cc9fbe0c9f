//! The cache: results of all runs, found by key alone.
//!
//! There is no cache beside the runs. An entry is a checkpoint in the journal of the run that made
//! it, and what is removed from the cache stays in that run.

mod removed;
mod scan;

use std::collections::HashMap;

use flow_core::digest::Digest;
use flow_core::store::{CacheEntry, Checkpoint, StoreError};

use crate::journal::Identity;
use crate::layout::Layout;
use crate::tmp::TmpSpace;
use removed::Removed;
use scan::{Made, each_made};

/// A checkpoint, and what ranks it among those with the same key.
type Ranked = ((i64, i32, Identity, u64), Checkpoint);

/// The newest checkpoint of each key, of one key or of all, straight from the journals.
fn newest(layout: &Layout, wanted: Option<&Digest>) -> Result<HashMap<Digest, Ranked>, StoreError> {
    let removed = Removed::read(layout)?;
    let mut newest: HashMap<Digest, Ranked> = HashMap::new();
    each_made(layout, |made| {
        let known = newest.get(&made.key).is_some_and(|(rank, _)| *rank >= made.rank());
        let journal = made.journal.header.short_identity();
        if known
            || wanted.is_some_and(|wanted| *wanted != made.key)
            || removed.covers(&journal, &made.key, made.position)
        {
            return;
        }
        if let Some(checkpoint) = parse(made) {
            newest.insert(made.key, (made.rank(), checkpoint));
        }
    })?;
    Ok(newest)
}

fn parse(made: &Made<'_>) -> Option<Checkpoint> {
    match made.event.parse() {
        Ok(recorded) => Checkpoint::of(made.run, &recorded),
        Err(reason) => {
            tracing::warn!(run = %made.run, reason, "a checkpoint cannot be read");
            None
        }
    }
}

/// The newest entry of each key, oldest first.
pub(crate) fn entries(layout: &Layout) -> Result<Vec<CacheEntry>, StoreError> {
    let mut all: Vec<Ranked> = newest(layout, None)?.into_values().collect();
    all.sort_by_key(|(rank, _)| *rank);
    Ok(all.iter().map(|(_, checkpoint)| CacheEntry::of(checkpoint)).collect())
}

/// Removes a key, or all; returns how many entries there were.
pub(crate) fn remove(
    layout: &Layout,
    tmp: &TmpSpace,
    key: Option<&Digest>,
) -> Result<u64, StoreError> {
    let before = newest(layout, key)?.len() as u64;
    let mut ends: HashMap<Identity, u64> = HashMap::new();
    each_made(layout, |made| {
        if key.is_none_or(|key| *key == made.key) {
            let end = ends.entry(made.journal.header.short_identity()).or_default();
            *end = made.position + 1;
        }
    })?;
    removed::change(layout, tmp, |removed| {
        ends.iter().for_each(|(journal, end)| removed.add(*journal, key.copied(), *end));
    })?;
    Ok(before)
}

/// The latest checkpoint with this key.
pub(crate) fn find(layout: &Layout, key: &Digest) -> Result<Option<Checkpoint>, StoreError> {
    let Some((_, checkpoint)) = newest(layout, Some(key))?.remove(key) else { return Ok(None) };
    // It may just have been written by another process, which has not synced it yet.
    let path = layout.journal(&checkpoint.run);
    let synced = std::fs::File::open(&path).and_then(|journal| journal.sync_data());
    synced.map_err(StoreError::io("sync", path))?;
    Ok(Some(checkpoint))
}
