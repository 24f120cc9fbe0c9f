//! Files that are refused, and how.

use insta::assert_snapshot;
use serde_json::json;

use super::harness::Place;

const BROKEN: &str = r#"
[nodes.a]
stage = "comand"
[nodes.b]
stage = "noop"
after = ["c"]
tiemout = "5s"
"#;

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let place = Place::with(BROKEN);
    assert_snapshot!(place.flow(&["validate", "flow.toml"]), @r#"
    exit: 3
    --- stderr
    error[W101]: there is no stage `comand`
     --> flow.toml:5:9
      |
    5 | stage = "comand"
      |  ^^^^^^^^
      |
      = help: did you mean `command`?

    error[W102]: there is no node `c`
     --> flow.toml:8:10
      |
    8 | after = ["c"]
      |  ^^^
      |
      = help: did you mean `a`?

    error[W008]: `tiemout` is not a key of a node
     --> flow.toml:9:1
      |
    9 | tiemout = "5s"
      | ^^^^^^^
      |
      = help: did you mean `timeout`?

    error: flow.toml is not valid: 3 faults
    "#);
    let run = place.flow(&["run", "flow.toml"]).exits(3);
    assert!(run.stderr.contains("did you mean") && !place.path(".flow").exists(), "{run}");
}

#[test]
fn broken_toml_is_a_fault_with_a_place() {
    let place = Place::with("[nodes.a\nstage = \"noop\"\n");
    assert_snapshot!(place.flow(&["run", "flow.toml"]), @"
    exit: 3
    --- stderr
    error[W003]: this is not TOML: unclosed table, expected `]`
     --> flow.toml:3:9
      |
    3 | [nodes.a
      |  ^
      |
      = help: close the table's header with `]`

    error: flow.toml is not valid: 1 fault
    ");
    let done = place.flow(&["validate", "flow.toml", "--json"]).exits(3);
    let json = done.json();
    assert_eq!((&json["valid"], &json["faults"][0]["line"]), (&json!(false), &json!(3)));
    let run = place.flow(&["run", "flow.toml", "--json"]).exits(3);
    assert_eq!(run.json(), json);
}

#[test]
fn several_files_are_checked_each() {
    let place = Place::with("[nodes.a]\nstage = \"noop\"\n");
    place.write("bad.toml", "");
    assert_snapshot!(place.flow(&["validate", "flow.toml", "gone.toml", "bad.toml"]), @r#"
    exit: 3
    --- stderr
    flow.toml: valid, 1 node
    error: cannot read the workflow file gone.toml
      cause: No such file or directory (os error 2)
    help: TOML files there: bad.toml, flow.toml
    error[W012]: the file has no [workflow] table
    --> bad.toml
     = help: begin with:
             [workflow]
             name = "…"

    error: bad.toml is not valid: 1 fault
    "#);
    let lines = place.flow(&["validate", "flow.toml", "bad.toml", "--json"]).exits(3).lines();
    assert_eq!((&lines[0]["valid"], &lines[1]["valid"]), (&json!(true), &json!(false)));
}

#[test]
fn uses_that_are_not_there_are_faults_of_the_file() {
    let place = Place::with(
        "[nodes.a]\nstage = \"command\"\nuses = [\"gone.sh\"]\nwith = { argv = [\"./gone.sh\"] }\n",
    );
    assert_snapshot!(place.flow(&["run", "flow.toml"]), @r#"
    exit: 3
    --- stderr
    error[W150]: `gone.sh` cannot be used: it does not exist
     --> flow.toml:5:9
      |
    5 | uses = ["gone.sh"]
      |  ^^^^^^^^^
      |
      = help: paths of `uses` are relative to the workflow file, in [dir]

    error: flow.toml is not valid: 1 fault
    "#);
}

#[test]
fn required_parameters_are_no_fault_of_the_file() {
    let place = Place::with("[params]\np = \"string\"\n");
    place.flow(&["validate", "flow.toml"]).exits(0);
    assert_snapshot!(place.flow(&["run", "flow.toml"]), @"
    exit: 3
    --- stderr
    error: a parameter is refused
      - `p`: it is required: expected string
    help: set a parameter with --param NAME=VALUE
    ");
}
