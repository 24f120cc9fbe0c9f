//! Every fault that the check of the graph can find, as a person reads it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use flow_core::diagnostic::line_column;
use flow_core::graph::check;
use flow_stages::process::Spawner;

const HEAD: &str = "[workflow]\nname = \"w\"\n";

/// A node that makes `list`, `n`, `text` and a record.
const MAKE: &str = r#"
[types.Prop.fields]
player = "string"
line = { type = "number", greater_than = 0 }
[nodes.make]
stage = "command"
with = { argv = ["true"] }
outputs = { list = "list<Prop>", n = "integer", text = "string", one = "Prop" }
"#;

/// What is broken, and how.
const FILES: [(&str, &str); 40] = [
    ("an unknown stage", "[nodes.a]\nstage = \"comand\"\n"),
    ("a reference to no node", "[nodes.a]\nstage = \"noop\"\ninputs = { x = \"mke.n\" }\n"),
    ("an order after no node", "[nodes.a]\nstage = \"noop\"\nafter = [\"mak\"]\n"),
    ("a port that is not there", "[nodes.a]\nstage = \"noop\"\ninputs = { x = \"make.txt\" }\n"),
    ("several ports and none named", "[nodes.a]\nstage = \"noop\"\ninputs = { x = \"make\" }\n"),
    (
        "a reference with an empty part",
        "[nodes.a]\nstage = \"noop\"\ninputs = { x = \"make..n\" }\n",
    ),
    ("a reference in brackets", "[nodes.a]\nstage = \"noop\"\ninputs = { x = \"make[0].n\" }\n"),
    (
        "an input of the wrong type",
        "[nodes.a]\nstage = \"media.outbox\"\ninputs = { reel = \"make.n\", idea = \"make.one\" }\nwith = { dir = \"o\" }\n",
    ),
    ("an input that is missing", "[nodes.a]\nstage = \"media.calendar\"\n"),
    (
        "an input that the stage has not",
        "[nodes.a]\nstage = \"media.slate\"\ninputs = { slatefile = \"make.n\" }\n",
    ),
    (
        "a circle",
        "[nodes.a]\nstage = \"noop\"\nafter = [\"b\"]\n[nodes.b]\nstage = \"noop\"\nafter = [\"c\"]\n[nodes.c]\nstage = \"noop\"\nafter = [\"a\"]\n",
    ),
    ("a node that waits for itself", "[nodes.a]\nstage = \"noop\"\nafter = [\"a\"]\n"),
    (
        "an unknown type",
        "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\noutputs = { x = \"list<Propp>\" }\n",
    ),
    (
        "a type that contains itself",
        "[types.A.fields]\nb = \"list<B>\"\n[types.B.fields]\na = \"A\"\n",
    ),
    (
        "a field of with that is not there",
        "[nodes.a]\nstage = \"command\"\nwith = { argvv = [\"true\"] }\n",
    ),
    (
        "a field of with that is missing",
        "[nodes.a]\nstage = \"jq\"\ninputs = { x = \"make.n\" }\noutputs = { y = \"json\" }\n",
    ),
    ("argv as text", "[nodes.a]\nstage = \"command\"\nwith = { argv = \"true\" }\n"),
    (
        "a template that never closes",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ params.x\"] }\n",
    ),
    (
        "a template that is no expression",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ 1 + }}\"] }\n",
    ),
    (
        "a name that is not defined",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ make.n }}\"] }\n",
    ),
    (
        "an input in a template that is not bound",
        "[nodes.a]\nstage = \"command\"\ninputs = { slate = \"make.text\" }\nwith = { argv = [\"echo\", \"{{ inputs.slat }}\"] }\n",
    ),
    ("an attempt in a condition", "[nodes.a]\nstage = \"noop\"\nwhen = \"attempt.number > 1\"\n"),
    (
        "an environment without a name",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ env['HOME'] }}\"] }\n",
    ),
    (
        "a date in a key",
        "[nodes.a]\nstage = \"noop\"\nfor_each = \"make.list\"\nkey = \"{{ run.date }}-{{ index }}\"\n",
    ),
    ("an output that is not declared", "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\n"),
    (
        "an output that the stage has not",
        "[nodes.a]\nstage = \"noop\"\noutputs = { x = \"json\" }\n",
    ),
    (
        "a filter that the stage refuses",
        "[nodes.a]\nstage = \"jq\"\ninputs = { x = \"make.n\" }\nwith = { filter = \".[\" }\noutputs = { y = \"json\" }\n",
    ),
    (
        "a default of a named type",
        "[params]\nprop = { type = \"Prop\", default = { player = \"x\", line = -1 } }\n",
    ),
    ("a fan-out over no list", "[nodes.a]\nstage = \"noop\"\nfor_each = \"make.n\"\n"),
    (
        "an item without a fan-out",
        "[nodes.a]\nstage = \"noop\"\ninputs = { x = \"item.player\" }\n",
    ),
    (
        "a join with a node of another list",
        "[nodes.a]\nstage = \"noop\"\nfor_each = \"make.list\"\ninputs = { x = \"make[item].n\" }\n",
    ),
    (
        "a field that the type has not",
        "[nodes.a]\nstage = \"noop\"\ninputs = { x = \"make.one.plyer\" }\n",
    ),
    (
        "a template inside quotes",
        "[nodes.a]\nstage = \"command\"\nwith = { shell = \"echo '{{ run.id }}'\" }\n",
    ),
    (
        "a parameter that is not declared",
        "[params]\nsport = \"string\"\n[nodes.a]\nstage = \"noop\"\ninputs = { x = \"params.sprot\" }\n",
    ),
    (
        "two keys for one list",
        "[nodes.a]\nstage = \"noop\"\nfor_each = \"make.list\"\nkey = \"{{ item.player }}\"\n[nodes.b]\nstage = \"noop\"\nfor_each = \"make.list\"\nkey = \"{{ item.line }}\"\n",
    ),
    (
        "pools, rates and secrets that are not declared",
        "[nodes.a]\nstage = \"command\"\npool = \"enc\"\nrate = \"r\"\nwith = { argv = [\"true\"], env = { T = \"{{ secrets.tok }}\" } }\n",
    ),
    (
        "policies that exclude each other",
        "[nodes.a]\nstage = \"noop\"\neffect = true\ncache = \"1h\"\n[nodes.b]\nstage = \"sleep\"\nwith = { duration = \"1s\" }\neffect = true\ncache = \"forever\"\nfallback = [ { stage = \"noop\" } ]\n[nodes.c]\nstage = \"noop\"\nalways = true\ninputs = { x = \"make.n\" }\n[nodes.d]\nstage = \"noop\"\nafter = [\"c\"]\n",
    ),
    (
        "stand-ins that do not fit",
        "[nodes.a]\nstage = \"value\"\nwith = { value = 1 }\noutputs = { y = \"integer\" }\nfallback = [ { stage = \"media.slate\" }, { stage = \"sleep\", with = { duration = \"1s\" } } ]\n",
    ),
    (
        "secrets that would be seen",
        "[secrets]\ntok = { env = \"TOKEN\" }\n[nodes.a]\nstage = \"command\"\nwhen = \"secrets.tok == 'x'\"\nwith = { argv = [\"curl\", \"{{ secrets.tok }}\"], env = { T = \"{{ env.TOKEN }}\" } }\n",
    ),
    (
        "the end of the run before it",
        "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"echo\", \"{{ run.status }}\"] }\n",
    ),
];

#[test]
fn every_fault_of_a_graph_has_its_place_and_its_way_out() {
    let mut text = String::new();
    let mut codes = BTreeSet::new();
    for (what, nodes) in FILES {
        let file = format!("{HEAD}{MAKE}{nodes}");
        let loaded = flow_workflows::parse("flow.toml", &file, "/".into());
        assert!(loaded.complete, "{what}: {:?}", loaded.diagnostics);
        let definition = loaded.definition.as_ref().expect("a definition");
        let faults = check(definition, &flow_stages::catalog(Spawner::new()))
            .err()
            .unwrap_or_else(|| panic!("{what} is not found"));
        writeln!(text, "{what}").expect("text");
        for fault in faults {
            codes.insert(fault.code);
            let (line, column) = line_column(&file, fault.labels[0].span.start);
            let shown = file.lines().nth(line - 1).unwrap_or_default();
            writeln!(text, "  {} {line}:{column} {} | {shown}", fault.code, fault.message)
                .expect("text");
            for help in fault.help.iter().flat_map(|h| h.lines().take(1)) {
                writeln!(text, "    help: {help}").expect("text");
            }
        }
    }
    insta::assert_snapshot!(text);
    // The loader refuses unknown time zones and paths that leave their folder first; definitions
    // that are made in Rust can have them.
    let all: BTreeSet<String> =
        (101..=129).filter(|n| *n != 121 && *n != 122).map(|n| format!("W{n}")).collect();
    let seen: BTreeSet<String> = codes.into_iter().map(str::to_owned).collect();
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new());
}
