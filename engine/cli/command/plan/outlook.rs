//! What would become of each node, and why.

use std::collections::BTreeSet;

use flow_core::digest::Digest;
use flow_core::graph::Graph;
use flow_core::id::{NodeId, RunId, TaskId};
use flow_core::policy::CachePolicy;
use flow_core::run::RunState;
use flow_core::run::decide::Origin;
use flow_core::run::event::TaskRef;
use flow_core::run::state::{Phase, Tasks, Whole};
use flow_runtime::{Miss, Prospect, Recipes};
use jiff::Timestamp;

use super::Planned;
use crate::compare::{Cost, Costs, Desk, told};
use crate::report::human::in_short;
use crate::report::text::{ago, clean, count};
use crate::session::Session;

/// So many of the nodes that another one depends on are named.
const NAMED_MAX: usize = 3;

/// What would be done with a node or an item, the most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// It could not begin, or its failure stands.
    Fail,
    /// It would run.
    Run,
    /// It would wait for an instant or an answer.
    Wait,
    /// That depends on outputs that are not there yet.
    Unknown,
    /// A result would be taken.
    Reuse,
    /// It would not run.
    Skip,
}

impl Act {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Run => "run",
            Self::Wait => "wait",
            Self::Unknown => "unknown",
            Self::Reuse => "reuse",
            Self::Skip => "skip",
        }
    }
}

/// What would become of a node or an item.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    pub(super) act: Act,
    /// The reason, as a word for programs.
    pub(super) code: &'static str,
    /// The reason, as a sentence.
    pub(super) reason: String,
    /// Where a result would be taken from, and when it was made.
    pub(super) from: Option<(RunId, Option<Timestamp>)>,
    /// Nodes that would run and that this depends on.
    pub(super) depends_on: Vec<String>,
    /// What it took in the past, if it would run.
    pub(super) cost: Option<Cost>,
}

impl Fate {
    fn new(act: Act, code: &'static str, reason: impl Into<String>) -> Self {
        let (from, depends_on, cost) = (None, Vec::new(), None);
        Self { act, code, reason: reason.into(), from, depends_on, cost }
    }
}

/// A node with its fate, and those of its items as far as they are known.
pub(super) struct Row {
    pub(super) node: NodeId,
    pub(super) fate: Fate,
    pub(super) items: Vec<(TaskRef, Fate)>,
}

/// What would become of all nodes, in declared order.
pub(super) struct Outlook {
    pub(super) rows: Vec<Row>,
}

impl Outlook {
    pub(super) fn of(planned: &Planned, env: &Session) -> Self {
        let recipes =
            Recipes::new(&planned.store, &planned.id, &planned.manifest, &planned.forecast.state);
        let before = planned.before.as_ref().map(|past| past.recipes(&planned.store));
        let desk = Desk::new(env, planned.store.as_ref(), 1);
        let order = planned.forecast.state.graph().in_order();
        let roots = roots(planned, &order);
        let steady = steady(planned, &order);
        let is_gone = |name: &str| planned.graph.find(name).is_none();
        let gone = planned
            .before
            .as_ref()
            .is_some_and(|past| past.state.graph().nodes().iter().any(|node| is_gone(&node.name)));
        let judge = Judge { planned, recipes, before, desk, roots, steady, gone };
        Self { rows: planned.graph.ids().map(|id| judge.row(id)).collect() }
    }

    /// How many nodes would be treated so.
    pub(super) fn number(&self, act: Act) -> usize {
        self.rows.iter().filter(|row| row.fate.act == act).count()
    }

    /// What all that would run took in the past, and how many nodes have no past.
    pub(super) fn cost(&self) -> (Cost, usize) {
        let runs = || self.rows.iter().filter(|row| row.fate.act == Act::Run);
        let known = runs().filter_map(|row| row.fate.cost).sum();
        (known, runs().filter(|row| row.fate.cost.is_none()).count())
    }
}

/// Whether the past of some node is not known.
pub(super) fn lacks_costs(graph: &Graph, costs: &Costs) -> bool {
    graph.nodes().iter().any(|node| !costs.knows(&node.name))
}

/// For each node the first nodes that would run and that it depends on, itself if it would.
fn roots(planned: &Planned, order: &[NodeId]) -> Vec<BTreeSet<NodeId>> {
    let state = &planned.forecast.state;
    let graph = state.graph();
    let out: BTreeSet<NodeId> = planned
        .forecast
        .prospects
        .iter()
        .filter(|(_, prospect)| !matches!(prospect, Prospect::Reused(_)))
        .map(|(task, _)| task.node)
        .collect();
    let mut roots = vec![BTreeSet::new(); graph.nodes().len()];
    for &id in order {
        let mut found = BTreeSet::new();
        if out.contains(&id) || matches!(waiting(state, id), Some(Phase::Awaiting(_))) {
            found.insert(id);
        } else if !state.ended_well(id) {
            for need in &graph.node(id).needs {
                found.extend(roots[need.node.index()].iter().copied());
            }
            while found.len() > NAMED_MAX + 1 {
                found.pop_last();
            }
        }
        roots[id.index()] = found;
    }
    roots
}

/// For each node whether nothing makes it be skipped, whatever comes out before it.
fn steady(planned: &Planned, order: &[NodeId]) -> Vec<bool> {
    let state = &planned.forecast.state;
    let mut steady = vec![true; order.len()];
    for &id in order {
        let node = state.graph().node(id);
        let before = |id: NodeId| state.ended_well(id) || steady[id.index()];
        let fixed = node.when.is_none() && !node.optional;
        steady[id.index()] = fixed && node.needs.iter().all(|need| before(need.node));
    }
    steady
}

fn waiting(state: &RunState, id: NodeId) -> Option<&Phase> {
    state.task(TaskId::whole(id)).map(|task| &task.phase)
}

struct Judge<'a> {
    planned: &'a Planned,
    recipes: Recipes<'a>,
    /// Recipes of what it is compared with.
    before: Option<Recipes<'a>>,
    desk: Desk<'a>,
    roots: Vec<BTreeSet<NodeId>>,
    steady: Vec<bool>,
    /// Whether nodes are gone from the file, any of which may have had another name.
    gone: bool,
}

impl Judge<'_> {
    fn state(&self) -> &RunState {
        &self.planned.forecast.state
    }

    fn row(&self, node: NodeId) -> Row {
        let state = self.state();
        match &state.node(node).tasks {
            Tasks::One(_) => Row { node, fate: self.task(TaskId::whole(node)), items: Vec::new() },
            Tasks::Unresolved => Row { node, fate: self.unresolved(node), items: Vec::new() },
            Tasks::Items(items) => {
                let items: Vec<(TaskRef, Fate)> = (0..items.len() as u32)
                    .map(|index| TaskId::item(node, index))
                    .map(|id| (state.task_ref(id), self.task(id)))
                    .collect();
                Row { node, fate: together(&items), items }
            }
        }
    }

    /// A fanned-out node whose list is not known.
    fn unresolved(&self, node: NodeId) -> Fate {
        match &self.state().node(node).whole {
            Whole::Skipped(reason) => Fate::new(Act::Skip, "absent", clean(reason)),
            Whole::Failed(error) => Fate::new(Act::Fail, "failed", in_short(error)),
            Whole::Open | Whole::Succeeded => {
                let fate = self.open(node);
                let cost = self.planned.costs.node(&self.planned.graph.node(node).name);
                Fate { cost: cost.filter(|_| fate.act == Act::Run), ..fate }
            }
        }
    }

    fn task(&self, id: TaskId) -> Fate {
        match self.planned.forecast.prospects.get(&id) {
            Some(Prospect::Runs { key, miss }) => self.runs(id, key, miss),
            Some(Prospect::Probed) => {
                let reason = "its effect may have happened: its probe would be asked";
                self.costing(id, Fate::new(Act::Run, "probe", reason))
            }
            Some(Prospect::Fails(error)) => Fate::new(Act::Fail, "fails", in_short(error)),
            Some(Prospect::Reused(origin)) => self.reused(origin),
            None => self.settled(id),
        }
    }

    fn reused(&self, origin: &Origin) -> Fate {
        match origin {
            Origin::ThisRun => {
                let reason = "this run has its result: all that it depends on is what it was";
                let from = self.planned.run.clone().map(|run| (run, None));
                Fate { from, ..Fate::new(Act::Reuse, "this_run", reason) }
            }
            Origin::Cache { run, made_at } => {
                let reason = format!("run {run} made it {}", ago(*made_at, Timestamp::now()));
                let from = Some((run.clone(), Some(*made_at)));
                Fate { from, ..Fate::new(Act::Reuse, "cache", reason) }
            }
        }
    }

    /// A task that has no turn.
    fn settled(&self, id: TaskId) -> Fate {
        let state = self.state();
        let Some(task) = state.task(id) else { return self.open(id.node) };
        match &task.phase {
            Phase::Succeeded(_) => {
                let from = self.planned.run.clone().map(|run| (run, None));
                Fate { from, ..Fate::new(Act::Reuse, "this_run", "this run has its result") }
            }
            Phase::Skipped(reason) => {
                let code = if reason.starts_with("`when`") { "condition" } else { "absent" };
                Fate::new(Act::Skip, code, clean(reason))
            }
            Phase::Failed(error) => {
                Fate::new(Act::Fail, "failed", format!("its failure stands: {}", in_short(error)))
            }
            Phase::Cancelled => Fate::new(Act::Skip, "cancelled", "it was cancelled"),
            Phase::Unknown(_) => Fate::new(
                Act::Wait,
                "effect_unknown",
                "its effect may have happened: say so first with `flow resolve`",
            ),
            Phase::Awaiting(awaited) => match (&awaited.question, awaited.until) {
                (Some(question), _) => {
                    Fate::new(Act::Wait, "answer", format!("it asks: {}", clean(&question.message)))
                }
                (None, until) => {
                    let until = until.map(|at| format!(" until {at:.0}")).unwrap_or_default();
                    Fate::new(Act::Wait, "instant", format!("it waits{until}"))
                }
            },
            Phase::Pending | Phase::Ready | Phase::Running | Phase::Waiting { .. } => {
                self.costing(id, self.open(id.node))
            }
        }
    }

    /// What waits for something that has not ended.
    fn open(&self, node: NodeId) -> Fate {
        let state = self.state();
        let graph = state.graph();
        if !state.is_wanted(node) {
            return Fate::new(Act::Skip, "not_wanted", "the run is not for it");
        }
        if graph.node(node).always {
            let reason = "it runs at the end of each invocation";
            return Fate::new(Act::Run, "always", reason);
        }
        let failed = state.blocked_by(node);
        if !failed.is_empty() {
            let names = self.names(failed.iter());
            return Fate::new(Act::Skip, "blocked", format!("{} failed", names.join(", ")));
        }
        let depends_on = self.names(self.roots[node.index()].iter());
        let on = in_words(&depends_on);
        if self.runs_surely(node) {
            let reason = format!("{}, and {on} would run before it", self.never_reused(node));
            let fate = Fate::new(Act::Run, "cache_off", reason);
            return Fate { depends_on, ..fate };
        }
        let reason = format!("it depends on outputs of {on}");
        Fate { depends_on, ..Fate::new(Act::Unknown, "depends", reason) }
    }

    fn never_reused(&self, node: NodeId) -> &'static str {
        match self.planned.graph.node(node).policy.cache {
            CachePolicy::Off => "`cache` is off",
            _ => "no results of other runs are taken",
        }
    }

    fn names<'n>(&self, nodes: impl Iterator<Item = &'n NodeId>) -> Vec<String> {
        let graph = self.state().graph();
        nodes.map(|id| clean(&graph.node(*id).name)).collect()
    }

    /// Whether a node runs whatever comes out before it: no result could be taken, and nothing could
    /// make it be skipped.
    fn runs_surely(&self, node: NodeId) -> bool {
        let policy = self.state().graph().node(node).policy.cache;
        let shared = policy != CachePolicy::Off && !self.planned.manifest.fresh;
        !shared && !self.may_have_earlier(node) && self.steady[node.index()]
    }

    /// Whether the run may have a result that this node could take.
    fn may_have_earlier(&self, node: NodeId) -> bool {
        let known = || self.planned.costs.knows(&self.planned.graph.node(node).name);
        self.state().reuses() && (self.gone || known())
    }

    fn costing(&self, id: TaskId, fate: Fate) -> Fate {
        let cost = self.planned.costs.task(&self.state().task_ref(id));
        match fate.act {
            Act::Run => Fate { cost, ..fate },
            _ => fate,
        }
    }

    fn runs(&self, id: TaskId, key: &Digest, miss: &Miss) -> Fate {
        let (code, reason) = self.why(id, key, miss);
        self.costing(id, Fate::new(Act::Run, code, reason))
    }

    /// Why a task would run, as a word and a sentence.
    fn why(&self, id: TaskId, key: &Digest, miss: &Miss) -> (&'static str, String) {
        let state = self.state();
        if state.graph().node(id.node).always {
            return ("always", "it runs at the end of each invocation".into());
        }
        if let Some(reason) = self.planned.forecast.lost.get(&id) {
            return ("lost", format!("its result is lost: {}", clean(reason)));
        }
        let task = state.task_ref(id);
        if self.planned.run.is_some() {
            return self.why_again(id, &task, key);
        }
        match miss {
            Miss::Off => ("cache_off", "`cache` is off: each run makes its own result".into()),
            Miss::Fresh => ("fresh", "--fresh: no results of other runs are taken".into()),
            Miss::Old { run, at } => {
                let made = ago(*at, Timestamp::now());
                ("cache_expired", format!("the result of run {run} is too old: it was made {made}"))
            }
            Miss::Lost { run } => {
                ("lost", format!("the bytes of the result of run {run} are lost"))
            }
            Miss::Nothing => match self.first_change(id, &task, key) {
                Some((code, change)) => (code, change),
                None => ("no_result", "no run has a result of it".into()),
            },
        }
    }

    /// Why a task of a run that goes on would run.
    fn why_again(&self, id: TaskId, task: &TaskRef, key: &Digest) -> (&'static str, String) {
        let known = self.planned.before.as_ref().and_then(|past| {
            let old = past.find(task)?;
            Some(past.state.task(old)?.clone())
        });
        let Some(known) = known else {
            return ("new", "the run has no result of it".into());
        };
        match &known.phase {
            Phase::Failed(error) => ("failed_before", format!("it failed: {}", in_short(error))),
            Phase::Cancelled => ("cut_short", "it was stopped before it ended".into()),
            Phase::Running | Phase::Unknown(_) => {
                ("cut_short", "its attempt was cut short before it ended".into())
            }
            Phase::Waiting { .. } => ("retry", "its next attempt is due".into()),
            Phase::Succeeded(_) => match self.first_change(id, task, key) {
                Some(found) => found,
                None => ("changed", "its key is another one".into()),
            },
            _ => ("not_run", "it has not run yet".into()),
        }
    }

    /// The first thing that is not what it was when there was a result.
    fn first_change(
        &self,
        id: TaskId,
        task: &TaskRef,
        key: &Digest,
    ) -> Option<(&'static str, String)> {
        let past = self.planned.before.as_ref()?;
        let old = past.find(task)?;
        let done = past.state.done(old)?;
        let was = self.before.as_ref()?.of(old, Some(done.key)).ok()?;
        let is = self.recipes.of(id, Some(*key)).ok()?;
        let changes = told(&was, &is, &self.desk);
        let first = changes.first()?;
        let line = first.contrast.lines.first().map(|line| format!(": {line}")).unwrap_or_default();
        Some((first.code, format!("{} is not what it was{line}", first.what)))
    }
}

fn in_words(names: &[String]) -> String {
    match names {
        [] => "nodes before it".to_owned(),
        [first @ .., _] if names.len() > NAMED_MAX => format!("{} and others", first.join(", ")),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What becomes of a node whose items come to these.
fn together(items: &[(TaskRef, Fate)]) -> Fate {
    let Some((_, first)) = items.iter().min_by_key(|(_, fate)| fate.act) else {
        return Fate::new(Act::Reuse, "no_items", "its list is empty");
    };
    let alike = items.iter().filter(|(_, fate)| fate.act == first.act);
    let number = alike.clone().count();
    let costs: Vec<Cost> = alike.filter_map(|(_, fate)| fate.cost).collect();
    let cost = (!costs.is_empty()).then(|| costs.iter().copied().sum());
    let reason = match number == items.len() {
        true => format!("{}: {}", count(number, "item"), first.reason),
        false => format!("{number} of {}: {}", count(items.len(), "item"), first.reason),
    };
    Fate { reason, cost, ..first.clone() }
}
