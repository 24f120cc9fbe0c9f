//! `flow resume`: goes on with a run from its last good stage.

use std::sync::Arc;

use flow_core::id::{NodeId, RunId};
use flow_core::run::RunState;
use flow_core::run::event::RunEnd;
use flow_core::run::manifest::Manifest;
use flow_core::run::state::{Phase, Tasks, Whole};
use flow_core::store::{Store, StoreError};
use jiff::Timestamp;

use super::drive::{drive, tell_end};
use super::update;
use crate::args::ResumeArgs;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::prepare;
use crate::session::{Session, find_run};

pub(crate) fn run(args: &ResumeArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let catalog = env.catalog();
    let history = History::read(store.as_ref(), &run, &catalog)?;
    if args.update || args.file.is_some() || !args.params.is_empty() {
        return update::run(args, env, &store, history);
    }
    if let Some(exit) = settled(env, store.as_ref(), &history)? {
        return Ok(exit);
    }
    if let Some(holder) = history.holder {
        return Err(StoreError::Held { run, holder }.into());
    }
    let graph = Arc::clone(history.state.graph());
    let (secrets, mut missing) = prepare::read_secrets(&graph, |id| may_run(&history.state, id))?;
    missing.extend(prepare::missing(&graph, env.store_place().as_deref(), |id| {
        may_run(&history.state, id)
    }));
    if !missing.is_empty() {
        return Err(Failure::Missing(missing));
    }
    let shared: Arc<dyn Store> = store.clone();
    let manifest = history.manifest;
    let mut opened = flow_runtime::open(&shared, &run, graph, manifest.clone())?;
    if opened.state().last_seq() != history.state.last_seq() {
        // Another process took the run up and ended meanwhile.
        drop(opened);
        return self::run(args, env);
    }
    let changes = prepare::changes(&manifest);
    let way = (!changes.is_empty()).then(|| {
        format!("adopt what changed with: {}", env.command(&["resume", run.as_str(), "--update"]))
    });
    for note in changes.into_iter().chain(way) {
        opened.note(note);
    }
    if args.no_wait {
        opened.leave_waits();
    }
    opened.keep_secrets(secrets);
    drive(env, &store, &run, manifest, opened)
}

/// What there is to say of a run that cannot go on.
fn settled(env: &Session, store: &dyn Store, history: &History) -> Result<Option<Exit>, Failure> {
    match history.end() {
        Some(RunEnd::Succeeded) => {
            tell_end(env, store, history, Timestamp::now(), None)?;
            Ok(Some(Exit::SUCCEEDED))
        }
        Some(RunEnd::Cancelled) => Err(cancelled(env, history.run(), &history.manifest)),
        Some(RunEnd::Failed) | None => Ok(None),
    }
}

/// A cancelled run has ended for good.
pub(super) fn cancelled(env: &Session, run: &RunId, manifest: &Manifest) -> Failure {
    let file = manifest.workflow_path.display().to_string();
    Failure::state(
        format!("run {run} is cancelled"),
        format!("start a new one: {}", env.command(&["run", &file])),
    )
}

/// Whether anything of a node may still run.
fn may_run(state: &RunState, id: NodeId) -> bool {
    let node = state.node(id);
    let is_done = match &node.tasks {
        Tasks::One(task) => matches!(task.phase, Phase::Succeeded(_) | Phase::Skipped(_)),
        _ => matches!(node.whole, Whole::Succeeded | Whole::Skipped(_)),
    };
    state.is_wanted(id) && !is_done
}
