//! Words from numbers: names, odds, and the templates that make an idea of a prop.

mod angle;
mod odds;
mod script;
mod seed;

pub(super) use odds::{american, line, stat_name, team_nickname};
pub(super) use script::write;

/// Words per second of the offline voice at its usual rate.
pub(super) const WORDS_PER_SECOND: f64 = 3.1;
