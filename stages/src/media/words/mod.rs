//! Words from numbers: names, odds, and the templates that make an idea of a prop.

mod angle;
mod board;
mod day;
mod facts;
mod length;
mod odds;
mod phrases;
mod post;
mod script;
mod seed;
#[cfg(test)]
mod tests;

pub(super) use day::Day;
pub(super) use facts::{feat, start};
pub(super) use length::{check_length, target_words};
pub(super) use odds::{american, implied, line, percent, stat_name, team_nickname};
pub(super) use post::DISCLAIMER;
pub(super) use script::{idea_id, write};

/// Words per second of the offline voice at its usual rate, as heard in short sentences with
/// numbers, their pauses included.
pub(super) const WORDS_PER_SECOND: f64 = 2.65;
