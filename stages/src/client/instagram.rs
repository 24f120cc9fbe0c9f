//! Instagram Reels (Graph API, content publishing): a container is made, filled, and published.
//!
//! The id of the container is on the disk before the first byte goes up. A later attempt asks it first
//! what became of it: one that is `PUBLISHED` is done, also if the answer to its publication was lost;
//! one that has expired or failed was never published, and another may be made.

use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use reqwest::Url;
use serde_json::{Value, json};

use super::publication::{Patience, Publication, Published, forget, recalled, upload_url};
use super::{Answer, Api, Message, Service, call};

pub(crate) static INSTAGRAM: Api = Api {
    name: "instagram",
    base_url: "https://graph.facebook.com",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(300),
    in_flight: 2,
    needs_key: true,
    key_env: "INSTAGRAM_ACCESS_TOKEN",
};

/// Where uploads go, by the documentation.
const UPLOAD_HOSTS: [&str; 1] = ["rupload.facebook.com"];
/// A version of the API that is served.
const VERSION: &str = "v23.0";
/// The documentation advises to ask once a minute, for no more than five.
const PATIENCE: Patience =
    Patience { every: Duration::from_secs(60), most: Duration::from_secs(600) };
/// What is being done when a container is asked how it stands.
const ASK: &str = "ask for the container";
/// What a post may have.
const CAPTION_MAX: usize = 2_200;

/// Publishes a piece as a reel.
///
/// # Errors
/// When it is not published, or that cannot be known.
pub(crate) async fn publish(
    context: &dyn Context,
    service: &Service,
    piece: &Publication,
) -> Result<Published, StageError> {
    let user = piece.account(service, "the id of the Instagram user")?;
    let reel = Reel { context, service, piece, user, key: service.key()? };
    let container = reel.container().await?;
    if let Some(published) = reel.finish(&container).await? {
        return Ok(published);
    }
    reel.publish(&container).await
}

/// What is known of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Container {
    id: String,
    /// Where its bytes go; none if the service fetches them.
    upload: Option<String>,
}

/// How a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    InProgress,
    Finished,
    Published,
    Expired,
    Failed,
}

struct Reel<'a> {
    context: &'a dyn Context,
    service: &'a Service,
    piece: &'a Publication,
    user: &'a str,
    key: &'a str,
}

impl Reel<'_> {
    fn name(&self) -> String {
        format!("instagram/{}/container", self.piece.name)
    }

    /// The container of an earlier attempt, else a new one.
    async fn container(&self) -> Result<Container, StageError> {
        if let Some(known) = recalled(self.context, &self.name()).and_then(|v| read(&v)) {
            return Ok(known);
        }
        let operation = "make a container";
        let url = self.service.url(&format!("{}/{}/media", self.version(), self.user))?;
        let body = self.call(operation, || self.message(url.clone())).await?;
        let Some(container) = read(&body.value) else {
            return Err(body.answer.misshapen(self.service, "names no container"));
        };
        let kept = json!({"id": container.id, "uri": container.upload});
        self.context.remember(&self.name(), kept).await?;
        Ok(container)
    }

    /// The documentation names the kind of upload in the query, and the rest in the body.
    fn message(&self, url: Url) -> Message {
        let message = Message::post(url).json(&self.request());
        match self.piece.video_url {
            Some(_) => message,
            None => message.query("upload_type", "resumable"),
        }
    }

    fn request(&self) -> Value {
        let mut request = json!({
            "media_type": "REELS",
            "caption": first(&self.piece.words(), CAPTION_MAX),
            "share_to_feed": true,
        });
        match &self.piece.video_url {
            Some(url) => request["video_url"] = json!(url),
            None => request["upload_type"] = json!("resumable"),
        }
        request
    }

    fn version(&self) -> String {
        format!("/{}", self.service.option_or("version", VERSION))
    }

    /// Fills a container and waits until it can be published; what was published, if it is already.
    async fn finish(&self, container: &Container) -> Result<Option<Published>, StageError> {
        let (status, uploaded) = self.status(container).await?;
        if status == Status::InProgress && !uploaded && container.upload.is_some() {
            self.upload(container).await?;
        }
        let operation = "wait for the container";
        let patience = Patience::read(self.service, PATIENCE)?;
        let status = patience.wait(self.context, self.service, operation, async || {
            let (status, _) = self.status(container).await?;
            Ok((status != Status::InProgress).then_some(status))
        });
        match status.await? {
            Status::Published => self.found(container).await.map(Some),
            Status::Expired => Err(self.lost(container, "has expired").await?),
            Status::Failed => Err(self.lost(container, "could not be processed").await?),
            Status::Finished | Status::InProgress => Ok(None),
        }
    }

    /// A container that was not published and never will be: the next attempt makes another.
    async fn lost(&self, container: &Container, how: &str) -> Result<StageError, StageError> {
        forget(self.context, &self.name()).await?;
        let message = format!("container {} {how}", container.id);
        let error = self.service.failure(ErrorClass::Rejected, "publish the reel", message);
        Ok(error.hint(
            "nothing was posted. Instagram takes MP4 of 3 s to 15 min with H.264, AAC and the index in \
             front; `flow resume` makes another container",
        ))
    }

    /// How a container stands, and whether all of its bytes are there; asked as often as calls are.
    async fn status(&self, container: &Container) -> Result<(Status, bool), StageError> {
        call(self.context, self.service, ASK, async |_try| self.look(container).await).await
    }

    /// The same, asked once.
    async fn look(&self, container: &Container) -> Result<(Status, bool), StageError> {
        let url = self.service.url(&format!("{}/{}", self.version(), container.id))?;
        let message = Message::get(url).query("fields", "id,status,status_code,video_status");
        let answer = self.service.send(self.context, ASK, message.bearer(self.key)).await?;
        if !answer.is_success() {
            return Err(failure(self.service, &answer));
        }
        let body = answer.json(self.service)?;
        let status = match body["status_code"].as_str() {
            Some("IN_PROGRESS") => Status::InProgress,
            Some("FINISHED") => Status::Finished,
            Some("PUBLISHED") => Status::Published,
            Some("EXPIRED") => Status::Expired,
            Some("ERROR") => Status::Failed,
            _ => return Err(answer.misshapen(self.service, "has no known `status_code`")),
        };
        let phase = body.pointer("/video_status/uploading_phase/status");
        Ok((status, phase.and_then(Value::as_str) == Some("complete")))
    }

    async fn upload(&self, container: &Container) -> Result<(), StageError> {
        let operation = "upload the video";
        let Some(upload) = &container.upload else { return Ok(()) };
        let url = upload_url(self.service, operation, upload, &UPLOAD_HOSTS)?;
        let done = call(self.context, self.service, operation, async |number| {
            // The answer may have been lost after the last byte.
            if number > 1 && matches!(self.look(container).await?, (_, true)) {
                return Ok(());
            }
            let message = Message::post(url.clone())
                .file(&self.piece.video, &self.piece.media_type)
                .header("authorization", &format!("OAuth {}", self.key))
                .header("offset", "0")
                .header("file_size", &self.piece.bytes.to_string());
            let answer = self.service.send(self.context, operation, message).await?;
            if !answer.is_success() {
                return Err(failure(self.service, &answer));
            }
            match answer.json(self.service)?["success"].as_bool() {
                Some(true) => Ok(()),
                _ => Err(answer.misshapen(self.service, "does not say that the upload succeeded")),
            }
        });
        done.await
    }

    /// Publishes a container. It is not sent again before the container has said that it is not
    /// published.
    async fn publish(&self, container: &Container) -> Result<Published, StageError> {
        let operation = "publish the reel";
        let url = self.service.url(&format!("{}/{}/media_publish", self.version(), self.user))?;
        let id = call(self.context, self.service, operation, async |number| {
            if number > 1 && self.look(container).await?.0 == Status::Published {
                return Ok(None);
            }
            let message = Message::post(url.clone())
                .query("creation_id", &container.id)
                .json(&json!({"creation_id": container.id}));
            let sent = self.service.send(self.context, operation, message.bearer(self.key));
            let answer = sent.await?;
            if !answer.is_success() {
                return Err(failure(self.service, &answer));
            }
            match text(&answer.json(self.service)?["id"]) {
                Some(id) => Ok(Some(id)),
                None => Err(answer.misshapen(self.service, "names no post")),
            }
        });
        match id.await? {
            Some(id) => self.published(id, false).await,
            None => self.found(container).await,
        }
    }

    /// The post of a container that is published: the newest one with these words.
    async fn found(&self, container: &Container) -> Result<Published, StageError> {
        let url = self.service.url(&format!("{}/{}/media", self.version(), self.user))?;
        let get = || {
            let message = Message::get(url.clone()).query("fields", "id,caption,permalink");
            message.query("limit", 25)
        };
        let list = self.call("look for the reel", get).await?.value;
        let words = first(&self.piece.words(), CAPTION_MAX);
        let posts = list["data"].as_array();
        let post =
            posts.into_iter().flatten().find(|post| post["caption"].as_str() == Some(&words));
        let place = format!("instagram container {}", container.id);
        Ok(match post {
            Some(post) => of_post(post, true, place),
            None => Published { unchanged: true, remote_id: None, url: None, place },
        })
    }

    /// A post, with its link if that can be had.
    async fn published(&self, id: String, unchanged: bool) -> Result<Published, StageError> {
        let place = format!("instagram media {id}");
        let url = self.service.url(&format!("{}/{id}", self.version()))?;
        let get = || Message::get(url.clone()).query("fields", "id,permalink");
        // It is posted: what is only nice to know must not let the attempt fail.
        match self.call("ask for the link of the reel", get).await {
            Ok(body) => Ok(of_post(&body.value, unchanged, place)),
            Err(error) => {
                context_warning(self.context, &error);
                Ok(Published { unchanged, remote_id: Some(id), url: None, place })
            }
        }
    }

    async fn call(
        &self,
        operation: &str,
        message: impl Fn() -> Message,
    ) -> Result<Body, StageError> {
        call(self.context, self.service, operation, async |_try| {
            let sent = self.service.send(self.context, operation, message().bearer(self.key));
            let answer = sent.await?;
            match answer.is_success() {
                true => answer.json(self.service).map(|value| Body { value, answer }),
                false => Err(failure(self.service, &answer)),
            }
        })
        .await
    }
}

/// A success, and the answer that it came in.
struct Body {
    value: Value,
    answer: Answer,
}

fn context_warning(context: &dyn Context, error: &StageError) {
    context.warn(format!("the reel is published, and its link is not known: {}", error.message));
}

fn of_post(post: &Value, unchanged: bool, place: String) -> Published {
    let url = text(&post["permalink"]);
    Published { unchanged, remote_id: text(&post["id"]), place: url.clone().unwrap_or(place), url }
}

fn read(value: &Value) -> Option<Container> {
    Some(Container { id: text(&value["id"])?, upload: text(&value["uri"]) })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// What the codes of the Graph API mean:
/// `{"error": {"message", "type", "code", "error_subcode", "fbtrace_id"}}`, and of its uploads:
/// `{"debug_info": {"retriable", "type", "message"}}`.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let body = answer.value().unwrap_or_default();
    let error = &body["error"];
    let (code, subcode) = (error["code"].as_i64(), error["error_subcode"].as_i64());
    let class = match (code, subcode) {
        (_, Some(2_207_042)) => Some(ErrorClass::QuotaExhausted),
        (_, Some(2_207_051 | 2_207_050)) => Some(ErrorClass::Rejected),
        (_, Some(2_207_003 | 2_207_053 | 2_207_020)) => Some(ErrorClass::Network),
        // The container is still being processed.
        (_, Some(2_207_027)) => Some(ErrorClass::Network),
        (Some(190 | 102 | 10 | 3 | 200..=299), _) => Some(ErrorClass::Auth),
        (Some(4 | 17 | 32 | 613), _) => Some(ErrorClass::RateLimited),
        (Some(9), _) => Some(ErrorClass::QuotaExhausted),
        (Some(368), _) => Some(ErrorClass::Rejected),
        (Some(1 | 2), _) if answer.status >= 500 || error["is_transient"] == true => {
            Some(ErrorClass::Http5xx)
        }
        (None, _) if body["debug_info"]["retriable"] == true => Some(ErrorClass::Network),
        _ => None,
    };
    let said = error["message"].as_str().or_else(|| body["debug_info"]["message"].as_str());
    let mut refused = answer.refusal(service, class, said);
    refused.request_id = text(&error["fbtrace_id"]).or(refused.request_id);
    match (code, subcode) {
        (Some(190), _) => refused.hint(
            "the access token is expired or revoked: make a new one and set INSTAGRAM_ACCESS_TOKEN",
        ),
        (Some(4), _) if refused.class == ErrorClass::RateLimited => {
            refused.hint("the app has asked too often: `flow resume` in an hour")
        }
        (Some(9), _) | (_, Some(2_207_042)) => refused
            .hint("the account has posted as much as it may in 24 hours: `flow resume` later"),
        _ => refused,
    }
}
