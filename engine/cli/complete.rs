//! What a shell is told when somebody presses Tab: runs of the store, nodes of the run that stands before,
//! parameters of the workflow file.
//!
//! The shell starts `flow` itself for that, with the words so far. Whatever goes wrong then gives no
//! candidates; nothing is ever made or written.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::CompleteEnv;
use flow_core::store::Store;

use crate::args::{Args, Color, Global};
use crate::command::EXPLAINED;
use crate::history::History;
use crate::session::{Session, find_run};

/// The variable by which a shell asks.
pub(crate) const VARIABLE: &str = "FLOW_COMPLETE";
/// As many runs are offered: the newest.
const RUNS_MAX: usize = 100;

/// Answers a shell that asks, and ends the process; else returns at once.
pub(crate) fn serve() {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(command).var(VARIABLE).complete();
    }
}

/// The command line, with what is known of its words.
fn command() -> Command {
    let names: Vec<String> =
        Args::command().get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(Args::command(), |command, name| {
        command.mut_subcommand(name, |sub| sub.mut_args(completed))
    })
}

/// An argument whose values can be looked up.
fn completed(argument: Arg) -> Arg {
    let completer = match argument.get_id().as_str() {
        "run" | "other" | "first" | "second" => ArgValueCompleter::new(runs),
        "node" | "target" | "only" => ArgValueCompleter::new(nodes),
        "params" => ArgValueCompleter::new(params),
        "code" => ArgValueCompleter::new(codes),
        _ => return argument,
    };
    argument.add(completer)
}

/// The words that the shell has so far, without `flow` itself.
fn words() -> Vec<String> {
    let all = std::env::args_os().skip_while(|word| word != "--").skip(2);
    all.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The words after the subcommand that are no options: what the first of them is depends on it.
fn positionals() -> Vec<String> {
    let mut words = words();
    words.retain(|word| !word.starts_with('-'));
    words.into_iter().skip(1).collect()
}

/// The session that these words would have, as far as the store is concerned.
fn session() -> Session {
    let mut words = words().into_iter();
    let mut store = None;
    while let Some(word) = words.next() {
        match word.strip_prefix("--store") {
            Some("") => store = words.next().map(PathBuf::from),
            Some(rest) => store = rest.strip_prefix('=').map(PathBuf::from).or(store),
            None => {}
        }
    }
    Session::new(&Global { store, json: false, color: Color::Never, verbose: 0, quiet: true })
}

fn candidates(
    names: impl IntoIterator<Item = (String, Option<String>)>,
    current: &OsStr,
) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let fitting = names.into_iter().filter(|(name, _)| name.starts_with(&*current));
    fitting.map(|(name, help)| CompletionCandidate::new(name).help(help.map(Into::into))).collect()
}

fn runs(current: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(store) = session().open_store() else { return Vec::new() };
    let mut runs = store.runs().unwrap_or_default();
    runs.reverse();
    let latest =
        (!runs.is_empty()).then(|| ("latest".to_owned(), Some("the newest run".to_owned())));
    let told = |entry: flow_core::store::RunEntry| {
        let at = entry.created_at.strftime("%Y-%m-%d %H:%M UTC").to_string();
        (entry.id.to_string(), Some(at))
    };
    candidates(latest.into_iter().chain(runs.into_iter().take(RUNS_MAX).map(told)), current)
}

/// The nodes and items of the run or file that is the first word.
fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(first) = positionals().into_iter().next() else { return Vec::new() };
    let names =
        if Path::new(&first).is_file() { nodes_of_file(&first) } else { nodes_of_run(&first) };
    candidates(names.into_iter().map(|name| (name, None)), current)
}

fn nodes_of_file(file: &str) -> Vec<String> {
    let definition =
        flow_workflows::load(Path::new(file)).ok().and_then(|loaded| loaded.definition);
    definition.map(|found| found.nodes.keys().cloned().collect()).unwrap_or_default()
}

fn nodes_of_run(run: &str) -> Vec<String> {
    let session = session();
    let read = || {
        let store = session.open_store().ok()?;
        let run = find_run(store.as_ref(), run).ok()?;
        History::read(store.as_ref(), &run, &session.catalog()).ok()
    };
    let Some(history) = read() else { return Vec::new() };
    let state = &history.state;
    let named = state.graph().ids().flat_map(|id| {
        let name = state.graph().node(id).name.to_string();
        let items = state.items(id).map_or(&[][..], |items| items.as_slice());
        let items: Vec<String> = items.iter().map(|item| format!("{name}[{}]", item.key)).collect();
        std::iter::once(name).chain(items)
    });
    named.collect()
}

/// The parameters of the file that is the first word.
fn params(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(file) = positionals().into_iter().next() else { return Vec::new() };
    let loaded = flow_workflows::load(Path::new(&file)).ok();
    let Some(definition) = loaded.and_then(|loaded| loaded.definition) else { return Vec::new() };
    candidates(definition.params.keys().map(|name| (format!("{name}="), None)), current)
}

fn codes(current: &OsStr) -> Vec<CompletionCandidate> {
    let upper = current.to_string_lossy().to_ascii_uppercase();
    candidates(EXPLAINED.iter().map(|(code, _)| ((*code).to_owned(), None)), OsStr::new(&upper))
}
