//! Pictures, and the package of all that a piece is assembled from.

use flow_core::schema::{Fault, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::slate::first_version;
use super::{AudioMetadata, Contract, FileRef, TimingData, checks, ty};

/// What a check of an asset found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct AssetCheck {
    /// Who looked.
    pub by: String,
    /// Whether it can be used.
    pub passed: bool,
    /// How good it is, from 0 to 1.
    #[validate(range(min = 0.0, max = 1.0, code = "advice", message = "a score from 0 to 1"))]
    pub score: f64,
    /// What is wrong, as sentences.
    #[serde(default)]
    pub issues: Vec<String>,
}

impl Contract for AssetCheck {
    const NAME: &'static str = "AssetCheck";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("by", Type::String),
            ("passed", Type::Boolean),
            ("score", Type::Number),
            ("issues", Type::String.list().optional()),
        ]
    }
}

/// One picture, clip or font.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct AssetMetadata {
    /// Id within the package.
    #[validate(custom(function = "checks::present"))]
    pub asset_id: String,
    /// The section of the script it belongs to.
    pub section_id: String,
    /// `image`, `clip`, `logo` or `font`.
    #[validate(custom(function = "checks::asset_kind"))]
    #[schemars(extend("enum" = checks::ASSET_KINDS))]
    pub kind: String,
    /// The file.
    pub path: FileRef,
    /// Media type by content.
    pub mime: String,
    /// Width in pixels.
    #[validate(range(min = 256, code = "advice", message = "at least 256 pixels"))]
    pub width_px: u32,
    /// Height in pixels.
    #[validate(range(min = 256, code = "advice", message = "at least 256 pixels"))]
    pub height_px: u32,
    /// Size of the file.
    #[validate(range(min = 1, code = "advice", message = "a file with content"))]
    pub bytes: u64,
    /// What made it.
    pub provider: String,
    /// The model, where one made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The seed it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What a check of it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<AssetCheck>,
}

impl AssetMetadata {
    /// Whether it fills the picture for a while, unlike a logo or a font.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        matches!(self.kind.as_str(), "image" | "clip")
    }
}

impl Contract for AssetMetadata {
    const NAME: &'static str = "AssetMetadata";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("asset_id", Type::String),
            ("section_id", Type::String),
            ("kind", Type::String),
            ("path", Type::File(None)),
            ("mime", Type::String),
            ("width_px", Type::Integer),
            ("height_px", Type::Integer),
            ("bytes", Type::Integer),
            ("provider", Type::String),
            ("model", Type::String.optional()),
            ("prompt", Type::String.optional()),
            ("seed", Type::Integer.optional()),
            ("check", ty::<AssetCheck>().optional()),
        ]
    }
}

/// All that a piece is assembled from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct MediaPackage {
    /// Version of this record's form.
    #[serde(default = "first_version")]
    pub schema_version: u32,
    /// The idea it belongs to.
    #[validate(custom(function = "checks::present"))]
    pub idea_id: String,
    /// Width to height, such as `9:16`.
    pub aspect: String,
    /// Pictures and clips, in the order in which they are shown.
    #[validate(length(min = 1, code = "advice", message = "at least one asset"))]
    pub assets: Vec<AssetMetadata>,
    /// The narration, where it travels with the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioMetadata>,
    /// Its times; absent where the preset has no narration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<TimingData>,
}

impl Contract for MediaPackage {
    const NAME: &'static str = "MediaPackage";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("schema_version", Type::Integer.optional()),
            ("idea_id", Type::String),
            ("aspect", Type::String),
            ("assets", ty::<AssetMetadata>().list()),
            ("audio", ty::<AudioMetadata>().optional()),
            ("timing", ty::<TimingData>().optional()),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let Some(timing) = &self.timing else { return Vec::new() };
        let has_picture = |section: &str| {
            self.assets.iter().any(|asset| asset.section_id == section && asset.is_shown())
        };
        timing
            .segments
            .iter()
            .map(|segment| segment.section_id.as_str())
            .filter(|section| !has_picture(section))
            .map(|section| {
                let expected = format!("a picture or clip for section {section}");
                Fault::warning("/assets", expected, "none")
            })
            .collect()
    }
}
