//! The records against tables of good and bad values, through the engine's own validator.

use std::collections::BTreeSet;

use flow_core::schema::{Severity, Type, validate};
use serde_json::{Value, json};

use super::samples::matchup as buffalo_at_miami;
use super::*;

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
fn stages_read_a_sport_in_lower_case_however_it_was_written() {
    let shouted = with(buffalo_at_miami(), "/sport", json!("NFL"));
    let matchup: NormalizedMatchup = read(&shouted).expect("a matchup");
    assert_eq!(matchup.sport, "nfl");
    let slate = with(samples::slate(), "/matchups", json!([shouted]));
    let slate: Slate = read(&slate).expect("a slate");
    assert_eq!(slate.matchups[0].sport, "nfl");
}

#[test]
fn every_record_that_workflows_may_name_has_a_schema_with_its_rules() {
    let catalog = register(Catalog::new());
    for (name, _) in catalog.types() {
        let schema = schema(name).expect("a schema");
        assert_eq!(schema["title"], name);
        assert!(schema["properties"].is_object(), "{name}");
    }
    assert_eq!(schema("Nothing"), None);
    insta::assert_json_snapshot!(schema("NormalizedMatchup"));
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
    assert_table_matches_struct::<PublishRequest>();
    assert_table_matches_struct::<Receipt>();
}
