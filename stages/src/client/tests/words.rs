//! What language models and voices say when something is wrong, and what it means.

use super::services::server::{Api as Speaks, Asked, Reply, Server};
use super::*;
use crate::client::language::{Question, Turn, Written};
use crate::client::{Answer, anthropic, elevenlabs, gemini, openai};

/// Says one thing, whatever it is asked.
struct Canned(Reply);

impl Speaks for Canned {
    fn answer(&self, _asked: &Asked, _base: &str) -> Reply {
        self.0.clone()
    }
    fn failure(&self, status: u16) -> Reply {
        Reply::empty(status)
    }
}

fn service_of(api: &'static Api, server: &Server) -> Service {
    let name = api.name;
    let config = json!({
        "services": {name: {"base_url": server.url(), "base": "1ms"}},
        "keys": {name: "test-key"},
    });
    Service::read(api, &job(config), &remote()).expect("settings")
}

pub(super) type Table = fn(&Service, &Answer) -> StageError;

/// What a table makes of an answer.
pub(super) async fn told(api: &'static Api, table: Table, reply: Reply) -> StageError {
    let server = Server::start(Canned(reply));
    let service = service_of(api, &server);
    let message = Message::get(service.url("/x").expect("a URL"));
    let answer = service.send(&TestContext::new(), "ask", message).await.expect("an answer");
    table(&service, &answer)
}

pub(super) fn said(status: u16, body: Value) -> Reply {
    Reply::json(status, &body)
}

#[tokio::test]
async fn the_type_of_an_anthropic_error_decides_and_the_status_where_it_has_none() {
    let typed = |status, kind: &str| {
        said(
            status,
            json!({"type": "error", "error": {"type": kind, "message": "m"},
                            "request_id": "req_1"}),
        )
    };
    for (reply, class) in [
        (typed(400, "invalid_request_error"), ErrorClass::Http4xx),
        (typed(401, "authentication_error"), ErrorClass::Auth),
        (typed(402, "billing_error"), ErrorClass::QuotaExhausted),
        (typed(403, "permission_error"), ErrorClass::Auth),
        (typed(404, "not_found_error"), ErrorClass::Http4xx),
        (typed(413, "request_too_large"), ErrorClass::Http4xx),
        (typed(429, "rate_limit_error"), ErrorClass::RateLimited),
        (typed(500, "api_error"), ErrorClass::Http5xx),
        (typed(504, "timeout_error"), ErrorClass::Http5xx),
        (typed(529, "overloaded_error"), ErrorClass::Http5xx),
        (typed(409, "conflict_error"), ErrorClass::Network),
        (typed(400, "billing_error"), ErrorClass::QuotaExhausted),
        (said(529, json!({})), ErrorClass::Http5xx),
        (said(401, json!([])), ErrorClass::Auth),
    ] {
        let error = told(&anthropic::ANTHROPIC, anthropic::failure, reply.clone()).await;
        assert_eq!(error.class, class, "{reply:?}");
        assert_eq!(error.provider.as_deref(), Some("anthropic"));
        if reply.body.len() > 10 {
            assert_eq!(error.request_id.as_deref(), Some("req_1"));
        }
    }
}

#[tokio::test]
async fn anthropic_says_how_long_to_wait_in_two_ways() {
    let limited = said(429, json!({"type": "error", "error": {"type": "rate_limit_error"}}));
    let reset = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(30);
    let open = limited
        .clone()
        .header("anthropic-ratelimit-requests-remaining", 5)
        .header("anthropic-ratelimit-requests-reset", reset);
    let shut = open
        .clone()
        .header("anthropic-ratelimit-output-tokens-remaining", 0)
        .header("anthropic-ratelimit-output-tokens-reset", reset);
    let table = (&anthropic::ANTHROPIC, anthropic::failure as Table);
    assert_eq!(told(table.0, table.1, open).await.retry_after_ms, None);
    let wait = told(table.0, table.1, shut.clone()).await.retry_after_ms.expect("a wait");
    assert!((20_000..=30_000).contains(&wait), "{wait}");
    let both = told(table.0, table.1, shut.header("retry-after", 7)).await;
    assert_eq!(both.retry_after_ms, Some(7_000), "what was asked for outright comes first");
}

#[tokio::test]
async fn gemini_tells_in_details_what_its_status_leaves_open() {
    let detail = |kind: &str, more: Value| {
        let mut detail = json!({"@type": format!("type.googleapis.com/google.rpc.{kind}")});
        detail.as_object_mut().expect("one").extend(more.as_object().expect("one").clone());
        detail
    };
    let error = |status: u16, name: &str, details: Vec<Value>| json!({"error": {"code": status, "status": name, "message": "m", "details": details}});
    let daily =
        detail("QuotaFailure", json!({"violations": [{"quotaId": "RequestsPerDayPerProject"}]}));
    let minute = detail("QuotaFailure", json!({"violations": [{"quotaId": "RequestsPerMinute"}]}));
    let wait = detail("RetryInfo", json!({"retryDelay": "22.5s"}));
    let key = detail("ErrorInfo", json!({"reason": "API_KEY_INVALID"}));
    for (status, body, class, delay) in [
        (
            429,
            error(429, "RESOURCE_EXHAUSTED", vec![minute, wait.clone()]),
            ErrorClass::RateLimited,
            Some(22_500),
        ),
        (
            429,
            error(429, "RESOURCE_EXHAUSTED", vec![daily, wait.clone()]),
            ErrorClass::QuotaExhausted,
            Some(22_500),
        ),
        (400, error(400, "INVALID_ARGUMENT", vec![key]), ErrorClass::Auth, None),
        (400, error(400, "INVALID_ARGUMENT", vec![]), ErrorClass::Http4xx, None),
        (400, error(400, "FAILED_PRECONDITION", vec![]), ErrorClass::Http4xx, None),
        (403, error(403, "PERMISSION_DENIED", vec![]), ErrorClass::Auth, None),
        (404, error(404, "NOT_FOUND", vec![]), ErrorClass::Http4xx, None),
        (499, json!({}), ErrorClass::Http4xx, None),
        (500, error(500, "INTERNAL", vec![]), ErrorClass::Http5xx, None),
        (503, json!([error(503, "UNAVAILABLE", vec![wait])]), ErrorClass::Http5xx, Some(22_500)),
        (504, error(504, "DEADLINE_EXCEEDED", vec![]), ErrorClass::Http5xx, None),
    ] {
        for body in [body.clone(), json!([body])] {
            let error = told(&gemini::GEMINI, gemini::failure, said(status, body.clone())).await;
            if !body[0].is_array() {
                assert_eq!((error.class, error.retry_after_ms), (class, delay), "{body}");
            }
        }
    }
}

#[tokio::test]
async fn openai_says_with_a_code_whether_too_many_requests_means_an_empty_wallet() {
    let coded = |status, kind: &str, code: Value| {
        said(status, json!({"error": {"message": "m", "type": kind, "param": null, "code": code}}))
            .header("x-request-id", "r-1")
    };
    for (reply, class) in [
        (coded(429, "insufficient_quota", json!("insufficient_quota")), ErrorClass::QuotaExhausted),
        (coded(429, "insufficient_quota", json!(null)), ErrorClass::QuotaExhausted),
        (
            coded(400, "invalid_request_error", json!("billing_hard_limit_reached")),
            ErrorClass::QuotaExhausted,
        ),
        (coded(429, "requests", json!("rate_limit_exceeded")), ErrorClass::RateLimited),
        (coded(429, "tokens", json!(null)), ErrorClass::RateLimited),
        (coded(401, "invalid_request_error", json!("invalid_api_key")), ErrorClass::Auth),
        (
            coded(400, "image_generation_user_error", json!("moderation_blocked")),
            ErrorClass::Moderated,
        ),
        (
            coded(400, "invalid_request_error", json!("content_policy_violation")),
            ErrorClass::Moderated,
        ),
        (coded(400, "invalid_request_error", json!(null)), ErrorClass::Http4xx),
        (coded(404, "invalid_request_error", json!("model_not_found")), ErrorClass::Http4xx),
        (coded(500, "server_error", json!(null)), ErrorClass::Http5xx),
        (said(503, json!("overloaded")), ErrorClass::Http5xx),
        (said(409, json!({"error": {"message": "m"}})), ErrorClass::Network),
    ] {
        let error = told(&openai::OPENAI, openai::failure, reply.clone()).await;
        assert_eq!(error.class, class, "{reply:?}");
    }
    let limited = coded(429, "requests", json!("rate_limit_exceeded"))
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "1m2.5s");
    let error = told(&openai::OPENAI, openai::failure, limited).await;
    assert_eq!((error.retry_after_ms, error.request_id.as_deref()), (Some(62_500), Some("r-1")));
}

#[tokio::test]
async fn both_dialects_of_elevenlabs_are_understood() {
    let old =
        |status, name: &str| said(status, json!({"detail": {"status": name, "message": "m"}}));
    let new = |status, kind: &str, code: &str| {
        said(
            status,
            json!({"detail": {"type": kind, "code": code, "message": "m",
                                       "request_id": "r-2", "param": null}}),
        )
    };
    for (reply, class) in [
        (old(401, "quota_exceeded"), ErrorClass::QuotaExhausted),
        (new(401, "authentication_error", "quota_exceeded"), ErrorClass::QuotaExhausted),
        (old(401, "invalid_api_key"), ErrorClass::Auth),
        (new(401, "authentication_error", "invalid_api_key"), ErrorClass::Auth),
        (old(429, "too_many_concurrent_requests"), ErrorClass::RateLimited),
        (new(429, "rate_limit_error", "concurrent_limit_exceeded"), ErrorClass::RateLimited),
        (old(429, "system_busy"), ErrorClass::RateLimited),
        (said(409, json!({"detail": "Conflict"})), ErrorClass::Network),
        (old(400, "voice_not_found"), ErrorClass::Http4xx),
        (old(400, "max_character_limit_exceeded"), ErrorClass::Http4xx),
        (
            said(422, json!({"detail": [{"loc": ["body"], "msg": "Field required"}]})),
            ErrorClass::Http4xx,
        ),
        (said(500, json!({"detail": "Internal"})), ErrorClass::Http5xx),
        (said(401, json!({"detail": "Unauthorized"})), ErrorClass::Auth),
    ] {
        let error = told(&elevenlabs::ELEVENLABS, elevenlabs::failure, reply.clone()).await;
        assert_eq!((error.class, error.kind), (class, ErrorKind::AudioGeneration), "{reply:?}");
    }
    let crowded = new(429, "rate_limit_error", "concurrent_limit_exceeded");
    let error = told(&elevenlabs::ELEVENLABS, elevenlabs::failure, crowded).await;
    assert_eq!(error.request_id.as_deref(), Some("r-2"));
    assert!(error.hint.is_some_and(|hint| hint.contains("max_in_flight = 1")));
}

#[test]
fn times_of_characters_become_times_of_words() {
    let body = |alignment: Value| {
        json!({"audio_base64": "SUQz", "alignment": alignment}).to_string().into_bytes()
    };
    let of = |characters: &[&str], starts: &[f64], ends: &[f64]| {
        elevenlabs::read(&body(json!({"characters": characters,
            "character_start_times_seconds": starts, "character_end_times_seconds": ends})))
    };
    let read = of(
        &["H", "i", " ", " ", "y", "o"],
        &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
        &[0.1, 0.2, 0.3, 0.4, 0.5, 0.625],
    );
    assert_eq!(read.expect("an answer").words, Some(vec![(0, 200), (400, 625)]));
    assert_eq!(elevenlabs::read(&body(json!(null))).expect("an answer").words, None);
    for (characters, starts, ends, fault) in [
        (&["a", "b"][..], &[0.0][..], &[0.1, 0.2][..], "equally long"),
        (&["a", "b"], &[0.5, 0.1], &[0.6, 0.2], "back in time"),
        (&["a"], &[0.5], &[0.1], "back in time"),
        (&["a"], &[-1.0], &[0.1], "a time that is none"),
    ] {
        let error = of(characters, starts, ends).expect_err(fault);
        assert!(error.contains(fault), "{error}");
    }
    for (body, fault) in [
        (&b"<html>"[..], "is not JSON"),
        (b"{}", "has not its form"),
        (br#"{"audio_base64": "***"}"#, "not base64"),
        (br#"{"audio_base64": ""}"#, "no bytes"),
    ] {
        let error = elevenlabs::read(body).expect_err(fault);
        assert!(error.contains(fault), "{error}");
    }
}

fn question() -> Question {
    Question {
        system: "You answer.".into(),
        turns: vec![Turn::User("What is it?".into(), Vec::new())],
        schema: json!({"type": "object"}),
        most_tokens: 10,
    }
}

async fn ask_anthropic(
    context: &TestContext,
    reply: Reply,
) -> (Result<Written, StageError>, Server) {
    let server = Server::start(Canned(reply));
    let service = service_of(&anthropic::ANTHROPIC, &server);
    (anthropic::generate(context, &service, "ask", &question()).await, server)
}

async fn ask_gemini(context: &TestContext, reply: Reply) -> (Result<Written, StageError>, Server) {
    let server = Server::start(Canned(reply));
    let service = service_of(&gemini::GEMINI, &server);
    (gemini::generate(context, &service, "ask", &question()).await, server)
}

#[tokio::test]
async fn an_answer_is_paid_for_once_and_its_tokens_are_told() {
    let context = TestContext::new();
    let answer = said(
        200,
        json!({
            "id": "msg_1", "model": "m-1", "stop_reason": "tool_use",
            "content": [{"type": "text", "text": "Here:"},
                        {"type": "tool_use", "name": "emit_ideas", "input": {"n": 1}}],
            "usage": {"input_tokens": 7, "output_tokens": 5},
        }),
    );
    let (first, server) = ask_anthropic(&context, answer).await;
    let first = first.expect("an answer");
    assert_eq!((&first.value, first.model.as_str()), (&json!({"n": 1}), "m-1"));
    assert_eq!(context.seen().usage.tokens, 12);
    let service = service_of(&anthropic::ANTHROPIC, &server);
    let again = anthropic::generate(&context, &service, "ask", &question()).await;
    assert_eq!((again.expect("the same"), server.ledger().len()), (first, 1));
    let asked = server.ledger()[0].json();
    assert_eq!(asked["tool_choice"]["name"], asked["tools"][0]["name"]);
}

#[tokio::test]
async fn models_that_refuse_or_ramble_end_in_their_classes() {
    let stopped = |reason: &str| {
        said(
            200,
            json!({"model": "m", "content": [{"type": "text", "text": "Well, no."}],
                         "stop_reason": reason, "usage": {}}),
        )
    };
    for (reason, class, calls) in [
        ("refusal", ErrorClass::Moderated, 1),
        ("max_tokens", ErrorClass::Malformed, 3),
        ("end_turn", ErrorClass::Malformed, 3),
    ] {
        let (answer, server) = ask_anthropic(&TestContext::new(), stopped(reason)).await;
        let error = answer.expect_err(reason);
        assert_eq!((error.class, server.ledger().len()), (class, calls), "{reason}");
        assert!(error.hint.is_some(), "{error:?}");
        let most = server.ledger().last().expect("a request").json()["max_tokens"].clone();
        let raised = if reason == "max_tokens" { 20 } else { 10 };
        assert_eq!(most, raised, "{reason}");
    }
    let finished = |reason: &str| {
        said(
            200,
            json!({"candidates": [{"finishReason": reason,
            "content": {"parts": [{"text": "Well, "}, {"text": "no."}]}}]}),
        )
    };
    let blocked = said(200, json!({"promptFeedback": {"blockReason": "SAFETY"}}));
    for (reply, class, calls) in [
        (finished("SAFETY"), ErrorClass::Moderated, 1),
        (finished("SPII"), ErrorClass::Moderated, 1),
        (blocked, ErrorClass::Moderated, 1),
        (finished("MAX_TOKENS"), ErrorClass::Malformed, 3),
        (finished("OTHER"), ErrorClass::Malformed, 3),
        (finished("STOP"), ErrorClass::Malformed, 3),
        (said(200, json!({"candidates": []})), ErrorClass::Malformed, 3),
    ] {
        let (answer, server) = ask_gemini(&TestContext::new(), reply.clone()).await;
        let error = answer.expect_err("no answer");
        assert_eq!((error.class, server.ledger().len()), (class, calls), "{reply:?}");
    }
}

#[tokio::test]
async fn gemini_answers_with_json_as_text_and_is_not_heard_thinking() {
    let context = TestContext::new();
    let reply = said(
        200,
        json!({
            "candidates": [{"finishReason": "STOP", "content": {"parts": [
                {"text": "hm", "thought": true}, {"text": "{\"passed\":"}, {"text": " true}"}]}}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
            "modelVersion": "g-1", "responseId": "r-9",
        }),
    );
    let (answer, server) = ask_gemini(&context, reply).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.value, json!({"passed": true}));
    assert_eq!((answer.model.as_str(), answer.request_id.as_deref()), ("g-1", Some("r-9")));
    assert_eq!(context.seen().usage.tokens, 6);
    let asked = &server.ledger()[0];
    assert_eq!(asked.path, "/v1beta/models/gemini-flash-latest:generateContent");
    assert_eq!(asked.header("x-goog-api-key"), Some("test-key"));
    assert_eq!(asked.query, []);
}
