//! Trials with other values, from the file as it is now, and results that the run adopts.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::harness::Place;

/// `make` → `double` → `text` → `end`, each noted in the ledger.
const CHAIN: &str = r#"
[nodes.make]
stage = "command"
with = { shell = "echo make >> $DIR/ledger; cat $DIR/number", env = { DIR = "{{ workflow.dir }}" } }
outputs.n = "integer"
[nodes.double]
stage = "command"
inputs = { n = "make.n" }
uses = ["by"]
with = { shell = "echo double >> $DIR/ledger; n=$(cat inputs/n.json); echo \"{\\\"n\\\":$((n * $(cat by))),\\\"from\\\":[$n]}\"", env = { DIR = "{{ workflow.dir }}" } }
outputs.out = "json"
[nodes.text]
stage = "command"
inputs = { out = "double.out" }
with = { shell = "echo text >> $DIR/ledger; grep -c n inputs/out.json", env = { DIR = "{{ workflow.dir }}" } }
outputs.lines = "integer"
[nodes.end]
stage = "command"
inputs = { lines = "text.lines" }
with = { shell = "echo end >> $DIR/ledger; echo end", env = { DIR = "{{ workflow.dir }}" } }
outputs.s = "string"
[outputs]
s = "end.s"
"#;

fn chain() -> Place {
    let place = Place::with(CHAIN);
    place.write("number", "1");
    place.write("by", "2");
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    assert_eq!(ran(&place), ["make", "double", "text", "end"]);
    place
}

fn ran(place: &Place) -> Vec<String> {
    let all = place.read("ledger").lines().map(str::to_owned).collect();
    place.write("ledger", "");
    all
}

#[test]
fn other_values_are_typed_and_checked_before_anything_runs() {
    let place = chain();
    assert_snapshot!(place.flow(&["rerun", "one", "double", "--set", "inputs.n=5"]), @"
    exit: 0
    --- stderr
    ✔ double attempt 2, [took]
      differs out: 51b0989b3532 (18 B) → ca5040cae47e (19 B)
          /from/0: 1 → 5
          /n: 2 → 10
      the run keeps its recorded result
    ");
    ran(&place);
    let set = |words: &[&str]| {
        let all: Vec<&str> = ["rerun", "one", "double"].iter().chain(words).copied().collect();
        place.flow(&all)
    };
    assert_snapshot!(set(&["--set", "inputs.n=five", "--set", "inputs.m=1"]), @r#"
    exit: 3
    --- stderr
    error: values of --set are refused
      - `inputs.n`: expected an integer, found the string "five"
      - `inputs.m`: the node has no such input; did you mean `n`?
    help: write --set inputs.PORT=VALUE or --set with.KEY=VALUE
    "#);
    assert_snapshot!(set(&["--set", "n=5"]), @"
    exit: 2
    --- stderr
    error: --set does not know `n`
    help: write --set inputs.PORT=VALUE or --set with.KEY=VALUE
    ");
    assert_snapshot!(set(&["--set", "with.shel=true"]), @"
    exit: 3
    --- stderr
    error[W111]: stage `command` has no field `shel`
     --> [dir]/flow.toml (as recorded):8:8
      |
    8 | [nodes.double]
      |  ^^^^^^
      |
      = help: did you mean `shell`?

    error: [dir]/flow.toml (as recorded) is not valid: 1 fault
    ");
    assert_eq!(ran(&place), [""; 0]);
    let json = set(&["--set", "with.env.DIR=/nowhere", "--set", "with.shell=echo {}", "--json"])
        .exits(0)
        .json();
    assert_eq!(
        (&json["same"], &json["outputs"]["out"]["new"]["value"]),
        (&json!(false), &json!({}))
    );
    assert_eq!(place.flow(&["output", "one", "double"]).stdout, "{\"from\":[1],\"n\":2}\n");
}

#[test]
fn the_node_is_taken_as_the_file_has_it_now() {
    let place = chain();
    place.write("by", "3");
    let json = place.flow(&["rerun", "one", "double", "--json"]).exits(0).json();
    assert_eq!(json["same"], true);
    let json = place.flow(&["rerun", "one", "double", "--update", "--json"]).exits(0).json();
    assert_eq!(json["outputs"]["out"]["new"]["value"]["n"], 3);
    place.write("other.toml", &place.read("flow.toml").replace("n * $", "n + $"));
    let json =
        place.flow(&["rerun", "one", "double", "--file", "other.toml", "--json"]).exits(0).json();
    assert_eq!(json["outputs"]["out"]["new"]["value"]["n"], 4);
    place.write("flow.toml", "broken");
    place.flow(&["rerun", "one", "double", "--update"]).exits(3);
    // The run itself goes by what it recorded.
    assert_eq!(place.flow(&["output", "one", "double"]).stdout, "{\"from\":[1],\"n\":2}\n");
}

#[test]
fn a_kept_folder_is_named_and_there() {
    let place = chain();
    let done = place.flow(&["rerun", "one", "double", "--keep"]).exits(0);
    let line =
        done.stderr.lines().find_map(|l| l.trim().strip_prefix("its scratch folder: ")).unwrap();
    assert_eq!(std::fs::read_to_string(format!("{line}/inputs/n.json")).unwrap().trim(), "1");
}

#[test]
fn an_adopted_result_is_the_runs_own_and_what_it_leaves_behind_is_named() {
    let place = chain();
    place.write("number", "4");
    assert_snapshot!(place.flow(&["rerun", "one", "make", "--adopt"]), @"
    exit: 0
    --- stderr
    ✔ make attempt 2, [took]
      differs n: d63bd9a826af (1 B) → e67a9c453625 (1 B)
          the whole: 1 → 4
      the run takes this result for its own
      made from the result before it: double, text, end
      run them again as far as they change: flow resume one --update
    ");
    assert_eq!(ran(&place), ["make"]);
    let shown = place.show("one");
    let make = &shown["nodes"][0];
    assert_eq!((&shown["status"], &make["attempts"]), (&json!("succeeded"), &json!(2)));
    assert_eq!(make["outputs"]["n"]["value"], 4);
    assert_eq!(shown["nodes"][1]["outputs"]["out"]["value"]["n"], 2);
    // The rest is brought up to date by key: `text` makes the same, so `end` does not run.
    place.flow(&["resume", "one", "--update"]).exits(0);
    assert_eq!(ran(&place), ["double", "text"]);
    assert_eq!(place.flow(&["output", "one", "double"]).stdout, "{\"from\":[4],\"n\":8}\n");
}

#[test]
fn what_depends_on_an_adopted_result_runs_as_far_as_it_changes() {
    let place = chain();
    assert_snapshot!(place.flow(&["rerun", "one", "make", "--downstream"]), @"
    exit: 2
    --- stderr
    error: --downstream runs what depends on a result of the run, and this one is none without --adopt
    help: adopt it too: flow rerun one make --adopt --downstream
    ");
    assert_eq!(ran(&place), [""; 0]);
    place.flow(&["rerun", "one", "make", "--adopt", "--downstream"]).exits(0);
    assert_eq!(ran(&place), ["make"]);
    place.write("number", "4");
    let done = place.flow(&["rerun", "one", "make", "--adopt", "--downstream", "--json"]).exits(0);
    assert_eq!(done.json()["same"], false);
    assert_eq!(ran(&place), ["make", "double", "text"]);
    let shown = place.show("one");
    assert_eq!(
        (&shown["status"], &shown["nodes"][1]["outputs"]["out"]["value"]["n"]),
        (&json!("succeeded"), &json!(8))
    );
    // It is on record: nothing is left to do.
    place.flow(&["resume", "one"]).exits(0);
    assert_eq!(ran(&place), [""; 0]);
}

#[test]
fn a_failed_task_is_mended_by_a_trial_that_is_adopted() {
    let place = chain();
    place.write("number", "none");
    place.flow(&["run", "flow.toml", "--run-id", "two"]).exits(1);
    ran(&place);
    place.flow(&["rerun", "two", "make", "--set", "with.shell=echo 6", "--adopt"]).exits(0);
    let shown = place.show("two");
    assert_eq!(
        (&shown["status"], &shown["nodes"][0]["status"]),
        (&json!("failed"), &json!("succeeded"))
    );
    place.flow(&["resume", "two"]).exits(0);
    assert_eq!(ran(&place), ["double", "text", "end"]);
    assert_eq!(place.flow(&["output", "two", "double"]).stdout, "{\"from\":[6],\"n\":12}\n");
}

#[test]
fn one_item_is_adopted_and_the_list_follows() {
    let place = Place::with(
        r#"
[nodes.list]
stage = "value"
with = { value = ["a", "b"] }
outputs.l = "list<string>"
[nodes.each]
stage = "command"
for_each = "list.l"
key = "{{ item }}"
with = { shell = "echo {{ item }} >> $DIR/ledger; cat $DIR/{{ item }}", env = { DIR = "{{ workflow.dir }}" } }
outputs.n = "integer"
[nodes.next]
stage = "jq"
inputs = { n = "each[item].n" }
for_each = "list.l"
with = { filter = ". * 10" }
outputs.n = "integer"
[nodes.sum]
stage = "jq"
inputs = { all = "next.n" }
with = { filter = "add" }
outputs.n = "integer"
[nodes.skipped]
stage = "command"
when = "params.go"
with = { shell = "echo skipped >> $DIR/ledger; echo 1", env = { DIR = "{{ workflow.dir }}" } }
outputs.n = "integer"
[params]
go = { type = "boolean", default = false }
"#,
    );
    place.write("a", "1");
    place.write("b", "2");
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    ran(&place);
    place.write("b", "5");
    place.flow(&["rerun", "one", "each[b]", "--adopt", "--downstream"]).exits(0);
    assert_eq!(ran(&place), ["b"]);
    assert_eq!(place.flow(&["output", "one", "sum"]).stdout, "60\n");
    let shown: Value = place.show("one");
    assert_eq!(shown["nodes"][1]["items"][1]["attempts"], 2);
    let json = place.flow(&["rerun", "one", "skipped", "--json"]).exits(0).json();
    assert_eq!(json["status"], "skipped");
    assert_eq!(ran(&place), [""; 0]);
}

#[test]
fn outputs_that_the_run_does_not_know_are_not_adopted() {
    let place = chain();
    place.write(
        "flow.toml",
        &place
            .read("flow.toml")
            .replace("outputs.lines = \"integer\"", "outputs.lines = \"number\""),
    );
    let done = place.flow(&["rerun", "one", "text", "--update", "--adopt"]).exits(6);
    assert!(done.stderr.contains("adopt the whole file: flow resume one --update"), "{done}");
    assert_eq!(ran(&place), [""; 0]);
}
