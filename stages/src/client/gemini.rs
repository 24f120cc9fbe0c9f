//! Gemini: `POST /v1beta/models/{model}:generateContent`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::policy::parse_duration;
use flow_core::stage::Context;
use serde_json::{Value, json};

use super::language::{self, Question, Tokens, Turn, Unfinished, Written};
use super::{Answer, Api, Message, Service};

/// The API when nothing else is said.
pub(crate) static GEMINI: Api = Api {
    name: "gemini",
    base_url: "https://generativelanguage.googleapis.com",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(60),
    in_flight: 4,
    needs_key: true,
    key_env: "GEMINI_API_KEY",
};

/// The model when none is set; the service keeps this name at its newest quick model.
const MODEL: &str = "gemini-flash-latest";

/// Asks for one JSON value of a schema. The answer is remembered before it is given, so that the same
/// question is paid for once in a task.
///
/// # Errors
/// Those of [`failure`]; `moderated` when question or answer was blocked; `malformed` when what was
/// written is no JSON.
pub(crate) async fn generate(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    question: &Question,
) -> Result<Written, StageError> {
    let request = |most_tokens| request(service, question, most_tokens);
    let ask = |body: Value| -> flow_core::stage::BoxFuture<'_, _> {
        Box::pin(async move { send(context, service, operation, body).await })
    };
    language::ask(context, service, operation, question, request, ask).await
}

/// The model that is asked.
fn model(service: &Service) -> &str {
    service.option_or("model", MODEL)
}

fn request(service: &Service, question: &Question, most_tokens: u64) -> Value {
    let mut config = json!({
        "maxOutputTokens": most_tokens,
        "responseMimeType": "application/json",
        "responseJsonSchema": question.schema,
    });
    if let Some(temperature) = service.option_number("temperature") {
        config["temperature"] = temperature.into();
    }
    json!({
        "systemInstruction": {"parts": [{"text": question.system}]},
        "contents": question.turns.iter().map(content).collect::<Vec<_>>(),
        "generationConfig": config,
    })
}

fn content(turn: &Turn) -> Value {
    match turn {
        Turn::Model(text) => json!({"role": "model", "parts": [{"text": text}]}),
        Turn::User(text, pictures) => {
            let mut parts = vec![json!({"text": text})];
            parts.extend(pictures.iter().map(|picture| {
                let data = STANDARD.encode(&picture.bytes);
                json!({"inlineData": {"mimeType": picture.media_type, "data": data}})
            }));
            json!({"role": "user", "parts": parts})
        }
    }
}

async fn send(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    body: Value,
) -> Result<Written, Unfinished> {
    let asked = format!("{}:generateContent", model(service));
    let url = service.url_of(&["v1beta", "models", &asked])?;
    let message = Message::post(url).header("x-goog-api-key", service.key()?).json(&body);
    let answer = service.send(context, operation, message).await?;
    if !answer.is_success() {
        return Err(failure(service, &answer).into());
    }
    let value = answer.json(service)?;
    tokens(&value).tell(context, service);
    written(service, &answer, &value)
}

fn tokens(answer: &Value) -> Tokens {
    let count = |name: &str| answer["usageMetadata"][name].as_u64().unwrap_or_default();
    Tokens {
        read: count("promptTokenCount"),
        written: count("candidatesTokenCount") + count("thoughtsTokenCount"),
    }
}

/// What was written, as the service wraps it: JSON as text in the parts of the first candidate.
fn written(service: &Service, answer: &Answer, value: &Value) -> Result<Written, Unfinished> {
    if let Some(reason) = value["promptFeedback"]["blockReason"].as_str() {
        return Err(language::refused(service, answer, reason).into());
    }
    let Some(candidate) = value["candidates"].get(0) else {
        return Err(answer.misshapen(service, "has no candidates").into());
    };
    match candidate["finishReason"].as_str() {
        Some("STOP") | None => {}
        Some("MAX_TOKENS") => {
            return Err(Unfinished::Truncated(language::truncated(service, answer)));
        }
        Some(reason) if is_refusal(reason) => {
            return Err(language::refused(service, answer, reason).into());
        }
        Some(reason) => {
            let what = format!("ends with the reason {}", reason.escape_debug());
            return Err(answer.misshapen(service, &what).into());
        }
    }
    let text = text(candidate);
    if text.is_empty() {
        return Err(answer.misshapen(service, "has a candidate without text").into());
    }
    let model = value["modelVersion"].as_str().unwrap_or(model(service)).to_owned();
    let id = value["responseId"].as_str().map(str::to_owned);
    let request_id = answer.request_id.clone().or(id);
    Ok(Written { value: language::value_in(service, answer, &text)?, model, request_id })
}

/// The text of a candidate, without what it only thought.
fn text(candidate: &Value) -> String {
    let parts = candidate["content"]["parts"].as_array();
    let said = parts.into_iter().flatten().filter(|part| part["thought"] != true);
    said.filter_map(|part| part["text"].as_str()).collect()
}

fn is_refusal(reason: &str) -> bool {
    matches!(
        reason,
        "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
    )
}

/// What a status that is no success means. The error may stand in a list of one; details tell what
/// the status leaves open: a wrong key, a quota of the day, how long to wait.
pub(crate) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let error = value.get(0).unwrap_or(&value)["error"].clone();
    let class = match error["status"].as_str().unwrap_or_default() {
        _ if is_daily(&error) => Some(ErrorClass::QuotaExhausted),
        _ if is_about_key(&error) => Some(ErrorClass::Auth),
        "RESOURCE_EXHAUSTED" => Some(ErrorClass::RateLimited),
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => Some(ErrorClass::Auth),
        "UNAVAILABLE" | "INTERNAL" | "DEADLINE_EXCEEDED" => Some(ErrorClass::Http5xx),
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "NOT_FOUND" => Some(ErrorClass::Http4xx),
        _ => None,
    };
    let mut failed = answer.refusal(service, class, error["message"].as_str());
    failed.retry_after_ms = failed.retry_after_ms.or_else(|| wait(&error));
    if failed.class == ErrorClass::Http4xx && answer.status == 404 {
        let hint = "name a model that your key can use: services = { gemini = { model = \"…\" } }";
        return failed.hint(hint);
    }
    failed
}

fn details<'a>(error: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let details = error["details"].as_array().into_iter().flatten();
    details.filter(move |detail| detail["@type"].as_str().is_some_and(|ty| ty.ends_with(kind)))
}

fn is_daily(error: &Value) -> bool {
    let violations = |detail: &'_ Value| detail["violations"].as_array().cloned();
    details(error, "QuotaFailure")
        .filter_map(violations)
        .flatten()
        .any(|violation| violation["quotaId"].as_str().is_some_and(|id| id.contains("PerDay")))
}

fn is_about_key(error: &Value) -> bool {
    details(error, "ErrorInfo").any(|detail| {
        matches!(detail["reason"].as_str(), Some("API_KEY_INVALID" | "API_KEY_SERVICE_BLOCKED"))
    })
}

fn wait(error: &Value) -> Option<u64> {
    let delay = |detail: &'_ Value| parse_duration(detail["retryDelay"].as_str()?);
    let delay = details(error, "RetryInfo").find_map(delay)?;
    u64::try_from(delay.as_millis()).ok()
}
