//! A repair sets right what can be, and removes nothing that was recorded.

use std::fs;
use std::path::Path;

use flow_core::digest::Digest;
use flow_core::store::Store;

use super::verify_tests::{findings, small_store};
use super::{FindingKind, Repairs};
use crate::DiskStore;
use crate::conformance::check_all;
use crate::testing::run_id;

fn repair(dir: &Path) -> Repairs {
    let store = DiskStore::open(dir).expect("the store");
    store.repair(&mut |_| {}, &mut |_| {}).expect("a repair")
}

fn kinds(dir: &Path) -> Vec<FindingKind> {
    findings(dir).iter().map(|finding| finding.kind).collect()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).expect("it goes");
    fs::write(path, bytes).expect("a write");
}

#[test]
fn a_whole_store_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    assert_eq!(repair(&dir), Repairs::default());
}

#[test]
fn a_torn_end_is_dropped_and_all_before_it_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let before = DiskStore::open(&dir).expect("it").read_run(&run_id("one")).expect("records");
    let journal = dir.join("runs/one/journal");
    let mut bytes = fs::read(&journal).expect("the journal");
    bytes.extend(b"half a frame");
    overwrite(&journal, &bytes);
    assert_eq!(repair(&dir), Repairs { torn_ends: 1, ..Repairs::default() });
    assert_eq!(findings(&dir), []);
    let after = DiskStore::open(&dir).expect("it").read_run(&run_id("one")).expect("records");
    assert_eq!(before, after);
}

#[test]
fn a_damaged_object_is_moved_away_and_can_be_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let digest = Digest::of(b"content of one");
    let path = DiskStore::open(&dir).expect("it").object(&digest).expect("the object");
    overwrite(&path, b"content of two");
    assert_eq!(repair(&dir), Repairs { objects: 1, ..Repairs::default() });
    assert_eq!(fs::read_dir(dir.join("quarantine")).expect("a folder").count(), 1);
    let found = kinds(&dir);
    assert!(found.contains(&FindingKind::Missing) && !found.contains(&FindingKind::Object));
    let store = DiskStore::open(&dir).expect("the store");
    store.put_bytes(b"content of one").expect("it is made again");
    assert_eq!(kinds(&dir), [FindingKind::Stray], "what was put aside is told");
}

#[test]
fn a_damaged_journal_stays_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let journal = dir.join("runs/one/journal");
    let mut bytes = fs::read(&journal).expect("the journal");
    bytes[400] ^= 1;
    overwrite(&journal, &bytes);
    assert_eq!(repair(&dir), Repairs::default());
    assert_eq!(fs::read(&journal).expect("it is there"), bytes);
    assert!(kinds(&dir).contains(&FindingKind::Journal));
}

#[test]
fn a_damaged_database_is_made_again_from_all_journals() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    crate::conformance::make_run(&DiskStore::open(&dir).expect("it"), "two", 0..200);
    fs::write(dir.join("checkpoints/db"), vec![0xA5; 600_000]).expect("a write");
    assert_eq!(repair(&dir), Repairs { database: true, ..Repairs::default() });
    assert_eq!(kinds(&dir), [FindingKind::Stray], "what was put aside is told");
    let store = DiskStore::open(&dir).expect("the store");
    check_all(&store, "two", 0..200);
    assert_eq!((store.stats().journal_hits, store.stats().database_hits), (0, 400));
}
