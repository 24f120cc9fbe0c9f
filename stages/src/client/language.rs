//! What language models have in common: a question, the JSON value that answers it, and what it cost.

use std::sync::atomic::{AtomicU64, Ordering};

use flow_core::error::{ErrorClass, StageError};
use flow_core::json;
use flow_core::stage::{BoxFuture, Context, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answer, Service, call, once};

/// What a model is asked. It answers with one JSON value of the schema.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Who the model is, and what holds for every answer.
    pub(crate) system: String,
    /// What was said so far; the last turn is the user's.
    pub(crate) turns: Vec<Turn>,
    /// JSON Schema of the answer.
    pub(crate) schema: Value,
    /// The most tokens of an answer. An answer that is cut off there is asked for again with twice
    /// as many.
    pub(crate) most_tokens: u64,
}

/// One turn of a conversation.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    /// What we say and show.
    User(String, Vec<Picture>),
    /// What the model said.
    Model(String),
}

/// A picture that is shown to a model.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// Such as `image/png`.
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// What a model has answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// A JSON value; not held to the schema.
    pub(crate) value: Value,
    /// The model as the service names it.
    pub(crate) model: String,
    /// The service's name for the request that was answered.
    pub(crate) request_id: Option<String>,
}

/// Tokens of an answer: what was read, and what was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) read: u64,
    pub(super) written: u64,
}

impl Tokens {
    /// Adds what they cost to what the attempt used. There are no prices but those that the settings
    /// name: `usd_per_million_input` and `usd_per_million_output`.
    pub(super) fn tell(self, context: &dyn Context, service: &Service) {
        let price = |name| service.option_number(name).unwrap_or_default() / 1e6;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let usd = self.read as f64 * price("usd_per_million_input")
            + self.written as f64 * price("usd_per_million_output");
        let tokens = self.read + self.written;
        context.used(Usage { usd, tokens, calls: 0 });
    }
}

/// Why an answer is none.
pub(super) enum Unfinished {
    /// It was cut off at the most tokens that were allowed.
    Truncated(StageError),
    Failed(StageError),
}

impl From<StageError> for Unfinished {
    fn from(error: StageError) -> Self {
        Self::Failed(error)
    }
}

/// Asks a model and waits for the whole answer, which is remembered before it is given: the same
/// question of the same task is paid for once. `request` makes the body for a number of tokens, and
/// `ask` sends it.
///
/// # Errors
/// Those of the service; `malformed` where the answer is no JSON, also when it was asked for again.
pub(super) async fn ask<'s>(
    context: &dyn Context,
    service: &'s Service,
    operation: &str,
    question: &Question,
    request: impl Fn(u64) -> Value,
    ask: impl Fn(Value) -> BoxFuture<'s, Result<Written, Unfinished>>,
) -> Result<Written, StageError> {
    let receipt = once::receipt(service.api.name, &request(question.most_tokens));
    let most_tokens = AtomicU64::new(question.most_tokens);
    let buy = async {
        let written = call(context, service, operation, |_try| {
            let asked = ask(request(most_tokens.load(Ordering::Relaxed)));
            let most_tokens = &most_tokens;
            async move {
                asked.await.map_err(|unfinished| match unfinished {
                    Unfinished::Truncated(error) => {
                        most_tokens.store(question.most_tokens * 2, Ordering::Relaxed);
                        error
                    }
                    Unfinished::Failed(error) => error,
                })
            }
        })
        .await?;
        serde_json::to_value(written).map_err(|error| unkept(service, operation, error))
    };
    let bought = once::bought(context, &receipt, buy).await?;
    serde_json::from_value(bought).map_err(|error| unkept(service, operation, error))
}

fn unkept(service: &Service, operation: &str, error: serde_json::Error) -> StageError {
    let message = "an answer that is remembered is not of its form";
    service.failure(ErrorClass::Malformed, operation, message).cause(error)
}

/// The JSON value in a text that a model wrote.
///
/// # Errors
/// `malformed` when it is prose.
pub(super) fn value_in(
    service: &Service,
    answer: &Answer,
    text: &str,
) -> Result<Value, StageError> {
    json::parse(text.as_bytes()).map_err(|fault| {
        let name = service.api.name;
        let message = format!("{name} wrote no JSON: {fault}");
        let mut error = answer.failure(service, ErrorClass::Malformed, message);
        error.offset = Some(fault.offset as u64);
        error.causes.push(format!("it wrote {}", beginning(text)));
        error.hint(format!(
            "another model may keep to the schema: services = {{ {name} = {{ model = \"…\" }} }}"
        ))
    })
}

/// The beginning of what a model wrote, for a message.
fn beginning(text: &str) -> String {
    let shown: String = text.chars().take(300).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{:?}{more}", shown.trim())
}

/// An answer that was cut off.
pub(super) fn truncated(service: &Service, answer: &Answer) -> StageError {
    let name = service.api.name;
    let message = format!("{name} wrote more than the most tokens that were allowed");
    answer.failure(service, ErrorClass::Malformed, message).hint(format!(
        "allow more: services = {{ {name} = {{ max_tokens = 8192 }} }}, or ask for fewer slides"
    ))
}

/// A refusal to answer, with the service's word for why.
pub(super) fn refused(service: &Service, answer: &Answer, why: &str) -> StageError {
    let message = format!("{} refused to answer: {why}", service.api.name);
    answer
        .failure(service, ErrorClass::Moderated, message)
        .hint("change the words that were refused, or choose another provider")
}
