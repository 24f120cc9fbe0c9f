//! Works: the stage of a node, its fallbacks and its probe, each compiled and checked alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::{Checker, slots};
use super::config::{FoundExpr, compile};
use super::names::Place;
use super::ports::unknown_stage;
use super::{InputPort, OutputPort, Work, codes};
use crate::catalog::Catalog;
use crate::definition::{Config, NodeDef, Span, Spanned, WorkDef};
use crate::diagnostic::Diagnostic;
use crate::schema::{Severity, Type, assignable};
use crate::stage::{NodeView, Ports, SharedStage};

/// Names that the templates of a node read.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) env: Vec<String>,
    pub(super) secrets: Vec<String>,
}

impl Reads {
    /// Takes in the names of an expression.
    pub(super) fn note<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        for name in names {
            let first = |prefix: &str| {
                let rest = name.strip_prefix(prefix)?;
                rest.split('.').next().map(str::to_owned)
            };
            self.env.extend(name.strip_prefix("env.").map(str::to_owned));
            self.secrets.extend(first("secrets."));
        }
    }

    /// The names in order, each once.
    pub(super) fn sorted(mut self) -> Self {
        for names in [&mut self.env, &mut self.secrets] {
            names.sort();
            names.dedup();
        }
        self
    }
}

/// What stands beside the works of a node while they are checked.
pub(super) struct Bench<'b> {
    pub(super) index: usize,
    pub(super) def: &'b NodeDef,
    pub(super) inputs: &'b [InputPort],
    pub(super) input_types: BTreeMap<String, Type>,
}

impl Checker<'_> {
    /// Compiles one work and asks its stage.
    pub(super) fn work(
        &mut self,
        bench: &Bench<'_>,
        stage: &SharedStage,
        with: &Config,
        span: &Span,
        reads: &mut Reads,
    ) -> Work {
        let (config, found) = compile(stage.spec(), with, span, self.faults);
        for FoundExpr { expr, span } in &found {
            self.check_names(bench.index, expr, span, &bench.input_types, Place::With);
            reads.note(expr.names());
        }
        self.check_shown_secrets(&config, with, span);
        self.ask_stage(bench, stage, with, span);
        Work {
            stage: Arc::clone(stage),
            config,
            raw_config: with.value.clone(),
            has_templates: !found.is_empty(),
            timeout: None,
        }
    }

    /// A fallback or probe: it takes the node's inputs and gives the node's outputs.
    pub(super) fn stand_in(
        &mut self,
        bench: &Bench<'_>,
        what: &str,
        def: &WorkDef,
        catalog: &Catalog,
        reads: &mut Reads,
    ) -> Option<Work> {
        let Some(stage) = catalog.stage(&def.stage) else {
            self.faults.push(unknown_stage(&def.stage, catalog));
            return None;
        };
        if stage.waits() {
            self.refuse_stand_in(
                &def.stage,
                format!("a {what} cannot wait: `{}` does", def.stage.value),
            );
            return None;
        }
        self.check_stand_in_inputs(bench, what, &def.stage, stage);
        let outputs = self.ports[bench.index].clone();
        self.check_stand_in_outputs(what, &def.stage, stage, &outputs);
        let work = self.work(bench, stage, &def.with, &def.span, reads);
        Some(Work { timeout: def.timeout, ..work })
    }

    fn refuse_stand_in(&mut self, place: &Spanned<String>, message: String) {
        self.faults.push(
            Diagnostic::error(codes::BAD_STAND_IN, place.span.clone(), message)
                .help("it takes the inputs of its node and gives the outputs of its node"),
        );
    }

    fn check_stand_in_inputs(
        &mut self,
        bench: &Bench<'_>,
        what: &str,
        place: &Spanned<String>,
        stage: &SharedStage,
    ) {
        let Ports::Fixed(wanted) = &stage.spec().inputs else { return };
        for port in wanted {
            let bound = bench.inputs.iter().find(|input| input.name == port.name);
            let optional = port.optional || port.ty.is_optional();
            let message = match bound {
                None if optional => continue,
                None => format!(
                    "this {what} needs the input `{}`, which the node does not bind",
                    port.name
                ),
                Some(input) => {
                    let takes =
                        if port.optional { port.ty.clone().optional() } else { port.ty.clone() };
                    match assignable(&input.ty, &takes) {
                        Ok(()) => continue,
                        Err(mismatch) => format!(
                            "this {what} takes `{}` as `{takes}`, and the node has `{}`: {mismatch}",
                            port.name, input.ty
                        ),
                    }
                }
            };
            self.refuse_stand_in(place, message);
        }
    }

    fn check_stand_in_outputs(
        &mut self,
        what: &str,
        place: &Spanned<String>,
        stage: &SharedStage,
        outputs: &[OutputPort],
    ) {
        let given = match &stage.spec().outputs {
            Ports::Declared => return,
            Ports::DeclaredOne if outputs.len() == 1 => return,
            Ports::DeclaredOne => {
                let message = format!(
                    "stage `{}` gives one output, and the node has {}",
                    place.value,
                    outputs.len()
                );
                return self.refuse_stand_in(place, message);
            }
            Ports::Fixed(given) => given,
        };
        for output in outputs {
            let message = match given.iter().find(|port| port.name == output.name) {
                None if output.ty.is_optional() => continue,
                None => format!("this {what} does not give the output `{}`", output.name),
                Some(port) => {
                    let gives =
                        if port.optional { port.ty.clone().optional() } else { port.ty.clone() };
                    // What is checked by content anyway may be declared more narrowly.
                    match assignable(&gives, &output.ty) {
                        Ok(()) => continue,
                        Err(_) if gives == Type::Json => continue,
                        Err(mismatch) => format!(
                            "this {what} gives `{}` as `{gives}`, and the node as `{}`: {mismatch}",
                            output.name, output.ty
                        ),
                    }
                }
            };
            self.refuse_stand_in(place, message);
        }
    }

    fn ask_stage(&mut self, bench: &Bench<'_>, stage: &SharedStage, with: &Config, span: &Span) {
        let outputs = slots(&self.ports[bench.index]);
        let uses: Vec<String> = bench.def.uses.iter().map(|u| u.value.clone()).collect();
        let params: Vec<String> = self.definition.params.keys().cloned().collect();
        let tools =
            self.definition.tools.iter().map(|(k, v)| (k.clone(), v.value.clone())).collect();
        let view = NodeView {
            config: &with.value,
            inputs: &bench.input_types,
            outputs: &outputs,
            tools: &tools,
            workflow_dir: &self.definition.source.dir,
            uses: &uses,
            params: &params,
        };
        for fault in stage.check(&view) {
            let place = with.spans.get(&fault.pointer).unwrap_or(span).clone();
            let mut diagnostic = Diagnostic::error(codes::STAGE_REFUSES, place, fault.message);
            diagnostic.help = fault.help;
            self.faults.push(diagnostic);
        }
        for remark in stage.remarks(&view) {
            let place = with.spans.get(&remark.pointer).unwrap_or(span).clone();
            let mut diagnostic = Diagnostic::error(codes::ODD_CONFIG, place, remark.message);
            diagnostic.severity = Severity::Warning;
            diagnostic.help = remark.help;
            self.remarks.push(diagnostic);
        }
    }
}
