//! The way to a collector: OTLP over HTTP, on a thread of its own with a bounded queue in front of it.
//! Whatever the collector does, it costs a run nothing but its traces, and that is told once.

use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter as Export, SpanProcessor as _,
};
use prost::Message as _;
use reqwest::Url;
use tokio::runtime::Runtime;

use super::Endpoint;

/// Spans that may wait to be sent, unless `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise. More of them are
/// left out.
const WAITING_MAX: usize = 16 * 1024;

/// The longest wait for one answer, unless the environment says otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The longest wait for what was not sent when all else is done.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1024;

/// Takes spans and brings them to the collector.
pub(super) struct Sender {
    queue: BatchSpanProcessor,
    taken: AtomicUsize,
    state: Arc<State>,
}

/// How it goes.
#[derive(Debug)]
struct State {
    /// The collector's host and port.
    place: String,
    /// Spans that the collector took.
    sent: AtomicUsize,
    is_told: AtomicBool,
}

impl State {
    /// Says that spans are lost, unless that was said before.
    fn tell(&self, reason: &str) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "traces do not reach the collector at {}: {reason}; the run goes on without them",
                self.place
            );
        }
    }
}

impl Sender {
    /// Starts the thread that sends; none if the collector cannot be used, which is told.
    pub(super) fn start(endpoint: &Endpoint) -> Option<Arc<Self>> {
        let started = Self::open(endpoint);
        if let Err(cause) = &started {
            tracing::warn!("no traces are sent, as {} cannot be used: {cause}", endpoint.variable);
        }
        started.ok().map(Arc::new)
    }

    fn open(endpoint: &Endpoint) -> Result<Self, Box<dyn Error>> {
        let place = place(&endpoint.url)?;
        let state =
            Arc::new(State { place, sent: AtomicUsize::new(0), is_told: AtomicBool::new(false) });
        let within = answer_within(&|name| std::env::var(name).ok());
        let wire = Wire {
            client: flow_stages::http_client()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            within,
            state: Arc::clone(&state),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(wire)
            .with_timeout(within)
            .with_retry_policy(RetryPolicy::disabled())
            .build()?;
        let mut config = BatchConfigBuilder::default();
        if std::env::var_os("OTEL_BSP_MAX_QUEUE_SIZE").is_none() {
            config = config.with_max_queue_size(WAITING_MAX);
        }
        let counting = Counting { exporter, state: Arc::clone(&state) };
        let mut queue =
            BatchSpanProcessor::builder(counting).with_batch_config(config.build()).build();
        queue.set_resource(&resource());
        Ok(Self { queue, taken: AtomicUsize::new(0), state })
    }

    /// Takes a span; never waits.
    pub(super) fn send(&self, span: SpanData) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.queue.on_end(span);
    }

    /// Waits for what was not sent yet, and not for long.
    pub(super) fn finish(&self) {
        let ended = self.queue.shutdown_with_timeout(LAST_WAIT);
        let taken = self.taken.load(Ordering::Relaxed);
        let sent = self.state.sent.load(Ordering::Relaxed);
        if ended.is_err() || sent < taken {
            self.state.tell(&format!("it took {sent} of {taken} spans in time"));
        }
    }
}

/// Host and port of a URL, without anything that may be a secret.
fn place(url: &str) -> Result<String, Box<dyn Error>> {
    let url = Url::parse(url)?;
    let host = url.host_str().ok_or("it is no URL of a server")?;
    let port = url.port_or_known_default().ok_or("it is no URL of a web server")?;
    Ok(format!("{host}:{port}"))
}

/// The longest wait for an answer that the environment asks for, in milliseconds there.
fn answer_within(variable: &dyn Fn(&str) -> Option<String>) -> Duration {
    ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]
        .into_iter()
        .find_map(|name| variable(name)?.trim().parse().ok())
        .map_or(ANSWER_WITHIN, Duration::from_millis)
}

/// Who sends: what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, else `flow`.
fn resource() -> Resource {
    let key = opentelemetry::Key::from_static_str("service.name");
    let found = Resource::builder().build().get(&key).map(|name| name.to_string());
    let name = found.filter(|name| !name.starts_with("unknown_service"));
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder()
        .with_service_name(name.unwrap_or_else(|| "flow".to_owned()))
        .with_attribute(version)
        .build()
}

/// Counts the spans that arrive.
#[derive(Debug)]
struct Counting {
    exporter: SpanExporter,
    state: Arc<State>,
}

impl Export for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let number = batch.len();
        let result = self.exporter.export(batch).await;
        if let Err(error) = &result {
            // Most often the wire knew more, and has said so.
            self.state.tell(&error.to_string());
        } else {
            self.state.sent.fetch_add(number, Ordering::Relaxed);
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Brings one message to the collector, and looks at what it answers.
#[derive(Debug)]
struct Wire {
    client: reqwest::Client,
    /// Used by the thread that sends, and by nobody else.
    runtime: Runtime,
    within: Duration,
    state: Arc<State>,
}

impl HttpClient for Wire {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(ready(self.post(request)))
    }
}

impl Wire {
    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = exchange(&self.client, request);
        let limited = async { tokio::time::timeout(self.within, exchange).await };
        let answer = match self.runtime.block_on(limited) {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} ms", self.within.as_millis()).into()),
        };
        match &answer {
            Ok(answer) => complaint(answer).into_iter().for_each(|reason| self.state.tell(&reason)),
            Err(error) => self.state.tell(&with_causes(error.as_ref())),
        }
        answer
    }
}

async fn exchange(
    client: &reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let request = reqwest::Request::try_from(request)?;
    let mut answer = client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            return Err("its answer is too long for one of a collector".into());
        }
    }
    Ok(Response::builder().status(answer.status()).body(body.into())?)
}

/// What an answer says against what was sent.
fn complaint(answer: &Response<Bytes>) -> Option<String> {
    if !answer.status().is_success() {
        return Some(format!("it answers {}", answer.status()));
    }
    let Ok(told) = ExportTraceServiceResponse::decode(answer.body().clone()) else {
        return Some("it answers as no collector of traces does".to_owned());
    };
    let refused = told.partial_success.filter(|part| part.rejected_spans > 0)?;
    let (number, words) = (refused.rejected_spans, refused.error_message);
    Some(format!("it refused {number} spans and said {words:?}"))
}

/// An error in one line with what caused it.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &[u8]) -> Option<String> {
        let answer = Response::builder().status(status).body(Bytes::copy_from_slice(body));
        complaint(&answer.expect("an answer"))
    }

    #[test]
    fn an_answer_is_taken_for_what_it_says() {
        assert_eq!(answer(200, b""), None);
        assert_eq!(answer(404, b"").as_deref(), Some("it answers 404 Not Found"));
        let lie = answer(200, b"<html>Welcome</html>");
        assert_eq!(lie.as_deref(), Some("it answers as no collector of traces does"));
        // Field 1 is a message: field 1 is the number 3, field 2 is a text.
        let refused = answer(200, b"\x0a\x08\x08\x03\x12\x04full");
        assert_eq!(refused.as_deref(), Some("it refused 3 spans and said \"full\""));
    }

    #[test]
    fn a_place_shows_no_password() {
        let shown = |url| place(url).map_err(|error| error.to_string());
        assert_eq!(shown("http://me:secret@collector:4318/v1/traces"), Ok("collector:4318".into()));
        assert_eq!(shown("https://collector.example"), Ok("collector.example:443".into()));
        assert!(shown("collector").is_err() && shown("mailto:me").is_err());
    }

    #[test]
    fn the_nearer_limit_of_time_counts() {
        let within = |value: &'static str| {
            answer_within(&move |name| {
                name.contains("TRACES").then(|| value.to_owned()).or(Some("7".to_owned()))
            })
        };
        assert_eq!(within("250"), Duration::from_millis(250));
        assert_eq!(within("soon"), Duration::from_millis(7));
        assert_eq!(answer_within(&|_| None), ANSWER_WITHIN);
    }
}
