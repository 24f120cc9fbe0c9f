//! `flow man`: manual pages, made from the same words as `--help`.

use std::path::Path;

use clap::CommandFactory as _;

use crate::args::{Args, ManArgs};
use crate::failure::{Exit, Failure};
use crate::session::Session;

pub(crate) fn run(args: &ManArgs, env: &Session) -> Result<Exit, Failure> {
    let command = Args::command().disable_help_subcommand(true);
    match &args.dir {
        Some(dir) => to_folder(command, dir),
        None => to_stdout(command, env),
    }
}

/// The page of `flow`.
fn to_stdout(command: clap::Command, env: &Session) -> Result<Exit, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|source| Failure::System { operation: "make a manual page", source })?;
    env.out.write(&page);
    Ok(Exit::SUCCEEDED)
}

/// The pages of `flow` and of each of its commands: `flow.1`, `flow-run.1`, …
fn to_folder(command: clap::Command, dir: &Path) -> Result<Exit, Failure> {
    let written =
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    written.map_err(|source| Failure::Write { path: dir.to_owned(), source })?;
    Ok(Exit::SUCCEEDED)
}
