//! What is recorded with a run when it starts, so that resume needs nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Event, Recorded};
use crate::digest::Digest;
use crate::payload::Artifact;

/// Name of the recorded manifest in the run's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Name of the recorded workflow file in the run's folder.
pub const DEFINITION_FILE: &str = "workflow.toml";

/// Name of a recorded manifest that took the place of the first one.
#[must_use]
pub fn later_manifest(manifest: &Digest) -> String {
    format!("manifest-{manifest}.json")
}

/// Name of a recorded workflow file that took the place of the first one.
#[must_use]
pub fn later_definition(definition: &Digest) -> String {
    format!("workflow-{definition}.toml")
}

/// The manifest that these records put in force last; `None` before the first record. What a run
/// goes by is what its journal names, so a change takes hold with one record or not at all.
#[must_use]
pub fn in_force(records: &[Recorded]) -> Option<Digest> {
    records.iter().rev().find_map(|recorded| match &recorded.event {
        Event::RunStarted { manifest, .. } | Event::RunResumed { manifest, .. } => Some(*manifest),
        _ => None,
    })
}

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
    /// Where files and folders of parameters were read: by parameter, followed by the JSON pointer
    /// to the artifact in its value (`slate`, `clips/0`).
    #[serde(default)]
    pub param_paths: BTreeMap<String, PathBuf>,
    /// Texts of the files that belong to the definition, schemas and nested workflow files, by their
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

impl Manifest {
    /// The manifest of a run without parameters and `uses`, one task at a time. `definition` is the
    /// text of the workflow.
    #[must_use]
    pub fn new(workflow_path: PathBuf, definition: &str, started_at: Timestamp) -> Self {
        Self {
            flow_version: env!("CARGO_PKG_VERSION").into(),
            workflow_path,
            definition: Digest::of(definition.as_bytes()),
            params: BTreeMap::new(),
            files: BTreeMap::new(),
            param_paths: BTreeMap::new(),
            uses: BTreeMap::new(),
            env: BTreeMap::new(),
            started_at,
            only: None,
            max_parallel: 1,
            fresh: false,
        }
    }
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
