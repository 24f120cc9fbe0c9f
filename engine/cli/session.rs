//! What the words of the command line mean on this machine: the store, colors, the catalog.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::id::RunId;
use flow_core::run::event::{Question, TaskRef};
use flow_core::run::manifest::MANIFEST_FILE;
use flow_core::store::{Store, StoreError};
use flow_stages::process::Spawner;
use flow_store::DiskStore;

use crate::args::Global;
use crate::failure::Failure;
use crate::report::human::name;
use crate::report::style::Paint;
use crate::report::{Results, text};

/// Name of a store's folder.
pub(crate) const STORE_NAME: &str = ".flow";

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Failures and the end.
    Quiet,
    /// A line per event.
    Normal,
    /// Also output of programs and progress.
    Verbose,
}

/// One invocation of `flow`.
pub(crate) struct Session {
    /// Standard output.
    pub(crate) out: Arc<Results>,
    /// Colors of results.
    pub(crate) stdout: Paint,
    /// Colors of everything else.
    pub(crate) stderr: Paint,
    /// Whether results are JSON.
    pub(crate) json: bool,
    /// How much is told.
    pub(crate) verbosity: Verbosity,
    /// Starts external programs.
    pub(crate) spawner: Spawner,
    /// The store that was named on the command line.
    store: Option<PathBuf>,
}

impl Session {
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            out: Arc::new(Results::new()),
            stdout: Paint::of(global.color, &std::io::stdout()),
            stderr: Paint::of(global.color, &std::io::stderr()),
            json: global.json,
            verbosity: match (global.quiet, global.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, 0) => Verbosity::Normal,
                (false, _) => Verbosity::Verbose,
            },
            spawner: Spawner::new(),
            store: global.store.clone(),
        }
    }

    /// The same, telling failures alone, and nothing on stdout.
    pub(crate) fn silent(&self) -> Self {
        Self {
            spawner: self.spawner.clone(),
            out: Arc::clone(&self.out),
            stdout: self.stdout,
            stderr: self.stderr,
            json: false,
            verbosity: Verbosity::Quiet,
            store: self.store.clone(),
        }
    }

    /// All stages; their programs are started by this invocation's one starter.
    pub(crate) fn catalog(&self) -> Catalog {
        flow_stages::catalog(self.spawner.clone())
    }

    /// The store, which must be there.
    ///
    /// # Errors
    /// [`StoreError::NoStore`], or a store that cannot be used.
    pub(crate) fn open_store(&self) -> Result<Arc<DiskStore>, Failure> {
        let dir = self.store_dir()?;
        Ok(Arc::new(DiskStore::open(&dir)?))
    }

    /// The store, which is made if it is not there.
    ///
    /// # Errors
    /// A store that cannot be made or used.
    pub(crate) fn create_store(&self) -> Result<Arc<DiskStore>, Failure> {
        let dir = self.store_dir()?;
        Ok(Arc::new(DiskStore::create(&dir)?))
    }

    /// The store, which is made if it is not there and was named: whoever names one wants it there,
    /// and no other store comes to be where a command happens to be typed.
    ///
    /// # Errors
    /// [`StoreError::NoStore`] where none was named, or a store that cannot be made or used.
    pub(crate) fn open_or_make_named_store(&self) -> Result<Arc<DiskStore>, Failure> {
        match self.named_store() {
            Some(_) => self.create_store(),
            None => self.open_store(),
        }
    }

    /// Makes the store of a project in `folder`, or the one that was named; gives its path.
    ///
    /// # Errors
    /// A store that cannot be made or used.
    pub(crate) fn create_store_in(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let dir = self.named_store().unwrap_or_else(|| folder.join(STORE_NAME));
        DiskStore::create(&dir)?;
        Ok(dir)
    }

    /// The store that the command line or the environment names.
    fn named_store(&self) -> Option<PathBuf> {
        let named = std::env::var_os("FLOW_STORE").filter(|value| !value.is_empty());
        self.store.clone().or_else(|| named.map(PathBuf::from))
    }

    /// Where the store is, or would be.
    fn store_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = self.named_store() {
            return Ok(dir);
        }
        let current = std::env::current_dir()
            .map_err(|source| Failure::System { operation: "find the current folder", source })?;
        let at = |folder: &Path| Some(folder.join(STORE_NAME)).filter(|dir| dir.is_dir());
        Ok(current.ancestors().find_map(at).unwrap_or_else(|| current.join(STORE_NAME)))
    }

    /// Where the store is, or would be, if that can be told.
    pub(crate) fn store_place(&self) -> Option<PathBuf> {
        self.store_dir().ok()
    }

    /// A command that the user can type to go on from here, with the store if one was named.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.prompt().command(words)
    }

    /// How commands are written for the user.
    pub(crate) fn prompt(&self) -> Prompt {
        Prompt { store: self.store.clone() }
    }
}

/// How commands are written for the user to type: with the store if one was named.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prompt {
    store: Option<PathBuf>,
}

impl Prompt {
    /// A command that the user can type to go on from here.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let store = self.store.as_deref().map(Path::as_os_str).map(OsStr::to_string_lossy);
        let mut all = vec!["flow"];
        if let Some(store) = &store {
            all.extend(["--store", store]);
        }
        all.extend(words);
        text::command_line(&all)
    }

    /// The command that answers a question.
    pub(crate) fn answer(&self, run: &str, task: &TaskRef, question: &Question) -> String {
        let task = name(task);
        match question.choices.first() {
            None => self.command(&["approve", run, &task]),
            Some(choice) => self.command(&["approve", run, &task, "--choice", choice]),
        }
    }
}

/// The run that `wanted` means: an id, a unique prefix, or `latest`.
///
/// # Errors
/// [`Failure::NoRun`], [`Failure::NoRuns`], [`Failure::Ambiguous`], or a store that cannot be read.
pub(crate) fn find_run(store: &dyn Store, wanted: &str) -> Result<RunId, Failure> {
    if let Ok(id) = RunId::new(wanted) {
        match store.run_file(&id, MANIFEST_FILE) {
            Ok(_) => return Ok(id),
            Err(StoreError::NoRun(_)) => {}
            // A run whose record is damaged is there all the same: whoever reads it says so.
            Err(_) => return Ok(id),
        }
    }
    let runs = store.runs()?;
    if wanted == "latest" {
        return runs.last().map(|entry| entry.id.clone()).ok_or(Failure::NoRuns);
    }
    let mut fitting: Vec<RunId> = runs
        .iter()
        .map(|entry| entry.id.clone())
        .filter(|id| !wanted.is_empty() && id.as_str().starts_with(wanted))
        .collect();
    match fitting.len() {
        0 => Err(Failure::NoRun { wanted: wanted.into(), nearest: near(wanted, &runs) }),
        1 => Ok(fitting.remove(0)),
        _ => Err(Failure::Ambiguous {
            prefix: wanted.to_owned(),
            candidates: fitting.iter().rev().take(10).map(ToString::to_string).collect(),
        }),
    }
}

/// Ids that may have been meant, nearest first.
fn near(wanted: &str, runs: &[flow_core::store::RunEntry]) -> Vec<String> {
    let mut left: Vec<&str> = runs.iter().rev().map(|entry| entry.id.as_str()).collect();
    let mut found = Vec::new();
    while found.len() < 3
        && let Some(next) = flow_core::diagnostic::nearest(wanted, left.iter().copied())
    {
        found.push(next.to_owned());
        left.retain(|id| *id != next);
    }
    found
}
