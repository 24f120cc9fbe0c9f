//! Loading inputs by digest, and holding them to their types: the gate in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{InputPort, Node};
use flow_core::id::RunId;
use flow_core::json;
use flow_core::payload::Artifact;
use flow_core::store::Store;
use serde_json::Value;

use super::{Assignment, Input, Surroundings, gate, store_error};
use crate::wiring::Wire;

/// All inputs of an attempt, admitted.
pub(super) fn inputs(
    around: &Surroundings,
    node: &Node,
    assignment: &Assignment,
) -> Result<Vec<Input>, Box<StageError>> {
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for (port, wire) in node.inputs.iter().zip(&assignment.inputs) {
        let value = value_at(around.store.as_ref(), &around.run, wire)
            .map_err(|fault| fault.of_port(&port.name))?;
        gate("input", &port.name, &port.ty, &value)?;
        let digest = (!value.is_null()).then(|| key_digest(&value));
        inputs.push(Input { name: port.name.clone(), value, digest });
    }
    Ok(inputs)
}

/// What `item` is.
pub(super) fn item(
    around: &Surroundings,
    assignment: &Assignment,
) -> Result<Option<Value>, Box<StageError>> {
    assignment
        .item
        .as_ref()
        .map(|wire| value_at(around.store.as_ref(), &around.run, wire))
        .transpose()
        .map_err(|fault| fault.of_port("item"))
}

/// The parameters that templates see: the run's own, or those of the nested workflow that the node
/// stands in, as far as they are read.
pub(super) fn params<'a>(
    around: &'a Surroundings,
    node: &Node,
    assignment: &Assignment,
) -> Result<Cow<'a, BTreeMap<String, Value>>, Box<StageError>> {
    match &node.params {
        None => Ok(Cow::Borrowed(&around.manifest.params)),
        Some(read) => values(around, read, &assignment.params).map(Cow::Owned),
    }
}

/// The values of parameters of a nested workflow, by name.
pub(super) fn values(
    around: &Surroundings,
    read: &[InputPort],
    wires: &[Wire],
) -> Result<BTreeMap<String, Value>, Box<StageError>> {
    read.iter()
        .zip(wires)
        .map(|(param, wire)| {
            let value = value_at(around.store.as_ref(), &around.run, wire)
                .map_err(|fault| fault.of_port(&format!("params.{}", param.name)))?;
            Ok((param.name.clone(), value))
        })
        .collect()
}

/// The digest that stands for a payload in keys: of an artifact, its content alone.
pub(super) fn key_digest(value: &Value) -> Digest {
    Artifact::from_json(value).map_or_else(|| json::digest(value), |artifact| artifact.digest)
}

/// Why a wire gives no value.
#[derive(Debug)]
pub enum LoadFault {
    /// The store cannot give the bytes.
    Store(Box<StageError>),
    /// A field of the path is not there.
    NoField {
        /// JSON pointer to the last value that is there.
        pointer: String,
        /// The field that is not.
        field: String,
    },
}

impl LoadFault {
    pub(super) fn of_port(self, port: &str) -> Box<StageError> {
        match self {
            Self::Store(error) => Box::new(error.port(port)),
            Self::NoField { pointer, field } => {
                let mut error = StageError::new(
                    ErrorClass::Validation,
                    format!("read input port {port}"),
                    format!(
                        "the payload has no field `{field}` at {}",
                        if pointer.is_empty() { "its top" } else { &pointer }
                    ),
                )
                .kind(flow_core::error::ErrorKind::Validation)
                .port(port)
                .hint("end the reference with `?` if the field may be absent");
                error.expected = Some(format!("the field `{field}`"));
                error.found = Some("nothing".into());
                error.pointer = Some(pointer);
                Box::new(error)
            }
        }
    }
}

/// The value of a wire; null if it is absent.
///
/// # Errors
/// [`LoadFault`] when the store fails or a field is missing.
pub fn value_at(store: &dyn Store, run: &RunId, wire: &Wire) -> Result<Value, LoadFault> {
    match wire {
        Wire::Absent => Ok(Value::Null),
        Wire::Value { value, path, optional } => follow(value.clone(), path, *optional),
        Wire::First(all) => {
            for wire in all {
                let value = value_at(store, run, wire)?;
                if !value.is_null() {
                    return Ok(value);
                }
            }
            Ok(Value::Null)
        }
        Wire::List(all) => {
            all.iter().map(|w| value_at(store, run, w)).collect::<Result<_, _>>().map(Value::Array)
        }
        Wire::Payload { payload, path, optional } => {
            if let Some(artifact) = &payload.artifact {
                return follow(artifact.to_json(), path, *optional);
            }
            let bytes = store
                .payload(run, payload)
                .map_err(|e| LoadFault::Store(store_error("read a payload", &e)))?;
            // These bytes were written by the canonical writer and checked by digest.
            let value = serde_json::from_slice(&bytes).map_err(|e| {
                LoadFault::Store(Box::new(StageError::new(
                    ErrorClass::Store,
                    "read a payload",
                    e.to_string(),
                )))
            })?;
            follow(value, path, *optional)
        }
    }
}

fn follow(mut value: Value, path: &[String], optional: bool) -> Result<Value, LoadFault> {
    let mut pointer = String::new();
    for field in path {
        let next = match &mut value {
            Value::Object(map) => map.remove(field),
            Value::Array(list) => {
                field.parse::<usize>().ok().filter(|i| *i < list.len()).map(|i| list.swap_remove(i))
            }
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None if optional => return Ok(Value::Null),
            None => return Err(LoadFault::NoField { pointer, field: field.clone() }),
        }
        pointer.push('/');
        pointer.push_str(field);
    }
    Ok(value)
}
