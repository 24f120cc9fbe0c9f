//! Media types: single ones, families, and the aliases that are one type.

use std::fmt;

/// A media type such as `audio/wav`, or a family such as `audio/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPattern {
    family: String,
    subtype: Option<String>,
}

impl MediaPattern {
    /// Reads `type/subtype` or `type/*`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = canonical_media_type(text);
        let (family, subtype) = text.split_once('/')?;
        let token = |s: &str| {
            !s.is_empty()
                && s.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_'))
        };
        if !token(family) || (subtype != "*" && !token(subtype)) {
            return None;
        }
        let subtype = (subtype != "*").then(|| subtype.to_owned());
        Some(Self { family: family.to_owned(), subtype })
    }

    /// Whether a concrete media type is of this pattern; usual aliases are one type.
    #[must_use]
    pub fn matches(&self, media_type: &str) -> bool {
        Self::parse(media_type).is_some_and(|concrete| concrete.is_within(self))
    }

    /// Whether every type of this pattern is also of `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.family == other.family && (other.subtype.is_none() || self.subtype == other.subtype)
    }

    /// Whether it names a kind of text that content alone cannot tell.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.family == "text"
    }
}

impl fmt::Display for MediaPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family, self.subtype.as_deref().unwrap_or("*"))
    }
}

/// The usual name of a media type: lower case, aliases resolved.
#[must_use]
pub fn canonical_media_type(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let known = match lower.as_str() {
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "audio/wav",
        "audio/mp3" | "audio/x-mp3" => "audio/mpeg",
        "audio/x-flac" => "audio/flac",
        "audio/x-aac" => "audio/aac",
        "audio/x-m4a" | "audio/m4a" => "audio/mp4",
        "video/x-m4v" => "video/mp4",
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "image/x-png" => "image/png",
        "image/vnd.microsoft.icon" => "image/x-icon",
        "application/x-gzip" => "application/gzip",
        "application/x-zip-compressed" => "application/zip",
        "text/json" => "application/json",
        "text/xml" => "application/xml",
        "application/x-pdf" => "application/pdf",
        _ => return lower,
    };
    known.to_owned()
}
