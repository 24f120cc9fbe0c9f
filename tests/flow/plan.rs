//! What `plan` foresees of edits of everything that a result depends on.

use insta::assert_snapshot;
use serde_json::Value;

use super::harness::Place;
use super::why::{base, edit, run, run_with};

/// What would be done with each node: its name, the act and the code of the reason.
pub(crate) fn acts(plan: &Value) -> Vec<String> {
    let nodes = plan["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {}",
                text(&node["id"]),
                text(&node["action"]),
                text(&node["reason"]["code"])
            )
        })
        .collect()
}

pub(crate) fn plan(place: &Place, args: &[&str]) -> Value {
    let mut command = place.command(&["plan", "--json"]);
    command.args(args).env("PLACE", "here");
    place.finish(command).exits(0).json()
}

#[test]
fn a_plan_of_a_file_writes_nothing_and_makes_no_store() {
    let place = base();
    let mut command = place.command(&["plan", "flow.toml"]);
    command.env("PLACE", "here");
    assert_snapshot!(place.finish(command), @"
    exit: 0
    --- stdout
    what a run of test would do
    ▶  slate  run  `cache` is off: each run makes its own result
    ▶  pick  run  `cache` is off, and slate would run before it
    ▶  shout  run  `cache` is off: each run makes its own result
    ▶  said  run  `cache` is off: each run makes its own result
    ▶  where  run  `cache` is off: each run makes its own result
    ▶  each  run  `cache` is off, and slate would run before it
    6 run, 0 reused, 0 unknown
    ");
    assert!(!place.path(".flow").exists());
    edit(&place, "slate.games\"", "slate.gmaes\"");
    place.flow(&["plan", "flow.toml"]).exits(3);
    edit(&place, "slate.gmaes\"", "slate.games\"");
    place.flow(&["plan", "flow.toml", "--param", "wrod=x"]).exits(3);
}

#[test]
fn a_plan_knows_what_the_cache_has_and_what_must_be_seen_first() {
    let place = base();
    edit(&place, "name = \"test\"", "name = \"test\"\n[defaults]\ncache = \"forever\"");
    run(&place, "one");
    let all_reused = acts(&plan(&place, &["flow.toml"]));
    assert!(all_reused.iter().all(|act| act.ends_with("reuse cache")), "{all_reused:?}");
    edit(&place, "19:00", "19:30");
    let planned = plan(&place, &["flow.toml", "--param", "word=x"]);
    assert_eq!(
        acts(&planned),
        [
            "slate run with",
            "pick unknown depends",
            "shout reuse cache",
            "said run with",
            "where reuse cache",
            "each unknown depends",
        ]
    );
    assert_eq!(planned["nodes"][1]["depends_on"], serde_json::json!(["slate"]));
    assert_eq!(planned["summary"]["run"], 2);
    assert!(planned["nodes"][0]["cost_ms"].is_u64());
    // What was foreseen is what happens.
    let done = run_with(&place, "two", &["--param", "word=x"]);
    let shown = place.show("two");
    let reused = |node: &str| {
        let nodes = shown["nodes"].as_array().unwrap();
        nodes.iter().find(|one| one["id"] == node).unwrap()["reused"] == true
    };
    assert!(!reused("slate") && !reused("said") && reused("shout") && reused("where"), "{done}");
}

#[test]
fn a_plan_of_a_resume_tells_what_an_update_would_run() {
    let place = base();
    run(&place, "one");
    assert!(
        acts(&plan(&place, &["--resume", "one"])).iter().all(|act| act.ends_with("reuse this_run"))
    );
    edit(&place, "19:00", "19:30");
    place.write("tool.sh", "echo another tool\n");
    let journal = || std::fs::read(place.path(".flow/runs/one/journal")).unwrap();
    let before = journal();
    let mut command = place.command(&["plan", "--resume", "one", "--update"]);
    command.env("PLACE", "here");
    assert_snapshot!(place.finish(command), @r#"
    exit: 0
    --- stdout
    what a resume of run one of test would do
    ▶  slate  run  [took]  with is not what it was: /shell: …":\"b\",\"at\":\"19:00\"}]' " → …":\"b\",\"at\":\"19:30\"}]' "
    ?  pick  unknown  it depends on outputs of slate
    ▶  shout  run  [took]  uses tool.sh is not what it was: e20c29c31dda → 66fa1226376c
    ✔  said  reuse  this run has its result: all that it depends on is what it was
    ✔  where  reuse  this run has its result: all that it depends on is what it was
    ?  each  unknown  it depends on outputs of slate
    2 run, 2 reused, 2 unknown; about [took] of work, by what it took in the past
    "#);
    assert_eq!(journal(), before);
    let planned = plan(&place, &["--resume", "one", "--update", "--param", "word=x"]);
    assert_eq!(
        acts(&planned),
        [
            "slate run with",
            "pick unknown depends",
            "shout run uses",
            "said run with",
            "where reuse this_run",
            "each unknown depends",
        ]
    );
}
