//! Where a node stands: its workflow file, with what the file says for all of its nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A workflow file of a graph: the one that was asked for, or one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Name of the workflow.
    pub name: String,
    /// The absolute folder that relative paths of the file start from.
    pub dir: PathBuf,
    /// Where programs are, by name.
    pub tools: Arc<BTreeMap<String, String>>,
    /// The folder relative to that of the outermost file; empty if it is the same.
    pub prefix: String,
}

impl Home {
    /// The name under which a used path is recorded: as written in the outermost file, and relative
    /// to the outermost file's folder for the others.
    #[must_use]
    pub fn recorded(&self, path: &str) -> String {
        join_path(&self.prefix, path)
    }
}

/// A path as seen from where `folder` is seen from. Without touching the disk: `.` and `..` are
/// resolved by name. A path in the same folder stays as it is written.
#[must_use]
pub fn join_path(folder: &str, path: &str) -> String {
    if folder.is_empty() {
        return path.to_owned();
    }
    let is_absolute = path.starts_with('/') || folder.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    let folders = if path.starts_with('/') { "" } else { folder };
    for part in folders.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    if is_absolute { format!("/{joined}") } else { joined }
}

#[cfg(test)]
mod tests {
    use super::join_path;

    #[test]
    fn paths_are_joined_by_name() {
        for (folder, path, joined) in [
            ("", "lib/", "lib/"),
            ("", "../x", "../x"),
            ("sub", "a.py", "sub/a.py"),
            ("sub/deep", "../a.py", "sub/a.py"),
            ("sub", "../../a.py", "../a.py"),
            ("../other", "./a/", "../other/a"),
            ("sub", "/etc/a", "/etc/a"),
            ("/abs", "../../a", "/a"),
        ] {
            assert_eq!(join_path(folder, path), joined, "{folder} + {path}");
        }
    }
}
