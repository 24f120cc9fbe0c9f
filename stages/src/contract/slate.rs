//! A day's games.

use std::collections::HashSet;

use flow_core::schema::{Fault, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{Contract, NormalizedMatchup, checks, ty};

/// All games of a day that can be worked on, and those that cannot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct Slate {
    /// Version of this record's form.
    #[serde(default = "first_version")]
    pub schema_version: u32,
    /// The day.
    #[validate(custom(function = "checks::date"))]
    pub date: String,
    /// IANA time zone of local times.
    #[validate(custom(function = "checks::present"))]
    pub timezone: String,
    /// The sport, where the slate has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "checks::sport"))]
    pub sport: Option<String>,
    /// Year in which the season began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u32>,
    /// Week of the season.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub week: Option<u32>,
    /// The games.
    pub matchups: Vec<NormalizedMatchup>,
    /// Games that were left out, and why.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
}

/// The version of records that say none.
pub(super) fn first_version() -> u32 {
    1
}

impl Contract for Slate {
    const NAME: &'static str = "Slate";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("schema_version", Type::Integer.optional()),
            ("date", Type::String),
            ("timezone", Type::String),
            ("sport", Type::String.optional()),
            ("season", Type::Integer.optional()),
            ("week", Type::Integer.optional()),
            ("matchups", ty::<NormalizedMatchup>().list()),
            ("skipped", ty::<Skipped>().list().optional()),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let mut seen = HashSet::new();
        let repeated = |(at, matchup): (usize, &NormalizedMatchup)| {
            let pointer = format!("/matchups/{at}/matchup_id");
            (!seen.insert(matchup.matchup_id.clone())).then(|| {
                Fault::warning(pointer, "an id that no other matchup has", "a repeated id")
            })
        };
        self.matchups.iter().enumerate().filter_map(repeated).collect()
    }

    fn normalize(&mut self) {
        self.sport.iter_mut().for_each(|sport| sport.make_ascii_lowercase());
        self.matchups.iter_mut().for_each(Contract::normalize);
    }
}

/// A game that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct Skipped {
    /// Id of the game.
    pub id: String,
    /// Why, as a sentence.
    pub reason: String,
}

impl Contract for Skipped {
    const NAME: &'static str = "Skipped";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![("id", Type::String), ("reason", Type::String)]
    }
}
