//! Runs that fail: what is told, and with which code.

use insta::assert_snapshot;

use super::harness::Place;

#[test]
fn a_failing_program_is_shown_with_its_command_its_code_and_its_last_words() {
    let place = Place::with(
        r#"
[nodes.first]
stage = "noop"
[nodes.bad]
stage = "command"
after = ["first"]
with = { argv = ["sh", "-c", "echo 'first line' >&2; echo \"it's broken\" >&2; exit 3"] }
[nodes.after]
stage = "noop"
after = ["bad"]
"#,
    );
    assert_snapshot!(place.flow(&["run", "flow.toml"]), @r#"
    exit: 1
    --- stderr
    [time] ▶ run  [run] of workflow test
    [time] ● first
    [time] ✔ first  [took]
    [time] ● bad
    [time] ✘ bad  process: `sh` ended with exit code 3
    [time] ✘ run  failed

       NODE  STATUS  ATTEMPTS  TIME
    ✔  first  succeeded  1  [took]
    ✘  bad  failed  1  [took]  process: `sh` ended with exit code 3
    ·  after  pending  blocked by bad

    ✘ bad attempt 1 failed: process [E0204]
      run sh: `sh` ended with exit code 3
      command  sh -c 'echo '\''first line'\'' >&2; echo "it'\''s broken" >&2; exit 3'
      exit code 3
      stderr
      │ first line
      │ it's broken
      help:  its scratch folder is kept: [dir]/.flow/scratch/[run]/bad.1.[pid]/work
      next:  flow resume [run]

    run [run] failed: 1 succeeded, 1 failed, 1 pending in [took]
    "#);
    assert_snapshot!(place.flow(&["show", "latest"]), @r#"
    exit: 0
    --- stdout
    run [run] failed
      workflow  test ([dir]/flow.toml)
      started  [date] (just now), [took]

       NODE  STATUS  ATTEMPTS  TIME
    ✔  first  succeeded  1  [took]
    ✘  bad  failed  1  [took]  process: `sh` ended with exit code 3
    ·  after  pending  blocked by bad

    ✘ bad attempt 1 failed: process [E0204]
      run sh: `sh` ended with exit code 3
      command  sh -c 'echo '\''first line'\'' >&2; echo "it'\''s broken" >&2; exit 3'
      exit code 3
      stderr
      │ first line
      │ it's broken
      help:  its scratch folder is kept: [dir]/.flow/scratch/[run]/bad.1.[pid]/work
      next:  flow resume [run]
    "#);
    assert_snapshot!(place.flow(&["show", "latest", "bad"]), @r#"
    exit: 0
    --- stdout
    ✘  bad  failed  1  [took]  process: `sh` ended with exit code 3

    ✘ bad attempt 1 failed: process [E0204]
      run sh: `sh` ended with exit code 3
      command  sh -c 'echo '\''first line'\'' >&2; echo "it'\''s broken" >&2; exit 3'
      exit code 3
      stderr
      │ first line
      │ it's broken
      help:  its scratch folder is kept: [dir]/.flow/scratch/[run]/bad.1.[pid]/work
      next:  flow resume [run]
    "#);
    assert_snapshot!(place.flow(&["logs", "latest", "bad"]), @"
    exit: 0
    --- stdout
    [time] ● bad
             │ bad  first line
             │ bad  it's broken
    [time] ✘ bad  process: `sh` ended with exit code 3
    ");
    let shown = place.show("latest");
    let error = &shown["nodes"][1]["error"];
    assert_eq!((&error["class"], &error["exit_code"]), (&"process".into(), &3.into()));
    assert_eq!(shown["error"], *error);
    assert_eq!(shown["nodes"][2]["blocked_by"], serde_json::json!(["bad"]));
    let log = place.read(".flow/logs/errors.log");
    assert!(log.contains("it's broken") && log.contains("\"node\":\"bad\""), "{log}");
}

#[test]
fn retries_are_shown_with_their_waits() {
    let place = Place::with(
        r#"
[nodes.flaky]
stage = "command"
retry = { attempts = 3, base = "1ms", on = ["exit:9"] }
with = { shell = "echo x >> $DIR/tries; test $(wc -l < $DIR/tries) -ge 3 || exit 9", env = { DIR = "{{ workflow.dir }}" } }
"#,
    );
    assert_snapshot!(place.flow(&["run", "flow.toml"]), @"
    exit: 0
    --- stderr
    [time] ▶ run  [run] of workflow test
    [time] ● flaky
    [time] ✗ flaky  attempt 1: process: `/bin/sh` ended with exit code 9
    [time] ↻ flaky  attempt 2 in [took]
    [time] ● flaky  attempt 2
    [time] ✗ flaky  attempt 2: process: `/bin/sh` ended with exit code 9
    [time] ↻ flaky  attempt 3 in [took]
    [time] ● flaky  attempt 3
    [time] ✔ flaky  [took]
    [time] ✔ run  succeeded
    run [run] succeeded: 1 succeeded in [took]
    ");
    assert_eq!(place.show("latest")["nodes"][0]["attempts"], 3);
}

#[test]
fn a_payload_that_is_not_of_its_type_fails_the_node_that_made_it() {
    let place = Place::with(
        r#"
[nodes.a]
stage = "command"
with = { shell = "echo '[1, \"x\"]'" }
outputs.list = "list<integer>"
"#,
    );
    assert_snapshot!(place.flow(&["run", "flow.toml"]), @r#"
    exit: 1
    --- stderr
    [time] ▶ run  [run] of workflow test
    [time] ● a
    [time] ✘ a  validation: /1 of `list` must be an integer, and is the string "x"
    [time] ✘ run  failed

    ✘ a attempt 1 failed: validation [E0201]
      check output port list: /1 of `list` must be an integer, and is the string "x"
      port  list
      at  /1
      expected  an integer
      found  the string "x"
      help:  change what the node writes, or the type that its output declares; its scratch folder is kept: [dir]/.flow/scratch/[run]/a.1.[pid]/work
      next:  flow resume [run]

    run [run] failed: 1 failed in [took]
    "#);
    let error = &place.show("latest")["nodes"][0]["error"];
    assert_eq!((&error["port"], &error["pointer"]), (&"list".into(), &"/1".into()));
}

#[test]
fn failed_items_are_told_one_by_one() {
    let place = Place::with(
        r#"
[nodes.list]
stage = "command"
with = { shell = "echo '[1, 2, 3]'" }
outputs.list = "list<integer>"
[nodes.each]
stage = "command"
for_each = "list.list"
max_parallel = 1
with = { shell = "test {{ item }} = 2" }
"#,
    );
    assert_snapshot!(place.flow(&["run", "flow.toml"]), @r#"
    exit: 1
    --- stderr
    [time] ▶ run  [run] of workflow test
    [time] ● list
    [time] ✔ list  [took]
    [time] ● each[0]
    [time] ✘ each[0]  process: `/bin/sh` ended with exit code 1
    [time] ● each[1]
    [time] ✔ each[1]  [took]
    [time] ● each[2]
    [time] ✘ each[2]  process: `/bin/sh` ended with exit code 1
    [time] ✘ each  process: 2 of 3 items failed
    [time] ✘ run  failed

    ✘ each[0] attempt 1 failed: process [E0204]
      run /bin/sh: `/bin/sh` ended with exit code 1
      command  /bin/sh -c 'test 1 = 2'
      exit code 1
      help:  its scratch folder is kept: [dir]/.flow/scratch/[run]/each@0-4d067153ac72.1.[pid]/work

    ✘ each[2] attempt 1 failed: process [E0204]
      run /bin/sh: `/bin/sh` ended with exit code 1
      command  /bin/sh -c 'test 3 = 2'
      exit code 1
      help:  its scratch folder is kept: [dir]/.flow/scratch/[run]/each@2-813e9b729141.1.[pid]/work

    ✘ each failed: process [E0204]
      run 3 items: 2 of 3 items failed
      cause  run /bin/sh: `/bin/sh` ended with exit code 1
      help:  on_item_failure = "drop" would leave failed items out
      next:  flow resume [run]

    run [run] failed: 1 succeeded, 1 failed in [took]
    "#);
    assert_snapshot!(place.flow(&["show", "latest", "each"]), @"
    exit: 0
    --- stdout
    ✘  each  failed  3  [took]  1/3 items, process: 2 of 3 items failed
    ✘  each[0]  failed  1  [took]  process: `/bin/sh` ended with exit code 1
    ✔  each[1]  succeeded  1  [took]
    ✘  each[2]  failed  1  [took]  process: `/bin/sh` ended with exit code 1
    ");
}

#[test]
fn a_missing_program_is_found_before_anything_runs() {
    let place = Place::with(
        r#"
[nodes.a]
stage = "noop"
[nodes.b]
stage = "command"
with = { argv = ["no-such-program-anywhere"] }
"#,
    );
    assert_snapshot!(place.flow(&["run", "flow.toml"]), @r#"
    exit: 1
    --- stderr
    error[E0202]: something that the workflow needs is missing, so nothing was started
      - no-such-program-anywhere (needed by b): install `no-such-program-anywhere`, add its folder to PATH, or say where it is: `[tools]` no-such-program-anywhere = "/path/to/no-such-program-anywhere"
    "#);
    assert!(!place.path(".flow").exists());
    assert_snapshot!(place.flow(&["validate", "flow.toml"]), @r#"
    exit: 0
    --- stderr
    warning[W151]: this machine lacks no-such-program-anywhere
     --> flow.toml:7:9
      |
    7 | stage = "command"
      |  ^^^^^^^^^ needed by b
      |
      = help: install `no-such-program-anywhere`, add its folder to PATH, or say where it is: `[tools]` no-such-program-anywhere = "/path/to/no-such-program-anywhere"

    flow.toml: valid, 2 nodes
    "#);
}

#[test]
fn what_is_not_there_is_told_with_what_is_near() {
    let place = Place::with("[nodes.narrate]\nstage = \"noop\"\n");
    assert_snapshot!(place.flow(&["show", "one"]), @"
    exit: 4
    --- stderr
    error: there is no store at [dir]/.flow
    help: go to the folder where the run was started, or name its store with --store or FLOW_STORE; `flow run` makes a new one
    ");
    for id in ["monday-1", "monday-2"] {
        place.flow(&["run", "flow.toml", "--run-id", id]).exits(0);
    }
    assert_snapshot!(place.flow(&["show", "monday"]), @"
    exit: 5
    --- stderr
    error: `monday` could be any of 2 runs
      - monday-2
      - monday-1
    help: give more characters of the id
    ");
    assert_snapshot!(place.flow(&["show", "mnoday-1"]), @"
    exit: 5
    --- stderr
    error: there is no run `mnoday-1`
    help: near it: monday-1, monday-2
    ");
    assert_snapshot!(place.flow(&["show", "latest", "narate"]), @"
    exit: 5
    --- stderr
    error: there is no node `narate`
    help: did you mean `narrate`?
    ");
    assert_snapshot!(place.flow(&["output", "monday-2", "narrate"]), @"
    exit: 5
    --- stderr
    error: node `narrate` has no outputs
    help: what it wrote is in its log: flow logs monday-2 narrate
    ");
    place.flow(&["show", "monday-1"]).exits(0);
    place.flow(&["run", "flow.toml", "--run-id", "monday"]).exits(0);
    assert_eq!(place.show("monday")["id"], "monday");
}

#[test]
fn usage_faults_exit_with_2() {
    let place = Place::with("");
    for args in [
        &["frobnicate"][..],
        &["run"],
        &["run", "flow.toml", "--param", "x"],
        &["run", "flow.toml", "--run-id", "a b"],
        &["run", "flow.toml", "--max-parallel", "0"],
        &["runs", "--last", "soon"],
        &["runs", "--status", "odd"],
        &["-v", "-q", "runs"],
        &["approve", "x"],
        &["resolve", "x", "a"],
        &["resolve", "x", "a", "--done", "--not-done"],
        &["cache"],
        &["run", "flow.toml", "--frehs"],
    ] {
        place.flow(args).exits(2);
    }
    place.flow(&["--version"]).exits(0);
    place.flow(&["run", "--help"]).exits(0);
}
