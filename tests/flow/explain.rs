//! The pages of codes: what they show as a fault is that fault.

use insta::assert_snapshot;
use serde_json::Value;

use super::harness::Place;

/// Nodes that examples may refer to.
const AROUND: &str = r#"
[params]
name = { type = "string", default = "x" }
[types.Prop.fields]
player = "string"
[nodes.make]
stage = "command"
with = { argv = ["true"] }
outputs = { list = "list<Prop>", n = "integer", text = "string", one = "Prop" }
"#;

pub(crate) fn pages() -> Vec<Value> {
    Place::new().flow(&["explain", "--json"]).exits(0).json().as_array().unwrap().clone()
}

/// The TOML under a heading of a page.
pub(crate) fn block<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let part = page.split_once(heading)?.1;
    let part = part.split("\n## ").next()?;
    Some(part.split_once("```toml\n")?.1.split_once("\n```")?.0)
}

/// A file with what is shown in it, where it can stand.
pub(crate) fn file(shown: &str) -> String {
    let head = "[workflow]\nname = \"w\"\n";
    if shown.starts_with("[workflow]") {
        return format!("{shown}\n[nodes.a]\nstage = \"noop\"\n");
    }
    if shown.starts_with("timezone") {
        return format!("{head}{shown}\n");
    }
    if shown.starts_with("[[") {
        return format!("{head}{shown}\n");
    }
    if shown.starts_with('[') {
        let around =
            if shown.contains("[params]") || shown.contains("[types.Prop") { "" } else { AROUND };
        return format!("{head}{around}\n{shown}\n");
    }
    let mut node = String::from("[nodes.x]\nstage = \"command\"\n");
    if !shown.contains("with = ") {
        node.push_str("with = { argv = [\"true\"] }\n");
    }
    format!("{head}{AROUND}\n{node}{shown}\n")
}

#[test]
fn what_a_page_shows_as_a_fault_is_that_fault() {
    let mut checked = 0;
    for page in pages() {
        let (code, text) = (page["code"].as_str().unwrap(), page["text"].as_str().unwrap());
        let Some(shown) = block(text, "## Example") else { continue };
        let place = Place::new();
        place.write("flow.toml", &file(shown));
        let done = place.flow(&["validate", "flow.toml", "--json"]);
        let found = done.json();
        let codes: Vec<&str> =
            found["faults"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
        assert!(codes.contains(&code), "{code}: {codes:?}\n{}", file(shown));
        checked += 1;
    }
    assert!(checked > 50, "only {checked} pages have an example");
}

#[test]
fn what_a_page_shows_as_the_way_out_has_not_that_fault() {
    for page in pages() {
        let (code, text) = (page["code"].as_str().unwrap(), page["text"].as_str().unwrap());
        let Some(shown) = block(text, "## What to do") else { continue };
        let place = Place::new();
        place.write("flow.toml", &file(shown));
        let done = place.flow(&["validate", "flow.toml", "--json"]);
        let found = done.json();
        let codes: Vec<&str> =
            found["faults"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
        assert!(!codes.contains(&code), "{code}: {codes:?}\n{}", file(shown));
    }
}

#[test]
fn a_page_is_found_by_code_and_by_class() {
    let place = Place::new();
    assert_snapshot!(place.flow(&["explain", "w023"]).exits(0), @r#"
    exit: 0
    --- stdout
    W023: a text is not a duration

    A duration is a number with a unit: `250ms`, `30s`, `5m`, `2h`, `7d`, or several together: `1h30m`.

    EXAMPLE

        timeout = "60"

    WHAT TO DO

        timeout = "60s"
    "#);
    let by_class = place.flow(&["explain", "timeout"]).exits(0);
    assert_eq!(by_class.stdout, place.flow(&["explain", "E0101"]).exits(0).stdout);
    assert_snapshot!(place.flow(&["explain", "W0123"]).exits(5), @r"
    exit: 5
    --- stderr
    error: there is no code `W0123`
    help: did you mean `W012`?
    ");
}
