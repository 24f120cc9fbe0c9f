//! What is made on a day.

use flow_core::schema::{Fault, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::slate::first_version;
use super::{Contract, checks};

/// The plan of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct CalendarConfig {
    /// Version of this record's form.
    #[serde(default = "first_version")]
    pub schema_version: u32,
    /// The day.
    #[validate(custom(function = "checks::date"))]
    pub date: String,
    /// IANA time zone.
    #[validate(custom(function = "checks::present"))]
    pub timezone: String,
    /// The sport.
    #[validate(custom(function = "checks::sport"))]
    #[schemars(extend("enum" = checks::SPORTS))]
    pub sport: String,
    /// Year in which the season began.
    #[validate(range(min = 2000, code = "advice", message = "a season of 2000 or later"))]
    pub season: u32,
    /// `preseason`, `regular` or `postseason`.
    #[validate(custom(function = "checks::phase"))]
    #[schemars(extend("enum" = checks::PHASES))]
    pub phase: String,
    /// Week of the season.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(range(min = 1, max = 22, code = "advice", message = "a week from 1 to 22"))]
    pub week: Option<u32>,
    /// The preset that was asked for.
    pub preset_id: String,
    /// Layers that the preset uses, such as `L4`.
    pub layers: Vec<String>,
    /// Most games to work on.
    #[validate(range(min = 1, max = 20, code = "advice", message = "from 1 to 20 matchups"))]
    pub max_matchups: u32,
}

impl Contract for CalendarConfig {
    const NAME: &'static str = "CalendarConfig";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("schema_version", Type::Integer.optional()),
            ("date", Type::String),
            ("timezone", Type::String),
            ("sport", Type::String),
            ("season", Type::Integer),
            ("phase", Type::String),
            ("week", Type::Integer.optional()),
            ("preset_id", Type::String),
            ("layers", Type::String.list()),
            ("max_matchups", Type::Integer),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let known = |layer: &str| {
            layer.strip_prefix('L').is_some_and(|n| matches!(n.as_bytes(), [b'1'..=b'7']))
        };
        let unknown = |(at, layer): (usize, &String)| {
            (!known(layer))
                .then(|| Fault::warning(format!("/layers/{at}"), "a layer from L1 to L7", layer))
        };
        let mut faults: Vec<Fault> = self.layers.iter().enumerate().filter_map(unknown).collect();
        if jiff::tz::TimeZone::get(&self.timezone).is_err() {
            faults.push(Fault::warning(
                "/timezone",
                "a time zone such as America/New_York",
                &self.timezone,
            ));
        }
        faults
    }

    fn normalize(&mut self) {
        self.sport.make_ascii_lowercase();
    }
}

/// One piece to make: a game's, the whole slate's, or a promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct SegmentData {
    /// Id within the day.
    #[validate(custom(function = "checks::present"))]
    pub segment_id: String,
    /// What it is called.
    pub title: String,
    /// `matchup`, `slate` or `promo`.
    #[validate(custom(function = "checks::segment_kind"))]
    #[schemars(extend("enum" = checks::SEGMENT_KINDS))]
    pub kind: String,
    /// Day of the week, where the piece belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekday: Option<String>,
    /// The games it is about.
    pub matchup_ids: Vec<String>,
    /// How long it should be.
    #[validate(range(min = 6_000, max = 90_000, code = "advice", message = "from 6 s to 90 s"))]
    pub target_duration_ms: u64,
    /// How many slides it should have.
    #[validate(range(min = 1, max = 10, code = "advice", message = "from 1 to 10 slides"))]
    pub slides: u32,
}

impl Contract for SegmentData {
    const NAME: &'static str = "SegmentData";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("segment_id", Type::String),
            ("title", Type::String),
            ("kind", Type::String),
            ("weekday", Type::String.optional()),
            ("matchup_ids", Type::String.list()),
            ("target_duration_ms", Type::Integer),
            ("slides", Type::Integer),
        ]
    }
}
