//! `media.publish`: a finished piece to one service, never twice.
//!
//! Each target is idempotent by itself: by a key that the receiver knows (`webhook`), by the name of
//! the object (`s3`), or because an attempt first asks what became of the upload that an earlier one
//! has begun (`youtube`, `instagram`, `tiktok`). So a node may say `effect = { idempotent = true }`.

mod piece;

use std::collections::BTreeMap;

use flow_core::error::StageError;
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Drafts, FieldKind, Job, NodeView, Ports, Stage, StageSpec,
};
use serde_json::Value;

use super::ports::{config_error, draft, field, optional_port, port, text};
use crate::client::instagram::INSTAGRAM;
use crate::client::publication::{Publication, Published, recalled};
use crate::client::s3::S3;
use crate::client::service::{keys_field, services_field};
use crate::client::tiktok::TIKTOK;
use crate::client::webhook::WEBHOOK;
use crate::client::youtube::YOUTUBE;
use crate::client::{Api, Remote, Service, instagram, s3, tiktok, webhook, youtube};
use crate::contract::{self, AssemblyResult, IdeaPackage, Receipt};

/// The services that a piece can go to.
static TARGETS: [&Api; 5] = [&WEBHOOK, &S3, &YOUTUBE, &INSTAGRAM, &TIKTOK];

/// Publishes a piece at one service.
pub(super) struct PublishStage {
    spec: StageSpec,
    remote: Remote,
}

impl PublishStage {
    pub(super) fn new(remote: Remote) -> Self {
        Self { spec: spec(), remote }
    }
}

fn spec() -> StageSpec {
    StageSpec {
        name: "media.publish",
        version: 1,
        summary: "Publishes a reel at one service, never twice",
        inputs: Ports::Fixed(vec![
            port("reel", Type::File(MediaPattern::parse("video/*")), "The video."),
            optional_port(
                "idea",
                contract::ty::<IdeaPackage>(),
                "The idea with its headline, caption and hashtags; without it `name`, `title` and \
                 `caption` tell them.",
            ),
            optional_port(
                "result",
                contract::ty::<AssemblyResult>(),
                "How it was made; its length is checked before anything is sent.",
            ),
        ]),
        outputs: Ports::Fixed(vec![port(
            "receipt",
            contract::ty::<Receipt>(),
            "Where it is, what the service calls it, and the digest of the video.",
        )]),
        config: vec![
            flow_core::stage::FieldSpec {
                name: "target",
                kind: FieldKind::Text,
                optional: false,
                doc: "Where it goes: `webhook`, `s3`, `youtube`, `instagram` or `tiktok`.",
            },
            field(
                "account",
                FieldKind::Text,
                "The account there: a bucket, the id of an Instagram user, the name of a channel; default: \
                 `services.TARGET.account`.",
            ),
            field("privacy", FieldKind::Text, "`private` (default), `unlisted` or `public`."),
            field("title", FieldKind::Text, "One line; default: the idea's headline."),
            field(
                "caption",
                FieldKind::Text,
                "Words to post with it; default: the idea's caption. Its hashtags follow.",
            ),
            field("name", FieldKind::Text, "What it is called; default: the idea's id."),
            field(
                "video_url",
                FieldKind::Text,
                "Where everybody can read the video: told to webhooks, and fetched by Instagram in the \
                 place of an upload.",
            ),
            services_field(),
            keys_field(),
        ],
        needs_scratch: true,
        example: r#"[nodes.publish]
stage  = "media.publish"
inputs = { reel = "assemble.reel", idea = "ideas.idea", result = "assemble.result" }
effect = { idempotent = true }
with   = { target = "youtube", privacy = "private", keys = { youtube = "{{ secrets.youtube_token }}" } }
"#,
    }
}

impl Stage for PublishStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let written = |name: &str| {
            let text = node.config.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty() && !text.contains("{{"))
        };
        let fault = |name: &str, message: String, help: String| ConfigFault {
            pointer: format!("/{name}"),
            message,
            help: Some(help),
        };
        let target = written("target").filter(|name| api(name).is_none());
        let privacy = written("privacy").filter(|name| piece::privacy(name).is_none());
        let target = target.map(|n| fault("target", format!("`{n}` is no target"), choices()));
        let privacy = privacy
            .map(|n| fault("privacy", format!("`{n}` is no privacy"), piece::PRIVACIES.into()));
        target.into_iter().chain(privacy).collect()
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let name = text(&job, "target").unwrap_or_default();
            let api = api(name).ok_or_else(|| {
                config_error("target", format!("`{name}` is no target"), &choices())
            })?;
            if !context.has_effect() {
                context.warn(
                    "the node does not say that it acts: write effect = { idempotent = true }, so that \
                     `rerun` asks before it posts again"
                        .to_owned(),
                );
            }
            let service = Service::read(api, &job, &self.remote)?;
            let piece = piece::read(context, &job, &service).await?;
            let published = once(context, &service, &piece).await?;
            let receipt = receipt(context, api, &piece, published);
            Ok(BTreeMap::from([("receipt".to_owned(), draft(&receipt)?)]))
        })
    }
}

fn api(name: &str) -> Option<&'static Api> {
    TARGETS.iter().find(|api| api.name == name).copied()
}

fn choices() -> String {
    let names: Vec<&str> = TARGETS.iter().map(|api| api.name).collect();
    format!("choose among {}", names.join(", "))
}

/// What an earlier attempt has published, else publishes it; both are on the disk before they are told.
async fn once(
    context: &dyn Context,
    service: &Service,
    piece: &Publication,
) -> Result<Published, StageError> {
    let name = format!("published/{}", piece.name);
    let known = recalled(context, &name).and_then(|value| serde_json::from_value(value).ok());
    if let Some(published) = known {
        return Ok(published);
    }
    let published = publish(context, service, piece).await?;
    // What cannot be kept is found again by asking the service.
    if let Ok(value) = serde_json::to_value(&published) {
        context.remember(&name, value).await?;
    }
    Ok(published)
}

async fn publish(
    context: &dyn Context,
    service: &Service,
    piece: &Publication,
) -> Result<Published, StageError> {
    match service.api.name {
        "webhook" => webhook::publish(context, service, piece).await,
        "s3" => s3::publish(context, service, piece).await,
        "youtube" => youtube::publish(context, service, piece).await,
        "instagram" => instagram::publish(context, service, piece).await,
        _ => tiktok::publish(context, service, piece).await,
    }
}

fn receipt(context: &dyn Context, api: &Api, piece: &Publication, published: Published) -> Receipt {
    let status = if published.unchanged { "unchanged" } else { "published" };
    Receipt {
        target: api.name.to_owned(),
        account: piece.account.clone(),
        idea_id: piece.idea_id.clone(),
        path: published.place,
        sha256: piece.sha256.clone(),
        bytes: piece.bytes,
        status: status.to_owned(),
        remote_id: published.remote_id,
        url: published.url,
        attempts: Some(context.attempt()),
    }
}
