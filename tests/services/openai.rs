//! OpenAI speech, by <https://platform.openai.com/docs/api-reference/audio/createSpeech> and
//! <https://platform.openai.com/docs/guides/error-codes>.

use serde_json::{Value, json};

use super::server::{Api, Asked, Reply};
use super::sound;

/// How long each character takes.
const CHARACTER_MS: u64 = 60;
const FORMATS: [&str; 6] = ["mp3", "opus", "aac", "flac", "wav", "pcm"];

#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAiSpeech {
    /// Whether the account has no money left.
    pub is_broke: bool,
    /// Whether nothing can be heard.
    pub is_silent: bool,
}

impl Api for OpenAiSpeech {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        if asked.header("authorization") != Some("Bearer test-key") {
            return error(
                401,
                "invalid_request_error",
                Some("invalid_api_key"),
                "Incorrect API key",
            );
        }
        if (asked.method.as_str(), asked.path.as_str()) != ("POST", "/v1/audio/speech") {
            return error(404, "invalid_request_error", None, "Invalid URL");
        }
        let body = asked.json();
        if let Some(fault) = fault(&body) {
            return error(400, "invalid_request_error", None, fault);
        }
        if self.is_broke {
            return error(429, "insufficient_quota", Some("insufficient_quota"), "No money left");
        }
        let characters = body["input"].as_str().unwrap_or_default().chars().count() as u64;
        let sound = sound::wav(characters * CHARACTER_MS, self.is_silent);
        Reply::new(200, "audio/wav", sound).header("x-request-id", "openai-words")
    }

    fn failure(&self, status: u16) -> Reply {
        if status == 429 {
            return error(429, "requests", Some("rate_limit_exceeded"), "Rate limit reached")
                .header("x-ratelimit-remaining-requests", 0)
                .header("x-ratelimit-reset-requests", "5ms");
        }
        error(status, "server_error", None, "try again")
    }
}

fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Reply {
    let error = json!({"message": message, "type": kind, "param": null, "code": code});
    Reply::json(status, &json!({"error": error})).header("x-request-id", "openai-words")
}

fn fault(body: &Value) -> Option<&'static str> {
    let is_text = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
    if !is_text("model") || !is_text("voice") || !is_text("input") {
        return Some("model, voice and input are required");
    }
    if body["input"].as_str().is_some_and(|text| text.chars().count() > 4096) {
        return Some("input: string too long, at most 4096 characters");
    }
    let format = body["response_format"].as_str().unwrap_or("mp3");
    if format != "wav" {
        return Some(if FORMATS.contains(&format) {
            "this server speaks WAV alone"
        } else {
            "response_format: unknown"
        });
    }
    None
}
