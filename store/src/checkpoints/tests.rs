//! The checkpoint database may be in any state: decisions stay the same.

use std::fs;
use std::path::{Path, PathBuf};

use flow_core::store::{Store, StoreError};

use crate::DiskStore;
use crate::conformance::{check_all, make_run};
use crate::testing::{json_ref, key, payload, run_id, succeed, succeeded, task};

const TASKS: std::ops::Range<u64> = 0..300;

struct Fixture {
    _folder: tempfile::TempDir,
    dir: PathBuf,
}

impl Fixture {
    /// A store with a finished run whose checkpoints are in the database.
    fn with_run() -> Self {
        let fixture = Self::empty();
        make_run(&fixture.open(), "one", TASKS);
        fixture
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("store");
        Self { _folder: folder, dir }
    }

    fn open(&self) -> DiskStore {
        DiskStore::create(&self.dir).expect("the store")
    }

    fn database(&self) -> PathBuf {
        self.dir.join("checkpoints")
    }

    /// Opens the store and finds every checkpoint and payload.
    fn check(&self) -> DiskStore {
        let store = self.open();
        check_all(&store, "one", TASKS);
        assert_eq!(store.checkpoint(&run_id("one"), &task(1), &key(2)).expect("an answer"), None);
        store
    }

    /// Takes the run up, as a resume does, so that the database takes over what it lacks.
    fn resume(&self) {
        let store = self.open();
        drop(store.open_run(&run_id("one")).expect("the run"));
        store.flush();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_finished_run_is_answered_by_the_database_alone() {
    let fixture = Fixture::with_run();
    let stats = fixture.check().stats();
    // One lookup is for a key that does not exist, which the journal has to confirm.
    assert_eq!(stats.database_gets, 2 * 300 + 1);
    assert_eq!(stats.database_hits, 2 * 300);
    assert_eq!(stats.journal_hits, 0);
    assert_eq!(stats.database_repairs, 0);
    assert_eq!(files(&fixture.database().join("blobs")), Vec::<PathBuf>::new());
}

#[test]
fn without_its_folder_the_database_is_made_anew_from_the_journals() {
    let fixture = Fixture::with_run();
    fs::remove_dir_all(fixture.database()).expect("it goes");
    let stats = fixture.check().stats();
    assert_eq!((stats.database_hits, stats.journal_hits), (0, 300));
    fixture.resume();
    assert_eq!(fixture.check().stats().journal_hits, 0);
}

#[test]
fn a_damaged_database_changes_no_answer() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 7] = [
        ("no data", |dir| fs::write(dir.join("db"), b"").expect("a write")),
        ("half the data", |dir| {
            let bytes = fs::read(dir.join("db")).expect("the data");
            fs::write(dir.join("db"), &bytes[..bytes.len() / 2]).expect("a write");
        }),
        ("other data", |dir| fs::write(dir.join("db"), vec![0xA5; 600_000]).expect("a write")),
        ("garbage as a snapshot", |dir| {
            fs::write(dir.join("snap.00000000FFFFFFFF"), b"garbage").expect("a write");
        }),
        ("a snapshot half made", |dir| {
            fs::write(dir.join("snap.0000000000000001.generating"), b"").expect("a write");
        }),
        ("no configuration", |dir| fs::remove_file(dir.join("conf")).expect("it goes")),
        ("an empty folder", |dir| {
            fs::remove_dir_all(dir).expect("it goes");
            fs::create_dir(dir).expect("a folder");
        }),
    ];
    for (name, harm) in harms {
        let fixture = Fixture::with_run();
        harm(&fixture.database());
        drop(fixture.check());
        fixture.resume();
        let stats = fixture.check().stats();
        assert_eq!(stats.journal_hits, 0, "{name}: the database has everything again");
    }
}

#[test]
fn a_flipped_bit_in_the_database_changes_no_answer() {
    let fixture = Fixture::with_run();
    let path = fixture.database().join("db");
    let whole = fs::read(&path).expect("the data");
    for step in 0..40 {
        let mut bytes = whole.clone();
        bytes[whole.len() * step / 40 + 7] ^= 4;
        fs::write(&path, &bytes).expect("a write");
        drop(fixture.check());
    }
}

#[test]
fn a_database_that_was_never_finished_is_cleared_away() {
    let fixture = Fixture::empty();
    drop(fixture.open());
    let leftover = fixture.dir.join("checkpoints.new-1-2-3");
    fs::create_dir(&leftover).expect("a folder");
    fs::write(leftover.join("conf"), b"half").expect("a file");
    make_run(&fixture.open(), "one", TASKS);
    assert!(!leftover.exists());
    assert_eq!(fixture.check().stats().journal_hits, 0);
}

#[test]
fn while_another_process_has_the_database_the_journals_answer() {
    let fixture = Fixture::empty();
    let holder = fixture.open();
    make_run(&holder, "other", 0..1);
    let second = fixture.open();
    make_run(&second, "one", TASKS);
    check_all(&second, "one", TASKS);
    assert_eq!(second.stats().database_hits, 0);
    second.flush();
    drop(second);
    drop(holder);
    fixture.resume();
    assert_eq!(fixture.check().stats().journal_hits, 0);
}

#[test]
fn an_older_copy_of_a_journal_is_noticed() {
    let fixture = Fixture::empty();
    let run = run_id("one");
    let store = fixture.open();
    let mut journal = store.create_run(&run, &[]).expect("a run");
    succeed(&mut *journal, 0..10);
    drop(journal);
    let path = store.run_dir(&run).join("journal");
    let copy = fs::read(&path).expect("the journal");
    let mut journal = store.open_run(&run).expect("the run");
    succeed(&mut *journal, 10..20);
    drop(journal);
    drop(store);
    fs::write(&path, &copy).expect("the copy is put back");
    let store = fixture.open();
    let error = store.checkpoint(&run, &task(3), &key(3)).expect_err("it is an older copy");
    assert!(matches!(&error, StoreError::Damaged { path: at, .. } if *at == path), "{error}");
    drop(store);
    // The way out that the message names.
    fs::remove_dir_all(fixture.database()).expect("it goes");
    check_all(&fixture.open(), "one", 0..10);
}

#[test]
fn a_run_made_again_under_the_same_id_sees_nothing_of_the_first() {
    let fixture = Fixture::with_run();
    fs::remove_dir_all(fixture.dir.join("runs/one")).expect("it goes");
    let store = fixture.open();
    make_run(&store, "one", 0..1);
    store.flush();
    let found = store.checkpoint(&run_id("one"), &task(7), &key(7)).expect("an answer");
    assert_eq!(found, None);
    check_all(&store, "one", 0..1);
}

#[test]
fn checkpoints_of_every_size_stay_below_the_limit_of_a_value() {
    let fixture = Fixture::empty();
    let store = fixture.open();
    let run = run_id("one");
    let mut journal = store.create_run(&run, &[]).expect("a run");
    let sizes = [1, 900, 1024, 1025, 2500, 2800, 3000, 3500, 9000, 65_536];
    let record = |n: u64, size: usize| {
        let mut record = succeeded(n, b"1");
        if let flow_core::run::event::Event::Succeeded { outputs, .. } = &mut record.event {
            outputs.insert("x".repeat(size), json_ref(b"1"));
        }
        record
    };
    for (n, size) in (0..).zip(sizes) {
        let bytes = payload(&vec![b'7'; size]);
        journal.append(&[record(n, size)], &[bytes]).expect("an append");
    }
    journal.syncer().sync().expect("a sync");
    drop(journal);
    drop(store);
    let store = fixture.open();
    for (n, size) in (0..).zip(sizes) {
        let found = store.checkpoint(&run, &task(n), &key(n)).expect("an answer");
        let expected = flow_core::store::Checkpoint::of(&run, &record(n, size));
        assert_eq!(found, expected, "{size}");
        let bytes = vec![b'7'; size];
        assert_eq!(*store.payload(&run, &json_ref(&bytes)).expect("it"), *bytes);
    }
    assert_eq!(store.stats().journal_hits, 0);
    assert_eq!(files(&fixture.database().join("blobs")), Vec::<PathBuf>::new());
}
