//! Instagram, after "Instagram Platform: Content Publishing", "Resumable Uploads", the references of
//! `IG User Media`, `IG User Media Publish` and `IG Container`, and "Error Codes".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::{Api, Asked, Reply};

/// The user `1789` with the access token `test-key`.
#[derive(Clone, Default)]
pub struct Instagram {
    /// What it knows, shared by its clones.
    pub state: Arc<Mutex<State>>,
    /// How often a container is asked before it is ready.
    pub polls: u64,
}

#[derive(Default)]
pub struct State {
    containers: BTreeMap<String, Container>,
    posts: Vec<Value>,
    again: u64,
}

#[derive(Default)]
pub struct Container {
    caption: String,
    uploaded: bool,
    asked: u64,
    published: bool,
}

impl Instagram {
    /// Captions of the reels that are posted.
    pub fn posts(&self) -> Vec<String> {
        let state = self.lock();
        let caption = |post: &Value| post["caption"].as_str().unwrap_or_default().to_owned();
        state.posts.iter().map(caption).collect()
    }

    /// How often a container was published that was published before.
    pub fn again(&self) -> u64 {
        self.lock().again
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn code(&self, container: &Container) -> &'static str {
        let says = |word| container.caption.contains(word);
        match () {
            () if container.published => "PUBLISHED",
            () if !container.uploaded || says("never ready") => "IN_PROGRESS",
            () if says("broken") => "ERROR",
            () if says("expired") => "EXPIRED",
            () if container.asked < self.polls => "IN_PROGRESS",
            () => "FINISHED",
        }
    }

    fn container(&self, asked: &Asked, base: &str, state: &mut State) -> Reply {
        let body = asked.json();
        let caption = body["caption"].as_str().unwrap_or_default().to_owned();
        let by_url = body["video_url"].is_string();
        if body["media_type"] != "REELS" || !(by_url || body["upload_type"] == "resumable") {
            return error(400, 100, 0, "Invalid parameter");
        }
        if caption.chars().count() > 2_200 {
            return error(400, 100, 2_207_010, "The caption is too long");
        }
        let id = format!("179{}", state.containers.len() + 1);
        let container = Container { caption, uploaded: by_url, ..Container::default() };
        state.containers.insert(id.clone(), container);
        let mut answer = json!({"id": id});
        if !by_url {
            answer["uri"] = json!(format!("{base}/ig-api-upload/v23.0/{id}"));
        }
        Reply::json(200, &answer)
    }

    fn publish(&self, asked: &Asked, state: &mut State) -> Reply {
        let id = asked.json()["creation_id"].as_str().unwrap_or_default().to_owned();
        let count = state.posts.len() + 1;
        let Some(container) = state.containers.get_mut(&id) else {
            return error(400, 100, 33, "Unsupported post request");
        };
        if container.caption.contains("quota") {
            return error(403, 9, 2_207_042, "You reached maximum number of posts that is allowed");
        }
        match self.code(container) {
            "FINISHED" => {}
            "PUBLISHED" => {
                state.again += 1;
                return error(400, 100, 2_207_008, "The container was published before");
            }
            _ => return error(400, 9_007, 2_207_027, "The media is not ready for publishing"),
        }
        container.published = true;
        let id = format!("180{count}");
        let link = format!("https://www.instagram.com/reel/R{count}/");
        state.posts.push(json!({"id": id, "caption": container.caption, "permalink": link}));
        Reply::json(200, &json!({"id": id}))
    }
}

fn error(status: u16, code: i64, subcode: i64, message: &str) -> Reply {
    let error = json!({"message": message, "type": "OAuthException", "code": code,
                       "error_subcode": subcode, "fbtrace_id": "AbCtrace1"});
    Reply::json(status, &json!({"error": error}))
}

impl Api for Instagram {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        let mut state = self.lock();
        let state = &mut *state;
        let authorization = asked.header("authorization").unwrap_or_default();
        if let Some(id) = asked.path.strip_prefix("/ig-api-upload/v23.0/") {
            let number = |name| asked.header(name).and_then(|text| text.parse::<usize>().ok());
            let whole =
                number("file_size") == Some(asked.body.len()) && number("offset") == Some(0);
            return match state.containers.get_mut(id) {
                Some(container) if authorization == "OAuth test-key" && whole => {
                    container.uploaded = true;
                    Reply::json(200, &json!({"success": true, "message": "Upload successful."}))
                }
                _ => {
                    let info = json!({"retriable": false, "type": "ProcessingFailedError", "message": "Request processing failed"});
                    Reply::json(400, &json!({"debug_info": info}))
                }
            };
        }
        if authorization != "Bearer test-key" {
            return error(400, 190, 463, "Error validating access token: Session has expired");
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/v23.0/1789/media") => self.container(asked, base, state),
            ("POST", "/v23.0/1789/media_publish") => self.publish(asked, state),
            ("GET", "/v23.0/1789/media") => {
                let posts: Vec<&Value> = state.posts.iter().rev().collect();
                Reply::json(200, &json!({"data": posts}))
            }
            ("GET", path) => {
                let id = path.trim_start_matches("/v23.0/");
                if let Some(post) = state.posts.iter().find(|post| post["id"] == id) {
                    return Reply::json(200, post);
                }
                let Some(container) = state.containers.get_mut(id) else {
                    return error(400, 100, 33, "Unsupported get request");
                };
                container.asked += u64::from(container.uploaded);
                let container = &*container;
                let phase = if container.uploaded { "complete" } else { "not_started" };
                let body = json!({"id": id, "status_code": self.code(container),
                    "video_status": {"uploading_phase": {"status": phase}}});
                Reply::json(200, &body)
            }
            _ => error(404, 100, 0, "Unknown path"),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            429 => error(429, 4, 0, "Application request limit reached"),
            _ => error(status, 2, 0, "Service temporarily unavailable"),
        }
    }
}
