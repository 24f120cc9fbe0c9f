//! What of a key is not what it was, in words.

use flow_core::explain::{Change, changes};
use flow_runtime::Made;
use serde_json::{Value, json};

use super::contrast::{Contrast, Desk, places};
use crate::report::text::{clean, count};

/// A part of a key that is not what it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// The word for programs: `stage`, `version`, `with`, `input`, `uses`, `output`.
    pub(crate) code: &'static str,
    /// What it is, such as `input slate`.
    pub(crate) what: String,
    /// How it differs.
    pub(crate) contrast: Contrast,
}

impl Told {
    fn new(code: &'static str, what: String, line: String, json: Value) -> Self {
        Self { code, what, contrast: Contrast::line(line, json) }
    }

    /// As an object.
    pub(crate) fn json(&self) -> Value {
        let mut object = self.contrast.json.clone();
        object["part"] = json!(self.code);
        object
    }
}

/// All that differs between what two results are made of, the first cause first.
pub(crate) fn told(before: &Made, after: &Made, desk: &Desk<'_>) -> Vec<Told> {
    changes(before.recipe(), after.recipe())
        .iter()
        .map(|change| one(change, before, after, desk))
        .collect()
}

fn one(change: &Change<'_>, before: &Made, after: &Made, desk: &Desk<'_>) -> Told {
    match change {
        Change::Stage { before, after } => Told::new(
            "stage",
            "stage".into(),
            format!("{before} → {after}"),
            json!({ "before": before, "after": after }),
        ),
        Change::Version { before: old, after: new } => Told::new(
            "version",
            format!("stage {}", after.parts.stage),
            format!("version {old} → {new}"),
            json!({ "before": old, "after": new }),
        ),
        Change::With { differences, written } => {
            let mut contrast = places(differences);
            contrast.json["written"] = json!(written);
            Told { code: "with", what: "with".into(), contrast }
        }
        Change::Input { port, before: old, after: new } => {
            let mut contrast = match (before.inputs.get(*port), after.inputs.get(*port)) {
                (Some(was), Some(is)) => desk.values(was, is),
                (None, _) => Contrast::line("it is new".into(), json!({ "kind": "json" })),
                (_, None) => Contrast::line("it is gone".into(), json!({ "kind": "json" })),
            };
            contrast.json["port"] = json!(port);
            contrast.json["digests"] = json!([old, new]);
            Told { code: "input", what: format!("input {port}"), contrast }
        }
        Change::Used { path, before: old, after: new } => {
            let line = match (old, new) {
                (None, _) => "it is new".to_owned(),
                (_, None) => "it is gone".to_owned(),
                (Some(old), Some(new)) => format!("{} → {}", old.short(), new.short()),
            };
            let json = json!({ "path": path, "before": old, "after": new });
            Told::new("uses", format!("uses {}", clean(path)), line, json)
        }
        Change::Output { port, before: old, after: new } => {
            let side = |side: &Option<&str>| side.map_or("undeclared".to_owned(), clean);
            let line = format!("{} → {}", side(old), side(new));
            let json = json!({ "port": port, "before": old, "after": new });
            Told::new("output", format!("declared output {port}"), line, json)
        }
    }
}

/// What of a key is what it was.
pub(crate) fn unchanged(before: &Made, after: &Made) -> Vec<String> {
    let (old, new) = (&before.parts, &after.parts);
    let mut same = Vec::new();
    if (old.stage, old.version) == (new.stage, new.version) {
        same.push(format!("stage {} (version {})", new.stage, new.version));
    }
    if old.config == new.config && new.config.as_object().is_some_and(|map| !map.is_empty()) {
        same.push("with".to_owned());
    }
    let inputs = new.inputs.iter().filter(|(port, digest)| old.inputs.get(*port) == Some(*digest));
    let uses = new.uses.iter().filter(|(path, digest)| old.uses.get(*path) == Some(*digest));
    let outputs = new.outputs.iter().filter(|(port, text)| old.outputs.get(*port) == Some(*text));
    let numbers = [
        (inputs.count(), "input"),
        (uses.count(), "used path"),
        (outputs.count(), "declared output"),
    ];
    same.extend(numbers.into_iter().filter(|(n, _)| *n > 0).map(|(n, noun)| count(n, noun)));
    same
}
