//! Real programs, one trouble at a time.

mod descendants;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::stage::{CancelReason, Context};

use super::failure::Failures;
use super::testing::{TestContext, spawner};
use super::{Captured, Command, ExitRule, Finished, Spawner, Stdin};

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

async fn run(command: Command) -> Result<Finished, StageError> {
    spawner().run(&TestContext::new(), command).await
}

async fn fail(command: Command) -> StageError {
    run(command).await.expect_err("this program fails")
}

/// Writes an executable file.
fn program(context: &TestContext, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = context.workflow_dir().join(name);
    std::fs::write(&path, content).expect("a file of the test");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its mode");
    path
}

/// Waits until a program of the test has written this file, however slow the machine.
async fn appears(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Runs `script` until it has made the file `ready` in its folder, then ends it.
async fn stop_when_ready(script: &str, reason: CancelReason, grace: Duration) -> StageError {
    let (spawner, context) = (spawner(), TestContext::new());
    let ready = context.scratch().join("ready");
    let command = Command { grace, ..sh(script) };
    let canceller = async {
        appears(&ready).await;
        context.cancel(reason);
    };
    let (result, ()) = tokio::join!(spawner.run(&context, command), canceller);
    result.expect_err("it was ended")
}

#[tokio::test]
async fn streams_are_captured_and_kept() {
    let context = TestContext::new();
    let command = sh("echo out; echo err >&2").keep_stdout().keep_stderr();
    let finished = spawner().run(&context, command).await.expect("it succeeds");
    assert_eq!(finished.stdout, Captured::Memory(b"out\n".to_vec()));
    assert_eq!(finished.stderr, Captured::Memory(b"err\n".to_vec()));
    assert_eq!((finished.exit_code, finished.stderr_tail.as_str()), (0, "err"));
    assert_eq!(context.seen().stdout, b"out\n");
    assert_eq!(context.seen().stderr, b"err\n");
}

#[tokio::test]
async fn exit_codes_are_told_apart() {
    for (code, words) in [
        (1, "exit code 1"),
        (75, "may pass"),
        (126, "may not be executed"),
        (127, "was not found"),
        (137, "SIGKILL"),
        (255, "exit code 255"),
    ] {
        let error = fail(sh(&format!("echo why >&2; exit {code}"))).await;
        assert_eq!((error.class, error.exit_code), (ErrorClass::Process, Some(code)));
        assert!(error.message.contains(words), "{error}");
        assert_eq!(error.stderr_tail, "why");
        assert_eq!(error.argv[0], "sh");
        assert_eq!(error.is_transient(), code == 75);
    }
    let any = run(sh("exit 3").exit(ExitRule::Any)).await.expect("any code will do");
    assert_eq!(any.exit_code, 3);
}

#[tokio::test]
async fn a_foreign_signal_is_named_and_transient() {
    for (number, name) in [(9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM"), (34, "SIG34")] {
        let error = fail(sh(&format!("kill -{number} $$"))).await;
        assert_eq!(error.signal.as_deref(), Some(name));
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn programs_that_cannot_be_started_say_why() {
    let context = TestContext::new();
    let table = [
        (
            "no-interpreter",
            "#!/no/such/thing -x\n",
            0o755,
            ErrorClass::MissingTool,
            "/no/such/thing",
        ),
        ("windows", "#!/bin/sh\r\necho\r\n", 0o755, ErrorClass::MissingTool, "\\r"),
        ("no-mode", "#!/bin/sh\n", 0o644, ErrorClass::Config, "may not be executed"),
        ("no-magic", "echo\n", 0o755, ErrorClass::Config, "not a program"),
    ];
    for (name, content, mode, class, words) in table {
        let path = program(&context, name, content, mode);
        let error = fail(Command::new(path)).await;
        assert_eq!(error.class, class, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(error.hint.is_some(), "{error}");
    }
    let folder = fail(Command::new(context.workflow_dir())).await;
    assert!(folder.message.contains("is a folder"), "{folder}");
    let missing = fail(Command::new("no-such-program")).await;
    assert_eq!(missing.class, ErrorClass::MissingTool);
    assert!(missing.message.contains("not found on PATH"), "{missing}");
    let file = fail(Command::new("/no/such/file")).await;
    assert_eq!(file.class, ErrorClass::MissingTool);
    assert!(file.message.contains("no file"), "{file}");
    let large = fail(Command::new("true").arg("x".repeat(40 << 20))).await;
    assert_eq!(large.class, ErrorClass::Config);
    let nul = fail(Command::new("true").arg("a\0b")).await;
    assert!(nul.message.starts_with("argument 1 of the program holds a NUL"), "{nul}");
    let variable = ("FLOW_ITEM".into(), "a\0b".into());
    let item = fail(Command { env: vec![variable], ..Command::new("true") }).await;
    assert!(item.message.starts_with("the item's key"), "{item}");
    assert!(item.hint.as_deref().is_some_and(|hint| hint.contains("`key`")), "{item:?}");
}

#[tokio::test]
async fn a_program_that_is_still_being_written_is_waited_for() {
    let (spawner, context) = (spawner(), TestContext::new());
    let path = context.workflow_dir().join("copy");
    std::fs::copy("/bin/true", &path).expect("a program");
    let open = std::fs::OpenOptions::new().append(true).open(&path).expect("open for writing");
    let closing = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(open);
    };
    let (result, ()) = tokio::join!(spawner.run(&context, Command::new(&path)), closing);
    result.expect("it runs as soon as nobody writes to it");
}

#[tokio::test]
async fn a_program_that_has_moved_along_path_is_found_again() {
    let (spawner, context) = (spawner(), TestContext::new());
    let (first, second) = (context.scratch(), context.side());
    std::fs::copy("/bin/true", first.join("moving")).expect("a program");
    let path = format!("{}:{}", first.display(), second.display());
    let command = || Command::new("moving").env("PATH", &path);
    spawner.run(&context, command()).await.expect("it is in the first folder");
    std::fs::rename(first.join("moving"), second.join("moving")).expect("it moves");
    spawner.run(&context, command()).await.expect("it is in the second folder");
    std::fs::remove_file(second.join("moving")).expect("it goes");
    let error = spawner.run(&context, command()).await.expect_err("it is nowhere");
    assert!(error.message.contains("not found on PATH"), "{error}");
}

#[tokio::test]
async fn large_environments_and_arguments_go_through() {
    let long = "x".repeat(100_000);
    let command = sh("echo ${#A} ${#1} $B").arg("sh").arg(long.clone()).env("A", long);
    let finished = run(command.env("B", "1").env("B", "2").keep_stdout()).await.expect("it runs");
    assert_eq!(finished.stdout, Captured::Memory(b"100000 100000 2\n".to_vec()));
}

#[tokio::test]
async fn the_environment_is_the_engines_less_what_is_withheld() {
    let mut command = sh("echo ${HOME-none} ${PATH+some} ${FLOW_SPAWN_ID+marked}").keep_stdout();
    command.env_remove.push("HOME".into());
    let finished = run(command).await.expect("it runs");
    assert_eq!(finished.stdout, Captured::Memory(b"none some marked\n".to_vec()));
}

#[tokio::test]
async fn a_program_has_a_clean_slate() {
    // No descriptors but its own three, no signal blocked or ignored, a session of its own.
    let find = |pattern: &str, file: &str| Command::new("grep").args([pattern, file]).keep_stdout();
    for (pattern, file, expected) in [
        ("SigBlk", "/proc/self/status", "SigBlk:\t0000000000000000\n"),
        // glibc itself ignores its two internal signals here.
        ("SigIgn", "/proc/self/status", "SigIgn:\t0000000180000000\n"),
    ] {
        let finished = run(find(pattern, file)).await.expect("it runs");
        assert_eq!(finished.stdout, Captured::Memory(expected.into()));
    }
    // The fourth descriptor is the folder that is being listed.
    let finished = run(Command::new("ls").arg("/proc/self/fd").keep_stdout()).await;
    assert_eq!(finished.expect("it runs").stdout, Captured::Memory(b"0\n1\n2\n3\n".to_vec()));
    let script = "test $$ = $(cut -d' ' -f6 /proc/$$/stat)";
    run(sh(script)).await.expect("it leads its session");
}

#[tokio::test]
async fn stdin_that_nobody_reads_is_no_trouble() {
    let megabyte: Arc<[u8]> = vec![b'x'; 1 << 20].into();
    for script in ["true", "exec <&-; true", "sleep 0.05", "head -c 10 >/dev/null"] {
        run(sh(script).stdin(Stdin::Bytes(megabyte.clone()))).await.expect("not read is no error");
    }
    let huge: Arc<[u8]> = vec![b'x'; 5 << 20].into();
    let read = run(sh("wc -c").stdin(Stdin::Bytes(huge)).keep_stdout()).await.expect("all is read");
    assert_eq!(read.stdout, Captured::Memory(b"5242880\n".to_vec()));
    let empty = run(sh("wc -c").keep_stdout()).await.expect("nothing is read");
    assert_eq!(empty.stdout, Captured::Memory(b"0\n".to_vec()));
    let file = Arc::new(std::fs::File::open("/etc/passwd").expect("a file"));
    let size = file.metadata().expect("its size").len();
    let read = run(sh("wc -c").stdin(Stdin::File(file)).keep_stdout()).await.expect("a file");
    assert_eq!(read.stdout, Captured::Memory(format!("{size}\n").into_bytes()));
}

#[tokio::test]
async fn a_flood_on_both_pipes_is_read_in_bounded_memory() {
    let context = TestContext::new();
    let script = "head -c 1000000000 /dev/zero & head -c 300000000 /dev/zero >&2; wait";
    let before = peak_memory();
    spawner().run(&context, sh(script)).await.expect("it ends");
    assert_eq!(context.seen().captured, 1_300_000_000);
    // Other tests of this program may run meanwhile.
    assert!(peak_memory() - before < 200 << 20, "{} to {}", before, peak_memory());
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("its peak");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") * 1_024
}

#[tokio::test]
async fn a_large_stream_is_kept_in_a_file() {
    let context = TestContext::new();
    let command = sh("head -c 3000000 /dev/zero").keep_stdout();
    let finished = spawner().run(&context, command).await.expect("it ends");
    let Captured::File { path, size } = finished.stdout else { panic!("too large for memory") };
    assert!(path.starts_with(context.side()));
    assert_eq!((size, std::fs::metadata(&path).expect("the file").len()), (3_000_000, 3_000_000));
}

#[tokio::test]
async fn lines_are_handed_on_as_they_come() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let command = sh("printf 'a\\nb\\nc'")
        .on_stdout_line(move |line| sink.lock().expect("no panic").push(line.to_owned()));
    run(command).await.expect("it ends");
    assert_eq!(*seen.lock().expect("no panic"), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_program_that_closes_its_streams_is_waited_for() {
    let context = TestContext::new();
    let script = "exec >&- 2>&-; sleep 0.1; touch done";
    spawner().run(&context, sh(script)).await.expect("it ends");
    assert!(context.scratch().join("done").exists());
}

#[tokio::test]
async fn a_program_is_announced_when_it_has_run_for_a_moment() {
    let context = TestContext::new();
    let finished = spawner().run(&context, sh("echo $$; sleep 0.1").keep_stdout()).await;
    let processes = context.seen().processes;
    assert_eq!(processes.len(), 1);
    let pid = format!("{}\n", processes[0].pid).into_bytes();
    assert_eq!(finished.expect("it ends").stdout, Captured::Memory(pid));
    assert!(processes[0].start_time > 0 && processes[0].boot_id.len() == 36);
}

#[tokio::test]
async fn every_reason_to_stop_has_its_class() {
    for (reason, class) in [
        (CancelReason::Timeout, ErrorClass::Timeout),
        (CancelReason::Deadline, ErrorClass::Timeout),
        (CancelReason::Interrupted, ErrorClass::Cancelled),
        (CancelReason::Killed, ErrorClass::Cancelled),
        (CancelReason::Cancelled, ErrorClass::Cancelled),
    ] {
        let error = stop_when_ready("touch ready; sleep 100", reason, super::GRACE).await;
        assert_eq!(error.class, class, "{error}");
        assert_eq!((error.exit_code, error.signal), (None, None));
    }
}

#[tokio::test]
async fn an_attempt_that_is_told_to_stop_before_it_starts_ends_too() {
    let context = TestContext::new();
    context.cancel(CancelReason::Timeout);
    let error = spawner().run(&context, sh("sleep 100")).await.expect_err("it was ended");
    assert_eq!(error.class, ErrorClass::Timeout);
}

#[tokio::test]
async fn a_program_that_is_told_to_stop_may_put_things_in_order() {
    let (spawner, context) = (spawner(), TestContext::new());
    // What it starts for that is left alone too.
    let script = "trap 'for n in 1 2 3 4 5 6; do sleep 0.02; done; /bin/echo bye; exit 0' TERM; \
                  touch ready; while :; do sleep 0.01; done";
    let canceller = async {
        appears(&context.scratch().join("ready")).await;
        context.cancel(CancelReason::Interrupted);
    };
    let (result, ()) = tokio::join!(spawner.run(&context, sh(script)), canceller);
    assert_eq!(result.expect_err("it was ended").class, ErrorClass::Cancelled);
    assert_eq!(context.stdout(), "bye\n");
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let command = sh("echo one; sleep 100").idle_timeout(Some(Duration::from_millis(80)));
    let error = fail(command).await;
    assert_eq!(error.class, ErrorClass::Timeout);
    assert!(error.message.contains("wrote nothing for 80ms"), "{error}");
    let chatty = sh("for i in 1 2 3 4 5 6; do echo $i >&2; sleep 0.05; done");
    run(chatty.idle_timeout(Some(Duration::from_secs(1)))).await.expect("it speaks in time");
}

#[tokio::test]
async fn a_second_order_to_stop_ends_the_grace() {
    let (spawner, context) = (spawner(), TestContext::new());
    let script = "trap 'touch asked' TERM; touch ready; while :; do sleep 0.01; done";
    let grace = Duration::from_secs(10_000);
    let command = Command { grace, ..sh(script) };
    let canceller = async {
        appears(&context.scratch().join("ready")).await;
        context.cancel(CancelReason::Interrupted);
        appears(&context.scratch().join("asked")).await;
        context.cancel(CancelReason::Killed);
    };
    let (result, ()) = tokio::join!(spawner.run(&context, command), canceller);
    assert_eq!(result.expect_err("it was killed").class, ErrorClass::Cancelled);
}

#[test]
fn a_system_without_room_for_the_starter_process_says_what_to_look_at() {
    let error = std::io::Error::from(rustix::io::Errno::AGAIN);
    let told = Failures(&sh("true")).not_set_up("the starter process", &error);
    assert_eq!(told.message, "the system has no room for another process");
    assert!(told.hint.is_some_and(|hint| hint.contains("ulimit -u")));
    assert!(told.causes[0].starts_with("cannot set up the starter process"), "{:?}", told.causes);
}

#[tokio::test]
async fn many_programs_run_side_by_side() {
    let (spawner, context) = (spawner(), TestContext::new());
    let spawner: &Spawner = &spawner;
    let runs = (0..200).map(|n| {
        let context = &context;
        async move { spawner.run(context, sh(&format!("exit {n}")).exit(ExitRule::Any)).await }
    });
    let mut codes = Vec::new();
    for run in futures_joined(runs).await {
        codes.push(run.expect("it ends").exit_code);
    }
    assert_eq!(codes, (0..200).collect::<Vec<_>>());
}

/// Polls all futures together and returns their results in order.
async fn futures_joined<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|future| (Some(Box::pin(future)), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, result) in &mut futures {
            if let Some(running) = future
                && let std::task::Poll::Ready(done) = running.as_mut().poll(cx)
            {
                (*future, *result) = (None, Some(done));
            }
        }
        let all = futures.iter().all(|(_, result)| result.is_some());
        if all { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, result)| result).collect()
}
