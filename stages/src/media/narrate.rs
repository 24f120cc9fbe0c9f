//! `media.narrate`: the words of a script as sound.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{
    BoxFuture, Context, Draft, Drafts, FieldKind, Job, Missing, NodeView, Ports, Progress, Stage,
    StageSpec,
};

use super::ffmpeg::{self, Loudness, Needs, TARGET_LUFS};
use super::machine;
use super::ports::{config_error, draft, field, input, number, port, text, tool};
use super::speech::{Track, spoken, timing};
use super::words;
use crate::contract::{
    self, AudioMetadata, FileRef, IdeaPackage, ScriptSection, ScriptStructure, TimingData,
};
use crate::process::Spawner;

/// The rate at which the offline voice speaks [`super::words::WORDS_PER_SECOND`].
const RATE: u64 = 165;
/// Rates that espeak-ng speaks.
const RATES: std::ops::RangeInclusive<u64> = 80..=450;
const VOICE: &str = "en-us";
/// How long the voice may take for a section; it needs a fraction of a second.
const SPEAKING_LIMIT: Duration = Duration::from_secs(30);
/// How far from the target loudness a narration may be without a warning.
const TOLERANCE_LU: f64 = 1.0;

/// Speaks a script with espeak-ng and sets its loudness.
pub(super) struct NarrateStage {
    spec: StageSpec,
    spawner: Spawner,
    /// How long the voice may take for a section.
    pub(super) limit: Duration,
}

impl NarrateStage {
    pub(super) fn new(spawner: Spawner) -> Self {
        Self {
            spawner,
            limit: SPEAKING_LIMIT,
            spec: StageSpec {
                name: "media.narrate",
                version: 1,
                summary: "Speaks an idea's script with espeak-ng, at the loudness of platforms",
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

    fn preflight(&self, node: &NodeView<'_>) -> Vec<Missing> {
        let needs = Needs {
            programs: &["espeak-ng", "ffmpeg"],
            filters: &["loudnorm", "pan"],
            ..Needs::default()
        };
        let mut missing = ffmpeg::missing(node, needs);
        missing.extend(machine::missing_voice(node, VOICE));
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
            let (spawner, limit) = (&self.spawner, self.limit);
            let narrator = Narrator { spawner, context, voice, rate, limit };
            let (audio, timing) = narrator.narrate(&idea.script.sections).await?;
            let track = audio.path.path().map(Path::to_owned).unwrap_or_default();
            Ok(BTreeMap::from([
                ("track".to_owned(), Draft::Path(track)),
                ("audio".to_owned(), draft(&audio)?),
                ("timing".to_owned(), draft(&timing)?),
            ]))
        })
    }
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

struct Narrator<'a> {
    spawner: &'a Spawner,
    context: &'a dyn Context,
    voice: &'a str,
    rate: u64,
    limit: Duration,
}

impl Narrator<'_> {
    async fn narrate(
        &self,
        sections: &[ScriptSection],
    ) -> Result<(AudioMetadata, TimingData), StageError> {
        let mut track = Track::default();
        for (at, section) in sections.iter().enumerate() {
            let sound = self.speak(at, section).await?;
            let audible = track
                .add(&sound)
                .map_err(|e| unreadable(&format!("section {}", section.section_id), e))?;
            if !audible {
                return Err(silent(&format!("section {}", section.section_id)));
            }
            self.tell(at + 1, sections.len());
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
            provider: "espeak-ng".into(),
            voice: self.voice.to_owned(),
            cached: false,
        };
        Ok((audio, timing(sections, &track.ends_ms(), duration_ms)))
    }

    /// Speaks one section to a file of its own.
    async fn speak(&self, at: usize, section: &ScriptSection) -> Result<PathBuf, StageError> {
        let scratch = self.context.scratch();
        let text = scratch.join(format!("section-{:02}.txt", at + 1));
        let sound = text.with_extension("wav");
        std::fs::write(&text, spoken(&section.text))
            .map_err(|e| StageError::from_io("write the words to speak", &e).kind(AUDIO))?;
        let operation = format!("speak section {}", section.section_id);
        let command = tool(self.context, "espeak-ng", AUDIO, operation)
            .args(["-v", self.voice, "-s", &self.rate.to_string(), "-b", "1", "-w"])
            .arg(&sound)
            .arg("-f")
            .arg(&text)
            // It writes to its file alone, so that silence on its streams is its whole life.
            .idle_timeout(Some(self.limit));
        let finished = self.spawner.run(self.context, command).await;
        finished.map_err(|error| self.unspoken(section, error))?;
        // espeak-ng ends with 0 even where it could not write its file.
        if sound.is_file() { Ok(sound) } else { Err(missing_sound(&section.section_id)) }
    }

    /// Adds what a person can do about a voice that failed.
    fn unspoken(&self, section: &ScriptSection, mut error: StageError) -> StageError {
        match error.class {
            ErrorClass::Process => {
                error.hint("check the voice: `espeak-ng --voices` lists those that are installed")
            }
            ErrorClass::Timeout => {
                let seconds = self.limit.as_secs_f64();
                error.message = format!(
                    "espeak-ng had not spoken section {} after {seconds} s",
                    section.section_id
                );
                error.hint("shorten the section, or try the voice by hand: `espeak-ng hello`")
            }
            _ => error,
        }
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

    fn tell(&self, done: usize, total: usize) {
        #[expect(clippy::cast_precision_loss, reason = "few sections")]
        self.context.progress(Progress {
            done: done as f64,
            total: Some(total as f64),
            unit: "sections",
            message: "speaking".into(),
        });
    }
}

const AUDIO: ErrorKind = ErrorKind::AudioGeneration;

/// Nothing can be heard.
fn silent(what: &str) -> StageError {
    StageError::new(ErrorClass::Malformed, "narrate the script", format!("{what} is silent"))
        .kind(AUDIO)
        .hint("check the section's text: it needs words that the voice can speak")
}

/// The voice said that all is well, and there is no file.
fn missing_sound(section: &str) -> StageError {
    let message = format!("espeak-ng reported success and wrote no sound for section {section}");
    StageError::new(ErrorClass::Malformed, "narrate the script", message).kind(AUDIO).hint(
        "check that the disk has room, and try the voice by hand: `espeak-ng -w test.wav hello`",
    )
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
