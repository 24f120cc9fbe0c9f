//! Slides over pictures of services, whatever state those are in.

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{Context as _, FallbackReason, Stage as _};
use serde_json::{Value, json};

use super::*;
use crate::client::tests::remote;
use crate::client::tests::services::fal::Fal;
use crate::client::tests::services::flux::Flux;
use crate::client::tests::services::openai_images::OpenAiImages;
use crate::client::tests::services::pictures::Picture;
use crate::client::tests::services::replicate::Replicate;
use crate::client::tests::services::server::{Api, Asked, Reply, Server, Trouble};
use crate::media::ideas::tests::written;
use crate::process::testing::TestContext;

/// An idea of so many sections.
fn idea(sections: usize) -> IdeaPackage {
    let mut idea = written("2025-11-23", 20, 4).remove(0);
    idea.script.sections.truncate(sections);
    idea
}

fn showing(prompt: &str) -> IdeaPackage {
    let mut idea = idea(1);
    idea.script.sections[0].slide.visual_prompt = Some(prompt.into());
    idea
}

/// The chain of a service and `local`, with the service where the server is.
fn with(name: &str, server: &Server, more: Value) -> Value {
    let mut settings = json!({"base_url": server.url(), "base": "1ms", "poll": "2ms"});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("one").clone());
    json!({"providers": [name, LOCAL], "services": {name: settings}, "keys": {name: "test-key"}})
}

async fn made(
    context: &TestContext,
    stage: &SlidesStage,
    idea: &IdeaPackage,
    config: &Value,
) -> Result<MediaPackage, StageError> {
    let inputs = BTreeMap::from([("idea".to_owned(), serde_json::to_value(idea).expect("JSON"))]);
    let config = config.clone();
    let job = Job { config, inputs, outputs: Vec::new(), timeout: None, reserved: Vec::new() };
    let mut drafts = stage.run(context, job).await?;
    let Some(flow_core::stage::Draft::Value(package)) = drafts.remove("package") else {
        panic!("a package is handed over")
    };
    Ok(serde_json::from_value(package).expect("a package"))
}

fn stage() -> SlidesStage {
    SlidesStage::new(remote())
}

/// Why the chain went on after the first provider.
fn failure(context: &TestContext) -> StageError {
    match context.seen().fallbacks.remove(0).reason {
        FallbackReason::Failed(error) => error,
        other => panic!("it was passed over: {other:?}"),
    }
}

fn orders(server: &Server) -> usize {
    server.ledger().iter().filter(|asked| asked.method == "POST").count()
}

#[tokio::test]
async fn flux_makes_the_picture_and_the_words_are_drawn_over_it() {
    let server = Server::start(Flux { pending: 2, ..Flux::default() });
    let (context, idea) = (TestContext::new(), idea(2));
    let config = with("flux", &server, json!({"usd_per_picture": 0.05}));
    let package = made(&context, &stage(), &idea, &config).await.expect("slides");
    let asset = &package.assets[0];
    assert_eq!((asset.provider.as_str(), asset.model.as_deref()), ("flux", Some("flux-2-pro")));
    assert!(asset.prompt.as_deref().is_some_and(|prompt| prompt.contains("No text")));
    assert_eq!(asset.seed, Some(prompt::seed(&idea, &idea.script.sections[0], 0).into()));
    assert!(asset.check.as_ref().is_some_and(|check| check.passed));
    let slide = image::open(context.scratch().join("slide-01.png")).expect("a slide").to_rgb8();
    assert_eq!(slide.dimensions(), (WIDTH, HEIGHT));
    let plain = draw_one(&idea, 0, None, context.side()).expect("a slide").1;
    assert_ne!(slide, plain, "the picture is seen");
    assert_eq!(orders(&server), 2);
    assert_eq!(context.seen().usage.usd, 0.1);
    let order = server.asked("POST", "/v1/flux-2-pro")[0].json();
    assert_eq!((&order["width"], &order["height"]), (&json!(1088), &json!(1920)));
    for asked in server.asked("GET", "/delivery/") {
        assert_eq!(asked.header("x-key"), None, "the key stays with the API");
    }
}

#[tokio::test]
async fn each_failure_of_flux_has_its_class_and_the_local_slide_takes_its_place() {
    let broken = |picture| Flux { picture, ..Flux::default() };
    let short = json!({"poll_timeout": "20ms"});
    let none = json!({});
    for (flux, settings, class, hint) in [
        (Flux { broke: true, ..Flux::default() }, &none, ErrorClass::QuotaExhausted, "balance"),
        (Flux { endless: true, ..Flux::default() }, &short, ErrorClass::Timeout, "poll_timeout"),
        (Flux { expired: 9, ..Flux::default() }, &none, ErrorClass::Http4xx, "flow resume"),
        (Flux { forgotten: 9, ..Flux::default() }, &none, ErrorClass::Http4xx, "flow resume"),
        (Flux { failing: 9, ..Flux::default() }, &none, ErrorClass::Http5xx, ""),
        (
            Flux { elsewhere: Some("https://elsewhere.example"), ..Flux::default() },
            &none,
            ErrorClass::Config,
            "allowed_hosts",
        ),
        (broken(Picture::CutPng), &none, ErrorClass::Malformed, ""),
        (broken(Picture::CutJpeg), &none, ErrorClass::Malformed, ""),
        (broken(Picture::Html), &none, ErrorClass::Malformed, ""),
        (broken(Picture::Tiny), &none, ErrorClass::Malformed, "size"),
        (broken(Picture::WebP), &none, ErrorClass::Config, "output_format"),
    ] {
        let shown = format!("{flux:?}");
        let server = Server::start(flux);
        let context = TestContext::new();
        let config = with("flux", &server, settings.clone());
        let package = made(&context, &stage(), &idea(1), &config).await.expect("a slide");
        assert_eq!(package.assets[0].provider, LOCAL, "{shown}");
        let error = failure(&context);
        assert_eq!((error.class, error.kind), (class, ErrorKind::MediaGeneration), "{shown}");
        assert_eq!(error.provider.as_deref(), Some("flux"), "{shown}");
        assert!(error.hint.unwrap_or_default().contains(hint), "{shown}");
        assert_eq!(orders(&server), 1, "nothing is ordered twice: {shown}");
        let downloads = server.asked("GET", "/delivery/").len();
        assert!(class != ErrorClass::Malformed || downloads == 3, "{downloads}: {shown}");
    }
}

#[tokio::test]
async fn refused_content_goes_to_the_next_provider_at_once() {
    for prompt in ["something forbidden", "something indecent"] {
        let (flux, openai) =
            (Server::start(Flux::default()), Server::start(OpenAiImages::default()));
        let mut config = with("flux", &flux, json!({}));
        config["providers"] = json!(["flux", "openai", "local"]);
        config["services"]["openai"] = json!({"base_url": openai.url()});
        config["keys"]["openai"] = "test-key".into();
        let context = TestContext::new();
        let package = made(&context, &stage(), &showing(prompt), &config).await.expect("a slide");
        assert_eq!(failure(&context).class, ErrorClass::Moderated);
        assert_eq!(orders(&flux), 1);
        let expected = if prompt.contains("forbidden") { LOCAL } else { "openai" };
        assert_eq!(package.assets[0].provider, expected);
    }
}

#[tokio::test]
async fn a_used_up_quota_is_met_once() {
    let server = Server::start(Flux { broke: true, ..Flux::default() });
    let context = TestContext::new();
    let config = with("flux", &server, json!({}));
    made(&context, &stage(), &idea(3), &config).await.expect("slides");
    assert_eq!(orders(&server), 1);
    let reasons: Vec<&str> =
        context.seen().fallbacks.iter().map(|step| step.reason.name()).collect();
    assert_eq!(reasons, ["failed", "exhausted", "exhausted"]);
}

#[tokio::test]
async fn a_service_that_keeps_one_slide_waiting_in_vain_is_not_waited_for_by_the_others() {
    let server = Server::start(Flux { endless: true, ..Flux::default() });
    let context = TestContext::new();
    let config = with("flux", &server, json!({"poll_timeout": "5ms"}));
    let package = made(&context, &stage(), &idea(3), &config).await.expect("slides");
    assert!(package.assets.iter().all(|asset| asset.provider == LOCAL));
    assert_eq!((orders(&server), context.seen().fallbacks.len()), (1, 3));
}

#[tokio::test]
async fn a_service_without_its_key_is_passed_over_once_for_all_slides() {
    let context = TestContext::new();
    let config = json!({"providers": ["flux", "openai", "local"]});
    let package = made(&context, &stage(), &idea(3), &config).await.expect("slides");
    assert!(package.assets.iter().all(|asset| asset.provider == LOCAL && asset.model.is_none()));
    let steps = context.seen().fallbacks;
    assert_eq!(steps.len(), 2);
    assert!(steps.iter().all(|step| step.reason == FallbackReason::NoKey));
}

#[tokio::test]
async fn a_wrong_key_says_what_to_do() {
    let server = Server::start(Flux::default());
    let mut config = with("flux", &server, json!({}));
    config["keys"]["flux"] = "a-wrong-key".into();
    let context = TestContext::new();
    made(&context, &stage(), &idea(1), &config).await.expect("a slide");
    let error = failure(&context);
    assert_eq!((error.class, error.http_status), (ErrorClass::Auth, Some(403)));
    assert!(error.hint.is_some_and(|hint| hint.contains("BFL_API_KEY")));
}

#[tokio::test]
async fn what_was_ordered_is_waited_for_again_and_what_was_bought_is_not_bought_again() {
    let server = Server::start(Flux { pending: 12, ..Flux::default() });
    let mut config = with("flux", &server, json!({"poll": "1ms", "poll_timeout": "3ms"}));
    config["providers"] = json!(["flux"]);
    // One context is one task: what an attempt remembers, the next one finds.
    let (context, idea) = (TestContext::new(), idea(1));
    let error = made(&context, &stage(), &idea, &config).await.expect_err("it is not ready");
    assert_eq!(error.class, ErrorClass::Timeout);
    config["services"]["flux"]["poll_timeout"] = "60s".into();
    let first = made(&context, &stage(), &idea, &config).await.expect("it is ready");
    let asked = server.ledger().len();
    let second = made(&context, &stage(), &idea, &config).await.expect("it is remembered");
    assert_eq!(first, second);
    assert_eq!((orders(&server), server.ledger().len()), (1, asked), "nothing is asked any more");
}

#[tokio::test]
async fn a_job_of_an_earlier_attempt_that_is_gone_is_ordered_anew() {
    let server = Server::start(Flux { forgotten: 1, ..Flux::default() });
    let mut config = with("flux", &server, json!({}));
    config["providers"] = json!(["flux"]);
    let (context, idea) = (TestContext::new(), idea(1));
    // The engine was killed after the order: the job is remembered, and nothing else.
    server.order([None, Some(Trouble::Status(400))]);
    made(&context, &stage(), &idea, &config).await.expect_err("the look fails");
    made(&context, &stage(), &idea, &config).await.expect("a new job is ordered");
    assert_eq!(orders(&server), 2);
    assert_eq!(context.seen().warnings.len(), 1, "it is told");
}

#[tokio::test]
async fn troubles_of_the_way_are_tried_again_and_buy_nothing_twice() {
    for trouble in [
        Trouble::Status(503),
        Trouble::TooMany(0),
        Trouble::Reset,
        Trouble::Html,
        Trouble::BrokenJson,
    ] {
        let server = Server::start(Flux::default());
        server.order([Some(trouble), None, Some(trouble), None, Some(trouble)]);
        let context = TestContext::new();
        let config = with("flux", &server, json!({}));
        let package = made(&context, &stage(), &idea(1), &config).await.expect("a slide");
        assert_eq!(package.assets[0].provider, "flux", "{trouble:?}");
        assert_eq!(context.seen().retries.len(), 3, "{trouble:?}");
        let served = server.asked("POST", "/v1/").iter().filter(|asked| asked.is_served()).count();
        assert_eq!(served, 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn openai_is_asked_for_the_upright_size_of_each_model() {
    for (model, size) in [
        (None, "1088x1920"),
        (Some("gpt-image-1"), "1024x1536"),
        (Some("dall-e-3"), "1024x1792"),
        (Some("dall-e-2"), "1024x1024"),
    ] {
        let by_url = model == Some("dall-e-3");
        let server =
            Server::start(OpenAiImages { by_url, picture: Picture::Jpeg, ..Default::default() });
        let context = TestContext::new();
        let config = with("openai", &server, json!({"image_model": model}));
        let package = made(&context, &stage(), &idea(1), &config).await.expect("a slide");
        assert_eq!(package.assets[0].provider, "openai", "{:?}", context.seen().fallbacks);
        assert_eq!(package.assets[0].seed, None, "it has no seeds");
        let order = server.asked("POST", "/v1/images/generations")[0].json();
        assert_eq!((&order["size"], order["model"].is_string()), (&json!(size), true));
        assert_eq!(context.seen().usage.tokens, 4210);
        made(&context, &stage(), &idea(1), &config).await.expect("the same slide");
        assert_eq!(orders(&server), 1, "it is bought once");
    }
}

#[tokio::test]
async fn failures_of_openai_are_read_from_their_codes() {
    let broke = || OpenAiImages { broke: true, ..Default::default() };
    for (server, prompt, settings, class) in [
        (broke(), "a ball", json!({}), ErrorClass::QuotaExhausted),
        (OpenAiImages::default(), "forbidden", json!({}), ErrorClass::Moderated),
        (OpenAiImages::default(), "a ball", json!({"size": "1000x1000"}), ErrorClass::Http4xx),
        (OpenAiImages::default(), "a ball", json!({"size": "large"}), ErrorClass::Config),
        (
            OpenAiImages { picture: Picture::Tiny, ..Default::default() },
            "a ball",
            json!({}),
            ErrorClass::Malformed,
        ),
    ] {
        let server = Server::start(server);
        let context = TestContext::new();
        let config = with("openai", &server, settings);
        made(&context, &stage(), &showing(prompt), &config).await.expect("the local slide");
        let error = failure(&context);
        assert_eq!(error.class, class, "{error:?}");
        assert!(
            class == ErrorClass::Config
                || class == ErrorClass::Malformed
                || error.request_id.is_some()
        );
    }
}

#[tokio::test]
async fn fal_makes_pictures_and_says_with_its_result_how_a_request_ended() {
    let server = Server::start(Fal { pending: 2, ..Fal::default() });
    let context = TestContext::new();
    let config = with("fal", &server, json!({"input": {"guidance_scale": 3.5}}));
    let package = made(&context, &stage(), &idea(1), &config).await.expect("a slide");
    assert_eq!(package.assets[0].provider, "fal", "{:?}", context.seen().fallbacks);
    assert_eq!(server.asked("POST", "/fal-ai/flux/dev")[0].json()["guidance_scale"], 3.5);
    for (fal, prompt, class) in [
        (Fal::default(), "forbidden", ErrorClass::Moderated),
        (Fal::default(), "indecent", ErrorClass::Moderated),
        (Fal { failing: Some(true), ..Fal::default() }, "a ball", ErrorClass::Http5xx),
        (Fal { failing: Some(false), ..Fal::default() }, "a ball", ErrorClass::Http5xx),
        (Fal { picture: Picture::CutPng, ..Fal::default() }, "a ball", ErrorClass::Malformed),
    ] {
        let server = Server::start(fal);
        let context = TestContext::new();
        let config = with("fal", &server, json!({}));
        made(&context, &stage(), &showing(prompt), &config).await.expect("the local slide");
        assert_eq!((failure(&context).class, orders(&server)), (class, 1), "{prompt}");
        assert_eq!(server.asked("GET", "/fal-ai/flux/requests/1/status").len(), 1, "{prompt}");
    }
}

#[tokio::test]
async fn replicate_makes_pictures_and_its_failures_have_classes() {
    for lists in [false, true] {
        let server = Server::start(Replicate { pending: 1, lists, ..Replicate::default() });
        let context = TestContext::new();
        let config = with("replicate", &server, json!({}));
        let package = made(&context, &stage(), &idea(1), &config).await.expect("a slide");
        assert_eq!(package.assets[0].provider, "replicate", "{:?}", context.seen().fallbacks);
    }
    for (replicate, prompt, class) in [
        (Replicate { broke: true, ..Replicate::default() }, "a ball", ErrorClass::QuotaExhausted),
        (Replicate { failing: true, ..Replicate::default() }, "a ball", ErrorClass::Http5xx),
        (Replicate { deleted: true, ..Replicate::default() }, "a ball", ErrorClass::Http4xx),
        (Replicate::default(), "forbidden", ErrorClass::Moderated),
    ] {
        let server = Server::start(replicate);
        let context = TestContext::new();
        let config = with("replicate", &server, json!({}));
        made(&context, &stage(), &showing(prompt), &config).await.expect("the local slide");
        assert_eq!((failure(&context).class, orders(&server)), (class, 1), "{prompt}");
    }
}

/// A model that looks: it refuses the first so many slides (Gemini API reference, `generateContent`).
struct Critic {
    refuses: usize,
    seen: std::sync::atomic::AtomicUsize,
}

impl Api for Critic {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        let parts = &asked.json()["contents"][0]["parts"];
        if asked.header("x-goog-api-key") != Some("test-key")
            || !parts[1]["inlineData"]["data"].is_string()
        {
            return Reply::json(
                400,
                &json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}}),
            );
        }
        let number = self.seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let verdict = json!({"passed": number >= self.refuses, "score": 0.8, "issues": ["letters in the sky"]});
        Reply::json(
            200,
            &json!({"candidates": [{"content": {"parts": [{"text": verdict.to_string()}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 300, "candidatesTokenCount": 20}, "modelVersion": "gemini"}),
        )
    }
    fn failure(&self, status: u16) -> Reply {
        Reply::json(
            status,
            &json!({"error": {"code": status, "status": "UNAVAILABLE", "message": "no"}}),
        )
    }
}

#[tokio::test]
async fn a_slide_that_its_check_refuses_gets_another_picture_and_then_the_local_one() {
    for (refuses, pictures, provider, by) in
        [(0, 1, "flux", "gemini"), (2, 3, "flux", "gemini"), (3, 3, LOCAL, "local measures")]
    {
        let flux = Server::start(Flux::default());
        let critic = Server::start(Critic { refuses, seen: 0.into() });
        let mut config = with("flux", &flux, json!({}));
        config["check"] = "gemini".into();
        config["services"]["gemini"] = json!({"base_url": critic.url(), "base": "1ms"});
        config["keys"]["gemini"] = "test-key".into();
        let context = TestContext::new();
        let package = made(&context, &stage(), &idea(1), &config).await.expect("a slide");
        let asset = &package.assets[0];
        assert_eq!((asset.provider.as_str(), orders(&flux)), (provider, pictures), "{refuses}");
        assert_eq!(asset.check.as_ref().map(|check| check.by.as_str()), Some(by));
        assert_eq!(context.seen().warnings.len(), refuses);
        let again = made(&context, &stage(), &idea(1), &config).await.expect("the same slide");
        assert_eq!((&again.assets[0].provider, orders(&flux)), (&asset.provider, pictures));
        assert_eq!(critic.ledger().len(), pictures, "the same slide is not judged twice");
    }
}

#[tokio::test]
async fn a_check_that_cannot_be_made_costs_a_warning() {
    let flux = Server::start(Flux::default());
    let critic = Server::start(Critic { refuses: 0, seen: 0.into() });
    critic.order([Some(Trouble::Status(403)); 9]);
    let mut config = with("flux", &flux, json!({}));
    config["check"] = "gemini".into();
    config["services"]["gemini"] = json!({"base_url": critic.url(), "base": "1ms"});
    config["keys"]["gemini"] = "test-key".into();
    let context = TestContext::new();
    let package = made(&context, &stage(), &idea(1), &config).await.expect("a slide");
    assert_eq!(package.assets[0].provider, "flux");
    assert!(context.seen().warnings[0].contains("unchecked"), "{:?}", context.seen().warnings);
    config["check"] = "claude".into();
    let error =
        made(&context, &stage(), &idea(1), &config).await.expect_err("there is no such one");
    assert_eq!(error.class, ErrorClass::Config);
}

/// Not a test: draws slides over bright pictures to look at.
#[tokio::test]
#[ignore = "writes pictures for a person to look at"]
async fn slides_over_pictures_are_drawn_to_the_temporary_folder() {
    let folder = std::env::temp_dir().join("flow-slides-bought");
    std::fs::create_dir_all(&folder).expect("a folder");
    let server = Server::start(Flux::default());
    let (context, idea) = (TestContext::new(), idea(6));
    let config = with("flux", &server, json!({}));
    made(&context, &stage(), &idea, &config).await.expect("slides");
    for entry in std::fs::read_dir(context.scratch()).expect("slides").flatten() {
        std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
    }
}

#[tokio::test]
async fn the_place_of_a_picture_is_recorded_before_it_is_fetched_from_there() {
    let by_url = OpenAiImages { by_url: true, picture: Picture::Jpeg, ..Default::default() };
    let server = Server::start(by_url);
    let mut config = with("openai", &server, json!({"image_model": "dall-e-3", "attempts": 2}));
    config["providers"] = json!(["openai"]);
    let (context, idea) = (TestContext::new(), idea(1));
    server.order([None, Some(Trouble::Status(503)), Some(Trouble::Status(503))]);
    made(&context, &stage(), &idea, &config).await.expect_err("it cannot be fetched");
    made(&context, &stage(), &idea, &config).await.expect("it is fetched from the same place");
    assert_eq!(orders(&server), 1, "it is ordered once");
    let order = &server.asked("POST", "/v1/images/generations")[0];
    let name = order.header("x-client-request-id").expect("our name of the request");
    assert!(name.starts_with("flow-") && name.ends_with("-1-1"), "{name}");
}
