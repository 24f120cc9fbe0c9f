//! Every file of a store in turn is replaced by something else, or damaged. Whatever meets it ends,
//! names it, and nothing wrong is ever given out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::harness::{Done, Place};

/// `one` succeeds, `two` fails at its gate as long as there is no file `open`.
const WORKFLOW: &str = r#"
[pools]
few = 1
[rates]
often = "1000/s"
[nodes.make]
stage = "command"
cache = "forever"
pool = "few"
rate = "often"
with = { shell = "echo told; echo precious > out.txt" }
outputs.file = { type = "file", path = "out.txt" }
[nodes.text]
stage = "command"
with = { shell = "seq -s ' ' 1 20000" }
outputs.text = "string"
[nodes.tree]
stage = "command"
with = { shell = "mkdir d; echo leaf > d/f; echo said >&2" }
outputs.tree = { type = "dir", path = "d" }
[nodes.gate]
stage = "command"
inputs = { file = "make.file", text = "text.text", tree = "tree.tree" }
with = { shell = "test -e $DIR/open && cat inputs/file/* inputs/tree/*/f && wc -c < inputs/text.json", env = { DIR = "{{ workflow.dir }}" } }
outputs.all = "string"
[outputs]
all = "gate.all"
"#;

/// What `two` gives when it has gone through its gate.
const RESULT: &str = "precious\nleaf\n108895";

/// The commands, in an order in which the earlier ones change least.
const COMMANDS: [&[&str]; 11] = [
    &["verify"],
    &["runs"],
    &["show", "two"],
    &["logs", "two"],
    &["why", "two", "make"],
    &["diff", "one", "two"],
    &["doctor"],
    &["gc", "--keep-last", "0", "--dry-run"],
    &["output", "two", "make.file"],
    &["cancel", "one"],
    &["resume", "two"],
];

/// So many of them come first that change nothing.
const READERS: usize = 7;

/// Every other file, so that no test takes long.
#[derive(Clone, Copy)]
enum Share {
    Even,
    Odd,
    All,
}

impl Share {
    fn of(self, files: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
        let is_in = move |n: usize| match self {
            Self::Even => n.is_multiple_of(2),
            Self::Odd => !n.is_multiple_of(2),
            Self::All => true,
        };
        files.iter().enumerate().filter(move |(n, _)| is_in(*n)).map(|(_, file)| file)
    }
}

/// A store that is put back before each change.
struct Sweep {
    place: Place,
    /// Its files, relative to the store.
    files: Vec<PathBuf>,
}

impl Sweep {
    fn new() -> Self {
        let place = Place::with(WORKFLOW);
        place.write("open", "");
        place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
        fs::remove_file(place.path("open")).unwrap();
        place.flow(&["run", "flow.toml", "--run-id", "two"]).exits(1);
        place.flow(&["cache", "clear"]).exits(0);
        // Both are there only at times: while a run is looked at, and while a process has the database.
        place.flow(&["gc"]).exits(0);
        fs::rename(place.path(".flow"), place.path("whole")).unwrap();
        let mut files = Vec::new();
        list(&place.path("whole"), Path::new(""), &mut files);
        // What is in the working folder of a failed attempt is for people to look at.
        files.retain(|file| !file.starts_with("scratch"));
        // One file of the other run stands for all of them.
        files.retain(|file| !file.starts_with("runs/one") || file.ends_with("journal"));
        files.sort();
        assert!(files.len() > 26, "{files:?}");
        Self { place, files }
    }

    /// The store as it was, but for one file.
    fn with(&self, file: &Path, change: &dyn Fn(&Path)) {
        fs::remove_dir_all(self.place.path(".flow")).ok();
        copy(&self.place.path("whole"), &self.place.path(".flow"));
        fs::remove_file(self.place.path("open")).ok();
        change(&self.place.path(".flow").join(file));
    }

    /// Runs a command, which must end as commands end.
    fn run(&self, args: &[&str]) -> Done {
        let done = self.place.finish_in_time(self.place.command(args));
        assert!(done.code.is_some_and(|code| code <= 7), "{args:?}: {done}");
        assert!(!done.stderr.contains("panicked"), "{args:?}: {done}");
        done
    }

    /// How each command ends where nothing is changed.
    fn usual(&self) -> BTreeMap<usize, Option<i32>> {
        self.with(Path::new("format"), &|_| {});
        (0..COMMANDS.len()).map(|n| (n, self.run(COMMANDS[n]).code)).collect()
    }

    /// Repairs the store and lets `two` go on.
    fn repair_and_resume(&self) -> Done {
        self.run(&["verify", "--repair"]);
        self.place.write("open", "");
        self.run(&["resume", "two"])
    }

    /// What is wrong, if a repaired store does not bring `two` to its end, with the right result; or if what
    /// cannot be made again is not named.
    fn fault_after_repair(&self, file: &Path) -> Option<String> {
        let named = format!(".flow/{}", file.display());
        let done = self.repair_and_resume();
        let is_right = match is_recorded(file) {
            true => done.code == Some(4) && done.stderr.contains(&named),
            false => {
                let result = self.run(&["output", "two", "gate.all"]);
                done.code == Some(0) && result.stdout.trim_end() == RESULT
            }
        };
        (!is_right).then(|| format!("{named}, repaired: {done}"))
    }
}

fn list(root: &Path, below: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            list(root, &path, files);
        } else {
            files.push(path);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Which commands meet what was put there: those that cost most only where they may behave differently.
#[derive(Clone, Copy, PartialEq)]
enum Meets {
    All,
    Readers,
    ReadersAndRepair,
}

impl Meets {
    fn has(self, n: usize) -> bool {
        self == Self::All
            || matches!(COMMANDS[n][0], "verify" | "runs" | "show" | "logs" | "output" | "resume")
    }
}

/// Puts something else in the place of every file of a share, and looks at what commands make of it.
fn replaced_by(kind: &str, meets: Meets, share: Share, put: &dyn Fn(&Path)) {
    let sweep = Sweep::new();
    let usual = sweep.usual();
    let mut faults = Vec::new();
    let replace = |path: &Path| {
        fs::remove_file(path).unwrap();
        put(path);
    };
    for file in share.of(&sweep.files) {
        let named = format!(".flow/{}", file.display());
        for (n, args) in COMMANDS.iter().enumerate().filter(|(n, _)| meets.has(*n)) {
            // The first ones change nothing.
            if n == 0 || n >= READERS {
                sweep.with(file, &replace);
            }
            let done = sweep.run(args);
            let context = format!("{kind} at {named}, {args:?}: {done}");
            let told = done.stdout.contains(&named) || done.stderr.contains(&named);
            let says_what = done.stderr.contains(kind) || done.stdout.contains(kind);
            let is_told = match n {
                0 => told && says_what && done.code != Some(0),
                _ => told || done.code == usual[&n],
            };
            faults.extend((!is_told).then_some(context));
        }
        if meets != Meets::Readers {
            sweep.with(file, &replace);
            faults.extend(sweep.fault_after_repair(file).map(|fault| format!("{kind}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// What cannot be made again: without it `two` does not go on.
fn is_recorded(file: &Path) -> bool {
    let of_two = ["journal", "manifest.json", "workflow.toml"];
    file == Path::new("format")
        || of_two.iter().any(|name| file == Path::new("runs/two").join(name))
}

fn make_pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_in_the_place_of_any_file_is_named_and_not_waited_for() {
    replaced_by("a named pipe", Meets::All, Share::Even, &make_pipe);
}

#[test]
fn a_pipe_in_the_place_of_any_other_file_is_named_and_not_waited_for() {
    replaced_by("a named pipe", Meets::All, Share::Odd, &make_pipe);
}

#[test]
fn a_folder_in_the_place_of_any_file_is_named() {
    let make = |path: &Path| fs::create_dir(path).unwrap();
    replaced_by("a folder", Meets::ReadersAndRepair, Share::All, &make);
}

#[test]
fn a_link_to_nowhere_in_the_place_of_any_file_is_named() {
    let make = |path: &Path| symlink("../nowhere", path).unwrap();
    replaced_by("a link", Meets::Readers, Share::All, &make);
}

#[test]
fn a_socket_in_the_place_of_any_file_is_named() {
    // The address of a socket is short, so that it is made elsewhere and put there.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let make = |path: &Path| {
        drop(UnixListener::bind(&socket).unwrap());
        fs::rename(&socket, path).unwrap();
    };
    replaced_by("a socket", Meets::Readers, Share::All, &make);
}

/// What may happen to the bytes of a file, with the words for it.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 4] = [
    ("a flipped bit in", |path| {
        let mut bytes = fs::read(path).unwrap();
        if let Some(at) = (bytes.len() / 2).checked_sub(1) {
            bytes[at] ^= 4;
        }
        write_anew(path, &bytes);
    }),
    ("half of", |path| {
        let bytes = fs::read(path).unwrap();
        write_anew(path, &bytes[..bytes.len() / 2]);
    }),
    ("nothing in", |path| write_anew(path, b"")),
    ("the loss of", |path| fs::remove_file(path).unwrap()),
];

fn write_anew(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Files whose bytes nothing is ever taken from: locks.
fn is_harmless(file: &Path) -> bool {
    let text = file.to_string_lossy();
    text.ends_with("lock")
        || text.ends_with("programs")
        || ["flights", "objects.users"].contains(&&*text)
        || text.starts_with("pools/")
}

/// Files that are for people alone. Of them it is told what is wrong, and no result changes.
fn is_for_people(file: &Path) -> bool {
    let text = file.to_string_lossy();
    text.starts_with("logs/") || text.contains("/output/")
}

/// Whether a check can tell damage of a file for people: nobody knows how long a log was.
fn is_told_of(file: &Path, words: &str) -> bool {
    words == DAMAGES[0].0 || !file.starts_with("logs")
}

/// Files that only spare work. What is wrong in them is found where it can be, and changes no answer.
fn is_cache(file: &Path) -> bool {
    let text = file.to_string_lossy();
    text == "runs.list"
        || text.starts_with("checkpoints/")
        || text.starts_with("rates/")
        || text == "cache.removed"
}

/// Damages every file of a share in every way.
fn damaged(share: Share) {
    let sweep = Sweep::new();
    let mut faults = Vec::new();
    for file in share.of(&sweep.files) {
        let named = format!(".flow/{}", file.display());
        for (words, damage) in DAMAGES {
            sweep.with(file, &damage);
            let verified = sweep.run(&["verify"]);
            let shown = sweep.run(&["show", "two", "--json"]);
            let given = sweep.run(&["output", "two", "make.file"]);
            let is_named =
                |done: &Done| done.stdout.contains(&named) || done.stderr.contains(&named);
            let is_whole = shown.code == Some(0) && given.stdout == "precious\n";
            let is_told = match is_harmless(file) || is_cache(file) {
                true => is_whole,
                false if is_for_people(file) => {
                    is_whole && (is_named(&verified) || !is_told_of(file, words))
                }
                false => {
                    let met =
                        [&shown, &given].iter().all(|done| done.code == Some(0) || is_named(done));
                    verified.code != Some(0) && is_named(&verified) && met
                }
            };
            if !is_told || given.code == Some(0) && given.stdout != "precious\n" {
                faults.push(format!("{words} {named}: {verified}{shown}{given}"));
            }
            faults.extend(sweep.fault_after_repair(file).map(|fault| format!("{words} {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn damage_of_any_file_is_named_or_harmless_and_the_run_goes_on_to_the_right_result() {
    damaged(Share::Even);
}

#[test]
fn damage_of_any_other_file_is_named_or_harmless_and_the_run_goes_on_to_the_right_result() {
    damaged(Share::Odd);
}
