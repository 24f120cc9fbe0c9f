//! Random DAGs with random failures and a store that fails at a random commit, run to the end by
//! resuming: nothing that was told runs again, nothing starts before what it needs.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;

use std::collections::HashMap;
use std::fmt::Write as _;

use flow_core::run::Ending;
use flow_core::run::event::RunEnd;
use harness::dag::{Dag, dag};
use harness::{Harness, Step};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Shape {
    needs: Vec<Vec<usize>>,
    scripts: Vec<Vec<Step>>,
    parallel: u32,
    store_fails: Vec<u64>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Value(1)),
        2 => Just(Step::Transient),
        1 => Just(Step::Permanent),
        1 => Just(Step::Panic),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    (1_usize..24).prop_flat_map(|n| {
        let needs: Vec<_> = (0..n)
            .map(|i| {
                proptest::collection::btree_set(0..i.max(1), 0..=3.min(i))
                    .prop_map(|s| s.into_iter().collect::<Vec<_>>())
            })
            .collect();
        let scripts = proptest::collection::vec(proptest::collection::vec(step(), 0..4), n);
        (needs, scripts, 1_u32..5, proptest::collection::vec(1_u64..80, 0..4)).prop_map(
            |(needs, scripts, parallel, store_fails)| Shape {
                needs,
                scripts,
                parallel,
                store_fails,
            },
        )
    })
}

fn text(shape: &Shape) -> String {
    let mut text = format!("[workflow]\nname = \"random\"\nmax_parallel = {}\n", shape.parallel);
    for (i, needs) in shape.needs.iter().enumerate() {
        let inputs: Vec<String> =
            needs.iter().filter(|d| **d < i).map(|d| format!("p{d} = \"n{d}.out\"")).collect();
        writeln!(text, "[nodes.n{i}]\nstage = \"script\"\noutputs = {{ out = \"integer\" }}\ninputs = {{ {} }}", inputs.join(", ")).unwrap();
    }
    text
}

/// How many are tried: `PROPTEST_CASES`, if it is set.
fn cases(default: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: wanted.unwrap_or(default), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_run_can_be_brought_to_its_end(shape in shape()) {
        let mut harness = Harness::new(&text(&shape));
        for (i, steps) in shape.scripts.iter().enumerate() {
            harness = harness.script(&format!("n{i}"), steps);
        }
        let mut told_before: HashMap<String, usize> = HashMap::new();
        let mut fails = shape.store_fails.iter();
        // Every script ends in success, and every invocation uses up some of it.
        for round in 0.. {
            prop_assert!(round < 200, "no end after 200 invocations");
            if let Some(at) = fails.next() {
                harness.fail_store_after(*at);
            }
            let ended = if round == 0 { harness.try_run() } else { harness.try_resume() };
            harness.heal_store();
            let executed = harness.executed();
            for (name, at) in &told_before {
                prop_assert!(!executed[*at..].contains(name), "{name} was told and ran again");
            }
            for name in harness.succeeded() {
                told_before.entry(name).or_insert(executed.len());
            }
            if matches!(ended, Ok(Ending::Finished(RunEnd::Succeeded))) {
                break;
            }
        }
        let executed = harness.executed();
        let last: HashMap<&str, usize> = executed.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        for (i, needs) in shape.needs.iter().enumerate() {
            for d in needs.iter().filter(|d| **d < i) {
                let at = |node: usize| last[format!("n{node}").as_str()];
                prop_assert!(at(*d) < at(i), "a node ran before what it needs");
            }
        }
    }
}

/// Runs and resumes until it ends, with a store that fails after so many of its operations in each
/// invocation; what was told must not run again.
fn bring_to_its_end(harness: &Harness, fails: &[u64]) -> Result<Ending, TestCaseError> {
    let mut told_before: HashMap<String, usize> = HashMap::new();
    for round in 0..200 {
        if let Some(at) = fails.get(round) {
            harness.fail_store_after(*at);
        }
        let ended = if round == 0 { harness.try_run() } else { harness.try_resume() };
        harness.heal_store();
        let executed = harness.executed();
        for (name, at) in &told_before {
            prop_assert!(!executed[*at..].contains(name), "{name} was told and ran again");
        }
        for name in harness.succeeded().into_iter().filter(|name| name != "always") {
            told_before.entry(name).or_insert(executed.len());
        }
        if let Ok(ended) = ended {
            return Ok(ended);
        }
    }
    Err(TestCaseError::fail("no end after 200 invocations"))
}

/// No attempt of a node starts before each node that it takes something from has ended. What counts
/// is the record: an end whose commit failed may have reached it without being told.
fn assert_order(dag: &Dag, recorded: &[String]) -> Result<(), TestCaseError> {
    let first = |wanted: &dyn Fn(&str) -> bool| recorded.iter().position(|line| wanted(line));
    for number in (0..dag.len()).filter(|number| dag.is_whole(*number)) {
        let Some(start) = first(&|line| line == format!("attempt_started n{number}")) else {
            continue;
        };
        for (need, _) in dag.needs(number) {
            let name = format!(" n{need}");
            let end = first(&|line| line.starts_with("node_") && line.ends_with(&name));
            prop_assert!(
                end.is_some_and(|end| end < start),
                "n{number} began before n{need} ended: {recorded:#?}"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(200))]

    /// Fan-outs with dropped items, optional nodes, fallbacks, effects and their probes, waits,
    /// conditions and cached results: a store that fails at any commits changes no result.
    #[test]
    fn a_run_with_a_store_that_fails_at_any_commit_ends_as_one_with_a_good_store(
        dag in dag(),
        fails in proptest::collection::vec(1_u64..120, 0..4),
    ) {
        let calm = dag.harness();
        let ended = bring_to_its_end(&calm, &[])?;
        prop_assert!(matches!(ended, Ending::Finished(_)), "{ended:?}\n{}", dag.text());
        assert_order(&dag, &calm.recorded())?;
        let harness = dag.harness();
        prop_assert_eq!(&bring_to_its_end(&harness, &fails)?, &ended);
        prop_assert_eq!(harness.summary(), calm.summary());
        assert_order(&dag, &harness.recorded())?;
    }
}
