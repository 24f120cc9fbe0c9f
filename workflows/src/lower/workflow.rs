//! `[workflow]` and `[tools]`.

use std::time::Duration;

use flow_core::definition::Spanned;
use flow_core::diagnostic::Diagnostic;
use indexmap::IndexMap;
use toml::de::DeTable;

use super::fields::Fields;
use super::vocabulary::Scope;
use super::{Lower, Value, named, read};
use crate::{RunSetting, codes};

/// What `[workflow]` says.
pub(super) struct Head {
    pub(super) name: Spanned<String>,
    pub(super) description: Option<String>,
    pub(super) max_parallel: Option<u32>,
    pub(super) fail_fast: bool,
    pub(super) deadline: Option<Duration>,
    pub(super) timezone: Option<Spanned<String>>,
}

/// Lowers `[workflow]`; a file without it has an empty name.
pub(super) fn lower(cx: &mut Lower, file: &Fields<'_, '_>) -> Head {
    let nothing = DeTable::new();
    let (span, table) = match file.entry("workflow") {
        Some((span, value)) => {
            let table = read::table(cx, "workflow", value);
            (span, table)
        }
        None => {
            cx.missing(
                Diagnostic::error(codes::MISSING_KEY, 0..0, "the file has no [workflow] table")
                    .help("begin with:\n[workflow]\nname = \"…\""),
            );
            (0..0, None)
        }
    };
    let written = table.is_some();
    let fields = Fields::open(cx, Scope::Workflow, table.unwrap_or(&nothing), span);
    let name = fields.get("name").and_then(|v| read::filled_text(cx, "name", v));
    if written && fields.get("name").is_none() {
        cx.missing(
            Diagnostic::error(codes::MISSING_KEY, fields.span.clone(), "the workflow has no name")
                .help("add name = \"…\" below [workflow]"),
        );
    }
    Head {
        name: name.unwrap_or_else(|| Spanned::new(String::new(), fields.span.clone())),
        description: fields
            .get("description")
            .and_then(|v| read::text(cx, "description", v))
            .map(|text| text.value),
        max_parallel: fields.get("max_parallel").and_then(|v| read::count(cx, "max_parallel", v)),
        fail_fast: fields
            .get("fail_fast")
            .and_then(|v| read::boolean(cx, "fail_fast", v))
            .unwrap_or_default(),
        deadline: fields.get("deadline").and_then(|v| read::positive_duration(cx, "deadline", v)),
        timezone: fields.get("timezone").and_then(|v| timezone(cx, v)),
    }
}

/// What is about a run as a whole.
pub(super) fn run_settings(root: &DeTable<'_>) -> Vec<RunSetting> {
    let table = root.get("workflow").and_then(|value| value.get_ref().as_table());
    let key = |key: &'static str| {
        let (found, value) = table?.get_key_value(key)?;
        Some(RunSetting { key, span: found.span(), value: value.span() })
    };
    ["max_parallel", "fail_fast", "deadline", "timezone"].into_iter().filter_map(key).collect()
}

fn timezone(cx: &mut Lower, value: &Value<'_>) -> Option<Spanned<String>> {
    let name = read::filled_text(cx, "timezone", value)?;
    if jiff::tz::TimeZone::get(&name).is_err() {
        let message = format!("the time zone {:?} is not known", name.value);
        cx.fault(
            Diagnostic::error(codes::TIMEZONE, value.span(), message)
                .help("write a name of the IANA database, such as \"America/New_York\" or \"UTC\""),
        );
        return None;
    }
    Some(name)
}

/// Lowers `[tools]`: where programs are.
pub(super) fn tools(cx: &mut Lower, table: &DeTable<'_>) -> IndexMap<String, Spanned<String>> {
    named(cx, table, |cx, name, span, value| {
        if name.is_empty() || name.contains('/') {
            let message = format!("{name:?} is not the name of a program");
            cx.fault(
                Diagnostic::error(codes::IDENTIFIER, span, message)
                    .help("the name stands left without folders, the path right: ffmpeg = \"/opt/ffmpeg/bin/ffmpeg\""),
            );
        }
        read::filled_text(cx, name, value)
    })
}
