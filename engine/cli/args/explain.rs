//! What is typed to have something explained.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::key_value;

#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    /// The workflow file
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) file: Option<PathBuf>,
    /// Set a parameter; may be repeated. With --resume as of `flow resume --param`
    #[arg(long = "param", value_name = "K=V", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Read parameters from a TOML or JSON table; --param wins over it
    #[arg(long = "params", value_name = "FILE", conflicts_with = "resume")]
    pub(crate) params_file: Option<PathBuf>,
    /// Take no results of other runs, whatever `cache` says
    #[arg(long, conflicts_with = "resume")]
    pub(crate) fresh: bool,
    /// Say what `flow resume` would do with this run: an id, a unique prefix, or `latest`
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<String>,
    /// With --resume: by the workflow file and what it uses as they are on the disk now
    #[arg(long, requires = "resume")]
    pub(crate) update: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WhyArgs {
    /// The run: an id, a unique prefix, or `latest`
    pub(crate) run: String,
    /// The node, or 'NODE[KEY]' for one item
    pub(crate) node: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DiffArgs {
    /// The run that is compared with: an id, a unique prefix, or `latest`
    #[arg(value_name = "RUN")]
    pub(crate) before: String,
    /// The run that is compared
    #[arg(value_name = "RUN")]
    pub(crate) after: String,
}
