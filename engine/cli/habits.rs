//! What people type by the habit of other tools, and what it is called here.

use clap::error::{ContextKind, ContextValue};

/// Puts our tip in the place of a guess by spelling, where the word is known from elsewhere.
pub(crate) fn with_tip(mut error: clap::Error) -> clap::Error {
    if let Some(tip) = tip(&error) {
        for guess in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg] {
            error.remove(guess);
        }
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn tip(error: &clap::Error) -> Option<String> {
    let typed = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match typed(ContextKind::InvalidSubcommand) {
        Some(word) => command(word),
        None => {
            let word = typed(ContextKind::InvalidArg)?;
            // What the command itself calls so, written out, is what was meant.
            match typed(ContextKind::SuggestedArg) {
                Some(ours) if ours.starts_with(word) => None,
                _ => argument(word),
            }
        }
    }
}

/// What a word in the place of a command is called here.
fn command(word: &str) -> Option<String> {
    if word.ends_with(".toml") {
        return Some(format!("run that file with 'flow run {word}'"));
    }
    let ours = match word {
        "help" => "'flow --help' lists the commands",
        "version" => "'flow --version' tells it",
        "list" | "ls" | "ps" | "history" | "jobs" => "'flow runs' lists the runs",
        "status" | "describe" | "inspect" | "info" => "'flow show RUN' tells how a run stands",
        "start" | "exec" | "execute" | "submit" | "trigger" => "'flow run FILE' starts a run",
        "retry" | "continue" | "recover" | "restart" => {
            "'flow resume RUN' goes on with a run, 'flow rerun RUN NODE' tries one node again"
        }
        "check" | "lint" => "'flow validate FILE' checks a file",
        "dry" | "dry-run" | "preview" => "'flow plan FILE' tells what a run would do",
        "kill" | "stop" | "abort" | "terminate" => "'flow cancel RUN' ends a run for good",
        "watch" | "tail" | "attach" | "follow" => "'flow logs RUN -f' follows a run",
        "get" | "cat" | "results" | "artifacts" => "'flow output RUN' prints what a run made",
        "new" | "create" | "example" => "'flow init' makes a starter project",
        "clean" | "prune" | "purge" | "rm" => "'flow gc' removes old runs",
        _ => return None,
    };
    Some(ours.to_owned())
}

/// What an argument that the command does not know is called here.
fn argument(word: &str) -> Option<String> {
    if !word.starts_with('-') && word.contains('=') {
        return Some(format!("a parameter is set with '--param {word}'"));
    }
    let ours = match word {
        "--dry-run" | "--dry" | "-n" => "'flow plan FILE' tells what a run would do",
        "--resume" => "'flow resume RUN' goes on with a run",
        "-p" | "-P" | "-D" | "--var" | "--arg" | "--set" => "write '--param NAME=VALUE'",
        "--force" | "--no-cache" | "--no-reuse" => "'--fresh' takes no results of other runs",
        "-j" | "--jobs" | "--parallel" => "write '--max-parallel N'",
        "--debug" => "'-v' tells more",
        _ => return None,
    };
    Some(ours.to_owned())
}
