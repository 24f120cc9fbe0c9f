//! Broken files: each row is a small file, the snapshot is everything that is told of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{HEAD, parse, plain};
use crate::codes;

/// Name of the case and the file below `[workflow]`.
const BELOW_HEAD: &[(&str, &str)] = &[
    ("duplicate key", "max_parallel = 1\nmax_parallel = 2"),
    ("duplicate node", "[nodes.a]\nstage = \"noop\"\n[nodes.a]\nstage = \"noop\""),
    ("value missing", "deadline =\n[nodes.a]\nstage = \"noop\"\nwehn = \"true\""),
    ("text without quotes", "[nodes.a]\nstage = noop\nwith = { a = b }"),
    ("key with a space", "na me = 1\n[nodes.a]\nstage = 1"),
    ("yaml colon", "[nodes.a]\nstage: noop\nkey = 1"),
    (
        "unclosed list",
        "[nodes.a]\nstage = \"command\"\nafter = [\"b\"\nwhen = \"true\"\n[nodes.b]\nstage = \"noop\"",
    ),
    (
        "unclosed inline table",
        "[nodes.a]\nstage = \"noop\"\nwith = { a = 1\n[nodes.b]\nstage = \"noop\"",
    ),
    ("list with a wrong end", "[nodes.a]\nwith = { a = [1, 2 }\nwhen = 5"),
    ("escapes and quotes", "[nodes.a]\nstage = \"no\\qop\"\nwhen = 'it's'\nkey = \"a\" after = 1"),
    ("unclosed text", "[nodes.a]\nstage = \"noop\nwhen = \"true\""),
    ("unclosed header", "[nodes.a\nstage = \"noop\""),
    ("unclosed long text", "[nodes.a]\nwhen = '''\nx"),
    ("non-ascii bare key", "[nodes]\né.stage = \"noop\""),
    ("bare carriage return", "deadline = \"1h\"\rfail_fast = true"),
    ("impossible date", "[nodes.a]\nstage = \"value\"\nwith.value = 2025-13-01"),
    ("integer overflow", "[nodes.a]\nstage = \"value\"\nwith.value = [1, 9223372036854775808]"),
    (
        "not finite",
        "[nodes.a]\nstage = \"value\"\nwith = { a = nan, b = [-inf], c = 1e999 }\nmin_success = nan\nfor_each = \"b\"",
    ),
    (
        "unknown keys",
        "max_paralel = 2\nx = 1\n[nodes.a]\nstage = \"noop\"\nfor_eech = \"b\"\nsomething = 1\n[param]\n[defaults]\ntimeouts = \"1s\"\n[banana]",
    ),
    ("later keys", "[schedule]\ncron = \"0 6 * * *\""),
    ("schema that cannot be read", "[types.Slate]\nschema = \"s.json\""),
    (
        "pools, rates and secrets",
        "[pools]\na-b = 2\nfull = 0\ntext = \"2\"\n[rates]\nr = \"60\"\ns = \"0/min\"\nt = 5\n[secrets]\na = \"hunter2\"\nb = {}\nc = { env = \"A\", file = \"b\" }\nd = { env = \"$A\" }\ne = { value = \"x\" }",
    ),
    (
        "policies of a node",
        "[defaults]\ncache = \"0s\"\n[nodes.a]\nstage = \"noop\"\ncache = true\neffect = \"yes\"\noptional = \"true\"\nfallback = { stage = \"noop\" }\nalways = 1\n[nodes.b]\nstage = \"noop\"\neffect = { idempotency_key = \"x\", probe = \"p\" }\nfallback = [ { with = {} }, 1, { stage = \"noop\", inputs = {} } ]\npool = 2\nrate = \"\"",
    ),
    (
        "dependencies of other tools",
        "[nodes.a]\nstage = \"noop\"\ndepends = \"b\"\nneeds = [\"b\", \"c\"]\ndependencies = []\ndepends_on = \"b\"",
    ),
    (
        "fan-out of other tools",
        "[nodes.a]\nstage = \"noop\"\nwithItems = []\nwith_items = []\nforeach = \"b\"\nmatrix = {}",
    ),
    (
        "commands of other tools",
        "[nodes.a]\nrun = \"make\"\ncmd = \"make\"\ncommand = \"make\"\nscript = \"make\"\nargs = []\nimage = \"rust\"\ncontainer = \"rust\"\nstage = \"command\"",
    ),
    (
        "policies of other tools",
        "[nodes.a]\nstage = \"noop\"\nretries = 2\nenv = { A = \"b\" }\nif = \"true\"\ncontinue_on_error = true\ntype = \"command\"\nconcurrency = 4\ncwd = \"/\"\nname = \"a\"\ndescription = \"x\"\nurl = \"http://x\"",
    ),
    ("nodes as a list", "[[nodes]]\nname = \"a\""),
    ("empty tables", "[tools]\n[params]\n[types]\n[outputs]\n[defaults]\nretry = \"often\""),
    ("steps", "[steps.a]\nrun = \"make\"\n[[tasks]]\n[jobs]\n[parameters]\n[env]\n[schemas]"),
    (
        "block syntax",
        "[nodes.a]\nstage = \"command\"\nwhen = \"{% if x %}\"\n[nodes.a.with]\nshell = \"{% for x in inputs.xs %}{{ x }}{% endfor %}\"\nstdin = [\"{%- set a = 1 %}\"]\nfine = \"${x%.*} {#a} {% \"",
    ),
    (
        "fields outside",
        "[types.Prop]\nplayer = \"string\"\nline = { type = \"number\", min = \"0\" }",
    ),
    (
        "timeout as a number",
        "deadline = 3600\n[defaults]\ntimeout = 60\n[nodes.a]\nstage = \"noop\"\ntimeout = 2.5\ndeadline = \"0s\"",
    ),
    (
        "not a duration",
        "deadline = \"5 fortnights\"\n[defaults]\nretry = { base = \"1\", max = \"\" }",
    ),
    (
        "retry out of range",
        "[defaults]\nretry = { attempts = 0, factor = 0.5, jitter = \"true\" }\n[nodes.a]\nstage = \"noop\"\nretry = { attempts = 1001, factor = inf }\n[nodes.b]\nstage = \"noop\"\nretry = { attempts = 2.0 }",
    ),
    ("retry as a number", "[defaults]\nretry = 3\n[nodes.a]\nstage = \"noop\"\nretry = false"),
    (
        "retry keys of other tools",
        "[defaults]\nretry = { limit = 3, backoff = \"1s\", max_delay = \"1m\", multiplier = 2, colour = 1 }",
    ),
    (
        "retry conditions",
        "[defaults]\nretry = { on = [\"netwrok\", \"503\", \"7\", \"http:6xx\", \"whatever\", 5] }\n[nodes.a]\nstage = \"noop\"\nretry = { on = \"network\" }",
    ),
    (
        "numbers out of range",
        "max_parallel = 0\n[nodes.a]\nstage = \"noop\"\nfor_each = \"b\"\non_item_failure = \"drop\"\nmin_success = 1.5\nmax_parallel = -1\npriority = \"high\"",
    ),
    (
        "unknown words",
        "[nodes.a]\nstage = \"command\"\nfor_each = \"b\"\non_item_failure = \"skip\"\n[nodes.a.outputs]\nx = { type = \"json\", from = \"stdoot\" }\ny = { type = \"list<json>\", format = \"csv\" }",
    ),
    (
        "node names",
        "[nodes.\"-a\"]\nstage = \"noop\"\n[nodes.\"a b\"]\nstage = \"noop\"\n[nodes.item]\nstage = \"noop\"\n[nodes.\"\"]\nstage = \"noop\"\n[nodes.\"naïve\"]\nstage = \"noop\"\n[nodes.\"a\\u200bb\"]\nstage = \"noop\"",
    ),
    (
        "identifiers",
        "[params]\n\"my-param\" = \"string\"\n[types.\"2D\".fields]\n\"a.b\" = \"string\"\n[nodes.a]\nstage = \"command\"\ninputs = { \"b-c\" = \"b\" }\noutputs = { \"ü\" = \"json\" }\n[outputs]\n\"x y\" = \"a\"\n[tools]\n\"/bin/x\" = \"x\"\ny = \"\"",
    ),
    (
        "types of other languages",
        "[params]\na = \"str\"\nb = { type = \"int?\" }\nc = \"list[string]\"\nd = \"string[]\"\ne = \"Optional[int]\"\nf = \"dict[str, int]\"\ng = \"list\"\n[types.R.fields]\nh = \"list<float>\"",
    ),
    (
        "type syntax",
        "[params]\na = \"list<string\"\nb = \"\"\nc = { type = 5 }\nd = \"file<audio>\"\ne = \"string string\"\n[types]\nX = 'map<>'\nY = true",
    ),
    (
        "type missing",
        "[params]\na = { default = 1 }\n[types.X]\n[types.Y]\nenum = [1]\n[types.Z.fields]\nb = { min = 1 }\nc = 5\n[nodes.a]\nstage = \"command\"\noutputs.x = { path = \"x\" }",
    ),
    (
        "built-in type names",
        "[types.list]\ntype = \"string\"\n[types.string.fields]\n[types.file]\ntype = \"json\"",
    ),
    ("record and alias", "[types.X]\ntype = \"string\"\nfields = { a = \"string\" }"),
    (
        "conditions that do not apply",
        "[types.A]\ntype = \"integer\"\nmin_length = 1\npattern = 'x'\n[types.B]\ntype = \"string?\"\nmin = 1\nunique = true\n[types.C]\ntype = \"file\"\nenum = [\"a\"]\n[types.D]\ntype = \"boolean\"\nmax = 2",
    ),
    (
        "conditions that cannot hold",
        "[types.A]\ntype = \"integer\"\nmin = 3\nmax = 2\n[types.B]\ntype = \"number\"\ngreater_than = 1\nless_than = 1.0\n[types.C]\ntype = \"string\"\nmin_length = 5\nmax_length = 4\n[types.D]\ntype = \"string\"\nenum = []",
    ),
    (
        "conditions that cannot be read",
        "[types.A]\ntype = \"string\"\npattern = '(a'\nformat = \"datee\"\nmin_length = -1\n[types.B]\ntype = \"string\"\nformat = \"phone\"\nmax_length = \"3\"\n[types.C]\ntype = \"integer\"\nmin = \"3\"\nenum = [1, \"two\", 3.5]",
    ),
    (
        "condition words of other tools",
        "[params.a]\ntype = \"integer\"\nminimum = 1\nchoices = [1]\nrequired = true\nregex = 'x'",
    ),
    (
        "defaults of the wrong type",
        "[params]\na = { type = \"integer\", default = \"1\" }\nb = { type = \"string\", enum = [\"x\", \"y\"], default = \"z\" }\nc = { type = \"list<integer>\", default = [1, 2.5, \"x\"] }\nd = { type = \"file\", default = 5 }\ne = { type = \"number\", min = 1, default = 0 }\nf = { type = \"datetime\", default = 2025-01-05 }\ng = { type = \"integer\", default = nan }",
    ),
    (
        "parameters as values",
        "[params]\nsport = \"nfl\"\ncount = 3\nflag = true\nlist = [1]\nwhere = \"dir\"\nmany = { type = \"list<dir>\" }",
    ),
    ("timezone", "timezone = \"Mars/Olympus\""),
    (
        "empty texts",
        "description = \"\"\ntimezone = \" \"\n[nodes.a]\nstage = \"\"\nwhen = \"\"\nuses = [\"\"]\nafter = [\"\"]",
    ),
    (
        "wrong types in the head",
        "max_parallel = \"8\"\nfail_fast = \"false\"\ndescription = 5\ndeadline = true\ntimezone = 1",
    ),
    (
        "wrong types in a node",
        "[nodes]\nb = 5\n[nodes.a]\nstage = [\"noop\"]\nwith = \"x\"\ninputs = [\"b\"]\noutputs = \"json\"\nuses = \"script.py\"\nafter = \"b\"\nwhen = true\nfor_each = [1, 2]\nkey = 1\non_item_failure = true",
    ),
    ("no stage", "[nodes.a]\nwhen = \"true\""),
    (
        "bindings",
        "[nodes.a]\nstage = \"noop\"\n[nodes.a.inputs]\na = 5\nb = []\nc = {}\nd = { first = [] }\ne = { first = \"b\" }\nf = \"\"\ng = [1, \"b\"]\nh = { from = \"b\" }\ni = { first = [\"b\"], last = 1 }\nj = 2025-01-01",
    ),
    (
        "templates as references",
        "[nodes.a]\nstage = \"noop\"\nfor_each = \"{{ b.list }}\"\nkey = \"item.id\"\ninputs = { x = \"{{item.name}}\", y = [\"{{ b }}\"] }\nwhen = \"{{ params.x }}\"\n[outputs]\nz = \"{{ a.x }}\"",
    ),
    (
        "paths that leave",
        "[nodes.a]\nstage = \"command\"\nuses = [\"/etc/passwd\", \"../x\", \"ok/..y\"]\noutputs = { a = { type = \"file\", path = \"/tmp/x\" }, b = { type = \"file\", path = \"a/../../b\" } }",
    ),
    (
        "outputs that conflict",
        "[nodes.a]\nstage = \"command\"\n[nodes.a.outputs]\na = { type = \"file\", path = \"x\", from = \"stdout\" }\nb = { type = \"integer\", format = \"jsonl\" }\nc = 5\nd = { type = \"json\", glob = \"*\", optional = true }",
    ),
    (
        "no effect",
        "[nodes.a]\nstage = \"noop\"\nkey = \"{{ item.id }}\"\nmax_parallel = 2\non_item_failure = \"drop\"\nmin_success = 0.5\n[nodes.b]\nstage = \"noop\"\nfor_each = \"c\"\nmin_success = 0.5",
    ),
];

/// Whole files.
const WHOLE: &[(&str, &str)] = &[
    ("empty file", ""),
    ("no workflow table", "[nodes.a]\nstage = \"noop\""),
    ("workflow as text", "workflow = \"daily\""),
    ("no name", "[workflow]\ndescription = \"x\""),
    ("empty name", "[workflow]\nname = \"  \""),
    (
        "keys above the tables",
        "name = \"daily\"\nmax_parallel = 3\nversion = 2\n[workflow]\nname = \"w\"",
    ),
    ("nodes as a number", "nodes = 5\n[workflow]\nname = \"w\""),
    (
        "tables as lists",
        "params = []\ntypes = 1\ntools = \"x\"\noutputs = true\ndefaults = 0.5\n[workflow]\nname = \"w\"",
    ),
];

#[test]
fn every_fault_of_a_broken_file_is_told_at_its_place() {
    let mut all = String::new();
    for (name, body) in BELOW_HEAD {
        writeln!(all, "## {name}\n{}", plain(&parse(&format!("{HEAD}{body}\n")))).expect("text");
    }
    for (name, text) in WHOLE {
        writeln!(all, "## {name}\n{}", plain(&parse(text))).expect("text");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn every_code_but_those_of_bytes_and_depth_has_a_broken_file() {
    let told: BTreeSet<&str> = BELOW_HEAD
        .iter()
        .map(|(_, body)| format!("{HEAD}{body}\n"))
        .chain(WHOLE.iter().map(|(_, text)| (*text).to_owned()))
        .flat_map(|text| parse(&text).diagnostics)
        .map(|fault| fault.code)
        .collect();
    // What needs other files is shown by a test of its own.
    let elsewhere = [codes::NOT_UTF8, codes::TOO_LARGE, codes::TOO_DEEP, codes::NESTED_FILE];
    let untold: Vec<&str> = codes::ALL
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| !told.contains(code) && !elsewhere.contains(code))
        .collect();
    assert!(untold.is_empty(), "no broken file shows {untold:?}");
}

#[test]
fn every_row_is_told_something() {
    for (name, body) in BELOW_HEAD {
        assert!(!parse(&format!("{HEAD}{body}\n")).diagnostics.is_empty(), "{name}");
    }
}
