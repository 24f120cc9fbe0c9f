//! What was removed from the cache: for a journal, and a key or all keys, the position up to which
//! its checkpoints do not count any more. What is recorded behind it counts, whatever the clock says.

use std::collections::HashMap;
use std::fs;

use flow_core::digest::Digest;
use flow_core::store::StoreError;

use crate::files::{discard, if_there, sync_dir, write_synced};
use crate::journal::Identity;
use crate::layout::Layout;
use crate::locks;
use crate::tmp::TmpSpace;

/// The first half of a key.
type Half = [u8; 16];

/// Positions by journal and key; no key stands for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Removed {
    upto: HashMap<(Identity, Option<Half>), u64>,
}

impl Removed {
    /// Reads what was removed from the cache of a store.
    pub(crate) fn read(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.removed();
        let text = if_there(fs::read(&path)).map_err(StoreError::io("read", &path))?;
        let mut removed = Self::default();
        for line in text.unwrap_or_default().split(|byte| *byte == b'\n') {
            match parse(line) {
                Some((journal, key, upto)) => removed.add(journal, key, upto),
                None if line.is_empty() => {}
                None => tracing::warn!(path = %path.display(), "a line is damaged"),
            }
        }
        Ok(removed)
    }

    pub(crate) fn add(&mut self, journal: Identity, key: Option<Half>, upto: u64) {
        let known = self.upto.entry((journal, key)).or_default();
        *known = upto.max(*known);
    }

    /// Whether a checkpoint with this key at this position of a journal was removed.
    pub(crate) fn covers(&self, journal: &Identity, key: &Half, position: u64) -> bool {
        let before = |key| self.upto.get(&(*journal, key)).is_some_and(|upto| position < *upto);
        before(None) || before(Some(*key))
    }

    fn text(&self) -> String {
        let mut lines: Vec<_> = self.upto.iter().map(|((j, k), upto)| line(j, *k, *upto)).collect();
        lines.sort();
        lines.concat()
    }
}

/// Changes what was removed, durably and as a whole.
pub(crate) fn change(
    layout: &Layout,
    tmp: &TmpSpace,
    change: impl FnOnce(&mut Removed),
) -> Result<(), StoreError> {
    let lock = layout.removed_lock();
    let changing = locks::open(&lock)?;
    changing.lock().map_err(|error| locks::refused(&lock, error))?;
    let before = Removed::read(layout)?;
    let mut removed = before.clone();
    change(&mut removed);
    if removed == before {
        return Ok(());
    }
    let aside = tmp.fresh()?;
    let path = layout.removed();
    let written = write_synced(&aside, removed.text().as_bytes())
        .and_then(|()| fs::rename(&aside, &path).map_err(StoreError::io("rename", &path)));
    if written.is_err() {
        discard(&aside);
    }
    written?;
    sync_dir(layout.root())
}

/// A line of the file: journal, position, key or `*`, and a check over these.
fn line(journal: &Identity, key: Option<Half>, upto: u64) -> String {
    let key = key.map_or_else(|| "*".to_owned(), |key| hex(&key));
    let text = format!("{} {upto} {key}", hex(journal));
    let check = Digest::of(text.as_bytes()).short();
    format!("{text} {check}\n")
}

fn parse(line: &[u8]) -> Option<(Identity, Option<Half>, u64)> {
    let (text, check) = str::from_utf8(line).ok()?.rsplit_once(' ')?;
    if Digest::of(text.as_bytes()).short() != check {
        return None;
    }
    let mut parts = text.split(' ');
    let journal = unhex(parts.next()?)?;
    let upto = parts.next()?.parse().ok()?;
    let key = match parts.next()? {
        "*" => None,
        key => Some(unhex(key)?),
    };
    Some((journal, key, upto))
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}
