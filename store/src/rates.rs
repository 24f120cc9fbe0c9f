//! Rates: how many starts there were lately, over all runs of a store.
//!
//! A rate is a file of start times, oldest first, that is only looked at and written under a lock.
//! Nothing is synced: when the power goes, every call that was started goes with it. What a span
//! that outlasts a restart of the machine then lacks is at most what the kernel had not written
//! yet.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::store::{Rate, StoreError};
use jiff::{SignedDuration, Timestamp};

use crate::files::{discard, ensure_dir};
use crate::holds::check_shared_name;
use crate::journal::short;
use crate::layout::Layout;
use crate::locks;

/// Seconds, nanoseconds, and a check over these.
const RECORD: usize = 16;

/// A file with more records is cut to the newest of them.
const KEEP_MAX: u64 = 64 * 1024;

/// When to ask again if others are asking all the time.
const BUSY: Duration = Duration::from_millis(20);

/// Grants a start and notes it, or tells the time after which to ask again.
pub(crate) fn try_rate(
    layout: &Layout,
    rate: &str,
    limit: Rate,
    now: Timestamp,
) -> Result<Option<Duration>, StoreError> {
    check_shared_name(rate, "rate")?;
    if limit.starts == 0 {
        return Ok(Some(limit.span.max(BUSY)));
    }
    ensure_dir(&layout.rates())?;
    let path = layout.rates().join(rate);
    let lock = layout.rates().join(format!("{rate}.lock"));
    let Some(asking) = locks::briefly(&lock)? else { return Ok(Some(BUSY.min(limit.span))) };
    let answer = Starts::open(path)?.ask(limit, now);
    drop(asking);
    answer
}

/// The file of a rate, while its lock is held.
struct Starts {
    file: File,
    path: PathBuf,
    /// Whole records.
    len: u64,
}

impl Starts {
    fn open(path: PathBuf) -> Result<Self, StoreError> {
        let file = locks::open(&path)?;
        let size = file.metadata().map_err(StoreError::io("read", &path))?.len();
        // What is written next takes the place of a record that was cut short.
        Ok(Self { file, path, len: size / RECORD as u64 })
    }

    fn ask(mut self, limit: Rate, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        let first = self.len.saturating_sub(u64::from(limit.starts));
        let mut starts = self.read(first)?;
        if starts.iter().any(|start| *start > now) {
            // The clock was set back. Starts that seem to lie ahead count from now on, else they
            // would count for as long as the clock was ahead.
            starts.iter_mut().for_each(|start| *start = now.min(*start));
            self.write(first, &starts)?;
        }
        let span = SignedDuration::try_from(limit.span).unwrap_or(SignedDuration::MAX);
        if starts.len() >= limit.starts as usize
            && let Some(start) = starts.first()
            && let Some(left) = left_of(span, now.duration_since(*start))
        {
            return Ok(Some(left));
        }
        let len = self.len;
        self.write(len, &[now])?;
        if self.len > KEEP_MAX.max(2 * u64::from(limit.starts)) {
            self.shorten(u64::from(limit.starts))?;
        }
        Ok(None)
    }

    /// The starts from record `first` on. One that does not fit its check may have been at any time,
    /// and is taken to lie ahead.
    fn read(&self, first: u64) -> Result<Vec<Timestamp>, StoreError> {
        let count = usize::try_from(self.len - first).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count * RECORD];
        self.file
            .read_exact_at(&mut bytes, first * RECORD as u64)
            .map_err(StoreError::io("read", &self.path))?;
        let (records, _) = bytes.as_chunks::<RECORD>();
        Ok(records.iter().map(|record| unseal(record).unwrap_or(Timestamp::MAX)).collect())
    }

    /// Writes records from `first` on, which are the last ones then.
    fn write(&mut self, first: u64, starts: &[Timestamp]) -> Result<(), StoreError> {
        let bytes: Vec<u8> = starts.iter().flat_map(seal).collect();
        self.file
            .write_all_at(&bytes, first * RECORD as u64)
            .map_err(StoreError::io("write", &self.path))?;
        let len = first + starts.len() as u64;
        self.cut(len)
    }

    fn cut(&mut self, len: u64) -> Result<(), StoreError> {
        self.len = len;
        self.file.set_len(len * RECORD as u64).map_err(StoreError::io("cut", &self.path))
    }

    /// Keeps the newest records only, by way of a new file.
    fn shorten(&self, starts: u64) -> Result<(), StoreError> {
        let kept = self.read(self.len.saturating_sub(starts.max(KEEP_MAX / 2)))?;
        let aside = self.path.with_extension("new");
        let replaced = replace(&aside, &self.path, &kept);
        if replaced.is_err() {
            discard(&aside);
        }
        replaced
    }
}

fn replace(aside: &Path, path: &Path, starts: &[Timestamp]) -> Result<(), StoreError> {
    let bytes: Vec<u8> = starts.iter().flat_map(seal).collect();
    fs::write(aside, bytes).map_err(StoreError::io("write", aside))?;
    fs::rename(aside, path).map_err(StoreError::io("rename", path))
}

/// What is left of `span` after `gone`; `None` if it is over.
fn left_of(span: SignedDuration, gone: SignedDuration) -> Option<Duration> {
    let left = span.checked_sub(gone)?;
    left.is_positive().then(|| left.unsigned_abs())
}

fn seal(start: &Timestamp) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&start.as_second().to_le_bytes());
    record[8..12].copy_from_slice(&start.subsec_nanosecond().to_le_bytes());
    let check = short(&blake3::hash(&record[..12]));
    record[12..].copy_from_slice(&check[..4]);
    record
}

fn unseal(record: &[u8; RECORD]) -> Option<Timestamp> {
    let (value, check) = record.split_at(12);
    if short(&blake3::hash(value))[..4] != *check {
        return None;
    }
    let second = i64::from_le_bytes(*value.first_chunk()?);
    let nanosecond = i32::from_le_bytes(*value.last_chunk()?);
    Timestamp::new(second, nanosecond).ok()
}
