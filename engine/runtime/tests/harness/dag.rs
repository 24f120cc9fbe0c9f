//! Random workflows with everything that leaves the straight path, and what each of their tasks
//! does, whenever and however often it is executed.

use std::fmt::{self, Write as _};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Harness, Step};

/// More executions than any task can have.
const OFTEN: usize = 60;
/// More items than any list has.
const ITEMS: i64 = 4;

/// A workflow.
#[derive(Clone)]
pub(crate) struct Dag {
    nodes: Vec<Node>,
    parallel: u32,
    always: bool,
}

#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    /// Earlier nodes whose outputs it takes, and whether it can do without.
    inputs: Vec<(Index, bool)>,
    after: Option<Index>,
    fate: Fate,
    /// What becomes of single items.
    items: Vec<Fate>,
    optional: bool,
    fallback: Option<Fate>,
    effect: Effect,
    cache: bool,
    when: Option<bool>,
}

#[derive(Debug, Clone)]
enum Kind {
    Plain,
    /// Makes a list of so many elements.
    List(i64),
    /// Has an item for each element of an earlier list, or for each item of an earlier fan-out.
    Fan {
        over: Index,
        min_success: Option<f64>,
    },
    /// Waits an hour.
    Nap,
}

/// What a task does.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It succeeds after so many failures that pass by themselves.
    Succeeds(usize),
    Fails,
    Panics,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    None,
    /// It ends without an answer at first, and may be repeated.
    Idempotent,
    /// The same, and a probe knows that it happened.
    Probed,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![8 => (0_usize..3).prop_map(Fate::Succeeds), 1 => Just(Fate::Fails), 1 => Just(Fate::Panics)]
}

fn kind() -> impl Strategy<Value = Kind> {
    let over = (any::<Index>(), proptest::option::of(0.0..1.0))
        .prop_map(|(over, min_success)| Kind::Fan { over, min_success });
    prop_oneof![5 => Just(Kind::Plain), 3 => (0..ITEMS).prop_map(Kind::List), 4 => over, 1 => Just(Kind::Nap)]
}

fn node() -> impl Strategy<Value = Node> {
    let effect = prop_oneof![
        6 => Just(Effect::None), 1 => Just(Effect::Idempotent), 1 => Just(Effect::Probed)
    ];
    let path = (
        proptest::bool::weighted(0.2),
        proptest::option::weighted(0.2, fate()),
        effect,
        proptest::bool::weighted(0.2),
        proptest::option::weighted(0.2, any::<bool>()),
    );
    let needs = (
        vec((any::<Index>(), any::<bool>()), 0..4),
        proptest::option::weighted(0.2, any::<Index>()),
    );
    (kind(), needs, fate(), vec(fate(), ITEMS as usize), path).prop_map(
        |(kind, (inputs, after), fate, items, (optional, fallback, effect, cache, when))| Node {
            kind,
            inputs,
            after,
            fate,
            items,
            optional,
            fallback,
            effect,
            cache,
            when,
        },
    )
}

/// Any workflow.
pub(crate) fn dag() -> impl Strategy<Value = Dag> {
    (vec(node(), 1..20), 1_u32..6, any::<bool>()).prop_map(|(nodes, parallel, always)| Dag {
        nodes,
        parallel,
        always,
    })
}

/// The file, with what its tasks do.
impl fmt::Debug for Dag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text())?;
        let line = |(number, node): (usize, &Node)| {
            format!("n{number}: {:?}, {:?}, spare {:?}", node.fate, node.items, node.fallback)
        };
        let lines: Vec<String> = self.nodes.iter().enumerate().map(line).collect();
        write!(f, "{}", lines.join("\n"))
    }
}

impl Fate {
    fn steps(self, passing: Step, last: Step) -> Vec<Step> {
        let (first, rest) = match self {
            Self::Succeeds(failures) => (vec![passing; failures], last),
            Self::Fails => (Vec::new(), Step::Permanent),
            Self::Panics => (Vec::new(), Step::Panic),
        };
        first.into_iter().chain(std::iter::repeat_n(rest, OFTEN)).collect()
    }
}

impl Dag {
    /// The workflow file.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "[workflow]\nname = \"random\"\nmax_parallel = {}\n[defaults]\nretry = {{ attempts = 9 }}\n",
            self.parallel
        );
        for number in 0..self.nodes.len() {
            self.node(number, &mut text);
        }
        if self.always {
            text += "[nodes.always]\nstage = \"script\"\nalways = true\noutputs = { out = \"integer\" }\n";
        }
        text
    }

    fn node(&self, number: usize, text: &mut String) {
        let node = &self.nodes[number];
        let stage = if matches!(node.kind, Kind::Nap) { "nap" } else { "script" };
        writeln!(text, "[nodes.n{number}]\nstage = \"{stage}\"").unwrap();
        if let Some(after) = node.after.filter(|_| number > 0) {
            writeln!(text, "after = [\"n{}\"]", after.index(number)).unwrap();
        }
        if matches!(node.kind, Kind::Nap) {
            return;
        }
        let ty = if matches!(node.kind, Kind::List(_)) { "list<integer>" } else { "integer" };
        let absent = if node.optional { "?" } else { "" };
        writeln!(text, "outputs = {{ out = \"{ty}\" }}").unwrap();
        let mut inputs: Vec<String> = Vec::new();
        for (need, can_do_without) in self.needs(number) {
            let mark = if can_do_without { "?" } else { absent };
            inputs.push(format!("p{need} = \"n{need}.out{mark}\""));
        }
        if let Some(over) = self.over(number) {
            writeln!(text, "for_each = \"n{over}.out\"").unwrap();
            inputs.push("x = \"item\"".to_owned());
        }
        writeln!(text, "inputs = {{ {} }}", inputs.join(", ")).unwrap();
        if let (Kind::Fan { min_success: Some(share), .. }, true) =
            (&node.kind, self.over(number).is_some())
        {
            writeln!(text, "on_item_failure = \"drop\"\nmin_success = {share}").unwrap();
        }
        self.policies(number, text);
    }

    fn policies(&self, number: usize, text: &mut String) {
        let node = &self.nodes[number];
        let mut line = |condition: bool, words: &str| {
            if condition {
                writeln!(text, "{words}").unwrap();
            }
        };
        line(node.optional, "optional = true");
        line(node.fallback.is_some(), "fallback = [ { stage = \"spare\" } ]");
        line(node.when == Some(true), "when = \"1 == 1\"");
        line(node.when == Some(false), "when = \"1 == 2\"");
        line(node.effect == Effect::Idempotent, "effect = { idempotent = true }");
        // The probe says that it happened, so it stands where no attempt answers that it did not.
        let answers = |fate: &Fate| matches!(fate, Fate::Fails);
        let is_probed =
            node.effect == Effect::Probed && !node.items.iter().chain([&node.fate]).any(answers);
        line(is_probed, "effect = { probe = { stage = \"probe\" } }");
        // Nodes with one key have one result, so only those share it that cannot fail.
        let is_safe = matches!(node.kind, Kind::Plain) && matches!(node.fate, Fate::Succeeds(_));
        line(node.cache && node.effect == Effect::None && is_safe, "cache = \"forever\"");
    }

    /// Earlier nodes whose output a node takes.
    pub(crate) fn needs(&self, number: usize) -> Vec<(usize, bool)> {
        let node = &self.nodes[number];
        let mut needs: Vec<(usize, bool)> = Vec::new();
        let takes = number > 0 && !matches!(node.kind, Kind::Nap);
        for (need, can_do_without) in node.inputs.iter().filter(|_| takes) {
            let need = need.index(number);
            let is_new = needs.iter().all(|(known, _)| *known != need);
            if is_new && !matches!(self.nodes[need].kind, Kind::Nap) {
                needs.push((need, *can_do_without));
            }
        }
        needs
    }

    /// The list or the fan-out that a node has items of.
    fn over(&self, number: usize) -> Option<usize> {
        let Kind::Fan { over, .. } = &self.nodes[number].kind else { return None };
        let lists = |i: &usize| match self.nodes[*i].kind {
            Kind::List(_) => true,
            Kind::Fan { .. } => self.over(*i).is_some(),
            _ => false,
        };
        let all: Vec<usize> = (0..number).filter(lists).collect();
        (!all.is_empty()).then(|| all[over.index(all.len())])
    }

    /// Whether a node has no items.
    pub(crate) fn is_whole(&self, number: usize) -> bool {
        self.over(number).is_none()
    }

    /// Number of nodes, but for the one that always runs.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The workflow with what its tasks do.
    pub(crate) fn harness(&self) -> Harness {
        let mut harness = Harness::new(&self.text());
        for (number, node) in self.nodes.iter().enumerate() {
            let name = format!("n{number}");
            let passing = if node.effect == Effect::None { Step::Transient } else { Step::Lost };
            let last = match node.kind {
                Kind::List(length) => Step::List(length),
                _ => Step::Value(1),
            };
            harness = harness.script(&name, &node.fate.steps(passing, last));
            for (index, fate) in node.items.iter().enumerate() {
                harness = harness.script(&format!("{name}[{index}]"), &fate.steps(passing, last));
                harness = self.spare(harness, &format!("{name}[{index}]"), node, last);
            }
            harness = self.spare(harness, &name, node, last);
        }
        harness
    }

    fn spare(&self, harness: Harness, task: &str, node: &Node, last: Step) -> Harness {
        let harness = harness.script(&format!("{task}:probe"), &vec![last; OFTEN]);
        match node.fallback {
            Some(fate) => {
                harness.script(&format!("{task}:spare"), &fate.steps(Step::Transient, last))
            }
            None => harness,
        }
    }
}
