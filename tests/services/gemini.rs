//! Gemini, by <https://ai.google.dev/api/generate-content> and
//! <https://ai.google.dev/gemini-api/docs/troubleshooting>; details of errors by
//! <https://cloud.google.com/apis/design/errors>.

use serde_json::{Value, json};

use super::ideas::{Mood, idea, is_asked_for};
use super::server::{Api, Asked, Reply};

#[derive(Debug, Clone)]
pub struct Gemini {
    pub mood: Mood,
    /// Whether the quota of the day is used up.
    pub is_used_up: bool,
    /// What it says of anything that is no question for an idea, such as a picture.
    pub verdict: Value,
}

impl Default for Gemini {
    fn default() -> Self {
        let verdict = json!({"passed": true, "score": 0.95, "issues": []});
        Self { mood: Mood::Good, is_used_up: false, verdict }
    }
}

impl Api for Gemini {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        if asked.header("x-goog-api-key") != Some("test-key") {
            let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                                  "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]);
            return error(400, "INVALID_ARGUMENT", "API key not valid.", details);
        }
        let model = asked.path.strip_prefix("/v1beta/models/");
        let Some(model) = model.and_then(|rest| rest.strip_suffix(":generateContent")) else {
            return error(404, "NOT_FOUND", "unknown path", json!([]));
        };
        let body = asked.json();
        if let Some(fault) = fault(&body) {
            return error(400, "INVALID_ARGUMENT", fault, json!([]));
        }
        if self.is_used_up {
            let quota = json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]});
            return error(429, "RESOURCE_EXHAUSTED", "quota", json!([quota]));
        }
        self.content(model, &body)
    }

    fn failure(&self, status: u16) -> Reply {
        let (status_name, details) = match status {
            429 => {
                let delay = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo",
                                   "retryDelay": "0.005s"});
                ("RESOURCE_EXHAUSTED", json!([delay]))
            }
            503 => ("UNAVAILABLE", json!([])),
            504 => ("DEADLINE_EXCEEDED", json!([])),
            _ => ("INTERNAL", json!([])),
        };
        error(status, status_name, "try again", details)
    }
}

/// An error as this API sometimes sends it: in a list of one.
fn error(status: u16, name: &str, message: &str, details: Value) -> Reply {
    let error = json!({"code": status, "message": message, "status": name, "details": details});
    Reply::json(status, &json!([{"error": error}]))
}

fn fault(body: &Value) -> Option<&'static str> {
    let contents = body["contents"].as_array().map_or(&[][..], Vec::as_slice);
    if contents.is_empty() || contents.last().is_some_and(|last| last["role"] != "user") {
        return Some("contents: the last one must be of the user");
    }
    if contents.iter().any(|content| content["parts"].as_array().is_none_or(Vec::is_empty)) {
        return Some("contents.parts must not be empty");
    }
    let config = &body["generationConfig"];
    let wants_json = config["responseMimeType"] == "application/json";
    (config.get("responseJsonSchema").is_some() && !wants_json)
        .then_some("responseJsonSchema needs responseMimeType application/json")
}

impl Gemini {
    fn content(&self, model: &str, body: &Value) -> Reply {
        let contents = body["contents"].as_array().map_or(&[][..], Vec::as_slice);
        let prompt = contents[0]["parts"][0]["text"].as_str().unwrap_or_default();
        let most = body["generationConfig"]["maxOutputTokens"].as_u64().unwrap_or(u64::MAX);
        let is_repair = contents.len() > 1;
        let (text, reason) = match self.mood {
            Mood::Refuses => return self.blocked(model),
            Mood::Prose => ("Here is an idea: pick the over!".to_owned(), "STOP"),
            Mood::LongWinded if most <= 8192 => ("{\"ideas\": [".to_owned(), "MAX_TOKENS"),
            mood if is_asked_for(prompt) => (idea(prompt, mood, is_repair).to_string(), "STOP"),
            _ => (self.verdict.to_string(), "STOP"),
        };
        let parts = json!([{"text": "Let me see.", "thought": true}, {"text": text}]);
        let candidate = json!({"content": {"role": "model", "parts": parts},
                               "finishReason": reason, "index": 0});
        Reply::json(
            200,
            &json!({"candidates": [candidate], "usageMetadata": usage(), "modelVersion": model,
                    "responseId": "gemini-words"}),
        )
    }

    fn blocked(&self, model: &str) -> Reply {
        Reply::json(
            200,
            &json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
                    "usageMetadata": usage(), "modelVersion": model}),
        )
    }
}

fn usage() -> Value {
    json!({"promptTokenCount": 900, "candidatesTokenCount": 150, "thoughtsTokenCount": 50,
           "totalTokenCount": 1100})
}
