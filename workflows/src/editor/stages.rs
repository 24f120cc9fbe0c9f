//! What `with` and `inputs` of each stage are: one condition for each stage of the catalog.

use flow_core::catalog::Catalog;
use flow_core::schema::{Constraint, Type};
use flow_core::stage::{FieldKind, FieldSpec, PortSpec, Ports, StageSpec};
use serde_json::{Map, Value, json};

/// For each stage: if a node names it, then this holds of the node.
pub(super) fn conditions(catalog: &Catalog) -> Value {
    catalog
        .stages()
        .map(|stage| {
            let spec = stage.spec();
            json!({
                "if": { "properties": { "stage": { "const": spec.name } }, "required": ["stage"] },
                "then": node(spec),
            })
        })
        .collect()
}

fn node(spec: &StageSpec) -> Value {
    let mut properties = Map::new();
    properties.insert("stage".into(), json!({ "description": spec.summary }));
    properties.insert("with".into(), settings(&spec.config));
    if let Ports::Fixed(ports) = &spec.inputs {
        properties.insert("inputs".into(), inputs(ports));
    }
    let mut required: Vec<&str> = Vec::new();
    if spec.config.iter().any(|field| !field.optional) {
        required.push("with");
    }
    if matches!(&spec.inputs, Ports::Fixed(ports) if ports.iter().any(is_required)) {
        required.push("inputs");
    }
    if matches!(spec.outputs, Ports::DeclaredOne) {
        properties.insert("outputs".into(), json!({ "minProperties": 1, "maxProperties": 1 }));
        required.push("outputs");
    }
    json!({ "properties": properties, "required": required })
}

fn is_required(port: &PortSpec) -> bool {
    !port.optional && !port.ty.is_optional()
}

fn settings(fields: &[FieldSpec]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = kind(&field.kind);
            schema["description"] = json!(field.doc);
            (field.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = fields.iter().filter(|f| !f.optional).map(|f| f.name).collect();
    json!({ "additionalProperties": false, "properties": properties, "required": required })
}

fn inputs(ports: &[PortSpec]) -> Value {
    let properties: Map<String, Value> = ports
        .iter()
        .map(|port| {
            let doc = format!("{}: {}", port.ty, port.doc);
            (port.name.clone(), json!({ "$ref": "#/$defs/binding", "description": doc }))
        })
        .collect();
    let required: Vec<&str> =
        ports.iter().filter(|port| is_required(port)).map(|port| port.name.as_str()).collect();
    json!({ "additionalProperties": false, "properties": properties, "required": required })
}

/// How a field of `with` is written.
fn kind(kind: &FieldKind) -> Value {
    let text = || json!({ "$ref": "#/$defs/text" });
    match kind {
        FieldKind::Argv => json!({
            "type": "array",
            "minItems": 1,
            "items": { "anyOf": [
                { "type": ["string", "number"] },
                { "type": "object", "additionalProperties": false, "required": ["each"],
                  "properties": { "each": { "type": "string", "description": "An expression that gives a list: one argument for each element." } } },
            ] },
        }),
        FieldKind::Shell | FieldKind::Text | FieldKind::Stdin => text(),
        FieldKind::TextMap => json!({ "type": "object", "additionalProperties": text() }),
        FieldKind::Json => json!({}),
        FieldKind::Duration => json!({ "$ref": "#/$defs/duration" }),
        FieldKind::Literal => json!({ "type": "string" }),
        FieldKind::Plain(ty) => plain(ty),
        #[allow(unreachable_patterns, reason = "a kind that is new to this table can be anything")]
        _ => json!({}),
    }
}

/// A value that is written in the file itself, without templates.
fn plain(ty: &Type) -> Value {
    match ty {
        Type::String | Type::Datetime | Type::Duration | Type::File(_) | Type::Dir => {
            json!({ "type": "string" })
        }
        Type::Integer => json!({ "type": "integer" }),
        Type::Number => json!({ "type": "number" }),
        Type::Boolean => json!({ "type": "boolean" }),
        Type::List(element) => json!({ "type": "array", "items": plain(element) }),
        Type::Map(value) => json!({ "type": "object", "additionalProperties": plain(value) }),
        Type::Optional(inner) => plain(inner),
        Type::Record(_) => json!({ "type": "object" }),
        Type::Json | Type::Schema(_) => json!({}),
        Type::Constrained(c) => {
            let mut schema = plain(&c.base);
            for condition in &c.constraints {
                if let Some((key, value)) = keyword(condition, &c.base) {
                    schema[key] = value;
                }
            }
            schema
        }
    }
}

fn keyword(condition: &Constraint, base: &Type) -> Option<(&'static str, Value)> {
    let is_list = matches!(base.inner(), Type::List(_));
    Some(match condition {
        Constraint::Enum(values) => ("enum", json!(values)),
        Constraint::Min(n) => ("minimum", json!(n)),
        Constraint::Max(n) => ("maximum", json!(n)),
        Constraint::GreaterThan(n) => ("exclusiveMinimum", json!(n)),
        Constraint::LessThan(n) => ("exclusiveMaximum", json!(n)),
        Constraint::MinLength(n) if is_list => ("minItems", json!(n)),
        Constraint::MaxLength(n) if is_list => ("maxItems", json!(n)),
        Constraint::MinLength(n) => ("minLength", json!(n)),
        Constraint::MaxLength(n) => ("maxLength", json!(n)),
        Constraint::Pattern(regex) => ("pattern", json!(regex.as_str())),
        Constraint::Unique => ("uniqueItems", json!(true)),
        Constraint::Format(_) => return None,
    })
}
