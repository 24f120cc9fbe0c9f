//! Reels and mashups of inputs that are not as one would like them, small and short.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{Context, Drafts, Job, Stage};
use serde_json::{Value, json};

use super::assemble::AssembleStage;
use super::mashup::MashupStage;
use crate::process::testing::{TestContext, spawner};

fn by_hand(folder: &Path, args: &[&str]) {
    let status = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .current_dir(folder)
        .status()
        .expect("ffmpeg");
    assert!(status.success(), "{args:?}");
}

fn picture(folder: &Path, section: &str, size: (u32, u32), colour: [u8; 3]) -> Value {
    let path = folder.join(format!("{section}.png"));
    image::RgbImage::from_pixel(size.0, size.1, image::Rgb(colour)).save(&path).expect("a picture");
    json!({"asset_id": section, "section_id": section, "kind": "image", "path": path,
           "mime": "image/png", "width_px": size.0, "height_px": size.1, "bytes": 1,
           "provider": "test"})
}

/// A package of pictures of these sizes, called s1, s2, …
fn package(folder: &Path, sizes: &[(u32, u32)]) -> Value {
    let assets: Vec<Value> = (1..)
        .zip(sizes)
        .map(|(n, size)| picture(folder, &format!("s{n}"), *size, [200, 30, 30]))
        .collect();
    json!({"idea_id": "idea", "aspect": "9:16", "assets": assets})
}

fn timing(sections: &[(&str, u64, &[&str])]) -> Value {
    let mut start = 0;
    let segments: Vec<Value> = sections
        .iter()
        .map(|(section, end, words)| {
            let each = (end - start) / (words.len() as u64).max(1);
            let words: Vec<Value> = (0_u64..)
                .zip(*words)
                .map(|(at, text)| {
                    json!({"text": text, "start_ms": start + at * each, "end_ms": start + (at + 1) * each})
                })
                .collect();
            let segment = json!({"section_id": section, "start_ms": start, "end_ms": end,
                                 "words": words, "timing_source": "exact"});
            start = *end;
            segment
        })
        .collect();
    json!({"duration_ms": start, "segments": segments})
}

fn file(path: &Path) -> Value {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    json!({"$file": "0", "name": name, "size": 1, "media_type": "video/mp4", "path": path})
}

async fn run(
    stage: &dyn Stage,
    context: &TestContext,
    inputs: &[(&str, Value)],
    config: Value,
) -> Result<Value, StageError> {
    let inputs: BTreeMap<String, Value> =
        inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let job = Job { config, inputs, outputs: Vec::new(), timeout: None, reserved: Vec::new() };
    let drafts: Drafts = stage.run(context, job).await?;
    let flow_core::stage::Draft::Value(result) = drafts["result"].clone() else {
        panic!("the result is a value")
    };
    Ok(result)
}

async fn assemble(
    context: &TestContext,
    inputs: &[(&str, Value)],
    mut config: Value,
) -> Result<Value, StageError> {
    for (name, usual) in [("size", "90x160"), ("slide", "500ms")] {
        if config.get(name).is_none() {
            config[name] = json!(usual);
        }
    }
    run(&AssembleStage::new(spawner()), context, inputs, config).await
}

/// A frame of a video at a time, as pixels.
fn frame(folder: &Path, video: &str, at: &str) -> image::RgbImage {
    by_hand(folder, &["-ss", at, "-i", video, "-frames:v", "1", "frame.png"]);
    image::open(folder.join("frame.png")).expect("a frame").to_rgb8()
}

/// How many pixels are as bright as letters.
fn letters(image: &image::RgbImage) -> usize {
    image.pixels().filter(|pixel| pixel.0.iter().all(|channel| *channel > 200)).count()
}

fn near(pixel: image::Rgb<u8>, colour: [u8; 3]) -> bool {
    pixel.0.iter().zip(colour).all(|(is, wanted)| is.abs_diff(wanted) <= 12)
}

#[tokio::test]
async fn pictures_of_any_size_and_shape_become_whole_frames_with_true_colours() {
    let context = TestContext::new();
    let folder = context.scratch();
    let package = package(folder, &[(301, 301), (40, 700), (900, 33)]);
    let config = json!({"transition": "none"});
    let result = assemble(&context, &[("package", package)], config).await.expect("a reel");
    let output = &result["outputs"][0];
    assert_eq!(output["duration_ms"], 1_500);
    assert_eq!((output["width_px"].as_u64(), output["height_px"].as_u64()), (Some(90), Some(160)));
    assert_eq!(output["audio_codec"], Value::Null);
    assert!(result["encode_ms"].is_u64() && result["ffmpeg_version"].is_string());
    let square = frame(folder, "reel.mp4", "0");
    assert!(near(*square.get_pixel(45, 80), [200, 30, 30]), "{:?}", square.get_pixel(45, 80));
    assert!(near(*square.get_pixel(45, 5), [16, 20, 24]), "{:?}", square.get_pixel(45, 5));
}

#[tokio::test]
async fn blur_fills_the_frame_with_the_picture_itself() {
    let context = TestContext::new();
    let folder = context.scratch();
    let inputs = [("package", package(folder, &[(300, 300)]))];
    assemble(&context, &inputs, json!({"fit": "blur"})).await.expect("a reel");
    let pixel = *frame(folder, "reel.mp4", "0").get_pixel(45, 5);
    // The picture's red, darkened.
    assert!(pixel.0[0] > 100 && pixel.0[1] < 60, "{pixel:?}");
}

#[tokio::test]
async fn every_transition_gives_exactly_the_time_of_the_slides() {
    for transition in ["mix", "fade", "slide", "none"] {
        let context = TestContext::new();
        let package = package(context.scratch(), &[(90, 160), (90, 160), (90, 160)]);
        let config = json!({"transition": transition});
        let result = assemble(&context, &[("package", package)], config).await.expect(transition);
        assert_eq!(result["outputs"][0]["duration_ms"], 1_500, "{transition}");
    }
}

#[tokio::test]
async fn captions_are_burned_below_the_picture_while_words_are_heard() {
    let context = TestContext::new();
    let folder = context.scratch();
    let inputs = [
        ("package", package(folder, &[(90, 160), (90, 160)])),
        ("timing", timing(&[("s1", 700, &["60%", "{of}", "bets"]), ("s2", 1_400, &[])])),
    ];
    let config = json!({"captions": true, "size": "270x480", "transition": "none"});
    let result = assemble(&context, &inputs, config).await.expect("a reel");
    assert_eq!(result["warnings"], json!([]));
    let spoken = letters(&frame(folder, "reel.mp4", "0.3"));
    let silent = letters(&frame(folder, "reel.mp4", "1.2"));
    assert!(spoken > 100 && silent == 0, "{spoken} bright pixels while spoken, {silent} after");
}

#[tokio::test]
async fn captions_without_words_are_left_out_with_a_warning() {
    let context = TestContext::new();
    let inputs = [
        ("package", package(context.scratch(), &[(90, 160)])),
        ("timing", timing(&[("s1", 600, &[])])),
    ];
    let result = assemble(&context, &inputs, json!({"captions": true})).await.expect("a reel");
    assert_eq!(result["warnings"], json!(["there are no captions: no word has a time"]));
    assert_eq!(context.seen().warnings.len(), 1);
}

#[tokio::test]
async fn a_font_that_is_nowhere_is_no_other_font() {
    let context = TestContext::new();
    let inputs = [
        ("package", package(context.scratch(), &[(90, 160)])),
        ("timing", timing(&[("s1", 600, &["word"])])),
    ];
    let config = json!({"captions": true, "font": ["No Such Font"]});
    let error = assemble(&context, &inputs, config).await.expect_err("it is refused");
    assert_eq!((error.class, error.kind), (ErrorClass::MissingTool, ErrorKind::Ffmpeg));
    assert!(error.message.contains("No Such Font"), "{}", error.message);
}

#[tokio::test]
async fn a_mono_track_that_is_too_low_is_heard_on_both_channels_at_the_usual_loudness() {
    let context = TestContext::new();
    let folder = context.scratch();
    by_hand(
        folder,
        &["-f", "lavfi", "-i", "aevalsrc=0.05*sin(2*PI*440*t):s=22050:d=2", "-ac", "1", "t.wav"],
    );
    let track = json!({"$file": "0", "name": "t.wav", "size": 1, "media_type": "audio/wav",
                       "path": folder.join("t.wav")});
    let inputs = [("package", package(folder, &[(90, 160), (90, 160)])), ("track", track)];
    let result = assemble(&context, &inputs, json!({})).await.expect("a reel");
    let output = &result["outputs"][0];
    // Without times the slides share the track.
    assert_eq!(output["duration_ms"], 2_000);
    assert_eq!(output["audio_codec"], "aac");
    let lufs = output["loudness_lufs"].as_f64().expect("a loudness");
    assert!((lufs + 14.0).abs() <= 1.0, "{lufs}");
    assert!(result["warnings"][0].as_str().is_some_and(|w| w.contains("its level was changed")));
}

#[tokio::test]
async fn a_track_of_another_length_is_told() {
    let context = TestContext::new();
    let folder = context.scratch();
    by_hand(folder, &["-f", "lavfi", "-i", "sine=f=440:d=3", "t.wav"]);
    let track = json!({"$file": "0", "name": "t.wav", "size": 1, "media_type": "audio/wav",
                       "path": folder.join("t.wav")});
    let inputs = [
        ("package", package(folder, &[(90, 160)])),
        ("track", track),
        ("timing", timing(&[("s1", 1_500, &[])])),
    ];
    let result = assemble(&context, &inputs, json!({})).await.expect("a reel");
    let warnings = result["warnings"].to_string();
    assert!(warnings.contains("3.0 s long and the pictures 1.5 s: its end was cut"), "{warnings}");
}

#[tokio::test]
async fn a_second_attempt_takes_no_chances() {
    let context = TestContext::new().at_attempt(2);
    let inputs = [("package", package(context.scratch(), &[(90, 160)]))];
    let result = assemble(&context, &inputs, json!({})).await.expect("a reel");
    assert_eq!(result["warnings"], json!(["encoded with safe settings: no zoom"]));
    let argv = result["argv"].to_string();
    assert!(argv.contains("ultrafast") && !argv.contains("zoompan"), "{argv}");
}

#[tokio::test]
async fn safe_settings_give_every_frame_with_every_ground_and_transition() {
    for (fit, transition) in [("pad", "mix"), ("pad", "none"), ("blur", "mix"), ("blur", "none")] {
        let context = TestContext::new().at_attempt(2);
        let package = package(context.scratch(), &[(90, 160), (160, 90), (90, 160)]);
        let config = json!({"fit": fit, "transition": transition});
        let result = assemble(&context, &[("package", package)], config).await;
        let result = result.unwrap_or_else(|error| panic!("{fit}, {transition}: {error:?}"));
        assert_eq!(result["outputs"][0]["duration_ms"], 1_500, "{fit}, {transition}");
    }
}

#[tokio::test]
async fn an_odd_size_and_an_empty_package_are_refused_before_the_encoder_runs() {
    let context = TestContext::new();
    let inputs = [("package", package(context.scratch(), &[(90, 160)]))];
    let error =
        assemble(&context, &inputs, json!({"size": "91x160"})).await.expect_err("it is odd");
    assert_eq!(error.class, ErrorClass::Config);
    let empty = [("package", json!({"idea_id": "i", "aspect": "9:16", "assets": []}))];
    let error = assemble(&context, &empty, json!({})).await.expect_err("it is empty");
    assert_eq!(error.message, "the package has no picture");
    assert_eq!(context.seen().processes, []);
}

/// Clips that have nothing in common: a wide one with sound, a square silent one at another rate,
/// a tall one whose pixels are not square.
fn clips(folder: &Path) -> Vec<PathBuf> {
    by_hand(
        folder,
        &[
            "-f",
            "lavfi",
            "-i",
            "color=c=red:s=160x90:r=24:d=1",
            "-f",
            "lavfi",
            "-i",
            "sine=f=440:r=44100:d=1",
            "-ac",
            "1",
            "a.mp4",
        ],
    );
    by_hand(folder, &["-f", "lavfi", "-i", "color=c=green:s=100x100:r=50:d=0.6", "b.mp4"]);
    by_hand(
        folder,
        &[
            "-f",
            "lavfi",
            "-i",
            "color=c=blue:s=80x120:r=15:d=0.8,setsar=2",
            "-f",
            "lavfi",
            "-i",
            "sine=f=660:r=48000:d=0.4",
            "c.mp4",
        ],
    );
    ["a.mp4", "b.mp4", "c.mp4"].map(|name| folder.join(name)).into()
}

async fn mashup(
    context: &TestContext,
    clips: &[PathBuf],
    mut config: Value,
) -> Result<Value, StageError> {
    config["size"] = json!("270x480");
    let clips = clips.iter().map(|path| file(path)).collect();
    run(&MashupStage::new(spawner()), context, &[("clips", clips)], config).await
}

#[tokio::test]
async fn clips_of_any_size_rate_and_sound_become_one_video() {
    let context = TestContext::new();
    let folder = context.scratch();
    let config = json!({"titles": ["60% {of} it", "", "c"], "name": "clips"});
    let result = mashup(&context, &clips(folder), config).await.expect("a mashup");
    let output = &result["outputs"][0];
    assert_eq!(output["duration_ms"], 2_400);
    assert_eq!(output["audio_codec"], "aac");
    assert_eq!(result["idea_id"], "clips");
    let shots = ["0.5", "1.3", "2.0"].map(|at| frame(folder, "mashup.mp4", at));
    let red = *shots[0].get_pixel(135, 240);
    assert!(red.0[0] > 200 && red.0[1] < 60, "{red:?}");
    // Twice as wide as it is stored: it fills the width, and not the height.
    let blue = |y: u32| shots[2].get_pixel(135, y).0[2] > 200;
    assert!(blue(240) && !blue(20) && blue(150), "the tall clip is not of its true shape");
    assert!(letters(&shots[0]) > 200, "the first title is not seen: {}", letters(&shots[0]));
    assert_eq!(letters(&shots[1]), 0, "the clip without a title has one");
}

#[tokio::test]
async fn the_beginning_of_a_long_clip_can_be_enough() {
    let context = TestContext::new();
    let clips = clips(context.scratch());
    let result = mashup(&context, &clips, json!({"max_clip": "500ms"})).await.expect("a mashup");
    assert_eq!(result["outputs"][0]["duration_ms"], 1_500);
}

#[tokio::test]
async fn a_clip_that_is_cut_short_is_refused_by_name_and_place() {
    let context = TestContext::new();
    let folder = context.scratch();
    let mut clips = clips(folder);
    by_hand(
        folder,
        &["-f", "lavfi", "-i", "testsrc2=s=160x120:d=2", "-movflags", "+faststart", "d.mp4"],
    );
    let bytes = std::fs::read(folder.join("d.mp4")).expect("a clip");
    std::fs::write(folder.join("d.mp4"), &bytes[..bytes.len() * 2 / 3]).expect("a shorter clip");
    clips.push(folder.join("d.mp4"));
    let error = mashup(&context, &clips, json!({})).await.expect_err("it is cut");
    assert_eq!((error.class, error.kind), (ErrorClass::Validation, ErrorKind::Ffmpeg));
    assert_eq!(error.message, "clip 4 (d.mp4) is broken: it does not play to its end");
    assert_eq!((error.port.as_deref(), error.pointer.as_deref()), (Some("clips"), Some("/3")));
    assert!(!error.is_transient() && error.hint.is_some() && !error.stderr_tail.is_empty());
}

#[tokio::test]
async fn what_has_no_pictures_is_no_clip() {
    let context = TestContext::new();
    let folder = context.scratch();
    by_hand(folder, &["-f", "lavfi", "-i", "sine=f=440:d=1", "sound.m4a"]);
    std::fs::write(folder.join("text.mp4"), "no video at all").expect("a file");
    for name in ["sound.m4a", "text.mp4"] {
        let error = mashup(&context, &[folder.join(name)], json!({})).await.expect_err(name);
        assert_eq!(error.class, ErrorClass::Validation, "{error:?}");
        assert!(error.message.contains(name), "{}", error.message);
    }
}
