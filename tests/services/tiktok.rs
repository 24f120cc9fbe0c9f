//! TikTok, after "Content Posting API": the references "Query Creator Info", "Direct Post" and "Get Post
//! Status", and the "Media Transfer Guide".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::{Api, Asked, Reply};

const MB: u64 = 1024 * 1024;

/// A creator with the access token `test-key`, for a client that is not audited.
#[derive(Clone, Default)]
pub struct TikTok {
    /// What it knows, shared by its clones.
    pub state: Arc<Mutex<State>>,
    /// How often a post is asked for before it is there.
    pub polls: u64,
}

#[derive(Default)]
pub struct State {
    posts: BTreeMap<String, Post>,
    again: u64,
}

pub struct Post {
    title: String,
    size: u64,
    chunk: u64,
    there: u64,
    asked: u64,
}

impl Post {
    fn is_open(&self) -> bool {
        self.there < self.size && !self.title.contains("expires")
    }
}

impl TikTok {
    /// Titles of the posts whose videos are there: each is a post.
    pub fn posts(&self) -> Vec<String> {
        let state = self.lock();
        let there = state.posts.values().filter(|post| post.there == post.size);
        there.map(|post| post.title.clone()).collect()
    }

    /// How often an upload was begun after bytes of another one of the same title had come.
    pub fn again(&self) -> u64 {
        self.lock().again
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, asked: &Asked, base: &str, state: &mut State) -> Reply {
        let body = asked.json();
        let (info, source) = (&body["post_info"], &body["source_info"]);
        let title = info["title"].as_str().unwrap_or_default().to_owned();
        if info["privacy_level"] != "SELF_ONLY" {
            return error(
                403,
                "unaudited_client_can_only_post_to_private_accounts",
                "Private only",
            );
        }
        if title.contains("too many") {
            return error(403, "spam_risk_too_many_posts", "The daily post cap is reached");
        }
        let number = |name: &str| source[name].as_u64().unwrap_or(0);
        let (size, chunk) = (number("video_size"), number("chunk_size"));
        let fits = if size < 5 * MB { chunk == size } else { (5 * MB..=64 * MB).contains(&chunk) };
        if source["source"] != "FILE_UPLOAD"
            || chunk == 0
            || !fits
            || number("total_chunk_count") != size / chunk
        {
            return error(400, "invalid_params", "The total chunk count is invalid");
        }
        if state.posts.values().any(|post| {
            post.title == title && (post.there > 0 && post.is_open() || post.there == post.size)
        }) {
            state.again += 1;
        }
        let id = format!("v_pub_file~v2.{}", state.posts.len() + 1);
        let upload = format!("{base}/video/?upload_id={}&upload_token=t", state.posts.len() + 1);
        state.posts.insert(id.clone(), Post { title, size, chunk, there: 0, asked: 0 });
        ok(&json!({"publish_id": id, "upload_url": upload}))
    }

    fn put(asked: &Asked, state: &mut State) -> Reply {
        let id = format!("v_pub_file~v2.{}", asked.param("upload_id").unwrap_or_default());
        let Some(post) = state.posts.get_mut(&id) else { return Reply::empty(404) };
        if post.title.contains("expires") {
            return Reply::empty(403);
        }
        let range = asked.header("content-range").unwrap_or_default();
        let parts = range.trim_start_matches("bytes ").split(['-', '/']);
        let [from, to, total] = parts.filter_map(|n| n.parse::<u64>().ok()).collect::<Vec<_>>()[..]
        else {
            return Reply::empty(400);
        };
        let length = asked.body.len() as u64;
        let last = to + 1 == post.size;
        if total != post.size || to + 1 - from != length || (!last && length != post.chunk) {
            return Reply::empty(400);
        }
        if from != post.there {
            return Reply::empty(416)
                .header("Content-Range", format!("bytes 0-{}/{}", post.there, post.size));
        }
        post.there = to + 1;
        Reply::empty(if last { 201 } else { 206 })
    }

    fn status(&self, asked: &Asked, state: &mut State) -> Reply {
        let id = asked.json()["publish_id"].as_str().unwrap_or_default().to_owned();
        let Some(post) = state.posts.get_mut(&id) else {
            return error(400, "invalid_publish_id", "The publish_id does not exist");
        };
        if post.there < post.size {
            return ok(&json!({"status": "PROCESSING_UPLOAD", "uploaded_bytes": post.there}));
        }
        post.asked += 1;
        if post.asked <= self.polls || post.title.contains("never ready") {
            return ok(&json!({"status": "PROCESSING_DOWNLOAD", "uploaded_bytes": post.size}));
        }
        if post.title.contains("wrong format") {
            let failed = json!({"status": "FAILED", "fail_reason": "file_format_check_failed"});
            return ok(&failed);
        }
        ok(&json!({"status": "PUBLISH_COMPLETE", "uploaded_bytes": post.size,
                   "publicaly_available_post_id": []}))
    }
}

fn ok(data: &Value) -> Reply {
    let error = json!({"code": "ok", "message": "", "log_id": "2026LOG1"});
    Reply::json(200, &json!({"data": data, "error": error}))
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let error = json!({"code": code, "message": message, "log_id": "2026LOG1"});
    Reply::json(status, &json!({"data": {}, "error": error}))
}

impl Api for TikTok {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        let mut state = self.lock();
        let state = &mut *state;
        if asked.method == "PUT" && asked.path == "/video/" {
            return Self::put(asked, state);
        }
        if asked.header("authorization") != Some("Bearer test-key") {
            return error(401, "access_token_invalid", "The access token is invalid or not found");
        }
        match asked.path.as_str() {
            "/v2/post/publish/creator_info/query/" => ok(&json!({
                "creator_username": "creator",
                "privacy_level_options": ["SELF_ONLY", "MUTUAL_FOLLOW_FRIENDS"],
                "max_video_post_duration_sec": 600,
            })),
            "/v2/post/publish/video/init/" => self.begin(asked, base, state),
            "/v2/post/publish/status/fetch/" => self.status(asked, state),
            _ => error(404, "invalid_params", "Unknown path"),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            429 => error(429, "rate_limit_exceeded", "The API rate limit was exceeded"),
            _ => error(status, "internal_error", "Something is wrong"),
        }
    }
}
