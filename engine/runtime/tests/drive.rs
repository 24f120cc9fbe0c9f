//! Whole runs against scripted stages, on the store in memory.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;

use std::time::Duration;

use flow_core::call::Usage;
use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::run::Event::{AttemptFailed, AttemptStarted, Failed, RetryScheduled};
use flow_core::run::event::{RunEnd, TaskRef};
use flow_core::run::{Ending, Now, Recorded, Signal, decide};
use harness::{Harness, Step};

const CHAIN: &str = r#"
[workflow]
name = "chain"
[nodes.a]
stage = "script"
outputs = { out = "integer" }
[nodes.b]
stage = "script"
inputs = { x = "a.out" }
outputs = { out = "integer" }
[nodes.c]
stage = "script"
inputs = { x = "b.out" }
outputs = { out = "integer" }
[outputs]
last = "c.out"
"#;

#[test]
fn a_chain_runs_in_order_and_ends_well() {
    let harness = Harness::new(CHAIN);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Succeeded));
    assert_eq!(harness.executed(), ["a", "b", "c"]);
    assert_eq!(
        harness.told(),
        [
            "run_started",
            "attempt_started a",
            "node_succeeded a",
            "attempt_started b",
            "node_succeeded b",
            "attempt_started c",
            "node_succeeded c",
            "run_finished",
        ]
    );
}

#[test]
fn a_transient_failure_is_retried_and_a_permanent_one_is_not() {
    let harness = Harness::new(CHAIN)
        .script("a", &[Step::Transient, Step::Transient, Step::Value(1)])
        .script("b", &[Step::Permanent]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Failed));
    assert_eq!(harness.executed(), ["a", "a", "a", "b"]);
    let told = harness.told();
    assert_eq!(told.iter().filter(|e| *e == "retry_scheduled a").count(), 2);
    assert!(told.contains(&"node_failed b".to_owned()));
}

#[test]
fn resume_goes_on_from_the_last_good_stage_with_a_fresh_budget() {
    let harness = Harness::new(CHAIN).script("b", &[Step::Permanent, Step::Value(2)]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Failed));
    assert_eq!(harness.resume(), Ending::Finished(RunEnd::Succeeded));
    assert_eq!(harness.executed(), ["a", "b", "b", "c"]);
}

#[test]
fn a_payload_of_the_wrong_type_fails_the_node_that_made_it() {
    let harness = Harness::new(CHAIN).script("a", &[Step::Text("no number")]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Failed));
    assert_eq!(harness.executed(), ["a"]);
    let error = harness.error_of("a");
    assert_eq!((error.port.as_deref(), error.pointer.as_deref()), (Some("out"), Some("")));
}

#[test]
fn a_panic_is_a_failure_of_its_node() {
    let harness = Harness::new(CHAIN).script("b", &[Step::Panic]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Failed));
    assert_eq!(harness.error_of("b").class.name(), "panic");
}

const FAN: &str = r#"
[workflow]
name = "fan"
max_parallel = 4
[nodes.list]
stage = "script"
outputs = { out = "list<integer>" }
[nodes.one]
stage = "script"
for_each = "list.out"
key = "k{{ item }}"
inputs = { x = "item" }
outputs = { out = "integer" }
[nodes.two]
stage = "script"
for_each = "list.out"
inputs = { x = "one[item].out" }
outputs = { out = "integer" }
[nodes.three]
stage = "script"
for_each = "two.out"
inputs = { x = "item" }
outputs = { out = "integer" }
[nodes.all]
stage = "script"
inputs = { xs = "three.out" }
outputs = { out = "integer" }
"#;

#[test]
fn items_flow_without_a_barrier_and_are_gathered_in_order() {
    let harness = Harness::new(FAN).script("list", &[Step::List(3)]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Succeeded));
    let executed = harness.executed();
    assert_eq!(executed.len(), 1 + 9 + 1);
    assert_eq!(executed.last().map(String::as_str), Some("all"));
    assert!(executed.contains(&"three[k2]".to_owned()));
}

#[test]
fn an_empty_list_succeeds_with_an_empty_list() {
    let harness = Harness::new(FAN).script("list", &[Step::List(0)]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Succeeded));
    assert_eq!(harness.executed(), ["list", "all"]);
}

#[test]
fn a_failed_item_fails_its_node_and_resume_runs_that_item_alone() {
    let harness = Harness::new(FAN)
        .script("list", &[Step::List(3)])
        .script("two[k1]", &[Step::Permanent, Step::Value(7)]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Failed));
    assert!(harness.executed().contains(&"three[k0]".to_owned()));
    let before = harness.executed().len();
    assert_eq!(harness.resume(), Ending::Finished(RunEnd::Succeeded));
    assert_eq!(harness.executed()[before..], ["two[k1]", "three[k1]", "all"]);
}

#[test]
fn a_dropped_item_is_left_out_of_everything_behind_it() {
    let text = FAN.replace("[nodes.two]\n", "[nodes.two]\non_item_failure = \"drop\"\n");
    let harness =
        Harness::new(&text).script("list", &[Step::List(3)]).script("two[k1]", &[Step::Permanent]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Succeeded));
    assert!(!harness.executed().contains(&"three[k1]".to_owned()));
    assert!(harness.told().contains(&"item_skipped three[k1]".to_owned()));
}

const JOIN: &str = r#"
[workflow]
name = "join"
max_parallel = 1
[nodes.list]
stage = "script"
outputs = { out = "list<integer>" }
[nodes.drop]
stage = "script"
for_each = "list.out"
key = "k{{ item }}"
on_item_failure = "drop"
inputs = { x = "item" }
outputs = { out = "integer" }
[nodes.slow]
stage = "script"
for_each = "list.out"
inputs = { x = "item" }
outputs = { out = "integer" }
[nodes.join]
stage = "script"
for_each = "list.out"
inputs = { a = "drop[item].out", b = "slow[item].out" }
outputs = { out = "integer" }
"#;

#[test]
fn a_dropped_item_stays_dropped_when_the_run_is_taken_up_again() {
    for at in 1..80 {
        let harness = Harness::new(JOIN)
            .script("list", &[Step::List(2), Step::List(2)])
            .script("drop[k1]", &[Step::Permanent, Step::Permanent]);
        harness.fail_store_after(at);
        let ended = harness.try_run();
        harness.heal_store();
        if ended.is_err() {
            assert_eq!(harness.resume(), Ending::Finished(RunEnd::Succeeded), "at {at}");
        }
        let executed = harness.executed();
        assert!(executed.contains(&"join[k0]".to_owned()), "at {at}: {executed:?}");
        assert!(!executed.contains(&"join[k1]".to_owned()), "at {at}: {executed:?}");
        if ended.is_ok() {
            return;
        }
    }
    panic!("the store never lasted");
}

#[test]
fn a_node_that_failed_for_its_dropped_items_runs_them_again() {
    let text =
        JOIN.replace("on_item_failure = \"drop\"", "on_item_failure = \"drop\"\nmin_success = 0.9");
    let harness = Harness::new(&text)
        .script("list", &[Step::List(2)])
        .script("drop[k1]", &[Step::Permanent, Step::Value(3)]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Failed));
    let before = harness.executed().len();
    assert_eq!(harness.resume(), Ending::Finished(RunEnd::Succeeded));
    let executed = harness.executed();
    assert_eq!(executed[before], "drop[k1]");
    assert!(executed.iter().filter(|name| *name == "drop[k0]").count() == 1);
}

#[test]
fn the_deadline_of_a_run_fails_what_still_waits_for_a_retry() {
    let harness = Harness::new(CHAIN);
    let mut state = harness.state();
    let task = TaskRef::node("a");
    let error = Box::new(StageError::new(ErrorClass::Network, "fetch", "no answer"));
    let at = jiff::Timestamp::UNIX_EPOCH;
    let begun =
        AttemptStarted { task: task.clone(), attempt: 1, key: Digest::of(b""), intent: None };
    let failed = AttemptFailed { task: task.clone(), attempt: 1, error, usage: Usage::default() };
    let waits = RetryScheduled { task: task.clone(), attempt: 2, delay_ms: 9_000, at };
    for (event, seq) in [begun, failed, waits].into_iter().zip(1..) {
        state.apply(&Recorded { seq: Some(seq), ts: at, event });
    }
    let now = Now { wall: at, elapsed: Duration::from_secs(1) };
    for mark in decide(&state, Signal::Deadline, now).marks {
        state.mark(&mark);
    }
    let events = decide(&state, Signal::Applied, now).events;
    let [Failed { task: late, error, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((late, error.class), (&task, ErrorClass::Timeout));
    assert_eq!(error.causes, ["fetch: no answer"]);
}

const FIRST: &str = r#"
[workflow]
name = "first"
[nodes.a]
stage = "script"
when = "1 == 2"
outputs = { out = "integer?" }
[nodes.b]
stage = "script"
outputs = { out = "json" }
[nodes.c]
stage = "script"
outputs = { out = "integer" }
[nodes.take]
stage = "script"
inputs = { x = { first = ["a.out?", "b.out.missing?", "c.out"] } }
outputs = { out = "integer" }
"#;

#[test]
fn first_takes_the_first_that_is_neither_absent_nor_null() {
    let harness = Harness::new(FIRST).script("c", &[Step::Value(7)]);
    assert_eq!(harness.run(), Ending::Finished(RunEnd::Succeeded));
    assert_eq!(harness.input_of("take", "x"), serde_json::json!(7));
}

#[test]
fn a_failed_commit_at_any_point_stops_the_run_and_resume_ends_it_without_repeating_what_was_told() {
    for text in [CHAIN, FAN] {
        for at in 1..60 {
            let harness = Harness::new(text).script("list", &[Step::List(3), Step::List(3)]);
            harness.fail_store_after(at);
            let ended = harness.try_run();
            harness.heal_store();
            if ended.is_ok() {
                break;
            }
            let told = harness.succeeded();
            let before = harness.executed().len();
            assert_eq!(harness.resume(), Ending::Finished(RunEnd::Succeeded), "at {at}");
            for name in &told {
                assert!(
                    !harness.executed()[before..].contains(name),
                    "{name} was told and ran again (at {at})"
                );
            }
        }
    }
}
