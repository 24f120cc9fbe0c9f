//! Voices: who speaks the sections of a script, each section to a sound of its own. One voice speaks
//! all of a script.

mod here;
mod remote;

use std::path::PathBuf;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{Context, Progress};

use crate::client::Provider;
use crate::client::chain::Known;
use crate::client::elevenlabs::ELEVENLABS;
use crate::client::openai::OPENAI;
use crate::contract::{ScriptSection, WordTiming};
use crate::process::Spawner;

pub(super) use here::{Espeak, RATE, RATES, SPEAKING_LIMIT, VOICE};

/// The voice of this machine, as `providers` names it.
pub(super) const ESPEAK: &str = "espeak";
/// Who can speak.
pub(super) const PROVIDERS: Known = Known { apis: &[&ELEVENLABS, &OPENAI], locals: &[ESPEAK] };

pub(super) const AUDIO: ErrorKind = ErrorKind::AudioGeneration;

/// A section that was spoken.
#[derive(Debug)]
pub(super) struct Spoken {
    /// A mono WAV of 16 bit.
    pub(super) sound: PathBuf,
    /// When its words are heard, from its beginning, where the voice tells.
    pub(super) words: Option<Vec<WordTiming>>,
}

/// A whole script as one voice speaks it.
#[derive(Debug)]
pub(super) struct Narration {
    pub(super) sections: Vec<Spoken>,
    /// Who spoke, as the record has it.
    pub(super) provider: String,
    pub(super) voice: String,
    pub(super) model: Option<String>,
}

/// What every voice needs.
#[derive(Clone, Copy)]
pub(super) struct Speaking<'a> {
    pub(super) spawner: &'a Spawner,
    pub(super) context: &'a dyn Context,
    pub(super) sections: &'a [ScriptSection],
}

impl Speaking<'_> {
    /// Has all sections spoken by one provider.
    ///
    /// # Errors
    /// When one of them is not.
    pub(super) async fn by(
        self,
        provider: &Provider,
        espeak: Espeak<'_>,
    ) -> Result<Narration, StageError> {
        match provider {
            Provider::Local(_) => espeak.speak_all(self).await,
            Provider::Remote(service) => remote::speak_all(self, service).await,
        }
    }

    fn tell(&self, done: usize) {
        #[expect(clippy::cast_precision_loss, reason = "few sections")]
        self.context.progress(Progress {
            done: done as f64,
            total: Some(self.sections.len() as f64),
            unit: "sections",
            message: "speaking".into(),
        });
    }
}

/// Nothing can be heard.
pub(super) fn silent(what: &str) -> StageError {
    StageError::new(ErrorClass::Malformed, "narrate the script", format!("{what} is silent"))
        .kind(AUDIO)
        .hint("check the section's text: it needs words that the voice can speak")
}
