//! What is asked of a source of games, and how its rows become matchups.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

/// The games that are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    /// One of the known sports, in lower case.
    pub(crate) sport: String,
    /// The day, as clocks in `zone` show it.
    pub(crate) date: Date,
    pub(crate) zone: TimeZone,
    /// The year in which the season began.
    pub(crate) season: u32,
    /// The week of the season, where the sport has weeks and it is known.
    pub(crate) week: Option<u32>,
}

impl Day {
    /// Whether a game that begins at this instant is one of the day.
    pub(crate) fn has(&self, start: Timestamp) -> bool {
        self.week.is_some() || Zoned::new(start, self.zone.clone()).date() == self.date
    }

    /// The instant with the offset of the day's zone.
    pub(crate) fn shown(&self, start: Timestamp) -> String {
        let zoned = Zoned::new(start, self.zone.clone());
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The id of a game: `{sport}_{season}_{w##|yyyymmdd}_{away}_{home}`.
    pub(crate) fn matchup_id(&self, week: Option<u32>, away: &str, home: &str) -> String {
        let when = match week {
            Some(week) => format!("w{week:02}"),
            None => self.date.strftime("%Y%m%d").to_string(),
        };
        let Self { sport, season, .. } = self;
        format!("{sport}_{season}_{when}_{}_{}", slug(away), slug(home))
    }

    /// A slate of these matchups.
    pub(crate) fn slate(&self, matchups: Vec<Value>) -> Value {
        let mut slate = json!({
            "date": self.date.to_string(),
            "timezone": self.zone.iana_name().unwrap_or("America/New_York"),
            "sport": self.sport,
            "season": self.season,
            "matchups": matchups,
        });
        if let Some(week) = self.week {
            slate["week"] = week.into();
        }
        slate
    }
}

/// Letters and digits in lower case.
fn slug(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// A number that some APIs write as text.
pub(crate) fn number(value: Option<&Value>) -> Option<f64> {
    let value = value?;
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n| n.is_finite())
}

/// Text that is not empty.
pub(crate) fn text<'a>(row: &'a Value, name: &str) -> Option<&'a str> {
    row.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}
