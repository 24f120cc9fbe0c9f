//! Faults of types and edges, as a person reads them: place, both ends, why they do not fit, and
//! the way out.

use std::fmt::Write as _;

use flow_core::diagnostic::{Diagnostic, line_column};
use flow_core::graph::check;
use flow_stages::process::Spawner;

/// Schema files beside the text.
fn read(path: &str) -> Result<String, String> {
    match path {
        "slate.json" => Ok(r##"{ "type": "object", "required": ["games"], "properties": {
            "games": { "type": "array", "items": { "$ref": "#/$defs/Game" } }, "day": { "type": "string" } },
            "$defs": { "Game": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } } } }"##
            .into()),
        "list.json" => Ok(r#"{ "type": "array", "items": { "type": "integer" } }"#.into()),
        "open.json" => Ok("true".into()),
        "broken.json" => Ok(r#"{ "type": "object", "properties": { "a": { "type": "strin" } } }"#.into()),
        "remote.json" => Ok(r#"{ "items": { "$ref": "https://example.com/game.json" } }"#.into()),
        "text.json" => Ok("not json".into()),
        _ => Err(format!("{path} does not exist")),
    }
}

/// All faults of a file: what its form shows, then what the graph does.
fn faults(text: &str) -> Vec<Diagnostic> {
    let mut loaded = flow_workflows::parse_with("flow.toml", text, "/".into(), &read);
    if let (Some(definition), true) = (&loaded.definition, loaded.complete)
        && let Err(found) = check(definition, &flow_stages::catalog(Spawner::new()))
    {
        loaded.join(found);
    }
    loaded.diagnostics
}

fn told(body: &str) -> String {
    let text = format!("[workflow]\nname = \"w\"\n{body}");
    let mut out = String::new();
    for fault in faults(&text) {
        let (line, column) = line_column(&text, fault.labels[0].span.start);
        writeln!(out, "{} {line}:{column} {}", fault.code, fault.message).expect("text");
        for label in &fault.labels {
            let marked = &text[label.span.clone()];
            if !label.text.is_empty() {
                writeln!(out, "  <{marked}> {}", label.text).expect("text");
            }
        }
        if let Some(help) = &fault.help {
            writeln!(out, "  help: {help}").expect("text");
        }
    }
    out
}

#[test]
fn an_edge_that_does_not_fit_names_both_ends_and_the_field() {
    insta::assert_snapshot!(told(
        r#"
[types.Prop.fields]
player = "string"
line = "integer?"
[types.Game.fields]
id = "string"
props = "list<Prop>"
[params]
day = "string"
[nodes.make]
stage = "command"
with = { argv = ["true"] }
outputs = { game = "Game", games = "list<Game>", slate = "json", clip = "file<audio/wav>", idea = "IdeaPackage?" }
[nodes.each]
stage = "media.slides"
for_each = "make.games"
inputs = { idea = "item" }
[nodes.outbox]
stage = "media.outbox"
inputs = { reel = "make.clip", idea = "make.game", result = "params.day" }
with = { dir = "o" }
[nodes.calendar]
stage = "media.calendar"
inputs = { slate = "make.slate" }
[nodes.narrate]
stage = "media.narrate"
inputs = { idea = { first = ["make.idea", "make.idea?"] } }
[nodes.narrate_two]
stage = "media.narrate"
inputs = { idea = "make.idea" }
"#
    ));
}

#[test]
fn a_schema_file_that_cannot_be_used_is_told_at_its_place() {
    insta::assert_snapshot!(told(
        r#"
[types]
Gone = { schema = "gone.json" }
Empty = { schema = "" }
Number = { schema = 7 }
Both = { schema = "open.json", type = "string", min_length = 1 }
"#
    ));
    insta::assert_snapshot!(told(
        r#"
[types.Broken]
schema = "broken.json"
[types.Remote]
schema = "remote.json"
[types.Text]
schema = "text.json"
"#
    ));
}

#[test]
fn a_schema_type_fits_itself_and_json_alone() {
    insta::assert_snapshot!(told(
        r#"
[types]
Slate = { schema = "slate.json" }
Same = { schema = "slate.json" }
Numbers = { schema = "list.json" }
Open = { schema = "open.json" }
[nodes.make]
stage = "command"
with = { argv = ["true"] }
outputs = { slate = "Slate", same = "Same", numbers = "Numbers", open = "Open", json = "json" }
[nodes.fits]
stage = "noop"
inputs = { a = ["make.slate", "make.same"], b = ["make.slate", "make.json"], c = "make.slate.games", d = "make.slate.day?" }
[nodes.each_game]
stage = "jq"
for_each = "make.slate.games"
key = "{{ item.id }}"
inputs = { id = "item.id" }
with = { filter = "." }
outputs = { id = "string" }
[nodes.each_number]
stage = "noop"
for_each = "make.numbers"
[nodes.two_schemas]
stage = "noop"
inputs = { a = ["make.slate", "make.numbers"] }
[nodes.calendar]
stage = "media.calendar"
inputs = { slate = "make.slate" }
[nodes.fields]
stage = "noop"
inputs = { a = "make.slate.gamse", b = "make.open.anything", c = "make.numbers.first" }
[nodes.each_slate]
stage = "noop"
for_each = "make.slate"
"#
    ));
}

#[test]
fn conditions_that_do_not_suit_a_named_type_are_told() {
    insta::assert_snapshot!(told(
        r#"
[types]
Sport = { type = "string", enum = ["nfl", "nba"] }
Small = { type = "integer", max = 9 }
Slate = { schema = "slate.json" }
Positive = { type = "Small", greater_than = 0 }
Never = { type = "Positive", max = 0 }
Words = { type = "list<string>", enum = [["a"]], min_length = 2 }
None = { type = "integer", enum = [1, 2], min = 3 }
[types.Game.fields]
sport = { type = "Sport", min = 1 }
other = { type = "Sport?", enum = ["nfl", "chess"] }
slate = { type = "Slate", min_length = 1 }
score = { type = "Small", min = 10 }
clip = { type = "file", pattern = "x" }
[params]
game = { type = "Game", unique = true }
sport = { type = "Sport", default = "chess" }
"#
    ));
}

#[test]
fn an_output_with_conditions_says_where_they_belong() {
    insta::assert_snapshot!(told(
        r#"
[nodes.a]
stage = "command"
with = { argv = ["true"] }
outputs = { n = { type = "integer", min = 1 }, day = { type = "string", format = "date" } }
inputs = { x = { type = "integer", min = 1 } }
"#
    ));
}

#[test]
fn an_alias_of_an_optional_type_may_be_absent() {
    assert_eq!(
        told(
            r#"
[types]
Note = "string?"
[types.Game.fields]
note = "Note"
[params]
game = { type = "Game", default = {} }
note = "Note"
[nodes.a]
stage = "media.narrate"
inputs = { idea = "b.idea" }
[nodes.b]
stage = "command"
with = { argv = ["true"] }
outputs = { idea = "IdeaPackage", note = "Note" }
"#
        ),
        ""
    );
}
