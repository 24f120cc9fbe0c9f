//! Anthropic Messages: `POST /v1/messages`, with one tool that must be used, so that the answer is a
//! JSON value of a schema.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{BoxFuture, Context};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::language::{self, Question, Tokens, Turn, Unfinished, Written};
use super::wire::of_conflict;
use super::{Answer, Api, Message, Service};

/// The API when nothing else is said.
pub(crate) static ANTHROPIC: Api = Api {
    name: "anthropic",
    base_url: "https://api.anthropic.com",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(60),
    in_flight: 4,
    needs_key: true,
    key_env: "ANTHROPIC_API_KEY",
};

/// The version of the wire format.
const VERSION: &str = "2023-06-01";
/// The model when none is set.
const MODEL: &str = "claude-sonnet-4-6";
const REFUSED: &str = "the service will not take the request for what it says above; it also says so where the account has no \
                       credit left";
const NO_MODEL: &str =
    "name a model that your key can use: services = { anthropic = { model = \"…\" } }";
/// The tool whose input is the answer.
const TOOL: &str = "emit_ideas";
/// Limits whose state is told in headers.
const LIMITS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

/// Asks for one JSON value of a schema. The answer is remembered before it is given, so that the same
/// question is paid for once in a task.
///
/// # Errors
/// Those of [`failure`]; `moderated` when the model refused; `malformed` when it wrote prose.
pub(crate) async fn generate(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    question: &Question,
) -> Result<Written, StageError> {
    let request = |most_tokens| request(service, question, most_tokens);
    let ask = |body: Value| -> BoxFuture<'_, _> {
        Box::pin(async move { send(context, service, operation, body).await })
    };
    language::ask(context, service, operation, question, request, ask).await
}

fn model(service: &Service) -> &str {
    service.option_or("model", MODEL)
}

fn request(service: &Service, question: &Question, most_tokens: u64) -> Value {
    let mut request = json!({
        "model": model(service),
        "max_tokens": most_tokens,
        "system": question.system,
        "messages": question.turns.iter().map(message).collect::<Vec<_>>(),
        "tools": [{
            "name": TOOL,
            "description": "Takes the finished work. Call it once, with all of it.",
            "strict": true,
            "input_schema": question.schema,
        }],
        "tool_choice": {"type": "tool", "name": TOOL, "disable_parallel_tool_use": true},
    });
    if let Some(temperature) = service.option_number("temperature") {
        request["temperature"] = temperature.into();
    }
    request
}

fn message(turn: &Turn) -> Value {
    match turn {
        Turn::Model(text) => json!({"role": "assistant", "content": text}),
        Turn::User(text, pictures) => {
            let mut content: Vec<Value> = pictures
                .iter()
                .map(|picture| {
                    let data = STANDARD.encode(&picture.bytes);
                    let source =
                        json!({"type": "base64", "media_type": picture.media_type, "data": data});
                    json!({"type": "image", "source": source})
                })
                .collect();
            content.push(json!({"type": "text", "text": text}));
            json!({"role": "user", "content": content})
        }
    }
}

async fn send(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    body: Value,
) -> Result<Written, Unfinished> {
    let message = Message::post(service.url("/v1/messages")?)
        .header("x-api-key", service.key()?)
        .header("anthropic-version", VERSION)
        .json(&body);
    let answer = service.send(context, operation, message).await?;
    if !answer.is_success() {
        return Err(failure(service, &answer).into());
    }
    let value = answer.json(service)?;
    tokens(&value).tell(context, service);
    written(service, &answer, &value)
}

fn tokens(answer: &Value) -> Tokens {
    let count = |name: &str| answer["usage"][name].as_u64().unwrap_or_default();
    Tokens {
        read: count("input_tokens")
            + count("cache_creation_input_tokens")
            + count("cache_read_input_tokens"),
        written: count("output_tokens"),
    }
}

/// The input of the tool that the model used.
fn written(service: &Service, answer: &Answer, value: &Value) -> Result<Written, Unfinished> {
    match value["stop_reason"].as_str() {
        Some("refusal") => return Err(language::refused(service, answer, "refusal").into()),
        Some("max_tokens" | "model_context_window_exceeded") => {
            return Err(Unfinished::Truncated(language::truncated(service, answer)));
        }
        _ => {}
    }
    let Some(blocks) = value["content"].as_array() else {
        return Err(answer.misshapen(service, "has no content").into());
    };
    let model = value["model"].as_str().unwrap_or(model(service)).to_owned();
    let id = value["id"].as_str().map(str::to_owned);
    let request_id = answer.request_id.clone().or(id);
    let used = blocks.iter().find(|block| block["type"] == "tool_use" && block["name"] == TOOL);
    match used {
        Some(block) if block["input"].is_object() => {
            Ok(Written { value: block["input"].clone(), model, request_id })
        }
        Some(_) => Err(answer.misshapen(service, "uses the tool without an input").into()),
        // It should have used the tool; what it wrote may be the value all the same.
        None => {
            let value = language::value_in(service, answer, &text(blocks))?;
            Ok(Written { value, model, request_id })
        }
    }
}

fn text(blocks: &[Value]) -> String {
    blocks.iter().filter_map(|block| block["text"].as_str()).collect()
}

/// What a status that is no success means: the type in the body, then the status.
pub(crate) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let error = &value["error"];
    let class = error["type"].as_str().and_then(class_of).or_else(|| of_conflict(answer));
    let mut failed = answer.refusal(service, class, error["message"].as_str());
    if failed.class == ErrorClass::RateLimited {
        failed.retry_after_ms = failed.retry_after_ms.or_else(|| wait(answer, Timestamp::now()));
    }
    if failed.request_id.is_none() {
        failed.request_id = value["request_id"].as_str().map(str::to_owned);
    }
    match error["type"].as_str() {
        Some("not_found_error") => failed.hint(NO_MODEL),
        Some("invalid_request_error") => failed.hint(REFUSED),
        _ => failed,
    }
}

fn class_of(kind: &str) -> Option<ErrorClass> {
    Some(match kind {
        "authentication_error" | "permission_error" => ErrorClass::Auth,
        "billing_error" => ErrorClass::QuotaExhausted,
        "rate_limit_error" => ErrorClass::RateLimited,
        "overloaded_error" | "api_error" | "timeout_error" => ErrorClass::Http5xx,
        "invalid_request_error" | "not_found_error" | "request_too_large" => ErrorClass::Http4xx,
        _ => return None,
    })
}

/// How long until the limit that was met is open again, where no `Retry-After` says it.
fn wait(answer: &Answer, now: Timestamp) -> Option<u64> {
    LIMITS.into_iter().find_map(|limit| {
        let left = answer.header(&format!("anthropic-ratelimit-{limit}-remaining"))?;
        let reset = answer.header(&format!("anthropic-ratelimit-{limit}-reset"))?;
        let reset: Timestamp = reset.parse().ok().filter(|_| left.trim() == "0")?;
        u64::try_from(reset.duration_since(now).as_millis()).ok()
    })
}
