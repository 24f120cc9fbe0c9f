//! Settings of `with` that the stages which make videos share.

use std::str::FromStr;
use std::time::Duration;

use flow_core::error::StageError;
use flow_core::policy::parse_duration;
use flow_core::schema::Type;
use flow_core::stage::{ConfigFault, FieldKind, FieldSpec, Job, NodeView};
use serde_json::Value;

use super::ffmpeg::{Fit, Frame, STALL};
use super::ports::{config_error, field, number, text};

/// A length of time as text, `2.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time: write it as 2.5s");
        parse_duration(text).filter(|span| !span.is_zero()).map(Self).ok_or_else(wrong)
    }
}

/// The fields that [`Picture::read`] and [`families`] read.
pub(super) fn fields() -> Vec<FieldSpec> {
    vec![
        field(
            "size",
            FieldKind::Text,
            "Width and height in pixels, both even; default `1080x1920`.",
        ),
        field(
            "fit",
            FieldKind::Text,
            "Around pictures of another shape: `pad` (default), a dark ground, or `blur`, the picture itself.",
        ),
        field(
            "font",
            FieldKind::Json,
            "Families of the font, of which the first that is installed is taken; default: the bundled one.",
        ),
        field(
            "stall_timeout",
            FieldKind::Duration,
            "How long ffmpeg may make no progress; default 30s.",
        ),
    ]
}

/// How a video is framed, and how long its encoder may stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) frame: Frame,
    pub(super) fit: Fit,
    pub(super) stall: Duration,
}

impl Picture {
    /// Reads what an attempt was given.
    pub(super) fn read(job: &Job) -> Result<Self, StageError> {
        Ok(Self {
            frame: setting(job, "size")?.unwrap_or(Frame::REEL),
            fit: setting(job, "fit")?.unwrap_or(Fit::Pad),
            stall: number(job, "stall_timeout").map_or(STALL, Duration::from_millis),
        })
    }

    /// Faults that are plain before anything runs.
    pub(super) fn check(node: &NodeView<'_>) -> Vec<ConfigFault> {
        [fault::<Frame>(node, "size"), fault::<Fit>(node, "fit")].into_iter().flatten().collect()
    }
}

/// A setting that is text of some form; `None` where it is absent or empty.
pub(super) fn setting<T: FromStr<Err = String>>(
    job: &Job,
    name: &str,
) -> Result<Option<T>, StageError> {
    let read = |text: &str| {
        text.parse()
            .map_err(|e: String| config_error(name, e, "see `flow stages` for what it takes"))
    };
    text(job, name).map(read).transpose()
}

/// What is wrong with a setting as it is written; one with templates is only known later.
pub(super) fn fault<T: FromStr<Err = String>>(
    node: &NodeView<'_>,
    name: &str,
) -> Option<ConfigFault> {
    let written = node.config.get(name)?.as_str()?;
    if written.is_empty() || written.contains("{{") {
        return None;
    }
    let message = written.parse::<T>().err()?;
    Some(ConfigFault { pointer: format!("/{name}"), message, help: None })
}

/// A setting that is true or false, perhaps as text.
pub(super) fn switch(job: &Job, name: &str) -> Result<bool, StageError> {
    match job.config.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" || text.is_empty() => Ok(false),
        Some(other) => {
            Err(config_error(name, format!("{other} is neither true nor false"), "write `true`"))
        }
    }
}

/// A setting that is text or a list of texts; each null or empty one counts for nothing.
pub(super) fn texts(job: &Job, name: &str) -> Result<Vec<String>, StageError> {
    listed(job.config.get(name)).ok_or_else(|| {
        config_error(name, "it is no list of texts".into(), "write it as [\"a\", \"b\"]")
    })
}

/// The families that `font` names as it is written; those in templates are only known later.
pub(super) fn families(node: &NodeView<'_>) -> Vec<String> {
    let named = listed(node.config.get("font")).unwrap_or_default();
    if named.iter().any(|family| family.contains("{{")) { Vec::new() } else { named }
}

fn listed(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Some(Vec::new()),
        Some(Value::String(text)) => Some(vec![text.clone()]),
        Some(Value::Array(list)) => {
            list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        }
        Some(_) => None,
    }
}

/// The type of a list of videos.
pub(super) fn videos() -> Type {
    Type::File(flow_core::schema::MediaPattern::parse("video/*")).list()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(config: Value) -> Job {
        Job {
            config,
            inputs: std::collections::BTreeMap::new(),
            outputs: Vec::new(),
            timeout: None,
            reserved: Vec::new(),
        }
    }

    #[test]
    fn settings_are_read_in_every_form_that_a_template_gives() {
        let given = job(json!({"size": "270x480", "fit": "blur", "stall_timeout": 500,
                               "on": "true", "off": "", "one": "a", "two": ["a", "b"]}));
        let picture = Picture::read(&given).expect("settings");
        assert_eq!(picture.frame, Frame { width: 270, height: 480 });
        assert_eq!((picture.fit, picture.stall), (Fit::Blur, Duration::from_millis(500)));
        assert!(switch(&given, "on").expect("a switch") && !switch(&given, "off").expect("one"));
        assert_eq!(texts(&given, "one").expect("texts"), ["a"]);
        assert_eq!(texts(&given, "two").expect("texts"), ["a", "b"]);
        assert_eq!(texts(&given, "none").expect("texts"), Vec::<String>::new());
    }

    #[test]
    fn a_setting_of_another_form_is_a_matter_of_configuration() {
        let error = Picture::read(&job(json!({"size": "271x480"}))).expect_err("it is odd");
        assert!(error.message.contains("odd side"), "{}", error.message);
        assert!(switch(&job(json!({"on": 3})), "on").is_err());
        assert!(texts(&job(json!({"font": [3]})), "font").is_err());
        assert_eq!("0s".parse::<Span>().ok(), None);
        assert_eq!("1.5s".parse::<Span>().ok(), Some(Span(Duration::from_millis(1_500))));
    }
}
