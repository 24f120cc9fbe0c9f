//! S3 and what speaks like it: an object under a name that its content gives, put there once.
//!
//! The crate `object_store` makes and signs the requests (SigV4) and reads the answers; they go over
//! this project's one client, so that limits, retries, redaction and failures are those of every other
//! service. An object is put with `If-None-Match: *`: 412 says that there is one, and it is the same
//! if its digest is. A large one goes up in parts, which are given up if they cannot be completed.

mod transport;

use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore as _, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, RetryConfig,
};
use serde_json::json;

use super::publication::{Publication, Published, forget, recalled};
use super::{Answer, Api, Service, call};
use transport::{Wire, failed};

pub(crate) static S3: Api = Api {
    name: "s3",
    base_url: "https://s3.amazonaws.com",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(300),
    in_flight: 4,
    needs_key: true,
    key_env: "S3_SECRET_ACCESS_KEY",
};

/// A larger file goes up in parts.
const WHOLE_MAX: u64 = 100 * 1024 * 1024;
/// The size of a part; all but the last have it.
const PART: u64 = 16 * 1024 * 1024;
/// The metadata in which the digest of the content stands.
const DIGEST: &str = "sha256";

/// Puts a piece into a bucket.
///
/// # Errors
/// When it is not there in the end.
pub(crate) async fn publish(
    context: &dyn Context,
    service: &Service,
    piece: &Publication,
) -> Result<Published, StageError> {
    let bucket = Bucket::open(service, piece)?;
    let unchanged = if piece.bytes > limit(service) {
        bucket.put_in_parts(context, piece).await?
    } else {
        bucket.put_whole(context, piece).await?
    };
    let place = format!("s3://{}/{}", bucket.name, bucket.path);
    let url = service
        .option("public_url")
        .map(|base| format!("{}/{}", base.trim_end_matches('/'), bucket.path));
    Ok(Published { unchanged, remote_id: Some(bucket.path.to_string()), url, place })
}

/// `services.s3.multipart_above` in bytes, for servers that take less at once.
fn limit(service: &Service) -> u64 {
    service.option_number("multipart_above").filter(|n| *n >= 0.0).map_or(WHOLE_MAX, |n| n as u64)
}

/// One object of a bucket.
struct Bucket<'a> {
    service: &'a Service,
    name: &'a str,
    path: Path,
    store: AmazonS3,
    wire: Wire,
    /// Whether the server knows `If-None-Match`.
    conditional: bool,
}

impl<'a> Bucket<'a> {
    fn open(service: &'a Service, piece: &'a Publication) -> Result<Self, StageError> {
        let (wire, connector) = Wire::new();
        let name = match service.option("bucket") {
            Some(bucket) => bucket,
            None => piece.account(service, "the name of a bucket")?,
        };
        let id = service.further_key("id").ok_or_else(|| {
            let message = "there is no access key id for s3";
            let mut error = service.failure(ErrorClass::Auth, "sign a request", message);
            error.unsent = true;
            error.hint(
                "set S3_ACCESS_KEY_ID, declare [secrets] s3_id = { env = \"S3_ACCESS_KEY_ID\" }, and \
                 give it to the node: keys = { s3_id = \"{{ secrets.s3_id }}\" }",
            )
        })?;
        let builder = AmazonS3Builder::new()
            .with_endpoint(endpoint(service))
            .with_allow_http(true)
            .with_bucket_name(name)
            .with_region(region(service))
            .with_access_key_id(id)
            .with_secret_access_key(service.key()?)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_disable_tagging(true)
            // Whether a request is made again is decided by the one way to call a service.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(connector);
        let builder = match service.further_key("session_token") {
            Some(token) => builder.with_token(token),
            None => builder,
        };
        let wrong = |error: object_store::Error| {
            service.failure(ErrorClass::Config, "set up the bucket", error.to_string())
        };
        Ok(Self {
            service,
            name,
            path: path(service, piece),
            store: builder.build().map_err(wrong)?,
            wire,
            conditional: service.option_switch("condition", true)?,
        })
    }

    /// Puts the object in one request; whether it was there already.
    async fn put_whole(
        &self,
        context: &dyn Context,
        piece: &Publication,
    ) -> Result<bool, StageError> {
        if !self.conditional && self.is_there(context, piece).await? {
            return Ok(true);
        }
        let payload = PutPayload::from(piece.part(0, piece.bytes).await?);
        let mode = if self.conditional { PutMode::Create } else { PutMode::Overwrite };
        let put = call(context, self.service, "put the object", async |_try| {
            let options = PutOptions {
                mode: mode.clone(),
                attributes: attributes(piece),
                ..PutOptions::default()
            };
            let work = self.store.put_opts(&self.path, payload.clone(), options);
            let done = self.wire.drive(context, self.service, "put the object", work).await;
            match done {
                Ok(_) => Ok(true),
                Err(fault) if fault.status() == Some(412) => Ok(false),
                Err(fault) => Err(failed(self.service, "put the object", fault)),
            }
        });
        match put.await? {
            true => Ok(false),
            false => self.same(context, piece).await.map(|()| true),
        }
    }

    /// Puts the object in parts; whether it was there already.
    async fn put_in_parts(
        &self,
        context: &dyn Context,
        piece: &Publication,
    ) -> Result<bool, StageError> {
        let kept = format!("s3/{}/upload", piece.name);
        if let Some(old) = recalled(context, &kept) {
            self.give_up(context, old.as_str().unwrap_or_default()).await;
            forget(context, &kept).await?;
        }
        if self.is_there(context, piece).await? {
            return Ok(true);
        }
        let begin = "begin an upload in parts";
        let id = call(context, self.service, begin, async |_try| {
            let options = PutMultipartOptions {
                attributes: attributes(piece),
                ..PutMultipartOptions::default()
            };
            let work = self.store.create_multipart_opts(&self.path, options);
            let done = self.wire.drive(context, self.service, begin, work).await;
            done.map_err(|fault| failed(self.service, begin, fault))
        })
        .await?;
        // Parts of an upload that a crash cut short would be paid for.
        context.remember(&kept, json!(id)).await?;
        match self.put_parts(context, piece, &id).await {
            Ok(()) => Ok(false),
            // The last request may have done its work though its answer was lost.
            Err(error) if self.is_there(context, piece).await.unwrap_or(false) => {
                tracing::debug!(%error, "the object is there nevertheless");
                Ok(false)
            }
            Err(error) => {
                self.give_up(context, &id).await;
                Err(error)
            }
        }
    }

    async fn put_parts(
        &self,
        context: &dyn Context,
        piece: &Publication,
        id: &str,
    ) -> Result<(), StageError> {
        let id = id.to_owned();
        let mut parts = Vec::new();
        let operation = "put a part";
        for from in (0..piece.bytes).step_by(PART as usize) {
            let payload = PutPayload::from(piece.part(from, PART).await?);
            let at = parts.len();
            let part = call(context, self.service, operation, async |_try| {
                let work = self.store.put_part(&self.path, &id, at, payload.clone());
                let done = self.wire.drive(context, self.service, operation, work).await;
                done.map_err(|fault| failed(self.service, operation, fault))
            })
            .await?;
            parts.push(part);
            piece.sent(context, (from + PART).min(piece.bytes));
        }
        let operation = "complete the upload";
        call(context, self.service, operation, async |_try| {
            let work = self.store.complete_multipart(&self.path, &id, parts.clone());
            let done = self.wire.drive(context, self.service, operation, work).await;
            done.map(drop).map_err(|fault| failed(self.service, operation, fault))
        })
        .await
    }

    /// Parts that are never completed are paid for: they are given up.
    async fn give_up(&self, context: &dyn Context, id: &str) {
        let id = id.to_owned();
        let operation = "give up an upload";
        let given_up = call(context, self.service, operation, async |_try| {
            let work = self.store.abort_multipart(&self.path, &id);
            match self.wire.drive(context, self.service, operation, work).await {
                Err(fault) if fault.status() != Some(404) => {
                    Err(failed(self.service, operation, fault))
                }
                // There is no such upload any more.
                _ => Ok(()),
            }
        });
        if let Err(error) = given_up.await {
            context.warn(format!(
                "parts of {} stay in the bucket {} ({}): a lifecycle rule removes them",
                self.path, self.name, error.message
            ));
        }
    }

    /// Whether the object is there with this content.
    async fn is_there(
        &self,
        context: &dyn Context,
        piece: &Publication,
    ) -> Result<bool, StageError> {
        match self.digest(context).await? {
            Head::Absent => Ok(false),
            Head::Digest(found) if found == piece.sha256 => Ok(true),
            Head::Digest(_) | Head::Unknown => Err(self.other()),
        }
    }

    /// # Errors
    /// When what is there is not this piece.
    async fn same(&self, context: &dyn Context, piece: &Publication) -> Result<(), StageError> {
        match self.is_there(context, piece).await? {
            true => Ok(()),
            false => {
                let message = "the server says that the object exists, and does not find it";
                Err(self.service.failure(ErrorClass::Network, "compare the object", message))
            }
        }
    }

    fn other(&self) -> StageError {
        let message = format!("s3://{}/{} has another content", self.name, self.path);
        self.service
            .failure(ErrorClass::Rejected, "compare the object", message)
            .hint("nothing was overwritten: choose another name with services.s3.prefix, or remove the object")
    }

    async fn digest(&self, context: &dyn Context) -> Result<Head, StageError> {
        let operation = "look for the object";
        call(context, self.service, operation, async |_try| {
            let options = GetOptions { head: true, ..GetOptions::default() };
            let work = self.store.get_opts(&self.path, options);
            match self.wire.drive(context, self.service, operation, work).await {
                Ok(found) => {
                    let digest = found.attributes.get(&Attribute::Metadata(DIGEST.into()));
                    Ok(digest
                        .map_or(Head::Unknown, |found| Head::Digest(found.as_ref().to_owned())))
                }
                Err(fault) if fault.status() == Some(404) => Ok(Head::Absent),
                Err(fault) => Err(failed(self.service, operation, fault)),
            }
        })
        .await
    }
}

/// What is under a name.
enum Head {
    Absent,
    Digest(String),
    /// An object of somebody else.
    Unknown,
}

fn attributes(piece: &Publication) -> Attributes {
    let digest = (Attribute::Metadata(DIGEST.into()), piece.sha256.clone());
    let media_type = (Attribute::ContentType, piece.media_type.clone());
    Attributes::from_iter([digest, media_type])
}

fn region(service: &Service) -> &str {
    service.option_or("region", "us-east-1")
}

/// Amazon has a place for each region.
fn endpoint(service: &Service) -> String {
    let place = service.base_url.as_str().trim_end_matches('/');
    if place == S3.base_url && region(service) != "us-east-1" {
        return format!("https://s3.{}.amazonaws.com", region(service));
    }
    place.to_owned()
}

/// The name of the object: what is asked for, else one that its content gives.
fn path(service: &Service, piece: &Publication) -> Path {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let id: String = piece.idea_id.chars().map(safe).take(100).collect();
    let digest = piece.sha256.get(..16).unwrap_or_default();
    let extension = piece.media_type.rsplit('/').next().filter(|e| *e == "webm").unwrap_or("mp4");
    let prefix = service.option_or("prefix", "reels");
    Path::from(format!("{prefix}/{id}-{digest}.{extension}"))
}

/// What the codes of S3 mean: `<Error><Code>…</Code><Message>…</Message></Error>`.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let text = String::from_utf8_lossy(&answer.body);
    let code = element(&text, "Code");
    let class = match (code, answer.status) {
        (Some("SlowDown" | "TooManyRequests" | "ThrottlingException"), _) => {
            Some(ErrorClass::RateLimited)
        }
        (Some("InternalError"), _) => Some(ErrorClass::Http5xx),
        (Some("RequestTimeout" | "ConditionalRequestConflict" | "OperationAborted"), _)
        | (_, 409) => Some(ErrorClass::Network),
        (
            Some(
                "AccessDenied"
                | "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "RequestTimeTooSkewed",
            ),
            _,
        ) => Some(ErrorClass::Auth),
        (Some("PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed"), _) => {
            Some(ErrorClass::Config)
        }
        (Some("QuotaExceeded" | "XMinioStorageFull" | "ServiceQuotaExceededException"), _) => {
            Some(ErrorClass::QuotaExhausted)
        }
        _ => None,
    };
    let said = element(&text, "Message").map(|said| match code {
        Some(code) => format!("{code}: {said}"),
        None => said.to_owned(),
    });
    let mut error = answer.refusal(service, class, said.as_deref());
    let id = answer.header("x-amz-request-id").map(str::to_owned);
    error.request_id =
        id.or_else(|| element(&text, "RequestId").map(str::to_owned)).or(error.request_id);
    match code {
        Some("NoSuchBucket") => error.hint("check the bucket: with.account, or services.s3.bucket"),
        Some("PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed") => error.hint(
            "the bucket is in another region: set services.s3.region, and base_url where it is not Amazon's",
        ),
        Some("RequestTimeTooSkewed") => error.hint("set the clock of this machine"),
        _ if answer.status == 501 => {
            error.hint("a server without conditional writes needs services = { s3 = { condition = false } }")
        }
        _ => error,
    }
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}
