//! What nodes use beside the workflow file: looked at before the run, stored when it starts.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use flow_core::definition::Definition;
use flow_core::diagnostic::Diagnostic;
use flow_core::graph::Graph;
use flow_core::run::manifest::UsedPath;
use flow_core::schema::Type;
use flow_core::store::Store;

use crate::failure::Failure;

/// A path of `uses` that cannot be used.
pub(crate) const UNUSABLE: &str = "W150";

/// Faults of every entry of `uses` whose path cannot be stored, in nested workflow files too.
pub(super) fn faults(definition: &Definition) -> Vec<Diagnostic> {
    let mut seen = HashSet::new();
    let mut found = own_faults(definition);
    nested_faults(definition, &mut seen, &mut found);
    found
}

/// Faults of each nested file, once.
fn nested_faults(
    definition: &Definition,
    seen: &mut HashSet<*const Definition>,
    found: &mut Vec<Diagnostic>,
) {
    for child in definition.nodes.values().filter_map(|node| node.child.as_ref()) {
        let child = &child.definition;
        if seen.insert(Arc::as_ptr(child)) {
            let source = Arc::new(child.source.clone());
            found.extend(own_faults(child).into_iter().map(|fault| fault.within(&source)));
            nested_faults(child, seen, found);
        }
    }
}

fn own_faults(definition: &Definition) -> Vec<Diagnostic> {
    let dir = &definition.source.dir;
    let entries = definition.nodes.values().flat_map(|node| &node.uses);
    entries
        .filter_map(|entry| {
            let reason = unfit(&dir.join(&entry.value))?;
            let message = format!("`{}` cannot be used: {reason}", entry.value);
            let help =
                format!("paths of `uses` are relative to the workflow file, in {}", dir.display());
            Some(Diagnostic::error(UNUSABLE, entry.span.clone(), message).help(help))
        })
        .collect()
}

/// Why a path cannot be stored, if it cannot. A link itself is followed; links inside a folder are
/// refused, because what they mean depends on where the folder is.
fn unfit(path: &Path) -> Option<String> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some("it does not exist".to_owned());
        }
        Err(error) => return Some(error.to_string()),
    };
    if meta.is_dir() {
        return unfit_inside(path);
    }
    if !meta.is_file() {
        return Some("it is neither a file nor a folder".to_owned());
    }
    std::fs::File::open(path).err().map(|error| error.to_string())
}

fn unfit_inside(folder: &Path) -> Option<String> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return Some(format!("{}: {error}", folder.display())),
    };
    for entry in entries {
        let found = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
        let reason = match found {
            Ok((path, kind)) if kind.is_dir() => unfit_inside(&path),
            Ok((path, kind)) if kind.is_file() => {
                std::fs::File::open(&path).err().map(|error| format!("{}: {error}", path.display()))
            }
            Ok((path, _)) => Some(format!("{} is neither a file nor a folder", path.display())),
            Err(error) => Some(format!("{}: {error}", folder.display())),
        };
        if reason.is_some() {
            return reason;
        }
    }
    None
}

/// Stores everything that nodes use.
///
/// # Errors
/// A store that cannot take the bytes.
pub(super) fn store(
    store: &dyn Store,
    graph: &Graph,
) -> Result<BTreeMap<String, UsedPath>, Failure> {
    let mut seen = HashSet::new();
    let entries = graph
        .nodes()
        .iter()
        .flat_map(|node| node.uses.iter().map(|path| (node.home.recorded(path), &node.home, path)));
    entries
        .filter(|(recorded, ..)| seen.insert(recorded.clone()))
        .map(|(recorded, home, path)| {
            let path = home.dir.join(path);
            let artifact = flow_runtime::file_artifact(store, &path, &Type::File(None))
                .map_err(Failure::StoreStopped)?;
            let executable = !artifact.is_dir() && is_executable(&path);
            Ok((recorded, UsedPath { artifact, executable }))
        })
        .collect()
}

/// Whether anyone may run a file.
pub(super) fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}
