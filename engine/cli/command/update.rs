//! `flow resume --update`, `--file` and `--param`: goes on with a run by what is on the disk now.

use std::sync::Arc;

use flow_core::id::{NodeId, RunId, TaskId};
use flow_core::run::RunState;
use flow_core::run::event::RunEnd;
use flow_core::run::state::{Phase, Tasks};
use flow_core::store::{Store, StoreError};
use flow_store::DiskStore;

use super::drive::drive;
use super::resume;
use crate::args::ResumeArgs;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::prepare::{self, Update, gone};
use crate::report::human::name;
use crate::report::{diagnostics, tell};
use crate::session::{Session, Verbosity};

pub(super) fn run(
    args: &ResumeArgs,
    env: &Session,
    store: &Arc<DiskStore>,
    history: History,
) -> Result<Exit, Failure> {
    if history.end() == Some(RunEnd::Cancelled) {
        return Err(resume::cancelled(env, history.run(), &history.manifest));
    }
    let run = history.run().clone();
    if let Some(holder) = history.holder.clone() {
        return Err(StoreError::Held { run, holder }.into());
    }
    let recorded = (&history.manifest, history.state.graph().as_ref());
    let file = args.file.as_deref();
    let update = Update::read(store.as_ref(), recorded, file, &args.params, &env.catalog())?;
    let warnings = &update.workflow.warnings;
    if env.verbosity > Verbosity::Quiet {
        let color = env.stderr.is_on();
        tell(&diagnostics::render(&warnings.diagnostics, &warnings.source, color));
    }
    refuse_lost(env, history.run(), &history.state, &update)?;
    let graph = Arc::clone(update.graph());
    let only = wanted(&update)?;
    let wanted = |id: NodeId| only.binary_search(&id).is_ok();
    let (secrets, mut missing) = prepare::read_secrets(&graph, wanted)?;
    missing.extend(prepare::missing(&graph, env.store_place().as_deref(), wanted));
    if !missing.is_empty() {
        return Err(Failure::Missing(missing));
    }
    let shared: Arc<dyn Store> = store.clone();
    let before = Arc::clone(history.state.graph());
    let mut opened = flow_runtime::open(&shared, &run, before, history.manifest.clone())?;
    if opened.state().last_seq() != history.state.last_seq() {
        // Another process took the run up and ended meanwhile.
        drop(opened);
        return resume::run(args, env);
    }
    let manifest = if update.is_same(&history.manifest) {
        // Nothing to adopt. What was made from results that are no more is made again.
        opened.invalidate(&graph.ids().collect::<Vec<_>>());
        history.manifest.clone()
    } else {
        let manifest = update.manifest.clone();
        let digest =
            flow_runtime::record_generation(store.as_ref(), &run, &manifest, update.text(), &[])?;
        opened.update(graph, manifest.clone(), digest)?;
        manifest
    };
    let notes = update.notes(&history.manifest);
    for note in notes.into_iter().chain(gone(&history.state, update.graph())) {
        opened.note(note);
    }
    if args.no_wait {
        opened.leave_waits();
    }
    opened.keep_secrets(secrets);
    drive(env, store, &run, manifest, opened)
}

/// The nodes that the run is for.
fn wanted(update: &Update) -> Result<Vec<NodeId>, Failure> {
    let graph = update.graph();
    let Some(only) = &update.manifest.only else { return Ok(graph.ids().collect()) };
    let node = graph.find(only).ok_or_else(|| {
        Failure::state(
            format!("the run is for `{only}` alone, and the file has no such node"),
            "give the node its name back, or start a new run",
        )
    })?;
    Ok(graph.ancestors(node))
}

/// Refuses a file without a node whose effect may have happened: nobody would ask for it again.
pub(super) fn refuse_lost(
    env: &Session,
    run: &RunId,
    before: &RunState,
    update: &Update,
) -> Result<(), Failure> {
    let run = run.as_str();
    let graph = before.graph();
    for id in graph.ids() {
        let Some(task) = open_effect(before, id) else { continue };
        let kept = update.graph().find(&graph.node(id).name).map(|id| update.graph().node(id));
        let has_items = task.item.is_some();
        if kept.is_some_and(|node| node.effect.is_some() && node.fan.is_some() == has_items) {
            continue;
        }
        let task = name(&before.task_ref(task));
        return Err(Failure::state(
            format!("the effect of `{task}` may have happened, and the new file does not have it"),
            format!(
                "find out whether it happened, and say so first: {} --done or --not-done",
                env.command(&["resolve", run, &task])
            ),
        ));
    }
    Ok(())
}

/// A task of a node whose effect may have happened, and nobody knows.
fn open_effect(state: &RunState, id: NodeId) -> Option<TaskId> {
    state.graph().node(id).effect.as_ref()?;
    let is_open = |task: &flow_core::run::state::Task| {
        matches!(task.phase, Phase::Unknown(_) | Phase::Running) && task.intent.is_some()
    };
    match &state.node(id).tasks {
        Tasks::One(task) => is_open(task).then(|| TaskId::whole(id)),
        Tasks::Items(items) => {
            let found = items.iter().position(is_open)?;
            Some(TaskId::item(id, u32::try_from(found).ok()?))
        }
        Tasks::Unresolved => None,
    }
}
