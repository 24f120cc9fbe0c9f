//! Identifiers: runs, nodes, ports, and the unit of execution.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {rule}")]
pub struct InvalidId {
    /// The text that was refused.
    pub text: String,
    /// What it should have been, such as `run id`.
    pub kind: &'static str,
    /// The rule it breaks, as a phrase.
    pub rule: &'static str,
}

/// The name of a run: 1–64 of `[A-Za-z0-9_-]`, never `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Arc<str>);

impl RunId {
    /// Checks `text` against the rule for run ids.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is empty, longer than 64 bytes, the reserved word `latest`, or
    /// has a character outside `[A-Za-z0-9_-]`.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let refuse = |rule| Err(InvalidId { text: text.to_owned(), kind: "run id", rule });
        if text == "latest" {
            return refuse("`latest` is reserved for the newest run");
        }
        if text.is_empty() || text.len() > 64 {
            return refuse("a run id has 1 to 64 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return refuse("a run id has only letters, digits, `_` and `-`");
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names that a node may not have, because expressions and references use them.
pub const RESERVED_NODE_NAMES: [&str; 9] =
    ["item", "index", "inputs", "outputs", "params", "run", "secrets", "env", "workflow"];

/// Checks the name of a node: 1–128 of `[A-Za-z0-9_.-]`, not starting with `.` or `-`, and not a
/// reserved word.
///
/// # Errors
/// [`InvalidId`] naming the rule that is broken.
pub fn check_node_name(text: &str) -> Result<(), InvalidId> {
    let refuse = |rule| Err(InvalidId { text: text.to_owned(), kind: "node name", rule });
    if text.is_empty() || text.len() > 128 {
        return refuse("a node name has 1 to 128 characters");
    }
    if text.starts_with(['.', '-']) {
        return refuse("a node name does not start with `.` or `-`");
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        return refuse("a node name has only ASCII letters, digits, `_`, `.` and `-`");
    }
    if RESERVED_NODE_NAMES.contains(&text) {
        return refuse("this word has a meaning of its own in expressions");
    }
    Ok(())
}

/// Checks the name of a port, parameter, type or pool: `[A-Za-z_][A-Za-z0-9_]*`.
///
/// # Errors
/// [`InvalidId`] naming the rule that is broken.
pub fn check_identifier(text: &str, kind: &'static str) -> Result<(), InvalidId> {
    let mut bytes = text.bytes();
    let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if head && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err(InvalidId {
        text: text.to_owned(),
        kind,
        rule: "it starts with a letter or `_` and has only ASCII letters, digits and `_`",
    })
}

/// A node's place in its [`Graph`](crate::graph::Graph): an index into declared order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The index, for slices.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The unit of execution: a whole node, or one item of a fanned-out node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The node.
    pub node: NodeId,
    /// The item's index in its list; `None` for a node that is not fanned out.
    pub item: Option<u32>,
}

impl TaskId {
    /// The only task of a node that is not fanned out.
    #[must_use]
    pub fn whole(node: NodeId) -> Self {
        Self { node, item: None }
    }

    /// One item of a fanned-out node.
    #[must_use]
    pub fn item(node: NodeId, index: u32) -> Self {
        Self { node, item: Some(index) }
    }
}
