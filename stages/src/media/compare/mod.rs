//! How far two media files are apart, as people see and hear them.

mod beside;

use std::collections::BTreeMap;
use std::path::Path;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use image::RgbImage;
use image::imageops::FilterType;

use super::ffmpeg::{Length, Probe, decode, ffmpeg, run};
use crate::process::Spawner;
use beside::Beside;

/// So many frames of a video are looked at.
const SAMPLES: u32 = 5;
/// Pictures are compared at most this wide and high: finer detail is not seen from afar.
const SIDE_MAX: u32 = 512;

/// What can be compared beyond bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A still picture.
    Image,
    /// Sound alone.
    Audio,
    /// Moving pictures.
    Video,
}

impl Medium {
    /// The medium of a media type; `None` where bytes are all there is.
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "image/png" | "image/jpeg" => Some(Self::Image),
            other if other.starts_with("audio/") => Some(Self::Audio),
            other if other.starts_with("video/") => Some(Self::Video),
            _ => None,
        }
    }
}

/// Two media files beside each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Apart {
    /// Pictures.
    Image {
        /// Width and height of both.
        sizes: [(u32, u32); 2],
        /// From 0, which nobody tells apart, to 1.
        distance: f64,
    },
    /// Sound.
    Audio {
        /// Seconds of both.
        seconds: [f64; 2],
        /// Integrated loudness of both in LUFS; `None` for silence.
        loudness: [Option<f64>; 2],
    },
    /// Moving pictures.
    Video {
        /// Seconds of both.
        seconds: [f64; 2],
        /// Width and height of both; `None` where there are no pictures.
        sizes: [Option<(u32, u32)>; 2],
        /// Integrated loudness of both in LUFS; `None` where there is no sound.
        loudness: [Option<f64>; 2],
        /// Frames at the same time of both: seconds from the start, and their distance.
        frames: Vec<(f64, f64)>,
    },
}

/// What a comparison works with.
pub struct Bench<'a> {
    /// Starts ffmpeg and ffprobe.
    pub spawner: &'a Spawner,
    /// Where programs are, by name; others are searched on PATH.
    pub tools: &'a BTreeMap<String, String>,
    /// An empty folder for what is written on the way.
    pub folder: &'a Path,
}

/// Compares two files of one medium.
///
/// # Errors
/// A file that cannot be read as what it is, or a program that is not there.
pub async fn compare(
    bench: &Bench<'_>,
    medium: Medium,
    files: [&Path; 2],
) -> Result<Apart, StageError> {
    let context = Beside::new(bench);
    match medium {
        Medium::Image => images([&open(files[0])?, &open(files[1])?]),
        Medium::Audio => sounds(bench.spawner, &context, files).await,
        Medium::Video => films(bench.spawner, &context, files).await,
    }
}

fn open(file: &Path) -> Result<RgbImage, StageError> {
    let reader = image::ImageReader::open(file).and_then(|reader| reader.with_guessed_format());
    let reader = reader.map_err(|e| StageError::from_io("read a picture", &e))?;
    reader.decode().map(|picture| picture.to_rgb8()).map_err(|error| {
        StageError::new(ErrorClass::Malformed, "read a picture", error.to_string())
            .kind(ErrorKind::MediaGeneration)
    })
}

fn images(pictures: [&RgbImage; 2]) -> Result<Apart, StageError> {
    let sizes = pictures.map(|picture| picture.dimensions());
    Ok(Apart::Image { sizes, distance: distance(pictures)? })
}

/// How different two pictures look: one less their structural similarity, at the size of the first
/// one or less.
fn distance([before, after]: [&RgbImage; 2]) -> Result<f64, StageError> {
    let (width, height) = before.dimensions();
    let scale = f64::from(SIDE_MAX) / f64::from(width.max(height).max(1));
    let side = |length: u32| ((f64::from(length) * scale.min(1.0)).round() as u32).max(8);
    let fit = |picture: &RgbImage| {
        image::imageops::resize(picture, side(width), side(height), FilterType::Triangle)
    };
    let compared = image_compare::rgb_hybrid_compare(&fit(before), &fit(after));
    let similarity = compared.map_err(|error| {
        StageError::new(ErrorClass::Malformed, "compare two pictures", error.to_string())
            .kind(ErrorKind::MediaGeneration)
    })?;
    Ok((1.0 - similarity.score).clamp(0.0, 1.0))
}

async fn sounds(
    spawner: &Spawner,
    context: &Beside,
    files: [&Path; 2],
) -> Result<Apart, StageError> {
    let (first, second) =
        (sound(spawner, context, files[0]).await?, sound(spawner, context, files[1]).await?);
    Ok(Apart::Audio { seconds: [first.0, second.0], loudness: [first.1, second.1] })
}

async fn sound(
    spawner: &Spawner,
    context: &Beside,
    file: &Path,
) -> Result<(f64, Option<f64>), StageError> {
    let probe = Probe::of(spawner, context, file, "compare sound").await?;
    let loudness = loudness(spawner, context, file, &probe).await?;
    Ok((probe.seconds(), loudness))
}

async fn loudness(
    spawner: &Spawner,
    context: &Beside,
    file: &Path,
    probe: &Probe,
) -> Result<Option<f64>, StageError> {
    if probe.channels().is_none() {
        return Ok(None);
    }
    let length = Length { seconds: probe.seconds(), sound: true };
    let decoded = decode(spawner, context, file, length, "measure loudness").await?;
    Ok(decoded.loudness_lufs)
}

async fn films(
    spawner: &Spawner,
    context: &Beside,
    files: [&Path; 2],
) -> Result<Apart, StageError> {
    let mut probes = Vec::new();
    let mut loud = [None; 2];
    for (file, loud) in files.iter().zip(&mut loud) {
        let probe = Probe::of(spawner, context, file, "compare videos").await?;
        *loud = loudness(spawner, context, file, &probe).await?;
        probes.push(probe);
    }
    let seconds = [probes[0].picture_seconds(), probes[1].picture_seconds()];
    let shorter = seconds[0].min(seconds[1]);
    let mut frames = Vec::new();
    for sample in 0..SAMPLES {
        let at = shorter * (f64::from(sample) + 0.5) / f64::from(SAMPLES);
        let before = frame(spawner, context, files[0], at).await?;
        let after = frame(spawner, context, files[1], at).await?;
        if let (Some(before), Some(after)) = (&before, &after) {
            frames.push((at, distance([before, after])?));
        }
    }
    let sizes = [probes[0].size(), probes[1].size()];
    Ok(Apart::Video { seconds, sizes, loudness: loud, frames })
}

/// The frame that is shown at a time; `None` where there is none.
async fn frame(
    spawner: &Spawner,
    context: &Beside,
    file: &Path,
    at: f64,
) -> Result<Option<RgbImage>, StageError> {
    let target = context.folder.join("frame.png");
    let scale = format!("scale={SIDE_MAX}:{SIDE_MAX}:force_original_aspect_ratio=decrease");
    let command = ffmpeg(context, "take a frame of a video")
        .args(["-v", "error", "-ss", &format!("{at:.3}"), "-i"])
        .arg(file)
        .args(["-frames:v", "1", "-vf", scale.as_str()])
        .arg(&target);
    run(spawner, context, command).await?;
    if !target.exists() {
        return Ok(None);
    }
    let picture = open(&target)?;
    std::fs::remove_file(&target).map_err(|e| StageError::from_io("compare videos", &e))?;
    Ok(Some(picture))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// A picture with a bright square whose left edge is at `x`.
    fn square(x: u32) -> RgbImage {
        RgbImage::from_fn(200, 100, |column, row| {
            let inside = (x..x + 40).contains(&column) && (30..70).contains(&row);
            if inside { Rgb([250, 220, 40]) } else { Rgb([10, 20, 60]) }
        })
    }

    #[test]
    fn a_picture_is_nothing_apart_from_itself_and_the_more_the_more_it_changes() {
        let apart = |other: &RgbImage| distance([&square(20), other]).expect("a distance");
        let (same, near, far) = (apart(&square(20)), apart(&square(24)), apart(&square(120)));
        assert!(same < 1e-6, "{same}");
        assert!(same < near && near < far, "{same} {near} {far}");
        assert!(far <= 1.0);
    }

    #[test]
    fn pictures_of_other_sizes_and_of_one_pixel_can_be_compared() {
        let tiny = RgbImage::from_pixel(1, 1, Rgb([10, 20, 60]));
        for pair in [[&square(20), &tiny], [&tiny, &square(20)], [&tiny, &tiny]] {
            let distance = distance(pair).expect("a distance");
            assert!((0.0..=1.0).contains(&distance), "{distance}");
        }
    }

    #[test]
    fn media_types_tell_what_can_be_compared() {
        assert_eq!(Medium::of("image/png"), Some(Medium::Image));
        assert_eq!(Medium::of("audio/x-wav"), Some(Medium::Audio));
        assert_eq!(Medium::of("video/mp4"), Some(Medium::Video));
        assert_eq!(Medium::of("image/svg+xml"), None);
        assert_eq!(Medium::of("text/plain"), None);
    }
}
