//! A folder with files, the binary in it, and what it said, with what differs from time to time
//! replaced by words.

use std::fmt;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

/// How long a condition is waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own for a test.
pub(crate) struct Place {
    dir: TempDir,
}

/// What the binary said, and how it ended.
pub(crate) struct Done {
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    dir: PathBuf,
}

impl Place {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// A folder with `flow.toml`: a head with the name `test`, and what is given.
    pub(crate) fn with(nodes: &str) -> Self {
        let place = Self::new();
        place.write("flow.toml", &format!("[workflow]\nname = \"test\"\n{nodes}"));
        place
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Reads a file; empty if it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command `flow ARGS` in this folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_remove("FLOW_STORE").env_remove("NO_COLOR").env("TZ", "UTC");
        command
    }

    /// Runs `flow ARGS` to its end.
    pub(crate) fn flow(&self, args: &[&str]) -> Done {
        self.finish(self.command(args))
    }

    /// Runs a command to its end.
    pub(crate) fn finish(&self, mut command: Command) -> Done {
        let output = command.output().unwrap();
        Done {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            dir: self.dir.path().canonicalize().unwrap(),
        }
    }

    /// Runs a command to its end; one that has none fails the test and is not left behind.
    pub(crate) fn finish_in_time(&self, mut command: Command) -> Done {
        let mut streams = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        let [out, err] = streams.each_ref().map(|stream| stream.try_clone().unwrap());
        let mut child = command.stdout(out).stderr(err).spawn().unwrap();
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                kill_9(&mut child);
                panic!("it has no end: {command:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let [stdout, stderr] = streams.each_mut().map(|stream| {
            let mut text = String::new();
            stream.rewind().unwrap();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        let dir = self.dir.path().canonicalize().unwrap();
        Done { code: status.code(), stdout, stderr, dir }
    }

    /// Starts `flow ARGS`; its streams are kept in files named `stdout` and `stderr`.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let file = |name: &str| std::fs::File::create(self.path(name)).unwrap();
        self.command(args).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap()
    }

    /// The object of `flow show RUN --json`.
    pub(crate) fn show(&self, run: &str) -> Value {
        self.flow(&["show", run, "--json"]).json()
    }

    /// Waits until a file is there and has something in it.
    pub(crate) fn wait_for(&self, name: &str) {
        let path = self.path(name);
        wait_until(&format!("{name} is there"), || path.metadata().is_ok_and(|m| m.len() > 0));
    }
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process.
pub(crate) fn send(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// Kills an engine as nothing else can, and returns when it is gone. Its programs may not be yet.
pub(crate) fn kill_9(child: &mut Child) {
    send(child, "-KILL");
    child.wait().unwrap();
}

/// Whether a process is alive and no zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    status.is_ok_and(|text| !text.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

impl Done {
    /// The one JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// The JSON lines on stdout.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{self}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }
}

/// What differs from time to time, with the word that stands for it.
static FILTERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "[run]"),
        (r"\b[0-9a-f]{64}\b", "[digest]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[date]"),
        (r"\b\d\d:\d\d:\d\d\b", "[time]"),
        (r"\((just now|\d+ s ago)\)", "(just now)"),
        (r"just now|\d+ s ago", "just now"),
        (r"\b\d+ ms\b|\b\d+\.\d s\b", "[took]"),
        (r"process \d+ on host \S+, since", "process [pid] on host [host], since"),
        (r"\.\d+/work\b", ".[pid]/work"),
        (r"(\S) {2,}", "$1  "),
    ]
    .map(|(pattern, word)| (Regex::new(pattern).unwrap(), word))
    .to_vec()
});

/// A text without what differs from time to time.
pub(crate) fn steady(text: &str, dir: &Path) -> String {
    let mut text = text.replace(&dir.display().to_string(), "[dir]");
    for (pattern, word) in FILTERS.iter() {
        text = pattern.replace_all(&text, *word).into_owned();
    }
    text
}

/// What was said and how it ended, without the paths of objects and the temporary names beside them.
pub(crate) fn pathless(done: &Done) -> String {
    static PATHS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"objects/[0-9a-f]{2}/[0-9a-f]{62}", "objects/[object]"),
            (r"quarantine/\[digest\][^ ;\n]*", "quarantine/[object]"),
            (r"at byte [1-9]\d*", "at byte [offset]"),
            (r"checked \d+ files, [0-9.]+ kB", "checked [files]"),
        ]
        .map(|(pattern, word)| (Regex::new(pattern).unwrap(), word))
        .to_vec()
    });
    let mut text = done.to_string();
    for (pattern, word) in PATHS.iter() {
        text = pattern.replace_all(&text, *word).into_owned();
    }
    text
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("a signal".to_owned(), |code| code.to_string());
        writeln!(f, "exit: {code}")?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "--- {name}\n{}", steady(text, &self.dir))?;
            }
        }
        Ok(())
    }
}
