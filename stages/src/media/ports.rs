//! How the stages of the pipeline declare ports and configuration, read them, and name programs.

use std::path::PathBuf;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::schema::Type;
use flow_core::stage::{Context, Draft, FieldKind, FieldSpec, Job, PortSpec};
use serde::Serialize;
use serde_json::Value;

use crate::contract::{self, Contract, FileRef};
use crate::process::Command;

/// A port that must be bound, or is always there.
pub(super) fn port(name: &str, ty: Type, doc: &'static str) -> PortSpec {
    PortSpec { name: name.to_owned(), ty, optional: false, retypable: false, doc }
}

/// An input that the workflow may leave out.
pub(super) fn optional_port(name: &str, ty: Type, doc: &'static str) -> PortSpec {
    let name = name.to_owned();
    PortSpec { name, ty: ty.optional(), optional: true, retypable: false, doc }
}

/// A field of `with` that may be left out.
pub(super) fn field(name: &'static str, kind: FieldKind, doc: &'static str) -> FieldSpec {
    FieldSpec { name, kind, optional: true, doc }
}

/// The record on an input port.
pub(super) fn input<T: Contract>(job: &Job, port: &str) -> Result<T, StageError> {
    optional_input(job, port)?.ok_or_else(|| unreadable(port, T::NAME, "nothing is bound"))
}

/// The record on an input port that may be unbound or absent.
pub(super) fn optional_input<T: Contract>(job: &Job, port: &str) -> Result<Option<T>, StageError> {
    match job.inputs.get(port) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => contract::read(value).map(Some).map_err(|e| unreadable(port, T::NAME, e)),
    }
}

/// The records on an input port that takes a list.
pub(super) fn input_list<T: Contract>(job: &Job, port: &str) -> Result<Vec<T>, StageError> {
    let list = job.inputs.get(port).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().map(|v| contract::read(v).map_err(|e| unreadable(port, T::NAME, e))).collect()
}

/// The path of the file on an input port that may be unbound or absent.
pub(super) fn optional_file(job: &Job, port: &str) -> Result<Option<PathBuf>, StageError> {
    match job.inputs.get(port) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let file: FileRef =
                serde_json::from_value(value.clone()).map_err(|e| unreadable(port, "file", e))?;
            let path = file.path().ok_or_else(|| unreadable(port, "file", "it has no path"))?;
            Ok(Some(path.to_owned()))
        }
    }
}

/// The path of the file on an input port.
pub(super) fn file(job: &Job, port: &str) -> Result<PathBuf, StageError> {
    optional_file(job, port)?.ok_or_else(|| unreadable(port, "file", "nothing is bound"))
}

/// The paths of the files on an input port that takes a list of them.
pub(super) fn files(job: &Job, port: &str) -> Result<Vec<PathBuf>, StageError> {
    let list = job.inputs.get(port).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let path = |value: &Value| {
        let file: FileRef =
            serde_json::from_value(value.clone()).map_err(|e| unreadable(port, "file", e))?;
        let path = file.path().ok_or_else(|| unreadable(port, "file", "it has no path"))?;
        Ok(path.to_owned())
    };
    list.iter().map(path).collect()
}

fn unreadable(port: &str, name: &str, cause: impl ToString) -> StageError {
    let operation = format!("read input port {port}");
    StageError::new(ErrorClass::Validation, operation, format!("it is not a {name}"))
        .kind(ErrorKind::Validation)
        .port(port)
        .cause(cause)
}

/// A text of `with`; empty text counts as absent.
pub(super) fn text<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    job.config.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A whole number of `with`.
pub(super) fn number(job: &Job, name: &str) -> Option<u64> {
    let value = job.config.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A record as a draft of an output.
pub(super) fn draft<T: Serialize>(record: &T) -> Result<Draft, StageError> {
    serde_json::to_value(record).map(Draft::Value).map_err(|e| {
        StageError::new(ErrorClass::Validation, "write an output", "it cannot be written as JSON")
            .kind(ErrorKind::Validation)
            .cause(e)
    })
}

/// A command that runs a program of the pipeline: looked up in `[tools]` first, without the
/// variables of secrets.
pub(super) fn tool(
    context: &dyn Context,
    name: &str,
    kind: ErrorKind,
    operation: impl Into<String>,
) -> Command {
    let mut command = Command::new(context.tool(name)).kind(kind).operation(operation);
    command.env_remove = context.withheld_env().iter().map(Into::into).collect();
    command
}

/// A setting that cannot work, with the way out.
pub(super) fn config_error(field: &str, message: String, hint: &str) -> StageError {
    StageError::new(ErrorClass::Config, format!("read with.{field}"), message)
        .kind(ErrorKind::Validation)
        .hint(hint)
}
