//! Jobs of a service: ordered once, waited for, and fetched.

use std::future::Future;
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::policy::format_duration;
use flow_core::stage::{Context, Usage};
use serde_json::Value;
use tokio::time::Instant;

use super::call::pause;
use super::{Answer, Message, Service};

/// The wait after the first look at a job; it doubles from look to look.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait between two looks, unless `poll` of the service says otherwise.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long a job is waited for, unless `poll_timeout` of the service says otherwise.
const PATIENCE: Duration = Duration::from_secs(300);

/// How a job stands.
pub(crate) enum State<T> {
    Waiting,
    Done(T),
    /// It failed, or its result is not kept any longer: it has to be ordered anew.
    Gone(StageError),
}

/// Why there is no result.
pub(crate) enum Missed {
    /// There will never be one of this job.
    Gone(StageError),
    /// What went wrong is no matter of the job: it may still be fetched by a later attempt.
    Failed(StageError),
}

impl From<StageError> for Missed {
    fn from(error: StageError) -> Self {
        Self::Failed(error)
    }
}

impl Missed {
    /// A failure that has no name of its own at the service is known there by the job's.
    fn of_job(self, id: Option<String>) -> Self {
        let named = |mut error: StageError| {
            error.request_id = error.request_id.or(id);
            error
        };
        match self {
            Self::Gone(error) => Self::Gone(named(error)),
            Self::Failed(error) => Self::Failed(named(error)),
        }
    }
}

/// The service's own name of a job.
fn id(job: &Value) -> Option<String> {
    let names = ["id", "request_id", "prompt_id"];
    names.iter().find_map(|name| job[*name].as_str()).map(str::to_owned)
}

/// Sends an order, and gives what names the job: what `named` finds in the answer, or that there is no
/// `wanted` in it.
///
/// # Errors
/// Those of `failure`; `malformed`.
pub(super) async fn order(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    message: Message,
    failure: fn(&Service, &Answer) -> StageError,
    wanted: &str,
    named: impl FnOnce(&Value) -> Option<Value>,
) -> Result<Value, StageError> {
    let answer = service.send(context, operation, message).await?;
    if !answer.is_success() {
        return Err(failure(service, &answer));
    }
    let missing = || answer.misshapen(service, &format!("names no {wanted}"));
    named(&answer.json(service)?).ok_or_else(missing)
}

/// Has a job done: takes up the one that an earlier attempt has ordered under this receipt, or orders
/// it. What `submit` gives names the job, and is on the disk before it is first asked for. A job of an
/// earlier attempt whose result is gone is ordered anew.
///
/// # Errors
/// Those of `submit` and `fetch`, and those of the store.
pub(crate) async fn done<T, F>(
    context: &dyn Context,
    service: &Service,
    receipt: &str,
    submit: impl Future<Output = Result<Value, StageError>>,
    mut fetch: impl FnMut(Value) -> F,
) -> Result<T, StageError>
where
    F: Future<Output = Result<T, Missed>>,
{
    if let Some(earlier) = context.remembered(receipt).filter(|job| !job.is_null()) {
        let id = id(&earlier);
        match fetch(earlier).await.map_err(|missed| missed.of_job(id)) {
            Ok(result) => return Ok(result),
            Err(Missed::Failed(error)) => return Err(error),
            Err(Missed::Gone(error)) => {
                let name = service.api.name;
                context.warn(format!("{name} is asked anew, since of the earlier job {error}"));
            }
        }
    }
    let job = submit.await?;
    context.remember(receipt, job.clone()).await?;
    paid(context, service);
    let id = id(&job);
    match fetch(job).await.map_err(|missed| missed.of_job(id)) {
        Ok(result) => Ok(result),
        Err(Missed::Failed(error)) => Err(error),
        Err(Missed::Gone(error)) => {
            context.remember(receipt, Value::Null).await?;
            Err(error)
        }
    }
}

/// Tells what one job or picture costs, where `usd_per_picture` of the service says it.
pub(crate) fn paid(context: &dyn Context, service: &Service) {
    let usd = service.option_number("usd_per_picture").unwrap_or_default();
    context.used(Usage { usd, ..Usage::default() });
}

/// Looks at a job again and again until it has ended.
///
/// # Errors
/// Those of `look`; `timeout` when it does not end in time.
pub(crate) async fn wait_for<T, F>(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    mut look: impl FnMut() -> F,
) -> Result<T, Missed>
where
    F: Future<Output = Result<State<T>, StageError>>,
{
    let longest = service.option_span("poll")?.unwrap_or(LONGEST_WAIT);
    let patience = service.option_span("poll_timeout")?.unwrap_or(PATIENCE);
    let begin = Instant::now();
    let mut wait = FIRST_WAIT.min(longest);
    loop {
        match look().await? {
            State::Done(result) => return Ok(result),
            State::Gone(error) => return Err(Missed::Gone(error)),
            State::Waiting if begin.elapsed() + wait > patience => {
                return Err(Missed::Failed(endless(service, operation, patience)));
            }
            State::Waiting => pause(context, service, operation, wait).await?,
        }
        wait = (wait * 2).min(longest);
    }
}

fn endless(service: &Service, operation: &str, patience: Duration) -> StageError {
    let (name, patience) = (service.api.name, format_duration(patience));
    let message = format!("the job has not ended within {patience}");
    service.failure(ErrorClass::Timeout, operation, message).hint(format!(
        "the job is remembered: a further attempt, or `flow resume`, waits for it again and does not \
         order it again. For more time: services = {{ {name} = {{ poll_timeout = \"…\" }} }}"
    ))
}
