//! Ports: what a node's outputs are, and the faults of ports that do not fit.

use std::collections::HashMap;

use super::types::Types;
use super::{OutputPort, Source, Take, codes};
use crate::catalog::Catalog;
use crate::definition::{Definition, NodeDef, Span, Spanned};
use crate::diagnostic::{Diagnostic, nearest};
use crate::schema::{Mismatch, Type};
use crate::stage::{OutputFrom, Ports, SharedStage};

pub(super) fn output_ports(
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
                        if own.as_ref() != Some(&spec.ty) && !spec.retypable {
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

pub(super) fn unknown_stage(stage: &Spanned<String>, catalog: &Catalog) -> Diagnostic {
    let names: Vec<&str> = catalog.stages().map(|s| s.spec().name).collect();
    let help = nearest(stage, names.iter().copied()).map_or_else(
        || format!("`flow stages` lists them: {}", names.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Diagnostic::error(
        codes::UNKNOWN_STAGE,
        stage.span.clone(),
        format!("there is no stage `{}`", stage.value),
    )
    .help(help)
}

pub(super) fn unknown_input(
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

/// One end of an edge that takes something, for messages.
pub(super) struct Taker<'a> {
    /// Node and port.
    pub(super) port: String,
    /// The type it takes.
    pub(super) ty: &'a Type,
    /// Place of the binding.
    pub(super) span: &'a Span,
}

/// The fault of an edge, with both of its ends and the place inside the types where they differ.
pub(super) fn not_assignable(
    definition: &Definition,
    source: &Source,
    have: &Type,
    taker: &Taker<'_>,
    mismatch: &Mismatch,
) -> Diagnostic {
    let Taker { port, ty: wanted, span } = taker;
    let given = giver(definition, source);
    let message = format!("`{given}: {have}` does not fit the input `{port}: {wanted}`");
    let mut diagnostic = Diagnostic::error(codes::NOT_ASSIGNABLE, (*span).clone(), message)
        .label(mismatch.to_string());
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

/// What gives a payload, as it is written in references.
fn giver(definition: &Definition, source: &Source) -> String {
    let path = |head: String, path: &[String]| {
        let tail: String = path.iter().map(|field| format!(".{field}")).collect();
        format!("{head}{tail}")
    };
    match source {
        Source::Output { node, port, path: fields, take, .. } => {
            let name = definition.nodes.get_index(node.index()).map_or("", |(name, _)| name);
            let same = if *take == Take::SameItem { "[item]" } else { "" };
            path(format!("{name}{same}.{port}"), fields)
        }
        Source::Item { path: fields, .. } => path("item".into(), fields),
        Source::Param { name, path: fields, .. } => path(format!("params.{name}"), fields),
        Source::First(_) => "{ first }".into(),
        Source::List(_) => "[ ]".into(),
    }
}
