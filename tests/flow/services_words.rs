//! Ideas by language models and narrations by voices of services, whatever state they are in.

use serde_json::{Value, json};

use super::harness::{Done, Place, kill_9, wait_until};
use super::services::anthropic::Anthropic;
use super::services::elevenlabs::{ElevenLabs, Voice};
use super::services::gemini::Gemini;
use super::services::ideas::Mood;
use super::services::openai::OpenAiSpeech;
use super::services::{Server, Trouble};

const KEYS: [(&str, &str); 4] = [
    ("anthropic", "ANTHROPIC_API_KEY"),
    ("gemini", "GEMINI_API_KEY"),
    ("elevenlabs", "ELEVENLABS_API_KEY"),
    ("openai", "OPENAI_API_KEY"),
];

/// A workflow that writes some ideas of a recorded day.
fn ideas(providers: &[&str], count: u32) -> Place {
    let (providers, secrets) = (json!(providers), secrets());
    let place = Place::with(&format!(
        r#"
[params]
services = {{ type = "json" }}
slate = {{ type = "file", default = "slate.json" }}
{secrets}
[nodes.slate]
stage = "media.slate"
inputs = {{ slate_file = "params.slate" }}
with = {{ sport = "nfl", date = "2025-12-28" }}
[nodes.calendar]
stage = "media.calendar"
inputs = {{ slate = "slate.slate" }}
with = {{ preset = "narrated" }}
[nodes.ideas]
stage = "media.ideas"
inputs = {{ slate = "slate.slate", calendar = "calendar.calendar", segments = "calendar.segments" }}
retry = {{ attempts = 1 }}
[nodes.ideas.with]
count = {count}
providers = {providers}
services = "{{{{ params.services }}}}"
[nodes.ideas.with.keys]
anthropic = "{{{{ secrets.anthropic_key }}}}"
gemini = "{{{{ secrets.gemini_key }}}}"
"#
    ));
    place.write("slate.json", include_str!("../../workflows/data/slate.json"));
    place
}

/// The same with a narration of the first idea, which is from templates.
fn narration(providers: &[&str]) -> Place {
    let place = ideas(&["templates"], 1);
    let more = format!(
        r#"
[nodes.narrate]
stage = "media.narrate"
inputs = {{ idea = "ideas.idea" }}
retry = {{ attempts = 1 }}
[nodes.narrate.with]
providers = {}
services = "{{{{ params.services }}}}"
[nodes.narrate.with.keys]
elevenlabs = "{{{{ secrets.elevenlabs_key }}}}"
openai = "{{{{ secrets.openai_key }}}}"
"#,
        json!(providers)
    );
    let text = place.read("flow.toml") + &more;
    place.write("flow.toml", &text);
    place
}

fn secrets() -> String {
    let secret = |(name, env)| format!("{name}_key = {{ env = \"{env}\", optional = true }}\n");
    format!("[secrets]\n{}", KEYS.map(secret).concat())
}

fn services(servers: &[(&str, &Server)]) -> String {
    let mut services = json!({});
    for (name, server) in servers {
        services[*name] = json!({"base_url": server.url(), "base": "1ms", "timeout": "50s",
                                 "usd_per_million_input": 3, "usd_per_million_output": 15,
                                 "usd_per_million_characters": 100});
    }
    format!("services={services}")
}

/// Runs it with the keys of the services that have servers.
fn command(place: &Place, args: &[&str], servers: &[(&str, &Server)]) -> std::process::Command {
    let mut command = place.command(args);
    for (name, env) in KEYS {
        match servers.iter().any(|(served, _)| *served == name) {
            true => command.env(env, "test-key"),
            false => command.env_remove(env),
        };
    }
    command
}

fn run(place: &Place, servers: &[(&str, &Server)]) -> Done {
    let services = services(servers);
    let args = ["run", "flow.toml", "--run-id", "one", "--json", "--param", &services];
    place.finish(command(place, &args, servers))
}

fn output(place: &Place, port: &str) -> Value {
    place.flow(&["output", "one", port]).exits(0).json()
}

fn events<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == name).collect()
}

/// Each step of a chain: from, to, reason, and the class of the failure.
fn fallbacks(lines: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let told = |event: &&Value| {
        let parts = [&event["from"], &event["to"], &event["reason"], &event["error"]["class"]];
        parts.map(text).join(" ")
    };
    events(lines, "provider_fallback").iter().map(told).collect()
}

fn usage(place: &Place, node: &str) -> Value {
    let shown = place.show("one");
    let nodes = shown["nodes"].as_array().unwrap();
    nodes.iter().find(|found| found["id"] == node).unwrap()["usage"].clone()
}

/// Requests that were answered well.
fn served(server: &Server) -> usize {
    server.ledger().iter().filter(|asked| asked.is_served()).count()
}

/// Whether any file of the store holds the key.
fn leaks(place: &Place) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![place.path("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.windows(8).any(|window| window == b"test-key")
            {
                found.push(path);
            }
        }
    }
    found
}

fn anthropic(mood: Mood) -> Server {
    Server::start(Anthropic { mood, ..Anthropic::default() })
}

fn gemini(mood: Mood) -> Server {
    Server::start(Gemini { mood, ..Gemini::default() })
}

#[test]
fn a_model_writes_each_idea_with_one_question_and_what_it_cost_is_told() {
    let server = anthropic(Mood::Good);
    let place = ideas(&["anthropic", "gemini", "templates"], 3);
    let done = run(&place, &[("anthropic", &server)]).exits(0);
    let ideas = output(&place, "ideas.ideas");
    assert_eq!((ideas.as_array().unwrap().len(), server.ledger().len()), (3, 3));
    for idea in ideas.as_array().unwrap() {
        assert_eq!((&idea["provider"], &idea["status"]), (&json!("anthropic"), &json!("approved")));
        assert_eq!(idea["model"], server.ledger()[0].json()["model"]);
        assert!(idea["caption"].as_str().unwrap().contains("1-800-GAMBLER"));
        assert_eq!(idea["script"]["sections"][1]["slide"]["layout"], "pick");
    }
    let usage = usage(&place, "ideas");
    assert_eq!((&usage["tokens"], &usage["calls"]), (&json!(3600), &json!(3)));
    assert!((usage["usd"].as_f64().unwrap() - 0.018).abs() < 1e-9, "{usage}");
    assert_eq!(events(&done.lines(), "warning"), Vec::<&Value>::new());
    assert_eq!(leaks(&place), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_a_node_cost_in_the_past_is_told_before_it_runs_again() {
    let server = anthropic(Mood::Good);
    let (place, services) = (ideas(&["anthropic"], 3), services(&[("anthropic", &server)]));
    for run in ["one", "two"] {
        let args = ["run", "flow.toml", "--run-id", run, "--param", &services];
        place.finish(command(&place, &args, &[("anthropic", &server)])).exits(0);
    }
    let told = place.flow(&["why", "two", "ideas"]).exits(0).stdout;
    let spent = "($0.018, 3600 tokens, 3 calls)";
    assert_eq!(told.matches(spent).count(), 2, "now and before: {told}");
    let why = place.flow(&["why", "two", "ideas", "--json"]).json();
    assert_eq!(why["usage"], json!({ "usd": 0.018, "tokens": 3600, "calls": 3 }));
    assert_eq!(why["usage"], why["previous_usage"]);

    let text = place.read("flow.toml").replace("count = 3", "count = 2");
    place.write("flow.toml", &text);
    let args = ["plan", "--resume", "two", "--update"];
    let told = place.finish(command(&place, &args, &[])).exits(0).stdout;
    assert_eq!(told.matches("($0.018)").count(), 2, "of the node and of all: {told}");
    let plan = place.flow(&["plan", "--resume", "two", "--update", "--json"]).json();
    assert_eq!(plan["nodes"][2]["cost_usd"], 0.018);
    assert_eq!(plan["summary"]["cost_usd"], 0.018);
}

#[test]
fn without_keys_the_templates_write_what_they_always_wrote() {
    let (plain, chained) =
        (ideas(&["templates"], 2), ideas(&["anthropic", "gemini", "templates"], 2));
    run(&plain, &[]).exits(0);
    let lines = run(&chained, &[]).exits(0).lines();
    assert_eq!(output(&plain, "ideas.ideas"), output(&chained, "ideas.ideas"));
    let steps = fallbacks(&lines);
    assert_eq!(steps[..2], ["anthropic gemini no_key -", "gemini templates no_key -"]);
}

#[test]
fn an_idea_that_cannot_be_used_is_sent_back_once_with_its_faults() {
    let server = gemini(Mood::ForeignPickOnce);
    let place = ideas(&["gemini"], 1);
    let lines = run(&place, &[("gemini", &server)]).exits(0).lines();
    assert_eq!(output(&place, "ideas.idea")["provider"], "gemini");
    let retry = events(&lines, "call_retried")[0];
    assert_eq!((&retry["error"]["class"], &retry["call"]), (&json!("validation"), &json!(2)));
    assert_eq!(retry["error"]["request_id"], "gemini-words");
    let asked = server.ledger()[1].json();
    let told = asked["contents"][2]["parts"][0]["text"].as_str().unwrap();
    assert!(told.contains("/pick: expected a prop of the matchup"), "{told}");
}

#[test]
fn what_no_model_can_put_right_goes_to_the_next_and_at_last_to_the_templates() {
    for (first, second, steps, calls) in [
        (
            Mood::Prose,
            Mood::ForeignPick,
            ["anthropic gemini failed malformed", "gemini templates failed validation"],
            (3, 2),
        ),
        (
            Mood::Refuses,
            Mood::Refuses,
            ["anthropic gemini failed moderated", "gemini templates failed moderated"],
            (1, 1),
        ),
        (
            Mood::ForeignPick,
            Mood::Prose,
            ["anthropic gemini failed validation", "gemini templates failed malformed"],
            (2, 3),
        ),
    ] {
        let (a, g) = (anthropic(first), gemini(second));
        let place = ideas(&["anthropic", "gemini", "templates"], 1);
        let lines = run(&place, &[("anthropic", &a), ("gemini", &g)]).exits(0).lines();
        assert_eq!(fallbacks(&lines), steps, "{first:?}");
        assert_eq!((a.ledger().len(), g.ledger().len()), calls, "{first:?}");
        assert_eq!(output(&place, "ideas.idea")["provider"], "templates");
    }
}

#[test]
fn an_idea_that_is_cut_off_may_be_longer_once_and_one_that_invents_is_taken_with_a_warning() {
    let server = anthropic(Mood::LongWinded);
    let place = ideas(&["anthropic"], 1);
    run(&place, &[("anthropic", &server)]).exits(0);
    let most: Vec<Value> = server.ledger().iter().map(|a| a.json()["max_tokens"].clone()).collect();
    assert_eq!(most, [8192, 16384]);

    let server = anthropic(Mood::Invents);
    let place = ideas(&["anthropic"], 1);
    let lines = run(&place, &[("anthropic", &server)]).exits(0).lines();
    assert_eq!(server.ledger().len(), 2);
    let ended = events(&lines, "node_succeeded");
    let warnings: Vec<&Value> =
        ended.iter().filter_map(|event| event["warnings"].as_array()).flatten().collect();
    assert!(
        warnings.iter().any(|w| w["message"].as_str().unwrap().contains("97531")),
        "{warnings:?}"
    );
}

#[test]
fn an_idea_that_never_fits_ends_with_all_that_a_person_needs() {
    let server = anthropic(Mood::ForeignPick);
    let place = ideas(&["anthropic"], 1);
    run(&place, &[("anthropic", &server)]).exits(1);
    let shown = place.show("one");
    let node = shown["nodes"].as_array().unwrap().iter().find(|n| n["id"] == "ideas").unwrap();
    let error = &node["error"];
    assert_eq!((&error["class"], &error["provider"]), (&json!("validation"), &json!("anthropic")));
    assert_eq!((&error["kind"], &error["pointer"]), (&json!("api"), &json!("/pick")));
    assert_eq!(error["request_id"], "req_words");
    assert!(error["hint"].as_str().unwrap().contains("providers"), "{error}");
}

#[test]
fn wrong_keys_and_empty_wallets_are_passed_over_and_a_wallet_is_asked_once_in_a_run() {
    let broke = Server::start(Anthropic { is_broke: true, ..Anthropic::default() });
    let used_up = Server::start(Gemini { is_used_up: true, ..Gemini::default() });
    let place = ideas(&["anthropic", "gemini", "templates"], 3);
    let lines = run(&place, &[("anthropic", &broke), ("gemini", &used_up)]).exits(0).lines();
    assert_eq!((broke.ledger().len(), used_up.ledger().len()), (1, 1));
    let steps = fallbacks(&lines);
    assert_eq!(steps[0], "anthropic gemini failed quota_exhausted");
    assert_eq!(steps[2], "anthropic gemini exhausted -");

    let server = gemini(Mood::Good);
    let place = ideas(&["gemini", "templates"], 1);
    let services = services(&[("gemini", &server)]);
    let args = ["run", "flow.toml", "--run-id", "one", "--json", "--param", &services];
    let mut wrong = command(&place, &args, &[]);
    wrong.env("GEMINI_API_KEY", "wrong-key");
    let lines = place.finish(wrong).exits(0).lines();
    assert_eq!(fallbacks(&lines), ["gemini templates failed auth"]);
    let hint = &events(&lines, "provider_fallback")[0]["error"]["hint"];
    assert!(hint.as_str().unwrap().contains("GEMINI_API_KEY"), "{hint}");
}

#[test]
fn a_bad_moment_of_a_model_passes_and_is_told() {
    let server = gemini(Mood::Good);
    let troubles = [Trouble::Status(503), Trouble::TooMany(0), Trouble::Reset, Trouble::Cut];
    server.order(troubles.map(Some));
    let place = ideas(&["gemini"], 1);
    let services =
        services(&[("gemini", &server)]).replace("\"base\":", "\"attempts\":6,\"base\":");
    let args = ["run", "flow.toml", "--run-id", "one", "--json", "--param", &services];
    let done = place.finish(command(&place, &args, &[("gemini", &server)])).exits(0);
    assert_eq!(events(&done.lines(), "call_retried").len(), 4);
    assert_eq!(output(&place, "ideas.idea")["provider"], "gemini");
}

#[test]
fn an_engine_that_was_killed_buys_no_idea_twice() {
    let server = anthropic(Mood::Good);
    server.order([None, None, Some(Trouble::Silence(60_000))]);
    let place = ideas(&["anthropic"], 3);
    let services = services(&[("anthropic", &server)]);
    let args = ["run", "flow.toml", "--run-id", "one", "--param", &services];
    let mut child = command(&place, &args, &[("anthropic", &server)]).spawn().unwrap();
    wait_until("two ideas were remembered, and the third is asked for", || {
        server.ledger().len() == 3 && remembered(&place) == 2
    });
    kill_9(&mut child);
    place.finish(command(&place, &["resume", "one"], &[("anthropic", &server)])).exits(0);
    assert_eq!(server.ledger().len(), 4, "the third alone is asked for again");
    assert_eq!(output(&place, "ideas.ideas").as_array().unwrap().len(), 3);
}

/// How many answers the journal of the run has kept.
fn remembered(place: &Place) -> usize {
    let journal = std::fs::read(place.path(".flow/runs/one/journal")).unwrap_or_default();
    String::from_utf8_lossy(&journal).matches(r#""event":"remembered""#).count()
}

#[test]
fn elevenlabs_speaks_with_exact_times_at_the_loudness_of_platforms() {
    let server = Server::start(ElevenLabs::default());
    let place = narration(&["elevenlabs", "openai", "espeak"]);
    run(&place, &[("elevenlabs", &server)]).exits(0);
    let (audio, timing) = (output(&place, "narrate.audio"), output(&place, "narrate.timing"));
    assert_eq!(
        (&audio["provider"], &audio["model"]),
        (&json!("elevenlabs"), &json!("eleven_multilingual_v2"))
    );
    let loudness = audio["loudness_lufs"].as_f64().unwrap();
    assert!((loudness + 14.0).abs() <= 1.0, "{loudness}");
    let idea = output(&place, "ideas.idea");
    let sections = idea["script"]["sections"].as_array().unwrap();
    assert_eq!(served(&server), sections.len());
    let mut end = 0;
    for (segment, section) in timing["segments"].as_array().unwrap().iter().zip(sections) {
        assert_eq!(
            (&segment["timing_source"], &segment["start_ms"]),
            (&json!("exact"), &json!(end))
        );
        let words: Vec<&str> = segment["words"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w["text"].as_str().unwrap())
            .collect();
        assert_eq!(words.join(" "), section["text"].as_str().unwrap());
        let first = &segment["words"][0];
        assert_eq!(first["start_ms"], end);
        end = segment["end_ms"].as_u64().unwrap();
    }
    assert_eq!(timing["duration_ms"], end);
    let usage = usage(&place, "narrate");
    assert!(usage["usd"].as_f64().unwrap() > 0.0, "{usage}");
    assert_eq!(leaks(&place), Vec::<std::path::PathBuf>::new());
}

#[test]
fn without_times_the_words_are_estimated() {
    let server = Server::start(ElevenLabs { voice: Voice::Timeless, ..ElevenLabs::default() });
    let place = narration(&["elevenlabs"]);
    run(&place, &[("elevenlabs", &server)]).exits(0);
    assert_eq!(output(&place, "narrate.timing")["segments"][0]["timing_source"], "estimated");
}

#[test]
fn a_sound_that_is_none_is_asked_for_again_and_then_another_voice_speaks_all() {
    for (voice, said) in [
        (Voice::Silent, "is silent"),
        (Voice::OneByte, "cannot be decoded"),
        (Voice::CutShort, "by the times of its words"),
        (Voice::Uneven, "not equally long"),
    ] {
        let server = Server::start(ElevenLabs { voice, ..ElevenLabs::default() });
        let place = narration(&["elevenlabs", "espeak"]);
        let lines = run(&place, &[("elevenlabs", &server)]).exits(0).lines();
        assert_eq!(server.ledger().len(), 3, "{voice:?}");
        assert_eq!(fallbacks(&lines).last().unwrap(), "elevenlabs espeak failed malformed");
        let error = &events(&lines, "provider_fallback").last().unwrap()["error"];
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        assert_eq!(
            (&error["kind"], &error["request_id"]),
            (&json!("audio_generation"), &json!("eleven-words"))
        );
        assert!(error["hint"].is_string(), "{error}");
        assert_eq!(output(&place, "narrate.audio")["provider"], "espeak-ng");
    }
}

#[test]
fn a_quota_that_ends_in_the_middle_lets_the_next_voice_speak_from_the_beginning() {
    let quiet = Server::start(ElevenLabs { quota: Some(150), ..ElevenLabs::default() });
    let other = Server::start(OpenAiSpeech::default());
    let place = narration(&["elevenlabs", "openai", "espeak"]);
    let servers = [("elevenlabs", &quiet), ("openai", &other)];
    let lines = run(&place, &servers).exits(0).lines();
    assert_eq!(fallbacks(&lines).last().unwrap(), "elevenlabs openai failed quota_exhausted");
    let sections = output(&place, "ideas.idea")["script"]["sections"].as_array().unwrap().len();
    assert!(served(&quiet) >= 1, "it spoke before");
    assert_eq!(served(&other), sections, "one voice speaks all");
    let audio = output(&place, "narrate.audio");
    assert_eq!((&audio["provider"], &audio["voice"]), (&json!("openai"), &json!("coral")));
}

#[test]
fn voices_that_are_crowded_are_waited_for_and_those_without_money_are_passed_over() {
    let crowded = ElevenLabs { crowded: 2.into(), ..ElevenLabs::default() };
    let server = Server::start(crowded);
    let place = narration(&["elevenlabs"]);
    let lines = run(&place, &[("elevenlabs", &server)]).exits(0).lines();
    let retries = events(&lines, "call_retried");
    assert_eq!(retries.len(), 2);
    assert_eq!(retries[0]["error"]["class"], "rate_limited");

    let broke = Server::start(OpenAiSpeech { is_broke: true, ..OpenAiSpeech::default() });
    let place = narration(&["openai", "espeak"]);
    let lines = run(&place, &[("openai", &broke)]).exits(0).lines();
    assert_eq!(fallbacks(&lines).last().unwrap(), "openai espeak failed quota_exhausted");

    let silent = Server::start(OpenAiSpeech { is_silent: true, ..OpenAiSpeech::default() });
    let place = narration(&["openai", "espeak"]);
    let lines = run(&place, &[("openai", &silent)]).exits(0).lines();
    assert_eq!(fallbacks(&lines).last().unwrap(), "openai espeak failed malformed");
}

#[test]
fn an_engine_that_was_killed_buys_no_section_twice() {
    let server = Server::start(ElevenLabs::default());
    server.order([None, None, Some(Trouble::Silence(60_000))]);
    let place = narration(&["elevenlabs"]);
    let services = services(&[("elevenlabs", &server)]);
    let args = ["run", "flow.toml", "--run-id", "one", "--param", &services];
    let mut child = command(&place, &args, &[("elevenlabs", &server)]).spawn().unwrap();
    wait_until("the third section is asked for", || server.ledger().len() == 3);
    kill_9(&mut child);
    place.finish(command(&place, &["resume", "one"], &[("elevenlabs", &server)])).exits(0);
    let sections = output(&place, "ideas.idea")["script"]["sections"].as_array().unwrap().len();
    assert_eq!(server.ledger().len(), sections + 1, "the third alone was asked for again");
    assert_eq!(output(&place, "narrate.audio")["provider"], "elevenlabs");
}
