//! What is drawn, whatever the format: nodes with words about them, and links between them.

use std::collections::BTreeMap;

use flow_core::graph::{Graph, Node};
use flow_core::id::NodeId;
use flow_core::run::state::{Phase, Tasks};
use serde::Serialize;

use crate::history::History;
use crate::report::text::{clean, duration};
use crate::report::view::node_summary;

/// The mark of a fanned-out node whose items are not known.
const FOR_EACH: &str = "for each";

/// A workflow, or a run of it.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    pub(super) workflow: String,
    pub(super) run: Option<String>,
    /// How the run stands.
    pub(super) status: Option<&'static str>,
    /// The nodes, each after what it needs.
    pub(super) nodes: Vec<Shape>,
    pub(super) edges: Vec<Link>,
}

/// A node.
#[derive(Debug, Serialize)]
pub(super) struct Shape {
    pub(super) id: String,
    pub(super) stage: &'static str,
    /// What is special about it, such as `optional`.
    pub(super) marks: Vec<String>,
    /// How it stands in the run.
    pub(super) status: Option<&'static str>,
    pub(super) reused: bool,
    pub(super) duration_ms: Option<u64>,
    /// Items that have succeeded, and all of them.
    pub(super) items: Option<(usize, usize)>,
    /// Nodes that wait for this one, by their places.
    #[serde(skip)]
    pub(super) dependents: Vec<usize>,
    #[serde(skip)]
    pub(super) needs: Vec<usize>,
}

/// What one node needs of another.
#[derive(Debug, Serialize)]
pub(super) struct Link {
    pub(super) from: String,
    pub(super) to: String,
    /// Input ports that it feeds; none where it is about order alone.
    pub(super) ports: Vec<String>,
    /// Whether an item waits for the same item alone.
    pub(super) same_item: bool,
    /// Places of the two nodes.
    #[serde(skip)]
    pub(super) ends: (usize, usize),
}

impl Picture {
    /// The picture of a workflow file.
    pub(super) fn of_file(graph: &Graph) -> Self {
        let order = graph.in_order();
        let mut places = vec![0; order.len()];
        for (place, id) in order.iter().enumerate() {
            places[id.index()] = place;
        }
        let nodes = order.iter().map(|id| shape(graph, *id, &places)).collect();
        let edges = order.iter().flat_map(|id| links(graph, *id, &places)).collect();
        Self { workflow: graph.name().to_owned(), run: None, status: None, nodes, edges }
    }

    /// The picture of a run, with how each node stands.
    pub(super) fn of_run(history: &History) -> Self {
        let state = &history.state;
        let mut picture = Self::of_file(state.graph());
        picture.run = Some(history.run().to_string());
        picture.status = Some(history.outline.status.name());
        for (shape, id) in picture.nodes.iter_mut().zip(state.graph().in_order()) {
            let summary = node_summary(state, id, history.outline.status);
            shape.status = Some(match state.is_wanted(id) {
                true => summary.status,
                false => "left out",
            });
            shape.reused = summary.reused;
            shape.duration_ms = summary.duration_ms;
            if let Tasks::Items(items) = &state.node(id).tasks {
                let done = items.iter().filter(|task| matches!(task.phase, Phase::Succeeded(_)));
                shape.items = Some((done.count(), items.len()));
                // Their number says it.
                shape.marks.retain(|mark| mark != FOR_EACH);
            }
            if summary.attempts as usize > shape.items.map_or(1, |(_, all)| all.max(1)) {
                shape.marks.push(format!("{} attempts", summary.attempts));
            }
        }
        picture
    }

    /// Its title.
    pub(super) fn title(&self) -> String {
        match (&self.run, self.status) {
            (Some(run), Some(status)) => format!("{} · run {run} {status}", clean(&self.workflow)),
            _ => clean(&self.workflow),
        }
    }
}

impl Shape {
    /// How it stands, and how long it took: `12.3 s · 37/40 items · reused`.
    pub(super) fn result(&self) -> String {
        let status = self.status.filter(|status| *status != "succeeded").map(ToOwned::to_owned);
        let took = self.duration_ms.map(duration);
        let items = self.items.map(|(done, all)| format!("{done}/{all} items"));
        let reused = self.reused.then(|| "reused".to_owned());
        let parts = [status, took, items, reused].into_iter().flatten();
        parts.chain(self.marks.iter().cloned()).collect::<Vec<_>>().join(" · ")
    }

    /// Whether it stands for several items.
    pub(super) fn is_fanned(&self) -> bool {
        self.items.is_some() || self.marks.iter().any(|mark| mark == FOR_EACH)
    }

    /// The folder of nested workflows that it stands in.
    pub(super) fn group(&self) -> Option<&str> {
        self.id.rsplit_once('/').map(|(group, _)| group)
    }
}

fn shape(graph: &Graph, id: NodeId, places: &[usize]) -> Shape {
    let node = graph.node(id);
    let place = |id: NodeId| places[id.index()];
    let mut dependents: Vec<usize> = node.dependents.iter().map(|d| place(d.node)).collect();
    let mut needs: Vec<usize> = node.needs.iter().map(|need| place(need.node)).collect();
    for list in [&mut dependents, &mut needs] {
        list.sort_unstable();
        list.dedup();
    }
    Shape {
        id: node.name.to_string(),
        stage: node.work.stage.spec().name,
        marks: marks(node),
        status: None,
        reused: false,
        duration_ms: None,
        items: None,
        dependents,
        needs,
    }
}

fn marks(node: &Node) -> Vec<String> {
    let fallback = match node.fallbacks.len() {
        0 => None,
        1 => Some("1 fallback".to_owned()),
        n => Some(format!("{n} fallbacks")),
    };
    let marks = [
        (node.fan.is_some(), FOR_EACH),
        (node.when.is_some(), "when"),
        (node.effect.is_some(), "effect"),
        (node.optional, "optional"),
        (node.always, "always"),
    ];
    let marks = marks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word.to_owned());
    marks.chain(fallback).collect()
}

/// What a node needs, one link for each node that it needs.
fn links(graph: &Graph, id: NodeId, places: &[usize]) -> Vec<Link> {
    let node = graph.node(id);
    let mut links: BTreeMap<usize, Link> = BTreeMap::new();
    for need in &node.needs {
        let from = places[need.node.index()];
        let link = links.entry(from).or_insert_with(|| Link {
            from: graph.node(need.node).name.to_string(),
            to: node.name.to_string(),
            ports: Vec::new(),
            same_item: true,
            ends: (from, places[id.index()]),
        });
        link.same_item &= need.same_item;
    }
    for input in &node.inputs {
        input.source.each_node(&mut |from, _| {
            if let Some(link) = links.get_mut(&places[from.index()])
                && !link.ports.contains(&input.name)
            {
                link.ports.push(input.name.clone());
            }
        });
    }
    if let Some(fan) = &node.fan {
        graph.groups()[fan.group].list.each_node(&mut |from, _| {
            if let Some(link) = links.get_mut(&places[from.index()])
                && !link.ports.iter().any(|port| port == "item")
            {
                link.ports.push("item".to_owned());
            }
        });
    }
    links.into_values().collect()
}
