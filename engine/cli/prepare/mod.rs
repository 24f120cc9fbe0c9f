//! From a workflow file to something that can run: its graph, its parameters, what it uses, and
//! what the machine must have.

mod changes;
mod param_files;
mod params;
mod preflight;
mod preview;
mod secrets;
mod update;
mod uses;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::definition::{Definition, Source};
use flow_core::diagnostic::Diagnostic;
use flow_core::digest::Digest;
use flow_core::graph::{self, Graph};
use flow_core::run::manifest::Manifest;
use flow_core::store::Store;
use flow_workflows::Loaded;
use jiff::Timestamp;
use serde_json::Value;

use crate::failure::{Failure, Faults};

pub(crate) use changes::changes;
pub(crate) use params::{Given, ParamFault, Params, output_value};
pub(crate) use preflight::{MissingTool, missing};
pub(crate) use preview::Preview;
pub(crate) use secrets::{
    SecretState, StandIns, check_recorded, read as read_secrets, stand_in, stand_ins,
    states as secret_states,
};
pub(crate) use update::{Update, gone};
#[cfg(test)]
pub(crate) use uses::UNUSABLE;

/// A workflow file that can run.
pub(crate) struct Workflow {
    pub(crate) definition: Definition,
    pub(crate) graph: Arc<Graph>,
    /// The texts of the files that belong to it, by path.
    files: BTreeMap<String, String>,
    /// What is odd about the file, with its text.
    pub(crate) warnings: Faults,
}

/// Everything that a workflow file and its surroundings tell before it runs.
pub(crate) struct Examined {
    /// The definition as far as it could be read.
    pub(crate) definition: Option<Definition>,
    /// The graph, if the file has no faults.
    pub(crate) graph: Option<Arc<Graph>>,
    /// Faults and warnings, in the order of the file.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The text that they point to.
    pub(crate) source: Source,
    files: BTreeMap<String, String>,
}

impl Examined {
    /// Looks at a file that was read, and not at the disk.
    fn of(mut loaded: Loaded, catalog: &Catalog) -> Self {
        let mut graph = None;
        // A check that misses a name may be wrong where something was left out.
        if let Some(definition) = loaded.definition.as_ref().filter(|_| loaded.complete) {
            match graph::check(definition, catalog) {
                Ok(found) => {
                    loaded.join(found.remarks().to_vec());
                    graph = Some(Arc::new(found));
                }
                Err(faults) => loaded.join(faults),
            }
        }
        Self::joined(loaded, graph)
    }

    fn joined(loaded: Loaded, graph: Option<Arc<Graph>>) -> Self {
        let graph = graph.filter(|_| loaded.is_valid());
        let Loaded { definition, diagnostics, source, files, .. } = loaded;
        Self { definition, graph, diagnostics, source, files }
    }

    /// Reads a file, and looks at what it uses on the disk too.
    ///
    /// # Errors
    /// [`Failure::Load`] when the file cannot be read.
    pub(crate) fn read(path: &Path, catalog: &Catalog) -> Result<Self, Failure> {
        let mut loaded = flow_workflows::load(path)?;
        let mut graph = None;
        if let Some(definition) = &loaded.definition {
            let mut faults = uses::faults(definition);
            if loaded.complete {
                match graph::check(definition, catalog) {
                    Ok(found) => {
                        faults.extend(found.remarks().iter().cloned());
                        graph = Some(Arc::new(found));
                    }
                    Err(found) => faults.extend(found),
                }
            }
            loaded.join(faults);
        }
        Ok(Self::joined(loaded, graph))
    }

    /// The workflow, if nothing refuses it.
    pub(crate) fn workflow(self) -> Result<Workflow, Failure> {
        let faults = Faults { diagnostics: self.diagnostics, source: self.source };
        let files = self.files;
        match (self.definition, self.graph) {
            (Some(definition), Some(graph)) => {
                Ok(Workflow { definition, graph, files, warnings: faults })
            }
            _ => Err(Failure::Workflow(Box::new(faults))),
        }
    }
}

/// The graph of the workflow text that a run recorded.
///
/// # Errors
/// [`Failure::Workflow`] when this version of `flow` does not accept it.
pub(crate) fn recorded(
    manifest: &Manifest,
    text: &str,
    catalog: &Catalog,
) -> Result<Arc<Graph>, Failure> {
    Examined::of(parsed(manifest, text), catalog).workflow().map(|workflow| workflow.graph)
}

/// The definition that a run recorded, before it is checked.
///
/// # Errors
/// As [`recorded`].
pub(crate) fn recorded_definition(manifest: &Manifest, text: &str) -> Result<Definition, Failure> {
    let Loaded { definition, diagnostics, source, .. } = parsed(manifest, text);
    definition.ok_or_else(|| Failure::Workflow(Box::new(Faults { diagnostics, source })))
}

fn parsed(manifest: &Manifest, text: &str) -> Loaded {
    let path = &manifest.workflow_path;
    let name = format!("{} (as recorded)", path.display());
    let dir = path.parent().unwrap_or(path).to_owned();
    flow_workflows::parse_with(&name, text, dir, &|path| {
        let text = manifest.files.get(path).cloned();
        text.ok_or_else(|| "it is not recorded with the run".to_owned())
    })
}

/// Reads the variables that only this graph's templates read; those on record stay as they are.
pub(crate) fn add_env(manifest: &mut Manifest, graph: &Graph) {
    for (name, value) in read_env(graph) {
        manifest.env.entry(name).or_insert(value);
    }
}

/// What a run is limited to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    /// The only node wanted.
    pub(crate) only: Option<String>,
    /// Tasks at once.
    pub(crate) max_parallel: Option<u32>,
    /// Whether results of other runs are left alone.
    pub(crate) fresh: bool,
}

/// Stores what the run depends on, and describes it.
///
/// # Errors
/// [`Failure::Params`] for a file that is not of its type, or a store that cannot take the bytes.
pub(crate) fn manifest(
    store: &dyn Store,
    path: &Path,
    workflow: &Workflow,
    params: Params,
    limits: Limits,
) -> Result<Manifest, Failure> {
    let stored = params.store(store, &workflow.graph)?;
    let uses = uses::store(store, &workflow.graph)?;
    // Whoever reads the record must find the bytes that it names.
    store.settle()?;
    let text = &workflow.definition.source.text;
    let settings = workflow.graph.settings();
    Ok(Manifest {
        flow_version: env!("CARGO_PKG_VERSION").into(),
        workflow_path: std::path::absolute(path)
            .map_err(|source| Failure::System { operation: "find the current folder", source })?,
        definition: Digest::of(text.as_bytes()),
        params: stored.values,
        param_paths: stored.paths,
        files: workflow.files.clone(),
        uses,
        env: read_env(&workflow.graph),
        started_at: Timestamp::now(),
        only: limits.only,
        max_parallel: limits.max_parallel.or(settings.max_parallel).unwrap_or_else(processors),
        fresh: limits.fresh,
    })
}

/// The environment variables that templates read, as they are now.
fn read_env(graph: &Graph) -> BTreeMap<String, String> {
    let names = graph.nodes().iter().flat_map(|node| &node.env);
    names.filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect()
}

/// How many processors there are.
fn processors() -> u32 {
    let number = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Parameters as they are recorded.
struct StoredParams {
    values: BTreeMap<String, Value>,
    paths: BTreeMap<String, std::path::PathBuf>,
}
