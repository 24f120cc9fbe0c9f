//! The cache: results of all runs, found by key alone.
//!
//! There is no cache beside the runs. An entry is a checkpoint in the journal of the run that made
//! it, and what is removed from the cache stays in that run.

mod index;
mod place;
mod removed;
mod scan;
mod server;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use flow_core::digest::Digest;
use flow_core::store::{CacheEntry, Checkpoint, StoreError};

use crate::journal::Identity;
use crate::layout::Layout;
use crate::tmp::TmpSpace;
use removed::Removed;
use scan::{Made, each_made};

pub(crate) use index::{Backing, Index, half};
pub(crate) use place::Place;
pub(crate) use removed::{mend_removed, removed_fault, tidy_removed};
pub(crate) use server::Server;
pub(crate) use wire::{Answer, Silence, ask};

/// A checkpoint, and what ranks it among those with the same key.
type Ranked = ((i64, i32, Identity, u64), Checkpoint);

/// The newest checkpoint of each key, of one key or of all, straight from the journals: people who
/// look at the cache can wait for that, and it is the truth.
fn newest(layout: &Layout, wanted: Option<&Digest>) -> Result<HashMap<Digest, Ranked>, StoreError> {
    let removed = Removed::read(layout)?;
    let mut newest: HashMap<Digest, Ranked> = HashMap::new();
    each_made(layout, |made| {
        let known = newest.get(&made.key).is_some_and(|(rank, _)| *rank >= made.rank());
        let journal = made.journal.header.short_identity();
        if known
            || wanted.is_some_and(|wanted| *wanted != made.key)
            || removed.covers(&journal, &half(&made.key), made.position)
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
        ends.iter().for_each(|(journal, end)| removed.add(*journal, key.map(half), *end));
    })?;
    Ok(before)
}
