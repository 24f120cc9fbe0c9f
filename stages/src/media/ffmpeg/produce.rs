//! From a command to a video that may be shown: encoded under a watch into a part file, verified,
//! and only then given its name.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flow_core::error::{ErrorKind, StageError};
use flow_core::stage::Context;

use super::timeline;
use super::verify::{Expected, verify};
use super::watch::{Work, watched};
use crate::process::{Command, Spawner, with_room};

/// A video that was made and verified.
pub(in crate::media) struct Made {
    /// Where it is.
    pub(in crate::media) path: PathBuf,
    /// The encoder's command, with file names instead of paths.
    pub(in crate::media) argv: Vec<String>,
    /// Its length in milliseconds.
    pub(in crate::media) duration_ms: u64,
    /// Its size in bytes.
    pub(in crate::media) bytes: u64,
    /// Integrated loudness of its sound.
    pub(in crate::media) loudness_lufs: Option<f64>,
    /// How long the encoder took.
    pub(in crate::media) encode_ms: u64,
}

/// Settings of the encoder that decide between speed and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Effort {
    /// What is posted.
    Usual,
    /// The least that can go wrong.
    Safe,
}

/// Runs an encode whose inputs and filters are in `command`, with outputs `[v]` and `[a]`, to a
/// file called `name` in the scratch folder. On failure nothing of it is left.
pub(in crate::media) async fn produce(
    spawner: &Spawner,
    context: &dyn Context,
    command: Command,
    name: &str,
    expected: Expected,
    effort: Effort,
    stall: Duration,
) -> Result<Made, StageError> {
    let folder = context.scratch();
    let part = Part(folder.join(format!(".{name}.part")));
    let command = output(command, expected, effort, &part.0).cwd(folder);
    let argv = command.argv().iter().map(|arg| without_folder(arg)).collect();
    let seconds = timeline::seconds(expected.frames);
    let judge = |error| with_room(error, folder);
    let begun = Instant::now();
    let work = Work { seconds, name: "encoding" };
    watched(spawner, context, command, work, stall).await.map_err(judge)?;
    let encode_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let verified = verify(spawner, context, &part.0, expected).await.map_err(judge)?;
    let path = folder.join(name);
    std::fs::rename(&part.0, &path).map_err(|e| io_error(&e))?;
    let bytes = std::fs::metadata(&path).map_err(|e| io_error(&e))?.len();
    Ok(Made {
        path,
        argv,
        duration_ms: verified.duration_ms,
        bytes,
        loudness_lufs: verified.loudness_lufs,
        encode_ms,
    })
}

/// Adds what every video has: codecs, colours, exact length, the index in front, and nothing of
/// the inputs' metadata, which can hold places and names.
fn output(command: Command, expected: Expected, effort: Effort, part: &Path) -> Command {
    let preset = match effort {
        Effort::Usual => "veryfast",
        Effort::Safe => "ultrafast",
    };
    let mut command = command.args(["-map", "[v]"]);
    if expected.sound {
        command = command.args(["-map", "[a]", "-c:a", "aac", "-b:a", "128k"]);
        command = command.args(["-ar", "48000", "-ac", "2"]);
    }
    command
        .args(["-t".to_owned(), format!("{:.6}", timeline::seconds(expected.frames))])
        .args(["-frames:v".to_owned(), expected.frames.to_string()])
        .args(["-c:v", "libx264", "-preset", preset, "-crf", "20", "-profile:v", "high"])
        .args(["-pix_fmt", "yuv420p", "-r", "30"])
        .args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"])
        .args(["-color_range", "tv", "-map_metadata", "-1", "-map_chapters", "-1"])
        .args(["-movflags", "+faststart", "-f", "mp4"])
        .arg(part)
}

/// An unfinished file, with a name that nobody takes for a video; it goes with this.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Ok(()) => {}
            // It was never begun, or has its name by now.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %self.0.display(), %error, "a part file could not be removed");
            }
        }
    }
}

/// An argument as any run would have it: paths differ from attempt to attempt.
fn without_folder(arg: &str) -> String {
    match arg.strip_prefix('/').and_then(|path| path.rsplit('/').next()) {
        Some(name) => name.to_owned(),
        None => arg.to_owned(),
    }
}

fn io_error(error: &std::io::Error) -> StageError {
    StageError::from_io("keep the video", error).kind(ErrorKind::Ffmpeg)
}
