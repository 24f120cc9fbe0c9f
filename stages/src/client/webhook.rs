//! A webhook: the news of a finished piece, signed, to a server of one's own.
//!
//! `POST` of a JSON manifest with `Idempotency-Key`, `X-Timestamp` and, where there is a key,
//! `X-Signature: sha256=HMAC(key, timestamp.body)`. Any 2xx is success; 409 says that it was done
//! before; 429 and 5xx are tried again with the same key.

use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::json;
use flow_core::stage::Context;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::publication::{Publication, Published};
use super::{Answer, Api, Message, Service, call};

/// It has no place of its own: `base_url` must be set.
const NOWHERE: &str = "https://webhook.invalid";

pub(crate) static WEBHOOK: Api = Api {
    name: "webhook",
    base_url: NOWHERE,
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(30),
    in_flight: 4,
    needs_key: false,
    key_env: "WEBHOOK_SECRET",
};

const OPERATION: &str = "post to the webhook";

/// Tells the receiver of a piece.
///
/// # Errors
/// When it does not take it.
pub(crate) async fn publish(
    context: &dyn Context,
    service: &Service,
    piece: &Publication,
) -> Result<Published, StageError> {
    if service.base_url.as_str().trim_end_matches('/') == NOWHERE {
        let mut error = service.failure(ErrorClass::Config, OPERATION, "it has no URL");
        error.unsent = true;
        return Err(error.hint("set services = { webhook = { base_url = \"https://…\" } }"));
    }
    let body = json::canonical(&manifest(piece));
    let answer = call(context, service, OPERATION, async |_try| {
        let answer = service.send(context, OPERATION, message(service, piece, &body)?).await?;
        match answer.status {
            200..=299 | 409 => Ok(answer),
            _ => Err(failure(service, &answer)),
        }
    })
    .await?;
    Ok(published(service, &answer))
}

fn message(service: &Service, piece: &Publication, body: &[u8]) -> Result<Message, StageError> {
    let timestamp = jiff::Timestamp::now().as_second().to_string();
    let message = Message::post(service.url("")?)
        .bytes(body.to_vec(), "application/json")
        .header("idempotency-key", &piece.name)
        .header("x-timestamp", &timestamp);
    Ok(match service.optional_key() {
        Some(key) => message.header("x-signature", &signature(key, &timestamp, body)),
        None => message,
    })
}

/// `sha256=` and the HMAC-SHA256 of `timestamp.body` in hex.
fn signature(key: &str, timestamp: &str, body: &[u8]) -> String {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let hex: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

fn manifest(piece: &Publication) -> Value {
    json!({
        "schema_version": 1,
        "id": piece.name,
        "idea_id": piece.idea_id,
        "account": piece.account,
        "title": piece.title,
        "caption": piece.caption,
        "hashtags": piece.hashtags,
        "privacy": piece.privacy.name(),
        "video": {
            "sha256": piece.sha256,
            "bytes": piece.bytes,
            "media_type": piece.media_type,
            "duration_ms": piece.duration_ms,
            "url": piece.video_url,
        },
        "facts": piece.facts,
    })
}

fn published(service: &Service, answer: &Answer) -> Published {
    let body = answer.value().unwrap_or_default();
    let text = |name: &str| match &body[name] {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let host = service.base_url.host_str().unwrap_or_default();
    let url = text("url");
    Published {
        unchanged: answer.status == 409,
        remote_id: text("id"),
        place: url.clone().unwrap_or_else(|| format!("webhook at {host}")),
        url,
    }
}

/// What a receiver's refusal means: its status alone says it.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let error = answer.refusal(service, None, None);
    match answer.status {
        401 | 403 => error.hint(
            "the receiver does not accept the signature: both sides must have the same WEBHOOK_SECRET",
        ),
        404 | 410 => error.hint("nobody listens there: check services.webhook.base_url"),
        300..=399 => error.hint("it points elsewhere: set services.webhook.base_url to that place"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::signature;

    /// Computed with
    /// `printf '1700000000.{}' | openssl dgst -sha256 -hmac test-key`.
    #[test]
    fn the_signature_is_the_hmac_of_time_and_body() {
        assert_eq!(
            signature("test-key", "1700000000", b"{}"),
            "sha256=77e0441e5444f5f6dea69119798ceafda0ebabed29f89215ff3130e387bd2b13"
        );
    }
}
