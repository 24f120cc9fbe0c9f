//! Odds, lines and names as people say and write them.

use crate::contract::TeamData;

/// American odds with their sign: `-110`, `+105`.
pub(in crate::media) fn american(odds: i64) -> String {
    format!("{odds:+}")
}

/// A line or total without needless decimals: `275.5`, `48`.
pub(in crate::media) fn line(value: f64) -> String {
    format!("{value}")
}

/// A spread with its sign: `+4.5`, `-3`; a level one is `PK`.
pub(super) fn spread(value: f64) -> String {
    if value == 0.0 { "PK".into() } else { format!("{value:+}") }
}

/// The share of wins at which a price breaks even, from 0 to 1.
pub(in crate::media) fn implied(odds: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "odds are small")]
    let price = odds.abs() as f64;
    if odds < 0 { price / (price + 100.0) } else { 100.0 / (price + 100.0) }
}

/// The market's own guess for the over, with the bookmaker's margin taken out.
pub(super) fn fair_over(over: i64, under: i64) -> f64 {
    let (over, under) = (implied(over), implied(under));
    over / (over + under)
}

/// Whole percent of a share.
pub(in crate::media) fn percent(share: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let whole = (share.clamp(0.0, 1.0) * 100.0).round() as u32;
    whole
}

/// A statistic as people say it: `passing yards`.
pub(in crate::media) fn stat_name(stat: &str) -> String {
    match stat {
        "anytime_td" => "anytime touchdown".into(),
        "passing_tds" => "passing touchdowns".into(),
        "rushing_tds" => "rushing touchdowns".into(),
        other => other.replace('_', " "),
    }
}

/// One of what is counted: `point` of `points`.
pub(super) fn singular(counted: &str) -> &str {
    counted.strip_suffix('s').unwrap_or(counted)
}

/// The name that fans use: `Dolphins` of `Miami Dolphins`.
pub(in crate::media) fn team_nickname(full: &str, team: Option<&TeamData>) -> String {
    let city = team.and_then(|team| team.city.as_deref()).unwrap_or_default();
    let rest = full.strip_prefix(city).map(str::trim).filter(|rest| !rest.is_empty());
    let nickname = match rest {
        Some(rest) if !city.is_empty() => rest,
        _ => full.rsplit(' ').next().unwrap_or(full),
    };
    nickname.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_become_shares() {
        assert_eq!(percent(implied(-110)), 52);
        assert_eq!(percent(implied(150)), 40);
        assert_eq!(percent(fair_over(-110, -110)), 50);
        assert_eq!(percent(fair_over(-125, 105)), 53);
    }

    #[test]
    fn numbers_are_written_without_noise() {
        assert_eq!((american(-110).as_str(), american(105).as_str()), ("-110", "+105"));
        assert_eq!((line(275.5).as_str(), line(48.0).as_str()), ("275.5", "48"));
        assert_eq!(
            (spread(4.5).as_str(), spread(-3.0).as_str(), spread(0.0).as_str()),
            ("+4.5", "-3", "PK")
        );
    }

    #[test]
    fn nicknames_leave_the_city_out() {
        let team = |city: &str| TeamData {
            name: "any".into(),
            abbreviation: "ANY".into(),
            city: Some(city.into()),
            conference: None,
            division: None,
            primary_color: None,
            secondary_color: None,
            extra: serde_json::Map::new(),
        };
        assert_eq!(team_nickname("Miami Dolphins", None), "Dolphins");
        assert_eq!(team_nickname("Boston Red Sox", Some(&team("Boston"))), "Red Sox");
        assert_eq!(team_nickname("Arizona Cardinals", Some(&team("Phoenix"))), "Cardinals");
    }
}
