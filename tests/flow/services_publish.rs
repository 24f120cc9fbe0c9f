//! A piece goes out once, whatever happens on the way: to a webhook, a bucket, and three channels.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Done, Place, kill_9, wait_until};
use super::services::instagram::Instagram;
use super::services::s3::S3;
use super::services::tiktok::TikTok;
use super::services::webhook::Webhook;
use super::services::youtube::YouTube;
use super::services::{Api, Asked, Reply, Server, Trouble};

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

fn run_with(place: &Place, target: &Target, server: &Server, more: &Value, params: &[&str]) -> Done {
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
    assert_eq!((&error["kind"], &error["provider"]), (&json!("api"), &json!(target.name)), "{error:#}");
    assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{error:#}");
    error
}

fn retries(done: &Done) -> usize {
    done.lines().iter().filter(|line| line["event"] == "call_retried").count()
}

const TROUBLES: [Trouble; 4] =
    [Trouble::Status(503), Trouble::Reset, Trouble::Lost, Trouble::Cut];
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
        assert!(["published", "unchanged"].contains(&receipt["status"].as_str().unwrap()), "{receipt}");
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

mod webhook {
    use super::*;

    publishes_once!(WEBHOOK, SMALL, Webhook::default());

    #[test]
    fn news_are_signed_and_have_a_key_that_the_piece_gives() {
        let (api, place) = (Webhook::default(), place(&WEBHOOK, SMALL));
        let server = Server::start(api.clone());
        run(&place, &WEBHOOK, &server).exits(0);
        let receipt = receipt(&place);
        assert_eq!((&receipt["status"], &receipt["remote_id"]), (&json!("published"), &json!("wh-1")));
        let asked = server.asked("POST", "/hook").remove(0);
        let body = asked.json();
        assert_eq!(body["video"]["sha256"], receipt["sha256"]);
        assert_eq!((&body["title"], &body["privacy"]), (&json!("Bills at Dolphins"), &json!("private")));
        assert_eq!(asked.header("idempotency-key"), body["id"].as_str());
        // Another run of the same piece has the same key.
        run_as(&place, &WEBHOOK, &server, "two", Some("test-key")).exits(0);
        assert_eq!(api.posts().len(), 1);
        let again = place.flow(&["output", "two", "publish.receipt"]).exits(0).json();
        assert_eq!(again["status"], "unchanged");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let server = Server::start(Webhook::default());
        let place_1 = place(&WEBHOOK, SMALL);
        run_as(&place_1, &WEBHOOK, &server, "one", Some("wrong-key")).exits(1);
        assert_eq!(told(&place_1, &WEBHOOK, "auth")["request_id"], "wh-req-1");
        for (url, class) in [(server.url() + "/gone", "http_4xx"), ("https://webhook.invalid".into(), "config")] {
            let place = place(&WEBHOOK, SMALL);
            run_with(&place, &WEBHOOK, &server, &json!({"base_url": url}), &[]).exits(1);
            told(&place, &WEBHOOK, class);
        }
        let place = place(&WEBHOOK, SMALL);
        run_with(&place, &WEBHOOK, &server, &json!({}), &["title=refused"]).exits(1);
        let error = error(&place);
        assert_eq!(error["class"], "http_4xx");
        assert!(error["causes"][0].as_str().unwrap().contains("not wanted"), "{error:#}");
    }
}

mod s3 {
    use super::*;

    publishes_once!(S3_BUCKET, SMALL, S3::default());

    mod in_parts {
        use super::*;

        fn settings() -> Value {
            json!({"multipart_above": 1_000})
        }

        const BYTES: usize = 40 * 1024 * 1024;

        #[test]
        fn a_large_video_goes_up_in_parts_and_is_whole() {
            let (api, place) = (S3::default(), place(&S3_BUCKET, BYTES));
            let server = Server::start(api.clone());
            server.order([None, None, Some(Trouble::Lost), None, None, Some(Trouble::Status(503))]);
            let done = run_with(&place, &S3_BUCKET, &server, &settings(), &[]).exits(0);
            assert_eq!(retries(&done), 2, "{done}");
            let path = api.posts().remove(0);
            assert_eq!(api.object(&path).unwrap().bytes, std::fs::read(place.path("reel.mp4")).unwrap());
            assert_eq!((api.posts().len(), api.open_uploads()), (1, 0));
            assert_eq!(receipt(&place)["path"], format!("s3:/{path}"));
        }

        #[test]
        fn one_whose_completion_is_not_heard_of_is_there_once() {
            let (api, place) = (S3::default(), place(&S3_BUCKET, BYTES));
            let server = Server::start(api.clone());
            server.order([None, None, None, None, None, Some(Trouble::Lost)]);
            run_with(&place, &S3_BUCKET, &server, &settings(), &[]).exits(0);
            assert_eq!((api.posts().len(), api.open_uploads()), (1, 0));
        }

        #[test]
        fn parts_that_cannot_be_completed_are_given_up() {
            let (api, place) = (S3 { incomplete: true, ..S3::default() }, place(&S3_BUCKET, BYTES));
            let server = Server::start(api.clone());
            run_with(&place, &S3_BUCKET, &server, &settings(), &[]).exits(1);
            assert_eq!(error(&place)["class"], "http_4xx");
            assert_eq!((api.posts().len(), api.open_uploads()), (0, 0));
        }
    }

    #[test]
    fn an_object_is_put_once_under_a_name_that_its_content_gives() {
        let (api, place) = (S3 { conflicts: 1, ..S3::default() }, place(&S3_BUCKET, SMALL));
        let server = Server::start(api.clone());
        let done = run(&place, &S3_BUCKET, &server).exits(0);
        assert_eq!(retries(&done), 1, "409 is a conflict that passes: {done}");
        let (receipt, path) = (receipt(&place), api.posts().remove(0));
        let digest = receipt["sha256"].as_str().unwrap();
        assert_eq!(path, format!("/reels-bucket/reels/idea-1-{}.mp4", &digest[..16]));
        let object = api.object(&path).unwrap();
        assert_eq!((object.digest.as_str(), object.media_type.as_str()), (digest, "video/mp4"));
        assert_eq!(receipt["status"], "published");
    }

    #[test]
    fn a_server_without_conditions_is_looked_at_first() {
        let (api, place) = (S3 { unconditional: true, ..S3::default() }, place(&S3_BUCKET, SMALL));
        let server = Server::start(api.clone());
        run(&place, &S3_BUCKET, &server).exits(1);
        let error = error(&place);
        assert!(error["hint"].as_str().unwrap().contains("condition = false"), "{error:#}");
        for (run, status) in [("two", "published"), ("three", "unchanged")] {
            let settings = settings(&S3_BUCKET, &server, &json!({"condition": false}));
            run_set(&place, run, Some("test-key"), &settings).exits(0);
            let receipt = place.flow(&["output", run, "publish.receipt"]).exits(0).json();
            assert_eq!(receipt["status"], status);
        }
        assert_eq!(api.posts().len(), 1);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let (api, server) = {
            let api = S3::default();
            (api.clone(), Server::start(api))
        };
        let place_1 = place(&S3_BUCKET, SMALL);
        run_as(&place_1, &S3_BUCKET, &server, "one", Some("wrong-key")).exits(1);
        let error = told(&place_1, &S3_BUCKET, "auth");
        assert_eq!(error["request_id"], "S3REQ1");
        assert!(error["causes"][0].as_str().unwrap().contains("SignatureDoesNotMatch"), "{error:#}");
        let place_2 = place(&Target { account: "no-bucket", ..S3_BUCKET }, SMALL);
        run(&place_2, &S3_BUCKET, &server).exits(1);
        assert!(told(&place_2, &S3_BUCKET, "http_4xx")["hint"].as_str().unwrap().contains("bucket"));
        // Somebody else's object is not overwritten.
        let place_3 = place(&S3_BUCKET, SMALL);
        run(&place_3, &S3_BUCKET, &server).exits(0);
        api.put(&api.posts()[0], "another");
        run_as(&place_3, &S3_BUCKET, &server, "two", Some("test-key")).exits(1);
        assert_eq!(place_3.show("two")["nodes"][0]["error"]["class"], "rejected");
    }
}

mod youtube {
    use super::*;

    publishes_once!(YOUTUBE, 9_000_000, YouTube::default());

    #[test]
    fn a_video_goes_up_in_pieces_with_the_words_of_the_idea() {
        let api = YouTube { short: 2, token_uses: 2, ..YouTube::default() };
        let (server, place) = (Server::start(api.clone()), place(&YOUTUBE, 9_000_000));
        run(&place, &YOUTUBE, &server).exits(0);
        let receipt = receipt(&place);
        assert_eq!(receipt["url"], "https://www.youtube.com/watch?v=video-1");
        assert_eq!((&receipt["remote_id"], &receipt["attempts"]), (&json!("video-1"), &json!(1)));
        assert_eq!(api.posts(), ["Bills at Dolphins"]);
        let begun = server.asked("POST", "/upload").remove(0).json();
        assert_eq!(begun["status"]["privacyStatus"], "private");
        assert_eq!(begun["snippet"]["description"], "Bills at Dolphins: over 262.5");
        assert!(server.asked("POST", "/token").len() > 1, "tokens that are used up are made anew");
        let sizes: Vec<usize> =
            server.asked("PUT", "/upload").iter().map(|asked| asked.body.len()).collect();
        assert!(sizes.iter().all(|size| *size <= 8 << 20), "{sizes:?}");
    }

    #[test]
    fn a_session_that_is_gone_after_its_video_is_there_is_found_on_the_channel() {
        let api = YouTube { forgetful: true, ..YouTube::default() };
        let (server, place) = (Server::start(api.clone()), place(&YOUTUBE, SMALL));
        // Token, session, and the piece, whose answer is lost.
        server.order([None, None, Some(Trouble::Lost)]);
        run(&place, &YOUTUBE, &server).exits(0);
        assert_eq!((api.posts().len(), api.sessions()), (1, 1));
        assert_eq!(receipt(&place)["status"], "unchanged");
    }

    #[test]
    fn a_session_that_is_gone_before_its_video_is_there_is_begun_anew() {
        let api = YouTube { vanishing: 1, ..YouTube::default() };
        let (server, place) = (Server::start(api.clone()), place(&YOUTUBE, 9_000_000));
        run(&place, &YOUTUBE, &server).exits(0);
        assert_eq!((api.posts().len(), api.sessions()), (1, 2));
        let api = YouTube { vanishing: 9, ..YouTube::default() };
        let (server, place) = (Server::start(api.clone()), super::place(&YOUTUBE, 9_000_000));
        run(&place, &YOUTUBE, &server).exits(1);
        told(&place, &YOUTUBE, "http_5xx");
        assert_eq!(api.sessions(), 2);
    }

    #[test]
    fn the_url_of_a_session_is_a_secret() {
        let api = YouTube { vanishing: 9, ..YouTube::default() };
        let (server, place) = (Server::start(api), place(&YOUTUBE, 9_000_000));
        let done = run(&place, &YOUTUBE, &server).exits(1);
        assert!(!format!("{}{}", done.stdout, done.stderr).contains("upload_id"));
        let shown = place.flow(&["logs", "one"]);
        assert!(!format!("{}{}", shown.stdout, shown.stderr).contains("upload_id"));
        let mut private = 0;
        for entry in walk(&place.path(".flow")) {
            let bytes = std::fs::read(&entry).unwrap_or_default();
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("private.") {
                private += 1;
                continue;
            }
            let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert!(!holds(b"upload_id=session"), "{}", entry.display());
            assert!(!holds(b"test-access-"), "{}", entry.display());
            assert!(!holds(b"test-key"), "{}", entry.display());
        }
        assert_eq!(private, 1, "the session is kept in one private file");
    }

    fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => files.extend(walk(&path)),
                path => files.push(path),
            }
        }
        files
    }

    #[test]
    fn refusals_say_what_to_do() {
        let server = Server::start(YouTube::default());
        for (title, class) in [("quota", "quota_exhausted"), ("limit", "quota_exhausted")] {
            let place = place(&YOUTUBE, SMALL);
            let title = format!("title={title}");
            run_with(&place, &YOUTUBE, &server, &json!({}), &[&title]).exits(1);
            assert_eq!(told(&place, &YOUTUBE, class)["request_id"], "yt-req-1");
        }
        let place_1 = place(&YOUTUBE, SMALL);
        run_as(&place_1, &YOUTUBE, &server, "one", Some("wrong-key")).exits(1);
        assert!(told(&place_1, &YOUTUBE, "auth")["hint"].as_str().unwrap().contains("refresh token"));
        let place_2 = place(&YOUTUBE, SMALL);
        run_as(&place_2, &YOUTUBE, &server, "one", None).exits(1);
        assert!(told(&place_2, &YOUTUBE, "auth")["hint"].as_str().unwrap().contains("YOUTUBE_REFRESH_TOKEN"));
    }
}

mod instagram {
    use super::*;

    publishes_once!(INSTAGRAM, SMALL, Instagram { polls: 2, ..Instagram::default() });

    #[test]
    fn a_container_is_filled_waited_for_and_published() {
        let api = Instagram { polls: 3, ..Instagram::default() };
        let (server, place) = (Server::start(api.clone()), place(&INSTAGRAM, SMALL));
        run(&place, &INSTAGRAM, &server).exits(0);
        let receipt = receipt(&place);
        assert_eq!(receipt["url"], "https://www.instagram.com/reel/R1/");
        assert_eq!((&receipt["remote_id"], api.again()), (&json!("1801"), 0));
        assert_eq!(api.posts(), ["Bills at Dolphins: over 262.5"]);
    }

    #[test]
    fn a_container_is_never_published_again() {
        let api = Instagram::default();
        let (server, place) = (Server::start(api.clone()), place(&INSTAGRAM, SMALL));
        // Container, status, upload, status, and the publication, whose answer is lost.
        server.order([None, None, None, None, Some(Trouble::Lost)]);
        run(&place, &INSTAGRAM, &server).exits(0);
        assert_eq!((api.posts().len(), api.again()), (1, 0));
        assert_eq!(receipt(&place)["status"], "unchanged");
        assert_eq!(receipt(&place)["remote_id"], "1801");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let server = Server::start(Instagram::default());
        for (title, class) in [
            ("quota", "quota_exhausted"),
            ("broken", "rejected"),
            ("expired", "rejected"),
            ("never ready", "timeout"),
        ] {
            let place = place(&INSTAGRAM, SMALL);
            let (title, more) = (format!("title={title}"), json!({"poll_max": "20ms"}));
            run_with(&place, &INSTAGRAM, &server, &more, &[&title]).exits(1);
            told(&place, &INSTAGRAM, class);
        }
        let place = place(&INSTAGRAM, SMALL);
        run_as(&place, &INSTAGRAM, &server, "one", Some("wrong-key")).exits(1);
        assert_eq!(told(&place, &INSTAGRAM, "auth")["request_id"], "AbCtrace1");
    }
}

mod tiktok {
    use super::*;

    publishes_once!(TIKTOK, TWO_CHUNKS, TikTok { polls: 2, ..TikTok::default() });

    #[test]
    fn chunks_follow_each_other_and_the_post_is_waited_for() {
        let api = TikTok { polls: 3, ..TikTok::default() };
        let (server, place) = (Server::start(api.clone()), place(&TIKTOK, TWO_CHUNKS));
        run(&place, &TIKTOK, &server).exits(0);
        let receipt = receipt(&place);
        assert_eq!((&receipt["status"], &receipt["remote_id"]), (&json!("published"), &json!("v_pub_file~v2.1")));
        assert_eq!(server.asked("PUT", "/video/").len(), 2);
        assert_eq!((api.posts().len(), api.again()), (1, 0));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let server = Server::start(TikTok::default());
        for (title, class) in [
            ("too many", "quota_exhausted"),
            ("wrong format", "validation"),
            ("expires", "http_4xx"),
            ("never ready", "timeout"),
        ] {
            let place = place(&TIKTOK, SMALL);
            let (title, more) = (format!("title={title}"), json!({"poll_max": "20ms"}));
            run_with(&place, &TIKTOK, &server, &more, &[&title]).exits(1);
            told(&place, &TIKTOK, class);
        }
        let place_1 = place(&TIKTOK, SMALL);
        run_with(&place_1, &TIKTOK, &server, &json!({}), &["privacy=public"]).exits(1);
        assert!(told(&place_1, &TIKTOK, "rejected")["hint"].as_str().unwrap().contains("privacy"));
        let place = place(&TIKTOK, SMALL);
        run_as(&place, &TIKTOK, &server, "one", Some("wrong-key")).exits(1);
        assert_eq!(told(&place, &TIKTOK, "auth")["request_id"], "2026LOG1");
    }
}

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
