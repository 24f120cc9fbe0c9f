use std::path::Path;
use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::schema::{JsonSchema, Type, validate};
use flow_stages::process::Spawner;
use serde_json::Value;

use super::{json_schema, keys};
use crate::lower::Scope;

fn catalog() -> Catalog {
    flow_stages::catalog(Spawner::new())
}

fn schema() -> Type {
    let text = json_schema(&catalog()).to_string();
    Type::Schema(Arc::new(JsonSchema::compile("workflow", &text).expect("a schema of 2020-12")))
}

/// What the schema says against a workflow file.
fn faults(schema: &Type, text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().expect("TOML");
    let value = serde_json::to_value(plain(toml::Value::Table(table))).expect("JSON");
    validate(schema, &value).into_iter().map(|f| format!("{} {}", f.pointer, f.expected)).collect()
}

/// A date of TOML is text in JSON.
fn plain(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(list) => list.into_iter().map(plain).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(k, v)| (k, plain(v))).collect())
        }
        other => serde_json::to_value(other).expect("JSON"),
    }
}

#[test]
fn every_key_that_the_loader_knows_has_its_words() {
    for scope in Scope::ALL {
        for key in scope.keys() {
            let schema = keys::schema(scope, key);
            let doc = schema.as_ref().and_then(|s| s["description"].as_str()).unwrap_or_default();
            assert!(doc.ends_with('.'), "{key} of {} has no description", scope.noun());
        }
    }
}

#[test]
fn every_table_of_the_loader_stands_in_the_schema_with_all_its_keys() {
    let whole = json_schema(&catalog()).to_string();
    for scope in Scope::ALL {
        let keys: Vec<&str> = scope.keys().to_vec();
        for key in keys {
            assert!(whole.contains(&format!("\"{key}\":{{")), "{key} of {}", scope.noun());
        }
    }
}

#[test]
fn every_shipped_workflow_is_of_the_schema() {
    let schema = schema();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for folder in ["examples", "workflows"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is_workflow = path.extension().is_some_and(|e| e == "toml")
                && path.file_name().is_some_and(|n| n != "Cargo.toml");
            if is_workflow {
                let text = std::fs::read_to_string(&path).expect("text");
                assert_eq!(faults(&schema, &text), Vec::<String>::new(), "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "only {seen} files");
}

#[test]
fn every_example_of_a_stage_is_of_the_schema() {
    let schema = schema();
    for stage in catalog().stages() {
        let text = format!("[workflow]\nname = \"w\"\n{}", stage.spec().example);
        assert_eq!(faults(&schema, &text), Vec::<String>::new(), "{}", stage.spec().name);
    }
}

#[test]
fn slips_are_marked_where_they_stand() {
    let schema = schema();
    let mut told = String::new();
    for nodes in [
        "[nodes.a]\nstage = \"comand\"\n",
        "[nodes.a]\nstage = \"command\"\nwith = { argvv = [\"true\"] }\n",
        "[nodes.a]\nstage = \"jq\"\noutputs = { x = \"json\" }\n",
        "[nodes.a]\nstage = \"noop\"\ndepends = [\"b\"]\n",
        "[nodes.a]\nstage = \"noop\"\ntimeout = 30\n",
        "[nodes.a]\nstage = \"media.slate\"\ninputs = { slatefile = \"params.x\" }\n",
        "[nodes.a]\nstage = \"noop\"\non_item_failure = \"skip\"\n",
        "[types.A]\ntype = \"string\"\nformat = \"iso\"\n",
        "[workflows]\n",
    ] {
        let faults = faults(&schema, &format!("[workflow]\nname = \"w\"\n{nodes}"));
        assert!(!faults.is_empty(), "{nodes}");
        told.push_str(&format!(
            "{}\n  {}\n",
            nodes.trim().replace('\n', " | "),
            faults.join("\n  ")
        ));
    }
    insta::assert_snapshot!(told);
}
