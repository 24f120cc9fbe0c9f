//! Runs that succeed, and what they are given.

use insta::assert_snapshot;

use super::harness::Place;

const CHAIN: &str = r#"
[params]
who = { type = "string", default = "world" }

[nodes.greet]
stage = "command"
with = { argv = ["printf", "\"hello %s\"", "{{ params.who }}"] }
outputs.text = "string"

[nodes.shout]
stage = "command"
inputs = { text = "greet.text" }
with = { shell = "printf %s {{ inputs.text }} | tr a-z A-Z > loud.txt" }
outputs.loud = { type = "file<text/plain>", path = "loud.txt" }

[outputs]
text = "greet.text"
loud = "shout.loud"
"#;

fn chain() -> Place {
    Place::with(CHAIN)
}

#[test]
fn a_chain_runs_and_its_outputs_are_the_result() {
    let place = chain();
    let done = place.flow(&["run", "flow.toml"]);
    assert_snapshot!(done, @r#"
    exit: 0
    --- stdout
    loud: loud.txt (13 B)
    text: "hello world"
    --- stderr
    [time] ▶ run  [run] of workflow test
    [time] ● greet
    [time] ✔ greet  [took]
    [time] ● shout
    [time] ✔ shout  [took]
    [time] ✔ run  succeeded
    run [run] succeeded: 2 succeeded in [took]
    "#);
    assert_eq!(place.flow(&["output", "latest", "shout"]).stdout, "\"HELLO WORLD\"");
}

#[test]
fn json_has_a_line_per_event_and_the_run_last() {
    let place = chain();
    let done = place.flow(&["run", "flow.toml", "--json", "--run-id", "one"]).exits(0);
    assert!(done.stderr.is_empty(), "{done}");
    let lines = done.lines();
    let (last, events) = lines.split_last().unwrap();
    let names: Vec<&str> = events.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "run_started",
            "attempt_started",
            "node_succeeded",
            "attempt_started",
            "node_succeeded",
            "run_finished"
        ]
    );
    let numbers: Vec<u64> = events.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert!(last.get("event").is_none());
    assert_eq!(*last, place.show("one"));
    assert_eq!(last["outputs"]["text"], "\"hello world\"");
}

#[test]
fn verbose_shows_what_programs_write() {
    let place = Place::with(
        "[nodes.a]\nstage = \"command\"\nwith = { shell = \"printf 'one\\\\033[31m\\\\ntwo' >&2\" }\n",
    );
    let done = place.flow(&["run", "flow.toml", "-v"]);
    assert_snapshot!(done, @r"
    exit: 0
    --- stderr
    [time] ▶ run  [run] of workflow test
    [time] ● a
             │ a  one\x1b[31m
             │ a  two
    [time] ✔ a  [took]
    [time] ✔ run  succeeded
    run [run] succeeded: 1 succeeded in [took]
    ");
    let lines = place.flow(&["run", "flow.toml", "-v", "--json"]).exits(0).lines();
    let log = lines.iter().find(|line| line["event"] == "log").expect("a log line");
    assert!(log.get("seq").is_none() && log["node"] == "a" && log["stream"] == "stderr", "{log}");
}

#[test]
fn quiet_tells_only_the_end() {
    let done = chain().flow(&["-q", "run", "flow.toml"]);
    assert_snapshot!(done, @r#"
    exit: 0
    --- stdout
    loud: loud.txt (13 B)
    text: "hello world"
    --- stderr
    run [run] succeeded: 2 succeeded in [took]
    "#);
}

#[test]
fn parameters_come_from_words_and_files() {
    let place = chain();
    place.write("p.toml", "who = \"file\"\n");
    place.write("p.json", "{\"who\": \"json\"}");
    for (args, text) in [
        (&["--param", "who=moon"][..], "\"hello moon\""),
        (&["--params", "p.toml"], "\"hello file\""),
        (&["--params", "p.json"], "\"hello json\""),
        (&["--params", "p.json", "--param", "who=word"], "\"hello word\""),
    ] {
        let done = place.flow(&[&["run", "flow.toml"], args].concat()).exits(0);
        assert!(done.stdout.contains(text), "{done}");
    }
}

#[test]
fn bad_parameters_are_told_all_at_once_and_nothing_is_made() {
    let place = Place::with(
        r#"
[params]
count = { type = "integer", min = 1 }
sport = { type = "string", enum = ["nfl", "nba"] }
list = { type = "list<integer>", default = [1] }
slate = { type = "file", default = "gone.json" }
[nodes.a]
stage = "noop"
"#,
    );
    let done = place.flow(&[
        "run",
        "flow.toml",
        "--param",
        "count=many",
        "--param",
        "sprot=nfl",
        "--param",
        "list=[1,\"x\"]",
    ]);
    assert_snapshot!(done, @r#"
    exit: 3
    --- stderr
    error: 5 parameters are refused
      - `sprot`: there is no such parameter; did you mean `sport`?
      - `count`: expected an integer, found the string "many"
      - `sport`: it is required: expected string (one of "nfl", "nba")
      - `list`: at /1: expected an integer, found the string "x"
      - `slate`: cannot read [dir]/gone.json: No such file or directory (os error 2)
    help: set a parameter with --param NAME=VALUE
    "#);
    assert!(!place.path(".flow").exists());
}

#[test]
fn a_file_parameter_is_stored_with_its_content() {
    let place = Place::with(
        r#"
[params]
slate = { type = "file" }
[nodes.a]
stage = "command"
inputs = { slate = "params.slate" }
with = { argv = ["cat", "{{ inputs.slate }}"] }
outputs.text = "string"
"#,
    );
    place.write("in.txt", "content\n");
    place.flow(&["run", "flow.toml", "--param", "slate=in.txt"]).exits(0);
    place.write("in.txt", "changed\n");
    assert_eq!(place.flow(&["output", "latest", "a"]).stdout, "content\n");
    assert_eq!(place.show("latest")["params"]["slate"]["name"], "in.txt");
}

#[test]
fn only_runs_a_node_with_what_it_needs() {
    let place = chain();
    place.flow(&["run", "flow.toml", "--only", "greet"]).exits(0);
    let shown = place.show("latest");
    assert_eq!(shown["status"], "succeeded");
    assert_eq!(shown["nodes"][1]["status"], "pending");
    assert_snapshot!(place.flow(&["run", "flow.toml", "--only", "shuot"]), @"
    exit: 5
    --- stderr
    error: there is no node `shuot`
    help: did you mean `shout`?
    ");
}

#[test]
fn a_run_id_is_taken_once() {
    let place = chain();
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    assert_snapshot!(place.flow(&["run", "flow.toml", "--run-id", "one"]), @"
    exit: 6
    --- stderr
    error: there is a run one already
    help: choose another --run-id, or go on with that run: flow resume one
    ");
}

#[test]
fn a_workflow_without_nodes_succeeds() {
    let done = Place::with("").flow(&["run", "flow.toml"]);
    assert_snapshot!(done, @"
    exit: 0
    --- stderr
    [time] ▶ run  [run] of workflow test
    [time] ✔ run  succeeded
    run [run] succeeded: nothing to do in [took]
    ");
}

#[test]
fn uses_bring_files_into_the_scratch_folder() {
    let place = Place::with(
        r#"
[nodes.a]
stage = "command"
uses = ["script.sh", "lib/"]
with = { argv = ["./script.sh"] }
outputs.text = "string"
"#,
    );
    std::fs::create_dir(place.path("lib")).unwrap();
    place.write("lib/words", "from lib");
    place.write("script.sh", "#!/bin/sh\ncat lib/words\n");
    use std::os::unix::fs::PermissionsExt as _;
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path("script.sh"), executable).unwrap();
    place.flow(&["run", "flow.toml"]).exits(0);
    assert_eq!(place.flow(&["output", "latest", "a"]).stdout, "from lib\n");
}

#[test]
fn the_store_is_found_where_it_is_named_or_near() {
    let place = chain();
    place.flow(&["--store", "other", "run", "flow.toml"]).exits(0);
    assert!(place.path("other/runs").is_dir() && !place.path(".flow").exists());
    let mut command = place.command(&["runs"]);
    command.env("FLOW_STORE", place.path("other"));
    assert!(place.finish(command).exits(0).stdout.contains("succeeded"));
    place.flow(&["run", "flow.toml"]).exits(0);
    std::fs::create_dir_all(place.path("deep/er")).unwrap();
    let mut command = place.command(&["runs"]);
    command.current_dir(place.path("deep/er"));
    assert!(place.finish(command).exits(0).stdout.contains("succeeded"));
    assert_snapshot!(place.flow(&["--store", "nowhere", "runs"]), @"
    exit: 4
    --- stderr
    error: there is no store at [dir]/nowhere
    help: go to the folder where the run was started, or name its store with --store or FLOW_STORE; `flow run` makes a new one
    ");
}

#[test]
fn log_files_tell_runs_and_attempts_apart() {
    let place = chain();
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    let log = place.read(".flow/logs/pipeline.log");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["run_id"] == "one" && line["ts"].is_string()));
    let done = lines.iter().find(|line| line["event"] == "node_succeeded").unwrap();
    assert_eq!((&done["node"], &done["attempt"]), (&"greet".into(), &1.into()));
    assert_eq!(place.read(".flow/logs/errors.log"), "");
}

#[test]
fn stages_are_listed_and_explained() {
    let place = Place::new();
    let list = place.flow(&["stages"]).exits(0);
    assert!(list.stdout.lines().any(|line| line.starts_with("command ")), "{list}");
    assert_snapshot!(place.flow(&["stages", "noop"]), @r#"
    exit: 0
    --- stdout
    noop: Does nothing. Joins branches, so that others can come `after` it.

    INPUTS
      as the workflow declares them

    OUTPUTS
      none

    EXAMPLE
      [nodes.all_checked]
      stage = "noop"
      after = ["lint", "test"]
    "#);
    assert_snapshot!(place.flow(&["stages", "comand"]), @"
    exit: 5
    --- stderr
    error: there is no stage or record `comand`
    help: did you mean `command`?
    ");
    let json = place.flow(&["stages", "--json"]).exits(0).json();
    assert!(json.as_array().unwrap().iter().any(|stage| stage["name"] == "command"));
    let schema = place.flow(&["stages", "NormalizedMatchup"]).exits(0).json();
    assert_eq!(schema["properties"]["props"]["minItems"], 1);
}
