//! `media.assemble`: slides and narration as a vertical video.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::error::StageError;
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Draft, Drafts, FieldKind, Job, Missing, NodeView, Ports,
    Stage, StageSpec,
};

use super::captions::captions;
use super::ffmpeg::{
    self, Effort, Expected, FPS, Frame, Line, Look, Made, Motion, Needs, Sound, Timeline,
    Transition, produce,
};
use super::fonts;
use super::ports::{draft, field, input, optional_file, optional_input, optional_port, port};
use super::settings::{self, Picture, Span, fault, setting, switch, texts};
use super::shown::{Shown, decode_all, shown};
use crate::contract::{self, AssemblyResult, FileRef, MediaPackage, OutputFile, TimingData};
use crate::process::Spawner;

/// How long a slide stands where nothing is spoken and nothing else is said.
const SILENT_SLIDE: Duration = Duration::from_millis(2_500);
/// How far the track's length may be from the pictures' without a warning.
const TOLERANCE_S: f64 = 0.25;
/// How far from the target a finished reel's loudness may be without a warning.
const TOLERANCE_LU: f64 = 1.0;
const REEL: &str = "reel.mp4";
/// The filters that every reel is made with.
const FILTERS: &[&str] = &[
    "scale",
    "pad",
    "setsar",
    "zoompan",
    "xfade",
    "tpad",
    "fps",
    "trim",
    "concat",
    "aresample",
    "apad",
    "ebur128",
];
const BLUR_FILTERS: &[&str] = &["boxblur", "overlay", "lutyuv", "split"];
const CAPTION_FILTERS: &[&str] = &["subtitles"];

/// Encodes a reel with ffmpeg and verifies every frame of it.
pub(super) struct AssembleStage {
    spec: StageSpec,
    spawner: Spawner,
}

impl AssembleStage {
    pub(super) fn new(spawner: Spawner) -> Self {
        let mut config = vec![
            field(
                "captions",
                FieldKind::Json,
                "Whether words are shown while they are heard, below the picture; default false.",
            ),
            field(
                "transition",
                FieldKind::Text,
                "What joins slides: `mix` (default), `fade`, `slide` or `none`.",
            ),
            field(
                "slide",
                FieldKind::Text,
                "How long a slide stands where there is no narration; default `2.5s`.",
            ),
        ];
        config.extend(settings::fields());
        Self {
            spawner,
            spec: StageSpec {
                name: "media.assemble",
                version: 2,
                summary: "Encodes slides and narration as a 1080×1920 reel, and verifies it",
                inputs: Ports::Fixed(vec![
                    port("package", contract::ty::<MediaPackage>(), "The slides, of any size."),
                    optional_port(
                        "track",
                        Type::File(MediaPattern::parse("audio/*")),
                        "The narration; without it the reel is silent.",
                    ),
                    optional_port(
                        "timing",
                        contract::ty::<TimingData>(),
                        "When each section is heard; default: the package's own, else equal times.",
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
                config,
                needs_scratch: true,
                example: r#"[nodes.assemble]
stage   = "media.assemble"
inputs  = { package = "slides.package", track = "narrate.track", timing = "narrate.timing" }
with    = { captions = true, fit = "blur" }
timeout = "10m"
retry   = { attempts = 2, on = ["default", "exit:*"] }
"#,
            },
        }
    }
}

impl Stage for AssembleStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let mut faults = Picture::check(node);
        faults.extend(fault::<Transition>(node, "transition"));
        faults.extend(fault::<Span>(node, "slide"));
        faults
    }

    fn preflight(&self, node: &NodeView<'_>) -> Vec<Missing> {
        let named = |name: &str| node.config.get(name).and_then(serde_json::Value::as_str);
        let captioned = node.config.get("captions").is_some_and(|on| *on != false);
        let mut filters = FILTERS.to_vec();
        if named("fit") == Some("blur") {
            filters.extend(BLUR_FILTERS);
        }
        if captioned {
            filters.extend(CAPTION_FILTERS);
        }
        let programs = &["ffmpeg", "ffprobe"];
        let needs = Needs { programs, encoders: ffmpeg::ENCODERS, filters: &filters };
        let mut missing = ffmpeg::missing(node, needs);
        if captioned {
            missing.extend(fonts::missing_for(node));
        }
        missing
    }

    fn disk_needed(&self) -> u64 {
        ffmpeg::DISK_NEEDED
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let wishes = Wishes::read(&job)?;
            let package: MediaPackage = input(&job, "package")?;
            let given: Option<TimingData> = optional_input(&job, "timing")?;
            let track = optional_file(&job, "track")?;
            let timing = given.as_ref().or(package.timing.as_ref());
            let spawner = &self.spawner;
            let parts = Parts { package: &package, timing, track };
            let result = Assembly { spawner, context, wishes }.assemble(parts).await?;
            Ok(BTreeMap::from([
                ("reel".to_owned(), Draft::Path(REEL.into())),
                ("result".to_owned(), draft(&result)?),
            ]))
        })
    }
}

/// What `with` asks for.
struct Wishes {
    picture: Picture,
    transition: Transition,
    slide: Duration,
    captions: bool,
    families: Vec<String>,
}

impl Wishes {
    fn read(job: &Job) -> Result<Self, StageError> {
        Ok(Self {
            picture: Picture::read(job)?,
            transition: setting(job, "transition")?.unwrap_or(Transition::Mix),
            slide: setting(job, "slide")?.map_or(SILENT_SLIDE, |Span(slide)| slide),
            captions: switch(job, "captions")?,
            families: texts(job, "font")?,
        })
    }
}

/// What a reel is made of.
struct Parts<'a> {
    package: &'a MediaPackage,
    timing: Option<&'a TimingData>,
    track: Option<PathBuf>,
}

struct Assembly<'a> {
    spawner: &'a Spawner,
    context: &'a dyn Context,
    wishes: Wishes,
}

impl Assembly<'_> {
    async fn assemble(&self, parts: Parts<'_>) -> Result<AssemblyResult, StageError> {
        let (spawner, context) = (self.spawner, self.context);
        let mut warnings = Vec::new();
        let sound = match &parts.track {
            Some(track) => Some(Sound::of_track(spawner, context, track).await?),
            None => None,
        };
        let slide = self.slide_time(&parts, sound.as_ref());
        let shown = shown(parts.package, parts.timing, slide)?;
        decode_all(&shown).await?;
        let timeline = self.timeline(&shown)?;
        if let Some(sound) = &sound {
            warnings.extend(sound.note.clone());
            warnings.extend(uneven(sound.seconds, timeline.seconds()));
        }
        let lines = self.lines(parts.timing, &mut warnings);
        self.write_captions(&lines).await?;
        let look = self.look(!lines.is_empty());
        if look.motion == Motion::Safe {
            warnings.push("encoded with safe settings: no zoom".to_owned());
        }
        let made = self.encode(&parts, &shown, &timeline, &look, sound.as_ref()).await?;
        warnings.extend(made.loudness_lufs.and_then(off_target));
        warnings.iter().for_each(|warning| context.warn(warning.clone()));
        Ok(AssemblyResult {
            schema_version: 1,
            idea_id: parts.package.idea_id.clone(),
            outputs: vec![output_file(&made, look.frame, sound.is_some())],
            slides: shown.iter().map(|shown| shown.asset.clone()).collect(),
            ffmpeg_version: ffmpeg::version(spawner, context).await?,
            argv: made.argv,
            warnings,
            encode_ms: Some(made.encode_ms),
        })
    }

    /// How long each slide stands where no times are given: its share of the track, if there is one.
    fn slide_time(&self, parts: &Parts<'_>, sound: Option<&Sound>) -> Duration {
        let count = u32::try_from(parts.package.assets.len()).unwrap_or(u32::MAX).max(1);
        let of_track = sound.map(|sound| Duration::from_secs_f64(sound.seconds.max(0.0)) / count);
        of_track.filter(|share| !share.is_zero()).unwrap_or(self.wishes.slide)
    }

    fn timeline(&self, shown: &[Shown<'_>]) -> Result<Timeline, StageError> {
        let timeline = Timeline::of_ends(&shown.iter().map(|s| s.end_ms).collect::<Vec<_>>())?;
        let cut = self.wishes.transition == Transition::None;
        Ok(if cut { timeline.without_overlap() } else { timeline })
    }

    /// The captions, if they are wanted and there are words.
    fn lines(&self, timing: Option<&TimingData>, warnings: &mut Vec<String>) -> Vec<Line> {
        if !self.wishes.captions {
            return Vec::new();
        }
        let lines = timing.map(captions).unwrap_or_default();
        if lines.is_empty() {
            warnings.push("there are no captions: no word has a time".to_owned());
        }
        lines
    }

    /// Writes the document that the encoder draws, and its font. An empty one would fail the encode.
    async fn write_captions(&self, lines: &[Line]) -> Result<(), StageError> {
        if lines.is_empty() {
            return Ok(());
        }
        let (families, frame) = (&self.wishes.families, self.wishes.picture.frame);
        fonts::write_words(self.context, families, frame, lines).await
    }

    fn look(&self, captions: bool) -> Look {
        let Wishes { picture: Picture { frame, fit, .. }, transition, .. } = self.wishes;
        // After a failure nothing is used that can be left out.
        let motion = if self.context.failed_before() { Motion::Safe } else { Motion::Lively };
        Look { frame, fit, motion, transition, captions }
    }

    async fn encode(
        &self,
        parts: &Parts<'_>,
        shown: &[Shown<'_>],
        timeline: &Timeline,
        look: &Look,
        sound: Option<&Sound>,
    ) -> Result<Made, StageError> {
        let mut command = ffmpeg::encoder(self.context, "encode the reel");
        for slide in shown {
            command = command.arg("-i").arg(&slide.path);
        }
        if let Some(track) = &parts.track {
            command = command.arg("-i").arg(track);
        }
        let filters = sound.map(|sound| sound.filters.as_str());
        let graph = ffmpeg::reel_filter(timeline, look, filters);
        let command = command.args(["-filter_complex", graph.as_str()]);
        let (frame, frames) = (look.frame, timeline.total);
        let expected = Expected { frame, frames, sound: sound.is_some() };
        let effort = if look.motion == Motion::Safe { Effort::Safe } else { Effort::Usual };
        let stall = self.wishes.picture.stall;
        produce(self.spawner, self.context, command, REEL, expected, effort, stall).await
    }
}

/// A warning where track and pictures are not equally long.
fn uneven(track_s: f64, pictures_s: f64) -> Option<String> {
    let what = match track_s - pictures_s {
        more if more > TOLERANCE_S => "its end was cut",
        more if more < -TOLERANCE_S => "silence was added at its end",
        _ => return None,
    };
    Some(format!("the track is {track_s:.1} s long and the pictures {pictures_s:.1} s: {what}"))
}

fn off_target(lufs: f64) -> Option<String> {
    let target = ffmpeg::TARGET_LUFS;
    ((lufs - target).abs() > TOLERANCE_LU)
        .then(|| format!("the sound is at {lufs:.1} LUFS and not at {target:.0}"))
}

/// What was made, as the next layer takes it.
pub(super) fn output_file(made: &Made, frame: Frame, sound: bool) -> OutputFile {
    OutputFile {
        path: FileRef::Made(made.path.file_name().map(PathBuf::from).unwrap_or_default()),
        container: "mp4".into(),
        width_px: frame.width,
        height_px: frame.height,
        fps: u32::try_from(FPS).unwrap_or_default(),
        video_codec: "h264".into(),
        audio_codec: sound.then(|| "aac".to_owned()),
        duration_ms: made.duration_ms,
        bytes: made.bytes,
        loudness_lufs: made.loudness_lufs,
        // Verified: a video whose index is not in front is refused.
        faststart: true,
    }
}
