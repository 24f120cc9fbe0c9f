//! Loudness (EBU R 128): measured once, set once.

use std::path::Path;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use serde::Deserialize;

use super::{ffmpeg, run};
use crate::process::{Finished, Spawner};

/// Integrated loudness that platforms play back unchanged.
pub(in crate::media) const TARGET_LUFS: f64 = -14.0;
/// A mono voice measures 3 LU too low unless it is on both channels.
const UPMIX: &str = "pan=stereo|c0=c0|c1=c0";

/// What the loudness filter tells, all as text.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::media) struct Loudness {
    input_i: String,
    input_tp: String,
    input_lra: String,
    input_thresh: String,
    target_offset: String,
    output_i: String,
}

impl Loudness {
    /// Integrated loudness of what went in; `None` for silence.
    pub(in crate::media) fn input(&self) -> Option<f64> {
        self.input_i.parse().ok().filter(|lufs: &f64| lufs.is_finite())
    }

    /// Integrated loudness of what came out.
    pub(in crate::media) fn output(&self) -> Option<f64> {
        self.output_i.parse().ok().filter(|lufs: &f64| lufs.is_finite())
    }

    /// Reads the last object that the filter wrote to stderr.
    fn parse(text: &str) -> Option<Self> {
        let start = text.rfind('{')?;
        let end = start + text[start..].find('}')?;
        serde_json::from_str(&text[start..=end]).ok()
    }
}

/// Measures a mono voice as it sounds on both channels.
pub(in crate::media) async fn measure(
    spawner: &Spawner,
    context: &dyn Context,
    voice: &Path,
) -> Result<Loudness, StageError> {
    let filter = format!("{UPMIX},loudnorm=I={TARGET_LUFS}:TP=-1.5:LRA=11:print_format=json");
    let command = ffmpeg(context, "measure the narration's loudness")
        .arg("-i")
        .arg(voice)
        .args(["-af", filter.as_str(), "-f", "null", "-"])
        .keep_stderr();
    read(run(spawner, context, command).await?)
}

/// Writes a voice at the target loudness, on two channels at 48 kHz.
pub(in crate::media) async fn normalize(
    spawner: &Spawner,
    context: &dyn Context,
    voice: &Path,
    measured: &Loudness,
    to: &Path,
) -> Result<Loudness, StageError> {
    let Loudness { input_i, input_tp, input_lra, input_thresh, target_offset, .. } = measured;
    let filter = format!(
        "{UPMIX},loudnorm=I={TARGET_LUFS}:TP=-1.5:LRA=11:measured_I={input_i}:\
         measured_TP={input_tp}:measured_LRA={input_lra}:measured_thresh={input_thresh}:\
         offset={target_offset}:linear=true:print_format=json"
    );
    let command = ffmpeg(context, "set the narration's loudness")
        .arg("-i")
        .arg(voice)
        .args(["-af", filter.as_str(), "-ar", "48000", "-ac", "2"])
        .args(["-c:a", "pcm_s16le", "-fflags", "+bitexact", "-f", "wav"])
        .arg(to)
        .keep_stderr();
    read(run(spawner, context, command).await?)
}

fn read(finished: Finished) -> Result<Loudness, StageError> {
    let operation = "read the measured loudness";
    let bytes = finished
        .stderr
        .bytes()
        .map_err(|e| StageError::from_io(operation, &e).kind(ErrorKind::AudioGeneration))?;
    Loudness::parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
        StageError::new(ErrorClass::Malformed, operation, "ffmpeg told no loudness")
            .kind(ErrorKind::AudioGeneration)
            .hint("check that this ffmpeg has the `loudnorm` filter: `ffmpeg -filters`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_object_counts_and_silence_has_no_loudness() {
        let text = "noise {\n}\n[Parsed_loudnorm_1]\n{\n\"input_i\" : \"-inf\", \"input_tp\" : \"-inf\", \
                    \"input_lra\" : \"0.00\", \"input_thresh\" : \"-70.00\", \"output_i\" : \"-14.2\", \
                    \"target_offset\" : \"inf\", \"normalization_type\" : \"dynamic\"\n}\n";
        let loudness = Loudness::parse(text).expect("a measure");
        assert_eq!((loudness.input(), loudness.output()), (None, Some(-14.2)));
        assert!(Loudness::parse("nothing").is_none());
    }
}
