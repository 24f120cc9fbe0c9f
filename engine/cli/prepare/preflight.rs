//! What the machine lacks, found before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use flow_core::graph::{Graph, Node, Work};
use flow_core::id::NodeId;
use flow_core::json;
use flow_core::stage::{Missing, NodeView, OutputSlot};

/// Something that the machine lacks, with all nodes that need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingTool {
    /// What, and how to get it.
    pub(crate) missing: Missing,
    /// Names of the nodes.
    pub(crate) nodes: Vec<String>,
}

impl fmt::Display for MissingTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing { what, fix } = &self.missing;
        write!(f, "{what} (needed by {}): {fix}", self.nodes.join(", "))
    }
}

/// What the machine lacks for the wanted nodes.
pub(crate) fn missing(graph: &Graph, wanted: impl Fn(NodeId) -> bool) -> Vec<MissingTool> {
    let mut asked: BTreeMap<Vec<u8>, Vec<Missing>> = BTreeMap::new();
    let mut found: BTreeMap<Missing, BTreeSet<String>> = BTreeMap::new();
    for id in graph.ids().filter(|id| wanted(*id)) {
        let node = graph.node(id);
        for work in needed(node) {
            let missing = asked.entry(likeness(node, work)).or_insert_with(|| ask(node, work));
            for one in missing {
                found.entry(one.clone()).or_default().insert(node.name.to_string());
            }
        }
    }
    found
        .into_iter()
        .map(|(missing, nodes)| MissingTool { missing, nodes: nodes.into_iter().collect() })
        .collect()
}

/// The works that must be possible: where another one stands in, only the last in line.
fn needed(node: &Node) -> impl Iterator<Item = &Work> {
    let probe = node.effect.as_ref().and_then(|effect| effect.probe.as_ref());
    std::iter::once(node.fallbacks.last().unwrap_or(&node.work)).chain(probe)
}

/// Equal for nodes that need the same of the machine.
fn likeness(node: &Node, work: &Work) -> Vec<u8> {
    let mut bytes = work.stage.spec().name.as_bytes().to_vec();
    json::write_canonical(&work.raw_config, &mut bytes);
    bytes.extend(node.uses.join("\n").as_bytes());
    // Programs of one name may be others in another file.
    bytes.extend(node.home.dir.as_os_str().as_encoded_bytes());
    bytes.extend(node.home.tools.iter().flat_map(|(k, v)| format!("\n{k}={v}").into_bytes()));
    bytes
}

fn ask(node: &Node, work: &Work) -> Vec<Missing> {
    let inputs = node.inputs.iter().map(|input| (input.name.clone(), input.ty.clone())).collect();
    let slot = |port: &flow_core::graph::OutputPort| OutputSlot {
        name: port.name.clone(),
        ty: port.ty.clone(),
        from: port.from.clone(),
        json_lines: port.json_lines,
        path: None,
    };
    let outputs: Vec<OutputSlot> = node.outputs.iter().map(slot).collect();
    work.stage.preflight(&NodeView {
        config: &work.raw_config,
        inputs: &inputs,
        outputs: &outputs,
        tools: &node.home.tools,
        workflow_dir: &node.home.dir,
        uses: &node.uses,
    })
}
