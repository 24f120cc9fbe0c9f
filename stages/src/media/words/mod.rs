//! Words from numbers: names, odds, and the templates that make an idea of a prop.

mod angle;
mod odds;
mod script;
mod seed;

pub(super) use odds::{american, line, stat_name, team_nickname};
pub(super) use script::write;

/// Words per second of the offline voice at its usual rate, as heard in short sentences with
/// numbers, their pauses included.
pub(super) const WORDS_PER_SECOND: f64 = 2.65;
