//! From a definition to a graph: every fault is found and told, none stops the search.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use indexmap::IndexMap;

use super::config::{FoundExpr, compile, template_fault};
use super::edges::{Surroundings, unknown_node, unknown_param};
use super::types::Types;
use super::{
    Dependent, Fan, Graph, Group, InputPort, Need, Node, OutputPort, Param, Policy, Settings,
    Source, Take, WorkflowOutput, codes, order,
};
use crate::catalog::Catalog;
use crate::definition::{Definition, NodeDef, Policies, RetryDef, Span, Spanned};
use crate::diagnostic::{Diagnostic, nearest};
use crate::id::NodeId;
use crate::policy::Retry;
use crate::schema::{Type, assignable, validate};
use crate::stage::{NodeView, OutputFrom, OutputSlot, Ports, SharedStage};
use crate::template::{Expr, Template};

/// Checks a definition against the catalog.
///
/// # Errors
/// All faults, in the order of the file.
pub fn check(definition: &Definition, catalog: &Catalog) -> Result<Graph, Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let graph = Checker::new(definition, catalog, &mut faults).graph();
    faults.sort_by_key(|d| d.labels.first().map_or(0, |l| l.span.start));
    if faults.is_empty() { Ok(graph) } else { Err(faults) }
}

struct Checker<'a> {
    definition: &'a Definition,
    faults: &'a mut Vec<Diagnostic>,
    stages: Vec<Option<&'a SharedStage>>,
    params: IndexMap<String, Type>,
    ports: Vec<Vec<OutputPort>>,
    groups: Vec<Group>,
    fans: Vec<FanState>,
    /// What each node waits for, known or not what it runs.
    needs: Vec<Vec<Need>>,
}

/// How far the fan-out of a node is resolved.
#[derive(Clone)]
enum FanState {
    Open,
    Busy,
    None,
    Done(Box<Fan>),
}

impl<'a> Checker<'a> {
    fn new(
        definition: &'a Definition,
        catalog: &'a Catalog,
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
                    faults.push(unknown_stage(node, catalog));
                }
                stage
            })
            .collect();
        let ports = definition
            .nodes
            .values()
            .zip(&stages)
            .map(|(node, stage)| output_ports(node, *stage, &types, faults))
            .collect();
        let fans = vec![FanState::Open; definition.nodes.len()];
        Self {
            definition,
            faults,
            stages,
            params,
            ports,
            groups: Vec::new(),
            fans,
            needs: Vec::new(),
        }
    }

    fn graph(mut self) -> Graph {
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
            params: IndexMap::new(),
            outputs,
            tools: Arc::new(
                self.definition.tools.iter().map(|(k, v)| (k.clone(), v.value.clone())).collect(),
            ),
            settings: Settings {
                max_parallel: self.definition.max_parallel,
                fail_fast: self.definition.fail_fast,
                deadline: self.definition.deadline,
                timezone,
            },
        };
        for (name, ty) in self.params {
            let default = self.definition.params[&name].default.as_ref().map(|d| d.value.clone());
            graph.params.insert(name, Param { ty, default });
        }
        order::check_cycles(self.definition, &self.needs, self.faults);
        // A node whose stage is unknown has no place in the graph: ids would not fit then.
        if graph.nodes.len() == self.definition.nodes.len() {
            link(&mut graph);
        }
        graph
    }

    fn check_params(&mut self) {
        for (name, def) in &self.definition.params {
            let Some(ty) = self.params.get(name) else { continue };
            if ty.holds_artifacts() && !matches!(ty.inner(), Type::File(_)) {
                self.faults.push(
                    Diagnostic::error(
                        codes::BAD_DEFAULT,
                        def.ty.ty.span.clone(),
                        format!("parameter `{name}` cannot be a `{ty}`"),
                    )
                    .help("a parameter can be one `file`; bring folders with `uses`"),
                );
            }
            let Some(default) = &def.default else { continue };
            let as_text = Type::String;
            // A file's default is its path; the file itself is looked at when the run starts.
            let wanted = if ty.is_artifact() { &as_text } else { ty };
            if let Some(fault) = validate(wanted, &default.value).first() {
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

    // Fan-outs.

    /// Resolves the fan-out of a node, and first of those that its list comes from.
    fn fan(&mut self, index: usize) -> Option<Fan> {
        match &self.fans[index] {
            FanState::Done(fan) => return Some(fan.as_ref().clone()),
            // A node that fans out over itself is told as a cycle.
            FanState::None | FanState::Busy => return None,
            FanState::Open => self.fans[index] = FanState::Busy,
        }
        let node = &self.definition.nodes[index];
        let fan = node.for_each.as_ref().and_then(|list| self.fan_over(index, node, list));
        self.fans[index] = fan.clone().map_or(FanState::None, |f| FanState::Done(Box::new(f)));
        fan
    }

    fn fan_over(&mut self, index: usize, node: &NodeDef, list: &Spanned<String>) -> Option<Fan> {
        use super::reference::{Head, parse};
        if let Ok(parsed) = parse(&list.value, &self.definition.nodes)
            && let Head::Node { index: from, .. } = parsed.head
            && from != index
        {
            self.fan(from);
        }
        let groups: Vec<Option<usize>> = self.group_indices();
        let surroundings = Surroundings {
            nodes: &self.definition.nodes,
            ports: &self.ports,
            groups: &groups,
            params: &self.params,
            item: None,
        };
        let (source, ty) = surroundings.reference(&list.value, &list.span, self.faults)?;
        let element = match ty.inner() {
            Type::List(element) => element.as_ref().clone(),
            Type::Json => Type::Json,
            _ => {
                self.faults.push(
                    Diagnostic::error(
                        codes::BAD_FAN_OUT,
                        list.span.clone(),
                        format!("`for_each` needs a list, and `{}` is `{ty}`", list.value),
                    )
                    .help("declare the output as list<…>"),
                );
                return None;
            }
        };
        let id = node_id(index);
        let (group, item) = match source {
            Source::Output { node: from, port, path, optional, take: Take::Gather } => {
                if let Some(key) = &node.key {
                    self.faults.push(
                        Diagnostic::error(
                            codes::BAD_FAN_OUT,
                            key.span.clone(),
                            "items keep the key of the first fan-out",
                        )
                        .help("give `key` at the node that fans out first"),
                    );
                }
                let group = groups[from.index()]?;
                (group, Source::Output { node: from, port, path, optional, take: Take::SameItem })
            }
            list => (self.group_of(list), Source::Item { path: Vec::new(), optional: false }),
        };
        self.groups[group].members.push(id);
        Some(Fan {
            group,
            item,
            item_ty: element,
            max_parallel: node.max_parallel,
            on_item_failure: node.on_item_failure,
            min_success: node.min_success,
        })
    }

    fn group_indices(&self) -> Vec<Option<usize>> {
        self.fans
            .iter()
            .map(|state| match state {
                FanState::Done(fan) => Some(fan.group),
                _ => None,
            })
            .collect()
    }

    fn group_of(&mut self, list: Source) -> usize {
        if let Some(found) = self.groups.iter().position(|g| g.list == list) {
            return found;
        }
        self.groups.push(Group { list, members: Vec::new(), key: None, key_span: None });
        self.groups.len() - 1
    }

    /// Gives each list the key that one of its nodes declares.
    fn adopt_keys(&mut self) {
        for (index, node) in self.definition.nodes.values().enumerate() {
            let Some(key) = &node.key else { continue };
            let FanState::Done(fan) = self.fans[index].clone() else {
                if node.for_each.is_none() {
                    self.faults.push(
                        Diagnostic::error(
                            codes::BAD_FAN_OUT,
                            key.span.clone(),
                            "`key` needs `for_each`",
                        )
                        .help("`key` names the items of a fanned-out node"),
                    );
                }
                continue;
            };
            if !matches!(fan.item, Source::Item { .. }) {
                continue;
            }
            let template = match Template::parse(&key.value) {
                Ok(template) => template,
                Err(fault) => {
                    self.faults.push(template_fault(fault, key.span.clone()));
                    continue;
                }
            };
            for (expr, _) in template.expressions() {
                self.check_names(index, expr, &key.span, &BTreeMap::new(), Place::Key);
            }
            let group = &mut self.groups[fan.group];
            match (&group.key, &group.key_span) {
                (Some(known), Some(span)) if *known != template => self.faults.push(
                    Diagnostic::error(
                        codes::AMBIGUOUS,
                        key.span.clone(),
                        "two nodes over one list give its items different keys",
                    )
                    .also(span.clone(), "the other key")
                    .help("items of one list have one key: give it at one node"),
                ),
                _ => {
                    group.key = Some(template);
                    group.key_span = Some(key.span.clone());
                }
            }
        }
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
        self.needs.push(needs.clone());
        let stage = self.stages[index]?;
        let (config, found) = compile(stage.spec(), &def.with, &def.span, self.faults);
        for FoundExpr { expr, span } in &found {
            self.check_names(index, expr, span, &input_types, Place::With);
        }
        self.ask_stage(index, def, stage, &input_types);
        let mut env: Vec<String> = found
            .iter()
            .flat_map(|f| f.expr.names())
            .chain(when.iter().flat_map(Expr::names))
            .filter_map(|name| name.strip_prefix("env.").map(str::to_owned))
            .collect();
        env.sort();
        env.dedup();
        Some(Node {
            env,
            has_templates: !found.is_empty(),
            name: name.as_str().into(),
            stage: Arc::clone(stage),
            config,
            raw_config: def.with.value.clone(),
            inputs,
            outputs: self.ports[index].clone(),
            uses: def.uses.iter().map(|u| u.value.clone()).collect(),
            when,
            fan,
            policy: policy(&self.definition.defaults, def),
            needs,
            dependents: Vec::new(),
            span: def.span.clone(),
        })
    }

    fn inputs(&mut self, index: usize, def: &NodeDef, fan: Option<&Fan>) -> Vec<InputPort> {
        let groups = self.group_indices();
        let surroundings = Surroundings {
            nodes: &self.definition.nodes,
            ports: &self.ports,
            groups: &groups,
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
                self.faults.push(not_assignable(
                    self.definition,
                    &source,
                    &have,
                    port,
                    &ty,
                    &binding.span,
                    &mismatch.to_string(),
                ));
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

    fn ask_stage(
        &mut self,
        index: usize,
        def: &NodeDef,
        stage: &SharedStage,
        inputs: &BTreeMap<String, Type>,
    ) {
        let outputs = slots(&self.ports[index]);
        let uses: Vec<String> = def.uses.iter().map(|u| u.value.clone()).collect();
        let tools =
            self.definition.tools.iter().map(|(k, v)| (k.clone(), v.value.clone())).collect();
        let view = NodeView {
            config: &def.with.value,
            inputs,
            outputs: &outputs,
            tools: &tools,
            workflow_dir: &self.definition.source.dir,
            uses: &uses,
        };
        for fault in stage.check(&view) {
            let span = def.with.spans.get(&fault.pointer).unwrap_or(&def.span).clone();
            let mut diagnostic = Diagnostic::error(codes::STAGE_REFUSES, span, fault.message);
            diagnostic.help = fault.help;
            self.faults.push(diagnostic);
        }
    }

    fn workflow_outputs(&mut self) -> IndexMap<String, WorkflowOutput> {
        let groups = self.group_indices();
        let surroundings = Surroundings {
            nodes: &self.definition.nodes,
            ports: &self.ports,
            groups: &groups,
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

    // Names in expressions.

    fn check_names(
        &mut self,
        index: usize,
        expr: &Expr,
        span: &Span,
        inputs: &BTreeMap<String, Type>,
        place: Place,
    ) {
        for name in expr.names() {
            if let Some(fault) = self.name_fault(index, name, span, inputs, place) {
                self.faults.push(fault);
            }
        }
    }

    fn name_fault(
        &self,
        index: usize,
        name: &str,
        span: &Span,
        inputs: &BTreeMap<String, Type>,
        place: Place,
    ) -> Option<Diagnostic> {
        let parts: Vec<&str> = name.split('.').collect();
        let undefined = |message: String, help: String| {
            Some(Diagnostic::error(codes::UNDEFINED_NAME, span.clone(), message).help(help))
        };
        let one_of = |known: &[&str]| match parts.get(1) {
            Some(field) if !known.contains(field) => undefined(
                format!("`{}` has no `{field}`", parts[0]),
                nearest(field, known.iter().copied()).map_or_else(
                    || format!("it has {}", known.join(", ")),
                    |near| format!("did you mean `{}.{near}`?", parts[0]),
                ),
            ),
            _ => None,
        };
        let fan = match &self.fans[index] {
            FanState::Done(fan) => Some(fan),
            _ => None,
        };
        match parts[0] {
            "params" => {
                let param = parts.get(1)?;
                match self.params.get(*param) {
                    None => Some(unknown_param(param, span, &self.params)),
                    Some(ty) => missing_field(ty, &parts[2..], span),
                }
            }
            "inputs" if place != Place::Key => {
                let port = parts.get(1)?;
                match inputs.get(*port) {
                    Some(ty) => missing_field(ty, &parts[2..], span),
                    // A port whose binding is at fault was told already.
                    None if self.definition.nodes[index].inputs.contains_key(*port) => None,
                    None => undefined(
                        format!("there is no input `{port}` here"),
                        nearest(port, inputs.keys().map(String::as_str)).map_or_else(
                            || format!("bind it: inputs = {{ {port} = \"NODE.PORT\" }}"),
                            |near| format!("did you mean `inputs.{near}`?"),
                        ),
                    ),
                }
            }
            "outputs" if place == Place::With => {
                let port = parts.get(1)?;
                let known: Vec<&str> = self.ports[index].iter().map(|p| p.name.as_str()).collect();
                (!known.contains(port)).then(|| {
                    let help = nearest(port, known.iter().copied()).map_or_else(
                        || format!("declare it: outputs = {{ {port} = \"file\" }}"),
                        |near| format!("did you mean `outputs.{near}`?"),
                    );
                    Diagnostic::error(
                        codes::UNDEFINED_NAME,
                        span.clone(),
                        format!("there is no output `{port}` here"),
                    )
                    .help(help)
                })
            }
            "item" | "index" if fan.is_some() => match (parts[0], fan) {
                ("item", Some(fan)) => missing_field(&fan.item_ty, &parts[1..], span),
                _ => None,
            },
            "item" | "index" => undefined(
                format!("there is no `{}` here", parts[0]),
                "it is defined in nodes with `for_each`".into(),
            ),
            "run" if place == Place::Key => one_of(&["id"]),
            "run" => one_of(&["id", "date", "started_at"]),
            "attempt" if place == Place::With => one_of(&["number", "idempotency_key"]),
            "workflow" if place == Place::With => one_of(&["name", "dir"]),
            "workflow" if place == Place::When => one_of(&["name"]),
            "env" if place != Place::Key && parts.len() > 1 => None,
            "env" if place != Place::Key => undefined(
                "`env` is used without a name".into(),
                "write `env.NAME`, so that the value can be recorded with the run".into(),
            ),
            other if crate::template::is_global(other) => None,
            other => {
                let known = [
                    "params", "inputs", "outputs", "item", "index", "run", "attempt", "workflow",
                    "env",
                ];
                let help = if inputs.contains_key(other) {
                    format!("did you mean `inputs.{other}`?")
                } else if self.params.contains_key(other) {
                    format!("did you mean `params.{other}`?")
                } else if self.definition.nodes.contains_key(other) {
                    format!(
                        "bind the node as an input (inputs = {{ {other} = \"{other}\" }}) and write `inputs.{other}`"
                    )
                } else {
                    nearest(other, known).map_or_else(
                        || format!("expressions know {}", known.join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    )
                };
                undefined(format!("`{other}` is not defined"), help)
            }
        }
    }
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    With,
    When,
    Key,
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

fn node_id(index: usize) -> NodeId {
    NodeId(u32::try_from(index).unwrap_or(u32::MAX))
}

fn add_needs(source: &Source, needs: &mut Vec<Need>) {
    source.each_node(&mut |node, take| {
        add_need(needs, Need { node, same_item: take == Take::SameItem });
    });
}

/// One wait for a node is enough; waiting for all of it covers waiting for one item.
fn add_need(needs: &mut Vec<Need>, need: Need) {
    match needs.iter_mut().find(|n| n.node == need.node) {
        Some(known) => known.same_item &= need.same_item,
        None => needs.push(need),
    }
}

fn link(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        graph.by_name.insert(Arc::clone(&graph.nodes[index].name), node_id(index));
        for need in graph.nodes[index].needs.clone() {
            graph.nodes[need.node.index()]
                .dependents
                .push(Dependent { node: node_id(index), same_item: need.same_item });
        }
    }
}

fn policy(defaults: &Policies, def: &NodeDef) -> Policy {
    let pick = |own: &RetryDef, default: &RetryDef| {
        let base = Retry::default();
        Retry {
            attempts: own.attempts.or(default.attempts).unwrap_or(base.attempts),
            base: own.base.or(default.base).unwrap_or(base.base),
            factor: own.factor.or(default.factor).unwrap_or(base.factor),
            max: own.max.or(default.max).unwrap_or(base.max),
            jitter: own.jitter.or(default.jitter).unwrap_or(base.jitter),
            on: own.on.clone().or_else(|| default.on.clone()).unwrap_or(base.on),
        }
    };
    Policy {
        timeout: def.policies.timeout.or(defaults.timeout),
        deadline: def.deadline,
        retry: pick(&def.policies.retry, &defaults.retry),
        priority: def.priority,
    }
}

fn output_ports(
    node: &NodeDef,
    stage: Option<&SharedStage>,
    types: &Types<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Vec<OutputPort> {
    let mut ports: Vec<OutputPort> = node
        .outputs
        .iter()
        .map(|(name, def)| OutputPort {
            name: name.clone(),
            ty: types.expr(&def.ty, faults),
            from: match (&def.path, &def.from) {
                (Some(path), _) => OutputFrom::Path(path.value.clone()),
                (None, Some(stream)) => OutputFrom::Stream(stream.value),
                (None, None) => OutputFrom::Default,
            },
            json_lines: def.json_lines,
        })
        .collect();
    let Some(stage) = stage else { return ports };
    match &stage.spec().outputs {
        Ports::Declared => {}
        Ports::DeclaredOne if ports.len() == 1 => {}
        Ports::DeclaredOne => faults.push(
            Diagnostic::error(
                codes::BAD_OUTPUTS,
                node.span.clone(),
                format!("stage `{}` needs exactly one declared output", node.stage.value),
            )
            .help("declare it: outputs = { result = \"json\" }"),
        ),
        Ports::Fixed(fixed) => {
            for (name, def) in &node.outputs {
                match fixed.iter().find(|p| p.name == *name) {
                    None => faults.push(no_such_output(node, name, def.span.clone(), fixed)),
                    Some(spec) => {
                        let own = ports.iter().find(|p| p.name == *name).map(|p| p.ty.clone());
                        if own.as_ref() != Some(&spec.ty) && spec.ty != Type::Json {
                            faults.push(
                                Diagnostic::error(
                                    codes::BAD_OUTPUTS,
                                    def.ty.span.clone(),
                                    format!(
                                        "output `{name}` of stage `{}` is `{}`",
                                        node.stage.value, spec.ty
                                    ),
                                )
                                .help("leave the declaration out: the stage brings its own"),
                            );
                        }
                    }
                }
            }
            let declared: HashMap<String, OutputPort> =
                ports.drain(..).map(|p| (p.name.clone(), p)).collect();
            ports = fixed
                .iter()
                .map(|spec| {
                    declared.get(&spec.name).cloned().unwrap_or_else(|| OutputPort {
                        name: spec.name.clone(),
                        ty: if spec.optional {
                            spec.ty.clone().optional()
                        } else {
                            spec.ty.clone()
                        },
                        from: OutputFrom::Default,
                        json_lines: false,
                    })
                })
                .collect();
        }
    }
    ports
}

fn no_such_output(
    node: &NodeDef,
    name: &str,
    span: Span,
    fixed: &[crate::stage::PortSpec],
) -> Diagnostic {
    let known: Vec<&str> = fixed.iter().map(|p| p.name.as_str()).collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("stage `{}` has no outputs", node.stage.value),
        None => format!("it has {}", known.join(", ")),
    };
    Diagnostic::error(
        codes::BAD_OUTPUTS,
        span,
        format!("stage `{}` has no output `{name}`", node.stage.value),
    )
    .help(help)
}

fn unknown_stage(node: &NodeDef, catalog: &Catalog) -> Diagnostic {
    let names: Vec<&str> = catalog.stages().map(|s| s.spec().name).collect();
    let help = nearest(&node.stage, names.iter().copied()).map_or_else(
        || format!("`flow stages` lists them: {}", names.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Diagnostic::error(
        codes::UNKNOWN_STAGE,
        node.stage.span.clone(),
        format!("there is no stage `{}`", node.stage.value),
    )
    .help(help)
}

fn unknown_input(
    stage: &SharedStage,
    port: &str,
    ports: &[crate::stage::PortSpec],
    span: &Span,
) -> Diagnostic {
    let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
    let help = match nearest(port, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "it takes no inputs; order nodes with `after`".to_owned(),
        None => format!("it takes {}", names.join(", ")),
    };
    Diagnostic::error(
        codes::UNKNOWN_INPUT,
        span.clone(),
        format!("stage `{}` has no input `{port}`", stage.spec().name),
    )
    .help(help)
}

/// The fault of an edge, with both of its ends.
fn not_assignable(
    definition: &Definition,
    source: &Source,
    have: &Type,
    port: &str,
    wanted: &Type,
    span: &Span,
    reason: &str,
) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(
        codes::NOT_ASSIGNABLE,
        span.clone(),
        format!("input `{port}` takes `{wanted}`, and this gives `{have}`"),
    )
    .label(reason.to_owned());
    if let Source::Output { node, port, .. } = source
        && let Some((name, def)) = definition.nodes.get_index(node.index())
    {
        let at = def.outputs.get(port).map_or(&def.span, |o| &o.ty.span).clone();
        diagnostic = diagnostic.also(at, format!("`{name}.{port}` is made here"));
    }
    if have.is_optional() && !wanted.is_optional() {
        return diagnostic.help("give a way out with { first = [\"this?\", \"another\"] }, or take it where `T?` is accepted");
    }
    diagnostic.help("change one of the two types, or put a `jq` node between them")
}

fn missing_field(ty: &Type, path: &[&str], span: &Span) -> Option<Diagnostic> {
    let mut ty = ty.clone();
    for field in path {
        match ty.inner() {
            // Methods and positions of these are the expression language's affair.
            Type::List(_)
            | Type::String
            | Type::Number
            | Type::Integer
            | Type::Boolean
            | Type::Datetime
            | Type::Duration => return None,
            _ => {}
        }
        match ty.field(field) {
            Some(next) => ty = next,
            None => {
                let known: Vec<String> = match ty.inner() {
                    Type::Record(record) => record.fields.keys().cloned().collect(),
                    _ => {
                        ["path", "name", "size", "digest", "media_type"].map(String::from).to_vec()
                    }
                };
                // A record may carry more fields than it declares, so only a likely slip is a fault.
                let near = nearest(field, known.iter().map(String::as_str));
                if matches!(ty.inner(), Type::Record(_)) && near.is_none() {
                    return None;
                }
                let help = near.map_or_else(
                    || format!("it has {}", known.join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                return Some(
                    Diagnostic::error(
                        codes::NO_SUCH_FIELD,
                        span.clone(),
                        format!("`{ty}` has no field `{field}`"),
                    )
                    .help(help),
                );
            }
        }
    }
    None
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
