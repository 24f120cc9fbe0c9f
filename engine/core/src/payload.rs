//! Payloads: the values on edges. Every payload is JSON; artifacts stand in it as references.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;

/// The key that marks a JSON object as a reference to a stored file.
pub const FILE_MARK: &str = "$file";
/// The key that marks a JSON object as a reference to a stored folder.
pub const DIR_MARK: &str = "$dir";

/// A file or folder in the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Digest of the file's bytes, or of the folder's manifest.
    pub digest: Digest,
    /// File name without folders, as consumers will see it.
    pub name: String,
    /// Bytes of the file, or of all files of the folder.
    pub size: u64,
    /// Media type by content; `inode/directory` for folders.
    pub media_type: String,
}

/// The media type of folders.
pub const DIR_MEDIA_TYPE: &str = "inode/directory";

impl Artifact {
    /// Whether it is a folder.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.media_type == DIR_MEDIA_TYPE
    }

    /// The JSON form that stands in payloads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        let mark = if self.is_dir() { DIR_MARK } else { FILE_MARK };
        map.insert(mark.into(), Value::String(self.digest.to_string()));
        map.insert("name".into(), Value::String(self.name.clone()));
        map.insert("size".into(), Value::Number(self.size.into()));
        if !self.is_dir() {
            map.insert("media_type".into(), Value::String(self.media_type.clone()));
        }
        Value::Object(map)
    }

    /// Reads the JSON form; `None` for any other value.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let map = value.as_object()?;
        let is_dir = map.contains_key(DIR_MARK);
        let digest = map.get(if is_dir { DIR_MARK } else { FILE_MARK })?.as_str()?.parse().ok()?;
        let media_type = if is_dir { DIR_MEDIA_TYPE } else { map.get("media_type")?.as_str()? };
        Some(Self {
            digest,
            name: map.get("name")?.as_str()?.to_owned(),
            size: map.get("size")?.as_u64()?,
            media_type: media_type.to_owned(),
        })
    }
}

/// Calls `visit` for every artifact reference inside `value`.
pub fn each_artifact(value: &Value, visit: &mut dyn FnMut(Artifact)) {
    if let Some(artifact) = Artifact::from_json(value) {
        visit(artifact);
        return;
    }
    match value {
        Value::Array(list) => list.iter().for_each(|v| each_artifact(v, visit)),
        Value::Object(map) => map.values().for_each(|v| each_artifact(v, visit)),
        _ => {}
    }
}

/// A stored payload by reference: what events, checkpoints and tasks carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRef {
    /// The declared type of the port that made it, as text.
    #[serde(rename = "type")]
    pub ty: String,
    /// Digest of the canonical JSON; for a `file` or `dir` port, the artifact's own digest.
    pub digest: Digest,
    /// Bytes of the canonical JSON, or of the artifact.
    pub size: u64,
    /// The artifact itself, where the port is a `file` or `dir`: no JSON is stored then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
}

impl PayloadRef {
    /// The reference of a JSON payload whose canonical form is `bytes`.
    #[must_use]
    pub fn of_json(ty: String, bytes: &[u8]) -> Self {
        Self { ty, digest: Digest::of(bytes), size: bytes.len() as u64, artifact: None }
    }

    /// The reference of an artifact.
    #[must_use]
    pub fn of_artifact(ty: String, artifact: Artifact) -> Self {
        Self { ty, digest: artifact.digest, size: artifact.size, artifact: Some(artifact) }
    }
}
