//! `flow logs` with its filters, while a run goes on, and with output that nobody would wish for.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::harness::{Place, kill_9, wait_until};

const TALK: &str = r#"
[nodes.list]
stage = "value"
with  = { value = ["a", "b"] }
outputs = { items = "list<string>" }
[nodes.talk]
stage = "command"
for_each = "list.items"
key   = "{{ item }}"
max_parallel = 1
retry = { attempts = 2, base = "1ms", on = ["exit:3"] }
with  = { shell = "echo $FLOW_ITEM in attempt $FLOW_ATTEMPT; [ $FLOW_ITEM$FLOW_ATTEMPT != a1 ] || exit 3" }
"#;

#[test]
fn a_node_an_item_an_attempt_and_a_level_can_be_picked() {
    let place = Place::with(TALK);
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    assert_snapshot!(place.flow(&["logs", "one", "talk[a]"]), @r"
    exit: 0
    --- stdout
    [time] ● talk[a]
             │ talk[a]  a in attempt 1
    [time] ✗ talk[a]  attempt 1: process: `/bin/sh` ended with exit code 3
    [time] ↻ talk[a]  attempt 2 in [took]
    [time] ● talk[a]  attempt 2
             │ talk[a]  a in attempt 2
    [time] ✔ talk[a]  [took]
    ");
    assert_snapshot!(place.flow(&["logs", "one", "talk", "--attempt", "2"]), @r"
    exit: 0
    --- stdout
    [time] ↻ talk[a]  attempt 2 in [took]
    [time] ● talk[a]  attempt 2
             │ talk[a]  a in attempt 2
    [time] ✔ talk[a]  [took]
    ");
    assert_snapshot!(place.flow(&["logs", "one", "--level", "warn"]), @"
    exit: 0
    --- stdout
    [time] ✗ talk[a]  attempt 1: process: `/bin/sh` ended with exit code 3
    [time] ↻ talk[a]  attempt 2 in [took]
    ");
    assert_snapshot!(place.flow(&["logs", "one", "--level", "error"]), @"
    exit: 0
    ");
    let lines = place.flow(&["logs", "one", "talk[a]", "--attempt", "1", "--json", "-v"]).exits(0);
    let events: Vec<String> = lines
        .lines()
        .iter()
        .map(|line| {
            assert_eq!(line["item"], "a");
            format!("{} {}", line["event"].as_str().unwrap(), line["text"].as_str().unwrap_or(""))
        })
        .collect();
    assert_eq!(events, ["attempt_started ", "log a in attempt 1", "attempt_failed "]);
    place.flow(&["logs", "one", "tolk"]).exits(5);
    place.flow(&["logs", "one", "--level", "loud"]).exits(2);
}

#[test]
fn a_run_of_another_process_is_followed_to_its_end() {
    let place = Place::with(
        r#"
        [nodes.slow]
        stage = "command"
        with  = { shell = "echo begun; while [ ! -e \"$FLOW_WORKFLOW_DIR/go\" ]; do sleep 0.02; done; echo done" }
        "#,
    );
    let mut run = place.start(&["run", "flow.toml", "--run-id", "one"]);
    place.wait_for("stderr");
    wait_until("the run is there", || place.flow(&["show", "one"]).code == Some(0));
    let out = std::fs::File::create(place.path("log")).unwrap();
    let mut follower = place.command(&["logs", "one", "-f"]).stdout(out).spawn().unwrap();
    wait_until("what was written is told", || place.read("log").contains("begun"));
    assert!(follower.try_wait().unwrap().is_none(), "it goes on while the run does");
    place.write("go", "");
    assert!(follower.wait().unwrap().success() && run.wait().unwrap().success());
    let log = place.read("log");
    assert!(log.contains("│ slow     done\n") && log.contains("✔ run      succeeded\n"), "{log}");
}

#[test]
fn following_ends_when_the_process_of_the_run_is_killed() {
    let place = Place::with(
        "[nodes.slow]\nstage = \"command\"\nwith = { shell = \"printf half; sleep 60\" }\n",
    );
    let mut run = place.start(&["run", "flow.toml", "--run-id", "one"]);
    wait_until("the run is there", || place.flow(&["show", "one"]).code == Some(0));
    let out = std::fs::File::create(place.path("log")).unwrap();
    let mut follower = place.command(&["logs", "one", "-f"]).stdout(out).spawn().unwrap();
    wait_until("the node has begun", || place.read("log").contains("● slow"));
    wait_until("it has written", || has_output(&place));
    kill_9(&mut run);
    assert!(follower.wait().unwrap().success());
    assert!(place.read("log").contains("│ slow     half\n"), "{}", place.read("log"));
}

/// Whether anything of a program's output is kept.
fn has_output(place: &Place) -> bool {
    let files =
        std::fs::read_dir(place.path(".flow/runs/one/output")).into_iter().flatten().flatten();
    files.into_iter().any(|file| file.metadata().is_ok_and(|meta| meta.len() == 4))
}

#[test]
fn megabyte_lines_bytes_that_are_no_text_and_escapes_are_told_safely() {
    let place = Place::with(
        r#"
        [nodes.odd]
        stage = "command"
        with  = { shell = "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf 'no \\377text \\033]0;title\\007\\r\\n'" }
        "#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    let text = place.flow(&["logs", "one", "odd"]).exits(0).stdout;
    // Three more stand in the escapes and in a word.
    assert_eq!(text.matches('x').count(), 3_000_003);
    assert!(text.contains("no \u{fffd}text \\x1b]0;title\\x07\n"), "{}", &text[text.len() - 200..]);
    let lines = place.flow(&["logs", "one", "odd", "--json", "-v"]).exits(0).lines();
    let told: String = lines.iter().filter_map(|line| line["text"].as_str()).collect();
    assert!(told.ends_with("no \u{fffd}text \u{1b}]0;title\u{7}"));
}

#[test]
fn a_closed_stdout_ends_a_follower() {
    let place = Place::with(
        "[nodes.slow]\nstage = \"command\"\nwith = { shell = \"while [ ! -e \\\"$FLOW_WORKFLOW_DIR/go\\\" ]; do echo x; sleep 0.02; done\" }\n",
    );
    let mut run = place.start(&["run", "flow.toml", "--run-id", "one"]);
    wait_until("the run is there", || place.flow(&["show", "one"]).code == Some(0));
    let mut command = place.command(&["logs", "one", "-f"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(follower.stdout.take());
    assert!(follower.wait().unwrap().success());
    place.write("go", "");
    assert!(run.wait().unwrap().success());
}
