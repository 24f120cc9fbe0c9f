//! `flow run`: validates a workflow file, then runs it.

use std::sync::Arc;

use flow_core::id::{NodeId, RunId};
use flow_core::store::Store;

use super::drive::drive;
use crate::args::RunArgs;
use crate::failure::{Exit, Failure};
use crate::prepare::{self, Examined, Given, Limits, Params};
use crate::report::{diagnostics, tell};
use crate::session::{Session, Verbosity};
use crate::target::no_node;

pub(crate) fn run(args: &RunArgs, env: &Session) -> Result<Exit, Failure> {
    let run = run_id(args)?;
    let catalog = env.catalog();
    let workflow = Examined::read(&args.file, &catalog)?.workflow()?;
    let warnings = &workflow.warnings;
    if env.verbosity > Verbosity::Quiet {
        let color = env.stderr.is_on();
        tell(&diagnostics::render(&warnings.diagnostics, &warnings.source, color));
    }
    let graph = Arc::clone(&workflow.graph);
    let wanted: Vec<NodeId> = match &args.only {
        None => graph.ids().collect(),
        Some(name) => graph.ancestors(graph.find(name).ok_or_else(|| no_node(&graph, name))?),
    };
    let given = Given::read(&args.params, args.params_file.as_deref())?;
    let params = Params::resolve(&graph, &given)?;
    let is_wanted = |id| wanted.binary_search(&id).is_ok();
    let (secrets, mut missing) = prepare::read_secrets(&graph, is_wanted)?;
    missing.extend(prepare::missing(&graph, env.store_place().as_deref(), is_wanted));
    if !missing.is_empty() {
        return Err(Failure::Missing(missing));
    }
    prepare::check_recorded(&secrets, &workflow, &params)?;
    let store = env.create_store()?;
    let limits =
        Limits { only: args.only.clone(), max_parallel: args.max_parallel, fresh: args.fresh };
    let manifest = prepare::manifest(store.as_ref(), &args.file, &workflow, params, limits)?;
    let shared: Arc<dyn Store> = store.clone();
    let text = &workflow.definition.source.text;
    let mut opened = flow_runtime::start(&shared, run.clone(), graph, manifest.clone(), text)?;
    if args.no_wait {
        opened.leave_waits();
    }
    opened.keep_secrets(secrets);
    drive(env, &store, &run, manifest, opened)
}

/// The id that was asked for, or a fresh one: ids grow with time.
fn run_id(args: &RunArgs) -> Result<RunId, Failure> {
    let text = args.run_id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    RunId::new(&text).map_err(|error| {
        Failure::usage(error.to_string(), "a run id has 1 to 64 of A-Z, a-z, 0-9, `_` and `-`")
    })
}
