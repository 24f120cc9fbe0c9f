//! What is posted beside a video: headline, caption, hashtags; and short texts for slides.

use super::angle::Candidate;
use super::facts::feat;
use super::odds::{american, line, stat_name};
use crate::contract::NormalizedMatchup;

/// What every piece shows.
pub(in crate::media) const DISCLAIMER: &str =
    "21+ only. Entertainment, not advice. Gambling problem? Call 1-800-GAMBLER.";
/// Characters of a headline.
const LONGEST_HEADLINE: usize = 60;
/// Characters of a caption.
const LONGEST_CAPTION: usize = 2_200;

/// The pick in a few words: `over 262.5 passing yards`, `to score a touchdown`.
fn bet(c: &Candidate<'_>) -> String {
    if c.prop.is_milestone() {
        return feat(c.prop);
    }
    format!("{} {} {}", c.side(), line(c.prop.line), stat_name(&c.prop.stat_type))
}

/// One line that sells it: the player's surname takes over where the full name is too long.
pub(super) fn headline(c: &Candidate<'_>) -> String {
    let (name, bet) = (c.prop.player_name.as_str(), bet(c));
    let full = format!("{name} {bet}");
    if full.chars().count() <= LONGEST_HEADLINE {
        return full;
    }
    let surname = name.rsplit(' ').next().unwrap_or_default();
    let room = LONGEST_HEADLINE.saturating_sub(bet.chars().count() + 1);
    clipped(&format!("{} {bet}", clipped(surname, room.max(8))), LONGEST_HEADLINE)
}

/// The text to post: what it is about, the pick, why, a question, the disclaimer.
pub(super) fn caption(
    front: &str,
    c: &Candidate<'_>,
    game: &NormalizedMatchup,
    start: Option<&str>,
) -> String {
    let price = c.price().map(|odds| format!(" ({})", american(odds))).unwrap_or_default();
    let start = start.map(|start| format!("\n{start}")).unwrap_or_default();
    let ending = format!("\n\nYour pick? Tell us below.\n\n{DISCLAIMER}");
    let text = format!(
        "{front}: {} at {}.{start}\n\n{} {}{price}. {}.",
        game.away_team,
        game.home_team,
        c.prop.player_name,
        bet(c),
        c.angle.reason(),
    );
    clipped(&text, LONGEST_CAPTION - ending.chars().count()) + &ending
}

/// Tags for sport, teams and player, and two that find the format.
pub(super) fn hashtags(
    c: &Candidate<'_>,
    game: &NormalizedMatchup,
    teams: [&str; 2],
) -> Vec<String> {
    let tag = |text: &str| {
        let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
        format!("#{letters}")
    };
    let mut tags = vec![tag(&game.sport.to_uppercase())];
    tags.extend(teams.map(tag));
    tags.push(tag(&c.prop.player_name));
    tags.extend(["#playerprops", "#sports"].map(str::to_owned));
    tags
}

/// A text of at most so many characters, cut at a word where that leaves half of them.
pub(super) fn clipped(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let head: String = text.chars().take(longest.saturating_sub(1)).collect();
    let at_word = head.rfind(' ').filter(|at| *at * 2 >= head.len());
    let kept = at_word.map_or(head.as_str(), |at| &head[..at]);
    format!("{}…", kept.trim_end_matches([' ', ',', '.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_at_a_word_with_an_ellipsis() {
        assert_eq!(clipped("Josh Allen", 30), "Josh Allen");
        assert_eq!(clipped("Josh Allen over many yards", 20), "Josh Allen over…");
        assert_eq!(clipped("Papadopoulos-Featherstonehaugh", 12), "Papadopoulo…");
        assert_eq!(clipped("Ünïcödé names are cut by letters", 9).chars().count(), 8);
    }
}
