//! A model that looks at a slide before it is used.

use std::io::Cursor;

use flow_core::error::{ErrorClass, StageError};
use flow_core::stage::{Context, Fallback, FallbackReason, Job};
use image::RgbImage;
use image::imageops::{self, FilterType};
use serde_json::{Value, json};

use super::super::ports::{config_error, text};
use super::broken;
use crate::client::gemini::{self, GEMINI};
use crate::client::language::{Picture, Question, Turn};
use crate::client::{Remote, Service};
use crate::contract::{AssetCheck, ScriptSection};

/// How wide and high a slide is when it is shown to the model: enough to see what is wrong.
const SHOWN: (u32, u32) = (540, 960);

const SYSTEM: &str = "You check slides of short sports videos before they are published. A slide has a \
    photograph or painting as its background, with words that were drawn over it. Judge the background and \
    whether the words can be read: the words themselves are right. A slide fails when its background has \
    letters, numbers, logos or watermarks of its own, bodies or hands that are wrong, something offensive, \
    nothing of what was asked for, or when it makes the words hard to read.";

/// The model that `with.check` names.
///
/// # Errors
/// `config` when there is no such model, or its settings cannot be read.
pub(super) fn critic(job: &Job, remote: &Remote) -> Result<Option<Service>, StageError> {
    match text(job, "check") {
        None => Ok(None),
        Some(name) if name == GEMINI.name => Service::read(&GEMINI, job, remote).map(Some),
        Some(other) => {
            let message = format!("`{}` cannot check slides", other.escape_debug());
            Err(config_error("check", message, "write check = \"gemini\", or leave it out"))
        }
    }
}

/// Whether the critic has its key; says so if it has none.
pub(super) fn has_key(context: &dyn Context, critic: &Service) -> bool {
    if !critic.has_key() {
        let from = critic.api.name.to_owned();
        context.provider_fallback(Fallback { from, to: None, reason: FallbackReason::NoKey });
    }
    critic.has_key()
}

/// What the model thinks of a slide.
///
/// # Errors
/// Those of the service; `malformed` when it does not answer as it was asked to.
pub(super) async fn look(
    context: &dyn Context,
    critic: &Service,
    section: &ScriptSection,
    prompt: &str,
    slide: RgbImage,
) -> Result<AssetCheck, StageError> {
    let operation = format!("check the slide of section {}", section.section_id);
    let shown = tokio::task::spawn_blocking(move || shown(&slide)).await;
    let bytes = shown.map_err(|error| broken("show a slide", error))??;
    let asked = format!("The background was asked for with these words: {prompt}");
    let question = Question {
        system: SYSTEM.into(),
        turns: vec![Turn::User(asked, vec![Picture { media_type: "image/jpeg".into(), bytes }])],
        schema: json!({
            "type": "object",
            "properties": {
                "passed": {"type": "boolean"},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "issues": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
            },
            "required": ["passed", "score", "issues"],
        }),
        most_tokens: 1024,
    };
    let written = gemini::generate(context, critic, &operation, &question).await?;
    verdict(&written.value).ok_or_else(|| {
        let message = "the answer is no verdict: passed, a score from 0 to 1, and issues";
        critic.failure(ErrorClass::Malformed, operation, message).cause(&written.value)
    })
}

fn verdict(value: &Value) -> Option<AssetCheck> {
    let score = value["score"].as_f64().filter(|score| (0.0..=1.0).contains(score))?;
    let issues = value["issues"].as_array().map_or(&[][..], Vec::as_slice);
    let sentence = |issue: &Value| issue.as_str().map(|text| text.chars().take(200).collect());
    Some(AssetCheck {
        by: GEMINI.name.into(),
        passed: value["passed"].as_bool()?,
        score,
        issues: issues.iter().take(8).filter_map(sentence).collect(),
    })
}

/// A slide as a small JPEG.
fn shown(slide: &RgbImage) -> Result<Vec<u8>, StageError> {
    let small = imageops::resize(slide, SHOWN.0, SHOWN.1, FilterType::Triangle);
    let mut bytes = Cursor::new(Vec::new());
    let written = small.write_to(&mut bytes, image::ImageFormat::Jpeg);
    written.map_err(|error| broken("show a slide", error))?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_has_all_its_parts() {
        let whole = json!({"passed": false, "score": 0.3, "issues": ["letters in the sky"]});
        let check = verdict(&whole).expect("a verdict");
        assert_eq!((check.passed, check.score, check.issues.len()), (false, 0.3, 1));
        for broken in
            [json!({}), json!({"passed": 1, "score": 0.3}), json!({"passed": true, "score": 7})]
        {
            assert_eq!(verdict(&broken), None, "{broken}");
        }
    }
}
