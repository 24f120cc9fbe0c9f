//! Results of other runs are found whatever happens to the index of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use flow_core::payload::PayloadRef;
use flow_core::run::event::{Event, Outputs};
use flow_core::store::{Journal, Store};

use crate::DiskStore;
use crate::conformance::make_run;
use crate::testing::{artifact, key, record, run_id, started, succeed, task};

fn store_in(folder: &Path) -> DiskStore {
    DiskStore::create(&folder.join("store")).expect("a store")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn run_of(store: &DiskStore, n: u64) -> Option<String> {
    store.cached(&key(n)).expect("an answer").map(|found| found.run.to_string())
}

#[test]
fn results_of_earlier_processes_come_from_the_database() {
    let folder = folder();
    // More than one record of keys.
    make_run(&store_in(folder.path()), "one", 0..300);
    make_run(&store_in(folder.path()), "two", 200..400);
    let store = store_in(folder.path());
    for n in 0..400 {
        assert_eq!(run_of(&store, n).as_deref(), Some(if n < 200 { "one" } else { "two" }), "{n}");
    }
    assert_eq!(run_of(&store, 400), None);
}

#[test]
fn results_are_found_without_the_database_and_whatever_is_left_of_it() {
    type Harm = fn(&Path);
    let harms: [Harm; 3] = [
        |dir| std::fs::remove_dir_all(dir).expect("it goes"),
        |dir| std::fs::write(dir.join("db"), vec![0xA5; 600_000]).expect("a write"),
        // Nothing can be made there.
        |dir| {
            std::fs::remove_dir_all(dir).expect("it goes");
            std::fs::write(dir, b"").expect("a write");
        },
    ];
    for (n, harm) in harms.iter().enumerate() {
        let folder = folder();
        make_run(&store_in(folder.path()), "one", 0..300);
        harm(&folder.path().join("store/checkpoints"));
        let store = store_in(folder.path());
        let lost = (0..300).filter(|n| run_of(&store, *n).is_none()).count();
        assert_eq!(lost, 0, "harm {n}");
    }
}

#[test]
fn flipped_bits_in_the_database_lose_no_result() {
    let folder = folder();
    make_run(&store_in(folder.path()), "one", 0..300);
    let path = folder.path().join("store/checkpoints/db");
    let whole = std::fs::read(&path).expect("the data");
    let used = whole.iter().rposition(|byte| *byte != 0).expect("some data");
    for step in 0..24 {
        let mut bytes = whole.clone();
        bytes[step * used / 24] ^= 0x10;
        std::fs::write(&path, &bytes).expect("a write");
        let store = store_in(folder.path());
        let lost: Vec<_> = (0..300).filter(|n| run_of(&store, *n).is_none()).collect();
        assert_eq!(lost, Vec::<u64>::new(), "step {step}");
    }
}

#[test]
fn a_run_that_is_taken_up_again_is_followed_again() {
    let folder = folder();
    let (asking, other) = (store_in(folder.path()), store_in(folder.path()));
    make_run(&asking, "one", 0..2);
    assert_eq!(run_of(&asking, 1).as_deref(), Some("one"));
    let mut journal = other.open_run(&run_id("one")).expect("the run");
    succeed(&mut *journal, 2..3);
    drop(journal);
    assert_eq!(run_of(&asking, 2).as_deref(), Some("one"));
    make_run(&other, "two", 3..4);
    assert_eq!(run_of(&asking, 3).as_deref(), Some("two"));
    assert_eq!(run_of(&other, 2).as_deref(), Some("one"), "the other one asks over the socket");
    assert_eq!(other.stats().checkpoints_written, 0);
}

#[test]
fn an_older_result_counts_again_when_the_run_of_the_newest_is_gone() {
    let folder = folder();
    let store = store_in(folder.path());
    make_run(&store, "one", 0..3);
    let mut journal = store.create_run(&run_id("two"), &[]).expect("a run");
    let mut newer = crate::testing::succeeded(1, b"2");
    newer.ts = jiff::Timestamp::from_second(1_900_000_000).expect("a time");
    journal.append(&[newer], &[crate::testing::payload(b"2")]).expect("an append");
    journal.syncer().sync().expect("a sync");
    drop(journal);
    assert_eq!(run_of(&store, 1).as_deref(), Some("two"));
    std::fs::remove_dir_all(folder.path().join("store/runs/two")).expect("it goes");
    assert_eq!(run_of(&store, 1).as_deref(), Some("one"));
    // Another run under the old name has nothing of it.
    make_run(&store, "two", 7..8);
    assert_eq!(run_of(&store, 1).as_deref(), Some("one"));
    assert_eq!(run_of(&store, 7).as_deref(), Some("two"));
}

#[test]
fn a_result_whose_bytes_are_gone_is_not_reused() {
    let folder = folder();
    let store = store_in(folder.path());
    let file = folder.path().join("file");
    std::fs::write(&file, b"content").expect("a file");
    let stored = artifact(&store, &file);
    let json = serde_json::to_vec(&serde_json::json!({"deep": [stored.to_json()]})).expect("JSON");
    let direct = PayloadRef::of_artifact("file".into(), stored.clone());
    let nested = PayloadRef::of_json("json".into(), &json);
    let mut journal = store.create_run(&run_id("one"), &[]).expect("a run");
    for (n, payload) in [(1, direct), (2, nested)] {
        let outputs: Outputs = [("value".to_owned(), payload)].into();
        let (task, key) = (task(n), key(n));
        let event = Event::Succeeded {
            task,
            attempt: 1,
            key,
            outputs,
            duration_ms: 1,
            warnings: Vec::new(),
            usage: flow_core::call::Usage::default(),
            provisional: false,
        };
        let payload = crate::testing::payload(&json);
        journal.append(&[record(n, event)], &[payload]).expect("an append");
    }
    journal.syncer().sync().expect("a sync");
    assert_eq!([run_of(&store, 1), run_of(&store, 2)].map(|run| run.is_some()), [true, true]);
    std::fs::remove_file(store.object(&stored.digest).expect("it")).expect("it goes");
    assert_eq!([run_of(&store, 1), run_of(&store, 2)], [None, None]);
}

#[test]
fn a_store_with_a_very_long_path_is_shared_as_well() {
    let folder = folder();
    let deep: PathBuf = std::iter::repeat_n("a-rather-long-name-of-a-folder", 8).collect();
    let dir = folder.path().join(deep);
    let (one, two) = (DiskStore::create(&dir).expect("a store"), DiskStore::open(&dir));
    let two = two.expect("the store");
    make_run(&one, "one", 0..3);
    one.flush();
    assert_eq!(run_of(&two, 2).as_deref(), Some("one"));
    assert_eq!(two.stats().database_repairs, 0);
    assert!(dir.join("checkpoints.socket").exists());
    drop(one);
    assert!(!dir.join("checkpoints.socket").exists());
    assert_eq!(run_of(&two, 2).as_deref(), Some("one"), "it takes the place of the other");
}

/// Makes the result of a key once: the first to have the right to work on it does, all others wait.
fn make_once(store: &DiskStore, journal: &mut dyn Journal, made: &AtomicUsize, n: u64) {
    loop {
        if store.cached(&key(n)).expect("an answer").is_some() {
            return;
        }
        let Some(flight) = store.try_flight(&key(n)).expect("an answer") else {
            std::thread::yield_now();
            continue;
        };
        // Someone may have made it between the two questions.
        if store.cached(&key(n)).expect("an answer").is_none() {
            made.fetch_add(1, Ordering::Relaxed);
            journal.append(&[started(n)], &[]).expect("an append");
            succeed(journal, n..n + 1);
        }
        drop(flight);
        return;
    }
}

#[test]
fn a_hundred_that_want_the_same_result_at_once_make_it_once() {
    let folder = folder();
    let stores = [store_in(folder.path()), store_in(folder.path())];
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..100 {
            let (store, made) = (&stores[thread % 2], &made);
            scope.spawn(move || {
                let run = run_id(&format!("run-{thread}"));
                let mut journal = store.create_run(&run, &[]).expect("a run");
                for n in 0..3 {
                    make_once(store, &mut *journal, made, n);
                }
            });
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), 3);
}

#[test]
fn a_store_that_is_removed_meanwhile_is_an_error_and_is_not_made_again() {
    let folder = folder();
    let store = store_in(folder.path());
    let mut journal = store.create_run(&run_id("one"), &[]).expect("a run");
    succeed(&mut *journal, 0..1);
    assert!(run_of(&store, 0).is_some());
    std::fs::remove_dir_all(store.dir()).expect("it goes");
    let limit = flow_core::store::Rate { starts: 1, span: std::time::Duration::from_secs(1) };
    assert!(store.try_flight(&key(1)).is_err());
    assert!(store.try_pool("gpu", 1).is_err());
    assert!(store.try_rate("api", limit, jiff::Timestamp::UNIX_EPOCH).is_err());
    assert!(store.post(&run_id("one"), b"x").is_err());
    assert!(store.inbox(&run_id("one")).is_err());
    assert!(!store.cached(&key(0)).is_ok_and(|found| found.is_some()));
    assert!(store.cache_entries().is_err());
    assert!(store.cache_clear().is_err());
    drop(journal);
    assert!(!store.dir().exists());
}
