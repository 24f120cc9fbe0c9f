//! Workflow files inside others: one run, whose nodes are those of all files.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::harness::{Place, is_alive, kill_9};

/// A file with its own name, and what is given.
fn file(name: &str, rest: &str) -> String {
    format!("[workflow]\nname = \"{name}\"\n{rest}")
}

/// The node of `show` with this name.
fn node<'v>(shown: &'v Value, name: &str) -> &'v Value {
    let nodes = shown["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|node| node["id"] == name);
    found.unwrap_or_else(|| panic!("no node {name}: {nodes:?}"))
}

fn status<'v>(shown: &'v Value, name: &str) -> &'v str {
    node(shown, name)["status"].as_str().unwrap()
}

#[test]
fn parameters_go_in_and_outputs_come_out_with_their_types() {
    let place = Place::with(
        r#"
[params]
limit = { type = "integer", default = 2 }
[nodes.list]
stage = "command"
with = { shell = "echo '[1,2,3]'; echo text > $FLOW_OUTPUTS/note" }
outputs = { all = { type = "list<integer>", from = "stdout" }, note = "file" }
[nodes.part]
stage = "workflow"
inputs = { all = "list.all", note = "list.note" }
with = { file = "lib/part.toml", params = { all = "{{ inputs.all }}", limit = "{{ params.limit }}", note = "{{ inputs.note }}", own = "here.txt", label = "first {{ params.limit }}" } }
[outputs]
some = "part.some"
said = "part.said"
note = "part.note"
"#,
    );
    std::fs::create_dir(place.path("lib")).unwrap();
    place.write("here.txt", "given");
    place.write("lib/default.txt", "default");
    place.write(
        "lib/say.sh",
        "cat \"$1\" \"$2\" \"$3\"; echo \" $4 $(basename $FLOW_WORKFLOW_DIR)\"",
    );
    place.write(
        "lib/part.toml",
        &file(
            "part",
            r#"
[params]
all = "list<integer>"
limit = { type = "integer", max = 3 }
note = "file"
own = "file"
other = { type = "file", default = "default.txt" }
label = "string"
[tools]
sh = "/bin/sh"
[nodes.take]
stage = "jq"
inputs = { all = "params.all", limit = "params.limit" }
with = { filter = ".all[:.limit]" }
outputs = { some = "list<integer>" }
[nodes.say]
stage = "command"
uses = ["say.sh"]
with = { argv = ["sh", "say.sh", "{{ params.note }}", "{{ params.own }}", "{{ params.other.path }}", "{{ params.label }} of {{ workflow.name }}"] }
outputs = { said = "string" }
[outputs]
some = "take.some"
said = "say.said"
note = "params.note"
"#,
        ),
    );
    let done = place.flow(&["run", "flow.toml", "--json"]).exits(0);
    let outputs = done.lines().pop().unwrap()["outputs"].clone();
    assert_eq!(outputs["some"], json!([1, 2]));
    assert_eq!(outputs["said"], "text\ngivendefault first 2 of part lib");
    assert_eq!(outputs["note"]["size"], 5);
    assert_eq!(
        place.flow(&["output", "latest", "part/say.said"]).stdout,
        "text\ngivendefault first 2 of part lib\n"
    );
    assert_eq!(place.flow(&["output", "latest", "part/params.limit"]).stdout, "2\n");
    // The same file from its own folder has the same keys: its place is not part of them.
    place
        .flow(&[
            "run",
            "lib/part.toml",
            "--param",
            "all=[1,2,3]",
            "--param",
            "limit=2",
            "--param",
            "note=here.txt",
            "--param",
            "own=here.txt",
            "--param",
            "label=x",
        ])
        .exits(0);
    let (alone, inside) = (place.show("latest"), place.flow(&["runs", "--json"]).json());
    let first = inside.as_array().unwrap().iter().find(|run| run["workflow"] == "test").unwrap();
    let shown = place.show(first["id"].as_str().unwrap());
    assert_eq!(node(&alone, "take")["key"], node(&shown, "part/take")["key"]);
}

/// Two levels; the innermost one fails for the number 3 until the file `open` is there.
fn two_levels(outer: &str) -> Place {
    let place = Place::with(outer);
    place.write(
        "middle.toml",
        &file(
            "middle",
            r#"
[params]
n = "integer"
[nodes.more]
stage = "jq"
inputs = { n = "params.n" }
with = { filter = ". + 1" }
outputs = { n = "integer" }
[nodes.deep]
stage = "workflow"
inputs = { n = "more.n" }
with = { file = "deep.toml", params = { n = "{{ inputs.n }}" } }
[outputs]
n = "deep.n"
before = "more.n"
"#,
        ),
    );
    place.write(
        "deep.toml",
        &file(
            "deep",
            r#"
[defaults]
retry = { attempts = 1 }
[params]
n = "integer"
[nodes.work]
stage = "command"
with = { shell = "echo {{ params.n }} >> $DIR/ledger; test {{ params.n }} != 3 -o -e $DIR/open && echo {{ params.n * 10 }}", env = { DIR = "{{ workflow.dir }}" } }
outputs = { n = "integer" }
[outputs]
n = "work.n"
"#,
        ),
    );
    place
}

#[test]
fn a_failure_two_levels_down_is_told_by_its_whole_name_and_resumed_there() {
    let place = two_levels(
        "[nodes.m]\nstage = \"workflow\"\nwith = { file = \"middle.toml\", params = { n = 2 } }\n[outputs]\nn = \"m.n\"\n",
    );
    place.flow(&["run", "flow.toml"]).exits(1);
    let shown = place.show("latest");
    assert_eq!(status(&shown, "m/deep/work"), "failed");
    assert_eq!(status(&shown, "m"), "pending");
    assert_eq!(node(&shown, "m")["blocked_by"], json!(["m/deep/work"]));
    place.write("open", "");
    assert_snapshot!(place.flow(&["resume", "latest"]), @r"
    exit: 0
    --- stdout
    n: 30
    --- stderr
    [time] ▶ run  [run] resumed
    [time] ● m/deep/work  attempt 2
    [time] ✔ m/deep/work  [took]
    [time] ● m/deep
    [time] ✔ m/deep  [took]
    [time] ● m
    [time] ✔ m  [took]
    [time] ✔ run  succeeded

       NODE  STATUS  ATTEMPTS  TIME
    ✔  m/params  succeeded  1  [took]  reused
    ✔  m/more  succeeded  1  [took]  reused
    ✔  m/deep/params  succeeded  1  [took]  reused
    ✔  m/deep/work  succeeded  2  [took]
    ✔  m/deep  succeeded  1  [took]
    ✔  m  succeeded  1  [took]
    run [run] succeeded: 6 succeeded (3 reused) in [took]
    ");
    // What was done stays done.
    let shown = place.show("latest");
    assert_eq!(node(&shown, "m/more")["reused"], true);
    assert_eq!(place.read("ledger"), "3\n3\n");
    assert_eq!(place.flow(&["output", "latest", "m.before"]).stdout, "3\n");
    assert_eq!(place.flow(&["output", "latest", "m/deep/params.n"]).stdout, "3\n");
    let again = place.flow(&["rerun", "latest", "m/deep/work", "--json"]).exits(0).json();
    assert_eq!((&again["node"], &again["same"]), (&json!("m/deep/work"), &json!(true)));
    assert!(place.flow(&["logs", "latest", "m/deep/work"]).exits(0).stdout.contains("30"));
    assert!(place.flow(&["show", "latest", "m/deep/work"]).exits(0).stdout.contains("m/deep/work"));
    // Nothing but the store is needed to look at it.
    std::fs::remove_file(place.path("deep.toml")).unwrap();
    place.flow(&["show", "latest"]).exits(0);
}

#[test]
fn a_changed_or_lost_nested_file_is_named_and_the_recorded_one_is_used() {
    let place = two_levels(
        "[nodes.m]\nstage = \"workflow\"\nwith = { file = \"middle.toml\", params = { n = 2 } }\n",
    );
    place.flow(&["run", "flow.toml"]).exits(1);
    place.write("open", "");
    place.write("deep.toml", "[workflow]\nname = \"another\"\n");
    std::fs::remove_file(place.path("middle.toml")).unwrap();
    let done = place.flow(&["resume", "latest"]).exits(0);
    for note in ["deep.toml has changed; this resume", "middle.toml is gone; this resume"] {
        assert!(done.stderr.contains(note), "{done}");
    }
    assert_eq!(place.flow(&["output", "latest", "m.n"]).stdout, "30\n");
}

#[test]
fn a_workflow_runs_once_for_each_item_and_items_flow_one_by_one() {
    let place = two_levels(
        r#"
[nodes.m]
stage = "workflow"
for_each = "list.n"
key = "k{{ item }}"
on_item_failure = "drop"
min_success = 0.6
with = { file = "middle.toml", params = { n = "{{ item }}" } }
[nodes.list]
stage = "value"
with = { value = [1, 2, 5] }
outputs = { n = "list<integer>" }
[nodes.next]
stage = "jq"
for_each = "m.n"
inputs = { n = "item", before = "m[item].before" }
with = { filter = "[.n, .before]" }
outputs = { pair = "json" }
[outputs]
pairs = "next.pair"
"#,
    );
    let done = place.flow(&["run", "flow.toml", "--json"]).exits(0);
    let shown = done.lines().pop().unwrap();
    assert_eq!(shown["outputs"]["pairs"], json!([[20, 2], [60, 6]]), "{done}");
    let items = node(&shown, "m")["items"].as_array().unwrap();
    let states: Vec<_> = items.iter().map(|i| (&i["key"], &i["status"])).collect();
    assert_eq!(json!(states), json!([["k1", "succeeded"], ["k2", "failed"], ["k5", "succeeded"]]));
    assert_eq!(status(&shown, "m/deep/work"), "succeeded");
    let again = place.flow(&["rerun", "latest", "m/deep/work[k5]", "--json"]).exits(0).json();
    assert_eq!((&again["item"], &again["same"]), (&json!("k5"), &json!(true)));
}

#[test]
fn a_workflow_with_too_few_items_fails_and_a_resume_runs_what_failed_inside() {
    let place = two_levels(
        r#"
[params]
list = { type = "list<integer>", default = [1, 2] }
[nodes.m]
stage = "workflow"
for_each = "params.list"
on_item_failure = "drop"
min_success = 0.9
with = { file = "middle.toml", params = { n = "{{ item }}" } }
[outputs]
n = "m.n"
"#,
    );
    place.flow(&["run", "flow.toml"]).exits(1);
    place.write("open", "");
    let done = place.flow(&["resume", "latest", "--json"]).exits(0);
    assert_eq!(done.lines().pop().unwrap()["outputs"]["n"], json!([20, 30]));
    assert_eq!(place.read("ledger").lines().filter(|line| *line == "2").count(), 1);
}

#[test]
fn what_a_false_condition_skips_is_skipped_with_all_inside() {
    let place = two_levels(
        r#"
[nodes.m]
stage = "workflow"
when = "1 > 2"
with = { file = "middle.toml", params = { n = 5 } }
[nodes.else]
stage = "value"
with = { value = 7 }
outputs = { n = "integer" }
[nodes.behind]
stage = "noop"
inputs = { n = "m.n" }
[outputs]
n = { first = ["m.n", "else.n"] }
"#,
    );
    let shown = place.flow(&["run", "flow.toml", "--json"]).exits(0).lines().pop().unwrap();
    for name in ["m/params", "m/more", "m/deep/params", "m/deep/work", "m/deep", "m", "behind"] {
        assert_eq!(status(&shown, name), "skipped", "{name}");
    }
    assert_eq!(shown["outputs"]["n"], 7);
    assert_eq!(place.read("ledger"), "");
}

#[test]
fn an_optional_workflow_may_fail_inside() {
    let place = two_levels(
        r#"
[nodes.m]
stage = "workflow"
optional = true
with = { file = "middle.toml", params = { n = 2 } }
[outputs]
n = "m.n?"
before = "m.before?"
"#,
    );
    let shown = place.flow(&["run", "flow.toml", "--json"]).exits(0).lines().pop().unwrap();
    assert_eq!(shown["outputs"], json!({ "n": null, "before": null }));
    assert_eq!(status(&shown, "m"), "failed");
    assert_eq!(node(&shown, "m")["error"]["causes"][0].as_str().map(|c| !c.is_empty()), Some(true));
}

#[test]
fn an_output_that_was_skipped_inside_is_absent_and_holds_back_no_other() {
    let place = Place::with(
        r#"
[nodes.p]
stage = "workflow"
with = { file = "p.toml" }
[nodes.a]
stage = "noop"
inputs = { x = "p.made" }
[nodes.b]
stage = "noop"
inputs = { x = "p.skipped" }
"#,
    );
    place.write(
        "p.toml",
        &file(
            "p",
            r#"
[nodes.one]
stage = "value"
with = { value = 1 }
outputs = { x = "integer" }
[nodes.two]
stage = "value"
when = "false"
with = { value = 2 }
outputs = { x = "integer" }
[outputs]
made = "one.x"
skipped = "two.x"
"#,
        ),
    );
    let shown = place.flow(&["run", "flow.toml", "--json"]).exits(0).lines().pop().unwrap();
    let states = ["p", "a", "b"].map(|name| status(&shown, name));
    assert_eq!(states, ["succeeded", "succeeded", "skipped"]);
}

#[test]
fn after_kill_9_inside_a_nested_workflow_it_goes_on_there() {
    let place = Place::with("[nodes.p]\nstage = \"workflow\"\nwith = { file = \"p.toml\" }\n");
    place.write(
        "p.toml",
        &file(
            "p",
            r#"
[nodes.one]
stage = "command"
with = { shell = "echo one >> $DIR/ledger", env = { DIR = "{{ workflow.dir }}" } }
[nodes.two]
stage = "command"
after = ["one"]
with = { shell = "echo two >> $DIR/ledger; echo $$ > $DIR/pid; test -e $DIR/open || sleep 1000", env = { DIR = "{{ workflow.dir }}" } }
"#,
        ),
    );
    let mut child = place.start(&["run", "flow.toml", "--run-id", "one"]);
    place.wait_for("pid");
    kill_9(&mut child);
    let pid = place.read("pid");
    place.write("open", "");
    place.flow(&["resume", "one"]).exits(0);
    assert!(!is_alive(&pid), "the next attempt began beside it");
    assert_eq!(place.read("ledger"), "one\ntwo\ntwo\n");
    assert_eq!(node(&place.show("one"), "p/two")["attempts"], 2);
}

#[test]
fn a_parameter_that_breaks_its_type_fails_where_it_is_given() {
    let place = Place::with(
        "[params]\nword = { type = \"string\", default = \"long\" }\n[nodes.p]\nstage = \"workflow\"\nwith = { file = \"p.toml\", params = { word = \"{{ params.word }}\" } }\n",
    );
    place.write("p.toml", &file("p", "[params]\nword = { type = \"string\", max_length = 3 }\n"));
    place.flow(&["run", "flow.toml"]).exits(1);
    let shown = place.show("latest");
    assert_eq!(status(&shown, "p/params"), "failed");
    assert_eq!(node(&shown, "p/params")["error"]["port"], "word");
}

#[test]
fn only_a_nested_node_with_what_it_needs_can_be_wanted() {
    let place = two_levels(
        "[nodes.m]\nstage = \"workflow\"\nwith = { file = \"middle.toml\", params = { n = 2 } }\n",
    );
    place.flow(&["run", "flow.toml", "--only", "m/more"]).exits(0);
    assert_eq!(place.read("ledger"), "");
    assert_eq!(place.flow(&["output", "latest", "m/more.n"]).stdout, "3\n");
}

#[test]
fn faults_of_a_nested_file_are_told_in_that_file() {
    let place = Place::with("[nodes.p]\nstage = \"workflow\"\nwith = { file = \"lib/p.toml\" }\n");
    std::fs::create_dir(place.path("lib")).unwrap();
    place.write(
        "lib/p.toml",
        &file("p", "deadline = \"1h\"\n[nodes.a]\nstage = \"nop\"\n[nodes.b]\nstage = \"command\"\nuses = [\"gone\"]\nwith = { argv = [\"true\"] }\n"),
    );
    assert_snapshot!(place.flow(&["validate", "flow.toml"]), @r#"
    exit: 3
    --- stderr
    warning[W031]: `deadline` has no effect in a workflow inside another one
     --> lib/p.toml:3:1
      |
    3 | deadline = "1h"
      | ^^^^^^^^
      |
      = help: the outermost workflow file says it for the whole run

    error[W101]: there is no stage `nop`
     --> lib/p.toml:5:9
      |
    5 | stage = "nop"
      |  ^^^^^
      |
      = help: did you mean `noop`?

    error[W150]: `gone` cannot be used: it does not exist
     --> lib/p.toml:8:9
      |
    8 | uses = ["gone"]
      |  ^^^^^^
      |
      = help: paths of `uses` are relative to the workflow file, in [dir]/lib

    error: flow.toml is not valid: 2 faults
    "#);
    let json = place.flow(&["validate", "flow.toml", "--json"]).exits(3).json();
    let first = &json["faults"][0];
    assert_eq!((&first["file"], &first["line"]), (&json!("lib/p.toml"), &json!(3)));
}

#[test]
fn a_setting_of_the_run_that_a_nested_file_repeats_is_no_fault() {
    let place = Place::new();
    place.write("flow.toml", &file("outer", "timezone = \"Asia/Tokyo\"\n[nodes.p]\nstage = \"workflow\"\nwith = { file = \"p.toml\" }\n"));
    place.write("p.toml", &file("p", "timezone = \"Asia/Tokyo\"\n[nodes.a]\nstage = \"noop\"\n"));
    let done = place.flow(&["validate", "flow.toml"]).exits(0);
    assert!(!done.stderr.contains("W031"), "{done}");
    place.write("p.toml", &file("p", "timezone = \"UTC\"\n[nodes.a]\nstage = \"noop\"\n"));
    let done = place.flow(&["validate", "flow.toml"]).exits(0);
    assert!(done.stderr.contains("W031"), "{done}");
}
