//! Handing a piece over: what is asked for, and the proof that it was done.

use flow_core::schema::{MediaPattern, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{Contract, FileRef, checks};

/// A piece to hand over, and to whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct PublishRequest {
    /// Where it is to go, such as `outbox`.
    #[validate(custom(function = "checks::present"))]
    pub target: String,
    /// The account there, where the target has accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The video.
    pub file: FileRef,
    /// One line that names it.
    #[validate(length(min = 1, code = "advice", message = "a title"))]
    pub title: String,
    /// Text to post with it.
    #[validate(length(max = 2_200, code = "advice", message = "at most 2200 characters"))]
    pub caption: String,
    /// Who may see it: `private`, `unlisted` or `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "checks::privacy"))]
    #[schemars(extend("enum" = ["private", "unlisted", "public", null]))]
    pub privacy: Option<String>,
}

impl Contract for PublishRequest {
    const NAME: &'static str = "PublishRequest";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("target", Type::String),
            ("account", Type::String.optional()),
            ("file", Type::File(MediaPattern::parse("video/*"))),
            ("title", Type::String),
            ("caption", Type::String),
            ("privacy", Type::String.optional()),
        ]
    }
}

/// The proof that a piece was handed over. What continues an upload is a secret and is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct Receipt {
    /// Where it went, such as `outbox`.
    #[validate(custom(function = "checks::present"))]
    pub target: String,
    /// The account there, where the target has accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The idea it belongs to.
    pub idea_id: String,
    /// Where a person finds it.
    pub path: String,
    /// SHA-256 of the video, as `sha256sum` prints it.
    #[validate(custom(function = "checks::sha256"))]
    pub sha256: String,
    /// Size of the video.
    pub bytes: u64,
    /// `published`, or `unchanged` where the same was there already; a remote target may also say
    /// `queued`, `uploading`, `failed` or `unknown`.
    #[validate(custom(function = "checks::publish_status"))]
    #[schemars(extend("enum" = checks::PUBLISH_STATUS))]
    pub status: String,
    /// What the target calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// Where everybody finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How often it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

impl Contract for Receipt {
    const NAME: &'static str = "Receipt";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("target", Type::String),
            ("account", Type::String.optional()),
            ("idea_id", Type::String),
            ("path", Type::String),
            ("sha256", Type::String),
            ("bytes", Type::Integer),
            ("status", Type::String),
            ("remote_id", Type::String.optional()),
            ("url", Type::String.optional()),
            ("attempts", Type::Integer.optional()),
        ]
    }
}
