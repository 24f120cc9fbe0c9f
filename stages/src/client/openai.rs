//! OpenAI: what its endpoints share, and speech: `POST /v1/audio/speech`.

use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::policy::parse_duration;
use flow_core::stage::Context;
use serde_json::{Value, json};

use super::wire::of_conflict;
use super::{Answer, Api, Message, Service};

/// The API for speech when nothing else is said.
pub(crate) static OPENAI: Api = Api {
    name: "openai",
    base_url: "https://api.openai.com",
    kind: ErrorKind::AudioGeneration,
    timeout: Duration::from_secs(60),
    in_flight: 2,
    needs_key: true,
    key_env: "OPENAI_API_KEY",
};

const SPEECH_MODEL: &str = "gpt-4o-mini-tts";
const SPEECH_VOICE: &str = "coral";

/// What is asked for to speak a text: model, voice and words. The same request is the same sound.
pub(crate) fn speech_request(service: &Service, text: &str) -> Value {
    let mut request = json!({
        "model": speech_model(service),
        "voice": speech_voice(service),
        "input": text,
        "response_format": "wav",
    });
    if let Some(speed) = service.option_number("speed") {
        request["speed"] = speed.into();
    }
    if let Some(instructions) = service.option("instructions") {
        request["instructions"] = instructions.into();
    }
    request
}

/// The model that speaks.
pub(crate) fn speech_model(service: &Service) -> &str {
    service.option_or("speech_model", SPEECH_MODEL)
}

/// The voice that speaks.
pub(crate) fn speech_voice(service: &Service) -> &str {
    service.option_or("voice", SPEECH_VOICE)
}

/// The header for our own name of a request, by which the service finds one whose answer never came.
pub(super) const OUR_NAME: &str = "x-client-request-id";

/// Our name of a request: of what is bought, for which task, in which attempt, by which try. Two orders with
/// the same words have different names, since requests for pictures have no seed.
pub(crate) fn request_name(context: &dyn Context, receipt: &str, number: u32) -> String {
    let digest = receipt.split('/').nth(1).unwrap_or(receipt);
    let begin = |text: &str| text.chars().take(16).collect::<String>();
    let (order, task) = (begin(digest), begin(context.idempotency_key()));
    format!("flow-{order}-{task}-{}-{number}", context.attempt())
}

/// One try to have a text spoken, under our name of the request: the bytes of a sound, which nobody has listened to yet, and the
/// service's name for the request.
///
/// # Errors
/// Those of [`failure`]; `malformed` when what comes calls itself something else than sound.
pub(crate) async fn speak(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    request: &Value,
    name: &str,
) -> Result<(Vec<u8>, Option<String>), StageError> {
    let url = service.url("/v1/audio/speech")?;
    let message = Message::post(url).bearer(service.key()?).header(OUR_NAME, name).json(request);
    let answer = service.send(context, operation, message).await?;
    if !answer.is_success() {
        return Err(failure(service, &answer));
    }
    let kind = answer.header("content-type").unwrap_or_default();
    if kind.starts_with("text/") || kind.starts_with("application/json") {
        return Err(answer.misshapen(service, "is text and not sound"));
    }
    if answer.body.is_empty() {
        return Err(answer.misshapen(service, "has no bytes"));
    }
    Ok((with_true_lengths(answer.body), answer.request_id))
}

/// A WAV whose head tells the lengths that came. The service begins to send before it knows them, and
/// tells the greatest there are, which a decoder takes for a file that was cut short.
fn with_true_lengths(mut sound: Vec<u8>) -> Vec<u8> {
    const UNKNOWN: [u8; 4] = [0xff; 4];
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let (whole, is_wav) = (sound.len(), sound.starts_with(b"RIFF"));
    let data = sound.windows(8).take(512).position(|eight| eight[..4] == *b"data");
    let Some(data) = data.filter(|_| is_wav) else { return sound };
    for (place, rest) in [(4, whole.saturating_sub(8)), (data + 4, whole - data - 8)] {
        if sound[place..place + 4] == UNKNOWN {
            sound[place..place + 4].copy_from_slice(&length(rest));
        }
    }
    sound
}

/// What a status that is no success means: the code in the body, then its type, then the status.
/// Too many requests may mean an empty wallet, and a bad request refused content.
pub(crate) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let error = &value["error"];
    let named = [&error["code"], &error["type"]].into_iter().filter_map(Value::as_str);
    let class = named.filter_map(class_of).next().or_else(|| of_conflict(answer));
    let mut failed = answer.refusal(service, class, error["message"].as_str());
    if failed.class == ErrorClass::RateLimited {
        failed.retry_after_ms = failed.retry_after_ms.or_else(|| wait(answer));
    }
    if matches!(error["code"].as_str(), Some("model_not_found" | "model_deprecated")) {
        return failed.hint(NO_MODEL);
    }
    failed
}

/// Models of this service are shut down a year or two after they have come.
const NO_MODEL: &str = "name a model that your key can use: services = { openai = { image_model = \"…\" } }, or \
                        speech_model";

fn class_of(code: &str) -> Option<ErrorClass> {
    Some(match code {
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" => {
            ErrorClass::QuotaExhausted
        }
        "invalid_api_key"
        | "invalid_organization"
        | "authentication_error"
        | "unsupported_country_region_territory" => ErrorClass::Auth,
        "moderation_blocked" | "content_policy_violation" | "image_generation_user_error" => {
            ErrorClass::Moderated
        }
        "rate_limit_exceeded" => ErrorClass::RateLimited,
        "server_error" => ErrorClass::Http5xx,
        _ => return None,
    })
}

/// How long until the limit that was met is open again, where no `Retry-After` says it.
fn wait(answer: &Answer) -> Option<u64> {
    ["requests", "tokens"].into_iter().find_map(|limit| {
        let left = answer.header(&format!("x-ratelimit-remaining-{limit}"))?;
        let reset = answer.header(&format!("x-ratelimit-reset-{limit}"))?;
        let reset = parse_duration(reset).filter(|_| left.trim() == "0")?;
        u64::try_from(reset.as_millis()).ok()
    })
}
