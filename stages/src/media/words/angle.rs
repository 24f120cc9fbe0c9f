//! Angles: why a pick may be worth a look, argued from the market's own numbers alone.

use super::odds::{fair_over, percent, spread};
use super::seed::Seed;
use crate::contract::{NormalizedMatchup, Pick, PropData, TeamData};

/// A reason for a pick. Each holds only for some props of some games.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Angle {
    /// One side costs clearly more: the market leans.
    MarketLean,
    /// A high total: points need chances.
    Shootout,
    /// A low total: few chances.
    Grind,
    /// Underdogs trail, and who trails throws.
    ChasingGame,
    /// Favourites lead, and who leads runs.
    ClockKiller,
    /// The pick pays more than it costs.
    PlusMoney,
    /// Both sides cost nearly the same: the line itself is the argument.
    CoinFlip,
    /// One feat at one price, such as a touchdown.
    Milestone,
    /// No price at all: there is only the number.
    Number,
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

    /// Points that the player's team gets (positive) or gives (negative).
    pub(super) fn edge(&self, game: &NormalizedMatchup) -> Option<f64> {
        edge_of(self.prop, game)
    }
}

impl Angle {
    const ALL: [Self; 8] = [
        Self::MarketLean,
        Self::Shootout,
        Self::Grind,
        Self::ChasingGame,
        Self::ClockKiller,
        Self::PlusMoney,
        Self::CoinFlip,
        Self::Milestone,
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
            Self::Milestone => "milestone",
            Self::Number => "number",
        }
    }

    /// Which side of a prop it speaks for, if it holds for that prop of that game.
    fn over_in(self, prop: &PropData, game: &NormalizedMatchup) -> Option<bool> {
        if prop.is_milestone() {
            return (self == Self::Milestone).then_some(true);
        }
        let edge = edge_of(prop, game);
        let (over, under) = (prop.over_odds?, prop.under_odds?);
        let stat = prop.stat_type.as_str();
        let holds = match self {
            Self::MarketLean => {
                let leans = over.abs_diff(under) >= 10 || over.signum() != under.signum();
                (leans, fair_over(over, under) > 0.5)
            }
            Self::Shootout if is_scoring(game, stat) => (game.over_under? >= totals(game)?.1, true),
            Self::Grind if is_scoring(game, stat) => (game.over_under? <= totals(game)?.0, false),
            Self::ChasingGame if is_football(game) && is_thrown(stat) => (edge? >= 3.0, true),
            Self::ClockKiller if is_football(game) && stat == "rushing_yards" => {
                (edge? <= -3.0, true)
            }
            Self::PlusMoney => (over.max(under) > 100, over > under),
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
            Self::Milestone => &["It only takes one", "One play is enough", "All or nothing"],
            Self::Number => &["The number to know", "One line, no noise", "Just the number"],
        }
    }

    /// The argument, as it is spoken: templates, of which each is one sentence.
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::MarketLean => &[
                "Take the margin out of the price, and the market has {player} going {side} {chance} times in a hundred.",
                "The shorter price is on {player} to go {side}, and the market puts that at {chance} percent.",
                "Both prices on {player} are on the board, and the {side} is the one that costs more.",
                "By the prices, the {side} on {player} is likelier.",
            ],
            Self::Shootout => &[
                "The total in {away} at {home} is {total}, and that many {unit} need volume, which is what {player} needs to go over.",
                "The market expects {total} {unit} from the {away} and the {home}, and that leaves {player} room to go over.",
                "A total of {total} points to a fast game between the {away} and the {home}, and {player} is in the middle of it.",
                "A high total means work for {player}.",
            ],
            Self::Grind => &[
                "The total in {away} at {home} is only {total}, and fewer {unit} usually mean fewer chances for {player}.",
                "The market expects just {total} {unit} from the {away} and the {home}, which makes {line} a lot to ask of {player}.",
                "At {total}, the market sees a slow game between the {away} and the {home}, and that points {player} to the under.",
                "A low total means less work for {player}.",
            ],
            Self::ChasingGame => &[
                "The {team} are getting {edge}, and teams that trail throw more, which is how {player} gets there.",
                "The {team} are underdogs by {edge}, so {player} may spend the second half catching up through the air.",
                "If the {team} play from behind, as a spread of {edge} suggests, the volume goes to {player}.",
                "Underdogs throw more, and {player} is on one.",
            ],
            Self::ClockKiller => &[
                "The {team} are giving {edge}, and teams with a lead run the clock, which means carries for {player}.",
                "Favorites by {edge} can afford to stay on the ground, and {player} runs for the {team}.",
                "If the {team} lead, as a spread of {edge} suggests, {player} can finish the game on the ground.",
                "Favorites run the ball, and {player} is on one.",
            ],
            Self::PlusMoney => &[
                "The {side} on {player} pays {price}, so it only has to land more than {even} times in a hundred.",
                "At {price}, {player} to go {side} breaks even at {even} percent.",
                "You are paid more than even money on {player} to go {side}, at {price}.",
                "On {player} the {side} pays more than even money.",
            ],
            Self::CoinFlip => &[
                "The two prices on {player} are almost level, so the number itself is the argument.",
                "With nearly the same price on both sides, one big play can decide {player} at {line}.",
                "The market calls {player} at {line} close to a coin flip, so take the side you believe in.",
                "The market calls {player} a coin flip.",
            ],
            Self::Milestone => &[
                "At {price}, {player} breaks even at {even} times in a hundred.",
                "There is no second half of this bet: {player} gets there or not, and it pays {price}.",
                "The market asks one thing of {player} and offers {price} for it.",
                "One play by {player} is enough.",
            ],
            Self::Number => &[
                "The board has {player} at {line} {stat} and names no price, so this is about the number alone.",
                "No price is up for {player} yet, only the number.",
                "The number on {player} stands by itself, without a price to lean on.",
                "There is only the number on {player}.",
            ],
        }
    }

    /// The argument in a few words, for a slide.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::MarketLean => "The price already leans",
            Self::Shootout => "High total, more volume",
            Self::Grind => "Low total, fewer chances",
            Self::ChasingGame => "Underdogs throw more",
            Self::ClockKiller => "Favorites run the clock",
            Self::PlusMoney => "Pays better than even",
            Self::CoinFlip => "Prices almost level",
            Self::Milestone => "One play is enough",
            Self::Number => "It is all in the number",
        }
    }
}

fn is_football(game: &NormalizedMatchup) -> bool {
    matches!(game.sport.as_str(), "nfl" | "ncaaf")
}

fn is_thrown(stat: &str) -> bool {
    matches!(stat, "passing_yards" | "receiving_yards" | "receptions")
}

/// Whether a statistic grows with the points of the game.
fn is_scoring(game: &NormalizedMatchup, stat: &str) -> bool {
    if is_football(game) {
        return is_thrown(stat);
    }
    matches!(
        stat,
        "points" | "threes" | "assists" | "goals" | "hits" | "runs" | "total_bases" | "rbis"
    )
}

/// Totals at and below which a game of the sport is slow, and at and above which it is fast.
fn totals(game: &NormalizedMatchup) -> Option<(f64, f64)> {
    Some(match game.sport.as_str() {
        "nfl" => (42.5, 46.5),
        "ncaaf" => (45.0, 58.0),
        "nba" => (216.0, 228.0),
        "ncaab" => (135.0, 152.0),
        "mlb" => (7.0, 9.5),
        "nhl" => (5.5, 6.5),
        _ => return None,
    })
}

/// Points that the player's team gets (positive) or gives (negative).
fn edge_of(prop: &PropData, game: &NormalizedMatchup) -> Option<f64> {
    let home_spread = game.vegas_spread?;
    let is =
        |team: &Option<TeamData>| team.as_ref().is_some_and(|team| team.abbreviation == prop.team);
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
/// Props that `is_taken` are left to others while there are any.
pub(super) fn choose<'a>(
    game: &'a NormalizedMatchup,
    is_taken: impl Fn(&PropData) -> bool,
    seed: &mut Seed,
) -> Option<Candidate<'a>> {
    let free: Vec<&PropData> = game.props.iter().filter(|prop| !is_taken(prop)).collect();
    let props = if free.is_empty() { game.props.iter().collect() } else { free };
    let of = |angle: Angle| -> Vec<Candidate<'a>> {
        let candidate = |prop: &&'a PropData| {
            angle.over_in(prop, game).map(|over| Candidate { angle, prop, over })
        };
        props.iter().filter_map(candidate).collect()
    };
    let reasons: Vec<Vec<Candidate<'a>>> =
        Angle::ALL.into_iter().map(of).filter(|found| !found.is_empty()).collect();
    let chosen = seed.choose(&reasons).and_then(|found| seed.clone().choose(found).copied());
    // A game whose props have no price for both sides still has a line to talk about.
    chosen.or_else(|| props.first().map(|prop| plain(prop)))
}

/// A pick without a reason in the prices: on the side that has one, if any.
fn plain(prop: &PropData) -> Candidate<'_> {
    let over = prop.over_odds.is_some() || prop.under_odds.is_none();
    Candidate { angle: Angle::Number, prop, over }
}
