//! A check finds every damage.

use std::fs;
use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::payload::PayloadRef;
use flow_core::run::event::{Event, Outputs};
use flow_core::run::manifest::{DEFINITION_FILE, MANIFEST_FILE, Manifest};
use flow_core::store::Store;
use jiff::Timestamp;

use super::{Finding, FindingKind};
use crate::DiskStore;
use crate::testing::{artifact, finished, key, payload, record, run_id, succeed, task};

/// A small store with everything: inline and large payloads, a file, a folder, recorded files.
pub(super) fn small_store(folder: &Path) -> PathBuf {
    let dir = folder.join("store");
    let store = DiskStore::create(&dir).expect("a store");
    make_run(&store, folder, "one");
    store.cache_remove(&key(1)).expect("an answer");
    dir
}

/// A finished run that refers to a file, a folder, and a large payload.
pub(super) fn make_run(store: &DiskStore, work: &Path, name: &str) {
    let (file, tree) = (work.join("file.txt"), work.join("tree"));
    fs::write(&file, format!("content of {name}")).expect("a file");
    fs::create_dir_all(&tree).expect("a folder");
    fs::write(tree.join("leaf"), format!("leaf of {name}")).expect("a file");
    let (file, tree) = (artifact(store, &file), artifact(store, &tree));
    let large = format!("\"{}{name}\"", "x".repeat(70_000)).into_bytes();
    store.put_bytes(&large).expect("an object");
    let used = store.put_bytes(format!("used by {name}").as_bytes()).expect("an object");
    store.settle().expect("a sync");
    let definition = format!("# workflow of {name}\n").into_bytes();
    let param = flow_core::payload::Artifact { digest: used, ..file.clone() };
    let manifest = Manifest {
        params: [("p".to_owned(), param.to_json())].into(),
        definition: Digest::of(&definition),
        ..manifest()
    };
    let manifest = serde_json::to_vec(&manifest).expect("JSON");
    let files = [(MANIFEST_FILE, &manifest[..]), (DEFINITION_FILE, &definition[..])];
    let mut journal = store.create_run(&run_id(name), &files).expect("a run");
    let params = serde_json::json!({});
    let (workflow, manifest) = ("w".to_owned(), Digest::of(&manifest));
    let begun = Event::RunStarted { workflow, params, manifest, max_parallel: 1 };
    journal.append(&[record(0, begun)], &[]).expect("an append");
    succeed(&mut *journal, 1..4);
    let nested = serde_json::to_vec(&serde_json::json!([file.to_json()])).expect("JSON");
    let outputs: Outputs = [
        ("file".to_owned(), PayloadRef::of_artifact("file".into(), file)),
        ("tree".to_owned(), PayloadRef::of_artifact("dir".into(), tree)),
        ("large".to_owned(), PayloadRef::of_json("json".into(), &large)),
        ("nested".to_owned(), PayloadRef::of_json("json".into(), &nested)),
    ]
    .into();
    let (task, key) = (task(9), key(9));
    let made = Event::Succeeded {
        task,
        attempt: 1,
        key,
        outputs,
        duration_ms: 1,
        warnings: Vec::new(),
        usage: flow_core::call::Usage::default(),
        provisional: false,
    };
    journal.append(&[record(9, made)], &[payload(&nested)]).expect("an append");
    journal.append(&[finished(10)], &[]).expect("an append");
    journal.syncer().sync().expect("a sync");
}

fn manifest() -> Manifest {
    serde_json::from_value(serde_json::json!({
        "flow_version": "0", "workflow_path": "/w.toml", "definition": Digest::of(b""),
        "params": {}, "started_at": Timestamp::UNIX_EPOCH, "max_parallel": 1,
    }))
    .expect("a manifest")
}

pub(super) fn findings(dir: &Path) -> Vec<Finding> {
    let store = DiskStore::open(dir).expect("the store");
    let mut found = Vec::new();
    store.verify(&mut |finding| found.push(finding), &mut |_| {}).expect("it can be read");
    found
}

fn kinds(dir: &Path) -> Vec<FindingKind> {
    findings(dir).iter().map(|finding| finding.kind).collect()
}

/// As [`small_store`], without a database, which takes most of the time to look at.
fn store_of_files(folder: &Path) -> PathBuf {
    let dir = small_store(folder);
    fs::remove_dir_all(dir.join("checkpoints")).expect("it goes");
    dir
}

/// The files whose bytes matter, outside the database.
fn files_that_matter(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.join("runs.list"), dir.join("cache.removed")];
    let run = dir.join("runs/one");
    all.extend([MANIFEST_FILE, DEFINITION_FILE, "journal"].map(|name| run.join(name)));
    for folder in fs::read_dir(dir.join("objects")).expect("objects") {
        let folder = folder.expect("a folder").path();
        all.extend(fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("it").path()));
    }
    all
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).expect("it goes");
    fs::write(path, bytes).expect("a write");
}

#[test]
fn nothing_is_found_in_a_store_that_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    assert_eq!(findings(&dir), []);
    let store = DiskStore::open(&dir).expect("the store");
    let mut last = super::Progress::default();
    let done = store.verify(&mut |_| {}, &mut |progress| last = progress).expect("a check");
    assert_eq!(done, last);
    assert!(done.files >= 8 && done.bytes > 70_000, "{done:?}");
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = store_of_files(folder.path());
    for path in files_that_matter(&dir) {
        let whole = fs::read(&path).expect("the file");
        let step = 1 + whole.len() / 80;
        // Without its last line break a list ends in a torn line, which is no fault.
        let end = whole.len() - usize::from(path.ends_with("runs.list"));
        for at in (0..end).step_by(step) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            replace(&path, &damaged);
            let found = kinds(&dir);
            assert!(!found.is_empty(), "{} at {at}", path.display());
        }
        replace(&path, &whole);
    }
    assert_eq!(findings(&dir), []);
}

#[test]
fn a_file_that_is_cut_anywhere_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = store_of_files(folder.path());
    for path in files_that_matter(&dir) {
        if path.ends_with("runs.list") {
            // Its end may always be torn.
            continue;
        }
        let whole = fs::read(&path).expect("the file");
        let step = 1 + whole.len() / 40;
        for cut in (0..whole.len()).step_by(step) {
            replace(&path, &whole[..cut]);
            assert!(!kinds(&dir).is_empty(), "{} cut to {cut}", path.display());
        }
        replace(&path, &whole);
    }
    assert_eq!(findings(&dir), []);
}

#[test]
fn whatever_is_removed_is_named_with_what_needs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = store_of_files(folder.path());
    for path in files_that_matter(&dir) {
        if path.parent() == Some(&dir) {
            continue;
        }
        let whole = fs::read(&path).expect("the file");
        fs::remove_file(&path).expect("it goes");
        let found = findings(&dir);
        assert!(!found.is_empty(), "{}", path.display());
        for finding in &found {
            assert_eq!(finding.path, path);
            assert_eq!(finding.run, Some(run_id("one")));
            assert!(!finding.remedy.is_empty() && !finding.kind.is_note());
        }
        fs::write(&path, whole).expect("a write");
    }
    let file = Digest::of(b"content of one").to_string();
    fs::remove_file(dir.join("objects").join(&file[..2]).join(&file[2..])).expect("it goes");
    let mut named: Vec<_> = findings(&dir).into_iter().map(|f| (f.task, f.port)).collect();
    named.sort();
    let port = |name: &str| (Some(task(9)), Some(name.to_owned()));
    assert_eq!(named, [port("file"), port("nested")]);
}

#[test]
fn a_damaged_object_is_named_with_what_needs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let file = Digest::of(b"leaf of one").to_string();
    let path = dir.join("objects").join(&file[..2]).join(&file[2..]);
    replace(&path, b"leaf of two");
    let found = findings(&dir);
    assert!(
        found.iter().all(|finding| finding.kind == FindingKind::Object && finding.path == path)
    );
    let named: Vec<_> = found.into_iter().map(|f| (f.run, f.task, f.port)).collect();
    let needed = (Some(run_id("one")), Some(task(9)), Some("tree".to_owned()));
    assert_eq!(named, [(None, None, None), needed]);
}

#[test]
fn an_older_copy_of_a_run_is_found_by_what_the_database_knows() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let store = DiskStore::open(&dir).expect("the store");
    let journal = dir.join("runs/one/journal");
    let older = fs::read(&journal).expect("the journal");
    let mut taken_up = store.open_run(&run_id("one")).expect("the run");
    succeed(&mut *taken_up, 20..22);
    drop(taken_up);
    drop(store);
    replace(&journal, &older);
    assert_eq!(kinds(&dir), [FindingKind::OlderJournal]);
}

#[test]
fn the_end_of_a_killed_run_and_what_is_not_known_are_notes() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    let journal = dir.join("runs/one/journal");
    let mut bytes = fs::read(&journal).expect("the journal");
    bytes.extend([0; 5000]);
    replace(&journal, &bytes);
    assert_eq!(findings(&dir), [], "reserved space is no finding");
    bytes.extend(b"half a frame");
    replace(&journal, &bytes);
    fs::write(dir.join("notes.txt"), b"").expect("a file");
    fs::write(dir.join("objects/ab"), b"").expect("a file");
    fs::create_dir(dir.join("runs/not a run")).expect("a folder");
    fs::create_dir(dir.join("scratch/gone")).expect("a folder");
    let found = findings(&dir);
    assert!(found.iter().all(|finding| finding.kind.is_note()), "{found:?}");
    assert_eq!(found.len(), 5);
}

#[test]
fn a_damaged_database_is_found_and_told_to_be_an_index_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = small_store(folder.path());
    fs::write(dir.join("checkpoints/db"), vec![0xA5; 600_000]).expect("a write");
    assert_eq!(kinds(&dir), [FindingKind::Database]);
}
