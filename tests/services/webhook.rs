//! A receiver of webhooks, after the Standard Webhooks and IETF `Idempotency-Key` drafts (httpapi WG):
//! a signature over time and body, and a key under which the same news is taken once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::{Api, Asked, Reply};

/// Takes news that are signed with `test-key`.
#[derive(Clone, Default)]
pub struct Webhook {
    /// Keys of the news that were taken, in order; a key that is there twice was posted twice.
    pub taken: Arc<Mutex<Vec<String>>>,
    /// Whether it says 200 to news that it has had, in the place of 409.
    pub quiet: bool,
}

impl Webhook {
    /// Keys of the news that were taken.
    pub fn posts(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"error": message})).header("X-Request-Id", "wh-req-1")
}

fn is_signed(asked: &Asked) -> bool {
    let (Some(time), Some(signature)) = (asked.header("x-timestamp"), asked.header("x-signature"))
    else {
        return false;
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(b"test-key").expect("a key of any length");
    mac.update(format!("{time}.").as_bytes());
    mac.update(&asked.body);
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    signature == format!("sha256={hex}")
}

impl Api for Webhook {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        if asked.path != "/hook" {
            return error(404, "no such hook");
        }
        if !is_signed(asked) {
            return error(401, "the signature is wrong");
        }
        let Some(key) = asked.header("idempotency-key").filter(|key| key.len() >= 16) else {
            return error(400, "an Idempotency-Key is needed");
        };
        let body = asked.json();
        if body["title"].as_str().is_some_and(|title| title.contains("refused")) {
            return error(422, "the title is not wanted");
        }
        if body["video"]["sha256"].as_str().is_none_or(|sha256| sha256.len() != 64) {
            return error(422, "a video is needed");
        }
        let mut taken = self.lock();
        let known = taken.iter().any(|known| known == key);
        if known {
            return if self.quiet { Reply::empty(200) } else { error(409, "it was taken before") };
        }
        taken.push(key.to_owned());
        Reply::json(202, &json!({"id": format!("wh-{}", taken.len())}))
    }

    fn failure(&self, status: u16) -> Reply {
        error(status, "not now")
    }
}
