//! ComfyUI: a graph of the user's own is put into the queue (`POST /prompt`), the history says how it
//! ended (`GET /history/{id}`), and the picture is fetched (`GET /view`). What its WebSocket tells is
//! shown as progress, and decides nothing.

mod graph;
mod progress;
mod state;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use reqwest::Url;
use serde_json::{Value, json};

use self::state::{Image, Place, of_history, place_in_queue};
use super::job::{self, Missed, State};
use super::picture::{self, Order, Wanted};
use super::{Answer, Api, Message, Service, call};

/// The API when nothing else is said: a server of one's own, without a key.
pub(crate) static COMFYUI: Api = Api {
    name: "comfyui",
    base_url: "http://127.0.0.1:8188",
    kind: ErrorKind::MediaGeneration,
    timeout: Duration::from_secs(30),
    in_flight: 4,
    needs_key: false,
    key_env: "COMFYUI_API_KEY",
};

/// The upright size that models of a megapixel are made for.
const SIZE: (u32, u32) = (768, 1344);
/// So many looks may find a job neither in the queue nor in the history before it is lost: it moves from
/// one to the other between two requests.
const MOST_MISSES: u32 = 3;
/// So many jobs of one order may have failed before another is put into the queue.
const MOST_JOBS: u32 = 8;

/// What is asked for: the user's graph, with prompt, seed and size in it.
///
/// # Errors
/// `config` when there is no graph, or none that can be used.
pub(super) async fn order(
    context: &dyn Context,
    service: &Service,
    wanted: &Wanted,
) -> Result<Order, StageError> {
    let size = picture::size(service, SIZE)?;
    let given = graph::read(context, service).await?;
    let filled = graph::filled(service, &given, wanted, size)?;
    let is_seeded = graph::has(&given, graph::SEED);
    let model = graph::model(&given).unwrap_or("a graph of one's own").to_owned();
    Ok(Order { is_seeded, ..Order::new(service, &model, wanted, filled) })
}

/// Puts the graph into the queue, and gives what names the job. A job that an earlier try or attempt has
/// put there is taken up: its id follows from the order.
///
/// # Errors
/// `config` with the node that is wrong; those of [`failure`].
pub(super) async fn submit(
    context: &dyn Context,
    service: &Service,
    order: &Order,
) -> Result<Value, StageError> {
    let operation = "order a picture from comfyui";
    call(context, service, operation, |_try| async {
        for number in 0..MOST_JOBS {
            let id = id(context, order, number);
            match look(context, service, operation, &id).await? {
                Some(State::Gone(_)) => {}
                Some(_) => return Ok(json!({"prompt_id": id, "client_id": id})),
                None => return put(context, service, operation, order, &id).await,
            }
        }
        Err(service.failure(ErrorClass::Rejected, operation, "comfyui has failed at it too often"))
    })
    .await
}

/// The id of a job: the same for the same order of the same run, as the UUIDs are that ComfyUI takes.
fn id(context: &dyn Context, order: &Order, number: u32) -> String {
    let all = format!("{}\n{}\n{number}", context.idempotency_key(), order.receipt);
    let hex = Digest::of(all.as_bytes()).to_string();
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}

async fn put(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    order: &Order,
    id: &str,
) -> Result<Value, StageError> {
    let body = json!({"prompt": order.body, "client_id": id, "prompt_id": id});
    let message = authorized(service, Message::post(service.url("/prompt")?)).json(&body);
    let answer = service.send(context, operation, message).await?;
    let value = answer.value().unwrap_or_default();
    // It also says so with 200, where the rest of the graph can be made.
    if let Some(error) = graph::refused(service, &answer, &value) {
        return Err(error);
    }
    if !answer.is_success() {
        return Err(failure(service, &answer));
    }
    answer.json(service)?;
    // Servers before 0.25 choose the id themselves.
    match value["prompt_id"].as_str() {
        Some(theirs) => Ok(json!({"prompt_id": theirs, "client_id": id})),
        None => Err(answer.misshapen(service, "names no prompt_id")),
    }
}

/// Waits for the picture of a job, and puts it at `path`.
///
/// # Errors
/// `http_5xx` with the node that failed; `rejected` when somebody has interrupted the job; `timeout` when
/// it does not end in time; those of [`failure`].
pub(super) async fn fetch(
    context: &dyn Context,
    service: &Service,
    job: Value,
    path: &Path,
) -> Result<(), Missed> {
    let operation = "wait for a picture of comfyui";
    let id = job["prompt_id"].as_str().unwrap_or_default();
    let misses = AtomicU32::new(0);
    let waited = job::wait_for(context, service, operation, || {
        call(context, service, operation, |_try| async {
            match look(context, service, operation, id).await? {
                Some(state) => Ok(state),
                None if misses.fetch_add(1, Ordering::Relaxed) + 1 < MOST_MISSES => {
                    Ok(State::Waiting)
                }
                None => Ok(State::Gone(lost(service, operation))),
            }
        })
    });
    let image = tokio::select! {
        image = waited => image?,
        never = progress::tell(context, service, &job) => match never {},
    };
    let url = view(service, &image)?;
    picture::download_by(context, service, authorized(service, Message::get(url)), path).await
}

/// How a job stands; `None` if the server does not know it.
async fn look(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    id: &str,
) -> Result<Option<State<Image>>, StageError> {
    let history = get(context, service, operation, &["history", id]).await?;
    let value = history.json(service)?;
    if let Some(entry) = value.get(id) {
        return of_history(service, &history, entry).map(Some);
    }
    let queue = get(context, service, operation, &["queue"]).await?;
    Ok(match place_in_queue(&queue.json(service)?, id) {
        Place::Running | Place::Pending => Some(State::Waiting),
        Place::Nowhere => None,
    })
}

async fn get(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    path: &[&str],
) -> Result<Answer, StageError> {
    let message = authorized(service, Message::get(service.url_of(path)?));
    let answer = service.send(context, operation, message).await?;
    if answer.is_success() { Ok(answer) } else { Err(failure(service, &answer)) }
}

/// ComfyUI itself has no keys; what stands in front of it may have.
fn authorized(service: &Service, message: Message) -> Message {
    let Some(key) = service.optional_key() else { return message };
    let scheme = service.option_or("auth_scheme", "Bearer");
    message
        .header_named(service.option_or("auth_header", "authorization"), &format!("{scheme} {key}"))
}

fn view(service: &Service, image: &Image) -> Result<Url, StageError> {
    let mut url = service.url("/view")?;
    url.query_pairs_mut()
        .append_pair("filename", &image.filename)
        .append_pair("subfolder", &image.subfolder)
        .append_pair("type", &image.folder);
    Ok(url)
}

fn lost(service: &Service, operation: &str) -> StageError {
    let message = "comfyui does not know the job any longer";
    service.failure(ErrorClass::Http5xx, operation, message).hint(
        "it was stopped or started anew in the meantime: see what it wrote; a further attempt, or `flow \
         resume`, puts the job into its queue again",
    )
}

/// What a status that is no success means.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let error = &value["error"];
    let said = error["message"].as_str().or(error.as_str());
    answer.refusal(service, None, said)
}
