//! Payloads on stdout and in files.

use insta::assert_snapshot;

use super::harness::Place;

const KINDS: &str = r#"
[nodes.list]
stage = "value"
with = { value = ["a", "b]"] }
outputs.list = "list<string>"
[nodes."list.more"]
stage = "value"
with = { value = { x = 1.5 } }
outputs.deep = "json"
[nodes.each]
stage = "command"
for_each = "list.list"
key = "{{ item }}"
with = { argv = ["printf", "%s", "<{{ item }}>"] }
outputs.s = "string"
[nodes.two]
stage = "command"
with = { shell = "printf '\\000\\377raw' > a.bin; mkdir d; echo in > d/f; chmod +x d/f; printf 'a line' > $FLOW_OUTPUTS/text" }
outputs.bin = { type = "file", path = "a.bin" }
outputs.dir = { type = "dir", path = "d" }
outputs.text = "string"
[outputs]
deep = "list.more.deep"
bin = "two.bin"
"#;

fn kinds() -> Place {
    let place = Place::with(KINDS);
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    place
}

#[test]
fn values_are_json_and_strings_are_text() {
    let place = kinds();
    let out = |target: &str| place.flow(&["output", "one", target]).exits(0).stdout;
    assert_eq!(out("list"), "[\"a\",\"b]\"]\n");
    assert_eq!(out("list.more"), "{\"x\":1.5}\n");
    assert_eq!(out("list.more.deep"), "{\"x\":1.5}\n");
    assert_eq!(out("each"), "[\"<a>\",\"<b]>\"]\n");
    assert_eq!(out("each[a]"), "<a>\n");
    assert_eq!(out("each[b]].s"), "<b]>\n");
    assert_eq!(out("two.text"), "a line\n");
    let json = place.flow(&["output", "one", "two.text", "--json"]).exits(0);
    assert_eq!(json.stdout, "\"a line\"\n");
    let whole = place.flow(&["output", "one"]).exits(0).json();
    assert_eq!((&whole["deep"]["x"], &whole["bin"]["name"]), (&1.5.into(), &"a.bin".into()));
}

#[test]
fn artifacts_come_byte_for_byte() {
    let place = kinds();
    let output = place.command(&["output", "one", "two.bin"]).output().unwrap();
    assert_eq!(output.stdout, b"\0\xffraw");
    place.flow(&["output", "one", "two.bin", "-o", "copy"]).exits(0);
    assert_eq!(std::fs::read(place.path("copy")).unwrap(), b"\0\xffraw");
    place.flow(&["output", "one", "two.dir", "-o", "folder"]).exits(0);
    assert_eq!(place.read("folder/f"), "in\n");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = place.path("folder/f").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o300, 0o300, "executable and writable");
    // What the user does with a copy never reaches the store.
    place.write("copy", "changed");
    place.write("folder/f", "changed");
    assert_eq!(place.command(&["output", "one", "two.bin"]).output().unwrap().stdout, b"\0\xffraw");
    place.flow(&["output", "one", "two.bin", "-o", "copy"]).exits(0);
    assert_eq!(std::fs::read(place.path("copy")).unwrap(), b"\0\xffraw");
}

#[test]
fn what_cannot_be_written_is_told() {
    let place = kinds();
    assert_snapshot!(place.flow(&["output", "one", "two"]), @"
    exit: 2
    --- stderr
    error: node `two` has several outputs: bin, dir, text
    help: name one of them: two.bin
    ");
    assert_snapshot!(place.flow(&["output", "one", "two.dir"]), @"
    exit: 2
    --- stderr
    error: `d` is a folder
    help: write it to a path: -o PATH
    ");
    assert_snapshot!(place.flow(&["output", "one", "two.bni"]), @"
    exit: 5
    --- stderr
    error: node `two` has no output `bni`
    help: its outputs are bin, dir, text
    ");
    assert_snapshot!(place.flow(&["output", "one", "each[c]"]), @"
    exit: 5
    --- stderr
    error: node `each` has no item `c`
    help: did you mean 'each[a]'?
    ");
    assert_snapshot!(place.flow(&["output", "one", "list", "-o", "no/such/folder"]), @"
    exit: 1
    --- stderr
    error: cannot write no/such/folder
      cause: No such file or directory (os error 2)
    ");
}
