//! Outputs that come from a person: what is given goes through the same gate as what a stage makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::error::StageError;
use flow_core::graph::Node;
use flow_core::run::event::Outputs;
use flow_core::stage::{Draft, Drafts};
use flow_core::store::{InlinePayload, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::admit;

/// An answer to what a node asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it is yes.
    pub approved: bool,
    /// Who gives it.
    pub by: String,
    /// What they say to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Which of the offered answers it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// When it was given.
    pub at: jiff::Timestamp,
}

/// The outputs that an answer gives.
///
/// # Errors
/// When the node's declared output does not take the answer.
pub(crate) fn answer_outputs(
    store: &Arc<dyn Store>,
    node: &Node,
    answer: &Answer,
) -> Result<(Outputs, Vec<InlinePayload>), Box<StageError>> {
    let decision = json!({
        "approved": answer.approved, "by": answer.by, "comment": answer.comment,
        "choice": answer.choice, "at": answer.at.to_string(),
    });
    admit_outputs(store, node, BTreeMap::from([("decision".to_owned(), decision)]))
}

/// Holds values to the types of a node's outputs, and stores what is large.
///
/// # Errors
/// The first value that does not fit, with its port and place.
pub fn admit_outputs(
    store: &Arc<dyn Store>,
    node: &Node,
    values: BTreeMap<String, Value>,
) -> Result<(Outputs, Vec<InlinePayload>), Box<StageError>> {
    let drafts: Drafts =
        values.into_iter().map(|(port, value)| (port, Draft::Value(value))).collect();
    let admitted = admit::values(store, node, drafts)?;
    Ok((admitted.outputs, admitted.payloads))
}
