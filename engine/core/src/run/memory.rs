//! What the attempts of a task leave to later ones: an order that was placed with a service, the
//! part of a download that is there already.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;

/// Something that an attempt remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// A small value.
    Value(Arc<Value>),
    /// A file, as an object of the store.
    File {
        /// The object.
        digest: Digest,
        /// Its bytes.
        size: u64,
    },
    /// A value that must not be shown: it stands in a private file of the run.
    Secret,
}

/// What is remembered by name, for one key of a result.
pub type Memory = BTreeMap<String, Kept>;

/// What the attempts of a task remember, by the key of their result. An attempt gets what others
/// with its own key have left; a success ends it all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memories(BTreeMap<Digest, Memory>);

impl Memories {
    /// What was left for this key.
    #[must_use]
    pub fn of(&self, key: &Digest) -> Option<&Memory> {
        self.0.get(key)
    }

    /// Keeps something, in the place of what had its name.
    pub(super) fn keep(&mut self, key: Digest, name: String, kept: Kept) {
        self.0.entry(key).or_default().insert(name, kept);
    }

    /// The objects that it needs.
    pub fn objects(&self) -> impl Iterator<Item = &Digest> {
        self.0.values().flat_map(BTreeMap::values).filter_map(|kept| match kept {
            Kept::File { digest, .. } => Some(digest),
            Kept::Value(_) | Kept::Secret => None,
        })
    }
}
