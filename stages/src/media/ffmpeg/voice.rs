//! Sound of any kind as the narration's sections have it.

use std::path::Path;

use flow_core::error::{ErrorKind, StageError};
use flow_core::stage::Context;

use super::{ffmpeg, run};
use crate::process::Spawner;

/// Decodes a sound to a mono WAV of 16 bit, in the place of what is at `to`.
///
/// # Errors
/// Of class `process` when it cannot be decoded to its end.
pub(in crate::media) async fn to_voice(
    spawner: &Spawner,
    context: &dyn Context,
    from: &Path,
    to: &Path,
) -> Result<(), StageError> {
    let command = ffmpeg(context, "decode a voice")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(from)
        .args(["-map", "0:a:0", "-ac", "1", "-ar", "44100", "-c:a", "pcm_s16le", "-f", "wav"])
        .args(["-bitexact"])
        .arg(to);
    let finished = run(spawner, context, command).await;
    finished.map(drop).map_err(|error| error.kind(ErrorKind::AudioGeneration))
}
