//! Workflow files inside others: what is told of broken ones, and the one graph that they become.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use flow_core::definition::Definition;
use flow_core::diagnostic::{Diagnostic, line_column};
use flow_core::graph::{Graph, Source, Take, check};
use flow_stages::process::Spawner;
use flow_workflows::Loaded;

const HEAD: &str = "[workflow]\nname = \"w\"\n";

/// Loads `flow.toml` from texts by path.
fn load(files: &[(&str, String)]) -> Loaded {
    let files: BTreeMap<&str, &String> = files.iter().map(|(path, text)| (*path, text)).collect();
    let read = |path: &str| {
        files.get(path).map(|text| (*text).clone()).ok_or_else(|| format!("{path} does not exist"))
    };
    flow_workflows::parse_with("flow.toml", files["flow.toml"], "/flows".into(), &read)
}

fn graph(files: &[(&str, String)]) -> Graph {
    let loaded = load(files);
    assert!(loaded.is_valid() && loaded.complete, "{:?}", loaded.diagnostics);
    checked(loaded.definition.as_ref().expect("a definition"))
        .unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn checked(definition: &Definition) -> Result<Graph, Vec<Diagnostic>> {
    check(definition, &flow_stages::catalog(Spawner::new()))
}

fn file(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

/// All faults of a file and those inside it, each with its file and place.
fn faults(files: &[(&str, String)]) -> String {
    let mut loaded = load(files);
    if let Some(definition) = loaded.definition.as_ref().filter(|_| loaded.complete)
        && let Err(found) = checked(definition)
    {
        loaded.join(found);
    }
    assert!(!loaded.diagnostics.is_empty(), "nothing is found in {files:?}");
    let mut text = String::new();
    for fault in &loaded.diagnostics {
        let source = fault.source.as_deref().unwrap_or(&loaded.source);
        let label = &fault.labels[0];
        let (line, column) = line_column(&source.text, label.span.start);
        let (name, shown) = (&source.name, source.text.lines().nth(line - 1).unwrap_or_default());
        writeln!(text, "  {} {name}:{line}:{column} {} | {shown}", fault.code, fault.message)
            .expect("text");
        if !label.text.is_empty() {
            writeln!(text, "    {}", label.text).expect("text");
        }
        if let Some(help) = &fault.help {
            writeln!(text, "    help: {help}").expect("text");
        }
    }
    text
}

/// A nested file with parameters, an output and an item of its own.
const PART: &str = r#"
[params]
n = { type = "integer", max = 9 }
word = { type = "string", default = "x" }
text = "file?"
[nodes.a]
stage = "jq"
inputs = { n = "params.n" }
with = { filter = "." }
outputs = { n = "integer" }
[outputs]
n = "a.n"
"#;

/// A node that runs `part.toml`.
fn part(rest: &str) -> String {
    format!("[nodes.p]\nstage = \"workflow\"\n{rest}\n")
}

#[test]
fn every_fault_of_a_nested_workflow_is_told_at_its_place() {
    let give =
        |params: &str| part(&format!("with = {{ file = \"part.toml\", params = {params} }}"));
    let cases = [
        ("no file", part("")),
        ("a file that is no text", part("with = { file = 1 }")),
        ("a file by a template", part("with = { file = \"{{ params.x }}.toml\" }")),
        ("a file that is not there", part("with = { file = \"prat.toml\" }")),
        ("a file that contains itself", part("with = { file = \"a/round.toml\" }")),
        ("faults in the file", part("with = { file = \"broken.toml\" }")),
        ("faults of its graph, told once", {
            let other = "[nodes.q]\nstage = \"workflow\"\nwith = { file = \"./wrong.toml\" }\n";
            part("with = { file = \"wrong.toml\" }") + other
        }),
        ("a setting of a whole run", part("with = { file = \"zone.toml\" }")),
        ("a parameter that is missing", part("with = { file = \"part.toml\" }")),
        ("parameters that are no table", give("5")),
        ("a parameter that it has not", give("{ n = 1, wrod = \"a\" }")),
        ("a value of the wrong type", give("{ n = \"1\" }")),
        ("a value that breaks a condition", give("{ n = 10 }")),
        (
            "a reference of the wrong type",
            format!("[params]\nw = \"string\"\n{}", give("{ n = \"{{ params.w }}\" }")),
        ),
        (
            "a reference that may be absent",
            format!("[params]\nw = \"integer?\"\n{}", give("{ n = \"{{ params.w }}\" }")),
        ),
        (
            "a path that is put together",
            format!("[params]\nw = \"string\"\n{}", give("{ n = 1, text = \"a/{{ params.w }}\" }")),
        ),
        (
            "a secret as a parameter",
            format!("[secrets]\nk = {{ env = \"K\" }}\n{}", give("{ n = 1, word = \"{{ secrets.k }}\" }")),
        ),
        ("an output as a parameter", give("{ n = \"{{ outputs.n }}\" }")),
        (
            "policies of the nodes inside",
            give("{ n = 1 }")
                + "timeout = \"1s\"\nretry = { attempts = 2 }\ncache = \"1h\"\ndeadline = \"1h\"\npool = \"x\"\nrate = \"y\"\neffect = true\nfallback = [{ stage = \"noop\" }]\nalways = true\nuses = [\"a\"]\noutputs = { n = \"integer\" }\n[pools]\nx = 1\n[rates]\ny = \"1/s\"\n",
        ),
        (
            "two fan-outs in one another",
            "[params]\nl = \"list<integer>\"\n[nodes.p]\nstage = \"workflow\"\nfor_each = \"params.l\"\nwith = { file = \"fan.toml\" }\n".into(),
        ),
        (
            "cleanup in a fan-out, and an output of it",
            "[params]\nl = \"list<integer>\"\n[nodes.p]\nstage = \"workflow\"\nfor_each = \"params.l\"\nwith = { file = \"late.toml\" }\n".into(),
        ),
        (
            "a pool, a rate and a secret of another size or place",
            "[pools]\ncpu = 1\n[rates]\napi = \"1/s\"\n[secrets]\nkey = { env = \"A\" }\n".to_owned()
                + &part("with = { file = \"shared.toml\" }"),
        ),
        (
            "a variable that holds a secret of the outer file",
            "[secrets]\nhidden = { env = \"SHOWN\" }\n".to_owned()
                + &part("with = { file = \"env.toml\" }"),
        ),
        (
            "outputs that do not fit, and are not there",
            give("{ n = 1 }")
                + "[nodes.x]\nstage = \"noop\"\ninputs = { a = \"p.m\", b = \"p/a.n\" }\n[nodes.y]\nstage = \"media.slate\"\ninputs = { slate_file = \"p.n\" }\n",
        ),
    ];
    let mut text = String::new();
    for (what, nodes) in cases {
        let files = [
            ("flow.toml", file(&nodes)),
            ("part.toml", file(PART)),
            ("a/round.toml", file(&part("with = { file = \"../b/round.toml\" }"))),
            ("b/round.toml", file(&part("with = { file = \"../flow.toml\" }"))),
            ("broken.toml", file("[nodes.a]\nstage = \"noop\"\ntimeout = 5\n[nodes.b")),
            ("wrong.toml", file("[nodes.a]\nstage = \"nop\"\n")),
            ("zone.toml", file("timezone = \"UTC\"\nfail_fast = true\n")),
            (
                "fan.toml",
                file(
                    "[params]\nl = { type = \"list<integer>\", default = [] }\n[nodes.f]\nstage = \"noop\"\nfor_each = \"params.l\"\n",
                ),
            ),
            (
                "late.toml",
                file(
                    "[nodes.z]\nstage = \"value\"\nalways = true\nwith = { value = 1 }\noutputs = { n = \"integer\" }\n[outputs]\nz = \"z.n\"\n",
                ),
            ),
            (
                "shared.toml",
                file(
                    "[pools]\ncpu = 2\n[rates]\napi = \"2/s\"\n[secrets]\nkey = { env = \"B\" }\n",
                ),
            ),
            (
                "env.toml",
                file(
                    "[nodes.e]\nstage = \"value\"\nwith = { value = \"{{ env.SHOWN }}\" }\noutputs = { e = \"string\" }\n",
                ),
            ),
        ];
        writeln!(text, "{what}\n{}", faults(&files)).expect("text");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn files_may_not_stand_in_one_another_without_end() {
    let link = |n: usize| part(&format!("with = {{ file = \"{n}.toml\" }}"));
    let mut files: Vec<(String, String)> =
        (0..40).map(|n| (format!("{n}.toml"), file(&link(n + 1)))).collect();
    files.push(("40.toml".into(), file("")));
    files.push(("flow.toml".into(), file(&link(26))));
    let borrowed = |files: &[(String, String)]| -> Vec<(&'static str, String)> {
        files.iter().map(|(n, t)| (&*n.clone().leak(), t.clone())).collect()
    };
    // 26 to 40 are fifteen files below the outermost one.
    assert!(load(&borrowed(&files)).is_valid());
    files.pop();
    files.push(("flow.toml".into(), file(&link(0))));
    let told = faults(&borrowed(&files));
    assert!(told.contains("more than 16 files stand in one another"), "{told}");
}

/// Two levels, the inner one fanned out, with tools and `uses` of their own.
fn nest() -> Graph {
    graph(&[
        (
            "flow.toml",
            file("[tools]\nsh = \"bin/sh\"\n[params]\nl = \"list<integer>\"\n[nodes.m]\nstage = \"workflow\"\nafter = [\"first\"]\npriority = 5\nwith = { file = \"lib/m.toml\", params = { l = \"{{ params.l }}\", text = \"t.txt\" } }\n[nodes.first]\nstage = \"noop\"\n[nodes.last]\nstage = \"noop\"\ninputs = { n = \"m.all\" }\n[outputs]\nall = \"m.all\"\n"),
        ),
        (
            "lib/m.toml",
            file("[tools]\nsh = \"/bin/dash\"\n[params]\nl = \"list<integer>\"\ntext = \"file\"\n[nodes.p]\nstage = \"workflow\"\nfor_each = \"params.l\"\nkey = \"k{{ item }}\"\non_item_failure = \"drop\"\nwith = { file = \"../deep/p.toml\", params = { n = \"{{ item }}\" } }\n[nodes.say]\nstage = \"command\"\nuses = [\"say.sh\"]\ninputs = { t = \"params.text\" }\nwith = { argv = [\"cat\", \"{{ params.text }}\"] }\n[outputs]\nall = \"p.n\"\n"),
        ),
        (
            "deep/p.toml",
            file("[params]\nn = \"integer\"\nside = { type = \"file\", default = \"s.txt\" }\n[nodes.a]\nstage = \"command\"\nuses = [\"../x.py\"]\nwith = { argv = [\"echo\", \"{{ params.n }}\", \"{{ params.side }}\"] }\noutputs = { n = \"integer\" }\n[outputs]\nn = \"a.n\"\n").replace("uses = [\"../x.py\"]\n", "uses = [\"x.py\"]\n"),
        ),
    ])
}

#[test]
fn nodes_of_nested_files_are_nodes_of_the_one_graph() {
    let graph = nest();
    let mut text = String::new();
    for node in graph.nodes() {
        let name = |id| graph.node(id).name.to_string();
        let needs: Vec<String> = node
            .needs
            .iter()
            .map(|need| {
                format!("{}{}", name(need.node), if need.same_item { "[item]" } else { "" })
            })
            .collect();
        writeln!(text, "{}: needs {}", node.name, needs.join(", ")).expect("text");
        if let Some(within) = node.within {
            writeln!(text, "  within {}", name(within)).expect("text");
        }
        if node.ends_workflow() {
            let inside: Vec<String> = node.encloses.iter().map(|id| name(*id)).collect();
            writeln!(text, "  ends {}", inside.join(", ")).expect("text");
        }
        if let Some(fan) = &node.fan {
            writeln!(text, "  fan {} {:?}", fan.group, fan.on_item_failure).expect("text");
        }
        let home = &node.home;
        writeln!(
            text,
            "  in {:?} of {}, priority {}",
            home.prefix,
            home.dir.display(),
            node.policy.priority
        )
        .expect("text");
        for path in &node.uses {
            writeln!(text, "  uses {path}, recorded as {}", home.recorded(path)).expect("text");
        }
    }
    for (name, param) in graph.params() {
        writeln!(text, "param {name}: {} = {:?}", param.ty, param.default).expect("text");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn parameters_are_read_from_the_node_that_gives_them() {
    let graph = nest();
    let node = |name: &str| graph.node(graph.find(name).expect(name));
    let params = node("m/p/a").params.as_ref().expect("parameters");
    let Source::Output { node: from, port, take, .. } = &params[0].source else {
        panic!("{params:?}")
    };
    assert_eq!(
        (&*graph.node(*from).name, port.as_str(), *take),
        ("m/p/params", "n", Take::SameItem)
    );
    // A file that is given as a path is a parameter of the run, stored when it starts.
    let files = [&params[1].source, &node("m/say").inputs[0].source];
    let names = files.map(|source| match source {
        Source::Param { name, .. } => name.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(names, ["m/p.side", "m.text"]);
    assert_eq!(graph.params()["m/p.side"].default, Some("deep/s.txt".into()));
    let group = &graph.groups()[0];
    assert_eq!(group.members.len(), 3);
    assert!(matches!(&group.list, Source::Output { port, .. } if port == "l"));
    assert_eq!(node("m/say").home.tools["sh"], "/bin/dash");
}
