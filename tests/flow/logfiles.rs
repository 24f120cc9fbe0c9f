//! The log files of a store, read by a program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::harness::Place;

fn lines(place: &Place, file: &str) -> Vec<Value> {
    let text = place.read(&format!(".flow/logs/{file}"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

#[test]
fn the_lines_of_ten_runs_at_once_can_be_told_apart() {
    let place = Place::with(
        r#"
max_parallel = 4
[nodes.list]
stage = "value"
with = { value = ["a", "b", "c"] }
outputs = { list = "list<string>" }
[nodes.work]
stage = "command"
for_each = "list.list"
key = "{{ item }}"
on_item_failure = "drop"
retry = { attempts = 2, base = "1ms", on = ["exit:*"] }
with = { shell = "echo said {{ item }}; [ {{ item }} != b ]" }
outputs = { said = "string" }
"#,
    );
    let start = |at: usize| {
        let mut command = place.command(&["run", "flow.toml", "--run-id", &format!("run-{at}")]);
        command.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..10).map(start).collect();
    for mut child in children {
        child.wait().unwrap();
    }
    let all = lines(&place, "pipeline.log");
    for line in &all {
        for field in ["ts", "level", "target", "run_id", "node", "item", "attempt", "message"] {
            assert!(line.get(field).is_some(), "{field} is missing: {line}");
        }
    }
    let mut by_run: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for line in &all {
        by_run.entry(line["run_id"].as_str().unwrap()).or_default().push(line);
    }
    assert_eq!(by_run.len(), 10);
    for (run, lines) in by_run {
        let failed = lines.iter().filter(|line| line["event"] == "attempt_failed");
        let failed: BTreeSet<_> =
            failed.map(|line| (line["item"].to_string(), line["attempt"].to_string())).collect();
        assert_eq!(failed.len(), 2, "{run}: {failed:?}");
        assert!(failed.iter().all(|(item, _)| item == "\"b\""), "{failed:?}");
    }
    let errors = lines(&place, "errors.log");
    let last = errors.iter().find(|line| line["event"] == "item_failed").unwrap();
    assert_eq!(last["error"]["class"], "process");
    let spans: Vec<&Value> = last["spans"].as_array().unwrap().iter().collect();
    assert_eq!(spans[0]["name"], "run");
    assert_eq!(spans[1], &json!({"name": "node", "node": "work", "item": "b"}));
    assert_eq!(spans[2], &json!({"name": "attempt", "attempt": 2}));
    assert!(errors.iter().all(|line| line["error"].is_object()));
}
