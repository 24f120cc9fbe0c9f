//! What the machine lacks, found before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use flow_core::graph::{Graph, Node, Work};
use flow_core::id::NodeId;
use flow_core::json;
use flow_core::stage::{Missing, NodeView, OutputSlot};

/// So many threads ask at once.
const ASKING: usize = 8;

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

/// What the machine lacks for the wanted nodes, whose bytes will be in the store at `store`.
pub(crate) fn missing(
    graph: &Graph,
    store: Option<&Path>,
    wanted: impl Fn(NodeId) -> bool,
) -> Vec<MissingTool> {
    let mut alike: BTreeMap<Vec<u8>, Alike<'_>> = BTreeMap::new();
    for id in graph.ids().filter(|id| wanted(*id)) {
        let node = graph.node(id);
        for work in needed(node) {
            let asked = alike.entry(likeness(node, work)).or_insert_with(|| Alike {
                node,
                work,
                nodes: Vec::new(),
            });
            asked.nodes.push(node);
        }
    }
    let alike: Vec<Alike<'_>> = alike.into_values().collect();
    let mut found: BTreeMap<Missing, BTreeSet<String>> = BTreeMap::new();
    // Stages ask programs, and most of that is waiting until these have started.
    std::thread::scope(|scope| {
        let share = alike.len().div_ceil(ASKING).max(1);
        let ask_all =
            |part: &'_ [Alike<'_>]| -> Vec<Vec<Missing>> { part.iter().map(ask).collect() };
        let asked: Vec<_> =
            alike.chunks(share).map(|part| (part, scope.spawn(move || ask_all(part)))).collect();
        for (part, answers) in asked {
            // A stage that panics here does so again when it runs, and is reported there.
            for (one, answer) in part.iter().zip(answers.join().unwrap_or_default()) {
                for missing in answer {
                    let names = one.nodes.iter().map(|node| node.name.to_string());
                    found.entry(missing).or_default().extend(names);
                }
            }
        }
    });
    if let Some((missing, nodes)) = store.and_then(|store| room(store, &alike)) {
        found.insert(missing, nodes);
    }
    found
        .into_iter()
        .map(|(missing, nodes)| MissingTool { missing, nodes: nodes.into_iter().collect() })
        .collect()
}

/// Works that need the same of the machine.
struct Alike<'g> {
    node: &'g Node,
    work: &'g Work,
    /// All nodes that have such a work.
    nodes: Vec<&'g Node>,
}

/// The works that must be possible: where another one stands in, only the last in line.
fn needed(node: &Node) -> impl Iterator<Item = &Work> {
    let probe = node.effect.as_ref().and_then(|effect| effect.probe.as_ref());
    std::iter::once(node.fallbacks.last().unwrap_or(&node.work)).chain(probe)
}

/// Too little disk space for the nodes that may need much, where it can be told.
fn room(store: &Path, alike: &[Alike<'_>]) -> Option<(Missing, BTreeSet<String>)> {
    let needing = || alike.iter().filter(|one| one.work.stage.disk_needed() > 0);
    let needed: u64 =
        needing().map(|one| one.work.stage.disk_needed() * one.nodes.len() as u64).sum();
    // The store is made later: its disk is that of the folder where it will be.
    let folder = store.ancestors().find(|folder| folder.is_dir())?;
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let missing = too_little(folder, free, needed)?;
    let names = needing().flat_map(|one| &one.nodes).map(|node| node.name.to_string());
    Some((missing, names.collect()))
}

fn too_little(folder: &Path, free: u64, needed: u64) -> Option<Missing> {
    const MB: u64 = 1_000_000;
    (free < needed).then(|| Missing {
        what: format!(
            "disk space: {} MB are free at {}, and {} MB may be needed",
            free / MB,
            folder.display(),
            needed.div_ceil(MB)
        ),
        fix: "free some, or put the store on another disk with `--store DIR`".to_owned(),
    })
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

fn ask(Alike { node, work, .. }: &Alike<'_>) -> Vec<Missing> {
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
        params: &[],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_told_in_numbers_with_the_way_out() {
        let folder = Path::new("/data");
        assert_eq!(too_little(folder, 10, 10), None);
        let missing = too_little(folder, 5_000_000, 268_435_456).expect("it is too little");
        assert_eq!(missing.what, "disk space: 5 MB are free at /data, and 269 MB may be needed");
        assert!(missing.fix.contains("--store"));
    }
}
