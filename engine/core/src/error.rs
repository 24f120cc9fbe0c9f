//! What can go wrong in a stage, as data. Whether to retry, whom to blame and what to say next all
//! follow from the class; the text of a message decides nothing.

use serde::{Deserialize, Serialize};

/// The closed set of failure classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// An attempt took longer than its `timeout`, or was silent for longer than `idle_timeout`.
    Timeout,
    /// A connection failed or was lost; also HTTP 408 and 425.
    Network,
    /// The other side asks for fewer requests.
    RateLimited,
    /// A server's own failure.
    #[serde(rename = "http_5xx")]
    Http5xx,
    /// An answer that says success and cannot be read.
    Malformed,
    /// A local read or write failed in a way that may pass.
    Io,
    /// A payload does not have its declared type, or a parameter its own.
    Validation,
    /// A program or file that the stage needs is not there.
    MissingTool,
    /// The stage's configuration cannot work.
    Config,
    /// A program ended with a code other than 0.
    Process,
    /// Credentials were refused.
    Auth,
    /// A quota is used up for now.
    QuotaExhausted,
    /// A provider refused the content.
    Moderated,
    /// A person or a service said no.
    Rejected,
    /// A request that the server will not accept.
    #[serde(rename = "http_4xx")]
    Http4xx,
    /// No space is left.
    DiskFull,
    /// The code of a stage panicked.
    Panic,
    /// The attempt was told to stop.
    Cancelled,
    /// The store cannot keep its promises; stops the run.
    Store,
}

impl ErrorClass {
    /// All classes with their written names.
    pub const ALL: [(Self, &'static str); 19] = [
        (Self::Timeout, "timeout"),
        (Self::Network, "network"),
        (Self::RateLimited, "rate_limited"),
        (Self::Http5xx, "http_5xx"),
        (Self::Malformed, "malformed"),
        (Self::Io, "io"),
        (Self::Validation, "validation"),
        (Self::MissingTool, "missing_tool"),
        (Self::Config, "config"),
        (Self::Process, "process"),
        (Self::Auth, "auth"),
        (Self::QuotaExhausted, "quota_exhausted"),
        (Self::Moderated, "moderated"),
        (Self::Rejected, "rejected"),
        (Self::Http4xx, "http_4xx"),
        (Self::DiskFull, "disk_full"),
        (Self::Panic, "panic"),
        (Self::Cancelled, "cancelled"),
        (Self::Store, "store"),
    ];

    /// The name as it is written in workflow files and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(class, _)| *class == self).map_or("", |(_, name)| name)
    }

    /// The class with this written name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(class, _)| *class)
    }

    /// Whether a failure of this class is transient by default. Exit code 75 and foreign signals
    /// are transient too; see [`StageError::is_transient`].
    #[must_use]
    pub fn is_transient(self) -> bool {
        use ErrorClass as C;
        matches!(self, C::Timeout | C::Network | C::RateLimited | C::Http5xx | C::Malformed | C::Io)
    }

    /// The stable code of the class.
    #[must_use]
    pub fn code(self) -> &'static str {
        use ErrorClass as C;
        match self {
            C::Timeout => "E0101",
            C::Network => "E0102",
            C::RateLimited => "E0103",
            C::Http5xx => "E0104",
            C::Malformed => "E0105",
            C::Io => "E0106",
            C::Validation => "E0201",
            C::MissingTool => "E0202",
            C::Config => "E0203",
            C::Process => "E0204",
            C::Auth => "E0205",
            C::QuotaExhausted => "E0206",
            C::Moderated => "E0207",
            C::Rejected => "E0208",
            C::Http4xx => "E0209",
            C::DiskFull => "E0210",
            C::Panic => "E0211",
            C::Cancelled => "E0212",
            C::Store => "E0301",
        }
    }
}

/// Which family of the media pipeline an error belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A record or file that is not what it must be.
    Validation,
    /// A remote service.
    Api,
    /// The encoder and its helpers.
    Ffmpeg,
    /// Pictures.
    MediaGeneration,
    /// Speech and sound.
    AudioGeneration,
    /// The engine and the general stages.
    #[default]
    Engine,
}

/// A failed attempt: what was tried, why it failed, and what to do.
///
/// Serializes to the `error` object of events and `flow show --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageError {
    /// The class that policies decide on.
    pub class: ErrorClass,
    /// The family that people group by.
    #[serde(default)]
    pub kind: ErrorKind,
    /// The stable code of the class.
    pub code: String,
    /// What was being done, such as `run python3 script.py` or `read input port slate`.
    pub operation: String,
    /// What went wrong, in one sentence.
    pub message: String,
    /// Whether the policy in force retries it; filled in where the attempt is judged.
    #[serde(default)]
    pub retryable: bool,
    /// Deeper causes, outermost first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What to do next.
    #[serde(default)]
    pub hint: Option<String>,
    /// The attempt that failed, from 1; filled in where the attempt is judged.
    #[serde(default)]
    pub attempt: u32,
    /// Exit code of a program.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Signal that ended a program, such as `SIGKILL`.
    #[serde(default)]
    pub signal: Option<String>,
    /// The whole command of a program.
    #[serde(default)]
    pub argv: Vec<String>,
    /// The last lines that a program wrote to stderr.
    #[serde(default)]
    pub stderr_tail: String,
    /// The port whose payload is at fault.
    #[serde(default)]
    pub port: Option<String>,
    /// JSON pointer into that payload.
    #[serde(default)]
    pub pointer: Option<String>,
    /// Byte at which text stops being JSON.
    #[serde(default)]
    pub offset: Option<u64>,
    /// What was expected at `pointer`.
    #[serde(default)]
    pub expected: Option<String>,
    /// What was found there.
    #[serde(default)]
    pub found: Option<String>,
    /// The remote service.
    #[serde(default)]
    pub provider: Option<String>,
    /// The remote service's own id of the request.
    #[serde(default)]
    pub request_id: Option<String>,
    /// HTTP status, for `http:503` in `retry.on`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// How long the other side asks to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Whether it is known that nothing was sent to the remote service: a refused connection, a
    /// name without an address, a failed TLS handshake. False where it may have been reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsent: bool,
}

impl StageError {
    /// A failure with the four things every failure has.
    #[must_use]
    pub fn new(
        class: ErrorClass,
        operation: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            class,
            kind: ErrorKind::Engine,
            code: class.code().to_owned(),
            operation: operation.into(),
            message: message.into(),
            retryable: false,
            causes: Vec::new(),
            hint: None,
            attempt: 0,
            exit_code: None,
            signal: None,
            argv: Vec::new(),
            stderr_tail: String::new(),
            port: None,
            pointer: None,
            offset: None,
            expected: None,
            found: None,
            provider: None,
            request_id: None,
            http_status: None,
            retry_after_ms: None,
            unsent: false,
        }
    }

    /// Classes an I/O error by its kind.
    #[must_use]
    pub fn from_io(operation: impl Into<String>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let class = match error.kind() {
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => ErrorClass::DiskFull,
            _ => ErrorClass::Io,
        };
        Self::new(class, operation, error.to_string())
    }

    /// Sets the family.
    #[must_use]
    pub fn kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a deeper cause.
    #[must_use]
    pub fn cause(mut self, cause: impl ToString) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Names the port at fault.
    #[must_use]
    pub fn port(mut self, port: impl Into<String>) -> Self {
        self.port = Some(port.into());
        self
    }

    /// Whether it is transient when no `retry.on` says otherwise: by class, exit code 75
    /// (`EX_TEMPFAIL` of sysexits.h), or death by a signal that the engine did not send.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class.is_transient()
            || self.class == ErrorClass::Process
                && (self.exit_code == Some(75) || self.signal.is_some())
    }
}

impl std::fmt::Display for StageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)
    }
}

impl std::error::Error for StageError {}
