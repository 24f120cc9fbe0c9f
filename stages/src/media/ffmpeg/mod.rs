//! The encoder: commands, frame arithmetic, loudness, verification, and a watch over its progress.

mod filter;
mod loudness;
mod probe;
mod timeline;
mod watch;

use std::path::Path;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{Context, Missing, NodeView};

use super::ports;
use crate::process::{Command, Finished, Spawner, install_hint, resolve};

pub(super) use filter::{Look, reel_filter};
pub(super) use loudness::{Loudness, TARGET_LUFS, measure, normalize};
pub(super) use probe::{Expected, is_faststart, verify};
pub(super) use timeline::{FPS, Timeline};
pub(super) use watch::encode;

/// What a timed-out encode says.
const TOO_LONG: &str = "raise `timeout`, or shorten the video";

/// A command of the encoder's family, looked up in `[tools]` first.
pub(super) fn tool(context: &dyn Context, name: &str, operation: &str) -> Command {
    ports::tool(context, name, ErrorKind::Ffmpeg, operation)
}

/// `ffmpeg` with the settings that every call has.
pub(super) fn ffmpeg(context: &dyn Context, operation: &str) -> Command {
    tool(context, "ffmpeg", operation).args(["-hide_banner", "-nostdin", "-y", "-nostats"])
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

/// Adds the next step. What the encoder wrote chooses the words alone: the class stands.
fn with_hint(mut error: StageError) -> StageError {
    if error.hint.is_none() {
        let said = |text: &str| error.stderr_tail.contains(text);
        let hint = match error.class {
            ErrorClass::Timeout => TOO_LONG,
            ErrorClass::Cancelled => return error,
            _ if said("No space left on device") => "free some disk space",
            _ if said("Unknown encoder") || said("No such filter") => {
                "this ffmpeg lacks a part: install a full one with `apt-get install ffmpeg` or \
                 `brew install ffmpeg`"
            }
            _ => "read the whole output with `flow logs`; a second attempt uses safe settings",
        };
        error.hint = Some(hint.to_owned());
    }
    error
}

/// The programs among `names` that this machine lacks.
pub(super) fn missing(node: &NodeView<'_>, names: &[&str]) -> Vec<Missing> {
    let absent = |name: &&&str| {
        let program = node.tools.get(**name).map_or(**name, String::as_str);
        match resolve(Path::new(program), None) {
            Some(path) => !path.exists(),
            None => true,
        }
    };
    let missing = |name: &&str| Missing { what: (*name).to_owned(), fix: install_hint(name) };
    names.iter().filter(absent).map(missing).collect()
}

/// A finding about a file that the encoder made.
pub(super) fn rejected(operation: &str, message: String) -> StageError {
    StageError::new(ErrorClass::Malformed, operation, message)
        .kind(ErrorKind::Ffmpeg)
        .hint("the file was removed; the next attempt makes it again with safe settings")
}
