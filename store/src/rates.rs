//! Rates: how many starts there were lately, over all runs of a store.
//!
//! A rate is a file of start times, oldest first, that is only looked at and written under a lock.
//! Nothing is synced: when the power goes, every call that was started goes with it. What a span
//! that outlasts a restart of the machine then lacks is at most what the kernel had not written
//! yet.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
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
use crate::plain::open_plain_with;

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
    let mut options = OpenOptions::new();
    let mut file = open_plain_with(aside, options.write(true).create(true).truncate(true))?;
    file.write_all(&bytes).map_err(StoreError::io("write", aside))?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout(folder: &Path) -> Layout {
        Layout::create(&folder.join("store")).expect("a store")
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).expect("a time")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_span_ever_has_more_starts_than_the_rate(
            starts in 1..6_u32,
            span in 1..50_u64,
            steps in prop::collection::vec(0..20_i64, 1..120),
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let layout = layout(folder.path());
            let limit = Rate { starts, span: Duration::from_millis(span) };
            let (mut now, mut granted) = (0, Vec::new());
            for step in steps {
                now += step;
                match try_rate(&layout, "api", limit, at(now)).expect("an answer") {
                    None => granted.push(now),
                    Some(wait) => {
                        prop_assert!(wait <= limit.span && !wait.is_zero());
                        // Right before that time it is refused, and at that time granted.
                        let wait = i64::try_from(wait.as_millis()).expect("a short wait");
                        let early = try_rate(&layout, "api", limit, at(now + wait - 1));
                        prop_assert!(early.expect("an answer").is_some());
                        now += wait;
                        prop_assert_eq!(try_rate(&layout, "api", limit, at(now)).expect("it"), None);
                        granted.push(now);
                    }
                }
            }
            let span = span.cast_signed();
            for first in &granted {
                let within = granted.iter().filter(|at| (*first..first + span).contains(at)).count();
                prop_assert!(within <= starts as usize);
            }
        }

        #[test]
        fn whatever_the_clock_does_nobody_waits_longer_than_a_span(
            starts in 1..4_u32,
            jumps in prop::collection::vec(-315_360_000_000..315_360_000_000_i64, 1..30),
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let layout = layout(folder.path());
            let limit = Rate { starts, span: Duration::from_secs(60) };
            for now in jumps {
                let wait = try_rate(&layout, "api", limit, at(now)).expect("an answer");
                let Some(wait) = wait else { continue };
                prop_assert!(wait <= limit.span);
                let wait = i64::try_from(wait.as_millis()).expect("a short wait") + 1;
                prop_assert_eq!(try_rate(&layout, "api", limit, at(now + wait)).expect("it"), None);
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_or_damaged_anywhere_costs_one_span_at_most() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = layout(folder.path());
        let limit = Rate { starts: 3, span: Duration::from_secs(60) };
        for now in 0..3 {
            assert_eq!(try_rate(&layout, "api", limit, at(now)).expect("an answer"), None);
        }
        let path = layout.rates().join("api");
        let whole = fs::read(&path).expect("the starts");
        assert_eq!(whole.len(), 3 * RECORD);
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("a write");
            let lost = 3 - cut / RECORD;
            let granted = (0..5)
                .filter(|_| try_rate(&layout, "api", limit, at(10)).expect("an answer").is_none());
            assert_eq!(granted.count(), lost, "cut at {cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 0x40;
            fs::write(&path, &flipped).expect("a write");
            let wait = try_rate(&layout, "api", limit, at(10)).expect("an answer");
            assert!(wait.is_some_and(|wait| wait <= limit.span), "flipped at {cut}");
            assert_eq!(try_rate(&layout, "api", limit, at(60_011)).expect("an answer"), None);
        }
    }

    #[test]
    fn a_long_file_is_shortened_and_keeps_what_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = layout(folder.path());
        ensure_dir(&layout.rates()).expect("a folder");
        let path = layout.rates().join("api");
        let many = i64::try_from(KEEP_MAX).expect("a number");
        let starts: Vec<u8> = (0..many).flat_map(|n| seal(&at(n))).collect();
        fs::write(&path, starts).expect("a write");
        let limit = Rate { starts: 10, span: Duration::from_millis(10) };
        assert_eq!(try_rate(&layout, "api", limit, at(many)).expect("an answer"), None);
        let len = fs::metadata(&path).expect("the file").len();
        assert_eq!(len, KEEP_MAX / 2 * RECORD as u64);
        assert!(try_rate(&layout, "api", limit, at(many)).expect("an answer").is_some());
    }
}
