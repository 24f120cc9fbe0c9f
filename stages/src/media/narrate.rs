//! `media.narrate`: the words of a script as sound.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Draft, Drafts, FieldKind, Job, Missing, NodeView, Ports,
    Stage, StageSpec,
};
use serde_json::Value;

use super::ffmpeg::{self, Loudness, Needs, TARGET_LUFS};
use super::machine;
use super::ports::{config_error, draft, field, input, number, port, text};
use super::speech::{Track, spoken, timing};
use super::voices::{
    AUDIO, ESPEAK, Espeak, Narration, PROVIDERS, RATE, RATES, SPEAKING_LIMIT, Speaking, VOICE,
    silent,
};
use super::words;
use crate::client::chain::providers_field;
use crate::client::service::{keys_field, services_field};
use crate::client::{Chain, Remote};
use crate::contract::{
    self, AudioMetadata, FileRef, IdeaPackage, ScriptSection, ScriptStructure, TimingData,
};
use crate::process::Spawner;

/// How far from the target loudness a narration may be without a warning.
const TOLERANCE_LU: f64 = 1.0;

/// Has a script spoken and sets its loudness.
pub(super) struct NarrateStage {
    spec: StageSpec,
    spawner: Spawner,
    remote: Remote,
    /// How long the voice may take for a section.
    pub(super) limit: Duration,
}

impl NarrateStage {
    pub(super) fn new(spawner: Spawner, remote: Remote) -> Self {
        Self {
            spawner,
            remote,
            limit: SPEAKING_LIMIT,
            spec: StageSpec {
                name: "media.narrate",
                version: 1,
                summary: "Speaks an idea's script, at the loudness of platforms",
                inputs: Ports::Fixed(vec![port(
                    "idea",
                    contract::ty::<IdeaPackage>(),
                    "The idea whose script is spoken.",
                )]),
                outputs: Ports::Fixed(vec![
                    port(
                        "track",
                        Type::File(MediaPattern::parse("audio/wav")),
                        "The narration: 48 kHz, stereo, -14 LUFS.",
                    ),
                    port("audio", contract::ty::<AudioMetadata>(), "What the narration is."),
                    port("timing", contract::ty::<TimingData>(), "When each word is heard."),
                ]),
                config: vec![
                    field("voice", FieldKind::Text, "A voice of espeak-ng; default `en-us`."),
                    field(
                        "rate",
                        FieldKind::Plain(Type::Integer),
                        "Words a minute, as espeak-ng counts them; default 165.",
                    ),
                    providers_field(
                        "Who speaks, in order: `elevenlabs`, `openai`, `espeak`; default: \
                         `[\"espeak\"]`.",
                    ),
                    services_field(),
                    keys_field(),
                ],
                needs_scratch: true,
                example: r#"[nodes.narrate]
stage  = "media.narrate"
inputs = { idea = "ideas.idea" }
"#,
            },
        }
    }
}

impl Stage for NarrateStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        PROVIDERS.faults(node)
    }

    fn preflight(&self, node: &NodeView<'_>) -> Vec<Missing> {
        let speaks_here = speaks_here(node);
        let programs: &[&str] = if speaks_here { &["espeak-ng", "ffmpeg"] } else { &["ffmpeg"] };
        let needs = Needs { programs, filters: &["loudnorm", "pan"], ..Needs::default() };
        let mut missing = ffmpeg::missing(node, needs);
        if speaks_here {
            missing.extend(machine::missing_voice(node, VOICE));
        }
        missing
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let idea: IdeaPackage = input(&job, "idea")?;
            let voice = text(&job, "voice").unwrap_or(VOICE);
            let rate = rate(&job)?;
            check_words(&idea.script)?;
            let chain = Chain::read(&job, &self.remote, &PROVIDERS, &[ESPEAK])?;
            let (spawner, sections) = (&self.spawner, idea.script.sections.as_slice());
            let speaking = Speaking { spawner, context, sections };
            let espeak = Espeak { voice, rate, limit: self.limit };
            // One voice speaks all: where it fails in the middle, the next one begins anew.
            let narration =
                chain.ask(context, |provider| Box::pin(speaking.by(provider, espeak))).await?;
            let (audio, timing) = Narrator { spawner, context }.join(sections, narration).await?;
            let track = audio.path.path().map(Path::to_owned).unwrap_or_default();
            Ok(BTreeMap::from([
                ("track".to_owned(), Draft::Path(track)),
                ("audio".to_owned(), draft(&audio)?),
                ("timing".to_owned(), draft(&timing)?),
            ]))
        })
    }
}

/// Whether the voice of this machine is in the chain.
fn speaks_here(node: &NodeView<'_>) -> bool {
    let listed = node.config.get("providers").and_then(Value::as_array);
    listed.is_none_or(|names| names.iter().any(|name| name == ESPEAK))
}

fn rate(job: &Job) -> Result<u64, StageError> {
    let rate = number(job, "rate").unwrap_or(RATE);
    if RATES.contains(&rate) {
        return Ok(rate);
    }
    let message = format!("a rate of {rate} words a minute cannot be spoken");
    let hint = format!("choose a rate from {} to {}", RATES.start(), RATES.end());
    Err(config_error("rate", message, &hint))
}

/// Refuses a script that has nothing to say somewhere, or too much for its time.
fn check_words(script: &ScriptStructure) -> Result<(), StageError> {
    let wordless = |section: &ScriptSection| !spoken(&section.text).contains(char::is_alphanumeric);
    if script.sections.is_empty() {
        return Err(unspeakable("the script has no sections".into(), "/script/sections"));
    }
    if let Some(at) = script.sections.iter().position(wordless) {
        let message = format!("section {} has no words to speak", script.sections[at].section_id);
        return Err(unspeakable(message, &format!("/script/sections/{at}/text")));
    }
    words::check_length(script, "narrate the script", "idea", "/script").map_err(|e| e.kind(AUDIO))
}

fn unspeakable(message: String, pointer: &str) -> StageError {
    let mut error = StageError::new(ErrorClass::Validation, "narrate the script", message)
        .kind(AUDIO)
        .port("idea")
        .hint("give every section words, or use a preset without narration (`carousel`)");
    error.pointer = Some(pointer.to_owned());
    error
}

/// What becomes of spoken sections.
struct Narrator<'a> {
    spawner: &'a Spawner,
    context: &'a dyn Context,
}

impl Narrator<'_> {
    /// Joins what was spoken, and sets its loudness.
    async fn join(
        &self,
        script: &[ScriptSection],
        narration: Narration,
    ) -> Result<(AudioMetadata, TimingData), StageError> {
        let mut track = Track::default();
        for (section, spoken) in script.iter().zip(&narration.sections) {
            let name = format!("section {}", section.section_id);
            if !track.add(&spoken.sound).map_err(|e| unreadable(&name, e))? {
                return Err(silent(&name));
            }
        }
        let voice = self.context.scratch().join("voice.wav");
        track.write(&voice).map_err(unwritable)?;
        let name = "narration.wav";
        let loudness = self.level(&voice, &self.context.scratch().join(name)).await?;
        let duration_ms = self.duration(&self.context.scratch().join(name))?;
        let audio = AudioMetadata {
            schema_version: 1,
            path: FileRef::Made(name.into()),
            codec: "pcm_s16le".into(),
            sample_rate_hz: 48_000,
            channels: 2,
            duration_ms,
            loudness_lufs: loudness,
            provider: narration.provider,
            voice: narration.voice,
            model: narration.model,
            cached: false,
        };
        let told: Vec<_> = narration.sections.into_iter().map(|spoken| spoken.words).collect();
        Ok((audio, timing(script, &told, &track.ends_ms(), duration_ms)))
    }

    /// Sets the loudness, and returns what it has become.
    async fn level(&self, voice: &Path, to: &Path) -> Result<f64, StageError> {
        let (spawner, context) = (self.spawner, self.context);
        let measured: Loudness = ffmpeg::measure(spawner, context, voice).await?;
        if measured.input().is_none() {
            return Err(silent("the narration"));
        }
        let set = ffmpeg::normalize(spawner, context, voice, &measured, to).await?;
        let loudness = set.output().ok_or_else(|| silent("the narration"))?;
        if (loudness - TARGET_LUFS).abs() > TOLERANCE_LU {
            context.warn(format!("the narration is at {loudness} LUFS and not at {TARGET_LUFS}"));
        }
        Ok(loudness)
    }

    fn duration(&self, file: &Path) -> Result<u64, StageError> {
        let reader = hound::WavReader::open(file).map_err(|e| unreadable("the narration", e))?;
        let rate = u64::from(reader.spec().sample_rate.max(1));
        let ms = u64::from(reader.duration()) * 1000 / rate;
        if ms == 0 { Err(silent("the narration")) } else { Ok(ms) }
    }
}

fn unreadable(what: &str, cause: hound::Error) -> StageError {
    let message = format!("the sound of {what} cannot be read");
    StageError::new(ErrorClass::Malformed, "join the narration", message)
        .kind(AUDIO)
        .hint("try the voice by hand: `espeak-ng -v en-us -w test.wav hello`")
        .cause(cause)
}

fn unwritable(error: hound::Error) -> StageError {
    match error {
        hound::Error::IoError(e) => StageError::from_io("write the narration", &e).kind(AUDIO),
        other => unreadable("the sections", other),
    }
}
