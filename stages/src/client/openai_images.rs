//! Pictures of OpenAI: `POST /v1/images/generations`.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_core::error::{ErrorKind, StageError};
use flow_core::stage::{Context, Usage};
use serde_json::{Value, json};

use super::job::{self, Missed};
use super::picture::{self, Order, Wanted};
use super::{Answer, Api, Message, Service, call_and_keep, openai};

/// The API for pictures when nothing else is said: the same service as for speech.
pub(crate) static OPENAI_IMAGES: Api = Api {
    name: "openai",
    base_url: "https://api.openai.com",
    kind: ErrorKind::MediaGeneration,
    timeout: Duration::from_secs(180),
    in_flight: 2,
    needs_key: true,
    key_env: "OPENAI_API_KEY",
};

/// Where URLs of pictures lead.
const HOSTS: [&str; 1] = ["*.blob.core.windows.net"];
const MODEL: &str = "gpt-image-2";

/// What is asked for. The model is always named: the service's own default is an old one.
///
/// # Errors
/// `config` when a setting is of another form than it must be.
pub(super) fn order(service: &Service, wanted: &Wanted) -> Result<Order, StageError> {
    let model = service.option_or("image_model", MODEL);
    let (width, height) = picture::size(service, suited(model))?;
    let mut body = json!({
        "model": model,
        "prompt": wanted.prompt,
        "n": 1,
        "size": format!("{width}x{height}"),
    });
    if model.starts_with("dall-e") {
        body["response_format"] = "b64_json".into();
    } else {
        body["output_format"] = service.option_or("output_format", "png").into();
    }
    for name in ["quality", "moderation"] {
        if let Some(text) = service.option(name) {
            body[name] = text.into();
        }
    }
    Ok(Order { is_seeded: false, ..Order::new(service, model, wanted, body) })
}

/// The upright size of a model.
fn suited(model: &str) -> (u32, u32) {
    match model {
        "dall-e-2" => (1024, 1024),
        "dall-e-3" => (1024, 1792),
        _ if model.starts_with("gpt-image-1") => (1024, 1536),
        // Any multiples of 16.
        _ => (1088, 1920),
    }
}

/// Has the picture made, and puts it at `path`. The answer is recorded before anything else is done with it,
/// whether it is the picture or the place of one.
///
/// # Errors
/// Those of [`openai::failure`]; `malformed` when what comes is no picture.
pub(super) async fn paint(
    context: &dyn Context,
    service: &Service,
    order: &Order,
    path: &Path,
) -> Result<(), StageError> {
    let operation = "have a picture made by openai";
    let receipt = format!("{}/answer", order.receipt);
    if context.remembered_file(&receipt, path).await?
        && picture::checked(service, operation, path).await.is_ok()
    {
        return Ok(());
    }
    let submit = call_and_keep(
        context,
        service,
        operation,
        |number| ask(context, service, operation, order, number),
        |answer| keep(context, service, operation, &receipt, path, answer),
    );
    let fetch = |place: Value| fetch(context, service, operation, place, path);
    let place = format!("{}/place", order.receipt);
    job::done(context, service, &place, submit, fetch).await
}

/// Records a picture, and looks at it then; gives the place of one that is elsewhere.
async fn keep(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    receipt: &str,
    path: &Path,
    (made, request_id): (Made, Option<String>),
) -> Result<Value, StageError> {
    let Made::Bytes(bytes) = made else { return Ok(made.place()) };
    let unwritten = |error: std::io::Error| StageError::from_io(operation, &error);
    tokio::fs::write(path, &bytes).await.map_err(unwritten)?;
    context.remember_file(receipt, path).await?;
    let checked = picture::checked(service, operation, path).await;
    checked.map(|()| Value::Null).map_err(|error| StageError { request_id, ..error })
}

/// One try: what was made, and the service's name for the request.
async fn ask(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    order: &Order,
    number: u32,
) -> Result<(Made, Option<String>), StageError> {
    let name = openai::request_name(context, &order.receipt, number);
    let message = Message::post(service.url("/v1/images/generations")?)
        .bearer(service.key()?)
        .header(openai::OUR_NAME, &name)
        .json(&order.body);
    let answer = service.send(context, operation, message).await?;
    if !answer.is_success() {
        return Err(openai::failure(service, &answer));
    }
    let value = answer.json(service)?;
    let tokens = value["usage"]["total_tokens"].as_u64().unwrap_or_default();
    context.used(Usage { tokens, ..Usage::default() });
    Ok((made(service, &answer, &value)?, answer.request_id))
}

/// Fetches a picture from its place; one that came with the answer is there already.
async fn fetch(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    place: Value,
    path: &Path,
) -> Result<(), Missed> {
    let Some(url) = place["url"].as_str() else { return Ok(()) };
    let url = service.named_url_among(operation, url, &HOSTS)?;
    picture::download(context, service, &url, path).await
}

/// A picture in an answer.
enum Made {
    Bytes(Vec<u8>),
    Url(String),
}

impl Made {
    /// Where the picture is, as a job is recorded; null where it came with the answer.
    fn place(&self) -> Value {
        match self {
            Self::Bytes(_) => Value::Null,
            Self::Url(url) => json!({ "url": url }),
        }
    }
}

fn made(service: &Service, answer: &Answer, value: &Value) -> Result<Made, StageError> {
    let first = &value["data"][0];
    if let Some(text) = first["b64_json"].as_str() {
        return STANDARD.decode(text).map(Made::Bytes).map_err(|error| {
            answer.misshapen(service, "has a picture that is no base64").cause(error)
        });
    }
    match first["url"].as_str() {
        Some(url) => Ok(Made::Url(url.to_owned())),
        None => Err(answer.misshapen(service, "has no picture")),
    }
}
