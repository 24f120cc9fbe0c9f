//! Verification: a file is only taken when its streams, length and every frame are as expected.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flow_core::error::{ErrorKind, StageError};
use flow_core::stage::Context;

use super::decode::{Decoded, Length, decode};
use super::frame::Frame;
use super::probe::{Probe, Stream};
use super::timeline::FPS;
use super::{rejected, timeline};
use crate::process::Spawner;

/// What a video must be.
#[derive(Debug, Clone, Copy)]
pub(in crate::media) struct Expected {
    /// Its width and height.
    pub(in crate::media) frame: Frame,
    /// Frames, give or take one.
    pub(in crate::media) frames: u64,
    /// Whether it has sound.
    pub(in crate::media) sound: bool,
}

/// What a video that passed has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::media) struct Verified {
    /// Its length in milliseconds.
    pub(in crate::media) duration_ms: u64,
    /// Integrated loudness of its sound; `None` where there is none or it is silent.
    pub(in crate::media) loudness_lufs: Option<f64>,
}

/// Holds a video to what it must be, and decodes all of it.
pub(in crate::media) async fn verify(
    spawner: &Spawner,
    context: &dyn Context,
    file: &Path,
    expected: Expected,
) -> Result<Verified, StageError> {
    let operation = "verify the video";
    let probe = Probe::of(spawner, context, file, operation).await?;
    let mut faults = faults(&probe, expected);
    let early = is_faststart(file)
        .map_err(|e| StageError::from_io(operation, &e).kind(ErrorKind::Ffmpeg))?;
    if !early {
        faults.push("its index is not in front: players could not start early".into());
    }
    if !faults.is_empty() {
        let error = rejected(operation, "the video is not what was asked for".into());
        return Err(faults.into_iter().fold(error, StageError::cause));
    }
    let length = Length { seconds: probe.seconds(), sound: expected.sound };
    let Decoded { loudness_lufs } =
        decode(spawner, context, file, length, "decode the video").await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let duration_ms = (probe.seconds() * 1000.0).round() as u64;
    Ok(Verified { duration_ms, loudness_lufs })
}

/// Everything that is not as expected, as sentences.
fn faults(probe: &Probe, expected: Expected) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    let none = Stream::default();
    let video = probe.stream("video").unwrap_or(&none);
    let size = Frame { width: video.width.unwrap_or(0), height: video.height.unwrap_or(0) };
    check(video.codec_name.as_deref() == Some("h264"), "the pictures are not h264".into());
    check(size == expected.frame, format!("the pictures are {size} and not {}", expected.frame));
    check(video.pix_fmt.as_deref() == Some("yuv420p"), "the pixels are not yuv420p".into());
    let square = matches!(video.sample_aspect_ratio.as_deref(), None | Some("1:1" | "N/A"));
    check(square, "the pixels are not square".into());
    let frames = video.nb_read_packets.as_deref().and_then(|n| n.parse::<u64>().ok());
    let found = frames.unwrap_or(0);
    check(
        found.abs_diff(expected.frames) <= 1,
        format!("it has {found} frames and not {}", expected.frames),
    );
    let (is, wanted) = (probe.seconds(), timeline::seconds(expected.frames));
    check(
        (is - wanted).abs() <= 0.1,
        format!("it is {is:.2} s long and not {wanted:.2} s at {FPS} frames a second"),
    );
    let audio = probe.stream("audio");
    if expected.sound {
        let audio = audio.unwrap_or(&none);
        check(audio.codec_name.as_deref() == Some("aac"), "the sound is not AAC".into());
        check(
            audio.sample_rate.as_deref() == Some("48000") && audio.channels == Some(2),
            "the sound is not 48 kHz stereo".into(),
        );
    } else {
        check(audio.is_none(), "it has sound where none was asked for".into());
    }
    faults
}

/// Whether an MP4's index stands before its data, so that players can start early.
///
/// # Errors
/// When the file cannot be read.
fn is_faststart(file: &Path) -> std::io::Result<bool> {
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

    fn found(json: &str, sound: bool) -> Vec<String> {
        let probe: Probe = serde_json::from_str(json).expect("a probe");
        faults(&probe, Expected { frame: Frame::REEL, frames: 60, sound })
    }

    #[test]
    fn a_video_is_held_to_every_expectation() {
        assert_eq!(found(GOOD, true), Vec::<String>::new());
        assert_eq!(found(GOOD, false), ["it has sound where none was asked for"]);
        let cases = [
            ("\"width\":1080", "\"width\":0", "the pictures are 0x1920 and not 1080x1920"),
            ("\"60\"", "\"31\"", "it has 31 frames and not 60"),
            ("2.005000", "1.000000", "it is 1.00 s long"),
            ("\"channels\":2", "\"channels\":1", "the sound is not 48 kHz stereo"),
            ("h264", "mpeg4", "the pictures are not h264"),
            ("yuv420p", "yuv444p", "the pixels are not yuv420p"),
            ("1:1", "4:3", "the pixels are not square"),
        ];
        for (good, bad, fault) in cases {
            let found = found(&GOOD.replace(good, bad), true);
            assert!(found.iter().any(|f| f.starts_with(fault)), "{bad}: {found:?}");
        }
    }

    #[test]
    fn an_index_is_in_front_only_if_it_comes_before_the_data() {
        let folder = tempfile::tempdir().expect("a folder");
        let atom = |name: &[u8; 4]| [&[0, 0, 0, 8][..], name].concat();
        for (atoms, early) in [
            (vec![b"ftyp", b"moov", b"mdat"], true),
            (vec![b"ftyp", b"mdat", b"moov"], false),
            (vec![b"ftyp"], false),
        ] {
            let file = folder.path().join("v.mp4");
            std::fs::write(&file, atoms.iter().flat_map(|name| atom(name)).collect::<Vec<_>>())
                .expect("a file");
            assert_eq!(is_faststart(&file).expect("it is read"), early);
        }
    }
}
