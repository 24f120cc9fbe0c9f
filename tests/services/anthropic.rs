//! Anthropic Messages, by <https://docs.anthropic.com/en/api/messages> and
//! <https://docs.anthropic.com/en/api/errors>.

use serde_json::{Value, json};

use super::ideas::{Mood, idea, is_asked_for};
use super::server::{Api, Asked, Reply};

#[derive(Debug, Clone, Copy, Default)]
pub struct Anthropic {
    pub mood: Mood,
    /// Whether the account has no money left.
    pub is_broke: bool,
}

impl Api for Anthropic {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        if asked.header("x-api-key") != Some("test-key") {
            return error(401, "authentication_error", "invalid x-api-key");
        }
        if (asked.method.as_str(), asked.path.as_str()) != ("POST", "/v1/messages") {
            return error(404, "not_found_error", "Not found");
        }
        let body = asked.json();
        if let Some(fault) = fault(asked, &body) {
            return error(400, "invalid_request_error", fault);
        }
        if self.is_broke {
            return error(402, "billing_error", "Your credit balance is too low");
        }
        self.message(&body)
    }

    fn failure(&self, status: u16) -> Reply {
        let kind = match status {
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        error(status, kind, "try again")
    }
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    let body = json!({"type": "error", "error": {"type": kind, "message": message},
                      "request_id": "req_words"});
    Reply::json(status, &body).header("request-id", "req_words")
}

/// What the service would refuse in a request.
fn fault(asked: &Asked, body: &Value) -> Option<&'static str> {
    if asked.header("anthropic-version") != Some("2023-06-01") {
        return Some("anthropic-version: header is required");
    }
    if !body["model"].is_string() {
        return Some("model: Field required");
    }
    if body["max_tokens"].as_u64().is_none_or(|tokens| tokens == 0) {
        return Some("max_tokens: Field required");
    }
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let turns = ["user", "assistant"].into_iter().cycle();
    if messages.is_empty() || messages.iter().zip(turns).any(|(m, role)| m["role"] != role) {
        return Some("messages: roles must alternate, beginning with user");
    }
    let tool = &body["tools"][0];
    if tool["input_schema"]["type"] != "object" {
        return Some("tools.0.input_schema.type: Field required");
    }
    (body["tool_choice"]["name"] != tool["name"]).then_some("tool_choice.name: no such tool")
}

impl Anthropic {
    fn message(&self, body: &Value) -> Reply {
        let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let prompt = text_of(&messages[0]["content"]);
        let most = body["max_tokens"].as_u64().unwrap_or_default();
        let used = |input: Value| {
            json!({"type": "tool_use", "id": "toolu_1",
                                         "name": body["tools"][0]["name"], "input": input})
        };
        let prose = json!({"type": "text", "text": "Here is an idea: pick the over!"});
        let (content, reason) = match self.mood {
            Mood::Prose => (prose, "end_turn"),
            Mood::Refuses => (json!({"type": "text", "text": ""}), "refusal"),
            Mood::LongWinded if most <= 8192 => (used(json!({})), "max_tokens"),
            mood => {
                assert!(is_asked_for(&prompt), "this model only writes ideas");
                (used(idea(&prompt, mood, messages.len() > 1)), "tool_use")
            }
        };
        let body = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
            "content": [content], "stop_reason": reason, "stop_sequence": null,
            "usage": {"input_tokens": 1000, "output_tokens": 200},
        });
        Reply::json(200, &body).header("request-id", "req_words")
    }
}

/// The text of a message, which is a string or a list of blocks.
fn text_of(content: &Value) -> String {
    match content.as_array() {
        None => content.as_str().unwrap_or_default().to_owned(),
        Some(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
    }
}
