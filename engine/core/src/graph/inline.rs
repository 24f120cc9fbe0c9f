//! Nested workflows become nodes of the one graph: what stands in the file of `p` is named `p/…`,
//! `p/params` gives the file its parameters, and `p` itself ends when all inside have. So whatever
//! works for a node works for every node inside, however deep.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::check::{add_need, add_needs, node_id};
use super::compose::Composite;
use super::config::CompiledConfig;
use super::{
    Fan, Gate, Graph, Group, Home, InputPort, Need, Node, OutputPort, Param, Source, Take, Work,
    codes, join_path,
};
use crate::definition::{OnItemFailure, SecretSource, Span};
use crate::diagnostic::Diagnostic;
use crate::id::NodeId;
use crate::policy::CachePolicy;
use crate::schema::Type;
use crate::template::Expr;

/// Puts the nodes of nested workflows in the place of the nodes that name them. The graph is not
/// linked yet; the nested ones are.
pub(super) fn inline(
    graph: Graph,
    composites: Vec<(usize, Composite)>,
    faults: &mut Vec<Diagnostic>,
) -> Graph {
    let composites: BTreeMap<usize, Composite> = composites.into_iter().collect();
    let places = places(&graph, &composites);
    let mut outer = Outer { places, composites: &composites, nodes: Vec::new(), graph, faults };
    outer.rename();
    for (index, node) in std::mem::take(&mut outer.graph.nodes).into_iter().enumerate() {
        match composites.get(&index) {
            None => outer.nodes.push(node),
            Some(composite) => outer.expand(index, node, composite),
        }
    }
    outer.check_env();
    Graph { nodes: outer.nodes, ..outer.graph }
}

/// Where each node of the outer file comes to stand; of a nested workflow, the node that ends it.
fn places(graph: &Graph, composites: &BTreeMap<usize, Composite>) -> Vec<NodeId> {
    let mut next = 0;
    let place = |index: usize| {
        next += composites.get(&index).map_or(1, |composite| composite.child.nodes.len() + 2);
        node_id(next - 1)
    };
    (0..graph.nodes.len()).map(place).collect()
}

struct Outer<'a> {
    /// New ids of the outer file's nodes.
    places: Vec<NodeId>,
    composites: &'a BTreeMap<usize, Composite>,
    nodes: Vec<Node>,
    graph: Graph,
    faults: &'a mut Vec<Diagnostic>,
}

impl Outer<'_> {
    /// Gives all that refers to nodes of the outer file their new ids.
    fn rename(&mut self) {
        let moved = |id: NodeId| self.places[id.index()];
        for node in &mut self.graph.nodes {
            node.inputs.iter_mut().for_each(|input| each_id(&mut input.source, &moved));
            if let Some(fan) = &mut node.fan {
                each_id(&mut fan.item, &moved);
            }
            node.needs.iter_mut().for_each(|need| need.node = moved(need.node));
        }
        for output in self.graph.outputs.values_mut() {
            each_id(&mut output.source, &moved);
        }
        for group in &mut self.graph.groups {
            each_id(&mut group.list, &moved);
            let members = std::mem::take(&mut group.members);
            for member in members {
                let end = moved(member);
                let inside = self.composites.get(&member.index());
                let first = end.index() - inside.map_or(0, |c| c.child.nodes.len() + 1);
                group.members.extend((first..=end.index()).map(node_id));
            }
        }
    }

    fn expand(&mut self, index: usize, node: Node, composite: &Composite) {
        let end = self.places[index];
        let child = &composite.child;
        let params = node_id(end.index() - child.nodes.len() - 1);
        let inner = Inner {
            name: Arc::clone(&node.name),
            params,
            group: node.fan.as_ref().map(|fan| fan.group),
            list: self.list_needs(&node),
            files: composite.files.iter().map(|(name, _)| name.as_str()).collect(),
            first_group: self.graph.groups.len(),
            child,
            outer: &node,
        };
        let first = inner.params_node(composite);
        let last = inner.end_node();
        let gates: Vec<usize> = child.gates.iter().map(|gate| self.gate(gate)).collect();
        let mut homes: HashMap<*const Home, Arc<Home>> = HashMap::new();
        let inside: Vec<Node> = child
            .nodes
            .iter()
            .map(|inside| {
                let home = homes.entry(Arc::as_ptr(&inside.home)).or_insert_with(|| {
                    let prefix = join_path(&composite.folder, &inside.home.prefix);
                    let prefix = prefix.trim_end_matches('/').to_owned();
                    Arc::new(Home { prefix, ..inside.home.as_ref().clone() })
                });
                let gate = inside.gate.map(|gate| gates[gate]);
                Node { home: Arc::clone(home), gate, ..inner.node(inside) }
            })
            .collect();
        let groups = child.groups.iter().map(|group| inner.group(group));
        self.graph.groups.extend(groups.collect::<Vec<_>>());
        for (name, param) in &composite.files {
            self.graph.params.insert(format!("{}.{name}", node.name), param.clone());
        }
        for (name, param) in child.params.iter().filter(|(name, _)| name.contains('.')) {
            self.graph.params.insert(format!("{}/{name}", node.name), rebased(param, composite));
        }
        self.share(composite);
        self.nodes.push(first);
        self.nodes.extend(inside);
        self.nodes.push(last);
    }

    /// What makes the list that a node is fanned out over: who has an item for each element waits
    /// for it.
    fn list_needs(&self, node: &Node) -> Vec<Need> {
        let mut needs = Vec::new();
        if let Some(fan) = &node.fan {
            add_needs(&self.graph.groups[fan.group].list, &mut needs);
        }
        needs
    }

    fn gate(&mut self, gate: &Gate) -> usize {
        let known = self.graph.gates.iter().position(|other| other == gate);
        known.unwrap_or_else(|| {
            self.graph.gates.push(gate.clone());
            self.graph.gates.len() - 1
        })
    }

    /// Takes in what files share by name: it must be the same in all of them.
    fn share(&mut self, composite: &Composite) {
        let child = &composite.child;
        let mut told: Vec<(&str, &String)> = Vec::new();
        for (name, size) in &child.pools {
            let known = self.graph.pools.entry(name.clone()).or_insert(*size);
            told.extend((known != size).then_some(("pool", name)));
        }
        for (name, rate) in &child.rates {
            let known = self.graph.rates.entry(name.clone()).or_insert(*rate);
            told.extend((known != rate).then_some(("rate", name)));
        }
        let secrets = Arc::make_mut(&mut self.graph.secrets);
        for (name, secret) in child.secrets.iter() {
            let mut secret = secret.clone();
            if let SecretSource::File(path) = &mut secret.from {
                *path = join_path(&composite.folder, path);
            }
            let known = secrets.entry(name.clone()).or_insert_with(|| secret.clone());
            told.extend((known.from != secret.from).then_some(("secret", name)));
        }
        for (noun, name) in told {
            let message = format!("the {noun} `{name}` is another one in this file");
            self.faults.push(
                Diagnostic::error(codes::AMBIGUOUS, composite.span.clone(), message)
                    .help(format!("the {noun}s of a run are shared by name: declare the same in both files, or rename one")),
            );
        }
    }

    /// A variable that holds a secret of one file cannot be recorded for another one.
    fn check_env(&mut self) {
        let variables: HashMap<&str, &String> = self
            .graph
            .secrets
            .iter()
            .filter_map(|(name, secret)| match &secret.from {
                SecretSource::Env(variable) => Some((variable.as_str(), name)),
                SecretSource::File(_) => None,
            })
            .collect();
        for node in &self.nodes {
            let found =
                node.env.iter().find_map(|name| Some((name, variables.get(name.as_str())?)));
            let Some((variable, secret)) = found else { continue };
            let message =
                format!("`env.{variable}` of `{}` would record the secret `{secret}`", node.name);
            let span = self.file_span(&node.name).unwrap_or_else(|| node.span.clone());
            self.faults.push(
                Diagnostic::error(codes::SECRET_SHOWN, span, message).help(format!(
                    "declare `{secret}` in that file too, and read `secrets.{secret}`"
                )),
            );
        }
    }

    /// The place of `with.file` of the nested workflow that a node stands in.
    fn file_span(&self, name: &str) -> Option<Span> {
        let (outer, _) = name.split_once('/')?;
        let index = self
            .composites
            .iter()
            .find(|(index, _)| &*self.nodes[self.places[**index].index()].name == outer);
        index.map(|(_, composite)| composite.span.clone())
    }
}

/// A path that is relative to the nested file, relative to the outer one.
fn rebased(param: &Param, composite: &Composite) -> Param {
    let default = param.default.as_ref().and_then(|path| path.as_str());
    Param {
        ty: param.ty.clone(),
        default: default.map(|path| join_path(&composite.folder, path).into()),
    }
}

/// One nested workflow.
struct Inner<'a> {
    /// The name of the node that names it.
    name: Arc<str>,
    /// The node with its parameters; its own nodes follow.
    params: NodeId,
    /// The list that it is fanned out over.
    group: Option<usize>,
    /// What makes that list.
    list: Vec<Need>,
    /// Parameters that are files of the run itself.
    files: BTreeSet<&'a str>,
    /// Where its own lists begin.
    first_group: usize,
    child: &'a Graph,
    outer: &'a Node,
}

impl Inner<'_> {
    fn moved(&self, id: NodeId) -> NodeId {
        node_id(self.params.index() + 1 + id.index())
    }

    fn take(&self, take: Take) -> Take {
        match (take, self.group) {
            (Take::Whole, Some(_)) => Take::SameItem,
            (take, _) => take,
        }
    }

    fn source(&self, source: &Source) -> Source {
        match source {
            Source::Output { node, port, path, optional, take } => Source::Output {
                node: self.moved(*node),
                port: port.clone(),
                path: path.clone(),
                optional: *optional,
                take: self.take(*take),
            },
            Source::Param { name, path, optional } => self.param(name, path, *optional),
            Source::Item { .. } => source.clone(),
            Source::First(all) => Source::First(all.iter().map(|s| self.source(s)).collect()),
            Source::List(all) => Source::List(all.iter().map(|s| self.source(s)).collect()),
        }
    }

    fn param(&self, name: &str, path: &[String], optional: bool) -> Source {
        let path = path.to_vec();
        if name.contains('.') {
            return Source::Param { name: format!("{}/{name}", self.name), path, optional };
        }
        if self.files.contains(name) {
            return Source::Param { name: format!("{}.{name}", self.name), path, optional };
        }
        let (node, take) = (self.params, self.take(Take::Whole));
        Source::Output { node, port: name.to_owned(), path, optional, take }
    }

    fn input(&self, input: &InputPort) -> InputPort {
        let (name, ty) = (input.name.clone(), input.ty.clone());
        InputPort { name, ty, source: self.source(&input.source) }
    }

    /// What templates read of the nested file's parameters.
    fn reads<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> Vec<InputPort> {
        let names: BTreeSet<&str> = exprs.flat_map(Expr::names).collect();
        let whole = names.contains("params");
        let read = |name: &str| {
            let dotted = format!("params.{name}");
            whole
                || names.iter().any(|found| {
                    found.strip_prefix(&dotted).is_some_and(|r| r.is_empty() || r.starts_with('.'))
                })
        };
        let params = self.child.params.iter();
        params
            .filter(|(name, _)| !name.contains('.') && read(name))
            .map(|(name, param)| InputPort {
                name: name.clone(),
                ty: param.ty.clone(),
                source: self.param(name, &[], false),
            })
            .collect()
    }

    /// The fan-out that all inside have, if the workflow is fanned out. A failed item inside lets
    /// the same item of the others go on, or be skipped, where the whole may leave it out.
    fn fan(&self) -> Option<Fan> {
        let fan = self.outer.fan.as_ref()?;
        let lets_go = self.outer.optional || fan.on_item_failure == OnItemFailure::Drop;
        Some(Fan {
            group: fan.group,
            item: Source::Item { path: Vec::new(), optional: true },
            item_ty: Type::Json,
            max_parallel: fan.max_parallel,
            on_item_failure: if lets_go { OnItemFailure::Drop } else { OnItemFailure::Fail },
            min_success: None,
            inherited: true,
        })
    }

    fn same_item(&self) -> bool {
        self.group.is_some()
    }

    /// A node of the nested file.
    fn node(&self, inside: &Node) -> Node {
        let mut needs: Vec<Need> = inside
            .needs
            .iter()
            .map(|need| Need {
                node: self.moved(need.node),
                same_item: need.same_item || self.same_item(),
            })
            .collect();
        if !inside.always {
            add_need(&mut needs, Need { node: self.params, same_item: self.same_item() });
            self.list.iter().for_each(|need| add_need(&mut needs, *need));
        }
        let fan = match &inside.fan {
            Some(fan) => Some(Fan {
                group: self.first_group + fan.group,
                item: self.source(&fan.item),
                ..fan.clone()
            }),
            None => self.fan(),
        };
        let params = match &inside.params {
            Some(params) => params.iter().map(|input| self.input(input)).collect(),
            None => self.reads(expressions(inside).iter().chain(&inside.when)),
        };
        let mut policy = inside.policy.clone();
        policy.priority = policy.priority.saturating_add(self.outer.policy.priority);
        Node {
            name: format!("{}/{}", self.name, inside.name).into(),
            optional: inside.optional || self.outer.optional && !inside.always,
            inputs: inside.inputs.iter().map(|input| self.input(input)).collect(),
            fan,
            policy,
            needs,
            dependents: Vec::new(),
            within: Some(inside.within.map_or(self.params, |id| self.moved(id))),
            params: Some(params),
            encloses: inside.encloses.iter().map(|id| self.moved(*id)).collect(),
            ..inside.clone()
        }
    }

    fn group(&self, group: &Group) -> Group {
        let params = match (&group.params, &group.key) {
            (Some(params), _) => params.iter().map(|input| self.input(input)).collect(),
            (None, Some(key)) => self.reads(key.expressions().map(|(expr, _)| expr)),
            (None, None) => Vec::new(),
        };
        Group {
            list: self.source(&group.list),
            members: group.members.iter().map(|id| self.moved(*id)).collect(),
            within: Some(group.within.map_or(self.params, |id| self.moved(id))),
            params: Some(params),
            key: group.key.clone(),
            key_span: None,
        }
    }

    /// The node that gives the file its parameters.
    fn params_node(&self, composite: &Composite) -> Node {
        let given = composite.child.params.iter();
        let outputs = given
            .filter(|(name, _)| !name.contains('.') && !self.files.contains(name.as_str()))
            .map(|(name, param)| port(name, &param.ty))
            .collect();
        let fan = self.outer.fan.clone().map(|fan| {
            let inner = self.fan().map_or(OnItemFailure::Fail, |inner| inner.on_item_failure);
            Fan { max_parallel: None, on_item_failure: inner, min_success: None, ..fan }
        });
        let mut node = self.outer.clone();
        node.policy.cache = CachePolicy::Off;
        Node { name: format!("{}/params", self.name).into(), outputs, fan, ..node }
    }

    /// The node that ends the workflow and has its outputs.
    fn end_node(&self) -> Node {
        let child = self.child;
        let same_item = self.same_item();
        let mut needs = vec![Need { node: self.params, same_item }];
        // Who is waited for by another one inside has ended when that one has.
        let last = child.ids().filter(|id| {
            let node = child.node(*id);
            !node.always && node.dependents.is_empty()
        });
        needs.extend(last.map(|id| Need { node: self.moved(id), same_item }));
        self.list.iter().for_each(|need| add_need(&mut needs, *need));
        let inputs = child.outputs.iter().map(|(name, output)| InputPort {
            name: name.clone(),
            // What is absent inside is absent outside; it does not hold back the rest.
            ty: output.ty.clone().optional(),
            source: self.source(&output.source),
        });
        let own = child.ids().filter(|id| {
            let node = child.node(*id);
            !node.always && !node.optional
        });
        let fan = self.fan().map(|inner| {
            let outer = self.outer.fan.as_ref();
            Fan {
                max_parallel: None,
                on_item_failure: outer.map_or(inner.on_item_failure, |fan| fan.on_item_failure),
                min_success: outer.and_then(|fan| fan.min_success),
                ..inner
            }
        });
        let mut node = self.outer.clone();
        node.policy.cache = CachePolicy::Off;
        Node {
            work: Work {
                config: CompiledConfig::new(),
                raw_config: serde_json::Value::Null,
                has_templates: false,
                timeout: None,
                stage: Arc::clone(&self.outer.work.stage),
            },
            inputs: inputs.collect(),
            when: None,
            fan,
            needs,
            env: Vec::new(),
            within: Some(self.params),
            encloses: std::iter::once(self.params).chain(own.map(|id| self.moved(id))).collect(),
            ..node
        }
    }
}

fn port(name: &str, ty: &Type) -> OutputPort {
    OutputPort {
        name: name.to_owned(),
        ty: ty.clone(),
        from: crate::stage::OutputFrom::Default,
        json_lines: false,
    }
}

/// All expressions of what a node may run.
fn expressions(node: &Node) -> Vec<Expr> {
    let mut found = Vec::new();
    for field in node.works().flat_map(|work| work.config.values()) {
        field.each_expr(&mut |expr| found.push(expr.clone()));
    }
    found
}

/// Gives every node of a source its new id.
fn each_id(source: &mut Source, moved: &dyn Fn(NodeId) -> NodeId) {
    match source {
        Source::Output { node, .. } => *node = moved(*node),
        Source::Item { .. } | Source::Param { .. } => {}
        Source::First(all) | Source::List(all) => {
            all.iter_mut().for_each(|source| each_id(source, moved));
        }
    }
}
