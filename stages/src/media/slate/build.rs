//! A slate from matchups, wherever they come from: each is normalized, held to its contract, and kept
//! or left out with a reason.

use std::collections::{BTreeSet, HashSet};

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::schema::{Severity, Type, validate};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde_json::{Map, Value};

use crate::contract::{self, NormalizedMatchup, SPORTS};

/// The time zone of slates that name none.
pub(super) const DEFAULT_ZONE: &str = "America/New_York";
/// What a matchup's `source` says when its dates may be moved.
const RECORDED: &str = "recorded";

pub(super) fn refused(message: impl Into<String>) -> StageError {
    StageError::new(ErrorClass::Validation, "read the slate", message)
        .kind(ErrorKind::Validation)
        .hint("give a slate with at least one matchup that has props: --param slate=FILE")
}

/// What is known about the day before any matchup is looked at.
struct Day {
    date: Date,
    zone: TimeZone,
    sport: Option<String>,
    /// Days from the recorded day to the wanted one.
    shift: i64,
}

/// A slate, and what a person should know of it.
#[derive(Debug)]
pub(in crate::media) struct Built {
    pub(in crate::media) slate: Value,
    /// Games of the wanted sport that were left out, as sentences.
    pub(super) warnings: Vec<String>,
}

/// A game that is left out.
struct Left {
    id: String,
    reason: Reason,
}

enum Reason {
    /// It is of this sport, and that one is asked for.
    OtherSport { own: String, wanted: String },
    /// Its record has a fault.
    Fault(String),
    /// A game before it has the same id.
    Repeated,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherSport { own, wanted } => {
                write!(f, "it is {own}, and {wanted} is asked for")
            }
            Self::Fault(fault) => f.write_str(fault),
            Self::Repeated => f.write_str("its id is repeated"),
        }
    }
}

/// Builds the slate of `date` from a parsed file.
pub(in crate::media) fn build(
    file: Value,
    date: Date,
    sport: Option<&str>,
) -> Result<Built, StageError> {
    let (mut head, matchups) = split(file)?;
    let name = head.get("timezone").and_then(Value::as_str).unwrap_or(DEFAULT_ZONE).to_owned();
    let zone = TimeZone::get(&name)
        .map_err(|e| refused(format!("{name} is no known time zone")).cause(e))?;
    let recorded = head.get("date").and_then(Value::as_str).and_then(|d| d.parse::<Date>().ok());
    let recorded = recorded.or_else(|| first_day(&matchups, &zone)).unwrap_or(date);
    let shift = recorded
        .until(date)
        .map_err(|e| refused("the slate's date is out of range").cause(e))?
        .get_days();
    let day = Day { date, zone, sport: sport.map(str::to_owned), shift: i64::from(shift) };
    let moved = matchups.iter().all(is_recorded);
    let (kept, left) = sort_out(matchups, &day);
    if kept.is_empty() {
        return Err(nothing_left(&left, sport));
    }
    let warnings = left.iter().filter(|left| !left.is_of_other_sport()).take(MOST_TOLD);
    let warnings = warnings.map(|left| format!("left out {left}")).collect();
    let skipped = left
        .iter()
        .map(|left| serde_json::json!({"id": left.id, "reason": left.reason.to_string()}));
    let skipped: Vec<Value> = skipped.collect();
    let shown = if moved { day.date } else { recorded };
    head.insert("schema_version".into(), 1.into());
    head.insert("date".into(), shown.to_string().into());
    head.insert("timezone".into(), name.into());
    head.insert("matchups".into(), kept.into());
    head.insert("skipped".into(), skipped.into());
    Ok(Built { slate: Value::Object(head), warnings })
}

/// The slate's own fields, and its matchups.
fn split(file: Value) -> Result<(Map<String, Value>, Vec<Value>), StageError> {
    match file {
        Value::Array(matchups) => Ok((Map::new(), matchups)),
        Value::Object(mut head) => match head.remove("matchups") {
            Some(Value::Array(matchups)) => Ok((head, matchups)),
            None if head.contains_key("matchup_id") => Ok((Map::new(), vec![Value::Object(head)])),
            _ => Err(refused("the slate has no list of matchups")),
        },
        _ => Err(refused("the slate is neither an object nor a list")),
    }
}

fn first_day(matchups: &[Value], zone: &TimeZone) -> Option<Date> {
    let times = matchups.iter().filter_map(|m| m.get("game_time").and_then(Value::as_str));
    times.filter_map(|time| local(time, zone)).map(|time| time.date()).min()
}

fn is_recorded(matchup: &Value) -> bool {
    matchup.get("source").and_then(Value::as_str) == Some(RECORDED)
}

/// Normalizes every matchup and parts those that can be used from those that cannot.
fn sort_out(matchups: Vec<Value>, day: &Day) -> (Vec<Value>, Vec<Left>) {
    let ty = contract::ty::<NormalizedMatchup>();
    let (mut kept, mut left) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (at, matchup) in matchups.into_iter().enumerate() {
        let matchup = normalized(matchup, day);
        let id = matchup.get("matchup_id").and_then(Value::as_str).unwrap_or_default();
        let id = if id.is_empty() { format!("matchup {at}") } else { id.to_owned() };
        match reason_to_skip(&matchup, &ty, day, seen.contains(&id)) {
            Some(reason) => left.push(Left { id, reason }),
            None => {
                seen.insert(id);
                kept.push(matchup);
            }
        }
    }
    (kept, left)
}

fn reason_to_skip(matchup: &Value, ty: &Type, day: &Day, is_repeated: bool) -> Option<Reason> {
    let own = matchup.get("sport").and_then(Value::as_str).filter(|own| SPORTS.contains(own));
    if let (Some(wanted), Some(own)) = (&day.sport, own)
        && wanted != own
    {
        return Some(Reason::OtherSport { own: own.to_owned(), wanted: wanted.clone() });
    }
    let faults = validate(ty, matchup);
    if let Some(fault) = faults.iter().find(|f| f.severity == Severity::Error) {
        let place = if fault.pointer.is_empty() { "the matchup" } else { &fault.pointer };
        let told = format!("{place}: expected {}, found {}", fault.expected, fault.found);
        return Some(Reason::Fault(told));
    }
    is_repeated.then_some(Reason::Repeated)
}

/// A matchup with sport and id in lower case and its time with an offset. Whatever cannot be
/// normalized stays as it is, for the validator to name.
fn normalized(mut matchup: Value, day: &Day) -> Value {
    let recorded = is_recorded(&matchup);
    let Some(map) = matchup.as_object_mut() else { return matchup };
    for name in ["sport", "matchup_id"] {
        if let Some(Value::String(text)) = map.get_mut(name) {
            *text = text.trim().to_ascii_lowercase();
        }
    }
    if let Some(Value::String(time)) = map.get_mut("game_time")
        && let Some(moved) = game_time(time, day, recorded)
    {
        *time = moved;
    }
    matchup
}

fn game_time(time: &str, day: &Day, recorded: bool) -> Option<String> {
    let shift = if recorded { day.shift } else { 0 };
    let local = local(time, &day.zone)?.checked_add(shift.days()).ok()?;
    let zoned = local.to_zoned(day.zone.clone()).ok()?;
    Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// A time as clocks in the zone show it; one without an offset is local already.
fn local(time: &str, zone: &TimeZone) -> Option<DateTime> {
    match time.parse::<Timestamp>() {
        Ok(instant) => Some(Zoned::new(instant, zone.clone()).datetime()),
        Err(_) => time.parse().ok(),
    }
}

/// Games that are told one by one; the others are in the slate alone.
const MOST_TOLD: usize = 20;

impl Left {
    fn is_of_other_sport(&self) -> bool {
        matches!(self.reason, Reason::OtherSport { .. })
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.id, self.reason)
    }
}

fn nothing_left(left: &[Left], sport: Option<&str>) -> StageError {
    let of = sport.map_or_else(String::new, |sport| format!(" of {sport}"));
    let mut error = refused(format!("the slate has no matchup{of} that can be used"));
    let others: BTreeSet<&str> = left
        .iter()
        .filter_map(|left| match &left.reason {
            Reason::OtherSport { own, .. } => Some(own.as_str()),
            _ => None,
        })
        .collect();
    if !others.is_empty() {
        let others: Vec<&str> = others.into_iter().collect();
        error = error.hint(format!(
            "it has games of {}: ask for that sport with --param sport=…, or give another slate \
             with --param slate=FILE",
            others.join(" and ")
        ));
    }
    left.iter().take(MOST_TOLD).fold(error, StageError::cause)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::super::parse;
    use super::*;
    use crate::contract::Slate;

    const DAY: Date = jiff::civil::date(2025, 11, 23);

    fn matchup(changes: Value) -> Value {
        let mut matchup = json!({
            "matchup_id": "nfl_2025_w18_buf_mia", "sport": "nfl",
            "away_team": "Buffalo Bills", "home_team": "Miami Dolphins",
            "game_time": "2025-01-05T13:00:00",
            "props": [{"player_name": "Josh Allen", "team": "BUF", "stat_type": "passing_yards",
                       "line": 275.5, "over_odds": -110, "under_odds": -110}]
        });
        let map = matchup.as_object_mut().expect("an object");
        map.extend(changes.as_object().expect("an object").clone());
        matchup
    }

    fn slate(matchups: Value) -> Value {
        build(matchups, DAY, Some("nfl")).expect("a slate").slate
    }

    #[test]
    fn one_matchup_alone_is_a_slate_and_keeps_its_own_day() {
        let slate = slate(matchup(json!({})));
        assert_eq!(slate["date"], "2025-01-05");
        assert_eq!(slate["timezone"], "America/New_York");
        assert_eq!(slate["matchups"][0]["game_time"], "2025-01-05T13:00:00-05:00");
    }

    #[test]
    fn recorded_games_move_to_the_day_and_keep_the_clock_time_across_a_change_of_clocks() {
        let recorded = json!({"source": "recorded", "game_time": "2025-07-06T13:00:00"});
        let slate = slate(json!([matchup(recorded)]));
        assert_eq!(slate["date"], "2025-11-23");
        assert_eq!(slate["matchups"][0]["game_time"], "2025-11-23T13:00:00-05:00");
    }

    #[test]
    fn a_sport_in_capitals_becomes_lower_case() {
        let slate = slate(json!([matchup(json!({"sport": "NFL"}))]));
        assert_eq!(slate["matchups"][0]["sport"], "nfl");
    }

    #[test]
    fn unknown_fields_are_kept() {
        let slate = slate(json!([matchup(json!({"weather": "snow"}))]));
        assert_eq!(slate["matchups"][0]["weather"], "snow");
    }

    #[test]
    fn matchups_that_cannot_be_used_are_skipped_with_a_reason() {
        let cases = [
            (json!({"props": []}), "/props: expected at least one prop, found a list of 0", 1),
            (json!({"sport": "nba"}), "it is nba, and nfl is asked for", 0),
            (
                json!({"sport": "cricket"}),
                "/sport: expected a known sport: nfl, nba, mlb, nhl, ncaaf or ncaab, found the string \"cricket\"",
                1,
            ),
            (
                json!({"props": [{"player_name": "Josh Allen", "team": "BUF",
                                  "stat_type": "passing_yards", "line": -275.5}]}),
                "/props/0/line: expected a line greater than 0, found the number -275.5",
                1,
            ),
            (
                json!({"game_time": "kick-off"}),
                "/game_time: expected a date and time such as 2025-01-05T13:00:00 or with an offset, found the string \"kick-off\"",
                1,
            ),
            (json!({"matchup_id": "NFL_2025_w18_buf_mia"}), "its id is repeated", 1),
        ];
        for (changes, reason, warnings) in cases {
            let bad = matchup(changes);
            let file = json!([matchup(json!({})), bad]);
            let built = build(file, DAY, Some("nfl")).expect("a slate");
            assert_eq!(built.slate["matchups"].as_array().map(Vec::len), Some(1));
            assert_eq!(built.slate["skipped"][0]["reason"], reason);
            assert_eq!(built.warnings.len(), warnings, "{reason}");
        }
    }

    #[test]
    fn a_slate_without_a_usable_matchup_is_refused_with_the_reasons() {
        let error =
            build(json!([matchup(json!({"props": []}))]), DAY, None).expect_err("nothing is left");
        assert_eq!((error.class, error.kind), (ErrorClass::Validation, ErrorKind::Validation));
        assert!(error.causes[0].contains("at least one prop"), "{:?}", error.causes);
        assert!(error.hint.is_some());
    }

    #[test]
    fn a_slate_of_another_sport_says_which_it_has() {
        let error = build(json!([matchup(json!({}))]), DAY, Some("nba")).expect_err("no nba");
        assert_eq!(error.message, "the slate has no matchup of nba that can be used");
        assert!(error.hint.is_some_and(|hint| hint.contains("games of nfl")));
    }

    #[test]
    fn files_that_are_no_slate_are_refused_with_the_place() {
        let cases = [
            (json!({"matchups": []}), "the slate has no matchup that can be used"),
            (json!([]), "the slate has no matchup that can be used"),
            (json!({"games": []}), "the slate has no list of matchups"),
            (json!("nfl"), "the slate is neither an object nor a list"),
            (json!({"timezone": "Mars/Base", "matchups": []}), "Mars/Base is no known time zone"),
        ];
        for (file, message) in cases {
            let error = build(file, DAY, None).expect_err("it is refused");
            assert_eq!(error.message, message);
            assert_eq!((error.class, error.kind), (ErrorClass::Validation, ErrorKind::Validation));
            assert!(error.hint.is_some() && !error.operation.is_empty());
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slate.json");
        std::fs::write(&path, "{\"matchups\": [,]}").expect("a file");
        let error = parse(&path).expect_err("it is no JSON");
        assert_eq!((error.port.as_deref(), error.offset), (Some("slate_file"), Some(14)));
    }

    fn shipped(name: &str, sport: &str) -> Value {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/data");
        let slate = build(parse(&folder.join(name)).expect("JSON"), DAY, Some(sport));
        let slate = slate.expect("a slate").slate;
        assert_eq!(validate(&contract::ty::<Slate>(), &slate), []);
        slate
    }

    #[test]
    fn the_shipped_slates_have_games_and_one_is_skipped_for_want_of_props() {
        let cases = [("slate.json", "nfl", 15), ("slate-nba.json", "nba", 3)];
        for (name, sport, games) in cases {
            let slate = shipped(name, sport);
            assert_eq!(slate["matchups"].as_array().map(Vec::len), Some(games), "{name}");
            assert_eq!(slate["date"], "2025-11-23");
            let reason = "/props: expected at least one prop, found a list of 0";
            assert_eq!(slate["skipped"][0]["reason"], reason, "{name}");
            assert_eq!(slate["skipped"].as_array().map(Vec::len), Some(1), "{name}");
        }
    }
}
