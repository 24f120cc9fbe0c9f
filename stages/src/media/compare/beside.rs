//! The surroundings of programs that work for no run: nothing of them is recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_core::error::StageError;
use flow_core::stage::{
    BoxFuture, CallRetry, CancelReason, Context, Fallback, ProcessId, Progress, Stream, Usage,
};
use serde_json::Value;

use super::Bench;

/// The surroundings of a program that works for no run.
pub(super) struct Beside {
    pub(super) folder: PathBuf,
    tools: BTreeMap<String, String>,
}

impl Beside {
    pub(super) fn new(bench: &Bench<'_>) -> Self {
        Self { folder: bench.folder.to_owned(), tools: bench.tools.clone() }
    }
}

impl Context for Beside {
    fn run_id(&self) -> &str {
        ""
    }

    fn node(&self) -> &str {
        "compare"
    }

    fn item(&self) -> Option<&str> {
        None
    }

    fn index(&self) -> Option<u32> {
        None
    }

    fn attempt(&self) -> u32 {
        1
    }

    fn idempotency_key(&self) -> &str {
        ""
    }

    fn scratch(&self) -> &Path {
        &self.folder
    }

    fn side(&self) -> &Path {
        &self.folder
    }

    fn workflow_dir(&self) -> &Path {
        &self.folder
    }

    fn run_started_at(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn run_date(&self) -> jiff::civil::Date {
        jiff::civil::Date::default()
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.tools.get(name).map_or_else(|| PathBuf::from(name), PathBuf::from)
    }

    fn cancelled(&self) -> BoxFuture<'_, CancelReason> {
        Box::pin(std::future::pending())
    }

    fn progress(&self, _: Progress) {}

    fn capture(&self, _: Stream, _: &[u8]) {}

    fn process_started(&self, _: ProcessId) {}

    fn warn(&self, _: String) {}

    fn call_retried(&self, _: CallRetry) {}

    fn provider_fallback(&self, _: Fallback) {}

    fn used(&self, _: Usage) {}

    fn remember<'a>(&'a self, _: &'a str, _: Value) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remembered(&self, _: &str) -> Option<Value> {
        None
    }

    fn remember_file<'a>(
        &'a self,
        _: &'a str,
        _: &'a Path,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remembered_file<'a>(
        &'a self,
        _: &'a str,
        _: &'a Path,
    ) -> BoxFuture<'a, Result<bool, StageError>> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn remember_secret<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remembered_secret(&self, _: &str) -> Option<String> {
        None
    }

    fn chance(&self) -> f64 {
        0.0
    }
}
