//! The DAG for other programs that draw: Mermaid and Graphviz.

use std::collections::BTreeMap;

use super::picture::{Picture, Shape};

/// Colors of a state that both a light and a dark page can show: fill, border.
fn colors(shape: &Shape) -> Option<(&'static str, &'static str)> {
    Some(match shape.status? {
        "succeeded" => ("#d7f0dd", "#2f9e5b"),
        "failed" | "unknown" => ("#fbdcd9", "#d1453b"),
        "running" => ("#d6ecfa", "#2583c4"),
        "waiting" | "cancelled" => ("#fdeecb", "#c48a0e"),
        _ => ("#eceff2", "#8b95a1"),
    })
}

/// The name, and below it the stage and what came of it.
fn lines(shape: &Shape) -> [String; 2] {
    let result = shape.result();
    let below =
        if result.is_empty() { shape.stage.into() } else { format!("{} · {result}", shape.stage) };
    [shape.id.clone(), below]
}

/// Nodes by the nested workflow that they stand in; those in none come first.
fn groups(picture: &Picture) -> BTreeMap<Option<&str>, Vec<usize>> {
    let mut groups: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (place, shape) in picture.nodes.iter().enumerate() {
        groups.entry(shape.group()).or_default().push(place);
    }
    groups
}

/// The picture as a Mermaid flowchart.
pub(super) fn mermaid(picture: &Picture) -> String {
    let mut out =
        format!("---\ntitle: {}\n---\nflowchart TD\n", serde_json::json!(picture.title()));
    let node = |place: usize| {
        let shape = &picture.nodes[place];
        let [name, below] = lines(shape).map(|line| escaped(&line));
        let (open, close) = if shape.is_fanned() { ("[[", "]]") } else { ("[", "]") };
        format!("    n{place}{open}\"{name}<br/><small>{below}</small>\"{close}\n")
    };
    for (number, (group, places)) in groups(picture).into_iter().enumerate() {
        let inside: String = places.into_iter().map(node).collect();
        match group {
            None => out.push_str(&inside),
            Some(group) => {
                let group = escaped(group);
                out.push_str(&format!("    subgraph g{number}[\"{group}\"]\n{inside}    end\n"));
            }
        }
    }
    for link in &picture.edges {
        let (from, to) = link.ends;
        let arrow = if link.ports.is_empty() { "-.->" } else { "-->" };
        let label = match link.ports.join(", ") {
            ports if ports.is_empty() => String::new(),
            ports => format!("|\"{}\"|", escaped(&ports)),
        };
        out.push_str(&format!("    n{from} {arrow}{label} n{to}\n"));
    }
    for (place, shape) in picture.nodes.iter().enumerate() {
        if let Some((fill, border)) = colors(shape) {
            out.push_str(&format!(
                "    style n{place} fill:{fill},stroke:{border},color:#1c2128\n"
            ));
        }
    }
    out
}

/// The picture in the language of Graphviz.
pub(super) fn dot(picture: &Picture) -> String {
    let mut out = format!(
        "digraph {} {{\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fillcolor=\"#ffffff\", fontname=\"Helvetica\"];\n  edge [fontname=\"Helvetica\", fontsize=10];\n",
        quoted(&picture.title())
    );
    let node = |place: usize| {
        let shape = &picture.nodes[place];
        let label = lines(shape).map(|line| line.replace('\\', "\\\\")).join("\\n");
        let color = colors(shape)
            .map(|(fill, border)| format!(", fillcolor=\"{fill}\", color=\"{border}\""));
        let sides = if shape.is_fanned() { ", peripheries=2" } else { "" };
        let label = label.replace('"', "\\\"");
        format!("  n{place} [label=\"{label}\"{}{sides}];\n", color.unwrap_or_default())
    };
    for (number, (group, places)) in groups(picture).into_iter().enumerate() {
        let inside: String = places.into_iter().map(node).collect();
        match group {
            None => out.push_str(&inside),
            Some(group) => {
                let group = quoted(group);
                out.push_str(&format!(
                    "  subgraph cluster_{number} {{\n  label={group};\n{inside}  }}\n"
                ));
            }
        }
    }
    for link in &picture.edges {
        let (from, to) = link.ends;
        let style = match link.ports.join(", ") {
            ports if ports.is_empty() => " [style=dashed]".to_owned(),
            ports => format!(" [label={}]", quoted(&ports)),
        };
        out.push_str(&format!("  n{from} -> n{to}{style};\n"));
    }
    out.push_str("}\n");
    out
}

/// Text inside quotes of Mermaid, which knows the entities of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A quoted string of Graphviz.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
