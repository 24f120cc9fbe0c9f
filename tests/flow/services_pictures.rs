//! Slides over pictures of services, from the workflow file to the package.

use std::process::Command;

use serde_json::{Value, json};

use super::harness::{Done, Place, kill_9, wait_until};
use super::services::flux::Flux;
use super::services::openai_images::OpenAiImages;
use super::services::{Server, Trouble};

const WORKFLOW: &str = r#"
[params]
services = { type = "json" }
idea = { type = "json" }
[secrets]
flux_key = { env = "BFL_API_KEY", optional = true }
openai_key = { env = "OPENAI_API_KEY", optional = true }
[nodes.idea]
stage = "jq"
inputs = { idea = "params.idea" }
with = { filter = "." }
outputs = { idea = "IdeaPackage" }
[nodes.slides]
stage = "media.slides"
inputs = { idea = "idea.idea" }
retry = { attempts = 1 }
[nodes.slides.with]
providers = ["flux", "openai", "local"]
services = "{{ params.services }}"
[nodes.slides.with.keys]
flux = "{{ secrets.flux_key }}"
openai = "{{ secrets.openai_key }}"
"#;

/// An idea of one section, whose slide is to show what the prompt says.
pub(crate) fn idea(id: &str, prompt: &str) -> Value {
    json!({
        "idea_id": id, "matchup_id": "nfl_2025_w18_buf_mia", "headline": "Deep water", "angle": "pace",
        "pick": {"player_name": "Josh Allen", "stat_type": "passing_yards", "line": 275.5, "side": "over"},
        "script": {"language": "en", "sections": [{"section_id": "s1", "role": "hook", "text": "Bills at Dolphins.",
            "slide": {"title": "Deep water", "bullets": ["Week 18"], "visual_prompt": prompt}}]},
        "caption": "Bills at Dolphins", "hashtags": ["#nfl"], "provider": "templates", "status": "draft",
        "disclaimer": "For entertainment only."
    })
}

fn command(place: &Place, args: &[&str], keys: &[&str]) -> Command {
    let mut command = place.command(args);
    command.env_remove("BFL_API_KEY").env_remove("OPENAI_API_KEY");
    command.envs(keys.iter().map(|key| (key, "test-key")));
    command
}

/// The command that runs it, with the services where the servers are.
fn start(place: &Place, servers: &[(&str, &Server)], keys: &[&str], prompt: &str) -> Command {
    let mut services = json!({});
    for (name, server) in servers {
        services[*name] = json!({"base_url": server.url(), "base": "1ms", "poll": "20ms"});
    }
    let (services, idea) =
        (format!("services={services}"), format!("idea={}", idea("one", prompt)));
    let args =
        ["run", "flow.toml", "--run-id", "one", "--json", "--param", &services, "--param", &idea];
    command(place, &args, keys)
}

fn events<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == name).collect()
}

fn asset(place: &Place) -> Value {
    place.flow(&["output", "one", "slides.package"]).exits(0).json()["assets"][0].clone()
}

fn assert_no_key(place: &Place) {
    let found = Command::new("grep").args(["-rla", "test-key"]).arg(place.path(".flow")).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
}

#[test]
fn a_picture_is_bought_and_troubles_on_the_way_are_told() {
    let server = Server::start(Flux::default());
    server.order([Some(Trouble::Status(503)), None, Some(Trouble::Html), None, Some(Trouble::Cut)]);
    let place = Place::with(WORKFLOW);
    let run = start(&place, &[("flux", &server)], &["BFL_API_KEY"], "A helmet");
    let done: Done = place.finish(run).exits(0);
    let lines = done.lines();
    let retried = events(&lines, "call_retried");
    assert_eq!(retried.len(), 3, "{retried:?}");
    assert!(retried.iter().all(|retry| retry["provider"] == "flux"));
    let asset = asset(&place);
    assert_eq!((&asset["provider"], &asset["model"]), (&json!("flux"), &json!("flux-2-pro")));
    assert_eq!((&asset["width_px"], &asset["height_px"]), (&json!(1080), &json!(1920)));
    assert!(asset["seed"].is_u64() && asset["check"]["passed"] == true, "{asset}");
    assert_eq!(server.asked("POST", "/v1/").iter().filter(|asked| asked.is_served()).count(), 1);
    assert_no_key(&place);
}

#[test]
fn a_killed_run_goes_on_with_the_job_that_it_has_ordered() {
    let server = Server::start(Flux { pending: 1, ..Flux::default() });
    // The first look at the job has no answer as long as the engine lives.
    server.order([None, Some(Trouble::Silence(60_000))]);
    let place = Place::with(WORKFLOW);
    let mut run = start(&place, &[("flux", &server)], &["BFL_API_KEY"], "A helmet");
    let mut child = run.stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until("the job is looked at", || !server.asked("GET", "/v1/get_result").is_empty());
    kill_9(&mut child);
    place.finish(command(&place, &["resume", "one"], &["BFL_API_KEY"])).exits(0);
    assert_eq!(server.asked("POST", "/v1/").len(), 1, "it is bought once");
    assert_eq!(asset(&place)["provider"], "flux");
    assert_no_key(&place);
}

#[test]
fn refused_content_and_missing_keys_are_told_with_the_next_provider() {
    let (flux, openai) = (Server::start(Flux::default()), Server::start(OpenAiImages::default()));
    let place = Place::with(WORKFLOW);
    let servers = [("flux", &flux), ("openai", &openai)];
    let run = start(&place, &servers, &["BFL_API_KEY", "OPENAI_API_KEY"], "something indecent");
    let lines = place.finish(run).exits(0).lines();
    let step = events(&lines, "provider_fallback")[0];
    assert_eq!((&step["from"], &step["to"]), (&json!("flux"), &json!("openai")));
    assert_eq!((&step["node"], &step["error"]["class"]), (&json!("slides"), &json!("moderated")));
    assert_eq!(asset(&place)["provider"], "openai");

    let place = Place::with(WORKFLOW);
    let lines = place.finish(start(&place, &[], &[], "A helmet")).exits(0).lines();
    let reasons: Vec<&Value> =
        events(&lines, "provider_fallback").iter().map(|step| &step["reason"]).collect();
    assert_eq!(reasons, ["no_key", "no_key"]);
    assert_eq!(asset(&place)["provider"], "local");
}
