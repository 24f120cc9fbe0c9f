//! What a schema says in the words of the other types, so that references can name its fields and
//! a fan-out its elements. Whatever has no such words is `json`, which claims nothing.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::schema::{Record, Type};

/// More parts than this are not looked at: references that multiply must not cost without bound.
const MAX_PARTS: usize = 2_000;

/// The outline of a whole schema. Its top may leave out `"type": "object"`, as people do.
pub(super) fn of(name: &str, schema: &Value) -> Type {
    let mut walk = Walk { root: schema, open: Vec::new(), parts: 0 };
    let found = walk.part(name, schema);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return found;
    };
    if found != Type::Json || schema.get("type").is_some() {
        return found;
    }
    walk.parts = 0;
    walk.record(name, properties, schema)
}

struct Walk<'a> {
    root: &'a Value,
    /// References that are being followed: one that comes back is `json`.
    open: Vec<&'a str>,
    parts: usize,
}

impl<'a> Walk<'a> {
    fn part(&mut self, name: &str, schema: &'a Value) -> Type {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Type::Json;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            return self.referred(name, target);
        }
        match schema.get("type") {
            Some(Value::String(ty)) => self.typed(name, ty, schema),
            Some(Value::Array(types)) => {
                let mut others = types.iter().filter_map(Value::as_str).filter(|t| *t != "null");
                match (others.next(), others.next()) {
                    (Some(ty), None) => self.typed(name, ty, schema).optional(),
                    _ => Type::Json,
                }
            }
            _ => of_values(schema),
        }
    }

    fn referred(&mut self, name: &str, target: &'a str) -> Type {
        let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let Some(schema) = found.filter(|_| !self.open.contains(&target)) else {
            return Type::Json;
        };
        self.open.push(target);
        let ty = self.part(name, schema);
        self.open.pop();
        ty
    }

    fn typed(&mut self, name: &str, ty: &str, schema: &'a Value) -> Type {
        match ty {
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            "array" => match schema.get("items") {
                Some(items) if items.is_object() => self.part(&format!("{name}[]"), items).list(),
                _ => Type::Json.list(),
            },
            "object" => self.object(name, schema),
            _ => Type::Json,
        }
    }

    fn object(&mut self, name: &str, schema: &'a Value) -> Type {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            return self.record(name, properties, schema);
        }
        match schema.get("additionalProperties") {
            Some(values) if values.is_object() && schema.get("patternProperties").is_none() => {
                Type::Map(Box::new(self.part(&format!("{name}.*"), values)))
            }
            _ => Type::Json,
        }
    }

    fn record(
        &mut self,
        name: &str,
        properties: &'a Map<String, Value>,
        schema: &'a Value,
    ) -> Type {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |field: &str| required.is_some_and(|all| all.iter().any(|name| name == field));
        let fields: IndexMap<String, Type> = properties
            .iter()
            .map(|(field, schema)| {
                let ty = self.part(&format!("{name}.{field}"), schema);
                (field.clone(), if is_required(field) { ty } else { ty.optional() })
            })
            .collect();
        Type::Record(Arc::new(Record { name: name.to_owned(), fields, rule: None }))
    }
}

/// The type of the values that `enum` or `const` allow.
fn of_values(schema: &Value) -> Type {
    let values: Vec<&Value> = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(all)), _) => all.iter().collect(),
        (_, Some(value)) => vec![value],
        _ => return Type::Json,
    };
    let all = |test: fn(&Value) -> bool| !values.is_empty() && values.iter().all(|v| test(v));
    if all(Value::is_string) {
        Type::String
    } else if all(Value::is_boolean) {
        Type::Boolean
    } else if all(|v| v.is_i64() || v.is_u64()) {
        Type::Integer
    } else if all(Value::is_number) {
        Type::Number
    } else {
        Type::Json
    }
}
