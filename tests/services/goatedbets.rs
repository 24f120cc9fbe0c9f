//! GoatedBets, by the contract in the project's own documentation: the service publishes none.

use serde_json::{Value, json};

use super::games::{Game, games, props, team_of};
use super::server::{Api, Asked, Reply};

#[derive(Debug, Clone, Default)]
pub struct GoatedBets {
    /// How many games there are on any day and in any week.
    pub games: usize,
    /// Whether props and odds are asked for apart from the matchups.
    pub apart: bool,
    /// Whether its matchups have no props at all.
    pub bare: bool,
}

impl Api for GoatedBets {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        if asked.header("authorization") != Some("Bearer test-key") {
            return Reply::json(401, &json!({"error": {"code": "unauthorized", "message": "no"}}));
        }
        let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            [sport, "week", week] => self.list(sport, &format!("w{week:0>2}"), "2025-12-28"),
            [sport, "date", date] => self.list(sport, &date.replace('-', ""), date),
            ["matchups", id, what] => self.part(id, what),
            _ => unknown(),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        let code = if status == 429 { "rate_limited" } else { "internal" };
        Reply::json(status, &json!({"error": {"code": code, "message": "try again"}}))
    }
}

fn unknown() -> Reply {
    Reply::json(404, &json!({"error": {"code": "not_found", "message": "unknown"}}))
}

impl GoatedBets {
    fn list(&self, sport: &str, when: &str, date: &str) -> Reply {
        if self.games == 0 {
            return unknown();
        }
        let matchups = games(self.games).into_iter().map(|game| {
            let mut row = json!({
                "matchup_id": id(sport, when, &game), "sport": sport.to_uppercase(),
                "away_team": game.away.0, "home_team": game.home.0,
                "game_time": format!("{date}T18:00:00Z"),
            });
            if self.bare {
                row["props"] = json!([]);
            } else if !self.apart {
                row["props"] = offers(&game);
                row["vegas_spread"] = game.spread.into();
                row["over_under"] = game.total.into();
            }
            row
        });
        let matchups: Vec<Value> = matchups.collect();
        Reply::json(
            200,
            &json!({"season": 2025, "generated_at": "2025-12-28T10:00:00Z",
                                 "matchups": matchups}),
        )
    }

    fn part(&self, wanted: &str, what: &str) -> Reply {
        let found = games(self.games).into_iter().find(|game| wanted.ends_with(&end(game)));
        match (found, what) {
            (Some(game), "props") => Reply::json(200, &json!({"props": offers(&game)})),
            (Some(game), "odds") => Reply::json(
                200,
                &json!({"vegas_spread": game.spread, "over_under": game.total, "as_of": "x"}),
            ),
            _ => unknown(),
        }
    }
}

fn end(game: &Game) -> String {
    format!("_{}_{}", game.away.3.to_lowercase(), game.home.3.to_lowercase())
}

fn id(sport: &str, when: &str, game: &Game) -> String {
    format!("{sport}_2025_{when}{}", end(game))
}

fn offers(game: &Game) -> Value {
    let offer = |prop: super::games::Prop| {
        json!({"player_name": format!("{} {}", prop.1, prop.2), "team": team_of(game, &prop),
               "stat_type": prop.4, "line": prop.5, "over_odds": -115, "under_odds": -105,
               "market": "over_under"})
    };
    props(game).into_iter().map(offer).collect()
}
