//! The games of a day from services, whatever state they are in.

use serde_json::{Value, json};

use super::harness::{Done, Place};
use super::services::balldontlie::BallDontLie;
use super::services::goatedbets::GoatedBets;
use super::services::odds_api::OddsApi;
use super::services::{Server, Trouble};

const DATE: &str = "2025-12-28";

/// A workflow with one slate.
fn place(providers: &[&str], more: &str) -> Place {
    let providers = serde_json::to_string(providers).unwrap();
    let place = Place::with(&format!(
        r#"
[params]
services = {{ type = "json" }}
slate = {{ type = "file", default = "slate.json" }}
[secrets]
goatedbets_key = {{ env = "GOATEDBETS_API_KEY", optional = true }}
balldontlie_key = {{ env = "BALLDONTLIE_API_KEY", optional = true }}
odds_api_key = {{ env = "ODDS_API_KEY", optional = true }}
[nodes.slate]
stage = "media.slate"
inputs = {{ slate_file = "params.slate" }}
retry = {{ attempts = 1 }}
{more}
[nodes.slate.with]
sport = "nfl"
date = "{DATE}"
providers = {providers}
services = "{{{{ params.services }}}}"
[nodes.slate.with.keys]
goatedbets = "{{{{ secrets.goatedbets_key }}}}"
balldontlie = "{{{{ secrets.balldontlie_key }}}}"
odds_api = "{{{{ secrets.odds_api_key }}}}"
"#
    ));
    place.write("slate.json", include_str!("../../workflows/data/slate.json"));
    place
}

/// Runs it with the keys that are named; the services are where the servers are.
fn run(place: &Place, servers: &[(&str, &Server)], keys: &[&str]) -> Done {
    run_with(place, servers, keys, json!({}))
}

fn run_with(place: &Place, servers: &[(&str, &Server)], keys: &[&str], more: Value) -> Done {
    let mut services = json!({});
    for (name, server) in servers {
        services[*name] = json!({"base_url": server.url(), "base": "1ms", "timeout": "20s"});
        services[*name].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    let services = format!("services={services}");
    let mut command =
        place.command(&["run", "flow.toml", "--run-id", "one", "--json", "--param", &services]);
    for key in ["GOATEDBETS_API_KEY", "BALLDONTLIE_API_KEY", "ODDS_API_KEY"] {
        command.env_remove(key);
    }
    for key in keys {
        command.env(key, "test-key");
    }
    place.finish(command)
}

fn slate(place: &Place) -> Value {
    place.flow(&["output", "one", "slate.slate"]).exits(0).json()
}

fn events<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == name).collect()
}

/// What each step of the chain says: from, to, reason, and the class of the failure.
fn fallbacks(lines: &[Value]) -> Vec<(String, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let told = |event: &Value| {
        (
            text(&event["from"]),
            text(&event["to"]),
            text(&event["reason"]),
            text(&event["error"]["class"]),
        )
    };
    events(lines, "provider_fallback").into_iter().map(told).collect()
}

fn step(from: &str, to: &str, reason: &str, class: &str) -> (String, String, String, String) {
    (from.into(), to.into(), reason.into(), class.into())
}

fn bdl(games: usize) -> BallDontLie {
    BallDontLie { games, ..BallDontLie::default() }
}

#[test]
fn balldontlie_gives_games_with_odds_and_props_page_by_page() {
    let server = Server::start(BallDontLie { page: 1, ..bdl(3) });
    let place = place(&["balldontlie"], "");
    run(&place, &[("balldontlie", &server)], &["BALLDONTLIE_API_KEY"]).exits(0);
    let slate = slate(&place);
    assert_eq!(slate["matchups"].as_array().unwrap().len(), 3);
    let first = &slate["matchups"][0];
    assert_eq!(first["matchup_id"], "nfl_2025_w17_buf_mia");
    assert_eq!(first["game_time"], "2025-12-28T13:00:00-05:00");
    assert_eq!((&first["vegas_spread"], &first["over_under"]), (&json!(-2.5), &json!(44.5)));
    assert_eq!(first["source"], "balldontlie");
    assert_eq!(first["away"]["city"], "Buffalo");
    let prop = &first["props"][0];
    assert_eq!(prop["player_name"], "Marcus Dalen");
    assert_eq!((&prop["team"], &prop["stat_type"]), (&json!("BUF"), &json!("passing_yards")));
    assert_eq!((&prop["line"], &prop["over_odds"]), (&json!(240.5), &json!(-112)));
    assert_eq!(server.asked("GET", "/nfl/v1/games").len(), 3, "a page for each game");
}

#[test]
fn nba_has_its_instant_elsewhere_and_version_2_of_odds() {
    let server = Server::start(bdl(1));
    let place = place(&["balldontlie"], "");
    let text = place.read("flow.toml").replace("sport = \"nfl\"", "sport = \"NBA\"");
    place.write("flow.toml", &text);
    run(&place, &[("balldontlie", &server)], &["BALLDONTLIE_API_KEY"]).exits(0);
    let first = &slate(&place)["matchups"][0];
    assert_eq!(first["matchup_id"], "nba_2025_20251228_buf_mia");
    assert_eq!(first["game_time"], "2025-12-28T13:00:00-05:00");
    assert!(!server.asked("GET", "/nba/v2/odds/player_props").is_empty());
}

#[test]
fn a_cursor_that_repeats_itself_is_refused() {
    let server = Server::start(BallDontLie { repeats: true, ..bdl(3) });
    let place = place(&["balldontlie"], "");
    run(&place, &[("balldontlie", &server)], &["BALLDONTLIE_API_KEY"]).exits(1);
    let error = &place.show("one")["nodes"][0]["error"];
    assert_eq!((&error["class"], &error["provider"]), (&json!("malformed"), &json!("balldontlie")));
    assert!(error["message"].as_str().unwrap().contains("cursor"), "{error}");
}

#[test]
fn each_trouble_that_may_pass_is_tried_again_and_told() {
    let troubles = [
        Trouble::Status(503),
        Trouble::TooMany(0),
        Trouble::TooManyUntil(0),
        Trouble::Reset,
        Trouble::Cut,
        Trouble::ShortBody,
        Trouble::Html,
        Trouble::BrokenJson,
        Trouble::Lost,
    ];
    for trouble in troubles {
        let server = Server::start(bdl(1));
        server.order([Some(trouble), None, Some(trouble)]);
        let place = place(&["balldontlie"], "");
        let done = run(&place, &[("balldontlie", &server)], &["BALLDONTLIE_API_KEY"]).exits(0);
        let lines = done.lines();
        let retried = events(&lines, "call_retried");
        assert_eq!(retried.len(), 2, "{trouble:?}: {retried:?}");
        assert_eq!(retried[0]["provider"], "balldontlie", "{trouble:?}");
        assert_eq!(retried[0]["call"], 2, "{trouble:?}");
        let calls = &events(&lines, "node_succeeded")[0]["usage"]["calls"];
        assert_eq!(calls, &json!(server.ledger().len()), "{trouble:?}");
    }
}

#[test]
fn a_service_without_its_key_is_passed_over_and_the_recorded_slate_is_last() {
    let place = place(&["goatedbets", "balldontlie", "recorded"], "");
    let lines = run(&place, &[], &[]).exits(0).lines();
    assert_eq!(
        fallbacks(&lines),
        [
            step("goatedbets", "balldontlie", "no_key", "-"),
            step("balldontlie", "recorded", "no_key", "-")
        ]
    );
    assert_eq!(slate(&place)["matchups"][0]["source"], "recorded");
}

#[test]
fn a_wrong_key_is_not_tried_again_and_says_what_to_do() {
    let server = Server::start(bdl(1));
    let place = place(&["balldontlie"], "");
    let services = [("balldontlie", &server)];
    let mut command = place.command(&[
        "run",
        "flow.toml",
        "--run-id",
        "one",
        "--param",
        &format!("services={}", json!({"balldontlie": {"base_url": services[0].1.url()}})),
    ]);
    command.env("BALLDONTLIE_API_KEY", "a-wrong-key");
    place.finish(command).exits(1);
    let error = &place.show("one")["nodes"][0]["error"];
    assert_eq!((&error["class"], &error["kind"]), (&json!("auth"), &json!("api")));
    assert!(error["hint"].as_str().unwrap().contains("BALLDONTLIE_API_KEY"), "{error}");
    assert_eq!(server.ledger().len(), 1);
}

#[test]
fn a_plan_that_lacks_an_endpoint_leads_to_the_next_provider() {
    let first = Server::start(BallDontLie { lacks: Some("player_props"), ..bdl(2) });
    let second = Server::start(OddsApi { games: 2, date: DATE.into(), exhausted: false });
    let place = place(&["balldontlie", "odds_api"], "");
    let servers = [("balldontlie", &first), ("odds_api", &second)];
    let lines = run(&place, &servers, &["BALLDONTLIE_API_KEY", "ODDS_API_KEY"]).exits(0).lines();
    assert_eq!(fallbacks(&lines), [step("balldontlie", "odds_api", "failed", "auth")]);
    let first = &slate(&place)["matchups"][0];
    assert_eq!(first["matchup_id"], "nfl_2025_20251228_bills_dolphins");
    assert_eq!(first["props"][0]["player_name"], "Marcus Dalen");
    assert_eq!((&first["vegas_spread"], &first["over_under"]), (&json!(-2.5), &json!(44.5)));
}

#[test]
fn what_one_provider_lacks_the_next_fills_in() {
    let first = Server::start(GoatedBets { games: 2, bare: true, ..GoatedBets::default() });
    let second = Server::start(bdl(2));
    let place = place(&["goatedbets", "balldontlie", "recorded"], "");
    let servers = [("goatedbets", &first), ("balldontlie", &second)];
    let keys = ["GOATEDBETS_API_KEY", "BALLDONTLIE_API_KEY"];
    let lines = run(&place, &servers, &keys).exits(0).lines();
    assert_eq!(fallbacks(&lines), [step("goatedbets", "balldontlie", "failed", "validation")]);
    let slate = slate(&place);
    assert_eq!(slate["matchups"].as_array().unwrap().len(), 2);
    let first = &slate["matchups"][0];
    assert_eq!(first["matchup_id"], "nfl_2025_20251228_buf_mia");
    assert_eq!(first["source"], "goatedbets, balldontlie");
    assert_eq!(first["props"].as_array().unwrap().len(), 2);
}

#[test]
fn goatedbets_gives_props_and_odds_inline_or_apart() {
    for apart in [false, true] {
        let server = Server::start(GoatedBets { games: 2, apart, ..GoatedBets::default() });
        let place = place(&["goatedbets"], "");
        let text = place.read("flow.toml").replace("sport = \"nfl\"", "sport = \"nfl\"\nweek = 17");
        place.write("flow.toml", &text.replace("week = 17", "week = \"17\""));
        run(&place, &[("goatedbets", &server)], &["GOATEDBETS_API_KEY"]).exits(0);
        let slate = slate(&place);
        let first = &slate["matchups"][0];
        assert_eq!(
            (&first["matchup_id"], &first["sport"]),
            (&json!("nfl_2025_w17_buf_mia"), &json!("nfl"))
        );
        assert_eq!((&first["vegas_spread"], &slate["week"]), (&json!(-2.5), &json!(17)));
        assert_eq!(first["props"][1]["team"], "MIA");
        let asked = server.asked("GET", "/nfl/week/17");
        assert_eq!((asked.len(), asked[0].param("season")), (1, Some("2025")));
    }
}

#[test]
fn an_empty_quota_is_no_rate_limit() {
    let server = Server::start(OddsApi { games: 1, date: DATE.into(), exhausted: true });
    let place = place(&["odds_api", "recorded"], "");
    let lines = run(&place, &[("odds_api", &server)], &["ODDS_API_KEY"]).exits(0).lines();
    assert_eq!(fallbacks(&lines), [step("odds_api", "recorded", "failed", "quota_exhausted")]);
    assert_eq!(server.ledger().len(), 1);
}

#[test]
fn an_unknown_provider_is_a_fault_of_the_file() {
    let place = place(&["balldontlies"], "");
    let done = place.flow(&["validate", "flow.toml"]).exits(3);
    assert!(done.stderr.contains("`balldontlies` is no provider of this stage"), "{done}");
}

#[test]
fn no_key_is_found_anywhere_in_the_store() {
    let server = Server::start(OddsApi { games: 1, date: DATE.into(), exhausted: false });
    server.order([Some(Trouble::Status(500)), Some(Trouble::Lost)]);
    let place = place(&["odds_api"], "");
    run(&place, &[("odds_api", &server)], &["ODDS_API_KEY"]).exits(0);
    let found = std::process::Command::new("grep")
        .args(["-r", "-l", "-a", "test-key"])
        .arg(place.path(".flow"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn ten_runs_at_once_share_one_fetch_and_a_second_best_slate_is_never_shared() {
    let server = Server::start(bdl(2));
    let place = place(&["balldontlie", "recorded"], "cache = \"30m\"");
    let services = json!({"balldontlie": {"base_url": server.url(), "base": "1ms"}});
    let services = format!("services={services}");
    let start = |at: usize| {
        let run = format!("run-{at}");
        let args = ["run", "flow.toml", "--run-id", &run, "--json", "--param", &services];
        let mut command = place.command(&args);
        command.env("BALLDONTLIE_API_KEY", "test-key").stderr(std::process::Stdio::null());
        command.stdout(std::fs::File::create(place.path(&run)).unwrap());
        command.spawn().unwrap()
    };
    server.order([Some(Trouble::Status(401))]);
    assert!(start(0).wait().unwrap().success());
    assert_eq!(
        place.flow(&["output", "run-0", "slate.slate"]).json()["matchups"][0]["source"],
        "recorded"
    );
    assert!(place.flow(&["cache", "ls", "--json"]).json().as_array().unwrap().is_empty());

    let children: Vec<_> = (1..=10).map(start).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(server.asked("GET", "/nfl/v1/games").len(), 2);
    let lines: String = (1..=10).map(|at| place.read(&format!("run-{at}"))).collect();
    let count = |name: &str| lines.matches(&format!("\"event\":\"{name}\"")).count();
    let (hits, misses) = (count("cache_hit"), count("cache_miss"));
    assert!(hits > 0 && hits * 100 > 80 * (hits + misses), "{hits} hits, {misses} misses");
    for at in 1..=10 {
        let slate = place.flow(&["output", &format!("run-{at}"), "slate.slate"]).json();
        assert_eq!(slate["matchups"][0]["source"], "balldontlie");
    }
}
