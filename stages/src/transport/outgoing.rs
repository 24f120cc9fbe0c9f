//! The body of a request.

use std::path::PathBuf;

use flow_core::error::{ErrorClass, StageError};
use flow_core::json;
use flow_core::payload::{DIR_MARK, FILE_MARK};
use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use serde_json::Value;

/// What is sent, and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    content: Content,
    /// Its media type, where the headers name none.
    pub(crate) media_type: String,
}

#[derive(Clone)]
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
    pub(crate) fn json(value: &Value) -> Self {
        Self::bytes(json::canonical(value), "application/json")
    }

    /// Bytes of a known kind.
    pub(crate) fn bytes(bytes: Vec<u8>, media_type: &str) -> Self {
        Self { content: Content::Bytes(bytes), media_type: media_type.to_owned() }
    }

    /// A whole file, read while it is sent.
    pub(crate) fn file(path: PathBuf, media_type: &str) -> Self {
        Self { content: Content::File(path), media_type: media_type.to_owned() }
    }

    /// The body of `with.body`: text, the value of a reference, or a file.
    pub(crate) fn value(value: &Value) -> Result<Self, StageError> {
        Ok(match value {
            Value::String(text) => {
                Self::bytes(text.clone().into_bytes(), "text/plain; charset=utf-8")
            }
            Value::Object(map) if map.contains_key(DIR_MARK) => {
                let message = "a folder cannot be the body of a request";
                return Err(StageError::new(ErrorClass::Config, "read with.body", message)
                    .hint("send one of its files, or an archive of it"));
            }
            Value::Object(map) if map.contains_key(FILE_MARK) => {
                let text = |name| map.get(name).and_then(Value::as_str);
                let media_type = text("media_type").unwrap_or("application/octet-stream");
                let path = text("path").unwrap_or_default();
                Self::file(path.into(), media_type)
            }
            other => Self::json(other),
        })
    }

    /// Whether sending it may take long.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.content, Content::File(_))
    }

    /// Puts the body and its length into a request.
    pub(crate) async fn put_into(&self, request: &mut reqwest::Request) -> Result<(), StageError> {
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
