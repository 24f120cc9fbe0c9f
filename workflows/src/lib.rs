//! Workflow files: TOML with places, lowered to a [`Definition`].
//!
//! Every fault that the file's own form shows is told at once, syntax faults included, each with
//! its code, its place and a way out. What needs the whole graph or the stages is left to
//! [`flow_core::graph`].
//!
//! A TOML date or time in a place that takes JSON (`with`, `default`, `enum`) becomes text: RFC
//! 3339 if it has a date, a time and an offset, otherwise its own parts as they are written.

pub mod codes;
mod editor;
mod file;
mod include;
mod lower;
mod source;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use flow_core::definition::{Definition, Source, Span};
use flow_core::diagnostic::Diagnostic;
use flow_core::schema::Severity;

pub use editor::json_schema;

/// What was read from a workflow file.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// As much of the workflow as could be understood; `None` if nothing could.
    pub definition: Option<Definition>,
    /// Whether the definition has everything that the file has. If not, something was left out
    /// because of a fault in `diagnostics`, and a check that misses a name may be wrong. A stage or
    /// workflow name that is not given is empty, a type that cannot be read an unknown name.
    pub complete: bool,
    /// All faults, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The text that the places refer to, where a fault does not say that it is in another file;
    /// without a byte order mark.
    pub source: Source,
    /// The texts of the files that belong to the definition, by their path relative to the
    /// workflow file's folder.
    pub files: BTreeMap<String, String>,
    /// What `[workflow]` says that is about a run as a whole.
    pub(crate) run_settings: Vec<RunSetting>,
}

/// A setting of `[workflow]` that is about a run as a whole.
#[derive(Debug, Clone)]
pub(crate) struct RunSetting {
    pub(crate) key: &'static str,
    /// The place of the key.
    pub(crate) span: Span,
    /// The place of the value.
    pub(crate) value: Span,
}

impl RunSetting {
    /// The value as it is written.
    pub(crate) fn written<'a>(&self, source: &'a Source) -> &'a str {
        source.text.get(self.value.clone()).unwrap_or_default()
    }
}

impl Loaded {
    /// Whether no fault refuses the file.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.diagnostics.iter().all(|d| d.severity != Severity::Error)
    }

    /// Adds the faults of a later check, in the order of the file. One that points to where an
    /// error already stands, or to a value or type inside which one stands, is left out, because
    /// it only follows from that.
    pub fn join(&mut self, faults: Vec<Diagnostic>) {
        let mut told = HashSet::new();
        let mut inner = Vec::new();
        for fault in self.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
            let Some(label) = fault.labels.first() else { continue };
            let file = file_of(fault).to_owned();
            if matches!(fault.code, codes::VALUE_TYPE | codes::TYPE_SYNTAX) {
                inner.push((file.clone(), label.span.clone()));
            }
            told.insert((file, label.span.clone()));
        }
        let follows = |fault: &Diagnostic| {
            let Some(span) = fault.labels.first().map(|label| label.span.clone()) else {
                return false;
            };
            let file = file_of(fault);
            let around = |(other, wrong): &(String, Span)| {
                other == file && span.start <= wrong.start && wrong.end <= span.end
            };
            let place = (file.to_owned(), span.clone());
            span != (0..0) && (told.contains(&place) || inner.iter().any(around))
        };
        self.diagnostics.extend(faults.into_iter().filter(|fault| !follows(fault)));
        sort(&mut self.diagnostics);
    }
}

/// Puts faults in the order of the file, and those of files inside it behind; those at one place
/// stay as they are.
fn sort(diagnostics: &mut [Diagnostic]) {
    let start = |fault: &Diagnostic| fault.labels.first().map_or(0, |label| label.span.start);
    diagnostics.sort_by(|a, b| file_of(a).cmp(file_of(b)).then_with(|| start(a).cmp(&start(b))));
}

/// The file inside the workflow file that a fault is in; empty for the workflow file itself.
fn file_of(fault: &Diagnostic) -> &str {
    fault.source.as_ref().map_or("", |source| &source.name)
}

/// Why a workflow file could not be looked at.
#[derive(Debug)]
pub enum LoadError {
    /// The file could not be read.
    Io {
        /// The file, as the user named it.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Io { path, .. } = self;
        write!(f, "cannot read the workflow file {}", path.display())
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let Self::Io { source, .. } = self;
        Some(source)
    }
}

/// Reads and lowers a workflow file.
///
/// # Errors
/// [`LoadError::Io`] when the file cannot be read. Faults inside the file are no error of this
/// function: they are in [`Loaded::diagnostics`].
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    file::load(path)
}

/// Gives the text of a file that belongs to a workflow file, by its path relative to the workflow
/// file's folder, or the reason why it cannot.
pub type ReadFile<'a> = dyn Fn(&str) -> Result<String, String> + Sync + 'a;

/// Lowers the text of a workflow file. `name` is how the user named it, `dir` the absolute folder
/// that relative paths start from. A byte order mark and CRLF line ends are accepted. No file is
/// read: a type that names a schema and a node that names another workflow file are faults; see
/// [`parse_with`].
#[must_use]
pub fn parse(name: &str, text: &str, dir: PathBuf) -> Loaded {
    parse_with(name, text, dir, &|_| Err("no files belong to this text".to_owned()))
}

/// Lowers the text of a workflow file as [`parse`] does, with the schemas and the workflow files
/// inside it that `read` gives.
#[must_use]
pub fn parse_with(name: &str, text: &str, dir: PathBuf, read: &ReadFile<'_>) -> Loaded {
    let mut loaded = parse_alone(name, text, dir, read);
    include::include(&mut loaded, read);
    sort(&mut loaded.diagnostics);
    loaded
}

/// Lowers one text.
fn parse_alone(name: &str, text: &str, dir: PathBuf, read: &ReadFile<'_>) -> Loaded {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source { name: name.to_owned(), text: text.into(), dir };
    source::on_enough_stack(text, || {
        source::with_document(text, |document| lower::lower(document, &source, read))
    })
}

#[cfg(test)]
mod tests;
