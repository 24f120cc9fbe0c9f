//! A collection removes what is given up, and never anything that a kept run needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use flow_core::digest::Digest;
use flow_core::payload::PayloadRef;
use flow_core::run::event::{Event, Outputs};
use flow_core::store::{Adopt, Journal, Store, StoreError};
use jiff::Timestamp;
use proptest::prelude::*;

use super::verify_tests::{findings, make_run, small_store};
use super::{Collected, Retention};
use crate::DiskStore;
use crate::testing::{artifact, finished, key, record, run_id, started, task};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// Collects as another process would, which stores nothing itself.
fn gc(dir: &Path, retention: Retention) -> Collected {
    DiskStore::open(dir).expect("the store").gc(&retention, false).expect("a collection")
}

fn keep_last(n: usize) -> Retention {
    Retention { keep_last: Some(n), ..Retention::default() }
}

fn names(runs: &[flow_core::id::RunId]) -> Vec<String> {
    runs.iter().map(ToString::to_string).collect()
}

fn objects(dir: &Path) -> usize {
    let folders = fs::read_dir(dir.join("objects")).expect("objects");
    folders.map(|f| fs::read_dir(f.expect("a folder").path()).expect("it").count()).sum()
}

#[test]
fn without_limits_only_what_no_run_needs_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let before = objects(&dir);
    {
        let store = DiskStore::open(&dir).expect("the store");
        store.put_bytes(b"nothing refers to this").expect("an object");
    }
    fs::create_dir_all(dir.join("scratch/gone/attempt")).expect("folders");
    fs::create_dir_all(dir.join("scratch/one/attempt")).expect("folders");
    fs::create_dir_all(dir.join("tmp/4711-0-0/half")).expect("folders");
    let store = DiskStore::open(&dir).expect("the store");
    let told = store.gc(&Retention::default(), true).expect("a dry run");
    assert_eq!((objects(&dir), dir.join("tmp/4711-0-0").exists()), (before + 1, true));
    let collected = gc(&dir, Retention::default());
    assert_eq!(collected, told);
    let wanted = Collected { objects: 1, bytes: 22, leftovers: 2, ..Collected::default() };
    assert_eq!(collected, wanted);
    assert_eq!(objects(&dir), before);
    assert!(dir.join("scratch/one/attempt").exists() && !dir.join("scratch/gone").exists());
    assert_eq!(findings(&dir), []);
    assert_eq!(gc(&dir, Retention::default()), Collected::default());
}

#[test]
fn the_newest_runs_are_kept_with_all_that_they_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let alone = objects(&dir);
    for name in ["two", "three"] {
        make_run(&DiskStore::open(&dir).expect("the store"), folder.path(), name);
    }
    let store = DiskStore::open(&dir).expect("the store");
    let told = store.gc(&keep_last(1), true).expect("a dry run");
    assert_eq!(store.runs().expect("runs").len(), 3);
    let collected = gc(&dir, keep_last(1));
    assert_eq!(collected, told);
    assert_eq!(names(&collected.runs), ["one", "two"]);
    assert_eq!(names(&[store.runs().expect("runs")[0].id.clone()]), ["three"]);
    assert_eq!(objects(&dir), alone);
    assert_eq!(findings(&dir), []);
    assert_eq!(names(&gc(&dir, keep_last(0)).runs), ["three"]);
    assert_eq!(objects(&dir), 0);
    assert_eq!(findings(&dir), []);
}

#[test]
fn runs_without_an_end_go_only_when_they_are_old_and_held_ones_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    let store = DiskStore::create(&dir).expect("a store");
    let write = |name: &str, last: Event| {
        let mut journal = store.create_run(&run_id(name), &[]).expect("a run");
        journal.append(&[record(1, last)], &[]).expect("an append");
        journal.syncer().sync().expect("a sync");
        journal
    };
    drop(write("ended", finished(1).event));
    drop(write("open", started(1).event));
    let held = write("held", finished(1).event);
    // The records of tests are of the time 1,700,000,001.
    let older = |second| Retention { older_than: Some(at(second)), ..Retention::default() };
    assert_eq!(names(&gc(&dir, older(1_700_000_001)).runs), Vec::<String>::new());
    assert_eq!(names(&gc(&dir, keep_last(0)).runs), ["ended"]);
    let both = Retention { keep_last: Some(2), ..older(1_700_000_002) };
    assert_eq!(names(&gc(&dir, both).runs), Vec::<String>::new());
    assert_eq!(names(&gc(&dir, older(1_700_000_002)).runs), ["open"]);
    drop(held);
    assert_eq!(names(&gc(&dir, older(1_700_000_002)).runs), ["held"]);
    assert_eq!(store.runs().expect("runs"), []);
}

#[test]
fn a_run_that_cannot_be_read_keeps_all_that_it_may_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let before = objects(&dir);
    let path = dir.join("runs/one/journal");
    let mut bytes = fs::read(&path).expect("the journal");
    bytes[250] ^= 1;
    fs::write(&path, bytes).expect("a write");
    let collected = gc(&dir, keep_last(0));
    assert_eq!(collected, Collected::default());
    assert_eq!(objects(&dir), before);
}

#[test]
fn nothing_is_removed_beside_a_run_without_its_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let before = objects(&dir);
    let (path, away) = (dir.join("runs/one/journal"), folder.path().join("journal"));
    fs::rename(&path, &away).expect("it goes");
    let store = DiskStore::open(&dir).expect("the store");
    for put in [false, true] {
        if put {
            std::os::unix::fs::symlink(&away, &path).expect("a link");
        }
        let error = store.gc(&keep_last(0), false).expect_err("it is refused");
        let named = |named: &Path| *named == *path;
        assert!(
            matches!(&error, StoreError::Damaged { path, .. } | StoreError::NoFile { path, .. } if named(path)),
            "{error}"
        );
    }
    assert_eq!(objects(&dir), before);
    fs::rename(&away, &path).expect("it comes back");
    assert_eq!(store.gc(&keep_last(0), false).expect("a collection").runs.len(), 1);
}

#[test]
fn what_a_living_process_has_stored_and_not_recorded_yet_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    let storing = DiskStore::create(&dir).expect("a store");
    let digest = storing.put_bytes(b"it is about to be recorded").expect("an object");
    let collected = gc(&dir, Retention::default());
    assert_eq!((collected.objects, collected.spared), (0, 1));
    storing.object(&digest).expect("it is there");
    drop(storing);
    let collected = gc(&dir, Retention::default());
    assert_eq!((collected.objects, collected.spared), (1, 0));
}

#[test]
fn a_cached_result_keeps_its_bytes_though_its_run_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let reusing = DiskStore::open(&dir).expect("the store");
    let mut journal = reusing.create_run(&run_id("two"), &[]).expect("a run");
    let found = reusing.cached(&key(9)).expect("an answer").expect("a result");
    assert_eq!(names(&gc(&dir, keep_last(1)).runs), ["one"]);
    // The run is gone, and what was found in it is still there.
    let outputs: Outputs =
        found.outputs.into_iter().filter(|(_, payload)| payload.artifact.is_some()).collect();
    let reused = Event::Reused { task: task(9), key: key(9), outputs, from: "run one".into() };
    journal.append(&[record(1, reused)], &[]).expect("an append");
    journal.syncer().sync().expect("a sync");
    drop((journal, reusing));
    gc(&dir, Retention::default());
    assert_eq!(findings(&dir), []);
    assert!(objects(&dir) >= 3, "the file, the folder, and what is in it");
}

#[test]
fn what_was_removed_from_the_cache_is_forgotten_with_its_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let length = |dir: &Path| fs::read(dir.join("cache.removed")).expect("the list").len();
    let before = length(&dir);
    gc(&dir, keep_last(0));
    assert!(length(&dir) < before);
    assert_eq!(findings(&dir), []);
}

/// Records a result that refers to a file of one of a few contents, and to a folder with it.
fn make_result(store: &DiskStore, journal: &mut dyn Journal, work: &Path, n: u64) {
    let tree = work.join(format!("tree-{n}"));
    fs::create_dir_all(&tree).expect("a folder");
    fs::write(tree.join("leaf"), format!("content {}", n % 7)).expect("a file");
    let (file, _) = store.put_file(&tree.join("leaf"), Adopt::Copy).expect("an object");
    let folder = artifact(store, &tree);
    store.settle().expect("a sync");
    let file = flow_core::payload::Artifact {
        digest: file,
        media_type: "text/plain".into(),
        ..folder.clone()
    };
    let outputs: Outputs = [
        ("file".to_owned(), PayloadRef::of_artifact("file".into(), file)),
        ("tree".to_owned(), PayloadRef::of_artifact("dir".into(), folder)),
    ]
    .into();
    let key = Digest::of(&(n % 7).to_le_bytes());
    let made = Event::Succeeded {
        task: task(n),
        attempt: 1,
        key,
        outputs,
        duration_ms: 1,
        warnings: Vec::new(),
        usage: flow_core::call::Usage::default(),
        provisional: false,
    };
    journal.append(&[record(n, made)], &[]).expect("an append");
    journal.syncer().sync().expect("a sync");
}

#[test]
fn runs_and_collections_at_the_same_time_lose_nothing_that_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    drop(DiskStore::create(&dir).expect("a store"));
    let stop = AtomicBool::new(false);
    let collections = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (dir, work) = (&dir, folder.path().join(format!("work-{writer}")));
                scope.spawn(move || {
                    for n in 0..12_u64 {
                        // Each run is of a process of its own, which comes and goes.
                        let store = DiskStore::open(dir).expect("the store");
                        let run = run_id(&format!("run-{writer}-{n}"));
                        let mut journal = store.create_run(&run, &[]).expect("a run");
                        for result in 0..4 {
                            make_result(&store, &mut *journal, &work, n * 4 + result);
                        }
                        journal.append(&[finished(99)], &[]).expect("an append");
                        journal.syncer().sync().expect("a sync");
                    }
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                count += gc(&dir, keep_last(5)).runs.len();
            }
            count
        });
        writers.into_iter().for_each(|writer| writer.join().expect("it ends well"));
        stop.store(true, Ordering::Relaxed);
        collector.join().expect("it ends well")
    });
    assert!(collections > 0);
    assert_eq!(findings(&dir).into_iter().filter(|f| !f.kind.is_note()).collect::<Vec<_>>(), []);
    gc(&dir, keep_last(1));
    assert_eq!(findings(&dir), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Runs that share some contents, of which some are kept.
    #[test]
    fn exactly_what_the_kept_runs_need_is_kept(
        contents in prop::collection::vec(prop::collection::vec(0..12_u64, 1..4), 1..8),
        kept in 0..8_usize,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("store");
        let mut stored = Vec::new();
        for (n, contents) in contents.iter().enumerate() {
            let store = DiskStore::create(&dir).expect("a store");
            let mut journal = store.create_run(&run_id(&format!("run-{n}")), &[]).expect("a run");
            let mut digests = BTreeSet::new();
            for content in contents {
                let bytes = format!("\"{}\"", "x".repeat(70_000 + *content as usize)).into_bytes();
                digests.insert(store.put_bytes(&bytes).expect("an object"));
                let outputs = [("o".to_owned(), PayloadRef::of_json("json".into(), &bytes))].into();
                let (task, key) = (task(*content), key(*content));
                let made = Event::Succeeded {
                    task, attempt: 1, key, outputs, duration_ms: 1, warnings: Vec::new(), usage: flow_core::call::Usage::default(), provisional: false
                };
                journal.append(&[record(*content, made)], &[]).expect("an append");
            }
            journal.append(&[finished(99)], &[]).expect("an append");
            journal.syncer().sync().expect("a sync");
            stored.push(digests);
        }
        let gone = stored.len().saturating_sub(kept);
        let all: BTreeSet<_> = stored.iter().flatten().copied().collect();
        let needed: BTreeSet<_> = stored[gone..].iter().flatten().copied().collect();
        let collected = gc(&dir, keep_last(kept));
        prop_assert_eq!(collected.runs.len(), gone);
        prop_assert_eq!(collected.objects as usize, all.len() - needed.len());
        let store = DiskStore::open(&dir).expect("the store");
        for digest in &all {
            prop_assert_eq!(store.object(digest).is_ok(), needed.contains(digest));
        }
        prop_assert_eq!(findings(&dir), []);
    }
}
