use serde_json::{Value, json};

use super::JsonSchema;
use crate::schema::{Type, validate};

fn compiled(schema: &Value) -> JsonSchema {
    JsonSchema::compile("Slate", &schema.to_string()).expect("a schema")
}

fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let ty = Type::Schema(compiled(schema).into());
    validate(&ty, value)
        .into_iter()
        .map(|f| format!("{:?}: expected {}, found {}", f.pointer, f.expected, f.found))
        .collect()
}

fn refusal(text: &str) -> String {
    let fault = JsonSchema::compile("Slate", text).expect_err("a fault");
    format!("{fault} | {}", fault.help.unwrap_or("-"))
}

#[test]
fn faults_name_the_place_what_the_keyword_asks_for_and_what_was_found() {
    let schema = json!({
        "type": "object",
        "required": ["id", "a/b"],
        "additionalProperties": false,
        "properties": {
            "id": { "type": "string", "pattern": "^g[0-9]+$" },
            "a/b": true,
            "line": { "type": "number", "exclusiveMinimum": 0 },
            "sport": { "enum": ["nfl", "nba"] },
            "at": { "type": "string", "format": "date-time" },
            "tags": { "type": "array", "items": { "type": ["string", "null"] }, "maxItems": 2, "uniqueItems": true },
            "who": { "anyOf": [{ "type": "string" }, { "type": "object", "required": ["name"] }] },
            "home": { "$ref": "#/$defs/Team" },
        },
        "$defs": { "Team": { "type": "object", "required": ["code"], "properties": { "code": { "minLength": 2 } } } },
    });
    let value = json!({
        "id": "x1", "line": 0, "sport": "chess", "at": "yesterday", "tags": [1, 1, "a"],
        "who": {}, "home": { "code": "B" }, "extra": [1],
    });
    insta::assert_snapshot!(faults(&schema, &value).join("\n"));
}

#[test]
fn a_value_of_the_schema_has_no_faults() {
    let schema = json!({ "type": "array", "items": { "type": "integer", "multipleOf": 5 } });
    assert_eq!(faults(&schema, &json!([5, 10.0])), Vec::<String>::new());
    assert_eq!(
        faults(&schema, &json!([5, 7])),
        ["\"/1\": expected a multiple of 5, found the number 7"]
    );
}

#[test]
fn the_width_of_a_number_is_no_unknown_format() {
    let schema = json!({ "type": "integer", "format": "uint32", "minimum": 0 });
    assert_eq!(faults(&schema, &json!(3)), Vec::<String>::new());
    assert_eq!(faults(&schema, &json!(-3)).len(), 1);
}

#[test]
fn a_schema_that_cannot_be_used_says_where_and_why() {
    let texts = [
        "{",
        "7",
        r#"{ "type": "strin" }"#,
        r#"{ "$schema": "http://json-schema.org/draft-07/schema#" }"#,
        r#"{ "properties": { "a": { "$ref": "https://example.com/a.json" } } }"#,
        r#"{ "properties": { "a": { "$ref": "other.json#/$defs/A" } } }"#,
        r#"{ "properties": { "a": { "$ref": "file:///etc/passwd" } } }"#,
        r##"{ "items": { "$ref": "#/$defs/Missing" } }"##,
        r#"{ "properties": { "a": { "pattern": "(?=x)" } } }"#,
        r#"{ "properties": { "a": { "format": "iso-date" } } }"#,
        r#"{ "minimum": "3" }"#,
    ];
    let told: Vec<String> =
        texts.iter().map(|text| format!("{text}\n  {}", refusal(text))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_pattern_that_backtracks_elsewhere_takes_linear_time() {
    let schema = json!({ "type": "string", "pattern": "^(a+)+$" });
    let text = format!("{}b", "a".repeat(100_000));
    assert_eq!(faults(&schema, &json!(text)).len(), 1);
}

#[test]
fn layout_does_not_change_the_digest_and_content_does() {
    let digest = |text| JsonSchema::compile("S", text).expect("a schema").digest();
    assert_eq!(
        digest(r#"{"type":"string","minLength":1}"#),
        digest("{ \"minLength\": 1.0,\n \"type\": \"string\" }")
    );
    assert_ne!(
        digest(r#"{"type":"string","minLength":1}"#),
        digest(r#"{"type":"string","minLength":2}"#)
    );
}

#[test]
fn the_outline_knows_fields_and_elements_and_claims_nothing_else() {
    let schema = compiled(&json!({
        "properties": {
            "games": { "type": "array", "items": { "$ref": "#/$defs/Game" } },
            "odds": { "type": "object", "additionalProperties": { "type": "number" } },
            "sport": { "enum": ["nfl"] },
            "either": { "oneOf": [{ "type": "string" }, { "type": "integer" }] },
            "tree": { "$ref": "#/$defs/Tree" },
        },
        "required": ["games", "odds"],
        "$defs": {
            "Game": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" }, "score": { "type": ["integer", "null"] } } },
            "Tree": { "type": "object", "properties": { "left": { "$ref": "#/$defs/Tree" }, "right": { "$ref": "#/$defs/Tree" } } },
        },
    }));
    let field = |name| schema.outline().field(name).map(|ty| ty.to_string());
    assert_eq!(field("games").as_deref(), Some("list<Slate.games[]>"));
    assert_eq!(field("odds").as_deref(), Some("map<number>"));
    assert_eq!(field("sport").as_deref(), Some("string?"));
    assert_eq!(field("either").as_deref(), Some("json?"));
    assert_eq!(field("tree").as_deref(), Some("Slate.tree?"));
    assert_eq!(field("gone"), None);
    let Some(Type::List(game)) = schema.outline().field("games") else { panic!("a list") };
    assert_eq!(game.field("id").map(|ty| ty.to_string()).as_deref(), Some("string"));
    assert_eq!(game.field("score").map(|ty| ty.to_string()).as_deref(), Some("integer?"));
    let tree = schema.outline().field("tree").expect("a field");
    assert_eq!(tree.field("left").map(|ty| ty.to_string()).as_deref(), Some("json?"));
}

#[test]
fn references_that_multiply_cost_a_bounded_amount() {
    let mut defs = serde_json::Map::new();
    for i in 0..60 {
        let next = format!("#/$defs/d{}", i + 1);
        defs.insert(format!("d{i}"), json!({ "type": "object", "properties": { "a": { "$ref": next.clone() }, "b": { "$ref": next } } }));
    }
    defs.insert("d60".into(), json!({ "type": "string" }));
    let schema = json!({ "$ref": "#/$defs/d0", "$defs": defs });
    assert!(compiled(&schema).outline().field("a").is_some());
}
