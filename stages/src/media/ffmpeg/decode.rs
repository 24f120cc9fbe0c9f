//! A pass over every frame: the only proof that a file is whole. A cut-short MP4 with its index in
//! front has a length and streams like a good one.

use std::path::Path;

use flow_core::error::{ErrorKind, StageError};
use flow_core::stage::Context;

use super::ffmpeg;
use super::watch::{STALL, Work, watched};
use crate::process::Spawner;

/// Below this the EBU R 128 meter tells nothing: it is silence.
const SILENCE_LUFS: f64 = -69.9;
/// Where the meter writes, in the attempt's side folder.
const METER: &str = "loudness.txt";

/// What a file that decodes has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::media) struct Decoded {
    /// Integrated loudness of its sound; `None` where there is none or it is silent.
    pub(in crate::media) loudness_lufs: Option<f64>,
}

/// What a file that is decoded should have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::media) struct Length {
    /// Its length as it is told.
    pub(in crate::media) seconds: f64,
    /// Whether it has sound, to be measured.
    pub(in crate::media) sound: bool,
}

/// Decodes a file to its end, and measures its sound on the way if it has any.
pub(in crate::media) async fn decode(
    spawner: &Spawner,
    context: &dyn Context,
    file: &Path,
    length: Length,
    operation: &str,
) -> Result<Decoded, StageError> {
    let sound = length.sound;
    let mut command = ffmpeg(context, operation)
        .args(["-v", "error", "-xerror", "-progress", "pipe:1", "-i"])
        .arg(file);
    if sound {
        // A mono voice is heard on both channels, and so it is measured.
        let meter = format!(
            "aformat=channel_layouts=mono|stereo,ebur128=metadata=1:dualmono=true,\
             ametadata=mode=print:key=lavfi.r128.I:file={METER}"
        );
        command = command.args(["-af", meter.as_str()]);
    }
    let side = context.side();
    let command = command.args(["-f", "null", "-"]).cwd(side);
    watched(spawner, context, command, Work { seconds: length.seconds, name: "checking" }, STALL)
        .await?;
    let loudness_lufs = if sound { measured(&side.join(METER), operation)? } else { None };
    Ok(Decoded { loudness_lufs })
}

/// The last value that the meter wrote. No file: the sound was too short for it.
fn measured(file: &Path, operation: &str) -> Result<Option<f64>, StageError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StageError::from_io(operation, &e).kind(ErrorKind::Ffmpeg)),
    };
    std::fs::remove_file(file)
        .map_err(|e| StageError::from_io(operation, &e).kind(ErrorKind::Ffmpeg))?;
    Ok(last_value(&text))
}

fn last_value(text: &str) -> Option<f64> {
    let value = text.lines().rev().find_map(|line| line.strip_prefix("lavfi.r128.I="))?;
    value.trim().parse().ok().filter(|lufs: &f64| lufs.is_finite() && *lufs > SILENCE_LUFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_measure_counts_and_silence_has_none() {
        let text = "frame:0 pts:0\nlavfi.r128.I=-70.000\nframe:9 pts:9\nlavfi.r128.I=-14.2\n";
        assert_eq!(last_value(text), Some(-14.2));
        assert_eq!(last_value("lavfi.r128.I=-70.000\n"), None);
        assert_eq!(last_value("lavfi.r128.I=-inf\n"), None);
        assert_eq!(last_value(""), None);
    }
}
