//! fal: `POST /{model}` puts a request into a queue, whose answer names the URLs of its status and result.

use std::path::Path;
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use serde_json::{Value, json};

use super::job::{self, Missed, State};
use super::picture::{self, Order, Wanted};
use super::{Answer, Api, Message, Service, call};

/// The API when nothing else is said.
pub(crate) static FAL: Api = Api {
    name: "fal",
    base_url: "https://queue.fal.run",
    kind: ErrorKind::MediaGeneration,
    timeout: Duration::from_secs(60),
    in_flight: 4,
    needs_key: true,
    key_env: "FAL_KEY",
};

/// Where pictures lie.
const HOSTS: [&str; 2] = ["fal.media", "*.fal.media"];
const MODEL: &str = "fal-ai/flux/dev";

/// What is asked for.
///
/// # Errors
/// `config` when a setting is of another form than it must be.
pub(super) fn order(service: &Service, wanted: &Wanted) -> Result<Order, StageError> {
    let (width, height) = picture::size(service, (1088, 1920))?;
    let mut body = json!({
        "prompt": wanted.prompt,
        "image_size": {"width": width, "height": height},
        "seed": wanted.seed,
        "num_images": 1,
        "output_format": service.option_or("output_format", "png"),
    });
    picture::add_input(service, &mut body);
    Ok(Order::new(service, service.option_or("model", MODEL), wanted, body))
}

/// Orders the picture: what names the job.
///
/// The queue itself tries a request that fails on the side of fal up to ten times, unbilled, so that one
/// which has failed is not ordered again here.
///
/// # Errors
/// Those of [`failure`].
pub(super) async fn submit(
    context: &dyn Context,
    service: &Service,
    order: &Order,
) -> Result<Value, StageError> {
    let operation = "order a picture from fal";
    call(context, service, operation, |_try| async {
        let parts: Vec<&str> = order.model.split('/').collect();
        let message = authorized(service, Message::post(service.url_of(&parts)?))?;
        let message = message.json(&order.body);
        let names = ["request_id", "status_url", "response_url"];
        let named = |value: &Value| {
            let part =
                |name: &&str| Some(((*name).to_owned(), Value::from(value[*name].as_str()?)));
            names.iter().map(part).collect::<Option<Value>>()
        };
        let wanted = "request_id, status_url and response_url";
        job::order(context, service, operation, message, failure, wanted, named).await
    })
    .await
}

fn authorized(service: &Service, message: Message) -> Result<Message, StageError> {
    Ok(message.header("authorization", &format!("Key {}", service.key()?)))
}

/// Waits for the picture of a job, and puts it at `path`.
///
/// # Errors
/// Those of [`failure`]; `moderated` when request or picture was refused; `timeout` when the job never
/// ends.
pub(super) async fn fetch(
    context: &dyn Context,
    service: &Service,
    job: Value,
    path: &Path,
) -> Result<(), Missed> {
    let operation = "wait for a picture of fal";
    // They are used as they are: the paths of status and result are not that of the model.
    let named = |name: &str| service.named_url(operation, job[name].as_str().unwrap_or_default());
    let (status_url, response_url) = (named("status_url")?, named("response_url")?);
    job::wait_for(context, service, operation, || {
        call(context, service, operation, |_try| async {
            let message = authorized(service, Message::get(status_url.clone()))?;
            let answer = service.send(context, operation, message).await?;
            state(service, &answer)
        })
    })
    .await?;
    let result = call(context, service, operation, |_try| async {
        let message = authorized(service, Message::get(response_url.clone()))?;
        let answer = service.send(context, operation, message).await?;
        result(service, &answer)
    })
    .await?;
    match result {
        State::Done(url) => {
            let url = service.named_url_among(operation, &url, &HOSTS)?;
            picture::download(context, service, &url, path).await
        }
        State::Gone(error) => Err(Missed::Gone(error)),
        State::Waiting => Err(Missed::Failed(service.failure(
            ErrorClass::Malformed,
            operation,
            "fal says that the job has ended and that it goes on",
        ))),
    }
}

/// How a request stands in the queue. That it has ended does not say how: its result does.
fn state(service: &Service, answer: &Answer) -> Result<State<()>, StageError> {
    if answer.status == 404 {
        return Ok(State::Gone(failure(service, answer)));
    }
    if !answer.is_success() {
        return Err(failure(service, answer));
    }
    match answer.json(service)?["status"].as_str() {
        Some("IN_QUEUE" | "IN_PROGRESS") => Ok(State::Waiting),
        Some("COMPLETED") => Ok(State::Done(())),
        _ => Err(answer.misshapen(service, "has no status that is known")),
    }
}

/// What a request that has ended has made: the URL of the picture.
fn result(service: &Service, answer: &Answer) -> Result<State<String>, StageError> {
    if !answer.is_success() {
        let error = failure(service, answer);
        // A failure of the model stays what it is, however often its result is asked for.
        let is_final = answer.header("x-fal-retryable").is_some() || is_of_model(answer);
        return match error.class {
            ErrorClass::Moderated => Err(error),
            _ if is_final || matches!(answer.status, 404 | 410) => Ok(State::Gone(error)),
            _ => Err(error),
        };
    }
    let value = answer.json(service)?;
    if value["has_nsfw_concepts"][0] == true {
        let message = "fal made a picture that its own check has blackened";
        return Err(answer
            .failure(service, ErrorClass::Moderated, message)
            .hint("change the section's visual_prompt, or choose another provider"));
    }
    let url = value["images"][0]["url"].as_str().or(value["image"]["url"].as_str());
    url.map(|url| State::Done(url.to_owned()))
        .ok_or_else(|| answer.misshapen(service, "names no picture"))
}

/// Whether a failure is one of the model: those come as a list of details.
fn is_of_model(answer: &Answer) -> bool {
    answer.value().is_some_and(|value| value["detail"].is_array())
}

/// What a status that is no success means: the type of the failure first, of the model's details or of
/// the platform; then the status.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let detail = &value["detail"];
    let platform = answer.header("x-fal-error-type").or(value["error_type"].as_str());
    let code = detail[0]["type"].as_str().or(platform).unwrap_or_default();
    let said = detail.as_str().or(detail[0]["msg"].as_str());
    let mut failed = answer.refusal(service, class_of(code), said);
    if !code.is_empty() {
        failed.causes.push(format!("fal calls it {}", code.escape_debug()));
    }
    if failed.request_id.is_none() {
        failed.request_id = answer.header("x-fal-request-id").map(str::to_owned);
    }
    match failed.class {
        // An account without money is locked, and answers so.
        ErrorClass::Auth => {
            failed.hint("check the key of fal (FAL_KEY), and the balance of its account")
        }
        _ => failed,
    }
}

fn class_of(code: &str) -> Option<ErrorClass> {
    Some(match code {
        "content_policy_violation" => ErrorClass::Moderated,
        "request_timeout" | "startup_timeout" | "generation_timeout" => ErrorClass::Timeout,
        "runner_scheduling_failure"
        | "runner_connection_timeout"
        | "runner_disconnected"
        | "runner_connection_refused"
        | "runner_connection_error"
        | "runner_incomplete_response"
        | "runner_server_error"
        | "internal_error"
        | "internal_server_error"
        | "downstream_service_error"
        | "downstream_service_unavailable" => ErrorClass::Http5xx,
        _ => return None,
    })
}
