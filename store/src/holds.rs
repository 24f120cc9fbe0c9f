//! What attempts of all runs have one at a time, or so many at a time: flights and pools.
//!
//! A flight is a lock on one byte of a file, whose place is the hash of the key. A place in a pool
//! is a lock on a small file of its own. Nothing is written, so nothing is left behind that a later
//! process would have to judge.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::id::check_identifier;
use flow_core::store::{Hold, StoreError};

use crate::files::ensure_dir;
use crate::layout::Layout;
use crate::plain::open_plain;
use crate::{locks, platform};

/// An open file whose lock lasts as long as it is open.
struct Held {
    _file: File,
}

impl Hold for Held {}

fn held(file: File) -> Box<dyn Hold> {
    Box::new(Held { _file: file })
}

/// Length of the note in a place that is taken.
const NOTE_LENGTH: usize = 128;

/// Name of the lock under which the places of a pool are looked at.
const COUNTER: &str = "lock";

/// The right to work on a key.
pub(crate) fn try_flight(
    layout: &Layout,
    key: &Digest,
) -> Result<Option<Box<dyn Hold>>, StoreError> {
    let path = layout.flights();
    // Two keys with the same place only wait for each other.
    let place = key.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Ok(platform::lock_place(&path, place)?.map(held))
}

/// A place in a pool.
pub(crate) fn try_pool(
    layout: &Layout,
    pool: &str,
    size: u32,
) -> Result<Option<Box<dyn Hold>>, StoreError> {
    check_shared_name(pool, "pool")?;
    if size == 0 {
        return Ok(None);
    }
    ensure_dir(&layout.pools())?;
    let folder = layout.pools().join(pool);
    ensure_dir(&folder)?;
    // The places are counted by one at a time, so that two that come at once cannot both take the
    // last one, nor each keep the other from it.
    let Some(counting) = locks::briefly(&folder.join(COUNTER))? else { return Ok(None) };
    let place = take_place(&folder, size);
    drop(counting);
    place
}

fn take_place(folder: &Path, size: u32) -> Result<Option<Box<dyn Hold>>, StoreError> {
    // Places from a time when the pool was larger count as long as they are taken.
    let beyond = count_beyond(folder, size)?;
    for number in 0..size {
        let path = folder.join(number.to_string());
        let file = locks::open(&path)?;
        if !locks::try_lock(&file, &path)? {
            continue;
        }
        // Of one length for all, so that no file has to be cut for it; only people read it.
        let note = format!("{:<NOTE_LENGTH$.NOTE_LENGTH$}", locks::own_note());
        file.write_all_at(note.as_bytes(), 0).map_err(StoreError::io("write", &path))?;
        let full = beyond > 0 && beyond + number + count_taken(folder, number + 1..size)? >= size;
        return Ok((!full).then(|| held(file)));
    }
    Ok(None)
}

/// Who has the places of a pool.
pub(crate) fn pool_holders(layout: &Layout, pool: &str) -> Result<Vec<String>, StoreError> {
    check_shared_name(pool, "pool")?;
    let mut holders = Vec::new();
    for path in places(&layout.pools().join(pool))? {
        let Some(file) = open_plain(&path)? else { continue };
        if path.ends_with(COUNTER) || file.try_lock_shared().is_ok() {
            continue;
        }
        let mut note = String::new();
        file.take(NOTE_LENGTH as u64)
            .read_to_string(&mut note)
            .map_err(StoreError::io("read", &path))?;
        holders.push(locks::with_state(note.trim_end()));
    }
    Ok(holders)
}

fn count_taken(folder: &Path, places: std::ops::Range<u32>) -> Result<u32, StoreError> {
    let mut taken = 0;
    for number in places {
        let path = folder.join(number.to_string());
        taken += u32::from(path.exists() && !locks::try_lock(&locks::open(&path)?, &path)?);
    }
    Ok(taken)
}

/// How many places with a number of at least `size` are taken; free ones are cleared away.
fn count_beyond(folder: &Path, size: u32) -> Result<u32, StoreError> {
    let mut taken = 0;
    for path in places(folder)? {
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        if number.is_none_or(|number| number < size) {
            continue;
        }
        // Nobody opens a place without the lock of the counter.
        if locks::try_lock(&locks::open(&path)?, &path)? {
            crate::files::discard(&path);
        } else {
            taken += 1;
        }
    }
    Ok(taken)
}

fn places(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(folder).map_err(StoreError::io("read", folder))?;
    let path = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.path());
    entries.map(path).collect::<Result<_, _>>().map_err(StoreError::io("read", folder))
}

/// Refuses a name that is no identifier, because it becomes the name of a file.
pub(crate) fn check_shared_name(name: &str, kind: &'static str) -> Result<(), StoreError> {
    let refuse = |error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
    let long = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "the name is too long");
    check_identifier(name, kind).map_err(|error| StoreError::io("use", name)(refuse(error)))?;
    if name.len() > 128 { Err(StoreError::io("use", name)(long())) } else { Ok(()) }
}
