//! An API as a node has configured it.

use std::sync::Arc;
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::policy::{Retry, parse_duration};
use flow_core::stage::{FieldKind, FieldSpec, Job};
use reqwest::Url;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::{Pace, Remote};
use crate::transport::exchange::is_allowed;
use crate::transport::request::parse_url;

/// What an API is when nothing else is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api {
    /// Its name in `providers`, `services` and `keys`.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) base_url: &'static str,
    /// The family of its failures.
    pub(crate) kind: ErrorKind,
    /// How long one try of a call may take.
    pub(crate) timeout: Duration,
    /// How many calls of one process go on at once.
    pub(crate) in_flight: usize,
    /// Whether it needs a key.
    pub(crate) needs_key: bool,
    /// The variable in which people keep its key, for hints.
    pub(crate) key_env: &'static str,
}

/// Tries of one call, the first counted.
const ATTEMPTS: u32 = 3;
/// The wait before the second try of a call.
const BASE: Duration = Duration::from_secs(2);

/// An API with its place, its key and its limits.
pub(crate) struct Service {
    pub(crate) api: &'static Api,
    /// Without a slash at its end.
    pub(crate) base_url: Url,
    key: Option<String>,
    /// What else it needs to be let in, by what stands behind its name in `keys`.
    further_keys: Map<String, Value>,
    /// How long one try may take.
    pub(crate) timeout: Duration,
    /// When a call is tried again. Its conditions are not used: the class decides.
    pub(crate) retry: Retry,
    /// Hosts besides its own to which its URLs may lead.
    pub(crate) allowed_hosts: Vec<String>,
    /// Settings that only this API has, such as `model`.
    pub(crate) options: Map<String, Value>,
    pub(super) slots: Arc<Semaphore>,
    /// When the next call may begin, where calls are spaced out.
    pub(super) pace: Option<Arc<Pace>>,
    pub(super) remote: Remote,
}

/// `with.services`, for the stages that call services.
pub(crate) fn services_field() -> FieldSpec {
    FieldSpec {
        name: "services",
        kind: FieldKind::Json,
        optional: true,
        doc: "Settings by service: `{ NAME = { base_url, timeout, attempts, base, max, max_in_flight, \
              per_minute, \
              allowed_hosts, … } }`, each with a default.",
    }
}

/// `with.keys`, for the stages that call services.
pub(crate) fn keys_field() -> FieldSpec {
    FieldSpec {
        name: "keys",
        kind: FieldKind::TextMap,
        optional: true,
        doc: "Keys by service: `{ NAME = \"{{ secrets.X }}\" }`. A service whose key is empty is left \
              out of a chain.",
    }
}

impl Service {
    /// Reads the settings of an API from `with`.
    ///
    /// # Errors
    /// `config` when a setting is of another form than it must be.
    pub(crate) fn read(api: &'static Api, job: &Job, remote: &Remote) -> Result<Self, StageError> {
        let mut options = settings(api, job)?;
        let base_url = base_url(api, options.remove("base_url"))?;
        let in_flight = whole(api, &mut options, "max_in_flight")?.unwrap_or(api.in_flight as u64);
        let name = format!("{} {base_url}", api.name);
        let in_flight = usize::try_from(in_flight).unwrap_or(api.in_flight).max(1);
        let pace = whole(api, &mut options, "per_minute")?.map(|calls| remote.pace(&name, calls));
        Ok(Self {
            api,
            base_url,
            key: key(api, job),
            further_keys: further_keys(api, job),
            timeout: span(api, &mut options, "timeout")?.unwrap_or(api.timeout),
            retry: retry(api, &mut options)?,
            allowed_hosts: texts(api, &mut options, "allowed_hosts")?,
            options,
            slots: remote.slots(&name, in_flight),
            pace,
            remote: remote.clone(),
        })
    }

    /// Whether it can be called as far as its key is concerned.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some() || !self.api.needs_key
    }

    /// Its key.
    ///
    /// # Errors
    /// `auth`, with the way out, when there is none.
    pub(crate) fn key(&self) -> Result<&str, StageError> {
        self.key.as_deref().ok_or_else(|| self.no_key())
    }

    /// The failure to have a key, where one is needed and there is none.
    pub(super) fn key_fault(&self) -> Option<StageError> {
        (!self.has_key()).then(|| self.no_key())
    }

    /// Its key, for APIs that can do without.
    pub(crate) fn optional_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What else it needs to be let in: `keys.NAME_id` for `id`.
    pub(crate) fn further_key(&self, name: &str) -> Option<&str> {
        let key = self.further_keys.get(name)?.as_str()?.trim();
        (!key.is_empty()).then_some(key)
    }

    fn no_key(&self) -> StageError {
        let Api { name, key_env, .. } = self.api;
        let mut error = self.failure(
            ErrorClass::Auth,
            format!("call {name}"),
            format!("there is no key for {name}"),
        );
        error.unsent = true;
        error.hint(format!(
            "set {key_env}, declare [secrets] {name}_key = {{ env = \"{key_env}\" }}, and give it to \
             the node: keys = {{ {name} = \"{{{{ secrets.{name}_key }}}}\" }}"
        ))
    }

    /// A text among the settings that only this API has.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A text among them, or its default.
    pub(crate) fn option_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.option(name).unwrap_or(default)
    }

    /// A switch among them.
    ///
    /// # Errors
    /// `config` when it is neither true nor false.
    pub(crate) fn option_switch(&self, name: &str, default: bool) -> Result<bool, StageError> {
        match self.options.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(on)) => Ok(*on),
            Some(_) => Err(wrong(self.api, name, "it is neither true nor false")),
        }
    }

    /// A number among them.
    pub(crate) fn option_number(&self, name: &str) -> Option<f64> {
        let value = self.options.get(name)?;
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
    }

    /// A span among them, such as `2s`.
    ///
    /// # Errors
    /// `config` when it is none.
    pub(crate) fn option_span(&self, name: &str) -> Result<Option<Duration>, StageError> {
        span(self.api, &mut self.options.clone(), name)
    }

    /// A URL below the place of the service: `path` begins with a slash.
    ///
    /// # Errors
    /// `config` when they make no URL.
    pub(crate) fn url(&self, path: &str) -> Result<Url, StageError> {
        let whole = format!("{}{path}", self.base_url.as_str().trim_end_matches('/'));
        Url::parse(&whole).map_err(|error| {
            self.failure(ErrorClass::Config, format!("call {}", self.api.name), error.to_string())
        })
    }

    /// A URL below the place of the service, of parts that may hold any character.
    ///
    /// # Errors
    /// `config` when they make no URL.
    pub(crate) fn url_of(&self, parts: &[&str]) -> Result<Url, StageError> {
        let mut url = self.url("")?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        Ok(url)
    }

    /// A URL that the service itself has named, whole or as a path: of its own origin, or of an allowed host.
    ///
    /// # Errors
    /// `config` when it leads elsewhere, `malformed` when it is no URL.
    pub(crate) fn named_url(&self, operation: &str, text: &str) -> Result<Url, StageError> {
        self.named_url_among(operation, text, &[])
    }

    /// The same, where the service documents that its answers also lead to these hosts.
    ///
    /// # Errors
    /// Those of [`Service::named_url`].
    pub(crate) fn named_url_among(
        &self,
        operation: &str,
        text: &str,
        documented: &[&str],
    ) -> Result<Url, StageError> {
        let path = text.starts_with('/').then(|| self.base_url.join(text).ok()).flatten();
        let url = path.map_or_else(|| parse_url(text), Ok).map_err(|fault| {
            self.failure(
                ErrorClass::Malformed,
                operation,
                format!("it names no URL: {}", fault.message),
            )
        })?;
        let host = url.host_str().unwrap_or_default();
        let is_documented = documented.iter().any(|pattern| is_allowed(pattern, host));
        if url.origin() == self.base_url.origin() || is_documented || self.allows(host) {
            return Ok(url);
        }
        let name = self.api.name;
        let message = format!("{name} points to another host: {host}");
        Err(self.failure(ErrorClass::Config, operation, message).hint(format!(
            "if that is right, allow it: services = {{ {name} = {{ allowed_hosts = [\"{host}\"] }} }}"
        )))
    }

    fn allows(&self, host: &str) -> bool {
        self.allowed_hosts.iter().any(|pattern| is_allowed(pattern, host))
    }

    /// A failure of this service.
    pub(crate) fn failure(
        &self,
        class: ErrorClass,
        operation: impl Into<String>,
        message: impl Into<String>,
    ) -> StageError {
        let mut error = StageError::new(class, operation, message).kind(self.api.kind);
        error.provider = Some(self.api.name.to_owned());
        error
    }
}

fn wrong(api: &Api, name: &str, what: &str) -> StageError {
    let field = format!("services.{}.{name}", api.name);
    let mut error = StageError::new(ErrorClass::Config, format!("read with.{field}"), what);
    error.unsent = true;
    error.kind(ErrorKind::Validation)
}

fn settings(api: &Api, job: &Job) -> Result<Map<String, Value>, StageError> {
    let all = match job.config.get("services") {
        None | Some(Value::Null) => return Ok(Map::new()),
        Some(Value::Object(all)) => all,
        Some(_) => return Err(wrong(api, "", "`services` is no table of tables")),
    };
    match all.get(api.name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(settings)) => Ok(settings.clone()),
        Some(_) => Err(wrong(api, "", "the settings of a service are a table")),
    }
}

fn key(api: &Api, job: &Job) -> Option<String> {
    let key = job.config.get("keys")?.get(api.name)?.as_str()?.trim();
    (!key.is_empty()).then(|| key.to_owned())
}

fn further_keys(api: &Api, job: &Job) -> Map<String, Value> {
    let keys = job.config.get("keys").and_then(Value::as_object);
    let of_api = |(name, key): (&String, &Value)| {
        let rest = name.strip_prefix(api.name)?.strip_prefix('_')?;
        Some((rest.to_owned(), key.clone()))
    };
    keys.into_iter().flatten().filter_map(of_api).collect()
}

fn base_url(api: &Api, given: Option<Value>) -> Result<Url, StageError> {
    let text = match given {
        None | Some(Value::Null) => api.base_url.to_owned(),
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong(api, "base_url", "it is no text")),
    };
    parse_url(text.trim_end_matches('/'))
        .map_err(|fault| wrong(api, "base_url", &fault.message).hint(fault.help))
}

fn span(
    api: &Api,
    options: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<Duration>, StageError> {
    let text = match options.remove(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong(api, name, "it is no span").hint("write it as \"30s\"")),
    };
    match parse_duration(&text).filter(|span| !span.is_zero()) {
        Some(span) => Ok(Some(span)),
        None => Err(wrong(api, name, "it is no span").hint("write it as \"30s\" or \"500ms\"")),
    }
}

fn whole(
    api: &Api,
    options: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<u64>, StageError> {
    match options.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().filter(|number| *number > 0) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(api, name, "it is no whole number of at least 1")),
        },
    }
}

fn texts(
    api: &Api,
    options: &mut Map<String, Value>,
    name: &str,
) -> Result<Vec<String>, StageError> {
    let list = match options.remove(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong(api, name, "it is no list of texts")),
    };
    let text = |value: Value| value.as_str().map(str::to_ascii_lowercase);
    let texts: Option<Vec<String>> = list.into_iter().map(text).collect();
    texts.ok_or_else(|| wrong(api, name, "it is no list of texts"))
}

fn retry(api: &Api, options: &mut Map<String, Value>) -> Result<Retry, StageError> {
    let attempts = whole(api, options, "attempts")?.and_then(|n| u32::try_from(n).ok());
    let standard = Retry::default();
    Ok(Retry {
        attempts: attempts.unwrap_or(ATTEMPTS),
        base: span(api, options, "base")?.unwrap_or(BASE),
        max: span(api, options, "max")?.unwrap_or(standard.max),
        ..standard
    })
}
