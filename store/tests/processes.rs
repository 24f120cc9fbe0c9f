//! Several processes on one store, and processes that are killed while they use it.
//!
//! Each test starts this same program again as a child; what the child does stands in [`child`].
#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::payload::PayloadRef;
use flow_core::run::event::{Event, Recorded, TaskRef};
use flow_core::store::{Journal, Store, StoreError};
use flow_store::DiskStore;
use jiff::Timestamp;

const DIR: &str = "FLOW_STORE_TEST_DIR";
const RUN: &str = "FLOW_STORE_TEST_RUN";
const TASKS: &str = "FLOW_STORE_TEST_TASKS";

/// A child: makes or takes up a run, and reports each result once it is durable.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let run = run_id(&std::env::var(RUN).expect("a run"));
    let tasks: u64 = std::env::var(TASKS).expect("a number").parse().expect("a number");
    let store = DiskStore::create(Path::new(&dir)).expect("the store");
    let mut journal = match store.create_run(&run, &[("flow.toml", b"text")]) {
        Err(StoreError::RunExists(_)) => store.open_run(&run).expect("the run"),
        other => other.expect("the run"),
    };
    let first = journal.replay().expect("records").len() as u64;
    for n in first..first + tasks {
        commit(&mut *journal, n);
        println!("\ncommitted {n}");
    }
    store.flush();
    println!("\nwaiting");
    // Ends when the parent closes the pipe or kills this process.
    std::io::stdin().lock().read_line(&mut String::new()).expect("the end of the pipe");
}

fn commit(journal: &mut dyn Journal, n: u64) {
    let bytes = output(n);
    let payload = (Digest::of(&bytes), bytes.into());
    journal.append(&[record(n)], &[payload]).expect("an append");
    journal.syncer().sync().expect("a sync");
}

fn run_id(text: &str) -> RunId {
    RunId::new(text).expect("a run id")
}

fn task(n: u64) -> TaskRef {
    TaskRef::node(&format!("task-{n}"))
}

fn output(n: u64) -> Vec<u8> {
    n.to_string().into_bytes()
}

fn record(n: u64) -> Recorded {
    let event = Event::Succeeded {
        task: task(n),
        attempt: 1,
        key: Digest::of(&output(n)),
        outputs: [("value".to_owned(), PayloadRef::of_json("json".into(), &output(n)))].into(),
        duration_ms: 1,
        warnings: Vec::new(),
        usage: flow_core::call::Usage::default(),
        provisional: false,
    };
    Recorded { seq: Some(n + 1), ts: Timestamp::UNIX_EPOCH, event }
}

struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn start(dir: &Path, run: &str, tasks: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(DIR, dir)
            .env(RUN, run)
            .env(TASKS, tasks.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, lines }
    }

    /// Reads until the child reports `wanted`; panics if it ends before.
    fn await_line(&mut self, wanted: &str) {
        let mut line = String::new();
        while line.trim_end() != wanted {
            line.clear();
            let len = self.lines.read_line(&mut line).expect("a line");
            assert!(len > 0, "the child ended before it said {wanted:?}");
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Lets the child end by itself.
    fn finish(mut self) {
        self.await_line("waiting");
        let mut stdin = self.child.stdin.take().expect("its input");
        stdin.write_all(b"\n").expect("a line");
        drop(stdin);
        // What the test harness prints at the end must not block it.
        std::io::copy(&mut self.lines, &mut std::io::sink()).expect("the rest");
        assert!(self.child.wait().expect("it ends").success());
    }
}

/// Checks that the first `acknowledged` results are there, that every further one is whole, and
/// that each is found as a checkpoint with its payload.
fn check(store: &DiskStore, run: &RunId, acknowledged: u64) {
    let records = store.read_run(run).expect("records");
    assert!(records.len() as u64 >= acknowledged, "an acknowledged result was lost");
    for (n, found) in (0..).zip(&records) {
        assert_eq!(*found, record(n));
        let key = Digest::of(&output(n));
        let checkpoint = store.checkpoint(run, &task(n), &key).expect("an answer");
        assert!(checkpoint.is_some(), "result {n}");
        let payload = PayloadRef::of_json("json".into(), &output(n));
        assert_eq!(*store.payload(run, &payload).expect("a payload"), *output(n));
    }
}

#[test]
fn ten_processes_that_make_the_store_at_once_all_succeed() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("deep/store");
    let names: Vec<String> = (0..10).map(|n| format!("run-{n}")).collect();
    let all: Vec<_> = names.iter().map(|name| Process::start(&dir, name, 5)).collect();
    all.into_iter().for_each(Process::finish);
    let store = DiskStore::open(&dir).expect("the store");
    assert_eq!(store.runs().expect("runs").len(), 10);
    for name in &names {
        check(&store, &run_id(name), 5);
        assert_eq!(store.holder(&run_id(name)).expect("an answer"), None);
    }
}

#[test]
fn a_process_killed_after_any_commit_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    let run = run_id("killed");
    let mut acknowledged = 0;
    for step in [0, 1, 2, 3, 5, 40, 150, 1, 7] {
        let mut process = Process::start(&dir, "killed", 1_000_000);
        acknowledged += step;
        process.await_line(&format!("committed {acknowledged}"));
        process.kill();
        let store = DiskStore::open(&dir).expect("the store");
        assert_eq!(store.holder(&run).expect("an answer"), None);
        check(&store, &run, acknowledged + 1);
        acknowledged = store.read_run(&run).expect("records").len() as u64;
    }
}

#[test]
fn a_process_killed_while_it_makes_the_store_leaves_nothing_to_repair() {
    for round in 0..24_u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("store");
        let process = Process::start(&dir, "first", 3);
        // The child is somewhere between its start and its first commits, and each round further on.
        (0..round * 20_000).for_each(|n| {
            std::hint::black_box(n);
            std::hint::spin_loop();
        });
        process.kill();
        let store = DiskStore::create(&dir).expect("the store can be made");
        for entry in store.runs().expect("runs") {
            drop(store.open_run(&entry.id).expect("a run is whole or not there"));
            check(&store, &entry.id, 0);
        }
        let run = run_id("second");
        let mut journal = store.create_run(&run, &[]).expect("a run");
        commit(&mut *journal, 0);
        drop(journal);
        store.flush();
        check(&store, &run, 1);
    }
}

#[test]
fn a_run_is_free_as_soon_as_its_process_is_dead() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    let mut process = Process::start(&dir, "held", 1);
    process.await_line("committed 0");
    let store = DiskStore::open(&dir).expect("the store");
    let run = run_id("held");
    let name = format!("process {} on host ", process.child.id());
    let refused = store.open_run(&run).err().expect("it is held");
    assert!(matches!(refused, StoreError::Held { holder, .. } if holder.starts_with(&name)));
    assert_eq!(store.read_run(&run).expect("anyone may read").len(), 1);
    process.kill();
    let journal = store.open_run(&run).expect("it is free");
    assert_eq!(journal.replay().expect("records").len(), 1);
}

#[test]
fn when_the_process_with_the_database_dies_another_takes_it_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    let mut holder = Process::start(&dir, "holder", 10);
    holder.await_line("waiting");
    let store = DiskStore::open(&dir).expect("the store");
    let mut journal = store.create_run(&run_id("other"), &[]).expect("a run");
    commit(&mut *journal, 0);
    check(&store, &run_id("other"), 1);
    check(&store, &run_id("holder"), 10);
    let before = store.stats();
    assert_eq!((before.database_hits, before.checkpoints_written), (0, 0));
    holder.kill();
    commit(&mut *journal, 1);
    store.flush();
    assert!(store.stats().checkpoints_written > 0, "the database was taken over");
    check(&store, &run_id("other"), 2);
    check(&store, &run_id("holder"), 10);
}
