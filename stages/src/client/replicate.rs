//! Replicate: `POST /v1/models/{owner}/{name}/predictions`, then the prediction's own URL, then the file.

use std::path::Path;
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use serde_json::{Value, json};

use super::job::{self, Missed, State};
use super::picture::{self, Order, Wanted};
use super::{Answer, Api, Message, Service, call};

/// The API when nothing else is said.
pub(crate) static REPLICATE: Api = Api {
    name: "replicate",
    base_url: "https://api.replicate.com",
    kind: ErrorKind::MediaGeneration,
    timeout: Duration::from_secs(60),
    in_flight: 4,
    needs_key: true,
    key_env: "REPLICATE_API_TOKEN",
};

/// Where files lie.
const HOSTS: [&str; 2] = ["replicate.delivery", "*.replicate.delivery"];
const MODEL: &str = "black-forest-labs/flux-1.1-pro";

/// What is asked for. Models differ in their inputs: `input` of the service adds to these.
///
/// # Errors
/// `config` when the model is no `owner/name`.
pub(super) fn order(service: &Service, wanted: &Wanted) -> Result<Order, StageError> {
    let model = service.option_or("model", MODEL);
    if model.split('/').filter(|part| !part.is_empty()).count() != 2 {
        let message = format!("`{}` is no model", model.escape_debug());
        let operation = "read with.services.replicate.model";
        let mut error = service.failure(ErrorClass::Config, operation, message);
        error.unsent = true;
        return Err(error.hint("write it as owner/name, such as black-forest-labs/flux-1.1-pro"));
    }
    let mut input = json!({
        "prompt": wanted.prompt,
        "seed": wanted.seed,
        "aspect_ratio": "9:16",
        "output_format": service.option_or("output_format", "png"),
    });
    picture::add_input(service, &mut input);
    Ok(Order::new(service, model, wanted, json!({"input": input})))
}

/// Orders the picture: what names the job.
///
/// # Errors
/// Those of [`failure`].
pub(super) async fn submit(
    context: &dyn Context,
    service: &Service,
    order: &Order,
) -> Result<Value, StageError> {
    let operation = "order a picture from replicate";
    call(context, service, operation, |_try| async {
        let (owner, name) = order.model.split_once('/').unwrap_or_default();
        let url = service.url_of(&["v1", "models", owner, name, "predictions"])?;
        let message = Message::post(url).bearer(service.key()?).json(&order.body);
        let named = |value: &Value| {
            let id = value["id"].as_str()?;
            let usual = || format!("/v1/predictions/{id}");
            let url = value["urls"]["get"].as_str().map_or_else(usual, str::to_owned);
            Some(json!({"id": id, "url": url}))
        };
        let wanted = "id of a prediction";
        job::order(context, service, operation, message, failure, wanted, named).await
    })
    .await
}

/// Waits for the picture of a job, and puts it at `path`.
///
/// # Errors
/// Those of [`failure`]; `moderated` when the picture was refused; `timeout` when the prediction never
/// ends.
pub(super) async fn fetch(
    context: &dyn Context,
    service: &Service,
    job: Value,
    path: &Path,
) -> Result<(), Missed> {
    let operation = "wait for a picture of replicate";
    let url = service.named_url(operation, job["url"].as_str().unwrap_or_default())?;
    let output = job::wait_for(context, service, operation, || {
        call(context, service, operation, |_try| async {
            let message = Message::get(url.clone()).bearer(service.key()?);
            let answer = service.send(context, operation, message).await?;
            state(service, &answer)
        })
    })
    .await?;
    let output = service.named_url_among(operation, &output, &HOSTS)?;
    picture::download(context, service, &output, path).await
}

/// How a prediction stands: the URL of its file when it has succeeded.
fn state(service: &Service, answer: &Answer) -> Result<State<String>, StageError> {
    if answer.status == 404 {
        return Ok(State::Gone(failure(service, answer)));
    }
    if !answer.is_success() {
        return Err(failure(service, answer));
    }
    let value = answer.json(service)?;
    match value["status"].as_str() {
        Some("starting" | "processing" | "queued") => Ok(State::Waiting),
        Some("succeeded") => {
            let output = &value["output"];
            let url = output.as_str().or(output[0].as_str());
            // Files are deleted after an hour.
            let gone = || answer.failure(service, ErrorClass::Http4xx, "the output is deleted");
            match url {
                Some(url) => Ok(State::Done(url.to_owned())),
                None if output.is_null() => Ok(State::Gone(gone())),
                None => Err(answer.misshapen(service, "has succeeded and names no file")),
            }
        }
        Some("failed") => failed(service, answer, &value).map(State::Gone),
        Some("canceled" | "aborted") => {
            let message = "the prediction was cancelled at replicate";
            Ok(State::Gone(answer.failure(service, ErrorClass::Rejected, message)))
        }
        _ => Err(answer.misshapen(service, "has no status that is known")),
    }
}

/// A prediction that failed: refused content has a code at the end of its words.
fn failed(service: &Service, answer: &Answer, value: &Value) -> Result<StageError, StageError> {
    let said = value["error"].as_str().unwrap_or_default();
    let code = said.rsplit_once('(').and_then(|(_, code)| code.trim_end().strip_suffix(')'));
    let told = |class, message| answer.failure(service, class, message).cause(said.escape_debug());
    if code == Some("E005") {
        let error = told(ErrorClass::Moderated, "replicate refused the picture");
        return Err(error.hint("change the section's visual_prompt, or choose another provider"));
    }
    Ok(told(ErrorClass::Http5xx, "the model failed at replicate"))
}

/// What a status that is no success means: this API has no codes, and says in `detail` what is wrong.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let said = value["detail"].as_str().or(value["title"].as_str());
    let mut failed = answer.refusal(service, None, said);
    let wait = value["retry_after"].as_f64().filter(|seconds| *seconds >= 0.0);
    failed.retry_after_ms = failed.retry_after_ms.or(wait.map(|seconds| (seconds * 1e3) as u64));
    failed
}
