//! BallDontLie, by its OpenAPI document of April 2026: NFL and NBA games, odds, player props, players,
//! teams and statistics, with pages.

use serde_json::{Value, json};

use super::games::{Game, games, props, team_of};
use super::server::{Api, Asked, Reply};

/// What the plan of the key allows, and how pages behave.
#[derive(Debug, Clone, Default)]
pub struct BallDontLie {
    /// How many games there are on any day.
    pub games: usize,
    /// Rows of a page at most, whatever is asked for; 0 for what is asked for.
    pub page: usize,
    /// Paths with this in them answer 401: the plan lacks them.
    pub lacks: Option<&'static str>,
    /// Whether the cursor of each page is the same.
    pub repeats: bool,
}

impl Api for BallDontLie {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        if asked.header("authorization") != Some("test-key") {
            return Reply::json(401, &json!({"error": "Unauthorized"}));
        }
        if self.lacks.is_some_and(|part| asked.path.contains(part)) {
            return Reply::new(401, "text/plain", "Unauthorized");
        }
        match self.rows(asked) {
            Some(rows) => self.page(asked, rows),
            None => Reply::json(404, &json!({"error": "Not found"})),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            429 => Reply::new(429, "text/plain", "Too many requests"),
            _ => Reply::json(status, &json!({"error": "Internal server error"})),
        }
    }
}

impl BallDontLie {
    fn rows(&self, asked: &Asked) -> Option<Vec<Value>> {
        let games = games(self.games);
        let nba = asked.path.starts_with("/nba/");
        let wanted = |game: &&Game| {
            let ids = [asked.params("game_ids"), asked.params("game_id")].concat();
            ids.contains(&game.id.to_string().as_str())
        };
        let rows = match asked.path.as_str() {
            "/nfl/v1/games" | "/nba/v1/games" => {
                let date = asked.params("dates").first().copied().unwrap_or("2025-12-28");
                games.iter().map(|game| row(game, date, nba)).collect()
            }
            "/nfl/v1/odds" | "/nba/v2/odds" => games.iter().filter(wanted).flat_map(odds).collect(),
            "/nfl/v1/odds/player_props" | "/nba/v2/odds/player_props" => {
                games.iter().filter(wanted).flat_map(offers).collect()
            }
            "/nfl/v1/players" | "/nba/v1/players" => {
                let ids = asked.params("player_ids");
                let all = games.iter().flat_map(players);
                all.filter(|row| ids.contains(&row["id"].to_string().as_str())).collect()
            }
            "/nfl/v1/teams" | "/nba/v1/teams" => {
                let teams = games.iter().flat_map(|game| [(game, true), (game, false)]);
                teams.map(|(game, home)| team(game, home, nba)).collect()
            }
            "/nfl/v1/stats" | "/nba/v1/stats" => games.iter().flat_map(stats).collect(),
            _ => return None,
        };
        Some(rows)
    }

    fn page(&self, asked: &Asked, rows: Vec<Value>) -> Reply {
        let asked_for = asked.param("per_page").and_then(|n| n.parse().ok()).unwrap_or(25_usize);
        let most = if self.page == 0 { asked_for.min(100) } else { self.page };
        let from: usize = asked.param("cursor").and_then(|n| n.parse().ok()).unwrap_or(0);
        let rest = rows.len().saturating_sub(from + most);
        let some: Vec<Value> = rows.into_iter().skip(from).take(most).collect();
        let mut meta = json!({"per_page": most});
        if self.repeats {
            meta["next_cursor"] = 7.into();
        } else if rest > 0 {
            meta["next_cursor"] = (from + most).into();
        }
        Reply::json(200, &json!({"data": some, "meta": meta}))
    }
}

fn team(game: &Game, home: bool, nba: bool) -> Value {
    let (full, city, name, short) = if home { game.home } else { game.away };
    let place = if nba { "city" } else { "location" };
    let mut team = json!({"id": game.id * 10 + i64::from(home), "conference": "AFC",
                          "division": "EAST", "name": name, "full_name": full,
                          "abbreviation": short});
    team[place] = city.into();
    team
}

fn row(game: &Game, date: &str, nba: bool) -> Value {
    let mut row = json!({
        "id": game.id, "season": 2025, "postseason": false, "status": "Scheduled",
        "home_team_score": null, "visitor_team_score": null,
        "home_team": team(game, true, nba), "visitor_team": team(game, false, nba),
    });
    let instant = format!("{date}T18:00:00.000Z");
    if nba {
        row["date"] = date.into();
        row["datetime"] = instant.into();
    } else {
        row["date"] = instant.into();
        row["week"] = 17.into();
        row["venue"] = "Sample Field".into();
    }
    row
}

fn odds(game: &Game) -> Vec<Value> {
    let full = json!({
        "id": game.id, "game_id": game.id, "vendor": "bookone", "updated_at": "2025-12-28T12:00:00Z",
        "spread_home_value": game.spread.to_string(), "spread_away_value": (-game.spread).to_string(),
        "total_value": game.total.to_string(), "spread_home_odds": -110, "spread_away_odds": -110,
        "moneyline_home_odds": -140, "moneyline_away_odds": 120,
        "total_over_odds": -110, "total_under_odds": -110,
    });
    let bare = json!({"id": game.id + 1, "game_id": game.id, "vendor": "abook",
                      "spread_home_value": null, "total_value": "99.5"});
    vec![bare, full]
}

fn offers(game: &Game) -> Vec<Value> {
    let over_under = props(game).into_iter().map(|(player, _, _, _, stat, line)| {
        json!({"id": player, "game_id": game.id, "player_id": player, "vendor": "bookone",
               "prop_type": stat, "line_value": line.to_string(),
               "market": {"type": "over_under", "over_odds": -112, "under_odds": -108},
               "updated_at": "2025-12-28T12:00:00Z"})
    });
    let milestone = props(game).into_iter().map(|(player, _, _, _, stat, line)| {
        json!({"id": player, "game_id": game.id, "player_id": player, "vendor": "bookone",
               "prop_type": stat, "line_value": (line + 40.0).to_string(),
               "market": {"type": "milestone", "odds": 240}})
    });
    over_under.chain(milestone).collect()
}

fn players(game: &Game) -> Vec<Value> {
    let player = |prop: super::games::Prop| {
        json!({"id": prop.0, "first_name": prop.1, "last_name": prop.2, "position": "QB",
               "team": {"abbreviation": team_of(game, &prop)}})
    };
    props(game).into_iter().map(player).collect()
}

fn stats(game: &Game) -> Vec<Value> {
    let row = |prop: super::games::Prop| {
        let mut row = json!({"player": {"id": prop.0, "first_name": prop.1, "last_name": prop.2},
                             "game": {"id": game.id, "season": 2025}});
        row[prop.4] = (prop.5 + 3.0).into();
        row
    };
    props(game).into_iter().map(row).collect()
}
