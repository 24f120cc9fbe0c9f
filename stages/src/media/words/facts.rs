//! What may be said of a pick: facts of the slate under the names that templates use.

use super::angle::Candidate;
use super::day::Phrase;
use super::odds::{american, implied, line, percent, singular, stat_name, team_nickname};
use crate::contract::{NormalizedMatchup, PropData};

/// Facts by name; one that the slate does not tell is `None`, and no sentence can use it.
#[derive(Debug, Clone)]
pub(super) struct Facts(Vec<(&'static str, Option<String>)>);

impl Facts {
    /// The facts of a pick and its game.
    pub(super) fn of(c: &Candidate<'_>, game: &NormalizedMatchup, zone: &str) -> Self {
        let prop = c.prop;
        let is_feat = prop.is_milestone();
        let number = (!is_feat).then(|| line(prop.line));
        let side = (!is_feat).then(|| c.side().to_owned());
        let other = side.as_ref().map(|_| if c.over { "under" } else { "over" }.to_owned());
        let other_odds = if c.over { prop.under_odds } else { prop.over_odds };
        let (favourite, underdog) = match game.vegas_spread {
            Some(spread) if spread < 0.0 => (Some(home(game)), Some(away(game))),
            Some(spread) if spread > 0.0 => (Some(away(game)), Some(home(game))),
            _ => (None, None),
        };
        let unit = unit_of(&game.sport);
        let start = Start::of(&game.game_time, zone);
        Self(vec![
            ("away", Some(away(game))),
            ("home", Some(home(game))),
            ("player", Some(prop.player_name.clone())),
            ("team", team_of(prop, game)),
            ("feat", is_feat.then(|| feat(prop))),
            ("stat", (!is_feat).then(|| stat_name(&prop.stat_type))),
            ("line", number),
            ("side", side),
            ("other", other),
            ("price", c.price().map(american)),
            ("other_price", other_odds.map(american)),
            ("chance", c.chance().map(|share| share.to_string())),
            ("even", c.price().map(|odds| percent(implied(odds)).to_string())),
            ("total", game.over_under.map(line)),
            ("unit", Some(unit.to_owned())),
            ("edge", c.edge(game).map(|edge| counted(edge.abs(), unit))),
            ("spread", favourite.as_ref().and(game.vegas_spread).map(|s| counted(s.abs(), unit))),
            ("favourite", favourite),
            ("underdog", underdog),
            ("weekday", start.as_ref().map(|start| start.weekday.clone())),
            ("clock", start.map(|start| start.clock)),
        ])
    }

    /// The facts of another prop of the game: of the pick's, only those that are the game's.
    pub(super) fn of_other(prop: &PropData, game: &NormalizedMatchup) -> Self {
        let is_feat = prop.is_milestone();
        Self(vec![
            ("away", Some(away(game))),
            ("home", Some(home(game))),
            ("player", Some(prop.player_name.clone())),
            ("team", team_of(prop, game)),
            ("feat", is_feat.then(|| feat(prop))),
            ("stat", (!is_feat).then(|| stat_name(&prop.stat_type))),
            ("line", (!is_feat).then(|| line(prop.line))),
            ("price", prop.over_odds.map(american)),
            ("other_price", prop.under_odds.map(american)),
        ])
    }

    /// A template with every `{name}` replaced; `None` if a fact is not known.
    pub(super) fn fill(&self, template: &str) -> Option<String> {
        let mut filled = String::with_capacity(template.len() * 2);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}')?;
            filled.push_str(before);
            filled.push_str(self.get(name)?);
            rest = tail;
        }
        filled.push_str(rest);
        Some(filled)
    }

    /// All of the templates whose facts are known, with their sentences.
    pub(super) fn fill_all(&self, templates: &[&'static str]) -> Vec<Phrase> {
        let phrase =
            |template: &&'static str| self.fill(template).map(|text| Phrase { template, text });
        templates.iter().filter_map(phrase).collect()
    }

    /// Whether a text tells this fact, or the fact is not known and cannot be told at all.
    pub(super) fn tells(&self, text: &str, name: &str) -> bool {
        let Some(fact) = self.get(name) else { return true };
        let word = |word: &str| word.trim_end_matches(['.', ',', '?', '!', ':']) == fact;
        fact.contains(' ') && text.contains(fact) || text.split_whitespace().any(word)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name)?.1.as_deref()
    }
}

fn away(game: &NormalizedMatchup) -> String {
    team_nickname(&game.away_team, game.away.as_ref())
}

fn home(game: &NormalizedMatchup) -> String {
    team_nickname(&game.home_team, game.home.as_ref())
}

fn team_of(prop: &PropData, game: &NormalizedMatchup) -> Option<String> {
    let is = |team: &Option<crate::contract::TeamData>| {
        team.as_ref().is_some_and(|team| team.abbreviation == prop.team)
    };
    if is(&game.home) { Some(home(game)) } else { is(&game.away).then(|| away(game)) }
}

/// What a team or a total is counted in.
fn unit_of(sport: &str) -> &'static str {
    match sport {
        "mlb" => "runs",
        "nhl" => "goals",
        _ => "points",
    }
}

fn counted(amount: f64, unit: &str) -> String {
    let is_one = (amount - 1.0).abs() < f64::EPSILON;
    let unit = if is_one { singular(unit) } else { unit };
    format!("{} {unit}", line(amount))
}

/// What a milestone asks for: `to score a touchdown`, `to get at least 25 points`.
pub(in crate::media) fn feat(prop: &PropData) -> String {
    if prop.stat_type == "anytime_td" {
        return "to score a touchdown".into();
    }
    let stat = stat_name(&prop.stat_type);
    let least = prop.line.ceil();
    let stat = if least > 1.0 { stat.as_str() } else { singular(&stat) };
    format!("to get at least {} {stat}", line(least))
}

/// When a game starts, such as `Sun, Jan 5, 1:00 PM EST`; `None` where the time cannot be read.
pub(in crate::media) fn start(time: &str, zone: &str) -> Option<String> {
    Start::of(time, zone).map(|start| start.written)
}

/// When a game starts, as people say it.
pub(super) struct Start {
    weekday: String,
    clock: String,
    /// Such as `Sun, Jan 5, 1:00 PM EST`.
    pub(super) written: String,
}

impl Start {
    pub(super) fn of(time: &str, zone: &str) -> Option<Self> {
        let zone = jiff::tz::TimeZone::get(zone).ok()?;
        let zoned = match time.parse::<jiff::Timestamp>() {
            Ok(instant) => instant.to_zoned(zone),
            Err(_) => time.parse::<jiff::civil::DateTime>().ok()?.to_zoned(zone).ok()?,
        };
        let clock = if zoned.minute() == 0 { "%-I %p" } else { "%-I:%M %p" };
        Some(Self {
            weekday: zoned.strftime("%A").to_string(),
            clock: zoned.strftime(clock).to_string(),
            written: zoned.strftime("%a, %b %-d, %-I:%M %p %Z").to_string(),
        })
    }
}
