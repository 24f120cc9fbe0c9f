//! Cycles: found with Tarjan's algorithm, told as a short path.

use std::collections::BTreeSet;

use petgraph::graph::DiGraph;

use super::{Graph, Need, codes};
use crate::definition::Definition;
use crate::diagnostic::Diagnostic;
use crate::id::NodeId;

impl Graph {
    /// All nodes, each after what it needs; otherwise in declared order.
    #[must_use]
    pub fn in_order(&self) -> Vec<NodeId> {
        let mut open: Vec<usize> = self.nodes.iter().map(|node| node.needs.len()).collect();
        let mut ready: BTreeSet<NodeId> = self.ids().filter(|id| open[id.index()] == 0).collect();
        let mut order = Vec::with_capacity(open.len());
        while let Some(id) = ready.pop_first() {
            order.push(id);
            for dependent in &self.node(id).dependents {
                let open = &mut open[dependent.node.index()];
                *open = open.saturating_sub(1);
                if *open == 0 {
                    ready.insert(dependent.node);
                }
            }
        }
        order
    }
}

/// Pushes one fault for each group of nodes that wait for each other.
pub(super) fn check_cycles(
    definition: &Definition,
    needs: &[Vec<Need>],
    faults: &mut Vec<Diagnostic>,
) {
    let edges = needs.iter().enumerate().flat_map(|(to, needs)| {
        needs.iter().filter_map(move |need| Some((need.node.0, u32::try_from(to).ok()?)))
    });
    let mut graph = DiGraph::<(), ()>::from_edges(edges);
    while graph.node_count() < needs.len() {
        graph.add_node(());
    }
    for component in petgraph::algo::tarjan_scc(&graph) {
        let members: Vec<usize> = component.iter().map(|n| n.index()).collect();
        let alone = members.len() == 1;
        if alone && !needs[members[0]].iter().any(|n| n.node.index() == members[0]) {
            continue;
        }
        faults.push(describe(definition, needs, &members));
    }
}

/// A shortest way round through the first declared member.
fn describe(definition: &Definition, needs: &[Vec<Need>], members: &[usize]) -> Diagnostic {
    let start = members.iter().copied().min().unwrap_or_default();
    let inside: std::collections::HashSet<usize> = members.iter().copied().collect();
    let mut before: std::collections::HashMap<usize, usize> = std::collections::HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    let mut last = start;
    'search: while let Some(at) = queue.pop_front() {
        for need in &needs[at] {
            let next = need.node.index();
            if next == start {
                last = at;
                break 'search;
            }
            if inside.contains(&next) && !before.contains_key(&next) {
                before.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    let mut path = vec![start];
    let mut at = last;
    while at != start {
        path.push(at);
        at = before.get(&at).copied().unwrap_or(start);
    }
    path.push(start);
    let node = |i: usize| definition.nodes.get_index(i);
    let names: Vec<&str> =
        path.iter().map(|&i| node(i).map_or("", |(name, _)| name.as_str())).collect();
    let shown = if names.len() <= 12 {
        names.join(" → ")
    } else {
        format!(
            "{} → … {} more … → {}",
            names[..6].join(" → "),
            names.len() - 10,
            names[names.len() - 4..].join(" → ")
        )
    };
    Diagnostic::error(
        codes::CYCLE,
        node(start).map_or(0..0, |(_, def)| def.span.clone()),
        if path.len() == 2 {
            format!("node `{}` waits for itself", names[0])
        } else {
            format!("{} nodes wait for each other", path.len() - 1)
        },
    )
    .label(shown)
    .help("take one of these edges out of `inputs`, `after` or `for_each`")
}
