//! Where nodes and links of a picture stand: layers from left to right, few crossings.

use std::collections::HashMap;

use rust_sugiyama::configure::{Config, RankingType};

use super::picture::Picture;

/// Space between two boxes of a layer.
const GAP: f64 = 18.0;

/// Space that a link takes where it passes a layer.
const LANE: f64 = 6.0;

/// The layer of each node: behind all that it needs; what needs nothing stands just before the
/// first that needs it.
pub(super) fn layers(picture: &Picture) -> Vec<usize> {
    let mut layers: Vec<usize> = vec![0; picture.nodes.len()];
    // Nodes come after what they need.
    for (place, shape) in picture.nodes.iter().enumerate() {
        layers[place] = shape.needs.iter().map(|need| layers[*need] + 1).max().unwrap_or(0);
    }
    for (place, shape) in picture.nodes.iter().enumerate().rev() {
        if let (true, Some(first)) =
            (shape.needs.is_empty(), shape.dependents.iter().map(|to| layers[*to]).min())
        {
            layers[place] = first.saturating_sub(1);
        }
    }
    layers
}

/// Places of everything: `across` is the middle of a box within its layer.
pub(super) struct Layout {
    pub(super) layers: Vec<usize>,
    pub(super) across: Vec<f64>,
    /// The lanes of each link, one for each layer between its ends.
    pub(super) lanes: Vec<Vec<f64>>,
    /// Extent of all layers.
    pub(super) extent: f64,
}

/// Lays a picture out whose boxes are so high.
pub(super) fn lay_out(picture: &Picture, height: f64) -> Layout {
    let layers = layers(picture);
    let boxes = picture.nodes.len();
    let mut sizes: Vec<f64> = vec![height; boxes];
    let mut edges = Vec::new();
    // A link that passes layers stands in each of them.
    let mut lanes: Vec<Vec<usize>> = Vec::with_capacity(picture.edges.len());
    for link in &picture.edges {
        let (from, to) = link.ends;
        let mut at = from;
        let mut own = Vec::new();
        for _ in layers[from] + 1..layers[to] {
            sizes.push(LANE);
            own.push(sizes.len() - 1);
            edges.push((number(at), number(sizes.len() - 1)));
            at = sizes.len() - 1;
        }
        edges.push((number(at), number(to)));
        lanes.push(own);
    }
    let (across, extent) = across(&sizes, &edges, &layers);
    let lanes = lanes.into_iter().map(|own| own.into_iter().map(|lane| across[lane]).collect());
    Layout { layers, lanes: lanes.collect(), across, extent }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// The middle of each vertex within its layer. Parts that do not hang together stand side by side.
fn across(sizes: &[f64], edges: &[(u32, u32)], layers: &[usize]) -> (Vec<f64>, f64) {
    let vertices: Vec<(u32, (f64, f64))> =
        sizes.iter().enumerate().map(|(place, size)| (number(place), (*size, 10.0))).collect();
    let config = Config {
        vertex_spacing: GAP,
        ranking_type: RankingType::Up,
        dummy_vertices: false,
        ..Config::default()
    };
    let mut across = vec![0.0; sizes.len()];
    let mut end = 0.0;
    let parts = rust_sugiyama::from_vertices_and_edges(&vertices, edges, &config);
    for (part, _, _) in parts {
        let sign = if is_upside_down(&part, layers) { -1.0 } else { 1.0 };
        let middle = |(vertex, (x, _)): &(usize, (f64, f64))| (*vertex, *x * sign);
        let from =
            part.iter().map(middle).map(|(v, x)| x - sizes[v] / 2.0).fold(f64::MAX, f64::min);
        let to = part.iter().map(middle).map(|(v, x)| x + sizes[v] / 2.0).fold(f64::MIN, f64::max);
        for (vertex, x) in part.iter().map(middle) {
            across[vertex] = x - from + end;
        }
        end += to - from + GAP;
    }
    (across, (end - GAP).max(0.0))
}

/// Whether more neighbours of a layer stand against the order of the file than with it. A picture and
/// its mirror image have the same crossings.
fn is_upside_down(part: &[(usize, (f64, f64))], layers: &[usize]) -> bool {
    let mut boxes: Vec<(usize, f64)> = part.iter().map(|(vertex, (x, _))| (*vertex, *x)).collect();
    boxes.retain(|(vertex, _)| *vertex < layers.len());
    boxes.sort_by_key(|(vertex, _)| *vertex);
    let mut last: HashMap<usize, f64> = HashMap::new();
    let (mut with, mut against) = (0, 0);
    for (vertex, x) in boxes {
        match last.insert(layers[vertex], x) {
            Some(before) if before < x => with += 1,
            Some(_) => against += 1,
            None => {}
        }
    }
    against > with
}
