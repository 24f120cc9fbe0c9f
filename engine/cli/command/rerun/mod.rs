//! `flow rerun`: runs one stage again with its recorded inputs, beside the run; the run's own
//! result changes only where that is asked for.

mod adopt;
mod report;
mod subject;

use std::sync::Arc;

use flow_core::id::TaskId;
use flow_core::run::RunState;
use flow_core::run::event::RunEnd;
use flow_core::stage::CancelReason;
use flow_core::store::Store;
use flow_runtime::{Trial, TrialResult};
use tokio::sync::watch;

use super::drive::runtime;
use super::resume::cancelled;
use super::signals::{self, Signals};
use crate::args::RerunArgs;
use crate::bug;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::lost;
use crate::prepare;
use crate::report::human::{Lines, name};
use crate::report::teller::Teller;
use crate::report::{live, tell};
use crate::session::{Session, Verbosity, find_run};
use crate::target;
use report::Report;
pub(super) use subject::Subject;

pub(crate) fn run(args: &RerunArgs, env: &Session) -> Result<Exit, Failure> {
    if args.downstream && !args.adopt {
        return Err(Failure::usage(
            "--downstream runs what depends on a result of the run, and this one is none without --adopt",
            format!("adopt it too: flow rerun {} {} --adopt --downstream", args.run, args.node),
        ));
    }
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    if args.adopt && history.end() == Some(RunEnd::Cancelled) {
        return Err(cancelled(env, &run, &history.manifest));
    }
    let task = target::task(&history.state, target::node(&history.state, &args.node)?)?;
    let shared: Arc<dyn Store> = store.clone();
    // Nobody may take the run up meanwhile: this attempt uses its folders. Refused while it is held.
    let graph = Arc::clone(history.state.graph());
    let mut opened = flow_runtime::open(&shared, &run, graph, history.manifest.clone())?;
    if opened.state().last_seq() != history.state.last_seq() {
        // Another process took the run up and ended meanwhile.
        drop(opened);
        return self::run(args, env);
    }
    let mut subject = Subject::of(args, env, store.as_ref(), &history, task)?;
    refuse_effect(args, env, &subject)?;
    check_inputs(&subject, env, run.as_str())?;
    refuse_lost(&subject, store.as_ref())?;
    let (graph, wanted) = (subject.state.graph(), |id| id == subject.task.node);
    // What runs after an adopted result reads its secrets too.
    let (secrets, mut missing) = prepare::read_secrets(graph, |id| wanted(id) || args.downstream)?;
    missing.extend(prepare::missing(graph, env.store_place().as_deref(), wanted));
    if !missing.is_empty() {
        return Err(Failure::Missing(missing));
    }
    bug::during(run.as_str());
    subject.plan.secrets = Arc::clone(&secrets);
    opened.keep_secrets(secrets);
    let (result, signal) = try_it(env, &subject, &shared)?;
    let report = Report { env, store: store.as_ref(), history: &history, task, result, args };
    if !env.json {
        tell(&report.text());
    }
    let exit = match (signal, &report.result.outcome) {
        (Some(signal), _) => Exit::interrupted(signal),
        (None, Trial::Failed(_)) => Exit::FAILED,
        (None, Trial::Skipped { .. }) => Exit::SUCCEEDED,
        (None, Trial::Succeeded { .. }) if !args.adopt => Exit::SUCCEEDED,
        (None, Trial::Succeeded { .. }) => adopt::adopt(args, env, &store, &report, opened)?,
    };
    if env.json {
        env.out.line(&report.object().to_string());
    }
    Ok(exit)
}

/// An effect acts on the outside world again only where that was said.
fn refuse_effect(args: &RerunArgs, env: &Session, subject: &Subject) -> Result<(), Failure> {
    let node = subject.state.graph().node(subject.task.node);
    if node.effect.is_none() || args.allow_effect {
        return Ok(());
    }
    let command = env.command(&["rerun", &args.run, &args.node, "--allow-effect"]);
    Err(Failure::state(
        format!("`{}` acts on the outside world, and would do so again", node.name),
        format!("if that is what you want: {command}"),
    ))
}

/// Refuses a task whose inputs are not there.
pub(super) fn check_inputs(subject: &Subject, env: &Session, run: &str) -> Result<(), Failure> {
    let (state, task): (&RunState, TaskId) = (&subject.state, subject.task);
    let node = state.graph().node(task.node);
    let present = |producer, port: &str, take| state.has_output(producer, port, take, task.item);
    let item = node.fan.as_ref().map(|fan| &fan.item);
    let given = |name: &String| subject.plan.inputs.contains_key(name);
    let inputs = node.inputs.iter().chain(node.params.iter().flatten());
    let needed = inputs.filter(|i| !i.ty.is_optional() && !given(&i.name));
    if needed.map(|i| &i.source).chain(item).all(|source| source.is_satisfied(&present)) {
        return Ok(());
    }
    let name = name(&state.task_ref(task));
    Err(Failure::state(
        format!("`{name}` cannot run yet: what it takes as input is not there"),
        format!("go on with the run first: {}", env.command(&["resume", run])),
    ))
}

/// Refuses a task whose inputs are damaged or missing, and names who makes them again.
pub(super) fn refuse_lost(subject: &Subject, store: &dyn Store) -> Result<(), Failure> {
    let Subject { run, state, task, plan, .. } = subject;
    if !plan.inputs.is_empty() {
        // What is given takes the place of what may be lost.
        return Ok(());
    }
    let found = flow_runtime::lost_inputs(store, run, state, *task)?;
    let name = name(&state.task_ref(*task));
    match lost::named(state, found) {
        lost if lost.is_empty() => Ok(()),
        lost => Err(Failure::Lost {
            message: format!("what `{name}` of run {run} takes as input is lost"),
            run: run.to_string(),
            lost,
        }),
    }
}

/// Runs the attempt; signals stop it. The first of them is returned.
fn try_it(
    env: &Session,
    subject: &Subject,
    store: &Arc<dyn Store>,
) -> Result<(TrialResult, Option<&'static str>), Failure> {
    let runtime = runtime()?;
    let (sender, cancel) = watch::channel(None);
    let screen = live::start_beside(env, &subject.run, &subject.state, subject.task)?;
    let lines = Lines::new(&subject.run, subject.state.graph(), env.stderr, env.prompt());
    let task = subject.state.task_ref(subject.task);
    let verbosity = if env.json { Verbosity::Quiet } else { env.verbosity };
    let teller = Teller::new(lines, verbosity, screen.handle()).beside(&task);
    let done = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let terminal = tokio::spawn(signals::attend(screen.handle())?);
        let trial = flow_runtime::try_once(subject.case(store), cancel, vec![Box::new(teller)]);
        tokio::pin!(trial);
        let mut first = None;
        let result = loop {
            tokio::select! {
                result = &mut trial => break result,
                signal = signals.next() => {
                    let reason = match first {
                        None => CancelReason::Interrupted,
                        Some(_) => CancelReason::Killed,
                    };
                    sender.send_replace(Some(reason));
                    first = first.or(Some(signal));
                }
            }
        };
        terminal.abort();
        let operation = "start the thread of the observers";
        let result = result.map_err(|source| Failure::System { operation, source })?;
        Ok((result, first))
    });
    runtime.shutdown_background();
    done
}
