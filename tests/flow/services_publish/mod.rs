//! A piece goes out once, whatever happens on the way: to a webhook, a bucket, and three channels.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Done, Place, kill_9, wait_until};
use crate::services::instagram::Instagram;
use crate::services::s3::S3;
use crate::services::tiktok::TikTok;
use crate::services::webhook::Webhook;
use crate::services::youtube::YouTube;
use crate::services::{Api, Asked, Reply, Server, Trouble};

const KEY: &str = "PUBLISH_KEY";

/// A service with what a node must say to use it.
struct Target {
    name: &'static str,
    account: &'static str,
    /// Keys besides that of the service itself, and their values.
    keys: &'static [(&'static str, &'static str)],
}

const WEBHOOK: Target = Target { name: "webhook", account: "", keys: &[] };
const S3_BUCKET: Target =
    Target { name: "s3", account: "reels-bucket", keys: &[("s3_id", "test-id")] };
const YOUTUBE: Target = Target {
    name: "youtube",
    account: "main",
    keys: &[("youtube_client_id", "test-client"), ("youtube_client_secret", "test-secret")],
};
const INSTAGRAM: Target = Target { name: "instagram", account: "1789", keys: &[] };
const TIKTOK: Target = Target { name: "tiktok", account: "creator", keys: &[] };

/// A folder with a video of so many bytes and a workflow that publishes it.
fn place(target: &Target, bytes: usize) -> Place {
    let Target { name, account, keys } = target;
    let more: String = keys.iter().map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
    let place = Place::with(&format!(
        r#"
[params]
services = {{ type = "json" }}
title = {{ type = "string", default = "Bills at Dolphins" }}
privacy = {{ type = "string", default = "private" }}
reel = {{ type = "file<video/*>", default = "reel.mp4" }}
[secrets]
key = {{ env = "{KEY}", optional = true }}
[nodes.publish]
stage = "media.publish"
inputs = {{ reel = "params.reel" }}
effect = {{ idempotent = true }}
retry = {{ attempts = 1 }}
[nodes.publish.with]
target = "{name}"
account = "{account}"
name = "idea-1"
title = "{{{{ params.title }}}}"
caption = "{{{{ params.title }}}}: over 262.5"
privacy = "{{{{ params.privacy }}}}"
services = "{{{{ params.services }}}}"
[nodes.publish.with.keys]
{name} = "{{{{ secrets.key }}}}"
{more}
[outputs]
receipt = "publish.receipt"
"#
    ));
    let mut video = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".to_vec();
    video.extend((video.len()..bytes).map(|at| (at % 251) as u8));
    std::fs::write(place.path("reel.mp4"), video).unwrap();
    place
}

fn settings(target: &Target, server: &Server, more: &Value) -> Value {
    let url = server.url();
    let mut own = json!({"base_url": url, "base": "1ms", "timeout": "20s", "poll": "1ms"});
    match target.name {
        "webhook" => own["base_url"] = json!(format!("{url}/hook")),
        "youtube" => own["token_url"] = json!(format!("{url}/token")),
        _ => {}
    }
    own.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!({target.name: own})
}

fn args(target: &Target, server: &Server, more: &Value) -> Vec<String> {
    let services = format!("services={}", settings(target, server, more));
    ["run", "flow.toml", "--run-id", "one", "--json", "--param", &services]
        .map(str::to_owned)
        .to_vec()
}

fn run_with(
    place: &Place,
    target: &Target,
    server: &Server,
    more: &Value,
    params: &[&str],
) -> Done {
    let mut args = args(target, server, more);
    params.iter().for_each(|param| args.extend(["--param".to_owned(), (*param).to_owned()]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = place.command(&args);
    command.env(KEY, "test-key");
    place.finish(command)
}

/// A run with this name and this key, if any.
fn run_as(place: &Place, target: &Target, server: &Server, id: &str, key: Option<&str>) -> Done {
    run_set(place, id, key, &settings(target, server, &json!({})))
}

fn run_set(place: &Place, id: &str, key: Option<&str>, services: &Value) -> Done {
    let services = format!("services={services}");
    let mut command = place.command(&["run", "flow.toml", "--run-id", id, "--param", &services]);
    match key {
        Some(key) => command.env(KEY, key),
        None => command.env_remove(KEY),
    };
    place.finish(command)
}

fn run(place: &Place, target: &Target, server: &Server) -> Done {
    run_with(place, target, server, &json!({}), &[])
}

fn resume(place: &Place) -> Done {
    let mut command = place.command(&["resume", "one", "--json"]);
    command.env(KEY, "test-key");
    place.finish(command)
}

fn receipt(place: &Place) -> Value {
    place.flow(&["output", "one", "publish.receipt"]).exits(0).json()
}

fn error(place: &Place) -> Value {
    place.show("one")["nodes"][0]["error"].clone()
}

/// What a failure must tell whatever it is, and its class.
#[track_caller]
fn told(place: &Place, target: &Target, class: &str) -> Value {
    let error = error(place);
    assert_eq!(error["class"], class, "{error:#}");
    assert_eq!(
        (&error["kind"], &error["provider"]),
        (&json!("api"), &json!(target.name)),
        "{error:#}"
    );
    assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{error:#}");
    error
}

fn retries(done: &Done) -> usize {
    done.lines().iter().filter(|line| line["event"] == "call_retried").count()
}

const TROUBLES: [Trouble; 4] = [Trouble::Status(503), Trouble::Reset, Trouble::Lost, Trouble::Cut];
/// A video that TikTok takes in two chunks.
const TWO_CHUNKS: usize = 21_000_000;
/// A video of one piece.
const SMALL: usize = 1_000;

/// Publishes with a trouble at each request in turn, until one run needs none; each run has its own
/// service, and exactly one post in the end.
fn every_trouble_at_every_request<A: Api>(
    target: &Target,
    api: impl Fn() -> A,
    posts: impl Fn() -> usize,
) {
    for trouble in TROUBLES {
        let mut at = 0;
        loop {
            let server = Server::start(api());
            server.order(std::iter::repeat_n(None, at).chain([Some(trouble)]));
            let place = place(target, SMALL);
            let done = run(&place, target, &server).exits(0);
            assert_eq!(posts(), 1, "{trouble:?} at request {at} of {}: {done}", target.name);
            let met = server.ledger().iter().any(|asked| asked.trouble.is_some());
            if !met {
                break;
            }
            at += 1;
            assert!(at < 30, "the requests of {} do not end", target.name);
        }
        assert!(at > 0);
    }
}

/// A service that answers no more from the n-th request on, after its work is done, until its client
/// is gone.
struct Holding<A> {
    api: A,
    at: usize,
    asked: Arc<AtomicUsize>,
    released: Arc<AtomicUsize>,
}

impl<A: Api> Api for Holding<A> {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        let reply = self.api.answer(asked, base);
        if self.asked.fetch_add(1, Ordering::SeqCst) == self.at {
            while self.released.load(Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        reply
    }

    fn failure(&self, status: u16) -> Reply {
        self.api.failure(status)
    }
}

/// Kills the engine at every request in turn, after the service has done its work, and goes on; each
/// run has exactly one post in the end.
fn killed_at_every_request<A: Api>(
    target: &Target,
    bytes: usize,
    api: impl Fn() -> A,
    posts: impl Fn() -> usize,
) {
    let mut at = 0;
    loop {
        let (asked, released) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, release) = (Arc::clone(&asked), Arc::clone(&released));
        let server = Server::start(Holding { api: api(), at, asked, released });
        let place = place(target, bytes);
        let args = args(target, &server, &json!({}));
        let mut engine = start(&place, &args);
        wait_until("the request is there, or the run has ended", || {
            seen.load(Ordering::SeqCst) > at || engine.try_wait().unwrap().is_some()
        });
        let ended = seen.load(Ordering::SeqCst) <= at;
        if !ended {
            kill_9(&mut engine);
        }
        release.store(1, Ordering::SeqCst);
        resume(&place).exits(0);
        assert_eq!(posts(), 1, "killed at request {at} of {}", target.name);
        let receipt = receipt(&place);
        assert!(
            ["published", "unchanged"].contains(&receipt["status"].as_str().unwrap()),
            "{receipt}"
        );
        if ended {
            break;
        }
        at += 1;
    }
    assert!(at > 0, "{} was killed nowhere", target.name);
}

fn start(place: &Place, args: &[String]) -> Child {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = place.command(&args);
    let file = |name: &str| std::fs::File::create(place.path(name)).unwrap();
    command.env(KEY, "test-key").stdout(file("stdout")).stderr(file("stderr"));
    command.spawn().unwrap()
}

/// A service whose newest instance can be asked.
struct Newest<A>(std::cell::RefCell<A>);

impl<A: Api + Clone> Newest<A> {
    fn new(api: A) -> Self {
        Self(std::cell::RefCell::new(api))
    }

    fn start(&self, api: A) -> A {
        self.0.replace(api.clone());
        api
    }
}

macro_rules! publishes_once {
    ($target:expr, $bytes:expr, $new:expr) => {
        #[test]
        fn a_piece_is_posted_once_whatever_goes_wrong_at_any_request() {
            let newest = Newest::new($new);
            let posts = || newest.0.borrow().posts().len();
            every_trouble_at_every_request(&$target, || newest.start($new), posts);
        }

        #[test]
        fn a_piece_is_posted_once_though_the_engine_is_killed_at_any_request() {
            let newest = Newest::new($new);
            let posts = || newest.0.borrow().posts().len();
            killed_at_every_request(&$target, $bytes, || newest.start($new), posts);
        }
    };
}

mod instagram;
mod s3;
mod tiktok;
mod webhook;
mod youtube;

#[test]
fn what_is_no_video_goes_nowhere() {
    let server = Server::start(Webhook::default());
    for bytes in [&b""[..], b"not a video"] {
        let place = place(&WEBHOOK, SMALL);
        std::fs::write(place.path("reel.mp4"), bytes).unwrap();
        let done = run(&place, &WEBHOOK, &server);
        assert_eq!(done.code, Some(3), "{done}");
    }
    assert!(server.ledger().is_empty());
}
