//! What a check of the store finds.

use std::fmt;
use std::path::PathBuf;

use flow_core::id::RunId;
use flow_core::run::event::TaskRef;

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// A journal is damaged before its end: what is behind cannot be trusted.
    Journal,
    /// A journal is an older copy of itself.
    OlderJournal,
    /// A journal ends in something that was never acknowledged.
    TornEnd,
    /// A file that was recorded with a run is damaged or missing.
    RecordedFile,
    /// An object does not have the bytes that it is named after.
    Object,
    /// Something refers to an object that is not there.
    Missing,
    /// The checkpoint database is damaged; it is only an index.
    Database,
    /// A list that can be made again is damaged.
    List,
    /// What a program wrote is not what is kept of it; nothing depends on it.
    Captured,
    /// A line of a log is not what was written; nothing depends on it.
    Log,
    /// A part of what a program wrote, or of a line of a log or a list, never reached the disk, or is gone.
    Cut,
    /// Something of another kind lies where a file or a folder belongs.
    WrongKind,
    /// Something lies in the store that is not known, or that nobody needs any more.
    Stray,
    /// Something could not be looked at.
    NotChecked,
}

impl FindingKind {
    /// Whether nothing is wrong, and it is told only to be complete.
    #[must_use]
    pub fn is_note(self) -> bool {
        matches!(self, Self::TornEnd | Self::Cut | Self::Stray | Self::NotChecked)
    }
}

/// Something that a check of the store found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The file or folder.
    pub path: PathBuf,
    /// Where in the file, if that is known.
    pub offset: Option<u64>,
    /// The run that it is about.
    pub run: Option<RunId>,
    /// The task of that run.
    pub task: Option<TaskRef>,
    /// The output of that task.
    pub port: Option<String>,
    /// What does not fit, as a phrase.
    pub reason: String,
    /// What to do about it, as a sentence.
    pub remedy: String,
}

impl Finding {
    pub(super) fn new(
        kind: FindingKind,
        path: impl Into<PathBuf>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            path: path.into(),
            offset: None,
            run: None,
            task: None,
            port: None,
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    pub(super) fn of_run(self, run: &RunId) -> Self {
        Self { run: Some(run.clone()), ..self }
    }

    pub(super) fn of_output(self, task: &TaskRef, port: &str) -> Self {
        Self { task: Some(task.clone()), port: Some(port.to_owned()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(run) = &self.run {
            write!(f, ", run {run}")?;
        }
        if let Some(task) = &self.task {
            write!(f, ", {task}")?;
        }
        if let Some(port) = &self.port {
            write!(f, ", output {port}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
}
