//! `media.mashup`: clips of any size, rate and sound, one after the other as one vertical video.

use std::collections::BTreeMap;
use std::path::PathBuf;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Draft, Drafts, FieldKind, Job, Missing, NodeView, Ports,
    Stage, StageSpec,
};
use serde_json::Value;

use super::assemble::output_file;
use super::ffmpeg::{
    self, ClipPlan, Effort, Expected, Length, Line, Made, Needs, Place, Probe, Timeline, produce,
};
use super::fonts;
use super::ports::{draft, field, files, port, text};
use super::settings::{self, Picture, Span, fault, setting, texts, videos};
use crate::contract::{self, AssemblyResult};
use crate::process::Spawner;

const MASHUP: &str = "mashup.mp4";
/// The filters that every mashup is made with.
const FILTERS: &[&str] = &[
    "scale",
    "pad",
    "setsar",
    "fps",
    "tpad",
    "trim",
    "concat",
    "split",
    "boxblur",
    "overlay",
    "lutyuv",
    "aresample",
    "pan",
    "anullsrc",
    "volume",
    "alimiter",
    "apad",
    "atrim",
    "ebur128",
];
const TITLE_FILTERS: &[&str] = &["subtitles"];

/// Joins clips with ffmpeg and verifies every frame of the result.
pub(super) struct MashupStage {
    spec: StageSpec,
    spawner: Spawner,
}

impl MashupStage {
    pub(super) fn new(spawner: Spawner) -> Self {
        let mut config = vec![
            field(
                "titles",
                FieldKind::Json,
                "What stands over each clip, in their order; an empty text leaves a clip without.",
            ),
            field(
                "max_clip",
                FieldKind::Text,
                "The most that is taken of a clip, from its beginning; default: all of it.",
            ),
            field("name", FieldKind::Text, "Name of the piece in the result; default `mashup`."),
        ];
        config.extend(settings::fields());
        Self {
            spawner,
            spec: StageSpec {
                name: "media.mashup",
                version: 1,
                summary: "Joins clips of any size, rate and sound as one 1080×1920 video, and verifies it",
                inputs: Ports::Fixed(vec![port("clips", videos(), "The clips, in their order.")]),
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
                example: r#"[nodes.mashup]
stage   = "media.mashup"
inputs  = { clips = "clips.clips" }
with    = { titles = ["Monday", "Sunday"], fit = "blur", max_clip = "6s" }
timeout = "10m"
retry   = { attempts = 2, on = ["default", "exit:*"] }
"#,
            },
        }
    }
}

impl Stage for MashupStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let mut faults = Picture::check(node);
        faults.extend(fault::<Span>(node, "max_clip"));
        faults
    }

    fn preflight(&self, node: &NodeView<'_>) -> Vec<Missing> {
        let titled = node.config.get("titles").is_some();
        let mut filters = FILTERS.to_vec();
        if titled {
            filters.extend(TITLE_FILTERS);
        }
        let programs = &["ffmpeg", "ffprobe"];
        let needs = Needs { programs, encoders: ffmpeg::ENCODERS, filters: &filters };
        let mut missing = ffmpeg::missing(node, needs);
        if titled {
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
            let picture = Picture::read(&job)?;
            let most = setting::<Span>(&job, "max_clip")?.map(|Span(most)| most.as_secs_f64());
            let mut warnings = Vec::new();
            let titles = texts(&job, "titles")?;
            let families = texts(&job, "font")?;
            let mashup = Mashup { spawner: &self.spawner, context, picture };
            let clips = mashup.examine(named_clips(&job)?, most, &mut warnings).await?;
            let lines = lines(&clips, &titles, &mut warnings);
            if !lines.is_empty() {
                fonts::write_words(context, &families, picture.frame, &lines).await?;
            }
            let made = mashup.encode(&clips, !lines.is_empty()).await?;
            warnings.iter().for_each(|warning| context.warn(warning.clone()));
            let name = text(&job, "name").unwrap_or("mashup");
            let result = mashup.result(name, made, warnings).await?;
            Ok(BTreeMap::from([
                ("reel".to_owned(), Draft::Path(MASHUP.into())),
                ("result".to_owned(), draft(&result)?),
            ]))
        })
    }
}

/// A file on the input port, with the name that people know it by.
struct Named {
    name: String,
    path: PathBuf,
}

fn named_clips(job: &Job) -> Result<Vec<Named>, StageError> {
    let names = job.inputs.get("clips").and_then(Value::as_array).cloned().unwrap_or_default();
    let name =
        |at: usize| names.get(at).and_then(|file| file.get("name")?.as_str().map(str::to_owned));
    let named = |(at, path): (usize, PathBuf)| Named { name: name(at).unwrap_or_default(), path };
    let clips: Vec<Named> = files(job, "clips")?.into_iter().enumerate().map(named).collect();
    if clips.is_empty() {
        return Err(StageError::new(ErrorClass::Validation, "join the clips", "there is no clip")
            .kind(ErrorKind::Ffmpeg)
            .port("clips")
            .hint("give the node before it at least one video to hand over"));
    }
    Ok(clips)
}

/// A clip that decodes to its end.
struct Clip {
    path: PathBuf,
    plan: ClipPlan,
}

struct Mashup<'a> {
    spawner: &'a Spawner,
    context: &'a dyn Context,
    picture: Picture,
}

impl Mashup<'_> {
    /// Looks at every clip, all of it: a cut-short file has a length and streams like a good one.
    async fn examine(
        &self,
        clips: Vec<Named>,
        most: Option<f64>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Clip>, StageError> {
        let mut examined = Vec::with_capacity(clips.len());
        for (at, Named { name, path }) in clips.into_iter().enumerate() {
            let broken = |error: StageError| broken_clip(error, at, &name);
            let operation = format!("look at clip {} ({name})", at + 1);
            let (spawner, context) = (self.spawner, self.context);
            let probe = Probe::of(spawner, context, &path, &operation).await.map_err(broken)?;
            if probe.size().is_none() || probe.picture_seconds() <= 0.0 {
                let none = "it has no pictures";
                return Err(broken(StageError::new(ErrorClass::Validation, operation, none)));
            }
            let length = Length { seconds: probe.seconds(), sound: probe.channels().is_some() };
            let decoded = ffmpeg::decode(spawner, context, &path, length, &operation)
                .await
                .map_err(broken)?;
            let gain_db = decoded.loudness_lufs.and_then(ffmpeg::level);
            if let Some(gain) = gain_db {
                warnings.push(format!("the level of {name} was changed by {gain:+.1} dB"));
            }
            let seconds = most.unwrap_or(f64::INFINITY).min(probe.picture_seconds());
            let plan =
                ClipPlan { frames: ffmpeg::frames(seconds), channels: probe.channels(), gain_db };
            examined.push(Clip { path, plan });
        }
        Ok(examined)
    }

    async fn encode(&self, clips: &[Clip], titles: bool) -> Result<Made, StageError> {
        let Picture { frame, fit, stall } = self.picture;
        let mut command = ffmpeg::encoder(self.context, "encode the mashup");
        for clip in clips {
            command = command.arg("-i").arg(&clip.path);
        }
        let plans: Vec<ClipPlan> = clips.iter().map(|clip| clip.plan).collect();
        let graph = ffmpeg::mashup_filter(&plans, frame, fit, titles);
        let command = command.args(["-filter_complex", graph.as_str()]);
        let frames = plans.iter().map(|plan| plan.frames).sum();
        let expected = Expected { frame, frames, sound: true };
        let effort = if self.context.failed_before() { Effort::Safe } else { Effort::Usual };
        produce(self.spawner, self.context, command, MASHUP, expected, effort, stall).await
    }

    async fn result(
        &self,
        name: &str,
        made: Made,
        warnings: Vec<String>,
    ) -> Result<AssemblyResult, StageError> {
        Ok(AssemblyResult {
            schema_version: 1,
            idea_id: name.to_owned(),
            outputs: vec![output_file(&made, self.picture.frame, true)],
            slides: Vec::new(),
            ffmpeg_version: ffmpeg::version(self.spawner, self.context).await?,
            argv: made.argv,
            warnings,
            encode_ms: Some(made.encode_ms),
        })
    }
}

/// The titles, each for as long as its clip is seen.
fn lines(clips: &[Clip], titles: &[String], warnings: &mut Vec<String>) -> Vec<Line> {
    if titles.len() > clips.len() {
        let (titles, clips) = (titles.len(), clips.len());
        warnings
            .push(format!("there are {titles} titles and {clips} clips: the last were left out"));
    }
    let mut start_ms = 0;
    let mut lines = Vec::new();
    for (at, clip) in clips.iter().enumerate() {
        let end_ms = start_ms + Timeline::ms(clip.plan.frames);
        if let Some(title) = titles.get(at).filter(|title| !title.trim().is_empty()) {
            let words = vec![title.trim().to_owned()];
            lines.push(Line { start_ms, end_ms, words, spoken: None, place: Place::Top });
        }
        start_ms = end_ms;
    }
    lines
}

/// A clip that is not whole is no passing failure: the clip is named, and the input to blame.
fn broken_clip(mut error: StageError, at: usize, name: &str) -> StageError {
    if !matches!(error.class, ErrorClass::Process | ErrorClass::Malformed | ErrorClass::Validation)
    {
        return error;
    }
    let message = format!("clip {} ({name}) is broken: it does not play to its end", at + 1);
    error.causes.insert(0, std::mem::replace(&mut error.message, message));
    error.class = ErrorClass::Validation;
    ErrorClass::Validation.code().clone_into(&mut error.code);
    error.kind = ErrorKind::Ffmpeg;
    error.port = Some("clips".to_owned());
    error.pointer = Some(format!("/{at}"));
    error.hint = Some("play it, and download or export it again; or leave it out".to_owned());
    error
}
