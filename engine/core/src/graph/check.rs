//! From a definition to a graph: every fault is found and told, none stops the search.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use indexmap::IndexMap;

use super::compose::{Composite, Files, child_ports};
use super::config::template_fault;
use super::control::policy;
use super::edges::{Surroundings, unknown_node};
use super::inline::inline;
use super::names::Place;
use super::ports::{Taker, not_assignable, output_ports, unknown_input, unknown_stage};
use super::types::Types;
use super::work::{Bench, Reads};
use super::{
    Dependent, Effect, Fan, Gate, Graph, Group, Home, InputPort, Need, Node, OutputPort, Param,
    Settings, Source, Take, WorkflowOutput, codes, order,
};
use crate::catalog::Catalog;
use crate::definition::{Definition, NodeDef, WORKFLOW_STAGE};
use crate::diagnostic::Diagnostic;
use crate::id::NodeId;
use crate::schema::{Type, assignable, validate};
use crate::stage::{OutputSlot, Ports, SharedStage};
use crate::template::Expr;

/// Checks a definition against the catalog.
///
/// # Errors
/// All faults, in the order of the file; those of a file inside it say which one it is, and are told
/// before the outer file is judged.
pub fn check(definition: &Definition, catalog: &Catalog) -> Result<Graph, Vec<Diagnostic>> {
    Files::new(catalog).check_all(definition)
}

pub(super) struct Checker<'a> {
    pub(super) definition: &'a Definition,
    /// The graphs of nested workflows, by node.
    pub(super) children: Vec<Option<Arc<Graph>>>,
    pub(super) composites: Vec<(usize, Composite)>,
    home: Arc<Home>,
    pub(super) faults: &'a mut Vec<Diagnostic>,
    pub(super) remarks: Vec<Diagnostic>,
    catalog: &'a Catalog,
    stages: Vec<Option<&'a SharedStage>>,
    pub(super) gates: Vec<Gate>,
    pub(super) params: IndexMap<String, Type>,
    pub(super) ports: Vec<Vec<OutputPort>>,
    pub(super) groups: Vec<Group>,
    pub(super) fans: Vec<FanState>,
    /// What each node waits for, known or not what it runs.
    needs: Vec<Vec<Need>>,
}

/// How far the fan-out of a node is resolved.
#[derive(Clone)]
pub(super) enum FanState {
    Open,
    Busy,
    None,
    Done(Box<Fan>),
}

impl FanState {
    /// The group of items that the node has a part in.
    pub(super) fn group(&self) -> Option<usize> {
        match self {
            Self::Done(fan) => Some(fan.group),
            Self::Open | Self::Busy | Self::None => None,
        }
    }
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        definition: &'a Definition,
        catalog: &'a Catalog,
        children: Vec<Option<Arc<Graph>>>,
        faults: &'a mut Vec<Diagnostic>,
    ) -> Self {
        let types = Types::resolve(definition, catalog, faults);
        let params = definition
            .params
            .iter()
            .map(|(name, def)| (name.clone(), types.field(&def.ty, faults)))
            .collect();
        let stages: Vec<_> = definition
            .nodes
            .values()
            .map(|node| {
                let stage = catalog.stage(&node.stage);
                if stage.is_none() {
                    faults.push(unknown_stage(&node.stage, catalog));
                }
                stage
            })
            .collect();
        let ports = definition
            .nodes
            .values()
            .zip(stages.iter().zip(&children))
            .map(|(node, (stage, child))| match child {
                Some(child) => child_ports(child),
                None => output_ports(node, *stage, &types, faults),
            })
            .collect();
        let fans = vec![FanState::Open; definition.nodes.len()];
        let tools = definition.tools.iter().map(|(k, v)| (k.clone(), v.value.clone())).collect();
        let home = Arc::new(Home {
            name: definition.name.value.clone(),
            dir: definition.source.dir.clone(),
            tools: Arc::new(tools),
            prefix: String::new(),
        });
        Self {
            definition,
            children,
            composites: Vec::new(),
            home,
            faults,
            remarks: Vec::new(),
            catalog,
            stages,
            gates: Vec::new(),
            params,
            ports,
            groups: Vec::new(),
            fans,
            needs: Vec::new(),
        }
    }

    pub(super) fn graph(mut self) -> Graph {
        self.check_params();
        for index in 0..self.definition.nodes.len() {
            self.fan(index);
        }
        self.adopt_keys();
        let nodes: Vec<Node> =
            (0..self.definition.nodes.len()).filter_map(|index| self.node(index)).collect();
        let outputs = self.workflow_outputs();
        let timezone = self.timezone();
        let mut graph = Graph {
            name: self.definition.name.value.clone(),
            dir: self.definition.source.dir.clone(),
            by_name: HashMap::new(),
            nodes,
            groups: self.groups,
            gates: self.gates,
            pools: self.definition.pools.iter().map(|(k, v)| (k.clone(), v.value)).collect(),
            rates: self.definition.rates.iter().map(|(k, v)| (k.clone(), v.value)).collect(),
            always: Vec::new(),
            secrets: Arc::new(self.definition.secrets.clone()),
            params: IndexMap::new(),
            outputs,
            tools: Arc::clone(&self.home.tools),
            settings: Settings {
                max_parallel: self.definition.max_parallel,
                fail_fast: self.definition.fail_fast,
                deadline: self.definition.deadline,
                timezone,
            },
            remarks: self.remarks,
        };
        for (name, ty) in self.params {
            let default = self.definition.params[&name].default.as_ref().map(|d| d.value.clone());
            graph.params.insert(name, Param { ty, default });
        }
        order::check_cycles(self.definition, &self.needs, self.faults);
        // A node whose stage is unknown has no place in the graph: ids would not fit then.
        if graph.nodes.len() == self.definition.nodes.len() {
            if self.faults.is_empty() && !self.composites.is_empty() {
                graph = inline(graph, self.composites, self.faults);
            }
            link(&mut graph);
        }
        graph
    }

    fn check_params(&mut self) {
        for (name, def) in &self.definition.params {
            let Some(ty) = self.params.get(name) else { continue };
            let Some(default) = &def.default else { continue };
            // Files and folders are written as paths; they are looked at when the run starts.
            if let Some(fault) = validate(&ty.as_written(), &default.value).first() {
                self.faults.push(
                    Diagnostic::error(
                        codes::BAD_DEFAULT,
                        default.span.clone(),
                        format!("the default of parameter `{name}` is not a `{ty}`"),
                    )
                    .label(format!("expected {}, found {}", fault.expected, fault.found)),
                );
            }
        }
    }

    fn timezone(&mut self) -> String {
        let Some(zone) = &self.definition.timezone else { return "UTC".into() };
        if jiff::tz::TimeZone::get(zone).is_err() {
            self.faults.push(
                Diagnostic::error(
                    codes::UNKNOWN_TIME_ZONE,
                    zone.span.clone(),
                    format!("there is no time zone `{}`", zone.value),
                )
                .help("use a name of the IANA database, such as America/New_York or UTC"),
            );
        }
        zone.value.clone()
    }

    // Nodes.

    fn node(&mut self, index: usize) -> Option<Node> {
        let (name, def) = self.definition.nodes.get_index(index)?;
        let fan = self.fan(index);
        let inputs = self.inputs(index, def, fan.as_ref());
        let input_types: BTreeMap<String, Type> =
            inputs.iter().map(|p| (p.name.clone(), p.ty.clone())).collect();
        let mut needs = Vec::new();
        for input in &inputs {
            add_needs(&input.source, &mut needs);
        }
        if let Some(fan) = &fan {
            add_needs(&fan.item, &mut needs);
            add_needs(&self.groups[fan.group].list, &mut needs);
        }
        self.after(def, &mut needs);
        let when = self.when(index, def, &input_types);
        self.check_uses(def);
        if def.always.is_some() {
            // It runs whatever came of the others: only its own kind goes before it.
            let nodes = &self.definition.nodes;
            needs.retain(|need| nodes[need.node.index()].always.is_some());
        }
        self.needs.push(needs.clone());
        self.check_after_always(def, &inputs, fan.as_ref().map(|f| &f.item));
        let gate = self.gate(def);
        let stage = self.stages[index]?;
        let waits = stage.waits();
        self.check_control(def, &inputs, waits);
        let bench = Bench { index, def, inputs: &inputs, input_types };
        let mut reads = Reads::default();
        let work = self.work(&bench, stage, &def.with, &def.span, &mut reads);
        let work = match def.stage.as_str() {
            WORKFLOW_STAGE => self.compose(&bench, fan.as_ref(), work),
            _ => work,
        };
        let catalog = self.catalog;
        let fallbacks = def
            .fallback
            .iter()
            .filter_map(|other| self.stand_in(&bench, "fallback", other, catalog, &mut reads))
            .collect();
        let effect = def.effect.as_ref().map(|effect| Effect {
            idempotent: effect.idempotent,
            probe: effect
                .probe
                .as_ref()
                .and_then(|probe| self.stand_in(&bench, "probe", probe, catalog, &mut reads)),
        });
        reads.note(when.iter().flat_map(Expr::names));
        let Reads { env, secrets } = reads.sorted();
        let acts = effect.is_some() || waits || def.always.is_some();
        Some(Node {
            env,
            secrets,
            name: name.as_str().into(),
            work,
            fallbacks,
            effect,
            optional: def.optional,
            always: def.always.is_some(),
            gate,
            inputs,
            outputs: self.ports[index].clone(),
            uses: def.uses.iter().map(|u| u.value.clone()).collect(),
            when,
            fan,
            policy: policy(&self.definition.defaults, def, acts, waits),
            needs,
            dependents: Vec::new(),
            span: def.span.clone(),
            home: Arc::clone(&self.home),
            within: None,
            params: None,
            encloses: Vec::new(),
        })
    }

    fn inputs(&mut self, index: usize, def: &NodeDef, fan: Option<&Fan>) -> Vec<InputPort> {
        let surroundings = Surroundings {
            nodes: &self.definition.nodes,
            ports: &self.ports,
            fans: &self.fans,
            params: &self.params,
            item: fan.map(|f| (f.item_ty.clone(), f.group)),
        };
        let stage = self.stages[index];
        let fixed = stage.and_then(|s| match &s.spec().inputs {
            Ports::Fixed(ports) => Some(ports),
            Ports::Declared | Ports::DeclaredOne => None,
        });
        let mut inputs = Vec::new();
        for (port, binding) in &def.inputs {
            let typed = surroundings.binding(binding, self.faults);
            let wanted = match (fixed, stage) {
                (Some(ports), Some(stage)) => match ports.iter().find(|p| p.name == *port) {
                    Some(spec) => Some(if spec.optional {
                        spec.ty.clone().optional()
                    } else {
                        spec.ty.clone()
                    }),
                    None => {
                        self.faults.push(unknown_input(stage, port, ports, &binding.span));
                        continue;
                    }
                },
                _ => None,
            };
            let Some((source, have)) = typed else { continue };
            let ty = wanted.unwrap_or_else(|| have.clone());
            if let Err(mismatch) = assignable(&have, &ty) {
                let node = self.definition.nodes.get_index(index).map_or("", |(name, _)| name);
                let port = format!("{node}.{port}");
                let taker = Taker { port, ty: &ty, span: &binding.span };
                let fault = not_assignable(self.definition, &source, &have, &taker, &mismatch);
                self.faults.push(fault);
            }
            inputs.push(InputPort { name: port.clone(), ty, source });
        }
        for port in fixed.into_iter().flatten() {
            if !port.optional && !port.ty.is_optional() && !def.inputs.contains_key(&port.name) {
                self.faults.push(
                    Diagnostic::error(
                        codes::MISSING_INPUT,
                        def.span.clone(),
                        format!("stage `{}` needs the input `{}`", def.stage.value, port.name),
                    )
                    .help(format!(
                        "bind it: inputs = {{ {} = \"NODE.PORT\" }} ({}: {})",
                        port.name, port.ty, port.doc
                    )),
                );
            }
        }
        inputs
    }

    fn after(&mut self, def: &NodeDef, needs: &mut Vec<Need>) {
        for name in &def.after {
            match self.definition.nodes.get_index_of(&name.value) {
                Some(index) => add_need(needs, Need { node: node_id(index), same_item: false }),
                None => {
                    self.faults.push(unknown_node(&name.value, &name.span, &self.definition.nodes))
                }
            }
        }
    }

    fn when(
        &mut self,
        index: usize,
        def: &NodeDef,
        inputs: &BTreeMap<String, Type>,
    ) -> Option<Expr> {
        let when = def.when.as_ref()?;
        let source = when.value.trim();
        let bare = source.strip_prefix("{{").and_then(|s| s.strip_suffix("}}")).unwrap_or(source);
        match Expr::parse(bare) {
            Ok(expr) => {
                self.check_names(index, &expr, &when.span, inputs, Place::When);
                Some(expr)
            }
            Err(fault) => {
                self.faults.push(template_fault(fault, when.span.clone()));
                None
            }
        }
    }

    fn check_uses(&mut self, def: &NodeDef) {
        for path in &def.uses {
            if leaves_folder(&path.value) {
                self.faults.push(
                    Diagnostic::error(
                        codes::PATH_ESCAPES,
                        path.span.clone(),
                        format!("`{}` is not below the workflow file's folder", path.value),
                    )
                    .help("`uses` names files and folders beside the workflow file, without `..`"),
                );
            }
        }
        for output in def.outputs.values() {
            if let Some(path) = output.path.as_ref().filter(|p| leaves_folder(&p.value)) {
                self.faults.push(
                    Diagnostic::error(
                        codes::PATH_ESCAPES,
                        path.span.clone(),
                        format!("`{}` leaves the scratch folder", path.value),
                    )
                    .help("an output's path is relative to the scratch folder, without `..`"),
                );
            }
        }
    }

    fn workflow_outputs(&mut self) -> IndexMap<String, WorkflowOutput> {
        let surroundings = Surroundings {
            nodes: &self.definition.nodes,
            ports: &self.ports,
            fans: &self.fans,
            params: &self.params,
            item: None,
        };
        self.definition
            .outputs
            .iter()
            .filter_map(|(name, binding)| {
                let (source, ty) = surroundings.binding(binding, self.faults)?;
                Some((name.clone(), WorkflowOutput { source, ty }))
            })
            .collect()
    }
}

/// The outputs of a node as slots without paths.
pub(crate) fn slots(ports: &[OutputPort]) -> Vec<OutputSlot> {
    ports
        .iter()
        .map(|p| OutputSlot {
            name: p.name.clone(),
            ty: p.ty.clone(),
            from: p.from.clone(),
            json_lines: p.json_lines,
            path: None,
        })
        .collect()
}

pub(super) fn node_id(index: usize) -> NodeId {
    NodeId(u32::try_from(index).unwrap_or(u32::MAX))
}

pub(super) fn add_needs(source: &Source, needs: &mut Vec<Need>) {
    source.each_node(&mut |node, take| {
        add_need(needs, Need { node, same_item: take == Take::SameItem });
    });
}

/// One wait for a node is enough; waiting for all of it covers waiting for one item.
pub(super) fn add_need(needs: &mut Vec<Need>, need: Need) {
    match needs.iter_mut().find(|n| n.node == need.node) {
        Some(known) => known.same_item &= need.same_item,
        None => needs.push(need),
    }
}

fn link(graph: &mut Graph) {
    graph.always = graph.ids().filter(|id| graph.node(*id).always).collect();
    for index in 0..graph.nodes.len() {
        graph.by_name.insert(Arc::clone(&graph.nodes[index].name), node_id(index));
        for need in graph.nodes[index].needs.clone() {
            graph.nodes[need.node.index()]
                .dependents
                .push(Dependent { node: node_id(index), same_item: need.same_item });
        }
    }
}

/// Whether a relative path could leave the folder it starts from.
fn leaves_folder(path: &str) -> bool {
    use std::path::Component;
    path.is_empty()
        || path.contains('\0')
        || std::path::Path::new(path)
            .components()
            .any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
}
