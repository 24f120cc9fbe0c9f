//! The bytes of an answer on their way in.

use std::path::Path;
use std::time::{Duration, Instant};

use flow_core::error::{ErrorClass, StageError};
use flow_core::stage::{Context, Progress};
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use tokio::io::AsyncWriteExt as _;

use super::client::Settings;
use super::failure;
use super::request::Request;

/// The least time between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// The body of an answer that has not come yet.
pub(crate) struct Incoming<'a> {
    pub(crate) context: &'a dyn Context,
    pub(crate) request: &'a Request,
    pub(crate) settings: &'a Settings,
    pub(crate) response: Response,
}

impl Incoming<'_> {
    /// Refuses a compression that was not asked for: its bytes would be taken for the body. The
    /// client removes the header of what it can decompress.
    pub(crate) fn check_encoding(&self) -> Result<(), StageError> {
        let encoding = self.response.headers().get(CONTENT_ENCODING);
        let encoding = encoding.map(|e| String::from_utf8_lossy(e.as_bytes()).to_ascii_lowercase());
        match encoding.as_deref().map(str::trim) {
            None | Some("" | "identity") => Ok(()),
            Some(other) => {
                let message =
                    format!("the body is compressed with `{other}`, which was not asked for");
                Err(failure::of(self.request, ErrorClass::Malformed, message).port("body"))
            }
        }
    }

    /// All of it in memory; `None` if it has more bytes than `limit`, after decompression.
    pub(crate) async fn in_memory(&mut self, limit: u64) -> Result<Option<Vec<u8>>, StageError> {
        if self.response.content_length().is_some_and(|length| length > limit) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut report = Report::new(self.context, self.response.content_length());
        while let Some(chunk) = self.chunk(bytes.len() as u64).await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&chunk);
            report.at(bytes.len() as u64);
        }
        Ok(Some(bytes))
    }

    /// All of it as a file; how many bytes it has. A part of a file is not left behind.
    pub(crate) async fn save(&mut self, path: &Path) -> Result<u64, StageError> {
        let written = self.write(path).await;
        if written.is_err()
            && let Err(error) = tokio::fs::remove_file(path).await
        {
            tracing::debug!(path = %path.display(), %error, "a partial file stays");
        }
        written
    }

    async fn write(&mut self, path: &Path) -> Result<u64, StageError> {
        let failed = |error: std::io::Error| {
            StageError::from_io(format!("write {}", path.display()), &error).port("body")
        };
        let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
        let mut report = Report::new(self.context, self.response.content_length());
        let mut received = 0;
        while let Some(chunk) = self.chunk(received).await? {
            file.write_all(&chunk).await.map_err(failed)?;
            received += chunk.len() as u64;
            report.at(received);
        }
        file.flush().await.map_err(failed)?;
        Ok(received)
    }

    async fn chunk(
        &mut self,
        received: u64,
    ) -> Result<Option<impl std::ops::Deref<Target = [u8]> + use<>>, StageError> {
        let silence = |_elapsed| failure::of_silence(self.request, self.settings);
        let chunk = tokio::time::timeout(self.settings.idle, self.response.chunk()).await;
        chunk.map_err(silence)?.map_err(|error| failure::of_body(self.request, received, error))
    }
}

/// Tells how much has come, a few times a second at most.
struct Report<'a> {
    context: &'a dyn Context,
    total: Option<u64>,
    last: Option<Instant>,
}

impl<'a> Report<'a> {
    fn new(context: &'a dyn Context, total: Option<u64>) -> Self {
        Self { context, total, last: None }
    }

    fn at(&mut self, bytes: u64) {
        let due = self.last.is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if due || self.total == Some(bytes) {
            self.last = Some(Instant::now());
            self.context.progress(Progress {
                done: bytes as f64,
                total: self.total.map(|total| total as f64),
                unit: "bytes",
                message: "receiving".into(),
            });
        }
    }
}
