//! The documentation as a book: all pages are linked, all links lead somewhere, and the pages that are
//! made from the binary are up to date. `FLOW_WRITE_DOCS=1` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use super::harness::Place;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn read(page: &str) -> String {
    std::fs::read_to_string(docs().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// All pages, relative to the folder.
fn pages() -> BTreeSet<String> {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(docs().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages = names.filter(|name| name.ends_with(".md"));
        pages.map(|name| format!("{folder}{name}")).collect::<Vec<_>>()
    };
    ["", "reference/", "reference/stages/"].into_iter().flat_map(names).collect()
}

/// Targets of links to other pages and headings, without those to the web.
fn links(text: &str) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let fence = Regex::new(r"(?s)```.*?```").unwrap();
    let text = fence.replace_all(text, "");
    let targets = link.captures_iter(&text).map(|found| found[1].to_owned());
    targets.filter(|target| !target.contains("://")).collect()
}

/// Headings of a page, as links name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let plain = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => c.to_lowercase().next(),
        _ => None,
    };
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with('#')) {
        let name: String = line.trim_start_matches('#').trim().chars().filter_map(plain).collect();
        let numbered = (1..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

#[test]
fn every_page_is_a_chapter_and_every_chapter_is_there() {
    let chapters: BTreeSet<String> = links(&read("SUMMARY.md")).into_iter().collect();
    let mut pages = pages();
    assert!(pages.remove("SUMMARY.md"));
    assert_eq!(chapters, pages);
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    for page in pages() {
        let text = read(&page);
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let from = docs().join(&page);
            let to = if path.is_empty() { from } else { from.with_file_name(path) };
            assert!(to.exists(), "{page}: {link}");
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(&to).unwrap();
                assert!(anchors(&target).contains(anchor), "{page}: {link}");
            }
        }
    }
}

/// The blocks of a page in a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = Regex::new(&format!(r"(?s)```{language}\n(.*?)```")).unwrap();
    fence.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_tutorial_works_to_the_letter() {
    let page = read("tutorial.md");
    let place = Place::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_flow")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let files = blocks(&page, "toml");
    for (name, text) in ["hello.toml", "list.toml"].iter().zip(&files) {
        assert!(page.contains(&format!("`{name}`")));
        place.write(name, text);
    }
    let script = format!("set -e\n{}", blocks(&page, "sh").concat());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(place.path("")).env("PATH", path);
    shell.env_remove("FLOW_STORE");
    let done = place.finish(shell).exits(0);
    assert!(done.stdout.contains("HELLO WORLD") && done.stdout.contains("HELLO YOU"), "{done}");
    let nodes = &place.show("third")["nodes"];
    assert_eq!(nodes[0]["attempts"], 1, "{nodes}");
    assert_eq!(nodes[1]["attempts"], 2, "{nodes}");
}

#[test]
fn every_recipe_is_valid() {
    for recipe in blocks(&read("howto.md"), "toml") {
        let place = Place::with(&recipe);
        place.flow(&["validate", "flow.toml"]).exits(0);
    }
}

/// Holds a page to what the binary says, or writes it.
fn is_up_to_date(page: &str, made: &str) {
    if std::env::var_os("FLOW_WRITE_DOCS").is_some() {
        let path = docs().join(page);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, made).unwrap();
    }
    assert!(read(page) == made, "{page} is not what the binary says: run with FLOW_WRITE_DOCS=1");
}

#[test]
fn the_page_of_codes_is_up_to_date() {
    let place = Place::new();
    let pages = place.flow(&["explain", "--json"]).exits(0).json();
    let mut made = String::from(
        "# Codes\n\n`flow explain CODE` prints each of these. Codes with W are faults of a workflow file, codes with E failures of a run.\n",
    );
    for page in pages.as_array().unwrap() {
        let text = page["text"].as_str().unwrap();
        let lower = text.lines().map(|line| match line.strip_prefix('#') {
            Some(_) if !line.starts_with("#!") => format!("#{line}"),
            _ => line.to_owned(),
        });
        write!(made, "\n{}\n", lower.collect::<Vec<_>>().join("\n").trim_end()).unwrap();
    }
    is_up_to_date("reference/codes.md", &made);
}

/// A table of rows, of which the first is the head; a `|` in a cell is no border.
fn table(rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let border = format!("|{}\n", "---|".repeat(rows[0].len()));
    let rest: String = rows[1..].iter().map(|row| line(row)).collect();
    format!("{}{border}{rest}", line(&rows[0]))
}

fn head(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap().to_owned()
}

/// Ports of one side of a stage.
fn ports(ports: &Value) -> String {
    let Some(list) = ports.as_array() else {
        return match ports.as_str() {
            Some("declared_one") => "Exactly one, as the workflow declares it.\n".to_owned(),
            _ => "As the workflow declares them.\n".to_owned(),
        };
    };
    if list.is_empty() {
        return "None.\n".to_owned();
    }
    let mut rows = vec![head(&["port", "type", "", "what"])];
    rows.extend(list.iter().map(|port| {
        let note = match (port["optional"] == true, port["retypable"] == true) {
            (true, _) => "optional",
            (_, true) => "or as declared",
            _ => "",
        };
        let ty = format!("`{}`", text(port, "type"));
        vec![format!("`{}`", text(port, "name")), ty, note.to_owned(), text(port, "doc")]
    }));
    table(&rows)
}

fn stage_page(stage: &Value) -> String {
    let mut page = format!("# `{}`\n\n{}\n", text(stage, "name"), text(stage, "summary"));
    write!(page, "\n## Inputs\n\n{}", ports(&stage["inputs"])).unwrap();
    write!(page, "\n## Outputs\n\n{}", ports(&stage["outputs"])).unwrap();
    let fields = stage["with"].as_array().unwrap();
    if !fields.is_empty() {
        let mut rows = vec![head(&["field of `with`", "takes", "", "what"])];
        rows.extend(fields.iter().map(|field| {
            let note = if field["optional"] == true { "optional" } else { "required" };
            let name = format!("`{}`", text(field, "name"));
            vec![name, text(field, "kind"), note.to_owned(), text(field, "doc")]
        }));
        write!(page, "\n## Configuration\n\n{}", table(&rows)).unwrap();
    }
    let example = text(stage, "example");
    write!(page, "\n## Example\n\n```toml\n{}\n```\n", example.trim()).unwrap();
    page
}

#[test]
fn the_pages_of_stages_are_up_to_date() {
    let stages = Place::new().flow(&["stages", "--json"]).exits(0).json();
    let mut list = vec![head(&["stage", "what it does"])];
    for stage in stages.as_array().unwrap() {
        let name = text(stage, "name");
        is_up_to_date(&format!("reference/stages/{name}.md"), &stage_page(stage));
        list.push(vec![format!("[`{name}`](stages/{name}.md)"), text(stage, "summary")]);
    }
    let lead = "# Stages\n\n`flow stages NAME` prints each of these pages. How a stage can fail is told by the class of the failure, \
                which is the same for all of them: see [codes](codes.md).\n\n";
    is_up_to_date("reference/stages.md", &format!("{lead}{}", table(&list)));
}

/// What the long help of a command says: what it is for, how it is written, and its words.
struct Help {
    about: String,
    usage: String,
    words: Vec<(String, String)>,
}

impl Help {
    fn of(place: &Place, args: &[&str]) -> Self {
        let text = place.flow(args).exits(0).stdout;
        let (about, rest) = text.split_once("\n\nUsage: ").unwrap();
        let (usage, rest) = rest.split_once('\n').unwrap();
        let mut words: Vec<(String, String)> = Vec::new();
        let mut are_commands = false;
        for line in rest.lines().filter(|line| !line.trim().is_empty()) {
            let (indent, word) = (line.len() - line.trim_start().len(), line.trim());
            if indent == 0 {
                are_commands = line == "Commands:";
            } else if are_commands && indent == 2 {
                let (name, doc) = word.split_once("  ").unwrap();
                words.push((name.to_owned(), doc.trim().to_owned()));
            } else if indent < 8 {
                words.push((word.to_owned(), String::new()));
            } else if let Some((_, doc)) = words.last_mut() {
                doc.push_str(if doc.is_empty() { "" } else { " " });
                doc.push_str(word);
            }
        }
        words.iter_mut().for_each(|(_, doc)| *doc = in_a_row(doc));
        Self { about: about.trim().to_owned(), usage: usage.to_owned(), words }
    }

    /// Its words as a table, without those that all commands have.
    fn table(&self, common: &[(String, String)]) -> String {
        let own = self.words.iter().filter(|word| !common.contains(word));
        let rows = own.map(|(word, doc)| vec![format!("`{word}`"), doc.clone()]);
        let rows: Vec<Vec<String>> = std::iter::once(head(&["", "what"])).chain(rows).collect();
        if rows.len() == 1 { String::new() } else { format!("\n{}", table(&rows)) }
    }
}

/// What is said of an option, with the values that have words of their own in brackets.
fn in_a_row(doc: &str) -> String {
    let Some((what, values)) = doc.split_once(" Possible values: - ") else {
        return doc.to_owned();
    };
    let (values, default) = values.split_once(" [").unwrap_or((values, ""));
    let told = |value: &str| {
        let (name, words) = value.split_once(':').unwrap();
        let (first, rest) = words.trim().split_at(1);
        format!("`{name}`: {}{rest}", first.to_lowercase())
    };
    let told: Vec<String> = values.split(" - ").map(told).collect();
    let default = if default.is_empty() { String::new() } else { format!(" [{default}") };
    format!("{what} ({}){default}", told.join("; "))
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let place = Place::new();
    let root = Help::of(&place, &["--help"]);
    let (options, commands): (Vec<_>, Vec<_>) =
        root.words.iter().cloned().partition(|(word, _)| word.starts_with('-'));
    let all = Help { words: options.clone(), ..Help::of(&place, &["--help"]) };
    let mut page = format!("# Commands\n\nAll commands take these:\n{}", all.table(&[]));
    for (name, _) in commands.iter().filter(|(name, _)| name != "help") {
        let help = Help::of(&place, &[name, "--help"]);
        let words = help.table(&options);
        write!(page, "\n## flow {name}\n\n{}\n\n`{}`\n{words}", help.about, help.usage).unwrap();
    }
    assert!(page.matches("\n## flow ").count() > 20, "{page}");
    is_up_to_date("reference/commands.md", &page);
}

#[test]
fn the_picture_of_the_daily_pipeline_is_up_to_date() {
    let daily = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/daily.toml");
    let drawn = Place::new().flow(&["graph", daily.to_str().unwrap(), "--format", "svg"]).exits(0);
    is_up_to_date("daily.svg", &drawn.stdout);
}
