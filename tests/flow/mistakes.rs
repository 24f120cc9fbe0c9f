//! Mistakes that beginners make: what is said of each names the thing, the place and the way out.

use insta::assert_snapshot;

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
        &["W024", "1 to 1000 is allowed", "attempts = 1 tries once"],
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
    (
        "a pipe in `argv`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"cat\", \"x.txt\", \"|\", \"sort\"] }\n",
        &["W130", "5:34", "`argv` has no shell", "use `shell`"],
    ),
    (
        "a redirection in `argv`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"hi\", \">\", \"out.txt\"] }\n",
        &["W130", "`>` goes to the program as it stands"],
    ),
    (
        "`cd` and `&&` in `argv`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"cd\", \"lib\", \"&&\", \"make\"] }\n",
        &["`cd` is a word of the shell", "`&&` goes to the program"],
    ),
    (
        "a variable of the shell in `argv`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"$HOME\"] }\n",
        &["W130", "write {{ env.HOME }}"],
    ),
    (
        "a pattern in `argv`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"ls\", \"data/*.txt\"] }\n",
        &["W130", "`data/*.txt` goes to the program as it stands"],
    ),
    (
        "a home folder in `argv`",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"ls\", \"~/data\"] }\n",
        &["W130", "write \"{{ env.HOME }}/data\""],
    ),
    (
        "a whole line as the program",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo hello\"] }\n",
        &["W130", "argv = [\"echo\", \"hello\"]"],
    ),
    (
        "templates of GitHub Actions",
        "[params]\nx = { type = \"string\", default = \"1\" }\n[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"${{ params.x }}\"] }\n",
        &["W130", "write {{ params.x }}"],
    ),
    (
        "a parameter as a variable of the shell",
        "[params]\nx = { type = \"string\", default = \"1\" }\n[nodes.a]\nstage = \"command\"\nwith = { shell = \"echo $x\" }\n",
        &["W130", "`$x` is not `params.x`", "write {{ params.x }}"],
    ),
    (
        "templates with one brace",
        "[params]\nx = { type = \"string\", default = \"1\" }\n[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{params.x}\"] }\n",
        &["W130", "templates have two braces"],
    ),
    (
        "`cmd` in `with`",
        "[nodes.a]\nstage = \"command\"\nwith = { cmd = \"echo hi\" }\n",
        &["W111", "write shell = "],
    ),
    (
        "`env` beside `with`",
        "[nodes.a]\nstage = \"command\"\nenv = { A = \"1\" }\nwith = { argv = [\"env\"] }\n",
        &["W010", "env = { NAME = \"value\" }"],
    ),
    (
        "`env` as a list",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"env\"], env = [\"A=1\"] }\n",
        &["W113", "write { NAME = \"value\" }"],
    ),
    (
        "backslashes of Windows",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"type\", \"C:\\data\"] }\n",
        &["W003", "write a backslash twice"],
    ),
    (
        "yes in the place of true",
        "[nodes.a]\nstage = \"noop\"\noptional = \"yes\"\n",
        &["W011", "write optional = true"],
    ),
    (
        "the outputs of steps",
        "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\noutputs = { n = \"integer\" }\n[nodes.b]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ steps.a.outputs.n }}\"] }\n",
        &["W115", "bind the other node's output as an input"],
    ),
    (
        "keys of Snakemake and Airflow",
        "[nodes.a]\nstage = \"command\"\ninput = \"a.txt\"\nthreads = 2\nbash_command = \"echo\"\n",
        &["write inputs = { PORT", "a pool limits", "write stage = "],
    ),
    (
        "a node twice",
        "[nodes.a]\nstage = \"noop\"\n[nodes.a]\nstage = \"noop\"\n",
        &["W004", "keep one of the two"],
    ),
    (
        "a text as an input",
        "[nodes.a]\nstage = \"noop\"\ninputs = { name = \"bob\" }\n",
        &["W102", "a fixed value stands in `with`"],
    ),
    (
        "a timeout as a number",
        "[nodes.a]\nstage = \"noop\"\ntimeout = 60\n",
        &["W011", "give it a unit: timeout = \"60s\""],
    ),
    (
        "a reference with `nodes`",
        "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\noutputs = { n = \"integer\" }\n[nodes.b]\nstage = \"jq\"\ninputs = { n = \"nodes.a.n\" }\nwith = { filter = \".\" }\noutputs = { out = \"integer\" }\n",
        &["W102", "begins with the node: NODE.PORT"],
    ),
    (
        "a reference with `outputs`",
        "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\noutputs = { n = \"integer\" }\n[nodes.b]\nstage = \"jq\"\ninputs = { n = \"a.outputs.n\" }\nwith = { filter = \".\" }\noutputs = { out = \"integer\" }\n",
        &["W103", "leave `outputs` out: `a.n`"],
    ),
    (
        "a port in `after`",
        "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\noutputs = { n = \"integer\" }\n[nodes.b]\nstage = \"noop\"\nafter = [\"a.n\"]\n",
        &["W102", "write the node alone: \"a\""],
    ),
    (
        "generic types of other languages",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\"] }\noutputs = { o = \"optional<str>\", l = \"array<string>\" }\n",
        &["W016", "write \"string?\"", "write \"list<string>\""],
    ),
    (
        "no address to ask",
        "[nodes.a]\nstage = \"http\"\nwith = { method = \"GET\" }\noutputs = { body = \"json\" }\n",
        &["W112", "needs `with.url`", "without credentials in it; for example"],
    ),
    (
        "a file beside the workflow, read by a shell",
        "[nodes.a]\nstage = \"command\"\nwith = { shell = \"sort <flow.toml >./out.txt; cat './flow.toml'\" }\n",
        &["W130", "`flow.toml` is beside the workflow file", "uses = [\"flow.toml\"]"],
    ),
    (
        "a file beside the workflow, read by a program",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"sort\", \"./flow.toml\"] }\n",
        &["W130", "uses = [\"flow.toml\"]"],
    ),
];

/// Nodes that fail by one mistake each, and what is said of that.
const RUNS: &[(&str, &str, &[&str])] = &[
    (
        "words for people among JSON",
        "[nodes.a]\nstage = \"command\"\nwith = { shell = \"echo starting; echo '{}'\" }\noutputs = { o = \"json\" }\n",
        &["not acceptable JSON", "`starting\\n{}\\n` at byte 0", "words for people go to stderr"],
    ),
    (
        "a text where a number is declared",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"hello\"] }\noutputs = { n = \"integer\" }\n",
        &["expected  integer", "declare another type, such as \"string\""],
    ),
    (
        "outputs that nobody writes",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"true\"] }\noutputs = { o = \"string\", p = \"string\" }\n",
        &[
            "looked for `$FLOW_OUTPUTS/o` and `$FLOW_OUTPUTS/o.json`",
            "write it to `$FLOW_OUTPUTS/o`",
        ],
    ),
    (
        "a variable that is not set",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ env.NOT_SET_ANYWHERE }}\"] }\n",
        &["`env.NOT_SET_ANYWHERE` is not defined", "{{ … | default('…') }}"],
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
    (&["flow.toml"], &["run that file with 'flow run flow.toml'"]),
    (&["list"], &["'flow runs' lists the runs"]),
    (&["status", "monday"], &["'flow show RUN' tells how a run stands"]),
    (&["retry", "monday"], &["'flow resume RUN' goes on with a run"]),
    (&["help"], &["'flow --help' lists the commands"]),
    (&["run", "flow.toml", "n=1"], &["a parameter is set with '--param n=1'"]),
    (&["run", "flow.toml", "--dry-run"], &["'flow plan FILE' tells what a run would do"]),
    (&["gc", "--dry"], &["--dry-run"]),
    (&["run", "flow.toml", "-j", "4"], &["write '--max-parallel N'"]),
];

/// Holds what a command says to what it must say.
fn says(place: &Place, what: &str, args: &[&str], expected: &[&str]) -> String {
    let done = place.flow(args);
    for part in expected {
        assert!(done.stderr.contains(part), "{what} should be told with: {part}\n{done}");
    }
    format!("==== {what}\n{done}\n")
}

#[test]
fn what_is_said_of_a_mistake_in_a_file_is_enough_to_mend_it() {
    let mut told = String::new();
    for (what, body, expected) in FILES {
        told += &says(&Place::with(body), what, &["validate", "flow.toml"], expected);
    }
    for (what, text, expected) in WHOLE {
        let place = Place::new();
        place.write("flow.toml", text);
        told += &says(&place, what, &["validate", "flow.toml"], expected);
    }
    assert_snapshot!(told);
}

#[test]
fn what_is_said_of_a_mistake_that_fails_a_run_is_enough_to_mend_it() {
    for (what, body, expected) in RUNS {
        says(&Place::with(body), what, &["run", "flow.toml"], expected);
    }
}

#[test]
fn what_is_said_of_a_mistake_on_the_command_line_is_enough_to_mend_it() {
    let place = Place::with(
        "[params]\nn = { type = \"integer\", default = 5 }\n[nodes.greet]\nstage = \"value\"\nwith = { value = \"hi\" }\noutputs = { text = \"string\" }\n",
    );
    place.flow(&["run", "flow.toml", "--run-id", "monday"]).exits(0);
    let mut told = String::new();
    for (args, expected) in COMMANDS {
        told += &says(&place, &args.join(" "), args, expected);
    }
    let empty = Place::new();
    told += &says(
        &empty,
        "the wrong folder",
        &["show", "latest"],
        &["go to the folder where the run was started"],
    );
    told += &says(
        &empty,
        "no file at all",
        &["run", "flow.toml"],
        &["make a starter project with: flow init"],
    );
    assert_snapshot!(told);
}

#[test]
fn a_secret_that_is_not_set_is_told_with_the_way_out() {
    let place = Place::with(
        "[secrets]\nkey = { env = \"NOT_SET_ANYWHERE\" }\n[nodes.a]\nstage = \"command\"\nwith = { shell = \"true\", env = { K = \"{{ secrets.key }}\" } }\n",
    );
    let done = place.flow(&["run", "flow.toml"]).exits(1);
    assert!(done.stderr.contains("export NOT_SET_ANYWHERE=…"), "{done}");
}
