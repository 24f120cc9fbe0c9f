//! The pipeline as a whole, with the real programs: what one stage hands over is held to its
//! type, and given to the next as the engine would give it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::schema::{Type, validate};
use flow_core::stage::{Draft, Drafts, Job, NodeView, Ports, Stage};
use serde_json::{Value, json};

use super::assemble::AssembleStage;
use super::narrate::NarrateStage;
use super::outbox::OutboxStage;
use super::slides::SlidesStage;
use crate::client::Remote;
use crate::contract::IdeaPackage;
use crate::process::testing::{TestContext, spawner};

mod narration;

type Payloads = BTreeMap<String, Value>;

/// An idea of two short sections.
fn short_idea() -> IdeaPackage {
    let mut idea = super::ideas::tests::written("2025-11-23", 20, 4).remove(0);
    idea.script.sections.drain(2..);
    idea.script.sections[0].text = "Bills at Dolphins.".into();
    idea.script.sections[1].text = "Over 262.5, at -110.".into();
    idea.script.target_words = None;
    idea
}

fn job(inputs: &Payloads, config: Value) -> Job {
    Job { config, inputs: inputs.clone(), outputs: Vec::new(), timeout: None, reserved: Vec::new() }
}

async fn run(
    stage: &dyn Stage,
    context: &TestContext,
    inputs: &Payloads,
) -> Result<Payloads, StageError> {
    let drafts = stage.run(context, job(inputs, json!({}))).await?;
    Ok(admitted(stage, drafts, flow_core::stage::Context::scratch(context)))
}

/// What the engine makes of drafts: stored references with paths, held to the ports' types.
fn admitted(stage: &dyn Stage, mut drafts: Drafts, scratch: &Path) -> Payloads {
    let Ports::Fixed(ports) = &stage.spec().outputs else { panic!("the ports are fixed") };
    let payload = |port: &flow_core::stage::PortSpec| {
        let value = match drafts.remove(&port.name).expect("a draft for every port") {
            Draft::Value(value) => stored(&port.ty, value, scratch),
            Draft::Path(path) => reference(&scratch.join(path)),
            other => panic!("no stage of the pipeline hands over {other:?}"),
        };
        assert_eq!(validate(&port.ty, &value), [], "{}.{}", stage.spec().name, port.name);
        (port.name.clone(), value)
    };
    ports.iter().map(payload).collect()
}

fn stored(ty: &Type, value: Value, scratch: &Path) -> Value {
    match (ty.inner(), value) {
        (Type::File(_), Value::String(path)) => reference(&scratch.join(path)),
        (Type::List(inner), Value::Array(list)) => {
            list.into_iter().map(|value| stored(inner, value, scratch)).collect()
        }
        (Type::Record(record), Value::Object(map)) => map
            .into_iter()
            .map(|(name, value)| match record.fields.get(&name) {
                Some(ty) => (name, stored(ty, value, scratch)),
                None => (name, value),
            })
            .collect(),
        (_, value) => value,
    }
}

fn reference(path: &Path) -> Value {
    let bytes = std::fs::read(path).expect("the file is there");
    let media_type = match path.extension().and_then(|e| e.to_str()) {
        Some("wav") => "audio/wav",
        Some("png") => "image/png",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    };
    let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
    json!({"$file": Digest::of(&bytes).to_string(), "name": name, "size": bytes.len(),
           "media_type": media_type, "path": path})
}

fn idea_input() -> Payloads {
    Payloads::from([("idea".to_owned(), serde_json::to_value(short_idea()).expect("JSON"))])
}

fn path_of(reference: &Value) -> PathBuf {
    reference["path"].as_str().expect("a path").into()
}

#[tokio::test]
async fn an_idea_becomes_a_verified_reel_in_the_outbox() {
    let (spawner, mut payloads) = (spawner(), idea_input());
    // Each stage has a scratch folder of its own, which lasts until the end of the test.
    let contexts: Vec<TestContext> = (0..4).map(|_| TestContext::new()).collect();
    let stages: [Box<dyn Stage>; 4] = [
        Box::new(NarrateStage::new(spawner.clone(), Remote::new())),
        Box::new(SlidesStage::new(Remote::new())),
        Box::new(AssembleStage::new(spawner)),
        Box::new(OutboxStage::new()),
    ];
    for (stage, context) in stages.iter().zip(&contexts) {
        let made = run(stage.as_ref(), context, &payloads).await;
        payloads.extend(made.unwrap_or_else(|e| panic!("{}: {e:#?}", stage.spec().name)));
        assert!(stage.spec().name == "media.outbox" || !context.seen().progress.is_empty());
    }
    let audio = &payloads["audio"];
    let loudness = audio["loudness_lufs"].as_f64().expect("a loudness");
    assert!((loudness + 14.0).abs() <= 1.0, "{loudness} LUFS");
    let output = &payloads["result"]["outputs"][0];
    let spoken = audio["duration_ms"].as_u64().expect("a duration");
    let shown = output["duration_ms"].as_u64().expect("a duration");
    assert!(spoken.abs_diff(shown) <= 100, "{spoken} ms of sound, {shown} ms of pictures");
    assert_eq!(output["faststart"], true);
    assert_eq!(output["path"]["$file"], payloads["reel"]["$file"]);
    assert_eq!(payloads["receipt"]["status"], "published");

    let again = run(stages[3].as_ref(), &contexts[3], &payloads).await.expect("the outbox");
    assert_eq!(again["receipt"]["status"], "unchanged");
    let folder = PathBuf::from(again["receipt"]["path"].as_str().expect("a path"));
    let folder = folder.parent().expect("a folder");
    assert!(folder.ends_with(format!("outbox/1970-01-01/{}", short_idea().idea_id)));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the piece's folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["caption.txt", "manifest.json", "reel.mp4"]);
}

/// A package of slides that were drawn for the short idea.
async fn slides(context: &TestContext) -> Payloads {
    run(&SlidesStage::new(Remote::new()), context, &idea_input()).await.expect("slides")
}

#[tokio::test]
async fn a_picture_that_is_cut_short_is_refused_before_the_encoder_sees_it() {
    let context = TestContext::new();
    let payloads = slides(&context).await;
    let path = path_of(&payloads["package"]["assets"][1]["path"]);
    let bytes = std::fs::read(&path).expect("the slide");
    std::fs::write(&path, &bytes[..bytes.len() / 3]).expect("a shorter slide");
    let error =
        run(&AssembleStage::new(spawner()), &context, &payloads).await.expect_err("it is refused");
    assert_eq!((error.class, error.kind), (ErrorClass::Validation, ErrorKind::MediaGeneration));
    assert!(error.message.contains("section s2"), "{}", error.message);
    assert!(error.hint.is_some_and(|hint| hint.contains("flow rerun")));
    assert_eq!(context.seen().processes, []);
}

#[tokio::test]
async fn a_narration_of_another_script_is_refused() {
    let context = TestContext::new();
    let mut payloads = slides(&context).await;
    let timing = json!({"duration_ms": 1000, "segments": [
        {"section_id": "s9", "start_ms": 0, "end_ms": 1000, "words": [],
         "timing_source": "exact"}]});
    payloads.insert("timing".into(), timing);
    let error =
        run(&AssembleStage::new(spawner()), &context, &payloads).await.expect_err("it is refused");
    assert_eq!((error.class, error.kind), (ErrorClass::Validation, ErrorKind::MediaGeneration));
    assert!(error.message.contains("s9"), "{}", error.message);
}

#[tokio::test]
async fn a_sound_that_is_none_fails_the_encode_with_the_encoders_words() {
    let context = TestContext::new();
    let mut payloads = slides(&context).await;
    let scratch = flow_core::stage::Context::scratch(&context);
    let track = scratch.join("track.wav");
    std::fs::write(&track, b"RIFF, and nothing more").expect("a file");
    payloads.insert("track".into(), reference(&track));
    let error =
        run(&AssembleStage::new(spawner()), &context, &payloads).await.expect_err("it fails");
    assert_eq!((error.class, error.kind), (ErrorClass::Process, ErrorKind::Ffmpeg));
    assert!(error.exit_code.is_some_and(|code| code != 0));
    assert!(!error.stderr_tail.is_empty() && !error.argv.is_empty() && error.hint.is_some());
    assert!(!scratch.join(".reel.mp4.part").exists());
}

#[tokio::test]
async fn an_outbox_that_cannot_be_written_is_a_matter_of_configuration() {
    let context = TestContext::new();
    let reel = flow_core::stage::Context::scratch(&context).join("reel.mp4");
    std::fs::write(&reel, b"a video").expect("a file");
    let blocked = flow_core::stage::Context::workflow_dir(&context).join("taken");
    std::fs::write(&blocked, b"no folder").expect("a file");
    let mut inputs = idea_input();
    inputs.insert("reel".into(), reference(&reel));
    let job = job(&inputs, json!({"dir": "taken"}));
    let error = OutboxStage::new().run(&context, job).await.expect_err("it fails");
    assert_eq!(error.class, ErrorClass::Config);
    assert!(error.hint.is_some_and(|hint| hint.contains("taken")));
}

#[tokio::test]
async fn a_video_without_an_idea_is_posted_under_its_name_and_caption() {
    let context = TestContext::new();
    let reel = flow_core::stage::Context::scratch(&context).join("reel.mp4");
    std::fs::write(&reel, b"a video").expect("a file");
    let inputs = Payloads::from([("reel".to_owned(), reference(&reel))]);
    let stage = OutboxStage::new();
    let error = stage.run(&context, job(&inputs, json!({}))).await.expect_err("it has no name");
    assert_eq!(error.class, ErrorClass::Config);
    let named = job(&inputs, json!({"name": "mash/up", "caption": "60% of it"}));
    stage.run(&context, named).await.expect("it is posted");
    let folder =
        flow_core::stage::Context::workflow_dir(&context).join("outbox/1970-01-01/mash_up");
    let caption = std::fs::read_to_string(folder.join("caption.txt")).expect("a caption");
    assert_eq!(caption, "60% of it\n");
}

#[test]
fn a_program_that_is_not_there_is_told_before_the_run_with_a_way_to_get_it() {
    let tools = BTreeMap::from([("ffmpeg".to_owned(), "/no/such/ffmpeg".to_owned())]);
    let (config, inputs) = (json!({}), BTreeMap::new());
    let node = NodeView {
        config: &config,
        inputs: &inputs,
        outputs: &[],
        tools: &tools,
        workflow_dir: Path::new("/"),
        uses: &[],
        params: &[],
    };
    let missing = AssembleStage::new(spawner()).preflight(&node);
    let names: Vec<&str> = missing.iter().map(|missing| missing.what.as_str()).collect();
    assert_eq!(names, ["ffmpeg"], "what is in it cannot be told");
    assert!(missing[0].fix.contains("ffmpeg"), "{}", missing[0].fix);
}
