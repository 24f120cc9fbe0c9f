//! How long it takes to run many small programs, for comparison with `make -j2`:
//! `cargo run --release -p flow-stages --example spawn_many -- 2000 2 /bin/true`.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use flow_core::error::StageError;
use flow_core::stage::{
    BoxFuture, CallRetry, CancelReason, Context, Fallback, ProcessId, Progress, Stream, Usage,
};
use flow_stages::process::{Command, Spawner, serve_if_spawner};
use serde_json::Value;

/// A context that forgets everything it is told.
struct Quiet;

impl Context for Quiet {
    fn run_id(&self) -> &str {
        "run"
    }
    fn node(&self) -> &str {
        "node"
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
        Path::new("/tmp")
    }
    fn side(&self) -> &Path {
        Path::new("/tmp")
    }
    fn workflow_dir(&self) -> &Path {
        Path::new("/tmp")
    }
    fn run_started_at(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
    fn run_date(&self) -> jiff::civil::Date {
        jiff::civil::date(1970, 1, 1)
    }
    fn tool(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
    fn cancelled(&self) -> BoxFuture<'_, CancelReason> {
        Box::pin(std::future::pending())
    }
    fn progress(&self, _progress: Progress) {}
    fn capture(&self, _stream: Stream, _bytes: &[u8]) {}
    fn process_started(&self, _process: ProcessId) {}
    fn warn(&self, _message: String) {}
    fn call_retried(&self, _retry: CallRetry) {}
    fn provider_fallback(&self, _fallback: Fallback) {}
    fn used(&self, _usage: Usage) {}
    fn remember<'a>(&'a self, _: &'a str, _: Value) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn remembered(&self, _name: &str) -> Option<Value> {
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
    fn remembered_secret(&self, _name: &str) -> Option<String> {
        None
    }
    fn chance(&self) -> f64 {
        0.0
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve_if_spawner();
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().unwrap_or_else(|| "2000".into()).parse()?;
    let at_once: usize = args.next().unwrap_or_else(|| "2".into()).parse()?;
    let program = args.next().unwrap_or_else(|| "true".into());
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let spawner = Spawner::new();
    let next = Cell::new(0);
    let worker = || async {
        while next.get() < count {
            next.set(next.get() + 1);
            spawner.run(&Quiet, Command::new(&program)).await?;
        }
        Ok::<(), flow_core::error::StageError>(())
    };
    let tasks = tokio::task::LocalSet::new();
    runtime.block_on(tasks.run_until(async {
        let mut workers: Vec<_> = (0..at_once).map(|_| Box::pin(worker())).collect();
        std::future::poll_fn(|cx| {
            let mut result = Ok(());
            workers.retain_mut(|worker| match worker.as_mut().poll(cx) {
                std::task::Poll::Ready(ended) => {
                    result = ended;
                    false
                }
                std::task::Poll::Pending => true,
            });
            match (result, workers.is_empty()) {
                (Ok(()), false) => std::task::Poll::Pending,
                (result, _) => std::task::Poll::Ready(result),
            }
        })
        .await
    }))?;
    let all = began.elapsed();
    let each = all / u32::try_from(count.max(1))?;
    writeln_out(&format!("{count} programs, {at_once} at once: {all:.0?}, {each:.1?} each"))?;
    Ok(())
}

fn writeln_out(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}")
}
