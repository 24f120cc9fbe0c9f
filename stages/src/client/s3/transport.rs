//! The way of `object_store` to this project's client.
//!
//! The crate wants an HTTP client that outlives everything; a call of a service belongs to an attempt.
//! So its requests come through a channel to whoever drives the work, who sends them and gives the
//! answers back. The last of them tells what a failure was: the crate's own errors lose too much.

use std::future::Future;
use std::pin::Pin;
use std::task::Context as Poll;

use flow_core::error::{ErrorClass, StageError};
use flow_core::stage::Context;
use hyper::body::Body as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpService,
};
use reqwest::{StatusCode, Url};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::client::{Answer, Message, Service};

/// A request, and where its answer goes.
struct Ask {
    request: HttpRequest,
    reply: oneshot::Sender<HttpResponse>,
}

/// The end at which the crate puts its requests.
#[derive(Debug, Clone)]
pub(super) struct Connector(mpsc::UnboundedSender<Ask>);

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.request.method())
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    fn call<'life, 'future>(
        &'life self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.send(Ask { request, reply });
        Box::pin(async move {
            // Without an answer the driver drops its end; it keeps the failure for itself.
            let nobody = || std::io::Error::other("there is no answer");
            sent.map_err(|_| HttpError::new(HttpErrorKind::Unknown, nobody()))?;
            answer.await.map_err(|_| HttpError::new(HttpErrorKind::Unknown, nobody()))
        })
    }
}

/// The end at which its requests are sent.
pub(super) struct Wire(Mutex<mpsc::UnboundedReceiver<Ask>>);

/// Why work did not succeed.
pub(super) struct Fault {
    error: object_store::Error,
    /// What became of its last request.
    last: Option<Result<Answer, StageError>>,
}

impl Fault {
    /// The status of the last answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.last.as_ref()?.as_ref().ok().map(|answer| answer.status)
    }
}

impl Wire {
    pub(super) fn new() -> (Self, Connector) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Mutex::new(receiver)), Connector(sender))
    }

    /// Does a piece of the crate's work, and sends the requests that it makes.
    pub(super) async fn drive<T>(
        &self,
        context: &dyn Context,
        service: &Service,
        operation: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Fault> {
        let mut asks = self.0.lock().await;
        let mut last = None;
        tokio::pin!(work);
        loop {
            let ask = tokio::select! {
                biased;
                done = &mut work => return done.map_err(|error| Fault { error, last }),
                Some(ask) = asks.recv() => ask,
            };
            last = Some(send(context, service, operation, ask).await);
        }
    }
}

async fn send(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    ask: Ask,
) -> Result<Answer, StageError> {
    let message = message(service, operation, ask.request).await?;
    let answer = service.send(context, operation, message).await?;
    let mut response = HttpResponse::new(answer.body.clone().into());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    *response.headers_mut() = answer.headers.clone();
    // Nobody waits for it any more if the work was given up.
    drop(ask.reply.send(response));
    Ok(answer)
}

async fn message(
    service: &Service,
    operation: &str,
    request: HttpRequest,
) -> Result<Message, StageError> {
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|error| {
        service.failure(ErrorClass::Config, operation, format!("it makes no URL: {error}"))
    })?;
    let bytes = all(body).await.map_err(|error| {
        service.failure(ErrorClass::Io, operation, format!("its body cannot be read: {error}"))
    })?;
    let message = Message::new(parts.method, url);
    let message =
        if bytes.is_empty() { message } else { message.bytes(bytes, "application/octet-stream") };
    Ok(message.headers(parts.headers))
}

async fn all(mut body: HttpRequestBody) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    let mut next = |poll: &mut Poll<'_>| Pin::new(&mut body).poll_frame(poll);
    while let Some(frame) = std::future::poll_fn(&mut next).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// What a failure means: the server's answer says it, or the way to the server.
pub(super) fn failed(service: &Service, operation: &str, fault: Fault) -> StageError {
    match fault.last {
        Some(Err(error)) => error,
        Some(Ok(answer)) if answer.is_success() => {
            let mut error = answer.misshapen(service, "is not what S3 says");
            error.causes.insert(0, fault.error.to_string());
            error
        }
        Some(Ok(answer)) => super::failure(service, &answer),
        None => {
            let mut error =
                service.failure(ErrorClass::Config, operation, "the request cannot be made");
            error.unsent = true;
            error.cause(fault.error)
        }
    }
}
