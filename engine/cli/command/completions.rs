//! `flow completions`: what a shell needs to complete command lines of `flow`. The script asks `flow`
//! itself for runs, nodes and parameters, each time Tab is pressed.

use clap_complete::Shell;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::args::CompletionsArgs;
use crate::complete::VARIABLE;
use crate::failure::{Exit, Failure};
use crate::session::Session;

pub(crate) fn run(args: &CompletionsArgs, env: &Session) -> Result<Exit, Failure> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Elvish => &Elvish,
        Shell::PowerShell => &Powershell,
        _ => &Bash,
    };
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, "flow", "flow", "flow", &mut script);
    written.map_err(|source| Failure::System { operation: "write a script", source })?;
    env.out.write(&script);
    Ok(Exit::SUCCEEDED)
}
