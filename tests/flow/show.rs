//! Lists and states of runs.

use insta::assert_snapshot;
use serde_json::json;

use super::harness::Place;

const MIXED: &str = r#"
[params]
n = { type = "integer", default = 3 }
[nodes.list]
stage = "value"
with = { value = ["a", "b", "c"] }
outputs.list = "list<string>"
[nodes.each]
stage = "command"
for_each = "list.list"
key = "{{ item }}"
max_parallel = 1
on_item_failure = "drop"
with = { shell = "test {{ item }} != b && echo {{ item }}" }
outputs.s = "string"
[nodes.never]
stage = "noop"
after = ["each"]
when = "params.n > 5"
[nodes.bad]
stage = "command"
after = ["each"]
with = { shell = "exit 4" }
[nodes.last]
stage = "noop"
after = ["bad"]
[outputs]
letters = "each.s"
"#;

fn mixed() -> Place {
    let place = Place::with(MIXED);
    place.flow(&["run", "flow.toml", "--run-id", "one", "--max-parallel", "1"]).exits(1);
    place
}

#[test]
fn a_run_is_shown_with_a_row_for_each_node() {
    let place = mixed();
    assert_snapshot!(place.flow(&["show", "one"]), @"
    exit: 0
    --- stdout
    run one failed
      workflow  test ([dir]/flow.toml)
      started  [date] (just now), [took]
      param  n = 3

       NODE  STATUS  ATTEMPTS  TIME
    ✔  list  succeeded  1  [took]
    ✔  each  succeeded  3  [took]  2/3 items
    ↷  never  skipped  `when` is false: params.n > 5
    ✘  bad  failed  1  [took]  process: `/bin/sh` ended with exit code 4
    ·  last  pending  blocked by bad

    ✘ bad attempt 1 failed: process [E0204]
      run /bin/sh: `/bin/sh` ended with exit code 4
      command  /bin/sh -c 'exit 4'
      exit code 4
      help:  its scratch folder is kept: [dir]/.flow/scratch/one/bad.1.[pid]/work
      next:  flow resume one
    ");
    assert_snapshot!(place.flow(&["show", "one", "each"]), @"
    exit: 0
    --- stdout
    ✔  each  succeeded  3  [took]  2/3 items
    ✔  each[a]  succeeded  1  [took]
    ✘  each[b]  failed  1  [took]  process: `/bin/sh` ended with exit code 1
    ✔  each[c]  succeeded  1  [took]
    ");
    assert_snapshot!(place.flow(&["show", "one", "list"]), @r#"
    exit: 0
    --- stdout
    ✔  list  succeeded  1  [took]
      key  [digest]
      output  list  list<string>  13 B  ["a","b","c"]
    "#);
    assert_snapshot!(place.flow(&["show", "one", "each[b]"]), @"
    exit: 0
    --- stdout
    ✘  each[b]  failed  1  [took]  process: `/bin/sh` ended with exit code 1

    ✘ each[b] attempt 1 failed: process [E0204]
      run /bin/sh: `/bin/sh` ended with exit code 1
      command  /bin/sh -c 'test b != b && echo b'
      exit code 1
      help:  its scratch folder is kept: [dir]/.flow/scratch/one/each@1-10e5cf3d3c8a.1.[pid]/work
      next:  flow resume one
    ");
}

#[test]
fn json_has_every_field() {
    let place = mixed();
    let shown = place.show("one");
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(
        keys(&shown),
        [
            "id",
            "workflow",
            "status",
            "params",
            "started_at",
            "finished_at",
            "error",
            "outputs",
            "usage",
            "nodes"
        ]
    );
    let nodes = shown["nodes"].as_array().unwrap();
    for node in nodes {
        assert_eq!(
            keys(node),
            [
                "id",
                "stage",
                "status",
                "reused",
                "attempts",
                "key",
                "blocked_by",
                "started_at",
                "finished_at",
                "duration_ms",
                "error",
                "usage",
                "outputs",
                "items"
            ]
        );
    }
    let states: Vec<&str> = nodes.iter().map(|node| node["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["succeeded", "succeeded", "skipped", "failed", "pending"]);
    let items = nodes[1]["items"].as_array().unwrap();
    assert_eq!(
        keys(&items[0]),
        ["key", "index", "status", "reused", "attempts", "usage", "outputs", "error"]
    );
    assert_eq!(
        (&items[0]["key"], &items[0]["status"], &items[1]["status"]),
        (&json!("a"), &json!("succeeded"), &json!("failed"))
    );
    assert_eq!(nodes[0]["outputs"]["list"]["value"], json!(["a", "b", "c"]));
    assert_eq!(shown["outputs"]["letters"], json!(["a", "c"]));
    assert_eq!(
        keys(&shown["error"]),
        [
            "class",
            "kind",
            "code",
            "operation",
            "message",
            "retryable",
            "causes",
            "hint",
            "attempt",
            "exit_code",
            "signal",
            "argv",
            "stderr_tail",
            "port",
            "pointer",
            "offset",
            "expected",
            "found",
            "provider",
            "request_id"
        ]
    );
    let item = place.flow(&["show", "one", "each[b]", "--json"]).exits(0).json();
    assert_eq!(item, items[1]);
}

#[test]
fn runs_are_listed_newest_first_and_can_be_picked() {
    let place = mixed();
    place.write("ok.toml", "[workflow]\nname = \"fine\"\n");
    place.flow(&["run", "ok.toml", "--run-id", "two"]).exits(0);
    assert_snapshot!(place.flow(&["runs"]), @"
    exit: 0
    --- stdout
       RUN  WORKFLOW  STATUS  STARTED  TIME
    ✔  two  fine  succeeded  just now  [took]
    ✘  one  test  failed  just now  [took]  failed: bad
    ");
    let ids = |args: &[&str]| -> Vec<String> {
        let list = place.flow(&[&["runs", "--json"], args].concat()).exits(0).json();
        list.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&[]), ["two", "one"]);
    assert_eq!(ids(&["--status", "failed"]), ["one"]);
    assert_eq!(ids(&["--workflow", "fine"]), ["two"]);
    assert_eq!(ids(&["--last", "7d"]), ["two", "one"]);
    assert_eq!(ids(&["--last", "0s"]), [] as [&str; 0]);
    let list = place.flow(&["runs", "--json"]).json();
    let mut whole = place.show("one");
    whole.as_object_mut().unwrap().remove("nodes");
    assert_eq!(list[1], whole);
}

#[test]
fn logs_have_the_events_and_what_programs_wrote() {
    let place = Place::with(
        "[nodes.a]\nstage = \"command\"\nwith = { shell = \"echo out; echo err >&2\" }\n[nodes.b]\nstage = \"noop\"\nafter = [\"a\"]\n",
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    assert_snapshot!(place.flow(&["logs", "one"]), @"
    exit: 0
    --- stdout
    [time] ▶ run  one of workflow test
    [time] ● a
             │ a  out
             │ a  err
    [time] ✔ a  [took]
    [time] ● b
    [time] ✔ b  [took]
    [time] ✔ run  succeeded
    ");
    assert_snapshot!(place.flow(&["logs", "one", "a"]), @"
    exit: 0
    --- stdout
    [time] ● a
             │ a  out
             │ a  err
    [time] ✔ a  [took]
    ");
    let events = place.flow(&["logs", "one", "--json"]).exits(0).lines();
    assert_eq!(events.len(), 6);
    assert_eq!(events[0]["event"], "run_started");
    assert_eq!(
        place.flow(&["logs", "one", "-f"]).exits(0).stdout,
        place.flow(&["logs", "one"]).stdout
    );
}

#[test]
fn a_run_that_only_waits_is_listed_as_it_is_shown() {
    let place = Place::with(
        r#"
[nodes.ask]
stage = "approve"
with = { message = "go?" }
[nodes.next]
stage = "noop"
after = ["ask"]
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one", "--no-wait"]).exits(7);
    let listed = |args: &[&str]| {
        let runs = place.flow(&[&["runs", "--json"], args].concat()).exits(0).json();
        runs.as_array().unwrap().iter().map(|run| run["status"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(place.show("one")["status"], "waiting");
    assert_eq!(listed(&[]), ["waiting"]);
    assert_eq!(listed(&["--status", "waiting"]), ["waiting"]);
    assert_eq!(listed(&["--status", "interrupted"]), Vec::<serde_json::Value>::new());
    assert!(place.flow(&["runs"]).stdout.contains("↻"));
    place.flow(&["approve", "one", "ask"]).exits(0);
    place.flow(&["resume", "one"]).exits(0);
    assert_eq!(listed(&[]), ["succeeded"]);
}

#[test]
fn a_run_shows_how_many_results_it_took_from_others() {
    let place = Place::with(
        r#"
[params]
word = { type = "string", default = "a" }
[nodes.same]
stage = "value"
with = { value = 1 }
cache = "forever"
outputs.n = "integer"
[nodes.other]
stage = "value"
with = { value = "{{ params.word }}" }
cache = "forever"
outputs.s = "string"
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    place.flow(&["run", "flow.toml", "--run-id", "two", "--param", "word=b"]).exits(0);
    assert_eq!(place.show("one")["cache"], json!({ "hits": 0, "misses": 2 }));
    assert_eq!(place.show("two")["cache"], json!({ "hits": 1, "misses": 1 }));
    assert_eq!(place.flow(&["cache", "clear", "--json"]).json(), json!({ "removed": 3 }));
    let shown = place.flow(&["show", "two"]).exits(0);
    assert!(shown.stdout.contains("1 of 2 results taken from other runs (50 %)"), "{shown}");
    let plain = mixed();
    assert_eq!(plain.show("one").get("cache"), None);
}
