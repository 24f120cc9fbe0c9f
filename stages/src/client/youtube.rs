//! YouTube Data API v3: resumable upload of a video.
//!
//! A session is begun with what is said of the video; its URL is a secret, kept on the disk before the
//! first byte goes up. After a cut, or in a later process, the session is asked how much it has. One
//! that is gone may have made its video: the channel is looked through for this piece's mark, a tag,
//! before another session is begun.

mod channel;
mod token;

use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use reqwest::Url;
use serde_json::{Value, json};

use super::publication::{Publication, Published, recalled, upload_url};
use super::{Answer, Api, Message, Service, call};
use token::Bearer;

pub(crate) static YOUTUBE: Api = Api {
    name: "youtube",
    base_url: "https://www.googleapis.com",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(300),
    in_flight: 2,
    needs_key: true,
    key_env: "YOUTUBE_REFRESH_TOKEN",
};

/// Pieces of an upload are multiples of this.
const UNIT: u64 = 256 * 1024;
/// How much goes up in one request.
const PIECE: u64 = 32 * UNIT;
/// How often a session may have vanished in one attempt.
const SESSIONS: u64 = 2;

/// Uploads a piece.
///
/// # Errors
/// When there is no video in the end.
pub(crate) async fn publish(
    context: &dyn Context,
    service: &Service,
    piece: &Publication,
) -> Result<Published, StageError> {
    let upload = Upload { context, service, piece, bearer: Bearer::of(service)? };
    let mut begun = 0;
    loop {
        let video = match upload.session()? {
            Some(session) => upload.go_on(&session).await?,
            None => {
                begun += 1;
                let session = upload.begin().await?;
                upload.send_all(&session, At::Byte(0)).await?
            }
        };
        if let Some(id) = video {
            return Ok(published(id, false));
        }
        if let Some(id) = upload.find().await? {
            return Ok(published(id, true));
        }
        upload.next_session().await?;
        if begun >= SESSIONS {
            return Err(upload.gone());
        }
    }
}

fn published(id: String, unchanged: bool) -> Published {
    let url = format!("https://www.youtube.com/watch?v={id}");
    Published { unchanged, remote_id: Some(id), place: url.clone(), url: Some(url) }
}

/// How far an upload is.
enum At {
    /// So many bytes are there.
    Byte(u64),
    /// All of them, as this video.
    Video(String),
    /// The session is not known any more.
    Gone,
}

struct Upload<'a> {
    context: &'a dyn Context,
    service: &'a Service,
    piece: &'a Publication,
    bearer: Bearer<'a>,
}

impl Upload<'_> {
    /// How many sessions of this piece are known to be gone.
    fn round(&self) -> u64 {
        let round = recalled(self.context, &format!("youtube/{}/round", self.piece.name));
        round.and_then(|round| round.as_u64()).unwrap_or(0)
    }

    fn session_key(&self) -> String {
        format!("youtube/{}/session/{}", self.piece.name, self.round())
    }

    async fn next_session(&self) -> Result<(), StageError> {
        let key = format!("youtube/{}/round", self.piece.name);
        self.context.remember(&key, json!(self.round() + 1)).await
    }

    /// The session that an earlier attempt has begun.
    fn session(&self) -> Result<Option<Url>, StageError> {
        let known = self.context.remembered_secret(&self.session_key());
        known.map(|url| upload_url(self.service, "go on with the upload", &url, &[])).transpose()
    }

    /// Begins a session, and keeps its URL.
    async fn begin(&self) -> Result<Url, StageError> {
        let operation = "begin an upload";
        let url = self.service.url("/upload/youtube/v3/videos")?;
        let answer = call(self.context, self.service, operation, async |_try| {
            let message = Message::post(url.clone())
                .query("uploadType", "resumable")
                .query("part", "snippet,status")
                .header("x-upload-content-length", &self.piece.bytes.to_string())
                .header("x-upload-content-type", &self.piece.media_type)
                .json(&self.resource());
            let answer = self.bearer.send(self.context, operation, message).await?;
            match answer.is_success() {
                true => Ok(answer),
                false => Err(failure(self.service, &answer)),
            }
        })
        .await?;
        let Some(location) = answer.header("location") else {
            return Err(answer.misshapen(self.service, "names no upload session"));
        };
        let session = upload_url(self.service, operation, location, &[])?;
        self.context.remember_secret(&self.session_key(), session.as_str()).await?;
        Ok(session)
    }

    fn resource(&self) -> Value {
        let service = self.service;
        json!({
            "snippet": {
                "title": title(self.piece),
                "description": cut(&plain(&self.piece.words()), 5_000),
                "tags": tags(self.piece),
                "categoryId": service.option_or("category", "17"),
            },
            "status": {
                "privacyStatus": self.piece.privacy.name(),
                "selfDeclaredMadeForKids": false,
            },
        })
    }

    /// Asks a session of an earlier attempt how much it has, and sends the rest.
    async fn go_on(&self, session: &Url) -> Result<Option<String>, StageError> {
        let operation = "ask how far the upload is";
        let at = call(self.context, self.service, operation, async |_try| {
            self.ask(session, operation).await
        });
        self.send_all(session, at.await?).await
    }

    /// Sends what is missing; `None` when the session is gone.
    async fn send_all(&self, session: &Url, mut at: At) -> Result<Option<String>, StageError> {
        let operation = "upload the video";
        let mut stalled = 0;
        loop {
            let from = match at {
                At::Video(id) => return Ok(Some(id)),
                At::Gone => return Ok(None),
                At::Byte(from) => from,
            };
            self.piece.sent(self.context, from);
            at = call(self.context, self.service, operation, async |number| {
                // After a failure nobody knows how much has arrived but the session itself.
                let from = match number {
                    1 => from,
                    _ => match self.ask(session, operation).await? {
                        At::Byte(from) => from,
                        done => return Ok(done),
                    },
                };
                self.put(session, operation, from).await
            })
            .await?;
            stalled = if matches!(at, At::Byte(now) if now <= from) { stalled + 1 } else { 0 };
            if stalled >= self.service.retry.attempts {
                let message = format!("the upload does not get beyond byte {from}");
                return Err(self.service.failure(ErrorClass::Malformed, operation, message));
            }
        }
    }

    async fn ask(&self, session: &Url, operation: &str) -> Result<At, StageError> {
        let range = format!("bytes */{}", self.piece.bytes);
        let message = Message::put(session.clone())
            .bytes(Vec::new(), "application/octet-stream")
            .header("content-range", &range);
        self.at(self.bearer.send(self.context, operation, message).await?, 0)
    }

    async fn put(&self, session: &Url, operation: &str, from: u64) -> Result<At, StageError> {
        let bytes = self.piece.part(from, PIECE).await?;
        let to = from + bytes.len() as u64;
        let range = format!("bytes {from}-{}/{}", to.saturating_sub(1), self.piece.bytes);
        let message = Message::put(session.clone())
            .bytes(bytes, &self.piece.media_type)
            .header("content-range", &range);
        self.at(self.bearer.send(self.context, operation, message).await?, from)
    }

    /// What an answer of a session says.
    fn at(&self, answer: Answer, before: u64) -> Result<At, StageError> {
        match answer.status {
            200..=299 => match answer.json(self.service)?["id"].as_str() {
                Some(id) if !id.is_empty() => Ok(At::Video(id.to_owned())),
                _ => Err(answer.misshapen(self.service, "names no video")),
            },
            308 => match answer.header("range") {
                None => Ok(At::Byte(0)),
                Some(range) => end(range).map(At::Byte).ok_or_else(|| {
                    answer.misshapen(
                        self.service,
                        &format!("has a range that is none, after {before}"),
                    )
                }),
            },
            404 | 410 => Ok(At::Gone),
            _ => Err(failure(self.service, &answer)),
        }
    }

    /// The video of this piece on the channel.
    async fn find(&self) -> Result<Option<String>, StageError> {
        channel::find(self.context, self.service, &self.bearer, &mark(self.piece)).await
    }

    fn gone(&self) -> StageError {
        let message = "its upload sessions are gone before the video is there";
        self.service
            .failure(ErrorClass::Http5xx, "upload the video", message)
            .hint("nothing was posted: `flow resume` begins another session")
    }
}

/// The byte after a range such as `bytes=0-524287`.
fn end(range: &str) -> Option<u64> {
    let (_, last) = range.trim().trim_start_matches("bytes=").split_once('-')?;
    last.parse::<u64>().ok()?.checked_add(1)
}

/// The tag by which a piece is found on its channel.
fn mark(piece: &Publication) -> String {
    format!("flow{}", piece.name.get(..20).unwrap_or_default())
}

fn title(piece: &Publication) -> String {
    let title = plain(&piece.title);
    let title = if title.trim().is_empty() { piece.idea_id.clone() } else { title };
    cut(&title, 100)
}

/// YouTube refuses `<` and `>` in its texts.
fn plain(text: &str) -> String {
    text.replace(['<', '>'], " ")
}

/// At most so many bytes, without half a character.
fn cut(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].to_owned()
}

/// Tags have 500 characters together; the mark comes first.
fn tags(piece: &Publication) -> Vec<String> {
    let mut left = 450;
    let mut tags = vec![mark(piece)];
    for tag in piece.hashtags.iter().map(|tag| plain(tag.trim_start_matches('#'))) {
        let Some(rest) = usize::checked_sub(left, tag.len() + 3) else { break };
        left = rest;
        tags.push(tag);
    }
    tags
}

/// What the reasons of YouTube mean: `{"error": {"code", "message", "errors": [{"reason"}]}}`.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let body = answer.value().unwrap_or_default();
    let error = &body["error"];
    let reason = error["errors"][0]["reason"].as_str();
    let class = match reason {
        Some("quotaExceeded" | "dailyLimitExceeded" | "uploadLimitExceeded") => {
            Some(ErrorClass::QuotaExhausted)
        }
        Some("rateLimitExceeded" | "userRateLimitExceeded" | "uploadRateLimitExceeded") => {
            Some(ErrorClass::RateLimited)
        }
        Some("backendError" | "internalError" | "processingFailure") => Some(ErrorClass::Http5xx),
        Some(
            "authError"
            | "required"
            | "forbidden"
            | "insufficientPermissions"
            | "youtubeSignupRequired"
            | "accountClosed"
            | "accountSuspended",
        ) => Some(ErrorClass::Auth),
        _ => None,
    };
    let said = error["message"].as_str().map(|said| match reason {
        Some(reason) => format!("{reason}: {said}"),
        None => said.to_owned(),
    });
    let refused = answer.refusal(service, class, said.as_deref());
    match reason {
        Some("uploadLimitExceeded") => refused
            .hint("the channel has uploaded as much as it may in a day: `flow resume` tomorrow"),
        Some("quotaExceeded" | "dailyLimitExceeded") => refused.hint(
            "the project's quota is renewed at midnight Pacific time: `flow resume` then, or ask Google for more",
        ),
        Some("insufficientPermissions") => refused.hint(
            "the token must have the scopes youtube.upload and youtube.readonly: make it anew with both",
        ),
        Some("youtubeSignupRequired") => refused.hint("the account has no channel: make one first"),
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_say_where_to_go_on() {
        for (range, next) in [
            ("bytes=0-524287", Some(524_288)),
            ("0-99", Some(100)),
            ("bytes=0-", None),
            ("bytes", None),
            ("bytes=0-18446744073709551615", None),
        ] {
            assert_eq!(end(range), next, "{range}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }
}
