//! The stage at work, and its end when it is told to stop.

use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::Work;
use flow_core::stage::{CancelReason, Drafts, Job};

use super::Assignment;
use super::context::AttemptContext;

/// How long a stage may take to return after it was told to stop, over the grace period that it
/// gives its own children.
const RETURN_GRACE: Duration = Duration::from_secs(8);

/// Runs the stage under its timeout. A stage that is told to stop gets time to clean up; one that
/// does not return is dropped.
pub(super) async fn run_stage(
    work: &Work,
    context: &AttemptContext,
    job: Job,
    assignment: &Assignment,
) -> Result<Drafts, Box<StageError>> {
    let operation = format!("run stage {}", work.stage.spec().name);
    let mut work = work.stage.run(context, job);
    let timer = async {
        match assignment.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(timer);
    let reason = tokio::select! {
        biased;
        result = &mut work => return result.map_err(Box::new),
        reason = context.stop() => reason,
        () = &mut timer => {
            let reason = if assignment.by_deadline { CancelReason::Deadline } else { CancelReason::Timeout };
            context.tell_stop(reason);
            reason
        }
    };
    let late = tokio::select! {
        biased;
        result = &mut work => Some(result),
        () = tokio::time::sleep(RETURN_GRACE) => None,
        // A second signal does not wait for anyone's manners.
        () = context.killed() => tokio::time::timeout(Duration::from_secs(2), &mut work).await.ok(),
    };
    match late {
        // It ended just in time: one outcome only, and the work is not thrown away.
        Some(Ok(drafts)) => Ok(drafts),
        Some(Err(error)) => Err(Box::new(stopped(reason, assignment, &operation, Some(error)))),
        None => Err(Box::new(stopped(reason, assignment, &operation, None))),
    }
}

/// The failure of an attempt that was stopped, with what the stage still had to say.
fn stopped(
    reason: CancelReason,
    assignment: &Assignment,
    operation: &str,
    detail: Option<StageError>,
) -> StageError {
    let limit = assignment.timeout.map(flow_core::policy::format_duration).unwrap_or_default();
    let (class, message, hint) = match reason {
        CancelReason::Timeout => (
            ErrorClass::Timeout,
            format!("it did not end within its timeout of {limit}"),
            Some("raise `timeout` of the node, or make its work smaller"),
        ),
        CancelReason::Deadline => (
            ErrorClass::Timeout,
            "its deadline has passed".to_owned(),
            Some("raise `deadline`, or resume the run: every invocation has the whole span"),
        ),
        CancelReason::Interrupted | CancelReason::Killed => {
            (ErrorClass::Cancelled, "the run was interrupted".to_owned(), None)
        }
        CancelReason::Cancelled => {
            (ErrorClass::Cancelled, "the run is ending after a failure".to_owned(), None)
        }
    };
    let mut error = match detail {
        Some(detail) => StageError {
            kind: detail.kind,
            argv: detail.argv,
            stderr_tail: detail.stderr_tail,
            exit_code: detail.exit_code,
            signal: detail.signal,
            provider: detail.provider,
            causes: detail.causes,
            unsent: detail.unsent,
            ..StageError::new(class, detail.operation, message)
        },
        None => StageError::new(class, operation, message),
    };
    error.hint = hint.map(str::to_owned);
    error
}
