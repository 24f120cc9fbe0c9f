//! Artifacts inside values: a stage writes the path of a file or folder where its type says `file`
//! or `dir`, and the gate puts what it stored in that place.

use std::path::Path;

use flow_core::graph::OutputPort;
use flow_core::payload::Artifact;
use flow_core::schema::Type;
use serde_json::{Map, Value};

use super::admit::{Gate, Refused, at, refuse_found};
use super::store_error;

impl Gate {
    /// Puts artifacts in the place of the paths that a value has where its type says `file` or
    /// `dir`.
    pub(super) fn with_artifacts(
        &mut self,
        port: &OutputPort,
        ty: &Type,
        value: Value,
        pointer: &str,
    ) -> Result<Value, Refused> {
        if !ty.holds_artifacts() {
            return self.with_references(port, value, pointer);
        }
        match (ty.inner(), value) {
            (Type::File(media), Value::String(path)) => {
                self.file(port, Path::new(&path), media.as_ref(), pointer)
            }
            (Type::Dir, Value::String(path)) => self.dir(port, Path::new(&path), pointer),
            (Type::File(_) | Type::Dir, Value::Object(map)) => {
                self.passed_on(port, ty, map, pointer)
            }
            (Type::List(element), Value::Array(list)) => list
                .into_iter()
                .enumerate()
                .map(|(i, v)| self.with_artifacts(port, element, v, &format!("{pointer}/{i}")))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            (Type::Map(element), Value::Object(map)) => map
                .into_iter()
                .map(|(k, v)| {
                    let value = self.with_artifacts(port, element, v, &below(pointer, &k))?;
                    Ok((k, value))
                })
                .collect::<Result<Map<_, _>, Refused>>()
                .map(Value::Object),
            (Type::Record(record), Value::Object(map)) => map
                .into_iter()
                .map(|(k, v)| {
                    let pointer = below(pointer, &k);
                    let value = match record.fields.get(&k) {
                        Some(field) => self.with_artifacts(port, field, v, &pointer)?,
                        None => self.with_references(port, v, &pointer)?,
                    };
                    Ok((k, value))
                })
                .collect::<Result<Map<_, _>, Refused>>()
                .map(Value::Object),
            (_, other) => Ok(other),
        }
    }

    /// A value whose type does not speak of artifacts. One that came in and goes out again loses
    /// the path that it had in this attempt's folder.
    fn with_references(
        &self,
        port: &OutputPort,
        mut value: Value,
        pointer: &str,
    ) -> Result<Value, Refused> {
        self.drop_paths(port, &mut value, &mut pointer.to_owned())?;
        Ok(value)
    }

    fn drop_paths(
        &self,
        port: &OutputPort,
        value: &mut Value,
        pointer: &mut String,
    ) -> Result<(), Refused> {
        if value.get("path").is_some()
            && let Some(artifact) = Artifact::from_json(value)
        {
            *value = self.known(port, &artifact, pointer)?;
            return Ok(());
        }
        let len = pointer.len();
        match value {
            Value::Array(list) => {
                for (i, element) in list.iter_mut().enumerate().filter(|(_, v)| is_composite(v)) {
                    pointer.push_str(&format!("/{i}"));
                    self.drop_paths(port, element, pointer)?;
                    pointer.truncate(len);
                }
            }
            Value::Object(map) => {
                for (key, field) in map.iter_mut().filter(|(_, v)| is_composite(v)) {
                    *pointer = below(pointer, key);
                    self.drop_paths(port, field, pointer)?;
                    pointer.truncate(len);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An artifact that came in as an input and goes out again: its bytes are stored already.
    fn passed_on(
        &self,
        port: &OutputPort,
        ty: &Type,
        map: Map<String, Value>,
        pointer: &str,
    ) -> Result<Value, Refused> {
        let value = Value::Object(map);
        match Artifact::from_json(&value) {
            Some(artifact) => self.known(port, &artifact, pointer),
            None => {
                let what = "what stands for a file or folder";
                let found = "neither a path nor an artifact that came in";
                Err(at(refuse_found(port, what, found), pointer, ty))
            }
        }
    }

    fn known(
        &self,
        port: &OutputPort,
        artifact: &Artifact,
        pointer: &str,
    ) -> Result<Value, Refused> {
        self.store.object(&artifact.digest).map_err(|error| {
            let mut error = store_error("pass an artifact on", &error);
            error.port = Some(port.name.clone());
            error.pointer = Some(pointer.to_owned());
            error
        })?;
        Ok(artifact.to_json())
    }
}

/// A JSON pointer to a field below another one.
fn below(pointer: &str, field: &str) -> String {
    format!("{pointer}/{}", field.replace('~', "~0").replace('/', "~1"))
}

fn is_composite(value: &Value) -> bool {
    value.is_array() || value.is_object()
}
