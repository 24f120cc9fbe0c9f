//! FLUX of Black Forest Labs: `POST /v1/{model}`, then the polling URL of the answer, then the picture.

use std::path::Path;
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use serde_json::{Value, json};

use super::job::{self, Missed, State};
use super::picture::{self, Order, Wanted};
use super::{Answer, Api, Message, Service, call};

/// The API when nothing else is said.
pub(crate) static FLUX: Api = Api {
    name: "flux",
    base_url: "https://api.bfl.ai",
    kind: ErrorKind::MediaGeneration,
    timeout: Duration::from_secs(60),
    in_flight: 4,
    needs_key: true,
    key_env: "BFL_API_KEY",
};

/// Where its answers lead: regional places of the API, and those of pictures.
const HOSTS: [&str; 1] = ["*.bfl.ai"];
const MODEL: &str = "flux-2-pro";

/// What is asked for.
///
/// # Errors
/// `config` when a setting is of another form than it must be.
pub(super) fn order(service: &Service, wanted: &Wanted) -> Result<Order, StageError> {
    let model = service.option_or("model", MODEL);
    // Sides are multiples of 32; those of the first generation end at 1440.
    let suited = if model.starts_with("flux-2") { (1088, 1920) } else { (800, 1408) };
    let (width, height) = picture::size(service, suited)?;
    let body = json!({
        "prompt": wanted.prompt,
        "width": width,
        "height": height,
        "seed": wanted.seed,
        "safety_tolerance": service.option_number("safety_tolerance").map_or(2, |level| level as u8),
        "output_format": service.option_or("output_format", "png"),
    });
    Ok(Order::new(service, model, wanted, body))
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
    let operation = "order a picture from flux";
    call(context, service, operation, |_try| async {
        let url = service.url_of(&["v1", &order.model])?;
        let message = Message::post(url).header("x-key", service.key()?).json(&order.body);
        let named = |value: &Value| {
            let id = value["id"].as_str()?;
            // Answers of the older API name no place of their own.
            let usual = || format!("/v1/get_result?id={id}");
            let url = value["polling_url"].as_str().map_or_else(usual, str::to_owned);
            Some(json!({"id": id, "polling_url": url}))
        };
        let wanted = "id";
        job::order(context, service, operation, message, failure, wanted, named).await
    })
    .await
}

/// Waits for the picture of a job, and puts it at `path`.
///
/// # Errors
/// Those of [`failure`]; `moderated` when request or picture was refused; `http_4xx` when the picture
/// was there and has expired; `timeout` when the job never ends.
pub(super) async fn fetch(
    context: &dyn Context,
    service: &Service,
    job: Value,
    path: &Path,
) -> Result<(), Missed> {
    let operation = "wait for a picture of flux";
    let url = job["polling_url"].as_str().unwrap_or_default();
    let url = service.named_url_among(operation, url, &HOSTS)?;
    let sample = job::wait_for(context, service, operation, || {
        call(context, service, operation, |_try| async {
            let message = Message::get(url.clone()).header("x-key", service.key()?);
            let answer = service.send(context, operation, message).await?;
            state(service, &answer)
        })
    })
    .await?;
    let sample = service.named_url_among(operation, &sample, &HOSTS)?;
    picture::download(context, service, &sample, path).await
}

/// How a job stands, by the answer to its polling URL: the URL of the picture when it is done.
fn state(service: &Service, answer: &Answer) -> Result<State<String>, StageError> {
    let value = answer.value().unwrap_or_default();
    let Some(status) = value["status"].as_str() else {
        return match answer.is_success() {
            true => Err(answer
                .json(service)
                .err()
                .unwrap_or_else(|| answer.misshapen(service, "has no status"))),
            false => Err(failure(service, answer)),
        };
    };
    match status {
        "Pending" | "Queued" | "Processing" => Ok(State::Waiting),
        "Ready" => match value["result"]["sample"].as_str() {
            Some(sample) => Ok(State::Done(sample.to_owned())),
            None => Err(answer.misshapen(service, "is ready and names no picture")),
        },
        "Request Moderated" | "Content Moderated" => {
            let message = format!("flux refused the picture: {status}");
            let error = answer.failure(service, ErrorClass::Moderated, message);
            let error = details(&value).into_iter().fold(error, StageError::cause);
            Err(error.hint("change the section's visual_prompt, or choose another provider"))
        }
        "Task not found" => {
            let message = "flux does not know the job any longer";
            let error = answer.failure(service, ErrorClass::Http4xx, message);
            Ok(State::Gone(error.hint("`flow resume` orders the picture again")))
        }
        "Error" | "Failed" => {
            let error =
                answer.failure(service, ErrorClass::Http5xx, "flux failed to make the picture");
            Ok(State::Gone(details(&value).into_iter().fold(error, StageError::cause)))
        }
        other => {
            let what = format!("has the status `{}`, which is unknown", other.escape_debug());
            Err(answer.misshapen(service, &what))
        }
    }
}

fn details(value: &Value) -> Option<String> {
    let details = &value["details"];
    (!details.is_null()).then(|| details.to_string())
}

/// What a status that is no success means: this API has no codes, and says in `detail` what is wrong.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let said = match &value["detail"] {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    answer.refusal(service, None, said.as_deref())
}
