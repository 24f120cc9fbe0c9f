//! What is recorded with a run when it starts, so that resume needs nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::payload::Artifact;

/// Name of the recorded manifest in the run's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Name of the recorded workflow file in the run's folder.
pub const DEFINITION_FILE: &str = "workflow.toml";

/// The start of a run: everything besides the definition's text that its results depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of `flow` that wrote it.
    pub flow_version: String,
    /// Absolute path of the workflow file.
    pub workflow_path: PathBuf,
    /// Digest of the recorded definition.
    pub definition: Digest,
    /// Parameter values; a file is an artifact reference.
    pub params: BTreeMap<String, Value>,
    /// Where file parameters were read, by parameter.
    #[serde(default)]
    pub param_paths: BTreeMap<String, PathBuf>,
    /// Texts of the files that belong to the definition, such as nested workflow files, by their
    /// path relative to the workflow file's folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Recorded `uses` by the path written in the file, of a nested workflow file by the path
    /// relative to the outermost file's folder: a file or folder each.
    #[serde(default)]
    pub uses: BTreeMap<String, UsedPath>,
    /// Environment variables that templates read, as they were when the run began; unset ones are
    /// absent.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// When the run began.
    pub started_at: Timestamp,
    /// The only node wanted, with its ancestors, if the run was limited.
    #[serde(default)]
    pub only: Option<String>,
    /// Tasks that hold a slot at once.
    pub max_parallel: u32,
    /// Whether results of other runs are left alone, whatever `cache` says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

/// A recorded file or folder of `uses`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsedPath {
    /// Its content.
    pub artifact: Artifact,
    /// Whether a file is executable.
    #[serde(default)]
    pub executable: bool,
}
