//! What is kept for people is checked, and never gets in the way of anything.

use std::fs;
use std::path::PathBuf;

use flow_core::digest::Digest;
use flow_core::run::event::{Event, KeptOutput};
use flow_core::store::Store;

use super::{Finding, FindingKind};
use crate::DiskStore;
use crate::testing::{record, run_id, task};

/// A store with a run that has written this to its file `out`, and says so of each of the records.
struct Written {
    store: DiskStore,
    out: PathBuf,
    _folder: tempfile::TempDir,
}

impl Written {
    fn new(bytes: &[u8], kept: Vec<KeptOutput>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = DiskStore::create(&folder.path().join("store")).expect("a store");
        let mut journal = store.create_run(&run_id("one"), &[]).expect("a run");
        let output = store.run_dir(&run_id("one")).join("output");
        fs::create_dir_all(&output).expect("a folder");
        let out = output.join("out");
        fs::write(&out, bytes).expect("a file");
        let told = Event::OutputKept { task: task(1), attempt: 1, kept };
        journal.append(&[record(1, told)], &[]).expect("an append");
        journal.syncer().sync().expect("a sync");
        drop(journal);
        Self { store, out, _folder: folder }
    }

    /// What a check finds of such files, with its place.
    fn found(&self) -> Vec<(FindingKind, Option<u64>)> {
        let mut found = Vec::new();
        let mut report = |finding: Finding| found.push((finding.kind, finding.offset));
        self.store.verify(&mut report, &mut |_| {}).expect("a check");
        let kinds = [FindingKind::Captured, FindingKind::Log, FindingKind::Cut];
        found.retain(|(kind, _)| kinds.contains(kind));
        found
    }
}

fn kept(file: &str, at: u64, bytes: &[u8]) -> KeptOutput {
    let length = bytes.len() as u64;
    KeptOutput { file: file.into(), at, bytes: length, digest: Digest::of(bytes) }
}

#[test]
fn what_was_changed_is_told_from_what_is_not_there() {
    let text: Vec<u8> = (0..3000_u32).map(|n| b'a' + u8::try_from(n % 26).unwrap_or(0)).collect();
    let written = Written::new(&text, vec![kept("out", 100, &text[100..])]);
    assert_eq!(written.found(), []);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = text.clone();
        change(&mut bytes);
        fs::write(&written.out, bytes).expect("a file");
        written.found()
    };
    let (changed, cut) = (FindingKind::Captured, FindingKind::Cut);
    assert_eq!(with(&|bytes| bytes[50] ^= 1), [], "this is not of the attempt");
    assert_eq!(with(&|bytes| bytes[700] ^= 1), [(changed, Some(100))]);
    assert_eq!(with(&|bytes| bytes.truncate(2000)), [(cut, Some(2000))]);
    assert_eq!(with(&|bytes| bytes.truncate(20)), [(cut, Some(100))]);
    assert_eq!(with(&|bytes| bytes[512..1024].fill(0)), [(cut, Some(100))], "a sector is lost");
    assert_eq!(with(&|bytes| bytes[2800..].fill(0)), [(cut, Some(100))], "so is the end");
    assert_eq!(with(&|bytes| bytes[600..700].fill(0)), [(changed, Some(100))]);
    fs::remove_file(&written.out).expect("the file");
    assert_eq!(written.found(), [(cut, Some(100))]);
}

#[test]
fn what_no_attempt_can_have_written_is_passed_over() {
    let outside = kept("../journal", 0, b"x");
    let beyond = KeptOutput { at: u64::MAX - 1, ..kept("out", 0, b"xyz") };
    let signed = KeptOutput { at: i64::MAX.unsigned_abs(), ..kept("out", 0, b"x") };
    assert_eq!(Written::new(b"text", vec![outside, beyond, signed]).found(), []);
}

#[test]
fn a_log_of_anything_at_all_is_looked_at_in_bounded_time_and_memory() {
    let written = Written::new(b"", Vec::new());
    let log = written.store.logs_dir().join("pipeline.log");
    // A check at the end of beginnings of lines without end.
    let mut junk = r#"{"ts":"#.repeat(1 << 20);
    junk.push_str("\",\"check\":\"0123456789ab\"}\n");
    fs::write(&log, &junk).expect("a log");
    assert_eq!(written.found(), [(FindingKind::Log, Some(0))]);
    // A line that is longer than what is read at once.
    fs::File::create(&log).and_then(|file| file.set_len(40 << 20)).expect("a log");
    assert_eq!(written.found(), [(FindingKind::Cut, Some(0))]);
}
