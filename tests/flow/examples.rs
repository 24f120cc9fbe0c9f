//! Every example runs, and gives what its first comment says.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::harness::Place;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    all.sort();
    all
}

/// What the line `# gives: {…}` of the first comment says.
fn gives(text: &str) -> Option<Value> {
    let head = text.lines().take_while(|line| line.starts_with('#'));
    let line = head.filter_map(|line| line.strip_prefix("# gives: ")).next()?;
    Some(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

/// Whether a value has everything that is expected: an object may have more.
fn has(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|found| has(found, value))),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| has(f, e))
        }
        _ => found == expected,
    }
}

/// Gives the answers that the first comment gives, and goes on.
fn answer(place: &Place, text: &str) {
    let head = text.lines().take_while(|line| line.starts_with('#'));
    for line in head.filter_map(|line| line.strip_prefix("#     flow approve latest ")) {
        let (node, comment) = line.split_once(" --comment ").unwrap();
        let comment = comment.trim_matches('"');
        place.flow(&["approve", "latest", node, "--comment", comment]).exits(0);
    }
    place.flow(&["resume", "latest"]).exits(0);
}

#[test]
fn every_example_gives_what_it_says() {
    let all = examples();
    assert!(all.len() > 10, "only {} examples", all.len());
    for path in all {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let Some(expected) = gives(&text) else {
            assert!(
                text.contains("# This one needs the network"),
                "{name} does not say what it gives"
            );
            Place::new().flow(&["validate", &path.to_string_lossy()]).exits(0);
            continue;
        };
        let place = Place::new();
        let mut command = place.command(&["run", &path.to_string_lossy(), "--no-wait"]);
        command.env("SERVICE_TOKEN", "0123456789ab");
        let run = place.finish(command);
        if run.code == Some(7) {
            answer(&place, &text);
        } else {
            assert_eq!(run.code, Some(0), "{name}: {run}");
        }
        let found = place.flow(&["output", "latest"]).exits(0).json();
        assert!(has(&found, &expected), "{name} gives {found}, and says {expected}");
    }
}
