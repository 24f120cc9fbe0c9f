//! The graph of a workflow: checked, immutable, every reference resolved. Only
//! [`check`](check::check) makes one, so unresolved wiring cannot be represented.

pub mod check;
pub mod codes;
mod compose;
mod conditions;
mod config;
mod control;
mod edges;
mod fans;
mod home;
mod inline;
mod names;
mod order;
mod ports;
mod reference;
mod types;
mod work;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

pub use check::check;
pub use config::{ArgPart, CompiledConfig, CompiledField, JsonTemplate};
pub use home::{Home, join_path};

use crate::definition::{OnItemFailure, SecretDef, Span};
use crate::diagnostic::Diagnostic;
use crate::id::NodeId;
use crate::policy::{CachePolicy, Rate, Retry};
use crate::schema::Type;
use crate::stage::{OutputFrom, SharedStage};
use crate::template::{Expr, Template};

/// A checked workflow.
#[derive(Clone)]
pub struct Graph {
    pub(crate) name: String,
    pub(crate) dir: std::path::PathBuf,
    pub(crate) nodes: Vec<Node>,
    pub(crate) by_name: HashMap<Arc<str>, NodeId>,
    pub(crate) groups: Vec<Group>,
    pub(crate) params: IndexMap<String, Param>,
    pub(crate) outputs: IndexMap<String, WorkflowOutput>,
    pub(crate) gates: Vec<Gate>,
    pub(crate) pools: IndexMap<String, u32>,
    pub(crate) rates: IndexMap<String, Rate>,
    pub(crate) always: Vec<NodeId>,
    pub(crate) secrets: Arc<IndexMap<String, SecretDef>>,
    pub(crate) tools: Arc<std::collections::BTreeMap<String, String>>,
    pub(crate) settings: Settings,
    /// What hardly means what was meant.
    pub(crate) remarks: Vec<Diagnostic>,
}

/// Settings of the whole workflow.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tasks that hold a slot at once; the number of CPUs if absent.
    pub max_parallel: Option<u32>,
    /// Whether the first failure stops everything.
    pub fail_fast: bool,
    /// Time for one invocation of a run.
    pub deadline: Option<Duration>,
    /// Time zone of `run.date`.
    pub timezone: String,
}

/// A parameter, resolved.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its type.
    pub ty: Type,
    /// Value if none is given; a path for a `file`.
    pub default: Option<Value>,
}

/// An output of the whole workflow.
#[derive(Debug, Clone)]
pub struct WorkflowOutput {
    /// Where it comes from.
    pub source: Source,
    /// Its type.
    pub ty: Type,
}

/// A list that fanned-out nodes run over.
#[derive(Debug, Clone)]
pub struct Group {
    /// The list.
    pub list: Source,
    /// Nodes with an item for each element.
    pub members: Vec<NodeId>,
    /// Template of the items' keys; their indices if absent.
    pub key: Option<Template>,
    /// Where the key is declared, for messages.
    pub(crate) key_span: Option<Span>,
    /// The node with the parameters of the workflow file that the list stands in, if that file is
    /// inside another one.
    pub within: Option<NodeId>,
    /// Parameters of that file that the key reads.
    pub params: Option<Vec<InputPort>>,
}

/// A stage with its settings, ready to be rendered.
#[derive(Clone)]
pub struct Work {
    /// What is run.
    pub stage: SharedStage,
    /// `with`, compiled.
    pub config: CompiledConfig,
    /// `with` as written.
    pub raw_config: Value,
    /// Whether anything in `with` must be rendered.
    pub has_templates: bool,
    /// Time for one attempt, if it is not the node's.
    pub timeout: Option<Duration>,
}

/// How a node acts on the outside world.
#[derive(Clone)]
pub struct Effect {
    /// Whether doing it twice with one idempotency key is doing it once.
    pub idempotent: bool,
    /// What finds out whether it happened.
    pub probe: Option<Work>,
}

/// What an attempt must be let through before it starts: shared by all runs of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The pool whose slot it holds, with the pool's size.
    pub pool: Option<(String, u32)>,
    /// The rate that its start counts against.
    pub rate: Option<(String, Rate)>,
}

/// A node, resolved.
#[derive(Clone)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// What it runs.
    pub work: Work,
    /// What it runs in turn when retries are exhausted.
    pub fallbacks: Vec<Work>,
    /// What it does to the outside world, if anything.
    pub effect: Option<Effect>,
    /// Whether its failure leaves its outputs absent instead of failing the run.
    pub optional: bool,
    /// Whether it runs at the end of each invocation.
    pub always: bool,
    /// Index of its gate in [`Graph::gates`].
    pub gate: Option<usize>,
    /// Input ports in declared order.
    pub inputs: Vec<InputPort>,
    /// Output ports in declared order.
    pub outputs: Vec<OutputPort>,
    /// Files and folders for the scratch folder.
    pub uses: Vec<String>,
    /// Condition.
    pub when: Option<Expr>,
    /// The fan-out, if it is one.
    pub fan: Option<Fan>,
    /// Policies in force.
    pub policy: Policy,
    /// What must end before it starts.
    pub needs: Vec<Need>,
    /// Nodes that wait for it.
    pub dependents: Vec<Dependent>,
    /// Names of environment variables that its templates read.
    pub env: Vec<String>,
    /// Names of secrets that its templates read.
    pub secrets: Vec<String>,
    /// Place of its name in the source.
    pub span: Span,
    /// The workflow file that it stands in.
    pub home: Arc<Home>,
    /// The node with the parameters of that file, if the file is inside another one. Where that
    /// node was skipped, so is this one.
    pub within: Option<NodeId>,
    /// What its templates read of that file's parameters; `None` where the run's own are read.
    pub params: Option<Vec<InputPort>>,
    /// Of a node that ends a nested workflow: the nodes inside whose failure is its own.
    pub encloses: Vec<NodeId>,
}

/// Something a node waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The node that must end.
    pub node: NodeId,
    /// Whether an item waits for the same item only.
    pub same_item: bool,
}

/// A node that waits for this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependent {
    /// The waiting node.
    pub node: NodeId,
    /// Whether its items wait for the same item only.
    pub same_item: bool,
}

/// An input port, bound.
#[derive(Debug, Clone)]
pub struct InputPort {
    /// Its name.
    pub name: String,
    /// The type it takes.
    pub ty: Type,
    /// Where its payload comes from.
    pub source: Source,
}

/// An output port, declared.
#[derive(Debug, Clone)]
pub struct OutputPort {
    /// Its name.
    pub name: String,
    /// The type it gives, for one task.
    pub ty: Type,
    /// Where `command` takes it from.
    pub from: OutputFrom,
    /// Whether it is JSON Lines.
    pub json_lines: bool,
}

/// How a node is fanned out.
#[derive(Debug, Clone)]
pub struct Fan {
    /// Index of its list in [`Graph::groups`].
    pub group: usize,
    /// What `item` is.
    pub item: Source,
    /// The type of `item`.
    pub item_ty: Type,
    /// Items that hold a slot at once.
    pub max_parallel: Option<u32>,
    /// What an item's failure does.
    pub on_item_failure: OnItemFailure,
    /// Least share of items that must succeed.
    pub min_success: Option<f64>,
    /// Whether the fan-out is that of the nested workflow it stands in: then there is no `item`.
    pub inherited: bool,
}

/// Policies in force for a node.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Time for one attempt.
    pub timeout: Option<Duration>,
    /// Time for all attempts and waits in one invocation.
    pub deadline: Option<Duration>,
    /// Retry.
    pub retry: Retry,
    /// Reuse of results across runs.
    pub cache: CachePolicy,
    /// Order among ready tasks: higher first.
    pub priority: i64,
}

/// Where a payload comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// An output port of a node.
    Output {
        /// The node.
        node: NodeId,
        /// Its port.
        port: String,
        /// Fields to follow inside the payload.
        path: Vec<String>,
        /// Whether absence is accepted.
        optional: bool,
        /// How it is taken from a fanned-out node.
        take: Take,
    },
    /// The element that an item runs for.
    Item {
        /// Fields to follow.
        path: Vec<String>,
        /// Whether absence is accepted.
        optional: bool,
    },
    /// A parameter.
    Param {
        /// Its name.
        name: String,
        /// Fields to follow.
        path: Vec<String>,
        /// Whether absence is accepted.
        optional: bool,
    },
    /// The first of these that is present.
    First(Vec<Source>),
    /// All of these as a list.
    List(Vec<Source>),
}

/// How an output is taken from its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The node is not fanned out: its payload.
    Whole,
    /// The payload of the same item.
    SameItem,
    /// The payloads of all items, as a list in list order.
    Gather,
}

impl Source {
    /// Calls `visit` with every node that this source reads, and how.
    pub fn each_node(&self, visit: &mut dyn FnMut(NodeId, Take)) {
        match self {
            Self::Output { node, take, .. } => visit(*node, *take),
            Self::Item { .. } | Self::Param { .. } => {}
            Self::First(all) | Self::List(all) => all.iter().for_each(|s| s.each_node(visit)),
        }
    }

    /// Whether the payload must be there although this producer may have been skipped:
    /// `present(node, port, take)` tells what is there.
    pub fn is_satisfied(&self, present: &dyn Fn(NodeId, &str, Take) -> bool) -> bool {
        match self {
            Self::Output { optional: true, .. } => true,
            Self::Output { node, port, take, .. } => present(*node, port, *take),
            Self::Item { .. } | Self::Param { .. } => true,
            Self::First(all) => all.iter().any(|s| s.is_satisfied_strictly(present)),
            Self::List(all) => all.iter().all(|s| s.is_satisfied(present)),
        }
    }

    fn is_satisfied_strictly(&self, present: &dyn Fn(NodeId, &str, Take) -> bool) -> bool {
        match self {
            Self::Output { node, port, take, .. } => present(*node, port, *take),
            other => other.is_satisfied(present),
        }
    }
}

impl Node {
    /// The work of a variant: 0 is the node's own, n its nth fallback.
    #[must_use]
    pub fn variant(&self, variant: u32) -> &Work {
        let fallback = (variant as usize).checked_sub(1).and_then(|at| self.fallbacks.get(at));
        fallback.unwrap_or(&self.work)
    }

    /// Whether it ends a nested workflow: it hands on what is there, and leaves out what is not.
    #[must_use]
    pub fn ends_workflow(&self) -> bool {
        !self.encloses.is_empty()
    }

    /// Everything that the node may run: its own work, its fallbacks, its probe.
    pub fn works(&self) -> impl Iterator<Item = &Work> {
        let probe = self.effect.as_ref().and_then(|effect| effect.probe.as_ref());
        std::iter::once(&self.work).chain(&self.fallbacks).chain(probe)
    }
}

impl Graph {
    /// Name of the workflow.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that relative paths of the file start from.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All nodes, in declared order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Warnings: what is no fault and hardly means what was meant, in the order of the file.
    #[must_use]
    pub fn remarks(&self) -> &[Diagnostic] {
        &self.remarks
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The node with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// Ids of all nodes, in declared order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(|i| NodeId(u32::try_from(i).unwrap_or(u32::MAX)))
    }

    /// Lists that nodes fan out over.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// What attempts must be let through.
    #[must_use]
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// Nodes that run at the end of each invocation.
    #[must_use]
    pub fn always(&self) -> &[NodeId] {
        &self.always
    }

    /// A set of nodes with all that depends on them, directly or not, in declared order.
    #[must_use]
    pub fn with_descendants(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut seen = vec![false; self.nodes.len()];
        let mut stack = nodes.to_vec();
        while let Some(at) = stack.pop() {
            if !std::mem::replace(&mut seen[at.index()], true) {
                stack.extend(self.node(at).dependents.iter().map(|dependent| dependent.node));
            }
        }
        self.ids().filter(|id| seen[id.index()]).collect()
    }

    /// Whether anything reads an output of this node.
    #[must_use]
    pub fn is_read(&self, node: NodeId) -> bool {
        let mut found = false;
        let mut look = |source: &Source| source.each_node(&mut |other, _| found |= other == node);
        for dependent in &self.node(node).dependents {
            let dependent = self.node(dependent.node);
            let inputs = dependent.inputs.iter().chain(dependent.params.iter().flatten());
            inputs.for_each(|input| look(&input.source));
            if let Some(fan) = &dependent.fan {
                look(&fan.item);
                look(&self.groups[fan.group].list);
            }
        }
        self.outputs.values().for_each(|output| look(&output.source));
        found
    }

    /// Secrets, in declared order.
    #[must_use]
    pub fn secrets(&self) -> &Arc<IndexMap<String, SecretDef>> {
        &self.secrets
    }

    /// Parameters, in declared order.
    #[must_use]
    pub fn params(&self) -> &IndexMap<String, Param> {
        &self.params
    }

    /// Outputs of the whole, in declared order.
    #[must_use]
    pub fn outputs(&self) -> &IndexMap<String, WorkflowOutput> {
        &self.outputs
    }

    /// Where programs are, by name.
    #[must_use]
    pub fn tools(&self) -> &Arc<std::collections::BTreeMap<String, String>> {
        &self.tools
    }

    /// Settings of the whole.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A node with all that it depends on, directly or not.
    #[must_use]
    pub fn ancestors(&self, node: NodeId) -> Vec<NodeId> {
        let mut seen = vec![false; self.nodes.len()];
        let mut stack = vec![node];
        while let Some(at) = stack.pop() {
            if !std::mem::replace(&mut seen[at.index()], true) {
                stack.extend(self.node(at).needs.iter().map(|need| need.node));
            }
        }
        self.ids().filter(|id| seen[id.index()]).collect()
    }

    /// The same workflow with no limit on what runs at once: no pools, rates and limits of nodes.
    #[must_use]
    pub fn unlimited(&self) -> Self {
        let mut graph = self.clone();
        for node in &mut graph.nodes {
            node.gate = None;
            if let Some(fan) = &mut node.fan {
                fan.max_parallel = None;
            }
        }
        graph
    }
}
