//! What goes wrong at services for good: each failure names its class, its family, the node, the item, the
//! provider, the provider's name for the request, and what to do.

use serde_json::{Value, json};

use super::harness::Place;
use super::services::anthropic::Anthropic;
use super::services::balldontlie::BallDontLie;
use super::services::elevenlabs::{ElevenLabs, Voice};
use super::services::flux::Flux;
use super::services::ideas::Mood;
use super::services::pictures::Picture;
use super::services::webhook::Webhook;
use super::services::{Server, Trouble};
use super::services_pictures::idea;

/// A node for each item of a list, with one provider and its key.
fn each(stage: &str, provider: &str) -> String {
    format!(
        r#"
[params]
services = {{ type = "json" }}
ideas = {{ type = "json" }}
[secrets]
key = {{ env = "BAD_INPUT_KEY", optional = true }}
[nodes.ideas]
stage = "jq"
inputs = {{ ideas = "params.ideas" }}
with = {{ filter = "." }}
outputs = {{ ideas = "list<IdeaPackage>" }}
[nodes.work]
stage = "{stage}"
for_each = "ideas.ideas"
key = "{{{{ item.idea_id }}}}"
inputs = {{ idea = "item" }}
retry = {{ attempts = 1 }}
with = {{ providers = ["{provider}"], services = "{{{{ params.services }}}}", keys = {{ {provider} = "{{{{ secrets.key }}}}" }} }}
"#
    )
}

/// One slate, or ideas of a recorded one.
fn of_day(stage: &str, provider: &str) -> String {
    let slate = match stage {
        "media.slate" => String::new(),
        _ => "[nodes.slate]\nstage = \"media.slate\"\ninputs = { slate_file = \"params.slate\" }\n\
              with = { sport = \"nfl\", date = \"2025-12-28\" }\n\
              [nodes.calendar]\nstage = \"media.calendar\"\ninputs = { slate = \"slate.slate\" }\n\
              with = { preset = \"narrated\" }\n"
            .to_owned(),
    };
    let inputs = match stage {
        "media.slate" => "with = { sport = \"nfl\", date = \"2025-12-28\", ".to_owned(),
        _ => "inputs = { slate = \"slate.slate\", calendar = \"calendar.calendar\", segments = \"calendar.segments\" }\n\
              with = { count = 1, "
            .to_owned(),
    };
    format!(
        r#"
[params]
services = {{ type = "json" }}
ideas = {{ type = "json", default = [] }}
slate = {{ type = "file", default = "slate.json" }}
[secrets]
key = {{ env = "BAD_INPUT_KEY", optional = true }}
{slate}
[nodes.work]
stage = "{stage}"
retry = {{ attempts = 1 }}
{inputs}providers = ["{provider}"], services = "{{{{ params.services }}}}", keys = {{ {provider} = "{{{{ secrets.key }}}}" }} }}
"#
    )
}

/// What is expected of a failure: class, family, provider, its name for the request, words of the message
/// and of the hint.
type Expected<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, &'a str, &'a str);

/// Runs a workflow that must fail at `work`, and holds the failure to what is expected.
fn fails(text: &str, server: &Server, more: Value, key: &str, expected: Expected<'_>) {
    let (class, kind, provider, request_id, said, hint) = expected;
    let mut settings = json!({"base_url": server.url(), "base": "1ms", "poll": "5ms"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let place = Place::with(text);
    place.write("slate.json", include_str!("../../workflows/data/slate.json"));
    let services = format!("services={}", json!({provider: settings}));
    let ideas = format!("ideas={}", json!([idea("idea-a", "A helmet")]));
    let args =
        ["run", "flow.toml", "--run-id", "one", "--json", "--param", &services, "--param", &ideas];
    let mut command = place.command(&args);
    command.env("BAD_INPUT_KEY", key);
    let lines = place.finish(command).exits(1).lines();
    let failed = lines.iter().rfind(|line| {
        line["node"] == "work"
            && matches!(line["event"].as_str(), Some("item_failed" | "node_failed"))
            && line["error"]["provider"] == provider
    });
    let failed = failed.unwrap_or_else(|| panic!("{class}: {lines:#?}"));
    let item = if text.contains("for_each") { json!("idea-a") } else { Value::Null };
    assert_eq!(failed["item"], item, "{failed}");
    let error = &failed["error"];
    assert_eq!((&error["class"], &error["kind"]), (&json!(class), &json!(kind)), "{error}");
    assert_eq!(error["request_id"], json!(request_id), "{error}");
    assert_eq!(error["attempt"], 1, "{error}");
    assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    assert!(error["operation"].as_str().is_some_and(|operation| !operation.is_empty()), "{error}");
}

#[test]
fn games_that_cannot_be_had() {
    let games = BallDontLie { games: 2, ..BallDontLie::default() };
    let (text, api) = (of_day("media.slate", "balldontlie"), "balldontlie");
    let server = Server::start(games);
    fails(
        &text,
        &server,
        json!({}),
        "",
        ("auth", "api", api, None, "there is no key", "BALLDONTLIE_API_KEY"),
    );
    fails(
        &text,
        &server,
        json!({}),
        "a-wrong-key",
        ("auth", "api", api, None, "answered 401", "BALLDONTLIE_API_KEY"),
    );
    let lacks = BallDontLie { games: 2, lacks: Some("player_props"), ..BallDontLie::default() };
    fails(
        &text,
        &Server::start(lacks),
        json!({}),
        "test-key",
        ("auth", "api", api, None, "answered 401", "plan"),
    );
    let repeats = BallDontLie { games: 3, repeats: true, ..BallDontLie::default() };
    fails(
        &text,
        &Server::start(repeats),
        json!({}),
        "test-key",
        ("malformed", "api", api, None, "cursor", "providers"),
    );
}

#[test]
fn words_that_cannot_be_had() {
    let (text, api) = (of_day("media.ideas", "anthropic"), "anthropic");
    let server = |mood| Server::start(Anthropic { mood, ..Anthropic::default() });
    let id = Some("req_words");
    let none = || json!({});
    fails(
        &text,
        &server(Mood::Prose),
        none(),
        "test-key",
        ("malformed", "api", api, id, "JSON", "model"),
    );
    fails(
        &text,
        &server(Mood::ForeignPick),
        none(),
        "test-key",
        ("validation", "api", api, id, "/pick", "model"),
    );
    fails(
        &text,
        &server(Mood::Refuses),
        none(),
        "test-key",
        ("moderated", "api", api, id, "refus", "provider"),
    );
    let broke = Server::start(Anthropic { is_broke: true, ..Anthropic::default() });
    fails(
        &text,
        &broke,
        none(),
        "test-key",
        ("quota_exhausted", "api", api, id, "anthropic", "balance"),
    );
    fails(
        &text,
        &server(Mood::Good),
        none(),
        "wrong",
        ("auth", "api", api, id, "answered 401", "ANTHROPIC_API_KEY"),
    );
}

#[test]
fn a_narration_that_cannot_be_heard() {
    let server = Server::start(ElevenLabs { voice: Voice::Silent, ..ElevenLabs::default() });
    let text = each("media.narrate", "elevenlabs");
    let expected =
        ("malformed", "audio_generation", "elevenlabs", Some("eleven-words"), "silent", "voice");
    fails(&text, &server, json!({}), "test-key", expected);
    let server = Server::start(ElevenLabs { quota: Some(1), ..ElevenLabs::default() });
    let expected = (
        "quota_exhausted",
        "audio_generation",
        "elevenlabs",
        Some("eleven-words"),
        "elevenlabs",
        "balance",
    );
    fails(&text, &server, json!({}), "test-key", expected);
}

#[test]
fn pictures_that_cannot_be_had() {
    let (text, kind) = (each("media.slides", "flux"), "media_generation");
    let (job, none) = (Some("t-1"), || json!({}));
    let flux = |flux: Flux, more: Value, expected: (&str, Option<&str>, &str, &str)| {
        let (class, id, said, hint) = expected;
        fails(&text, &Server::start(flux), more, "test-key", (class, kind, "flux", id, said, hint));
    };
    let tiny = Flux { picture: Picture::Tiny, ..Flux::default() };
    flux(tiny, none(), ("malformed", job, "1×1", "size"));
    let expired = Flux { expired: 9, ..Flux::default() };
    flux(expired, none(), ("http_4xx", Some("blob-1"), "not at its URL any longer", "flow resume"));
    let endless = Flux { endless: true, ..Flux::default() };
    flux(
        endless,
        json!({"poll_timeout": "100ms"}),
        ("timeout", job, "has not ended", "poll_timeout"),
    );
    let broke = Flux { broke: true, ..Flux::default() };
    flux(broke, none(), ("quota_exhausted", None, "answered 402", "balance"));
    let server = Server::start(Flux::default());
    fails(
        &text,
        &server,
        none(),
        "wrong",
        ("auth", kind, "flux", None, "answered 403", "BFL_API_KEY"),
    );
    fails(
        &text,
        &server,
        none(),
        "",
        ("auth", kind, "flux", None, "there is no key", "BFL_API_KEY"),
    );
}

#[test]
fn a_post_whose_replies_are_lost_is_there_once_and_is_told() {
    let webhook = Webhook::default();
    let server = Server::start(webhook.clone());
    server.order([Some(Trouble::Lost); 3]);
    let place = Place::with(
        r#"
[params]
services = { type = "json" }
reel = { type = "file<video/*>", default = "reel.mp4" }
[secrets]
key = { env = "BAD_INPUT_KEY" }
[nodes.publish]
stage = "media.publish"
inputs = { reel = "params.reel" }
effect = { idempotent = true }
retry = { attempts = 1 }
with = { target = "webhook", title = "Bills at Dolphins", name = "idea-a", services = "{{ params.services }}", keys = { webhook = "{{ secrets.key }}" } }
"#,
    );
    let mut video = b"\0\0\0\x18ftypisom\0\0\x02\0isommp42".to_vec();
    video.resize(4096, 7);
    std::fs::write(place.path("reel.mp4"), video).unwrap();
    let settings =
        json!({"webhook": {"base_url": format!("{}/hook", server.url()), "base": "1ms"}});
    let services = format!("services={settings}");
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("BAD_INPUT_KEY", "test-key");
        place.finish(command)
    };
    run(&["run", "flow.toml", "--run-id", "one", "--param", &services]).exits(1);
    let error = &place.show("one")["nodes"][0]["error"];
    assert_eq!((&error["class"], &error["provider"]), (&json!("network"), &json!("webhook")));
    assert_eq!(error["kind"], "api");
    assert!(error["hint"].is_string(), "{error}");
    run(&["resume", "one"]).exits(0);
    assert_eq!(webhook.posts().len(), 1, "it is there once");
}
