//! Replicate, by its HTTP API reference: a prediction of a model has a URL under which it stands until it
//! has succeeded or failed; its output is a URL or a list of them.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::pictures::Picture;
use super::server::{Api, Asked, Reply};

/// How predictions go. A prompt with `forbidden` in it is refused.
#[derive(Debug, Default)]
pub struct Replicate {
    /// So many looks find a prediction unfinished.
    pub pending: usize,
    /// The model fails.
    pub failing: bool,
    /// The output is deleted.
    pub deleted: bool,
    /// The account has no credit.
    pub broke: bool,
    /// The output is a list.
    pub lists: bool,
    pub picture: Picture,
    pub predictions: Mutex<Vec<(Value, usize)>>,
}

impl Api for Replicate {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        if asked.path == "/files/out.png" {
            return match asked.header("authorization") {
                Some(_) => Reply::empty(400),
                None => {
                    Reply::new(200, self.picture.media_type(), self.picture.bytes(768, 1344, 5))
                }
            };
        }
        if asked.header("authorization") != Some("Bearer test-key") {
            return problem(
                401,
                "Unauthenticated",
                "You did not pass a valid authentication token",
            );
        }
        let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
        match (asked.method.as_str(), &parts[..]) {
            ("POST", ["v1", "models", _owner, _name, "predictions"]) => self.predict(asked, base),
            ("GET", ["v1", "predictions", id]) => self.prediction(id, base),
            _ => problem(404, "Not found", "The requested resource could not be found."),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            429 => problem(429, "Too many requests", "Request was throttled."),
            _ => problem(status, "Internal server error", "Something went wrong."),
        }
    }
}

impl Replicate {
    fn predict(&self, asked: &Asked, base: &str) -> Reply {
        let order = asked.json();
        if self.broke {
            let detail = "You have insufficient credit to run this model.";
            return problem(402, "Insufficient credit", detail);
        }
        if !order["input"]["prompt"].is_string() {
            return problem(422, "Input validation failed", "- input.prompt: is required");
        }
        let mut predictions = self.predictions.lock().unwrap_or_else(PoisonError::into_inner);
        predictions.push((order, 0));
        let id = predictions.len();
        Reply::json(201, &shown(&format!("p{id}"), base, "starting", Value::Null, Value::Null))
    }

    fn prediction(&self, id: &str, base: &str) -> Reply {
        let mut predictions = self.predictions.lock().unwrap_or_else(PoisonError::into_inner);
        let number = id.strip_prefix('p').and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        let Some((order, looks)) = predictions.get_mut(number.wrapping_sub(1)) else {
            return problem(404, "Not found", "The requested resource could not be found.");
        };
        *looks += 1;
        if *looks <= self.pending {
            return Reply::json(200, &shown(id, base, "processing", Value::Null, Value::Null));
        }
        let prompt = order["input"]["prompt"].as_str().unwrap_or_default();
        let error = match (prompt.contains("forbidden"), self.failing) {
            (true, _) => {
                "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
            }
            (_, true) => "CUDA out of memory",
            _ => {
                let url = json!(format!("{base}/files/out.png"));
                let output = match (self.deleted, self.lists) {
                    (true, _) => Value::Null,
                    (_, true) => json!([url]),
                    _ => url,
                };
                return Reply::json(200, &shown(id, base, "succeeded", output, Value::Null));
            }
        };
        Reply::json(200, &shown(id, base, "failed", Value::Null, error.into()))
    }
}

fn shown(id: &str, base: &str, status: &str, output: Value, error: Value) -> Value {
    let get = format!("{base}/v1/predictions/{id}");
    json!({"id": id, "status": status, "output": output, "error": error, "logs": "", "metrics": {},
        "urls": {"get": get, "cancel": format!("{get}/cancel")}})
}

fn problem(status: u16, title: &str, detail: &str) -> Reply {
    let body = json!({"title": title, "detail": detail, "status": status});
    Reply::new(status, "application/problem+json", body.to_string())
}
