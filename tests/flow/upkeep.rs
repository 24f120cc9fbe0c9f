//! Removing old runs, and taking runs from one store to another.

use insta::assert_snapshot;
use serde_json::json;

use super::damage::{flip, made};
use super::harness::{Place, pathless};

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
    assert_snapshot!(place.flow(&["gc", "--keep-last", "1", "--dry-run"]), @r#"
    exit: 0
    --- stdout
    would remove run a
    would remove run b
    would remove 2 runs, 2 objects with 28 B, 0 leftovers
    "#);
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
    assert_snapshot!(place.flow(&["gc"]), @r#"
    exit: 0
    --- stdout
    removed nothing
    --- stderr
    all runs are kept; --keep-last or --older-than removes some, as in: flow gc --keep-last 20 --dry-run
    "#);
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
    assert_snapshot!(other(&["import", "one.run"]), @r#"
    exit: 0
    --- stdout
    one
    --- stderr
    look at it: flow --store other show one
    "#);
    assert_eq!(other(&["show", "one", "--json"]).exits(0).json(), place.show("one"));
    assert_eq!(other(&["output", "one", "make.file"]).stdout, "precious\n");
    other(&["resume", "one"]).exits(0);
    other(&["rerun", "one", "count"]).exits(0);
    other(&["verify"]).exits(0);
    assert_snapshot!(other(&["import", "one.run"]), @r#"
    exit: 6
    --- stderr
    error: this store has a run one already; nothing was changed
    help: look at it: flow --store other show one; or import into another store with --store
    "#);
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
    assert_snapshot!(place.flow(&["export", "one", "-o", "one.run"]), @r#"
    exit: 2
    --- stderr
    error: one.run is there already
    help: remove it, or choose another file with -o
    "#);
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
    assert_snapshot!(pathless(&place.flow(&["--store", "other", "import", "one.run"])), @r#"
    exit: 4
    --- stderr
    error: one.run is damaged at byte 0: its bytes do not have the digest at its end: copy it again
    help: nothing of it was taken; copy the file again, or export the run again
    "#);
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
    assert_snapshot!(elsewhere.flow(&["import", "one.run"]), @r#"
    exit: 4
    --- stderr
    error: there is no store at [dir]/.flow
    help: say where to make one: flow --store .flow import one.run
    "#);
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
        [("bash", "complete -o"), ("zsh", "#compdef flow"), ("fish", "complete --")]
    {
        let script = Place::new().flow(&["completions", shell]).exits(0).stdout;
        assert!(script.contains(word) && script.contains("FLOW_COMPLETE"), "{shell}: {script}");
    }
    Place::new().flow(&["completions", "cmd"]).exits(2);
}

/// What bash is offered for the last of these words.
fn offered(place: &Place, words: &[&str]) -> Vec<String> {
    let mut command = place.command(&["--"]);
    command.arg("flow").args(words).env("FLOW_COMPLETE", "bash");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    command.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_COMP_TYPE", "9");
    command.env("_CLAP_COMPLETE_SPACE", "false");
    let done = place.finish(command).exits(0);
    done.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn runs_nodes_and_parameters_are_completed() {
    let place = made();
    let offered = |words: &[&str]| offered(&place, words);
    assert_eq!(offered(&["show", "o"]), ["one"]);
    assert!(offered(&["show", ""]).contains(&"latest".to_owned()));
    assert!(offered(&["show", "one", ""]).len() > 1, "{:?}", offered(&["show", "one", ""]));
    // Where nothing is known, options are left.
    let options = |words: &[String]| words.iter().all(|word| word.starts_with("--"));
    assert!(options(&offered(&["show", "nothing-like-it", ""])));
    assert_eq!(
        offered(&["explain", "w02"]),
        ["W021", "W022", "W023", "W024", "W025", "W026", "W027", "W028", "W029"]
    );
    assert!(offered(&["ver"]).contains(&"verify".to_owned()));
    place.write(
        "p.toml",
        "[workflow]\nname = \"p\"\n[params]\nsport = \"string\"\nspan = \"string\"\n",
    );
    assert_eq!(offered(&["run", "p.toml", "--param", "s"]), ["sport=", "span="]);
    let elsewhere = Place::new();
    assert!(options(&self::offered(&elsewhere, &["show", ""])));
    assert!(!elsewhere.path(".flow").exists());
}

#[test]
fn manual_pages_are_made_for_every_command() {
    let place = Place::new();
    assert!(place.flow(&["man"]).exits(0).stdout.contains(".TH flow 1"));
    place.flow(&["man", "pages"]).exits(0);
    for page in ["flow.1", "flow-run.1", "flow-resume.1", "flow-explain.1"] {
        assert!(place.read(&format!("pages/{page}")).contains(".SH SYNOPSIS"), "{page}");
    }
}
