//! A context for tests of stages, and a spawner that works inside a test program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use flow_core::error::StageError;
use flow_core::stage::{
    BoxFuture, CallRetry, CancelReason, Context, Fallback, ProcessId, Progress, Stream, Usage,
};
use serde_json::Value;
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
    /// Calls that were made again.
    pub(crate) retries: Vec<CallRetry>,
    /// Providers that were passed over.
    pub(crate) fallbacks: Vec<Fallback>,
    /// Whether the result is second best.
    pub(crate) provisional: bool,
    /// What calls used.
    pub(crate) usage: Usage,
    /// Remembered values.
    pub(crate) values: BTreeMap<String, Value>,
    /// Remembered files.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Remembered secrets.
    pub(crate) secrets: BTreeMap<String, String>,
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
    fn call_retried(&self, retry: CallRetry) {
        self.lock().retries.push(retry);
    }
    fn provider_fallback(&self, fallback: Fallback) {
        self.lock().fallbacks.push(fallback);
    }
    fn provisional(&self) {
        self.lock().provisional = true;
    }
    fn used(&self, usage: Usage) {
        self.lock().usage.add(usage);
    }
    fn remember<'a>(
        &'a self,
        name: &'a str,
        value: Value,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        self.lock().values.insert(name.to_owned(), value);
        Box::pin(std::future::ready(Ok(())))
    }
    fn remembered(&self, name: &str) -> Option<Value> {
        self.lock().values.get(name).cloned()
    }
    fn remember_file<'a>(
        &'a self,
        name: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        let read = std::fs::read(self.scratch.join(path));
        let kept = read.map(|bytes| drop(self.lock().files.insert(name.to_owned(), bytes)));
        let kept = kept.map_err(|error| StageError::from_io("read a file", &error));
        Box::pin(std::future::ready(kept))
    }
    fn remembered_file<'a>(
        &'a self,
        name: &'a str,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<bool, StageError>> {
        let found = self.lock().files.get(name).cloned();
        let placed = match found {
            Some(bytes) => std::fs::write(self.scratch.join(to), bytes).map(|()| true),
            None => Ok(false),
        };
        let placed = placed.map_err(|error| StageError::from_io("write a file", &error));
        Box::pin(std::future::ready(placed))
    }
    fn remember_secret<'a>(
        &'a self,
        name: &'a str,
        value: &'a str,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        self.lock().secrets.insert(name.to_owned(), value.to_owned());
        Box::pin(std::future::ready(Ok(())))
    }
    fn remembered_secret(&self, name: &str) -> Option<String> {
        self.lock().secrets.get(name).cloned()
    }
    fn chance(&self) -> f64 {
        0.5
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
