//! What `plan`, `why` and `diff` tell of edits of everything that a result depends on.

use insta::assert_snapshot;
use serde_json::Value;

use super::harness::{Done, Place};

/// `slate` is a list of games; `pick` takes one of them; `shout` uses a script, `said` a parameter and
/// `where` a variable of the environment; `each` runs for every game.
const BASE: &str = r#"
[params]
word = { type = "string", default = "w" }
[nodes.slate]
stage = "command"
outputs.games = "list<json>"
with.shell = '''echo '[{"id":"a","at":"18:00"},{"id":"b","at":"19:00"}]' '''
[nodes.pick]
stage = "jq"
inputs = { games = "slate.games" }
with.filter = ".[0]"
outputs.game = "json"
[nodes.shout]
stage = "command"
uses = ["tool.sh"]
with.argv = ["sh", "tool.sh"]
outputs.text = "string"
[nodes.said]
stage = "command"
with.argv = ["echo", "{{ params.word }}"]
outputs.text = "string"
[nodes.where]
stage = "command"
with.argv = ["echo", "{{ env.PLACE }}"]
outputs.text = "string"
[nodes.each]
stage = "jq"
for_each = "slate.games"
key = "{{ item.id }}"
inputs = { game = "item" }
with.filter = ".at"
outputs.at = "string"
"#;

fn base() -> Place {
    let place = Place::with(BASE);
    place.write("tool.sh", "echo tool\n");
    place
}

fn run(place: &Place, id: &str) -> Done {
    run_with(place, id, &[])
}

fn run_with(place: &Place, id: &str, more: &[&str]) -> Done {
    let mut command = place.command(&["run", "flow.toml", "--run-id", id]);
    command.args(more).env("PLACE", "here");
    place.finish(command).exits(0)
}

fn edit(place: &Place, from: &str, to: &str) {
    let text = place.read("flow.toml");
    assert!(text.contains(from), "{from} is not in the file");
    place.write("flow.toml", &text.replace(from, to));
}

fn why(place: &Place, run: &str, node: &str) -> String {
    place.flow(&["why", run, node]).exits(0).to_string()
}

/// The reason of a node, as a word for programs.
fn code(place: &Place, run: &str, node: &str) -> String {
    let answer = place.flow(&["why", run, node, "--json"]).exits(0).json();
    answer["reason"]["code"].as_str().unwrap_or_default().to_owned()
}

/// What would be done with each node: its name, the act and the code of the reason.
fn acts(plan: &Value) -> Vec<String> {
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

fn plan(place: &Place, args: &[&str]) -> Value {
    let mut command = place.command(&["plan", "--json"]);
    command.args(args).env("PLACE", "here");
    place.finish(command).exits(0).json()
}

#[test]
fn a_first_run_has_nothing_to_be_compared_with() {
    let place = base();
    run(&place, "one");
    assert_snapshot!(why(&place, "one", "said"), @"
    exit: 0
    --- stdout
    said ran in run one: no earlier run of workflow test has a result of it
      cost  [took]
    ");
}

#[test]
fn the_first_thing_that_differs_is_named_with_both_values() {
    let place = base();
    run(&place, "one");
    edit(&place, "19:00", "19:30");
    place.write("tool.sh", "echo another tool\n");
    run_with(&place, "two", &["--param", "word=x"]);
    assert_snapshot!(why(&place, "two", "slate"), @r#"
    exit: 0
    --- stdout
    slate ran in run two: with is not what it was
      with  /shell: …":\"b\",\"at\":\"19:00\"}]' " → …":\"b\",\"at\":\"19:30\"}]' "
      unchanged  stage command (version 1), 1 declared output
      compared with  run one, just now
      cost  [took], [took] before
    "#);
    assert_snapshot!(why(&place, "two", "pick"), @r#"
    exit: 0
    --- stdout
    pick ran in run two: input games is not what it was
      input games  /1/at: "19:00" → "19:30"
      unchanged  stage jq (version 1), with, 1 declared output
      compared with  run one, just now
      cost  [took], [took] before
    "#);
    assert_snapshot!(why(&place, "two", "shout"), @"
    exit: 0
    --- stdout
    shout ran in run two: uses tool.sh is not what it was
      uses tool.sh  e20c29c31dda → 66fa1226376c
      unchanged  stage command (version 1), with, 1 declared output
      compared with  run one, just now
      cost  [took], [took] before
    ");
    assert_snapshot!(why(&place, "two", "said"), @r#"
    exit: 0
    --- stdout
    said ran in run two: with is not what it was
      with  /argv/1: "w" → "x"
      unchanged  stage command (version 1), 1 declared output
      compared with  run one, just now
      cost  [took], [took] before
    "#);
    assert_snapshot!(why(&place, "two", "where"), @"
    exit: 0
    --- stdout
    where ran in run two: all that it depends on is what it was, and `cache` is off: each run makes its own result
      unchanged  stage command (version 1), with, 1 declared output
      compared with  run one, just now
      cost  [took], [took] before
    ");
    assert_snapshot!(why(&place, "two", "each"), @r#"
    exit: 0
    --- stdout
    each in run two: 2 items
      each[a]  ran  all that it depends on is what it was, and `cache` is off: each run makes its own result
      each[b]  ran  input game is not what it was: /at: "19:00" → "19:30"
    "#);
    let codes = ["slate", "pick", "shout", "said", "where", "each[a]", "each[b]"]
        .map(|node| code(&place, "two", node));
    assert_eq!(codes, ["with", "input", "uses", "with", "cache_off", "cache_off", "input"]);
}

#[test]
fn a_variable_that_a_template_reads_and_a_declared_type_are_causes_too() {
    let place = base();
    run(&place, "one");
    edit(
        &place,
        "with.filter = \".[0]\"\noutputs.game = \"json\"",
        "with.filter = \".[0]\"\noutputs.game = \"map<string>\"",
    );
    let mut command = place.command(&["run", "flow.toml", "--run-id", "two"]);
    command.env("PLACE", "elsewhere");
    place.finish(command).exits(0);
    assert_snapshot!(why(&place, "two", "where"), @r#"
    exit: 0
    --- stdout
    where ran in run two: with is not what it was
      with  /argv/1: "here" → "elsewhere"
      note  the environment variable PLACE has another value
      unchanged  stage command (version 1), 1 declared output
      compared with  run one, just now
      cost  [took], [took] before
    "#);
    assert_eq!(code(&place, "two", "pick"), "output");
}

#[test]
fn the_answer_is_an_object_for_programs() {
    let place = base();
    run(&place, "one");
    edit(&place, "19:00", "19:30");
    run(&place, "two");
    let answer = place.flow(&["why", "two", "each[b]", "--json"]).exits(0).json();
    assert_eq!(answer["verdict"], "ran");
    assert_eq!(answer["item"], "b");
    assert_eq!(answer["compared_with"]["run"], "one");
    assert_eq!(answer["changes"][0]["part"], "input");
    assert_eq!(answer["changes"][0]["port"], "game");
    let place_of_change = &answer["changes"][0]["places"][0];
    assert_eq!(place_of_change["pointer"], "/at");
    assert_eq!(place_of_change["before"], "19:00");
    assert_eq!(place_of_change["after"], "19:30");
}

#[test]
fn generations_of_one_run_are_compared_with_each_other() {
    let place = base();
    run(&place, "one");
    edit(&place, "19:00", "19:30");
    let mut command = place.command(&["resume", "one", "--update"]);
    command.env("PLACE", "here");
    place.finish(command).exits(0);
    assert_snapshot!(why(&place, "one", "slate"), @r#"
    exit: 0
    --- stdout
    slate ran in run one: with is not what it was
      with  /shell: …":\"b\",\"at\":\"19:00\"}]' " → …":\"b\",\"at\":\"19:30\"}]' "
      unchanged  stage command (version 1), 1 declared output
      compared with  the result before it in this run, just now
      cost  [took], [took] before
    "#);
    assert_snapshot!(why(&place, "one", "said"), @"
    exit: 0
    --- stdout
    said was reused in run one: all that its result depends on is what it was: this run had made it before
      unchanged  stage command (version 1), with, 1 declared output
    ");
    assert_snapshot!(why(&place, "one", "each[b]"), @r#"
    exit: 0
    --- stdout
    each[b] ran in run one: input game is not what it was
      input game  /at: "19:00" → "19:30"
      unchanged  stage jq (version 1), with, 1 declared output
      compared with  the result before it in this run, just now
      cost  [took], [took] before
    "#);
}

#[test]
fn the_cache_is_named_where_nothing_else_differs() {
    let node = "[nodes.a]\nstage = \"command\"\ncache = \"CACHE\"\nwith.argv = [\"echo\", \"1\"]\noutputs.n = \"integer\"\n";
    let place = Place::with(&node.replace("CACHE", "forever"));
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    place.flow(&["run", "flow.toml", "--run-id", "two"]).exits(0);
    assert_eq!(code(&place, "two", "a"), "cache");
    place.flow(&["run", "flow.toml", "--run-id", "three", "--fresh"]).exits(0);
    assert_eq!(code(&place, "three", "a"), "fresh");
    edit(&place, "forever", "1ms");
    place.flow(&["run", "flow.toml", "--run-id", "four"]).exits(0);
    assert_eq!(code(&place, "four", "a"), "cache_expired");
    assert_snapshot!(why(&place, "four", "a"), @"
    exit: 0
    --- stdout
    a ran in run four: all that it depends on is what it was, and the result was older than `cache` = 1ms
      unchanged  stage command (version 1), with, 1 declared output
      compared with  run three, just now
      cost  [took], [took] before
    ");
}

#[test]
fn what_failed_what_is_blocked_and_what_was_skipped_say_so() {
    let place = Place::with(
        r#"
[nodes.flaky]
stage = "command"
retry = { attempts = 2, base = "1ms", on = ["exit:1"] }
with.shell = '''test -e "$DIR/ready" || { echo broken >&2; exit 1; }; echo 1'''
with.env = { DIR = "{{ workflow.dir }}" }
outputs.n = "integer"
[nodes.behind]
stage = "noop"
after = ["flaky"]
[nodes.never]
stage = "noop"
when = "1 > 2"
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    assert_snapshot!(why(&place, "one", "flaky"), @"
    exit: 0
    --- stdout
    flaky ran and failed in run one: no earlier run of workflow test has a result of it
      attempts  attempt 1 failed: process: `/bin/sh` ended with exit code 1
                     attempt 2 failed: process: `/bin/sh` ended with exit code 1
    ");
    assert_snapshot!(why(&place, "one", "behind"), @"
    exit: 0
    --- stdout
    behind did not run in run one: flaky failed
    ");
    assert_snapshot!(why(&place, "one", "never"), @"
    exit: 0
    --- stdout
    never was skipped in run one: `when` is false: 1 > 2
    ");
    assert_eq!(
        acts(&plan(&place, &["--resume", "one"])),
        ["flaky run failed_before", "behind run cache_off", "never skip condition"]
    );
    place.write("ready", "");
    place.flow(&["resume", "one"]).exits(0);
    assert_eq!(code(&place, "one", "flaky"), "failed_before");
}

#[test]
fn unknown_runs_and_nodes_are_told_as_everywhere() {
    let place = base();
    run(&place, "one");
    assert_snapshot!(place.flow(&["why", "one", "sayd"]), @"
    exit: 5
    --- stderr
    error: there is no node `sayd`
    help: did you mean `said`?
    ");
    assert_snapshot!(place.flow(&["diff", "one", "oen"]), @"
    exit: 5
    --- stderr
    error: there is no run `oen`
    help: near it: one
    ");
    place.flow(&["plan", "--resume", "nothing"]).exits(5);
    place.flow(&["plan"]).exits(2);
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

#[test]
fn runs_of_the_same_are_the_same() {
    let place = base();
    run(&place, "one");
    run(&place, "two");
    let done = place.flow(&["diff", "one", "two"]).exits(0);
    assert_snapshot!(done, @"
    exit: 0
    --- stdout
    run one (just now) → run two (just now)
      workflow  test

    all 7 tasks are the same
    ");
    assert_eq!(place.flow(&["diff", "one", "two", "--json"]).exits(0).json()["same"], true);
}

#[test]
fn a_difference_is_followed_from_where_it_began_to_where_it_healed() {
    let place = base();
    run(&place, "one");
    edit(&place, "19:00", "19:30");
    place.write("tool.sh", "echo tool\n# a comment\n");
    run_with(&place, "two", &["--param", "word=x"]);
    assert_snapshot!(place.flow(&["diff", "one", "two"]).exits(1), @r#"
    exit: 1
    --- stdout
    run one (just now) → run two (just now)
      workflow  test, and its file has changed
      param  /word: "w" → "x"

    ✱ slate began here
        with  /shell: …":\"b\",\"at\":\"19:00\"}]' " → …":\"b\",\"at\":\"19:30\"}]' "
        → games  /1/at: "19:00" → "19:30"
    ✔ pick healed here: its inputs differ, and the same came of them
    ✱ shout began here, and the same came of it
        uses tool.sh  e20c29c31dda → d641b8111027
    ✱ said began here
        with  /argv/1: "w" → "x"
        → text  the whole: "w" → "x"
    ↳ each[b] followed
        → at  the whole: "19:00" → "19:30"

    5 tasks differ: 3 began, 1 followed, 1 healed; 2 the same
    "#);
    let found = place.flow(&["diff", "one", "two", "--json"]).exits(1).json();
    let tasks: Vec<String> = found["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| {
            format!("{} {}", task["node"].as_str().unwrap(), task["divergence"].as_str().unwrap())
        })
        .collect();
    assert_eq!(tasks, ["slate began", "pick healed", "shout began", "said began", "each followed"]);
}

#[test]
fn texts_files_and_folders_are_compared_as_what_they_are() {
    let place = Place::with(
        r#"
[params]
word = { type = "string", default = "one" }
[nodes.files]
stage = "command"
with.shell = '''mkdir -p $FLOW_OUTPUTS/folder/in; echo {{ params.word }} > $FLOW_OUTPUTS/folder/in/a.txt
echo same > $FLOW_OUTPUTS/folder/b.txt; printf 'first\n%s\nlast\n' {{ params.word }} > $FLOW_OUTPUTS/text'''
outputs = { folder = "dir", text = "file<text/plain>" }
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    place.flow(&["run", "flow.toml", "--run-id", "two", "--param", "word=three"]).exits(0);
    assert_snapshot!(place.flow(&["diff", "one", "two"]).exits(1), @r#"
    exit: 1
    --- stdout
    run one (just now) → run two (just now)
      workflow  test
      param  /word: "one" → "three"

    ✱ files began here
        with  /shell: …UTS/folder/in; echo one > $FLOW_OUTPUTS/folder/in/a.txt\nech… → …UTS/folder/in; echo three > $FLOW_OUTPUTS/folder/in/a.txt\ne…
        → folder  folder (9 B, ac26ea82d3cf) → folder (11 B, 471fa75fded5)
                         in/a.txt changed, 4 B → 6 B
        → text  text (15 B, 864e07f3e8b4) → text (17 B, eed63822f8c9)
                       1 line gone, 1 line new
                         - one
                         + three

    1 task differs: 1 began; 0 the same
    "#);
}

#[test]
fn other_workflows_and_nodes_of_one_run_alone_are_told() {
    let place = base();
    run(&place, "one");
    edit(&place, "name = \"test\"", "name = \"other\"");
    edit(&place, "[nodes.said]", "[nodes.told]");
    run(&place, "two");
    assert_snapshot!(place.flow(&["diff", "one", "two"]).exits(1), @"
    exit: 1
    --- stdout
    run one (just now) → run two (just now)
      workflow  test → other
      node  said is only in run one
      node  told is only in run two

    + told is new
    - said is gone

    2 tasks differ: 2 in one run alone; 6 the same
    ");
}

#[test]
fn a_secret_is_never_told() {
    const CANARY: &str = "canary-4711-secret";
    let place = Place::with(
        r#"
[secrets]
token = { env = "TOKEN" }
[params]
word = { type = "string", default = "w" }
[nodes.a]
stage = "command"
with.shell = '''test -n "$T" && echo {{ params.word }}'''
with.env = { T = "{{ secrets.token }}", W = "{{ params.word }}" }
outputs.text = "string"
"#,
    );
    let flow = |args: &[&str], value: &str| {
        let mut command = place.command(args);
        command.env("TOKEN", value);
        place.finish(command)
    };
    flow(&["run", "flow.toml", "--run-id", "one"], CANARY).exits(0);
    flow(&["run", "flow.toml", "--run-id", "two", "--param", "word=x"], "another-4712-secret")
        .exits(0);
    let mut said = String::new();
    for args in [
        &["why", "two", "a"][..],
        &["why", "two", "a", "--json"],
        &["diff", "one", "two"],
        &["diff", "one", "two", "--json"],
        &["plan", "flow.toml"],
        &["plan", "flow.toml", "--json"],
        &["plan", "--resume", "one", "--update", "--param", "word=y"],
        &["plan", "--resume", "one", "--update", "--param", "word=y", "--json"],
    ] {
        let done = flow(args, CANARY);
        assert!(matches!(done.code, Some(0 | 1)), "{done}");
        said.push_str(&done.stdout);
        said.push_str(&done.stderr);
    }
    assert!(said.contains("\"w\" → \"x\""), "{said}");
    assert!(!said.contains("4711") && !said.contains("4712"), "{said}");
    // Another value of a secret is no other result.
    assert_eq!(code(&place, "two", "a"), "with");
}

#[test]
fn pictures_sound_and_videos_are_compared_as_they_are_seen_and_heard() {
    let place = Place::with(
        r#"
[params]
seconds = { type = "integer", default = 1 }
color = { type = "string", default = "red" }
[nodes.media]
stage = "command"
with.env = { S = "{{ params.seconds }}", C = "{{ params.color }}" }
with.shell = '''
ffmpeg -v error -f lavfi -i "sine=d=$S" $FLOW_OUTPUTS/sound.wav
ffmpeg -v error -f lavfi -i "color=c=$C:s=64x48" -frames:v 1 $FLOW_OUTPUTS/picture.png
ffmpeg -v error -f lavfi -i "color=c=$C:s=64x48:d=$S:r=10" -c:v mpeg4 $FLOW_OUTPUTS/film.mp4'''
outputs.sound = { type = "file<audio/wav>", path = "sound.wav" }
outputs.picture = { type = "file<image/png>", path = "picture.png" }
outputs.film = { type = "file<video/mp4>", path = "film.mp4" }
"#,
    );
    edit(&place, "$FLOW_OUTPUTS/", "");
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    let args = ["--param", "seconds=2", "--param", "color=blue"];
    place.flow(&[&["run", "flow.toml", "--run-id", "two"], &args[..]].concat()).exits(0);
    let found = place.flow(&["diff", "one", "two", "--json"]).exits(1).json();
    let ports = found["tasks"][0]["ports"].as_array().unwrap();
    let how = |port: &str| &ports.iter().find(|one| one["port"] == port).unwrap()["how"];
    let number = |value: &Value| value.as_f64().unwrap();
    assert_eq!(how("picture")["kind"], "image");
    assert!(number(&how("picture")["distance"]) > 0.2, "{found}");
    assert_eq!(how("sound")["kind"], "audio");
    assert!((number(&how("sound")["seconds"][1]) - 2.0).abs() < 0.1, "{found}");
    assert!(number(&how("sound")["loudness_lufs"][0]) < 0.0, "{found}");
    assert_eq!(how("film")["kind"], "video");
    assert_eq!(how("film")["frames"].as_array().unwrap().len(), 5);
    assert!(
        how("film")["frames"]
            .as_array()
            .unwrap()
            .iter()
            .all(|frame| number(&frame["distance"]) > 0.2)
    );
    assert!(how("film")["loudness_lufs"][0].is_null());
}
