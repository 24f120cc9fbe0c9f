//! Files inside records.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file of a record: a path where a stage makes it, a stored file where one takes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FileRef {
    /// A file that the gate has yet to store.
    Made(PathBuf),
    /// A file in the object store.
    Stored {
        /// BLAKE3 digest of its bytes.
        #[serde(rename = "$file")]
        digest: String,
        /// File name without folders.
        name: String,
        /// Bytes.
        size: u64,
        /// Media type by content.
        media_type: String,
        /// Where a consumer can read it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<PathBuf>,
    },
}

impl FileRef {
    /// Where it can be read; a stored file has a path only inside an attempt with a scratch folder.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Made(path) => Some(path),
            Self::Stored { path, .. } => path.as_deref(),
        }
    }
}
