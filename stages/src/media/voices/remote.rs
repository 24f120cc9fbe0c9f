//! Voices of services. What a service has sent is kept before it is listened to, and listened to before
//! it is used: a section that can be heard is paid for once, whatever happens to it or to the others.

use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, StageError};
use flow_core::stage::Usage;
use serde_json::{Value, json};

use super::{AUDIO, Narration, Speaking, Spoken, silent};
use crate::client::elevenlabs::{self, ELEVENLABS};
use crate::client::{Service, call_and_keep, once, openai};
use crate::contract::{ScriptSection, WordTiming};
use crate::media::ffmpeg;
use crate::media::speech::{aligned, length_ms, spoken};

/// How far the length of a sound may be from what its own times say: a part of it, and at least so
/// many milliseconds, which encoders add at both ends.
const LENGTH_TOLERANCE: f64 = 0.2;
const LENGTH_SLACK_MS: u64 = 300;

/// Has all sections spoken by a service.
pub(super) async fn speak_all(
    speaking: Speaking<'_>,
    service: &Service,
) -> Result<Narration, StageError> {
    let voice = Voice::of(service);
    let mut sections = Vec::with_capacity(speaking.sections.len());
    for (at, section) in speaking.sections.iter().enumerate() {
        sections.push(Order::new(voice, speaking, at, section).fill().await?);
        speaking.tell(at + 1);
    }
    Ok(Narration {
        sections,
        provider: service.api.name.to_owned(),
        voice: voice.name().to_owned(),
        model: Some(voice.model().to_owned()),
    })
}

/// The voice of a service.
#[derive(Clone, Copy)]
enum Voice<'a> {
    ElevenLabs(&'a Service),
    OpenAi(&'a Service),
}

impl<'a> Voice<'a> {
    fn of(service: &'a Service) -> Self {
        if service.api.name == ELEVENLABS.name {
            Self::ElevenLabs(service)
        } else {
            Self::OpenAi(service)
        }
    }

    fn service(self) -> &'a Service {
        let (Self::ElevenLabs(service) | Self::OpenAi(service)) = self;
        service
    }

    fn name(self) -> &'a str {
        match self {
            Self::ElevenLabs(service) => elevenlabs::voice(service),
            Self::OpenAi(service) => openai::speech_voice(service),
        }
    }

    fn model(self) -> &'a str {
        match self {
            Self::ElevenLabs(service) => elevenlabs::model(service),
            Self::OpenAi(service) => openai::speech_model(service),
        }
    }

    fn request(self, text: &str) -> Value {
        match self {
            Self::ElevenLabs(service) => elevenlabs::request(service, text),
            Self::OpenAi(service) => openai::speech_request(service, text),
        }
    }
}

/// A section that is to be spoken by a service.
struct Order<'a> {
    voice: Voice<'a>,
    speaking: Speaking<'a>,
    section: &'a ScriptSection,
    operation: String,
    /// What is asked for.
    request: Value,
    /// Where the answer is kept.
    answer: PathBuf,
    /// Characters that are paid for.
    characters: usize,
}

impl<'a> Order<'a> {
    fn new(
        voice: Voice<'a>,
        speaking: Speaking<'a>,
        at: usize,
        section: &'a ScriptSection,
    ) -> Self {
        let text = spoken(&section.text);
        let name = format!("section-{:02}.{}", at + 1, voice.service().api.name);
        Self {
            voice,
            speaking,
            section,
            operation: format!("speak section {}", section.section_id),
            request: voice.request(&text),
            answer: speaking.context.scratch().join(name),
            characters: text.chars().count(),
        }
    }

    /// The name under which the answer is remembered: voice, model, settings and text.
    fn receipt(&self) -> String {
        let asked = json!({"voice": self.voice.name(), "request": self.request});
        once::receipt(self.voice.service().api.name, &asked)
    }

    /// What was bought before, or is bought now.
    async fn fill(&self) -> Result<Spoken, StageError> {
        let (context, receipt) = (self.speaking.context, &self.receipt());
        if context.remembered_file(receipt, &self.answer).await? {
            match self.hear().await {
                // It was kept unheard: another one is asked for.
                Err(error) if error.class == ErrorClass::Malformed => {}
                heard => return heard,
            }
        }
        let ask = |number| self.ask(receipt, number);
        let keep = |answer| self.keep(receipt, answer);
        call_and_keep(context, self.voice.service(), &self.operation, ask, keep).await
    }

    /// One try: the bytes of the answer, and its name.
    async fn ask(
        &self,
        receipt: &str,
        number: u32,
    ) -> Result<(Vec<u8>, Option<String>), StageError> {
        let (context, operation) = (self.speaking.context, self.operation.as_str());
        match self.voice {
            Voice::ElevenLabs(service) => {
                elevenlabs::speak(context, service, operation, &self.request).await
            }
            Voice::OpenAi(service) => {
                let name = openai::request_name(context, receipt, number);
                openai::speak(context, service, operation, &self.request, &name).await
            }
        }
    }

    /// Keeps what came, and listens to it then.
    async fn keep(
        &self,
        receipt: &str,
        (bytes, request_id): (Vec<u8>, Option<String>),
    ) -> Result<Spoken, StageError> {
        let context = self.speaking.context;
        context.used(self.cost());
        tokio::fs::write(&self.answer, bytes)
            .await
            .map_err(|e| StageError::from_io("keep a sound", &e).kind(AUDIO))?;
        context.remember_file(receipt, &self.answer).await?;
        self.hear().await.map_err(|mut error| {
            error.request_id = request_id;
            error
        })
    }

    /// Price by character, where the settings name one.
    fn cost(&self) -> Usage {
        let price =
            self.voice.service().option_number("usd_per_million_characters").unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "few characters")]
        let usd = self.characters as f64 * price / 1e6;
        Usage { usd, ..Usage::default() }
    }

    /// Decodes the answer that was kept, and holds it to what it says of itself.
    async fn hear(&self) -> Result<Spoken, StageError> {
        let (audio, heard) = self.audio().await?;
        let sound = self.answer.with_extension("wav");
        let Speaking { spawner, context, .. } = self.speaking;
        ffmpeg::to_voice(spawner, context, &audio, &sound)
            .await
            .map_err(|error| self.undecodable(error))?;
        let ms = self.audible(&sound)?;
        if let Some((_, end)) = heard.as_deref().and_then(<[_]>::last) {
            self.check_length(ms, *end)?;
        }
        let words = heard.and_then(|heard| aligned(&self.section.text, &heard));
        Ok(Spoken { sound, words: words.map(|words| within(words, ms)) })
    }

    /// The encoded sound as a file, and the times of its words.
    async fn audio(&self) -> Result<(PathBuf, Option<Vec<(u64, u64)>>), StageError> {
        if matches!(self.voice, Voice::OpenAi(_)) {
            return Ok((self.answer.clone(), None));
        }
        let failed = |e: &std::io::Error| StageError::from_io("keep a sound", e).kind(AUDIO);
        let body = tokio::fs::read(&self.answer).await.map_err(|e| failed(&e))?;
        let read = elevenlabs::read(&body)
            .map_err(|fault| self.malformed(format!("the answer {fault}")))?;
        let audio = self.answer.with_extension("mp3");
        tokio::fs::write(&audio, read.audio).await.map_err(|e| failed(&e))?;
        Ok((audio, read.words))
    }

    /// How long the sound is.
    fn audible(&self, sound: &Path) -> Result<u64, StageError> {
        let ms = length_ms(sound)
            .map_err(|error| self.malformed(self.sound("cannot be read")).cause(error))?;
        match ms {
            Some(ms) => Ok(ms),
            None => {
                let mut error = silent(&format!("section {}", self.section.section_id));
                error.provider = Some(self.voice.service().api.name.to_owned());
                Err(error.hint(OTHER_VOICE))
            }
        }
    }

    fn check_length(&self, ms: u64, told_ms: u64) -> Result<(), StageError> {
        #[expect(clippy::cast_precision_loss, reason = "a section lasts seconds")]
        let part = told_ms as f64 * LENGTH_TOLERANCE;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
        let slack = (part as u64).max(LENGTH_SLACK_MS);
        if ms.abs_diff(told_ms) <= slack {
            return Ok(());
        }
        let mut error = self.malformed(
            self.sound(&format!("lasts {ms} ms, and by the times of its words {told_ms} ms")),
        );
        error.expected = Some(format!("{told_ms} ms, give or take {slack}"));
        error.found = Some(format!("{ms} ms"));
        Err(error)
    }

    fn undecodable(&self, cause: StageError) -> StageError {
        if cause.class != ErrorClass::Process {
            return cause;
        }
        let mut error = self.malformed(self.sound("cannot be decoded"));
        error.stderr_tail = cause.stderr_tail;
        error.argv = cause.argv;
        error.cause(cause.message)
    }

    fn sound(&self, what: &str) -> String {
        format!("the sound of section {} {what}", self.section.section_id)
    }

    fn malformed(&self, message: String) -> StageError {
        let service = self.voice.service();
        service.failure(ErrorClass::Malformed, &self.operation, message).hint(OTHER_VOICE)
    }
}

const OTHER_VOICE: &str = "try another voice or model of the service with `services`, or put another \
                           provider behind it in `providers`";

/// Words end with the sound at the latest.
fn within(mut words: Vec<WordTiming>, ms: u64) -> Vec<WordTiming> {
    for word in &mut words {
        word.start_ms = word.start_ms.min(ms);
        word.end_ms = word.end_ms.min(ms);
    }
    words
}
