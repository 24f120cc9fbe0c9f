//! The Odds API, version 4: games with odds, and player props game by game.
//!
//! Follows the service's documentation of version 4. Its key stands in the query, so no URL of it is
//! ever shown with one. A call costs markets × regions of a quota; how much is left comes in headers. It
//! names no abbreviations of teams and no team of a player.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::day::{Day, number, text};
use super::{Answer, Api, Message, Service, call};

pub(crate) static ODDS_API: Api = Api {
    name: "odds_api",
    base_url: "https://api.the-odds-api.com",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(15),
    in_flight: 2,
    needs_key: true,
    key_env: "ODDS_API_KEY",
};

/// Sports by their names here and there.
const SPORTS: [(&str, &str); 6] = [
    ("nfl", "americanfootball_nfl"),
    ("nba", "basketball_nba"),
    ("mlb", "baseball_mlb"),
    ("nhl", "icehockey_nhl"),
    ("ncaaf", "americanfootball_ncaaf"),
    ("ncaab", "basketball_ncaab"),
];

/// Markets of player props, and the statistics that they are about.
const MARKETS: [(&str, &str); 10] = [
    ("player_pass_yds", "passing_yards"),
    ("player_pass_tds", "passing_tds"),
    ("player_rush_yds", "rushing_yards"),
    ("player_reception_yds", "receiving_yards"),
    ("player_receptions", "receptions"),
    ("player_anytime_td", "anytime_td"),
    ("player_points", "points"),
    ("player_rebounds", "rebounds"),
    ("player_assists", "assists"),
    ("player_threes", "threes"),
];

/// Which of [`MARKETS`] a sport has.
fn markets(sport: &str) -> &'static [(&'static str, &'static str)] {
    match sport {
        "nfl" | "ncaaf" => &MARKETS[..6],
        "nba" | "ncaab" => &MARKETS[6..],
        _ => &[],
    }
}

/// The games of a day with their odds and props, as a slate.
pub(crate) async fn slate(
    context: &dyn Context,
    service: &Service,
    day: &Day,
) -> Result<Value, StageError> {
    let sport = SPORTS.iter().find(|(own, _)| *own == day.sport).map_or("", |(_, key)| key);
    let path = format!("/v4/sports/{sport}/odds");
    let events = get(context, service, &path, "h2h,spreads,totals").await?;
    let Value::Array(events) = events else {
        let message = "the answer is no list of games";
        return Err(service.failure(ErrorClass::Malformed, format!("get {path}"), message));
    };
    let mut matchups = Vec::new();
    for event in &events {
        let Some(mut matchup) = matchup(service, event, day) else { continue };
        matchup["props"] = props(context, service, day, sport, event).await?.into();
        matchups.push(matchup);
    }
    Ok(day.slate(matchups))
}

/// A game as a matchup without props; `None` if it is not of the day.
fn matchup(service: &Service, event: &Value, day: &Day) -> Option<Value> {
    let start: Timestamp = text(event, "commence_time")?.parse().ok()?;
    let (away, home) = (text(event, "away_team")?, text(event, "home_team")?);
    if !day.has(start) {
        return None;
    }
    let mut matchup = json!({
        "matchup_id": day.matchup_id(day.week, nickname(away), nickname(home)),
        "sport": day.sport, "away_team": away, "home_team": home,
        "game_time": day.shown(start), "source": ODDS_API.name,
    });
    let point = |market: &str, outcome: &str| {
        bookmakers(service, event).into_iter().find_map(|bookmaker| {
            let outcomes = outcomes(bookmaker, market);
            let found = outcomes.iter().find(|found| text(found, "name") == Some(outcome))?;
            number(found.get("point"))
        })
    };
    if let Some(spread) = point("spreads", home) {
        matchup["vegas_spread"] = spread.into();
    }
    if let Some(total) = point("totals", "Over") {
        matchup["over_under"] = total.into();
    }
    Some(matchup)
}

/// The last word of a team's name.
fn nickname(team: &str) -> &str {
    team.rsplit(' ').next().unwrap_or(team)
}

/// The bookmakers of an event, the preferred one first.
fn bookmakers<'a>(service: &Service, event: &'a Value) -> Vec<&'a Value> {
    let list = event.get("bookmakers").and_then(Value::as_array);
    let mut list: Vec<&Value> = list.into_iter().flatten().collect();
    let wanted = service.option("bookmaker");
    list.sort_by_key(|one| wanted.is_none_or(|wanted| text(one, "key") != Some(wanted)));
    list
}

fn outcomes<'a>(bookmaker: &'a Value, market: &str) -> Vec<&'a Value> {
    let markets = bookmaker.get("markets").and_then(Value::as_array).into_iter().flatten();
    let found = markets.filter(|found| text(found, "key") == Some(market));
    found.filter_map(|found| found.get("outcomes")?.as_array()).flatten().collect()
}

async fn props(
    context: &dyn Context,
    service: &Service,
    day: &Day,
    sport: &str,
    event: &Value,
) -> Result<Vec<Value>, StageError> {
    let markets = markets(&day.sport);
    let Some(id) = text(event, "id").filter(|_| !markets.is_empty()) else {
        return Ok(Vec::new());
    };
    let names: Vec<&str> = markets.iter().map(|(market, _)| *market).collect();
    let path = format!("/v4/sports/{sport}/events/{id}/odds");
    let found = match get(context, service, &path, &names.join(",")).await {
        // A game that has begun meanwhile has no odds any more; the others still have theirs.
        Err(error) if error.http_status == Some(404) => return Ok(Vec::new()),
        found => found?,
    };
    let all = bookmakers(service, &found).into_iter().map(|bookmaker| offered(bookmaker, markets));
    // The first with the most: the preferred one comes first, and wins if it has any.
    let mut all: Vec<Vec<Value>> = all.filter(|props| !props.is_empty()).collect();
    if service.option("bookmaker").is_none() {
        all.sort_by_key(|props| std::cmp::Reverse(props.len()));
    }
    Ok(all.into_iter().next().unwrap_or_default())
}

/// All props that a bookmaker offers.
fn offered(bookmaker: &Value, markets: &[(&str, &str)]) -> Vec<Value> {
    let vendor = text(bookmaker, "key").unwrap_or_default();
    let of_market =
        |(market, stat): &(&str, &str)| pairs(&outcomes(bookmaker, market), stat, vendor);
    markets.iter().flat_map(of_market).collect()
}

/// Over and under of one player and number, paired; a feat has neither number nor under.
fn pairs(outcomes: &[&Value], stat: &str, vendor: &str) -> Vec<Value> {
    let mut pairs: BTreeMap<(&str, String), Value> = BTreeMap::new();
    for outcome in outcomes {
        let is_feat = stat == "anytime_td";
        let Some(player) = text(outcome, "description") else { continue };
        let point = if is_feat { Some(0.5) } else { number(outcome.get("point")) };
        let (Some(line), Some(price)) = (point, number(outcome.get("price"))) else { continue };
        let side = match text(outcome, "name") {
            Some("Over" | "Yes") => "over_odds",
            Some("Under") => "under_odds",
            _ => continue,
        };
        let prop = pairs.entry((player, line.to_string())).or_insert_with(|| {
            json!({"player_name": player, "team": "", "stat_type": stat, "line": line,
                   "market": if is_feat { "milestone" } else { "over_under" }, "vendor": vendor})
        });
        prop[side] = (price as i64).into();
    }
    let mut seen = std::collections::HashSet::new();
    let all = pairs.into_iter().filter(|((player, _), _)| seen.insert(player.to_owned()));
    all.map(|(_, prop)| prop).collect()
}

async fn get(
    context: &dyn Context,
    service: &Service,
    path: &str,
    markets: &str,
) -> Result<Value, StageError> {
    let operation = format!("get {path} from {}", ODDS_API.name);
    call(context, service, &operation, |_| async {
        let message = Message::get(service.url(path)?)
            .query("apiKey", service.key()?)
            .query("regions", service.option_or("regions", "us"))
            .query("markets", markets)
            .query("oddsFormat", "american")
            .query("dateFormat", "iso");
        let answer = service.send(context, &operation, message).await?;
        match answer.is_success() {
            true => answer.json(service),
            false => Err(failure(service, &answer)),
        }
    })
    .await
}

/// What a failure means: the code in the body first, the status second.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let class = match text(&value, "error_code").unwrap_or_default() {
        "OUT_OF_USAGE_CREDITS" => Some(ErrorClass::QuotaExhausted),
        "MISSING_KEY" | "INVALID_KEY" | "DEACTIVATED_KEY" => Some(ErrorClass::Auth),
        "EXCEEDED_FREQ_LIMIT" => Some(ErrorClass::RateLimited),
        _ => None,
    };
    answer.refusal(service, class, text(&value, "message"))
}
