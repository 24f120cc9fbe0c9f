//! How sound comes into a video: on two channels, audible, and at the loudness of platforms.

use std::path::Path;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;

use super::decode::{Length, decode};
use super::loudness::TARGET_LUFS;
use super::probe::Probe;
use crate::process::Spawner;

/// How far from the target a sound may be before its level is changed.
const TOLERANCE_LU: f64 = 1.0;
/// A shorter sound cannot be measured, so nothing can be said of its loudness.
const MEASURABLE_S: f64 = 1.0;
/// No sample is louder than this (-1.5 dB of full scale).
const LIMIT: f64 = 0.84;

/// A track that can be heard, and the filters that bring it into a video.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::media) struct Sound {
    /// Filters from the track to 48 kHz stereo.
    pub(in crate::media) filters: String,
    /// What had to be changed, as a sentence.
    pub(in crate::media) note: Option<String>,
    /// Length in seconds.
    pub(in crate::media) seconds: f64,
}

impl Sound {
    /// Listens to the file on the input port `track`: all of it must decode, and be audible.
    pub(in crate::media) async fn of_track(
        spawner: &Spawner,
        context: &dyn Context,
        track: &Path,
    ) -> Result<Self, StageError> {
        let operation = "listen to the track";
        let probe = Probe::of(spawner, context, track, operation)
            .await
            .map_err(|error| error.port("track"))?;
        let channels = probe.channels().ok_or_else(|| inaudible("the track has no sound in it"))?;
        let seconds = probe.seconds();
        let length = Length { seconds, sound: true };
        let decoded = decode(spawner, context, track, length, operation)
            .await
            .map_err(|error| error.port("track"))?;
        if decoded.loudness_lufs.is_none() && seconds >= MEASURABLE_S {
            return Err(inaudible("the track is silent"));
        }
        let level = decoded.loudness_lufs.and_then(level);
        let note = level.map(|gain| {
            let lufs = TARGET_LUFS - gain;
            format!("the track was at {lufs:.1} LUFS: its level was changed by {gain:+.1} dB")
        });
        Ok(Self { filters: filters(channels, level), note, seconds })
    }
}

/// The change in dB that brings a loudness to the target, if it needs one.
pub(in crate::media) fn level(lufs: f64) -> Option<f64> {
    let gain = TARGET_LUFS - lufs;
    (gain.abs() > TOLERANCE_LU).then_some(gain)
}

/// Filters from so many channels to 48 kHz stereo.
pub(super) fn filters(channels: u32, gain_db: Option<f64>) -> String {
    // Left to itself ffmpeg spreads one channel over two at 3 dB less.
    let stereo =
        if channels == 1 { "pan=stereo|c0=c0|c1=c0" } else { "aformat=channel_layouts=stereo" };
    let level = gain_db
        .map(|gain| format!(",volume={gain:.2}dB,alimiter=limit={LIMIT}:level=false"))
        .unwrap_or_default();
    format!("aresample=48000,{stereo}{level}")
}

fn inaudible(message: &str) -> StageError {
    StageError::new(ErrorClass::Validation, "listen to the track", message)
        .kind(ErrorKind::AudioGeneration)
        .port("track")
        .hint("make the narration again, or leave the port unbound for a reel without sound")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_far_from_the_target_is_levelled() {
        assert_eq!((level(-14.3), level(-13.2)), (None, None));
        assert_eq!(level(-20.0), Some(6.0));
        assert_eq!(filters(2, None), "aresample=48000,aformat=channel_layouts=stereo");
        let quiet_mono = filters(1, Some(6.0));
        assert!(quiet_mono.contains("pan=stereo|c0=c0|c1=c0,volume=6.00dB,alimiter="));
    }
}
