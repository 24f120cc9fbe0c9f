//! Workflow files inside others: each is checked as a whole of its own, and the node that names it
//! gives it parameters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::check::Checker;
use super::config::{CompiledField, JsonTemplate};
use super::work::Bench;
use super::{Fan, Graph, OutputPort, Param, Work, codes, join_path};
use crate::catalog::Catalog;
use crate::definition::{ChildDef, Definition, NodeDef, RetryDef, Span, WORKFLOW_STAGE};
use crate::diagnostic::{Diagnostic, nearest};
use crate::schema::{Type, assignable, validate};
use crate::stage::OutputFrom;
use crate::template::{Expr, Template};

/// Nodes of a workflow with all that is inside it: a file that is named twice is there twice.
const MAX_NODES: usize = 1_000_000;

/// Checks a file and the files inside it, each once.
pub(super) struct Files<'a> {
    catalog: &'a Catalog,
    /// The graphs of files inside; `None` after faults, which are told once.
    known: HashMap<*const Definition, Option<Arc<Graph>>>,
    /// What is remarked of the files inside.
    remarks: Vec<Diagnostic>,
}

impl<'a> Files<'a> {
    pub(super) fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, known: HashMap::new(), remarks: Vec::new() }
    }

    /// Checks a file and all inside it.
    pub(super) fn check_all(mut self, definition: &Definition) -> Result<Graph, Vec<Diagnostic>> {
        let mut graph = self.check(definition)?;
        graph.remarks.append(&mut self.remarks);
        Ok(graph)
    }

    /// Checks one file. Where a file inside it has faults, only those are told: what depends on
    /// that file could not be judged.
    fn check(&mut self, definition: &Definition) -> Result<Graph, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let children: Vec<_> = definition
            .nodes
            .values()
            .map(|node| node.child.as_ref().map(|child| self.child(child, &mut faults)))
            .collect();
        if children.iter().any(|child| matches!(child, Some(None))) {
            return Err(faults);
        }
        let children: Vec<_> = children.into_iter().map(Option::flatten).collect();
        check_size(definition, &children, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut graph = Checker::new(definition, self.catalog, children, &mut faults).graph();
        if faults.is_empty() {
            graph.remarks.sort_by_key(place);
            return Ok(graph);
        }
        faults.append(&mut graph.remarks);
        faults.sort_by_key(place);
        Err(faults)
    }

    fn child(&mut self, child: &ChildDef, faults: &mut Vec<Diagnostic>) -> Option<Arc<Graph>> {
        let definition = child.definition.as_ref();
        if let Some(known) = self.known.get(&std::ptr::from_ref(definition)) {
            return known.clone();
        }
        let source = Arc::new(definition.source.clone());
        let graph = match self.check(definition) {
            Ok(mut graph) => {
                let remarks = std::mem::take(&mut graph.remarks).into_iter();
                self.remarks.extend(remarks.map(|remark| remark.within(&source)));
                Some(Arc::new(graph))
            }
            Err(found) => {
                faults.extend(found.into_iter().map(|fault| fault.within(&source)));
                None
            }
        };
        self.known.insert(std::ptr::from_ref(definition), graph.clone());
        graph
    }
}

/// Where a diagnostic stands in its file.
fn place(diagnostic: &Diagnostic) -> usize {
    diagnostic.labels.first().map_or(0, |label| label.span.start)
}

fn check_size(
    definition: &Definition,
    children: &[Option<Arc<Graph>>],
    faults: &mut Vec<Diagnostic>,
) {
    let mut nodes = 0_usize;
    for (def, child) in definition.nodes.values().zip(children) {
        nodes += child.as_ref().map_or(1, |child| child.nodes.len() + 2);
        if nodes > MAX_NODES {
            faults.push(
                Diagnostic::error(
                    codes::BAD_WORKFLOW,
                    file_span(def),
                    format!("with this file the workflow has more than {MAX_NODES} nodes"),
                )
                .help("files that name files that name files multiply: name them less often"),
            );
            return;
        }
    }
}

/// A workflow inside another one, with all that its place says about it.
pub(super) struct Composite {
    /// Its graph.
    pub(super) child: Arc<Graph>,
    /// The folder of its file, relative to that of the outer one.
    pub(super) folder: String,
    /// File parameters that are given as paths: stored when the run starts, as the run's own are.
    pub(super) files: Vec<(String, Param)>,
    /// The place of `with.file`.
    pub(super) span: Span,
}

/// What a nested workflow gives.
pub(super) fn child_ports(child: &Graph) -> Vec<OutputPort> {
    let port = |(name, output): (&String, &super::WorkflowOutput)| OutputPort {
        name: name.clone(),
        ty: output.ty.clone(),
        from: OutputFrom::Default,
        json_lines: false,
    };
    child.outputs.iter().map(port).collect()
}

/// The place of `with.file`.
fn file_span(def: &NodeDef) -> Span {
    def.with.spans.get("/file").unwrap_or(&def.stage.span).clone()
}

fn file_name(def: &NodeDef) -> &str {
    def.with.value.get("file").and_then(Value::as_str).unwrap_or("the file")
}

impl Checker<'_> {
    /// A node whose stage is a workflow file: the work that gives the file its parameters.
    pub(super) fn compose(&mut self, bench: &Bench<'_>, fan: Option<&Fan>, work: Work) -> Work {
        let def = bench.def;
        self.refuse_policies(def);
        let (Some(child), Some(place)) = (self.children[bench.index].clone(), &def.child) else {
            if def.with.value.get("file").is_some() {
                let message = "the workflow file was not read";
                self.faults
                    .push(Diagnostic::error(codes::BAD_WORKFLOW, file_span(def), message).help(
                        "read the outer file from the disk: a text alone has no other files",
                    ));
            }
            return work;
        };
        self.check_inside(def, fan, &child);
        let mut given = Given { checker: self, bench, fan, child: &child, entries: Vec::new() };
        let (files, raw) = given.params(&work, &place.folder);
        let entries = std::mem::take(&mut given.entries);
        self.composites.push((
            bench.index,
            Composite { child, folder: place.folder.clone(), files, span: file_span(def) },
        ));
        let params = CompiledField::Json(JsonTemplate::Object(entries));
        Work {
            config: [("params".to_owned(), params)].into(),
            raw_config: json!({ "params": raw }),
            ..work
        }
    }

    /// Policies that belong to the nodes inside.
    fn refuse_policies(&mut self, def: &NodeDef) {
        let RetryDef { attempts, base, factor, max, jitter, on } = &def.policies.retry;
        let retry = attempts.is_some()
            || base.is_some()
            || factor.is_some()
            || max.is_some()
            || jitter.is_some()
            || on.is_some();
        let first_output = def.outputs.values().next().map(|output| output.span.clone());
        let own = || def.span.clone();
        let set = [
            ("timeout", def.policies.timeout.map(|_| own())),
            ("retry", retry.then(own)),
            ("cache", def.policies.cache.as_ref().map(|cache| cache.span.clone())),
            ("deadline", def.deadline.map(|_| own())),
            ("pool", def.pool.as_ref().map(|pool| pool.span.clone())),
            ("rate", def.rate.as_ref().map(|rate| rate.span.clone())),
            ("effect", def.effect.as_ref().map(|effect| effect.span.clone())),
            ("fallback", def.fallback.first().map(|other| other.span.clone())),
            ("always", def.always.clone()),
            ("uses", def.uses.first().map(|path| path.span.clone())),
            ("outputs", first_output),
        ];
        for (key, span) in set {
            let Some(span) = span else { continue };
            let help = match key {
                "outputs" => "they are the [outputs] of its file: leave them out here".to_owned(),
                "always" => "give `always` to the node inside that cleans up".to_owned(),
                "timeout" | "retry" | "cache" => {
                    format!("set `{key}` on the nodes inside, or below [defaults] of the file")
                }
                _ => format!("set `{key}` on the nodes inside"),
            };
            let message = format!("a node of stage `{WORKFLOW_STAGE}` cannot have `{key}`");
            self.faults.push(Diagnostic::error(codes::EXCLUDED, span, message).help(help));
        }
    }

    /// What the file has in it that cannot be where it stands.
    fn check_inside(&mut self, def: &NodeDef, fan: Option<&Fan>, child: &Graph) {
        let mut refuse = |message: String, help: &str| {
            self.faults
                .push(Diagnostic::error(codes::BAD_WORKFLOW, file_span(def), message).help(help));
        };
        let file = file_name(def);
        for (name, output) in &child.outputs {
            let mut late = false;
            output.source.each_node(&mut |node, _| late |= child.node(node).always);
            if late {
                refuse(
                    format!("the output `{name}` of `{file}` is made at the end of the run"),
                    "a nested workflow ends before the nodes with `always` run: take the output from another node",
                );
            }
        }
        if fan.is_none() {
            return;
        }
        if let Some(node) = child.nodes.iter().find(|node| node.fan.is_some()) {
            refuse(
                format!("`{}` of `{file}` is fanned out, and so is this node", node.name),
                "fan out at one level: give the whole list to the file as a parameter, or take `for_each` out of the file",
            );
        }
        if let Some(node) = child.nodes.iter().find(|node| node.always) {
            refuse(
                format!("`{}` of `{file}` has `always`, and this node is fanned out", node.name),
                "what always runs does so once: move it to the file with the fan-out",
            );
        }
    }
}

/// The parameters that a node gives to its file.
struct Given<'g, 'a, 'b> {
    checker: &'g mut Checker<'a>,
    bench: &'g Bench<'b>,
    fan: Option<&'g Fan>,
    child: &'g Graph,
    /// What is rendered when the node starts.
    entries: Vec<(String, JsonTemplate)>,
}

impl Given<'_, '_, '_> {
    fn span(&self, pointer: &str) -> Span {
        let spans = &self.bench.def.with.spans;
        spans.get(pointer).or_else(|| spans.get("/params")).cloned().unwrap_or_else(|| {
            let def = self.bench.def;
            def.with.spans.get("/file").unwrap_or(&def.span).clone()
        })
    }

    fn fault(&mut self, code: &'static str, name: &str, message: String, help: &str) {
        let fault = Diagnostic::error(code, self.span(&format!("/params/{name}")), message);
        self.checker.faults.push(if help.is_empty() { fault } else { fault.help(help) });
    }

    /// Every parameter of the file: what is rendered goes into `entries`, paths of files and the
    /// whole as it is written are returned.
    fn params(&mut self, work: &Work, folder: &str) -> (Vec<(String, Param)>, Value) {
        let nothing = Map::new();
        let written = match self.bench.def.with.value.get("params") {
            None => &nothing,
            Some(Value::Object(map)) => map,
            Some(_) => {
                let message = "`with.params` must be a table".to_owned();
                self.fault(codes::BAD_FIELD, "", message, "write params = { NAME = value }");
                return (Vec::new(), Value::Null);
            }
        };
        let templates: BTreeMap<&str, &JsonTemplate> = match work.config.get("params") {
            Some(CompiledField::Json(JsonTemplate::Object(map))) => {
                map.iter().map(|(name, template)| (name.as_str(), template)).collect()
            }
            _ => BTreeMap::new(),
        };
        for name in written.keys() {
            if name.contains('.') || !self.child.params.contains_key(name) {
                self.unknown(name);
            }
        }
        for (name, template) in &templates {
            self.check_names(name, template);
        }
        let mut files = Vec::new();
        let mut raw = Map::new();
        let child = self.child;
        for (name, param) in child.params.iter().filter(|(name, _)| !name.contains('.')) {
            let (value, path) = match (written.get(name), &param.default) {
                (Some(value), _) => (value.clone(), value.as_str().map(str::to_owned)),
                (None, Some(value)) => {
                    (value.clone(), value.as_str().map(|path| join_path(folder, path)))
                }
                (None, None) if param.ty.is_optional() => (Value::Null, None),
                (None, None) => {
                    let message = format!("`{}` needs the parameter `{name}`", self.file());
                    let help = format!("give it: params = {{ {name} = … }} ({})", param.ty);
                    self.fault(codes::MISSING_FIELD, name, message, &help);
                    continue;
                }
            };
            let template = templates.get(name.as_str()).copied();
            match (template, path) {
                (None | Some(JsonTemplate::Plain(_)), Some(path)) if param.ty.is_artifact() => {
                    let default = Some(Value::String(path));
                    files.push((name.clone(), Param { ty: param.ty.clone(), default }));
                    continue;
                }
                (None, _) => self.entries.push((name.clone(), JsonTemplate::Plain(value.clone()))),
                (Some(template), _) => {
                    self.check_value(name, &param.ty, template);
                    self.entries.push((name.clone(), template.clone()));
                }
            }
            raw.insert(name.clone(), value);
        }
        (files, Value::Object(raw))
    }

    fn file(&self) -> &str {
        file_name(self.bench.def)
    }

    fn unknown(&mut self, name: &str) {
        let known = self.child.params.keys().map(String::as_str).filter(|name| !name.contains('.'));
        let help = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.clone().next().is_none() => "the file declares none".to_owned(),
            None => format!("its parameters are {}", known.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("`{}` has no parameter `{name}`", self.file());
        self.fault(codes::UNKNOWN_PARAM, name, message, &help);
    }

    /// Names that have no meaning where parameters are given.
    fn check_names(&mut self, name: &str, template: &JsonTemplate) {
        let mut names: Vec<String> = Vec::new();
        template.each_expr(&mut |expr| names.extend(expr.names().map(str::to_owned)));
        let reads = |head: &str| {
            let dotted = format!("{head}.");
            names.iter().any(|name| name == head || name.starts_with(&dotted))
        };
        if reads("secrets") {
            self.fault(
                codes::SECRET_SHOWN,
                name,
                "a secret that is given as a parameter would be recorded".to_owned(),
                "declare it below [secrets] of the nested file, and read it there",
            );
        }
        if reads("outputs") {
            self.fault(
                codes::UNDEFINED_NAME,
                name,
                "`outputs` is not known before the nested workflow has run".to_owned(),
                "parameters are given from `inputs`, `params`, `item` and the like",
            );
        }
    }

    fn check_value(&mut self, name: &str, ty: &Type, template: &JsonTemplate) {
        match template {
            JsonTemplate::Plain(value) => {
                let found = validate(ty, value).into_iter().next();
                let Some(fault) = found else { return };
                let at = format!("{name}{}", fault.pointer);
                let message = format!("the parameter `{name}` of `{}` takes `{ty}`", self.file());
                let help = format!("expected {}, found {}", fault.expected, fault.found);
                self.fault(codes::BAD_DEFAULT, &at, message, &help);
            }
            JsonTemplate::Template(template) => self.check_template(name, ty, template),
            // What has templates somewhere inside is looked at when it is rendered.
            JsonTemplate::List(_) | JsonTemplate::Object(_) => {}
        }
    }

    fn check_template(&mut self, name: &str, ty: &Type, template: &Template) {
        let Some(expr) = template.single() else {
            if ty.is_artifact() {
                let message = format!("the path of the file `{name}` cannot be put together here");
                let help = "write the path as it is, or give a file that a node has made: \"{{ inputs.PORT }}\"";
                self.fault(codes::BAD_FIELD, name, message, help);
            }
            return;
        };
        let Some(have) = self.type_of(expr) else { return };
        // Conditions on values are looked at when there is a value.
        let wanted = bare(ty);
        if *have.inner() == Type::Json {
            return;
        }
        if let Err(mismatch) = assignable(&have, &wanted) {
            let file = self.file();
            let message =
                format!("the parameter `{name}` of `{file}` takes `{ty}`, and this is `{have}`");
            let help = if have.is_optional() && !ty.is_optional() {
                "say what stands for it when it is absent: {{ inputs.x or \"…\" }}".to_owned()
            } else {
                mismatch.to_string()
            };
            self.fault(codes::NOT_ASSIGNABLE, name, message, &help);
        }
    }

    /// The type of an expression that is a name with fields and nothing else.
    fn type_of(&self, expr: &Expr) -> Option<Type> {
        let source = expr.source().trim();
        if !source.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
            return None;
        }
        let mut parts = source.split('.');
        let mut ty = match parts.next()? {
            "inputs" => self.bench.input_types.get(parts.next()?)?.clone(),
            "params" => self.checker.params.get(parts.next()?)?.clone(),
            "item" => self.fan?.item_ty.clone(),
            _ => return None,
        };
        for field in parts {
            ty = ty.field(field)?;
        }
        Some(ty)
    }
}

/// A type without its conditions.
fn bare(ty: &Type) -> Type {
    match ty {
        Type::Constrained(constrained) => bare(&constrained.base),
        Type::Optional(inner) => bare(inner).optional(),
        other => other.clone(),
    }
}
