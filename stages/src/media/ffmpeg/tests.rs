//! What ffmpeg was seen to do wrong, with the real program and with scripts in its place: each
//! failure ends in its class, with the way out, and leaves no part of a video.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;

use super::*;
use crate::process::testing::{TestContext, script, spawner};

const SMALL: Frame = Frame { width: 90, height: 160 };
const FRAMES: u64 = 15;

fn expected(sound: bool) -> Expected {
    Expected { frame: SMALL, frames: FRAMES, sound }
}

/// Runs the real ffmpeg by hand, to make what a test needs.
fn by_hand(folder: &Path, args: &[&str]) {
    let status = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .current_dir(folder)
        .status()
        .expect("ffmpeg");
    assert!(status.success(), "{args:?}");
}

/// An encode of a test picture, of so many frames.
fn command(context: &TestContext, frames: u64) -> Command {
    let source = format!("testsrc2=s={SMALL}:r=30:d={}", timeline::seconds(frames));
    encoder(context, "encode")
        .args(["-f", "lavfi", "-i", &source])
        .args(["-filter_complex", "[0:v]setsar=1,format=yuv420p[v]"])
}

async fn make(
    context: &TestContext,
    command: Command,
    stall: Duration,
) -> Result<Made, StageError> {
    produce(&spawner(), context, command, "v.mp4", expected(false), Effort::Safe, stall).await
}

/// An ffmpeg that does what a script says for encodes and is the real one for all else.
fn faked(body: &str) -> TestContext {
    let context = TestContext::new();
    let side = context.side().to_owned();
    let body = format!(
        "for last; do :; done\ncase \"$*\" in *'-f mp4'*) ;; *) exec ffmpeg \"$@\";; esac\n{body}"
    );
    let fake = script(&side, "fake-ffmpeg", &body);
    context.with_tool("ffmpeg", fake)
}

/// Nothing that could be taken for a video, whole or in part, is in the folder.
fn nothing_is_left(context: &TestContext) {
    let names: Vec<PathBuf> = std::fs::read_dir(context.scratch())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains("v.mp4"))
        .collect();
    assert_eq!(names, Vec::<PathBuf>::new());
}

async fn fails(context: &TestContext, stall: Duration) -> StageError {
    let error = make(context, command(context, FRAMES), stall).await.err().expect("it fails");
    nothing_is_left(context);
    assert_eq!(error.kind, ErrorKind::Ffmpeg, "{error:?}");
    assert!(error.hint.is_some(), "{error:?}");
    error
}

#[tokio::test]
async fn a_good_encode_is_verified_and_only_then_has_its_name() {
    let context = TestContext::new();
    let made = make(&context, command(&context, FRAMES), STALL).await.expect("a video");
    assert_eq!((made.duration_ms, made.loudness_lufs), (500, None));
    assert!(made.path.ends_with("v.mp4") && made.bytes > 0);
    assert!(made.argv.contains(&".v.mp4.part".to_owned()), "{:?}", made.argv);
    let names: Vec<String> =
        context.seen().progress.iter().map(|progress| progress.message.clone()).collect();
    assert!(names.contains(&"encoding".to_owned()), "{names:?}");
}

#[tokio::test]
async fn an_encoder_that_ends_with_a_failure_leaves_no_part() {
    for (code, writes) in
        [(1, "printf part > \"$last\""), (255, "printf part > \"$last\""), (234, ":")]
    {
        let context = faked(&format!("{writes}; echo 'it went wrong' >&2; exit {code}"));
        let error = fails(&context, STALL).await;
        assert_eq!(error.class, ErrorClass::Process);
        assert_eq!(error.exit_code, Some(code));
        assert!(error.stderr_tail.contains("it went wrong"), "{error:?}");
        assert!(error.argv.iter().any(|arg| arg == "libx264"), "{error:?}");
    }
}

#[tokio::test]
async fn an_encoder_that_says_success_over_a_part_is_not_believed() {
    for body in ["printf part > \"$last\"", "ffmpeg \"$@\" && truncate -s 2000 \"$last\""] {
        let context = faked(body);
        let error = fails(&context, STALL).await;
        assert!(
            matches!(error.class, ErrorClass::Process | ErrorClass::Malformed),
            "{body}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_video_that_is_too_short_is_refused_with_what_it_is() {
    let context = TestContext::new();
    let error = make(&context, command(&context, 6), STALL).await.err().expect("it is refused");
    nothing_is_left(&context);
    assert_eq!((error.class, error.kind), (ErrorClass::Malformed, ErrorKind::Ffmpeg));
    assert!(error.causes.contains(&"it has 6 frames and not 15".to_owned()), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn an_encoder_that_tells_no_progress_is_ended_with_all_that_it_started() {
    let context =
        faked("printf part > \"$last\"; echo out_time_us=N/A; sleep 600 & echo $! > child; wait");
    let error = fails(&context, Duration::from_millis(300)).await;
    assert_eq!(error.class, ErrorClass::Timeout);
    assert_eq!(error.message, "ffmpeg made no progress for 300ms");
    let child = std::fs::read_to_string(context.scratch().join("child")).expect("a child");
    let alive = Path::new("/proc").join(child.trim()).join("cmdline");
    assert!(!std::fs::read_to_string(alive).is_ok_and(|line| line.contains("sleep")));
}

#[tokio::test]
async fn an_encoder_that_closes_its_streams_and_stays_is_ended_too() {
    let context = faked("exec >&- 2>&-; exec sleep 600");
    let error = fails(&context, Duration::from_millis(300)).await;
    assert_eq!(error.class, ErrorClass::Timeout);
}

#[tokio::test]
async fn an_encoder_that_is_told_to_stop_leaves_a_playable_part_that_is_never_taken() {
    // ffmpeg ends its file in order on SIGTERM, and says 255.
    let context = faked(
        "ffmpeg -v info -nostdin -re -f lavfi -i testsrc2=s=90x160:r=30 -c:v libx264 -f mp4 \
         -progress /dev/stdout \"$last\" & pid=$!\n\
         while ! [ -s \"$last\" ] && [ -d /proc/$pid ]; do sleep 0.05; done; sleep 0.3\n\
         kill -TERM $pid; wait $pid",
    );
    let error = fails(&context, STALL).await;
    assert_eq!((error.class, error.exit_code), (ErrorClass::Process, Some(255)));
    assert!(
        error.hint.as_deref().is_some_and(|hint| hint.contains("told ffmpeg to stop")),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_encoder_that_is_killed_may_be_tried_again() {
    let context = faked("printf part > \"$last\"; kill -KILL $$");
    let error = fails(&context, STALL).await;
    assert_eq!(error.signal.as_deref(), Some("SIGKILL"));
    assert!(error.is_transient());
}

#[tokio::test]
async fn an_encode_that_is_cancelled_leaves_no_part() {
    let context = faked("printf part > \"$last\"; exec sleep 600");
    let made = make(&context, command(&context, FRAMES), STALL);
    let part = context.scratch().join(".v.mp4.part");
    let cancel = async {
        while !part.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        context.cancel(flow_core::stage::CancelReason::Interrupted);
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        made = made => made.err().expect("it was cancelled"),
        () = cancel => return,
    };
    assert_eq!(error.class, ErrorClass::Cancelled);
    nothing_is_left(&context);
}

#[tokio::test]
async fn an_encoder_that_is_not_there_says_how_to_get_one() {
    let context = TestContext::new().with_tool("ffmpeg", "no-such-ffmpeg");
    let error = make(&context, command(&context, FRAMES), STALL).await.err().expect("it fails");
    assert_eq!((error.class, error.kind), (ErrorClass::MissingTool, ErrorKind::Ffmpeg));
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn parts_that_the_encoder_lacks_are_failures_with_the_way_to_a_full_one() {
    for (args, hint) in [
        (["-filter_complex", "[0:v]nosuchfilter[v]"], "install a full ffmpeg"),
        (["-filter_complex", "[0:v]subtitles=filename=nope.ass[v]"], "went away"),
    ] {
        let context = TestContext::new();
        let command = encoder(&context, "encode")
            .args(["-f", "lavfi", "-i", "color=s=90x160:d=0.5"])
            .args(args);
        let error = make(&context, command, STALL).await.err().expect("it fails");
        assert_eq!((error.class, error.kind), (ErrorClass::Process, ErrorKind::Ffmpeg));
        let said = error.hint.clone().unwrap_or_default();
        assert!(said.contains(hint), "{error:?}");
        nothing_is_left(&context);
    }
}

#[tokio::test]
async fn a_clip_that_is_cut_short_passes_for_whole_until_it_is_decoded() {
    let context = TestContext::new();
    let folder = context.scratch();
    let source = "testsrc2=s=320x240:r=30:d=2";
    by_hand(folder, &["-f", "lavfi", "-i", source, "-movflags", "+faststart", "whole.mp4"]);
    let bytes = std::fs::read(folder.join("whole.mp4")).expect("a clip");
    let cut = folder.join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).expect("a shorter clip");
    let spawner = spawner();
    let probe = Probe::of(&spawner, &context, &cut, "look").await.expect("it seems whole");
    assert_eq!(probe.size(), Some((320, 240)));
    assert!((probe.picture_seconds() - 2.0).abs() < 0.01, "{}", probe.picture_seconds());
    let length = Length { seconds: 2.0, sound: false };
    decode(&spawner, &context, &folder.join("whole.mp4"), length, "decode").await.expect("whole");
    let error = decode(&spawner, &context, &cut, length, "decode").await.expect_err("it is cut");
    assert_eq!((error.class, error.kind), (ErrorClass::Process, ErrorKind::Ffmpeg));
}

#[tokio::test]
async fn a_picture_that_is_cut_short_has_no_width() {
    let context = TestContext::new();
    let file = context.scratch().join("cut.png");
    let image = image::RgbImage::from_fn(300, 300, |x, y| {
        image::Rgb([u8::try_from(x * y % 251).unwrap_or_default(), 40, 90])
    });
    image.save(&file).expect("a picture");
    let bytes = std::fs::read(&file).expect("the picture");
    // Cut within its first part, which holds the size.
    std::fs::write(&file, &bytes[..20]).expect("a shorter picture");
    let probed = Probe::of(&spawner(), &context, &file, "look").await;
    assert_eq!(probed.ok().and_then(|probe| probe.size()), None);
}

#[tokio::test]
async fn loudness_is_measured_as_it_is_heard_and_silence_has_none() {
    let context = TestContext::new();
    let folder = context.scratch();
    // EBU Tech 3341: a 1 kHz sine at -23 dBFS on both channels is -23 LUFS.
    let tone = "aevalsrc=0.0708*sin(2*PI*1000*t):s=48000:d=3";
    by_hand(folder, &["-f", "lavfi", "-i", tone, "-ac", "1", "mono.wav"]);
    by_hand(folder, &["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo", "-t", "2", "silent.wav"]);
    let sound = Sound::of_track(&spawner(), &context, &folder.join("mono.wav")).await;
    let sound = sound.expect("a tone");
    assert!(sound.filters.contains("pan=stereo|c0=c0|c1=c0"), "{sound:?}");
    let note = sound.note.expect("it was far too low");
    assert!(note.starts_with("the track was at -23."), "{note}");
    let error = Sound::of_track(&spawner(), &context, &folder.join("silent.wav"))
        .await
        .expect_err("it is silent");
    assert_eq!((error.class, error.kind), (ErrorClass::Validation, ErrorKind::AudioGeneration));
    assert_eq!(error.port.as_deref(), Some("track"));
}
