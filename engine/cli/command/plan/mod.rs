//! `flow plan`: what a run would do, and why. It is foreseen with the functions that a run uses;
//! nothing is executed and nothing is written.

mod outlook;
mod report;

use std::sync::Arc;

use flow_core::graph::Graph;
use flow_core::id::RunId;
use flow_core::run::Recorded;
use flow_core::run::event::RunEnd;
use flow_core::run::manifest::Manifest;
use flow_core::run::state::RunPhase;
use flow_core::store::{Store, StoreError};
use flow_runtime::{Clock as _, Forecast, Past as Records, Subject, SystemClock, foresee};
use flow_store::DiskStore;

use super::{resume, update};
use crate::args::PlanArgs;
use crate::compare::{Costs, Past, earlier_runs, records_of_workflow};
use crate::failure::{Exit, Failure};
use crate::prepare::{self, Examined, Given, Limits, Params, Preview, Update, Workflow};
use crate::report::text::clean;
use crate::report::{diagnostics, tell};
use crate::session::{Session, Verbosity, find_run};
use outlook::Outlook;

/// So many earlier runs of the workflow tell what nodes cost.
const RUNS_MAX: usize = 5;

/// Among so many runs of the store they are looked for.
const LOOKED_MAX: usize = 100;

/// What is planned.
struct Planned {
    /// The run, if it is there already.
    run: Option<RunId>,
    /// What it is called where keys name it.
    id: RunId,
    graph: Arc<Graph>,
    manifest: Arc<Manifest>,
    forecast: Forecast,
    /// What it is compared with: the run itself as it stands, else the latest run of the workflow.
    before: Option<Past>,
    costs: Costs,
    store: Arc<dyn Store>,
}

pub(crate) fn run(args: &PlanArgs, env: &Session) -> Result<Exit, Failure> {
    let planned = match (&args.resume, &args.file) {
        (Some(run), _) => resumed(args, env, run)?,
        (None, Some(file)) => begun(args, env, file)?,
        (None, None) => return Ok(Exit::USAGE),
    };
    let outlook = Outlook::of(&planned, env);
    let text = match env.json {
        true => format!("{}\n", report::object(&planned, &outlook)),
        false => report::text(&planned, &outlook, env.stdout),
    };
    env.out.write(text.as_bytes());
    Ok(Exit::SUCCEEDED)
}

/// A run that would begin.
fn begun(args: &PlanArgs, env: &Session, file: &std::path::Path) -> Result<Planned, Failure> {
    let workflow = Examined::read(file, &env.catalog())?.workflow()?;
    tell_warnings(env, &workflow);
    let graph = Arc::clone(&workflow.graph);
    let given = Given::read(&args.params, args.params_file.as_deref())?;
    let params = Params::resolve(&graph, &given)?;
    let disk = match env.open_store() {
        Ok(store) => Some(store),
        Err(Failure::Store(StoreError::NoStore(_))) => None,
        Err(other) => return Err(other),
    };
    let run = RunId::new("planned").map_err(|error| Failure::usage(error.to_string(), ""))?;
    let store: Arc<dyn Store> = Arc::new(Preview::new(disk.clone(), &run, &[]));
    let limits = Limits { fresh: args.fresh, ..Limits::default() };
    let manifest = prepare::manifest(store.as_ref(), file, &workflow, params, limits)?;
    let manifest = Arc::new(manifest);
    let forecast = forecast(env, &store, &run, &graph, &manifest, Records::None)?;
    let mut runs = Vec::new();
    if disk.is_some() {
        runs = earlier(store.as_ref(), None, &manifest, graph.name())?;
    }
    let costs = Costs::of(runs.iter().map(|(_, records)| records.as_slice()));
    let latest = runs.into_iter().next();
    // A run that this version does not accept any more has nothing to be compared with.
    let before = latest.and_then(|(run, records)| {
        Past::of(store.as_ref(), &run, records, &env.catalog(), None).ok()
    });
    Ok(Planned { run: None, id: run, graph, manifest, forecast, before, costs, store })
}

/// A run that would go on.
fn resumed(args: &PlanArgs, env: &Session, wanted: &str) -> Result<Planned, Failure> {
    let disk: Arc<DiskStore> = env.open_store()?;
    let run = find_run(disk.as_ref(), wanted)?;
    let holder = disk.holder(&run)?;
    let past = Past::read(disk.as_ref(), &run, &env.catalog(), None)?;
    let end = past.state.phase();
    if end == RunPhase::Finished(RunEnd::Cancelled) {
        return Err(resume::cancelled(env, &run, &past.manifest));
    }
    if let Some(holder) = holder {
        let word = env.stderr.odd("note");
        tell(&format!(
            "{word}: {} has the run; this is what a resume would do if it ended now\n",
            clean(&holder)
        ));
    }
    let store: Arc<dyn Store> = Arc::new(Preview::new(Some(disk), &run, &past.records));
    let updates = args.update || !args.params.is_empty();
    let (graph, manifest, forecast) = if updates {
        let recorded = (past.manifest.as_ref(), past.state.graph().as_ref());
        let new = Update::read(store.as_ref(), recorded, None, &args.params, &env.catalog())?;
        tell_warnings(env, &new.workflow);
        update::refuse_lost(env, &run, &past.state, &new)?;
        let (graph, manifest) = (Arc::clone(new.graph()), Arc::new(new.manifest));
        let records = Records::Updated(&past.records);
        let forecast = self::forecast(env, &store, &run, &graph, &manifest, records)?;
        (graph, manifest, forecast)
    } else {
        let (graph, manifest) = (Arc::clone(past.state.graph()), Arc::clone(&past.manifest));
        let forecast = match end {
            // `flow resume` has nothing to do with it.
            RunPhase::Finished(RunEnd::Succeeded) => Forecast::done(past.state.clone()),
            _ => {
                let records = Records::Resumed(&past.records);
                self::forecast(env, &store, &run, &graph, &manifest, records)?
            }
        };
        (graph, manifest, forecast)
    };
    let mut costs = Costs::of([past.records.as_slice()]);
    if outlook::lacks_costs(&graph, &costs) {
        let runs = earlier(store.as_ref(), Some(&run), &manifest, graph.name())?;
        costs.fill(runs.iter().map(|(_, records)| records.as_slice()));
    }
    Ok(Planned {
        run: Some(run.clone()),
        id: run,
        graph,
        manifest,
        forecast,
        before: Some(past),
        costs,
        store,
    })
}

fn tell_warnings(env: &Session, workflow: &Workflow) {
    let warnings = &workflow.warnings;
    if env.verbosity > Verbosity::Quiet {
        let color = env.stderr.is_on();
        tell(&diagnostics::render(&warnings.diagnostics, &warnings.source, color));
    }
}

/// Foresees a run with the secrets that are there now, and says what would keep it from starting.
fn forecast(
    env: &Session,
    store: &Arc<dyn Store>,
    run: &RunId,
    graph: &Graph,
    manifest: &Arc<Manifest>,
    past: Records<'_>,
) -> Result<Forecast, Failure> {
    let (secrets, mut missing) = prepare::read_secrets(graph, |_| true)?;
    missing.extend(prepare::missing(graph, env.store_place().as_deref(), |_| true));
    for lack in missing {
        let (word, nodes) = (env.stderr.odd("warning"), lack.nodes.join(", "));
        tell(&format!("{word}: it would not start: {} (needed by {nodes})\n", lack.missing.what));
    }
    let (store, manifest) = (Arc::clone(store), Arc::clone(manifest));
    let subject = Subject { store, run, graph, manifest, secrets };
    Ok(foresee(subject, past, SystemClock::start().now())?)
}

/// The latest earlier runs of a workflow with their records, newest first.
fn earlier(
    store: &dyn Store,
    run: Option<&RunId>,
    manifest: &Manifest,
    name: &str,
) -> Result<Vec<(RunId, Vec<Recorded>)>, Failure> {
    let workflow = (manifest.workflow_path.as_path(), name);
    let found = earlier_runs(store, run)?.into_iter().take(LOOKED_MAX).filter_map(|run| {
        let records = records_of_workflow(store, &run, workflow)?;
        Some((run, records))
    });
    Ok(found.take(RUNS_MAX).collect())
}
