//! ElevenLabs: `POST /v1/text-to-speech/{voice_id}/with-timestamps`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::json;
use flow_core::stage::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use super::wire::of_conflict;
use super::{Answer, Api, Message, Service};

/// The API when nothing else is said. Two calls at once are what its smallest plan allows.
pub(crate) static ELEVENLABS: Api = Api {
    name: "elevenlabs",
    base_url: "https://api.elevenlabs.io",
    kind: ErrorKind::AudioGeneration,
    timeout: Duration::from_secs(60),
    in_flight: 2,
    needs_key: true,
    key_env: "ELEVENLABS_API_KEY",
};

const MODEL: &str = "eleven_multilingual_v2";
/// The voice of the service's own examples.
const VOICE: &str = "JBFqnCBsd6RMkjVDRZzb";
const FORMAT: &str = "mp3_44100_128";
/// Settings that are sent as they are.
const PASSED: [&str; 3] = ["voice_settings", "seed", "language_code"];

/// Sound, and when its words are heard.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spoken {
    /// An MP3.
    pub(crate) audio: Vec<u8>,
    /// Start and end of each word of the text that was sent, in milliseconds; `None` where the service
    /// does not tell.
    pub(crate) words: Option<Vec<(u64, u64)>>,
}

/// The model that speaks.
pub(crate) fn model(service: &Service) -> &str {
    service.option_or("model", MODEL)
}

/// The voice that speaks.
pub(crate) fn voice(service: &Service) -> &str {
    service.option_or("voice", VOICE)
}

/// What is asked for to speak a text. The same request to the same voice is paid for once.
pub(crate) fn request(service: &Service, text: &str) -> Value {
    let mut request = json!({"text": text, "model_id": model(service)});
    for name in PASSED {
        if let Some(value) = service.options.get(name).filter(|value| !value.is_null()) {
            request[name] = value.clone();
        }
    }
    request
}

/// One try to have a text spoken: the whole answer as it came, and the service's name for the request. It was
/// paid for, so that no more than its first byte is looked at before it is kept; [`read`] reads it then.
///
/// # Errors
/// Those of [`failure`]; `malformed` when the answer is no JSON object at all.
pub(crate) async fn speak(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    request: &Value,
) -> Result<(Vec<u8>, Option<String>), StageError> {
    let url = service.url_of(&["v1", "text-to-speech", voice(service), "with-timestamps"])?;
    let message = Message::post(url)
        .query("output_format", FORMAT)
        .header("xi-api-key", service.key()?)
        .json(request);
    let answer = service.send(context, operation, message).await?;
    if !answer.is_success() {
        return Err(failure(service, &answer));
    }
    match answer.body.trim_ascii_start().first() {
        Some(b'{') => Ok((answer.body, answer.request_id)),
        _ => Err(answer
            .json(service)
            .err()
            .unwrap_or_else(|| answer.misshapen(service, "is no object"))),
    }
}

#[derive(Deserialize)]
struct Body {
    audio_base64: String,
    #[serde(default)]
    alignment: Option<Alignment>,
}

/// When each character is heard, in seconds.
#[derive(Deserialize)]
struct Alignment {
    characters: Vec<String>,
    character_start_times_seconds: Vec<f64>,
    character_end_times_seconds: Vec<f64>,
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, to follow “the answer”.
pub(crate) fn read(body: &[u8]) -> Result<Spoken, String> {
    let value = json::parse(body).map_err(|fault| format!("is not JSON: {fault}"))?;
    let body: Body = serde_json::from_value(value).map_err(|e| format!("has not its form: {e}"))?;
    let audio = STANDARD
        .decode(body.audio_base64.trim())
        .map_err(|e| format!("has a sound that is not base64: {e}"))?;
    if audio.is_empty() {
        return Err("has a sound of no bytes".into());
    }
    Ok(Spoken { audio, words: body.alignment.as_ref().map(words).transpose()? })
}

/// Words are what white space parts.
fn words(alignment: &Alignment) -> Result<Vec<(u64, u64)>, String> {
    let Alignment { characters, character_start_times_seconds, character_end_times_seconds } =
        alignment;
    let (starts, ends) = (character_start_times_seconds, character_end_times_seconds);
    if characters.len() != starts.len() || characters.len() != ends.len() {
        return Err("has an alignment whose lists are not equally long".into());
    }
    let mut words: Vec<(u64, u64)> = Vec::new();
    let (mut before, mut within) = (0, false);
    for (character, (start, end)) in characters.iter().zip(starts.iter().zip(ends)) {
        let (start, end) = (ms(*start), ms(*end));
        let (Some(start), Some(end)) = (start, end) else {
            return Err("has an alignment with a time that is none".into());
        };
        if start < before || end < start {
            return Err("has an alignment that goes back in time".into());
        }
        before = start;
        let is_space = character.chars().all(char::is_whitespace);
        match words.last_mut().filter(|_| within && !is_space) {
            Some((_, word_end)) => *word_end = end,
            None if !is_space => words.push((start, end)),
            None => {}
        }
        within = !is_space;
    }
    Ok(words)
}

fn ms(seconds: f64) -> Option<u64> {
    u64::try_from(Duration::try_from_secs_f64(seconds).ok()?.as_millis()).ok()
}

/// What a status that is no success means: the code in the body, in the old dialect and in the new
/// one, then the status. A used-up quota comes with the status of a wrong key.
pub(crate) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let detail = &value["detail"];
    let codes = [&detail["status"], &detail["code"], &detail["type"]];
    let code = codes.into_iter().filter_map(Value::as_str).find(|code| class_of(code).is_some());
    let said = detail["message"].as_str().or(detail.as_str());
    let said = said.or_else(|| detail[0]["msg"].as_str());
    let class = code.and_then(class_of).or_else(|| of_conflict(answer));
    let mut failed = answer.refusal(service, class, said);
    if failed.request_id.is_none() {
        failed.request_id = detail["request_id"].as_str().map(str::to_owned);
    }
    match code.and_then(hint) {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

fn class_of(code: &str) -> Option<ErrorClass> {
    Some(match code {
        "quota_exceeded" | "insufficient_credits" | "payment_required" => {
            ErrorClass::QuotaExhausted
        }
        "invalid_api_key"
        | "needs_authorization"
        | "missing_permissions"
        | "detected_unusual_activity"
        | "authentication_error"
        | "authorization_error" => ErrorClass::Auth,
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "system_busy"
        | "concurrent_limit_exceeded"
        | "too_many_concurrent_requests"
        | "already_running" => ErrorClass::RateLimited,
        "voice_not_found"
        | "model_not_found"
        | "max_character_limit_exceeded"
        | "text_too_long" => ErrorClass::Http4xx,
        "content_policy_violation" | "content_moderated" => ErrorClass::Moderated,
        _ => return None,
    })
}

fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "voice_not_found" => {
            "name a voice that you have: services = { elevenlabs = { voice = \"…\" } }"
        }
        "model_not_found" => {
            "name a model of the service: services = { elevenlabs = { model = \"…\" } }"
        }
        "max_character_limit_exceeded" | "text_too_long" => "shorten the section's text",
        "concurrent_limit_exceeded" | "too_many_concurrent_requests" => {
            "your plan allows fewer calls at once: services = { elevenlabs = { max_in_flight = 1 } }"
        }
        _ => return None,
    })
}
