//! What was typed to look at a run, or to stand in the place of one of its attempts.

use clap::{Args as ClapArgs, ValueEnum};

#[derive(Debug, ClapArgs)]
pub(crate) struct LogsArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// Only this node, or 'NODE[KEY]' for one item
    pub(crate) node: Option<String>,
    /// Go on until the run ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the attempt with this number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempt: Option<u32>,
    /// Only what is at least this serious; output of programs counts as info
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) level: LogLevel,
}

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LogLevel {
    /// Everything
    Info,
    /// What did not go as it should
    Warn,
    /// What failed for good
    Error,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GraphArgs {
    /// The workflow file; or the run: an id, a unique prefix, or `latest`
    #[arg(value_name = "FILE|RUN")]
    pub(crate) what: String,
    /// The form of the picture
    #[arg(long, value_name = "FORMAT", default_value = "ascii")]
    pub(crate) format: GraphFormat,
}

/// The form of a picture of a DAG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Lines of text
    Ascii,
    /// A Mermaid flowchart
    Mermaid,
    /// The language of Graphviz
    Dot,
    /// One SVG file, for light and dark pages
    Svg,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ShellArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// The node, or 'NODE[KEY]' for one item
    pub(crate) node: String,
    /// Print folder, command and environment instead of starting a shell; secrets by name alone
    #[arg(long)]
    pub(crate) print: bool,
    /// Keep the folder when the shell ends
    #[arg(long)]
    pub(crate) keep: bool,
}
