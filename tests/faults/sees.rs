//! The rig sees: a story that is in order, with one thing wrong at a time.

use std::time::Duration;

use serde_json::json;

use crate::check::{Calm, violations};
use crate::engine::Done;
use crate::ledger::{Kind, Note, Outputs, Told};
use crate::point::{Action, Fault, Point};
use crate::shape::Shape;
use crate::story::{Chapter, Story};

fn note(kind: Kind, task: &str, attempt: u64) -> Note {
    Note { kind, task: task.to_owned(), attempt, key: format!("key of {task}") }
}

fn done(code: Option<i32>, hit: Option<usize>) -> Done {
    Done {
        code,
        stdout: String::new(),
        stderr: String::new(),
        calls: 100,
        hit,
        killed: code.is_none(),
        hung: false,
        took: Duration::ZERO,
    }
}

fn chapter(command: &'static str, fault: Fault, done: Done, before: usize) -> Chapter {
    Chapter { command, fault, done, before, told: Vec::new() }
}

fn outputs() -> Outputs {
    Outputs::from([("o".to_owned(), "d".to_owned())])
}

/// `a` is told of and the engine is killed in `b`, whose second attempt succeeds.
fn in_order() -> Story {
    let mut first = chapter("run", Fault::At(Action::Kill, 50), done(None, Some(0)), 0);
    first.told.push(Told { task: "a".to_owned(), attempt: 1, outputs: outputs() });
    let mut second = chapter("resume", Fault::None, done(Some(0), None), 3);
    second.told.push(Told { task: "b".to_owned(), attempt: 2, outputs: outputs() });
    let node = |name: &str, attempts: u64| {
        json!({
            "id": name, "status": "succeeded", "attempts": attempts, "items": [],
            "outputs": { "o": { "digest": "d" } },
        })
    };
    Story {
        chapters: vec![first, second],
        show: json!({
            "status": "succeeded", "outputs": { "o": "text" }, "nodes": [node("a", 1), node("b", 2)],
        }),
        notes: vec![
            note(Kind::Start, "a", 1),
            note(Kind::End, "a", 1),
            note(Kind::Start, "b", 1),
            note(Kind::Start, "b", 2),
            note(Kind::Act, "once", 1),
        ],
        survivors: Vec::new(),
        partial: Vec::new(),
        damaged: Vec::new(),
    }
}

/// What is found after a change, by the names of the invariants.
fn found(change: impl FnOnce(&mut Story)) -> Vec<String> {
    let mut story = in_order();
    let calm = Calm::of(&story);
    change(&mut story);
    let shape = Shape { name: "test", text: String::new(), asks: false, cached: false };
    let point = Point { shape: 0, faults: Vec::new(), power: false, plant: None };
    let name = |found: String| found.split_whitespace().next().unwrap_or("").to_owned();
    let mut names: Vec<String> =
        violations(&story, &calm, &shape, &point).into_iter().map(name).collect();
    names.dedup();
    names
}

#[test]
fn a_story_that_is_in_order_has_no_violation() {
    assert_eq!(found(|_| {}), Vec::<String>::new());
}

#[test]
fn a_result_that_was_told_and_is_gone_or_another_is_seen() {
    assert_eq!(found(|story| story.show["nodes"][0]["status"] = json!("pending")), ["I1", "I5"]);
    assert_eq!(
        found(|story| story.show["nodes"][1]["outputs"]["o"]["digest"] = json!("e")),
        ["I1", "I5"]
    );
}

#[test]
fn a_repetition_after_it_was_told_is_seen() {
    // In the next invocation, and within the same one.
    assert!(found(|story| story.notes.push(note(Kind::Start, "a", 1))).contains(&"I2".to_owned()));
    assert!(
        found(|story| story.notes.insert(2, note(Kind::Start, "a", 2))).contains(&"I2".to_owned())
    );
}

#[test]
fn more_attempts_than_crashes_explain_or_than_are_on_record_are_seen() {
    assert_eq!(found(|story| story.notes.push(note(Kind::Start, "b", 2))), ["I3"]);
    assert_eq!(found(|story| story.show["nodes"][1]["attempts"] = json!(1)), ["I3"]);
}

#[test]
fn two_attempts_at_once_and_another_result_are_seen() {
    assert_eq!(found(|story| story.notes.push(note(Kind::Overlap, "b", 2))), ["I4"]);
    assert_eq!(found(|story| story.show["outputs"] = json!({ "o": "other" })), ["I5"]);
}

#[test]
fn a_run_that_does_not_end_and_what_outlives_it_is_seen() {
    assert_eq!(found(|story| story.show["status"] = json!("interrupted")), ["I6"]);
    assert_eq!(found(|story| story.chapters[1].done.code = Some(4)), ["I6"]);
    assert_eq!(found(|story| story.chapters[1].done.hung = true), ["I6"]);
    assert_eq!(found(|story| story.survivors.push("1 sleep".to_owned())), ["I6"]);
}

#[test]
fn partial_objects_panics_and_repeated_acts_are_seen() {
    assert_eq!(found(|story| story.partial.push("abc".to_owned())), ["I7"]);
    assert_eq!(found(|story| story.damaged.push("an object".to_owned())), ["I7"]);
    assert_eq!(found(|story| story.chapters[0].done.code = Some(70)), ["I8"]);
    assert_eq!(found(|story| story.chapters[0].done.stderr = "panicked at x".to_owned()), ["I8"]);
    assert_eq!(found(|story| story.notes.push(note(Kind::Act, "once", 2))), ["I9"]);
    let other = Note { key: "other".to_owned(), ..note(Kind::Act, "again", 2) };
    let acts = [note(Kind::Act, "again", 1), other];
    assert_eq!(found(|story| story.notes.extend(acts)), ["I9"]);
}
