//! Going on with a run, and trying a stage beside it.

use insta::assert_snapshot;
use serde_json::json;

use super::harness::{Place, is_alive, kill_9};

/// `count` notes every execution; `gate` fails until the file `open` is there.
const GATED: &str = r#"
[nodes.count]
stage = "command"
with = { shell = "echo x >> $DIR/ledger; echo 1", env = { DIR = "{{ workflow.dir }}" } }
outputs.n = "integer"
[nodes.gate]
stage = "command"
inputs = { n = "count.n" }
with = { shell = "test -e $DIR/open", env = { DIR = "{{ workflow.dir }}" } }
[outputs]
n = "count.n"
"#;

#[test]
fn a_resume_goes_on_after_the_last_good_stage() {
    let place = Place::with(GATED);
    place.flow(&["run", "flow.toml"]).exits(1);
    place.write("open", "");
    assert_snapshot!(place.flow(&["resume", "latest"]), @"
    exit: 0
    --- stdout
    n: 1
    --- stderr
    [time] ▶ run  [run] resumed
    [time] ● gate  attempt 2
    [time] ✔ gate  [took]
    [time] ✔ run  succeeded
    run [run] succeeded: 2 succeeded (1 reused) in [took]
    ");
    assert_eq!(place.read("ledger"), "x\n");
    let shown = place.show("latest");
    assert_eq!(shown["nodes"][0]["reused"], true);
    assert_eq!(shown["nodes"][1]["reused"], false);
    assert_eq!(
        (&shown["nodes"][0]["attempts"], &shown["nodes"][1]["attempts"]),
        (&json!(1), &json!(2))
    );
    assert_snapshot!(place.flow(&["resume", "latest"]), @"
    exit: 0
    --- stdout
    n: 1
    --- stderr
    run [run] succeeded: 2 succeeded (1 reused) in [took]
    ");
    assert_snapshot!(place.flow(&["runs"]), @"
    exit: 0
    --- stdout
       RUN  WORKFLOW  STATUS  STARTED  TIME
    ✔  [run]  test  succeeded  just now  [took]
    ");
}

#[test]
fn a_resume_names_what_changed_on_the_disk_and_uses_the_record() {
    let place = Place::with(
        r#"
[params]
p = { type = "file", default = "p.txt" }
[nodes.gate]
stage = "command"
uses = ["tool.sh", "lib"]
inputs = { p = "params.p" }
with = { shell = "test -e $DIR/open && sh tool.sh && cat lib/a {{ inputs.p }}", env = { DIR = "{{ workflow.dir }}" } }
outputs.text = "string"
"#,
    );
    std::fs::create_dir(place.path("lib")).unwrap();
    for name in ["tool.sh", "lib/a", "p.txt"] {
        place.write(name, "echo old\n");
    }
    place.flow(&["run", "flow.toml"]).exits(1);
    let same = place.flow(&["resume", "latest"]).exits(1);
    assert!(!same.stderr.contains("changed"), "{same}");
    for name in ["tool.sh", "lib/a", "open"] {
        place.write(name, "echo new\n");
    }
    place.write("flow.toml", "broken");
    std::fs::remove_file(place.path("p.txt")).unwrap();
    assert_snapshot!(place.flow(&["resume", "latest"]), @"
    exit: 0
    --- stderr
    [time] ▶ run  [run] resumed
               the workflow file [dir]/flow.toml has changed; this resume uses the recorded version
               the used path [dir]/lib has changed; this resume uses the recorded version
               the used path [dir]/tool.sh has changed; this resume uses the recorded version
               the file of parameter `p`, [dir]/p.txt is gone; this resume uses the recorded version
               adopt what changed with: flow resume [run] --update
    [time] ● gate  attempt 3
    [time] ✔ gate  [took]
    [time] ✔ run  succeeded
    run [run] succeeded: 1 succeeded in [took]
    ");
    assert_eq!(place.flow(&["output", "latest", "gate"]).stdout, "old\necho old\necho old\n");
}

#[test]
fn two_processes_never_have_one_run() {
    let place = Place::with(
        r#"
[nodes.wait]
stage = "command"
with = { shell = "echo $$ > $DIR/started; while ! test -e $DIR/open; do sleep 0.01; done", env = { DIR = "{{ workflow.dir }}" } }
"#,
    );
    let mut first = place.start(&["run", "flow.toml", "--run-id", "one"]);
    place.wait_for("started");
    assert_snapshot!(place.flow(&["resume", "one"]), @"
    exit: 6
    --- stderr
    error: another process has run one: process [pid] on host [host], since [date]
    help: watch it: flow logs one -f
    ");
    place.flow(&["rerun", "one", "wait"]).exits(6);
    let shown = place.show("one");
    assert_eq!(
        (&shown["status"], &shown["nodes"][0]["status"]),
        (&json!("running"), &json!("running"))
    );
    let mut follower = place.command(&["logs", "one", "-f"]);
    let follower = follower.stdout(std::process::Stdio::piped()).spawn().unwrap();
    place.write("open", "");
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let followed = follower.wait_with_output().unwrap();
    assert!(String::from_utf8(followed.stdout).unwrap().contains("succeeded"));
}

#[test]
fn after_kill_9_nothing_that_was_shown_as_done_runs_again() {
    let place = Place::with(
        r#"
[nodes.one]
stage = "command"
with = { shell = "echo one >> $DIR/ledger", env = { DIR = "{{ workflow.dir }}" } }
[nodes.two]
stage = "command"
after = ["one"]
with = { shell = "echo two >> $DIR/ledger; echo $$ > $DIR/pid; test -e $DIR/open || sleep 1000", env = { DIR = "{{ workflow.dir }}" } }
"#,
    );
    let mut child = place.start(&["run", "flow.toml", "--run-id", "one"]);
    place.wait_for("pid");
    kill_9(&mut child);
    let pid = place.read("pid");
    assert_eq!(place.show("one")["status"], "interrupted");
    place.write("open", "");
    place.flow(&["resume", "one"]).exits(0);
    assert!(!is_alive(&pid), "the next attempt began beside it");
    assert_eq!(place.read("ledger"), "one\ntwo\ntwo\n");
    assert_eq!(place.show("one")["nodes"][1]["attempts"], 2);
}

#[test]
fn a_rerun_tells_whether_the_same_comes_out_and_changes_nothing() {
    let place = Place::with(
        r#"
[nodes.steady]
stage = "command"
with = { shell = "echo 1" }
outputs.n = "integer"
[nodes.odd]
stage = "command"
with = { shell = "echo x >> $DIR/ledger; wc -l < $DIR/ledger", env = { DIR = "{{ workflow.dir }}" } }
outputs.n = "integer"
[nodes.each]
stage = "command"
for_each = "list.list"
with = { shell = "echo {{ item }}" }
outputs.n = "integer"
[nodes.list]
stage = "command"
with = { shell = "echo [5,6]" }
outputs.list = "list<integer>"
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    let before = place.show("one");
    assert_snapshot!(place.flow(&["rerun", "one", "steady"]), @"
    exit: 0
    --- stderr
    ✔ steady attempt 2, [took]
      same  n (1 B)
      the run keeps its recorded result
    ");
    assert_snapshot!(place.flow(&["rerun", "one", "odd"]), @"
    exit: 0
    --- stderr
    ✔ odd attempt 2, [took]
      differs n: d63bd9a826af (1 B) → 813e9b729141 (1 B)
          the whole: 1 → 2
      the run keeps its recorded result
    ");
    assert_snapshot!(place.flow(&["rerun", "one", "each"]), @"
    exit: 5
    --- stderr
    error: node `each` runs once per item
    help: name one of its items, such as 'each[0]', 'each[1]'
    ");
    let json = place.flow(&["rerun", "one", "odd", "--json"]).exits(0).json();
    assert_eq!(
        (&json["same"], &json["attempt"], &json["status"]),
        (&json!(false), &json!(2), &json!("succeeded"))
    );
    assert_eq!(json["outputs"]["n"]["recorded"]["value"], 1);
    assert_eq!(json["outputs"]["n"]["new"]["value"], 3);
    let json = place.flow(&["rerun", "one", "each[1]", "--json"]).exits(0).json();
    assert_eq!((&json["item"], &json["same"]), (&json!("1"), &json!(true)));
    assert_eq!(place.show("one"), before);
}

#[test]
fn a_rerun_without_its_inputs_is_refused() {
    let place = Place::with(
        r#"
[nodes.bad]
stage = "command"
with = { shell = "exit 1" }
outputs.n = "integer"
[nodes.next]
stage = "command"
inputs = { n = "bad.n" }
with = { shell = "true" }
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    assert_snapshot!(place.flow(&["rerun", "one", "next"]), @"
    exit: 6
    --- stderr
    error: `next` cannot run yet: what it takes as input is not there
    help: go on with the run first: flow resume one
    ");
    place.flow(&["rerun", "one", "bad"]).exits(1);
    place.flow(&["rerun", "one", "nope"]).exits(5);
}

#[test]
fn a_record_that_was_changed_is_refused() {
    let place = Place::with(GATED);
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    place.write(".flow/runs/one/workflow.toml", "[workflow]\nname = \"other\"\n");
    let done = place.flow(&["resume", "one"]).exits(4);
    assert!(done.stderr.contains("workflow.toml is damaged"), "{done}");
}

/// `make` writes a file and notes it; `gate` reads the file and fails until `open` is there.
const MADE: &str = r#"
[nodes.make]
stage = "command"
with = { shell = "echo made >> $DIR/ledger; echo precious > out.txt", env = { DIR = "{{ workflow.dir }}" } }
outputs.file = { type = "file", path = "out.txt" }
[nodes.pass]
stage = "command"
inputs = { file = "make.file" }
with = { shell = "echo passed >> $DIR/ledger; cp {{ inputs.file }} copy.txt", env = { DIR = "{{ workflow.dir }}" } }
outputs.file = { type = "file", path = "copy.txt" }
[nodes.gate]
stage = "command"
inputs = { file = "pass.file", other = "make.file" }
with = { shell = "test -e $DIR/open && cat {{ inputs.file }}", env = { DIR = "{{ workflow.dir }}" } }
outputs.text = "string"
[outputs]
text = "gate.text"
"#;

/// Changes every stored object: damaged where `change` gives other bytes, gone where it gives none.
fn spoil(place: &Place, change: impl Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let mut folders = vec![place.path(".flow/objects")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let changed = change(std::fs::read(&path).unwrap());
            std::fs::remove_file(&path).unwrap();
            if let Some(bytes) = changed {
                std::fs::write(&path, bytes).unwrap();
            }
        }
    }
}

fn resumes_after(spoiled: impl Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let place = Place::with(MADE);
    place.flow(&["run", "flow.toml"]).exits(1);
    spoil(&place, spoiled);
    place.write("open", "");
    let done = place.flow(&["resume", "latest", "--json"]).exits(0);
    let lines = done.lines();
    let notes = lines[0]["notes"].to_string();
    assert!(notes.contains("make runs again") && notes.contains("pass runs again"), "{notes}");
    assert_eq!(place.read("ledger"), "made\npassed\nmade\npassed\n");
    assert_eq!(place.show("latest")["outputs"]["text"], "precious");
}

#[test]
fn a_damaged_output_is_never_used_and_is_made_again() {
    resumes_after(|mut bytes| {
        bytes[0] ^= 1;
        Some(bytes)
    });
}

#[test]
fn a_missing_output_is_made_again() {
    resumes_after(|_| None);
}
