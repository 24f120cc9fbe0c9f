//! Calls and chains against a server that gives every kind of trouble.

mod refusals;
#[path = "../../../tests/services/mod.rs"]
pub(crate) mod services;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{BoxFuture, CancelReason, Context, FallbackReason, Job};
use serde_json::{Value, json};

use super::chain::Known;
use super::{Api, Chain, Message, Provider, Remote, Service, call, call_and_keep};
use crate::process::testing::TestContext;
use services::server::{Asked, Reply, Server, Trouble};

static ONE: Api = Api {
    name: "one",
    base_url: "http://127.0.0.1:9",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(20),
    in_flight: 4,
    needs_key: true,
    key_env: "ONE_KEY",
};
static TWO: Api = Api { name: "two", ..ONE };
static KNOWN: Known = Known { apis: &[&ONE, &TWO], locals: &["here"] };

/// Says `{"ok": true}`; 402 as an empty wallet.
struct Plain;

impl services::Api for Plain {
    fn answer(&self, _asked: &Asked, _base: &str) -> Reply {
        Reply::json(200, &json!({"ok": true}))
    }
    fn failure(&self, status: u16) -> Reply {
        Reply::json(status, &json!({"error": "no"})).header("x-request-id", "r-1")
    }
}

pub(crate) fn remote() -> Remote {
    // A proxy of the machine that tests run on has no part in them.
    Remote::with(crate::transport::Settings { proxies: false, ..Default::default() })
}

fn job(config: Value) -> Job {
    let inputs = BTreeMap::new();
    Job { config, inputs, outputs: Vec::new(), timeout: None, reserved: Vec::new() }
}

fn at(server: &Server, more: Value) -> Value {
    let mut settings = json!({"base_url": server.url(), "base": "1ms"});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("one").clone());
    json!({"services": {"one": settings, "two": settings}, "keys": {"one": "test-key", "two": "test-key"}})
}

fn service(server: &Server, more: Value) -> Service {
    Service::read(&ONE, &job(at(server, more)), &remote()).expect("settings")
}

async fn ask(context: &TestContext, service: &Service) -> Result<Value, StageError> {
    call(context, service, "ask", |_| async {
        let message = Message::get(service.url("/x")?).bearer(service.key()?);
        let answer = service.send(context, "ask", message).await?;
        match answer.is_success() {
            true => answer.json(service),
            false => Err(answer.refusal(service, None, None)),
        }
    })
    .await
}

#[tokio::test]
async fn what_may_pass_is_tried_again_until_it_answers() {
    let server = Server::start(Plain);
    server.order([Some(Trouble::Status(503)), Some(Trouble::Reset), None]);
    let context = TestContext::new();
    assert_eq!(ask(&context, &service(&server, json!({}))).await.expect("an answer")["ok"], true);
    let seen = context.seen();
    let calls: Vec<u32> = seen.retries.iter().map(|retry| retry.call).collect();
    assert_eq!((calls, seen.usage.calls), (vec![2, 3], 3));
    assert_eq!(seen.retries[0].error.request_id.as_deref(), Some("r-1"));
    assert_eq!(seen.retries[0].error.class, ErrorClass::Http5xx);
    assert_eq!(seen.retries[1].error.class, ErrorClass::Network);
}

#[tokio::test]
async fn tries_are_counted_and_told() {
    let server = Server::start(Plain);
    server.order([Some(Trouble::Status(500)); 9]);
    let service = service(&server, json!({"attempts": 4}));
    let error = ask(&TestContext::new(), &service).await.expect_err("it never answers");
    assert_eq!(server.ledger().len(), 4);
    assert!(error.message.ends_with("(tried 4 times)"), "{}", error.message);
    assert_eq!((error.provider.as_deref(), error.operation.as_str()), (Some("one"), "ask"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_asked_for_three_times_at_most() {
    let server = Server::start(Plain);
    server.order([Some(Trouble::Html); 9]);
    let service = service(&server, json!({"attempts": 6}));
    let error = ask(&TestContext::new(), &service).await.expect_err("it is no JSON");
    assert_eq!((error.class, server.ledger().len()), (ErrorClass::Malformed, 3));
}

#[tokio::test]
async fn other_failures_do_not_count_among_answers_that_cannot_be_read() {
    let server = Server::start(Plain);
    let (html, busy) = (Some(Trouble::Html), Some(Trouble::Status(503)));
    server.order([html, busy, busy, html, None]);
    let service = service(&server, json!({"attempts": 6}));
    assert_eq!(ask(&TestContext::new(), &service).await.expect("an answer")["ok"], true);
    assert_eq!(server.ledger().len(), 5);
    server.order([busy, html, busy, html, html, None]);
    let error = ask(&TestContext::new(), &service).await.expect_err("the third was no JSON");
    assert_eq!((error.class, server.ledger().len()), (ErrorClass::Malformed, 10));
}

#[tokio::test]
async fn refusals_are_final() {
    for (status, class) in [
        (400, ErrorClass::Http4xx),
        (401, ErrorClass::Auth),
        (402, ErrorClass::QuotaExhausted),
        (403, ErrorClass::Auth),
        (422, ErrorClass::Http4xx),
    ] {
        let server = Server::start(Plain);
        server.order([Some(Trouble::Status(status))]);
        let error = ask(&TestContext::new(), &service(&server, json!({}))).await;
        let error = error.expect_err("it refuses");
        assert_eq!((error.class, error.http_status), (class, Some(status)));
        assert_eq!(server.ledger().len(), 1, "{status}");
        assert!(class == ErrorClass::Http4xx || error.hint.is_some(), "{status}");
    }
}

#[tokio::test]
async fn a_wait_of_more_than_a_minute_is_left_to_the_engine() {
    let server = Server::start(Plain);
    server.order([Some(Trouble::TooMany(3600))]);
    let error = ask(&TestContext::new(), &service(&server, json!({}))).await;
    let error = error.expect_err("it asks to wait");
    assert_eq!((error.class, error.retry_after_ms), (ErrorClass::RateLimited, Some(3_600_000)));
    assert_eq!(server.ledger().len(), 1);
}

#[tokio::test]
async fn silence_ends_at_the_time_of_a_try() {
    let server = Server::start(Plain);
    server.order([Some(Trouble::Silence(60_000)), None]);
    let context = TestContext::new();
    let service = service(&server, json!({"timeout": "500ms", "attempts": 60}));
    assert_eq!(ask(&context, &service).await.expect("an answer")["ok"], true);
    assert_eq!(context.seen().retries[0].error.class, ErrorClass::Timeout);
}

#[tokio::test]
async fn an_attempt_that_is_told_to_stop_does_not_wait_for_its_call() {
    let server = Server::start(Plain);
    server.order([Some(Trouble::Silence(60_000))]);
    let context = TestContext::new();
    context.cancel(CancelReason::Interrupted);
    let error = ask(&context, &service(&server, json!({}))).await.expect_err("it stops");
    assert_eq!(error.class, ErrorClass::Cancelled);
}

#[tokio::test]
async fn what_was_bought_is_kept_by_an_attempt_that_is_told_to_stop_meanwhile() {
    let server = Server::start(Plain);
    let context = TestContext::new();
    let service = service(&server, json!({}));
    let buy = |_try| {
        context.cancel(CancelReason::Interrupted);
        std::future::ready(Ok("a picture"))
    };
    let keep = |bought| async move {
        // Whoever looks at the word to stop while this waits gives up here.
        tokio::task::yield_now().await;
        Ok(bought)
    };
    let kept = call_and_keep(&context, &service, "buy", buy, keep).await;
    assert_eq!(kept.expect("what was bought"), "a picture");
}

#[test]
fn settings_of_another_form_are_named() {
    for (settings, named) in [
        (json!({"timeout": "soon"}), "services.one.timeout"),
        (json!({"attempts": 0}), "services.one.attempts"),
        (json!({"base_url": "ftp://x"}), "services.one.base_url"),
        (json!({"allowed_hosts": "x"}), "services.one.allowed_hosts"),
    ] {
        let config = json!({"services": {"one": settings}});
        let error = Service::read(&ONE, &job(config), &remote()).err().expect("a fault");
        assert_eq!(error.class, ErrorClass::Config);
        assert!(error.operation.contains(named), "{}", error.operation);
    }
}

#[tokio::test]
async fn urls_that_a_service_names_stay_with_it_or_with_allowed_hosts() {
    let server = Server::start(Plain);
    let service = service(&server, json!({"allowed_hosts": ["*.cdn.example"]}));
    for (url, allowed) in [
        (format!("{}/poll/1", server.url()), true),
        ("https://a.cdn.example/x.png".to_owned(), true),
        ("/poll/1?id=2".to_owned(), true),
        ("//elsewhere.example/x.png".to_owned(), false),
        ("poll".to_owned(), false),
        ("https://elsewhere.example/x.png".to_owned(), false),
        ("file:///etc/passwd".to_owned(), false),
    ] {
        assert_eq!(service.named_url("poll", &url).is_ok(), allowed, "{url}");
    }
}

/// Asks the chain of `one`, `two` and `here`, where both services answer with a status.
async fn through(
    context: &TestContext,
    remote: &Remote,
    server: &Server,
    config: Value,
) -> Result<String, StageError> {
    let mut config = config;
    let base = at(server, json!({"attempts": 1}));
    config["services"] = base["services"].clone();
    let chain = Chain::read(&job(config), remote, &KNOWN, &["one", "two", "here"])?;
    chain.ask(context, |provider| work(context, provider)).await
}

fn work<'a>(
    context: &'a TestContext,
    provider: &'a Provider,
) -> BoxFuture<'a, Result<String, StageError>> {
    Box::pin(async move {
        if let Some(service) = provider.service() {
            ask(context, service).await?;
        }
        Ok(provider.name().to_owned())
    })
}

fn steps(context: &TestContext) -> Vec<(String, &'static str)> {
    let fallbacks = context.seen().fallbacks;
    fallbacks.into_iter().map(|step| (step.from, step.reason.name())).collect()
}

const KEYS: &str = r#"{"keys": {"one": "test-key", "two": "test-key"}}"#;

#[tokio::test]
async fn a_chain_goes_on_to_the_first_that_can_and_says_so() {
    let (server, remote) = (Server::start(Plain), remote());
    let keys: Value = serde_json::from_str(KEYS).expect("JSON");
    server.order([Some(Trouble::Status(500)), Some(Trouble::Status(401))]);
    let context = TestContext::new();
    let made = through(&context, &remote, &server, keys.clone()).await.expect("the last one can");
    assert_eq!(made, "here");
    assert_eq!(steps(&context), [("one".to_owned(), "failed"), ("two".to_owned(), "failed")]);

    let context = TestContext::new();
    let two = json!({"keys": {"two": "test-key"}});
    assert_eq!(through(&context, &remote, &server, two).await.expect("the second can"), "two");
    assert_eq!(steps(&context), [("one".to_owned(), "no_key")]);
}

#[tokio::test]
async fn a_used_up_quota_is_not_tried_again_in_the_run() {
    let (server, remote) = (Server::start(Plain), remote());
    let keys: Value = serde_json::from_str(KEYS).expect("JSON");
    server.order([Some(Trouble::Status(402))]);
    let first = TestContext::new();
    assert_eq!(through(&first, &remote, &server, keys.clone()).await.expect("the second"), "two");
    let second = TestContext::new();
    assert_eq!(through(&second, &remote, &server, keys).await.expect("the second"), "two");
    assert_eq!(second.seen().fallbacks[0].reason, FallbackReason::Exhausted);
    assert_eq!(server.ledger().len(), 3);
}

#[tokio::test]
async fn when_nobody_can_the_last_failure_names_those_before() {
    let (server, remote) = (Server::start(Plain), remote());
    let mut config: Value = serde_json::from_str(KEYS).expect("JSON");
    config["providers"] = json!(["one", "two"]);
    server.order([Some(Trouble::Status(500)), Some(Trouble::Status(401))]);
    let error = through(&TestContext::new(), &remote, &server, config).await;
    let error = error.expect_err("nobody can");
    assert_eq!((error.class, error.provider.as_deref()), (ErrorClass::Auth, Some("two")));
    assert!(error.causes.iter().any(|cause| cause.starts_with("before it, one:")), "{error:?}");

    let nobody = json!({"providers": ["one"]});
    let error = through(&TestContext::new(), &remote, &server, nobody).await;
    let error = error.expect_err("there is no key");
    assert_eq!((error.class, error.provider.as_deref()), (ErrorClass::Auth, Some("one")));
    assert!(error.hint.is_some_and(|hint| hint.contains("ONE_KEY")));

    let remote = self::remote();
    let broke = json!({"providers": ["one"], "keys": {"one": "test-key"}});
    server.order([Some(Trouble::Status(402))]);
    let mut classes = Vec::new();
    for _ in 0..2 {
        let asked = through(&TestContext::new(), &remote, &server, broke.clone()).await;
        classes.push(asked.expect_err("the wallet is empty").class);
    }
    assert_eq!(classes, [ErrorClass::QuotaExhausted; 2]);
}

#[tokio::test]
async fn a_chain_ends_with_its_attempt() {
    let (server, remote) = (Server::start(Plain), remote());
    let keys: Value = serde_json::from_str(KEYS).expect("JSON");
    server.order([Some(Trouble::Silence(60_000))]);
    let context = TestContext::new();
    context.cancel(CancelReason::Timeout);
    let error = through(&context, &remote, &server, keys).await.expect_err("it stops");
    assert_eq!((error.class, steps(&context).len()), (ErrorClass::Timeout, 0));
    assert_eq!(context.run_id(), "run-1");
}
