//! A finished video.

use flow_core::schema::{MediaPattern, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::slate::first_version;
use super::{AssetMetadata, Contract, FileRef, checks, ty};

/// A file that can be published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct OutputFile {
    /// The file.
    pub path: FileRef,
    /// Container, such as `mp4`.
    pub container: String,
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// Frames per second.
    pub fps: u32,
    /// Codec of the pictures.
    pub video_codec: String,
    /// Codec of the sound; absent in a silent video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_codec: Option<String>,
    /// Length.
    #[validate(range(min = 1, code = "advice", message = "a duration greater than 0"))]
    pub duration_ms: u64,
    /// Size of the file.
    #[validate(range(min = 1, code = "advice", message = "a file with content"))]
    pub bytes: u64,
    /// Integrated loudness of the sound (EBU R 128).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loudness_lufs: Option<f64>,
    /// Whether players can start before they have the whole file.
    #[validate(custom(function = "checks::playable_early"))]
    pub faststart: bool,
}

impl Contract for OutputFile {
    const NAME: &'static str = "OutputFile";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("path", Type::File(MediaPattern::parse("video/*"))),
            ("container", Type::String),
            ("width_px", Type::Integer),
            ("height_px", Type::Integer),
            ("fps", Type::Integer),
            ("video_codec", Type::String),
            ("audio_codec", Type::String.optional()),
            ("duration_ms", Type::Integer),
            ("bytes", Type::Integer),
            ("loudness_lufs", Type::Number.optional()),
            ("faststart", Type::Boolean),
        ]
    }
}

/// What assembling made, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct AssemblyResult {
    /// Version of this record's form.
    #[serde(default = "first_version")]
    pub schema_version: u32,
    /// The idea it belongs to.
    #[validate(custom(function = "checks::present"))]
    pub idea_id: String,
    /// The files.
    #[validate(length(min = 1, code = "advice", message = "at least one output"))]
    pub outputs: Vec<OutputFile>,
    /// The pictures that are in them.
    pub slides: Vec<AssetMetadata>,
    /// Version of the encoder.
    pub ffmpeg_version: String,
    /// The encoder's command, with file names instead of paths.
    pub argv: Vec<String>,
    /// What was not perfect, as sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How long the encoder took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encode_ms: Option<u64>,
}

impl Contract for AssemblyResult {
    const NAME: &'static str = "AssemblyResult";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("schema_version", Type::Integer.optional()),
            ("idea_id", Type::String),
            ("outputs", ty::<OutputFile>().list()),
            ("slides", ty::<AssetMetadata>().list()),
            ("ffmpeg_version", Type::String),
            ("argv", Type::String.list()),
            ("warnings", Type::String.list().optional()),
            ("encode_ms", Type::Integer.optional()),
        ]
    }
}
