//! The voice of this machine: espeak-ng.

use std::path::PathBuf;
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};

use super::{AUDIO, Narration, Speaking, Spoken};
use crate::contract::ScriptSection;
use crate::media::ports::tool;
use crate::media::speech::spoken;

/// The rate at which the voice speaks [`crate::media::words::WORDS_PER_SECOND`].
pub(in crate::media) const RATE: u64 = 165;
/// Rates that espeak-ng speaks.
pub(in crate::media) const RATES: std::ops::RangeInclusive<u64> = 80..=450;
pub(in crate::media) const VOICE: &str = "en-us";
/// How long the voice may take for a section; it needs a fraction of a second.
pub(in crate::media) const SPEAKING_LIMIT: Duration = Duration::from_secs(30);

/// How espeak-ng speaks.
#[derive(Clone, Copy)]
pub(in crate::media) struct Espeak<'a> {
    pub(in crate::media) voice: &'a str,
    /// Words a minute.
    pub(in crate::media) rate: u64,
    /// How long it may take for a section.
    pub(in crate::media) limit: Duration,
}

impl Espeak<'_> {
    pub(super) async fn speak_all(self, speaking: Speaking<'_>) -> Result<Narration, StageError> {
        let mut sections = Vec::with_capacity(speaking.sections.len());
        for (at, section) in speaking.sections.iter().enumerate() {
            let sound = self.speak(speaking, at, section).await?;
            sections.push(Spoken { sound, words: None });
            speaking.tell(at + 1);
        }
        let (provider, voice) = ("espeak-ng".to_owned(), self.voice.to_owned());
        Ok(Narration { sections, provider, voice, model: None })
    }

    /// Speaks one section to a file of its own.
    async fn speak(
        self,
        speaking: Speaking<'_>,
        at: usize,
        section: &ScriptSection,
    ) -> Result<PathBuf, StageError> {
        let context = speaking.context;
        let text = context.scratch().join(format!("section-{:02}.txt", at + 1));
        let sound = text.with_extension("wav");
        std::fs::write(&text, spoken(&section.text))
            .map_err(|e| StageError::from_io("write the words to speak", &e).kind(AUDIO))?;
        let operation = format!("speak section {}", section.section_id);
        let command = tool(context, "espeak-ng", AUDIO, operation)
            .args(["-v", self.voice, "-s", &self.rate.to_string(), "-b", "1", "-w"])
            .arg(&sound)
            .arg("-f")
            .arg(&text)
            // It writes to its file alone, so that silence on its streams is its whole life.
            .idle_timeout(Some(self.limit));
        let finished = speaking.spawner.run(context, command).await;
        finished.map_err(|error| self.unspoken(section, error))?;
        // espeak-ng ends with 0 even where it could not write its file.
        if sound.is_file() { Ok(sound) } else { Err(missing_sound(&section.section_id)) }
    }

    /// Adds what a person can do about a voice that failed.
    fn unspoken(self, section: &ScriptSection, mut error: StageError) -> StageError {
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
}

/// The voice said that all is well, and there is no file.
fn missing_sound(section: &str) -> StageError {
    let message = format!("espeak-ng reported success and wrote no sound for section {section}");
    StageError::new(ErrorClass::Malformed, "narrate the script", message).kind(AUDIO).hint(
        "check that the disk has room, and try the voice by hand: `espeak-ng -w test.wav hello`",
    )
}
