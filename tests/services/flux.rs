//! FLUX of Black Forest Labs, by its public API reference and integration guidelines: an order gives an
//! id and a polling URL, the finished job a URL of the picture that is good for ten minutes and takes
//! no key.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::pictures::Picture;
use super::server::{Api, Asked, Reply};

/// How jobs go. A prompt with `forbidden` in it is refused, one with `indecent` makes a picture that is.
#[derive(Debug, Default)]
pub struct Flux {
    /// So many looks find a job unfinished.
    pub pending: usize,
    /// Jobs never end.
    pub endless: bool,
    /// The first so many jobs fail.
    pub failing: usize,
    /// The pictures of the first so many jobs have expired.
    pub expired: usize,
    /// The first so many jobs are forgotten.
    pub forgotten: usize,
    /// The account has no credits.
    pub broke: bool,
    /// Where pictures and jobs are said to be, if not here.
    pub elsewhere: Option<&'static str>,
    pub picture: Picture,
    pub jobs: Mutex<Vec<Job>>,
}

/// An order, and how often it was looked at.
#[derive(Debug, Clone)]
pub struct Job {
    pub order: Value,
    pub looks: usize,
}

impl Api for Flux {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        if let Some(name) = asked.path.strip_prefix("/delivery/") {
            return self.picture(asked, name);
        }
        match asked.header("x-key") {
            None => {
                return Reply::json(
                    403,
                    &json!({"detail": "Not authenticated - Invalid Authentication"}),
                );
            }
            Some("test-key") => {}
            Some(_) => return Reply::json(403, &json!({"detail": "Not authenticated"})),
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/v1/get_result") => self.result(asked, base),
            ("POST", path) if path.starts_with("/v1/flux-") => self.order(asked, base),
            _ => Reply::json(404, &json!({"detail": "Not Found"})),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        let detail = match status {
            429 => "Rate limit exceeded. You have too many active tasks",
            _ => "Internal server error",
        };
        Reply::json(status, &json!({"detail": detail})).header("x-request-id", "bfl-1")
    }
}

impl Flux {
    fn order(&self, asked: &Asked, base: &str) -> Reply {
        let order = asked.json();
        if self.broke {
            return Reply::json(402, &json!({"detail": "Insufficient credits"}));
        }
        if let Some(wrong) = wrong(&order) {
            let detail = json!([{"loc": ["body", wrong], "msg": "Input should be valid", "type": "value_error"}]);
            return Reply::json(422, &json!({"detail": detail}));
        }
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push(Job { order, looks: 0 });
        let id = jobs.len();
        let at = self.elsewhere.unwrap_or(base);
        Reply::json(
            200,
            &json!({"id": format!("t-{id}"), "polling_url": format!("{at}/v1/get_result?id=t-{id}")}),
        )
    }

    fn result(&self, asked: &Asked, base: &str) -> Reply {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let id = asked.param("id").unwrap_or_default();
        let number = id.strip_prefix("t-").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        let is_known = number > self.forgotten;
        let Some(job) = jobs.get_mut(number.wrapping_sub(1)).filter(|_| is_known) else {
            return Reply::json(
                404,
                &json!({"id": id, "status": "Task not found", "result": null}),
            );
        };
        job.looks += 1;
        let prompt = job.order["prompt"].as_str().unwrap_or_default();
        let status = |status: &str, details: Value| {
            Reply::json(
                200,
                &json!({"id": id, "status": status, "result": null, "progress": null, "details": details}),
            )
        };
        if prompt.contains("forbidden") {
            return status("Request Moderated", json!({"Moderation Reasons": ["Prompt"]}));
        }
        if self.endless || job.looks <= self.pending {
            return status("Pending", Value::Null);
        }
        if prompt.contains("indecent") {
            return status("Content Moderated", json!({"Moderation Reasons": ["Safety Filter"]}));
        }
        if number <= self.failing {
            return status("Error", json!({"error": "generation failed"}));
        }
        let sample = format!("{base}/delivery/t-{number}?se=soon&sig=s");
        Reply::json(
            200,
            &json!({"id": id, "status": "Ready", "progress": 1.0,
            "result": {"sample": sample, "prompt": prompt, "seed": job.order["seed"], "duration": 4.2}}),
        )
    }

    fn picture(&self, asked: &Asked, name: &str) -> Reply {
        let number: usize = name.trim_start_matches("t-").parse().unwrap_or(0);
        if asked.header("x-key").is_some() || asked.header("authorization").is_some() {
            return Reply::new(
                400,
                "application/xml",
                "<Error>a key was sent to the place of pictures</Error>",
            );
        }
        if number <= self.expired {
            return Reply::new(
                403,
                "application/xml",
                "<Error><Code>AuthenticationFailed</Code></Error>",
            )
            .header("x-ms-request-id", "blob-1");
        }
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(job) = jobs.get(number.wrapping_sub(1)) else { return Reply::empty(404) };
        let side = |name: &str| job.order[name].as_u64().unwrap_or(1024) as u32;
        let seed = job.order["seed"].as_u64().unwrap_or_default();
        let bytes = self.picture.bytes(side("width"), side("height"), seed);
        Reply::new(200, self.picture.media_type(), bytes)
    }
}

/// The first field that the service would not take.
fn wrong(order: &Value) -> Option<&'static str> {
    let side =
        |name: &str| order[name].as_u64().is_some_and(|n| (256..=2048).contains(&n) && n % 32 == 0);
    if order["prompt"].as_str().is_none_or(str::is_empty) {
        return Some("prompt");
    }
    if !order["seed"].is_u64() {
        return Some("seed");
    }
    ["width", "height"].into_iter().find(|name| !side(name))
}
