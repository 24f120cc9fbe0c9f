//! What happened at one point: the run is begun, crashed, and taken up until it is done.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::disk::Disk;
use crate::engine::{Bench, Done};
use crate::ledger::{self, Note, Told};
use crate::point::{Fault, Point};
use crate::replay::Recording;
use crate::shape::Shape;
use crate::tools::Tools;

/// So many invocations bring any run to its end.
const LIMIT: usize = 16;

/// All that is known of a point after its end.
pub(crate) struct Story {
    pub(crate) chapters: Vec<Chapter>,
    /// What `flow show` says at the end.
    pub(crate) show: Value,
    pub(crate) notes: Vec<Note>,
    /// Processes that outlived all engines.
    pub(crate) survivors: Vec<String>,
    /// Objects whose bytes are not what their names say.
    pub(crate) partial: Vec<String>,
    /// What `flow verify` finds of the run at the end, where it is asked.
    pub(crate) damaged: Vec<String>,
}

/// One invocation.
pub(crate) struct Chapter {
    pub(crate) command: &'static str,
    pub(crate) fault: Fault,
    pub(crate) done: Done,
    /// The notes before it began.
    pub(crate) before: usize,
    pub(crate) told: Vec<Told>,
}

impl Chapter {
    /// Whether it ended as it may where nothing happens: the run is done, was never recorded, or
    /// waits; or nothing is asked yet.
    pub(crate) fn is_in_order(&self) -> bool {
        match self.command {
            "approve" => matches!(self.done.code, Some(0 | 6)),
            _ => matches!(self.done.code, Some(0 | 5 | 7)),
        }
    }

    /// Whether something happened to it.
    pub(crate) fn was_hit(&self) -> bool {
        let from_outside = matches!(self.fault, Fault::After(_) | Fault::Cut(_));
        self.done.hit.is_some() || (from_outside && self.done.killed)
    }
}

/// Lives through a point.
pub(crate) fn live(
    tools: &Tools,
    shape: &Shape,
    point: &Point,
    disk: &Disk,
    folder: &Path,
) -> Story {
    disk.clear();
    let store = disk.root().join("store");
    let bench = Bench { tools, folder: folder.to_owned(), store, plant: point.plant };
    fs::create_dir_all(folder.join("locks")).unwrap();
    fs::write(folder.join("flow.toml"), &shape.text).unwrap();
    if shape.cached {
        let first = bench.flow(&["run", "flow.toml", "--run-id", "first"], Fault::None);
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        fs::remove_file(bench.ledger()).unwrap();
    }
    let mut told = Telling { bench: &bench, disk, point, chapters: Vec::new() };
    told.go_on(shape, "run");
    if point.power && point.plant.is_none() {
        // What a run that is done has told outlives a power cut as well.
        told.cut();
        told.invoke("resume");
    }
    let chapters = told.chapters;
    end(&bench, chapters)
}

/// Lives on from what a power cut within a recording has left; `None` where the file system itself
/// did not survive it.
pub(crate) fn live_on(
    tools: &Tools,
    shape: &Shape,
    point: &Point,
    disk: &Disk,
    folder: &Path,
    recording: &Recording,
) -> Option<Story> {
    let Some(Fault::Cut(cut)) = point.faults.first() else { panic!("a point of another kind") };
    let before = recording.before(cut);
    disk.load(&before.image).then_some(())?;
    let bench =
        Bench { tools, folder: folder.to_owned(), store: disk.root().join("store"), plant: None };
    fs::create_dir_all(folder.join("locks")).unwrap();
    fs::write(folder.join("flow.toml"), &shape.text).unwrap();
    fs::write(bench.ledger(), before.ledger).unwrap();
    let fault = Fault::Cut(*cut);
    let first = Chapter { command: "run", fault, done: Done::cut(), before: 0, told: before.told };
    let mut told = Telling { bench: &bench, disk, point, chapters: vec![first] };
    let command = if bench.store.join("format").exists() { "resume" } else { "run" };
    told.go_on(shape, command);
    let chapters = told.chapters;
    let verify = bench.flow(&["verify", "--json"], Fault::None);
    Some(Story { damaged: damaged(&verify), ..end(&bench, chapters) })
}

/// What is to be seen at the end.
fn end(bench: &Bench, chapters: Vec<Chapter>) -> Story {
    let show = bench.flow(&["show", "r", "--json"], Fault::None);
    Story {
        chapters,
        show: serde_json::from_str(&show.stdout).unwrap_or(Value::Null),
        survivors: bench.survivors(),
        partial: partial(&bench.store.join("objects")),
        notes: ledger::read(&bench.ledger()),
        damaged: Vec::new(),
    }
}

/// What a check of the store says, but for what it may: that an older run, which nobody has taken up
/// again, has a torn end.
fn damaged(verify: &Done) -> Vec<String> {
    let Ok(found) = serde_json::from_str::<Value>(&verify.stdout) else {
        return vec![format!("verify ended with {:?}: {}", verify.code, verify.stderr)];
    };
    let findings = found["findings"].as_array().cloned().unwrap_or_default();
    let is_damage = |finding: &&Value| {
        let torn_end = finding["kind"] == "torn_end" && finding["run"] == "first";
        finding["note"] != true && !torn_end
    };
    findings.iter().filter(is_damage).map(Value::to_string).collect()
}

struct Telling<'a> {
    bench: &'a Bench<'a>,
    disk: &'a Disk,
    point: &'a Point,
    chapters: Vec<Chapter>,
}

impl Telling<'_> {
    /// Goes on until the run is done, or nothing leads further.
    fn go_on(&mut self, shape: &Shape, first: &'static str) {
        let mut command = first;
        while self.chapters.len() < LIMIT {
            let code = self.invoke(command);
            let calm = !self.chapters.last().is_some_and(Chapter::was_hit);
            command = match (command, code) {
                _ if !self.bench.store.join("format").exists() => "run",
                ("run" | "resume", Some(0)) => return,
                ("run" | "resume", Some(7)) if shape.asks => "approve",
                // The run was never recorded.
                ("resume", Some(5)) => "run",
                _ => "resume",
            };
            // Nothing happened, and yet it did not end: what follows would be no other.
            if calm && !self.chapters.last().is_some_and(Chapter::is_in_order) {
                return;
            }
        }
    }

    fn invoke(&mut self, command: &'static str) -> Option<i32> {
        let fault = self.point.faults.get(self.chapters.len()).copied().unwrap_or(Fault::None);
        let before = ledger::read(&self.bench.ledger()).len();
        let args: &[&str] = match command {
            "run" => &["run", "flow.toml", "--run-id", "r", "--json", "--no-wait"],
            "approve" => &["approve", "r", "ask"],
            _ => &["resume", "r", "--json", "--no-wait"],
        };
        let done = self.bench.flow(args, fault);
        let code = done.code;
        let told = ledger::told(&done.stdout);
        self.chapters.push(Chapter { command, fault, done, before, told });
        if self.chapters.last().is_some_and(Chapter::was_hit) {
            self.settle();
        }
        code
    }

    /// What is to happen between a crash and the next invocation: nothing, unless the power is cut.
    /// It is for the engine to wait for what is still being ended.
    fn settle(&self) {
        if self.point.power {
            self.cut();
        }
    }

    fn cut(&self) {
        // A power cut leaves no process; here they must be gone before the disk can be.
        self.bench.survivors();
        self.disk.cut_power(self.bench.tools);
    }
}

/// Hashes every object.
fn partial(objects: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for folder in fs::read_dir(objects).into_iter().flatten().flatten() {
        for object in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let bytes = fs::read(object.path()).unwrap();
            let (first, rest) = (folder.file_name(), object.file_name());
            let name = format!("{}{}", first.display(), rest.display());
            if blake3::hash(&bytes).to_hex().as_str() != name {
                wrong.push(format!("{name} has {} bytes", bytes.len()));
            }
        }
    }
    wrong
}
