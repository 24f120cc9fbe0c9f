//! What `why` tells of edits of everything that a result depends on.

use insta::assert_snapshot;

use super::harness::{Done, Place};
use super::plan::{acts, plan};

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

pub(crate) fn base() -> Place {
    let place = Place::with(BASE);
    place.write("tool.sh", "echo tool\n");
    place
}

pub(crate) fn run(place: &Place, id: &str) -> Done {
    run_with(place, id, &[])
}

pub(crate) fn run_with(place: &Place, id: &str, more: &[&str]) -> Done {
    let mut command = place.command(&["run", "flow.toml", "--run-id", id]);
    command.args(more).env("PLACE", "here");
    place.finish(command).exits(0)
}

pub(crate) fn edit(place: &Place, from: &str, to: &str) {
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
      cost  [took] for all items together
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
      cost  [took] when it was made
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
