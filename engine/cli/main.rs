//! `flow`: the command line.
//!
//! [`args`] is what was typed, [`session`] what it means on this machine, [`prepare`] the way from
//! a file to something that can run. Each file of [`command`] is one command, [`report`] is how
//! things are told, and [`failure`] decides on every message and exit code.

#[allow(rustdoc::broken_intra_doc_links, reason = "help texts show keys of items in brackets")]
mod args;
mod bug;
mod command;
mod compare;
mod complete;
mod failure;
mod habits;
mod history;
mod lost;
mod nearby;
mod prepare;
mod report;
mod session;
mod target;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use failure::{Exit, Failure};
use session::Session;

fn main() -> ExitCode {
    flow_stages::process::serve_if_spawner();
    complete::serve();
    outlive_size_limits();
    bug::guard(|| match Args::try_parse() {
        Ok(args) => run(&args),
        Err(answer) => command::answer(&habits::with_tip(answer)),
    })
    .into()
}

/// Makes a file over the size limit a failed write, which is told and can be resumed from, and not
/// the end of the process. Programs are started with a clean mask.
fn outlive_size_limits() {
    let mut mask = nix::sys::signal::SigSet::empty();
    mask.add(nix::sys::signal::Signal::SIGXFSZ);
    if let Err(error) = mask.thread_block() {
        tracing::debug!(%error, "SIGXFSZ stays as it is");
    }
}

/// Runs the command and hands over its results. A closed stdout is no failure.
fn run(args: &Args) -> Exit {
    let env = Session::new(&args.global);
    let exit = match command::run(&args.command, &env) {
        Ok(exit) => exit,
        Err(failure) => failure.report(&env),
    };
    match env.out.finish() {
        Ok(()) => exit,
        Err(source) => {
            let told = Failure::Stdout(source).report(&env);
            if exit == Exit::SUCCEEDED { told } else { exit }
        }
    }
}
