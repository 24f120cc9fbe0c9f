//! Loading inputs by digest, and holding them to their types: the gate in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{InputPort, Node};
use flow_core::id::RunId;
use flow_core::json;
use flow_core::payload::{Artifact, PayloadRef};
use flow_core::store::Store;
use serde_json::Value;

use super::{Assignment, Input, Surroundings, gate, store_error};
use crate::wiring::{Wire, pick};

/// All inputs of an attempt, admitted.
pub(super) fn inputs(
    around: &Surroundings,
    node: &Node,
    assignment: &Assignment,
) -> Result<Vec<Input>, Box<StageError>> {
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for (port, wire) in node.inputs.iter().zip(&assignment.inputs) {
        let value = around.values().read(wire).map_err(|fault| fault.of_port(&port.name))?;
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
        .map(|wire| around.values().read(wire))
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
            let value = around
                .values()
                .read(wire)
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

/// Parsed payloads that parts are taken of, the latest last. Each of many items takes its element of
/// one list, which is parsed once for all of them.
#[derive(Debug, Default)]
pub(crate) struct Parsed(Mutex<Vec<(Digest, Arc<Value>)>>);

/// So many of them are kept.
const PARSED_MAX: usize = 4;

impl Parsed {
    fn get(&self, digest: &Digest) -> Option<Arc<Value>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == digest).map(|(_, value)| Arc::clone(value))
    }

    fn keep(&self, digest: Digest, value: &Arc<Value>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= PARSED_MAX {
            kept.remove(0);
        }
        kept.push((digest, Arc::clone(value)));
    }
}

/// Where wires are read from.
pub(super) struct Values<'a> {
    store: &'a dyn Store,
    run: &'a RunId,
    parsed: &'a Parsed,
}

impl Surroundings {
    /// The values of this run.
    pub(super) fn values(&self) -> Values<'_> {
        Values { store: self.store.as_ref(), run: &self.run, parsed: &self.parsed }
    }
}

/// The value of a wire; null if it is absent.
///
/// # Errors
/// [`LoadFault`] when the store fails or a field is missing.
pub fn value_at(store: &dyn Store, run: &RunId, wire: &Wire) -> Result<Value, LoadFault> {
    Values { store, run, parsed: &Parsed::default() }.read(wire)
}

impl Values<'_> {
    pub(super) fn read(&self, wire: &Wire) -> Result<Value, LoadFault> {
        match wire {
            Wire::Absent => Ok(Value::Null),
            Wire::Value { value, path, optional } => follow(value, path, *optional),
            Wire::First(all) => {
                for wire in all {
                    let value = self.read(wire)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            Wire::List(all) => {
                all.iter().map(|w| self.read(w)).collect::<Result<_, _>>().map(Value::Array)
            }
            Wire::Payload { payload, path, optional } => {
                if let Some(artifact) = &payload.artifact {
                    return follow(&artifact.to_json(), path, *optional);
                }
                if path.is_empty() {
                    return self.parse(payload);
                }
                if let Some(whole) = self.parsed.get(&payload.digest) {
                    return follow(&whole, path, *optional);
                }
                let whole = Arc::new(self.parse(payload)?);
                self.parsed.keep(payload.digest, &whole);
                follow(&whole, path, *optional)
            }
        }
    }

    fn parse(&self, payload: &PayloadRef) -> Result<Value, LoadFault> {
        let bytes = self
            .store
            .payload(self.run, payload)
            .map_err(|e| LoadFault::Store(store_error("read a payload", &e)))?;
        // These bytes were written by the canonical writer and checked by digest.
        serde_json::from_slice(&bytes).map_err(|e| {
            let error = StageError::new(ErrorClass::Store, "read a payload", e.to_string());
            LoadFault::Store(Box::new(error))
        })
    }
}

fn follow(value: &Value, path: &[String], optional: bool) -> Result<Value, LoadFault> {
    if let Some(found) = pick(value, path) {
        return Ok(found.clone());
    }
    if optional {
        return Ok(Value::Null);
    }
    let there = (0..path.len()).rev().find(|end| pick(value, &path[..*end]).is_some()).unwrap_or(0);
    let pointer = path[..there].iter().map(|field| format!("/{field}")).collect();
    Err(LoadFault::NoField { pointer, field: path[there].clone() })
}
