//! `flow completions`: what a shell needs to complete command lines of `flow`.

use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs};
use crate::failure::{Exit, Failure};
use crate::session::Session;

pub(crate) fn run(args: &CompletionsArgs, env: &Session) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "flow", &mut script);
    env.out.write(&script);
    Ok(Exit::SUCCEEDED)
}
