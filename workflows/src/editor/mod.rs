//! The JSON Schema (2020-12) of workflow files, for editors: what they complete, explain and mark.
//!
//! It is made from the tables that the loader itself goes by (which keys there are) and from the
//! catalog (which stages there are and what they take), so it cannot know another language than
//! the loader does. It accepts more than the loader: references, templates and types are text.

mod keys;
mod stages;
#[cfg(test)]
mod tests;

use flow_core::catalog::Catalog;
use flow_core::schema::DIALECT;
use serde_json::{Map, Value, json};

use crate::lower::Scope;

/// The schema of workflow files that use the stages and types of `catalog`.
#[must_use]
pub fn json_schema(catalog: &Catalog) -> Value {
    let mut file = table(Scope::File);
    let Value::Object(root) = &mut file else { return file };
    root.insert("$schema".into(), json!(DIALECT));
    root.insert("title".into(), json!("A workflow of flow"));
    root.insert("required".into(), json!(["workflow"]));
    root.insert("$defs".into(), definitions(catalog));
    file
}

/// Types that an editor offers, besides those that stages bring.
const TYPE_EXAMPLES: [&str; 14] = [
    "string",
    "integer",
    "number",
    "boolean",
    "datetime",
    "duration",
    "json",
    "file",
    "file<image/png>",
    "dir",
    "list<string>",
    "list<file>",
    "map<number>",
    "string?",
];

fn definitions(catalog: &Catalog) -> Value {
    let mut node = table(Scope::Node);
    if let Value::Object(node) = &mut node {
        node.insert("required".into(), json!(["stage"]));
        node.insert("allOf".into(), stages::conditions(catalog));
        if let Some(stage) = node.get_mut("properties").and_then(|all| all.get_mut("stage")) {
            let names: Vec<&str> = catalog.stages().map(|stage| stage.spec().name).collect();
            stage["enum"] = json!(names);
        }
    }
    let examples: Vec<&str> =
        TYPE_EXAMPLES.into_iter().chain(catalog.types().map(|(name, _)| name)).collect();
    json!({
        "workflow": with(table(Scope::Workflow), "required", json!(["name"])),
        "type": {
            "type": "string",
            "minLength": 1,
            "description": "A type: string, integer, number, boolean, datetime, duration, json, file, file<audio/*>, dir, list<T>, map<T>, T? (may be absent), a name of [types], or one that a stage brings.",
            "examples": examples,
        },
        "param": typed(Scope::Param),
        "field": typed(Scope::Field),
        "output": typed(Scope::Output),
        "named_type": { "anyOf": [{ "$ref": "#/$defs/type" }, table(Scope::Type)] },
        "binding": {
            "description": "NODE.PORT, NODE.PORT.FIELD, NODE[item].PORT, item, params.NAME; `?` at the end accepts absence. { first = […] } takes the first that is present, […] gathers a list.",
            "anyOf": [{ "type": "string", "minLength": 1 }, { "$ref": "#/$defs/references" }, table(Scope::Binding)],
        },
        "references": { "type": "array", "items": { "type": "string", "minLength": 1 } },
        "duration": { "type": "string", "pattern": "^\\s*[0-9.]+\\s*(ms|s|m|min|h|d)", "examples": ["500ms", "30s", "5m", "1h30m"] },
        "text": { "type": ["string", "number", "boolean"] },
        "defaults": table(Scope::Defaults),
        "retry": table(Scope::Retry),
        "node": node,
    })
}

/// A type as text, or a table with one.
fn typed(scope: Scope) -> Value {
    let table = with(table(scope), "required", json!(["type"]));
    json!({ "anyOf": [{ "$ref": "#/$defs/type" }, table] })
}

/// The table of a scope: every key that the loader knows there, and no other.
fn table(scope: Scope) -> Value {
    let properties: Map<String, Value> = scope
        .keys()
        .iter()
        .map(|key| ((*key).to_owned(), keys::schema(scope, key).unwrap_or(Value::Bool(true))))
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn with(mut schema: Value, key: &str, value: Value) -> Value {
    schema[key] = value;
    schema
}
