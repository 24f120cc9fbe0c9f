//! A context for tests of stages, and a spawner that works inside a test program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use flow_core::stage::{BoxFuture, CancelReason, Context, ProcessId, Progress, Stream};
use tokio::sync::watch;

use super::Spawner;

/// The world as one attempt sees it, in a temporary folder that goes with it.
pub(crate) struct TestContext {
    root: tempfile::TempDir,
    scratch: PathBuf,
    side: PathBuf,
    cancel: watch::Sender<Option<CancelReason>>,
    tools: BTreeMap<String, PathBuf>,
    seen: Mutex<Seen>,
    acts: bool,
    attempt: u32,
}

/// What a stage told its context.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Captured stdout, cut after 1 MiB.
    pub(crate) stdout: Vec<u8>,
    /// Captured stderr, cut after 1 MiB.
    pub(crate) stderr: Vec<u8>,
    /// Bytes captured from both streams.
    pub(crate) captured: u64,
    /// Processes that were reported.
    pub(crate) processes: Vec<ProcessId>,
    /// Progress reports.
    pub(crate) progress: Vec<Progress>,
    /// Warnings.
    pub(crate) warnings: Vec<String>,
}

impl TestContext {
    /// A context with empty folders; the workflow's folder is the one that holds them.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let scratch = root.path().join("scratch");
        let side = root.path().join("side");
        for folder in [&scratch, &side] {
            std::fs::create_dir(folder).expect("a folder of the test");
        }
        Self {
            root,
            scratch,
            side,
            cancel: watch::Sender::new(None),
            tools: BTreeMap::new(),
            seen: Mutex::new(Seen::default()),
            acts: false,
            attempt: 1,
        }
    }

    /// The context of a node that has said that it acts on the world.
    pub(crate) fn acting() -> Self {
        Self { acts: true, ..Self::new() }
    }

    /// Says where a program is, as `[tools]` does.
    pub(crate) fn with_tool(mut self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.tools.insert(name.to_owned(), path.into());
        self
    }

    /// Makes it a later attempt.
    pub(crate) fn at_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same with a shell script in the place of a tool, as `[tools]` would name it.
    pub(crate) fn with_fake(mut self, tool: &str, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = self.root.path().join(format!("fake-{tool}"));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, executable).expect("an executable script");
        self.tools.insert(tool.to_owned(), path);
        self
    }

    /// Asks the attempt to stop.
    pub(crate) fn cancel(&self, reason: CancelReason) {
        self.cancel.send_replace(Some(reason));
    }

    /// What the stage has told so far.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Captured stdout as text.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.lock().stdout).into_owned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no test panics while it holds this")
    }
}

impl Context for TestContext {
    fn run_id(&self) -> &str {
        "run-1"
    }
    fn node(&self) -> &str {
        "node"
    }
    fn item(&self) -> Option<&str> {
        Some("a")
    }
    fn index(&self) -> Option<u32> {
        Some(0)
    }
    fn attempt(&self) -> u32 {
        self.attempt
    }
    fn idempotency_key(&self) -> &str {
        "key-1"
    }
    fn has_effect(&self) -> bool {
        self.acts
    }
    fn scratch(&self) -> &Path {
        &self.scratch
    }
    fn side(&self) -> &Path {
        &self.side
    }
    fn workflow_dir(&self) -> &Path {
        self.root.path()
    }
    fn run_started_at(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
    fn run_date(&self) -> jiff::civil::Date {
        jiff::civil::date(1970, 1, 1)
    }
    fn tool(&self, name: &str) -> PathBuf {
        self.tools.get(name).cloned().unwrap_or_else(|| PathBuf::from(name))
    }
    fn cancelled(&self) -> BoxFuture<'_, CancelReason> {
        let mut asked = self.cancel.subscribe();
        Box::pin(async move {
            let reason = asked.wait_for(Option::is_some).await.map(|reason| *reason);
            match reason {
                Ok(Some(reason)) => reason,
                _ => std::future::pending().await,
            }
        })
    }
    fn progress(&self, progress: Progress) {
        self.lock().progress.push(progress);
    }
    fn capture(&self, stream: Stream, bytes: &[u8]) {
        let mut seen = self.lock();
        seen.captured += bytes.len() as u64;
        let kept = match stream {
            Stream::Stdout => &mut seen.stdout,
            Stream::Stderr => &mut seen.stderr,
        };
        let room = (1_usize << 20).saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    fn process_started(&self, process: ProcessId) {
        self.lock().processes.push(process);
    }
    fn warn(&self, message: String) {
        self.lock().warnings.push(message);
    }
}

/// A spawner whose starter process is this test program itself, run again for
/// [`serves_as_the_starter_process`] alone.
pub(crate) fn spawner() -> Spawner {
    let program = std::env::current_exe().expect("the test program");
    let test = "process::testing::serves_as_the_starter_process";
    Spawner::with_program(
        program,
        ["--exact", test, "--ignored", "--nocapture", "--test-threads=1"],
    )
}

/// Not a test: what [`spawner`] starts. Without a socket as its stdin it returns at once.
#[test]
#[ignore = "the starter process of other tests"]
fn serves_as_the_starter_process() {
    super::serve_on_stdin().expect("the starter process serves until its socket ends");
    if std::env::var_os(super::ROLE).is_some() {
        // What the test harness prints at the end would follow the answer.
        std::process::exit(0);
    }
}

/// Writes an executable shell script.
pub(crate) fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("an executable script");
    path
}
