//! The proof that a piece was handed over.

use flow_core::schema::Type;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{Contract, checks};

/// The proof that a piece was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct Receipt {
    /// Where it went, such as `outbox`.
    #[validate(custom(function = "checks::present"))]
    pub target: String,
    /// The idea it belongs to.
    pub idea_id: String,
    /// Where a person finds it.
    pub path: String,
    /// SHA-256 of the video, as `sha256sum` prints it.
    pub sha256: String,
    /// Size of the video.
    pub bytes: u64,
    /// `published`, or `unchanged` where the same was there already.
    pub status: String,
}

impl Contract for Receipt {
    const NAME: &'static str = "Receipt";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("target", Type::String),
            ("idea_id", Type::String),
            ("path", Type::String),
            ("sha256", Type::String),
            ("bytes", Type::Integer),
            ("status", Type::String),
        ]
    }
}
