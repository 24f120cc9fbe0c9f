//! The pick in three short texts: a badge, a number, and what the number counts.

use super::Slide;
use crate::contract::PropData;
use crate::media::words::{american, feat, line, stat_name};

/// How a pick is shown.
pub(super) struct Bet {
    /// `OVER`, or `ANYTIME` for a feat.
    pub(super) badge: String,
    /// The line, or the price of a feat.
    pub(super) number: String,
    /// The statistic, or the feat.
    pub(super) label: String,
}

impl Bet {
    pub(super) fn of(slide: &Slide<'_>) -> Self {
        let pick = &slide.facts.idea.pick;
        match slide.picked_prop() {
            Some(prop) if prop.is_milestone() => Self::feat(prop),
            _ => Self {
                badge: pick.side.to_uppercase(),
                number: line(pick.line),
                label: stat_name(&pick.stat_type).to_uppercase(),
            },
        }
    }

    fn feat(prop: &PropData) -> Self {
        let least = line(prop.line.ceil());
        let badge = if prop.stat_type == "anytime_td" { "ANYTIME" } else { "MILESTONE" };
        Self {
            badge: badge.into(),
            number: prop.over_odds.map_or(least, american),
            label: feat(prop).to_uppercase(),
        }
    }
}
