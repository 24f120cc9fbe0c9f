//! A workflow file: whether it is valid, and whether all that it needs is there.

use std::path::Path;

use flow_core::graph::Graph;
use flow_core::stage::Missing;

use super::Check;
use crate::failure::Failure;
use crate::prepare::{self, Examined, SecretState};
use crate::report::text::count;
use crate::session::Session;

/// All about a workflow file.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn checks(file: &Path, env: &Session) -> Result<Vec<Check>, Failure> {
    let name = file.display();
    let workflow = match Examined::read(file, &env.catalog())?.workflow() {
        Ok(workflow) => workflow,
        Err(failure) => {
            let command = env.command(&["validate", &name.to_string()]);
            return Ok(vec![Check::fault(
                "workflow",
                failure.to_string(),
                format!("see the faults: {command}"),
            )]);
        }
    };
    let graph = &workflow.graph;
    let nodes = count(graph.nodes().len(), "node");
    let mut checks = vec![Check::ok("workflow", format!("{name} is valid, {nodes}"))];
    checks.extend(needs(graph, env));
    checks.extend(secrets(graph));
    Ok(checks)
}

/// What the nodes need: programs and their parts, fonts, disk space.
fn needs(graph: &Graph, env: &Session) -> Vec<Check> {
    let missing = prepare::missing(graph, env.store_place().as_deref(), |_| true);
    if missing.is_empty() {
        return vec![Check::ok("needs", "programs and fonts of all nodes are there")];
    }
    let told = |tool: prepare::MissingTool| {
        let Missing { what, fix } = tool.missing;
        let nodes = tool.nodes.join(", ");
        Check::fault("needs", format!("this machine lacks {what} (needed by {nodes})"), fix)
    };
    missing.into_iter().map(told).collect()
}

fn secrets(graph: &Graph) -> Vec<Check> {
    let told = |(name, state): (String, SecretState)| match state {
        SecretState::Set => Check::ok("secret", format!("`{name}` is set")),
        SecretState::NotNeeded => Check::ok("secret", format!("`{name}` is not set, and optional")),
        SecretState::Unfit(Missing { what, fix }) => Check::fault("secret", what, fix),
    };
    prepare::secret_states(graph).into_iter().map(told).collect()
}
