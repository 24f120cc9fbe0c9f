//! What `run` and `resume` share: driving a run that this process holds, and telling how it ended.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use flow_core::id::RunId;
use flow_core::payload::Artifact;
use flow_core::run::Ending;
use flow_core::run::event::RunEnd;
use flow_core::run::manifest::Manifest;
use flow_core::store::Store;
use flow_runtime::{Control, Observer, Opened, RunError, Runner, SystemClock};
use flow_store::DiskStore;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;

use super::signals::{self, Signals};
use crate::bug;
use crate::failure::{Exit, Failure};
use crate::history::{History, Outline};
use crate::lost;
use crate::report::human::Lines;
use crate::report::jsonl::JsonReporter;
use crate::report::live::{self, Handle};
use crate::report::logfile::{LogFiles, LogReporter, SharedLog};
use crate::report::recap::Recap;
use crate::report::teller::Teller;
use crate::report::text::{bytes, clean};
use crate::report::traces::Traces;
use crate::report::{summary, tell, tracing_lines, view};
use crate::session::{Session, Verbosity};

/// Values up to this many bytes are printed at the end of a run; larger ones are described.
const PRINTED_MAX: usize = 4096;

/// Drives a run to the end of this invocation.
///
/// # Errors
/// A store that failed, or a system that cannot give a thread.
pub(super) fn drive(
    env: &Session,
    store: &Arc<DiskStore>,
    run: &RunId,
    manifest: Manifest,
    opened: Opened,
) -> Result<Exit, Failure> {
    drive_with(env, store, run, manifest, opened, None)
}

/// As [`drive`], with a word that is said to the run at once.
///
/// # Errors
/// As [`drive`].
pub(super) fn drive_with(
    env: &Session,
    store: &Arc<DiskStore>,
    run: &RunId,
    manifest: Manifest,
    opened: Opened,
    word: Option<Control>,
) -> Result<Exit, Failure> {
    let since = Timestamp::now();
    let mut traces = Traces::default();
    let (ending, history, recap) =
        drive_to_end(env, store, run, manifest, opened, word, &mut traces)?;
    tell_end(env, store.as_ref(), &history, since, Some(&recap))?;
    Ok(exit_of(&ending))
}

/// As [`drive`], for a command whose one result is told by itself: with `--json` nothing of the
/// run goes to stdout.
///
/// # Errors
/// As [`drive`].
pub(super) fn drive_quietly(
    env: &Session,
    store: &Arc<DiskStore>,
    run: &RunId,
    manifest: Manifest,
    opened: Opened,
) -> Result<(Ending, History), Failure> {
    let since = Timestamp::now();
    let silent = env.json.then(|| env.silent());
    let to = silent.as_ref().unwrap_or(env);
    let mut traces = Traces::default();
    let (ending, history, recap) =
        drive_to_end(to, store, run, manifest, opened, None, &mut traces)?;
    if !env.json {
        tell_end(env, store.as_ref(), &history, since, Some(&recap))?;
    }
    Ok((ending, history))
}

/// Drives a run and reads what it came to.
fn drive_to_end(
    env: &Session,
    store: &Arc<DiskStore>,
    run: &RunId,
    manifest: Manifest,
    opened: Opened,
    word: Option<Control>,
    traces: &mut Traces,
) -> Result<(Ending, History, Recap), Failure> {
    let graph = Arc::clone(opened.state().graph());
    bug::during(run.as_str());
    let shared: Arc<dyn Store> = store.clone();
    let secrets = Arc::clone(opened.secrets());
    let log = LogFiles::open(&store.logs_dir(), Arc::clone(&secrets))
        .map(|files| Arc::new(Mutex::new(files)));
    let log = log.map_err(|source| Failure::Write { path: store.logs_dir(), source })?;
    tracing_lines::install(run.as_str(), Arc::clone(&log), secrets);
    let screen = live::start(env, run, || opened.at_start())?;
    let mut observers = observers(env, &shared, run, &opened, log, screen.handle());
    observers.extend(traces.observer(run, &graph));
    let ending = block_on(env, &shared, opened, observers, word, screen.handle());
    // Whatever is told from here on stands where the region was.
    drop(screen);
    let ending = ending?;
    if let Ending::StoreFailed(error) = ending {
        return Err(Failure::StoreStopped(error));
    }
    let mut state = flow_runtime::fresh_state(&graph, &manifest);
    let (mut outline, mut recap) = (Outline::empty(run), Recap::default());
    // One after the other: all at once they may need more memory than the whole run did.
    shared.visit_run(run, &mut |recorded| {
        state.apply(&recorded);
        outline.take(&recorded);
        recap.take(&recorded);
    })?;
    Ok((ending, History::new(outline, manifest, state, None), recap))
}

/// The exit code of a run that ended so for this process.
pub(super) fn exit_of(ending: &Ending) -> Exit {
    match ending {
        Ending::Finished(RunEnd::Succeeded) => Exit::SUCCEEDED,
        Ending::Interrupted(signal) => Exit::interrupted(signal),
        Ending::Waiting => Exit::WAITING,
        _ => Exit::FAILED,
    }
}

/// Who watches the run.
fn observers(
    env: &Session,
    store: &Arc<dyn Store>,
    run: &RunId,
    opened: &Opened,
    log: SharedLog,
    screen: Handle,
) -> Vec<Box<dyn Observer>> {
    let teller: Box<dyn Observer> = if env.json {
        Box::new(JsonReporter {
            run: run.clone(),
            store: Arc::clone(store),
            out: Arc::clone(&env.out),
            verbosity: env.verbosity,
        })
    } else {
        let lines = Lines::new(run, opened.state().graph(), env.stderr, env.prompt());
        Box::new(Teller::new(lines, env.verbosity, screen))
    };
    vec![teller, Box::new(LogReporter::new(run.clone(), log))]
}

/// Runs the driver in a runtime of its own, with signals turned into words to it.
fn block_on(
    env: &Session,
    store: &Arc<dyn Store>,
    opened: Opened,
    observers: Vec<Box<dyn Observer>>,
    word: Option<Control>,
    screen: Handle,
) -> Result<Ending, Failure> {
    let runtime = runtime()?;
    if let Some(lock) = opened.programs_lock()? {
        // Should this process die, nobody takes the run up before its programs have ended.
        let operation = "share a lock with the process that starts programs";
        env.spawner.hold(lock).map_err(|source| Failure::System { operation, source })?;
    }
    let runner = Runner { store: Arc::clone(store), clock: Arc::new(SystemClock::start()) };
    let (sender, receiver) = mpsc::unbounded_channel();
    if let Some(word) = word {
        // The receiver is right here.
        drop(sender.send(word));
    }
    let ending: Result<Ending, Failure> = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let quiet = env.json || env.verbosity == Verbosity::Quiet;
        let terminal = tokio::spawn(signals::attend(screen)?);
        let listener = tokio::spawn(async move {
            let mut first = true;
            loop {
                let signal = signals.next().await.to_owned();
                if first && !quiet {
                    tell(&format!("{signal}: ending what runs; once more to stop at once\n"));
                }
                first = false;
                if sender.send(Control::Interrupt { signal }).is_err() {
                    break;
                }
            }
        });
        let ending = runner.drive(opened, observers, receiver).await;
        listener.abort();
        terminal.abort();
        if !matches!(ending, Ok(Ending::Finished(_) | Ending::Waiting)) {
            // What still runs may not be on record: it must be gone before anybody resumes the run.
            env.spawner.kill_all().await;
        }
        ending.map_err(|error: RunError| error.into())
    });
    // Whatever is left is work that was given up: nobody waits for its result.
    runtime.shutdown_background();
    ending
}

/// The runtime of commands that run stages.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let failed = |source| Failure::System { operation: "start the asynchronous runtime", source };
    // It takes five descriptors, and panics if there is none left for the last ones.
    let pairs = [UnixStream::pair(), UnixStream::pair(), UnixStream::pair()];
    pairs.into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)
}

/// Tells how a run stands at the end of a command: the result on stdout, the rest on stderr. There
/// is a recap of what this command has driven.
///
/// # Errors
/// An output that the store cannot give.
pub(super) fn tell_end(
    env: &Session,
    store: &dyn Store,
    history: &History,
    since: Timestamp,
    recap: Option<&Recap>,
) -> Result<(), Failure> {
    if env.json {
        env.out.line(&view::run(history, store).to_string());
        return Ok(());
    }
    tell(&summary::render(history, env, since, recap));
    if history.end() == Some(RunEnd::Succeeded) {
        let outputs = history
            .outputs(store)
            .map_err(|error| lost::explained(Failure::Unreadable(error), store, history, None))?;
        for (name, value) in &outputs {
            env.out.line(&format!("{name}: {}", result(value)));
        }
    }
    Ok(())
}

/// A value of `[outputs]` in one line.
fn result(value: &Value) -> String {
    if let Some(artifact) = Artifact::from_json(value) {
        return format!("{} ({})", clean(&artifact.name), bytes(artifact.size));
    }
    let text = match value {
        Value::String(text) => clean(text),
        other => other.to_string(),
    };
    if text.len() <= PRINTED_MAX {
        return text;
    }
    let head: String = text.chars().take(200).collect();
    format!("{head}… ({})", bytes(text.len() as u64))
}
