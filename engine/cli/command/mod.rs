//! The commands, one file each, all of one shape.

mod approve;
mod cache;
mod cancel;
mod completions;
mod diff;
mod doctor;
mod drive;
mod explain;
mod export;
mod gc;
mod graph;
mod init;
mod logs;
mod man;
mod output;
mod plan;
mod rerun;
mod resolve;
mod resume;
mod run;
mod runs;
mod schema;
mod shell;
mod show;
mod signals;
mod stages;
mod update;
mod validate;
mod verify;
mod why;
mod word;

pub(crate) use drive::runtime;
pub(crate) use explain::PAGES as EXPLAINED;

use crate::args::{Color, Command};
use crate::failure::{Exit, Failure};
use crate::report::style::Paint;
use crate::report::{Results, tell};
use crate::session::Session;

/// Runs a command.
pub(crate) fn run(command: &Command, env: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(args, env),
        Command::Resume(args) => resume::run(args, env),
        Command::Rerun(args) => rerun::run(args, env),
        Command::Cancel(args) => cancel::run(args, env),
        Command::Approve(args) => approve::run(args, env),
        Command::Resolve(args) => resolve::run(args, env),
        Command::Cache(args) => cache::run(args, env),
        Command::Validate(args) => validate::run(args, env),
        Command::Plan(args) => plan::run(args, env),
        Command::Show(args) => show::run(args, env),
        Command::Runs(args) => runs::run(args, env),
        Command::Output(args) => output::run(args, env),
        Command::Why(args) => why::run(args, env),
        Command::Diff(args) => diff::run(args, env),
        Command::Logs(args) => logs::run(args, env),
        Command::Shell(args) => shell::run(args, env),
        Command::Graph(args) => graph::run(args, env),
        Command::Stages(args) => stages::run(args, env),
        Command::Init(args) => init::run(args, env),
        Command::Schema => schema::run(env),
        Command::Verify(args) => verify::run(args, env),
        Command::Gc(args) => gc::run(args, env),
        Command::Export(args) => export::export(args, env),
        Command::Import(args) => export::import(args, env),
        Command::Doctor(args) => doctor::run(args, env),
        Command::Explain(args) => explain::run(args, env),
        Command::Man(args) => man::run(args, env),
        Command::Completions(args) => completions::run(args, env),
    }
}

/// Gives the answer to a command line that runs no command: help and version as results, anything
/// else as a usage error.
pub(crate) fn answer(answer: &clap::Error) -> Exit {
    let text = answer.render();
    let paint = |on: bool| if on { text.ansi().to_string() } else { text.to_string() };
    if answer.use_stderr() {
        tell(&paint(Paint::of(Color::Auto, &std::io::stderr()).is_on()));
        return Exit::USAGE;
    }
    let out = Results::new();
    out.write(paint(Paint::of(Color::Auto, &std::io::stdout()).is_on()).as_bytes());
    match out.finish() {
        Ok(()) => Exit::SUCCEEDED,
        Err(error) => {
            tell(&format!("error: cannot write to standard output: {error}\n"));
            Exit::FAILED
        }
    }
}
