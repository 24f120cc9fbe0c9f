//! TikTok Content Posting API: direct post of a file.
//!
//! The creator is asked what is allowed; an upload is begun, and its `publish_id` and its URL (a
//! secret) are on the disk before the first byte goes up. A later attempt asks that `publish_id` what
//! became of it and goes on from there: another upload is never begun while one may still become a post.

use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use reqwest::Url;
use serde_json::{Value, json};

use super::publication::{Patience, Privacy, Publication, Published, forget, recalled, upload_url};
use super::{Answer, Api, Message, Service, call};

pub(crate) static TIKTOK: Api = Api {
    name: "tiktok",
    base_url: "https://open.tiktokapis.com",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(300),
    in_flight: 2,
    needs_key: true,
    key_env: "TIKTOK_ACCESS_TOKEN",
};

/// Where uploads go, by the documentation.
const UPLOAD_HOSTS: [&str; 1] = ["*.tiktokapis.com"];
/// A smaller file goes up as one chunk, a larger one in chunks of this; the last takes what is left.
const CHUNK: u64 = 10 * 1024 * 1024;
/// Thirty questions a minute are allowed.
const PATIENCE: Patience =
    Patience { every: Duration::from_secs(5), most: Duration::from_secs(600) };
/// What a title may have.
const TITLE_MAX: usize = 2_200;

/// Posts a piece.
///
/// # Errors
/// When it is not posted, or that cannot be known.
pub(crate) async fn publish(
    context: &dyn Context,
    service: &Service,
    piece: &Publication,
) -> Result<Published, StageError> {
    let post = Post { context, service, piece, key: service.key()? };
    let (id, mut state) = match recalled(context, &post.name()).and_then(|id| text(&id)) {
        Some(id) => {
            let state = post.state(&id).await?;
            (id, state)
        }
        None => (post.begin().await?, State::Uploading(0)),
    };
    if let State::Uploading(from) = state {
        state = post.upload(&id, from).await?;
    }
    let state = match state {
        State::Processing | State::Uploading(_) => post.wait(&id).await?,
        done => done,
    };
    post.end(id, state).await
}

/// How a post stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// So many bytes are there.
    Uploading(u64),
    Processing,
    /// It is posted; with the public id, if it has one.
    Posted(Option<String>),
    /// It never will be, for this reason.
    Failed(String),
}

struct Post<'a> {
    context: &'a dyn Context,
    service: &'a Service,
    piece: &'a Publication,
    key: &'a str,
}

impl Post<'_> {
    fn name(&self) -> String {
        format!("tiktok/{}/publish_id", self.piece.name)
    }

    /// The upload URL of a post.
    fn url_name(id: &str) -> String {
        format!("tiktok/{id}/upload_url")
    }

    /// Begins an upload, and keeps its id and its URL.
    async fn begin(&self) -> Result<String, StageError> {
        let privacy = self.privacy().await?;
        let operation = "begin the post";
        let chunk = chunk(self.piece.bytes);
        let request = json!({
            "post_info": {
                "title": self.piece.words().chars().take(TITLE_MAX).collect::<String>(),
                "privacy_level": privacy,
            },
            "source_info": {
                "source": "FILE_UPLOAD",
                "video_size": self.piece.bytes,
                "chunk_size": chunk,
                "total_chunk_count": self.piece.bytes / chunk,
            },
        });
        let (data, answer) = self.ask("/v2/post/publish/video/init/", operation, &request).await?;
        let (Some(id), Some(url)) = (text(&data["publish_id"]), text(&data["upload_url"])) else {
            return Err(answer.misshapen(self.service, "names no upload"));
        };
        // The URL first: an id without its URL could not be gone on with.
        self.context.remember_secret(&Self::url_name(&id), &url).await?;
        self.context.remember(&self.name(), json!(id)).await?;
        Ok(id)
    }

    /// What TikTok calls the wanted privacy, if the creator may use it.
    async fn privacy(&self) -> Result<&'static str, StageError> {
        let operation = "ask what the creator may post";
        let path = "/v2/post/publish/creator_info/query/";
        let (creator, _) = self.ask(path, operation, &json!({})).await?;
        let wanted = match self.piece.privacy {
            Privacy::Private => "SELF_ONLY",
            Privacy::Unlisted => "MUTUAL_FOLLOW_FRIENDS",
            Privacy::Public => "PUBLIC_TO_EVERYONE",
        };
        let options = creator["privacy_level_options"].as_array();
        if !options.into_iter().flatten().any(|option| option == wanted) {
            let message = format!("the creator may not post with the privacy {wanted}");
            return Err(self.refusal(operation, message).hint(
                "choose another with.privacy; clients that TikTok has not audited post in private only",
            ));
        }
        let most = creator["max_video_post_duration_sec"].as_u64();
        match (most, self.piece.duration_ms) {
            (Some(most), Some(ms)) if ms > most * 1_000 => {
                let message = format!("the video lasts {ms} ms, and the creator may post {most} s");
                Err(self.refusal(operation, message).hint("make it shorter"))
            }
            _ => Ok(wanted),
        }
    }

    fn refusal(&self, operation: &str, message: String) -> StageError {
        self.service.failure(ErrorClass::Rejected, operation, message)
    }

    /// Sends the chunks from the one in which `from` is.
    async fn upload(&self, id: &str, from: u64) -> Result<State, StageError> {
        let operation = "upload the video";
        let Some(url) = self.context.remembered_secret(&Self::url_name(id)) else {
            return self.state(id).await;
        };
        let url = upload_url(self.service, operation, &url, &UPLOAD_HOSTS)?;
        let chunks = chunks(self.piece.bytes);
        for (begin, end) in chunks.into_iter().filter(|(_, end)| *end > from) {
            self.piece.sent(self.context, begin);
            let sent = call(self.context, self.service, operation, async |number| {
                // The answer may have been lost after the chunk had arrived.
                if number > 1 {
                    match self.look(id).await? {
                        State::Uploading(there) if there < end => {}
                        State::Uploading(_) => return Ok(Sent::More),
                        other => return Ok(Sent::Is(other)),
                    }
                }
                self.put(&url, operation, begin, end).await
            });
            match sent.await? {
                Sent::More => {}
                Sent::Expired => return self.expired(id).await,
                Sent::Is(state) => return Ok(state),
            }
        }
        Ok(State::Processing)
    }

    async fn put(
        &self,
        url: &Url,
        operation: &str,
        begin: u64,
        end: u64,
    ) -> Result<Sent, StageError> {
        let bytes = self.piece.part(begin, end - begin).await?;
        let range = format!("bytes {begin}-{}/{}", end - 1, self.piece.bytes);
        let message = Message::put(url.clone())
            .bytes(bytes, &self.piece.media_type)
            .header("content-range", &range);
        let answer = self.service.send(self.context, operation, message).await?;
        match answer.status {
            200..=299 => Ok(Sent::More),
            403 | 404 | 410 => Ok(Sent::Expired),
            _ => Err(failure(self.service, &answer)),
        }
    }

    /// The upload URL is not valid any more: what did the service make of it?
    async fn expired(&self, id: &str) -> Result<State, StageError> {
        let state = self.state(id).await?;
        let State::Uploading(there) = state else { return Ok(state) };
        let total = self.piece.bytes;
        let message = format!("the upload URL has expired with {there} of {total} bytes there");
        // Bytes that can never be complete can never be posted.
        forget(self.context, &self.name()).await?;
        let error = self.service.failure(ErrorClass::Http4xx, "upload the video", message);
        Err(error.hint("nothing was posted: `flow resume` begins another upload"))
    }

    async fn wait(&self, id: &str) -> Result<State, StageError> {
        let patience = Patience::read(self.service, PATIENCE)?;
        let operation = "wait for the post";
        let ask = async || match self.state(id).await? {
            State::Uploading(_) | State::Processing => Ok(None),
            done => Ok(Some(done)),
        };
        patience.wait(self.context, self.service, operation, ask).await
    }

    async fn end(&self, id: String, state: State) -> Result<Published, StageError> {
        match state {
            State::Posted(public) => Ok(self.published(id, public)),
            State::Failed(reason) => {
                forget(self.context, &self.name()).await?;
                Err(self.failed(&reason))
            }
            State::Uploading(_) | State::Processing => {
                let message = format!("post {id} is not there yet");
                Err(self.service.failure(ErrorClass::Timeout, "wait for the post", message))
            }
        }
    }

    fn published(&self, id: String, public: Option<String>) -> Published {
        let account = self.piece.account.as_deref();
        let url = account.zip(public.as_deref()).map(|(account, post)| {
            format!("https://www.tiktok.com/@{}/video/{post}", account.trim_start_matches('@'))
        });
        let place = url.clone().unwrap_or_else(|| format!("tiktok post {id}"));
        Published { unchanged: false, remote_id: Some(public.unwrap_or(id)), url, place }
    }

    /// What a reason for which a post failed means.
    fn failed(&self, reason: &str) -> StageError {
        let class = match reason {
            "internal" => ErrorClass::Http5xx,
            "auth_removed" => ErrorClass::Auth,
            "spam_risk_too_many_posts" => ErrorClass::QuotaExhausted,
            "spam_risk_text" | "spam_risk" => ErrorClass::Moderated,
            "file_format_check_failed"
            | "duration_check_failed"
            | "frame_rate_check_failed"
            | "picture_size_check_failed" => ErrorClass::Validation,
            _ => ErrorClass::Rejected,
        };
        let message = format!("tiktok could not post it: {reason}");
        let error = self.service.failure(class, "wait for the post", message);
        error.hint(match class {
            ErrorClass::Auth => "the creator has taken back the permission: ask for it again",
            ErrorClass::QuotaExhausted => "the creator has posted as much as TikTok allows in a day",
            ErrorClass::Moderated => "change the words that were refused",
            ErrorClass::Validation => "TikTok takes MP4, WebM and MOV of 23 to 60 frames a second, at least 360 pixels wide",
            _ => "nothing was posted: `flow resume` begins another upload",
        })
    }

    /// How a post stands, asked as often as calls are.
    async fn state(&self, id: &str) -> Result<State, StageError> {
        call(self.context, self.service, "ask for the post", async |_try| self.look(id).await).await
    }

    /// How a post stands, asked once.
    async fn look(&self, id: &str) -> Result<State, StageError> {
        let path = "/v2/post/publish/status/fetch/";
        let (data, answer) =
            self.once(path, "ask for the post", &json!({"publish_id": id})).await?;
        match data["status"].as_str() {
            Some("PROCESSING_UPLOAD") => {
                Ok(State::Uploading(data["uploaded_bytes"].as_u64().unwrap_or(0)))
            }
            Some("PROCESSING_DOWNLOAD" | "SEND_TO_USER_INBOX") => Ok(State::Processing),
            Some("PUBLISH_COMPLETE") => Ok(State::Posted(public_id(&data))),
            Some("FAILED") => {
                Ok(State::Failed(text(&data["fail_reason"]).unwrap_or_else(|| "unknown".into())))
            }
            _ => Err(answer.misshapen(self.service, "has no known `status`")),
        }
    }

    async fn ask(
        &self,
        path: &str,
        operation: &str,
        body: &Value,
    ) -> Result<(Value, Answer), StageError> {
        call(self.context, self.service, operation, async |_try| {
            self.once(path, operation, body).await
        })
        .await
    }

    async fn once(
        &self,
        path: &str,
        operation: &str,
        body: &Value,
    ) -> Result<(Value, Answer), StageError> {
        let message = Message::post(self.service.url(path)?).json(body).bearer(self.key);
        let answer = self.service.send(self.context, operation, message).await?;
        if !answer.is_success() {
            return Err(failure(self.service, &answer));
        }
        let mut value = answer.json(self.service)?;
        match value.pointer("/error/code").and_then(Value::as_str) {
            Some("ok") => Ok((value["data"].take(), answer)),
            Some(_) => Err(failure(self.service, &answer)),
            None => Err(answer.misshapen(self.service, "has no `error.code`")),
        }
    }
}

/// What became of a chunk.
enum Sent {
    More,
    /// The upload URL is refused.
    Expired,
    /// The post has gone further than uploading.
    Is(State),
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Their word has a typing error, and may come right one day.
fn public_id(data: &Value) -> Option<String> {
    let ids = ["publicaly_available_post_id", "publicly_available_post_id"];
    let first = ids.iter().find_map(|name| data[*name].get(0))?;
    first.as_u64().map(|id| id.to_string()).or_else(|| text(first))
}

fn chunk(bytes: u64) -> u64 {
    if bytes < 2 * CHUNK { bytes.max(1) } else { CHUNK }
}

/// The chunks of a file: as many as whole ones fit, of which the last takes what is left.
fn chunks(bytes: u64) -> Vec<(u64, u64)> {
    let size = chunk(bytes);
    let count = bytes / size;
    let end = |at: u64| if at + 1 == count { bytes } else { (at + 1) * size };
    (0..count).map(|at| (at * size, end(at))).collect()
}

/// What the codes of TikTok mean: `{"error": {"code", "message", "log_id"}}`; `ok` is success.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let body = answer.value().unwrap_or_default();
    let error = &body["error"];
    let code = error["code"].as_str();
    let class = match code {
        Some(
            "access_token_invalid"
            | "scope_not_authorized"
            | "scope_permission_missed"
            | "token_not_authorized_for_specified_publish_id",
        ) => Some(ErrorClass::Auth),
        Some("rate_limit_exceeded") => Some(ErrorClass::RateLimited),
        Some(
            "spam_risk_too_many_posts"
            | "spam_risk_too_many_pending_share"
            | "reached_active_user_cap",
        ) => Some(ErrorClass::QuotaExhausted),
        Some(
            "spam_risk_user_banned_from_posting"
            | "unaudited_client_can_only_post_to_private_accounts"
            | "privacy_level_option_mismatch"
            | "url_ownership_unverified",
        ) => Some(ErrorClass::Rejected),
        Some("internal_error") => Some(ErrorClass::Http5xx),
        Some(code) if code != "ok" && answer.is_success() => Some(ErrorClass::Http4xx),
        _ => None,
    };
    let said = error["message"].as_str().map(|said| match code {
        Some(code) => format!("{code}: {said}"),
        None => said.to_owned(),
    });
    let mut refused = answer.refusal(service, class, said.as_deref());
    refused.request_id = text(&error["log_id"]).or(refused.request_id);
    match code {
        Some("access_token_invalid") => {
            refused.hint("the access token is expired: make a new one and set TIKTOK_ACCESS_TOKEN")
        }
        Some("privacy_level_option_mismatch") => {
            refused.hint("choose another with.privacy: one that the creator may use")
        }
        Some("reached_active_user_cap" | "spam_risk_too_many_pending_share") => refused.hint(
            "TikTok allows no more of it in a day: `flow resume` later",
        ),
        Some("unaudited_client_can_only_post_to_private_accounts") => refused.hint(
            "until TikTok has audited the client, make the account private and set with.privacy to private",
        ),
        Some("spam_risk_too_many_posts") => {
            refused.hint("the creator has posted as much as TikTok allows in a day: `flow resume` later")
        }
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_file_is_cut_as_the_service_counts() {
        for bytes in [1, 5 * MIB, 10 * MIB, 20 * MIB - 1, 20 * MIB, 25 * MIB + 3, 64 * MIB + 1] {
            let chunks = chunks(bytes);
            assert_eq!(chunks.len() as u64, bytes / chunk(bytes), "{bytes}");
            assert_eq!(chunks.first().map(|c| c.0), Some(0));
            assert_eq!(chunks.last().map(|c| c.1), Some(bytes));
            assert!(chunks.windows(2).all(|two| two[0].1 == two[1].0), "{bytes}");
            let whole = chunks.iter().rev().skip(1);
            assert!(whole.into_iter().all(|(from, to)| to - from == CHUNK), "{bytes}");
            assert!(chunks.iter().all(|(from, to)| to - from < 64 * MIB), "{bytes}");
        }
    }
}
