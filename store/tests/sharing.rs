//! What several processes share: results, flights, pools and rates, and what is left of that when
//! one of them is killed or stopped.
//!
//! Each test starts this same program again as children, which obey what they read from standard
//! input, line by line; what they do stands in [`child`].
#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::payload::PayloadRef;
use flow_core::run::event::{Event, Recorded, RunEnd, TaskRef};
use flow_core::store::{Hold, Journal, Rate, Store, StoreError};
use flow_store::{DiskStore, Finding, Retention};
use jiff::Timestamp;

const DIR: &str = "FLOW_STORE_SHARING_DIR";
const RUN: &str = "FLOW_STORE_SHARING_RUN";

/// A child with a run of its own, which answers each line with one line.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = DiskStore::create(Path::new(&dir)).expect("the store");
    let run = RunId::new(&std::env::var(RUN).expect("a run")).expect("a run id");
    let mut own = Own { journal: store.create_run(&run, &[]).expect("the run"), held: Vec::new() };
    println!("\nready");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let mut words = line.split(' ');
        let (verb, number) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let answer = own.obey(&store, verb, number.parse().expect("a number"));
        println!("\n{answer}");
    }
}

struct Own {
    journal: Box<dyn Journal>,
    held: Vec<Box<dyn Hold>>,
}

impl Own {
    fn obey(&mut self, store: &DiskStore, verb: &str, n: u64) -> String {
        match verb {
            "commit" => {
                commit(&mut *self.journal, n);
                "committed".into()
            }
            "cached" => run_of(store, n),
            "flight" => self.hold(store.try_flight(&key(n)).expect("an answer")),
            "pool" => self.hold(store.try_pool("gpu", 2).expect("an answer")),
            "once" => {
                let made = make_once(store, &mut *self.journal, n);
                if made { "made" } else { "found" }.into()
            }
            "rate" => starts(store, n).to_string(),
            // These go on until they are killed.
            "churn" => churn(store, n),
            "collect" => collect(store.dir()),
            other => panic!("{other}"),
        }
    }

    fn hold(&mut self, hold: Option<Box<dyn Hold>>) -> String {
        let answer = if hold.is_some() { "held" } else { "taken" };
        self.held.extend(hold);
        answer.into()
    }
}

fn key(n: u64) -> Digest {
    Digest::of(&n.to_le_bytes())
}

/// The run whose result is found, or `nothing`.
fn run_of(store: &DiskStore, n: u64) -> String {
    let found = store.cached(&key(n)).expect("an answer");
    found.map_or_else(|| "nothing".into(), |found| found.run.to_string())
}

fn commit(journal: &mut dyn Journal, n: u64) {
    let bytes = n.to_string().into_bytes();
    let event = Event::Succeeded {
        task: TaskRef::node(&format!("task-{n}")),
        attempt: 1,
        key: key(n),
        outputs: [("value".to_owned(), PayloadRef::of_json("json".into(), &bytes))].into(),
        duration_ms: 1,
        warnings: Vec::new(),
        usage: flow_core::call::Usage::default(),
        provisional: false,
    };
    let recorded = Recorded { seq: Some(n + 1), ts: Timestamp::UNIX_EPOCH, event };
    journal.append(&[recorded], &[(Digest::of(&bytes), bytes.into())]).expect("an append");
    journal.syncer().sync().expect("a sync");
}

fn make_once(store: &DiskStore, journal: &mut dyn Journal, n: u64) -> bool {
    loop {
        if store.cached(&key(n)).expect("an answer").is_some() {
            return false;
        }
        let Some(flight) = store.try_flight(&key(n)).expect("an answer") else {
            std::thread::yield_now();
            continue;
        };
        let made = store.cached(&key(n)).expect("an answer").is_none();
        if made {
            commit(journal, n);
        }
        drop(flight);
        return made;
    }
}

/// How many of `tries` starts are granted at one moment.
fn starts(store: &DiskStore, tries: u64) -> usize {
    let limit = Rate { starts: 25, span: Duration::from_secs(60) };
    let granted =
        |_: &u64| store.try_rate("api", limit, Timestamp::UNIX_EPOCH).expect("it").is_none();
    (0..tries).filter(granted).count()
}

/// Makes runs that refer to files of a few contents, one after the other.
fn churn(store: &DiskStore, seed: u64) -> ! {
    let mut number = 0_u64;
    loop {
        number += 1;
        let run = RunId::new(&format!("churn-{seed}-{number}")).expect("a run id");
        let mut journal = store.create_run(&run, &[]).expect("the run");
        for n in number..number + 3 {
            let bytes = format!("\"{}{}\"", "x".repeat(70_000), n % 5).into_bytes();
            store.put_bytes(&bytes).expect("an object");
            store.settle().expect("a sync");
            let event = Event::Succeeded {
                task: TaskRef::node("task"),
                attempt: 1,
                key: key(n % 5),
                outputs: [("value".to_owned(), PayloadRef::of_json("json".into(), &bytes))].into(),
                duration_ms: 1,
                warnings: Vec::new(),
                usage: flow_core::call::Usage::default(),
                provisional: false,
            };
            let recorded = Recorded { seq: Some(n), ts: Timestamp::UNIX_EPOCH, event };
            journal.append(&[recorded], &[]).expect("an append");
            journal.syncer().sync().expect("a sync");
        }
        let event = Event::RunFinished { status: RunEnd::Succeeded };
        let ended = Recorded { seq: Some(number), ts: Timestamp::UNIX_EPOCH, event };
        journal.append(&[ended], &[]).expect("an append");
        journal.syncer().sync().expect("a sync");
    }
}

/// Collects again and again, each time as a process of its own would.
fn collect(dir: &Path) -> ! {
    let retention = Retention { keep_last: Some(3), ..Retention::default() };
    loop {
        match DiskStore::open(dir).expect("the store").gc(&retention, false) {
            Ok(_) => {}
            Err(StoreError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn start(dir: &Path, run: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(DIR, dir)
            .env(RUN, run)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        let stdin = child.stdin.take().expect("its input");
        Self { child, stdin, lines }
    }

    fn ready(dir: &Path, run: &str) -> Self {
        let mut process = Self::start(dir, run);
        process.await_ready();
        process
    }

    /// Waits until its run is there; what the test harness prints before is left out.
    fn await_ready(&mut self) {
        while self.line() != "ready" {}
    }

    fn tell(&mut self, order: &str) {
        self.stdin.write_all(format!("{order}\n").as_bytes()).expect("it listens");
    }

    /// The next line that is not empty.
    fn line(&mut self) -> String {
        let mut line = String::new();
        while line.trim().is_empty() {
            line.clear();
            assert!(self.lines.read_line(&mut line).expect("a line") > 0, "the child ended");
        }
        line.trim().to_owned()
    }

    fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.line()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, signal).expect("it gets the signal");
    }

    /// Stops it, and waits until all of its threads have stopped.
    fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
        let id = i32::try_from(self.child.id()).expect("a process id");
        let options = rustix::process::WaitOptions::UNTRACED;
        let waited = rustix::process::waitpid(rustix::process::Pid::from_raw(id), options);
        let (_, status) = waited.expect("an answer").expect("a change");
        assert!(status.stopped());
    }

    fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Lets the child end by itself.
    fn finish(self) {
        let Self { mut child, stdin, mut lines } = self;
        drop(stdin);
        std::io::copy(&mut lines, &mut std::io::sink()).expect("the rest");
        assert!(child.wait().expect("it ends").success());
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    (folder, dir)
}

#[test]
fn what_any_process_made_is_found_by_any_other_at_once() {
    let (_folder, dir) = folder();
    let mut all: Vec<_> = (0..4).map(|n| Process::ready(&dir, &format!("run-{n}"))).collect();
    for n in 0..40 {
        let maker = n % all.len();
        assert_eq!(all[maker].ask(&format!("commit {n}")), "committed");
        for process in &mut all {
            assert_eq!(process.ask(&format!("cached {n}")), format!("run-{maker}"), "key {n}");
        }
    }
    all.into_iter().for_each(Process::finish);
}

#[test]
fn when_the_process_that_answers_is_killed_the_next_question_is_answered_all_the_same() {
    let (_folder, dir) = folder();
    // Each process in turn is the one with the database, finds what those before it made, and is
    // killed while the next one lives.
    let mut holder = Process::ready(&dir, "run-0");
    for n in 1..12 {
        let mut other = Process::ready(&dir, &format!("run-{n}"));
        assert_eq!(holder.ask(&format!("commit {}", 2 * n)), "committed");
        assert_eq!(other.ask(&format!("commit {}", 2 * n + 1)), "committed");
        assert_eq!(other.ask(&format!("cached {}", 2 * n)), format!("run-{}", n - 1));
        holder.kill();
        for made in 2..=2 * n + 1 {
            let maker = if made % 2 == 0 { made / 2 - 1 } else { made / 2 };
            // A run that was `other` once became the holder and made the next even key.
            assert_eq!(other.ask(&format!("cached {made}")), format!("run-{maker}"), "key {made}");
        }
        holder = other;
    }
    holder.finish();
}

#[test]
fn a_process_that_is_stopped_while_it_should_answer_holds_nobody_up() {
    let (_folder, dir) = folder();
    let mut holder = Process::ready(&dir, "holder");
    assert_eq!(holder.ask("commit 1"), "committed");
    assert_eq!(holder.ask("cached 1"), "holder");
    let mut other = Process::ready(&dir, "other");
    assert_eq!(other.ask("cached 1"), "holder");
    holder.stop();
    assert_eq!(other.ask("cached 1"), "nothing");
    assert_eq!(other.ask("commit 2"), "committed");
    assert_eq!(other.ask("flight 2"), "held");
    assert_eq!(other.ask("pool 0"), "held");
    assert_eq!(other.ask("rate 1"), "1");
    other.finish();
    // Those who come later have the whole second of patience again.
    let mut third = Process::ready(&dir, "third");
    assert_eq!(third.ask("cached 2"), "nothing");
    holder.signal(rustix::process::Signal::CONT);
    assert_eq!(holder.ask("cached 2"), "other");
    third.finish();
    holder.finish();
}

#[test]
fn processes_that_want_the_same_results_at_once_make_each_once() {
    let (_folder, dir) = folder();
    let mut all: Vec<_> = (0..8).map(|n| Process::ready(&dir, &format!("run-{n}"))).collect();
    for n in 0..10 {
        let order = format!("once {n}");
        all.iter_mut().for_each(|process| process.tell(&order));
        let made = all.iter_mut().filter_map(|p| (p.line() == "made").then_some(())).count();
        assert_eq!(made, 1, "key {n}");
    }
    all.into_iter().for_each(Process::finish);
}

#[test]
fn what_a_killed_process_held_is_free_as_soon_as_it_is_dead() {
    let (_folder, dir) = folder();
    let mut first = Process::ready(&dir, "first");
    let mut second = Process::ready(&dir, "second");
    for verb in ["flight 1", "pool 0", "pool 0"] {
        assert_eq!(first.ask(verb), "held", "{verb}");
    }
    assert_eq!(second.ask("flight 1"), "taken");
    assert_eq!(second.ask("pool 0"), "taken");
    first.kill();
    for verb in ["flight 1", "pool 0", "pool 0"] {
        assert_eq!(second.ask(verb), "held", "{verb}");
    }
    assert_eq!(second.ask("pool 0"), "taken");
    second.finish();
}

#[test]
fn all_processes_together_get_no_more_starts_than_the_rate() {
    let (_folder, dir) = folder();
    let mut all: Vec<_> = (0..4).map(|n| Process::ready(&dir, &format!("run-{n}"))).collect();
    all.iter_mut().for_each(|process| process.tell("rate 20"));
    let granted: u32 = all.iter_mut().map(|p| p.line().parse::<u32>().expect("a number")).sum();
    assert_eq!(granted, 25);
    all.into_iter().for_each(Process::finish);
}

#[test]
fn ten_processes_that_begin_on_an_empty_store_at_once_share_it_from_the_start() {
    for round in 0..10 {
        let (_folder, dir) = folder();
        let mut all: Vec<_> = (0..10).map(|n| Process::start(&dir, &format!("run-{n}"))).collect();
        all.iter_mut().for_each(Process::await_ready);
        all.iter_mut().for_each(|process| process.tell("once 7"));
        let answers: Vec<String> = all.iter_mut().map(Process::line).collect();
        let made = answers.iter().filter(|answer| *answer == "made").count();
        assert_eq!(made, 1, "round {round}: {answers:?}");
        all.into_iter().for_each(Process::finish);
    }
}

#[test]
fn collections_and_runs_that_are_killed_at_any_instant_leave_every_kept_run_whole() {
    let (_folder, dir) = folder();
    for round in 0..5_u64 {
        let mut churning = Process::ready(&dir, &format!("a-{round}"));
        let mut collecting = Process::ready(&dir, &format!("b-{round}"));
        churning.tell(&format!("churn {round}"));
        collecting.tell("collect 0");
        // Each round is cut somewhere else.
        (0..(round + 1) * 2_000_000).for_each(|n| {
            std::hint::black_box(n);
        });
        collecting.kill();
        churning.kill();
        let store = DiskStore::open(&dir).expect("the store");
        let mut found: Vec<Finding> = Vec::new();
        store.verify(&mut |finding| found.push(finding), &mut |_| {}).expect("a check");
        found.retain(|finding| !finding.kind.is_note());
        assert_eq!(found, [], "round {round}");
    }
    let store = DiskStore::open(&dir).expect("the store");
    let retention = Retention { keep_last: Some(0), older_than: Some(Timestamp::MAX) };
    store.gc(&retention, false).expect("a collection");
    assert_eq!(store.runs().expect("runs"), []);
    drop(store);
    let left = std::fs::read_dir(dir.join("objects"))
        .expect("objects")
        .flat_map(|folder| std::fs::read_dir(folder.expect("a folder").path()).expect("it"));
    assert_eq!(left.count(), 0, "nothing is left that nobody needs");
    assert_eq!(std::fs::read_dir(dir.join("tmp")).expect("it").count(), 0);
}
