//! Mistakes that beginners make: what is said of each must be enough to mend it.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::harness::Place;

/// Workflow files with one mistake each, below a head with a name.
const FILES: &[(&str, &str)] = &[
    ("a quote is missing", "[nodes.a]\nstage = \"command\nwith = { argv = [\"true\"] }\n"),
    ("fields without `.fields`", "[types.P]\nplayer = \"string\"\n"),
    (
        "a table of the node stands on its own",
        "[nodes.a]\nstage = \"command\"\n[with]\nargv = [\"true\"]\n",
    ),
    ("`depends`", "[nodes.a]\nstage = \"noop\"\n[nodes.b]\nstage = \"noop\"\ndepends = [\"a\"]\n"),
    ("`needs`", "[nodes.a]\nstage = \"noop\"\n[nodes.b]\nstage = \"noop\"\nneeds = [\"a\"]\n"),
    (
        "a loop in a template",
        "[nodes.a]\nstage = \"command\"\nwith = { shell = \"{% for x in y %}echo{% endfor %}\" }\n",
    ),
    ("a stage misspelt", "[nodes.a]\nstage = \"comand\"\nwith = { argv = [\"true\"] }\n"),
    (
        "a port misspelt",
        "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\noutputs = { number = \"integer\" }\n[nodes.b]\nstage = \"jq\"\ninputs = { n = \"a.nubmer\" }\nwith = { filter = \".\" }\noutputs = { out = \"integer\" }\n",
    ),
    (
        "outputs without types",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\"] }\noutputs = [\"text\"]\n",
    ),
    (
        "outputs forgotten",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"1\"] }\n[nodes.b]\nstage = \"jq\"\ninputs = { n = \"a.number\" }\nwith = { filter = \".\" }\noutputs = { out = \"integer\" }\n",
    ),
    (
        "types of other languages",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\"] }\noutputs = { t = \"str\", l = \"string[]\" }\n",
    ),
    (
        "a script without `uses`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"python3\", \"scripts/make.py\"] }\n",
    ),
    (
        "a command line as `argv`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = \"echo hello\" }\n",
    ),
    (
        "`for_each` over a text",
        "[nodes.a]\nstage = \"value\"\nwith = { value = \"x\" }\noutputs = { out = \"string\" }\n[nodes.b]\nstage = \"noop\"\nfor_each = \"a.out\"\n",
    ),
    ("a duration without a unit", "[nodes.a]\nstage = \"noop\"\ntimeout = \"60\"\n"),
    ("no attempt at all", "[nodes.a]\nstage = \"noop\"\nretry = { attempts = 0 }\n"),
    ("a number of retries", "[nodes.a]\nstage = \"noop\"\nretry = 3\n"),
    ("a number in quotes as a default", "[params]\nn = { type = \"integer\", default = \"5\" }\n"),
    (
        "nodes in a circle",
        "[nodes.a]\nstage = \"noop\"\nafter = [\"b\"]\n[nodes.b]\nstage = \"noop\"\nafter = [\"a\"]\n",
    ),
    (
        "a parameter misspelt",
        "[params]\nwho = { type = \"string\", default = \"x\" }\n[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ params.whom }}\"] }\n",
    ),
    (
        "a secret misspelt",
        "[secrets]\napi_key = { env = \"API_KEY\" }\n[nodes.a]\nstage = \"command\"\nwith = { shell = \"true\", env = { K = \"{{ secrets.api_kye }}\" } }\n",
    ),
    ("a pool misspelt", "[pools]\nencode = 2\n[nodes.a]\nstage = \"noop\"\npool = \"encoder\"\n"),
    (
        "a condition in braces",
        "[params]\nx = { type = \"boolean\", default = true }\n[nodes.a]\nstage = \"noop\"\nwhen = \"{{ params.x }}\"\n",
    ),
];

/// Whole files that are no workflow file.
const WHOLE: &[(&str, &str)] = &[
    ("JSON instead of TOML", "{\n  \"workflow\": {\"name\": \"w\"},\n  \"nodes\": {}\n}\n"),
    ("YAML instead of TOML", "# daily\nworkflow:\n  name: w\nnodes:\n  a:\n    stage: noop\n"),
    ("no [workflow] table", "name = \"w\"\n[nodes.a]\nstage = \"noop\"\n"),
    (
        "tabs and Windows line ends",
        "[workflow]\r\nname = \"w\"\r\n[nodes.a]\r\n\tstage = \"comand\"\r\n",
    ),
];

/// Command lines with one mistake each, where a run `monday` of `flow.toml` is.
const COMMANDS: &[&[&str]] = &[
    &["run", "flow.tml"],
    &["run", "."],
    &["run", "gone/flow.toml"],
    &["run", "flow.toml", "--param", "n=many"],
    &["run", "flow.toml", "--param", "m=1"],
    &["run", "flow.toml", "--only", "gret"],
    &["run", "flow.toml", "--run-id", "monday"],
    &["show", "mondya"],
    &["show", "monday", "gret"],
    &["output", "monday", "greet.txt"],
    &["resume", "flow.toml"],
];

/// What a command says of a mistake.
fn said(place: &Place, what: &str, args: &[&str], all: &mut String) {
    let done = place.flow(args);
    assert!(
        done.stderr.contains("help")
            || done.stderr.contains("allowed")
            || done.stderr.contains("expected"),
        "{what}: {done}"
    );
    writeln!(all, "## {what}\n{done}\n").unwrap();
}

#[test]
fn what_is_said_of_a_mistake_in_a_file_is_enough_to_mend_it() {
    let mut all = String::new();
    for (what, body) in FILES {
        let place = Place::with(body);
        said(&place, what, &["validate", "flow.toml"], &mut all);
    }
    for (what, text) in WHOLE {
        let place = Place::new();
        place.write("flow.toml", text);
        said(&place, what, &["validate", "flow.toml"], &mut all);
    }
    assert_snapshot!("files", all);
}

#[test]
fn what_is_said_of_a_mistake_on_the_command_line_is_enough_to_mend_it() {
    let place = Place::with(
        "[params]\nn = { type = \"integer\", default = 5 }\n[nodes.greet]\nstage = \"value\"\nwith = { value = \"hi\" }\noutputs = { text = \"string\" }\n",
    );
    place.flow(&["run", "flow.toml", "--run-id", "monday"]).exits(0);
    let mut all = String::new();
    for args in COMMANDS {
        said(&place, &format!("flow {}", args.join(" ")), args, &mut all);
    }
    let empty = Place::new();
    said(&empty, "the wrong folder", &["show", "latest"], &mut all);
    said(&empty, "no file at all", &["run", "flow.toml"], &mut all);
    assert_snapshot!("commands", all);
}

#[test]
fn what_a_run_lacks_or_misreads_is_told_with_the_way_out() {
    let place = Place::with(
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"cat\", \"x\", \"|\", \"sort\"] }\n",
    );
    let done = place.flow(&["run", "flow.toml"]).exits(1);
    assert!(done.stderr.contains("`|` in `argv` is an argument like any other"), "{done}");
    let place = Place::with(
        "[secrets]\nkey = { env = \"NOT_SET_ANYWHERE\" }\n[nodes.a]\nstage = \"command\"\nwith = { shell = \"true\", env = { K = \"{{ secrets.key }}\" } }\n",
    );
    let done = place.flow(&["run", "flow.toml"]).exits(1);
    assert!(done.stderr.contains("export NOT_SET_ANYWHERE=…"), "{done}");
}
