//! A watch over ffmpeg: it tells progress, and ends an encoder that stands still.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::policy::format_duration;
use flow_core::stage::{
    BoxFuture, CallRetry, CancelReason, Context, Fallback, ProcessId, Progress, Stream, Usage,
};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::failure::{TOO_LONG, with_hint};
use crate::process::{Command, Finished, Spawner};

/// How long the encoded time may stand still where nothing else is said.
pub(in crate::media) const STALL: Duration = Duration::from_secs(30);
/// Least time that an encode gets.
const LEAST_LIMIT: Duration = Duration::from_secs(300);
/// Times the reel's own length that an encode gets.
const SLOWEST: f64 = 20.0;

/// How long an encoder is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience {
    stall: Duration,
    limit: Duration,
}

impl Patience {
    /// For a video of so many seconds, which may stand still for `stall`.
    fn of(seconds: f64, stall: Duration) -> Self {
        let limit = LEAST_LIMIT.max(Duration::from_secs_f64(seconds.max(0.0) * SLOWEST));
        Self { stall, limit }
    }
}

/// Why the watch ended an encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bark {
    Stalled(Duration),
    TooLong(Duration),
}

/// What ffmpeg does, as its progress is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    /// Length of what it goes through.
    pub(super) seconds: f64,
    /// One word: `encoding`.
    pub(super) name: &'static str,
}

/// Runs an ffmpeg that writes `-progress` blocks to stdout, for as long as there is progress.
pub(super) async fn watched(
    spawner: &Spawner,
    context: &dyn Context,
    command: Command,
    work: Work,
    stall: Duration,
) -> Result<Finished, StageError> {
    let patience = Patience::of(work.seconds, stall);
    let (position, mut positions) = watch::channel(0_u64);
    let command = command.on_stdout_line(move |line| {
        if let Some(us) = encoded_us(line) {
            position.send_if_modified(|now| {
                us > *now && {
                    *now = us;
                    true
                }
            });
        }
    });
    let bark = watch::Sender::new(None);
    let watched = Watched { outer: context, bark: bark.subscribe() };
    let run = spawner.run(&watched, command);
    let guard = async {
        let reason = stand_guard(context, &mut positions, work, patience).await;
        bark.send_replace(Some(reason));
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        result = run => result,
        () = guard => unreachable_guard(),
    };
    let barked = *bark.borrow();
    result.map_err(|error| match barked {
        Some(reason) => ended(error, reason),
        None => with_hint(error),
    })
}

/// The guard never ends by itself; should it, the attempt fails and says so.
fn unreachable_guard() -> Result<Finished, StageError> {
    Err(StageError::new(ErrorClass::Io, "watch the encode", "the watch ended before the encode"))
}

/// Microseconds of the reel that are encoded; other lines, and `N/A`, tell none.
fn encoded_us(line: &str) -> Option<u64> {
    line.strip_prefix("out_time_us=")?.trim().parse().ok()
}

/// Tells progress until the encode stands still or takes too long.
async fn stand_guard(
    context: &dyn Context,
    positions: &mut watch::Receiver<u64>,
    work: Work,
    Patience { stall, limit }: Patience,
) -> Bark {
    let end = Instant::now() + limit;
    loop {
        let still = Instant::now() + stall;
        tokio::select! {
            changed = positions.changed() => {
                if changed.is_err() {
                    // stdout is closed: the encoder is about to end, or stands still.
                    tokio::time::sleep_until(still.min(end)).await;
                    return Bark::Stalled(stall);
                }
                let us = *positions.borrow_and_update();
                tell(context, us, work);
            }
            () = tokio::time::sleep_until(end) => return Bark::TooLong(limit),
            () = tokio::time::sleep_until(still) => return Bark::Stalled(stall),
        }
    }
}

fn tell(context: &dyn Context, us: u64, Work { seconds, name }: Work) {
    #[expect(clippy::cast_precision_loss, reason = "reels are short")]
    let done = (us as f64 / 1e6).min(seconds);
    context.progress(Progress {
        done,
        total: Some(seconds),
        unit: "seconds",
        message: name.into(),
    });
}

/// The error of an encode that the watch ended.
fn ended(mut error: StageError, bark: Bark) -> StageError {
    error.class = ErrorClass::Timeout;
    ErrorClass::Timeout.code().clone_into(&mut error.code);
    let (message, hint) = match bark {
        Bark::Stalled(stall) => (
            format!("ffmpeg made no progress for {}", format_duration(stall)),
            "look for a broken input; the next attempt uses safe settings; on a slow machine raise \
             `stall_timeout`",
        ),
        Bark::TooLong(limit) => {
            (format!("ffmpeg had not ended after {}", format_duration(limit)), TOO_LONG)
        }
    };
    error.causes.insert(0, std::mem::replace(&mut error.message, message));
    error.hint = Some(hint.to_owned());
    error
}

/// The attempt's context, which the watch can end too.
struct Watched<'a> {
    outer: &'a dyn Context,
    bark: watch::Receiver<Option<Bark>>,
}

impl Context for Watched<'_> {
    fn run_id(&self) -> &str {
        self.outer.run_id()
    }
    fn node(&self) -> &str {
        self.outer.node()
    }
    fn item(&self) -> Option<&str> {
        self.outer.item()
    }
    fn index(&self) -> Option<u32> {
        self.outer.index()
    }
    fn attempt(&self) -> u32 {
        self.outer.attempt()
    }
    fn failed_before(&self) -> bool {
        self.outer.failed_before()
    }
    fn idempotency_key(&self) -> &str {
        self.outer.idempotency_key()
    }
    fn scratch(&self) -> &Path {
        self.outer.scratch()
    }
    fn side(&self) -> &Path {
        self.outer.side()
    }
    fn workflow_dir(&self) -> &Path {
        self.outer.workflow_dir()
    }
    fn run_started_at(&self) -> jiff::Timestamp {
        self.outer.run_started_at()
    }
    fn run_date(&self) -> jiff::civil::Date {
        self.outer.run_date()
    }
    fn tool(&self, name: &str) -> PathBuf {
        self.outer.tool(name)
    }
    fn withheld_env(&self) -> &[String] {
        self.outer.withheld_env()
    }
    fn cancelled(&self) -> BoxFuture<'_, CancelReason> {
        let mut bark = self.bark.clone();
        Box::pin(async move {
            let barked = async {
                if bark.wait_for(Option::is_some).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                reason = self.outer.cancelled() => reason,
                () = barked => CancelReason::Timeout,
            }
        })
    }
    fn progress(&self, progress: Progress) {
        self.outer.progress(progress);
    }
    fn capture(&self, stream: Stream, bytes: &[u8]) {
        self.outer.capture(stream, bytes);
    }
    fn process_started(&self, process: ProcessId) {
        self.outer.process_started(process);
    }
    fn warn(&self, message: String) {
        self.outer.warn(message);
    }
    fn call_retried(&self, retry: CallRetry) {
        self.outer.call_retried(retry);
    }
    fn provider_fallback(&self, fallback: Fallback) {
        self.outer.provider_fallback(fallback);
    }
    fn used(&self, usage: Usage) {
        self.outer.used(usage);
    }
    fn remember<'a>(
        &'a self,
        name: &'a str,
        value: Value,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        self.outer.remember(name, value)
    }
    fn remembered(&self, name: &str) -> Option<Value> {
        self.outer.remembered(name)
    }
    fn remember_file<'a>(
        &'a self,
        name: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        self.outer.remember_file(name, path)
    }
    fn remembered_file<'a>(
        &'a self,
        name: &'a str,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<bool, StageError>> {
        self.outer.remembered_file(name, to)
    }
    fn remember_secret<'a>(
        &'a self,
        name: &'a str,
        value: &'a str,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        self.outer.remember_secret(name, value)
    }
    fn remembered_secret(&self, name: &str) -> Option<String> {
        self.outer.remembered_secret(name)
    }
    fn chance(&self) -> f64 {
        self.outer.chance()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growing_microseconds_count_as_progress() {
        assert_eq!(encoded_us("out_time_us=1500000"), Some(1_500_000));
        assert_eq!(encoded_us("out_time_us=N/A"), None);
        assert_eq!(encoded_us("out_time_us=-33"), None);
        assert_eq!(encoded_us("frame=12"), None);
    }

    #[test]
    fn a_long_video_gets_more_time_than_the_least() {
        assert_eq!(Patience::of(2.0, STALL).limit, LEAST_LIMIT);
        assert_eq!(Patience::of(60.0, STALL).limit, Duration::from_secs(1_200));
    }

    #[test]
    fn a_stalled_encode_is_a_timeout_that_keeps_its_cause() {
        let error = StageError::new(ErrorClass::Cancelled, "encode", "it was ended");
        let error = ended(error, Bark::Stalled(STALL));
        assert_eq!(error.message, "ffmpeg made no progress for 30s");
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Timeout, "E0101"));
        assert_eq!(error.causes, ["it was ended"]);
        let error = ended(error, Bark::TooLong(LEAST_LIMIT));
        assert_eq!(error.hint.as_deref(), Some(TOO_LONG));
    }
}
