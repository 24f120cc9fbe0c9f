//! The slides of a reel: which is seen when, and whether they can be decoded at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};

use crate::contract::{AssetMetadata, MediaPackage, TimingData};

/// Smallest side of a picture: scaled to a frame, less could come to nothing.
const LEAST_SIDE: u32 = 16;
/// Most memory that one picture may take when it is decoded.
const MOST_BYTES: u64 = 256 << 20;

/// A slide on screen.
pub(super) struct Shown<'a> {
    pub(super) asset: &'a AssetMetadata,
    pub(super) path: PathBuf,
    pub(super) end_ms: u64,
}

/// The slides in the order in which they are seen, and when each ends. Without times each stands
/// for `slide`.
pub(super) fn shown<'a>(
    package: &'a MediaPackage,
    timing: Option<&TimingData>,
    slide: Duration,
) -> Result<Vec<Shown<'a>>, StageError> {
    let images: Vec<&AssetMetadata> = package.assets.iter().filter(|a| a.kind == "image").collect();
    let order: Vec<(&AssetMetadata, u64)> = match timing {
        None => {
            let end = |n: u32| u64::try_from((slide * n).as_millis()).unwrap_or(u64::MAX);
            images.into_iter().zip((1..).map(end)).collect()
        }
        Some(timing) => timing
            .segments
            .iter()
            .map(|segment| {
                let of_section = |a: &&&AssetMetadata| a.section_id == segment.section_id;
                let asset = images.iter().find(of_section);
                asset
                    .map(|asset| (*asset, segment.end_ms))
                    .ok_or_else(|| no_picture(&format!("section {}", segment.section_id)))
            })
            .collect::<Result<_, _>>()?,
    };
    if order.is_empty() {
        return Err(no_picture("the package"));
    }
    let placed = |(asset, end_ms): (&'a AssetMetadata, u64)| {
        let path = asset
            .path
            .path()
            .ok_or_else(|| no_picture(&format!("section {}", asset.section_id)))?;
        Ok(Shown { asset, path: path.to_owned(), end_ms })
    };
    order.into_iter().map(placed).collect()
}

fn no_picture(what: &str) -> StageError {
    StageError::new(ErrorClass::Validation, "lay out the reel", format!("{what} has no picture"))
        .kind(ErrorKind::MediaGeneration)
        .port("package")
        .hint("make the slides from the same script as the narration")
}

/// Decodes every picture: ffmpeg can hang for ever on one that is cut short.
pub(super) async fn decode_all(shown: &[Shown<'_>]) -> Result<(), StageError> {
    for slide in shown {
        let path = slide.path.clone();
        let decoded = tokio::task::spawn_blocking(move || decode(&path)).await;
        let section = &slide.asset.section_id;
        decoded
            .map_err(|e| bad_picture(section, e.to_string()))?
            .map_err(|e| bad_picture(section, e))?;
    }
    Ok(())
}

fn decode(path: &Path) -> Result<(), String> {
    let reader = image::ImageReader::open(path).and_then(|reader| reader.with_guessed_format());
    let mut reader = reader.map_err(|e| e.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let image = reader.decode().map_err(|e| e.to_string())?;
    let (width, height) = (image.width(), image.height());
    if width.min(height) < LEAST_SIDE {
        return Err(format!("it is {width}x{height} pixels, and a side has at least {LEAST_SIDE}"));
    }
    Ok(())
}

fn bad_picture(section: &str, cause: String) -> StageError {
    let message = format!("the picture of section {section} cannot be decoded");
    StageError::new(ErrorClass::Validation, "decode the slides", message)
        .kind(ErrorKind::MediaGeneration)
        .port("package")
        .hint("see what `flow rerun RUN slides` draws now, and start a new run")
        .cause(cause)
}
