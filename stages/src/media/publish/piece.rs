//! The piece that is published: its words from the idea, its digest from the video.

use std::path::PathBuf;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{Context, Job};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::Service;
use crate::client::publication::{Privacy, Publication};
use crate::contract::{AssemblyResult, IdeaPackage};
use crate::media::outbox::digest;
use crate::media::ports::{config_error, file, optional_input, text};

pub(super) const PRIVACIES: &str = "choose among private, unlisted, public";

/// The privacy with this name.
pub(super) fn privacy(name: &str) -> Option<Privacy> {
    [Privacy::Private, Privacy::Unlisted, Privacy::Public].into_iter().find(|p| p.name() == name)
}

/// Reads what is to be published.
///
/// # Errors
/// `config` for a setting that cannot work, `validation` for a video without content.
pub(super) async fn read(
    context: &dyn Context,
    job: &Job,
    service: &Service,
) -> Result<Publication, StageError> {
    let video = file(job, "reel")?;
    let idea: Option<IdeaPackage> = optional_input(job, "idea")?;
    let result: Option<AssemblyResult> = optional_input(job, "result")?;
    let (sha256, bytes) = measured(video.clone()).await?;
    let account = text(job, "account").or_else(|| service.option("account")).map(str::to_owned);
    let named = text(job, "name").map(str::to_owned);
    let idea_id = named.or_else(|| idea.as_ref().map(|idea| idea.idea_id.clone()));
    let idea_id = idea_id.ok_or_else(|| {
        let message = "there is neither an idea nor a name".to_owned();
        config_error("name", message, "bind `idea`, or name the piece: name = \"mashup\"")
    })?;
    let title = text(job, "title").map(str::to_owned);
    let caption = text(job, "caption").map(str::to_owned);
    let of_idea = |part: fn(&IdeaPackage) -> String| idea.as_ref().map(part).unwrap_or_default();
    Ok(Publication {
        name: name(&sha256, service.api.name, account.as_deref()),
        privacy: chosen_privacy(job)?,
        media_type: media_type(job),
        duration_ms: result.as_ref().and_then(|result| Some(result.outputs.first()?.duration_ms)),
        video_url: text(job, "video_url").map(str::to_owned),
        title: title.unwrap_or_else(|| of_idea(|idea| idea.headline.clone())),
        caption: caption.unwrap_or_else(|| of_idea(|idea| idea.caption.clone())),
        hashtags: idea.as_ref().map(|idea| idea.hashtags.clone()).unwrap_or_default(),
        facts: facts(context, idea.as_ref()),
        video,
        sha256,
        bytes,
        idea_id,
        account,
    })
}

/// The name under which a piece is published once.
fn name(sha256: &str, target: &str, account: Option<&str>) -> String {
    let whole = format!("{sha256}\n{target}\n{}", account.unwrap_or_default());
    Sha256::digest(whole.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn measured(video: PathBuf) -> Result<(String, u64), StageError> {
    let shown = video.display().to_string();
    let measured = tokio::task::spawn_blocking(move || digest(&video)).await;
    let operation = format!("read {shown}");
    let (sha256, bytes) = measured
        .map_err(|error| StageError::new(ErrorClass::Panic, &operation, error.to_string()))?
        .map_err(|error| StageError::from_io(&operation, &error))?;
    if bytes == 0 {
        let mut error = StageError::new(ErrorClass::Validation, operation, "the video is empty");
        error.unsent = true;
        let hint = "look at what made it: flow show RUN";
        return Err(error.kind(ErrorKind::Validation).port("reel").hint(hint));
    }
    Ok((sha256, bytes))
}

fn media_type(job: &Job) -> String {
    let found = job.inputs.get("reel").and_then(|reel| reel.get("media_type"));
    found.and_then(Value::as_str).unwrap_or("video/mp4").to_owned()
}

fn chosen_privacy(job: &Job) -> Result<Privacy, StageError> {
    let Some(name) = text(job, "privacy") else { return Ok(Privacy::default()) };
    privacy(name)
        .ok_or_else(|| config_error("privacy", format!("`{name}` is no privacy"), PRIVACIES))
}

fn facts(context: &dyn Context, idea: Option<&IdeaPackage>) -> Value {
    match idea {
        None => json!({"date": context.run_date().to_string()}),
        Some(idea) => json!({
            "date": context.run_date().to_string(),
            "matchup_id": idea.matchup_id,
            "angle": idea.angle,
            "pick": idea.pick,
            "disclaimer": idea.disclaimer,
            "provider": idea.provider,
        }),
    }
}
