//! What every store must do, run on each of them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use flow_core::digest::Digest;
use flow_core::run::event::{Event, ItemRef, Outputs, Recorded, TaskRef};
use flow_core::store::{Adopt, Checkpoint, INLINE_MAX, MESSAGE_MAX, Rate, Store, StoreError};
use jiff::Timestamp;

use crate::testing::{
    artifact, finished, json_ref, key, output, payload, record, run_id, started, succeed,
    succeeded, task, text,
};

/// Names the cases once, and makes each a test of a backend.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        macro_rules! conformance_tests {
            ($make:expr) => {
                $(
                    #[test]
                    fn $name() {
                        let folder = tempfile::tempdir().expect("a folder");
                        let store = $make(folder.path());
                        let work = tempfile::tempdir().expect("a folder");
                        crate::conformance::$name(&store, work.path());
                    }
                )*
            };
        }
        pub(crate) use conformance_tests;
    };
}

cases![
    a_run_is_created_once_and_read_back,
    what_is_appended_is_replayed_in_order,
    a_run_that_is_not_there_is_named,
    a_held_run_is_refused_with_its_holder_and_free_when_dropped,
    recorded_files_can_be_replaced_and_not_shadow_the_journal,
    private_files_are_removed_together_and_no_others,
    runs_are_listed_oldest_first,
    the_last_checkpoint_with_a_key_counts,
    an_item_is_found_by_its_key_wherever_it_stands,
    small_and_large_payloads_are_read_back,
    a_payload_that_is_nowhere_is_missing,
    bytes_and_files_with_the_same_content_are_one_object,
    a_moved_file_is_gone_and_a_copied_one_stays,
    a_file_with_a_second_name_is_never_taken_over,
    objects_are_read_only_and_placed_as_links,
    a_folder_comes_back_as_it_was,
    an_empty_folder_comes_back_empty,
    links_and_special_files_in_a_folder_are_refused,
    a_changed_object_is_found_out_and_put_aside,
    a_changed_file_of_a_placed_folder_is_found_out,
    storing_again_heals_a_lost_object,
    every_scratch_folder_is_a_fresh_one,
    names_that_lead_elsewhere_are_refused,
    the_latest_durable_result_of_any_run_is_found_by_its_key,
    a_reused_result_does_not_extend_its_own_life,
    what_is_removed_from_the_cache_counts_again_when_it_is_made_again,
    a_key_is_worked_on_by_one_at_a_time,
    a_pool_gives_out_as_many_places_as_it_has,
    a_pool_that_was_made_smaller_gives_out_no_more_than_its_new_size,
    a_rate_is_granted_so_often_and_then_tells_how_long_to_wait,
    messages_are_read_oldest_first_until_they_are_taken,
];

pub(crate) fn a_run_is_created_once_and_read_back(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let journal = store.create_run(&run, &[("flow.toml", b"text")]).expect("a run");
    assert!(matches!(store.create_run(&run, &[]), Err(StoreError::RunExists(id)) if id == run));
    assert_eq!(store.run_file(&run, "flow.toml").expect("the file"), b"text");
    assert_eq!(store.read_run(&run).expect("no records"), []);
    assert!(store.run_dir(&run).is_dir());
    drop(journal);
    assert!(matches!(store.create_run(&run, &[]), Err(StoreError::RunExists(_))));
}

pub(crate) fn what_is_appended_is_replayed_in_order(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let mut journal = store.create_run(&run, &[]).expect("a run");
    let mut internal = record(2, Event::ItemsResolved { nodes: vec![], keys: vec!["k".into()] });
    internal.seq = None;
    let all = [started(1), internal, succeeded(3, b"1"), finished(4)];
    let first = journal.append(&all[..1], &[]).expect("an append");
    let second = journal.append(&all[1..], &[payload(b"1")]).expect("an append");
    assert!(first < second);
    assert_eq!(journal.syncer().sync().expect("a sync"), second);
    assert_eq!(journal.replay().expect("records"), all);
    assert_eq!(store.read_run(&run).expect("records"), all);
    drop(journal);
    let mut journal = store.open_run(&run).expect("the run");
    assert_eq!(journal.replay().expect("records"), all);
    let third = journal.append(&[finished(5)], &[]).expect("an append");
    assert!(second < third);
    assert_eq!(store.read_run(&run).expect("records").len(), 5);
}

pub(crate) fn a_run_that_is_not_there_is_named(store: &dyn Store, _: &Path) {
    let run = run_id("nowhere");
    let is_named = |error| matches!(error, StoreError::NoRun(name) if name == "nowhere");
    assert!(store.open_run(&run).err().is_some_and(is_named));
    assert!(store.read_run(&run).err().is_some_and(is_named));
    assert!(store.holder(&run).err().is_some_and(is_named));
    assert!(store.run_file(&run, "x").err().is_some_and(is_named));
    assert!(store.put_run_file(&run, "x", b"").err().is_some_and(is_named));
    assert_eq!(store.checkpoint(&run, &task(1), &key(1)).expect("an answer"), None);
}

pub(crate) fn a_held_run_is_refused_with_its_holder_and_free_when_dropped(
    store: &dyn Store,
    _: &Path,
) {
    let run = run_id("one");
    let me = format!("process {}", std::process::id());
    let journal = store.create_run(&run, &[]).expect("a run");
    assert!(store.holder(&run).expect("an answer").is_some_and(|text| text.starts_with(&me)));
    let refused = store.open_run(&run).err().expect("it is held");
    assert!(matches!(refused, StoreError::Held { holder, .. } if holder.starts_with(&me)));
    drop(journal);
    assert_eq!(store.holder(&run).expect("an answer"), None);
    let journal = store.open_run(&run).expect("it is free");
    assert!(store.holder(&run).expect("an answer").is_some());
    drop(journal);
}

pub(crate) fn private_files_are_removed_together_and_no_others(store: &dyn Store, _work: &Path) {
    let run = run_id("one");
    drop(store.create_run(&run, &[("manifest.json", b"1")]).expect("a run"));
    store.remove_private(&run).expect("nothing to remove");
    for name in ["private.a", "private.b", "privately"] {
        store.put_run_file(&run, name, b"text").expect("a file");
    }
    store.put_run_file(&run, "private.a", b"another text").expect("a new content");
    assert_eq!(store.run_file(&run, "private.a").expect("the file"), b"another text");
    store.remove_private(&run).expect("a removal");
    assert!(store.run_file(&run, "private.a").is_err());
    assert!(store.run_file(&run, "private.b").is_err());
    assert_eq!(store.run_file(&run, "privately").expect("the file"), b"text");
    assert_eq!(store.run_file(&run, "manifest.json").expect("the file"), b"1");
    let missing = store.remove_private(&run_id("two"));
    assert!(matches!(missing, Err(StoreError::NoRun(name)) if name == "two"));
}

pub(crate) fn recorded_files_can_be_replaced_and_not_shadow_the_journal(
    store: &dyn Store,
    _: &Path,
) {
    let run = run_id("one");
    let journal = store.create_run(&run, &[("manifest.json", b"1")]).expect("a run");
    store.put_run_file(&run, "manifest.json", b"22").expect("a new content");
    store.put_run_file(&run, "added", b"3").expect("a new file");
    assert_eq!(store.run_file(&run, "manifest.json").expect("the file"), b"22");
    assert_eq!(store.run_file(&run, "added").expect("the file"), b"3");
    for name in ["journal", "lock", "inbox", "", ".", "..", "a/b", "/etc/passwd", "a\0b"] {
        assert!(store.put_run_file(&run, name, b"").is_err(), "{name:?}");
        assert!(store.create_run(&run_id("two"), &[(name, b"")]).is_err(), "{name:?}");
    }
    assert!(store.run_file(&run, "not there").is_err());
    drop(journal);
}

pub(crate) fn runs_are_listed_oldest_first(store: &dyn Store, _: &Path) {
    assert_eq!(store.runs().expect("a list"), []);
    for name in ["zebra", "ant", "mole"] {
        store.create_run(&run_id(name), &[]).expect("a run");
    }
    let names: Vec<_> = store.runs().expect("a list").into_iter().map(|run| run.id).collect();
    assert_eq!(names, ["zebra", "ant", "mole"].map(run_id));
}

pub(crate) fn the_last_checkpoint_with_a_key_counts(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let mut journal = store.create_run(&run, &[]).expect("a run");
    let mut again = succeeded(1, b"2");
    again.seq = Some(9);
    journal.append(&[succeeded(1, b"1"), succeeded(2, b"1")], &[]).expect("an append");
    journal.append(&[again.clone()], &[]).expect("an append");
    journal.syncer().sync().expect("a sync");
    let found = store.checkpoint(&run, &task(1), &key(1)).expect("an answer");
    assert_eq!(found, Checkpoint::of(&run, &again));
    assert!(store.checkpoint(&run, &task(2), &key(2)).expect("an answer").is_some());
    assert_eq!(store.checkpoint(&run, &task(1), &key(2)).expect("an answer"), None);
    assert_eq!(store.checkpoint(&run, &task(3), &key(3)).expect("an answer"), None);
    assert_eq!(store.checkpoint(&run_id("two"), &task(1), &key(1)).expect("an answer"), None);
}

pub(crate) fn an_item_is_found_by_its_key_wherever_it_stands(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let mut journal = store.create_run(&run, &[]).expect("a run");
    let item = |key: &str, index| TaskRef {
        node: "fan".into(),
        item: Some(ItemRef { key: key.into(), index }),
    };
    let reused = Event::Reused {
        task: item("a", 0),
        key: key(1),
        outputs: [].into(),
        from: "this run".into(),
    };
    journal.append(&[record(1, reused)], &[]).expect("an append");
    journal.syncer().sync().expect("a sync");
    let found = store.checkpoint(&run, &item("a", 5), &key(1)).expect("an answer");
    assert_eq!(found.map(|found| (found.task, found.attempt)), Some((item("a", 0), 0)));
    assert_eq!(store.checkpoint(&run, &item("b", 0), &key(1)).expect("an answer"), None);
    let whole = TaskRef::node("fan");
    assert_eq!(store.checkpoint(&run, &whole, &key(1)).expect("an answer"), None);
}

pub(crate) fn small_and_large_payloads_are_read_back(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let mut journal = store.create_run(&run, &[]).expect("a run");
    let inline_max = usize::try_from(INLINE_MAX).expect("a size");
    for len in [1, 2, 1023, 1024, 1025, 3072, inline_max] {
        let bytes = vec![b'7'; len];
        journal.append(&[], &[payload(&bytes)]).expect("an append");
        assert_eq!(text(&store.payload(&run, &json_ref(&bytes)).expect("it")), text(&bytes.into()));
    }
    let large = vec![b'8'; inline_max + 1];
    store.put_bytes(&large).expect("an object");
    store.settle().expect("a sync");
    assert_eq!(store.payload(&run, &json_ref(&large)).expect("it").len(), large.len());
}

pub(crate) fn a_payload_that_is_nowhere_is_missing(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let journal = store.create_run(&run, &[]).expect("a run");
    let missing = store.payload(&run, &json_ref(b"1")).expect_err("it is nowhere");
    assert!(matches!(missing, StoreError::Missing { digest, .. } if digest == Digest::of(b"1")));
    let missing = store.object(&Digest::of(b"1")).expect_err("it is nowhere");
    assert!(matches!(missing, StoreError::Missing { .. }));
    drop(journal);
}

pub(crate) fn bytes_and_files_with_the_same_content_are_one_object(store: &dyn Store, work: &Path) {
    let digest = store.put_bytes(b"content").expect("an object");
    assert_eq!(digest, Digest::of(b"content"));
    let file = work.join("file");
    fs::write(&file, b"content").expect("a file");
    assert_eq!(store.put_file(&file, Adopt::Copy).expect("an object"), (digest, 7));
    assert_eq!(store.put_file(&file, Adopt::Move).expect("an object"), (digest, 7));
    store.settle().expect("a sync");
    store.settle().expect("nothing is left to sync");
    assert_eq!(fs::read(store.object(&digest).expect("it")).expect("a file"), b"content");
}

pub(crate) fn a_moved_file_is_gone_and_a_copied_one_stays(store: &dyn Store, work: &Path) {
    let (moved, copied) = (work.join("moved"), work.join("copied"));
    fs::write(&moved, b"m").expect("a file");
    fs::write(&copied, b"c").expect("a file");
    store.put_file(&moved, Adopt::Move).expect("an object");
    store.put_file(&copied, Adopt::Copy).expect("an object");
    assert!(!moved.exists());
    assert_eq!(fs::read(&copied).expect("it stays"), b"c");
    fs::write(&copied, b"changed").expect("it is still ours");
    let object = store.object(&Digest::of(b"c")).expect("the object is not");
    assert_eq!(fs::read(object).expect("a file"), b"c");
}

pub(crate) fn a_file_with_a_second_name_is_never_taken_over(store: &dyn Store, work: &Path) {
    let (file, other) = (work.join("file"), work.join("other"));
    fs::write(&file, b"shared").expect("a file");
    fs::hard_link(&file, &other).expect("a link");
    let (digest, _) = store.put_file(&file, Adopt::Move).expect("an object");
    fs::write(&other, b"altered").expect("it is still writable");
    let object = store.object(&digest).expect("the object has its own bytes");
    assert_eq!(fs::read(object).expect("a file"), b"shared");
}

pub(crate) fn objects_are_read_only_and_placed_as_links(store: &dyn Store, work: &Path) {
    let file = work.join("in.txt");
    fs::write(&file, b"text").expect("a file");
    let artifact = artifact(store, &file);
    let target = work.join("placed.txt");
    store.place(&artifact, &target).expect("it can be placed");
    let meta = fs::metadata(&target).expect("a file");
    assert_eq!((meta.permissions().mode() & 0o777, meta.len()), (0o444, 4));
    let object = fs::metadata(store.object(&artifact.digest).expect("it")).expect("a file");
    assert_eq!((meta.dev(), meta.ino()), (object.dev(), object.ino()));
    store.check_placed(&artifact).expect("it is as it was");
    assert!(store.place(&artifact, &target).is_err(), "the target exists");
    fs::remove_file(&target).expect("a link can be removed");
    store.check_placed(&artifact).expect("it is as it was");
}

pub(crate) fn a_folder_comes_back_as_it_was(store: &dyn Store, work: &Path) {
    let folder = work.join("tree");
    fs::create_dir_all(folder.join("a/empty")).expect("folders");
    fs::write(folder.join("a/text"), b"one").expect("a file");
    fs::write(folder.join("a-text"), b"two").expect("a file");
    fs::write(folder.join("zero"), b"").expect("a file");
    fs::write(folder.join("program"), b"#!/bin/sh\n").expect("a file");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.join("program"), mode).expect("a mode");
    let first = artifact(store, &folder);
    assert_eq!(first.size, 16);
    let target = work.join("back");
    store.place(&first, &target).expect("it can be placed");
    assert!(target.join("a/empty").is_dir());
    for (name, content, mode) in [
        ("a/text", "one", 0o444),
        ("a-text", "two", 0o444),
        ("zero", "", 0o444),
        ("program", "#!/bin/sh\n", 0o555),
    ] {
        let path = target.join(name);
        assert_eq!(fs::read_to_string(&path).expect("a file"), content, "{name}");
        let found = fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    assert_eq!(artifact(store, &target).digest, first.digest);
    store.check_placed(&first).expect("it is as it was");
}

pub(crate) fn an_empty_folder_comes_back_empty(store: &dyn Store, work: &Path) {
    let folder = work.join("empty");
    fs::create_dir(&folder).expect("a folder");
    let artifact = artifact(store, &folder);
    assert_eq!((artifact.digest, artifact.size), (Digest::of(b""), 0));
    store.place(&artifact, &work.join("back")).expect("it can be placed");
    assert_eq!(fs::read_dir(work.join("back")).expect("a folder").count(), 0);
}

pub(crate) fn links_and_special_files_in_a_folder_are_refused(store: &dyn Store, work: &Path) {
    let refused = |error: StoreError, name: &str| match error {
        StoreError::Io { path, source, .. } => {
            assert_eq!(source.kind(), std::io::ErrorKind::InvalidInput);
            assert!(path.ends_with(name), "{}", path.display());
        }
        other => panic!("{other}"),
    };
    let folder = work.join("tree");
    fs::create_dir(&folder).expect("a folder");
    symlink("/etc/hostname", folder.join("link")).expect("a link");
    refused(store.put_dir(&folder).expect_err("a link"), "tree/link");
    refused(store.put_file(&folder.join("link"), Adopt::Copy).expect_err("a link"), "tree/link");
    refused(store.put_file(&folder, Adopt::Copy).expect_err("a folder"), "tree");
    fs::remove_file(folder.join("link")).expect("it goes");
    let listener = std::os::unix::net::UnixListener::bind(folder.join("socket")).expect("a socket");
    refused(store.put_dir(&folder).expect_err("a socket"), "tree/socket");
    drop(listener);
    symlink(&folder, work.join("way")).expect("a link");
    refused(store.put_dir(&work.join("way")).expect_err("a link"), "way");
}

/// Writes other bytes of the same length into a read-only file and puts its times back.
fn tamper(path: &Path, bytes: &[u8]) {
    let before = fs::metadata(path).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("a mode");
    fs::write(path, bytes).expect("a write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).expect("a mode");
    let times = fs::FileTimes::new().set_modified(before.modified().expect("a time"));
    let file = fs::File::options().read(true).open(path).expect("the file");
    file.set_times(times).expect("the time is put back");
}

pub(crate) fn a_changed_object_is_found_out_and_put_aside(store: &dyn Store, work: &Path) {
    let file = work.join("in.txt");
    fs::write(&file, b"right").expect("a file");
    let artifact = artifact(store, &file);
    let target = work.join("placed");
    store.place(&artifact, &target).expect("it can be placed");
    tamper(&target, b"wrong");
    let damaged = store.check_placed(&artifact).expect_err("it was changed");
    let path = store.run_dir(&run_id("x")).ancestors().nth(2).expect("the root").to_owned();
    assert!(matches!(&damaged, StoreError::Damaged { path: p, .. } if p.starts_with(&path)));
    let missing = store.object(&artifact.digest).expect_err("it was put aside");
    assert!(matches!(missing, StoreError::Missing { .. }));
}

pub(crate) fn a_changed_file_of_a_placed_folder_is_found_out(store: &dyn Store, work: &Path) {
    let folder = work.join("tree");
    fs::create_dir_all(folder.join("sub")).expect("folders");
    fs::write(folder.join("sub/file"), b"right").expect("a file");
    let artifact = artifact(store, &folder);
    let target = work.join("placed");
    store.place(&artifact, &target).expect("it can be placed");
    store.check_placed(&artifact).expect("it is as it was");
    tamper(&target.join("sub/file"), b"wrong");
    let damaged = store.check_placed(&artifact).expect_err("it was changed");
    assert!(matches!(damaged, StoreError::Damaged { .. }));
}

pub(crate) fn storing_again_heals_a_lost_object(store: &dyn Store, work: &Path) {
    let digest = store.put_bytes(b"right").expect("an object");
    let path = store.object(&digest).expect("it is there");
    tamper(&path, b"wrong");
    assert_eq!(store.put_bytes(b"right").expect("an object"), digest);
    assert_eq!(fs::read(store.object(&digest).expect("it is right")).expect("it"), b"right");
    tamper(&path, b"again");
    let file = work.join("file");
    fs::write(&file, b"right").expect("a file");
    store.put_file(&file, Adopt::Move).expect("an object");
    assert_eq!(fs::read(store.object(&digest).expect("it is right")).expect("it"), b"right");
}

pub(crate) fn every_scratch_folder_is_a_fresh_one(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let first = store.scratch(&run, "task-1").expect("a folder");
    fs::write(first.join("left"), b"").expect("a file");
    let second = store.scratch(&run, "task-1").expect("a folder");
    assert_ne!(first, second);
    assert_eq!(fs::read_dir(second).expect("a folder").count(), 0);
}

pub(crate) fn names_that_lead_elsewhere_are_refused(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let long = "x".repeat(300);
    for name in ["", ".", "..", "a/b", "../a", "/tmp/a", "a\0", &long] {
        assert!(store.scratch(&run, name).is_err(), "{name:?}");
    }
}

/// Task `n` of a run that made its result at `second`.
fn made_at(n: u64, second: i64, output: &[u8]) -> Recorded {
    let ts = Timestamp::from_second(second).expect("a time");
    Recorded { ts, ..succeeded(n, output) }
}

pub(crate) fn the_latest_durable_result_of_any_run_is_found_by_its_key(
    store: &dyn Store,
    _: &Path,
) {
    assert_eq!(store.cached(&key(1)).expect("an answer"), None);
    let (one, two) = (run_id("one"), run_id("two"));
    let mut first = store.create_run(&one, &[]).expect("a run");
    let mut second = store.create_run(&two, &[]).expect("a run");
    let (old, new) = (made_at(1, 1_000, b"1"), made_at(1, 2_000, b"2"));
    second.append(std::slice::from_ref(&new), &[payload(b"2")]).expect("an append");
    second.syncer().sync().expect("a sync");
    first.append(&[old], &[payload(b"1")]).expect("an append");
    first.append(&[made_at(2, 1_500, b"1")], &[]).expect("an append");
    first.syncer().sync().expect("a sync");
    let found = store.cached(&key(1)).expect("an answer").expect("two runs made it");
    assert_eq!(Some(&found), Checkpoint::of(&two, &new).as_ref());
    let payload = store.payload(&found.run, &found.outputs["value"]).expect("its payload");
    assert_eq!(text(&payload), "2");
    assert_eq!(store.cached(&key(3)).expect("an answer"), None);
    let newest = store.cache_entries().expect("entries");
    let shown: Vec<_> = newest.iter().map(|e| (e.key, e.run.as_str(), e.at.as_second())).collect();
    assert_eq!(shown, [(key(2), "one", 1_500), (key(1), "two", 2_000)]);
    assert_eq!((&newest[0].task, newest[0].size), (&task(2), 1));
}

pub(crate) fn a_reused_result_does_not_extend_its_own_life(store: &dyn Store, _: &Path) {
    let mut journal = store.create_run(&run_id("one"), &[]).expect("a run");
    let outputs: Outputs = [("value".to_owned(), json_ref(b"1"))].into();
    let from = "run zero".to_owned();
    let reused = Event::Reused { task: task(1), key: key(1), outputs, from };
    journal.append(&[record(9, reused.clone())], &[payload(b"1")]).expect("an append");
    journal.syncer().sync().expect("a sync");
    assert_eq!(store.cached(&key(1)).expect("an answer"), None);
    assert_eq!(store.cache_entries().expect("entries"), []);
    journal.append(&[made_at(1, 1_000, b"1")], &[payload(b"1")]).expect("an append");
    journal.append(&[record(11, reused)], &[]).expect("an append");
    journal.syncer().sync().expect("a sync");
    let found = store.cached(&key(1)).expect("an answer").expect("it was made");
    assert_eq!(found.at.as_second(), 1_000);
}

pub(crate) fn what_is_removed_from_the_cache_counts_again_when_it_is_made_again(
    store: &dyn Store,
    _: &Path,
) {
    let is_there = |n| store.cached(&key(n)).expect("an answer").is_some();
    let mut journal = store.create_run(&run_id("one"), &[]).expect("a run");
    succeed(&mut *journal, 1..4);
    assert!(store.cache_remove(&key(1)).expect("an answer"));
    assert!(!store.cache_remove(&key(1)).expect("an answer"), "it is gone");
    assert!(!store.cache_remove(&key(9)).expect("an answer"), "it never was there");
    assert_eq!([1, 2, 3].map(is_there), [false, true, true]);
    // What counts is the order in the journal: the clock may have been set back.
    journal.append(&[made_at(1, 5, b"again")], &[payload(b"again")]).expect("an append");
    journal.syncer().sync().expect("a sync");
    assert_eq!([1, 2, 3].map(is_there), [true, true, true]);
    assert_eq!(store.cache_clear().expect("a number"), 3);
    assert_eq!(store.cache_clear().expect("a number"), 0);
    assert_eq!([1, 2, 3].map(is_there), [false, false, false]);
    assert_eq!(store.cache_entries().expect("entries"), []);
    succeed(&mut *journal, 2..3);
    assert_eq!([1, 2, 3].map(is_there), [false, true, false]);
    assert_eq!(store.read_run(&run_id("one")).expect("nothing is taken from runs").len(), 5);
    assert!(store.checkpoint(&run_id("one"), &task(1), &key(1)).expect("an answer").is_some());
}

pub(crate) fn a_key_is_worked_on_by_one_at_a_time(store: &dyn Store, _: &Path) {
    let first = store.try_flight(&key(1)).expect("an answer").expect("nobody has it");
    assert!(store.try_flight(&key(1)).expect("an answer").is_none());
    let other = store.try_flight(&key(2)).expect("an answer").expect("another key is free");
    drop(first);
    let again = store.try_flight(&key(1)).expect("an answer").expect("it was given free");
    assert!(store.try_flight(&key(2)).expect("an answer").is_none());
    drop((other, again));
}

pub(crate) fn a_pool_gives_out_as_many_places_as_it_has(store: &dyn Store, _: &Path) {
    let try_pool = |name: &str, size| store.try_pool(name, size).expect("an answer");
    let mut held: Vec<_> = (0..3).map(|_| try_pool("gpu", 3).expect("a place")).collect();
    assert!(try_pool("gpu", 3).is_none());
    assert!(try_pool("cpu", 1).is_some(), "another pool has places of its own");
    assert!(try_pool("none", 0).is_none());
    held.remove(1);
    let back = try_pool("gpu", 3).expect("a place was given free");
    assert!(try_pool("gpu", 3).is_none());
    assert!(try_pool("gpu", 4).is_some(), "it was made larger");
    drop((held, back));
    for name in ["", "a b", "../x", "a/b", "1", "ü", "lock.", &"x".repeat(200)] {
        assert!(store.try_pool(name, 1).is_err(), "{name:?}");
        let limit = Rate { starts: 1, span: Duration::from_secs(1) };
        assert!(store.try_rate(name, limit, Timestamp::UNIX_EPOCH).is_err(), "{name:?}");
    }
}

pub(crate) fn a_pool_that_was_made_smaller_gives_out_no_more_than_its_new_size(
    store: &dyn Store,
    _: &Path,
) {
    let try_pool = |size| store.try_pool("gpu", size).expect("an answer");
    let mut held: Vec<_> = (0..5).map(|_| try_pool(5).expect("a place")).collect();
    // Two with high numbers are left.
    held.drain(..3);
    assert!(try_pool(2).is_none());
    let third = try_pool(3).expect("a third place");
    assert!(try_pool(3).is_none());
    held.pop();
    assert!(try_pool(2).is_none(), "one beyond and one within are two");
    drop(third);
    assert!(try_pool(2).is_some());
    held.pop();
    let both = (try_pool(2).expect("a place"), try_pool(2).expect("a place"));
    assert!(try_pool(2).is_none());
    drop(both);
}

pub(crate) fn a_rate_is_granted_so_often_and_then_tells_how_long_to_wait(
    store: &dyn Store,
    _: &Path,
) {
    let ask = |second: i64, starts| {
        let limit = Rate { starts, span: Duration::from_secs(10) };
        let now = Timestamp::from_second(1_000 + second).expect("a time");
        let answer = store.try_rate("api", limit, now).expect("an answer");
        answer.map(|wait| wait.as_secs())
    };
    assert_eq!([ask(0, 3), ask(1, 3), ask(4, 3)], [None, None, None]);
    assert_eq!([ask(4, 3), ask(9, 3), ask(10, 3)], [Some(6), Some(1), None]);
    assert_eq!([ask(10, 3), ask(10, 5), ask(10, 4)], [Some(1), None, Some(1)]);
    assert_eq!(ask(10, 0), Some(10));
    // The clock goes back by a year, and then ten years on.
    assert_eq!([ask(-31_536_000, 1), ask(-31_535_991, 1)], [Some(10), Some(1)]);
    assert_eq!(ask(-31_535_990, 1), None);
    assert_eq!([ask(315_360_000, 1), ask(315_360_001, 1)], [None, Some(9)]);
}

pub(crate) fn messages_are_read_oldest_first_until_they_are_taken(store: &dyn Store, _: &Path) {
    let run = run_id("one");
    let is_named = |error| matches!(error, StoreError::NoRun(name) if name == "one");
    assert!(store.post(&run, b"x").err().is_some_and(is_named));
    assert!(store.inbox(&run).err().is_some_and(is_named));
    let journal = store.create_run(&run, &[]).expect("a run");
    assert_eq!(store.inbox(&run).expect("messages"), []);
    let sent: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; usize::from(n)]).collect();
    sent.iter().for_each(|message| store.post(&run, message).expect("it is left there"));
    let messages = store.inbox(&run).expect("messages");
    let read: Vec<_> = messages.iter().map(|(_, content)| content.clone()).collect();
    assert_eq!(read, sent);
    store.take_message(&run, &messages[0].0).expect("it is removed");
    store.take_message(&run, &messages[0].0).expect("it is removed already");
    assert_eq!(store.inbox(&run).expect("messages"), messages[1..]);
    let longest = vec![b'x'; usize::try_from(MESSAGE_MAX).expect("a size")];
    store.post(&run, &longest).expect("it is left there");
    assert!(store.post(&run, &[&longest[..], b"x"].concat()).is_err());
    assert_eq!(store.inbox(&run).expect("messages").len(), 20);
    for name in ["", ".", "..", "../journal", "/etc/passwd"] {
        assert!(store.take_message(&run, name).is_err(), "{name:?}");
    }
    drop(journal);
}

/// Used where a backend has cases of its own.
pub(crate) fn check_all(store: &dyn Store, run: &str, tasks: std::ops::Range<u64>) {
    let run = run_id(run);
    for n in tasks {
        let found = store.checkpoint(&run, &task(n), &key(n)).expect("an answer");
        assert_eq!(found, Checkpoint::of(&run, &succeeded(n, &output(n))), "task {n}");
        let bytes = store.payload(&run, &json_ref(&output(n))).expect("a payload");
        assert_eq!(*bytes, *output(n), "payload {n}");
    }
}

/// A run with the results of some tasks.
pub(crate) fn make_run(store: &dyn Store, run: &str, tasks: std::ops::Range<u64>) {
    let mut journal = store.create_run(&run_id(run), &[]).expect("a run");
    succeed(&mut *journal, tasks);
}
