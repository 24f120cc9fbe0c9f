//! What a journal makes of torn ends, flipped bits and lost bytes.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::run::event::Recorded;
use flow_core::store::{InlinePayload, Journal, StoreError};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{DiskJournal, Header, JournalFile, Observer};
use crate::lease::RunLease;
use crate::testing::{finished, output, payload, run_id, started, succeeded};

struct Deaf;

impl Observer for Deaf {
    fn appended(&self, _: &[InlinePayload]) {}
    fn synced(&self, _: &flow_core::id::RunId, _: u64, _: u64) {}
}

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, header) = Header::new(&run_id("one"), Timestamp::UNIX_EPOCH);
        fs::write(folder.path().join("journal"), header).expect("a journal");
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn open(&self) -> Result<DiskJournal, StoreError> {
        let lease = RunLease::take(self.folder.path()).expect("nobody has it");
        DiskJournal::open(self.path(), lease, Arc::new(Deaf))
    }

    fn records(&self) -> Result<Vec<Recorded>, StoreError> {
        let journal = JournalFile::open(&self.path())?.expect("a journal");
        Ok(journal.records(0)?.0)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).expect("a journal")
    }

    /// Replaces the content in place: making the file anew each time would be slow.
    fn put(&self, bytes: &[u8]) {
        let file = fs::OpenOptions::new().write(true).open(self.path()).expect("a journal");
        file.write_all_at(bytes, 0).expect("a write");
        file.set_len(bytes.len() as u64).expect("a length");
    }
}

/// A journal of three frames, as it is while its process lives or after that was killed: the
/// space behind it is reserved and there is no closing mark. `synced` says after which frames
/// there was a sync.
fn killed(synced: &[usize]) -> (Fixture, Vec<Recorded>, Vec<usize>) {
    let fixture = Fixture::new();
    let mut journal = fixture.open().expect("a journal");
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    for n in 0..3 {
        // The last frame is the smallest, because the tests go through each of its bytes.
        let (records, payloads) = match n {
            2 => (vec![started(n), finished(n)], vec![]),
            _ => (vec![started(n), succeeded(n, &output(n))], vec![payload(&output(n))]),
        };
        let end = journal.append(&records, &payloads).expect("an append");
        all.extend(records);
        ends.push(usize::try_from(end.0).expect("a small journal"));
        if synced.contains(&all.len()) {
            journal.syncer().sync().expect("a sync");
        }
    }
    let bytes = fixture.bytes();
    drop(journal);
    fixture.put(&bytes);
    (fixture, all, ends)
}

fn is_damaged(error: &StoreError, path: &Path) -> bool {
    matches!(error, StoreError::Damaged { path: at, .. } if at == path)
}

#[test]
fn a_frame_torn_at_any_byte_is_dropped_and_the_journal_goes_on() {
    let (fixture, all, ends) = killed(&[2, 4]);
    let whole = fixture.bytes();
    for cut in ends[1]..ends[2] {
        // The rest of the frame is either not there or still the zeros of reserved space.
        let mut zeroed = whole.clone();
        zeroed[cut..].fill(0);
        for torn in [&whole[..cut], &zeroed] {
            fixture.put(torn);
            assert_eq!(fixture.records().expect("a torn end is no damage"), all[..4], "{cut}");
        }
        // Taking over costs two syncs, so it is tried less often than reading.
        if (cut - ends[1]) % 16 > 0 {
            continue;
        }
        let mut journal = fixture.open().expect("a torn end is dropped");
        assert_eq!(journal.replay().expect("records"), all[..4], "{cut}");
        journal.append(&[finished(9)], &[]).expect("it goes on");
        drop(journal);
        let records = fixture.records().expect("records");
        assert_eq!(records[..4], all[..4]);
        assert_eq!(records[4..], [finished(9)]);
    }
}

#[test]
fn blocks_that_reached_the_disk_out_of_order_are_a_torn_end() {
    // Nothing was synced after the first frame, so the second may be missing though the third is
    // there.
    let (fixture, all, ends) = killed(&[2]);
    let mut bytes = fixture.bytes();
    bytes[ends[0]..ends[1]].fill(0);
    fixture.put(&bytes);
    assert_eq!(fixture.records().expect("a torn end is no damage"), all[..2]);
    let journal = fixture.open().expect("a torn end is dropped");
    assert_eq!(journal.replay().expect("records"), all[..2]);
    drop(journal);
    assert_eq!(fixture.bytes().len(), ends[0]);
}

#[test]
fn a_durable_frame_that_is_gone_is_damage_and_not_the_end() {
    let (fixture, _, ends) = killed(&[2, 4, 6]);
    let whole = fixture.bytes();
    for (from, to) in [(super::HEADER_LEN as usize, ends[0]), (ends[0], ends[1])] {
        for fill in [0, 0xFF] {
            let mut bytes = whole.clone();
            bytes[from..to].fill(fill);
            fixture.put(&bytes);
            let error = fixture.records().expect_err("a durable frame is gone");
            let at = matches!(error, StoreError::Damaged { offset, .. } if offset == from as u64);
            assert!(at, "{error}");
            assert!(fixture.open().is_err());
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_never_gives_a_wrong_record() {
    let (fixture, all, ends) = killed(&[2, 4]);
    let whole = fixture.bytes()[..ends[2]].to_vec();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fixture.put(&bytes);
        match fixture.records() {
            Ok(records) => {
                assert!(all.starts_with(&records), "byte {at}");
                assert!(records.len() >= 4, "a durable record was lost without a word: byte {at}");
            }
            Err(error) => assert!(refuses(&error, &fixture.path()), "byte {at}: {error}"),
        }
    }
}

/// Damage, or a version number that was made larger by it.
fn refuses(error: &StoreError, path: &Path) -> bool {
    is_damaged(error, path) || matches!(error, StoreError::TooNew { .. })
}

#[test]
fn a_flipped_bit_in_a_journal_that_was_closed_is_always_found() {
    let (fixture, all, ends) = killed(&[2, 4, 6]);
    drop(fixture.open().expect("it is taken up and closed"));
    let whole = fixture.bytes();
    assert_eq!(whole.len(), ends[2]);
    assert_eq!(fixture.records().expect("it is whole"), all);
    for at in super::HEADER_LEN as usize..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fixture.put(&bytes);
        let error = fixture.records().expect_err("a flipped bit");
        assert!(is_damaged(&error, &fixture.path()), "byte {at}: {error}");
    }
}

#[test]
fn a_journal_cut_at_any_length_loses_only_its_end_or_says_so() {
    let (fixture, all, ends) = killed(&[2, 4, 6]);
    let whole = fixture.bytes()[..ends[2]].to_vec();
    for len in 0..whole.len() {
        fixture.put(&whole[..len]);
        match fixture.records() {
            Ok(records) => assert!(all.starts_with(&records), "{len}"),
            Err(error) => {
                assert!(is_damaged(&error, &fixture.path()), "{len}: {error}");
                assert!(len < super::HEADER_LEN as usize, "{len}: {error}");
            }
        }
    }
}

#[test]
fn a_journal_that_was_closed_and_cut_is_damaged_at_any_length() {
    let (fixture, ..) = killed(&[2, 4, 6]);
    drop(fixture.open().expect("it is taken up and closed"));
    let whole = fixture.bytes();
    for len in 0..whole.len() {
        fixture.put(&whole[..len]);
        let error = fixture.records().expect_err("it was cut");
        assert!(is_damaged(&error, &fixture.path()), "{len}: {error}");
        let error = fixture.open().err().expect("it was cut");
        assert!(is_damaged(&error, &fixture.path()), "{len}: {error}");
    }
}

#[test]
fn an_inline_payload_that_looks_like_a_frame_is_only_a_payload() {
    let (other, ..) = killed(&[2, 4, 6]);
    let frames = other.bytes();
    let fixture = Fixture::new();
    let mut journal = fixture.open().expect("a journal");
    journal.append(&[started(1)], &[]).expect("an append");
    let bytes = [payload(&frames[..4096])];
    let end = journal.append(&[], &bytes).expect("an append");
    let bytes = fixture.bytes();
    drop(journal);
    // The frame that holds the other journal is torn at its end.
    let end = usize::try_from(end.0).expect("a small journal");
    fixture.put(&bytes[..end - 1]);
    assert_eq!(fixture.records().expect("a torn end is no damage"), [started(1)]);
}

#[test]
fn a_journal_of_another_run_does_not_continue_this_one() {
    let (a, _, ends_a) = killed(&[2, 4, 6]);
    let (b, _, ends_b) = killed(&[2, 4, 6]);
    let (a_bytes, b_bytes) = (a.bytes(), b.bytes());
    let mixed = [&a_bytes[..ends_a[0]], &b_bytes[ends_b[0]..]].concat();
    a.put(&mixed);
    assert_eq!(a.records().expect("the rest is not its own").len(), 2);
}

#[test]
fn after_a_failed_write_nothing_more_is_accepted() {
    let fixture = Fixture::new();
    let mut journal = fixture.open().expect("a journal");
    let syncer = journal.syncer();
    journal.append(&[started(1)], &[]).expect("an append");
    fs::remove_file(fixture.path()).expect("the journal is removed");
    assert!(syncer.sync().is_err(), "what has no name is not durable");
    assert!(syncer.sync().is_err());
    assert!(journal.append(&[started(2)], &[]).is_err());
    assert!(journal.replay().is_err());
}

#[test]
fn a_reader_never_takes_a_growing_journal_for_a_damaged_one() {
    let fixture = Fixture::new();
    let mut journal = fixture.open().expect("a journal");
    let syncer = journal.syncer();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut last, mut reads) = (0, 0);
            while !done.load(std::sync::atomic::Ordering::Acquire) || reads == 0 {
                let records = fixture.records().expect("it is whole at any time");
                assert!(records.len() >= last);
                assert!(records.iter().zip(0..).all(|(record, n)| *record == started(n)));
                last = records.len();
                reads += 1;
            }
        });
        for n in 0..2000 {
            journal.append(&[started(n)], &[]).expect("an append");
            if n % 7 == 0 {
                syncer.sync().expect("a sync");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        reading.join().expect("the reader is content");
    });
    assert_eq!(fixture.records().expect("records").len(), 2000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_appended_in_whatever_pieces_comes_back(
        pieces in prop::collection::vec((0usize..6, 0usize..3, 0usize..9000, any::<bool>()), 0..12),
    ) {
        let fixture = Fixture::new();
        let mut journal = fixture.open().expect("a journal");
        let mut all = Vec::new();
        for (n, (records, payloads, size, reopen)) in pieces.into_iter().enumerate() {
            let first = n as u64 * 10;
            let records: Vec<_> = (0..records as u64).map(|i| started(first + i)).collect();
            let payloads: Vec<_> = (0..payloads).map(|i| payload(&vec![i as u8; size])).collect();
            let before = journal.end();
            let after = journal.append(&records, &payloads).expect("an append").0;
            prop_assert_eq!(after > before, !records.is_empty() || !payloads.is_empty());
            all.extend(records);
            if reopen {
                drop(journal);
                journal = fixture.open().expect("the journal");
            }
            prop_assert_eq!(&journal.replay().expect("records"), &all);
        }
        prop_assert_eq!(&fixture.records().expect("records"), &all);
    }
}
