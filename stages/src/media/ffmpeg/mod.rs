//! The encoder: commands, frame arithmetic, loudness, verification, and a watch over its progress.

mod ass;
mod decode;
mod failure;
mod filter;
mod frame;
mod loudness;
mod mashup;
mod needs;
mod probe;
mod produce;
mod sound;
#[cfg(test)]
mod tests;
mod timeline;
mod verify;
mod voice;
mod watch;

use flow_core::error::{ErrorKind, StageError};
use flow_core::stage::Context;

use super::ports;
use crate::process::{Command, Finished, Spawner};

use failure::{rejected, unreadable_answer, with_hint};

pub(super) use ass::{Line, Place, document};
pub(super) use decode::{Length, decode};
pub(super) use filter::{CAPTIONS, FONTS, Look, Motion, Transition, reel_filter};
pub(super) use frame::{Fit, Frame};
pub(super) use loudness::{Loudness, TARGET_LUFS, measure, normalize};
pub(super) use mashup::{ClipPlan, mashup_filter};
pub(super) use needs::{ENCODERS, Needs, missing, program};
pub(super) use probe::Probe;
pub(super) use produce::{Effort, Made, produce};
pub(super) use sound::{Sound, level};
pub(super) use timeline::{FPS, Timeline, frames};
pub(super) use verify::Expected;
pub(super) use voice::to_voice;
pub(super) use watch::STALL;

/// Free disk space in bytes that an encode may need: part file, stored video and their inputs.
pub(super) const DISK_NEEDED: u64 = 256 << 20;

/// A command of the encoder's family, looked up in `[tools]` first.
pub(super) fn tool(context: &dyn Context, name: &str, operation: &str) -> Command {
    ports::tool(context, name, ErrorKind::Ffmpeg, operation)
}

/// `ffmpeg` with the settings that every call has.
pub(super) fn ffmpeg(context: &dyn Context, operation: &str) -> Command {
    tool(context, "ffmpeg", operation).args(["-hide_banner", "-nostdin", "-y", "-nostats"])
}

/// An `ffmpeg` that tells its progress on stdout.
pub(super) fn encoder(context: &dyn Context, operation: &str) -> Command {
    ffmpeg(context, operation).args(["-loglevel", "warning", "-progress", "pipe:1"])
}

/// Runs a command and says what to do if it fails.
pub(super) async fn run(
    spawner: &Spawner,
    context: &dyn Context,
    command: Command,
) -> Result<Finished, StageError> {
    spawner.run(context, command).await.map_err(with_hint)
}

/// The version that `ffmpeg -version` tells.
pub(super) async fn version(
    spawner: &Spawner,
    context: &dyn Context,
) -> Result<String, StageError> {
    let command = tool(context, "ffmpeg", "ask ffmpeg for its version").arg("-version");
    let finished = run(spawner, context, command.keep_stdout()).await?;
    let bytes = finished.stdout.bytes().map_err(|e| {
        StageError::from_io("ask ffmpeg for its version", &e).kind(ErrorKind::Ffmpeg)
    })?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.split_whitespace().nth(2).unwrap_or("unknown").to_owned())
}
