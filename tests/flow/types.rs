//! Types at run time: schema files, artifacts inside values, and parameters that bring files.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::harness::Place;

const SLATE: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["games"],
  "properties": { "games": { "type": "array", "items": { "$ref": "#/$defs/Game" } } },
  "$defs": { "Game": { "type": "object", "required": ["id", "line"], "properties": {
    "id": { "type": "string", "pattern": "^g[0-9]+$" }, "line": { "type": "number", "exclusiveMinimum": 0 } } } }
}"##;

/// A node that makes what stands in `slate.in`, and two that take it apart.
const SCHEMA_FLOW: &str = r#"
[types]
Slate = { schema = "schemas/slate.json" }
[nodes.fetch]
stage = "command"
with = { argv = ["cat", "{{ workflow.dir }}/slate.in"] }
outputs.body = "Slate"
[nodes.each]
stage = "value"
for_each = "fetch.body.games"
key = "{{ item.id }}"
inputs = { line = "item.line" }
with = { value = "{{ inputs.line }}" }
outputs.line = "number"
[outputs]
lines = "each.line"
"#;

fn schema_place(slate: &str) -> Place {
    let place = Place::with(SCHEMA_FLOW);
    std::fs::create_dir(place.path("schemas")).unwrap();
    place.write("schemas/slate.json", SLATE);
    place.write("slate.in", slate);
    place
}

/// The error of a node, less what is always there.
fn error_of(place: &Place, node: &str) -> Value {
    let shown = place.show("latest");
    let nodes = shown["nodes"].as_array().unwrap();
    let error = &nodes.iter().find(|n| n["id"] == node).unwrap()["error"];
    let keys = ["class", "message", "port", "pointer", "expected", "found"];
    keys.iter()
        .map(|key| ((*key).to_owned(), error[key].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn a_payload_is_held_to_its_schema_and_its_fields_are_named() {
    let place =
        schema_place(r#"{ "games": [{ "id": "g1", "line": 2.5 }, { "id": "g2", "line": 3 }] }"#);
    let done = place.flow(&["run", "flow.toml"]).exits(0);
    assert!(done.stdout.contains("[2.5,3]"), "{done}");
    place.write(
        "slate.in",
        r#"{ "games": [{ "id": "g1", "line": 2.5 }, { "id": "x", "line": 0 }] }"#,
    );
    place.flow(&["run", "flow.toml"]).exits(1);
    assert_eq!(
        error_of(&place, "fetch"),
        json!({
            "class": "validation", "port": "body", "pointer": "/games/1/id",
            "expected": "text that matches /^g[0-9]+$/", "found": "the string \"x\"",
            "message": "/games/1/id of `body` must be text that matches /^g[0-9]+$/, and is the string \"x\"",
        })
    );
}

#[test]
fn a_resume_and_a_rerun_use_the_schema_that_was_recorded() {
    let place = schema_place(r#"{ "games": [{ "id": "x", "line": 1 }] }"#);
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    place.write("slate.in", r#"{ "games": [{ "id": "g1", "line": 1 }] }"#);
    place.write("schemas/slate.json", "{ \"type\": \"string\" }");
    let resumed = place.flow(&["resume", "one"]).exits(0);
    assert!(
        resumed.stderr.contains("schemas/slate.json has changed; this resume uses the recorded"),
        "{resumed}"
    );
    std::fs::remove_dir_all(place.path("schemas")).unwrap();
    place.flow(&["rerun", "one", "fetch"]).exits(0);
    place.flow(&["show", "one"]).exits(0);
    place.write("slate.in", r#"{ "games": [{ "id": "x", "line": 1 }] }"#);
    let rerun = place.flow(&["rerun", "one", "fetch"]).exits(1);
    assert!(rerun.stderr.contains("/games/0/id"), "{rerun}");
}

#[test]
fn the_content_of_a_schema_is_in_the_key_and_its_layout_is_not() {
    let place = schema_place(r#"{ "games": [] }"#);
    let key = |schema: &str| {
        place.write("schemas/slate.json", schema);
        place.flow(&["run", "flow.toml"]).exits(0);
        place.show("latest")["nodes"][0]["key"].clone()
    };
    let first = key(SLATE);
    assert_eq!(first, key(&SLATE.replace('\n', "\n   ")));
    assert_ne!(first, key(&SLATE.replace("exclusiveMinimum", "minimum")));
}

#[test]
fn a_schema_that_cannot_be_used_refuses_the_file() {
    let place = schema_place("{}");
    place.write("schemas/slate.json", &SLATE.replace("#/$defs/Game", "game.json"));
    assert_snapshot!(place.flow(&["validate", "flow.toml"]), @r#"
    exit: 3
    --- stderr
    error[W141]: `schemas/slate.json` is no schema that can be used
     --> flow.toml:5:20
      |
    5 | Slate = { schema = "schemas/slate.json" }
      |  ^^^^^^^^^^^^^^^^^^^^ at /properties/games/items/$ref: `game.json` is in another file
      |
      = help: references stay inside the file: copy what they name under `$defs`, and write #/$defs/Name

    error: flow.toml is not valid: 1 fault
    "#);
    std::fs::remove_file(place.path("schemas/slate.json")).unwrap();
    assert_snapshot!(place.flow(&["validate", "flow.toml"]), @r#"
    exit: 3
    --- stderr
    error[W045]: the schema of `Slate` cannot be read
     --> flow.toml:5:20
      |
    5 | Slate = { schema = "schemas/slate.json" }
      |  ^^^^^^^^^^^^^^^^^^^^ [dir]/schemas/slate.json does not exist
      |
      = help: the path is relative to the workflow file

    error: flow.toml is not valid: 1 fault
    "#);
}

/// Files and folders in a record, a map and lists, and what a consumer makes of them.
const INSIDE: &str = r#"
[types.Clip.fields]
title = "string"
video = "file<text/plain>"
frames = "list<file>"
assets = "dir"
by_name = "map<file<text/csv>>"
poster = "file?"
[nodes.make]
stage = "command"
outputs.clip = "Clip"
with.shell = '''
mkdir -p a assets/deep $FLOW_OUTPUTS/o
echo video > a/v.txt; echo 1 > a/f1; echo 2 > $FLOW_OUTPUTS/o/f2; echo in > assets/deep/x; echo "a,b" > a/t.csv
echo '{"title":"T","video":"a/v.txt","frames":["a/f1","o/f2"],"assets":"assets","by_name":{"a/b":"a/t.csv"},"extra":1}'
'''
[nodes.read]
stage = "command"
inputs = { clip = "make.clip" }
outputs.text = "string"
with.shell = '''
cat inputs/clip.json | tr ',' '\n' | grep '"path"' | wc -l
cat inputs/clip/*/v.txt inputs/clip/*/f1 inputs/clip/*/f2 inputs/clip/*/assets/deep/x inputs/clip/*/t.csv
'''
[nodes.title]
stage = "command"
inputs = { video = "make.clip.video", frames = "make.clip.frames" }
with = { argv = ["cat", "{{ inputs.video }}", { each = "inputs.frames" }] }
outputs.text = "string"
[nodes.pass_on]
stage = "jq"
inputs = { clip = "make.clip" }
with = { filter = "{ video: .video, all: [.frames[]] }" }
outputs.some = "json"
[nodes.pass_typed]
stage = "jq"
inputs = { clip = "make.clip" }
with = { filter = ".frames" }
outputs.frames = "list<file>"
"#;

#[test]
fn artifacts_inside_values_are_stored_and_consumers_see_their_paths() {
    let place = Place::with(INSIDE);
    place.flow(&["run", "flow.toml"]).exits(0);
    let out = |target: &str| place.flow(&["output", "latest", target]).exits(0);
    let clip = out("make.clip").json();
    assert_eq!(clip["video"]["name"], "v.txt");
    assert_eq!(clip["video"]["media_type"], "text/plain");
    assert_eq!(clip["video"]["size"], 6);
    assert!(clip["video"]["$file"].is_string() && clip["assets"]["$dir"].is_string());
    assert_eq!(clip["by_name"]["a/b"]["media_type"], "text/csv");
    assert_eq!(clip["extra"], 1);
    assert!(!clip.to_string().contains("\"path\""), "{clip}");
    assert_eq!(out("read").stdout, "5\nvideo\n1\n2\nin\na,b\n");
    assert_eq!(out("title").stdout, "video\n1\n2\n");
    // What came in and goes out again has no path of a folder that is gone.
    assert_eq!(out("pass_on").json(), json!({ "video": clip["video"], "all": clip["frames"] }));
    assert_eq!(out("pass_typed").json(), clip["frames"]);
}

#[test]
fn what_is_wrong_with_an_artifact_inside_a_value_has_its_place() {
    let place = Place::new();
    let fault = |script: &str| {
        let text = format!(
            "[workflow]\nname = \"t\"\n[types.Clip.fields]\nvideo = \"file<audio/wav>?\"\nassets = \"dir?\"\nby = \"map<file>?\"\n\
             [nodes.make]\nstage = \"command\"\noutputs.clip = \"Clip\"\nwith.shell = '''\n{script}\n'''\n"
        );
        place.write("flow.toml", &text);
        place.flow(&["run", "flow.toml"]).exits(1);
        let error = error_of(&place, "make");
        let part = |key: &str| error[key].as_str().unwrap_or("-").to_owned();
        format!(
            "{} | {} | {} | {}",
            part("pointer"),
            part("expected"),
            part("found"),
            part("message")
        )
    };
    let told = [
        r#"echo '{"video":"gone.wav"}'"#,
        r#"echo text > a.wav; echo '{"video":"a.wav"}'"#,
        r#"echo '{"video":"../../../../etc/passwd"}'"#,
        r#"echo '{"video":"/etc/passwd"}'"#,
        r#"ln -s /etc/passwd l; echo '{"by":{"a/b":"l"}}'"#,
        r#"mkfifo p; echo '{"by":{"x":"p"}}'"#,
        r#"mkdir d; ln -s /etc/passwd d/link; echo '{"assets":"d"}'"#,
        r#"touch f; echo '{"assets":"f"}'"#,
        r#"echo '{"assets":{"$dir":"nonsense"}}'"#,
        r#"echo '{"video":7}'"#,
    ]
    .map(fault);
    assert_snapshot!(told.join("\n"), @r#"
    /video | file<audio/wav> | not there | gone.wav is not there
    /video | file<audio/wav> | a file of type text/plain | /video of `clip` must be file<audio/wav>, and is a file of type text/plain
    /video | file<audio/wav> | outside the scratch folder | the path ../../../../etc/passwd is outside the scratch folder
    /video | file<audio/wav> | outside the scratch folder | the path /etc/passwd is outside the scratch folder
    /by/a~1b | file | reached through a symbolic link | l is reached through a symbolic link
    /by/x | file | a FIFO | p is a FIFO
    /assets | dir | a symbolic link | d/link is a symbolic link
    /assets | dir | a file, and a folder is declared | f is a file, and a folder is declared
    /assets | dir? | neither a path nor an artifact that came in | what stands for a file or folder is neither a path nor an artifact that came in
    /video | file<audio/wav> | the number 7 | /video of `clip` must be file<audio/wav>, and is the number 7
    "#);
}

#[test]
fn a_folder_that_is_taken_keeps_the_files_that_are_taken_too() {
    let place = Place::with(
        r#"
[types.Both.fields]
one = "file"
all = "dir"
[nodes.make]
stage = "command"
outputs.both = "Both"
outputs.again = { type = "dir", path = "out" }
outputs.file = { type = "file", path = "out/a.txt" }
outputs.text = { type = "string", path = "out/a.txt" }
with.shell = '''
mkdir out; echo a > out/a.txt; echo b > out/b.txt
echo '{"one":"out/a.txt","all":"out"}' > $FLOW_OUTPUTS/both.json
'''
"#,
    );
    place.flow(&["run", "flow.toml"]).exits(0);
    place.flow(&["output", "latest", "make.again", "-o", "again"]).exits(0);
    assert_eq!(
        (place.read("again/a.txt"), place.read("again/b.txt")),
        ("a\n".into(), "b\n".into())
    );
    assert_eq!(place.flow(&["output", "latest", "make.text"]).stdout, "a\n");
    let both = place.flow(&["output", "latest", "make.both"]).json();
    assert_eq!(both["all"]["size"], 4);
}

#[test]
fn globs_take_files_or_folders_by_the_type() {
    let place = Place::with(
        r#"
[nodes.make]
stage = "command"
with.shell = '''
mkdir -p shots/b shots/a/deep; echo 1 > shots/a/x.txt; echo 2 > shots/b/y.txt; echo 3 > shots/z.txt; echo 4 > shots/a/deep/w.txt
echo '{"n":1}' > 1.json; echo '{"n":2}' > 2.json
'''
outputs.dirs = { type = "list<dir>", path = "shots/*" }
outputs.files = { type = "list<file>", path = "shots/**" }
outputs.values = { type = "list<json>", path = "*.json" }
outputs.none = { type = "list<file>?", path = "no/*.png" }
[nodes.count]
stage = "command"
inputs = { dirs = "make.dirs", none = "make.none" }
with.shell = "ls inputs/dirs/00000 inputs/dirs/00001; cat inputs/none.json"
outputs.text = "string"
"#,
    );
    place.flow(&["run", "flow.toml"]).exits(0);
    let out = |target: &str| place.flow(&["output", "latest", target]).exits(0).json();
    let names = |target: &str| -> Vec<String> {
        out(target).as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap().into()).collect()
    };
    assert_eq!(names("make.dirs"), ["a", "b"]);
    assert_eq!(names("make.files"), ["w.txt", "x.txt", "y.txt", "z.txt"]);
    assert_eq!(out("make.values"), json!([{ "n": 1 }, { "n": 2 }]));
    assert_eq!(place.show("latest")["nodes"][0]["outputs"]["none"], Value::Null);
    let text = place.flow(&["output", "latest", "count"]).stdout;
    assert_eq!(text, "inputs/dirs/00000:\na\n\ninputs/dirs/00001:\nb\nnull\n");
}

#[test]
fn an_output_that_is_not_there_says_what_is_instead() {
    let place = Place::new();
    let fault = |output: &str, script: &str| {
        place.write(
            "flow.toml",
            &format!(
                "[workflow]\nname = \"t\"\n[nodes.make]\nstage = \"command\"\nwith.shell = '''\n{script}\n'''\noutputs.out = {output}\n"
            ),
        );
        place.flow(&["run", "flow.toml"]).exits(1);
        let error = error_of(&place, "make");
        format!("{} | {}", error["message"].as_str().unwrap(), error["found"].as_str().unwrap())
    };
    let many = "for i in 1 2 3 4 5 6 7 8 9 10; do touch f$i; done";
    let told = [
        fault(
            "{ type = \"list<file>\", path = \"plots/*.png\" }",
            "mkdir plots; touch plots/a.jpg log",
        ),
        fault("{ type = \"list<file>\", path = \"*.png\" }", "true"),
        fault("{ type = \"file\", path = \"out.txt\" }", many),
        fault(
            "{ type = \"file\", path = \"linked/out.txt\" }",
            "rmdir linked; ln -s /nowhere linked",
        ),
        fault("{ type = \"list<file>\", path = \"linked/*.conf\" }", "ln -s /etc linked"),
        fault("{ type = \"file\", path = \"linked/passwd\" }", "rmdir linked; ln -s /etc linked"),
    ];
    assert_snapshot!(told.join("\n"), @r#"
    the program made no output `out`: looked for `plots/*.png` in the scratch folder | only log, plots/, plots/a.jpg
    the program made no output `out`: looked for `*.png` in the scratch folder | nothing in the scratch folder
    the program made no output `out`: looked for `out.txt` in the scratch folder | only f1, f10, f2, f3, f4, f5, f6, f7 and 2 more
    the program made no output `out`: looked for `linked/out.txt` in the scratch folder | nothing that could be taken: `linked` is a symbolic link
    the program made no output `out`: looked for `linked/*.conf` in the scratch folder | nothing that could be taken: `linked` is a symbolic link
    linked/passwd is reached through a symbolic link | reached through a symbolic link
    "#);
}

#[test]
fn parameters_bring_files_and_folders_in_lists_and_records() {
    let place = Place::with(
        r#"
[types.Clip.fields]
title = "string"
video = "file<text/plain>"
[params]
clips = "list<file>"
clip = { type = "Clip", default = { title = "default", video = "data/default.txt" } }
assets = { type = "dir", default = "data" }
by = "map<file>?"
[nodes.read]
stage = "command"
inputs = { clips = "params.clips", clip = "params.clip", assets = "params.assets" }
with = { argv = ["cat", { each = "params.clips" }, "{{ inputs.clip.video }}", "{{ inputs.assets }}/deep/x.txt"] }
outputs.text = "string"
"#,
    );
    std::fs::create_dir_all(place.path("data/deep")).unwrap();
    std::fs::create_dir_all(place.path("sub")).unwrap();
    for (name, text) in [
        ("data/default.txt", "default\n"),
        ("data/deep/x.txt", "x\n"),
        ("a.mp4", "a\n"),
        ("b.mp4", "b\n"),
        ("sub/c.txt", "c\n"),
        ("sub/p.toml", "clips = [\"c.txt\"]\nclip = { title = \"t\", video = \"c.txt\" }\n"),
    ] {
        place.write(name, text);
    }
    let clips = r#"clips=["a.mp4","b.mp4"]"#;
    place.flow(&["run", "flow.toml", "--run-id", "one", "--param", clips]).exits(0);
    assert_eq!(place.flow(&["output", "one", "read"]).stdout, "a\nb\ndefault\nx\n");
    assert_eq!(place.show("one")["params"]["clips"][1]["name"], "b.mp4");
    // Paths in a table are relative to the table's file.
    place.flow(&["run", "flow.toml", "--params", "sub/p.toml"]).exits(0);
    assert_eq!(place.flow(&["output", "latest", "read"]).stdout, "c\nc\nx\n");
    // What was stored at the start is what a later attempt sees.
    place.write("a.mp4", "changed\n");
    place.write("data/deep/x.txt", "changed\n");
    assert!(place.flow(&["rerun", "one", "read"]).exits(0).stderr.contains("same"));
}

#[test]
fn files_of_parameters_that_cannot_be_had_are_told_with_their_places() {
    let place = Place::with(
        r#"
[types.Clip.fields]
video = "file<audio/wav>"
[params]
clips = { type = "list<file>", min_length = 1 }
clip = "Clip?"
assets = "dir?"
one = "file?"
"#,
    );
    place.write("a.txt", "a");
    assert_snapshot!(place.flow(&["run", "flow.toml", "--param", r#"clips=["a.txt","gone",""]"#, "--param", r#"clip={"video":7}"#, "--param", "assets=a.txt", "--param", "one=."]), @r#"
    exit: 3
    --- stderr
    error: 5 parameters are refused
      - `clips`: at /1: cannot read [dir]/gone: No such file or directory (os error 2)
      - `clips`: at /2: the path is empty
      - `clip`: at /video: expected a string, found the number 7
      - `assets`: expected a folder, and [dir]/a.txt is none
      - `one`: expected a file, and [dir] is none
    help: set a parameter with --param NAME=VALUE
    "#);
    assert_snapshot!(place.flow(&["run", "flow.toml", "--param", "clips=[]", "--param", r#"clip={"video":"a.txt"}"#]), @r#"
    exit: 3
    --- stderr
    error: a parameter is refused
      - `clips`: expected a length of at least 1, found a list of 0
    help: set a parameter with --param NAME=VALUE
    "#);
    assert_snapshot!(place.flow(&["run", "flow.toml", "--param", r#"clips=["a.txt"]"#, "--param", r#"clip={"video":"a.txt"}"#]), @r#"
    exit: 3
    --- stderr
    error: a parameter is refused
      - `clip`: at /video: expected file<audio/wav>, found a file of type text/plain
    help: set a parameter with --param NAME=VALUE
    "#);
}

#[test]
fn a_changed_file_inside_a_parameter_is_told_on_resume() {
    let place = Place::with(
        r#"
[params]
clips = "list<file>"
[nodes.read]
stage = "command"
inputs = { clips = "params.clips" }
with.shell = "cat inputs/clips/*/*; test -e $FLOW_WORKFLOW_DIR/go"
outputs.text = "string"
"#,
    );
    place.write("a.txt", "a\n");
    place.write("b.txt", "b\n");
    let clips = r#"clips=["a.txt","b.txt"]"#;
    place.flow(&["run", "flow.toml", "--run-id", "one", "--param", clips]).exits(1);
    place.write("b.txt", "changed\n");
    place.write("go", "");
    let resumed = place.flow(&["resume", "one"]).exits(0);
    assert!(
        resumed.stderr.contains("b.txt has changed; this resume uses the recorded version"),
        "{resumed}"
    );
    assert!(!resumed.stderr.contains("a.txt has changed"), "{resumed}");
    assert_eq!(place.flow(&["output", "one", "read"]).stdout, "a\nb\n");
}

#[test]
fn media_types_are_told_by_content_and_aliases_are_one_type() {
    let place = Place::with(
        r#"
[nodes.make]
stage = "command"
with.shell = '''
printf 'RIFF\044\000\000\000WAVEfmt \020\000\000\000\001\000\001\000\104\254\000\000\210\130\001\000\002\000\020\000data\000\000\000\000' > $FLOW_OUTPUTS/sound
printf 'a,b\n' > $FLOW_OUTPUTS/table; printf '{}' > $FLOW_OUTPUTS/doc
'''
outputs = { sound = "file<audio/x-wav>", table = "file<text/csv>", doc = "file<text/json>" }
[nodes.take]
stage = "noop"
inputs = { a = ["make.sound"] }
[nodes.bad]
stage = "command"
with.shell = "printf 'a\\000b' > $FLOW_OUTPUTS/table.csv"
outputs.table = "file<text/csv>"
"#,
    );
    place.flow(&["run", "flow.toml"]).exits(1);
    let shown = place.show("latest");
    let media = |port: &str| shown["nodes"][0]["outputs"][port]["media_type"].clone();
    assert_eq!(media("sound"), "audio/wav");
    assert_eq!((media("table"), media("doc")), ("text/csv".into(), "application/json".into()));
    let error = error_of(&place, "bad");
    assert_eq!(error["expected"], "file<text/csv>");
    assert_eq!(error["found"], "a file of type application/octet-stream");
}

#[test]
fn faults_of_keys_and_filters_have_their_places_too() {
    let place = Place::with(
        r#"
[nodes.list]
stage = "value"
with = { value = [{ id = "a" }, { id = "b" }, { id = "a" }] }
outputs.list = "list<json>"
[nodes.each]
stage = "noop"
for_each = "list.list"
key = "{{ item.id }}"
[nodes.several]
stage = "jq"
inputs = { list = "list.list" }
with = { filter = ".[].id" }
outputs.id = "string"
"#,
    );
    place.flow(&["run", "flow.toml"]).exits(1);
    let part = |node: &str| {
        let error = error_of(&place, node);
        ["port", "pointer", "expected", "found"]
            .map(|key| error[key].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(
        part("each"),
        ["for_each", "/2", "a key of its own", "the key \"a\" of element 0 again"]
    );
    assert_eq!(part("several"), ["id", "-", "one value", "several values"]);
}
