//! Removing old runs, and taking runs from one store to another.

use insta::assert_snapshot;
use serde_json::json;

use super::damage::{flip, made};
use super::harness::Place;

/// A place with the runs `a`, `b` and `c`, in this order, each with a file of its own.
fn three() -> Place {
    let place = Place::with(
        r#"
[params]
name = "string"
[nodes.make]
stage = "command"
with = { shell = "echo the file of {{ params.name }} > out.txt; echo the same > same.txt" }
[nodes.make.outputs]
file = { type = "file", path = "out.txt" }
same = { type = "file", path = "same.txt" }
"#,
    );
    for name in ["a", "b", "c"] {
        let param = format!("name={name}");
        place.flow(&["run", "flow.toml", "--run-id", name, "--param", &param]).exits(0);
    }
    place
}

fn ids(place: &Place) -> Vec<String> {
    let runs = place.flow(&["runs", "--json"]).exits(0).json();
    runs.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_collection_removes_what_it_said_and_nothing_that_a_kept_run_needs() {
    let place = three();
    assert_snapshot!(place.flow(&["gc", "--keep-last", "1", "--dry-run"]), @"");
    assert_eq!(ids(&place), ["c", "b", "a"]);
    let would = place.flow(&["gc", "--keep-last", "1", "--dry-run", "--json"]).exits(0).json();
    let did = place.flow(&["gc", "--keep-last", "1", "--json"]).exits(0).json();
    assert_eq!((&would["dry_run"], &did["dry_run"]), (&json!(true), &json!(false)));
    assert_eq!(did["runs"], json!(["a", "b"]));
    assert_eq!((&would["runs"], &would["bytes"]), (&did["runs"], &did["bytes"]));
    assert_eq!(ids(&place), ["c"]);
    assert_eq!(place.flow(&["output", "c", "make.file"]).stdout, "the file of c\n");
    assert_eq!(place.flow(&["output", "c", "make.same"]).stdout, "the same\n");
    place.flow(&["verify"]).exits(0);
    place.flow(&["show", "a"]).exits(5);
}

#[test]
fn without_a_limit_all_runs_stay() {
    let place = three();
    assert_snapshot!(place.flow(&["gc"]), @"");
    assert_eq!(ids(&place).len(), 3);
    let young = place.flow(&["gc", "--older-than", "30d", "--json"]).exits(0).json();
    assert_eq!(young["runs"], json!([]));
    let refused = place.flow(&["gc", "--older-than", "soon"]).exits(2);
    assert!(refused.stderr.contains("a number with a unit"), "{refused}");
}

#[test]
fn a_run_goes_to_another_store_with_all_that_it_needs() {
    let place = made();
    assert_eq!(place.flow(&["export", "one", "-o", "one.run"]).exits(0).stdout, "");
    let other = |args: &[&str]| place.flow(&[&["--store", "other"], args].concat());
    assert_snapshot!(other(&["import", "one.run"]), @"");
    assert_eq!(other(&["show", "one", "--json"]).exits(0).json(), place.show("one"));
    assert_eq!(other(&["output", "one", "make.file"]).stdout, "precious\n");
    other(&["resume", "one"]).exits(0);
    other(&["rerun", "one", "count"]).exits(0);
    other(&["verify"]).exits(0);
    assert_snapshot!(other(&["import", "one.run"]), @"");
    assert_eq!(other(&["show", "one", "--json"]).exits(0).json(), place.show("one"));
}

#[test]
fn a_run_that_failed_goes_on_in_the_store_that_it_was_taken_to() {
    let place = Place::with(
        r#"
[nodes.first]
stage = "command"
with = { shell = "echo first >> $DIR/ledger; echo 1", env = { DIR = "{{ workflow.dir }}" } }
outputs.n = "integer"
[nodes.gate]
stage = "command"
inputs = { n = "first.n" }
with = { shell = "test -e $DIR/open", env = { DIR = "{{ workflow.dir }}" } }
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    let json = place.flow(&["export", "latest", "--output", "one.run", "--json"]).exits(0).json();
    assert_eq!(json["run"], "one");
    assert_eq!(json["size"], json!(place.path("one.run").metadata().unwrap().len()));
    let imported = place.flow(&["--store", "other", "import", "one.run", "--json"]).exits(0);
    assert_eq!(imported.json(), json!({ "run": "one" }));
    place.write("open", "");
    place.flow(&["--store", "other", "resume", "one"]).exits(0);
    assert_eq!(place.read("ledger"), "first\n");
    assert_eq!(place.show("one")["status"], "failed");
}

#[test]
fn an_exported_file_is_never_written_over() {
    let place = made();
    place.write("one.run", "mine");
    assert_snapshot!(place.flow(&["export", "one", "-o", "one.run"]), @"");
    assert_eq!(place.read("one.run"), "mine");
    let nowhere = place.flow(&["export", "one", "-o", "no/such/folder/one.run"]).exits(1);
    assert!(nowhere.stderr.contains("cannot write no/such/folder/one.run"), "{nowhere}");
}

#[test]
fn a_damaged_file_is_refused_and_nothing_of_it_stays() {
    let place = made();
    place.flow(&["export", "one", "-o", "one.run"]).exits(0);
    let size = std::fs::metadata(place.path("one.run")).unwrap().len();
    flip(&place.path("one.run"), 3000);
    assert_snapshot!(place.flow(&["--store", "other", "import", "one.run"]), @"");
    std::fs::OpenOptions::new()
        .write(true)
        .open(place.path("one.run"))
        .unwrap()
        .set_len(size / 2)
        .unwrap();
    let cut = place.flow(&["--store", "other", "import", "one.run"]).exits(4);
    assert!(cut.stderr.contains("one.run is damaged at byte"), "{cut}");
    assert_eq!(place.flow(&["--store", "other", "runs", "--json"]).json(), json!([]));
}

#[test]
fn a_store_is_made_only_where_one_was_named() {
    let place = made();
    place.flow(&["export", "one", "-o", "one.run"]).exits(0);
    let elsewhere = Place::new();
    std::fs::copy(place.path("one.run"), elsewhere.path("one.run")).unwrap();
    assert_snapshot!(elsewhere.flow(&["import", "one.run"]), @"");
    elsewhere.flow(&["--store", ".flow", "import", "gone.run"]).exits(2);
    assert!(!elsewhere.path(".flow").exists());
    elsewhere.flow(&["--store", ".flow", "import", "one.run"]).exits(0);
    elsewhere.flow(&["show", "one"]).exits(0);
}

#[test]
fn a_run_that_lost_something_is_not_exported() {
    let place = made();
    std::fs::remove_file(super::damage::object(&place, "precious")).unwrap();
    let done = place.flow(&["export", "one", "-o", "one.run"]).exits(4);
    assert!(done.stderr.contains("is missing") && done.stderr.contains("flow verify"), "{done}");
    assert!(!place.path("one.run").exists());
}

#[test]
fn shells_are_given_completions() {
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef flow"), ("fish", "complete -c")]
    {
        let script = Place::new().flow(&["completions", shell]).exits(0).stdout;
        assert!(script.contains(word) && script.contains("verify"), "{shell}: {script}");
    }
    Place::new().flow(&["completions", "cmd"]).exits(2);
}
