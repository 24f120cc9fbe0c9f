//! ElevenLabs speech with timestamps, by
//! <https://elevenlabs.io/docs/api-reference/text-to-speech/convert-with-timestamps> and
//! <https://elevenlabs.io/docs/developers/resources/error-messages>.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::server::{Api, Asked, Reply};
use super::sound;

/// How long each character takes.
const CHARACTER_MS: u64 = 60;

/// What a voice sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Voice {
    #[default]
    Good,
    /// Without the times of characters.
    Timeless,
    /// Times of fewer characters than there are.
    Uneven,
    /// Nothing can be heard.
    Silent,
    /// A sound of one byte.
    OneByte,
    /// Half of the sound that its times tell of.
    CutShort,
}

#[derive(Debug, Default)]
pub struct ElevenLabs {
    pub voice: Voice,
    /// So many characters are left, if there is a limit: then the quota is used up.
    pub quota: Option<u32>,
    /// So many requests find too many others before them.
    pub crowded: AtomicU32,
    pub spoken: AtomicU32,
}

impl Api for ElevenLabs {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        if asked.header("xi-api-key") != Some("test-key") {
            return old(401, "invalid_api_key", "Invalid API key");
        }
        let voice = asked.path.strip_prefix("/v1/text-to-speech/");
        let Some(voice) = voice.and_then(|rest| rest.strip_suffix("/with-timestamps")) else {
            return old(404, "not_found", "Not found");
        };
        if voice == "unknown" {
            return old(400, "voice_not_found", "A voice with that id was not found");
        }
        let body = asked.json();
        let Some(text) = body["text"].as_str().filter(|text| !text.is_empty()) else {
            let missing =
                json!([{"loc": ["body", "text"], "msg": "Field required", "type": "missing"}]);
            return Reply::json(422, &json!({"detail": missing}));
        };
        if text.chars().count() > 10_000 {
            return old(400, "max_character_limit_exceeded", "The text is too long");
        }
        if asked.param("output_format") != Some("mp3_44100_128") {
            return old(400, "invalid_output_format", "unknown format");
        }
        if self
            .crowded
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
        {
            return new(429, "rate_limit_error", "concurrent_limit_exceeded", "Too many at once");
        }
        let length = text.chars().count() as u32;
        let before = self.spoken.fetch_add(length, Ordering::SeqCst);
        if self.quota.is_some_and(|quota| before + length > quota) {
            return new(401, "authentication_error", "quota_exceeded", "Your quota is used up");
        }
        Reply::json(200, &self.speak(text)).header("request-id", "eleven-words")
    }

    fn failure(&self, status: u16) -> Reply {
        if status == 429 {
            return old(429, "system_busy", "We are busy");
        }
        new(status, "internal_error", "internal_server_error", "try again")
    }
}

/// The older dialect of errors.
fn old(status: u16, name: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"detail": {"status": name, "message": message}}))
        .header("request-id", "eleven-words")
}

/// The newer one.
fn new(status: u16, kind: &str, code: &str, message: &str) -> Reply {
    let detail = json!({"type": kind, "code": code, "message": message,
                        "request_id": "eleven-words", "param": null});
    Reply::json(status, &json!({"detail": detail}))
}

impl ElevenLabs {
    fn speak(&self, text: &str) -> Value {
        let characters: Vec<String> = text.chars().map(String::from).collect();
        let ms = characters.len() as u64 * CHARACTER_MS;
        let audio = match self.voice {
            Voice::OneByte => vec![0],
            Voice::Silent => sound::mp3(ms, true),
            Voice::CutShort => sound::mp3(ms / 2, false),
            _ => sound::mp3(ms, false),
        };
        let at = |n: usize| (n as u64 * CHARACTER_MS) as f64 / 1000.0;
        let told = characters.len() - usize::from(self.voice == Voice::Uneven);
        let alignment = json!({
            "characters": characters,
            "character_start_times_seconds": (0..told).map(at).collect::<Vec<_>>(),
            "character_end_times_seconds": (1..=told).map(at).collect::<Vec<_>>(),
        });
        let alignment = if self.voice == Voice::Timeless { Value::Null } else { alignment };
        json!({"audio_base64": STANDARD.encode(audio), "alignment": alignment,
               "normalized_alignment": null})
    }
}
