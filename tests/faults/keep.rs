//! Crashes of everything else than a plain run: keeping a store, changing a run, and one of two
//! processes that share a store.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::disk::Disk;
use crate::engine::{Bench, Done};
use crate::ledger::{self, Kind, Shown};
use crate::point::{Action, Fault};
use crate::shape;
use crate::tools::{Tools, memory};

/// What is crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// `gc`, of one run of two that share results.
    Collect,
    /// `verify --repair`, of a store with a damaged object, a torn end and a damaged database.
    Repair,
    /// `export`.
    Export,
    /// `import`, into a store that is not there yet.
    Import,
    /// `resume --update`.
    Update,
    /// `rerun --adopt --downstream`.
    Adopt,
    /// A run beside another one that wants the same results at the same time.
    Beside,
}

impl Scene {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Collect,
        Self::Repair,
        Self::Export,
        Self::Import,
        Self::Update,
        Self::Adopt,
        Self::Beside,
    ];
}

/// What the scenes are like without faults.
pub(crate) struct Known {
    expected: Expected,
    /// Number of durable calls of what is crashed, in the order of [`Scene::ALL`].
    pub(crate) calls: Vec<u64>,
}

/// The results of the three workflows.
struct Expected {
    old: Results,
    new: Results,
    shared: Results,
}

/// What happens at one point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Index among all scenes.
    pub(crate) scene: usize,
    pub(crate) action: Action,
    pub(crate) call: u64,
    /// Whether the power is cut after the crash.
    pub(crate) power: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = if self.power { ", power cut" } else { "" };
        let scene = Scene::ALL[self.scene];
        write!(f, "{scene:?}: {}{power}", Fault::At(self.action, self.call))
    }
}

/// What came of a point.
pub(crate) struct Kept {
    /// Index of the class of the call that was hit.
    pub(crate) hit: Option<usize>,
    pub(crate) found: Vec<String>,
}

/// The outputs of all nodes of a run.
type Results = BTreeMap<String, Shown>;

/// Plays every scene without a fault; nothing may be wrong then.
pub(crate) fn known(tools: &Tools) -> Known {
    let disk = Disk::folder();
    let folder = || tempfile::Builder::new().prefix("rig-keep-").tempdir_in(memory()).unwrap();
    let first = folder();
    let mut stage = Stage::new(tools, &disk, first.path(), false);
    let expected = stage.expected();
    let calls = |scene: Scene| {
        let folder = folder();
        let mut stage = Stage::new(tools, &disk, folder.path(), false);
        let crashed = stage.play(scene, Fault::None, &expected);
        assert!(stage.found.is_empty(), "{scene:?} without faults: {:#?}", stage.found);
        crashed.calls
    };
    Known { calls: Scene::ALL.into_iter().map(calls).collect(), expected }
}

/// Lives through a point.
pub(crate) fn live(
    tools: &Tools,
    known: &Known,
    point: &Point,
    disk: &Disk,
    folder: &Path,
) -> Kept {
    let mut stage = Stage::new(tools, disk, folder, point.power);
    let fault = Fault::At(point.action, point.call);
    let crashed = stage.play(Scene::ALL[point.scene], fault, &known.expected);
    Kept { hit: crashed.hit, found: stage.found }
}

struct Stage<'a> {
    bench: Bench<'a>,
    disk: &'a Disk,
    power: bool,
    found: Vec<String>,
}

impl<'a> Stage<'a> {
    fn new(tools: &'a Tools, disk: &'a Disk, folder: &Path, power: bool) -> Self {
        disk.clear();
        let bench = bench(tools, folder, disk.root().join("store"));
        Self { bench, disk, power, found: Vec::new() }
    }

    fn expected(&mut self) -> Expected {
        self.both();
        self.run("shared", "shared.toml");
        assert!(self.found.is_empty(), "{:#?}", self.found);
        let [old, new, shared] = ["old", "new", "shared"].map(|run| self.results(run));
        Expected { old, new, shared }
    }

    fn play(&mut self, scene: Scene, fault: Fault, expected: &Expected) -> Done {
        let crashed = match scene {
            Scene::Collect => self.collect(fault, expected),
            Scene::Repair => self.repair(fault, expected),
            Scene::Export => self.export(fault, expected),
            Scene::Import => self.import(fault, expected),
            Scene::Update => self.update(fault, expected),
            Scene::Adopt => self.adopt(fault, expected),
            Scene::Beside => self.beside(fault, expected),
        };
        self.no_survivors();
        self.whole();
        crashed
    }

    fn collect(&mut self, fault: Fault, expected: &Expected) -> Done {
        self.both();
        let args = ["gc", "--keep-last", "1"];
        let crashed = self.crash(&args, fault);
        self.must(&args, &[0]);
        self.must(&["show", "old"], &[5]);
        self.expect("new", &[&expected.new]);
        crashed
    }

    fn repair(&mut self, fault: Fault, expected: &Expected) -> Done {
        self.both();
        self.damage();
        let args = ["verify", "--repair"];
        let crashed = self.crash(&args, fault);
        // What was repaired before the crash is not found again.
        self.must(&args, &[0, 1]);
        self.must(&["rerun", "new", "n1"], &[0]);
        self.expect("old", &[&expected.old]);
        self.expect("new", &[&expected.new]);
        crashed
    }

    fn export(&mut self, fault: Fault, expected: &Expected) -> Done {
        self.both();
        let file = self.file();
        let args = ["export", "new", "-o", &file];
        let crashed = self.crash(&args, fault);
        // A file that is there is whole, and is never written over.
        if !Path::new(&file).exists() {
            self.must(&args, &[0]);
        }
        let other = self.other();
        self.must(&["--store", &other, "import", &file], &[0]);
        self.expect_imported(&other, expected);
        crashed
    }

    fn import(&mut self, fault: Fault, expected: &Expected) -> Done {
        self.both();
        let (file, other) = (self.file(), self.other());
        self.must(&["export", "new", "-o", &file], &[0]);
        let args = ["--store", &other, "import", &file];
        let crashed = self.crash(&args, fault);
        self.must(&args, &[0, 6]);
        self.expect_imported(&other, expected);
        crashed
    }

    fn update(&mut self, fault: Fault, expected: &Expected) -> Done {
        self.run("old", "old.toml");
        let args = ["resume", "old", "--file", "new.toml", "--json"];
        let crashed = self.crash(&args, fault);
        let told = ledger::told(&crashed.stdout);
        let before = self.notes();
        self.must(&["resume", "old"], &[0]);
        let either = [&expected.new, &expected.old];
        self.expect("old", if told.is_empty() { &either } else { &either[..1] });
        self.must(&args, &[0]);
        self.expect("old", &[&expected.new]);
        for note in ledger::read(&self.bench.ledger()).split_off(before) {
            if note.kind == Kind::Start && told.iter().any(|told| told.task == note.task) {
                self.found.push(format!("I2 repeated after it was told: {}", note.task));
            }
        }
        crashed
    }

    fn adopt(&mut self, fault: Fault, expected: &Expected) -> Done {
        self.run("old", "old.toml");
        let size = format!("with.argv.2={NEW}");
        let args = ["rerun", "old", "n1", "--set", &size, "--adopt", "--downstream"];
        let crashed = self.crash(&args, fault);
        self.must(&["resume", "old"], &[0]);
        self.expect("old", &[&expected.old, &expected.new]);
        self.must(&args, &[0]);
        self.expect("old", &[&expected.new]);
        crashed
    }

    /// Of two runs that want the same results at the same time one is crashed; the other must not
    /// notice.
    fn beside(&mut self, fault: Fault, expected: &Expected) -> Done {
        let folder = self.bench.folder.join("beside");
        let other = bench(self.bench.tools, &folder, self.bench.store.clone());
        let run = |id| ["run", "shared.toml", "--run-id", id];
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| other.flow(&run("new"), Fault::None));
            let crashed = self.bench.flow(&run("old"), fault);
            let ended = beside.join().unwrap();
            other.survivors();
            self.ends(&run("new"), &ended, &[0]);
            self.crashed(&crashed);
            let is_there = self.bench.flow(&["show", "old"], Fault::None).code != Some(5);
            let again = if is_there { vec!["resume", "old"] } else { run("old").to_vec() };
            self.must(&again, &[0]);
            self.expect("old", &[&expected.shared]);
            self.expect("new", &[&expected.shared]);
            crashed
        })
    }

    /// Two runs, with a first node in common.
    fn both(&mut self) {
        self.run("old", "old.toml");
        self.run("new", "new.toml");
    }

    fn run(&mut self, id: &str, file: &str) {
        self.must(&["run", file, "--run-id", id], &[0]);
    }

    fn file(&self) -> String {
        self.disk.root().join("run.flow").display().to_string()
    }

    fn other(&self) -> String {
        self.disk.root().join("other").display().to_string()
    }

    fn notes(&self) -> usize {
        ledger::read(&self.bench.ledger()).len()
    }

    fn expect_imported(&mut self, store: &str, expected: &Expected) {
        self.expect("new", &[&expected.new]);
        let there = self.must(&["--store", store, "show", "new", "--json"], &[0]);
        self.equal("the imported run", &results(&there), &[&expected.new]);
        self.must(&["--store", store, "verify"], &[0]);
    }

    /// A changed object, a torn end, and a database that is none.
    fn damage(&mut self) {
        let digest = self.results("new")["n1"].outputs["o"].clone();
        let object = self.bench.store.join("objects").join(&digest[..2]).join(&digest[2..]);
        fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
        let file = File::options().write(true).open(&object).unwrap();
        file.write_all_at(b"#", 40_000).unwrap();
        let journal = self.bench.store.join("runs/old/journal");
        let mut journal = File::options().append(true).open(journal).unwrap();
        journal.write_all(&[7; 300]).unwrap();
        let database = File::options().write(true).open(self.bench.store.join("checkpoints/db"));
        database.unwrap().write_all_at(&[9; 64], 40).unwrap();
    }

    /// Runs what is to be crashed.
    fn crash(&mut self, args: &[&str], fault: Fault) -> Done {
        let done = self.bench.flow(args, fault);
        self.crashed(&done);
        done
    }

    fn crashed(&mut self, done: &Done) {
        let is_plain = done.hit.is_none() && !matches!(done.code, Some(0 | 1));
        if is_plain || done.hung || done.code == Some(70) || done.stderr.contains("panicked at") {
            self.found.push(format!("I8 ended with {:?}: {}", done.code, done.stderr));
        }
        if self.power && done.hit.is_some() {
            self.bench.survivors();
            self.disk.cut_power(self.bench.tools);
        }
    }

    /// Runs what must end with one of these codes.
    fn must(&mut self, args: &[&str], codes: &[i32]) -> Done {
        let done = self.bench.flow(args, Fault::None);
        self.ends(args, &done, codes);
        done
    }

    fn ends(&mut self, args: &[&str], done: &Done, codes: &[i32]) {
        if done.hung || !done.code.is_some_and(|code| codes.contains(&code)) {
            let Done { code, stdout, stderr, .. } = done;
            self.found.push(format!("I6 {args:?} ended with {code:?}: {stdout}{stderr}"));
        }
    }

    fn results(&self, run: &str) -> Results {
        results(&self.bench.flow(&["show", run, "--json"], Fault::None))
    }

    /// A run has one of these results.
    fn expect(&mut self, run: &str, allowed: &[&Results]) {
        let found = self.results(run);
        self.equal(run, &found, allowed);
    }

    fn equal(&mut self, what: &str, found: &Results, allowed: &[&Results]) {
        if !allowed.contains(&found) {
            self.found.push(format!("I5 {what}: {found:?} instead of {:?}", allowed[0]));
        }
    }

    fn no_survivors(&mut self) {
        let survivors = self.bench.survivors();
        self.found.extend(survivors.into_iter().map(|what| format!("I6 survived: {what}")));
    }

    /// Nothing in the store is damaged or lost, but perhaps the database, which is only an index: the
    /// next run that uses it makes it again.
    fn whole(&mut self) {
        let is_damaged = |found: &Value| found["kind"] == "database";
        let verify = self.bench.flow(&["verify", "--json"], Fault::None);
        let found: Value = serde_json::from_str(&verify.stdout).unwrap_or(Value::Null);
        if found["findings"].as_array().is_some_and(|found| found.iter().any(is_damaged)) {
            self.run("another", "shared.toml");
        }
        self.must(&["verify"], &[0]);
    }
}

/// Sizes of the second node in the two versions.
const OLD: &str = "80000";
const NEW: &str = "80001";

/// A store with the workflows of the scenes beside it.
fn bench<'a>(tools: &'a Tools, folder: &Path, store: PathBuf) -> Bench<'a> {
    fs::create_dir_all(folder.join("locks")).unwrap();
    let stage = tools.stage().display().to_string();
    let files = [("old", OLD, ""), ("new", NEW, ""), ("shared", OLD, "cache = \"forever\"")];
    for (name, size, rest) in files {
        let text = shape::kept(&stage, size, rest);
        fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    }
    Bench { tools, folder: folder.to_owned(), store, plant: None }
}

/// What `flow show` says of all nodes, whatever it took to get there.
fn results(show: &Done) -> Results {
    let shown = ledger::shown(&serde_json::from_str(&show.stdout).unwrap_or(Value::Null));
    shown.into_iter().map(|(task, shown)| (task, Shown { attempts: 0, ..shown })).collect()
}
