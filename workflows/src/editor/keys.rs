//! What each key of the language means, and which values it takes.

use flow_core::error::ErrorClass;
use flow_core::schema::Format;
use serde_json::{Value, json};

use crate::lower::Scope;

/// The schema of the value of a key, with its meaning.
pub(super) fn schema(scope: Scope, key: &str) -> Option<Value> {
    let (doc, mut schema) = match scope {
        Scope::File => file(key),
        Scope::Workflow => workflow(key),
        Scope::Param if key == "default" => Some((
            "The value if none is given; of a file or folder its path beside the workflow file.",
            json!(true),
        )),
        Scope::Type if key == "fields" => Some((
            "The fields of a record. Further fields are accepted in its values.",
            named("#/$defs/field"),
        )),
        Scope::Type if key == "schema" => Some((
            "A JSON Schema file (2020-12) relative to the workflow file; references stay inside it.",
            filled_text(),
        )),
        Scope::Output if key == "format" => {
            Some(("`jsonl` reads JSON Lines into a list.", json!({ "enum": ["jsonl"] })))
        }
        Scope::Param | Scope::Type | Scope::Field => condition(key),
        Scope::Output => output(key),
        Scope::Defaults => policy(key),
        Scope::Retry => retry(key),
        Scope::Node => node(key).or_else(|| policy(key)),
        Scope::Binding => match key {
            "first" => Some((
                "The first of these references that gives something.",
                reference("#/$defs/references"),
            )),
            _ => None,
        },
        #[allow(
            unreachable_patterns,
            reason = "a place that is new to this table has no words yet"
        )]
        _ => None,
    }?;
    schema_with(&mut schema, doc);
    Some(schema)
}

type Entry = Option<(&'static str, Value)>;

fn schema_with(schema: &mut Value, doc: &str) {
    match schema {
        Value::Object(map) => {
            map.insert("description".into(), json!(doc));
        }
        other => *other = json!({ "description": doc }),
    }
}

fn reference(to: &str) -> Value {
    json!({ "$ref": to })
}

/// A table of things with names of their own.
fn named(each: &str) -> Value {
    json!({ "type": "object", "additionalProperties": { "$ref": each } })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn filled_text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn count(least: u64) -> Value {
    json!({ "type": "integer", "minimum": least })
}

fn names() -> Value {
    json!({ "type": "array", "items": filled_text() })
}

fn duration() -> Value {
    reference("#/$defs/duration")
}

fn file(key: &str) -> Entry {
    Some(match key {
        "workflow" => ("The workflow as a whole.", reference("#/$defs/workflow")),
        "params" => (
            "Typed parameters, set with --param NAME=VALUE or --params FILE.",
            named("#/$defs/param"),
        ),
        "types" => (
            "Records, types with conditions, and JSON Schema files, by name.",
            named("#/$defs/named_type"),
        ),
        "tools" => (
            "Where a program is, if it is not on PATH; relative to the workflow file.",
            json!({ "type": "object", "additionalProperties": filled_text() }),
        ),
        "defaults" => {
            ("Policies of every node that says nothing else.", reference("#/$defs/defaults"))
        }
        "nodes" => ("The nodes of the graph, by name.", named("#/$defs/node")),
        "outputs" => ("What the run gives, by name.", named("#/$defs/binding")),
        "schedule" => ("When `flow serve` starts a run.", json!({ "type": "object" })),
        "pools" => (
            "How many attempts hold a slot at once, over all runs of a store.",
            json!({ "type": "object", "additionalProperties": count(1) }),
        ),
        "rates" => (
            "At most so many starts in any such span, such as \"60/min\", over all runs of a store.",
            json!({ "type": "object", "additionalProperties": filled_text() }),
        ),
        "secrets" => {
            ("Values that are never stored, logged or hashed.", json!({ "type": "object" }))
        }
        _ => return None,
    })
}

fn workflow(key: &str) -> Entry {
    Some(match key {
        "name" => ("The name of the workflow.", filled_text()),
        "description" => ("What it is for.", text()),
        "max_parallel" => {
            ("How many nodes and items run at once; default: the number of processors.", count(1))
        }
        "fail_fast" => ("Whether the first failure stops everything.", flag()),
        "deadline" => ("Time for one `run` or `resume` as a whole.", duration()),
        "timezone" => (
            "The IANA time zone of `run.date`, such as America/New_York; default UTC.",
            filled_text(),
        ),
        _ => return None,
    })
}

/// A type with conditions.
fn condition(key: &str) -> Entry {
    let formats: Vec<&str> = Format::ALL.iter().map(|(_, name)| *name).collect();
    let number = || json!({ "type": "number" });
    Some(match key {
        "type" => ("The type.", reference("#/$defs/type")),
        "enum" => ("The allowed values.", json!({ "type": "array", "minItems": 1 })),
        "min" => ("The least number.", number()),
        "max" => ("The greatest number.", number()),
        "greater_than" => ("Numbers must be greater than this.", number()),
        "less_than" => ("Numbers must be less than this.", number()),
        "min_length" => ("The least number of characters, elements or entries.", count(0)),
        "max_length" => ("The greatest number of characters, elements or entries.", count(0)),
        "pattern" => {
            ("A regular expression that matches somewhere in the text; no look-around.", text())
        }
        "format" => ("A well-known form of text.", json!({ "enum": formats })),
        "unique" => ("Whether no two elements may be equal.", flag()),
        _ => return None,
    })
}

fn output(key: &str) -> Entry {
    Some(match key {
        "type" => ("The type.", reference("#/$defs/type")),
        "path" => (
            "Where the program leaves it, relative to the scratch folder; a glob for a list.",
            filled_text(),
        ),
        "from" => ("The stream that it is taken from.", json!({ "enum": ["stdout", "stderr"] })),
        _ => return None,
    })
}

fn policy(key: &str) -> Entry {
    Some(match key {
        "timeout" => ("Time for one attempt.", duration()),
        "retry" => (
            "How often a failed attempt is made again, and after which wait.",
            reference("#/$defs/retry"),
        ),
        "cache" => {
            ("Reuse of results across runs: \"off\", a duration, or \"forever\".", filled_text())
        }
        _ => return None,
    })
}

fn retry(key: &str) -> Entry {
    let classes: Vec<&str> = ErrorClass::ALL.iter().map(|(_, name)| *name).collect();
    let on = format!(
        "Which failures are tried again: default, {}, http:503, http:5xx, exit:1, exit:*, signal:KILL.",
        classes.join(", ")
    );
    Some(match key {
        "attempts" => (
            "Attempts in all, the first counted; default 3.",
            json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        ),
        "base" => ("The wait before the second attempt; default 1s.", duration()),
        "factor" => {
            ("The growth of the wait; default 2.", json!({ "type": "number", "minimum": 1 }))
        }
        "max" => ("The longest wait; default 60s.", duration()),
        "jitter" => {
            ("Whether waits are shortened by chance, so that not all come at once.", flag())
        }
        "on" => (
            "Which failures are tried again.",
            json!({ "type": "array", "items": { "type": "string", "description": on } }),
        ),
        _ => return None,
    })
}

fn node(key: &str) -> Entry {
    Some(match key {
        "stage" => ("The kind of work; `flow stages` explains them.", text()),
        "with" => ("Settings of the stage.", json!({ "type": "object" })),
        "inputs" => ("What its input ports are bound to.", named("#/$defs/binding")),
        "outputs" => (
            "Its output ports, where the stage lets the file declare them.",
            named("#/$defs/output"),
        ),
        "uses" => (
            "Files and folders beside the workflow file, put into the scratch folder; their content is in the key.",
            names(),
        ),
        "after" => ("Nodes that must have ended first: order without data.", names()),
        "when" => {
            ("An expression without braces; if false, the node or item is skipped.", filled_text())
        }
        "for_each" => (
            "A reference to a list: an item runs for each element, as `item` and `index`.",
            filled_text(),
        ),
        "key" => ("A template of an item's identity; default: its index.", filled_text()),
        "max_parallel" => ("How many items of this node run at once.", count(1)),
        "on_item_failure" => ("What a failed item does.", json!({ "enum": ["fail", "drop"] })),
        "min_success" => (
            "With `drop`: the least share of items that must succeed.",
            json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        ),
        "priority" => {
            ("Higher first among what is ready; default 0.", json!({ "type": "integer" }))
        }
        "deadline" => ("Time for all attempts and waits in one `run` or `resume`.", duration()),
        "rate" => ("The name of a rate that limits its starts.", filled_text()),
        "pool" => ("The name of a pool that its attempts take a slot of.", filled_text()),
        "effect" => (
            "It acts on the outside world: an attempt without an answer is not repeated by itself.",
            json!({ "type": ["boolean", "object"] }),
        ),
        "optional" => {
            ("Whether its failure leaves its outputs absent, and the run can succeed.", flag())
        }
        "fallback" => (
            "What is tried in turn when retries are exhausted.",
            json!({ "type": "array", "items": { "type": "object" } }),
        ),
        "always" => ("Whether it runs at the end of each invocation, whatever happened.", flag()),
        _ => return None,
    })
}
