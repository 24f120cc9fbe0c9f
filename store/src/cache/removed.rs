//! What was removed from the cache: for a journal, and a key or all keys, the position up to which
//! its checkpoints do not count any more. What is recorded behind it counts, whatever the clock says.

use std::collections::HashMap;
use std::fs;

use flow_core::digest::Digest;
use flow_core::store::StoreError;

use crate::files::{discard, sync_dir, write_synced};
use crate::journal::Identity;
use crate::layout::Layout;
use crate::locks;
use crate::plain;
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
        let (removed, fault) = match Self::read_all(layout) {
            Err(error @ StoreError::NoFile { .. }) => {
                tracing::warn!(%error, "what was removed from the cache counts again");
                return Ok(Self::default());
            }
            other => other?,
        };
        if let Some(offset) = fault {
            let path = layout.removed();
            tracing::warn!(path = %path.display(), offset, "a line is damaged");
        }
        Ok(removed)
    }

    /// As [`Removed::read`], with the place of the first damage, if there is any.
    fn read_all(layout: &Layout) -> Result<(Self, Option<u64>), StoreError> {
        let path = layout.removed();
        let Some(bytes) = plain::read(&path)? else { return Ok((Self::default(), None)) };
        let (mut removed, mut fault, mut at) = (Self::default(), None, 0);
        let mut left = None;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").and_then(checked);
            match (text, text.and_then(parse)) {
                (Some(count), _) if at == 0 => left = count.parse::<u64>().ok(),
                (_, Some((journal, key, upto))) => {
                    removed.add(journal, key, upto);
                    left = left.and_then(|left| left.checked_sub(1));
                }
                _ => fault = fault.or(Some(at)),
            }
            at += line.len() as u64;
        }
        // The first line says how many follow, so that none is lost unnoticed.
        Ok((removed, fault.or((left != Some(0)).then_some(at))))
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

    /// Forgets what says nothing more, because its journal is gone or all of it was removed later.
    fn tidy(&mut self, is_there: impl Fn(&Identity) -> bool) {
        let all = self.upto.clone();
        self.upto.retain(|(journal, key), upto| {
            let whole = key.and_then(|_| all.get(&(*journal, None)));
            is_there(journal) && whole.is_none_or(|whole| whole < upto)
        });
    }

    fn text(&self) -> String {
        let entry = |((journal, key), upto): (&(Identity, Option<Half>), &u64)| {
            let key = key.map_or_else(|| "*".to_owned(), |key| hex(&key));
            line(&format!("{} {upto} {key}", hex(journal)))
        };
        let mut lines: Vec<_> = self.upto.iter().map(entry).collect();
        lines.sort();
        lines.insert(0, line(&lines.len().to_string()));
        lines.concat()
    }

    /// Replaces the file as a whole.
    fn write(&self, layout: &Layout, tmp: &TmpSpace) -> Result<(), StoreError> {
        let aside = tmp.fresh()?;
        let path = layout.removed();
        let written = write_synced(&aside, self.text().as_bytes())
            .and_then(|()| fs::rename(&aside, &path).map_err(StoreError::io("rename", &path)));
        if written.is_err() {
            discard(&aside);
        }
        written?;
        sync_dir(layout.root())
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
    removed.write(layout, tmp)
}

/// Writes the list again without the lines that are damaged.
pub(crate) fn mend_removed(layout: &Layout, tmp: &TmpSpace) -> Result<(), StoreError> {
    let lock = layout.removed_lock();
    let changing = locks::open(&lock)?;
    changing.lock().map_err(|error| locks::refused(&lock, error))?;
    Removed::read(layout)?.write(layout, tmp)
}

/// Forgets what was removed of journals that are gone.
pub(crate) fn tidy_removed(
    layout: &Layout,
    tmp: &TmpSpace,
    is_there: impl Fn(&Identity) -> bool,
) -> Result<(), StoreError> {
    if !layout.removed().exists() {
        return Ok(());
    }
    change(layout, tmp, |removed| removed.tidy(is_there))
}

/// Where the first damage is in what was removed from the cache, if there is any.
pub(crate) fn removed_fault(layout: &Layout) -> Result<Option<u64>, StoreError> {
    Ok(Removed::read_all(layout)?.1)
}

/// A line of the file: a text and a check over it.
fn line(text: &str) -> String {
    format!("{text} {}\n", Digest::of(text.as_bytes()).short())
}

/// The text of a line that fits its check.
fn checked(line: &[u8]) -> Option<&str> {
    let (text, check) = str::from_utf8(line).ok()?.rsplit_once(' ')?;
    (Digest::of(text.as_bytes()).short() == check).then_some(text)
}

/// Journal, position, and key or `*`.
fn parse(text: &str) -> Option<(Identity, Option<Half>, u64)> {
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
