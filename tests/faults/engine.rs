//! One invocation of the built binary under a fault.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::point::{Fault, Plant};
use crate::record::now;
use crate::tools::Tools;

/// An invocation that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The classes of calls, in the order in which the preloaded library counts them.
pub(crate) const CLASSES: [&str; 10] = [
    "write",
    "sync",
    "rename",
    "link",
    "create",
    "truncate",
    "unlink",
    "mkdir",
    "start writing",
    "tell",
];

/// Where the witnesses of one point are, and what its engines get.
pub(crate) struct Bench<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) folder: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) plant: Option<Plant>,
}

/// How an invocation ended.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Number of durable calls.
    pub(crate) calls: u64,
    /// Index of the class of the call at which something happened.
    pub(crate) hit: Option<usize>,
    /// It was ended from outside: by its fault, or because it hung.
    pub(crate) killed: bool,
    pub(crate) hung: bool,
    pub(crate) took: Duration,
}

impl Done {
    /// An invocation, of which nothing more is known, that ended with the power.
    pub(crate) fn cut() -> Self {
        let (stdout, stderr) = (String::new(), String::new());
        let (code, hit, took) = (None, None, Duration::ZERO);
        Self { code, stdout, stderr, calls: 0, hit, killed: true, hung: false, took }
    }
}

impl Bench<'_> {
    /// The ledger of the programs.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Runs `flow ARGS` under a fault.
    pub(crate) fn flow(&self, args: &[&str], fault: Fault) -> Done {
        let counts = self.folder.join("counts");
        fs::write(&counts, [0; 8 * (2 + CLASSES.len())]).unwrap();
        let begin = Instant::now();
        let mut child = self.start(args, fault, &counts);
        let (status, hung) = wait(&mut child, fault);
        let counts = fs::read(&counts).unwrap();
        let number = |at: usize| u64::from_le_bytes(counts[at * 8..][..8].try_into().unwrap());
        Done {
            code: status.code(),
            stdout: text(&self.folder.join("stdout")),
            stderr: text(&self.folder.join("stderr")),
            calls: number(0),
            hit: usize::try_from(number(1)).unwrap().checked_sub(1),
            killed: status.signal() == Some(9),
            hung,
            took: begin.elapsed(),
        }
    }

    fn start(&self, args: &[&str], fault: Fault, counts: &Path) -> Child {
        let file = |name: &str| File::create(self.folder.join(name)).unwrap();
        let mut command = self.command(args, fault, counts);
        command.stdout(file("stdout")).stderr(file("stderr"));
        command.spawn().unwrap()
    }

    /// Runs `flow ARGS` without a fault; gives its exit code, and each line that it tells with the
    /// time at which it was read.
    pub(crate) fn lines(&self, args: &[&str]) -> (Option<i32>, Vec<(u64, String)>) {
        let counts = self.folder.join("counts");
        fs::write(&counts, [0; 8 * (2 + CLASSES.len())]).unwrap();
        let mut command = self.command(args, Fault::None, &counts);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.lines().map(|line| (now(), line.unwrap())).collect();
        (child.wait().unwrap().code(), lines)
    }

    fn command(&self, args: &[&str], fault: Fault, counts: &Path) -> Command {
        let (action, call) = match fault {
            Fault::At(action, call) => (action.name(), call),
            Fault::None | Fault::After(_) | Fault::Cut(_) => ("none", 0),
        };
        let plant = self.plant.map_or(String::new(), |plant| format!("+{}", plant.name()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command.args(args).current_dir(&self.folder).env("FLOW_STORE", &self.store);
        command.stdin(Stdio::null());
        command.env("LD_PRELOAD", self.tools.shim()).env("RIG_STORE", self.store.parent().unwrap());
        command.env("RIG_ACTION", format!("{action}{plant}")).env("RIG_AT", call.to_string());
        command.env("RIG_COUNTS", counts).env("RIG_LEDGER", self.ledger());
        command.env("RIG_LOCKS", self.folder.join("locks"));
        command
    }

    /// Waits until no process that an engine has started is left; those that are, after some
    /// seconds.
    pub(crate) fn survivors(&self) -> Vec<String> {
        let begin = Instant::now();
        loop {
            let alive = descendants(&self.ledger());
            if alive.is_empty() || begin.elapsed() > Duration::from_secs(10) {
                return alive;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn wait(child: &mut Child, fault: Fault) -> (ExitStatus, bool) {
    if let Fault::After(span) = fault {
        std::thread::sleep(span);
        child.kill().unwrap();
    }
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status, false);
        }
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
            return (child.wait().unwrap(), true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A write of the crashed process may end within a character.
fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Processes that inherited the name of this ledger; one that is dead has no environment any more.
fn descendants(ledger: &Path) -> Vec<String> {
    let mark = format!("RIG_LEDGER={}\0", ledger.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let is_marked = |env: Vec<u8>| env.windows(mark.len()).any(|part| part == mark.as_bytes());
        if fs::read(entry.path().join("environ")).is_ok_and(is_marked) {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(format!("{} {command}", entry.file_name().display()));
        }
    }
    found
}
