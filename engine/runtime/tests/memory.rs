//! What attempts remember is there for later ones with the same key, whatever happens in between,
//! and gone when their task has succeeded.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;

use flow_core::call::Usage;
use flow_core::id::TaskId;
use flow_core::run::Ending;
use flow_core::run::event::RunEnd;
use flow_core::run::state::RunState;
use flow_runtime::Trial;
use harness::{Harness, Step};
use proptest::prelude::*;

const SUCCEEDED: Ending = Ending::Finished(RunEnd::Succeeded);
const FAILED: Ending = Ending::Finished(RunEnd::Failed);

const SHOP: &str = r#"
[workflow]
name = "shop"
[nodes.list]
stage = "script"
outputs = { out = "list<integer>" }
[nodes.one]
stage = "buy"
for_each = "list.out"
inputs = { x = "item" }
outputs = { out = "integer" }
[nodes.all]
stage = "buy"
inputs = { xs = "one.out" }
outputs = { out = "integer" }
"#;

fn memories(state: &RunState, node: &str) -> bool {
    let id = state.graph().find(node).unwrap();
    state.task(TaskId::whole(id)).unwrap().memories.is_some()
}

fn single() -> Harness {
    Harness::new(
        "[workflow]\nname = \"one\"\n[nodes.a]\nstage = \"buy\"\noutputs = { out = \"integer\" }\n",
    )
}

#[test]
fn a_failed_attempt_leaves_its_order_to_the_next_one_and_to_a_resume() {
    let steps = [Step::Transient, Step::Permanent, Step::Panic, Step::Value(1)];
    let shop = single().script("a", &steps);
    assert_eq!(shop.run(), FAILED);
    assert!(memories(&shop.replayed(), "a"));
    assert_eq!(shop.resume(), FAILED);
    assert_eq!(shop.resume(), SUCCEEDED);
    assert_eq!(shop.executed(), ["a"; 4]);
    assert_eq!(shop.purchases().bought, ["a"]);
    assert_eq!(shop.purchases().lost, [""; 0]);
}

#[test]
fn a_success_ends_what_was_remembered_and_the_private_file_with_the_run() {
    let shop = single().script("a", &[Step::Permanent]);
    assert_eq!(shop.run(), FAILED);
    assert_eq!(shop.private_files().len(), 1);
    assert_eq!(shop.resume(), SUCCEEDED);
    assert!(!memories(&shop.replayed(), "a"));
    assert_eq!(shop.private_files().len(), 0);
    // Opened again, it has a result with its key: nothing is bought.
    assert_eq!(shop.resume_opened(), SUCCEEDED);
    assert_eq!(shop.purchases().bought, ["a"]);
}

#[test]
fn another_key_finds_nothing_and_the_first_one_finds_its_own_again() {
    // The types of outputs are part of the key.
    let with = |ty: &str| {
        format!(
            "[workflow]\nname = \"one\"\n[nodes.a]\nstage = \"buy\"\noutputs = {{ out = \"{ty}\" }}\n"
        )
    };
    let steps = [Step::Permanent, Step::Permanent, Step::Permanent, Step::Value(1)];
    let mut shop = Harness::new(&with("integer")).script("a", &steps);
    assert_eq!(shop.run(), FAILED);
    assert_eq!(shop.try_update(&with("number")).unwrap(), FAILED);
    assert_eq!(shop.purchases().bought.len(), 2);
    assert_eq!(shop.try_update(&with("integer")).unwrap(), FAILED);
    assert_eq!(shop.resume(), SUCCEEDED);
    assert_eq!(shop.purchases().bought.len(), 2);
    assert_eq!(shop.purchases().lost, [""; 0]);
}

#[test]
fn a_trial_beside_the_run_finds_nothing_and_leaves_nothing() {
    let shop = single().script("a", &[Step::Permanent]);
    assert_eq!(shop.run(), FAILED);
    let (records, private) = (shop.records(), shop.private_files());
    assert!(matches!(shop.try_beside("a"), Trial::Succeeded { .. }));
    assert_eq!(shop.purchases().bought, ["a", "a"]);
    assert_eq!((shop.records(), shop.private_files()), (records, private));
    assert_eq!(shop.resume(), SUCCEEDED);
    assert_eq!(shop.purchases().bought, ["a", "a"]);
}

#[test]
fn usage_is_counted_by_task_and_node_and_a_failure_counts_too() {
    let shop = Harness::new(SHOP)
        .script("list", &[Step::List(3)])
        .script("one[1]", &[Step::Transient, Step::Value(1)])
        .script("one[2]", &[Step::Permanent]);
    assert_eq!(shop.run(), FAILED);
    let state = shop.replayed();
    let one = state.graph().find("one").unwrap();
    let bought = |calls: u64| Usage { usd: 0.5 * calls as f64, tokens: 0, calls };
    assert_eq!(state.task(TaskId::item(one, 1)).unwrap().usage, bought(1));
    assert_eq!(state.task(TaskId::item(one, 2)).unwrap().usage, bought(1));
    assert_eq!(state.node(one).usage, bought(3));
    assert_eq!(shop.resume(), SUCCEEDED);
    let all: Usage = shop.replayed().graph().ids().map(|id| shop.replayed().node(id).usage).sum();
    assert_eq!(all, bought(4));
}

#[test]
fn a_store_that_fails_while_something_is_remembered_stops_the_run_and_nothing_kept_is_lost() {
    let (mut ended, mut stops) = (false, 0);
    for n in 1..200 {
        let shop = Harness::new(SHOP)
            .script("list", &[Step::List(2); 3])
            .script("one[0]", &[Step::Transient, Step::Value(1)])
            .script("all", &[Step::Permanent, Step::Value(1)]);
        shop.fail_store_after(n);
        let first = shop.try_run();
        stops += u32::from(matches!(first, Ok(Ending::StoreFailed(_))));
        ended = matches!(first, Ok(Ending::Finished(_)));
        shop.heal_store();
        if ended {
            break;
        }
        let mut ending = shop.resume();
        if ending == FAILED {
            ending = shop.resume();
        }
        assert_eq!(ending, SUCCEEDED, "failure at commit {n}");
        assert_eq!(shop.purchases().lost, [""; 0], "failure at commit {n}");
        assert_eq!(shop.private_files().len(), 0);
    }
    assert!(ended, "every commit of the run has failed once");
    assert!(stops > 0, "a private file that cannot be written stops the run");
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Value(1)),
        3 => Just(Step::Transient),
        1 => Just(Step::Permanent),
        1 => Just(Step::Panic),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However attempts, the store and the process fail: what an attempt was told is kept is found
    /// by the next one, and every task buys at most once more than its attempts were cut short.
    #[test]
    fn nothing_that_was_kept_is_bought_again(
        items in 1_i64..4,
        scripts in proptest::collection::vec(proptest::collection::vec(step(), 0..5), 4),
        failures in proptest::collection::vec(1_u64..60, 0..5),
    ) {
        let mut shop = Harness::new(SHOP).script("list", &[Step::List(items); 6]);
        for (i, steps) in scripts.iter().enumerate() {
            let name = if i == 3 { "all".to_owned() } else { format!("one[{i}]") };
            shop = shop.script(&name, steps);
        }
        let mut crashes = 0;
        for n in &failures {
            shop.fail_store_after(*n);
            let ended = shop.try_resume();
            shop.heal_store();
            if ended.is_ok_and(|ending| ending == SUCCEEDED) {
                break;
            }
            crashes += 1;
        }
        let ends = (0..12).any(|_| shop.try_resume().unwrap() == SUCCEEDED);
        prop_assert!(ends);
        let purchases = shop.purchases();
        prop_assert_eq!(&purchases.lost, &[""; 0]);
        for task in ["one[0]", "one[1]", "one[2]", "all"] {
            let bought = purchases.bought.iter().filter(|name| *name == task).count();
            prop_assert!(bought <= 1 + crashes, "{task} bought {bought} times, {crashes} crashes");
        }
        drop(purchases);
        prop_assert_eq!(shop.private_files().len(), 0);
    }
}
