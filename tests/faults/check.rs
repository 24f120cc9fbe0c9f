//! The invariants: what must hold after any crash.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::ledger::{self, Kind, Note, Shown};
use crate::point::{Action, Fault, Point};
use crate::shape::Shape;
use crate::story::{Chapter, Story};

/// The same workflow without any fault.
pub(crate) struct Calm {
    pub(crate) tasks: BTreeMap<String, Shown>,
    pub(crate) outputs: Value,
}

impl Calm {
    /// What a story without faults ended with.
    pub(crate) fn of(story: &Story) -> Self {
        Self { tasks: ledger::shown(&story.show), outputs: story.show["outputs"].clone() }
    }
}

/// All that does not hold, each with the name of its invariant.
pub(crate) fn violations(story: &Story, calm: &Calm, shape: &Shape, point: &Point) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(lost(story).map(|what| format!("I1 lost: {what}")));
    found.extend(repeated(story).map(|what| format!("I2 repeated after it was told: {what}")));
    found.extend(too_often(story, point).map(|what| format!("I3 repeated too often: {what}")));
    found.extend(overlaps(story).map(|what| format!("I4 two attempts at once: {what}")));
    found.extend(differs(story, calm).map(|what| format!("I5 another result: {what}")));
    found.extend(hangs(story).map(|what| format!("I6 not brought to its end: {what}")));
    found.extend(story.survivors.iter().map(|what| format!("I6 survived: {what}")));
    found.extend(story.partial.iter().map(|what| format!("I7 partial object: {what}")));
    found.extend(story.damaged.iter().map(|what| format!("I7 damaged: {what}")));
    found.extend(story.chapters.iter().filter_map(panicked).map(|what| format!("I8 {what}")));
    found.extend(acts(story).map(|what| format!("I9 act on the world: {what}")));
    if shape.cached {
        found.extend(not_reused(story).map(|what| format!("I2 not taken from the cache: {what}")));
    }
    found
}

/// Results that were told and are not there, or are others.
fn lost(story: &Story) -> impl Iterator<Item = String> {
    let shown = ledger::shown(&story.show);
    story.chapters.iter().flat_map(|chapter| &chapter.told).filter_map(move |told| {
        let now = shown.get(&told.task);
        let kept = now.is_some_and(|now| now.status == "succeeded" && now.outputs == told.outputs);
        (!kept).then(|| format!("{} attempt {}, now {now:?}", told.task, told.attempt))
    })
}

/// Starts of tasks after they were told to have succeeded: in a later invocation, or by number.
fn repeated(story: &Story) -> impl Iterator<Item = String> {
    let mut told = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (number, chapter) in story.chapters.iter().enumerate() {
        let end = story.chapters.get(number + 1).map_or(story.notes.len(), |next| next.before);
        for note in starts(&story.notes[chapter.before..end]) {
            if told.contains_key(&note.task) {
                found.insert(note.task.clone());
            }
        }
        told.extend(chapter.told.iter().map(|told| (told.task.clone(), told.attempt)));
    }
    let later = |note: &&Note| told.get(&note.task).is_some_and(|attempt| note.attempt > *attempt);
    found.extend(starts(&story.notes).filter(later).map(|note| note.task.clone()));
    // What is to run at the end of each invocation does.
    found.into_iter().filter(|task| task != "always")
}

fn starts(notes: &[Note]) -> impl Iterator<Item = &Note> {
    notes.iter().filter(|note| note.kind == Kind::Start)
}

/// A kill costs each task one attempt at most, and every attempt is on record. An error costs as
/// many as the policy allows in that invocation.
fn too_often(story: &Story, point: &Point) -> impl Iterator<Item = String> {
    let deadly = |chapter: &Chapter| match chapter.fault {
        Fault::At(action, _) => matches!(action, Action::Kill | Action::Torn),
        _ => true,
    };
    let budget: usize = story
        .chapters
        .iter()
        .map(|c| {
            if !c.was_hit() {
                0
            } else if deadly(c) {
                1
            } else {
                4
            }
        })
        .sum();
    let shown = ledger::shown(&story.show);
    let mut counts = BTreeMap::<&str, usize>::new();
    for note in starts(&story.notes) {
        *counts.entry(&note.task).or_default() += 1;
    }
    let invocations = story.chapters.len();
    let mut found = Vec::new();
    for (task, count) in counts {
        // `other` fails and has a second way.
        let allowed = match task {
            "always" => invocations,
            "other" => 2 * (1 + budget),
            _ => 1 + budget,
        };
        if count > allowed {
            found.push(format!("{task} began {count} times, {allowed} are allowed"));
        }
        // After a power cut there is no record of starts, and no process either.
        let recorded = shown.get(task).map_or(0, |shown| shown.attempts);
        if !point.power && recorded < count as u64 {
            found.push(format!("{task} began {count} times, {recorded} are on record"));
        }
    }
    found.into_iter()
}

fn overlaps(story: &Story) -> impl Iterator<Item = String> {
    let overlap = |note: &&Note| note.kind == Kind::Overlap;
    story.notes.iter().filter(overlap).map(|note| format!("{} attempt {}", note.task, note.attempt))
}

fn differs(story: &Story, calm: &Calm) -> impl Iterator<Item = String> {
    let now = Calm::of(story);
    let mut found = Vec::new();
    if now.outputs != calm.outputs {
        found.push(format!("{} instead of {}", now.outputs, calm.outputs));
    }
    for (task, expected) in &calm.tasks {
        // An answer carries the time at which it was given.
        let found_here = now.tasks.get(task).map(|task| (&task.status, &task.outputs));
        if task != "ask" && found_here != Some((&expected.status, &expected.outputs)) {
            found.push(format!("{task}: {found_here:?} instead of {expected:?}"));
        }
    }
    found.into_iter()
}

/// Without a fault an invocation ends the run, or says what it waits for.
fn hangs(story: &Story) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    for chapter in &story.chapters {
        let Chapter { command, fault, done, .. } = chapter;
        if done.hung {
            found.push(format!("`{command}` under {fault} hangs"));
        } else if !chapter.was_hit() && !chapter.is_in_order() {
            found.push(format!("`{command}` ended with {:?}: {}", done.code, done.stderr));
        }
    }
    let status = story.show["status"].as_str().unwrap_or("not there");
    if status != "succeeded" {
        found.push(format!("the run is {status}"));
    }
    found.into_iter()
}

fn panicked(chapter: &Chapter) -> Option<String> {
    let Chapter { command, fault, done, .. } = chapter;
    let panicked = done.code == Some(70) || done.stderr.contains("panicked at");
    // A signal of its own, such as an abort, is no ordinary end either.
    let aborted = done.code.is_none() && !done.killed;
    (panicked || aborted).then(|| format!("`{command}` under {fault}: {}", done.stderr))
}

/// The act with a probe happens once, whatever happens; the one that may be repeated always has
/// the same key.
fn acts(story: &Story) -> impl Iterator<Item = String> {
    let acts: Vec<&Note> = story.notes.iter().filter(|note| note.kind == Kind::Act).collect();
    let mut found = Vec::new();
    let once = acts.iter().filter(|note| note.task == "once").count();
    if once > 1 {
        found.push(format!("`once` acted {once} times"));
    }
    let keys: BTreeSet<(&str, &str)> =
        acts.iter().map(|note| (note.task.as_str(), note.key.as_str())).collect();
    let tasks: BTreeSet<&str> = acts.iter().map(|note| note.task.as_str()).collect();
    if keys.len() > tasks.len() {
        found.push(format!("several keys: {keys:?}"));
    }
    found.into_iter()
}

fn not_reused(story: &Story) -> impl Iterator<Item = String> {
    let ran: BTreeSet<&str> = starts(&story.notes).map(|note| note.task.as_str()).collect();
    ran.into_iter()
        .filter(|task| task.starts_with("cached-"))
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}
