//! Narration: what is heard, when, how loud; and every way in which a voice can fail.

use std::time::Duration;

use super::*;
use crate::contract::{TimingData, read};
use crate::process::Command;

fn stage() -> NarrateStage {
    NarrateStage::new(spawner(), Remote::new())
}

fn inputs_of(idea: &IdeaPackage) -> Payloads {
    Payloads::from([("idea".to_owned(), serde_json::to_value(idea).expect("JSON"))])
}

async fn failure(context: &TestContext, idea: &IdeaPackage) -> StageError {
    let error = run(&stage(), context, &inputs_of(idea)).await.expect_err("it fails");
    assert_eq!(error.kind, ErrorKind::AudioGeneration, "{error:?}");
    assert!(!error.operation.is_empty() && error.hint.is_some(), "{error:?}");
    error
}

/// Loudness as another filter than the one that sets it measures it.
async fn measured_lufs(track: &Path) -> f64 {
    let context = TestContext::new();
    let command = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(track)
        .args(["-af", "ebur128", "-f", "null", "-"])
        .keep_stderr();
    let finished = spawner().run(&context, command).await.expect("a measure");
    let text = finished.stderr.bytes().expect("the output");
    let text = String::from_utf8_lossy(&text);
    let summary = text.rsplit_once("Integrated loudness:").expect("a summary").1;
    let lufs = summary.split_whitespace().nth(1).expect("a number");
    lufs.parse().expect("a number")
}

#[tokio::test]
async fn narrations_are_as_loud_and_as_long_as_wanted_and_their_times_have_no_gap() {
    let day = crate::media::ideas::tests::written("2025-11-23", 20, 4);
    let ideas: Vec<IdeaPackage> =
        day.into_iter().step_by(5).chain(std::iter::once(short_idea())).collect();
    for idea in ideas {
        let context = TestContext::new();
        let made = run(&stage(), &context, &inputs_of(&idea)).await.expect("a narration");
        let lufs = measured_lufs(&path_of(&made["track"])).await;
        assert!((lufs + 14.0).abs() <= 1.0, "{lufs} LUFS: {}", idea.headline);
        let ms = made["audio"]["duration_ms"].as_u64().expect("a duration");
        if idea.script.target_words.is_some() {
            assert!((15_000..=25_000).contains(&ms), "{ms} ms: {}", idea.headline);
        }
        let timing: TimingData = read(&made["timing"]).expect("times");
        assert_eq!(timing.segments.len(), idea.script.sections.len());
        let mut end = 0;
        for (segment, section) in timing.segments.iter().zip(&idea.script.sections) {
            assert_eq!((&segment.section_id, segment.start_ms), (&section.section_id, end));
            assert_eq!(segment.words.len(), section.text.split_whitespace().count());
            end = segment.end_ms;
        }
        assert!(end.abs_diff(ms) <= 20, "the last end is {end}, the file lasts {ms}");
        assert_eq!(context.seen().warnings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn the_same_script_is_spoken_to_the_same_bytes() {
    let mut digests = Vec::new();
    for _ in 0..2 {
        let context = TestContext::new();
        let made = run(&stage(), &context, &idea_input()).await.expect("a narration");
        digests.push(made["track"]["$file"].clone());
    }
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn text_without_words_is_refused_before_anything_is_spoken() {
    for text in ["", "  ", "\u{1f525}", "...", "[[]]"] {
        let mut idea = short_idea();
        idea.script.sections[1].text = text.into();
        let context = TestContext::new();
        let error = failure(&context, &idea).await;
        assert_eq!(error.class, ErrorClass::Validation);
        assert_eq!(error.message, "section s2 has no words to speak");
        assert_eq!(error.port.as_deref(), Some("idea"));
        assert_eq!(error.pointer.as_deref(), Some("/script/sections/1/text"));
        assert_eq!(context.seen().processes, []);
    }
}

#[tokio::test]
async fn a_script_that_is_too_long_for_its_target_is_refused() {
    let mut idea = short_idea();
    idea.script.target_words = Some(6);
    let error = failure(&TestContext::new(), &idea).await;
    assert_eq!(error.class, ErrorClass::Validation);
    assert!(error.message.contains("section s2 alone has"), "{}", error.message);
    assert!(error.hint.is_some_and(|hint| hint.contains("target_duration")));
}

#[tokio::test]
async fn a_script_without_sections_is_refused() {
    let mut idea = short_idea();
    idea.script.sections.clear();
    let error = failure(&TestContext::new(), &idea).await;
    assert_eq!(
        (error.class, error.message.as_str()),
        (ErrorClass::Validation, "the script has no sections")
    );
}

#[tokio::test]
async fn a_voice_that_ends_well_and_writes_nothing_is_told_apart_from_silence() {
    let context = TestContext::new().with_fake("espeak-ng", "exit 0");
    let error = failure(&context, &short_idea()).await;
    assert_eq!(error.class, ErrorClass::Malformed);
    assert!(error.message.contains("wrote no sound for section s1"), "{}", error.message);
}

/// A voice that writes the same sound whatever it is asked to say.
fn voice_of(sample: i16, samples: u32) -> TestContext {
    let context = TestContext::new();
    let sound = flow_core::stage::Context::workflow_dir(&context).join("sound.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 22_050,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&sound, spec).expect("a file");
    (0..samples).for_each(|_| writer.write_sample(sample).expect("a sample"));
    writer.finalize().expect("a file");
    context.with_fake("espeak-ng", &format!("cp '{}' \"$8\"", sound.display()))
}

#[tokio::test]
async fn a_voice_that_is_silent_or_says_nothing_at_all_is_an_audio_error() {
    for context in [voice_of(0, 22_050), voice_of(0, 0)] {
        let error = failure(&context, &short_idea()).await;
        assert_eq!(error.class, ErrorClass::Malformed);
        assert_eq!(error.message, "section s1 is silent");
    }
}

#[tokio::test]
async fn a_voice_that_writes_rubbish_is_an_audio_error() {
    let context = TestContext::new().with_fake("espeak-ng", "echo rubbish > \"$8\"");
    let error = failure(&context, &short_idea()).await;
    assert_eq!(error.class, ErrorClass::Malformed);
    assert_eq!(error.message, "the sound of section s1 cannot be read");
    assert!(!error.causes.is_empty());
}

#[tokio::test]
async fn a_voice_that_fails_keeps_its_exit_code_its_words_and_its_command() {
    let context = TestContext::new().with_fake("espeak-ng", "echo no such voice >&2; exit 3");
    let error = failure(&context, &short_idea()).await;
    assert_eq!((error.class, error.exit_code), (ErrorClass::Process, Some(3)));
    assert!(error.stderr_tail.contains("no such voice") && error.argv.len() > 8, "{error:?}");
    assert!(error.operation.contains("section s1"));
}

#[tokio::test]
async fn a_voice_that_hangs_is_stopped_and_its_section_is_named() {
    let context = TestContext::new().with_fake("espeak-ng", "sleep 600");
    let mut stage = stage();
    stage.limit = Duration::from_millis(200);
    let error = run(&stage, &context, &idea_input()).await.expect_err("it fails");
    assert_eq!((error.class, error.kind), (ErrorClass::Timeout, ErrorKind::AudioGeneration));
    assert!(error.message.contains("section s1 after 0.2 s"), "{}", error.message);
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn programs_that_are_not_installed_come_with_the_commands_that_install_them() {
    let away = TestContext::new().with_tool("espeak-ng", "no-such-espeak-ng");
    let error = failure(&away, &short_idea()).await;
    assert_eq!(error.class, ErrorClass::MissingTool);
    let away = TestContext::new().with_tool("ffmpeg", "/no/such/ffmpeg");
    let error = run(&stage(), &away, &idea_input()).await.expect_err("it fails");
    assert_eq!((error.class, error.kind), (ErrorClass::MissingTool, ErrorKind::Ffmpeg));
    assert!(error.hint.is_some());
    for name in ["espeak-ng", "ffmpeg"] {
        let hint = crate::process::install_hint(name);
        assert!(hint.contains("apt-get install") && hint.contains("brew install"), "{hint}");
    }
}

#[tokio::test]
async fn an_encoder_that_tells_no_loudness_is_malformed() {
    let context = TestContext::new().with_fake("ffmpeg", "exit 0");
    let error = failure(&context, &short_idea()).await;
    assert_eq!(
        (error.class, error.message.as_str()),
        (ErrorClass::Malformed, "ffmpeg told no loudness")
    );
}

#[tokio::test]
async fn a_rate_that_nobody_speaks_is_a_matter_of_configuration() {
    for rate in [0, 10, 9_999] {
        let job = job(&idea_input(), json!({"rate": rate}));
        let error = stage().run(&TestContext::new(), job).await.expect_err("it is refused");
        assert_eq!(error.class, ErrorClass::Config);
        assert_eq!(error.hint.as_deref(), Some("choose a rate from 80 to 450"));
    }
}
