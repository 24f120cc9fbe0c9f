//! BallDontLie: games, teams, odds, player props and statistics of six sports.
//!
//! The wire format follows the service's OpenAPI document (April 2026). Lists come in pages; a cursor
//! that repeats itself would never end and is refused. Numbers of odds come as text.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::day::{Day, number, text};
use super::{Answer, Api, Message, Service, call};

pub(crate) static BALLDONTLIE: Api = Api {
    name: "balldontlie",
    base_url: "https://api.balldontlie.io",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(10),
    in_flight: 2,
    needs_key: true,
    key_env: "BALLDONTLIE_API_KEY",
};

/// The most rows of a page.
const PER_PAGE: u32 = 100;
/// More pages than any day, game or week has.
const PAGES_MAX: usize = 200;
/// Sports of which the service has player props.
const WITH_PROPS: [&str; 4] = ["nfl", "nba", "mlb", "nhl"];

/// All rows of a list, page by page. `path` is below the service's place, such as `/nfl/v1/games`.
pub(crate) async fn rows(
    context: &dyn Context,
    service: &Service,
    path: &str,
    query: &[(&str, String)],
) -> Result<Vec<Value>, StageError> {
    let operation = format!("get {path} from {}", BALLDONTLIE.name);
    let (mut rows, mut cursor, mut seen) = (Vec::new(), None::<String>, HashSet::new());
    for _ in 0..PAGES_MAX {
        let page = call(context, service, &operation, |_| {
            page(context, service, &operation, path, query, cursor.as_deref())
        });
        let (more, next, answer) = page.await?;
        rows.extend(more);
        match next {
            None => return Ok(rows),
            Some(next) if seen.insert(next.clone()) => cursor = Some(next),
            Some(next) => {
                let message = format!("the cursor {next} of its pages repeats itself");
                return Err(answer.failure(service, ErrorClass::Malformed, message).hint(
                    "this is a fault of the service: try again later, or put another provider behind it in \
                     `providers`",
                ));
            }
        }
    }
    let message = format!("the list does not end within {PAGES_MAX} pages");
    Err(service.failure(ErrorClass::Malformed, operation, message).hint("ask for less at once"))
}

type Page = (Vec<Value>, Option<String>, Answer);

async fn page(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    path: &str,
    query: &[(&str, String)],
    cursor: Option<&str>,
) -> Result<Page, StageError> {
    let mut message = Message::get(service.url(path)?).header("authorization", service.key()?);
    for (name, value) in query {
        message = message.query(name, value);
    }
    if !query.iter().any(|(name, _)| *name == "per_page") {
        message = message.query("per_page", PER_PAGE);
    }
    if let Some(cursor) = cursor {
        message = message.query("cursor", cursor);
    }
    let answer = service.send(context, operation, message).await?;
    if !answer.is_success() {
        return Err(failure(service, &answer));
    }
    let value = answer.json(service)?;
    let Some(Value::Array(rows)) = value.get("data") else {
        return Err(answer.misshapen(service, "has no list `data`"));
    };
    let next = value.pointer("/meta/next_cursor").and_then(|next| match next {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    Ok((rows.clone(), next, answer))
}

/// What a failure means: statuses alone, since the service has no codes.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value();
    let said = value.as_ref().and_then(|value| text(value, "error"));
    let error = answer.refusal(service, None, said);
    match answer.status {
        401 => error.hint(
            "check the key (BALLDONTLIE_API_KEY); the service also answers 401 where the plan of the key \
             lacks this endpoint: plans are bought by sport",
        ),
        429 => error.hint("the plan allows fewer calls a minute: give the node a `rate`"),
        _ => error,
    }
}

/// The games of a day with their odds and props, as a slate.
pub(crate) async fn slate(
    context: &dyn Context,
    service: &Service,
    day: &Day,
) -> Result<Value, StageError> {
    let games = rows(context, service, &format!("/{}/v1/games", day.sport), &wanted(day)).await?;
    let games: Vec<Game> = games.iter().filter_map(|row| Game::read(row, day)).collect();
    let mut odds = odds(context, service, day, &games).await?;
    let mut offers = Vec::with_capacity(games.len());
    for game in &games {
        offers.push(offers_of(context, service, day, game).await?);
    }
    let players = players(context, service, day, offers.iter().flatten()).await?;
    let matchup = |(game, offers): (&Game, &Vec<Value>)| {
        let mut matchup = game.matchup(day);
        matchup.extend(odds.remove(&game.id).unwrap_or_default());
        let props = offers.iter().filter_map(|row| prop(row, game, &players));
        matchup.insert("props".into(), props.collect());
        Value::Object(matchup)
    };
    Ok(day.slate(games.iter().zip(&offers).map(matchup).collect()))
}

fn wanted(day: &Day) -> Vec<(&'static str, String)> {
    match day.week {
        Some(week) => vec![("seasons[]", day.season.to_string()), ("weeks[]", week.to_string())],
        None => vec![("dates[]", day.date.to_string())],
    }
}

/// A game of the day.
struct Game {
    id: i64,
    start: Timestamp,
    week: Option<u32>,
    away: Value,
    home: Value,
    abbreviations: BTreeMap<i64, String>,
}

impl Game {
    /// Reads a row; `None` for one that is not of the day, or that names no teams and no time.
    fn read(row: &Value, day: &Day) -> Option<Self> {
        // NBA has the instant under `datetime`; its `date` is a day alone.
        let time = text(row, "datetime").or_else(|| text(row, "date"))?;
        let start: Timestamp = time.parse().ok()?;
        let (away, home) = (row.get("visitor_team")?, row.get("home_team")?);
        let abbreviation = |team: &Value| {
            Some((team.get("id")?.as_i64()?, text(team, "abbreviation")?.to_owned()))
        };
        let week =
            row.get("week").and_then(Value::as_u64).and_then(|week| u32::try_from(week).ok());
        let game = Self {
            id: row.get("id")?.as_i64()?,
            start,
            week,
            away: team(away)?,
            home: team(home)?,
            abbreviations: [away, home].into_iter().filter_map(abbreviation).collect(),
        };
        day.has(start).then_some(game)
    }

    fn matchup(&self, day: &Day) -> Map<String, Value> {
        let short = |team: &Value| {
            text(team, "abbreviation").or_else(|| text(team, "name")).unwrap_or_default().to_owned()
        };
        let id = day.matchup_id(self.week, &short(&self.away), &short(&self.home));
        let mut map = Map::new();
        map.insert("matchup_id".into(), id.into());
        map.insert("sport".into(), day.sport.clone().into());
        map.insert("away_team".into(), self.away["name"].clone());
        map.insert("home_team".into(), self.home["name"].clone());
        map.insert("game_time".into(), day.shown(self.start).into());
        map.insert("away".into(), self.away.clone());
        map.insert("home".into(), self.home.clone());
        map.insert("source".into(), BALLDONTLIE.name.into());
        map
    }
}

/// A team's row as `TeamData`.
fn team(row: &Value) -> Option<Value> {
    let name = text(row, "full_name").or_else(|| text(row, "name"))?;
    let short = text(row, "abbreviation").unwrap_or_default().to_uppercase();
    let mut team = json!({"name": name, "abbreviation": short});
    let city = text(row, "location").or_else(|| text(row, "city"));
    let rest = [
        ("city", city),
        ("conference", text(row, "conference")),
        ("division", text(row, "division")),
    ];
    for (field, value) in rest {
        if let Some(value) = value {
            team[field] = value.into();
        }
    }
    Some(team)
}

/// `nba` has version 2 of what is about odds.
pub(crate) fn version(sport: &str) -> &'static str {
    if sport == "nba" { "v2" } else { "v1" }
}

/// Spread and total of the games that have them, by game: of the vendor that `vendor` names, else of the
/// one with the most of both.
async fn odds(
    context: &dyn Context,
    service: &Service,
    day: &Day,
    games: &[Game],
) -> Result<BTreeMap<i64, Map<String, Value>>, StageError> {
    let ids: Vec<(&str, String)> =
        games.iter().map(|game| ("game_ids[]", game.id.to_string())).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let path = format!("/{}/{}/odds", day.sport, version(&day.sport));
    let rows = rows(context, service, &path, &ids).await?;
    let mut by_game: BTreeMap<i64, Vec<&Value>> = BTreeMap::new();
    for row in &rows {
        if let Some(game) = row.get("game_id").and_then(Value::as_i64) {
            by_game.entry(game).or_default().push(row);
        }
    }
    let best = |rows: Vec<&Value>| {
        let mut rows = rows;
        rows.sort_by_key(|row| (!is_preferred(service, row), 2 - lines(row).len(), vendor(row)));
        rows.first().map(|row| lines(row)).unwrap_or_default()
    };
    Ok(by_game.into_iter().map(|(game, rows)| (game, best(rows))).collect())
}

fn vendor(row: &Value) -> String {
    text(row, "vendor").unwrap_or_default().to_owned()
}

fn is_preferred(service: &Service, row: &Value) -> bool {
    service.option("vendor").is_some_and(|wanted| wanted.eq_ignore_ascii_case(&vendor(row)))
}

fn lines(row: &Value) -> Map<String, Value> {
    let spread = number(row.get("spread_home_value")).map(|n| ("vegas_spread", n));
    let total = number(row.get("total_value")).map(|n| ("over_under", n));
    let found = spread.into_iter().chain(total);
    found.map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The rows of a game's props, of one vendor.
async fn offers_of(
    context: &dyn Context,
    service: &Service,
    day: &Day,
    game: &Game,
) -> Result<Vec<Value>, StageError> {
    if !WITH_PROPS.contains(&day.sport.as_str()) {
        return Ok(Vec::new());
    }
    let path = format!("/{}/{}/odds/player_props", day.sport, version(&day.sport));
    let rows = rows(context, service, &path, &[("game_id", game.id.to_string())]).await?;
    Ok(of_one_vendor(service, rows))
}

/// The usable rows of the vendor that is preferred, else of the one with the most, else of the first by
/// name; of several lines for one statistic of a player the first stays.
fn of_one_vendor(service: &Service, rows: Vec<Value>) -> Vec<Value> {
    let mut by_vendor: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows.into_iter().filter(is_usable) {
        by_vendor.entry(vendor(&row)).or_default().push(row);
    }
    let rank = |rows: &Vec<Value>| {
        (rows.first().is_some_and(|row| is_preferred(service, row)), rows.len())
    };
    // Of equals the last is taken, so the names are gone through backwards.
    let best = by_vendor.into_iter().rev().max_by_key(|(_, rows)| rank(rows));
    let mut seen = HashSet::new();
    let mut rows = best.map(|(_, rows)| rows).unwrap_or_default();
    rows.retain(|row| seen.insert((row["player_id"].to_string(), row["prop_type"].to_string())));
    rows
}

/// Whether a row is an over and under, or the one milestone that is a feat of its own.
fn is_usable(row: &Value) -> bool {
    match row.pointer("/market/type").and_then(Value::as_str) {
        Some("over_under") => true,
        Some("milestone") => text(row, "prop_type") == Some("anytime_td"),
        _ => false,
    }
}

/// Players by id: name, and team.
async fn players(
    context: &dyn Context,
    service: &Service,
    day: &Day,
    offers: impl Iterator<Item = &Value>,
) -> Result<BTreeMap<i64, Value>, StageError> {
    let ids: BTreeSet<i64> = offers.filter_map(|row| row.get("player_id")?.as_i64()).collect();
    let ids: Vec<(&str, String)> =
        ids.into_iter().map(|id| ("player_ids[]", id.to_string())).collect();
    let path = format!("/{}/v1/players", day.sport);
    let mut players = BTreeMap::new();
    // As many as fit into a page and into a URL that every server takes.
    for some in ids.chunks(PER_PAGE as usize) {
        let found = rows(context, service, &path, some).await?;
        players.extend(found.into_iter().filter_map(|row| Some((row.get("id")?.as_i64()?, row))));
    }
    Ok(players)
}

/// A row as `PropData`; `None` without a player's name or a line.
fn prop(row: &Value, game: &Game, players: &BTreeMap<i64, Value>) -> Option<Value> {
    let player = players.get(&row.get("player_id")?.as_i64()?)?;
    let names = [text(player, "first_name"), text(player, "last_name")];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let market = row.get("market")?;
    let is_milestone = market.get("type")?.as_str()? == "milestone";
    let mut prop = json!({
        "player_name": name,
        "team": team_of(player, game),
        "stat_type": text(row, "prop_type")?,
        "line": number(row.get("line_value"))?,
        "market": market.get("type")?,
    });
    let over = if is_milestone { "odds" } else { "over_odds" };
    let rest = [
        ("over_odds", market.get(over)),
        ("under_odds", market.get("under_odds")),
        ("vendor", row.get("vendor")),
        ("updated_at", row.get("updated_at")),
    ];
    for (field, value) in rest {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            prop[field] = value.clone();
        }
    }
    Some(prop)
}

/// The abbreviation of a player's team; empty where the row does not tell it.
fn team_of(player: &Value, game: &Game) -> String {
    let own = player.get("team").and_then(|team| text(team, "abbreviation")).map(str::to_uppercase);
    let by_id = || game.abbreviations.get(&player.get("team_id")?.as_i64()?).cloned();
    own.or_else(by_id).unwrap_or_default()
}
