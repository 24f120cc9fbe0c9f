//! One game from several sources: the first that has it counts, the others fill in what it lacks.

use serde_json::{Map, Value};

/// Fields that a later source may fill in.
const FILLED: [&str; 4] = ["vegas_spread", "over_under", "away", "home"];

/// Adds matchups to those that are known: games are the same by teams and day.
pub(super) fn merge(known: &mut Vec<Value>, more: Vec<Value>) {
    for matchup in more {
        match known.iter_mut().find(|other| is_same_game(other, &matchup)) {
            Some(Value::Object(other)) => fill(other, &matchup),
            _ => known.push(matchup),
        }
    }
}

/// The ids of matchups without props.
pub(super) fn without_props(matchups: &[Value]) -> Vec<&str> {
    let lacks = matchups.iter().filter(|matchup| !has_props(matchup));
    lacks.filter_map(|matchup| matchup.get("matchup_id")?.as_str()).collect()
}

fn has_props(matchup: &Value) -> bool {
    matchup.get("props").and_then(Value::as_array).is_some_and(|props| !props.is_empty())
}

fn is_same_game(one: &Value, other: &Value) -> bool {
    let same_team = |field: &str| match (word(one, field), word(other, field)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    };
    same_team("away_team") && same_team("home_team") && day(one) == day(other)
}

/// The last word of a team's name in lower case: sources differ in how they write the city.
fn word(matchup: &Value, field: &str) -> Option<String> {
    let name = matchup.get(field)?.as_str()?.trim().to_lowercase();
    name.rsplit(' ').next().map(str::to_owned)
}

/// The date at the beginning of a game's time.
fn day(matchup: &Value) -> Option<&str> {
    matchup.get("game_time")?.as_str()?.get(..10)
}

fn fill(known: &mut Map<String, Value>, more: &Value) {
    let mut filled = false;
    let empty = |value: Option<&Value>| value.is_none_or(Value::is_null);
    for field in FILLED {
        if let Some(value) = more.get(field).filter(|value| !value.is_null())
            && empty(known.get(field))
        {
            known.insert(field.into(), value.clone());
            filled = true;
        }
    }
    if has_props(more) && !has_props(&Value::Object(known.clone())) {
        known.insert("props".into(), more["props"].clone());
        filled = true;
    }
    if let Some(source) = more.get("source").and_then(Value::as_str).filter(|_| filled) {
        let own = known.get("source").and_then(Value::as_str).unwrap_or_default();
        let both = format!("{own}, {source}");
        known.insert("source".into(), both.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn game(away: &str, home: &str, more: Value) -> Value {
        let mut game = json!({"matchup_id": "x", "away_team": away, "home_team": home,
                              "game_time": "2025-12-28T13:00:00-05:00"});
        let map = game.as_object_mut().expect("an object");
        map.extend(more.as_object().expect("an object").clone());
        game
    }

    #[test]
    fn what_one_source_lacks_the_next_fills_in_and_what_it_has_stays() {
        let mut known = vec![game(
            "Buffalo Bills",
            "Miami Dolphins",
            json!({"source": "a", "props": [], "over_under": 48.5}),
        )];
        let more = game(
            "BUF Bills",
            "Dolphins",
            json!({"source": "b", "props": [1], "over_under": 50, "vegas_spread": -2.5}),
        );
        merge(&mut known, vec![more]);
        assert_eq!(known.len(), 1);
        assert_eq!(known[0]["over_under"], 48.5);
        assert_eq!(known[0]["vegas_spread"], -2.5);
        assert_eq!(known[0]["props"], json!([1]));
        assert_eq!(known[0]["source"], "a, b");
        assert_eq!(known[0]["away_team"], "Buffalo Bills");
    }

    #[test]
    fn another_day_or_another_team_is_another_game() {
        let mut known = vec![game("Buffalo Bills", "Miami Dolphins", json!({}))];
        let later = json!({"game_time": "2025-12-29T13:00:00-05:00"});
        merge(
            &mut known,
            vec![
                game("Buffalo Bills", "Miami Dolphins", later),
                game("New York Jets", "Miami Dolphins", json!({})),
                game("Buffalo Bills", "Miami Dolphins", json!({})),
            ],
        );
        assert_eq!(known.len(), 3);
    }

    #[test]
    fn games_without_props_are_named() {
        let known = [game("A", "B", json!({"props": []})), game("C", "D", json!({"props": [1]}))];
        assert_eq!(without_props(&known), ["x"]);
    }
}
