//! From references to digests: what an attempt needs, as plain data that any machine could carry.

use flow_core::graph::{Source, Take};
use flow_core::id::{NodeId, TaskId};
use flow_core::payload::PayloadRef;
use flow_core::run::RunState;
use flow_core::run::state::{Phase, Tasks};
use serde_json::Value;

/// A payload on its way to an input port.
#[derive(Debug, Clone)]
pub enum Wire {
    /// There is none.
    Absent,
    /// A value that is at hand.
    Value {
        /// The value.
        value: Value,
        /// Fields to follow.
        path: Vec<String>,
        /// Whether a missing field is absence.
        optional: bool,
    },
    /// A stored payload.
    Payload {
        /// Its reference.
        payload: PayloadRef,
        /// Fields to follow.
        path: Vec<String>,
        /// Whether a missing field is absence.
        optional: bool,
    },
    /// Several, as a list.
    List(Vec<Wire>),
    /// The first of these that is there: neither absent nor null.
    First(Vec<Wire>),
}

/// Resolves a source for a task, given what has ended. `params` are the run's parameters.
pub fn wire(
    state: &RunState,
    params: &std::collections::BTreeMap<String, Value>,
    source: &Source,
    task: Option<TaskId>,
) -> Wire {
    match source {
        Source::Param { name, path, optional } => param(params, name, path.clone(), *optional),
        Source::Item { path, optional } => item(state, params, task, path, *optional),
        Source::Output { node, port, path, optional, take } => {
            output(state, *node, port, path, *optional, *take, task)
        }
        Source::First(all) => {
            Wire::First(all.iter().map(|s| wire(state, params, s, task)).collect())
        }
        Source::List(all) => Wire::List(all.iter().map(|s| wire(state, params, s, task)).collect()),
    }
}

fn output(
    state: &RunState,
    node: NodeId,
    port: &str,
    path: &[String],
    optional: bool,
    take: Take,
    task: Option<TaskId>,
) -> Wire {
    let payload_of = |id: TaskId| {
        let payload = state.done(id).and_then(|done| done.outputs.get(port));
        payload.map_or(Wire::Absent, |payload| Wire::Payload {
            payload: payload.clone(),
            path: path.to_vec(),
            optional,
        })
    };
    match take {
        Take::Whole => payload_of(TaskId::whole(node)),
        Take::SameItem => payload_of(TaskId { node, item: task.and_then(|t| t.item) }),
        Take::Gather => {
            if !state.is_present(node, Take::Gather, None) {
                return Wire::Absent;
            }
            let Tasks::Items(items) = &state.node(node).tasks else { return Wire::Absent };
            // A nested workflow has what was made inside: where that is not there, the item is not.
            let producer = state.graph().node(node);
            let may_lack = producer.ends_workflow()
                && producer.outputs.iter().any(|o| o.name == port && !o.ty.is_optional());
            let succeeded = (0_u32..)
                .zip(items)
                .filter(|(_, task)| matches!(task.phase, Phase::Succeeded(_)))
                .map(|(index, _)| payload_of(TaskId::item(node, index)))
                .filter(|wire| !(may_lack && matches!(wire, Wire::Absent)));
            Wire::List(succeeded.collect())
        }
    }
}

/// A parameter, or a part of one: only that part is copied, since a list may have an item for each
/// of many elements.
fn param(
    params: &std::collections::BTreeMap<String, Value>,
    name: &str,
    path: Vec<String>,
    optional: bool,
) -> Wire {
    let whole = params.get(name).unwrap_or(&Value::Null);
    match pick(whole, &path) {
        Some(value) => Wire::Value { value: value.clone(), path: Vec::new(), optional },
        // Whoever reads it says which field is missing.
        None => Wire::Value { value: whole.clone(), path, optional },
    }
}

/// The part of a value that a path of fields and positions leads to.
pub(crate) fn pick<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, field| match value {
        Value::Object(map) => map.get(field),
        Value::Array(list) => list.get(field.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The element of the list that an item runs for.
fn item(
    state: &RunState,
    params: &std::collections::BTreeMap<String, Value>,
    task: Option<TaskId>,
    path: &[String],
    optional: bool,
) -> Wire {
    let Some(TaskId { node, item: Some(index) }) = task else { return Wire::Absent };
    let Some(fan) = &state.graph().node(node).fan else { return Wire::Absent };
    let extend = |own: Vec<String>| own.into_iter().chain(path.iter().cloned()).collect::<Vec<_>>();
    if let Source::Output { .. } = &fan.item {
        return match wire(state, params, &fan.item, task) {
            Wire::Payload { payload, path: own, optional: o } => {
                Wire::Payload { payload, path: extend(own), optional: optional || o }
            }
            other => other,
        };
    }
    let list = &state.graph().groups()[fan.group].list;
    if let Source::Param { name, path: own, .. } = list {
        let own = own.iter().cloned().chain([index.to_string()]).collect();
        return param(params, name, extend(own), optional);
    }
    match wire(state, params, list, None) {
        // The element is reached through the list's own fields first, so it is taken by a path.
        Wire::Payload { payload, path: own, .. } => {
            let own = own.into_iter().chain([index.to_string()]).collect();
            Wire::Payload { payload, path: extend(own), optional }
        }
        Wire::Value { value, path: own, .. } => {
            let own = own.into_iter().chain([index.to_string()]).collect();
            Wire::Value { value, path: extend(own), optional }
        }
        Wire::List(mut all) if (index as usize) < all.len() => {
            match all.swap_remove(index as usize) {
                Wire::Payload { payload, path: own, .. } => {
                    Wire::Payload { payload, path: extend(own), optional }
                }
                Wire::Value { value, path: own, .. } => {
                    Wire::Value { value, path: extend(own), optional }
                }
                other => other,
            }
        }
        _ => Wire::Absent,
    }
}
