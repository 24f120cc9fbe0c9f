//! The records against tables of good and bad values, through the engine's own validator.

use std::collections::BTreeSet;

use flow_core::schema::{Severity, Type, validate};
use serde_json::{Value, json};

use super::*;

/// The matchup that users of the old pipeline know.
fn buffalo_at_miami() -> Value {
    json!({
        "matchup_id": "nfl_2025_w18_buf_mia",
        "sport": "nfl",
        "away_team": "Buffalo Bills",
        "home_team": "Miami Dolphins",
        "game_time": "2025-01-05T13:00:00",
        "props": [{
            "player_name": "Josh Allen", "team": "BUF", "stat_type": "passing_yards",
            "line": 275.5, "over_odds": -110, "under_odds": -110
        }]
    })
}

fn faults<T: Contract>(value: &Value) -> Vec<(String, Severity)> {
    validate(&ty::<T>(), value).into_iter().map(|f| (f.pointer, f.severity)).collect()
}

fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    *value.pointer_mut(pointer).expect("the pointer exists") = new;
    value
}

#[test]
fn the_known_matchup_is_accepted_as_it_stands() {
    assert_eq!(faults::<NormalizedMatchup>(&buffalo_at_miami()), []);
}

#[test]
fn a_matchup_is_refused_or_advised_against_with_the_place_of_the_fault() {
    let error = Severity::Error;
    let warning = Severity::Warning;
    let cases = [
        ("/props", json!([]), "/props", error),
        ("/props/0/line", json!(0), "/props/0/line", error),
        ("/props/0/line", json!(-3.5), "/props/0/line", error),
        ("/props/0/player_name", json!(" "), "/props/0/player_name", error),
        ("/props/0/line", json!("275.5"), "/props/0/line", error),
        ("/props/0/over_odds", json!(-50), "/props/0/over_odds", warning),
        ("/props/0/stat_type", json!("Passing Yards"), "/props/0/stat_type", warning),
        ("/props/0/team", json!("Bills"), "/props/0/team", warning),
        ("/sport", json!("cricket"), "/sport", error),
        ("/sport", json!("NFL"), "/sport", warning),
        ("/game_time", json!("soon"), "/game_time", error),
        ("/matchup_id", json!("game 12"), "/matchup_id", warning),
        ("/home_team", json!("Buffalo Bills"), "/home_team", warning),
        ("/away_team", json!(""), "/away_team", error),
    ];
    for (place, new, pointer, severity) in cases {
        let value = with(buffalo_at_miami(), place, new.clone());
        assert_eq!(
            faults::<NormalizedMatchup>(&value),
            [(pointer.to_owned(), severity)],
            "{place} = {new}"
        );
    }
}

#[test]
fn every_required_field_of_a_matchup_is_demanded() {
    for field in ["matchup_id", "sport", "away_team", "home_team", "game_time", "props"] {
        let mut value = buffalo_at_miami();
        value.as_object_mut().expect("an object").remove(field);
        assert_eq!(
            faults::<NormalizedMatchup>(&value),
            [(format!("/{field}"), Severity::Error)],
            "without {field}"
        );
    }
}

#[test]
fn faults_never_quote_the_parameters_of_a_rule() {
    let value = with(buffalo_at_miami(), "/props", json!([]));
    let fault = validate(&ty::<NormalizedMatchup>(), &value).remove(0);
    assert_eq!(
        (fault.expected.as_str(), fault.found.as_str()),
        ("at least one prop", "a list of 0")
    );
}

#[test]
fn a_whole_number_written_as_a_float_is_an_integer() {
    let value = with(buffalo_at_miami(), "/props/0/over_odds", json!(-110.0));
    assert_eq!(faults::<NormalizedMatchup>(&value), []);
}

#[test]
fn a_slate_with_a_repeated_matchup_is_advised_against() {
    let slate = json!({
        "date": "2025-01-05", "timezone": "America/New_York",
        "matchups": [buffalo_at_miami(), buffalo_at_miami()], "skipped": []
    });
    let expected = [("/matchups/1/matchup_id".to_owned(), Severity::Warning)];
    assert_eq!(faults::<Slate>(&slate), expected);
}

#[test]
fn times_with_a_gap_are_advised_against() {
    let segment = |id: &str, start: u64, end: u64| {
        json!({"section_id": id, "start_ms": start, "end_ms": end, "words": [],
               "timing_source": "estimated"})
    };
    let timing = json!({
        "duration_ms": 3000, "segments": [segment("a", 0, 1000), segment("b", 1200, 2500)]
    });
    let places: Vec<String> = faults::<TimingData>(&timing).into_iter().map(|f| f.0).collect();
    assert_eq!(places, ["/segments/1/start_ms", "/duration_ms"]);
}

#[test]
fn a_pick_on_no_prop_of_its_matchup_is_advised_against() {
    let section = json!({"section_id": "s1", "role": "hook", "text": "Hello there",
                         "slide": {"title": "Hello", "bullets": []}});
    let idea = json!({
        "idea_id": "i", "matchup_id": "nfl_2025_w18_buf_mia", "headline": "h", "angle": "a",
        "pick": {"player_name": "Josh Allen", "stat_type": "passing_yards", "line": 270.5,
                 "side": "over"},
        "script": {"language": "en", "sections": [section]},
        "caption": "c", "hashtags": [], "provider": "templates", "status": "draft",
        "disclaimer": "d", "matchup": buffalo_at_miami()
    });
    assert_eq!(faults::<IdeaPackage>(&idea), [("/pick".to_owned(), Severity::Warning)]);
}

#[test]
fn a_file_in_a_record_must_be_stored() {
    let audio = |path: Value| {
        json!({"path": path, "codec": "pcm_s16le", "sample_rate_hz": 48000, "channels": 2,
               "duration_ms": 10, "loudness_lufs": -14.0, "provider": "espeak-ng",
               "voice": "en-us", "cached": false})
    };
    let stored = json!({"$file": "00".repeat(32), "name": "a.wav", "size": 1,
                        "media_type": "audio/x-wav"});
    assert_eq!(faults::<AudioMetadata>(&audio(stored)), []);
    let path = [("/path".to_owned(), Severity::Error)];
    assert_eq!(faults::<AudioMetadata>(&audio(json!("a.wav"))), path);
}

/// The fields of a record's table against those that serde reads and demands.
fn assert_table_matches_struct<T: Contract>() {
    let schema = schemars::schema_for!(T);
    let schema = schema.as_value();
    let read: BTreeSet<&str> =
        schema["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
    let demanded: BTreeSet<&str> = schema["required"]
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let fields = T::fields();
    let tabled: BTreeSet<&str> = fields.iter().map(|(name, _)| *name).collect();
    let required: BTreeSet<&str> =
        fields.iter().filter(|(_, ty)| !Type::is_optional(ty)).map(|(name, _)| *name).collect();
    assert_eq!(tabled, read, "{}", T::NAME);
    assert_eq!(required, demanded, "{}", T::NAME);
}

#[test]
fn every_table_of_fields_matches_its_struct() {
    assert_table_matches_struct::<PropData>();
    assert_table_matches_struct::<TeamData>();
    assert_table_matches_struct::<NormalizedMatchup>();
    assert_table_matches_struct::<Slate>();
    assert_table_matches_struct::<Skipped>();
    assert_table_matches_struct::<CalendarConfig>();
    assert_table_matches_struct::<SegmentData>();
    assert_table_matches_struct::<Pick>();
    assert_table_matches_struct::<SlideText>();
    assert_table_matches_struct::<ScriptSection>();
    assert_table_matches_struct::<ScriptStructure>();
    assert_table_matches_struct::<IdeaPackage>();
    assert_table_matches_struct::<AudioMetadata>();
    assert_table_matches_struct::<WordTiming>();
    assert_table_matches_struct::<SegmentTiming>();
    assert_table_matches_struct::<TimingData>();
    assert_table_matches_struct::<AssetCheck>();
    assert_table_matches_struct::<AssetMetadata>();
    assert_table_matches_struct::<MediaPackage>();
    assert_table_matches_struct::<OutputFile>();
    assert_table_matches_struct::<AssemblyResult>();
    assert_table_matches_struct::<Receipt>();
}
