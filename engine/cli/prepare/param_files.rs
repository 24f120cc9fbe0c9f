//! Files and folders that parameters bring: found by the parameter's type, looked at before the
//! run, stored when it starts.

use std::path::{Path, PathBuf};

use flow_core::schema::Type;
use flow_core::store::Store;
use serde_json::Value;

/// A file or folder inside a parameter's value.
#[derive(Debug)]
pub(super) struct ParamFile {
    /// JSON pointer to its path in the value.
    pub(super) pointer: String,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its path as it was given.
    written: String,
    /// The type that stands there.
    ty: Type,
}

impl ParamFile {
    /// Why it cannot be stored, if it cannot. It is looked at before it is opened: opening a FIFO
    /// would wait for its other end.
    pub(super) fn unfit(&self) -> Option<String> {
        if self.written.is_empty() {
            return Some(at(&self.pointer, "the path is empty"));
        }
        let path = self.path.display();
        let wants_folder = matches!(self.ty.inner(), Type::Dir);
        let reason = match std::fs::metadata(&self.path) {
            Ok(meta) if wants_folder && meta.is_dir() => return None,
            Ok(meta) if !wants_folder && meta.is_file() => {
                let error = std::fs::File::open(&self.path).err()?;
                format!("cannot read {path}: {error}")
            }
            Ok(_) if wants_folder => format!("expected a folder, and {path} is none"),
            Ok(_) => format!("expected a file, and {path} is none"),
            Err(error) => format!("cannot read {path}: {error}"),
        };
        Some(at(&self.pointer, &reason))
    }

    /// Stores it, and gives the reference that takes the place of its path.
    ///
    /// # Errors
    /// The reason, with its place.
    pub(super) fn store(&self, store: &dyn Store) -> Result<Value, String> {
        flow_runtime::file_artifact(store, &self.path, &self.ty)
            .map(|artifact| artifact.to_json())
            .map_err(|error| at(&self.pointer, &error.message))
    }
}

/// A reason with its place in the value.
pub(super) fn at(pointer: &str, reason: &str) -> String {
    if pointer.is_empty() { reason.to_owned() } else { format!("at {pointer}: {reason}") }
}

/// All files and folders of a value that has the written form of `ty`. Relative paths start at
/// `dir`.
pub(super) fn find(ty: &Type, value: &Value, dir: &Path) -> Vec<ParamFile> {
    let mut found = Vec::new();
    walk(ty, value, dir, String::new(), &mut found);
    found
}

fn walk(ty: &Type, value: &Value, dir: &Path, pointer: String, found: &mut Vec<ParamFile>) {
    let below = |step: &str| format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"));
    match (ty.inner(), value) {
        (Type::File(_) | Type::Dir, Value::String(written)) => {
            let path = dir.join(written);
            let path = std::path::absolute(&path).unwrap_or(path);
            found.push(ParamFile { pointer, path, written: written.clone(), ty: ty.clone() });
        }
        (Type::List(element), Value::Array(list)) => {
            for (i, value) in list.iter().enumerate() {
                walk(element, value, dir, below(&i.to_string()), found);
            }
        }
        (Type::Map(element), Value::Object(map)) => {
            for (key, value) in map {
                walk(element, value, dir, below(key), found);
            }
        }
        (Type::Record(record), Value::Object(map)) => {
            for (name, ty) in &record.fields {
                if let Some(value) = map.get(name) {
                    walk(ty, value, dir, below(name), found);
                }
            }
        }
        _ => {}
    }
}
