//! `flow cancel`: ends a run for good.

use std::sync::Arc;

use flow_core::run::event::RunEnd;
use flow_core::run::state::RunPhase;
use flow_core::store::Store;
use flow_runtime::{Control, Word};

use super::drive::drive_with;
use super::word::{Delivered, deliver, print_run};
use crate::args::CancelArgs;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::prepare;
use crate::report::tell;
use crate::report::text::clean;
use crate::session::{Session, find_run};

pub(crate) fn run(args: &CancelArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    if let Some(end) = history.end() {
        let how = match end {
            RunEnd::Succeeded => "has succeeded",
            RunEnd::Failed => "has failed",
            RunEnd::Cancelled => "is cancelled",
        };
        return Err(Failure::state(
            format!("run {run} {how} already"),
            format!("look at it: {}", env.command(&["show", run.as_str()])),
        ));
    }
    let Some(holder) = history.holder.clone() else {
        let shared: Arc<dyn Store> = store.clone();
        let graph = Arc::clone(history.state.graph());
        // Nodes with `always` still run; one whose secret is missing fails, and the run ends all the same.
        let (secrets, _) = prepare::read_secrets(&graph, |_| false)?;
        let manifest = history.manifest;
        let mut opened = flow_runtime::open(&shared, &run, graph, manifest.clone())?;
        opened.keep_secrets(secrets);
        drive_with(env, &store, &run, manifest, opened, Some(Control::Cancel))?;
        return Ok(Exit::SUCCEEDED);
    };
    let ended = |state: &flow_core::run::RunState| matches!(state.phase(), RunPhase::Finished(_));
    let told = match deliver(env, &store, &history, &Word::Cancel, ended)? {
        Delivered::Left => {
            format!(
                "run {run} is asked to end, and has not ended yet: it is with {}\n",
                clean(&holder)
            )
        }
        Delivered::Taken | Delivered::Recorded => format!("run {run} is cancelled\n"),
    };
    tell(&told);
    print_run(env, &store, &run)?;
    Ok(Exit::SUCCEEDED)
}
