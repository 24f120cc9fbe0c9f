//! What a stage tells of its calls, and what it may leave to later attempts.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::Type;
use flow_core::stage::{
    BoxFuture, CallRetry, Context, Draft, Drafts, Fallback, FallbackReason, Job, PortSpec, Ports,
    REMEMBERED_MAX, REMEMBERED_NAME_MAX, Stage, StageSpec, Stream, Usage,
};
use flow_core::store::Store;
use flow_runtime::Secrets;
use flow_runtime::testing::{Recollection, StageTest};
use flow_store::MemoryStore;
use secrecy::SecretString;
use serde_json::{Value, json};

const KEY: &str = "key-0123456789";
const ADDRESS: &str = "https://there/upload/9876543210";

type Act = fn(&dyn Context) -> BoxFuture<'_, Result<Value, StageError>>;

/// A stage that does what a test says.
struct Acts(StageSpec, Act);

impl Stage for Acts {
    fn spec(&self) -> &StageSpec {
        &self.0
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        _job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        let made = (self.1)(context);
        Box::pin(async move { Ok(Drafts::from([("out".to_owned(), Draft::Value(made.await?))])) })
    }
}

fn stage(act: Act) -> StageTest {
    let port = |name: &str, ty| PortSpec {
        name: name.into(),
        ty,
        optional: false,
        retypable: false,
        doc: "A value.",
    };
    let secrets = [("key".to_owned(), Some(SecretString::from(KEY)))].into();
    StageTest::new(Acts(
        StageSpec {
            name: "acts",
            version: 1,
            summary: "Does what it is told.",
            inputs: Ports::Fixed(Vec::new()),
            outputs: Ports::Fixed(vec![port("out", Type::Json)]),
            config: Vec::new(),
            needs_scratch: true,
            example: "",
        },
        act,
    ))
    .secrets(Secrets::new(secrets, Vec::new()).unwrap())
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new().unwrap())
}

fn failure(text: &str) -> StageError {
    let message = format!("no answer for {text}");
    StageError {
        provider: Some("bank".into()),
        ..StageError::new(ErrorClass::Network, "ask", message)
    }
}

#[test]
fn what_is_told_of_calls_has_no_secret_in_it() {
    let done = stage(|context| {
        Box::pin(async move {
            context.remember_secret("address", ADDRESS).await?;
            for (call, text) in [(2, KEY), (3, ADDRESS)] {
                context.call_retried(CallRetry {
                    provider: "bank".into(),
                    operation: format!("GET {text}"),
                    call,
                    delay_ms: 40,
                    error: failure(text),
                });
            }
            let reasons = [FallbackReason::NoKey, FallbackReason::Failed(failure(KEY))];
            for reason in reasons {
                let (from, to) = (KEY.to_owned(), Some("recorded".to_owned()));
                context.provider_fallback(Fallback { from, to, reason });
            }
            context.used(Usage { usd: 0.1, tokens: 5, calls: 1 });
            context.used(Usage { usd: 0.2, tokens: 0, calls: 1 });
            Ok(Value::Null)
        })
    })
    .attempt(3)
    .run(store())
    .unwrap();
    assert_eq!(done.usage, Usage { usd: 0.3, tokens: 5, calls: 2 });
    for (retry, call) in done.retries.iter().zip([2, 3]) {
        assert_eq!((retry.call, retry.operation.as_str()), (call, "GET ***"));
        let error = &retry.error;
        assert_eq!((error.message.as_str(), error.attempt), ("no answer for ***", 3));
        assert!(error.retryable);
    }
    assert_eq!(done.fallbacks.len(), 2);
    assert_eq!(done.fallbacks[0].from, "***");
    assert!(done.fallbacks[1].reason.error().is_some_and(|e| e.message == "no answer for ***"));
}

#[test]
fn a_remembered_secret_is_hidden_in_output_and_errors_and_refused_in_payloads_from_then_on() {
    let said = stage(|context| {
        Box::pin(async move {
            context.capture(Stream::Stdout, b"before: 98765");
            context.remember_secret("address", ADDRESS).await?;
            context.capture(Stream::Stdout, format!("\nafter: {ADDRESS}\n").as_bytes());
            Ok(Value::Null)
        })
    })
    .run(store())
    .unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "before: 98765\nafter: ***\n");
    let failed = stage(|context| {
        Box::pin(async move {
            context.remember_secret("address", ADDRESS).await?;
            Err(failure(ADDRESS))
        })
    });
    assert_eq!(failed.run(store()).unwrap_err().message, "no answer for ***");
    let made = stage(|context| {
        Box::pin(async move {
            context.remember_secret("address", ADDRESS).await?;
            Ok(json!({ "at": ADDRESS }))
        })
    });
    let refused = made.run(store()).unwrap_err();
    assert_eq!(refused.message, "output `out` has the secret `address` in it");
    let hint = refused.hint.unwrap();
    assert!(
        hint.starts_with("nothing of it is stored: leave the secret out of what the node writes")
    );
    assert!(!hint.contains("secrets.address"));
}

#[test]
fn what_cannot_be_remembered_is_refused_with_the_reason() {
    let done = stage(|context| {
        Box::pin(async move {
            let mut refusals = Vec::new();
            let mut note = |done: Result<(), StageError>| {
                let error = done.unwrap_err();
                assert_eq!(error.class, ErrorClass::Validation);
                refusals.push(error.to_string());
            };
            note(context.remember("a", json!({ "k": KEY })).await);
            note(context.remember(KEY, Value::Null).await);
            note(context.remember("large", json!("x".repeat(REMEMBERED_MAX))).await);
            note(context.remember(&"n".repeat(REMEMBERED_NAME_MAX + 1), Value::Null).await);
            note(context.remember_secret("s", "abc").await);
            let file = context.scratch().join("file");
            std::fs::write(&file, format!("a {KEY} b")).unwrap();
            note(context.remember_file("f", &file).await);
            let link = context.scratch().join("link");
            std::os::unix::fs::symlink("file", &link).unwrap();
            note(context.remember_file("l", std::path::Path::new("link")).await);
            assert_eq!(context.remembered("a"), None);
            context.remember("ok", json!("x".repeat(REMEMBERED_MAX - 2))).await?;
            Ok(json!(refusals))
        })
    });
    let told = done.run(store()).unwrap().outputs["out"].to_string();
    for part in [
        "remember a: it has the secret `key` in it",
        "remember something: it has the secret `key` in it",
        "remember large: it has 65538 bytes of JSON",
        "remember something: its name is too long",
        "remember s: it has 3 bytes",
        "remember f: it has the secret `key` in it",
        "link is no regular file",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn tests_with_one_memory_are_attempts_of_one_task() {
    let memory = Recollection::default();
    let store = store();
    let first = stage(|context| {
        Box::pin(async move {
            context.remember("job", json!(17)).await?;
            context.remember("job", json!(18)).await?;
            context.remember_secret("address", ADDRESS).await?;
            let file = std::path::Path::new("half");
            std::fs::write(context.scratch().join(file), b"half of it").unwrap();
            context.remember_file("half", file).await?;
            Err(failure("now"))
        })
    });
    first.memory(&memory).run(Arc::clone(&store)).unwrap_err();
    assert_eq!(memory.value("job"), Some(json!(18)));
    assert_eq!(memory.secret("address").as_deref(), Some(ADDRESS));
    let second = stage(|context| {
        Box::pin(async move {
            let to = std::path::Path::new("there");
            assert!(context.remembered_file("half", to).await?);
            assert!(!context.remembered_file("other", to).await?);
            // It is a copy of its own, which can be written on.
            let mut file =
                std::fs::File::options().append(true).open(context.scratch().join(to)).unwrap();
            std::io::Write::write_all(&mut file, b", and the rest").unwrap();
            let text = std::fs::read_to_string(context.scratch().join(to)).unwrap();
            let again = context.remembered_file("half", to).await.unwrap_err();
            assert_eq!(again.class, ErrorClass::Io);
            let secret = context.remembered_secret("address").is_some();
            Ok(json!([context.remembered("job"), secret, text]))
        })
    });
    let done = second.attempt(2).memory(&memory).run(Arc::clone(&store)).unwrap();
    assert_eq!(done.outputs["out"], json!([18, true, "half of it, and the rest"]));
    let stranger = stage(|context| Box::pin(async move { Ok(json!(context.remembered("job"))) }));
    assert_eq!(stranger.run(store).unwrap().outputs["out"], Value::Null);
}

#[test]
fn chance_is_below_one_and_not_always_the_same() {
    let drawn = stage(|context| {
        Box::pin(async move { Ok(json!((0..50).map(|_| context.chance()).collect::<Vec<_>>())) })
    });
    let drawn = drawn.run(store()).unwrap().outputs["out"].clone();
    let drawn: Vec<f64> = serde_json::from_value(drawn).unwrap();
    assert!(drawn.iter().all(|chance| (0.0..1.0).contains(chance)));
    assert!(drawn.windows(2).any(|pair| pair[0] != pair[1]));
}
