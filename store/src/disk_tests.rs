//! What only the store on disk does.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::conformance::make_run;
use crate::testing::{artifact, run_id, started, succeed};

crate::conformance::conformance_tests!(|folder: &Path| store_in(folder));

fn store_in(folder: &Path) -> DiskStore {
    DiskStore::create(&folder.join("store")).expect("a store")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_folder_is_a_store_only_once_it_was_made_one() {
    let folder = folder();
    let dir = folder.path().join("store");
    assert!(matches!(DiskStore::open(&dir), Err(StoreError::NoStore(path)) if path == dir));
    drop(DiskStore::create(&dir).expect("a store"));
    drop(DiskStore::create(&dir).expect("the same store"));
    assert_eq!(DiskStore::open(&dir).expect("the store").dir(), dir);
}

#[test]
fn a_store_of_a_newer_version_is_refused_with_both_versions() {
    let folder = folder();
    drop(store_in(folder.path()));
    let format = folder.path().join("store/format");
    fs::write(&format, "7\n").expect("a write");
    for opened in [DiskStore::open, DiskStore::create] {
        let error = opened(&folder.path().join("store")).err().expect("it is newer");
        assert!(matches!(error, StoreError::TooNew { found: 7, known: 1, .. }), "{error}");
    }
    for text in ["", "one", "-1"] {
        fs::write(&format, text).expect("a write");
        let error = DiskStore::open(&folder.path().join("store")).err().expect("no number");
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_store_that_lost_its_format_is_not_taken_for_a_new_one() {
    let folder = folder();
    make_run(&store_in(folder.path()), "one", 0..1);
    fs::remove_file(folder.path().join("store/format")).expect("it goes");
    let error = DiskStore::create(&folder.path().join("store")).err().expect("it has runs");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn the_list_of_runs_is_right_without_its_cache_and_with_a_torn_one() {
    let folder = folder();
    let store = store_in(folder.path());
    for name in ["c", "a", "b"] {
        make_run(&store, name, 0..1);
    }
    let runs = store.runs().expect("runs");
    let cache = folder.path().join("store/runs.list");
    let bytes = fs::read(&cache).expect("the cache");
    for len in 0..=bytes.len() {
        fs::write(&cache, &bytes[..len]).expect("a write");
        assert_eq!(store.runs().expect("runs"), runs, "cut at {len}");
        let completed = fs::read(&cache).expect("the cache").len();
        assert_eq!(store.runs().expect("runs"), runs, "completed from {len}");
        assert_eq!(fs::read(&cache).expect("the cache").len(), completed);
    }
    fs::remove_file(&cache).expect("it goes");
    assert_eq!(store.runs().expect("runs"), runs);
    fs::remove_dir_all(folder.path().join("store/runs/a")).expect("it goes");
    assert_eq!(store.runs().expect("runs").len(), 2);
}

#[test]
fn a_run_without_its_journal_is_damaged_and_hides_no_other() {
    let folder = folder();
    let store = store_in(folder.path());
    make_run(&store, "good", 0..1);
    make_run(&store, "bad", 0..1);
    let run = run_id("bad");
    for harm in [|path: &Path| fs::write(path, b""), |path: &Path| fs::remove_file(path)] {
        harm(&folder.path().join("store/runs/bad/journal")).expect("it is harmed");
        assert!(matches!(store.read_run(&run), Err(StoreError::Damaged { .. })));
        assert!(matches!(store.open_run(&run).err(), Some(StoreError::Damaged { .. })));
        assert_eq!(store.runs().expect("runs").len(), 2);
        fs::remove_file(folder.path().join("store/runs.list")).expect("it goes");
        assert_eq!(store.runs().expect("runs").len(), 2);
    }
    assert_eq!(store.holder(&run).expect("an answer"), None);
}

#[test]
fn a_store_that_is_removed_meanwhile_acknowledges_nothing() {
    let folder = folder();
    let store = store_in(folder.path());
    let mut journal = store.create_run(&run_id("one"), &[]).expect("a run");
    succeed(&mut *journal, 0..1);
    // The thread that opens the database is done with it.
    store.flush();
    fs::remove_dir_all(folder.path().join("store")).expect("it goes");
    journal.append(&[started(1)], &[]).expect("the file is still open");
    assert!(journal.syncer().sync().is_err());
    assert!(store.create_run(&run_id("two"), &[]).is_err());
    assert!(store.put_bytes(b"x").is_err());
    assert!(!folder.path().join("store").exists(), "no new store in its place");
}

#[test]
fn a_folder_in_the_scratch_space_is_stored_without_copying_and_stays() {
    let folder = folder();
    let store = store_in(folder.path());
    let scratch = store.scratch(&run_id("one"), "task-1").expect("a folder");
    let file = scratch.join("out/frame");
    fs::create_dir(scratch.join("out")).expect("a folder");
    fs::write(&file, b"frame").expect("a file");
    artifact(&store, &scratch.join("out"));
    let object = store.object(&Digest::of(b"frame")).expect("the object");
    let inode = |path: &Path| fs::metadata(path).expect("a file").ino();
    assert_eq!(inode(&file), inode(&object));
    // The same file as an output of its own is copied: it has two names now.
    let (digest, size) = store.put_file(&file, Adopt::Move).expect("an object");
    assert_eq!((digest, size), (Digest::of(b"frame"), 5));
    let outside = folder.path().join("mine");
    fs::create_dir(&outside).expect("a folder");
    fs::write(outside.join("own"), b"own").expect("a file");
    artifact(&store, &outside);
    let object = store.object(&Digest::of(b"own")).expect("the object");
    assert_ne!(inode(&outside.join("own")), inode(&object));
}

#[test]
fn a_dead_process_s_temporary_files_are_swept_and_a_living_one_s_are_not() {
    let folder = folder();
    let living = store_in(folder.path());
    living.put_bytes(b"x").expect("an object");
    let tmp = folder.path().join("store/tmp");
    let dead = tmp.join("4711-dead-0");
    fs::create_dir(&dead).expect("a folder");
    fs::write(dead.join("half"), b"half").expect("a file");
    let other = store_in(folder.path());
    other.put_bytes(b"y").expect("an object");
    assert!(!dead.exists());
    assert_eq!(fs::read_dir(&tmp).expect("a folder").count(), 2);
    living.put_bytes(b"z").expect("its folder is still there");
}

#[test]
fn who_has_a_place_in_a_pool_is_known() {
    let folder = folder();
    let store = store_in(folder.path());
    assert!(store.pool_holders("gpu").is_empty());
    let held = store.try_pool("gpu", 2).expect("an answer").expect("a place");
    let holders = store.pool_holders("gpu");
    let own = format!("process {} on host ", std::process::id());
    assert!(matches!(&*holders, [one] if one.starts_with(&own)), "{holders:?}");
    drop(held);
    assert!(store.pool_holders("gpu").is_empty());
}
