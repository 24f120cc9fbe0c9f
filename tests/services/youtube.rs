//! YouTube, after "YouTube Data API: Resumable Uploads", the reference of `videos.insert`,
//! `channels.list`, `playlistItems.list` and `videos.list`, its "Errors" page, and "Using OAuth 2.0 for
//! Web Server Applications" (refreshing an access token).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::{Api, Asked, Reply};

const UNIT: u64 = 256 * 1024;

/// A channel that `test-key` gives access to, as a refresh token of `test-client`.
#[derive(Clone, Default)]
pub struct YouTube {
    /// What it knows, shared by its clones.
    pub state: Arc<Mutex<State>>,
    /// How many requests an access token lets in; 0 is any number.
    pub token_uses: u64,
    /// So many times only the first unit of a piece is kept.
    pub short: u64,
    /// So many sessions are gone after their first piece.
    pub vanishing: u64,
    /// Whether a session is gone as soon as its video is there.
    pub forgetful: bool,
}

#[derive(Default)]
pub struct State {
    tokens: u64,
    uses: u64,
    begun: u64,
    short: u64,
    sessions: BTreeMap<String, Session>,
    videos: Vec<Value>,
}

pub struct Session {
    resource: Value,
    total: u64,
    bytes: u64,
    video: Option<Value>,
}

impl YouTube {
    /// Titles of the videos on the channel.
    pub fn posts(&self) -> Vec<String> {
        let state = self.lock();
        let title =
            |video: &Value| video["snippet"]["title"].as_str().unwrap_or_default().to_owned();
        state.videos.iter().map(title).collect()
    }

    pub fn sessions(&self) -> u64 {
        self.lock().begun
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, asked: &Asked, state: &mut State) -> Reply {
        let form = String::from_utf8_lossy(&asked.body).into_owned();
        let has = |pair: &str| form.split('&').any(|found| found == pair);
        let known =
            ["client_id=test-client", "client_secret=test-secret", "refresh_token=test-key"];
        if !has("grant_type=refresh_token") || !known.into_iter().all(has) {
            let body = json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."});
            return Reply::json(400, &body);
        }
        state.tokens += 1;
        state.uses = 0;
        let token = format!("test-access-{}", state.tokens);
        let body = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer", "scope": "x"});
        Reply::json(200, &body)
    }

    fn is_let_in(&self, asked: &Asked, state: &mut State) -> bool {
        let sent = asked.header("authorization").unwrap_or_default();
        if sent == "Bearer test-direct" {
            return true;
        }
        state.uses += 1;
        let good = format!("Bearer test-access-{}", state.tokens);
        sent == good && (self.token_uses == 0 || state.uses <= self.token_uses)
    }

    fn begin(&self, asked: &Asked, base: &str, state: &mut State) -> Reply {
        let number = |name| asked.header(name).and_then(|text| text.parse::<u64>().ok());
        let (resource, total) = (asked.json(), number("x-upload-content-length"));
        let title = resource["snippet"]["title"].as_str().unwrap_or_default();
        if title.is_empty() || title.len() > 100 || title.contains(['<', '>']) {
            return error(400, "invalidTitle", "The title is invalid or empty.");
        }
        if title.contains("quota") {
            return error(
                403,
                "quotaExceeded",
                "The request cannot be completed because you have exceeded your quota.",
            );
        }
        if title.contains("limit") {
            return error(
                400,
                "uploadLimitExceeded",
                "The user has exceeded the number of videos they may upload.",
            );
        }
        if resource["status"]["privacyStatus"].is_null() || asked.param("part").is_none() {
            return error(400, "invalidVideoMetadata", "The metadata is invalid.");
        }
        let Some(total) = total.filter(|total| *total > 0) else {
            return error(
                400,
                "mediaBodyRequired",
                "The request does not include the video content.",
            );
        };
        state.begun += 1;
        let id = format!("session-{}", state.begun);
        let session = Session { resource, total, bytes: 0, video: None };
        state.sessions.insert(id.clone(), session);
        let place = format!("{base}/upload/youtube/v3/videos?uploadType=resumable&upload_id={id}");
        Reply::empty(200).header("Location", place)
    }

    fn put(&self, asked: &Asked, state: &mut State) -> Reply {
        let id = asked.param("upload_id").unwrap_or_default().to_owned();
        let (shortened, begun) = (state.short < self.short, state.begun);
        let Some(session) = state.sessions.get_mut(&id) else {
            return error(404, "uploadNotFound", "Not Found");
        };
        if let Some(video) = &session.video {
            return Reply::json(200, video);
        }
        let range = asked.header("content-range").unwrap_or_default();
        let Some((bytes, total)) = range.trim_start_matches("bytes ").split_once('/') else {
            return error(400, "badContent", "Failed to parse Content-Range header.");
        };
        if total.parse() != Ok(session.total) {
            return error(400, "badContent", "The total differs.");
        }
        if bytes != "*" {
            let Some((from, to)) = bytes.split_once('-') else {
                return error(400, "badContent", "Failed to parse Content-Range header.");
            };
            let (from, to): (u64, u64) = (from.parse().unwrap_or(0), to.parse().unwrap_or(0));
            let length = asked.body.len() as u64;
            let last = to + 1 == session.total;
            if from != session.bytes || to + 1 - from != length || (!last && length % UNIT != 0) {
                return error(400, "badContent", "The range does not follow.");
            }
            if shortened && length > UNIT {
                session.bytes += UNIT;
                state.short += 1;
            } else {
                session.bytes += length;
            }
        }
        if session.bytes == session.total {
            let mut video = session.resource.clone();
            video["id"] = json!(format!("video-{}", state.videos.len() + 1));
            video["kind"] = json!("youtube#video");
            video["status"]["uploadStatus"] = json!("uploaded");
            session.video = Some(video.clone());
            state.videos.push(video.clone());
            if self.forgetful {
                state.sessions.remove(&id);
            }
            return Reply::json(201, &video);
        }
        let had = session.bytes;
        if had > 0 && begun <= self.vanishing {
            state.sessions.remove(&id);
        }
        match had {
            0 => Reply::empty(308),
            had => Reply::empty(308).header("Range", format!("bytes=0-{}", had - 1)),
        }
    }
}

fn error(status: u16, reason: &str, message: &str) -> Reply {
    let errors = json!([{"domain": "youtube", "reason": reason, "message": message}]);
    let body = json!({"error": {"code": status, "message": message, "errors": errors}});
    Reply::json(status, &body).header("X-Request-Id", "yt-req-1")
}

impl Api for YouTube {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        let mut state = self.lock();
        let state = &mut *state;
        if asked.path == "/token" {
            return self.token(asked, state);
        }
        if !self.is_let_in(asked, state) {
            return error(401, "authError", "Invalid Credentials");
        }
        let list = |items: Vec<Value>| Reply::json(200, &json!({"items": items}));
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/upload/youtube/v3/videos") => self.begin(asked, base, state),
            ("PUT", "/upload/youtube/v3/videos") => self.put(asked, state),
            ("GET", "/youtube/v3/channels") => {
                list(vec![json!({"contentDetails": {"relatedPlaylists": {"uploads": "UU1"}}})])
            }
            ("GET", "/youtube/v3/playlistItems") => {
                let item = |video: &Value| json!({"contentDetails": {"videoId": video["id"]}});
                list(state.videos.iter().rev().map(item).collect())
            }
            ("GET", "/youtube/v3/videos") => {
                let wanted = asked.param("id").unwrap_or_default();
                let is_wanted = |video: &&Value| wanted.split(',').any(|id| video["id"] == id);
                list(state.videos.iter().filter(is_wanted).cloned().collect())
            }
            _ => error(404, "notFound", "Not Found"),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            429 => error(429, "rateLimitExceeded", "Too many requests."),
            _ => error(status, "backendError", "Backend Error"),
        }
    }
}
