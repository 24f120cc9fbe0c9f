//! Keys: the digest of all that a result depends on.
//!
//! In it: the stage and its version, the rendered configuration with inputs by digest and the
//! paths of outputs by name, the content of `uses`, and the declared output types. Not in it: the
//! names of node and item, policies, scratch paths, and the environment that is merely passed on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::json;

/// What goes into a key. Only the digest of it is recorded: a run's manifest, its definition and the
/// digests of its outputs give all of it again.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyParts<'a> {
    /// Name of the stage.
    pub stage: &'static str,
    /// Version of the stage.
    pub version: u32,
    /// `with`, rendered symbolically.
    pub config: Cow<'a, Value>,
    /// Payload digests by port; absent inputs are null.
    pub inputs: BTreeMap<String, Option<Digest>>,
    /// Digests of `uses` by path.
    pub uses: BTreeMap<String, Digest>,
    /// Declared outputs: name to type and where it is taken from.
    pub outputs: BTreeMap<String, String>,
}

impl KeyParts<'_> {
    /// The key.
    #[must_use]
    pub fn digest(&self) -> Digest {
        json::digest(&json!({
            "stage": self.stage, "version": self.version, "config": self.config,
            "inputs": self.inputs, "uses": self.uses, "outputs": self.outputs,
        }))
    }

    /// The same, with nothing borrowed.
    #[must_use]
    pub fn into_owned(self) -> KeyParts<'static> {
        KeyParts { config: Cow::Owned(self.config.into_owned()), ..self }
    }
}

/// The idempotency key of a task: the same for every attempt and resume.
#[must_use]
pub fn idempotency_key(run: &str, node: &str, item: Option<&str>, key: &Digest) -> String {
    json::digest(&json!([run, node, item, key])).to_string()
}
