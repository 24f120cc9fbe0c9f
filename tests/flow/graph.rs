//! `flow graph`, as text, for other programs and as a picture.

use insta::assert_snapshot;
use serde_json::json;

use crate::harness::Place;

const DIAMOND: &str = r#"
[nodes.list]
stage = "value"
with  = { value = ["a", "b"] }
outputs = { items = "list<string>" }
[nodes.each]
stage = "command"
for_each = "list.items"
on_item_failure = "drop"
with  = { argv = ["sh", "-c", "[ \"$FLOW_ITEM\" = 0 ]"] }
[nodes.side]
stage = "noop"
after = ["list"]
when  = "false"
[nodes.end]
stage  = "jq"
inputs = { items = "list.items" }
after  = ["each", "side"]
with   = { filter = "length" }
outputs = { n = "integer" }
"#;

#[test]
fn a_file_is_drawn_with_rails() {
    let place = Place::with(DIAMOND);
    assert_snapshot!(place.flow(&["graph", "flow.toml"]), @"
    exit: 0
    --- stdout
    test

    ○  list value
    ├─┬─╮
    ○ │ │  each command · for each
    ├───╯
    │ ○  side noop · when
    ├─╯
    ○  end jq
    ");
}

#[test]
fn a_run_is_drawn_with_its_states() {
    let place = Place::with(DIAMOND);
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    assert_snapshot!(place.flow(&["graph", "one"]), @"
    exit: 0
    --- stdout
    test · run one succeeded

    ✔  list value · [took]
    ├─┬─╮
    ✔ │ │  each command · [took] · 1/2 items
    ├───╯
    │ ↷  side noop · skipped · when
    ├─╯
    ✔  end jq · [took]
    ");
    let picture = place.flow(&["graph", "latest", "--json"]).json();
    assert_eq!(picture["nodes"][1]["items"], json!([1, 2]));
    let edge = json!({ "from": "list", "to": "end", "ports": ["items"], "same_item": false });
    assert!(picture["edges"].as_array().unwrap().contains(&edge), "{picture}");
}

#[test]
fn mermaid_and_graphviz_have_ports_and_groups() {
    let place = Place::with(DIAMOND);
    assert_snapshot!(place.flow(&["graph", "flow.toml", "--format", "mermaid"]), @r#"
    exit: 0
    --- stdout
    ---
    title: "test"
    ---
    flowchart TD
        n0["list<br/><small>value</small>"]
        n1[["each<br/><small>command · for each</small>"]]
        n2["side<br/><small>noop · when</small>"]
        n3["end<br/><small>jq</small>"]
        n0 -->|"item"| n1
        n0 -.-> n2
        n0 -->|"items"| n3
        n1 -.-> n3
        n2 -.-> n3
    "#);
    assert_snapshot!(place.flow(&["graph", "flow.toml", "--format", "dot"]), @r##"
    exit: 0
    --- stdout
    digraph "test" {
      rankdir=TB;
      node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="Helvetica"];
      edge [fontname="Helvetica", fontsize=10];
      n0 [label="list\nvalue"];
      n1 [label="each\ncommand · for each", peripheries=2];
      n2 [label="side\nnoop · when"];
      n3 [label="end\njq"];
      n0 -> n1 [label="item"];
      n0 -> n2 [style=dashed];
      n0 -> n3 [label="items"];
      n1 -> n3 [style=dashed];
      n2 -> n3 [style=dashed];
    }
    "##);
}

#[test]
fn a_picture_stands_alone_and_no_boxes_overlap() {
    let place = Place::new();
    let mut nodes = String::from("[workflow]\nname = \"wide\"\n");
    for layer in 0..6 {
        for n in 0..40 {
            nodes.push_str(&format!("[nodes.n{layer}-{n}]\nstage = \"noop\"\n"));
            // Most stand on the layer before; some on an earlier one.
            if layer > 0 {
                let (near, far) = ((n * 7 + 3) % 40, layer - 1 - (n % layer));
                nodes.push_str(&format!("after = [\"n{}-{near}\", \"n{far}-{n}\"]\n", layer - 1));
            }
        }
    }
    place.write("wide.toml", &nodes);
    let svg = place.flow(&["graph", "wide.toml", "--format", "svg"]).exits(0).stdout;
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
    for outside in ["href", "url(", "@import", "http://www.w3.org/1999"] {
        assert!(!svg.contains(outside), "{outside}");
    }
    let pattern = r#"class="box" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)""#;
    let boxes: Vec<[f64; 4]> = regex::Regex::new(pattern)
        .unwrap()
        .captures_iter(&svg)
        .map(|found| std::array::from_fn(|at| found[at + 1].parse().unwrap()))
        .collect();
    assert_eq!(boxes.len(), 240);
    for (place, [x, y, w, h]) in boxes.iter().enumerate() {
        for [x2, y2, ..] in &boxes[..place] {
            let apart = (x - x2).abs() >= *w || (y - y2).abs() >= *h;
            assert!(apart, "{x} {y} and {x2} {y2}");
        }
    }
}

#[test]
fn boxes_of_a_layer_stand_in_the_order_of_the_file() {
    let middle = |n| format!("[nodes.m{n}]\nstage = \"noop\"\nafter = [\"top\"]\n");
    let all: Vec<String> = (0..6).map(|n| format!("\"m{n}\"")).collect();
    let place = Place::with(&format!(
        "[nodes.top]\nstage = \"noop\"\n{}[nodes.end]\nstage = \"noop\"\nafter = [{}]\n",
        (0..6).map(middle).collect::<String>(),
        all.join(", ")
    ));
    let svg = place.flow(&["graph", "flow.toml", "--format", "svg"]).exits(0).stdout;
    let name = regex::Regex::new(r#"class="name" x="[\d.]+" y="([\d.]+)">m\d"#).unwrap();
    let heights: Vec<f64> = name.captures_iter(&svg).map(|at| at[1].parse().unwrap()).collect();
    assert_eq!(heights.len(), 6);
    assert!(heights.is_sorted(), "{heights:?}");
}

#[test]
fn many_nodes_without_room_for_rails_become_a_list() {
    let place = Place::new();
    let mut nodes = String::from("[workflow]\nname = \"wide\"\n");
    for n in 0..100 {
        nodes.push_str(&format!("[nodes.a{n}]\nstage = \"noop\"\n"));
        nodes.push_str(&format!(
            "[nodes.b{n}]\nstage = \"noop\"\nafter = [\"a{n}\", \"a{}\"]\n",
            (n + 37) % 100
        ));
    }
    place.write("wide.toml", &nodes);
    let text = place.flow(&["graph", "wide.toml"]).exits(0).stdout;
    assert!(text.contains("layer 1\n  ○ a0 noop\n"), "{text}");
    assert!(text.contains("layer 2\n  ○ b0 noop ← a0, a37\n"), "{text}");
}

#[test]
fn what_cannot_be_drawn_is_told() {
    let place = Place::with("[nodes.a]\nstage = \"nothing\"\n");
    place.flow(&["graph", "flow.toml"]).exits(3);
    place.flow(&["graph", "missing.toml"]).exits(3);
    place.flow(&["graph", "latest"]).exits(4);
}
