//! Random DAGs under random edits: after each of them exactly the nodes run whose key was never
//! seen, which is those that were edited and those whose inputs have another content; also when the
//! store fails in between.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use flow_core::run::Ending;
use flow_core::run::event::RunEnd;
use harness::{Harness, Step};
use proptest::prelude::*;

/// A node: which nodes it reads, and one of two declared types.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    needs: BTreeSet<usize>,
    wide: bool,
}

#[derive(Debug, Clone)]
enum Edit {
    /// Another declared type, which is in the key.
    Type(usize),
    /// An edge more or less.
    Edge(usize, usize),
    /// Another node at the end.
    Add(BTreeSet<usize>),
    /// Another order and other policies, which are in no key.
    Nothing(u32),
}

/// An edit, what the nodes would make from then on, and when the store fails, if it does.
type Round = (Edit, Vec<i64>, Option<u64>);

fn edit() -> impl Strategy<Value = Edit> {
    let some = || proptest::collection::btree_set(0_usize..16, 0..3);
    prop_oneof![
        (0_usize..16).prop_map(Edit::Type),
        (0_usize..16, 0_usize..16).prop_map(|(a, b)| Edit::Edge(a, b)),
        some().prop_map(Edit::Add),
        (2_u32..9).prop_map(Edit::Nothing),
    ]
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let values = proptest::collection::vec(0_i64..2, 24);
    let fails = proptest::option::weighted(0.4, 1_u64..12);
    proptest::collection::vec((edit(), values, fails), 1..7)
}

fn dag() -> impl Strategy<Value = Vec<Node>> {
    let node = (proptest::collection::btree_set(0_usize..12, 0..3), any::<bool>());
    proptest::collection::vec(node, 1..12).prop_map(|nodes| {
        let fit = |(i, (needs, wide)): (usize, (BTreeSet<usize>, bool))| Node {
            needs: needs.into_iter().filter(|d| *d < i).collect(),
            wide,
        };
        nodes.into_iter().enumerate().map(fit).collect()
    })
}

fn apply(nodes: &mut Vec<Node>, attempts: &mut u32, edit: &Edit) {
    let count = nodes.len();
    match edit {
        Edit::Type(at) => nodes[at % count].wide ^= true,
        Edit::Edge(a, b) => {
            let (a, b) = (a % count, b % count);
            let (from, to) = (a.min(b), a.max(b));
            if from != to && !nodes[to].needs.remove(&from) {
                nodes[to].needs.insert(from);
            }
        }
        Edit::Add(needs) => {
            let needs = needs.iter().copied().filter(|d| *d < count).collect();
            nodes.push(Node { needs, wide: false });
        }
        Edit::Nothing(n) => *attempts = *n,
    }
}

fn text(nodes: &[Node], attempts: u32) -> String {
    let mut text = format!("# {attempts}\n[workflow]\nname = \"random\"\n");
    for (i, node) in nodes.iter().enumerate().rev() {
        let inputs: Vec<String> =
            node.needs.iter().map(|d| format!("p{d} = \"n{d}.out\"")).collect();
        let ty = if node.wide { "number" } else { "integer" };
        write!(text, "[nodes.n{i}]\nstage = \"script\"\nretry = {{ attempts = {attempts} }}\noutputs = {{ out = \"{ty}\" }}\ninputs = {{ {} }}\n", inputs.join(", ")).unwrap();
    }
    text
}

/// What is in a node's key: its type and its inputs by content.
type Key = (bool, BTreeMap<usize, i64>);

/// What every node has made so far, by key.
#[derive(Default)]
struct Model(BTreeMap<(usize, Key), i64>);

impl Model {
    /// The nodes that must run, given what they would make.
    fn run(&mut self, nodes: &[Node], values: &[i64]) -> BTreeSet<String> {
        let mut now: Vec<i64> = Vec::new();
        let mut runs = BTreeSet::new();
        for (i, node) in nodes.iter().enumerate() {
            let inputs = node.needs.iter().map(|d| (*d, now[*d])).collect();
            let made = *self.0.entry((i, (node.wide, inputs))).or_insert_with(|| {
                runs.insert(format!("n{i}"));
                values[i]
            });
            now.push(made);
        }
        runs
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn after_an_edit_exactly_what_changed_runs(nodes in dag(), rounds in rounds(), values in proptest::collection::vec(0_i64..2, 24)) {
        let (mut nodes, mut attempts) = (nodes, 1);
        let mut model = Model::default();
        let mut harness = Harness::new(&text(&nodes, attempts));
        let scripted = |mut harness: Harness, values: &[i64]| {
            for (i, value) in values.iter().enumerate() {
                harness = harness.script(&format!("n{i}"), &[Step::Value(*value); 8]);
            }
            harness
        };
        harness = scripted(harness, &values);
        prop_assert_eq!(harness.run(), Ending::Finished(RunEnd::Succeeded));
        model.run(&nodes, &values);
        for (edit, values, fails) in &rounds {
            apply(&mut nodes, &mut attempts, edit);
            harness = scripted(harness, values);
            let seen = harness.executed().len();
            if let Some(at) = fails {
                harness.fail_store_after(*at);
            }
            let mut ended = harness.try_update(&text(&nodes, attempts));
            if ended.is_err() {
                harness.heal_store();
                // The edit is on record as a whole or not at all.
                ended = match harness.is_updated() {
                    true => harness.try_resume(),
                    false => harness.try_update(&text(&nodes, attempts)),
                };
            }
            harness.heal_store();
            prop_assert!(matches!(ended, Ok(Ending::Finished(RunEnd::Succeeded))), "{:?}", ended);
            let ran: BTreeSet<String> = harness.executed()[seen..].iter().cloned().collect();
            prop_assert_eq!(ran, model.run(&nodes, values));
        }
    }
}
