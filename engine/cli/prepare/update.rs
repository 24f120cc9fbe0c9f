//! What a run goes by from now on: its workflow file, `uses` and parameters as they are now.

use std::path::Path;
use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::graph::{Graph, Node};
use flow_core::json;
use flow_core::payload::Artifact;
use flow_core::run::RunState;
use flow_core::run::manifest::Manifest;
use flow_core::run::state::{Phase, Tasks};
use flow_core::store::Store;
use serde_json::Value;

use super::{Examined, Given, Limits, Params, Workflow, manifest};
use crate::failure::Failure;

/// Values in notes are cut after so many characters.
const SHOWN_MAX: usize = 60;

/// Another definition and manifest for a run.
pub(crate) struct Update {
    /// The checked workflow.
    pub(crate) workflow: Workflow,
    /// All else that its results depend on; stored.
    pub(crate) manifest: Manifest,
}

impl Update {
    /// Reads the workflow file of a run again, or another one, with all that it names. Parameters
    /// are those on record, unless `words` say otherwise; one that was the default then is the
    /// default now. Variables of the environment are read again too.
    ///
    /// # Errors
    /// A file that cannot be read or has faults, parameters that are refused, or a store that cannot
    /// take the bytes.
    pub(crate) fn read(
        store: &dyn Store,
        recorded: (&Manifest, &Graph),
        file: Option<&Path>,
        words: &[(String, String)],
        catalog: &Catalog,
    ) -> Result<Self, Failure> {
        let (before, graph) = recorded;
        let path = file.unwrap_or(&before.workflow_path);
        let workflow = Examined::read(path, catalog)?.workflow()?;
        let given = Given::again(words, before, graph, &workflow.graph);
        let params = Params::resolve(&workflow.graph, &given)?;
        let by_file = graph.settings().max_parallel.unwrap_or_else(super::processors);
        let limits = Limits {
            only: before.only.clone(),
            // What was said on the command line holds for the whole run.
            max_parallel: (before.max_parallel != by_file).then_some(before.max_parallel),
            fresh: before.fresh,
        };
        let now = manifest(store, path, &workflow, params, limits)?;
        let manifest = Manifest { started_at: before.started_at, ..now };
        Ok(Self { workflow, manifest })
    }

    /// The graph of the new definition.
    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.workflow.graph
    }

    /// The text of the new definition.
    pub(crate) fn text(&self) -> &str {
        &self.workflow.definition.source.text
    }

    /// Whether it is what the run goes by already.
    pub(crate) fn is_same(&self, before: &Manifest) -> bool {
        let version = before.flow_version.clone();
        Manifest { flow_version: version, ..self.manifest.clone() } == *before
    }

    /// A line for each thing that is not as it was.
    pub(crate) fn notes(&self, before: &Manifest) -> Vec<String> {
        let now = &self.manifest;
        let mut notes = Vec::new();
        let path = now.workflow_path.display();
        if now.workflow_path != before.workflow_path {
            notes.push(format!("the workflow file is {path} from here on"));
        } else if now.definition != before.definition {
            notes.push(format!("the workflow file {path} has changed, and is adopted"));
        }
        for (name, used) in &now.uses {
            if before.uses.get(name).is_some_and(|known| known != used) {
                notes.push(format!("the used path {name} has changed, and is adopted"));
            }
        }
        for (name, value) in &now.params {
            match before.params.get(name) {
                Some(known) if known != value => notes.push(param_note(name, known, value)),
                Some(_) | None => {}
            }
        }
        for name in now.env.keys().chain(before.env.keys().filter(|x| !now.env.contains_key(*x))) {
            // A value may be anything, so only the name is told.
            if before.env.get(name) != now.env.get(name) {
                notes.push(format!("the environment variable {name} is adopted as it is now"));
            }
        }
        notes
    }
}

fn param_note(name: &str, before: &Value, now: &Value) -> String {
    match (Artifact::from_json(before), Artifact::from_json(now)) {
        (Some(_), Some(_)) => {
            format!("the file of parameter `{name}` has changed, and is adopted")
        }
        _ => format!("parameter `{name}` was {} and is {} now", shown(before), shown(now)),
    }
}

/// A value in a line.
pub(crate) fn shown(value: &Value) -> String {
    if let Some(artifact) = Artifact::from_json(value) {
        return format!("the file {}", artifact.name);
    }
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A line for each node with results that the new file does not have.
pub(crate) fn gone(before: &RunState, now: &Graph) -> Vec<String> {
    let graph = before.graph();
    let lost = graph.ids().filter(|id| {
        let has_result = match &before.node(*id).tasks {
            Tasks::One(task) => matches!(task.phase, Phase::Succeeded(_)),
            Tasks::Items(items) => items.iter().any(|t| matches!(t.phase, Phase::Succeeded(_))),
            Tasks::Unresolved => false,
        };
        has_result && now.find(&graph.node(*id).name).is_none()
    });
    lost.map(|id| {
        let node = graph.node(id);
        let is_new = |other: &&Node| graph.find(&other.name).is_none();
        let renamed = now.nodes().iter().filter(is_new).find(|other| is_alike(node, other));
        match renamed {
            Some(other) => format!(
                "node `{}` is gone from the file, and `{}` does the same: it takes the results of the same key",
                node.name, other.name
            ),
            None => {
                format!("node `{}` is gone from the file; its results stay in the store", node.name)
            }
        }
    })
    .collect()
}

/// Whether two nodes do the same work, as far as the file tells.
fn is_alike(node: &Node, other: &Node) -> bool {
    let config = |node: &Node| json::digest(&node.work.raw_config);
    let outputs = |node: &Node| -> Vec<(String, String)> {
        node.outputs.iter().map(|port| (port.name.clone(), port.ty.to_string())).collect()
    };
    let inputs =
        |node: &Node| -> Vec<String> { node.inputs.iter().map(|port| port.name.clone()).collect() };
    node.work.stage.spec().name == other.work.stage.spec().name
        && config(node) == config(other)
        && node.uses == other.uses
        && outputs(node) == outputs(other)
        && inputs(node) == inputs(other)
}
