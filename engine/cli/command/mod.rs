//! The commands, one file each, all of one shape.

mod drive;
mod logs;
mod output;
mod rerun;
mod resume;
mod run;
mod runs;
mod show;
mod signals;
mod stages;
mod validate;

use crate::args::Command;
use crate::failure::{Exit, Failure};
use crate::report::{Results, tell};
use crate::session::Session;

/// Runs a command.
pub(crate) fn run(command: &Command, env: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(args, env),
        Command::Resume(args) => resume::run(args, env),
        Command::Rerun(args) => rerun::run(args, env),
        Command::Validate(args) => validate::run(args, env),
        Command::Show(args) => show::run(args, env),
        Command::Runs(args) => runs::run(args, env),
        Command::Output(args) => output::run(args, env),
        Command::Logs(args) => logs::run(args, env),
        Command::Stages(args) => stages::run(args, env),
    }
}

/// Gives the answer to a command line that runs no command: help and version as results, anything
/// else as a usage error.
pub(crate) fn answer(answer: &clap::Error) -> Exit {
    use std::io::IsTerminal as _;
    let text = answer.render();
    if answer.use_stderr() {
        let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tell(&if color { text.ansi().to_string() } else { text.to_string() });
        return Exit::USAGE;
    }
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let out = Results::new();
    out.write(if color { text.ansi().to_string() } else { text.to_string() }.as_bytes());
    if out.finish().is_ok() { Exit::SUCCEEDED } else { Exit::FAILED }
}
