//! Angles: why a pick may be worth a look, argued from the market's own numbers alone.

use super::odds::{american, fair_over, implied, line, percent, spread};
use super::seed::Seed;
use crate::contract::{NormalizedMatchup, Pick, PropData};

/// A reason for a pick. Each holds only for some props of some games.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Angle {
    /// One side costs clearly more: the market leans.
    MarketLean,
    /// A high total: points need yards.
    Shootout,
    /// A low total: few drives.
    Grind,
    /// Underdogs trail, and who trails throws.
    ChasingGame,
    /// Favourites lead, and who leads runs.
    ClockKiller,
    /// The pick pays more than it costs.
    PlusMoney,
    /// Both sides cost nearly the same: the line itself is the argument.
    CoinFlip,
}

/// A pick and the reason for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) angle: Angle,
    pub(super) prop: &'a PropData,
    pub(super) over: bool,
}

impl Candidate<'_> {
    /// The pick as a record.
    pub(super) fn pick(&self) -> Pick {
        Pick {
            player_name: self.prop.player_name.clone(),
            stat_type: self.prop.stat_type.clone(),
            line: self.prop.line,
            side: self.side().into(),
        }
    }

    /// `over` or `under`.
    pub(super) fn side(&self) -> &'static str {
        if self.over { "over" } else { "under" }
    }

    /// The price of the pick's side.
    pub(super) fn price(&self) -> Option<i64> {
        if self.over { self.prop.over_odds } else { self.prop.under_odds }
    }

    /// The market's guess that the pick lands, in whole percent.
    pub(super) fn chance(&self) -> Option<u32> {
        let over = fair_over(self.prop.over_odds?, self.prop.under_odds?);
        Some(percent(if self.over { over } else { 1.0 - over }))
    }
}

impl Angle {
    const ALL: [Self; 7] = [
        Self::MarketLean,
        Self::Shootout,
        Self::Grind,
        Self::ChasingGame,
        Self::ClockKiller,
        Self::PlusMoney,
        Self::CoinFlip,
    ];

    /// Its name in records.
    pub(in crate::media) fn name(self) -> &'static str {
        match self {
            Self::MarketLean => "market lean",
            Self::Shootout => "shootout",
            Self::Grind => "low total",
            Self::ChasingGame => "chasing game",
            Self::ClockKiller => "clock killer",
            Self::PlusMoney => "plus money",
            Self::CoinFlip => "coin flip",
        }
    }

    /// Which side of a prop it speaks for, if it holds for that prop of that game.
    fn over_in(self, prop: &PropData, game: &NormalizedMatchup) -> Option<bool> {
        let total = game.over_under;
        let edge = edge_of(prop, game);
        let (over, under) = (prop.over_odds?, prop.under_odds?);
        let thrown =
            matches!(prop.stat_type.as_str(), "passing_yards" | "receiving_yards" | "receptions");
        let holds = match self {
            Self::MarketLean => {
                return (over.abs_diff(under) >= 10 || over.signum() != under.signum())
                    .then(|| fair_over(over, under) > 0.5);
            }
            Self::Shootout if thrown => (total? >= 46.5, true),
            Self::Grind => (total? <= 42.5, false),
            Self::ChasingGame if thrown => (edge? >= 3.0, true),
            Self::ClockKiller if prop.stat_type == "rushing_yards" => (edge? <= -3.0, true),
            Self::PlusMoney => (over.max(under) >= 100, over > under),
            Self::CoinFlip => {
                (fair_over(over, under).mul_add(2.0, -1.0).abs() < 0.03, over >= under)
            }
            _ => return None,
        };
        holds.0.then_some(holds.1)
    }

    /// Words for the front slide.
    pub(super) fn headline(self) -> &'static [&'static str] {
        match self {
            Self::MarketLean => {
                &["The market is leaning", "Follow the price", "One side costs more"]
            }
            Self::Shootout => &["Built for a shootout", "Points are coming", "Circle this total"],
            Self::Grind => &["Expect a grind", "Points will be scarce", "Think smaller today"],
            Self::ChasingGame => {
                &["They will have to throw", "Playing from behind", "Catch-up football"]
            }
            Self::ClockKiller => &["Ground and pound", "Run the clock", "Leaders run the ball"],
            Self::PlusMoney => {
                &["Plus money on the board", "The better price", "Paid more than even"]
            }
            Self::CoinFlip => &["A true coin flip", "Pick your side", "Too close to call?"],
        }
    }

    /// The argument, as it is spoken.
    pub(super) fn argument(self, c: &Candidate<'_>, game: &NormalizedMatchup) -> String {
        let side = c.side();
        let chance = c.chance().unwrap_or(50);
        let total = game.over_under.map(line).unwrap_or_default();
        let edge = edge_of(c.prop, game).map(|e| line(e.abs())).unwrap_or_default();
        let price = c.price().map(american).unwrap_or_default();
        let level = c.price().map_or(50, |odds| percent(implied(odds)));
        match self {
            Self::MarketLean => format!(
                "Take the margin out of the price, and the market says the {side} lands about \
                 {chance} times in a hundred."
            ),
            Self::Shootout => format!(
                "The game total is {total}. Points need yards, yards need volume, and volume is \
                 how an over gets there."
            ),
            Self::Grind => format!(
                "The game total is only {total}. Fewer points means fewer drives, and fewer drives \
                 means fewer chances."
            ),
            Self::ChasingGame => format!(
                "His team is getting {edge} points. Teams that trail throw more, and throwing more \
                 is how this number falls."
            ),
            Self::ClockKiller => format!(
                "His team is giving {edge} points. Teams with a lead run the clock, and running \
                 the clock means carries."
            ),
            Self::PlusMoney => format!(
                "The {side} pays {price}. It does not have to be likely, only likelier than \
                 {level} times in a hundred."
            ),
            Self::CoinFlip => format!(
                "The prices are almost level, so the number itself is the argument. A single big \
                 play decides the {side}."
            ),
        }
    }

    /// The argument in a few words, for a slide.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::MarketLean => "The price already leans",
            Self::Shootout => "High total, more volume",
            Self::Grind => "Low total, fewer drives",
            Self::ChasingGame => "Underdogs throw more",
            Self::ClockKiller => "Favorites run the clock",
            Self::PlusMoney => "Pays better than even",
            Self::CoinFlip => "Prices almost level",
        }
    }
}

/// Points that the player's team gets (positive) or gives (negative).
fn edge_of(prop: &PropData, game: &NormalizedMatchup) -> Option<f64> {
    let home_spread = game.vegas_spread?;
    let is = |team: &Option<crate::contract::TeamData>| {
        team.as_ref().is_some_and(|team| team.abbreviation == prop.team)
    };
    match (is(&game.home), is(&game.away)) {
        (true, false) => Some(home_spread),
        (false, true) => Some(-home_spread),
        _ => None,
    }
}

/// The spread with the favourite's abbreviation, such as `KC -3.5`.
pub(super) fn favourite(game: &NormalizedMatchup) -> Option<String> {
    let home_spread = game.vegas_spread?;
    let team = if home_spread <= 0.0 { game.home.as_ref() } else { game.away.as_ref() }?;
    Some(format!("{} {}", team.abbreviation, spread(-home_spread.abs())))
}

/// The pick that the seed chooses: first among the reasons that hold, then among their props.
pub(super) fn choose<'a>(game: &'a NormalizedMatchup, seed: &mut Seed) -> Option<Candidate<'a>> {
    let of = |angle: Angle| -> Vec<Candidate<'a>> {
        let candidate = |prop: &'a PropData| {
            angle.over_in(prop, game).map(|over| Candidate { angle, prop, over })
        };
        game.props.iter().filter_map(candidate).collect()
    };
    let reasons: Vec<Vec<Candidate<'a>>> =
        Angle::ALL.into_iter().map(of).filter(|found| !found.is_empty()).collect();
    let chosen = seed.choose(&reasons).and_then(|found| seed.clone().choose(found).copied());
    // A game whose props have no price for both sides still has a line to talk about.
    let plain = |prop| Candidate { angle: Angle::CoinFlip, prop, over: true };
    chosen.or_else(|| game.props.first().map(plain))
}
