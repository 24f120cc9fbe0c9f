//! What a workflow file means, and what is told of a broken one.

mod broken;
mod form;
mod meaning;
mod robust;

use std::fmt::Write as _;
use std::path::PathBuf;

use flow_core::definition::Definition;
use flow_core::diagnostic::line_column;
use flow_core::schema::Severity;

use crate::Loaded;

const HEAD: &str = "[workflow]\nname = \"w\"\n";

fn parse(text: &str) -> Loaded {
    crate::parse("flow.toml", text, PathBuf::from("/flows"))
}

/// The definition of a file without faults.
fn valid(text: &str) -> Definition {
    let loaded = parse(text);
    assert!(loaded.diagnostics.is_empty() && loaded.complete, "{}", plain(&loaded));
    loaded.definition.expect("a definition")
}

/// The faults in a plain form: code, place, message, marked text, labels, help.
fn plain(loaded: &Loaded) -> String {
    let text = &loaded.source.text;
    let mut out = String::new();
    for fault in &loaded.diagnostics {
        let place = fault.labels.first().expect("every fault has a place");
        let (line, column) = line_column(text, place.span.start);
        let warning = if fault.severity == Severity::Warning { "warning " } else { "" };
        let marked = text.get(place.span.clone()).expect("a place inside the text");
        writeln!(
            out,
            "{warning}{} {line}:{column} {} <{}>",
            fault.code,
            fault.message,
            marked.escape_debug()
        )
        .expect("writing to a string");
        for label in &fault.labels {
            if !label.text.is_empty() {
                let (line, column) = line_column(text, label.span.start);
                writeln!(out, "  at {line}:{column} {}", label.text).expect("writing to a string");
            }
        }
        if let Some(help) = &fault.help {
            writeln!(out, "  help: {help}").expect("writing to a string");
        }
    }
    out
}
