//! Certificates that are right, and those that are not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use flow_core::error::StageError;
use flow_core::schema::Type;
use flow_core::stage::Drafts;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;

use super::server::{Server, Wire, ok, redirect};
use super::{job, run_with, settings, told, value};
use crate::transport::Settings;

/// An authority that tests can trust.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// The configuration of a server with a certificate for a name.
    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let mut params = CertificateParams::new([name.to_owned()]).expect("parameters");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        config(signed.der().clone(), &key)
    }

    async fn get(&self, url: String) -> Result<Drafts, StageError> {
        let settings = Settings { roots: vec![self.certificate.clone()], ..settings() };
        run_with(settings, job(json!({ "url": url }), Type::Json)).await
    }
}

fn config(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key")
}

fn yes(_: &super::server::Seen, wire: &mut dyn Wire) {
    drop(wire.write_all(&ok("application/json", "true")));
}

#[tokio::test]
async fn a_certificate_of_a_known_authority_is_trusted() {
    let authority = Authority::new();
    let server = Server::tls(authority.sign("localhost", |_| {}), yes);
    let drafts = authority.get(server.named("localhost", "/")).await.expect("an answer");
    assert_eq!(value(&drafts, "body"), &json!(true));
}

#[tokio::test]
async fn a_certificate_that_is_wrong_is_refused_for_good() {
    let authority = Authority::new();
    let expired = authority.sign("localhost", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = authority.sign("localhost", |params| params.not_before = date_time_ymd(2090, 1, 1));
    let named = authority.sign("other.example", |_| {});
    let own = {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        config(params.self_signed(&key).expect("a certificate").der().clone(), &key)
    };
    let foreign = Authority::new().sign("localhost", |_| {});
    let mut all = Vec::new();
    for (what, config) in [
        ("expired", expired),
        ("not yet valid", early),
        ("of another name", named),
        ("signed by itself", own),
        ("of an unknown authority", foreign),
    ] {
        let server = Server::tls(config, yes);
        let result = authority.get(server.named("localhost", "/")).await;
        let error = result.as_ref().expect_err(what);
        assert_eq!((error.class.name(), error.unsent), ("config", true), "{what}: {error}");
        let hint = error.hint.clone().unwrap_or_default();
        all.push(format!("{what}\n  {}\n  {hint}", error.message));
        assert!(server.seen().is_empty(), "{what}: something was sent");
    }
    insta::assert_snapshot!(all.join("\n"), @"
    expired
      the certificate of `localhost` has expired
      the server needs a new one; or the clock of this machine is wrong
    not yet valid
      the certificate of `localhost` is not valid yet
      check the clock of this machine
    of another name
      the certificate of `localhost` is for another name
      check the host in `url`: it must be a name that the certificate has
    signed by itself
      the certificate of `localhost` is not trusted
      it is signed by itself or by an authority that this machine does not know: name a file with that authority in SSL_CERT_FILE
    of an unknown authority
      the certificate of `localhost` is not trusted
      it is signed by itself or by an authority that this machine does not know: name a file with that authority in SSL_CERT_FILE
    ");
}

/// A server that reads a little and says some bytes.
fn raw(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let hello = socket.read(&mut [0; 4096]).unwrap_or_default();
            if hello > 0 {
                drop(socket.write_all(bytes));
            }
        }
    });
    format!("https://localhost:{}/", address.port())
}

#[tokio::test]
async fn a_server_without_tls_gets_no_plain_text() {
    let authority = Authority::new();
    let plain = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    insta::assert_snapshot!(told(authority.get(plain).await), @"
    config: GET https://localhost:[port]/: `localhost` does not answer with TLS
    cause: received corrupt message of type InvalidContentType
    hint: check the port, or use http if the service has no https
    unsent
    ");
    // TLS 1.0 alone: the fatal alert `protocol_version`.
    let old = raw(b"\x15\x03\x01\x00\x02\x02\x46");
    insta::assert_snapshot!(told(authority.get(old).await), @"
    config: GET https://localhost:[port]/: `localhost` and this client have no version or cipher of TLS in common
    cause: received fatal alert: ProtocolVersion
    hint: the server must offer TLS 1.2 or 1.3
    unsent
    ");
}

#[tokio::test]
async fn a_handshake_that_is_cut_off_can_be_tried_again() {
    let authority = Authority::new();
    let error = authority.get(raw(b"")).await.expect_err("it is cut off");
    assert_eq!((error.class.name(), error.unsent), ("network", true), "{error}");
}

#[tokio::test]
async fn https_never_becomes_http() {
    let authority = Authority::new();
    let plain = Server::json("true");
    let to = plain.named("localhost", "/x?sign=canary");
    let server = Server::tls(authority.sign("localhost", |_| {}), move |_, wire| {
        drop(wire.write_all(&redirect("302 Found", &to)));
    });
    let told = told(authority.get(server.named("localhost", "/")).await);
    insta::assert_snapshot!(told, @"
    config: GET https://localhost:[port]/: the server redirects from https to http://localhost:[port]/x?…
    hint: what was asked for in private is not asked for in public: use a URL that stays with https
    ");
    assert!(plain.seen().is_empty());
}
