//! The body of a request.

use std::path::PathBuf;

use flow_core::error::{ErrorClass, StageError};
use flow_core::json;
use flow_core::payload::{DIR_MARK, FILE_MARK};
use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use serde_json::Value;

/// What is sent, and what it is.
#[derive(Debug)]
pub(super) struct Outgoing {
    content: Content,
    /// Its media type, where the headers name none.
    pub(super) media_type: String,
}

enum Content {
    Bytes(Vec<u8>),
    /// Opened anew for each request, because a redirect can ask for it twice.
    File(PathBuf),
}

/// Says how much it is, and never what.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Outgoing {
    /// The body of `with.json`.
    pub(super) fn json(value: &Value) -> Self {
        Self {
            content: Content::Bytes(json::canonical(value)),
            media_type: "application/json".into(),
        }
    }

    /// The body of `with.body`: text, the value of a reference, or a file.
    pub(super) fn value(value: &Value) -> Result<Self, StageError> {
        Ok(match value {
            Value::String(text) => Self {
                content: Content::Bytes(text.clone().into_bytes()),
                media_type: "text/plain; charset=utf-8".into(),
            },
            Value::Object(map) if map.contains_key(DIR_MARK) => {
                let message = "a folder cannot be the body of a request";
                return Err(StageError::new(ErrorClass::Config, "read with.body", message)
                    .hint("send one of its files, or an archive of it"));
            }
            Value::Object(map) if map.contains_key(FILE_MARK) => {
                let text = |name| map.get(name).and_then(Value::as_str);
                let media_type = text("media_type").unwrap_or("application/octet-stream").into();
                let path = text("path").unwrap_or_default();
                Self { content: Content::File(path.into()), media_type }
            }
            other => Self::json(other),
        })
    }

    /// Whether sending it may take long.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.content, Content::File(_))
    }

    /// Puts the body and its length into a request.
    pub(super) async fn put_into(&self, request: &mut reqwest::Request) -> Result<(), StageError> {
        match &self.content {
            Content::Bytes(bytes) => *request.body_mut() = Some(bytes.clone().into()),
            Content::File(path) => {
                let failed = |error: std::io::Error| {
                    StageError::from_io(format!("open {} as a body", path.display()), &error)
                };
                let file = tokio::fs::File::open(path).await.map_err(failed)?;
                let length = file.metadata().await.map_err(failed)?.len();
                // Many services refuse a body of unknown length.
                request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
                *request.body_mut() = Some(file.into());
            }
        }
        Ok(())
    }
}
