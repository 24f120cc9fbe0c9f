//! What a game offers: teams, lines and props.

use flow_core::schema::{Fault, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use validator::Validate;

use super::{Contract, checks, ty};

/// A wager on one statistic of one player.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct PropData {
    /// Full name of the player.
    #[validate(custom(function = "checks::present"))]
    pub player_name: String,
    /// Abbreviation of the player's team; empty where it is unknown.
    #[validate(custom(function = "checks::abbreviation"))]
    pub team: String,
    /// Canonical name of the statistic, such as `passing_yards`.
    #[validate(custom(function = "checks::stat_type"))]
    pub stat_type: String,
    /// The number to go over or under.
    #[validate(custom(function = "checks::positive_line"))]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub line: f64,
    /// American odds of going over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "checks::american_odds"))]
    pub over_odds: Option<i64>,
    /// American odds of staying under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "checks::american_odds"))]
    pub under_odds: Option<i64>,
    /// `over_under` or `milestone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "checks::market"))]
    #[schemars(extend("enum" = ["over_under", "milestone", null]))]
    pub market: Option<String>,
    /// Who offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Since when it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl PropData {
    /// Whether it asks for one feat at one price, such as a touchdown, and has no under.
    #[must_use]
    pub fn is_milestone(&self) -> bool {
        self.market.as_deref() == Some("milestone") || self.stat_type == "anytime_td"
    }
}

impl Contract for PropData {
    const NAME: &'static str = "PropData";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("player_name", Type::String),
            ("team", Type::String),
            ("stat_type", Type::String),
            ("line", Type::Number),
            ("over_odds", Type::Integer.optional()),
            ("under_odds", Type::Integer.optional()),
            ("market", Type::String.optional()),
            ("vendor", Type::String.optional()),
            ("updated_at", Type::String.optional()),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let milestone = self.market.as_deref() == Some("milestone");
        if milestone && self.under_odds.is_some() {
            return vec![Fault::warning(
                "/under_odds",
                "no odds of staying under in a milestone market",
                "odds",
            )];
        }
        Vec::new()
    }
}

/// A team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct TeamData {
    /// Full name, such as `Buffalo Bills`.
    #[validate(custom(function = "checks::present"))]
    pub name: String,
    /// Two to four capital letters.
    #[validate(custom(function = "checks::abbreviation"))]
    pub abbreviation: String,
    /// Home city or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Conference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conference: Option<String>,
    /// Division.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub division: Option<String>,
    /// Main colour, such as `#00338D`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "checks::colour"))]
    pub primary_color: Option<String>,
    /// Second colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "checks::colour"))]
    pub secondary_color: Option<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Contract for TeamData {
    const NAME: &'static str = "TeamData";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("name", Type::String),
            ("abbreviation", Type::String),
            ("city", Type::String.optional()),
            ("conference", Type::String.optional()),
            ("division", Type::String.optional()),
            ("primary_color", Type::String.optional()),
            ("secondary_color", Type::String.optional()),
        ]
    }
}

/// A game and all that is offered on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct NormalizedMatchup {
    /// `{sport}_{season}_{w##|yyyymmdd}_{away}_{home}` in lower case.
    #[validate(custom(function = "checks::present"), custom(function = "checks::matchup_id"))]
    pub matchup_id: String,
    /// A known sport in lower case.
    #[validate(custom(function = "checks::sport"))]
    #[schemars(extend("enum" = checks::SPORTS))]
    pub sport: String,
    /// Full name of the visitors.
    #[validate(custom(function = "checks::present"))]
    pub away_team: String,
    /// Full name of the hosts.
    #[validate(custom(function = "checks::present"))]
    pub home_team: String,
    /// Kick-off; without an offset it is local to the slate's time zone.
    #[validate(custom(function = "checks::game_time"))]
    pub game_time: String,
    /// What is offered; never empty.
    #[validate(length(min = 1, message = "at least one prop"))]
    pub props: Vec<PropData>,
    /// Points that the hosts give (negative) or get (positive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(range(min = -60.0, max = 60.0, code = "advice", message = "a spread between -60 and 60"))]
    pub vegas_spread: Option<f64>,
    /// Total points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(range(exclusive_min = 0.0, code = "advice", message = "a total greater than 0"))]
    pub over_under: Option<f64>,
    /// The visitors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<TeamData>,
    /// The hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<TeamData>,
    /// Where the record came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Contract for NormalizedMatchup {
    const NAME: &'static str = "NormalizedMatchup";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("matchup_id", Type::String),
            ("sport", Type::String),
            ("away_team", Type::String),
            ("home_team", Type::String),
            ("game_time", Type::String),
            ("props", ty::<PropData>().list()),
            ("vegas_spread", Type::Number.optional()),
            ("over_under", Type::Number.optional()),
            ("away", ty::<TeamData>().optional()),
            ("home", ty::<TeamData>().optional()),
            ("source", Type::String.optional()),
            ("fetched_at", Type::String.optional()),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        if self.away_team == self.home_team {
            return vec![Fault::warning("/home_team", "another team than away_team", "the same")];
        }
        Vec::new()
    }

    fn normalize(&mut self) {
        self.sport.make_ascii_lowercase();
        self.matchup_id.make_ascii_lowercase();
    }
}
