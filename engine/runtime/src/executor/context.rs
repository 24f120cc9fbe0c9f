//! What a stage may ask of the engine.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::error::StageError;
use flow_core::policy::draw;
use flow_core::run::decide::News;
use flow_core::run::event::{TaskRef, Warning};
use flow_core::stage::{
    BoxFuture, CallRetry, CancelReason, Context, Fallback, FallbackReason, ProcessId, Progress,
    Stream, Usage,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::capture::Capture;
use super::folder::Folder;
use super::memory::AttemptMemory;
use super::{Assignment, Spent, Surroundings, Tell, capture_path};
use crate::bus::{Bus, Passing};
use crate::clock::Clock;
use crate::secrets::Secrets;

/// What the driver gives to the context of an attempt.
pub(super) struct Lines {
    pub(super) tell: Tell,
    pub(super) memory: AttemptMemory,
    pub(super) spent: Spent,
    pub(super) cancel: watch::Receiver<Option<CancelReason>>,
}

/// The context of one attempt.
pub(super) struct AttemptContext {
    run: String,
    task: TaskRef,
    attempt: u32,
    failed_before: bool,
    idempotency_key: String,
    has_effect: bool,
    work: PathBuf,
    side: PathBuf,
    workflow_dir: PathBuf,
    started_at: Timestamp,
    zone: jiff::tz::TimeZone,
    tools: Arc<std::collections::BTreeMap<String, String>>,
    bus: Option<Bus>,
    tell: Tell,
    memory: AttemptMemory,
    spent: Spent,
    clock: Arc<dyn Clock>,
    /// How often chance was asked.
    drawn: AtomicU64,
    /// From the driver.
    outer: watch::Receiver<Option<CancelReason>>,
    /// From the attempt's own timer.
    own: watch::Sender<Option<CancelReason>>,
    stdout: Mutex<Capture>,
    stderr: Mutex<Capture>,
    warnings: Mutex<Vec<Warning>>,
    provisional: AtomicBool,
    secrets: Arc<Secrets>,
}

impl AttemptContext {
    /// The context of a probe: what it writes stands beside what the attempt wrote.
    pub(super) fn for_probe(
        around: &Surroundings,
        assignment: &Assignment,
        folder: &Folder,
        idempotency_key: String,
        lines: Lines,
    ) -> Self {
        let context = Self::new(around, assignment, folder, idempotency_key, lines);
        let capture = |stream| {
            let path = capture_file(around, assignment, stream, "probe-");
            Mutex::new(Capture::new(path, around.secrets.stream()))
        };
        Self { stdout: capture(Stream::Stdout), stderr: capture(Stream::Stderr), ..context }
    }

    pub(super) fn new(
        around: &Surroundings,
        assignment: &Assignment,
        folder: &Folder,
        idempotency_key: String,
        lines: Lines,
    ) -> Self {
        let prefix = match assignment.beside {
            true => format!("rerun-{}-", std::process::id()),
            false => String::new(),
        };
        let capture = |stream| {
            let path = capture_file(around, assignment, stream, &prefix);
            Mutex::new(Capture::new(path, around.secrets.stream()))
        };
        let home = &around.graph.node(assignment.node).home;
        Self {
            run: around.run.to_string(),
            task: assignment.task.clone(),
            attempt: assignment.attempt,
            failed_before: assignment.failed_before,
            idempotency_key,
            has_effect: around.graph.node(assignment.node).effect.is_some(),
            work: folder.work().unwrap_or_default(),
            side: folder.side().unwrap_or_default(),
            workflow_dir: home.dir.clone(),
            started_at: around.manifest.started_at,
            zone: around.zone.clone(),
            tools: Arc::clone(&home.tools),
            bus: around.bus.clone(),
            tell: lines.tell,
            memory: lines.memory,
            spent: lines.spent,
            clock: Arc::clone(&around.clock),
            drawn: AtomicU64::new(0),
            outer: lines.cancel,
            own: watch::Sender::new(None),
            stdout: capture(Stream::Stdout),
            stderr: capture(Stream::Stderr),
            warnings: Mutex::default(),
            provisional: AtomicBool::new(false),
            secrets: Arc::clone(&around.secrets),
        }
    }

    /// Tells the stage to stop.
    pub(super) fn tell_stop(&self, reason: CancelReason) {
        self.own.send_replace(Some(reason));
    }

    /// Resolves when the driver wants the attempt to stop.
    pub(super) async fn stop(&self) -> CancelReason {
        wanted(self.outer.clone(), |_| true).await
    }

    /// Resolves when the driver wants it to stop at once.
    pub(super) async fn killed(&self) {
        wanted(self.outer.clone(), |reason| reason == CancelReason::Killed).await;
    }

    /// Hands on what was held back of captured output, and tells what is kept: nothing more comes.
    pub(super) fn end_of_output(&self) {
        let kept = [Stream::Stdout, Stream::Stderr].into_iter().filter_map(|stream| {
            self.captured(stream).finish(&mut |bytes| self.pass_output(stream, bytes))
        });
        let kept: Vec<_> = kept.collect();
        if !kept.is_empty() {
            (self.tell)(News::Output(kept));
        }
    }

    fn mask_error(&self, error: &mut StageError) {
        error.attempt = self.attempt;
        *error = *self.secrets.mask_error(Box::new(error.clone()));
    }

    fn captured(&self, stream: Stream) -> MutexGuard<'_, Capture> {
        let capture = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        capture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_output(&self, stream: Stream, bytes: &[u8]) {
        if let Some(bus) = &self.bus {
            let (task, attempt) = (self.task.clone(), self.attempt);
            bus.pass(Passing::Log { task, attempt, stream, bytes: bytes.to_vec() });
        }
    }

    /// Whether the stage has said that its result is second best.
    pub(super) fn is_provisional(&self) -> bool {
        self.provisional.load(Ordering::Relaxed)
    }

    /// Warnings of the stage itself.
    pub(super) fn take_warnings(&self) -> Vec<Warning> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where captured output goes.
fn capture_file(
    around: &Surroundings,
    assignment: &Assignment,
    stream: Stream,
    prefix: &str,
) -> PathBuf {
    let (store, attempt) = (around.store.as_ref(), assignment.attempt);
    let mut path = capture_path(store, &around.run, &assignment.task, attempt, stream);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.set_file_name(format!("{prefix}{name}"));
    path
}

async fn wanted(
    mut receiver: watch::Receiver<Option<CancelReason>>,
    test: impl Fn(CancelReason) -> bool,
) -> CancelReason {
    let found = receiver.wait_for(|reason| reason.is_some_and(&test)).await.map(|r| *r);
    match found {
        Ok(Some(reason)) => reason,
        // Without a driver there is nobody left to stop the attempt but its own timer.
        _ => std::future::pending().await,
    }
}

impl Context for AttemptContext {
    fn run_id(&self) -> &str {
        &self.run
    }

    fn node(&self) -> &str {
        &self.task.node
    }

    fn item(&self) -> Option<&str> {
        self.task.item.as_ref().map(|i| &*i.key)
    }

    fn index(&self) -> Option<u32> {
        self.task.item.as_ref().map(|i| i.index)
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }
    fn failed_before(&self) -> bool {
        self.failed_before
    }

    fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    fn has_effect(&self) -> bool {
        self.has_effect
    }

    fn scratch(&self) -> &Path {
        &self.work
    }

    fn side(&self) -> &Path {
        &self.side
    }

    fn workflow_dir(&self) -> &Path {
        &self.workflow_dir
    }

    fn run_started_at(&self) -> Timestamp {
        self.started_at
    }

    fn run_date(&self) -> jiff::civil::Date {
        self.started_at.to_zoned(self.zone.clone()).date()
    }

    fn tool(&self, name: &str) -> PathBuf {
        match self.tools.get(name) {
            // A path in the file is relative to the file; a bare name is looked up on PATH.
            Some(path) if path.contains('/') => self.workflow_dir.join(path),
            Some(name) => PathBuf::from(name),
            None => PathBuf::from(name),
        }
    }

    fn cancelled(&self) -> BoxFuture<'_, CancelReason> {
        Box::pin(async {
            let (outer, own) = (self.outer.clone(), self.own.subscribe());
            tokio::select! {
                reason = wanted(outer, |_| true) => reason,
                reason = wanted(own, |_| true) => reason,
            }
        })
    }

    fn withheld_env(&self) -> &[String] {
        self.secrets.variables()
    }

    fn progress(&self, mut progress: Progress) {
        if let Some(bus) = &self.bus {
            self.secrets.mask_in_place(&mut progress.message);
            bus.pass(Passing::Progress {
                task: self.task.clone(),
                attempt: self.attempt,
                progress,
            });
        }
    }

    fn capture(&self, stream: Stream, bytes: &[u8]) {
        self.captured(stream).take(bytes, &mut |bytes| self.pass_output(stream, bytes));
    }

    fn process_started(&self, process: ProcessId) {
        (self.tell)(News::Process(process));
    }

    fn warn(&self, mut message: String) {
        self.secrets.mask_in_place(&mut message);
        let warning = Warning { port: None, pointer: None, message };
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    fn call_retried(&self, mut retry: CallRetry) {
        self.mask_error(&mut retry.error);
        retry.error.retryable = true;
        for text in [&mut retry.provider, &mut retry.operation] {
            self.secrets.mask_in_place(text);
        }
        (self.tell)(News::Retry(Box::new(retry)));
    }

    fn provider_fallback(&self, mut fallback: Fallback) {
        if let FallbackReason::Failed(error) = &mut fallback.reason {
            self.mask_error(error);
        }
        for text in [&mut fallback.from].into_iter().chain(&mut fallback.to) {
            self.secrets.mask_in_place(text);
        }
        (self.tell)(News::Fallback(Box::new(fallback)));
    }

    fn provisional(&self) {
        self.provisional.store(true, Ordering::Relaxed);
    }

    fn used(&self, usage: Usage) {
        self.spent.add(usage);
    }

    fn remember<'a>(
        &'a self,
        name: &'a str,
        value: Value,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(self.memory.value(name, value))
    }

    fn remembered(&self, name: &str) -> Option<Value> {
        self.memory.found().value(name)
    }

    fn remember_file<'a>(
        &'a self,
        name: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(self.memory.file(name, self.work.join(path)))
    }

    fn remembered_file<'a>(
        &'a self,
        name: &'a str,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<bool, StageError>> {
        Box::pin(self.memory.place(name, self.work.join(to)))
    }

    fn remember_secret<'a>(
        &'a self,
        name: &'a str,
        value: &'a str,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(self.memory.secret(name, value))
    }

    fn remembered_secret(&self, name: &str) -> Option<String> {
        self.memory.found().secret(name)
    }

    fn chance(&self) -> f64 {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now().wall.as_nanosecond();
        draw(&format!("{}/{}/{}/{number}/{now}", self.run, self.task, self.attempt))
    }
}
