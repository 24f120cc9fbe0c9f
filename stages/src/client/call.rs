//! One call of a service: tried again where that may help, and told.

use std::future::{Future, ready};
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::policy::format_duration;
use flow_core::stage::{CallRetry, CancelReason, Context, Usage};

use super::Service;

/// A longer wait is not slept through: the attempt ends, and the engine waits for it durably or a
/// chain goes on to its next provider.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many answers of one call that say success and cannot be read are too many: each of them may have
/// been paid for. Other failures of the call do not count.
const MOST_MALFORMED: u32 = 3;

/// Calls a service until it answers, refuses for good, or its tries are used up. `attempt` gets the
/// number of the try, from 1, and must be safe to be made again.
///
/// # Errors
/// The last failure, with the name of the service and how often it was tried.
pub(crate) async fn call<T, F, Fut>(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    attempt: F,
) -> Result<T, StageError>
where
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T, StageError>>,
{
    call_and_keep(context, service, operation, attempt, |value| ready(Ok(value))).await
}

/// The same for answers that were paid for: `keep` records what a try has bought, and looks at it then.
/// It has all the time it needs, and is not cut short when the attempt is told to stop: what has been
/// bought is never bought again because recording it took long. Its failure is that of the try.
///
/// # Errors
/// Those of [`call`].
pub(crate) async fn call_and_keep<A, T, F, Fut, Kept>(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    mut attempt: F,
    keep: impl Fn(A) -> Kept,
) -> Result<T, StageError>
where
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<A, StageError>>,
    Kept: Future<Output = Result<T, StageError>>,
{
    let (mut number, mut malformed) = (1, 0);
    loop {
        let kept = match once(context, service, operation, attempt(number)).await {
            Ok(answer) => keep(answer).await,
            Err(error) => Err(error),
        };
        let failed = match kept {
            Ok(value) => return Ok(value),
            Err(error) => of_service(service, operation, error),
        };
        malformed += u32::from(failed.class == ErrorClass::Malformed);
        let delay = delay(context, service, number, &failed);
        let Some(delay) = delay.filter(|_| malformed < MOST_MALFORMED) else {
            return Err(told(failed, number));
        };
        number += 1;
        let waiting = format!("call {number} was to follow, since {}", failed.message);
        context.call_retried(CallRetry {
            provider: service.api.name.to_owned(),
            operation: operation.to_owned(),
            call: number,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            error: failed,
        });
        pause(context, service, operation, delay).await.map_err(|error| error.cause(waiting))?;
    }
}

/// Waits, unless the attempt is told to stop.
///
/// # Errors
/// When it is.
pub(crate) async fn pause(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    delay: Duration,
) -> Result<(), StageError> {
    tokio::select! {
        () = tokio::time::sleep(delay) => Ok(()),
        reason = context.cancelled() => Err(stopped(service, operation, reason)),
    }
}

/// One try, in its slot and within its time.
async fn once<T>(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    attempt: impl Future<Output = Result<T, StageError>>,
) -> Result<T, StageError> {
    let work = async {
        // The slots of a service are never closed, so that there is always one in the end.
        let _slot = service.slots.acquire().await.ok();
        if let Some(pace) = &service.pace {
            tokio::time::sleep_until(pace.turn()).await;
        }
        context.used(Usage { calls: 1, ..Usage::default() });
        tokio::time::timeout(service.timeout, attempt)
            .await
            .unwrap_or_else(|_elapsed| Err(silent(service, operation)))
    };
    tokio::select! {
        biased;
        result = work => result,
        reason = context.cancelled() => Err(stopped(service, operation, reason)),
    }
}

/// A failure with the names of the service and of what was asked of it.
fn of_service(service: &Service, operation: &str, mut error: StageError) -> StageError {
    error.kind = service.api.kind;
    error.provider = Some(service.api.name.to_owned());
    operation.clone_into(&mut error.operation);
    error
}

fn silent(service: &Service, operation: &str) -> StageError {
    let limit = format_duration(service.timeout);
    let name = service.api.name;
    service
        .failure(ErrorClass::Timeout, operation, format!("{name} did not answer within {limit}"))
        .hint(format!("give it more time: services = {{ {name} = {{ timeout = \"…\" }} }}"))
}

fn stopped(service: &Service, operation: &str, reason: CancelReason) -> StageError {
    let class = match reason {
        CancelReason::Timeout | CancelReason::Deadline => ErrorClass::Timeout,
        _ => ErrorClass::Cancelled,
    };
    service.failure(class, operation, "the attempt was told to stop before the call was over")
}

/// How long to wait before the next try; `None` if there is none.
fn delay(
    context: &dyn Context,
    service: &Service,
    number: u32,
    failed: &StageError,
) -> Option<Duration> {
    if !failed.class.is_transient() || number >= service.retry.attempts {
        return None;
    }
    let asked = failed.retry_after_ms.map(Duration::from_millis);
    let delay = service.retry.delay(number, context.chance(), asked);
    (delay <= PATIENCE).then_some(delay)
}

/// The last failure, with how often it was tried.
fn told(mut failed: StageError, tries: u32) -> StageError {
    if tries > 1 {
        failed.message = format!("{} (tried {tries} times)", failed.message);
    }
    failed
}
