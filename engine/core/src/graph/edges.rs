//! Resolving references against ports and types.

use indexmap::IndexMap;

use super::check::FanState;
use super::reference::{self, Head};
use super::{OutputPort, Source, Take, codes};
use crate::definition::{Binding, NodeDef, Span, Spanned};
use crate::diagnostic::{Diagnostic, nearest};
use crate::id::NodeId;
use crate::schema::{Type, assignable};

/// What a reference may see from where it stands.
pub(super) struct Surroundings<'a> {
    pub(super) nodes: &'a IndexMap<String, NodeDef>,
    /// Output ports by node.
    pub(super) ports: &'a [Vec<OutputPort>],
    /// The fan-out of each node, as far as it is known.
    pub(super) fans: &'a [FanState],
    pub(super) params: &'a IndexMap<String, Type>,
    /// The type of `item` and the group, inside a fanned-out node.
    pub(super) item: Option<(Type, usize)>,
}

/// A resolved source with its type.
pub(super) type Typed = (Source, Type);

impl Surroundings<'_> {
    /// Resolves a binding. `None` after a fault.
    pub(super) fn binding(
        &self,
        binding: &Spanned<Binding>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Typed> {
        match &binding.value {
            Binding::Ref(text) => self.reference(text, &binding.span, faults),
            Binding::First(all) => self.first(all, &binding.span, faults),
            Binding::List(all) => self.list(all, faults),
        }
    }

    fn first(
        &self,
        all: &[Spanned<String>],
        span: &Span,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Typed> {
        let typed = self.all(all, faults)?;
        let Some((_, head)) = typed.first() else {
            faults.push(
                Diagnostic::error(codes::BAD_REFERENCE, span.clone(), "`first` is empty")
                    .help("name at least one reference"),
            );
            return None;
        };
        let mut ty = strip(head.clone());
        for ((_, other), place) in typed.iter().zip(all) {
            ty = join(&ty, &strip(other.clone()), &place.span, faults)?;
        }
        // The last one decides: if it accepts absence, all may be absent.
        let open = typed.last().is_some_and(|(_, ty)| ty.is_optional());
        let sources = typed.into_iter().map(|(s, _)| s).collect();
        Some((Source::First(sources), if open { ty.optional() } else { ty }))
    }

    fn list(&self, all: &[Spanned<String>], faults: &mut Vec<Diagnostic>) -> Option<Typed> {
        let typed = self.all(all, faults)?;
        let mut element: Option<Type> = None;
        for ((_, ty), place) in typed.iter().zip(all) {
            element = Some(match element {
                None => ty.clone(),
                Some(known) => join(&known, ty, &place.span, faults)?,
            });
        }
        let sources = typed.into_iter().map(|(s, _)| s).collect();
        Some((Source::List(sources), element.unwrap_or(Type::Json).list()))
    }

    fn all(&self, all: &[Spanned<String>], faults: &mut Vec<Diagnostic>) -> Option<Vec<Typed>> {
        // Every reference is resolved before giving up, so that all faults come at once.
        let typed: Vec<Option<Typed>> =
            all.iter().map(|r| self.reference(&r.value, &r.span, faults)).collect();
        typed.into_iter().collect()
    }

    /// Resolves one reference. `None` after a fault.
    pub(super) fn reference(
        &self,
        text: &str,
        span: &Span,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Typed> {
        let parsed = match reference::parse(text, self.nodes) {
            Ok(parsed) => parsed,
            Err(message) => {
                faults.push(
                    Diagnostic::error(codes::BAD_REFERENCE, span.clone(), message)
                        .help("a reference is NODE.PORT, NODE.PORT.FIELD, NODE[item].PORT, item or params.NAME, with `?` at the end where absence is accepted"),
                );
                return None;
            }
        };
        let optional = parsed.optional;
        let owned = |path: &[&str]| path.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let (source, ty) = match parsed.head {
            Head::Item => {
                let Some((ty, _)) = &self.item else {
                    faults.push(
                        Diagnostic::error(
                            codes::BAD_FAN_OUT,
                            span.clone(),
                            "there is no `item` here",
                        )
                        .help("`item` is the element of a node with `for_each`"),
                    );
                    return None;
                };
                let ty = follow(ty.clone(), &parsed.rest, span, faults)?;
                (Source::Item { path: owned(&parsed.rest), optional }, ty)
            }
            Head::Param(name) => {
                let Some(ty) = self.params.get(name) else {
                    faults.push(unknown_param(name, span, self.params));
                    return None;
                };
                let ty = follow(ty.clone(), &parsed.rest, span, faults)?;
                (Source::Param { name: name.to_owned(), path: owned(&parsed.rest), optional }, ty)
            }
            Head::Unknown(name) => {
                faults.push(unknown_node(name, span, self.nodes));
                return None;
            }
            Head::Node { index, same_item } => {
                let (port, rest) = self.port(index, &parsed.rest, span, faults)?;
                let take = self.take(index, same_item, span, faults)?;
                let element = follow(port.ty.clone(), rest, span, faults)?;
                let ty = if take == Take::Gather { element.list() } else { element };
                let node = NodeId(u32::try_from(index).unwrap_or(u32::MAX));
                let port = port.name.clone();
                (Source::Output { node, port, path: owned(rest), optional, take }, ty)
            }
        };
        Some((source, if optional { ty.optional() } else { ty }))
    }

    fn port<'s>(
        &self,
        index: usize,
        rest: &'s [&'s str],
        span: &Span,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<(&OutputPort, &'s [&'s str])> {
        let ports = &self.ports[index];
        let node = self.nodes.get_index(index).map_or("", |(name, _)| name.as_str());
        let list = ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        match (rest.split_first(), ports.as_slice()) {
            (None, [only]) => Some((only, rest)),
            (None, _) => {
                let (message, help) = if ports.is_empty() {
                    (
                        format!("node `{node}` has no output"),
                        "declare one under its `outputs`, or order the nodes with `after`"
                            .to_owned(),
                    )
                } else {
                    (
                        format!("node `{node}` has several outputs"),
                        format!("name one of {list}, such as `{node}.{}`", ports[0].name),
                    )
                };
                faults
                    .push(Diagnostic::error(codes::UNKNOWN_PORT, span.clone(), message).help(help));
                None
            }
            (Some((name, fields)), _) => {
                if let Some(port) = ports.iter().find(|p| p.name == **name) {
                    return Some((port, fields));
                }
                let help = match nearest(name, ports.iter().map(|p| p.name.as_str())) {
                    Some(near) => format!("did you mean `{node}.{near}`?"),
                    None if ports.is_empty() => {
                        format!("node `{node}` has no outputs: declare them under its `outputs`")
                    }
                    None if *name == "outputs" => {
                        format!("leave `outputs` out: `{node}.{}`", ports[0].name)
                    }
                    None => format!("it has {list}"),
                };
                faults.push(
                    Diagnostic::error(
                        codes::UNKNOWN_PORT,
                        span.clone(),
                        format!("node `{node}` has no output `{name}`"),
                    )
                    .help(help),
                );
                None
            }
        }
    }

    fn take(
        &self,
        index: usize,
        same_item: bool,
        span: &Span,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Take> {
        let node = self.nodes.get_index(index).map_or("", |(name, _)| name.as_str());
        let own = self.item.as_ref().map(|(_, group)| *group);
        match (same_item, self.fans[index].group()) {
            (false, None) => Some(Take::Whole),
            (false, Some(_)) => Some(Take::Gather),
            (true, group) if group.is_some() && group == own => Some(Take::SameItem),
            (true, group) => {
                let message = match (group, own) {
                    (None, _) => format!("node `{node}` is not fanned out, so it has no items"),
                    (_, None) => {
                        "this node is not fanned out, so there is no item to match".to_owned()
                    }
                    _ => format!("node `{node}` runs over another list than this node"),
                };
                faults.push(
                    Diagnostic::error(codes::BAD_FAN_OUT, span.clone(), message).help(
                        "`NODE[item]` joins the same item of two nodes whose `for_each` is the same list",
                    ),
                );
                None
            }
        }
    }
}

/// Follows fields through a type.
fn follow(mut ty: Type, path: &[&str], span: &Span, faults: &mut Vec<Diagnostic>) -> Option<Type> {
    for field in path {
        match ty.field(field) {
            Some(next) => ty = next,
            None => {
                let help = match ty.inner() {
                    Type::Record(record) => {
                        let known = record.fields.keys().map(String::as_str);
                        nearest(field, known.clone()).map_or_else(
                            || format!("it has {}", known.collect::<Vec<_>>().join(", ")),
                            |near| format!("did you mean `{near}`?"),
                        )
                    }
                    Type::Schema(schema)
                        if schema.outline().element().is_some_and(|t| t != Type::Json) =>
                    {
                        format!(
                            "values of `{ty}` are lists: take elements with `for_each` or a `jq` node"
                        )
                    }
                    Type::Schema(schema) if schema.outline().field_names().is_empty() => format!(
                        "the schema of `{ty}` has no `properties` at its top: name the fields there"
                    ),
                    Type::Schema(schema) => {
                        let known = schema.outline().field_names();
                        nearest(field, known.iter().copied()).map_or_else(
                            || format!("its schema has {}", known.join(", ")),
                            |near| format!("did you mean `{near}`?"),
                        )
                    }
                    _ => format!("a `{ty}` has no fields"),
                };
                faults.push(
                    Diagnostic::error(
                        codes::NO_SUCH_FIELD,
                        span.clone(),
                        format!("`{ty}` has no field `{field}`"),
                    )
                    .help(help),
                );
                return None;
            }
        }
    }
    Some(ty)
}

fn strip(ty: Type) -> Type {
    match ty {
        Type::Optional(inner) => *inner,
        other => other,
    }
}

/// The wider of two types.
fn join(a: &Type, b: &Type, span: &Span, faults: &mut Vec<Diagnostic>) -> Option<Type> {
    if assignable(b, a).is_ok() {
        return Some(a.clone());
    }
    if assignable(a, b).is_ok() {
        return Some(b.clone());
    }
    faults.push(
        Diagnostic::error(
            codes::NOT_ASSIGNABLE,
            span.clone(),
            format!("`{b}` and `{a}` do not fit in one place"),
        )
        .label(format!("this is `{b}`"))
        .help("all references here must have types that fit each other"),
    );
    None
}

/// The fault of a reference to a node that is not there.
pub(super) fn unknown_node(
    name: &str,
    span: &Span,
    nodes: &IndexMap<String, NodeDef>,
) -> Diagnostic {
    let help = match (nearest(name, nodes.keys().map(String::as_str)), node_before_port(name, nodes)) {
        (_, Some(node)) => format!("write the node alone: \"{node}\""),
        (Some(near), _) => format!("did you mean `{near}`?"),
        _ if name.contains('/') => {
            "what is inside a nested workflow is reached through the [outputs] of its file".into()
        }
        _ if name == "inputs" => {
            "bind an input with NODE.PORT: `inputs` is for expressions".into()
        }
        _ if name == "nodes" => "a reference begins with the node: NODE.PORT".into(),
        _ => "references name a node of this file, `item`, or `params.NAME`; a fixed value stands in `with`".into(),
    };
    Diagnostic::error(codes::UNKNOWN_NODE, span.clone(), format!("there is no node `{name}`"))
        .help(help)
}

/// The node in what would be a reference to one of its outputs.
fn node_before_port<'a>(name: &'a str, nodes: &IndexMap<String, NodeDef>) -> Option<&'a str> {
    name.rsplit_once('.').map(|(node, _)| node).filter(|node| nodes.contains_key(*node))
}

/// The fault of a parameter that is not declared.
pub(super) fn unknown_param(
    name: &str,
    span: &Span,
    params: &IndexMap<String, Type>,
) -> Diagnostic {
    let help = nearest(name, params.keys().map(String::as_str)).map_or_else(
        || format!("declare it under `[params]`: {name} = \"string\""),
        |near| format!("did you mean `{near}`?"),
    );
    Diagnostic::error(codes::UNKNOWN_PARAM, span.clone(), format!("there is no parameter `{name}`"))
        .help(help)
}
