//! The Odds API, by its documentation of version 4.

use serde_json::{Value, json};

use super::games::{Game, games, props};
use super::server::{Api, Asked, Reply};

#[derive(Debug, Clone, Default)]
pub struct OddsApi {
    /// How many games there are.
    pub games: usize,
    /// The day of all of them.
    pub date: String,
    /// Whether the quota of the key is used up.
    pub exhausted: bool,
}

impl Api for OddsApi {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        let refused = |code: &str, message: &str| {
            let details = "https://the-odds-api.com/liveapi/guides/v4/api-error-codes.html";
            Reply::json(
                401,
                &json!({"message": message, "error_code": code, "details_url": details}),
            )
        };
        match asked.param("apiKey") {
            None => return refused("MISSING_KEY", "API key is missing"),
            Some("test-key") => {}
            Some(_) => return refused("INVALID_KEY", "API key is not valid"),
        }
        if self.exhausted {
            return refused("OUT_OF_USAGE_CREDITS", "Usage quota has been reached");
        }
        let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        let reply = match parts.as_slice() {
            ["v4", "sports", sport, "odds"] => {
                let all = games(self.games);
                Reply::json(200, &all.iter().map(|game| self.event(sport, game)).collect())
            }
            ["v4", "sports", sport, "events", id, "odds"] => self.props(sport, id),
            _ => Reply::json(404, &json!({"message": "Not found"})),
        };
        reply.header("x-requests-remaining", 480).header("x-requests-last", 3)
    }

    fn failure(&self, status: u16) -> Reply {
        let code = if status == 429 { "EXCEEDED_FREQ_LIMIT" } else { "INTERNAL" };
        Reply::json(status, &json!({"message": "Request failed", "error_code": code}))
    }
}

impl OddsApi {
    fn head(&self, sport: &str, game: &Game) -> Value {
        json!({"id": format!("ev-{}", game.id), "sport_key": sport,
               "commence_time": format!("{}T18:00:00Z", self.date),
               "home_team": game.home.0, "away_team": game.away.0})
    }

    fn event(&self, sport: &str, game: &Game) -> Value {
        let mut event = self.head(sport, game);
        event["bookmakers"] = json!([{"key": "bookone", "title": "Book One", "markets": [
            {"key": "spreads", "outcomes": [
                {"name": game.home.0, "price": -110, "point": game.spread},
                {"name": game.away.0, "price": -110, "point": -game.spread}]},
            {"key": "totals", "outcomes": [
                {"name": "Over", "price": -110, "point": game.total},
                {"name": "Under", "price": -110, "point": game.total}]}]}]);
        event
    }

    fn props(&self, sport: &str, id: &str) -> Reply {
        let all = games(self.games);
        let Some(game) = all.iter().find(|game| format!("ev-{}", game.id) == id) else {
            return Reply::json(404, &json!({"message": "Event not found"}));
        };
        let market = |(_, first, last, _, stat, line): super::games::Prop| {
            let player = format!("{first} {last}");
            let key =
                if stat == "passing_yards" { "player_pass_yds" } else { "player_reception_yds" };
            json!({"key": key, "last_update": "2025-12-28T12:00:00Z", "outcomes": [
                {"name": "Over", "description": player, "price": -112, "point": line},
                {"name": "Under", "description": player, "price": -108, "point": line}]})
        };
        let markets: Vec<Value> = props(game).into_iter().map(market).collect();
        let mut event = self.head(sport, game);
        event["bookmakers"] = json!([{"key": "bookone", "title": "Book One", "markets": markets}]);
        Reply::json(200, &event)
    }
}
