//! Verification: a file is only taken when its streams, length and every frame are as expected.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flow_core::error::{ErrorKind, StageError};
use flow_core::stage::Context;
use serde::Deserialize;

use super::timeline::FPS;
use super::{ffmpeg, rejected, run, tool};
use crate::process::Spawner;

/// What a reel must be.
#[derive(Debug, Clone, Copy)]
pub(in crate::media) struct Expected {
    /// Frames, give or take one.
    pub(in crate::media) frames: u64,
    /// Whether it has sound.
    pub(in crate::media) sound: bool,
}

#[derive(Debug, Deserialize)]
struct Probe {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Default, Deserialize)]
struct Format {
    duration: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Stream {
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    pix_fmt: Option<String>,
    sample_aspect_ratio: Option<String>,
    nb_read_packets: Option<String>,
    sample_rate: Option<String>,
    channels: Option<u32>,
}

/// Holds a reel to what it must be, and decodes all of it. Returns its length in milliseconds.
pub(in crate::media) async fn verify(
    spawner: &Spawner,
    context: &dyn Context,
    file: &Path,
    expected: Expected,
) -> Result<u64, StageError> {
    let operation = "verify the reel";
    let command = tool(context, "ffprobe", operation)
        .args(["-v", "error", "-print_format", "json", "-show_error", "-show_format"])
        .args(["-show_streams", "-count_packets"])
        .arg(file)
        .keep_stdout();
    let finished = run(spawner, context, command).await?;
    let bytes = finished
        .stdout
        .bytes()
        .map_err(|e| StageError::from_io(operation, &e).kind(ErrorKind::Ffmpeg))?;
    let probe: Probe = serde_json::from_slice(&bytes)
        .map_err(|e| rejected(operation, "ffprobe told nothing readable".into()).cause(e))?;
    let faults = probe.faults(expected);
    if !faults.is_empty() {
        let error = rejected(operation, "the reel is not what was asked for".into());
        return Err(faults.into_iter().fold(error, StageError::cause));
    }
    let decode = ffmpeg(context, "decode the reel")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-f", "null", "-"]);
    run(spawner, context, decode).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let ms = (probe.seconds() * 1000.0).round() as u64;
    Ok(ms)
}

impl Probe {
    fn seconds(&self) -> f64 {
        self.format.duration.as_deref().and_then(|d| d.parse().ok()).unwrap_or(0.0)
    }

    fn stream(&self, kind: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.codec_type.as_deref() == Some(kind))
    }

    /// Everything that is not as expected, as sentences.
    fn faults(&self, expected: Expected) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        let none = Stream::default();
        let video = self.stream("video").unwrap_or(&none);
        let size = (video.width.unwrap_or(0), video.height.unwrap_or(0));
        let frames = video.nb_read_packets.as_deref().and_then(|n| n.parse::<u64>().ok());
        check(video.codec_name.as_deref() == Some("h264"), "the pictures are not h264".into());
        check(size == (1080, 1920), format!("the pictures are {}×{}", size.0, size.1));
        check(video.pix_fmt.as_deref() == Some("yuv420p"), "the pixels are not yuv420p".into());
        let square = matches!(video.sample_aspect_ratio.as_deref(), None | Some("1:1" | "N/A"));
        check(square, "the pixels are not square".into());
        let found = frames.unwrap_or(0);
        check(
            found.abs_diff(expected.frames) <= 1,
            format!("it has {found} frames and not {}", expected.frames),
        );
        let wanted = super::timeline::seconds(expected.frames);
        check(
            (self.seconds() - wanted).abs() <= 0.1,
            format!(
                "it is {:.2} s long and not {wanted:.2} s at {FPS} frames a second",
                self.seconds()
            ),
        );
        if expected.sound {
            let audio = self.stream("audio").unwrap_or(&none);
            check(audio.codec_name.as_deref() == Some("aac"), "the sound is not AAC".into());
            check(
                audio.sample_rate.as_deref() == Some("48000") && audio.channels == Some(2),
                "the sound is not 48 kHz stereo".into(),
            );
        }
        faults
    }
}

/// Whether an MP4's index stands before its data, so that players can start early.
///
/// # Errors
/// When the file cannot be read.
pub(in crate::media) fn is_faststart(file: &Path) -> std::io::Result<bool> {
    let mut file = File::open(file)?;
    let mut header = [0; 8];
    while file.read_exact(&mut header).is_ok() {
        match &header[4..] {
            b"moov" => return Ok(true),
            b"mdat" => return Ok(false),
            _ => {}
        }
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        // Sizes 0 and 1 mean "to the end" and "64 bits": neither comes before an early index.
        let Some(rest) = i64::from(size).checked_sub(8).filter(|rest| *rest >= 0) else { break };
        file.seek(SeekFrom::Current(rest))?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"streams":[
        {"codec_type":"video","codec_name":"h264","width":1080,"height":1920,"pix_fmt":"yuv420p",
         "sample_aspect_ratio":"1:1","nb_read_packets":"60"},
        {"codec_type":"audio","codec_name":"aac","sample_rate":"48000","channels":2}],
        "format":{"duration":"2.005000"}}"#;

    fn faults(json: &str) -> Vec<String> {
        let probe: Probe = serde_json::from_str(json).expect("a probe");
        probe.faults(Expected { frames: 60, sound: true })
    }

    #[test]
    fn a_reel_is_held_to_every_expectation() {
        assert_eq!(faults(GOOD), Vec::<String>::new());
        let cases = [
            ("\"width\":1080", "\"width\":0", "the pictures are 0×1920"),
            ("\"60\"", "\"31\"", "it has 31 frames and not 60"),
            ("2.005000", "1.000000", "it is 1.00 s long"),
            ("\"channels\":2", "\"channels\":1", "the sound is not 48 kHz stereo"),
            ("h264", "mpeg4", "the pictures are not h264"),
            ("yuv420p", "yuv444p", "the pixels are not yuv420p"),
        ];
        for (good, bad, fault) in cases {
            let found = faults(&GOOD.replace(good, bad));
            assert!(found.iter().any(|f| f.starts_with(fault)), "{bad}: {found:?}");
        }
    }
}
