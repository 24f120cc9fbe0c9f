//! Damage as ordinary commands meet it: each names the file, the place, the run and the node where
//! they are known, and the way out.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use insta::assert_snapshot;

use super::harness::{Done, Place, pathless};

/// `make` writes a file, `count` reads it, `text` is too long to stand in the journal.
pub(crate) const MADE: &str = r#"
[nodes.make]
stage = "command"
with = { shell = "echo precious > out.txt" }
outputs.file = { type = "file", path = "out.txt" }
[nodes.text]
stage = "command"
with = { shell = "seq -s ' ' 1 20000" }
outputs.text = "string"
[nodes.count]
stage = "command"
inputs = { file = "make.file" }
with = { shell = "wc -c < {{ inputs.file }}" }
outputs.n = "integer"
[outputs]
file = "make.file"
"#;

/// A place with the finished run `one`.
pub(crate) fn made() -> Place {
    let place = Place::with(MADE);
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    place
}

/// The object with this beginning.
pub(crate) fn object(place: &Place, beginning: &str) -> PathBuf {
    let folders = std::fs::read_dir(place.path(".flow/objects")).unwrap();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .find(|path| std::fs::read(path).unwrap().starts_with(beginning.as_bytes()))
        .unwrap()
}

/// Flips a bit of a file.
pub(crate) fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Flips a bit of the first record of the run `one`.
pub(crate) fn damage_journal(place: &Place) {
    let path = place.path(".flow/runs/one/journal");
    let bytes = std::fs::read(&path).unwrap();
    let word = b"run_started";
    let at = bytes.windows(word.len()).position(|window| window == word).unwrap();
    flip(&path, at);
}

/// What a command says, without the digests in paths.
fn said(place: &Place, args: &[&str]) -> String {
    pathless(&place.flow(args))
}

#[test]
fn a_flipped_bit_in_a_file_is_told_with_its_node_and_the_way_to_make_it_again() {
    let place = made();
    flip(&object(&place, "precious"), 2);
    place.flow(&["show", "one"]).exits(0);
    assert_snapshot!(said(&place, &["output", "one", "make.file"]), @r#"
    exit: 4
    --- stderr
    error: [dir]/.flow/objects/[object] is damaged at byte 0: its bytes have the digest bfe20a03d96d; it was moved to [dir]/.flow/quarantine/[object]
      - a result of make in run one: object [digest] is missing (looked for [dir]/.flow/objects/[object])
    help: make it again: flow rerun one make; what else is lost is told by: flow verify
    "#);
    assert_snapshot!(said(&place, &["rerun", "one", "count"]), @r#"
    exit: 4
    --- stderr
    error: what `count` of run one takes as input is lost
      - a result of make in run one: object [digest] is missing (looked for [dir]/.flow/objects/[object])
    help: make it again: flow rerun one make; what else is lost is told by: flow verify
    "#);
    place.flow(&["rerun", "one", "make"]).exits(0);
    assert_eq!(place.flow(&["output", "one", "make.file"]).exits(0).stdout, "precious\n");
    place.flow(&["rerun", "one", "count"]).exits(0);
}

#[test]
fn a_missing_payload_is_told_with_its_node() {
    let place = made();
    std::fs::remove_file(object(&place, "\"1 2 3")).unwrap();
    assert_snapshot!(said(&place, &["output", "one", "text"]), @r#"
    exit: 4
    --- stderr
    error: object [digest] is missing (looked for [dir]/.flow/objects/[object])
      - it is a result of text in run one
    help: make it again: flow rerun one text; what else is lost is told by: flow verify
    "#);
    place.flow(&["rerun", "one", "text"]).exits(0);
    place.flow(&["output", "one", "text"]).exits(0);
}

#[test]
fn an_open_run_makes_again_what_it_still_needs() {
    let place = Place::with(&format!(
        "{MADE}[nodes.gate]\nstage = \"command\"\ninputs = {{ n = \"count.n\", file = \"make.file\" }}\n\
         with = {{ shell = \"test -e $DIR/open\", env = {{ DIR = \"{{{{ workflow.dir }}}}\" }} }}\n"
    ));
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    std::fs::remove_file(object(&place, "precious")).unwrap();
    place.write("open", "");
    let done = place.flow(&["resume", "one"]).exits(0);
    assert!(done.stderr.contains("make runs again"), "{done}");
}

/// The object of a folder is only its list: each file in it is an object of its own.
#[test]
fn a_folder_that_has_lost_a_file_is_made_again() {
    let folder = "[nodes.make]\nstage = \"command\"\nwith = { shell = \"mkdir d; echo precious > d/f\" }\n\
                  outputs.folder = { type = \"dir\", path = \"d\" }\n\
                  [nodes.gate]\nstage = \"command\"\ninputs = { folder = \"make.folder\" }\n\
                  with = { shell = \"test -e $DIR/open && cat inputs/folder/*/f\", env = { DIR = \"{{ workflow.dir }}\" } }\n\
                  outputs.text = \"string\"\n[outputs]\ntext = \"gate.text\"\n";
    for is_gone in [false, true] {
        let place = Place::with(folder);
        place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
        let file = object(&place, "precious");
        if is_gone {
            std::fs::remove_file(file).unwrap();
        } else {
            flip(&file, 3);
        }
        place.write("open", "");
        let done = place.flow(&["resume", "one"]).exits(0);
        assert!(done.stderr.contains("make runs again"), "{done}");
        assert_eq!(place.show("one")["outputs"]["text"], "precious");
    }
}

#[test]
fn a_flipped_bit_in_a_journal_is_told_with_its_place_by_every_command() {
    let place = made();
    damage_journal(&place);
    assert_snapshot!(said(&place, &["show", "one"]), @r#"
    exit: 4
    --- stderr
    error: [dir]/.flow/runs/one/journal is damaged at byte [offset]: the frame does not match its checksum
    help: put the folder of run one back from a backup, or remove it and take the run from an export with `flow import`, or start it anew; what else is damaged is told by: flow verify
    "#);
    for args in [["output", "one"].as_slice(), &["resume", "one"], &["rerun", "one", "make"]] {
        let done = place.flow(args).exits(4);
        assert!(done.stderr.contains("runs/one/journal is damaged at byte"), "{done}");
        assert!(done.stderr.contains("flow verify"), "{done}");
    }
    assert_snapshot!(said(&place, &["runs"]), @r#"
    exit: 0
    --- stderr
    warning: run one is left out: [dir]/.flow/runs/one/journal is damaged at byte [offset]: the frame does not match its checksum
    no runs
    "#);
}

#[test]
fn an_emptied_manifest_is_told_by_every_command() {
    let place = made();
    place.write(".flow/runs/one/manifest.json", "");
    assert_snapshot!(said(&place, &["show", "one"]), @r#"
    exit: 4
    --- stderr
    error: [dir]/.flow/runs/one/manifest.json is damaged at byte 0: it is not the manifest that the run recorded
    help: put the folder of run one back from a backup, or remove it and take the run from an export with `flow import`, or start it anew; what else is damaged is told by: flow verify
    "#);
    for args in [["output", "one"].as_slice(), &["resume", "one"], &["rerun", "one", "make"]] {
        let done = place.flow(args).exits(4);
        assert!(done.stderr.contains("manifest.json is damaged at byte 0"), "{done}");
    }
}

#[test]
fn one_damaged_run_keeps_no_other_from_going_on() {
    let place = made();
    place.flow(&["run", "flow.toml", "--run-id", "two"]).exits(0);
    damage_journal(&place);
    let listed = place.flow(&["runs"]).exits(0);
    assert!(listed.stdout.contains("two") && !listed.stdout.contains("one "), "{listed}");
    let found = place.flow(&["verify", "--json"]).exits(1).json();
    let of: Vec<&str> =
        found["findings"].as_array().unwrap().iter().filter_map(|f| f["run"].as_str()).collect();
    assert_eq!(of, ["one"]);
    let _: Done = place.flow(&["rerun", "two", "count"]).exits(0);
}

#[test]
fn captured_output_that_was_changed_or_cut_is_told() {
    let place = Place::with(
        "[nodes.say]\nstage = \"command\"\nwith = { shell = \"echo first; echo second; echo other >&2\" }",
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    let (stdout, stderr) = (
        place.path(".flow/runs/one/output/say.1.stdout"),
        place.path(".flow/runs/one/output/say.1.stderr"),
    );
    flip(&stdout, 2);
    std::fs::write(&stderr, "oth").unwrap();
    let done = place.flow(&["logs", "one", "say"]).exits(0);
    assert!(done.stderr.contains("say.1.stdout: what say wrote was changed since"), "{done}");
    assert!(
        done.stderr
            .contains("say.1.stderr at byte 3: the last 3 bytes of what say wrote are not there"),
        "{done}"
    );
    let found = place.flow(&["verify"]).exits(1).stdout;
    assert!(
        found.contains("say.1.stdout at byte 0, run one, say: what the program wrote was changed"),
        "{found}"
    );
    assert!(
        found.contains("note: ")
            && found.contains("say.1.stderr at byte 3, run one, say: the last 3"),
        "{found}"
    );
    // Nothing depends on it, so an export takes it along.
    place.flow(&["export", "one", "-o", "one.flow"]).exits(0);
    place.flow(&["verify", "--repair"]).exits(1);
    assert!(!stdout.exists());
    let again = place.flow(&["verify"]).exits(0);
    assert!(
        again.stdout.contains("the last 13 bytes of what the program wrote are not there"),
        "{again}"
    );
}
