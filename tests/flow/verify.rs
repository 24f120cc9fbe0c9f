//! Checking a store, and setting right what can be.

use std::io::Write as _;

use insta::assert_snapshot;
use serde_json::json;

use super::damage::{damage_journal, flip, made, object};
use super::harness::pathless;

#[test]
fn a_whole_store_has_nothing_to_tell() {
    let place = made();
    let done = place.flow(&["verify"]).exits(0);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.ends_with(": nothing found\n"), "{done}");
    let json = place.flow(&["verify", "--json"]).exits(0).json();
    assert_eq!((&json["findings"], &json["repairs"]), (&json!([]), &json!(null)));
    assert!(json["bytes"].as_u64().unwrap() > 100_000, "{json}");
    assert_eq!(place.flow(&["verify", "-q"]).exits(0).stderr, "");
}

#[test]
fn a_damaged_object_is_named_with_what_needs_it_and_put_aside_and_made_again() {
    let place = made();
    flip(&object(&place, "precious"), 2);
    assert_snapshot!(pathless(&place.flow(&["verify"])), @r#"
    exit: 1
    --- stdout
    [dir]/.flow/objects/[object]: its bytes have the digest bfe20a03d96d; `flow verify --repair` moves it out of the way; `flow resume` of a run that needs it makes it again
    [dir]/.flow/objects/[object], run one, make, output file: its bytes are damaged, and this needs it; `flow resume one` makes it again if something still needs it, `flow rerun one 'make'` in any case
    --- stderr
    checked [files]: 2 found
    next: flow verify --repair
    next: flow rerun one make
    "#);
    assert_snapshot!(pathless(&place.flow(&["verify", "--repair"])), @r#"
    exit: 1
    --- stdout
    [dir]/.flow/objects/[object]: its bytes have the digest bfe20a03d96d; `flow verify --repair` moves it out of the way; `flow resume` of a run that needs it makes it again
    [dir]/.flow/objects/[object], run one, make, output file: its bytes are damaged, and this needs it; `flow resume one` makes it again if something still needs it, `flow rerun one 'make'` in any case
    --- stderr
    checked [files]: 2 found
    repaired: moved 1 damaged object to quarantine/
    next: flow rerun one make
    "#);
    // What was put aside is gone until it is made again.
    let missing = place.flow(&["verify", "--json"]).exits(1).json();
    let kinds: Vec<&str> = missing["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"missing") && kinds.contains(&"stray"), "{kinds:?}");
    assert_eq!(missing["next"], json!(["flow rerun one make"]));
    place.flow(&["rerun", "one", "make"]).exits(0);
    let done = place.flow(&["verify"]).exits(0);
    assert!(done.stdout.starts_with("note: "), "{done}");
}

#[test]
fn a_torn_end_is_dropped() {
    let place = made();
    let path = place.path(".flow/runs/one/journal");
    let whole = std::fs::read(&path).unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"torn").unwrap();
    let found = place.flow(&["verify", "--json"]).exits(1).json();
    assert_eq!(found["findings"][0]["kind"], "torn_end");
    assert_eq!(found["findings"][0]["offset"], json!(whole.len()));
    assert_eq!(found["next"], json!(["flow verify --repair"]));
    let repaired = place.flow(&["verify", "--repair", "--json"]).exits(1).json();
    assert_eq!(
        repaired["repairs"],
        json!({ "torn_ends": 1, "objects": 0, "moved": 0, "database": false })
    );
    place.flow(&["verify"]).exits(0);
    assert_eq!(place.show("one")["status"], "succeeded");
}

#[test]
fn a_damaged_database_is_made_again_and_nothing_is_lost() {
    let place = made();
    let before = place.show("one");
    std::fs::write(place.path(".flow/checkpoints/db"), vec![0xA5; 600_000]).unwrap();
    let doctor = place.flow(&["doctor"]).exits(1);
    assert!(doctor.stdout.contains("fault    checkpoints: the database is damaged"), "{doctor}");
    let repaired = place.flow(&["verify", "--repair", "--json"]).exits(1).json();
    assert_eq!(repaired["repairs"]["database"], json!(true));
    place.flow(&["verify"]).exits(0);
    assert_eq!(place.show("one"), before);
}

#[test]
fn a_journal_that_is_damaged_before_its_end_is_told_and_left_as_it_is() {
    let place = made();
    let path = place.path(".flow/runs/one/journal");
    damage_journal(&place);
    let damaged = std::fs::read(&path).unwrap();
    assert_snapshot!(pathless(&place.flow(&["verify", "--repair"])), @r#"
    exit: 1
    --- stdout
    [dir]/.flow/runs/one/journal at byte [offset], run one: the frame does not match its checksum; put back a copy of the run, or go on with a new one; its damaged record is never used
    --- stderr
    checked [files]: 1 found
    repaired: nothing that could be
    "#);
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
}
