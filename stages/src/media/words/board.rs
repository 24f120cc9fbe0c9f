//! Rows of slides: `name: value`, or a few words.

use super::angle::{Candidate, favourite};
use super::facts::feat;
use super::odds::{american, implied, line, percent, stat_name};
use super::post::clipped;
use crate::contract::{NormalizedMatchup, PropData};

/// Characters of a row.
const LONGEST_ROW: usize = 30;
/// Rows of a slide.
const MOST_ROWS: usize = 4;

/// Rows in order, each short enough, as many as a slide takes.
pub(super) fn rows(parts: impl IntoIterator<Item = Option<String>>) -> Vec<String> {
    parts.into_iter().flatten().map(|row| clipped(&row, LONGEST_ROW)).take(MOST_ROWS).collect()
}

/// What the pick costs.
pub(super) fn prices(prop: &PropData) -> Vec<String> {
    let name = if prop.is_milestone() { "Price" } else { "Over" };
    let over = prop.over_odds.map(|odds| format!("{name}: {}", american(odds)));
    let under = prop.under_odds.map(|odds| format!("Under: {}", american(odds)));
    rows([over, under])
}

/// Why the pick plays. `with_game`: no other slide tells of the game.
pub(super) fn reasons(c: &Candidate<'_>, game: &NormalizedMatchup, with_game: bool) -> Vec<String> {
    let chance = chance(c);
    let even = break_even(c);
    let spread = spread(game).filter(|_| with_game);
    let total = total(game).filter(|_| with_game);
    let price = price(c).filter(|_| !with_game);
    rows([Some(c.angle.reason().to_owned()), spread, total, price, chance, even])
}

/// What the market says of the game.
pub(super) fn market(game: &NormalizedMatchup) -> Vec<String> {
    let [first, second] = implied_totals(game).map_or([None, None], |teams| teams.map(Some));
    rows([spread(game), total(game), first, second])
}

/// What the pick costs, and what that means.
pub(super) fn costs(c: &Candidate<'_>) -> Vec<String> {
    let mut all = prices(c.prop);
    all.extend(chance(c));
    all.extend(break_even(c));
    rows(all.into_iter().map(Some))
}

/// Another prop of the game.
pub(super) fn other(prop: &PropData) -> Vec<String> {
    let number = (!prop.is_milestone())
        .then(|| format!("{}: {}", capitalized(&stat_name(&prop.stat_type)), line(prop.line)));
    let feat = prop.is_milestone().then(|| capitalized(&feat(prop)));
    let name = Some(prop.player_name.clone());
    rows([name, number, feat].into_iter().chain(prices(prop).into_iter().map(Some)))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    first + letters.as_str()
}

fn spread(game: &NormalizedMatchup) -> Option<String> {
    favourite(game).map(|text| format!("Spread: {text}"))
}

fn total(game: &NormalizedMatchup) -> Option<String> {
    game.over_under.map(|total| format!("Game total: {}", line(total)))
}

fn price(c: &Candidate<'_>) -> Option<String> {
    c.price().map(|odds| format!("Price: {}", american(odds)))
}

fn chance(c: &Candidate<'_>) -> Option<String> {
    c.chance().map(|share| format!("Fair chance of {}: {share}%", c.side()))
}

fn break_even(c: &Candidate<'_>) -> Option<String> {
    c.price().map(|odds| format!("Break-even: {}%", percent(implied(odds))))
}

/// Each team's share of the total, as spread and total imply it.
fn implied_totals(game: &NormalizedMatchup) -> Option<[String; 2]> {
    let (spread, total) = (game.vegas_spread?, game.over_under?);
    let (away, home) = (game.away.as_ref()?, game.home.as_ref()?);
    if spread.abs() >= total {
        return None;
    }
    let row = |name: &str, share: f64| format!("{name} implied: {}", line(share));
    let away = row(&away.abbreviation, (total + spread) / 2.0);
    let home = row(&home.abbreviation, (total - spread) / 2.0);
    Some([away, home])
}
