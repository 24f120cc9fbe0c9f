//! Pictures of OpenAI, by its published OpenAPI document: `POST /v1/images/generations`, with the sizes
//! that each model has, the picture as base64 or at a URL, and its error objects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pictures::Picture;
use super::server::{Api, Asked, Reply};

/// How the account stands. A prompt with `forbidden` in it is refused.
#[derive(Debug, Default)]
pub struct OpenAiImages {
    /// 429, and an empty wallet.
    pub broke: bool,
    /// Pictures come as URLs, as the older models do it.
    pub by_url: bool,
    pub picture: Picture,
}

impl Api for OpenAiImages {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        if asked.path == "/files/picture" {
            return match asked.header("authorization") {
                Some(_) => Reply::empty(400),
                None => {
                    Reply::new(200, self.picture.media_type(), self.picture.bytes(1024, 1792, 1))
                }
            };
        }
        if asked.header("authorization") != Some("Bearer test-key") {
            let message = "Incorrect API key provided";
            return error(401, "invalid_request_error", "invalid_api_key", message);
        }
        if asked.path != "/v1/images/generations" || asked.method != "POST" {
            return error(404, "invalid_request_error", "unknown_url", "Unknown request URL");
        }
        if self.broke {
            let message =
                "You exceeded your current quota, please check your plan and billing details.";
            return error(429, "insufficient_quota", "insufficient_quota", message);
        }
        self.made(&asked.json(), base)
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            429 => error(
                429,
                "requests",
                "rate_limit_exceeded",
                "Rate limit reached for images per minute",
            ),
            _ => error(status, "server_error", "server_error", "The server had an error"),
        }
    }
}

impl OpenAiImages {
    fn made(&self, order: &Value, base: &str) -> Reply {
        let model = order["model"].as_str().unwrap_or("dall-e-2");
        let prompt = order["prompt"].as_str().unwrap_or_default();
        if prompt.is_empty() {
            return error(
                400,
                "invalid_request_error",
                "missing_required_parameter",
                "Missing `prompt`",
            );
        }
        let size = order["size"].as_str().unwrap_or("1024x1024");
        let sides =
            size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let Some((width, height)) = sides.filter(|(w, h)| takes(model, *w, *h)) else {
            let message = format!("Invalid value: '{size}' for `size`");
            return error(400, "invalid_request_error", "invalid_value", &message);
        };
        if order["response_format"].is_string() != model.starts_with("dall-e") {
            let message = "Unknown parameter: 'response_format'";
            return error(400, "invalid_request_error", "unknown_parameter", message);
        }
        if prompt.contains("forbidden") {
            let message = "Your request was rejected by the safety system.";
            return error(400, "image_generation_user_error", "moderation_blocked", message);
        }
        let data = if self.by_url {
            json!({"url": format!("{base}/files/picture"), "revised_prompt": prompt})
        } else {
            json!({"b64_json": STANDARD.encode(self.picture.bytes(width, height, prompt.len() as u64))})
        };
        let usage = json!({"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210});
        Reply::json(200, &json!({"created": 1_767_000_000, "data": [data], "usage": usage}))
            .header("x-request-id", "req-images")
    }
}

fn takes(model: &str, width: u32, height: u32) -> bool {
    match model {
        "dall-e-2" => matches!((width, height), (256, 256) | (512, 512) | (1024, 1024)),
        "dall-e-3" => matches!((width, height), (1024, 1024) | (1792, 1024) | (1024, 1792)),
        "gpt-image-1" | "gpt-image-1-mini" | "gpt-image-1.5" => {
            matches!((width, height), (1024, 1024) | (1536, 1024) | (1024, 1536))
        }
        _ => width % 16 == 0 && height % 16 == 0,
    }
}

fn error(status: u16, kind: &str, code: &str, message: &str) -> Reply {
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    Reply::json(status, &body).header("x-request-id", "req-images")
}
