//! Lists of runs that need not read every record again, and say the same as if they did.

use std::fs;
use std::time::{Duration, SystemTime};

use super::damage::flip;
use super::harness::Place;

const NOTES: &str = ".flow/runs.notes";

/// A place with a run that succeeded and one that failed, written an hour ago as it seems: what
/// was written just now is not noted.
fn settled() -> Place {
    let place = Place::with(
        r#"
[params]
code = { type = "integer", default = 0 }
[nodes.make]
stage = "command"
with = { shell = "echo made > out.txt; exit {{ params.code }}" }
outputs.file = { type = "file", path = "out.txt" }
[outputs]
file = "make.file"
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "good"]).exits(0);
    place.flow(&["run", "flow.toml", "--run-id", "bad", "--param", "code=3"]).exits(1);
    for run in ["good", "bad"] {
        settle(&place, run);
    }
    place
}

fn settle(place: &Place, run: &str) {
    let journal = fs::File::options()
        .write(true)
        .open(place.path(&format!(".flow/runs/{run}/journal")))
        .unwrap();
    journal.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

/// What both forms of the list say.
fn lists(place: &Place) -> [String; 2] {
    let table = place.flow(&["runs"]).exits(0).stdout;
    [table, place.flow(&["runs", "--json"]).exits(0).stdout]
}

#[test]
fn a_list_says_the_same_with_and_without_what_was_noted() {
    let place = settled();
    let first = lists(&place);
    let notes = place.read(NOTES);
    assert!(notes.contains("good ") && notes.contains("bad "), "{notes}");
    assert_eq!(lists(&place), first);
    assert_eq!(place.read(NOTES), notes, "what is noted is not noted again");
    for filter in [&["--status", "failed"][..], &["--workflow", "test"], &["--last", "1h"]] {
        let noted = place.flow(&[&["runs", "--json"], filter].concat()).exits(0).stdout;
        fs::rename(place.path(NOTES), place.path("aside")).unwrap();
        let read = place.flow(&[&["runs", "--json"], filter].concat()).exits(0).stdout;
        fs::rename(place.path("aside"), place.path(NOTES)).unwrap();
        assert_eq!(noted, read, "{filter:?}");
    }
}

#[test]
fn what_was_noted_of_a_run_does_not_outlive_a_change_of_it() {
    let place = settled();
    lists(&place);
    place.flow(&["resume", "bad", "--update", "--param", "code=0"]).exits(0);
    let [table, _] = lists(&place);
    assert!(!table.contains("failed"), "{table}");
    settle(&place, "bad");
    assert_eq!(lists(&place)[0], table);
    place.flow(&["gc", "--keep-last", "1"]).exits(0);
    assert_eq!(place.read(NOTES), "", "nothing of a removed run stays");
    let [table, _] = lists(&place);
    assert_eq!(table.lines().count(), 2, "{table}");
}

#[test]
fn damaged_notes_change_no_answer_and_are_named() {
    let place = settled();
    let first = lists(&place);
    let notes = place.path(NOTES);
    let sound = fs::read(&notes).unwrap();
    for place_in in (0..sound.len()).step_by(sound.len() / 12) {
        fs::write(&notes, &sound).unwrap();
        flip(&notes, place_in);
        assert_eq!(lists(&place), first, "byte {place_in}");
    }
    fs::write(&notes, &sound[..sound.len() / 2]).unwrap();
    assert_eq!(lists(&place), first);
    fs::write(&notes, &sound).unwrap();
    flip(&notes, sound.len() / 2);
    let found = place.flow(&["verify"]).exits(1);
    assert!(found.stdout.contains("runs.notes"), "{}", found.stdout);
    fs::remove_file(&notes).unwrap();
    fs::create_dir(&notes).unwrap();
    assert_eq!(lists(&place), first);
}
