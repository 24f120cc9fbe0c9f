//! Signals end what runs and leave a run that can be resumed.

use std::process::Child;

use super::harness::{Place, is_alive, send, wait_until};

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
    for name in ["pid", "child"] {
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
