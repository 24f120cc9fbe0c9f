//! Whatever happens, nothing that a program has started outlives it.

use std::time::Duration;

use flow_core::error::ErrorClass;
use flow_core::stage::{CancelReason, Context as _};

use super::{appears, sh, stop_when_ready};
use crate::process::Command;
use crate::process::platform::signal_process;
use crate::process::testing::{TestContext, spawner};
use crate::process::tree::{self, Snapshot};

/// Living processes whose command line has this text.
fn living(mark: &str) -> Vec<u32> {
    Snapshot::take()
        .all()
        .filter(|process| !process.zombie)
        .map(|process| process.identity.pid)
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            *pid != std::process::id() && String::from_utf8_lossy(&line).contains(mark)
        })
        .collect()
}

/// Whether the daemon `sleep MARK` lives.
fn is_asleep(mark: &str) -> bool {
    let line = format!("sleep\0{mark}\0").into_bytes();
    living(mark)
        .iter()
        .any(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == line))
}

/// A word that no other test has in its commands.
fn mark(test: u32) -> String {
    format!("9{test:03}.{}", std::process::id())
}

#[tokio::test]
async fn every_kind_of_descendant_is_ended() {
    let table = [
        ("a stubborn program", "trap '' TERM; touch ready; while :; do sleep MARK; done"),
        ("a background child", "sleep MARK & touch ready; wait"),
        ("a child with its own session", "setsid sleep MARK & touch ready; wait"),
        ("a daemon", "(setsid sh -c 'touch ready; exec sleep MARK' & ) & wait; sleep MARK"),
        (
            "a nameless daemon",
            "(env -i /usr/bin/setsid /bin/sh -c ': > ready; exec /bin/sleep MARK' & ) & sleep MARK",
        ),
        (
            "a stubborn daemon",
            "(setsid sh -c 'trap \"\" TERM; touch ready; while :; do sleep MARK; done' & ) & sleep MARK",
        ),
        ("a stopped program", "sleep MARK & kill -STOP $!; touch ready; kill -STOP $$"),
        (
            "a stopped daemon",
            "(setsid sh -c 'touch ready; kill -STOP $$; sleep MARK' & ) & sleep MARK",
        ),
        ("a tree", "sh -c 'sh -c \"sleep MARK & wait\" & sleep MARK & wait' & touch ready; wait"),
    ];
    for (number, (what, script)) in (0..).zip(table) {
        let mark = mark(number);
        let script = script.replace("MARK", &mark);
        let grace = Duration::from_millis(150);
        let error = stop_when_ready(&script, CancelReason::Timeout, grace).await;
        assert_eq!(error.class, ErrorClass::Timeout, "{what}");
        assert!(living(&mark).is_empty(), "{what}");
    }
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_ended_after_a_moment() {
    let table = [
        ("a child that keeps stdout open", "sleep MARK & echo done"),
        ("a daemon", "(setsid sleep MARK >/dev/null 2>&1 & ) ; echo done"),
        ("a nameless daemon", "(env -i /usr/bin/setsid /bin/sleep MARK & ) ; echo done"),
        ("a stubborn one", "(trap '' TERM; sleep MARK) & echo done"),
    ];
    for (number, (what, script)) in (100..).zip(table) {
        let (context, mark) = (TestContext::new(), mark(number));
        let grace = Duration::from_millis(100);
        let command = Command { grace, ..sh(&script.replace("MARK", &mark)) };
        spawner().run(&context, command).await.expect(what);
        assert_eq!(context.stdout(), "done\n", "{what}");
        assert!(living(&mark).is_empty(), "{what}");
    }
}

/// A daemon that forks and ends again and again: a look at the process table can miss it, since that is
/// not read in one instant.
const HOPPER: &str =
    "hop() { if [ $1 -gt 0 ]; then hop $(($1 - 1)) & else exec sleep MARK; fi; }; hop 400";

#[tokio::test]
async fn what_hops_from_process_to_process_is_ended() {
    for number in 150..160 {
        let (context, mark) = (TestContext::new(), mark(number));
        let script = format!("({HOPPER}) > /dev/null 2>&1; echo done").replace("MARK", &mark);
        spawner().run(&context, sh(&script)).await.expect("it succeeds");
        assert!(living(&mark).is_empty());
    }
}

#[tokio::test]
async fn what_ends_by_itself_soon_is_heard_out() {
    let context = TestContext::new();
    let script = "(sleep 0.05; echo late) & echo early";
    spawner().run(&context, sh(script)).await.expect("it succeeds");
    assert_eq!(context.stdout(), "early\nlate\n");
}

#[tokio::test]
async fn attempts_side_by_side_keep_their_own_descendants() {
    let (spawner, first, second) = (spawner(), TestContext::new(), TestContext::new());
    let (mark_a, mark_b) = (mark(200), mark(201));
    // Both have a daemon; ending the first must leave the second's alone.
    let script = |mark: &str, end: &str| format!("(setsid sleep {mark} & ) & touch ready; {end}");
    let a = spawner.run(&first, sh(&script(&mark_a, "sleep 100")));
    let b = spawner.run(&second, sh(&script(&mark_b, "while ! test -e go; do sleep 0.01; done")));
    let conductor = async {
        appears(&first.scratch().join("ready")).await;
        appears(&second.scratch().join("ready")).await;
        while !is_asleep(&mark_a) || !is_asleep(&mark_b) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        first.cancel(CancelReason::Timeout);
        while is_asleep(&mark_a) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let second_lives = is_asleep(&mark_b);
        std::fs::write(second.scratch().join("go"), "").expect("a signal to the second");
        second_lives
    };
    let (a, b, second_lives) = tokio::join!(a, b, conductor);
    assert_eq!(a.expect_err("it was ended").class, ErrorClass::Timeout);
    b.expect("it succeeds");
    assert!(second_lives);
    assert!(living(&mark_b).is_empty());
}

#[tokio::test]
async fn a_dropped_attempt_takes_its_program_with_it() {
    let (spawner, context, mark) = (spawner(), TestContext::new(), mark(300));
    let script = format!("sleep {mark} & touch ready; wait");
    let ready = context.scratch().join("ready");
    tokio::select! {
        _ = spawner.run(&context, sh(&script)) => panic!("it was not to end"),
        () = appears(&ready) => {}
    }
    while !living(&mark).is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn kill_all_leaves_nothing() {
    let (spawner, context, mark) = (spawner(), TestContext::new(), mark(400));
    let script = format!("trap '' TERM; (setsid sleep {mark} & ) & touch ready; sleep {mark}");
    let command = Command { grace: Duration::from_secs(10_000), ..sh(&script) };
    let killer = async {
        appears(&context.scratch().join("ready")).await;
        spawner.kill_all().await;
    };
    let (result, ()) = tokio::join!(spawner.run(&context, command), killer);
    assert_eq!(result.expect_err("it was killed").signal.as_deref(), Some("SIGKILL"));
    assert!(living(&mark).is_empty());
}

#[tokio::test]
async fn the_death_of_the_starter_process_fails_the_attempt_and_leaves_nothing() {
    let (spawner, context, mark) = (spawner(), TestContext::new(), mark(500));
    let daemon = format!("(setsid sh -c 'touch ready; exec sleep {mark}' & ) &");
    let script = format!("{daemon} sleep {mark}");
    let killer = async {
        appears(&context.scratch().join("ready")).await;
        // It is told once it has run for a moment.
        while context.seen().processes.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let shell = context.seen().processes[0].pid;
        let starter = Snapshot::take().process(shell).expect("the shell").parent;
        let start_time = tree::start_time(starter).expect("the starter");
        signal_process(starter, start_time, rustix::process::Signal::KILL);
    };
    let (result, ()) = tokio::join!(spawner.run(&context, sh(&script)), killer);
    let error = result.expect_err("its parent died");
    assert_eq!(error.class, ErrorClass::Io);
    assert!(living(&mark).is_empty());
    spawner.run(&context, sh("true")).await.expect("a new starter process serves");
}

#[test]
fn a_later_process_with_the_same_id_is_left_alone() {
    let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("a child");
    let start_time = tree::start_time(child.id()).expect("it runs");
    let kill = rustix::process::Signal::KILL;
    signal_process(child.id(), start_time + 1, kill);
    assert!(child.try_wait().expect("a look at it").is_none());
    signal_process(child.id(), start_time, kill);
    assert!(!child.wait().expect("reaped").success());
}

/// Not a test: an engine that is killed while its program runs.
#[test]
#[ignore = "the engine of another test"]
fn runs_a_program_until_it_is_killed() {
    let Some(script) = std::env::var("FLOW_TEST_SCRIPT").ok() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (spawner, context) = (spawner(), TestContext::new());
        let lock = std::fs::File::open(std::env::var("FLOW_TEST_LOCK").expect("a path"));
        let lock = lock.expect("the file");
        lock.lock().expect("nobody has it");
        spawner.hold(lock).expect("a descriptor");
        spawner.run(&context, sh(&script)).await.expect_err("it is killed before");
    });
}

/// Kills an engine once its script has made the file READY, and waits until its starter process gives
/// the engine's lock free.
fn kill_when_ready(script: &str, mark: &str, at_least: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (ready, lock) = (folder.path().join("ready"), folder.path().join("lock"));
    let held = std::fs::File::create(&lock).expect("a file");
    let script = script.replace("MARK", mark).replace("READY", &ready.to_string_lossy());
    let mut engine = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "process::tests::descendants::runs_a_program_until_it_is_killed",
            "--ignored",
        ])
        .env("FLOW_TEST_SCRIPT", script)
        .env("FLOW_TEST_LOCK", lock)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("an engine");
    while !ready.exists() || living(mark).len() < at_least {
        std::thread::yield_now();
    }
    engine.kill().expect("killed with SIGKILL");
    engine.wait().expect("reaped");
    held.lock().expect("it gets free");
    assert!(living(mark).is_empty());
}

#[test]
fn no_descendant_outlives_an_engine_that_is_killed() {
    // Those that ignore SIGTERM have their grace; after it the starter process kills them.
    let script = "trap '' TERM; sleep MARK & setsid sleep MARK & (env -i /usr/bin/setsid /bin/sleep MARK & ) & \
                  sh -c 'kill -STOP $$; sleep MARK' & touch READY; sleep MARK";
    kill_when_ready(script, &mark(600), 4);
}

#[test]
fn what_hops_from_process_to_process_does_not_outlive_an_engine_that_is_killed() {
    for number in 610..620 {
        kill_when_ready(&format!("touch READY; {HOPPER}"), &mark(number), 0);
    }
}
