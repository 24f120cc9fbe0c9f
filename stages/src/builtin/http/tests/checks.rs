//! Faults that are found before a run.

use std::collections::BTreeMap;
use std::path::Path;

use flow_core::schema::Type;
use flow_core::stage::{NodeView, OutputFrom, OutputSlot, Stage};
use serde_json::{Value, json};

use super::super::HttpStage;
use super::{job, settings, slot};

fn faults(config: &Value, outputs: &[OutputSlot]) -> Vec<String> {
    let view = NodeView {
        config,
        inputs: &BTreeMap::new(),
        outputs,
        tools: &BTreeMap::new(),
        workflow_dir: Path::new("/work"),
        uses: &[],
        params: &[],
    };
    let faults = HttpStage::with(settings()).check(&view);
    let line = |fault: flow_core::stage::ConfigFault| {
        format!("{}: {} ({})", fault.pointer, fault.message, fault.help.unwrap_or_default())
    };
    faults.into_iter().map(line).collect()
}

fn of(config: Value) -> Vec<String> {
    faults(&config, &job(Value::Null, Type::Json).outputs)
}

#[test]
fn what_can_work_has_no_fault() {
    for config in [
        json!({ "url": "https://example.com/a?b=c#d", "method": "get" }),
        json!({ "url": "{{ params.base }}/x", "method": "{{ params.method }}" }),
        json!({ "url": "https://{{ params.host }}/@me?x={{ params.x }}" }),
        json!({ "url": "http://[::1]:8080/", "headers": { "X-Key": "{{ inputs.k }}\n", "N": 1 } }),
        json!({ "url": "http://a/", "query": { "ids[]": [1, 2], "q": "x", "n": null } }),
        json!({ "url": "http://a/", "query": "{{ inputs.query }}", "headers": "{{ inputs.h }}" }),
        json!({ "url": "http://a/", "method": "DELETE", "json": { "a": [] } }),
        json!({ "url": "http://a/", "expect": [200, "404", "3xx"] }),
        json!({ "url": "http://a/", "allowed_hosts": ["*", "cdn.example.com", "*.example.com", "127.0.0.1"] }),
    ] {
        assert_eq!(of(config.clone()), Vec::<String>::new(), "{config}");
    }
}

#[test]
fn what_cannot_work_is_told_with_its_place() {
    let config = |more: Value| {
        let mut config = json!({ "url": "http://a/" });
        for (name, value) in more.as_object().into_iter().flatten() {
            config[name] = value.clone();
        }
        config
    };
    let all: Vec<String> = [
        json!({ "url": "example.com/games" }),
        json!({ "url": "ftp://example.com/" }),
        json!({ "url": "file:///etc/passwd" }),
        json!({ "url": "https://user:password@example.com/" }),
        json!({ "url": "https://{{ params.user }}:{{ params.key }}@example.com/" }),
        json!({ "url": "ftp://{{ params.host }}/x" }),
        json!({ "url": "http:///x y" }),
        json!({ "method": "GTE" }),
        json!({ "method": "TRACE" }),
        json!({ "json": 1, "body": "x" }),
        json!({ "json": 1, "method": "get" }),
        json!({ "headers": { "X Key": "1" } }),
        json!({ "headers": { "Content-Length": "1" } }),
        json!({ "headers": { "X-Key": "1", "x-key": "2" } }),
        json!({ "headers": { "X-Key": "a\nb" } }),
        json!({ "headers": { "a/b~": [1] } }),
        json!({ "headers": ["X-Key: 1"] }),
        json!({ "query": { "q": { "a": 1 } } }),
        json!({ "query": { "q": [[1]] } }),
        json!({ "query": "a=1" }),
        json!({ "expect": [] }),
        json!({ "expect": [200, 99, "ok", "1xx", 600, "6xx", null] }),
        json!({ "allowed_hosts": ["https://example.com", "example.com/x", "a:80", "*x", "", "*."] }),
    ]
    .into_iter()
    .flat_map(|more| of(config(more)))
    .collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn outputs_must_come_from_an_answer() {
    let with = |slot: OutputSlot| {
        let mut outputs = job(Value::Null, Type::Json).outputs;
        let at = outputs.iter().position(|other| other.name == slot.name).expect("a known name");
        outputs[at] = slot;
        outputs
    };
    let url = json!({ "url": "http://a/" });
    let head = json!({ "url": "http://a/", "method": "head" });
    let body = |ty: Type| slot("body", ty);
    let table = [
        (&url, body(Type::Dir)),
        (&url, body(Type::File(None).list())),
        (&url, OutputSlot { from: OutputFrom::Path("x".into()), ..body(Type::Json) }),
        (&url, OutputSlot { json_lines: true, ..body(Type::Integer) }),
        (&url, OutputSlot { json_lines: true, ..slot("status", Type::Integer) }),
        (&head, body(Type::Json)),
    ];
    let all: Vec<String> =
        table.into_iter().flat_map(|(config, slot)| faults(config, &with(slot))).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    : the body of an answer cannot be a `dir` (it is one `file`, text, or JSON without files in it)
    : the body of an answer cannot be a `list<file>` (it is one `file`, text, or JSON without files in it)
    : output `body` of `http` comes from the answer (leave `path` and `from` out)
    : output `body` is read as JSON Lines, which are a list, not `integer` (declare `list<integer>`)
    : output `status` of `http` has no format (leave `format` out)
    : the answer to HEAD has no body, and `json` is declared (outputs.body = "json?")
    "#);
    for slot in [
        body(Type::File(None).optional()),
        OutputSlot { json_lines: true, ..body(Type::Json.list()) },
    ] {
        assert_eq!(faults(&url, &with(slot)), Vec::<String>::new());
    }
    for ty in [Type::Json.optional(), Type::String, Type::File(None)] {
        assert_eq!(faults(&head, &with(body(ty))), Vec::<String>::new());
    }
}
