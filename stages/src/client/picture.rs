//! What services that make pictures have in common: an order, the picture that comes of it, and the
//! check of its bytes.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, StageError};
use flow_core::stage::Context;
use image::{ImageFormat, ImageReader, RgbImage};
use reqwest::Url;
use serde_json::{Value, json};

use super::comfyui::{self, COMFYUI};
use super::fal::{self, FAL};
use super::flux::{self, FLUX};
use super::job::{self, Missed};
use super::openai_images::{self, OPENAI_IMAGES};
use super::replicate::{self, REPLICATE};
use super::{Api, Message, Service, call, once};

/// The services that make pictures.
pub(crate) static APIS: [&Api; 5] = [&FLUX, &OPENAI_IMAGES, &REPLICATE, &FAL, &COMFYUI];

/// A picture is at least so wide and so high.
const LEAST_SIDE: u32 = 256;
/// A picture is at most so wide and so high.
const LARGEST_SIDE: u32 = 8192;

/// What a picture is to show.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) prompt: String,
    /// The same seed gives the same picture, where a service has seeds.
    pub(crate) seed: u32,
}

/// A request for one picture, as one service takes it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) model: String,
    /// The body of the request.
    pub(crate) body: Value,
    /// The name under which what was bought is remembered.
    pub(crate) receipt: String,
    /// Whether the service takes a seed.
    pub(crate) is_seeded: bool,
}

impl Order {
    pub(super) fn new(service: &Service, model: &str, wanted: &Wanted, body: Value) -> Self {
        let all = json!({"model": model, "seed": wanted.seed, "body": body});
        let receipt = once::receipt(service.api.name, &all);
        Self { model: model.to_owned(), body, receipt, is_seeded: true }
    }
}

/// A picture that was bought.
#[derive(Debug, Clone)]
pub(crate) struct Bought {
    pub(crate) path: PathBuf,
    pub(crate) model: String,
    pub(crate) seed: Option<u32>,
}

/// Buys a picture, which is at `path` in the end: once, however many attempts ask for it. It decodes
/// and is large enough.
///
/// # Errors
/// Those of the service; `malformed` when what comes is no picture that can be used.
pub(crate) async fn buy(
    context: &dyn Context,
    service: &Service,
    wanted: &Wanted,
    path: &Path,
) -> Result<Bought, StageError> {
    let order = order(context, service, wanted).await?;
    let paint = paint(context, service, &order, path);
    let receipt = format!("{}/picture", order.receipt);
    let path = once::bought_file(context, &receipt, path, paint).await?;
    let seed = order.is_seeded.then_some(wanted.seed);
    Ok(Bought { path, model: order.model, seed })
}

async fn order(
    context: &dyn Context,
    service: &Service,
    wanted: &Wanted,
) -> Result<Order, StageError> {
    match service.api.name {
        "comfyui" => comfyui::order(context, service, wanted).await,
        "flux" => flux::order(service, wanted),
        "replicate" => replicate::order(service, wanted),
        "fal" => fal::order(service, wanted),
        _ => openai_images::order(service, wanted),
    }
}

async fn paint(
    context: &dyn Context,
    service: &Service,
    order: &Order,
    path: &Path,
) -> Result<(), StageError> {
    match service.api.name {
        "flux" => {
            let submit = flux::submit(context, service, order);
            let fetch = |job| flux::fetch(context, service, job, path);
            job::done(context, service, &order.receipt, submit, fetch).await
        }
        "replicate" => {
            let submit = replicate::submit(context, service, order);
            let fetch = |job| replicate::fetch(context, service, job, path);
            job::done(context, service, &order.receipt, submit, fetch).await
        }
        "fal" => {
            let submit = fal::submit(context, service, order);
            let fetch = |job| fal::fetch(context, service, job, path);
            job::done(context, service, &order.receipt, submit, fetch).await
        }
        "comfyui" => {
            let submit = comfyui::submit(context, service, order);
            let fetch = |job| comfyui::fetch(context, service, job, path);
            job::done(context, service, &order.receipt, submit, fetch).await
        }
        _ => openai_images::paint(context, service, order, path).await,
    }
}

/// Adds what `input` of the service says to the input of a model: models have fields of their own.
pub(super) fn add_input(service: &Service, body: &mut Value) {
    let more = service.options.get("input").and_then(Value::as_object);
    if let (Some(more), Some(body)) = (more, body.as_object_mut()) {
        body.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

/// Width and height of the pictures to ask for: `size` of the service, or what suits the model.
///
/// # Errors
/// `config` when `size` is of another form.
pub(super) fn size(service: &Service, suited: (u32, u32)) -> Result<(u32, u32), StageError> {
    let Some(text) = service.option("size") else { return Ok(suited) };
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| *side >= LEAST_SIDE);
    let sides = text.split_once('x').and_then(|(w, h)| Some((side(w)?, side(h)?)));
    sides.ok_or_else(|| {
        let name = service.api.name;
        let message = format!("`{}` is no size", text.escape_debug());
        let operation = format!("read with.services.{name}.size");
        let mut error = service.failure(ErrorClass::Config, operation, message);
        error.unsent = true;
        error.hint(format!(
            "write it as width and height of at least {LEAST_SIDE}, such as 1088x1920"
        ))
    })
}

/// Downloads a picture, without the key, and checks it. One that cannot be used is fetched again.
///
/// # Errors
/// [`Missed::Gone`] when the server does not have it any longer.
pub(super) async fn download(
    context: &dyn Context,
    service: &Service,
    url: &Url,
    path: &Path,
) -> Result<(), Missed> {
    download_by(context, service, Message::get(url.clone()), path).await
}

/// The same with a request of the service's own form.
///
/// # Errors
/// Those of [`download`].
pub(super) async fn download_by(
    context: &dyn Context,
    service: &Service,
    message: Message,
    path: &Path,
) -> Result<(), Missed> {
    let name = service.api.name;
    let operation = format!("download the picture of {name}");
    let fetched = call(context, service, &operation, |_try| async {
        service.download(context, &operation, message.clone(), path).await?;
        checked(service, &operation, path).await
    })
    .await;
    fetched.map_err(|error| match error.http_status {
        Some(403 | 404 | 410) => Missed::Gone(expired(service, error)),
        _ => Missed::Failed(error),
    })
}

/// The URL of a picture was good for some time, which is over.
fn expired(service: &Service, error: StageError) -> StageError {
    let name = service.api.name;
    let message = format!("the picture is not at its URL any longer: {}", error.message);
    let mut expired = service.failure(ErrorClass::Http4xx, error.operation, message);
    expired.http_status = error.http_status;
    expired.request_id = error.request_id;
    expired.causes = error.causes;
    expired.hint(format!(
        "{name} keeps a picture for minutes only. `flow resume` orders it again; it was paid for once \
         already"
    ))
}

/// Holds the file at `path` to what a picture must be; removes it if it is none.
///
/// # Errors
/// `malformed`, or `config` for a kind of picture that is not read.
pub(super) async fn checked(
    service: &Service,
    operation: &str,
    path: &Path,
) -> Result<(), StageError> {
    let read = path.to_owned();
    let checked = tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(&read).map_err(|error| Fault::Unread(error.to_string()))?;
        decode(&bytes).map(drop)
    });
    let fault = match checked.await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(fault)) => fault,
        Err(error) => Fault::Unread(error.to_string()),
    };
    if let Err(error) = tokio::fs::remove_file(path).await {
        tracing::debug!(path = %path.display(), %error, "what is no picture stays");
    }
    Err(fault.told(service, operation))
}

/// Why bytes are no picture that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They are of this kind, which is not read.
    Foreign(&'static str),
    /// They are no picture at all, such as a page of HTML.
    None(String),
    /// It breaks off, or its data are damaged.
    Broken(String),
    /// It is too small or too large.
    Size(u32, u32),
    /// They could not be looked at.
    Unread(String),
}

impl Fault {
    fn told(self, service: &Service, operation: &str) -> StageError {
        let name = service.api.name;
        let failure = |class, message: String| service.failure(class, operation, message);
        let malformed = |message| failure(ErrorClass::Malformed, message);
        match self {
            Self::Foreign(kind) => {
                failure(ErrorClass::Config, format!("{name} made a picture of the kind {kind}"))
                    .hint(format!(
                        "PNG and JPEG are read: services = {{ {name} = {{ output_format = \"png\" }} }}"
                    ))
            }
            Self::None(begins) => malformed(format!("what {name} sent is no picture"))
                .cause(format!("it begins with {begins}")),
            Self::Broken(cause) => {
                malformed(format!("the picture of {name} is damaged or breaks off")).cause(cause)
            }
            Self::Size(width, height) => malformed(format!(
                "the picture of {name} has {width}×{height} pixels: from {LEAST_SIDE} to {LARGEST_SIDE} are \
                 needed on each side"
            ))
            .hint(format!("ask for another size: services = {{ {name} = {{ size = \"1088x1920\" }} }}")),
            Self::Unread(cause) => {
                failure(ErrorClass::Io, "the picture cannot be read".into()).cause(cause)
            }
        }
    }
}

/// The pixels of a PNG or JPEG that is whole and of a usable size.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, Fault> {
    let format = kind(bytes)?;
    is_whole(format, bytes).map_err(|what| Fault::Broken(what.into()))?;
    let reader = || ImageReader::with_format(Cursor::new(bytes), format);
    let broken = |error: image::ImageError| Fault::Broken(error.to_string());
    let (width, height) = reader().into_dimensions().map_err(broken)?;
    let usable = LEAST_SIDE..=LARGEST_SIDE;
    if !usable.contains(&width) || !usable.contains(&height) {
        return Err(Fault::Size(width, height));
    }
    reader().decode().map(|image| image.to_rgb8()).map_err(broken)
}

fn kind(bytes: &[u8]) -> Result<ImageFormat, Fault> {
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => Ok(format),
        Ok(ImageFormat::WebP) => Err(Fault::Foreign("WebP")),
        Ok(ImageFormat::Avif) => Err(Fault::Foreign("AVIF")),
        Ok(ImageFormat::Gif) => Err(Fault::Foreign("GIF")),
        _ => {
            let begins: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
            Err(Fault::None(format!("{begins:?}")))
        }
    }
}

/// Decoders forgive a JPEG that breaks off: its mark of the end is looked for.
fn is_whole(format: ImageFormat, bytes: &[u8]) -> Result<(), &'static str> {
    let end: &[u8] = if format == ImageFormat::Png { b"IEND" } else { &[0xff, 0xd9] };
    // Some writers add a few bytes behind the end.
    let tail = &bytes[bytes.len().saturating_sub(1024)..];
    let found = tail.windows(end.len()).any(|window| window == end);
    if found { Ok(()) } else { Err("its end is missing") }
}
