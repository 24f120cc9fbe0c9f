//! Secrets: read once per invocation from where the workflow file says, and kept out of what is
//! recorded when a run starts.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use flow_core::definition::{SecretDef, SecretSource};
use flow_core::graph::Graph;
use flow_core::id::NodeId;
use flow_core::stage::Missing;
use flow_runtime::Secrets;
use flow_runtime::secrets::{SECRET_MAX, SECRET_MIN};
use secrecy::SecretString;

use super::preflight::MissingTool;
use super::{Params, Workflow, read_env};
use crate::failure::Failure;

/// Why a secret has no value that can be used.
enum Unfit {
    /// There is none.
    Absent { reason: String },
    /// There is one that cannot be taken.
    Refused { reason: String, fix: String },
}

/// Reads all secrets. What the wanted nodes read and is not there, or is no secret, comes back with
/// them: a secret that none of them reads is hidden if it is there, and not asked for.
///
/// # Errors
/// Secrets too large to be hidden.
pub(crate) fn read(
    graph: &Graph,
    wanted: impl Fn(NodeId) -> bool,
) -> Result<(Arc<Secrets>, Vec<MissingTool>), Failure> {
    let mut values = BTreeMap::new();
    let mut missing = Vec::new();
    for (name, def) in graph.secrets().iter() {
        match value(graph.dir(), def) {
            Ok(value) => {
                values.insert(name.clone(), Some(SecretString::from(value)));
            }
            Err(Unfit::Absent { .. }) if def.optional => {
                values.insert(name.clone(), None);
            }
            Err(unfit) => {
                let nodes = readers(graph, name, &wanted);
                if !nodes.is_empty() {
                    missing.push(MissingTool { missing: told(name, def, unfit), nodes });
                }
            }
        }
    }
    let secrets = Secrets::new(values, variables(graph)).map_err(Failure::Secrets)?;
    Ok((Arc::new(secrets), missing))
}

/// Secrets for an attempt that is laid out: what stands for them where they could be seen, and their
/// values.
pub(crate) struct StandIns {
    /// A word in the place of each value.
    pub(crate) shown: Arc<Secrets>,
    /// The values that are here, and the word where there is none.
    pub(crate) real: Arc<Secrets>,
    /// Secrets without a value here.
    pub(crate) absent: Vec<String>,
}

/// The word that stands for a secret.
pub(crate) fn stand_in(name: &str) -> String {
    format!("secret:{name}")
}

/// Reads all secrets of a workflow, each with the word that stands for it.
///
/// # Errors
/// Secrets too large to be hidden.
pub(crate) fn stand_ins(graph: &Graph) -> Result<StandIns, Failure> {
    let (mut shown, mut real, mut absent) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (name, def) in graph.secrets().iter() {
        let word = || Some(SecretString::from(stand_in(name)));
        let (seen, own) = match value(graph.dir(), def) {
            Ok(value) => (word(), Some(SecretString::from(value))),
            Err(Unfit::Absent { .. }) if def.optional => (None, None),
            Err(_) => {
                absent.push(name.clone());
                (word(), word())
            }
        };
        shown.insert(name.clone(), seen);
        real.insert(name.clone(), own);
    }
    let hide = |values| Secrets::new(values, variables(graph)).map(Arc::new);
    let shown = hide(shown).map_err(Failure::Secrets)?;
    Ok(StandIns { shown, real: hide(real).map_err(Failure::Secrets)?, absent })
}

/// How a secret stands.
pub(crate) enum SecretState {
    /// There is a value.
    Set,
    /// There is none, and none is needed.
    NotNeeded,
    /// There is none that can be used.
    Unfit(Missing),
}

/// How each secret of a workflow stands, by name. Values are looked at and never told.
pub(crate) fn states(graph: &Graph) -> Vec<(String, SecretState)> {
    let state = |(name, def): (&String, &SecretDef)| match value(graph.dir(), def) {
        Ok(_) => (name.clone(), SecretState::Set),
        Err(Unfit::Absent { .. }) if def.optional => (name.clone(), SecretState::NotNeeded),
        Err(unfit) => (name.clone(), SecretState::Unfit(told(name, def, unfit))),
    };
    graph.secrets().iter().map(state).collect()
}

/// Names of the wanted nodes that read a secret.
fn readers(graph: &Graph, secret: &str, wanted: &impl Fn(NodeId) -> bool) -> Vec<String> {
    let reads = |id: &NodeId| graph.node(*id).secrets.iter().any(|name| name == secret);
    graph
        .ids()
        .filter(|id| wanted(*id))
        .filter(reads)
        .map(|id| graph.node(id).name.to_string())
        .collect()
}

/// The variables that secrets are read from.
fn variables(graph: &Graph) -> Vec<String> {
    let variable = |def: &SecretDef| match &def.from {
        SecretSource::Env(variable) => Some(variable.clone()),
        SecretSource::File(_) => None,
    };
    graph.secrets().values().filter_map(variable).collect()
}

/// The value of a secret, if it can be one.
fn value(dir: &Path, def: &SecretDef) -> Result<String, Unfit> {
    let bytes = match &def.from {
        SecretSource::Env(variable) => of_variable(variable)?,
        SecretSource::File(path) => of_file(&dir.join(path))?,
    };
    if bytes.is_empty() {
        return Err(Unfit::Absent { reason: "is empty".into() });
    }
    let refused = |reason: String, fix: &str| Err(Unfit::Refused { reason, fix: fix.into() });
    if bytes.len() < SECRET_MIN {
        return refused(
            format!("has only {} bytes, and could not be told from other text", bytes.len()),
            "use a secret of at least 4 bytes",
        );
    }
    if bytes.len() > SECRET_MAX {
        return refused(
            format!("has more than {} KiB", SECRET_MAX / 1024),
            "a secret is a key or a password; give a program the path of a larger file",
        );
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.trim().len() < SECRET_MIN => {
            refused("is white space".into(), "give the value itself")
        }
        Ok(text) if text.contains('\0') => {
            refused("has a NUL character in it".into(), "use a secret that is text")
        }
        Ok(text) => Ok(text),
        Err(_) => refused("is not UTF-8 text".into(), "encode it, for example as base64"),
    }
}

fn of_variable(variable: &str) -> Result<Vec<u8>, Unfit> {
    std::env::var_os(variable)
        .map(OsStringExt::into_vec)
        .ok_or_else(|| Unfit::Absent { reason: "is not set".into() })
}

/// What a file holds, less one line end.
fn of_file(path: &Path) -> Result<Vec<u8>, Unfit> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Unfit::Absent { reason: "is not there".into() },
        _ => Unfit::Refused {
            reason: format!("cannot be read: {error}"),
            fix: "make the file readable for you".into(),
        },
    };
    // Looked at before it is opened: opening a FIFO would wait for its other end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        let (reason, fix) = ("is not a file".into(), "name a file with the value in it".into());
        return Err(Unfit::Refused { reason, fix });
    }
    let mut bytes = Vec::new();
    let most = SECRET_MAX as u64 + 3;
    std::fs::File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// What is missing, where, and the way out.
fn told(name: &str, def: &SecretDef, unfit: Unfit) -> Missing {
    let (source, how) = match &def.from {
        SecretSource::Env(variable) => {
            (format!("the variable {variable}"), format!("export {variable}=…"))
        }
        SecretSource::File(path) => {
            (format!("the file {path}"), format!("write the value to {path}, beside the workflow"))
        }
    };
    let (reason, fix) = match unfit {
        Unfit::Absent { reason } => {
            (reason, format!("{how}, or declare `optional = true` if the nodes can do without it"))
        }
        Unfit::Refused { reason, fix } => (reason, fix),
    };
    Missing { what: format!("secret `{name}`: {source} {reason}"), fix }
}

/// Refuses a run whose record would have a secret in it: the workflow file itself, what it uses,
/// its parameters, and the variables that its templates read.
///
/// # Errors
/// [`Failure::Recorded`] with every place.
pub(crate) fn check_recorded(
    secrets: &Secrets,
    workflow: &Workflow,
    params: &Params,
) -> Result<(), Failure> {
    let source = &workflow.definition.source;
    let mut places = Vec::new();
    let mut note = |place: String, found: Option<Arc<str>>| {
        places.extend(found.map(|secret| format!("{place}: the secret `{secret}`")));
    };
    note(format!("the workflow file {}", source.name), secrets.find(source.text.as_bytes()));
    for (name, value) in params.values() {
        note(format!("parameter `{name}`"), secrets.find_in_value(value));
    }
    // What cannot be read is told by whoever stores it.
    let of_path = |path: &Path| secrets.find_in_path(path).unwrap_or_default();
    for (name, path) in params.files() {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        note(format!("the file of parameter `{name}`"), of_path(&real));
    }
    for used in workflow.definition.nodes.values().flat_map(|node| &node.uses) {
        let path = source.dir.join(&used.value);
        let real = path.canonicalize().unwrap_or(path);
        note(format!("`{}`, which is in `uses`", used.value), of_path(&real));
    }
    for (name, value) in read_env(&workflow.graph) {
        note(format!("`env.{name}`"), secrets.find(value.as_bytes()));
    }
    places.dedup();
    if places.is_empty() { Ok(()) } else { Err(Failure::Recorded(places)) }
}
