//! The one client of a process: TLS, limits of time, and no freedom to redirect or repeat.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flow_core::error::StageError;
use reqwest::{Client, Method, Url};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

use super::failure;
use super::request::is_bodyless;

/// How many connections to a host are kept open for later requests, and how long.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_FOR: Duration = Duration::from_secs(15);

/// What all requests of a process have in common.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The longest time to a connection: name, TCP and TLS.
    pub(crate) connect: Duration,
    /// The longest time without a single byte from the server, for attempts without `timeout`.
    pub(crate) idle: Duration,
    /// Certificates that are trusted besides those of the machine.
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// Whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` count.
    pub(crate) proxies: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(300),
            roots: Vec::new(),
            proxies: true,
        }
    }
}

/// Makes the client when it is first asked for.
pub(crate) struct Clients {
    settings: Settings,
    made: OnceLock<Result<Made, String>>,
}

struct Made {
    /// Takes up connections that earlier requests left open.
    reusing: Client,
    /// Makes a connection for each request. One that was left open can be closed by the server at
    /// the moment in which a request is sent; whether that arrived is then unknown, which matters
    /// for requests that change something.
    fresh: Client,
    /// Why there is no TLS; plain HTTP works nevertheless.
    no_tls: Option<String>,
}

impl Clients {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, made: OnceLock::new() }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The client for a request.
    ///
    /// # Errors
    /// When the machine has no certificates to trust and the URL needs TLS.
    pub(crate) fn client(
        &self,
        operation: &str,
        method: &Method,
        url: &Url,
    ) -> Result<&Client, StageError> {
        let made = self.made.get_or_init(|| make(&self.settings));
        let made = made.as_ref().map_err(|cause| failure::no_client(operation, cause))?;
        match &made.no_tls {
            Some(cause) if url.scheme() == "https" => Err(failure::no_roots(operation, cause)),
            _ if is_bodyless(method) => Ok(&made.reusing),
            _ => Ok(&made.fresh),
        }
    }
}

fn make(settings: &Settings) -> Result<Made, String> {
    let (config, no_tls) = match trusting(settings) {
        Ok(config) => (config, None),
        Err(error) => {
            (trusting_nobody().map_err(|error| error.to_string())?, Some(error.to_string()))
        }
    };
    let reusing = build(settings, config.clone(), IDLE_CONNECTIONS)?;
    Ok(Made { reusing, fresh: build(settings, config, 0)?, no_tls })
}

/// A client for what is said about runs, to others than the services that stages use: with the same
/// TLS, and as little freedom to redirect or repeat.
///
/// # Errors
/// When the machine gives no client.
pub fn client() -> Result<Client, String> {
    let settings = Settings::default();
    let config = trusting(&settings).or_else(|_| trusting_nobody());
    build(&settings, config.map_err(|error| error.to_string())?, IDLE_CONNECTIONS)
}

fn build(settings: &Settings, config: ClientConfig, idle: usize) -> Result<Client, String> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(config)
        .user_agent(concat!("flow/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect)
        .pool_max_idle_per_host(idle)
        .pool_idle_timeout(IDLE_FOR)
        .referer(false)
        // Redirects are followed by the exchange, which knows where headers may go, and whether to
        // try again is for the node's policy.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never());
    if !settings.proxies {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| error.without_url().to_string())
}

/// TLS that trusts what the machine trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` count on Linux.
fn trusting(settings: &Settings) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(settings.roots.iter().cloned(), Arc::clone(&provider))?;
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let verified = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(verified.with_no_client_auth())
}

/// A client needs some TLS even where no certificate can be checked.
fn trusting_nobody() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}
