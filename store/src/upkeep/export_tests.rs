//! A run goes from one store to another as one file, whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::run::manifest::MANIFEST_FILE;
use flow_core::store::{Store, StoreError};

use super::package::Hashing;
use super::verify_tests::{findings, small_store};
use crate::DiskStore;
use crate::testing::{finished, json_ref, key, run_id, succeed, task};

/// A store with a run, and a file with that run in it.
fn exported(folder: &Path) -> (PathBuf, PathBuf) {
    let dir = small_store(folder);
    let store = DiskStore::open(&dir).expect("the store");
    let run = run_id("one");
    store.put_run_file(&run, "private.keys", b"canary").expect("a file");
    store.put_run_file(&run, "notes", b"added later").expect("a file");
    store.post(&run, b"a message that waits").expect("it is left there");
    let output = store.run_dir(&run).join("output");
    fs::create_dir_all(&output).expect("folders");
    fs::write(output.join("task.1.stdout"), b"captured").expect("a file");
    let file = folder.join("one.flow");
    store.export(&run, &file).expect("an export");
    (dir, file)
}

fn empty_store(folder: &Path) -> DiskStore {
    DiskStore::create(&folder.join("other")).expect("a store")
}

#[test]
fn a_run_comes_back_whole_in_another_store_and_goes_on_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, file) = exported(folder.path());
    let from = DiskStore::open(&dir).expect("the store");
    let to = empty_store(folder.path());
    let run = run_id("one");
    assert_eq!(to.import(&file).expect("an import"), run);
    assert_eq!(to.read_run(&run).expect("records"), from.read_run(&run).expect("records"));
    assert_eq!(to.runs().expect("runs"), from.runs().expect("runs"));
    for name in [MANIFEST_FILE, "workflow.toml", "notes"] {
        let (a, b) = (to.run_file(&run, name), from.run_file(&run, name));
        assert_eq!(a.expect("the file"), b.expect("the file"), "{name}");
    }
    let captured = to.run_dir(&run).join("output/task.1.stdout");
    assert_eq!(fs::read(captured).expect("captured output"), b"captured");
    assert_eq!(*to.payload(&run, &json_ref(b"{\"n\":2}")).expect("a payload"), *b"{\"n\":2}");
    assert!(to.checkpoint(&run, &task(9), &key(9)).expect("an answer").is_some());
    assert_eq!(to.cached(&key(9)).expect("an answer").map(|found| found.run), Some(run.clone()));
    let mut journal = to.open_run(&run).expect("it can be taken up");
    succeed(&mut *journal, 30..31);
    journal.append(&[finished(31)], &[]).expect("an append");
    drop(journal);
    drop(to);
    assert_eq!(findings(&folder.path().join("other")), []);
}

#[test]
fn what_is_private_or_waits_stays_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, file) = exported(folder.path());
    let bytes = fs::read(&file).expect("the file");
    for canary in [&b"canary"[..], b"a message that waits", b"private."] {
        assert!(!bytes.windows(canary.len()).any(|window| window == canary));
    }
    let mode = fs::metadata(dir.join("runs/one/private.keys")).expect("it").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let to = empty_store(folder.path());
    to.import(&file).expect("an import");
    assert_eq!(to.inbox(&run_id("one")).expect("messages"), []);
}

#[test]
fn a_damaged_or_cut_file_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, file) = exported(folder.path());
    let whole = fs::read(&file).expect("the file");
    let to = empty_store(folder.path());
    let damaged = folder.path().join("damaged");
    let step = 1 + whole.len() / 300;
    for at in (0..whole.len()).step_by(step).chain(whole.len() - 45..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        for content in [&bytes[..], &whole[..at]] {
            fs::write(&damaged, content).expect("a write");
            let error = to.import(&damaged).expect_err("it is damaged");
            assert!(matches!(error, StoreError::Damaged { .. }), "byte {at}: {error}");
        }
    }
    assert_eq!(to.runs().expect("runs"), []);
    drop(to);
    assert_eq!(findings(&folder.path().join("other")), []);
    let objects = fs::read_dir(folder.path().join("other/objects")).expect("objects");
    assert_eq!(objects.count(), 0);
}

#[test]
fn a_run_that_is_there_already_is_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, file) = exported(folder.path());
    let store = DiskStore::open(&dir).expect("the store");
    let before = store.read_run(&run_id("one")).expect("records");
    let error = store.import(&file).expect_err("it is there");
    assert!(matches!(error, StoreError::RunExists(run) if run == run_id("one")));
    assert_eq!(store.read_run(&run_id("one")).expect("records"), before);
    let error = store.export(&run_id("one"), &file).expect_err("the file is there");
    assert!(matches!(error, StoreError::Io { source, .. }
        if source.kind() == std::io::ErrorKind::AlreadyExists));
    assert!(matches!(store.export(&run_id("two"), &folder.path().join("x")),
        Err(StoreError::NoRun(name)) if name == "two"));
}

#[test]
fn a_run_that_has_lost_something_is_not_exported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, _) = exported(folder.path());
    let digest = Digest::of(b"content of one");
    let store = DiskStore::open(&dir).expect("the store");
    let path = store.object(&digest).expect("the object");
    let target = folder.path().join("again.flow");
    fs::remove_file(&path).expect("it goes");
    let error = store.export(&run_id("one"), &target).expect_err("it is lost");
    assert!(matches!(error, StoreError::Missing { digest: lost, .. } if lost == digest));
    fs::write(&path, b"content of two").expect("a write");
    let error = store.export(&run_id("one"), &target).expect_err("it is damaged");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let left = fs::read_dir(folder.path()).expect("a folder").filter(|entry| {
        entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().contains("again"))
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_run_that_is_going_on_is_exported_as_far_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = DiskStore::create(&folder.path().join("store")).expect("a store");
    let mut journal = store.create_run(&run_id("live"), &[]).expect("a run");
    succeed(&mut *journal, 0..3);
    let file = folder.path().join("live.flow");
    store.export(&run_id("live"), &file).expect("an export");
    succeed(&mut *journal, 3..4);
    let to = empty_store(folder.path());
    to.import(&file).expect("an import");
    assert_eq!(to.read_run(&run_id("live")).expect("records").len(), 3);
    drop(to.open_run(&run_id("live")).expect("nobody has it there"));
}

/// A file with a right digest and any entries.
fn forged(path: &Path, entries: &[(&str, &[u8])]) {
    let mut archive = tar::Builder::new(Hashing::new(Vec::new()));
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Written as bytes, since the library itself refuses names that lead elsewhere.
        header.as_gnu_mut().expect("a header").name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).expect("an entry");
    }
    let bytes = archive.into_inner().and_then(Hashing::finish).expect("an archive");
    fs::write(path, bytes).expect("a write");
}

#[test]
fn a_file_that_was_made_to_do_harm_does_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = empty_store(folder.path());
    let path = folder.path().join("forged");
    let head: (&str, &[u8]) =
        ("flow-export.json", br#"{"format":1,"run":"evil","created_at":"2026-01-01T00:00:00Z"}"#);
    let object = format!("objects/{}", Digest::of(b"other"));
    let cases: [&[(&str, &[u8])]; 12] = [
        &[],
        &[head],
        &[("run/journal", b"x")],
        &[head, ("run/../../../escaped", b"x")],
        &[head, ("/tmp/escaped", b"x")],
        &[head, ("run/lock", b"x")],
        &[head, ("run/inbox/1", b"x")],
        &[head, ("run/private.keys", b"x")],
        &[head, ("run/output/../journal", b"x")],
        &[head, ("objects/../runs/evil/journal", b"x")],
        &[head, (&object, b"bytes of something else")],
        &[head, ("run/journal", b"this is no journal")],
    ];
    for entries in cases {
        forged(&path, entries);
        let error = to.import(&path).expect_err("it is refused");
        assert!(matches!(error, StoreError::Damaged { .. }), "{entries:?}: {error}");
    }
    forged(&path, &[("flow-export.json", br#"{"format":2,"what":"ever"}"#)]);
    let error = to.import(&path).expect_err("it is newer");
    assert!(matches!(error, StoreError::TooNew { found: 2, known: 1, .. }), "{error}");
    assert_eq!(to.runs().expect("runs"), []);
    assert!(!folder.path().join("escaped").exists());
}
