//! The DAG as one SVG file that needs nothing else, on light and dark pages.

use std::fmt::Write as _;

use super::layout::{Layout, lay_out};
use super::picture::{Link, Picture, Shape};
use crate::report::text::{cut, width};

/// Height of a box.
const HEIGHT: f64 = 46.0;

/// Space between two layers, in which links bend.
const BETWEEN: f64 = 56.0;

/// Space around everything, and above it for the title.
const MARGIN: f64 = 24.0;
const TITLE: f64 = 34.0;

/// Width of a character of a name, and of the smaller words below it.
const NAME_CHAR: f64 = 8.0;
const WORD_CHAR: f64 = 6.7;

/// Characters of a line in a box, at most.
const LINE_MAX: usize = 44;

/// Colors by class, without variables: programs that know only plain styles draw the light form.
const STYLE: &str = "
  text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1c2128; }
  .title { font-size: 15px; font-weight: 600; } .name { font-size: 13px; font-weight: 600; }
  .words { font-size: 11px; fill: #5b6570; }
  .page { fill: #ffffff; } .box, .behind { fill: #f6f8fa; stroke: #c4ccd4; stroke-width: 1.2; }
  .link { fill: none; stroke: #aeb8c2; stroke-width: 1.4; } .order { stroke-dasharray: 5 4; } .tip { fill: #aeb8c2; }
  .bar { fill: #8b95a1; } .succeeded .bar { fill: #2f9e5b; } .running .bar { fill: #2583c4; }
  .failed .bar, .unknown .bar { fill: #d1453b; } .waiting .bar, .cancelled .bar { fill: #c48a0e; }
  .failed .box, .unknown .box { stroke: #d1453b; } .running .box { stroke: #2583c4; }
  .skipped, .left { opacity: 0.6; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .words { fill: #9aa6b2; } .page { fill: #0f1318; }
    .box, .behind { fill: #1a2027; stroke: #46515c; } .link { stroke: #55616d; } .tip { fill: #55616d; }
    .bar { fill: #7d8894; } .succeeded .bar { fill: #4fc27d; } .running .bar { fill: #58b0ec; }
    .failed .bar, .unknown .bar { fill: #f0786e; } .waiting .bar, .cancelled .bar { fill: #e2b04a; }
    .failed .box, .unknown .box { stroke: #f0786e; } .running .box { stroke: #58b0ec; }
  }
";

/// The picture as SVG.
pub(super) fn draw(picture: &Picture) -> String {
    let layout = lay_out(picture, HEIGHT);
    let columns = Columns::of(picture, &layout);
    let title = picture.title();
    let whole = columns.end().max(width(&title) as f64 * 9.2 + MARGIN) + MARGIN;
    let high = TITLE + layout.extent + MARGIN * 2.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole:.0}\" height=\"{high:.0}\" viewBox=\"0 0 {whole:.0} {high:.0}\" role=\"img\" aria-label=\"{label}\">\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n<text class=\"title\" x=\"{MARGIN}\" y=\"{:.0}\">{label}</text>\n",
        MARGIN + 12.0,
        label = escaped(&title),
    );
    for (link, lanes) in picture.edges.iter().zip(&layout.lanes) {
        out.push_str(&line(link, lanes, &layout, &columns));
    }
    for (place, shape) in picture.nodes.iter().enumerate() {
        let (left, top) = (columns.left(layout.layers[place]), top(layout.across[place]));
        out.push_str(&node(shape, left, top, columns.widths[layout.layers[place]]));
    }
    out.push_str("</svg>\n");
    out
}

/// The upper edge of a box with its middle there.
fn top(across: f64) -> f64 {
    middle(across) - HEIGHT / 2.0
}

fn middle(across: f64) -> f64 {
    MARGIN + TITLE + across
}

/// Widths of the layers.
struct Columns {
    widths: Vec<f64>,
    lefts: Vec<f64>,
}

impl Columns {
    fn of(picture: &Picture, layout: &Layout) -> Self {
        let count = layout.layers.iter().max().map_or(0, |last| last + 1);
        let mut widths = vec![90.0_f64; count];
        for (shape, layer) in picture.nodes.iter().zip(&layout.layers) {
            let [name, words] = lines(shape);
            let needed = (width(&name) as f64 * NAME_CHAR).max(width(&words) as f64 * WORD_CHAR);
            widths[*layer] = widths[*layer].max(needed + 28.0);
        }
        let mut at = MARGIN;
        let mut lefts = Vec::with_capacity(count);
        for width in &widths {
            lefts.push(at);
            at += width + BETWEEN;
        }
        Self { widths, lefts }
    }

    fn left(&self, layer: usize) -> f64 {
        self.lefts[layer]
    }

    fn right(&self, layer: usize) -> f64 {
        self.lefts[layer] + self.widths[layer]
    }

    fn end(&self) -> f64 {
        self.widths.len().checked_sub(1).map_or(MARGIN, |last| self.right(last))
    }
}

/// The two lines of a box.
fn lines(shape: &Shape) -> [String; 2] {
    let result = shape.result();
    let below = if result.is_empty() {
        shape.stage.to_owned()
    } else {
        format!("{} · {result}", shape.stage)
    };
    [cut(&shape.id, LINE_MAX), cut(&below, LINE_MAX)]
}

fn node(shape: &Shape, left: f64, top: f64, width: f64) -> String {
    let [name, words] = lines(shape).map(|line| escaped(&line));
    let class = shape.status.map_or("file", |status| status.split(' ').next().unwrap_or(status));
    let about = escaped(&format!("{} ({}) {}", shape.id, shape.stage, shape.result()));
    let mut out = format!("<g class=\"{class}\"><title>{}</title>\n", about.trim_end());
    let rect = |class: &str, x: f64, y: f64, w: f64, h: f64| {
        format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"6\"/>\n"
        )
    };
    if shape.is_fanned() {
        // Several of them.
        out.push_str(&rect("behind", left + 4.0, top - 4.0, width, HEIGHT));
    }
    out.push_str(&rect("box", left, top, width, HEIGHT));
    out.push_str(&rect("bar", left, top, 5.0, HEIGHT));
    let (x, y) = (left + 15.0, top);
    // Writing to a string cannot fail.
    writeln!(out, "<text class=\"name\" x=\"{x:.1}\" y=\"{:.1}\">{name}</text>", y + 19.0)
        .unwrap_or_default();
    writeln!(out, "<text class=\"words\" x=\"{x:.1}\" y=\"{:.1}\">{words}</text></g>", y + 36.0)
        .unwrap_or_default();
    out
}

/// A link: a curve between two layers, straight where it passes one.
fn line(link: &Link, lanes: &[f64], layout: &Layout, columns: &Columns) -> String {
    let (from, to) = link.ends;
    let first = layout.layers[from];
    let (mut x, mut y) = (columns.right(first), middle(layout.across[from]));
    let mut path = format!("M{x:.1} {y:.1}");
    let mut bend = |x: &mut f64, y: &mut f64, to: (f64, f64)| {
        let half = (to.0 - *x) / 2.0;
        write!(
            path,
            " C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
            *x + half,
            *y,
            to.0 - half,
            to.1,
            to.0,
            to.1
        )
        .unwrap_or_default();
        (*x, *y) = to;
    };
    for (layer, lane) in (first + 1..).zip(lanes) {
        bend(&mut x, &mut y, (columns.left(layer), middle(*lane)));
        bend(&mut x, &mut y, (columns.right(layer), middle(*lane)));
    }
    let end = (columns.left(layout.layers[to]) - 6.0, middle(layout.across[to]));
    bend(&mut x, &mut y, end);
    let (class, about) = match link.ports.join(", ") {
        ports if ports.is_empty() => ("link order", format!("{} before {}", link.from, link.to)),
        ports => ("link", format!("{} → {}: {ports}", link.from, link.to)),
    };
    format!(
        "<path class=\"{class}\" d=\"{path}\"><title>{}</title></path>\n<path class=\"tip\" d=\"M{:.1} {:.1} l-7 -4 v8 z\"/>\n",
        escaped(&about),
        x + 6.0,
        y,
    )
}

/// Text as XML has it. Characters that XML forbids never get here: names have none.
fn escaped(text: &str) -> String {
    let text = crate::report::text::clean(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
