//! What is typed to look after a store.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use clap_complete::Shell;

use super::span;

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    /// Drop torn ends, put damaged objects aside, make a damaged checkpoint database again
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GcArgs {
    /// Remove finished runs but the N newest runs
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<usize>,
    /// Remove runs, finished or not, whose last record is older than this, such as 30d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) older_than: Option<Duration>,
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExportArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// The file to write; it must not be there yet
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// The file that `flow export` wrote
    pub(crate) file: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    /// Check what this workflow file needs
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ManArgs {
    /// The folder to write the pages into; default: the page of `flow` to stdout
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}
