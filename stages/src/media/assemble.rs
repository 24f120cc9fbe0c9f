//! `media.assemble`: slides and narration as a vertical video.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{
    BoxFuture, Context, Draft, Drafts, Job, Missing, NodeView, Ports, Stage, StageSpec,
};

use super::ffmpeg::{self, Expected, FPS, Look, Timeline};
use super::ports::{draft, input, optional_file, optional_input, optional_port, port};
use crate::contract::{
    self, AssemblyResult, AssetMetadata, FileRef, MediaPackage, OutputFile, TimingData,
};
use crate::process::{Command, Spawner};

/// How long a slide stands where nothing is spoken.
const SILENT_SLIDE_MS: u64 = 2_500;
const REEL: &str = "reel.mp4";
/// Unfinished output: a name that nobody takes for a video.
const PART: &str = ".reel.mp4.part";

/// Encodes a reel with ffmpeg and verifies every frame of it.
pub(super) struct AssembleStage {
    spec: StageSpec,
    spawner: Spawner,
}

impl AssembleStage {
    pub(super) fn new(spawner: Spawner) -> Self {
        Self {
            spawner,
            spec: StageSpec {
                name: "media.assemble",
                version: 1,
                summary: "Encodes slides and narration as a 1080×1920 reel, and verifies it",
                inputs: Ports::Fixed(vec![
                    port("package", contract::ty::<MediaPackage>(), "The slides."),
                    optional_port(
                        "track",
                        Type::File(MediaPattern::parse("audio/*")),
                        "The narration; without it the reel is silent.",
                    ),
                    optional_port(
                        "timing",
                        contract::ty::<TimingData>(),
                        "When each section is heard; default: the package's own, else 2.5 s a slide.",
                    ),
                ]),
                outputs: Ports::Fixed(vec![
                    port(
                        "reel",
                        Type::File(MediaPattern::parse("video/mp4")),
                        "The video: h264 and AAC, ready to play before it is loaded.",
                    ),
                    port("result", contract::ty::<AssemblyResult>(), "How it was made."),
                ]),
                config: Vec::new(),
                needs_scratch: true,
                example: r#"[nodes.assemble]
stage  = "media.assemble"
inputs = { package = "slides.package", track = "narrate.track", timing = "narrate.timing" }
retry  = { attempts = 2, on = ["default", "exit:*"] }
"#,
            },
        }
    }
}

impl Stage for AssembleStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn preflight(&self, node: &NodeView<'_>) -> Vec<Missing> {
        ffmpeg::missing(node, &["ffmpeg", "ffprobe"])
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let package: MediaPackage = input(&job, "package")?;
            let given: Option<TimingData> = optional_input(&job, "timing")?;
            let track = optional_file(&job, "track")?;
            let timing = given.as_ref().or(package.timing.as_ref());
            let shown = shown(&package, timing)?;
            decode_all(&shown).await?;
            let timeline = Timeline::of_ends(&shown.iter().map(|s| s.end_ms).collect::<Vec<_>>())?;
            // A second attempt trusts nothing that can be left out.
            let look = if context.attempt() >= 2 { Look::Safe } else { Look::Lively };
            let spawner = &self.spawner;
            let assembly = Assembly { spawner, context, shown, timeline, track, look };
            let result = assembly.assemble(&package).await?;
            Ok(BTreeMap::from([
                ("reel".to_owned(), Draft::Path(REEL.into())),
                ("result".to_owned(), draft(&result)?),
            ]))
        })
    }
}

/// A slide on screen.
struct Shown<'a> {
    asset: &'a AssetMetadata,
    path: PathBuf,
    end_ms: u64,
}

/// The slides in the order in which they are seen, and when each ends.
fn shown<'a>(
    package: &'a MediaPackage,
    timing: Option<&TimingData>,
) -> Result<Vec<Shown<'a>>, StageError> {
    let images: Vec<&AssetMetadata> = package.assets.iter().filter(|a| a.kind == "image").collect();
    let order: Vec<(&AssetMetadata, u64)> = match timing {
        None => {
            let ends = (1_u64..).map(|n| n * SILENT_SLIDE_MS);
            images.into_iter().zip(ends).collect()
        }
        Some(timing) => timing
            .segments
            .iter()
            .map(|segment| {
                let of_section = |a: &&&AssetMetadata| a.section_id == segment.section_id;
                let asset = images.iter().find(of_section);
                asset
                    .map(|asset| (*asset, segment.end_ms))
                    .ok_or_else(|| no_picture(&segment.section_id))
            })
            .collect::<Result<_, _>>()?,
    };
    let placed = |(asset, end_ms): (&'a AssetMetadata, u64)| {
        let path = asset.path.path().ok_or_else(|| no_picture(&asset.section_id))?;
        Ok(Shown { asset, path: path.to_owned(), end_ms })
    };
    order.into_iter().map(placed).collect()
}

fn no_picture(section: &str) -> StageError {
    let message = format!("section {section} has no picture");
    StageError::new(ErrorClass::Validation, "lay out the reel", message)
        .kind(ErrorKind::MediaGeneration)
        .port("package")
        .hint("make the slides from the same script as the narration")
}

/// Decodes every picture: ffmpeg can hang for ever on one that is cut short.
async fn decode_all(shown: &[Shown<'_>]) -> Result<(), StageError> {
    for slide in shown {
        let path = slide.path.clone();
        let decoded = tokio::task::spawn_blocking(move || decode(&path)).await;
        let section = &slide.asset.section_id;
        decoded.map_err(|e| bad_picture(section, e))?.map_err(|e| bad_picture(section, e))?;
    }
    Ok(())
}

fn decode(path: &Path) -> Result<(), image::ImageError> {
    let reader = image::ImageReader::open(path)?.with_guessed_format()?;
    reader.decode().map(drop)
}

fn bad_picture(section: &str, cause: impl ToString) -> StageError {
    let message = format!("the picture of section {section} cannot be decoded");
    StageError::new(ErrorClass::Validation, "decode the slides", message)
        .kind(ErrorKind::MediaGeneration)
        .port("package")
        .hint("see what `flow rerun RUN slides` draws now, and start a new run")
        .cause(cause)
}

struct Assembly<'a> {
    spawner: &'a Spawner,
    context: &'a dyn Context,
    shown: Vec<Shown<'a>>,
    timeline: Timeline,
    track: Option<PathBuf>,
    look: Look,
}

impl Assembly<'_> {
    async fn assemble(&self, package: &MediaPackage) -> Result<AssemblyResult, StageError> {
        let version = ffmpeg::version(self.spawner, self.context).await?;
        let part = self.context.scratch().join(PART);
        let made = self.make(&part).await;
        if made.is_err() && part.exists() {
            std::fs::remove_file(&part).map_err(io_error)?;
        }
        let (argv, duration_ms) = made?;
        let reel = self.context.scratch().join(REEL);
        std::fs::rename(&part, &reel).map_err(io_error)?;
        let safe = self.look == Look::Safe;
        Ok(AssemblyResult {
            schema_version: 1,
            idea_id: package.idea_id.clone(),
            outputs: vec![self.output(&reel, duration_ms)?],
            slides: self.shown.iter().map(|shown| shown.asset.clone()).collect(),
            ffmpeg_version: version,
            argv,
            warnings: safe
                .then(|| "encoded with safe settings: no zoom".to_owned())
                .into_iter()
                .collect(),
            encode_ms: None,
        })
    }

    /// Encodes and verifies; returns the command and the length in milliseconds.
    async fn make(&self, part: &Path) -> Result<(Vec<String>, u64), StageError> {
        let command = self.command(part);
        let argv = command.argv().iter().map(|arg| without_folder(arg)).collect();
        ffmpeg::encode(self.spawner, self.context, command, self.timeline.seconds()).await?;
        let expected = Expected { frames: self.timeline.total, sound: self.track.is_some() };
        let duration_ms = ffmpeg::verify(self.spawner, self.context, part, expected).await?;
        Ok((argv, duration_ms))
    }

    fn command(&self, part: &Path) -> Command {
        let preset = if self.look == Look::Safe { "ultrafast" } else { "veryfast" };
        let mut command = ffmpeg::ffmpeg(self.context, "encode the reel").args([
            "-loglevel",
            "warning",
            "-progress",
            "pipe:1",
        ]);
        for slide in &self.shown {
            command = command.arg("-i").arg(&slide.path);
        }
        if let Some(track) = &self.track {
            command = command.arg("-i").arg(track);
        }
        let filter = ffmpeg::reel_filter(&self.timeline, self.look, self.track.is_some());
        command = command.args(["-filter_complex", filter.as_str(), "-map", "[v]"]);
        if self.track.is_some() {
            command = command.args(["-map", "[a]", "-c:a", "aac", "-b:a", "128k"]);
            command = command.args(["-ar", "48000", "-ac", "2"]);
        }
        command
            .args(["-t".to_owned(), format!("{:.6}", self.timeline.seconds())])
            .args(["-frames:v".to_owned(), self.timeline.total.to_string()])
            .args(["-c:v", "libx264", "-preset", preset, "-crf", "20", "-profile:v", "high"])
            .args(["-pix_fmt", "yuv420p", "-r", "30", "-movflags", "+faststart", "-f", "mp4"])
            .arg(part)
    }

    fn output(&self, reel: &Path, duration_ms: u64) -> Result<OutputFile, StageError> {
        Ok(OutputFile {
            path: FileRef::Made(REEL.into()),
            container: "mp4".into(),
            width_px: super::draw::WIDTH,
            height_px: super::draw::HEIGHT,
            fps: u32::try_from(FPS).unwrap_or_default(),
            video_codec: "h264".into(),
            audio_codec: self.track.as_ref().map(|_| "aac".to_owned()),
            duration_ms,
            bytes: std::fs::metadata(reel).map_err(io_error)?.len(),
            loudness_lufs: None,
            faststart: ffmpeg::is_faststart(reel).map_err(io_error)?,
        })
    }
}

/// An argument as any run would have it: paths differ from attempt to attempt.
fn without_folder(arg: &str) -> String {
    match arg.strip_prefix('/').and_then(|path| path.rsplit('/').next()) {
        Some(name) => name.to_owned(),
        None => arg.to_owned(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is used with `map_err`")]
fn io_error(error: std::io::Error) -> StageError {
    StageError::from_io("write the reel", &error).kind(ErrorKind::Ffmpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::testing::{TestContext, spawner};

    fn picture(folder: &Path, section: &str, shade: u8) -> AssetMetadata {
        let path = folder.join(format!("{section}.png"));
        let image = image::RgbImage::from_pixel(270, 480, image::Rgb([shade, 40, 90]));
        image.save(&path).expect("a picture");
        let asset = serde_json::json!({
            "asset_id": section, "section_id": section, "kind": "image", "path": path,
            "mime": "image/png", "width_px": 270, "height_px": 480, "bytes": 1, "provider": "test"
        });
        serde_json::from_value(asset).expect("an asset")
    }

    fn package(folder: &Path) -> MediaPackage {
        MediaPackage {
            schema_version: 1,
            idea_id: "idea".into(),
            aspect: "9:16".into(),
            assets: vec![picture(folder, "s1", 20), picture(folder, "s2", 200)],
            audio: None,
            timing: None,
        }
    }

    #[tokio::test]
    async fn safe_settings_make_a_silent_reel_of_the_same_length() {
        let (context, spawner) = (TestContext::new(), spawner());
        let package = package(context.scratch());
        let mut shown = shown(&package, None).expect("slides");
        shown.iter_mut().zip([600, 1_200]).for_each(|(slide, end_ms)| slide.end_ms = end_ms);
        let timeline = Timeline::of_ends(&[600, 1_200]).expect("a timeline");
        let look = Look::Safe;
        let assembly =
            Assembly { spawner: &spawner, context: &context, shown, timeline, track: None, look };
        let result = assembly.assemble(&package).await.expect("a reel");
        assert_eq!(result.outputs[0].duration_ms, 1_200);
        assert_eq!(result.outputs[0].audio_codec, None);
        assert_eq!(result.warnings.len(), 1);
        assert!(result.argv.iter().all(|arg| !arg.contains("scratch")), "{:?}", result.argv);
        assert!(!context.scratch().join(PART).exists());
    }

    #[test]
    fn slides_without_times_stand_for_a_fixed_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let package = package(folder.path());
        let ends: Vec<u64> =
            shown(&package, None).expect("slides").iter().map(|s| s.end_ms).collect();
        assert_eq!(ends, [2_500, 5_000]);
    }
}
