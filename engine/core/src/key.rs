//! Keys: the digest of all that a result depends on.
//!
//! In it: the stage and its version, the rendered configuration with inputs by digest and the
//! paths of outputs by name, the content of `uses`, and the declared output types. Not in it: the
//! names of node and item, policies, scratch paths, and the environment that is merely passed on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::json;

/// What goes into a key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyParts<'a> {
    /// Name of the stage.
    pub stage: &'a str,
    /// Version of the stage.
    pub version: u32,
    /// `with`, rendered symbolically.
    pub config: &'a Value,
    /// Payload digests by port; absent inputs are null.
    pub inputs: &'a BTreeMap<String, Option<Digest>>,
    /// Digests of `uses` by path.
    pub uses: &'a BTreeMap<String, Digest>,
    /// Declared outputs: name to type and where it is taken from.
    pub outputs: &'a BTreeMap<String, String>,
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
}

/// The idempotency key of a task: the same for every attempt and resume.
#[must_use]
pub fn idempotency_key(run: &str, node: &str, item: Option<&str>, key: &Digest) -> String {
    json::digest(&json!([run, node, item, key])).to_string()
}
