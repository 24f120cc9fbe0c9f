//! What services of pictures, places of publication and sources of games say when something is wrong, and
//! what it means: its class, how long to wait, the service's name of the request, and the way out.

use super::services::server::Reply;
use super::words::{Table, said, told};
use super::*;
use crate::client::{
    balldontlie, comfyui, fal, flux, goatedbets, instagram, odds_api, replicate, s3, tiktok,
    webhook, youtube,
};

/// An answer, and what a table is to make of it.
struct Row {
    reply: Reply,
    class: ErrorClass,
    /// A word of the hint; empty where none is needed.
    hint: &'static str,
}

fn row(reply: Reply, class: ErrorClass, hint: &'static str) -> Row {
    Row { reply, class, hint }
}

/// What is the same at all of them: statuses that have no body of the service's own.
fn anywhere() -> Vec<Row> {
    let html =
        |status| Reply::new(status, "text/html; charset=utf-8", "<html><h1>Sorry</h1></html>");
    vec![
        row(html(401), ErrorClass::Auth, ""),
        row(html(404), ErrorClass::Http4xx, ""),
        row(html(408), ErrorClass::Network, ""),
        row(html(413), ErrorClass::Http4xx, ""),
        row(html(429), ErrorClass::RateLimited, ""),
        row(html(500), ErrorClass::Http5xx, ""),
        row(html(502), ErrorClass::Http5xx, ""),
        row(Reply::empty(503), ErrorClass::Http5xx, ""),
        row(said(504, json!([])), ErrorClass::Http5xx, ""),
    ]
}

/// Holds a table to its rows, and to what all tables have in common.
async fn holds(api: &'static Api, table: Table, rows: Vec<Row>) {
    for Row { reply, class, hint } in rows.into_iter().chain(anywhere()) {
        let error = told(api, table, reply.clone()).await;
        assert_eq!(error.class, class, "{} {reply:?}", api.name);
        assert_eq!((error.kind, error.provider.as_deref()), (api.kind, Some(api.name)));
        assert_eq!(error.http_status, Some(reply.status), "{reply:?}");
        assert!(error.message.contains(&reply.status.to_string()), "{}", error.message);
        let told = error.hint.unwrap_or_default();
        assert!(told.contains(hint), "{} {reply:?}: {told}", api.name);
        let is_final = matches!(class, ErrorClass::Auth | ErrorClass::QuotaExhausted);
        assert!(!is_final || !told.is_empty(), "{} {reply:?} needs a way out", api.name);
    }
    for (header, value, wait) in [
        ("Retry-After", "7", 7_000),
        ("retry-after-ms", "250", 250),
        ("Retry-After", "3600", 3_600_000),
    ] {
        let error = told(api, table, Reply::empty(429).header(header, value)).await;
        assert_eq!(error.retry_after_ms, Some(wait), "{} {header}", api.name);
    }
    let until = std::time::SystemTime::now() + Duration::from_secs(90);
    let dated = Reply::empty(503).header("Retry-After", httpdate::fmt_http_date(until));
    let wait = told(api, table, dated).await.retry_after_ms.unwrap_or_default();
    assert!((60_000..=90_000).contains(&wait), "{} waits {wait} ms", api.name);
    let named = told(api, table, Reply::empty(500).header("x-request-id", "r-7")).await;
    assert_eq!(named.request_id.as_deref(), Some("r-7"), "{}", api.name);
}

#[tokio::test]
async fn flux_says_in_detail_what_its_status_means() {
    let detail = |status, detail: Value| said(status, json!({ "detail": detail }));
    let wrong =
        json!([{"loc": ["body", "width"], "msg": "Input should be valid", "type": "value_error"}]);
    holds(
        &flux::FLUX,
        flux::failure,
        vec![
            row(detail(400, json!("Bad request")), ErrorClass::Http4xx, ""),
            row(detail(402, json!("Insufficient credits")), ErrorClass::QuotaExhausted, "balance"),
            row(detail(403, json!("Not authenticated")), ErrorClass::Auth, "BFL_API_KEY"),
            row(detail(422, wrong), ErrorClass::Http4xx, ""),
            row(
                detail(429, json!("too many active tasks")),
                ErrorClass::RateLimited,
                "max_in_flight",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn replicate_says_in_detail_what_its_status_means() {
    let titled = |status, title: &str| {
        said(status, json!({"title": title, "detail": "It says why.", "status": status}))
    };
    holds(
        &replicate::REPLICATE,
        replicate::failure,
        vec![
            row(titled(401, "Unauthenticated"), ErrorClass::Auth, "REPLICATE_API_TOKEN"),
            row(titled(402, "Insufficient credit"), ErrorClass::QuotaExhausted, "balance"),
            row(titled(404, "Not found"), ErrorClass::Http4xx, ""),
            row(titled(422, "Input validation failed"), ErrorClass::Http4xx, ""),
            row(titled(429, "Too many requests"), ErrorClass::RateLimited, "max_in_flight"),
        ],
    )
    .await;
    let throttled = said(429, json!({"detail": "Request was throttled.", "retry_after": 2.5}));
    let error = told(&replicate::REPLICATE, replicate::failure, throttled).await;
    assert_eq!(error.retry_after_ms, Some(2_500));
}

#[tokio::test]
async fn fal_has_types_of_the_model_and_of_the_platform() {
    let model = |status, kind: &str| {
        said(status, json!({"detail": [{"loc": ["body"], "msg": "m", "type": kind, "ctx": {}}]}))
    };
    let platform = |status, kind: &str| {
        said(status, json!({"detail": "m", "error_type": kind})).header("X-Fal-Error-Type", kind)
    };
    holds(
        &fal::FAL,
        fal::failure,
        vec![
            row(model(422, "content_policy_violation"), ErrorClass::Moderated, "words"),
            row(model(422, "image_too_large"), ErrorClass::Http4xx, ""),
            row(model(500, "internal_server_error"), ErrorClass::Http5xx, ""),
            row(platform(504, "request_timeout"), ErrorClass::Timeout, ""),
            row(platform(503, "runner_disconnected"), ErrorClass::Http5xx, ""),
            row(platform(500, "runner_scheduling_failure"), ErrorClass::Http5xx, ""),
            row(said(403, json!({"detail": "User is locked"})), ErrorClass::Auth, "balance"),
        ],
    )
    .await;
    let named = Reply::empty(500).header("x-fal-request-id", "f-1");
    let error = told(&fal::FAL, fal::failure, named).await;
    assert_eq!(error.request_id.as_deref(), Some("f-1"));
}

#[tokio::test]
async fn comfyui_has_statuses_alone() {
    let error = json!({"error": {"type": "t", "message": "m", "details": "", "extra_info": {}}});
    holds(
        &comfyui::COMFYUI,
        comfyui::failure,
        vec![
            row(said(400, error), ErrorClass::Http4xx, ""),
            row(said(403, json!({"error": "no"})), ErrorClass::Auth, "COMFYUI_API_KEY"),
        ],
    )
    .await;
}

#[tokio::test]
async fn youtube_gives_reasons() {
    let because = |status: u16, reason: &str| {
        let errors = json!([{"domain": "youtube", "reason": reason, "message": "m"}]);
        said(status, json!({"error": {"code": status, "message": "m", "errors": errors}}))
    };
    holds(
        &youtube::YOUTUBE,
        youtube::failure,
        vec![
            row(because(401, "authError"), ErrorClass::Auth, "YOUTUBE_REFRESH_TOKEN"),
            row(because(403, "insufficientPermissions"), ErrorClass::Auth, "youtube.upload"),
            row(because(401, "youtubeSignupRequired"), ErrorClass::Auth, "channel"),
            row(because(403, "quotaExceeded"), ErrorClass::QuotaExhausted, "Pacific"),
            row(because(400, "uploadLimitExceeded"), ErrorClass::QuotaExhausted, "tomorrow"),
            row(because(403, "rateLimitExceeded"), ErrorClass::RateLimited, "max_in_flight"),
            row(because(429, "uploadRateLimitExceeded"), ErrorClass::RateLimited, ""),
            row(because(400, "invalidTitle"), ErrorClass::Http4xx, ""),
            row(because(500, "backendError"), ErrorClass::Http5xx, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn instagram_has_codes_and_codes_below_them() {
    let coded = |status: u16, code: i64, below: i64| {
        let error = json!({"message": "m", "type": "OAuthException", "code": code,
                           "error_subcode": below, "fbtrace_id": "trace-1"});
        said(status, json!({ "error": error }))
    };
    let upload = |retriable: bool| {
        let info = json!({"retriable": retriable, "type": "ProcessingFailedError", "message": "m"});
        said(400, json!({ "debug_info": info }))
    };
    holds(
        &instagram::INSTAGRAM,
        instagram::failure,
        vec![
            row(coded(400, 190, 463), ErrorClass::Auth, "INSTAGRAM_ACCESS_TOKEN"),
            row(coded(403, 10, 0), ErrorClass::Auth, "INSTAGRAM_ACCESS_TOKEN"),
            row(coded(400, 200, 0), ErrorClass::Auth, "INSTAGRAM_ACCESS_TOKEN"),
            row(coded(400, 4, 0), ErrorClass::RateLimited, ""),
            row(coded(403, 4, 2_207_051), ErrorClass::Rejected, ""),
            row(coded(400, 9, 2_207_042), ErrorClass::QuotaExhausted, "24 hours"),
            row(coded(400, 9007, 2_207_027), ErrorClass::Network, ""),
            row(coded(500, 2, 0), ErrorClass::Http5xx, ""),
            row(coded(400, 100, 0), ErrorClass::Http4xx, ""),
            row(coded(400, 368, 0), ErrorClass::Rejected, ""),
            row(upload(true), ErrorClass::Network, ""),
            row(upload(false), ErrorClass::Http4xx, ""),
        ],
    )
    .await;
    let error = told(&instagram::INSTAGRAM, instagram::failure, coded(500, 1, 0)).await;
    assert_eq!(error.request_id.as_deref(), Some("trace-1"));
}

#[tokio::test]
async fn tiktok_has_codes_also_where_its_status_is_success() {
    let coded = |status, code: &str| {
        said(
            status,
            json!({"data": {}, "error": {"code": code, "message": "m", "log_id": "log-1"}}),
        )
    };
    holds(
        &tiktok::TIKTOK,
        tiktok::failure,
        vec![
            row(coded(401, "access_token_invalid"), ErrorClass::Auth, "TIKTOK_ACCESS_TOKEN"),
            row(coded(401, "scope_not_authorized"), ErrorClass::Auth, "TIKTOK_ACCESS_TOKEN"),
            row(coded(429, "rate_limit_exceeded"), ErrorClass::RateLimited, ""),
            row(coded(403, "spam_risk_too_many_posts"), ErrorClass::QuotaExhausted, "in a day"),
            row(coded(403, "reached_active_user_cap"), ErrorClass::QuotaExhausted, "flow resume"),
            row(coded(403, "spam_risk_user_banned_from_posting"), ErrorClass::Rejected, ""),
            row(
                coded(403, "unaudited_client_can_only_post_to_private_accounts"),
                ErrorClass::Rejected,
                "private",
            ),
            row(coded(403, "privacy_level_option_mismatch"), ErrorClass::Rejected, "with.privacy"),
            row(coded(400, "invalid_param"), ErrorClass::Http4xx, ""),
            row(coded(200, "invalid_param"), ErrorClass::Http4xx, ""),
            row(coded(500, "internal_error"), ErrorClass::Http5xx, ""),
        ],
    )
    .await;
    let error = told(&tiktok::TIKTOK, tiktok::failure, coded(500, "internal_error")).await;
    assert_eq!(error.request_id.as_deref(), Some("log-1"));
}

#[tokio::test]
async fn s3_has_codes_in_xml() {
    let coded = |status, code: &str| {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message>\
             <RequestId>amz-1</RequestId></Error>"
        );
        Reply::new(status, "application/xml", body)
    };
    holds(
        &s3::S3,
        s3::failure,
        vec![
            row(coded(403, "AccessDenied"), ErrorClass::Auth, "S3_SECRET_ACCESS_KEY"),
            row(coded(403, "SignatureDoesNotMatch"), ErrorClass::Auth, "S3_SECRET_ACCESS_KEY"),
            row(coded(403, "RequestTimeTooSkewed"), ErrorClass::Auth, "clock"),
            row(coded(400, "ExpiredToken"), ErrorClass::Auth, "S3_SECRET_ACCESS_KEY"),
            row(coded(404, "NoSuchBucket"), ErrorClass::Http4xx, "bucket"),
            row(coded(301, "PermanentRedirect"), ErrorClass::Config, "region"),
            row(coded(400, "AuthorizationHeaderMalformed"), ErrorClass::Config, "region"),
            row(coded(409, "ConditionalRequestConflict"), ErrorClass::Network, ""),
            row(coded(400, "RequestTimeout"), ErrorClass::Network, ""),
            row(coded(503, "SlowDown"), ErrorClass::RateLimited, ""),
            row(coded(500, "InternalError"), ErrorClass::Http5xx, ""),
            row(coded(507, "XMinioStorageFull"), ErrorClass::QuotaExhausted, ""),
            row(coded(501, "NotImplemented"), ErrorClass::Http5xx, "condition = false"),
        ],
    )
    .await;
    let error = told(&s3::S3, s3::failure, coded(500, "InternalError")).await;
    assert_eq!(error.request_id.as_deref(), Some("amz-1"));
}

#[tokio::test]
async fn a_webhook_has_statuses_alone() {
    holds(
        &webhook::WEBHOOK,
        webhook::failure,
        vec![
            row(said(400, json!({"error": "no"})), ErrorClass::Http4xx, ""),
            row(Reply::empty(403), ErrorClass::Auth, "WEBHOOK_SECRET"),
            row(Reply::empty(404), ErrorClass::Http4xx, "base_url"),
            row(Reply::empty(410), ErrorClass::Http4xx, "base_url"),
            row(Reply::empty(302), ErrorClass::Validation, "base_url"),
        ],
    )
    .await;
}

#[tokio::test]
async fn balldontlie_has_statuses_alone_and_401_may_mean_the_plan() {
    let error = |status| said(status, json!({"error": "m"}));
    holds(
        &balldontlie::BALLDONTLIE,
        balldontlie::failure,
        vec![
            row(error(400), ErrorClass::Http4xx, ""),
            row(error(401), ErrorClass::Auth, "plans are bought by sport"),
            row(Reply::new(401, "text/plain", "Unauthorized"), ErrorClass::Auth, "plan"),
            row(error(429), ErrorClass::RateLimited, "rate"),
        ],
    )
    .await;
}

#[tokio::test]
async fn goatedbets_has_codes_and_statuses() {
    let coded = |status, code: &str| said(status, json!({"error": {"code": code, "message": "m"}}));
    holds(
        &goatedbets::GOATEDBETS,
        goatedbets::failure,
        vec![
            row(coded(401, "unauthorized"), ErrorClass::Auth, "GOATEDBETS_API_KEY"),
            row(coded(429, "rate_limited"), ErrorClass::RateLimited, ""),
            row(coded(429, "quota_exhausted"), ErrorClass::QuotaExhausted, "providers"),
            row(coded(400, "bad_week"), ErrorClass::Http4xx, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_odds_api_says_401_for_a_wrong_key_and_for_a_used_up_quota() {
    let coded = |status, code: &str| {
        said(
            status,
            json!({"message": "m", "error_code": code, "details_url": "https://example.org"}),
        )
    };
    holds(
        &odds_api::ODDS_API,
        odds_api::failure,
        vec![
            row(coded(401, "MISSING_KEY"), ErrorClass::Auth, "ODDS_API_KEY"),
            row(coded(401, "INVALID_KEY"), ErrorClass::Auth, "ODDS_API_KEY"),
            row(coded(401, "DEACTIVATED_KEY"), ErrorClass::Auth, "ODDS_API_KEY"),
            row(coded(401, "OUT_OF_USAGE_CREDITS"), ErrorClass::QuotaExhausted, "providers"),
            row(coded(429, "EXCEEDED_FREQ_LIMIT"), ErrorClass::RateLimited, ""),
            row(coded(422, "INVALID_MARKET"), ErrorClass::Http4xx, ""),
        ],
    )
    .await;
}
