//! What was typed.

mod explain;
mod seeing;
mod upkeep;

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

pub(crate) use explain::{DiffArgs, PlanArgs, WhyArgs};
pub(crate) use seeing::{GraphArgs, GraphFormat, LogLevel, LogsArgs, ShellArgs};
pub(crate) use upkeep::{
    CompletionsArgs, DoctorArgs, ExportArgs, GcArgs, ImportArgs, ManArgs, VerifyArgs,
};

/// What `--version` says: `-V` is the first line alone.
const LONG_VERSION: &str = if crate::report::traces::ARE_BUILT_IN {
    concat!(env!("CARGO_PKG_VERSION"), "\nfeatures: otel")
} else {
    concat!(env!("CARGO_PKG_VERSION"), "\nfeatures: none")
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "flow",
    version,
    long_version = LONG_VERSION,
    about = "A durable workflow engine: typed DAGs in TOML, resumed from the last good stage",
    after_help = "Exit codes: 0 succeeded, 1 failed, 2 usage, 3 invalid workflow or parameter, 4 store, \
                  5 no such run or node, 6 the run's state refuses, \
                  7 only waiting is left (--no-wait), 70 a bug of flow, \
                  129, 130, 143 interrupted (the run can be resumed)",
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command accepts.
#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// The store; default: $FLOW_STORE, else the nearest .flow at or above the current folder
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colors
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Tell more: output of programs, progress
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Tell only failures and the end
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Wherever it goes
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Validate a workflow file, then run it
    Run(RunArgs),
    /// Go on with a run from its last good stage
    Resume(ResumeArgs),
    /// Run one stage again with its recorded inputs, beside the run
    Rerun(RerunArgs),
    /// End a run for good
    Cancel(CancelArgs),
    /// Answer what a node of a run asks
    Approve(ApproveArgs),
    /// Say whether an effect happened whose attempt ended without an answer
    Resolve(ResolveArgs),
    /// Results that other runs may take
    Cache(CacheArgs),
    /// Check workflow files without running them
    Validate(ValidateArgs),
    /// Say what a run would do, without doing it
    Plan(PlanArgs),
    /// Show a run: states, attempts, timings, errors, outputs
    Show(ShowArgs),
    /// List runs, newest first
    Runs(RunsArgs),
    /// Write a payload to stdout or a file
    Output(OutputArgs),
    /// Say why a node ran, was reused, or did not run
    Why(WhyArgs),
    /// Say where two runs differ, where that began and where it healed
    Diff(DiffArgs),
    /// Show the events and the captured output of a run
    Logs(LogsArgs),
    /// Open a shell in the place of an attempt: its folder, inputs, environment and command
    Shell(ShellArgs),
    /// Draw the DAG of a workflow file, or of a run with its states and times
    Graph(GraphArgs),
    /// List the stages, or explain one; or print the JSON Schema of a record
    Stages(StagesArgs),
    /// Make a starter project
    Init(InitArgs),
    /// Say what a code means, with an example and the way out
    Explain(ExplainArgs),
    /// Print the JSON Schema of workflow files, for editors
    Schema,
    /// Read every byte of the store and name what is damaged or lost
    Verify(VerifyArgs),
    /// Remove old runs, and what no run needs any more
    Gc(GcArgs),
    /// Write one run with all its payloads into a file
    Export(ExportArgs),
    /// Take a run from a file into the store
    Import(ImportArgs),
    /// Check tools, store, secrets and limits of this machine
    Doctor(DoctorArgs),
    /// Print what a shell needs to complete command lines
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands into a folder
    Man(ManArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// The workflow file
    pub(crate) file: PathBuf,
    /// Set a parameter; may be repeated
    #[arg(long = "param", value_name = "K=V", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Read parameters from a TOML or JSON table; --param wins over it
    #[arg(long = "params", value_name = "FILE")]
    pub(crate) params_file: Option<PathBuf>,
    /// The id of the new run; default: a fresh one
    #[arg(long, value_name = "ID")]
    pub(crate) run_id: Option<String>,
    /// How many stages run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_parallel: Option<u32>,
    /// Run only this node and what it depends on
    #[arg(long, value_name = "NODE")]
    pub(crate) only: Option<String>,
    /// Take no results of other runs, whatever `cache` says
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Leave with exit code 7 when only waiting is left
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainArgs {
    /// A code such as W012 or E0201, or a class such as `timeout`; default: list all codes
    pub(crate) code: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InitArgs {
    /// The folder of the project; default: the current one
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ResumeArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// Adopt what changed on the disk: the workflow file, `uses`, files of parameters
    #[arg(long)]
    pub(crate) update: bool,
    /// Go on with this workflow file; implies --update
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Set a parameter to a new value; implies --update; may be repeated
    #[arg(long = "param", value_name = "K=V", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Leave with exit code 7 when only waiting is left
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CancelArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ApproveArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// The node that asks, or 'NODE[KEY]' for one item
    pub(crate) node: String,
    /// Say no
    #[arg(long)]
    pub(crate) reject: bool,
    /// Choose one of the offered answers
    #[arg(long, value_name = "ANSWER")]
    pub(crate) choice: Option<String>,
    /// Say why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ResolveArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// The node whose effect is unknown, or 'NODE[KEY]' for one item
    pub(crate) node: String,
    /// It happened
    #[arg(long, required_unless_present = "not_done", conflicts_with = "not_done")]
    pub(crate) done: bool,
    /// It did not happen: it may be tried again
    #[arg(long)]
    pub(crate) not_done: bool,
    /// With --done: an output of the node; a value as text or JSON, of a file its path; may be repeated
    #[arg(long = "output", value_name = "PORT=VALUE", value_parser = key_value, conflicts_with = "not_done")]
    pub(crate) outputs: Vec<(String, String)>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List the results that other runs may take
    Ls,
    /// Forget the result with this key, or a unique beginning of it
    Rm {
        /// The key
        key: String,
    },
    /// Forget all results
    Clear,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RerunArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// The node, or 'NODE[KEY]' for one item
    pub(crate) node: String,
    /// Use another value: inputs.PORT=VALUE or with.KEY=VALUE; may be repeated
    #[arg(long = "set", value_name = "WHAT=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
    /// Take the node as the workflow file has it now, and what it uses from the disk
    #[arg(long)]
    pub(crate) update: bool,
    /// As --update, with this workflow file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Keep the scratch folder, and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
    /// Make this result the run's own
    #[arg(long)]
    pub(crate) adopt: bool,
    /// With --adopt: run what depends on it, as far as its inputs change
    #[arg(long)]
    pub(crate) downstream: bool,
    /// Allow a node with `effect`, which acts on the outside world
    #[arg(long)]
    pub(crate) allow_effect: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ValidateArgs {
    /// The workflow files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ShowArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// Show this node alone, or 'NODE[KEY]' for one item
    pub(crate) node: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunsArgs {
    /// Only runs in this state
    #[arg(long, value_name = "S")]
    pub(crate) status: Option<RunStatus>,
    /// Only runs of the workflow with this name
    #[arg(long, value_name = "W")]
    pub(crate) workflow: Option<String>,
    /// Only runs that began within this span, such as 7d or 12h
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) last: Option<std::time::Duration>,
}

/// How a run stands, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunStatus {
    Succeeded,
    Failed,
    Running,
    Interrupted,
    Cancelled,
    Waiting,
}

impl RunStatus {
    /// The word in JSON and tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::Waiting => "waiting",
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct OutputArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// The output: NODE, NODE.PORT or 'NODE[KEY].PORT'; default: the outputs of the workflow
    #[arg(value_name = "NODE[.PORT]")]
    pub(crate) target: Option<String>,
    /// Write to this path instead of stdout
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StagesArgs {
    /// The stage to explain, or the record whose JSON Schema to print
    pub(crate) name: Option<String>,
}

/// Reads `K=V`.
fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads a span such as `7d`.
fn span(text: &str) -> Result<std::time::Duration, String> {
    flow_core::policy::parse_duration(text)
        .ok_or_else(|| "write a number with a unit, such as 7d, 12h or 30m".to_owned())
}
