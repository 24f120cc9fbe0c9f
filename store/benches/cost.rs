//! What the store costs: appends, syncs, checkpoints behind the run, opening, listing.
//!
//! `cargo bench -p flow-store` prints one line for each. The numbers of one run compare with each
//! other, not with those of another machine.
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::payload::PayloadRef;
use flow_core::run::event::{Event, Recorded, TaskRef};
use flow_core::store::{Adopt, InlinePayload, Rate, Store};
use flow_store::{DiskStore, Retention};
use jiff::Timestamp;

const TASKS: u64 = 10_000;

fn main() {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let dir = folder.path().join("store");
    let store = report("create a store", 1, || DiskStore::create(&dir).expect("a store"));
    drop(store);
    report("open a store", 100, || DiskStore::open(&dir).expect("a store"));
    let store = DiskStore::open(&dir).expect("a store");
    single_steps(&store);
    large_run(store, &dir);
    objects(&DiskStore::open(&dir).expect("a store"), folder.path());
    many_runs(&DiskStore::open(&dir).expect("a store"));
    sharing(&dir);
}

fn single_steps(store: &DiskStore) {
    let mut n = 0;
    report("create a run with 3 files", 20, || {
        n += 1;
        let files: [(&str, &[u8]); 3] = [("a", b"1"), ("b", b"2"), ("c", b"3")];
        store.create_run(&run(&format!("small-{n}")), &files).expect("a run")
    });
    let mut journal = store.create_run(&run("appends"), &[]).expect("a run");
    let (one_record, one_payload) = (&[succeeded(1)], &[output(1)]);
    report("append one result", 20_000, || {
        journal.append(one_record, one_payload).expect("an append")
    });
    let syncer = journal.syncer();
    report("append one result and sync", 300, || {
        journal.append(one_record, one_payload).expect("an append");
        syncer.sync().expect("a sync")
    });
}

/// A run of many tiny tasks, committed in waves, once without and once with the database.
fn large_run(store: DiskStore, dir: &std::path::Path) {
    let blocked = DiskStore::open(dir).expect("a store");
    store.flush();
    let wave = |store: &DiskStore, name: &str| {
        let mut journal = store.create_run(&run(name), &[]).expect("a run");
        let syncer = journal.syncer();
        for first in (0..TASKS).step_by(100) {
            let records: Vec<_> = (first..first + 100).map(succeeded).collect();
            let payloads: Vec<_> = (first..first + 100).map(output).collect();
            journal.append(&records, &payloads).expect("an append");
            syncer.sync().expect("a sync");
        }
    };
    let label = "10,000 results in 100 commits, another store has the database";
    report(label, 1, || {
        wave(&blocked, "without");
        blocked.flush();
    });
    drop(blocked);
    report("10,000 results in 100 commits, and their checkpoints", 1, || {
        wave(&store, "with");
        store.flush();
    });
    let mut store = Some(store);
    report("close the database", 1, || drop(store.take()));
    let store = DiskStore::open(dir).expect("a store");
    report("take the run up", 1, || drop(store.open_run(&run("with")).expect("the run")));
    report("first checkpoint, with opening the database", 1, || {
        store.checkpoint(&run("with"), &task(5), &key(5)).expect("ok").expect("it is there")
    });
    let mut n = 0;
    report("checkpoint from the database", TASKS as u32, || {
        n = (n + 1) % TASKS;
        store.checkpoint(&run("with"), &task(n), &key(n)).expect("ok").expect("it is there")
    });
    let mut n = 0;
    report("payload from the database", TASKS as u32, || {
        n = (n + 1) % TASKS;
        let (_, bytes) = output(n);
        store.payload(&run("with"), &PayloadRef::of_json("json".into(), &bytes)).expect("ok")
    });
    report("replay 10,000 records", 5, || store.read_run(&run("with")).expect("records"));
    println!("{:?}", store.stats());
}

fn objects(store: &DiskStore, folder: &std::path::Path) {
    let file = folder.join("file");
    let mut n = 0_u64;
    for (label, adopt) in [("move", Adopt::Move), ("copy", Adopt::Copy)] {
        let mut spent = Duration::ZERO;
        for _ in 0..5 {
            n += 1;
            let bytes: Vec<u8> = (0..1_250_000_u64).flat_map(|i| (i * n).to_le_bytes()).collect();
            std::fs::write(&file, bytes).expect("a file");
            let start = Instant::now();
            store.put_file(&file, adopt).expect("an object");
            store.settle().expect("a sync");
            spent += start.elapsed();
        }
        println!("{:70} {:>12.1?}", format!("store a file of 10 MB, {label}"), spent / 5);
    }
    let tree = folder.join("tree");
    std::fs::create_dir(&tree).expect("a folder");
    for n in 0..200_u64 {
        std::fs::write(tree.join(n.to_string()), (n + 1000).to_le_bytes()).expect("a file");
    }
    report("store a folder of 200 small files", 1, || {
        store.put_dir(&tree).expect("an object");
        store.settle().expect("a sync");
    });
    report("store 200 small objects and settle", 1, || {
        for n in 0..200_u64 {
            store.put_bytes(&n.to_le_bytes()).expect("an object");
        }
        store.settle().expect("a sync")
    });
}

fn many_runs(store: &DiskStore) {
    for n in 0..2_000 {
        let name = format!("many-{n}");
        std::fs::create_dir(store.run_dir(&run(&name))).expect("a folder");
    }
    report("list 2,000 runs that are not in the list", 1, || store.runs().expect("runs"));
    report("list 2,000 runs", 10, || store.runs().expect("runs"));
}

fn report<T>(label: &str, times: u32, mut call: impl FnMut() -> T) -> T {
    let (start, before) = (Instant::now(), cpu());
    for _ in 1..times {
        std::hint::black_box(call());
    }
    let last = call();
    print_line(label, start.elapsed() / times, (cpu() - before) / times);
    last
}

fn print_line(label: &str, each: Duration, cpu: Duration) {
    println!("{label:70} {each:>12.1?}   cpu {cpu:>12.1?}");
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let nanos = u32::try_from(usage.tv_nsec).unwrap_or(0);
    Duration::new(usage.tv_sec.unsigned_abs(), nanos)
}

fn run(name: &str) -> RunId {
    RunId::new(name).expect("a run id")
}

fn task(n: u64) -> TaskRef {
    TaskRef::node(&format!("task-{n:05}"))
}

fn key(n: u64) -> Digest {
    Digest::of(&n.to_le_bytes())
}

fn output(n: u64) -> InlinePayload {
    let bytes = format!("{{\"value\":{n}}}").into_bytes();
    (Digest::of(&bytes), bytes.into())
}

fn succeeded(n: u64) -> Recorded {
    let (_, bytes) = output(n);
    let outputs = [("value".to_owned(), PayloadRef::of_json("json".into(), &bytes))].into();
    let event = Event::Succeeded {
        task: task(n),
        attempt: 1,
        key: key(n),
        outputs,
        duration_ms: 3,
        warnings: Vec::new(),
        usage: flow_core::call::Usage::default(),
        provisional: false,
    };
    Recorded { seq: Some(n), ts: Timestamp::now(), event }
}

/// What runs share: results, flights, pools, rates, messages.
fn sharing(dir: &std::path::Path) {
    let (store, other) = (DiskStore::open(dir), DiskStore::open(dir));
    let (store, other) = (store.expect("a store"), other.expect("a store"));
    let known = Digest::of(&7_u64.to_le_bytes());
    report("find the first result of another run", 1, || store.cached(&known).expect("an answer"));
    report("find a result of another run", 2_000, || store.cached(&known).expect("an answer"));
    report("the same, asked of another process", 2_000, || other.cached(&known).expect("it"));
    report("take and give back a flight", 2_000, || store.try_flight(&known).expect("it"));
    report("take and give back a place in a pool", 2_000, || store.try_pool("p", 4).expect("it"));
    let limit = Rate { starts: 1_000, span: Duration::from_secs(1) };
    report("ask for a start under a rate", 2_000, || {
        store.try_rate("r", limit, Timestamp::now()).expect("an answer")
    });
    let run = run("inbox");
    let journal = store.create_run(&run, &[]).expect("a run");
    report("look into an empty inbox", 2_000, || store.inbox(&run).expect("messages"));
    drop(journal);
    report("check every byte of the store", 1, || {
        store.verify(&mut |_| {}, &mut |_| {}).expect("a check")
    });
    report("collect what no run needs", 1, || {
        store.gc(&Retention::default(), false).expect("a collection")
    });
}
