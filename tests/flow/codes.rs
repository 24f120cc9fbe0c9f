//! Every code as a person meets it: what is told of it stands in a snapshot, and no code is without one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use insta::assert_snapshot;
use regex::Regex;
use serde_json::json;

use super::explain::{block, file, pages};
use super::harness::{Done, Place, pathless, steady};
use super::services::server::{Api, Asked, Reply};
use super::services::{Server, Trouble};

/// Faults that no example of a page can show, or shows too shortly: a whole file for each.
const FILES: &[(&str, &str)] = &[
    ("W005", "[workflow]\nname = \"w\"\n[nodes.a]\nstage = \"value\"\nwith = { value = DEEP }\n"),
    ("W009", "[workflow]\nname = \"w\"\n[schedule]\ncron = \"0 6 * * *\"\n"),
    (
        "W118",
        "[workflow]\nname = \"w\"\n[nodes.a]\nstage = \"workflow\"\nwith = { file = \"inner.toml\", params = { n = \"many\" } }\n",
    ),
    (
        "W125",
        "[workflow]\nname = \"w\"\n[pools]\nencode = 3\n[nodes.a]\nstage = \"workflow\"\nwith = { file = \"inner.toml\", params = { n = 1 } }\n",
    ),
    (
        "W140",
        "[workflow]\nname = \"w\"\n[params]\nlist = \"list<string>\"\n[nodes.a]\nstage = \"workflow\"\nfor_each = \"params.list\"\nwith = { file = \"fan.toml\" }\n",
    ),
    ("W141", "[workflow]\nname = \"w\"\n[types.T]\nschema = \"t.json\"\n"),
    (
        "W151",
        "[workflow]\nname = \"w\"\n[nodes.a]\nstage = \"command\"\nwith = { argv = [\"no-such-program\"] }\n",
    ),
];

/// What stands beside those files.
const INNER: &str = "[workflow]\nname = \"inner\"\n[params]\nn = { type = \"integer\" }\n[pools]\nencode = 2\n[nodes.b]\nstage = \"noop\"\npool = \"encode\"\n";

const FAN: &str = "[workflow]\nname = \"fan\"\n[nodes.l]\nstage = \"value\"\nwith = { value = [\"x\"] }\noutputs = { l = \"list<string>\" }\n[nodes.b]\nstage = \"noop\"\nfor_each = \"l.l\"\n";

fn told(text: &str) -> Done {
    let place = Place::new();
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    place.write("flow.toml", &text.replace("DEEP", &deep));
    place.write("inner.toml", INNER);
    place.write("fan.toml", FAN);
    place.write("t.json", "{\"type\": \"no such type\"}");
    place.flow(&["validate", "flow.toml"])
}

#[test]
fn every_fault_of_a_file_is_told_with_its_place_and_the_way_out() {
    let mut all = String::new();
    let pages = pages();
    let examples = pages.iter().filter_map(|page| {
        let shown = block(page["text"].as_str()?, "## Example")?;
        Some((page["code"].as_str()?.to_owned(), file(shown)))
    });
    let own = FILES.iter().map(|(code, text)| ((*code).to_owned(), (*text).to_owned()));
    for (code, text) in examples.chain(own) {
        let done = told(&text);
        assert!(done.stderr.contains(&format!("[{code}]")), "{code}: {done}");
        write!(all, "==== {code}\n{done}\n").unwrap();
    }
    assert_snapshot!(all);
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_told() {
    let place = Place::new();
    std::fs::write(place.path("flow.toml"), b"[workflow]\nname = \"caf\xe9\"\n").unwrap();
    assert_snapshot!(place.flow(&["validate", "flow.toml"]).exits(3), @r#"
    exit: 3
    --- stderr
    error[W001]: the file is not UTF-8 text
     --> flow.toml:2:12
      |
    2 | name = "caf�"
      |  ^ byte 0xe9 at offset 22 begins no character
      |
      = help: save the file with the encoding UTF-8

    error: flow.toml is not valid: 1 fault
    "#);
    let large = std::fs::File::create(place.path("flow.toml")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    assert_snapshot!(place.flow(&["validate", "flow.toml"]).exits(3), @r"
    exit: 3
    --- stderr
    error[W002]: the file is larger than 64 MiB
    --> flow.toml
     = help: a workflow file describes the work; keep data in files of its own and bind them as parameters of type `file`

    error: flow.toml is not valid: 1 fault
    ");
}

/// What only a definition made in Rust can have: the loader of files refuses it before.
#[test]
fn faults_of_definitions_that_were_made_in_rust_are_told() {
    let text =
        "[workflow]\nname = \"w\"\n[nodes.a]\nstage = \"command\"\nwith = { argv = [\"true\"] }\n";
    let loaded = flow_workflows::parse("flow.toml", text, "/".into());
    let mut definition = loaded.definition.unwrap();
    definition.timezone = Some(spanned("Mars/Base"));
    definition.nodes["a"].uses.push(spanned("../x.py"));
    let catalog = flow_stages::catalog(flow_stages::process::Spawner::new());
    let faults = flow_core::graph::check(&definition, &catalog).err().unwrap();
    let faults = faults.iter().map(|f| {
        format!(
            "error[{}]: {}\n  = help: {}\n",
            f.code,
            f.message,
            f.help.as_deref().unwrap_or_default()
        )
    });
    assert_snapshot!(faults.collect::<String>(), @r#"
    error[W122]: `../x.py` is not below the workflow file's folder
      = help: `uses` names files and folders beside the workflow file, without `..`
    error[W121]: there is no time zone `Mars/Base`
      = help: use a name of the IANA database, such as America/New_York or UTC
    "#);
}

fn spanned(text: &str) -> flow_core::definition::Spanned<String> {
    flow_core::definition::Spanned { value: text.to_owned(), span: 0..0 }
}

/// A server that answers with the status that the path names.
struct Answers;

impl Api for Answers {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        match asked.path.trim_start_matches('/').parse() {
            Ok(status) => Reply::empty(status),
            Err(_) => Reply::json(200, &json!({ "a": 1 })),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        Reply::empty(status)
    }
}

/// A node that fails, by the code of its failure.
const NODES: &[(&str, &str)] = &[
    ("E0101", "stage = \"command\"\ntimeout = \"50ms\"\nwith = { argv = [\"sleep\", \"600\"] }\n"),
    (
        "E0102",
        "stage = \"http\"\nwith = { url = \"http://127.0.0.1:1/\" }\noutputs = { body = \"json\" }\n",
    ),
    ("E0103", "stage = \"http\"\nwith = { url = \"URL/429\" }\noutputs = { body = \"json\" }\n"),
    ("E0104", "stage = \"http\"\nwith = { url = \"URL/503\" }\noutputs = { body = \"json\" }\n"),
    ("E0105", "stage = \"http\"\nwith = { url = \"URL/html\" }\noutputs = { body = \"json\" }\n"),
    (
        "E0201",
        "stage = \"value\"\nwith = { value = \"{{ params.n }}\" }\noutputs = { x = \"string\" }\n",
    ),
    ("E0202", "stage = \"command\"\nwith = { argv = [\"no-such-program\"] }\n"),
    (
        "E0203",
        "stage = \"http\"\nwith = { url = \"{{ params.scheme }}://x/\" }\noutputs = { body = \"json\" }\n",
    ),
    ("E0204", "stage = \"command\"\nwith = { shell = \"echo it broke >&2; exit 3\" }\n"),
    ("E0205", "stage = \"http\"\nwith = { url = \"URL/401\" }\noutputs = { body = \"json\" }\n"),
    ("E0209", "stage = \"http\"\nwith = { url = \"URL/404\" }\noutputs = { body = \"json\" }\n"),
];

#[test]
fn every_failure_of_a_node_is_told_with_its_cause_and_the_way_on() {
    let server = Server::start(Answers);
    let place = Place::new();
    let mut all = String::new();
    for (code, node) in NODES {
        let node = node.replace("URL", &server.url());
        let params = "n = { type = \"json\", default = 5 }\nscheme = { type = \"string\", default = \"ftp\" }\n";
        place.write(
            "flow.toml",
            &format!("[workflow]\nname = \"w\"\n[params]\n{params}[defaults]\nretry = {{ attempts = 1 }}\n[nodes.a]\n{node}"),
        );
        server.order((*code == "E0105").then_some(Some(Trouble::Html)));
        let done = place.flow(&["run", "flow.toml", "-q", "--run-id", code]).exits(1);
        assert!(done.stderr.contains(&format!("[{code}]")), "{code}: {done}");
        write!(all, "==== {code}\n{}\n", pathless(&done).replace(&server.url(), "URL")).unwrap();
    }
    let ports = Regex::new(r"127\.0\.0\.1:\d{2,}").unwrap();
    assert_snapshot!(steady(
        &ports.replace_all(&all, "127.0.0.1:[port]"),
        Path::new("/no-such-folder")
    ));
}

#[test]
fn a_no_is_told_with_who_said_it() {
    let place = Place::with("[nodes.a]\nstage = \"approve\"\nwith = { message = \"Post it?\" }\n");
    place.flow(&["run", "flow.toml", "--no-wait", "--run-id", "one"]).exits(7);
    place.flow(&["approve", "one", "a", "--reject", "--comment", "too long"]).exits(0);
    let done = place.flow(&["resume", "one", "-q"]).exits(1);
    let who = Regex::new("answer: .* said").unwrap();
    assert_snapshot!(who.replace(&done.to_string(), "answer: [who] said"), @r#"
    exit: 1
    --- stderr

    ✘ a attempt 1 failed: rejected [E0208]
      wait for an answer: [who] said no: too long
      help:  to go on after a no, read the decision: inputs = { decision = "NODE.decision" } and `when`
      next:  flow resume one

    run one failed: 1 failed in [took]
    "#);
}

/// A snapshot that stands in the text of a test.
static INLINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r##"(?s)@r?(#*)".*?"#*\)"##).unwrap());

/// All texts in which a snapshot can stand.
fn snapshots(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            snapshots(&path, found);
        } else if name.ends_with(".snap") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            INLINE.find_iter(&text).for_each(|snapshot| found.push_str(snapshot.as_str()));
        }
    }
}

#[test]
fn no_code_is_without_a_snapshot_of_what_is_told() {
    let mut found = String::new();
    snapshots(Path::new(env!("CARGO_MANIFEST_DIR")), &mut found);
    let pages = pages();
    let codes: BTreeSet<&str> = pages.iter().filter_map(|page| page["code"].as_str()).collect();
    let missing: Vec<&&str> =
        codes.iter().filter(|code| !found.contains(&format!("[{code}]"))).collect();
    assert!(missing.is_empty(), "these have no snapshot: {missing:?}");
}
