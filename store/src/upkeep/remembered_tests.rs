//! A file that an attempt remembers is part of its run until the task has succeeded.

use std::fs;

use flow_core::run::event::Event;
use flow_core::run::memory::Kept;
use flow_core::store::Store;

use super::verify_tests::{findings, small_store};
use super::{FindingKind, Retention};
use crate::DiskStore;
use crate::testing::{key, record, run_id, started, succeed, task};

#[test]
fn a_remembered_file_is_kept_exported_and_checked_until_its_task_succeeds() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let store = DiskStore::open(&dir).expect("the store");
    let digest = store.put_bytes(b"the first half of a download").expect("an object");
    store.settle().expect("a sync");
    let mut journal = store.open_run(&run_id("one")).expect("the run");
    let (name, kept) = ("part".to_owned(), Kept::File { digest, size: 28 });
    let remembered = Event::Remembered { task: task(40), key: key(40), name, kept };
    journal.append(&[started(40), record(41, remembered)], &[]).expect("an append");
    journal.syncer().sync().expect("a sync");
    drop((journal, store));
    let store = DiskStore::open(&dir).expect("the store");
    assert_eq!(store.gc(&Retention::default(), false).expect("a collection").objects, 0);
    let package = folder.path().join("one.flow");
    store.export(&run_id("one"), &package).expect("an export");
    let other = DiskStore::create(&folder.path().join("other")).expect("a store");
    other.import(&package).expect("an import");
    let copy = fs::read(other.object(&digest).expect("the object")).expect("its bytes");
    assert_eq!(copy, b"the first half of a download");
    let object = store.object(&digest).expect("the object");
    drop(store);
    assert_eq!(findings(&dir), []);
    fs::remove_file(object).expect("it goes");
    let found = findings(&dir);
    let [missing] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((missing.kind, &missing.task), (FindingKind::Missing, &Some(task(40))));
    assert_eq!(missing.reason, "the object is missing: a file that it remembers as `part`");
    let store = DiskStore::open(&dir).expect("the store");
    succeed(&mut *store.open_run(&run_id("one")).expect("the run"), 40..41);
    drop(store);
    assert_eq!(findings(&dir), []);
}
