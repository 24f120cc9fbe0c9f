//! fal, by the reference of its queue and of its errors: a request is queued under an id, its status and
//! result have URLs of their own without the end of the model's path, and a request that has ended may
//! have failed.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::pictures::Picture;
use super::server::{Api, Asked, Reply};

/// How requests go. A prompt with `forbidden` in it is refused, one with `indecent` is blackened.
#[derive(Debug, Default)]
pub struct Fal {
    /// So many looks find a request unfinished.
    pub pending: usize,
    /// The model fails, with this in `X-Fal-Retryable`.
    pub failing: Option<bool>,
    pub picture: Picture,
    pub requests: Mutex<Vec<(Value, usize)>>,
}

impl Api for Fal {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        if let Some(number) = asked.path.strip_prefix("/files/") {
            return self.picture(asked, number);
        }
        if asked.header("authorization") != Some("Key test-key") {
            return Reply::json(
                401,
                &json!({"detail": "Cannot access application. Authentication is required"}),
            );
        }
        let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
        match (asked.method.as_str(), &parts[..]) {
            ("POST", ["fal-ai", "flux", "dev"]) => self.queue(asked, base),
            ("GET", ["fal-ai", "flux", "requests", id, "status"]) => self.status(id),
            ("GET", ["fal-ai", "flux", "requests", id]) => self.result(id, base),
            _ => Reply::json(404, &json!({"detail": "Application not found"})),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        let kind = if status == 429 { "rate_limited" } else { "internal_error" };
        let body = json!({"detail": "Request failed", "error_type": kind});
        Reply::json(status, &body)
            .header("X-Fal-Error-Type", kind)
            .header("x-fal-request-id", "fal-1")
    }
}

impl Fal {
    fn queue(&self, asked: &Asked, base: &str) -> Reply {
        let order = asked.json();
        if order["prompt"].as_str().is_none_or(str::is_empty)
            || !order["image_size"]["width"].is_u64()
        {
            let detail =
                json!([{"loc": ["body", "prompt"], "msg": "field required", "type": "missing"}]);
            return Reply::json(422, &json!({"detail": detail}));
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push((order, 0));
        let id = requests.len();
        let at = format!("{base}/fal-ai/flux/requests/{id}");
        Reply::json(
            200,
            &json!({"status": "IN_QUEUE", "request_id": id.to_string(), "response_url": at,
            "status_url": format!("{at}/status"), "cancel_url": format!("{at}/cancel"), "queue_position": 0}),
        )
    }

    fn request<T>(&self, id: &str, use_it: impl FnOnce(&mut (Value, usize)) -> T) -> Option<T> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let at = id.parse::<usize>().ok()?.checked_sub(1)?;
        requests.get_mut(at).map(use_it)
    }

    fn status(&self, id: &str) -> Reply {
        let looked = self.request(id, |request| {
            request.1 += 1;
            request.1
        });
        match looked {
            None => Reply::json(404, &json!({"detail": "Request not found"})),
            Some(looks) if looks <= self.pending => {
                Reply::json(202, &json!({"status": "IN_PROGRESS", "request_id": id, "logs": null}))
            }
            Some(_) => {
                Reply::json(200, &json!({"status": "COMPLETED", "request_id": id, "metrics": {}}))
            }
        }
    }

    fn result(&self, id: &str, base: &str) -> Reply {
        let Some(order) = self.request(id, |request| request.0.clone()) else {
            return Reply::json(404, &json!({"detail": "Request not found"}));
        };
        let prompt = order["prompt"].as_str().unwrap_or_default();
        let failed = |status: u16, kind: &str, retryable: bool| {
            let detail = json!([{"loc": ["body", "prompt"], "msg": "it failed", "type": kind, "url": "https://docs.fal.ai/errors"}]);
            Reply::json(status, &json!({"detail": detail})).header("X-Fal-Retryable", retryable)
        };
        if prompt.contains("forbidden") {
            return failed(422, "content_policy_violation", false);
        }
        if let Some(retryable) = self.failing {
            return failed(500, "internal_server_error", retryable);
        }
        let size = &order["image_size"];
        let image = json!({"url": format!("{base}/files/{id}"), "content_type": "image/png",
            "width": size["width"], "height": size["height"]});
        Reply::json(
            200,
            &json!({"images": [image], "seed": order["seed"], "prompt": prompt,
            "has_nsfw_concepts": [prompt.contains("indecent")]}),
        )
    }

    fn picture(&self, asked: &Asked, id: &str) -> Reply {
        if asked.header("authorization").is_some() {
            return Reply::empty(400);
        }
        let Some(order) = self.request(id, |request| request.0.clone()) else {
            return Reply::empty(404);
        };
        let side = |name: &str| order["image_size"][name].as_u64().unwrap_or(1024) as u32;
        let seed = order["seed"].as_u64().unwrap_or_default();
        Reply::new(
            200,
            self.picture.media_type(),
            self.picture.bytes(side("width"), side("height"), seed),
        )
    }
}
