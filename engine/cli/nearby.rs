//! Workflow files that may have been meant instead of one that cannot be read.

use std::io;
use std::path::Path;

use flow_core::diagnostic::nearest;

use crate::session::Session;

/// The way out where a workflow file cannot be read.
pub(crate) fn way_out(path: &Path, source: &io::Error, env: &Session) -> Option<String> {
    match source.kind() {
        io::ErrorKind::NotFound => Some(instead_of(path, env)),
        io::ErrorKind::IsADirectory => {
            let files = workflow_files(path);
            let named = files.first().map_or("flow.toml", String::as_str);
            Some(format!("name a file in that folder, such as {}", path.join(named).display()))
        }
        io::ErrorKind::PermissionDenied => {
            Some(format!("make it readable: chmod +r {}", path.display()))
        }
        _ => None,
    }
}

/// What may have been meant instead of a file that is not there.
fn instead_of(path: &Path, env: &Session) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return format!("there is no folder {}", folder.display());
    }
    let files = workflow_files(folder);
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    match nearest(&name, files.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{}`?", path.with_file_name(near).display()),
        None if files.is_empty() => {
            format!(
                "no TOML file is there; make a starter project with: {}",
                env.command(&["init"])
            )
        }
        None => format!("TOML files there: {}", files.join(", ")),
    }
}

/// Names of the first TOML files in a folder, in order.
fn workflow_files(folder: &Path) -> Vec<String> {
    const MOST: usize = 10;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".toml")).collect();
    names.sort();
    names.truncate(MOST);
    names
}
