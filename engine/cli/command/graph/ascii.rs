//! The DAG as lines of text: a node a line, rails on the left for what waits for what.

use renderdag::{Ancestor, GraphRowRenderer, Renderer as _};

use super::picture::{Picture, Shape};
use crate::report::style::Paint;
use crate::report::text::{clean, cut, width};

/// More rails than this are no help, whatever the terminal.
const RAILS_MAX: usize = 60;

/// Of larger pictures it is not worked out which links follow from others.
const REDUCED_MAX: usize = 4_000;

/// The picture for a terminal with so many columns.
pub(super) fn draw(picture: &Picture, paint: Paint, columns: usize) -> String {
    let title = clean(&picture.title());
    let whole: Vec<Vec<usize>> = picture.nodes.iter().map(|node| node.dependents.clone()).collect();
    let drawn = rails(picture, &whole, paint, columns)
        .or_else(|| rails(picture, &reduced(picture)?, paint, columns))
        .unwrap_or_else(|| list(picture, paint, columns));
    format!("{}\n\n{drawn}", paint.strong(&title))
}

/// What waits for each node, without what follows from the rest: whoever waits for `b`, which waits
/// for `a`, waits for `a` too. `None` for pictures so large that no rails would fit anyway.
fn reduced(picture: &Picture) -> Option<Vec<Vec<usize>>> {
    let nodes = &picture.nodes;
    if nodes.len() > REDUCED_MAX {
        return None;
    }
    let words = nodes.len().div_ceil(64);
    let has = |set: &[u64], at: usize| set[at / 64] >> (at % 64) & 1 == 1;
    // What each node waits for, directly or not.
    let mut behind: Vec<Vec<u64>> = Vec::with_capacity(nodes.len());
    let mut dependents = vec![Vec::new(); nodes.len()];
    for (place, shape) in nodes.iter().enumerate() {
        let mut far = vec![0; words];
        for need in &shape.needs {
            far.iter_mut().zip(&behind[*need]).for_each(|(own, other)| *own |= other);
        }
        for need in shape.needs.iter().filter(|need| !has(&far, **need)) {
            dependents[*need].push(place);
        }
        shape.needs.iter().for_each(|need| far[need / 64] |= 1 << (need % 64));
        behind.push(far);
    }
    Some(dependents)
}

/// The nodes with their rails; `None` if these would leave no room for words.
fn rails(
    picture: &Picture,
    dependents: &[Vec<usize>],
    paint: Paint,
    columns: usize,
) -> Option<String> {
    let mut rows = GraphRowRenderer::new().output().with_min_row_height(1).build_box_drawing();
    let room = RAILS_MAX.min(columns / 2);
    let mut out = String::new();
    for (place, shape) in picture.nodes.iter().enumerate() {
        let dependents: Vec<_> = dependents[place].iter().map(|to| Ancestor::Parent(*to)).collect();
        if usize::try_from(rows.width(Some(&place), Some(&dependents))).unwrap_or(usize::MAX) > room
        {
            return None;
        }
        // The words go where this mark is, when it is known how many columns are left.
        let row = rows.next_row(place, dependents, symbol(shape).to_owned(), MARK.to_owned());
        for line in row.trim_end().lines() {
            match line.split_once(MARK) {
                Some((rails, rest)) => {
                    let words = words(shape, paint, columns.saturating_sub(width(rails)));
                    let rails = rails.replacen(symbol(shape), &painted(shape, paint), 1);
                    out.push_str(&format!("{rails}{words}{}", rest.trim_end()));
                }
                None => out.push_str(line.trim_end()),
            }
            out.push('\n');
        }
    }
    Some(out)
}

/// Stands for the words of a node in a row.
const MARK: &str = "\u{1}";

/// The nodes in layers, each with what it needs.
fn list(picture: &Picture, paint: Paint, columns: usize) -> String {
    let layers = super::layout::layers(picture);
    let mut places: Vec<usize> = (0..picture.nodes.len()).collect();
    places.sort_by_key(|place| (layers[*place], *place));
    let mut out = String::new();
    let mut layer = usize::MAX;
    for place in places {
        if layers[place] != layer {
            layer = layers[place];
            out.push_str(&format!("{}\n", paint.dim(&format!("layer {}", layer + 1))));
        }
        let shape = &picture.nodes[place];
        let needs: Vec<&str> =
            shape.needs.iter().map(|need| picture.nodes[*need].id.as_str()).collect();
        let needs =
            if needs.is_empty() { String::new() } else { format!(" ← {}", needs.join(", ")) };
        let own = format!("{} {}", shape.id, details(shape));
        let left = columns.saturating_sub(width(&own) + 5);
        let words = words(shape, paint, columns.saturating_sub(4));
        out.push_str(&format!(
            "  {} {words}{}\n",
            painted(shape, paint),
            paint.dim(&cut(&needs, left))
        ));
    }
    out
}

fn details(shape: &Shape) -> String {
    let result = shape.result();
    if result.is_empty() { shape.stage.to_owned() } else { format!("{} · {result}", shape.stage) }
}

/// Name, stage and what came of it, in so many columns.
fn words(shape: &Shape, paint: Paint, columns: usize) -> String {
    let name = cut(&shape.id, columns);
    let details = cut(&details(shape), columns.saturating_sub(width(&name) + 1));
    let color = match shape.status {
        Some("failed" | "unknown") => Paint::bad,
        _ => Paint::strong,
    };
    let gap = if details.is_empty() { "" } else { " " };
    format!("{}{gap}{}", color(paint, &name), paint.dim(&details))
}

fn symbol(shape: &Shape) -> &'static str {
    match shape.status {
        Some("succeeded") => "✔",
        Some("failed") => "✘",
        Some("running") => "●",
        Some("waiting") => "↻",
        Some("cancelled") => "■",
        Some("skipped") => "↷",
        Some("unknown") => "?",
        Some(_) => "·",
        None => "○",
    }
}

fn painted(shape: &Shape, paint: Paint) -> String {
    let symbol = symbol(shape);
    match shape.status {
        Some("succeeded") => paint.good(symbol),
        Some("failed" | "unknown") => paint.bad(symbol),
        Some("running") => paint.busy(symbol),
        Some("waiting" | "cancelled") => paint.odd(symbol),
        _ => paint.dim(symbol),
    }
}
