//! Signals end what runs and leave a run that can be resumed.

use std::process::Child;

use super::harness::{Place, is_alive, kill_9, send, wait_until};

/// A node that notes when it is told to stop, and stops only then if `polite` is there.
const STUBBORN: &str = r#"
[nodes.a]
stage = "command"
with = { argv = ["sh", "-c", """
trap 'echo told >> $DIR/told; test -e $DIR/polite && exit 1' TERM
sleep 1000 & echo $! > $DIR/child
echo $$ > $DIR/pid
while true; do sleep 0.02; done"""], env = { DIR = "{{ workflow.dir }}" } }
"#;

fn started(place: &Place) -> Child {
    let child = place.start(&["run", "flow.toml", "--run-id", "one"]);
    place.wait_for("pid");
    child
}

fn ended(place: &Place, mut child: Child, code: i32) {
    assert_eq!(child.wait().unwrap().code(), Some(code), "{}", place.read("stderr"));
    for name in ["pid", "child"].into_iter().filter(|name| place.path(name).exists()) {
        let pid = place.read(name);
        wait_until("no child is left", || !is_alive(&pid));
    }
    assert_eq!(place.show("one")["status"], "interrupted");
}

#[test]
fn each_signal_has_its_code_and_no_child_is_left() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let place = Place::with(STUBBORN);
        place.write("polite", "");
        let child = started(&place);
        send(&child, signal);
        ended(&place, child, code);
        assert_eq!(place.read("told"), "told\n");
        assert!(place.read("stderr").contains("flow resume one"), "{}", place.read("stderr"));
    }
}

#[test]
fn a_second_signal_does_not_wait_and_the_first_decides_the_code() {
    let place = Place::with(STUBBORN);
    let child = started(&place);
    send(&child, "-INT");
    place.wait_for("told");
    send(&child, "-TERM");
    ended(&place, child, 130);
}

#[test]
fn json_ends_with_the_interrupted_run() {
    let place = Place::with(STUBBORN);
    place.write("polite", "");
    let child = place.start(&["run", "flow.toml", "--run-id", "one", "--json"]);
    place.wait_for("pid");
    send(&child, "-INT");
    ended(&place, child, 130);
    let stdout = place.read("stdout");
    let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["status"], "interrupted");
    assert!(stdout.contains("\"event\":\"run_interrupted\""));
}

#[test]
fn a_run_that_survives_a_hang_up_was_started_to() {
    let place = Place::with(STUBBORN);
    place.write("polite", "");
    let mut command = std::process::Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_flow")).args(["run", "flow.toml", "--run-id", "one"]);
    let file = std::fs::File::create(place.path("stderr")).unwrap();
    command.current_dir(place.path("")).stdout(file.try_clone().unwrap()).stderr(file);
    let child = command.env_remove("FLOW_STORE").spawn().unwrap();
    place.wait_for("pid");
    send(&child, "-HUP");
    send(&child, "-INT");
    ended(&place, child, 130);
}

/// A run that was told to end, and whose program is still stopping.
fn stopping() -> (Place, Child, Child) {
    let place = Place::with(
        &STUBBORN.replace("test -e", "until test -e $DIR/go; do sleep 0.02; done; test -e"),
    );
    place.write("polite", "");
    let run = started(&place);
    let cancel = place.command(&["cancel", "one"]).spawn().unwrap();
    place.wait_for("told");
    (place, run, cancel)
}

fn inbox(place: &Place) -> usize {
    std::fs::read_dir(place.path(".flow/runs/one/inbox")).unwrap().count()
}

#[test]
fn a_run_is_cancelled_only_when_its_programs_have_ended() {
    let (place, mut run, mut cancel) = stopping();
    assert_eq!(inbox(&place), 1, "the word stays until the end is on record");
    assert!(cancel.try_wait().unwrap().is_none());
    place.write("go", "");
    assert_eq!(cancel.wait().unwrap().code(), Some(0));
    run.wait().unwrap();
    assert_eq!((place.show("one")["status"].as_str(), inbox(&place)), (Some("cancelled"), 0));
}

#[test]
fn a_word_to_end_outlives_the_engine_that_was_to_carry_it_out() {
    let (place, mut run, mut cancel) = stopping();
    kill_9(&mut run);
    cancel.kill().unwrap();
    cancel.wait().unwrap();
    place.flow(&["resume", "one"]);
    assert_eq!((place.show("one")["status"].as_str(), inbox(&place)), (Some("cancelled"), 0));
}

#[test]
fn a_second_signal_does_not_wait_until_outputs_are_stored() {
    // It is made in no time, and read in many minutes.
    let place = Place::with(
        r#"
[nodes.a]
stage = "command"
with = { argv = ["sh", "-c", "truncate -s 1T huge; echo $$ > $DIR/pid"], env = { DIR = "{{ workflow.dir }}" } }
outputs.huge = { type = "file", path = "huge" }
"#,
    );
    let child = started(&place);
    let pid = place.read("pid");
    wait_until("the program has ended", || !is_alive(&pid));
    send(&child, "-TERM");
    wait_until("the first one is told", || place.read("stderr").contains("once more to stop"));
    send(&child, "-TERM");
    ended(&place, child, 143);
}

#[test]
fn a_place_in_a_pool_that_a_stopped_process_has_is_told() {
    let place = Place::with(
        "[pools]\none = 1\n[nodes.s]\nstage = \"command\"\npool = \"one\"\nwith = { shell = \"cd $DIR; echo > begun; test -e go || sleep 600\", env = { DIR = \"{{ workflow.dir }}\" } }",
    );
    let mut first = place.start(&["run", "flow.toml", "--run-id", "first"]);
    place.wait_for("begun");
    send(&first, "-STOP");
    place.write("go", "");
    let mut second = place.command(&["run", "flow.toml", "--run-id", "second"]);
    let told = std::fs::File::create(place.path("told")).unwrap();
    let mut second = second.stderr(told).spawn().unwrap();
    wait_until("the wait is told", || place.read("told").contains("waits for a place in pool one"));
    let words = format!("process {} on host", first.id());
    let told = place.read("told");
    assert!(
        told.contains(&words) && told.contains(&format!("`kill -CONT {}`", first.id())),
        "{told}"
    );
    // So does whoever wants its run.
    let refused = place.flow(&["resume", "first"]).exits(6).stderr;
    assert!(refused.contains(&format!("`kill -CONT {}`", first.id())), "{refused}");
    kill_9(&mut first);
    assert!(second.wait().unwrap().success());
}
