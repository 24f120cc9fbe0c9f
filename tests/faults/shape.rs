//! The workflows that are crashed.

use std::fmt::Write as _;
use std::path::Path;

/// One workflow.
pub(crate) struct Shape {
    /// How it is told of.
    pub(crate) name: &'static str,
    /// The workflow file.
    pub(crate) text: String,
    /// A node that waits for an answer.
    pub(crate) asks: bool,
    /// Whether another run of the same workflow has filled the cache before.
    pub(crate) cached: bool,
}

/// Both sides of the limit up to which JSON stands in the journal, where a string has two quotes.
const SIZES: [usize; 7] = [0, 100, 4096, 65_533, 65_534, 65_535, 1 << 20];

/// All of them.
pub(crate) fn all(stage: &Path) -> Vec<Shape> {
    let stage = stage.display().to_string();
    vec![
        shape("chain", 1, chain(&stage, 12)),
        shape("ladder", 2, ladder(&stage, 10)),
        shape("wide", 8, wide(&stage, 64)),
        shape("items", 8, items(&stage)),
        shape("sizes", 2, sizes(&stage)),
        shape("branches", 2, branches(&stage)),
        shape("effects", 2, effects(&stage)),
        Shape { asks: true, ..shape("waits", 2, waits(&stage)) },
        Shape { cached: true, ..shape("cached", 2, cached(&stage)) },
    ]
}

/// Four nodes in a row, of which the second has a size of its own.
pub(crate) fn kept(stage: &str, size: &str, rest: &str) -> String {
    let kinds = [("40", TEXT), (size, FILE), ("70000", TEXT), ("30", FILE)];
    let mut text = String::new();
    for (i, (size, kind)) in kinds.into_iter().enumerate() {
        let inputs = if i == 0 { String::new() } else { format!("a = \"n{}.o\"", i - 1) };
        let rest = format!("{rest}\n{kind}");
        text += &node(stage, &format!("n{i}"), &["work", size, "1"], &inputs, &rest);
    }
    shape("kept", 2, text + &outputs("n3.o")).text
}

fn shape(name: &'static str, parallel: usize, nodes: String) -> Shape {
    let text = format!(
        "[workflow]\nname = \"{name}\"\nmax_parallel = {parallel}\n\
         [defaults]\nretry = {{ attempts = 3, base = \"1ms\", max = \"2ms\" }}\n{nodes}"
    );
    Shape { name, text, asks: false, cached: false }
}

/// A node that runs the program, with a line of inputs such as `a = "x.o"`.
fn node(stage: &str, name: &str, args: &[&str], inputs: &str, rest: &str) -> String {
    let args: String = args.iter().map(|arg| format!(", \"{arg}\"")).collect();
    format!(
        "[nodes.{name}]\nstage = \"command\"\nwith = {{ argv = [\"{stage}\"{args}] }}\n\
         inputs = {{ {inputs} }}\n{rest}\n"
    )
}

const TEXT: &str = "outputs.o = \"string\"";
const FILE: &str = "outputs.o = \"file\"";

fn outputs(last: &str) -> String {
    format!("[outputs]\no = \"{last}\"\n")
}

fn chain(stage: &str, length: usize) -> String {
    let mut text = String::new();
    for i in 0..length {
        let inputs = if i == 0 { String::new() } else { format!("a = \"n{}.o\"", i - 1) };
        let kind = if i % 3 == 1 { FILE } else { TEXT };
        text += &node(stage, &format!("n{i}"), &["work", "40", "1"], &inputs, kind);
    }
    text + &outputs(&format!("n{}.o", length - 1))
}

/// Diamonds in a row: three nodes a rung.
fn ladder(stage: &str, rungs: usize) -> String {
    let mut text = String::new();
    for i in 0..rungs {
        let from = if i == 0 { String::new() } else { format!("a = \"j{}.o\"", i - 1) };
        text += &node(stage, &format!("l{i}"), &["work", "4096", "1"], &from, FILE);
        text += &node(stage, &format!("r{i}"), &["work", "100", "2"], &from, TEXT);
        let both = format!("l = \"l{i}.o\", r = \"r{i}.o\"");
        text += &node(stage, &format!("j{i}"), &["work", "60", "0"], &both, TEXT);
    }
    text + &outputs(&format!("j{}.o", rungs - 1))
}

fn wide(stage: &str, width: usize) -> String {
    let mut text = String::new();
    let mut all = String::new();
    for i in 0..width {
        let span = (i % 4).to_string();
        text += &node(stage, &format!("w{i}"), &["work", "30", &span], "", TEXT);
        write!(all, "w{i} = \"w{i}.o\", ").unwrap();
    }
    text + &node(stage, "join", &["work", "30", "0"], all.trim_end_matches(", "), TEXT)
        + &outputs("join.o")
}

fn items(stage: &str) -> String {
    let list = "outputs.l = \"list<json>\"";
    let each = "for_each = \"list.l\"\nkey = \"{{ item.id }}\"\n";
    let next = "for_each = \"list.l\"\n";
    node(stage, "list", &["list", "6"], "", list)
        + &node(stage, "one", &["work", "50", "1"], "i = \"item\"", &format!("{each}{TEXT}"))
        + &node(
            stage,
            "two",
            &["work", "500", "2"],
            "a = \"one[item].o\"",
            &format!("{next}{FILE}"),
        )
        + &node(stage, "join", &["work", "20", "0"], "all = \"two.o\"", TEXT)
        + &outputs("join.o")
}

fn sizes(stage: &str) -> String {
    let mut text = String::new();
    let mut all = String::new();
    for size in SIZES {
        for (prefix, kind) in [("t", TEXT), ("f", FILE)] {
            let name = format!("{prefix}{size}");
            text += &node(stage, &name, &["work", &size.to_string(), "1"], "", kind);
            write!(all, "{name} = \"{name}.o\", ").unwrap();
        }
    }
    text + &node(stage, "join", &["work", "70000", "1"], all.trim_end_matches(", "), TEXT)
        + &outputs("join.o")
}

/// What fails is meant to: one failure is accepted, one has another way out. One program leaves a
/// daemon behind.
fn branches(stage: &str) -> String {
    let fallback = format!(
        "retry.attempts = 1\nfallback = [ {{ stage = \"command\", with = {{ argv = [\"{stage}\", \
         \"work\", \"30\", \"1\"] }} }} ]\n{TEXT}"
    );
    let optional = format!("retry.attempts = 1\noptional = true\n{TEXT}");
    let first = "a = { first = [\"maybe.o\", \"other.o\"] }, b = \"daemon.o\"";
    node(stage, "daemon", &["daemon", "10", "2"], "", TEXT)
        + &node(stage, "maybe", &["fail"], "", &optional)
        + &node(stage, "other", &["fail"], "", &fallback)
        + &node(stage, "join", &["work", "30", "1"], first, TEXT)
        + &node(stage, "always", &["work", "1", "0"], "a = \"join.o?\"", "always = true")
        + &outputs("join.o")
}

/// One act whose probe tells whether it happened, and one that may be repeated.
fn effects(stage: &str) -> String {
    let probe = format!(
        "effect = {{ probe = {{ stage = \"command\", with = {{ argv = [\"{stage}\", \"probe\", \
         \"64\"] }} }} }}\n{TEXT}"
    );
    let again = format!("effect = {{ idempotent = true }}\n{TEXT}");
    node(stage, "first", &["work", "30", "1"], "", TEXT)
        + &node(stage, "once", &["act", "64", "2"], "a = \"first.o\"", &probe)
        + &node(stage, "again", &["act", "64", "2"], "a = \"once.o\"", &again)
        + &node(stage, "last", &["work", "30", "1"], "a = \"again.o\"", TEXT)
        + &outputs("last.o")
}

fn waits(stage: &str) -> String {
    let ask =
        "[nodes.ask]\nstage = \"approve\"\nafter = [\"nap\"]\nwith = { message = \"go on?\" }\n";
    let nap =
        "[nodes.nap]\nstage = \"sleep\"\nafter = [\"first\"]\nwith = { duration = \"20ms\" }\n";
    node(stage, "first", &["work", "30", "1"], "", TEXT)
        + nap
        + ask
        + &node(
            stage,
            "last",
            &["work", "30", "1"],
            "a = \"first.o\"",
            &format!("after = [\"ask\"]\n{TEXT}"),
        )
        + &outputs("last.o")
}

fn cached(stage: &str) -> String {
    let cache = |kind: &str| format!("cache = \"forever\"\n{kind}");
    node(stage, "cached-a", &["work", "30", "1"], "", &cache(TEXT))
        + &node(stage, "cached-b", &["work", "80000", "1"], "a = \"cached-a.o\"", &cache(FILE))
        + &node(stage, "fresh", &["work", "30", "1"], "a = \"cached-b.o\"", TEXT)
        + &node(stage, "cached-c", &["work", "70000", "1"], "a = \"fresh.o\"", &cache(TEXT))
        + &outputs("cached-c.o")
}
