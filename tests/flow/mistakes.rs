//! Mistakes that beginners make: what is said of each names the thing, the place and the way out.

use super::harness::Place;

/// Workflow files with one mistake each, below a head with a name: code, place, and the way out.
const FILES: &[(&str, &str, &[&str])] = &[
    (
        "a quote is missing",
        "[nodes.a]\nstage = \"command\nwith = { argv = [\"true\"] }\n",
        &["W003", "4:17", "close the text with the quote that opened it"],
    ),
    (
        "fields without `.fields`",
        "[types.P]\nplayer = \"string\"\n",
        &["W022", "write [types.P.fields]"],
    ),
    (
        "a table of the node stands on its own",
        "[nodes.a]\nstage = \"command\"\n[with]\nargv = [\"true\"]\n",
        &["W010", "`with` belongs to a node: write it below [nodes.NAME]"],
    ),
    (
        "`depends`",
        "[nodes.a]\nstage = \"noop\"\n[nodes.b]\nstage = \"noop\"\ndepends = [\"a\"]\n",
        &["W010", "7:1", "write after = [\"a\"] for order alone"],
    ),
    (
        "`needs`",
        "[nodes.a]\nstage = \"noop\"\n[nodes.b]\nstage = \"noop\"\nneeds = [\"a\"]\n",
        &["W010", "write after = [\"a\"] for order alone"],
    ),
    (
        "a loop in a template",
        "[nodes.a]\nstage = \"command\"\nwith = { shell = \"{% for x in y %}echo{% endfor %}\" }\n",
        &["W033", "use `for_each`"],
    ),
    (
        "a stage misspelt",
        "[nodes.a]\nstage = \"comand\"\nwith = { argv = [\"true\"] }\n",
        &["W101", "did you mean `command`?"],
    ),
    (
        "a port misspelt",
        "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\noutputs = { number = \"integer\" }\n[nodes.b]\nstage = \"jq\"\ninputs = { n = \"a.nubmer\" }\nwith = { filter = \".\" }\noutputs = { out = \"integer\" }\n",
        &["W103", "did you mean `a.number`?"],
    ),
    (
        "outputs without types",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\"] }\noutputs = [\"text\"]\n",
        &["W011", "write outputs = { PORT = \"json\" }"],
    ),
    (
        "outputs forgotten",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"1\"] }\n[nodes.b]\nstage = \"jq\"\ninputs = { n = \"a.number\" }\nwith = { filter = \".\" }\noutputs = { out = \"integer\" }\n",
        &["W103", "declare them under its `outputs`"],
    ),
    (
        "types of other languages",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\"] }\noutputs = { t = \"str\", l = \"string[]\" }\n",
        &["W016", "write \"string\"", "write \"list<string>\""],
    ),
    (
        "a script without `uses`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"python3\", \"scripts/make.py\"] }\n",
        &["W117", "uses = [\"scripts/make.py\"]"],
    ),
    (
        "a command line as `argv`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = \"echo hello\" }\n",
        &["W113", "(or use `shell`)"],
    ),
    (
        "`for_each` over a text",
        "[nodes.a]\nstage = \"value\"\nwith = { value = \"x\" }\noutputs = { out = \"string\" }\n[nodes.b]\nstage = \"noop\"\nfor_each = \"a.out\"\n",
        &["W119", "`a.out` is `string`", "declare the output as list<…>"],
    ),
    (
        "a duration without a unit",
        "[nodes.a]\nstage = \"noop\"\ntimeout = \"60\"\n",
        &["W023", "\"60s\""],
    ),
    (
        "no attempt at all",
        "[nodes.a]\nstage = \"noop\"\nretry = { attempts = 0 }\n",
        &["W024", "1 to 1000 is allowed"],
    ),
    (
        "a number of retries",
        "[nodes.a]\nstage = \"noop\"\nretry = 3\n",
        &["W011", "write retry = { attempts = 3 }"],
    ),
    (
        "a number in quotes as a default",
        "[params]\nn = { type = \"integer\", default = \"5\" }\n",
        &["W019", "expected an integer, found the string \"5\""],
    ),
    (
        "nodes in a circle",
        "[nodes.a]\nstage = \"noop\"\nafter = [\"b\"]\n[nodes.b]\nstage = \"noop\"\nafter = [\"a\"]\n",
        &["W108", "a → b → a", "take one of these edges out"],
    ),
    (
        "a parameter misspelt",
        "[params]\nwho = { type = \"string\", default = \"x\" }\n[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ params.whom }}\"] }\n",
        &["W124", "did you mean `who`?"],
    ),
    (
        "a secret misspelt",
        "[secrets]\napi_key = { env = \"API_KEY\" }\n[nodes.a]\nstage = \"command\"\nwith = { shell = \"true\", env = { K = \"{{ secrets.api_kye }}\" } }\n",
        &["W126", "did you mean `secrets.api_key`?"],
    ),
    (
        "a pool misspelt",
        "[pools]\nencode = 2\n[nodes.a]\nstage = \"noop\"\npool = \"encoder\"\n",
        &["W126", "did you mean `encode`?"],
    ),
    (
        "a condition in braces",
        "[params]\nx = { type = \"boolean\", default = true }\n[nodes.a]\nstage = \"noop\"\nwhen = \"{{ params.x }}\"\n",
        &["W028", "when = \"params.x\""],
    ),
];

/// Whole files that are no workflow file.
const WHOLE: &[(&str, &str, &[&str])] = &[
    (
        "JSON instead of TOML",
        "{\n  \"workflow\": {\"name\": \"w\"},\n  \"nodes\": {}\n}\n",
        &["this is JSON, and a workflow file is TOML", "`flow init`", "1 fault\n"],
    ),
    (
        "YAML instead of TOML",
        "# daily\nworkflow:\n  name: w\nnodes:\n  a:\n    stage: noop\n",
        &["this is YAML, and a workflow file is TOML", "1 fault\n"],
    ),
    (
        "no [workflow] table",
        "name = \"w\"\n[nodes.a]\nstage = \"noop\"\n",
        &["write `name` below [workflow]"],
    ),
    (
        "tabs and Windows line ends",
        "[workflow]\r\nname = \"w\"\r\n[nodes.a]\r\n\tstage = \"comand\"\r\n",
        &["4:10", "did you mean `command`?"],
    ),
];

/// Command lines with one mistake each, where a run `monday` of `flow.toml` is.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (&["run", "flow.tml"], &["did you mean `flow.toml`?"]),
    (&["run", "."], &["name a file in that folder", "flow.toml"]),
    (&["run", "gone/flow.toml"], &["there is no folder gone"]),
    (&["run", "flow.toml", "--param", "n=many"], &["expected an integer", "\"many\""]),
    (&["run", "flow.toml", "--param", "nn=1"], &["did you mean `n`?"]),
    (&["run", "flow.toml", "--only", "gret"], &["did you mean `greet`?"]),
    (&["run", "flow.toml", "--run-id", "monday"], &["flow resume monday"]),
    (&["show", "mondya"], &["near it: monday"]),
    (&["show", "monday", "gret"], &["did you mean `greet`?"]),
    (&["output", "monday", "greet.txt"], &["its outputs are text"]),
    (&["resume", "flow.toml"], &["start that file with: flow run flow.toml"]),
];

/// Holds what a command says to what it must say.
fn says(place: &Place, what: &str, args: &[&str], expected: &[&str]) {
    let done = place.flow(args);
    for part in expected {
        assert!(done.stderr.contains(part), "{what} should be told with: {part}\n{done}");
    }
}

#[test]
fn what_is_said_of_a_mistake_in_a_file_is_enough_to_mend_it() {
    for (what, body, expected) in FILES {
        says(&Place::with(body), what, &["validate", "flow.toml"], expected);
    }
    for (what, text, expected) in WHOLE {
        let place = Place::new();
        place.write("flow.toml", text);
        says(&place, what, &["validate", "flow.toml"], expected);
    }
}

#[test]
fn what_is_said_of_a_mistake_on_the_command_line_is_enough_to_mend_it() {
    let place = Place::with(
        "[params]\nn = { type = \"integer\", default = 5 }\n[nodes.greet]\nstage = \"value\"\nwith = { value = \"hi\" }\noutputs = { text = \"string\" }\n",
    );
    place.flow(&["run", "flow.toml", "--run-id", "monday"]).exits(0);
    for (args, expected) in COMMANDS {
        says(&place, &args.join(" "), args, expected);
    }
    let empty = Place::new();
    says(
        &empty,
        "the wrong folder",
        &["show", "latest"],
        &["go to the folder where the run was started"],
    );
    says(
        &empty,
        "no file at all",
        &["run", "flow.toml"],
        &["make a starter project with: flow init"],
    );
}

#[test]
fn a_secret_that_is_not_set_is_told_with_the_way_out() {
    let place = Place::with(
        "[secrets]\nkey = { env = \"NOT_SET_ANYWHERE\" }\n[nodes.a]\nstage = \"command\"\nwith = { shell = \"true\", env = { K = \"{{ secrets.key }}\" } }\n",
    );
    let done = place.flow(&["run", "flow.toml"]).exits(1);
    assert!(done.stderr.contains("export NOT_SET_ANYWHERE=…"), "{done}");
}
