//! Whether a machine has what it needs.

use serde_json::{Value, json};

use super::damage::made;
use super::harness::Place;

/// The checks of a report that are about something.
fn about(report: &Value, word: &str) -> Vec<Value> {
    let all = report["checks"].as_array().unwrap().iter();
    all.filter(|check| check["about"] == word).cloned().collect()
}

fn levels(report: &Value, word: &str) -> Vec<String> {
    about(report, word).iter().map(|c| c["level"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_store_in_use_is_looked_at_and_left_as_it_was() {
    let place = made();
    let report = place.flow(&["doctor", "--json"]).json();
    assert_eq!(levels(&report, "store"), ["ok", "ok"]);
    assert_eq!(levels(&report, "checkpoints"), ["ok"]);
    assert_eq!(levels(&report, "time zones"), ["ok"]);
    assert_eq!(about(&report, "disk").len(), 1);
    place.flow(&["verify"]).exits(0);
}

#[test]
fn without_a_store_the_place_of_one_is_looked_at_and_none_is_made() {
    let place = Place::new();
    let report = place.flow(&["doctor", "--json"]).json();
    let store = about(&report, "store");
    assert!(store[0]["message"].as_str().unwrap().contains("none yet at"), "{store:?}");
    assert!(!place.path(".flow").exists());
}

#[test]
fn programs_that_are_not_there_are_told_with_the_way_to_get_them() {
    let place = Place::new();
    let mut command = place.command(&["doctor"]);
    command.env("PATH", place.path("empty"));
    let done = place.finish(command).exits(1);
    for program in ["ffmpeg", "ffprobe", "espeak-ng"] {
        let line = format!("warning  media stages: this machine lacks {program}; apt-get install ");
        assert!(done.stdout.contains(&line) && done.stdout.contains("or brew install"), "{done}");
    }
}

#[test]
fn a_workflow_is_told_what_it_lacks_and_secrets_are_never_told() {
    let place = Place::with(
        r#"
[secrets]
have = { env = "HAVE" }
lack = { env = "LACK" }
free = { env = "FREE", optional = true }
short = { env = "SHORT", optional = true }
[nodes.a]
stage = "command"
with = { argv = ["no-such-program"], env = { A = "{{ secrets.have }}", B = "{{ secrets.lack }}" } }
"#,
    );
    let mut command = place.command(&["doctor", "flow.toml"]);
    command.env("HAVE", "swordfish-1234").env("SHORT", "abc").env_remove("LACK").env_remove("FREE");
    let done = place.finish(command).exits(1);
    for line in [
        "ok       workflow: flow.toml is valid, 1 node\n",
        "fault    needs: this machine lacks `no-such-program`",
        "ok       secret: `have` is set\n",
        "fault    secret: secret `lack`: the variable LACK is not set; export LACK=",
        "ok       secret: `free` is not set, and optional\n",
        "fault    secret: secret `short`: the variable SHORT has only 3 bytes",
    ] {
        assert!(done.stdout.contains(line), "{line}\n{done}");
    }
    assert!(!format!("{}{}", done.stdout, done.stderr).contains("swordfish"), "{done}");
}

#[test]
fn a_workflow_with_faults_is_one_fault_and_the_rest_is_looked_at() {
    let place = Place::with("[nodes.a]\nstage = \"nope\"\n");
    let report = place.flow(&["doctor", "flow.toml", "--json"]).exits(1).json();
    assert_eq!(report["ok"], json!(false));
    let workflow = about(&report, "workflow");
    assert_eq!(workflow[0]["level"], "fault");
    assert_eq!(workflow[0]["fix"], "see the faults: flow validate flow.toml");
    assert_eq!(levels(&report, "time zones"), ["ok"]);
}

#[test]
fn a_store_that_cannot_be_read_is_a_fault_and_not_the_end() {
    let place = made();
    place.write(".flow/format", "999\n");
    let report = place.flow(&["doctor", "--json"]).exits(1).json();
    let store = about(&report, "store");
    assert_eq!(store[0]["level"], "fault");
    assert_eq!(store[0]["fix"], "use the newer version of flow that wrote it");
}
