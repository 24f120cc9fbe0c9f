//! S3, after "Amazon S3 API Reference" (PutObject, HeadObject, multipart uploads, error responses) and
//! "Authenticating Requests (AWS Signature Version 4)": the signature is checked in full.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{Api, Asked, Reply};

/// Takes requests that are signed by `test-id` with `test-key`.
#[derive(Clone, Default)]
pub struct S3 {
    /// What it knows, shared by its clones.
    pub state: Arc<Mutex<State>>,
    /// Whether it knows no conditional writes, as some clones.
    pub unconditional: bool,
    /// So many conditional writes meet another one that is going on.
    pub conflicts: usize,
    /// Whether uploads in parts can never be completed.
    pub incomplete: bool,
}

#[derive(Default)]
pub struct State {
    objects: BTreeMap<String, Object>,
    /// Open uploads: their object and their parts.
    uploads: BTreeMap<String, (String, String, BTreeMap<u64, Vec<u8>>)>,
    begun: u64,
    conflicts: usize,
    writes: Vec<String>,
    given_up: u64,
}

/// What is under a name.
#[derive(Clone)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub media_type: String,
    /// `x-amz-meta-sha256`.
    pub digest: String,
}

impl S3 {
    /// Paths in the order in which objects were written; a path that is there twice was overwritten.
    pub fn posts(&self) -> Vec<String> {
        self.lock().writes.clone()
    }

    pub fn object(&self, path: &str) -> Option<Object> {
        self.lock().objects.get(path).cloned()
    }

    /// Uploads in parts that are neither completed nor given up.
    pub fn open_uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    /// Puts another object under a name.
    pub fn put(&self, path: &str, digest: &str) {
        let (bytes, media_type) = (b"other".to_vec(), "text/plain".to_owned());
        let object = Object { bytes, media_type, digest: digest.to_owned() };
        self.lock().objects.insert(path.to_owned(), object);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, asked: &Asked, state: &mut State) -> Reply {
        if asked.header("if-none-match").is_some() {
            if self.unconditional {
                return error(501, "NotImplemented", "A header you provided is not implemented");
            }
            if state.conflicts < self.conflicts {
                state.conflicts += 1;
                return error(
                    409,
                    "ConditionalRequestConflict",
                    "A conflicting operation is going on",
                );
            }
            if state.objects.contains_key(&asked.path) {
                return error(412, "PreconditionFailed", "At least one precondition did not hold");
            }
        }
        let object = Object {
            bytes: asked.body.clone(),
            media_type: asked.header("content-type").unwrap_or_default().to_owned(),
            digest: asked.header("x-amz-meta-sha256").unwrap_or_default().to_owned(),
        };
        state.objects.insert(asked.path.clone(), object);
        state.writes.push(asked.path.clone());
        Reply::empty(200).header("ETag", etag(&asked.body))
    }

    fn parts(&self, asked: &Asked, upload: &str, state: &mut State) -> Reply {
        let Some((path, digest, parts)) = state.uploads.get_mut(upload) else {
            return error(404, "NoSuchUpload", "The upload may have been completed or given up");
        };
        match asked.method.as_str() {
            "PUT" => {
                let number = asked.param("partNumber").and_then(|n| n.parse().ok()).unwrap_or(0);
                parts.insert(number, asked.body.clone());
                Reply::empty(200).header("ETag", etag(&asked.body))
            }
            "DELETE" => {
                state.uploads.remove(upload);
                state.given_up += 1;
                Reply::empty(204)
            }
            _ if self.incomplete => error(400, "InvalidPart", "A part could not be found"),
            _ => {
                let bytes: Vec<u8> = parts.values().flatten().copied().collect();
                let (path, digest, tag) = (path.clone(), digest.clone(), etag(&bytes));
                state.uploads.remove(upload);
                state.writes.push(path.clone());
                let media_type = "video/mp4".to_owned();
                state.objects.insert(path.clone(), Object { bytes, media_type, digest });
                let body = format!(
                    "<CompleteMultipartUploadResult><Location>{path}</Location><Bucket>b</Bucket>\
                     <Key>{path}</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
                    tag.trim_matches('"')
                );
                Reply::new(200, "application/xml", body)
            }
        }
    }
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &hex(&Sha256::digest(bytes))[..32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>S3REQ1</RequestId></Error>"
    );
    Reply::new(status, "application/xml", body).header("x-amz-request-id", "S3REQ1")
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once(after).map_or(rest, |(found, _)| found))
}

/// A value as it stands in a canonical query.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes()
        .map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Why a request is not let in.
fn refused(asked: &Asked) -> Option<Reply> {
    let Some(authorization) = asked.header("authorization") else {
        return Some(error(403, "AccessDenied", "Access Denied"));
    };
    let scope = between(authorization, "Credential=", ",")?.split('/').collect::<Vec<_>>();
    let [id, day, region, service, _] = scope[..] else {
        return Some(error(400, "AuthorizationHeaderMalformed", "The credential is malformed"));
    };
    if id != "test-id" {
        return Some(error(403, "InvalidAccessKeyId", "The access key id does not exist"));
    }
    let content = asked.header("x-amz-content-sha256").unwrap_or_default();
    if content != "UNSIGNED-PAYLOAD" && content != hex(&Sha256::digest(&asked.body)) {
        return Some(error(400, "XAmzContentSHA256Mismatch", "The digest is not that of the body"));
    }
    let signed = between(authorization, "SignedHeaders=", ",").unwrap_or_default();
    let header = |name: &str| format!("{name}:{}\n", asked.header(name).unwrap_or_default());
    let headers: String = signed.split(';').map(header).collect();
    let mut query: Vec<String> =
        asked.query.iter().map(|(n, v)| format!("{}={}", encoded(n), encoded(v))).collect();
    query.sort();
    let canonical =
        [&asked.method, &asked.path, &query.join("&"), &headers, signed, content].join("\n");
    let date = asked.header("x-amz-date").unwrap_or_default();
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/aws4_request\n{digest}");
    let key = [region, service, "aws4_request"]
        .iter()
        .fold(mac(b"AWS4test-key", day), |key, part| mac(&key, part));
    let signature = between(authorization, "Signature=", ",").unwrap_or_default();
    (signature != hex(&mac(&key, &text)))
        .then(|| error(403, "SignatureDoesNotMatch", "The signature does not match"))
}

impl Api for S3 {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        if let Some(refusal) = refused(asked) {
            return refusal;
        }
        if !asked.path.starts_with("/reels-bucket/") {
            return error(404, "NoSuchBucket", "The specified bucket does not exist");
        }
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(upload) = asked.param("uploadId") {
            return self.parts(asked, upload, state);
        }
        match asked.method.as_str() {
            "POST" if asked.param("uploads").is_some() => {
                state.begun += 1;
                let id = format!("upload-{}", state.begun);
                let digest = asked.header("x-amz-meta-sha256").unwrap_or_default().to_owned();
                let open = (asked.path.clone(), digest, BTreeMap::new());
                state.uploads.insert(id.clone(), open);
                let body = format!(
                    "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>\
                     <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                Reply::new(200, "application/xml", body)
            }
            "PUT" => self.write(asked, state),
            "HEAD" => match state.objects.get(&asked.path) {
                None => Reply::empty(404),
                Some(object) => Reply::empty(200)
                    .header("ETag", etag(&object.bytes))
                    .header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
                    .header("x-amz-meta-sha256", &object.digest),
            },
            _ => error(405, "MethodNotAllowed", "The method is not allowed"),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            429 | 503 => error(503, "SlowDown", "Please reduce your request rate"),
            _ => error(status, "InternalError", "We encountered an internal error"),
        }
    }
}
