//! The body of an answer, by the type that the node declares for it.

use flow_core::error::{ErrorClass, StageError};
use flow_core::json::{self, JsonFault};
use flow_core::schema::Type;
use flow_core::stage::{Context, Draft, Drafts, Job, OutputSlot};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value};

use crate::transport::body::Incoming;
use crate::transport::{Reply, Request, Settings, failure, shown};

/// The most bytes of JSON or text, after decompression. Larger answers are files.
const IN_MEMORY_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of JSON that are read faster than another thread could be asked to.
const QUICK: usize = 256 * 1024;
/// Reads an answer that is success.
pub(super) async fn drafts(
    context: &dyn Context,
    job: &Job,
    request: &Request,
    settings: &Settings,
    reply: Reply,
) -> Result<Drafts, StageError> {
    let response = reply.response;
    let status = response.status().as_u16();
    let mut drafts = Drafts::from([
        ("status".to_owned(), Draft::Value(status.into())),
        ("headers".to_owned(), Draft::Value(headers(response.headers()))),
    ]);
    let id = failure::request_id(response.headers());
    let with_head = |mut error: StageError| {
        error.http_status = Some(status);
        error.request_id.clone_from(&id);
        error
    };
    let incoming = Incoming { context, request, settings, response };
    incoming.check_encoding().map_err(with_head)?;
    let slot = job.outputs.iter().find(|slot| slot.name == "body");
    if let Some(slot) = slot {
        let reader = Reader { context, request, slot, incoming };
        if let Some(draft) = reader.draft().await.map_err(with_head)? {
            drafts.insert(slot.name.clone(), draft);
        }
    }
    Ok(drafts)
}

/// Headers by lower-case name.
fn headers(map: &HeaderMap) -> Value {
    let mut all = Map::new();
    for name in map.keys() {
        let values = map.get_all(name).iter();
        let values: Vec<_> = values.map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        all.insert(name.as_str().to_owned(), values.join(", ").into());
    }
    Value::Object(all)
}

/// One body on its way in.
struct Reader<'a> {
    context: &'a dyn Context,
    request: &'a Request,
    slot: &'a OutputSlot,
    incoming: Incoming<'a>,
}

impl Reader<'_> {
    /// The body by its type; `None` if it is empty and may be.
    async fn draft(mut self) -> Result<Option<Draft>, StageError> {
        if let Type::File(_) = self.slot.ty.inner() {
            return self.file().await;
        }
        let content_type = self.incoming.response.headers().get(CONTENT_TYPE).cloned();
        let bytes =
            self.incoming.in_memory(IN_MEMORY_MAX).await?.ok_or_else(|| self.too_large())?;
        let is_text = matches!(self.slot.ty.inner(), Type::String);
        if bytes.is_empty() && self.slot.ty.is_optional() {
            return Ok(None);
        }
        let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
        let value = match is_text {
            true => Value::String(self.text(bytes, content_type)?),
            false => self.json(bytes, content_type).await?,
        };
        Ok(Some(Draft::Value(value)))
    }

    fn malformed(&self, message: String) -> StageError {
        let mut error = failure::of(self.request, ErrorClass::Malformed, message).port("body");
        error.expected = Some(self.slot.ty.to_string());
        error
    }

    fn too_large(&self) -> StageError {
        let limit = IN_MEMORY_MAX >> 20;
        let message = format!("the body has more than {limit} MiB, which is too much for a value");
        let mut error = failure::of(self.request, ErrorClass::Validation, message)
            .port("body")
            .hint("take it as a file: outputs.body = \"file\"");
        error.expected = Some(self.slot.ty.to_string());
        error
    }

    // Values.

    async fn json(&self, bytes: Vec<u8>, content_type: Option<&str>) -> Result<Value, StageError> {
        let lines = self.slot.json_lines;
        let (bytes, parsed) = parse(bytes, lines).await?;
        parsed.map_err(|(start, fault)| {
            if !lines && bytes.iter().all(u8::is_ascii_whitespace) {
                return self.empty();
            }
            let offset = start + fault.offset;
            let reason = fault.reason;
            let message = format!("the body is not acceptable JSON: {reason} (at byte {offset})");
            let mut error = self.malformed(message);
            error.offset = Some(offset as u64);
            error.found = Some(self.found(&bytes[offset.min(bytes.len())..]));
            if let Some(content_type) = content_type {
                error.causes.push(format!("the server calls it {}", content_type.escape_debug()));
            }
            error.causes.push(shown::excerpt(&bytes[start..], &self.request.sent));
            error.hint("take it as it is with outputs.body = \"string\" or \"file\"")
        })
    }

    fn empty(&self) -> StageError {
        let declared = &self.slot.ty;
        let mut error = self
            .malformed(format!("the answer has no body, and `{declared}` is declared"))
            .hint(format!("if it may be empty: outputs.body = \"{declared}?\""));
        error.offset = Some(0);
        error.found = Some("nothing".into());
        error
    }

    fn found(&self, rest: &[u8]) -> String {
        let text = shown::excerpt(&rest[..rest.len().min(40)], &self.request.sent);
        if text.is_empty() { "the end".into() } else { format!("`{text}`") }
    }

    /// Text in the encoding that the server names; UTF-8 if it names none.
    fn text(&self, bytes: Vec<u8>, content_type: Option<&str>) -> Result<String, StageError> {
        let charset = content_type.and_then(charset);
        let encoding = match charset {
            None => encoding_rs::UTF_8,
            Some(name) => encoding_rs::Encoding::for_label(name.as_bytes()).ok_or_else(|| {
                let name = name.escape_debug();
                self.malformed(format!("the body has the unknown character set `{name}`"))
            })?,
        };
        if encoding == encoding_rs::UTF_8 {
            return String::from_utf8(bytes).map_err(|error| {
                let offset = error.utf8_error().valid_up_to();
                let found = error.as_bytes().get(offset).copied().unwrap_or_default();
                let mut error = self.malformed(format!("the body is not UTF-8 (at byte {offset})"));
                error.offset = Some(offset as u64);
                error.found = Some(format!("the byte 0x{found:02x}"));
                error.hint("take it as a file: outputs.body = \"file\"")
            });
        }
        match encoding.decode_without_bom_handling_and_without_replacement(&bytes) {
            Some(text) => Ok(text.into_owned()),
            None => Err(self.malformed(format!("the body is not {}", encoding.name()))),
        }
    }

    // Files.

    async fn file(&mut self) -> Result<Option<Draft>, StageError> {
        let path = match &self.slot.path {
            Some(path) => path.clone(),
            None => self.context.scratch().join("body"),
        };
        match self.incoming.save(&path).await? {
            0 if self.slot.ty.is_optional() => Ok(None),
            _ => Ok(Some(Draft::Path(path))),
        }
    }
}

/// A value, or where the document with a fault starts, and the fault.
type Parsed = Result<Value, (usize, JsonFault)>;

/// Reads JSON, or JSON Lines as a list. Much of it is read on another thread: the driver's own has
/// other things to do.
async fn parse(bytes: Vec<u8>, lines: bool) -> Result<(Vec<u8>, Parsed), StageError> {
    let quick = bytes.len() <= QUICK;
    let read = move || {
        let parsed = if lines { parse_lines(&bytes) } else { parse_one(&bytes) };
        (bytes, parsed)
    };
    if quick {
        return Ok(read());
    }
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| StageError::new(ErrorClass::Panic, "read JSON", error.to_string()))
}

fn parse_one(bytes: &[u8]) -> Parsed {
    json::parse(bytes).map_err(|fault| (0, fault))
}

fn parse_lines(bytes: &[u8]) -> Parsed {
    let mut list = Vec::new();
    let mut start = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if !line.iter().all(u8::is_ascii_whitespace) {
            list.push(json::parse(line).map_err(|fault| (start, fault))?);
        }
        start += line.len();
    }
    Ok(Value::Array(list))
}

/// The character set of a content type.
fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then_some(value)
    })
}
