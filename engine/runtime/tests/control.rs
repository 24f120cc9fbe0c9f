//! Control of whole runs: what stands in for a failure, what always runs, effects nobody knows of,
//! waits, and words from outside.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::error::ErrorClass;
use flow_core::run::Ending;
use flow_core::run::event::RunEnd;
use flow_core::run::state::Phase;
use flow_runtime::{Answer, Word};
use harness::{Harness, Step};
use jiff::SignedDuration;
use serde_json::json;

const SUCCEEDED: Ending = Ending::Finished(RunEnd::Succeeded);
const FAILED: Ending = Ending::Finished(RunEnd::Failed);

fn workflow(nodes: &str) -> Harness {
    Harness::new(&format!("[workflow]\nname = \"w\"\n{nodes}"))
}

fn resolve(node: &str, happened: Option<i64>) -> Word {
    let outputs = |value| BTreeMap::from([("out".to_owned(), json!(value))]);
    Word::Resolve { node: node.into(), item: None, happened: happened.map(outputs) }
}

fn approve(node: &str, approved: bool) -> Word {
    let answer = Answer {
        approved,
        by: "ann".into(),
        comment: None,
        choice: None,
        at: "2026-01-31T12:00:00Z".parse().unwrap(),
    };
    Word::Approve { node: node.into(), item: None, answer }
}

const OPTIONAL: &str = r#"
[nodes.a]
stage = "script"
optional = true
outputs = { out = "integer" }
[nodes.after_it]
stage = "script"
after = ["a"]
outputs = { out = "integer" }
[nodes.takes_null]
stage = "script"
inputs = { x = "a.out?" }
outputs = { out = "integer" }
[nodes.needs_it]
stage = "script"
inputs = { x = "a.out" }
outputs = { out = "integer" }
[nodes.first]
stage = "script"
inputs = { x = { first = ["a.out", "after_it.out"] } }
outputs = { out = "integer" }
"#;

#[test]
fn an_optional_failure_leaves_its_outputs_absent_and_is_final() {
    let harness = workflow(OPTIONAL)
        .script("a", &[Step::Permanent])
        .script("after_it", &[Step::Value(7)])
        .script("first", &[Step::Permanent, Step::Value(1)]);
    assert_eq!(harness.run(), FAILED);
    assert_eq!(harness.input_of("takes_null", "x"), json!(null));
    assert_eq!(harness.input_of("first", "x"), json!(7));
    assert!(harness.told().contains(&"node_skipped needs_it".to_owned()));
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.executed().iter().filter(|name| *name == "a").count(), 1);
}

const FALLBACKS: &str = r#"
[nodes.a]
stage = "script"
outputs = { out = "integer" }
retry = { attempts = 2 }
fallback = [ { stage = "spare" }, { stage = "probe" } ]
[nodes.b]
stage = "script"
inputs = { x = "a.out" }
outputs = { out = "integer" }
"#;

#[test]
fn fallbacks_follow_in_turn_when_retries_are_exhausted() {
    let harness = workflow(FALLBACKS)
        .script("a", &[Step::Transient, Step::Transient])
        .script("a:spare", &[Step::Permanent])
        .script("a:probe", &[Step::Value(3)]);
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.executed(), ["a", "a", "a:spare", "a:probe", "b"]);
    assert_eq!(harness.input_of("b", "x"), json!(3));
    let told = harness.told();
    assert_eq!(told.iter().filter(|line| *line == "provider_fallback a").count(), 2);
}

#[test]
fn a_node_whose_fallbacks_failed_too_begins_with_its_own_work_again() {
    let harness = workflow(FALLBACKS)
        .script("a", &[Step::Permanent, Step::Value(1)])
        .script("a:spare", &[Step::Permanent])
        .script("a:probe", &[Step::Permanent]);
    assert_eq!(harness.run(), FAILED);
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.executed(), ["a", "a:spare", "a:probe", "a", "b"]);
}

const ALWAYS: &str = r#"
[nodes.a]
stage = "script"
outputs = { out = "integer" }
[nodes.b]
stage = "script"
inputs = { x = "a.out" }
outputs = { out = "integer" }
[nodes.clean]
stage = "script"
always = true
inputs = { x = "b.out?" }
outputs = { out = "integer" }
[nodes.tell]
stage = "script"
always = true
after = ["clean"]
outputs = { out = "integer" }
"#;

#[test]
fn what_always_runs_does_so_once_at_the_end_of_each_invocation() {
    let harness = workflow(ALWAYS)
        .script("b", &[Step::Permanent, Step::Value(5)])
        .script("clean", &[Step::Permanent]);
    assert_eq!(harness.run(), FAILED);
    assert_eq!(harness.executed(), ["a", "b", "clean", "tell"]);
    assert_eq!(harness.input_of("clean", "x"), json!(null));
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.executed()[4..], ["b", "clean", "tell"]);
    assert_eq!(harness.input_of("clean", "x"), json!(5));
}

#[test]
fn a_failure_of_what_always_runs_fails_the_run() {
    let harness = workflow(ALWAYS).script("clean", &[Step::Permanent]);
    assert_eq!(harness.run(), FAILED);
    assert_eq!(harness.executed(), ["a", "b", "clean", "tell"]);
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.executed()[4..], ["clean", "tell"]);
}

#[test]
fn what_always_runs_does_so_after_a_run_that_fails_fast_or_is_cancelled() {
    let fast = Harness::new(&format!(
        "[workflow]\nname = \"w\"\nfail_fast = true\n{ALWAYS}\n[nodes.nap]\nstage = \"nap\"\n"
    ))
    .script("a", &[Step::Permanent]);
    assert_eq!(fast.run(), FAILED);
    assert_eq!(fast.executed(), ["a", "clean", "tell"]);
    let cancelled = workflow(&format!("{ALWAYS}\n[nodes.ask]\nstage = \"ask\"\n"));
    assert_eq!(cancelled.run_without_waiting(), Ending::Waiting);
    cancelled.post(&Word::Cancel);
    assert_eq!(cancelled.resume(), Ending::Finished(RunEnd::Cancelled));
    assert_eq!(cancelled.executed(), ["a", "b", "clean", "tell"]);
    assert!(cancelled.told().contains(&"node_cancelled ask".to_owned()));
}

const EFFECT: &str = r#"
[nodes.act]
stage = "script"
effect = true
retry = { attempts = 3 }
outputs = { out = "integer" }
fallback = [ { stage = "spare" } ]
[nodes.b]
stage = "script"
inputs = { x = "act.out" }
outputs = { out = "integer" }
"#;

#[test]
fn an_effect_without_an_answer_is_unknown_and_never_repeated_by_itself() {
    let harness = workflow(EFFECT).script("act", &[Step::Lost]);
    assert_eq!(harness.run(), FAILED);
    assert!(harness.told().contains(&"node_unknown act".to_owned()));
    assert_eq!(harness.resume(), FAILED);
    assert_eq!(harness.executed(), ["act"]);
    assert!(harness.record(resolve("act", Some(9))));
    assert!(!harness.record(resolve("act", Some(9))), "it is settled");
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.executed(), ["act", "b"]);
    assert_eq!(harness.input_of("b", "x"), json!(9));
}

#[test]
fn an_effect_that_did_not_happen_is_tried_again_with_the_same_key() {
    let harness = workflow(EFFECT).script("act", &[Step::Lost, Step::Value(2)]);
    assert_eq!(harness.run(), FAILED);
    assert!(harness.record(resolve("act", None)));
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.executed(), ["act", "act", "b"]);
    assert_eq!(harness.keys()[0], harness.keys()[1]);
}

#[test]
fn an_effect_with_an_answer_fails_as_anything_else_does() {
    let harness = workflow(EFFECT).script("act", &[Step::Exit(75), Step::Exit(1)]);
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.executed(), ["act", "act", "act:spare", "b"]);
}

#[test]
fn an_idempotent_effect_is_repeated_by_itself() {
    let text = EFFECT.replace("effect = true", "effect = { idempotent = true }");
    let harness = workflow(&text).script("act", &[Step::Lost, Step::Lost, Step::Value(4)]);
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.executed(), ["act", "act", "act", "b"]);
    let keys = harness.keys();
    assert!(keys[0] == keys[1] && keys[1] == keys[2]);
    let spent = workflow(&text).script("act", &[Step::Lost, Step::Lost, Step::Lost]);
    assert_eq!(spent.run(), FAILED, "no fallback while it is unknown");
    assert!(spent.told().contains(&"node_unknown act".to_owned()));
    assert_eq!(spent.resume(), SUCCEEDED);
}

#[test]
fn a_probe_settles_what_is_unknown() {
    let text = EFFECT.replace("effect = true", "effect = { probe = { stage = \"probe\" } }");
    let happened =
        workflow(&text).script("act", &[Step::Lost]).script("act:probe", &[Step::Value(8)]);
    assert_eq!(happened.run(), SUCCEEDED);
    assert_eq!(happened.executed(), ["act", "act:probe", "b"]);
    assert_eq!(happened.input_of("b", "x"), json!(8));
    assert_eq!(happened.keys()[0], happened.keys()[1], "the probe has the same key");
    let did_not = workflow(&text)
        .script("act", &[Step::Lost, Step::Value(1)])
        .script("act:probe", &[Step::Exit(1)]);
    assert_eq!(did_not.run(), SUCCEEDED);
    assert_eq!(did_not.executed(), ["act", "act:probe", "act", "b"]);
    let unsure = workflow(&text)
        .script("act", &[Step::Lost])
        .script("act:probe", &[Step::Exit(2), Step::Value(8)]);
    assert_eq!(unsure.run(), FAILED);
    assert_eq!(unsure.resume(), SUCCEEDED);
    assert_eq!(unsure.executed(), ["act", "act:probe", "act:probe", "b"]);
}

#[test]
fn an_effect_stays_unknown_when_the_workflow_changes() {
    let harness = workflow(EFFECT).script("act", &[Step::Lost]);
    assert_eq!(harness.run(), FAILED);
    let changed = format!(
        "[workflow]\nname = \"w\"\n{EFFECT}\n[nodes.c]\nstage = \"script\"\noutputs = {{ out = \"integer\" }}\n"
    );
    let harness = harness.with_workflow(&changed);
    assert_eq!(harness.resume_opened(), FAILED);
    assert_eq!(harness.executed(), ["act", "c"]);
    assert!(matches!(harness.phase_of("act"), Phase::Unknown(_)));
    assert!(harness.record(resolve("act", Some(1))));
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.executed(), ["act", "c", "b"]);
}

#[test]
fn opened_results_are_taken_where_their_keys_are_the_same() {
    let text = |b: &str| {
        format!(
            r#"
[workflow]
name = "w"
[nodes.list]
stage = "script"
outputs = {{ out = "list<integer>" }}
[nodes.each]
stage = "script"
for_each = "list.out"
key = "{{{{ item }}}}"
inputs = {{ x = "item" }}
outputs = {{ out = "integer" }}
[nodes.b]
stage = "{b}"
inputs = {{ x = "each.out" }}
outputs = {{ out = "integer" }}
[nodes.c]
stage = "script"
inputs = {{ x = "b.out" }}
outputs = {{ out = "integer" }}
"#
        )
    };
    let harness = Harness::new(&text("script")).script("list", &[Step::List(3)]);
    assert_eq!(harness.run(), SUCCEEDED);
    let before = harness.executed().len();
    assert_eq!(harness.resume_opened(), SUCCEEDED);
    assert_eq!(harness.executed().len(), before, "nothing changed, nothing runs");
    // Another stage with the same result: what depends on it is not touched.
    let harness = harness.with_workflow(&text("spare"));
    assert_eq!(harness.resume_opened(), SUCCEEDED);
    assert_eq!(harness.executed()[before..], ["b:spare"]);
    // A crash in the middle of that goes on with the same rule.
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.executed().len(), before + 1);
}

const WAITS: &str = r#"
[nodes.nap]
stage = "nap"
[nodes.ask]
stage = "ask"
[nodes.b]
stage = "script"
after = ["nap"]
outputs = { out = "integer" }
[nodes.c]
stage = "script"
inputs = { d = "ask.decision" }
outputs = { out = "integer" }
"#;

#[test]
fn a_wait_ends_by_itself_and_a_question_by_an_answer() {
    let harness = workflow(WAITS);
    assert_eq!(harness.run_without_waiting(), Ending::Waiting);
    assert_eq!(harness.executed(), Vec::<String>::new());
    harness.post(&approve("ask", true));
    assert_eq!(harness.resume(), SUCCEEDED);
    assert_eq!(harness.input_of("c", "d")["by"], json!("ann"));
    let mut executed = harness.executed();
    executed.sort();
    assert_eq!(executed, ["b", "c"]);
    let told = harness.told();
    assert_eq!(told.iter().filter(|line| line.starts_with("waiting ")).count(), 2);
    assert_eq!(told.iter().filter(|line| *line == "attempt_started nap").count(), 1);
}

#[test]
fn who_does_not_wait_takes_up_waits_that_are_over_and_answers_that_are_there() {
    let harness = workflow(WAITS);
    assert_eq!(harness.run_without_waiting(), Ending::Waiting);
    assert_eq!(harness.resume_without_waiting(SignedDuration::from_secs(60)), Ending::Waiting);
    assert_eq!(harness.executed(), Vec::<String>::new());
    assert_eq!(harness.resume_without_waiting(SignedDuration::from_secs(3_601)), Ending::Waiting);
    assert_eq!(harness.executed(), ["b"]);
    harness.post(&approve("ask", true));
    assert_eq!(harness.resume_without_waiting(SignedDuration::from_secs(3_602)), SUCCEEDED);
    assert_eq!(harness.executed(), ["b", "c"]);
}

/// The end of a wait is on record as a time of day. A clock that was set back meanwhile makes it seem
/// far away; the wait is over after its span all the same, and one that is over stays so.
#[test]
fn a_clock_that_is_set_back_makes_no_wait_longer() {
    let hour = SignedDuration::from_hours(1);
    for off in [-hour, -24 * 365 * 10 * hour] {
        let harness = workflow("[nodes.nap]\nstage = \"nap\"\n");
        assert_eq!(harness.run_without_waiting(), Ending::Waiting);
        let (ended, took) = harness.resume_at(off);
        assert_eq!(ended, SUCCEEDED);
        // The machine is slow, and its time passes as well.
        assert!(took < Duration::from_secs(2 * 3_600), "{took:?}");
    }
    let ahead = workflow("[nodes.nap]\nstage = \"nap\"\n");
    assert_eq!(ahead.run_without_waiting(), Ending::Waiting);
    let (ended, took) = ahead.resume_at(24 * 365 * 10 * hour);
    assert!(ended == SUCCEEDED && took < Duration::from_secs(600), "{took:?}");
}

#[test]
fn a_no_is_an_answer_where_it_is_read_and_a_failure_where_it_is_not() {
    let read = workflow(WAITS);
    assert_eq!(read.run_without_waiting(), Ending::Waiting);
    assert!(read.record(approve("ask", false)));
    assert_eq!(read.resume(), SUCCEEDED);
    assert_eq!(read.input_of("c", "d")["approved"], json!(false));
    let unread = workflow(
        "[nodes.ask]\nstage = \"ask\"\n[nodes.b]\nstage = \"script\"\nafter = [\"ask\"]\noutputs = { out = \"integer\" }\n",
    );
    assert_eq!(unread.run_without_waiting(), Ending::Waiting);
    assert!(unread.record(approve("ask", false)));
    for _ in 0..2 {
        assert_eq!(unread.resume(), FAILED, "a no is final");
    }
    let phase = unread.phase_of("ask");
    assert!(matches!(&phase, Phase::Failed(e) if e.class == ErrorClass::Rejected), "{phase:?}");
    assert_eq!(unread.executed(), Vec::<String>::new());
}

#[test]
fn a_question_has_a_timeout_of_its_own() {
    let harness = workflow(
        "[defaults]\ntimeout = \"1s\"\n[nodes.nap]\nstage = \"nap\"\n[nodes.ask]\nstage = \"ask\"\ntimeout = \"2h\"\n",
    );
    assert_eq!(harness.run(), FAILED);
    assert_eq!(harness.error_of("ask").class, ErrorClass::Timeout);
    assert!(harness.told().contains(&"node_succeeded nap".to_owned()), "no timeout by default");
}

#[test]
fn pools_and_rates_let_everything_through_in_the_end() {
    let mut nodes = String::from(
        "[workflow]\nname = \"w\"\nmax_parallel = 8\n[pools]\np = 2\n[rates]\nr = \"4/100ms\"\n",
    );
    for n in 0..12 {
        nodes += &format!(
            "[nodes.n{n}]\nstage = \"script\"\npool = \"p\"\n{}outputs = {{ out = \"integer\" }}\n",
            if n % 2 == 0 { "rate = \"r\"\n" } else { "" }
        );
    }
    let harness = Harness::new(&nodes);
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.executed().len(), 12);
}

#[test]
fn a_wait_for_a_rate_is_not_told_as_one_for_a_pool() {
    let node = |n| {
        format!(
            "[nodes.n{n}]\nstage = \"script\"\npool = \"p\"\nrate = \"r\"\noutputs = {{ out = \"integer\" }}\n"
        )
    };
    let head = "[workflow]\nname = \"w\"\n[pools]\np = 1\n[rates]\nr = \"1/300ms\"\n";
    let harness = Harness::new(&format!("{head}{}{}", node(0), node(1)));
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.words(), Vec::<String>::new());
}

const CACHED: &str = r#"
[workflow]
name = "w"
[defaults]
cache = "forever"
[nodes.a]
stage = "script"
outputs = { out = "integer" }
[nodes.b]
stage = "script"
inputs = { x = "a.out" }
outputs = { out = "integer?" }
[nodes.act]
stage = "spare"
effect = true
outputs = { out = "integer" }
[nodes.clean]
stage = "probe"
always = true
outputs = { out = "integer" }
"#;

#[test]
fn results_of_other_runs_are_taken_but_never_for_effects_and_cleanups() {
    let harness = Harness::new(CACHED);
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.executed().len(), 4);
    let harness = harness.another_run("s");
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.executed()[4..], ["act:spare", "clean:probe"]);
    let told = harness.told();
    assert!(told.contains(&"cache_hit a".to_owned()) && told.contains(&"node_reused b".to_owned()));
}

#[test]
fn equal_work_is_done_once_however_many_ask() {
    let mut text =
        String::from("[workflow]\nname = \"w\"\nmax_parallel = 16\n[defaults]\ncache = \"1h\"\n");
    for n in 0..100 {
        text += &format!("[nodes.n{n}]\nstage = \"script\"\noutputs = {{ out = \"integer\" }}\n");
    }
    let harness = Harness::new(&text);
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.executed().len(), 1);
    assert_eq!(harness.told().iter().filter(|line| line.starts_with("cache_hit")).count(), 99);
}

#[test]
fn failures_are_never_cached() {
    let harness = Harness::new(CACHED).script("a", &[Step::Permanent, Step::Value(1)]);
    assert_eq!(harness.run(), FAILED);
    let harness = harness.another_run("s");
    assert_eq!(harness.run(), SUCCEEDED);
    assert_eq!(harness.executed().iter().filter(|name| *name == "a").count(), 2);
}

#[test]
fn a_store_that_fails_at_any_commit_of_a_controlled_run_loses_nothing() {
    for text in [OPTIONAL, FALLBACKS, ALWAYS] {
        for n in 0..18 {
            let harness = workflow(text)
                .script("a", &[Step::Permanent, Step::Permanent, Step::Permanent])
                .script("a:spare", &[Step::Permanent]);
            harness.fail_store_after(n);
            let first = harness.try_run();
            let told = harness.succeeded();
            harness.heal_store();
            if first.is_err() {
                let _ended = harness.resume();
            }
            for done in &told {
                let runs = harness
                    .executed()
                    .iter()
                    .filter(|name| name.starts_with(done.as_str()))
                    .count();
                let always = done == "clean" || done == "tell";
                assert!(always || runs <= 4, "{done} ran {runs} times after it was told as done");
            }
        }
    }
}
