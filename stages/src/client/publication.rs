//! What all services that publish have in common: the piece, what became of it, and how its bytes
//! and the service's own time are dealt with.

use std::future::Future;
use std::io::SeekFrom;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::policy::{format_duration, parse_duration};
use flow_core::stage::{Context, Progress};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::Instant;

use super::Service;
use super::call::pause;
use crate::transport::exchange::is_allowed;

/// Who may see a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Privacy {
    /// The account alone.
    #[default]
    Private,
    /// Whoever has the link.
    Unlisted,
    /// Everybody.
    Public,
}

impl Privacy {
    /// The word for it in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Unlisted => "unlisted",
            Self::Public => "public",
        }
    }
}

/// A piece that is to be published.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    /// The digest of the video, the target and the account: the same piece is never posted twice
    /// under one name.
    pub(crate) name: String,
    /// The video.
    pub(crate) video: PathBuf,
    /// Its SHA-256 digest in lower case.
    pub(crate) sha256: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// Its media type by content.
    pub(crate) media_type: String,
    /// Its length, where it is known.
    pub(crate) duration_ms: Option<u64>,
    /// Where everybody can read it, if it is anywhere.
    pub(crate) video_url: Option<String>,
    /// The idea it belongs to.
    pub(crate) idea_id: String,
    /// One line that names it.
    pub(crate) title: String,
    /// The text to post with it, without hashtags.
    pub(crate) caption: String,
    /// Words with `#` before them.
    pub(crate) hashtags: Vec<String>,
    /// Who may see it.
    pub(crate) privacy: Privacy,
    /// The account there.
    pub(crate) account: Option<String>,
    /// What else is known of it.
    pub(crate) facts: Value,
}

impl Publication {
    /// Caption and hashtags.
    pub(crate) fn words(&self) -> String {
        format!("{}\n\n{}", self.caption, self.hashtags.join(" ")).trim().to_owned()
    }

    /// The account, for services that post nowhere without one.
    ///
    /// # Errors
    /// `config` when there is none.
    pub(crate) fn account(&self, service: &Service, what: &str) -> Result<&str, StageError> {
        self.account.as_deref().ok_or_else(|| {
            let name = service.api.name;
            let message = format!("{name} needs {what}, and `account` is empty");
            let mut error = service.failure(ErrorClass::Config, format!("post to {name}"), message);
            error.unsent = true;
            error.hint(format!(
                "set with.account to {what}, or services = {{ {name} = {{ account = \"…\" }} }}"
            ))
        })
    }

    /// A part of the video.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn part(&self, from: u64, bytes: u64) -> Result<Vec<u8>, StageError> {
        let failed = |error: std::io::Error| {
            StageError::from_io(format!("read {}", self.video.display()), &error)
        };
        let mut file = tokio::fs::File::open(&self.video).await.map_err(failed)?;
        file.seek(SeekFrom::Start(from)).await.map_err(failed)?;
        let mut part = Vec::new();
        file.take(bytes).read_to_end(&mut part).await.map_err(failed)?;
        Ok(part)
    }

    /// Tells how much of the video is there.
    pub(crate) fn sent(&self, context: &dyn Context, bytes: u64) {
        context.progress(Progress {
            done: bytes as f64,
            total: Some(self.bytes as f64),
            unit: "bytes",
            message: "uploading".into(),
        });
    }
}

/// What became of a piece.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Published {
    /// Whether it was there already.
    pub(crate) unchanged: bool,
    /// What the service calls it.
    pub(crate) remote_id: Option<String>,
    /// Where everybody finds it.
    pub(crate) url: Option<String>,
    /// Where a person looks for it.
    pub(crate) place: String,
}

/// A value that an earlier attempt remembered, and has not forgotten since.
pub(crate) fn recalled(context: &dyn Context, key: &str) -> Option<Value> {
    context.remembered(key).filter(|value| !value.is_null())
}

/// Lets later attempts begin anew.
///
/// # Errors
/// Those of the store.
pub(crate) async fn forget(context: &dyn Context, key: &str) -> Result<(), StageError> {
    context.remember(key, json!(null)).await
}

/// A URL that a service has named: on its own origin, on an allowed host, or, where the service is
/// at its usual place, on one of the hosts that its documentation names for it.
///
/// # Errors
/// `config` when it leads elsewhere, `malformed` when it is no URL.
pub(crate) fn upload_url(
    service: &Service,
    operation: &str,
    text: &str,
    documented: &[&str],
) -> Result<Url, StageError> {
    let usual = Url::parse(service.api.base_url)
        .is_ok_and(|usual| usual.origin() == service.base_url.origin());
    let known = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        url.scheme() == "https" && documented.iter().any(|pattern| is_allowed(pattern, host))
    };
    match Url::parse(text) {
        Ok(url) if usual && known(&url) => Ok(url),
        _ => service.named_url(operation, text),
    }
}

/// How often a service is asked whether it is ready, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) every: Duration,
    pub(crate) most: Duration,
}

impl Patience {
    /// `services.NAME.poll` and `poll_max`, or what the service's documentation advises.
    ///
    /// # Errors
    /// `config` when one of them is no span of time.
    pub(crate) fn read(service: &Service, usual: Self) -> Result<Self, StageError> {
        let span = |name: &str, usual: Duration| match service.options.get(name) {
            None | Some(Value::Null) => Ok(usual),
            Some(value) => value.as_str().and_then(parse_duration).ok_or_else(|| {
                let field = format!("read with.services.{}.{name}", service.api.name);
                service
                    .failure(ErrorClass::Config, field, "it is no span")
                    .hint("write it as \"30s\"")
            }),
        };
        Ok(Self { every: span("poll", usual.every)?, most: span("poll_max", usual.most)? })
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// Those of `ask`; `timeout` when the service is not ready in time.
    pub(crate) async fn wait<T, F, Fut>(
        self,
        context: &dyn Context,
        service: &Service,
        operation: &str,
        mut ask: F,
    ) -> Result<T, StageError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Option<T>, StageError>>,
    {
        let begin = Instant::now();
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            if begin.elapsed() + self.every > self.most {
                return Err(self.never(service, operation));
            }
            pause(context, service, operation, self.every).await?;
        }
    }

    fn never(self, service: &Service, operation: &str) -> StageError {
        let (name, most) = (service.api.name, format_duration(self.most));
        service
            .failure(ErrorClass::Timeout, operation, format!("{name} was not ready within {most}"))
            .hint(format!(
                "what was uploaded is remembered: `flow resume` asks again. To wait longer: \
                 services = {{ {name} = {{ poll_max = \"…\" }} }}"
            ))
    }
}
