//! What `cancel`, `approve` and `resolve` share: a word reaches the process that has the run, or is
//! recorded here if none has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::id::{RunId, TaskId};
use flow_core::run::RunState;
use flow_core::store::{Store, StoreError};
use flow_runtime::{Clock as _, SystemClock, Word};
use flow_store::DiskStore;

use crate::failure::Failure;
use crate::history::History;
use crate::prepare;
use crate::report::view;
use crate::session::Session;

/// How long to watch whether a process takes a word, and how often.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// What became of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// The process that has the run recorded it.
    Taken,
    /// It lies in the inbox, and will be read.
    Left,
    /// It was recorded here: no process has the run.
    Recorded,
}

/// Delivers a word. `done` tells from the records of the run whether it was taken.
///
/// # Errors
/// A store that fails, or a run whose state does not take the word any more.
pub(super) fn deliver(
    env: &Session,
    store: &Arc<DiskStore>,
    history: &History,
    word: &Word,
    done: impl Fn(&RunState) -> bool,
) -> Result<Delivered, Failure> {
    let run = history.run();
    // Words are recorded, and lie in the run's inbox before that.
    let (secrets, _) = prepare::read_secrets(history.state.graph(), |_| false)?;
    if let Some(secret) = secrets.find(&word.to_message()) {
        return Err(Failure::Recorded(vec![format!("what is said: the secret `{secret}`")]));
    }
    let shared: Arc<dyn Store> = store.clone();
    if history.holder.is_none() {
        match flow_runtime::open(
            &shared,
            run,
            Arc::clone(history.state.graph()),
            history.manifest.clone(),
        ) {
            Ok(mut opened) => {
                let now = SystemClock::start().now();
                if !flow_runtime::record_word(&shared, &mut opened, word.clone(), now)? {
                    return Err(gone(env, run));
                }
                return Ok(Delivered::Recorded);
            }
            // Somebody took it up meanwhile: the word is for them.
            Err(StoreError::Held { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    shared.post(run, &word.to_message())?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        std::thread::sleep(LOOK);
        // Asked in this order: a word that is taken in between is on record.
        let waits = !shared.inbox(run)?.is_empty();
        let records = shared.read_run(run)?;
        let state = flow_runtime::replay(history.state.graph(), &history.manifest, &records);
        if done(&state) {
            return Ok(Delivered::Taken);
        }
        if !waits {
            return Err(gone(env, run));
        }
    }
    Ok(Delivered::Left)
}

/// Prints the run as it is now, for programs.
pub(super) fn print_run(env: &Session, store: &DiskStore, run: &RunId) -> Result<(), Failure> {
    if env.json {
        let history = History::read(store, run, &env.catalog())?;
        env.out.line(&view::run(&history, store).to_string());
    }
    Ok(())
}

fn gone(env: &Session, run: &RunId) -> Failure {
    Failure::state(
        "the run does not wait for this any more",
        format!("look at it: {}", env.command(&["show", run.as_str()])),
    )
}

/// The task's own words in a message.
pub(super) fn named(state: &RunState, task: TaskId) -> (String, Option<String>) {
    let name = state.task_ref(task);
    (name.node.to_string(), name.item.map(|item| item.key.to_string()))
}

/// Who gives the word.
pub(super) fn person() -> String {
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    named("USER")
        .or_else(|| named("LOGNAME"))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
