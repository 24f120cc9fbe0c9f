//! The one mapping from errors to what people see: message, causes, the way out, and exit code.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flow_core::definition::Source;
use flow_core::diagnostic::Diagnostic;
use flow_core::error::StageError;
use flow_core::schema::Severity;
use flow_core::store::StoreError;
use flow_runtime::RunError;
use flow_runtime::secrets::SecretsTooLarge;
use flow_workflows::LoadError;

use crate::nearby;
use crate::prepare::{MissingTool, ParamFault};
use crate::report::text::{clean, count};
use crate::report::{diagnostics, tell};
use crate::session::Session;

/// How a command ended that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Everything went well.
    pub(crate) const SUCCEEDED: Self = Self(0);
    /// The run or stage failed.
    pub(crate) const FAILED: Self = Self(1);
    /// The command line makes no sense.
    pub(crate) const USAGE: Self = Self(2);
    /// A workflow file is invalid.
    pub(crate) const INVALID: Self = Self(3);
    /// Only waiting is left.
    pub(crate) const WAITING: Self = Self(7);
    /// A bug of ours.
    pub(crate) const BUG: Self = Self(70);

    /// The run was interrupted by a signal and can be resumed: 128 and the signal's number.
    pub(crate) fn interrupted(signal: &str) -> Self {
        match signal {
            "SIGHUP" => Self(129),
            "SIGTERM" => Self(143),
            _ => Self(130),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.0.into()
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line asks for something that makes no sense.
    #[error("{message}")]
    Usage { message: String, help: Option<String> },
    /// The workflow file cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The workflow file has faults.
    #[error("{} is not valid: {}", .0.source.name, count(.0.errors(), "fault"))]
    Workflow(Box<Faults>),
    /// Parameters have faults.
    #[error("{} refused", if .0.len() == 1 { "a parameter is".into() } else { format!("{} parameters are", .0.len()) })]
    Params(Vec<ParamFault>),
    /// Outputs that were given have faults.
    #[error("{} refused", if .0.len() == 1 { "an output is".into() } else { format!("{} outputs are", .0.len()) })]
    Outputs(Vec<ParamFault>),
    /// Values of `--set` have faults.
    #[error("{} of --set {} refused", if .0.len() == 1 { "a value" } else { "values" }, if .0.len() == 1 { "is" } else { "are" })]
    Settings(Vec<ParamFault>),
    /// The file of parameters has no table of values.
    #[error("cannot read parameters from {}: {reason}", path.display())]
    ParamsFile { path: PathBuf, reason: String },
    /// The machine lacks what stages need.
    #[error("{} missing, so nothing was started", match .0.len() { 1 => "something that the workflow needs is".into(), n => format!("{n} things that the workflow needs are") })]
    Missing(Vec<MissingTool>),
    /// The record of the run would show secrets.
    #[error("a secret would be recorded with the run, so nothing was done")]
    Recorded(Vec<String>),
    /// Secrets cannot be hidden.
    #[error(transparent)]
    Secrets(SecretsTooLarge),
    /// There is no such run.
    #[error("there is no run `{wanted}`")]
    NoRun { wanted: String, nearest: Vec<String> },
    /// There is no run at all.
    #[error("there is no run in this store yet")]
    NoRuns,
    /// A prefix fits several runs.
    #[error("`{prefix}` could be any of {} runs", candidates.len())]
    Ambiguous { prefix: String, candidates: Vec<String> },
    /// There is no such node, item, port or stage.
    #[error("{message}")]
    NotFound { message: String, help: Option<String> },
    /// The state of the run or of the node does not allow it.
    #[error("{message}")]
    State { message: String, help: Option<String> },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed, and the command knows the way out.
    #[error("{error}")]
    StoreWay { error: StoreError, help: String },
    /// The run could not go on.
    #[error("the run stopped")]
    Run(#[source] RunError),
    /// The store failed under a run, which was stopped.
    #[error("the run stopped, because its store failed")]
    StoreStopped(#[source] Box<StageError>),
    /// A payload cannot be had from the store.
    #[error("a payload cannot be read")]
    Unreadable(#[source] Box<StageError>),
    /// Results of a run are lost, and can be made again.
    #[error("{message}")]
    Lost { message: String, run: String, lost: Vec<LostResult> },
    /// A file for the user cannot be written.
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
    /// The process cannot get what it needs of the system.
    #[error("cannot {operation}")]
    System { operation: &'static str, source: io::Error },
}

/// A task whose outputs are damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LostResult {
    /// The task, as the command line names it.
    pub(crate) task: String,
    /// What is wrong with its outputs.
    pub(crate) reason: String,
}

impl LostResult {
    /// Whose result it is, and what is wrong with it where `message` has not said that.
    fn told(&self, run: &str, message: &str) -> String {
        let Self { task, reason } = self;
        match message == reason {
            true => format!("it is a result of {task} in run {run}"),
            false => format!("a result of {task} in run {run}: {reason}"),
        }
    }
}

/// Faults of a workflow file with the text they point to.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) source: Source,
}

impl Faults {
    /// How many of them refuse the file.
    pub(crate) fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count()
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

/// What follows from a failure.
struct Verdict {
    exit: Exit,
    /// A stable code, where there is one.
    code: Option<&'static str>,
    /// Single faults, where there are several.
    details: Vec<String>,
    help: Option<String>,
}

impl Failure {
    /// A usage failure.
    pub(crate) fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: Some(help.into()) }
    }

    /// Something that is not there.
    pub(crate) fn not_found(message: impl Into<String>, help: Option<String>) -> Self {
        Self::NotFound { message: message.into(), help }
    }

    /// A state that does not allow what is asked.
    pub(crate) fn state(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::State { message: message.into(), help: Some(help.into()) }
    }

    fn verdict(&self, env: &Session) -> Verdict {
        let verdict = |exit: u8, help: Option<String>| Verdict {
            exit: Exit(exit),
            code: None,
            details: Vec::new(),
            help,
        };
        match self {
            Self::Usage { help, .. } => verdict(2, help.clone()),
            Self::Load(LoadError::Io { path, source }) => {
                verdict(3, nearby::way_out(path, source, env))
            }
            Self::Workflow(_) => verdict(3, None),
            Self::Params(faults) => Verdict {
                details: faults.iter().map(ToString::to_string).collect(),
                ..verdict(3, Some("set a parameter with --param NAME=VALUE".into()))
            },
            Self::Outputs(faults) => Verdict {
                details: faults.iter().map(ToString::to_string).collect(),
                ..verdict(2, Some("give an output with --output PORT=VALUE".into()))
            },
            Self::Settings(faults) => Verdict {
                details: faults.iter().map(ToString::to_string).collect(),
                ..verdict(3, Some("write --set inputs.PORT=VALUE or --set with.KEY=VALUE".into()))
            },
            Self::ParamsFile { .. } => {
                verdict(3, Some("write a TOML or JSON table with a value for each name".into()))
            }
            Self::Missing(missing) => Verdict {
                code: Some("E0202"),
                details: missing.iter().map(ToString::to_string).collect(),
                ..verdict(1, None)
            },
            Self::Recorded(places) => Verdict {
                details: places.clone(),
                ..verdict(
                    3,
                    Some(
                        "take the value out there, and read it with {{ secrets.NAME }} in `with`"
                            .into(),
                    ),
                )
            },
            Self::Secrets(_) => verdict(3, Some("declare fewer or smaller secrets".into())),
            Self::NoRun { wanted, .. } if Path::new(wanted).is_file() => {
                let start = env.command(&["run", wanted]);
                verdict(5, Some(format!("a run is named by its id; start that file with: {start}")))
            }
            Self::NoRun { nearest, .. } => {
                let near = nearest.join(", ");
                let help = if near.is_empty() { env.command(&["runs"]) } else { near };
                let lead = if nearest.is_empty() { "list the runs with: " } else { "near it: " };
                verdict(5, Some(format!("{lead}{help}")))
            }
            Self::NoRuns => {
                verdict(5, Some(format!("start one: {}", env.command(&["run", "FILE"]))))
            }
            Self::Ambiguous { candidates, .. } => Verdict {
                details: candidates.clone(),
                ..verdict(5, Some("give more characters of the id".into()))
            },
            Self::NotFound { help, .. } => verdict(5, help.clone()),
            Self::State { help, .. } => verdict(6, help.clone()),
            Self::Store(error) | Self::Run(RunError::Store(error)) => {
                let (exit, help) = of_store(error, env);
                verdict(exit, Some(help))
            }
            Self::StoreWay { error, help } => verdict(of_store(error, env).0, Some(help.clone())),
            Self::Run(RunError::Io(_)) => verdict(4, None),
            Self::StoreStopped(error) => {
                Verdict { code: Some(error.class.code()), ..verdict(4, error.hint.clone()) }
            }
            Self::Unreadable(error) => verdict(4, error.hint.clone()),
            Self::Lost { message, run, lost } => Verdict {
                details: lost.iter().map(|one| one.told(run, message)).collect(),
                ..verdict(4, Some(again(run, lost, env)))
            },
            Self::Write { .. } | Self::Stdout(_) => verdict(1, None),
            Self::System { .. } => verdict(1, None),
        }
    }

    /// The way out, if one is known.
    pub(crate) fn fix(&self, env: &Session) -> String {
        self.verdict(env).help.unwrap_or_default()
    }

    /// Tells the failure, and how the process ends.
    pub(crate) fn report(&self, env: &Session) -> Exit {
        let paint = env.stderr;
        if let Self::Workflow(faults) = self {
            if env.json {
                env.out
                    .line(&diagnostics::to_json(&faults.diagnostics, &faults.source).to_string());
            } else {
                tell(&diagnostics::render(&faults.diagnostics, &faults.source, paint.is_on()));
            }
        }
        let verdict = self.verdict(env);
        let code = verdict.code.map(|code| format!("[{code}]")).unwrap_or_default();
        let mut text =
            format!("{}: {}\n", paint.bad(&format!("error{code}")), clean(&self.to_string()));
        for detail in &verdict.details {
            text.push_str(&format!("  - {}\n", clean(detail)));
        }
        for cause in causes(self) {
            text.push_str(&format!("  {}: {}\n", paint.dim("cause"), clean(&cause)));
        }
        if let Some(help) = &verdict.help {
            text.push_str(&format!("{}: {}\n", paint.good("help"), clean(help)));
        }
        if let Self::Workflow(faults) = self
            && !env.json
        {
            text.push_str(&diagnostics::way_to_explain(&faults.diagnostics, env));
        }
        tell(&text);
        verdict.exit
    }
}

/// Exit code and way out for a failure of the store.
fn of_store(error: &StoreError, env: &Session) -> (u8, String) {
    match error {
        StoreError::NoRun(_) => (5, format!("list the runs with: {}", env.command(&["runs"]))),
        StoreError::RunExists(run) => (
            6,
            format!(
                "choose another --run-id, or go on with that run: {}",
                env.command(&["resume", run.as_str()])
            ),
        ),
        StoreError::Held { run, .. } => {
            (6, format!("watch it: {}", env.command(&["logs", run.as_str(), "-f"])))
        }
        StoreError::NoStore(_) => {
            (4, "go to the folder where the run was started, or name its store with --store or FLOW_STORE; `flow run` makes a new one".into())
        }
        StoreError::TooNew { .. } => (4, "use the newer version of flow that wrote it".into()),
        StoreError::NoLocks(_) => {
            (4, "keep the store on a local disk, with --store or FLOW_STORE".into())
        }
        StoreError::Database(_) => {
            (4, "the folder `checkpoints` of the store may be deleted: it is made again".into())
        }
        StoreError::Damaged { path, .. } | StoreError::Missing { path, .. } => {
            (4, of_damage(path, env))
        }
        StoreError::NoFile { .. } => (4, format!(
            "put back what was there, or have what the store makes itself cleared away: {}",
            env.command(&["verify", "--repair"])
        )),
        StoreError::Io { source, .. } => (
            4,
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room on the disk, then resume the run".into()
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "make the store writable, or name another with --store".into()
                }
                _ => "check the disk that holds the store".into(),
            },
        ),
    }
}

/// How lost results are made again, those first that others need.
fn again(run: &str, lost: &[LostResult], env: &Session) -> String {
    let commands: Vec<String> =
        lost.iter().map(|one| env.command(&["rerun", run, &one.task])).collect();
    format!(
        "make it again: {}; what else is lost is told by: {}",
        commands.join(", then "),
        env.command(&["verify"])
    )
}

/// The way out of damage, by what the file is.
fn of_damage(path: &Path, env: &Session) -> String {
    let verify = env.command(&["verify"]);
    let name = |folder: Option<&Path>| Some(folder?.file_name()?.to_string_lossy().into_owned());
    let folder = path.parent();
    match (name(folder), name(folder.and_then(Path::parent)).as_deref()) {
        (Some(run), Some("runs")) => format!(
            "put the folder of run {run} back from a backup, or remove it and take the run from an \
             export with `flow import`, or start it anew; what else is damaged is told by: {verify}"
        ),
        (_, Some("objects")) => format!(
            "it is never used; put it aside and see which command makes it again: {verify} --repair"
        ),
        _ => format!("put it back from a backup; what else is damaged is told by: {verify}"),
    }
}

/// What lies under a failure, outermost first, each said once.
fn causes(failure: &Failure) -> Vec<String> {
    let mut said = failure.to_string();
    let mut causes = Vec::new();
    let mut next = failure.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            causes.push(text.clone());
            said = text;
        }
        next = cause.source();
    }
    if let Failure::StoreStopped(error) | Failure::Unreadable(error) = failure {
        causes.extend(error.causes.iter().cloned());
    }
    causes
}
