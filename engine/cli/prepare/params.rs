//! Parameters: from words on the command line and values in a file to values of their types.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use flow_core::diagnostic::nearest;
use flow_core::graph::{Graph, Param};
use flow_core::json;
use flow_core::run::manifest::Manifest;
use flow_core::schema::{Severity, Type, validate};
use flow_core::store::Store;
use serde_json::{Map, Value};

use super::StoredParams;
use super::param_files::{self, ParamFile};
use crate::failure::Failure;

/// Why a parameter is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParamFault {
    /// Its name.
    pub(crate) name: String,
    /// What is wrong, as a phrase.
    pub(crate) reason: String,
}

impl fmt::Display for ParamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.name, self.reason)
    }
}

/// What the user gave.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// `--param NAME=VALUE`, in order: the last one wins.
    words: Vec<(String, String)>,
    /// The table of `--params`.
    table: Map<String, Value>,
    /// Where relative paths in the table start.
    table_dir: PathBuf,
}

impl Given {
    /// Reads the table, if there is one.
    ///
    /// # Errors
    /// [`Failure::ParamsFile`] when the file has no table.
    pub(crate) fn read(words: &[(String, String)], file: Option<&Path>) -> Result<Self, Failure> {
        let mut given = Self { words: words.to_vec(), ..Self::default() };
        if let Some(path) = file {
            given.table = read_table(path)
                .map_err(|reason| Failure::ParamsFile { path: path.to_owned(), reason })?;
            given.table_dir = path.parent().unwrap_or(Path::new("")).to_owned();
        }
        Ok(given)
    }

    /// What a run that is updated goes by: words, else what is on record, unless that was the
    /// default then; defaults are those of the new file.
    pub(crate) fn again(
        words: &[(String, String)],
        manifest: &Manifest,
        before: &Graph,
        now: &Graph,
    ) -> Self {
        let mut given = Self { words: words.to_vec(), ..Self::default() };
        for (name, value) in &manifest.params {
            let path = manifest.param_paths.get(name);
            let default = before.params().get(name).and_then(|param| param.default.as_ref());
            let was_default = match (path, default) {
                (Some(path), Some(Value::String(text))) => {
                    std::path::absolute(before.dir().join(text)).is_ok_and(|full| full == *path)
                }
                (None, default) => default.unwrap_or(&Value::Null) == value,
                (Some(_), _) => false,
            };
            if !was_default && now.params().contains_key(name) {
                let value = path.map_or_else(
                    || value.clone(),
                    |path| Value::String(path.to_string_lossy().into_owned()),
                );
                given.table.insert(name.clone(), value);
            }
        }
        given
    }

    /// What was given for a parameter.
    fn find(&self, name: &str) -> Option<Word<'_>> {
        let word = self.words.iter().rev().find(|(given, _)| given == name);
        match word {
            Some((_, text)) => Some(Word::Text(text)),
            None => self.table.get(name).map(Word::Value),
        }
    }

    /// The names that no parameter has.
    fn unknown(&self, graph: &Graph) -> Vec<ParamFault> {
        let mut names: Vec<&String> =
            self.words.iter().map(|(name, _)| name).chain(self.table.keys()).collect();
        names.sort();
        names.dedup();
        let known = || graph.params().keys().map(String::as_str);
        let fault = |name: &String| {
            let all: Vec<&str> = known().collect();
            let reason = match nearest(name, known()) {
                Some(near) => format!("there is no such parameter; did you mean `{near}`?"),
                None if all.is_empty() => "the workflow has no parameters".to_owned(),
                None => format!("there is no such parameter; there are {}", all.join(", ")),
            };
            ParamFault { name: name.clone(), reason }
        };
        names.into_iter().filter(|name| !graph.params().contains_key(*name)).map(fault).collect()
    }
}

/// How a value was given.
enum Word<'a> {
    /// As text on the command line.
    Text(&'a str),
    /// As a value in a file.
    Value(&'a Value),
}

/// Values for all parameters of a workflow.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<String, ParamValue>);

#[derive(Debug)]
struct ParamValue {
    /// The value, with paths where files and folders will be.
    value: Value,
    /// The files and folders, which are stored when the run starts.
    files: Vec<ParamFile>,
}

impl Params {
    /// Resolves all parameters. `dir` is the folder of the workflow file, where the paths of
    /// defaults start.
    ///
    /// # Errors
    /// [`Failure::Params`] with every fault.
    pub(crate) fn resolve(graph: &Graph, given: &Given) -> Result<Self, Failure> {
        let mut faults = given.unknown(graph);
        let mut values = BTreeMap::new();
        for (name, param) in graph.params() {
            match resolve(param, given.find(name), given, graph.dir()) {
                Ok(value) => {
                    values.insert(name.clone(), value);
                }
                Err(reasons) => faults.extend(
                    reasons.into_iter().map(|reason| ParamFault { name: name.clone(), reason }),
                ),
            }
        }
        if faults.is_empty() { Ok(Self(values)) } else { Err(Failure::Params(faults)) }
    }

    /// The values, with paths where files and folders will be.
    pub(super) fn values(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().map(|(name, param)| (name, &param.value))
    }

    /// The files and folders.
    pub(super) fn files(&self) -> impl Iterator<Item = (&String, &Path)> {
        self.0
            .iter()
            .flat_map(|(name, param)| param.files.iter().map(move |file| (name, &*file.path)))
    }

    /// Stores the files among them.
    ///
    /// # Errors
    /// [`Failure::Params`] for files that are not of their types.
    pub(super) fn store(self, store: &dyn Store, graph: &Graph) -> Result<StoredParams, Failure> {
        let mut stored = StoredParams { values: BTreeMap::new(), paths: BTreeMap::new() };
        let mut faults = Vec::new();
        for (name, param) in self.0 {
            let ty = graph.params().get(&name).map_or(&Type::Json, |param| &param.ty);
            match stored_value(store, ty, &param) {
                Ok(value) => {
                    for file in param.files {
                        stored.paths.insert(format!("{name}{}", file.pointer), file.path);
                    }
                    stored.values.insert(name, value);
                }
                Err(reasons) => faults.extend(
                    reasons.into_iter().map(|reason| ParamFault { name: name.clone(), reason }),
                ),
            }
        }
        if faults.is_empty() { Ok(stored) } else { Err(Failure::Params(faults)) }
    }
}

fn resolve(
    param: &Param,
    word: Option<Word<'_>>,
    given: &Given,
    workflow_dir: &Path,
) -> Result<ParamValue, Vec<String>> {
    let (value, dir) = match word {
        Some(Word::Text(text)) => (read_text(&param.ty, text)?, Path::new("")),
        Some(Word::Value(value)) => (value.clone(), given.table_dir.as_path()),
        None => match &param.default {
            Some(default) => (default.clone(), workflow_dir),
            None if param.ty.is_optional() => (Value::Null, workflow_dir),
            None => return Err(vec![format!("it is required: expected {}", param.ty)]),
        },
    };
    with_files(&param.ty, value, dir)
}

/// A value of the type as it is written, with the files and folders that it names.
fn with_files(ty: &Type, value: Value, dir: &Path) -> Result<ParamValue, Vec<String>> {
    if ty.is_artifact() && !value.is_string() && !value.is_null() {
        return Err(vec![format!("expected the path of a {ty}")]);
    }
    hold(&ty.as_written(), &value)?;
    let files = param_files::find(ty, &value, dir);
    let unfit: Vec<String> = files.iter().filter_map(ParamFile::unfit).collect();
    if unfit.is_empty() { Ok(ParamValue { value, files }) } else { Err(unfit) }
}

/// Reads a word by its type. What cannot be read is left as text, so that the one validator says
/// what is expected.
fn read_text(ty: &Type, text: &str) -> Result<Value, Vec<String>> {
    let as_text = || Value::String(text.to_owned());
    match ty.inner() {
        Type::String | Type::Datetime | Type::Duration | Type::File(_) | Type::Dir => Ok(as_text()),
        Type::Integer | Type::Number | Type::Boolean => Ok(json::parse(text.as_bytes())
            .ok()
            .filter(|value| value.is_number() || value.is_boolean())
            .unwrap_or_else(as_text)),
        _ => json::parse(text.as_bytes())
            .map_err(|fault| vec![format!("expected JSON for {ty}: {fault}")]),
    }
}

/// Holds a value to its type.
fn hold(ty: &Type, value: &Value) -> Result<(), Vec<String>> {
    let reasons: Vec<String> = validate(ty, value)
        .into_iter()
        .filter(|fault| fault.severity == Severity::Error)
        .map(|fault| {
            let reason = format!("expected {}, found {}", fault.expected, fault.found);
            param_files::at(&fault.pointer, &reason)
        })
        .collect();
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

/// The value that a word means for an output of type `ty`: a file's path, which is stored, or a
/// value of the type.
///
/// # Errors
/// Why it is none.
pub(crate) fn output_value(store: &dyn Store, ty: &Type, word: &str) -> Result<Value, Vec<String>> {
    let value = read_text(ty, word)?;
    stored_value(store, ty, &with_files(ty, value, Path::new(""))?)
}

/// The value with its files and folders stored.
fn stored_value(store: &dyn Store, ty: &Type, param: &ParamValue) -> Result<Value, Vec<String>> {
    let mut value = param.value.clone();
    let mut reasons = Vec::new();
    for file in &param.files {
        match file.store(store) {
            Ok(artifact) => {
                if let Some(place) = value.pointer_mut(&file.pointer) {
                    *place = artifact;
                }
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    hold(ty, &value)?;
    Ok(value)
}

/// Reads a table of values: JSON if the file is named so or begins with a brace, else TOML.
fn read_table(path: &Path) -> Result<Map<String, Value>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let looks_like_json = bytes.trim_ascii_start().starts_with(b"{");
    if path.extension().is_some_and(|e| e == "json") || looks_like_json {
        return match json::parse(&bytes).map_err(|e| e.to_string())? {
            Value::Object(map) => Ok(map),
            _ => Err("it is JSON, but no object".to_owned()),
        };
    }
    let text = std::str::from_utf8(&bytes).map_err(|e| e.to_string())?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    Ok(table.into_iter().map(|(key, value)| (key, from_toml(value))).collect())
}

/// A TOML value as JSON; a date or time becomes its text.
fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(list) => list.into_iter().map(from_toml).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, from_toml(value))).collect())
        }
    }
}
