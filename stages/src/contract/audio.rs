//! A narration and its times.

use flow_core::schema::{Fault, MediaPattern, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::slate::first_version;
use super::{Contract, FileRef, checks, ty};

/// A narration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct AudioMetadata {
    /// Version of this record's form.
    #[serde(default = "first_version")]
    pub schema_version: u32,
    /// The sound.
    pub path: FileRef,
    /// Codec, such as `pcm_s16le`.
    pub codec: String,
    /// Samples per second and channel.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u16,
    /// Length.
    #[validate(range(min = 1, code = "advice", message = "a duration greater than 0"))]
    pub duration_ms: u64,
    /// Integrated loudness (EBU R 128).
    pub loudness_lufs: f64,
    /// What spoke it.
    pub provider: String,
    /// The voice.
    pub voice: String,
    /// The model, where a service spoke it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether it was spoken for an earlier run.
    pub cached: bool,
}

impl Contract for AudioMetadata {
    const NAME: &'static str = "AudioMetadata";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("schema_version", Type::Integer.optional()),
            ("path", Type::File(MediaPattern::parse("audio/*"))),
            ("codec", Type::String),
            ("sample_rate_hz", Type::Integer),
            ("channels", Type::Integer),
            ("duration_ms", Type::Integer),
            ("loudness_lufs", Type::Number),
            ("provider", Type::String),
            ("voice", Type::String),
            ("model", Type::String.optional()),
            ("cached", Type::Boolean),
        ]
    }
}

/// When a word is heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct WordTiming {
    /// The word.
    pub text: String,
    /// Start, from the beginning of the narration.
    pub start_ms: u64,
    /// End.
    pub end_ms: u64,
}

impl Contract for WordTiming {
    const NAME: &'static str = "WordTiming";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![("text", Type::String), ("start_ms", Type::Integer), ("end_ms", Type::Integer)]
    }
}

/// When a section of the script is heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct SegmentTiming {
    /// The section.
    #[validate(custom(function = "checks::present"))]
    pub section_id: String,
    /// Start, from the beginning of the narration.
    pub start_ms: u64,
    /// End; the next section starts here.
    pub end_ms: u64,
    /// Its words.
    #[serde(default)]
    pub words: Vec<WordTiming>,
    /// How the times of words came to be: `exact`, `aligned` or `estimated`.
    #[validate(custom(function = "checks::timing_source"))]
    #[schemars(extend("enum" = checks::TIMING_SOURCES))]
    pub timing_source: String,
}

impl Contract for SegmentTiming {
    const NAME: &'static str = "SegmentTiming";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("section_id", Type::String),
            ("start_ms", Type::Integer),
            ("end_ms", Type::Integer),
            ("words", ty::<WordTiming>().list().optional()),
            ("timing_source", Type::String),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let outside = |(at, word): (usize, &WordTiming)| {
            let within = self.start_ms <= word.start_ms
                && word.start_ms <= word.end_ms
                && word.end_ms <= self.end_ms;
            (!within).then(|| {
                let expected = format!("a time from {} to {}", self.start_ms, self.end_ms);
                let found = format!("from {} to {}", word.start_ms, word.end_ms);
                Fault::warning(format!("/words/{at}"), expected, found)
            })
        };
        self.words.iter().enumerate().filter_map(outside).collect()
    }
}

/// When everything is heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct TimingData {
    /// Version of this record's form.
    #[serde(default = "first_version")]
    pub schema_version: u32,
    /// Length of the narration.
    pub duration_ms: u64,
    /// The sections, one after the other.
    pub segments: Vec<SegmentTiming>,
}

impl Contract for TimingData {
    const NAME: &'static str = "TimingData";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("schema_version", Type::Integer.optional()),
            ("duration_ms", Type::Integer),
            ("segments", ty::<SegmentTiming>().list()),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut end = 0;
        for (at, segment) in self.segments.iter().enumerate() {
            if segment.start_ms != end {
                faults.push(Fault::warning(
                    format!("/segments/{at}/start_ms"),
                    format!("{end}, where the section before ends"),
                    segment.start_ms.to_string(),
                ));
            }
            if segment.end_ms < segment.start_ms {
                faults.push(Fault::warning(
                    format!("/segments/{at}/end_ms"),
                    "an end after the start",
                    segment.end_ms.to_string(),
                ));
            }
            end = segment.end_ms;
        }
        if end.abs_diff(self.duration_ms) > 20 {
            faults.push(Fault::warning(
                "/duration_ms",
                format!("{end} ± 20, the end of the last section"),
                self.duration_ms.to_string(),
            ));
        }
        faults
    }
}
