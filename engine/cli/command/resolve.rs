//! `flow resolve`: says whether an effect happened whose attempt ended without an answer.

use std::collections::BTreeMap;

use flow_core::id::TaskId;
use flow_core::run::RunState;
use flow_core::run::state::{Phase, RunPhase};
use flow_core::store::Store;
use flow_runtime::Word;
use serde_json::Value;

use super::word::{Delivered, deliver, named, print_run};
use crate::args::ResolveArgs;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::prepare::{ParamFault, output_value, read_secrets};
use crate::report::tell;
use crate::report::text::clean;
use crate::session::{Session, find_run};
use crate::target;

pub(crate) fn run(args: &ResolveArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    let state = &history.state;
    let task = target::task(state, target::node(state, &args.node)?)?;
    if !is_unknown(&history, task) {
        return Err(Failure::state(
            format!("the effect of `{}` is not unknown", args.node),
            format!("look at the run: {}", env.command(&["show", run.as_str()])),
        ));
    }
    let happened = match args.done {
        true => Some(outputs(args, store.as_ref(), state, task)?),
        false => None,
    };
    let (node, item) = named(state, task);
    let word = Word::Resolve { node, item, happened };
    let settled =
        |state: &RunState| !matches!(state.task(task).map(|t| &t.phase), Some(Phase::Unknown(_)));
    let delivered = deliver(env, &store, &history, &word, settled)?;
    let what = if args.done { "is done" } else { "was not done, and may be tried again" };
    let next = match delivered {
        Delivered::Taken => String::new(),
        Delivered::Left => "; the process that has the run will read it".to_owned(),
        Delivered::Recorded => format!("; go on with: {}", env.command(&["resume", run.as_str()])),
    };
    tell(&format!("{} {what}{next}\n", clean(&args.node)));
    print_run(env, &store, &run)?;
    Ok(Exit::SUCCEEDED)
}

/// Whether it is not known if the effect happened: on record, or because its process died in it.
fn is_unknown(history: &History, task: TaskId) -> bool {
    let cut_short = |found: &flow_core::run::state::Task| {
        found.phase == Phase::Running
            && found.intent.is_some()
            && history.holder.is_none()
            && history.state.phase() == RunPhase::Open
    };
    history
        .state
        .task(task)
        .is_some_and(|found| matches!(found.phase, Phase::Unknown(_)) || cut_short(found))
}

/// The outputs that were given, all of those that must be there.
fn outputs(
    args: &ResolveArgs,
    store: &dyn Store,
    state: &RunState,
    task: TaskId,
) -> Result<BTreeMap<String, Value>, Failure> {
    let ports = &state.graph().node(task.node).outputs;
    let (secrets, _) = read_secrets(state.graph(), |_| false)?;
    let mut values = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, word) in &args.outputs {
        let Some(port) = ports.iter().find(|port| port.name == *name) else {
            let reason = "the node has no such output".to_owned();
            faults.push(ParamFault { name: name.clone(), reason });
            continue;
        };
        let path = std::path::Path::new(word);
        if port.ty.is_artifact()
            && let Ok(Some(secret)) = secrets.find_in_path(path)
        {
            let place = format!("the file of output `{name}`: the secret `{secret}`");
            return Err(Failure::Recorded(vec![place]));
        }
        match output_value(store, &port.ty, word) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(reasons) => faults.extend(
                reasons.into_iter().map(|reason| ParamFault { name: name.clone(), reason }),
            ),
        }
    }
    let absent = |port: &&flow_core::graph::OutputPort| {
        !port.ty.is_optional() && !args.outputs.iter().any(|(name, _)| *name == port.name)
    };
    for port in ports.iter().filter(absent) {
        let reason = format!("it must be given: --output {}=VALUE ({})", port.name, port.ty);
        faults.push(ParamFault { name: port.name.clone(), reason });
    }
    if faults.is_empty() { Ok(values) } else { Err(Failure::Outputs(faults)) }
}
