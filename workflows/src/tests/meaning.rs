//! What good files mean.

use std::path::Path;
use std::time::Duration;

use flow_core::definition::{Binding, OnItemFailure, TypeDef};
use flow_core::policy::RetryOn;
use flow_core::stage::Stream;
use serde_json::json;

use super::{HEAD, parse, plain, valid};

#[test]
fn every_part_of_a_workflow_arrives_in_the_definition() {
    let d = valid(include_str!("good.toml"));
    assert_eq!(d.name.value, "daily");
    assert_eq!((d.max_parallel, d.fail_fast), (Some(8), true));
    assert_eq!(d.deadline, Some(Duration::from_secs(7200)));
    let names: Vec<&String> = d.nodes.keys().collect();
    assert_eq!(names, ["slate", "script", "narrate", "publish"]);
    assert_eq!(
        d.params["since"].default.as_ref().expect("a default").value,
        json!("2025-01-05T13:00:00Z")
    );
    assert!(d.params["note"].default.is_none());
    let TypeDef::Record { fields, .. } = &d.types["Prop"] else { panic!("a record") };
    assert_eq!(fields["line"].constraints.len(), 2);
    assert_eq!(fields["tags"].constraints.len(), 3);
    assert!(matches!(&d.types["Idea"], TypeDef::Alias { .. }));
    assert_eq!(d.defaults.retry.attempts, Some(3));

    let script = &d.nodes["script"];
    assert_eq!(script.outputs["log"].from.as_ref().expect("a stream").value, Stream::Stderr);
    assert!(script.outputs["lines"].json_lines && script.outputs["lines"].path.is_some());
    assert_eq!(script.outputs["ideas"].ty.to_string(), "list<Idea>");
    assert_eq!(script.uses[1].value, "lib/");
    assert_eq!(script.inputs["slate"].value, Binding::Ref("slate.body".into()));

    let narrate = &d.nodes["narrate"];
    assert_eq!(narrate.on_item_failure, OnItemFailure::Drop);
    assert_eq!((narrate.min_success, narrate.max_parallel), (Some(0.8), Some(2)));

    let publish = &d.nodes["publish"];
    assert_eq!(publish.priority, -10);
    assert_eq!(publish.policies.retry.on.as_deref().map(<[_]>::len), Some(4));
    assert_eq!(publish.policies.retry.on.as_ref().expect("conditions")[0], RetryOn::Default);
    assert!(matches!(&publish.inputs["any"].value, Binding::First(list) if list.len() == 2));
    assert!(matches!(&publish.inputs["all"].value, Binding::List(list) if list.len() == 2));
}

#[test]
fn with_is_json_and_every_part_of_it_has_its_place() {
    let text = include_str!("good.toml");
    let d = valid(text);
    let with = &d.nodes["slate"].with;
    assert_eq!(
        with.value,
        json!({"url": "https://example.com/games", "headers": {"X-A/b~c": "{{ params.sport }}"}, "at": "07:32:00"})
    );
    let at = |pointer: &str| &text[with.spans[pointer].clone()];
    assert_eq!(at("/url"), "\"https://example.com/games\"");
    assert_eq!(at("/headers/X-A~1b~0c"), "\"{{ params.sport }}\"");
    assert_eq!(&text[with.key_spans["/headers/X-A~1b~0c"].clone()], "\"X-A/b~c\"");
    let argv = &d.nodes["script"].with;
    assert_eq!(&text[argv.spans["/argv/2/each"].clone()], "\"inputs.slate\"");
}

#[test]
fn dates_and_times_in_json_become_text() {
    let rows = [
        ("2025-01-05 13:00z", "2025-01-05T13:00:00Z"),
        ("2025-01-05T13:00:00.250+02:00", "2025-01-05T13:00:00.25+02:00"),
        ("2025-01-05T13:00:00", "2025-01-05T13:00:00"),
        ("2025-01-05", "2025-01-05"),
        ("13:00", "13:00"),
    ];
    for (written, text) in rows {
        let d = valid(&format!("{HEAD}[nodes.a]\nstage = \"value\"\nwith.value = {written}\n"));
        assert_eq!(d.nodes["a"].with.value, json!({ "value": text }), "{written}");
    }
}

#[test]
fn numbers_of_every_notation_arrive_exactly() {
    let d = valid(&format!(
        "{HEAD}[nodes.a]\nstage = \"value\"\nwith.value = [0xff, 0o17, 0b11, +1_000, -9223372036854775808, 1_0.5, 1e3]\n"
    ));
    let wanted = json!([255, 15, 3, 1000, i64::MIN, 10.5, 1000.0]);
    assert_eq!(d.nodes["a"].with.value["value"], wanted);
}

#[test]
fn declared_order_is_kept_and_case_tells_names_apart() {
    let d = valid(&format!(
        "{HEAD}[nodes.b]\nstage = \"noop\"\n[nodes.B]\nstage = \"noop\"\n[nodes.a]\nstage = \"noop\"\n[params]\nz = \"string\"\nA = \"string\"\na = \"string\"\n"
    ));
    assert_eq!(d.nodes.keys().collect::<Vec<_>>(), ["b", "B", "a"]);
    assert_eq!(d.params.keys().collect::<Vec<_>>(), ["z", "A", "a"]);
}

#[test]
fn a_workflow_without_nodes_is_valid() {
    assert!(valid(HEAD).nodes.is_empty());
}

#[test]
fn a_broken_file_keeps_the_parts_that_are_not_broken() {
    let loaded = parse(&format!(
        "{HEAD}max_paralel = 1\n[nodes.a]\nstage = \"noop\"\nwhen = 5\n[nodes.b]\nafter = [\"a\"]\n"
    ));
    let d = loaded.definition.as_ref().expect("a definition");
    assert!(loaded.complete && !loaded.is_valid());
    assert_eq!(d.nodes.len(), 2);
    assert_eq!(d.nodes["b"].stage.value, "");
    assert_eq!(loaded.diagnostics.len(), 3, "{}", plain(&loaded));
}

#[test]
fn what_a_syntax_fault_took_away_is_not_called_missing() {
    let loaded = parse(
        "[workflow]\nname = \"w\n[nodes.a]\nstage =\n[nodes.b]\nstage = \"noop\"\nbogus = 1\n",
    );
    let codes: Vec<&str> = loaded.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["W003", "W003", "W008"], "{}", plain(&loaded));
    assert!(!loaded.complete);
    assert_eq!(loaded.definition.expect("a definition").nodes.len(), 2);
}

#[test]
fn a_later_fault_at_a_place_of_an_earlier_one_is_left_out() {
    use flow_core::diagnostic::Diagnostic;
    let mut loaded = parse(&format!("{HEAD}[nodes.a]\nstage = 5\n"));
    let place = loaded.diagnostics[0].labels[0].span.clone();
    loaded.join(vec![
        Diagnostic::error("W100", place, "follows from the other"),
        Diagnostic::error("W101", 0..10, "stands alone"),
    ]);
    let codes: Vec<&str> = loaded.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["W101", "W011"]);

    let mut loaded = parse(&format!(
        "{HEAD}[params]\na = {{ type = \"list<integer>\", default = [1, \"x\"] }}\n"
    ));
    let inside = loaded.diagnostics[0].labels[0].span.clone();
    let around = inside.start - 4..inside.end + 1;
    loaded.join(vec![Diagnostic::error("W118", around, "follows from the other")]);
    assert_eq!(loaded.diagnostics.len(), 1);
}

#[test]
fn every_shipped_workflow_parses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).expect("the folder of workflows") {
        let path = entry.expect("an entry").path();
        let is_workflow = path.extension().is_some_and(|e| e == "toml")
            && path.file_name().is_some_and(|name| name != "Cargo.toml");
        if is_workflow {
            let loaded = crate::load(&path).expect("a readable file");
            assert!(loaded.diagnostics.is_empty(), "{}:\n{}", path.display(), plain(&loaded));
        }
    }
}
