//! The documentation as a book: all pages are linked, all links lead somewhere, and the pages that are
//! made from the binary are up to date. `FLOW_WRITE_DOCS=1` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

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
    names("").into_iter().chain(names("reference/")).collect()
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
        std::fs::create_dir_all(docs().join("reference")).unwrap();
        std::fs::write(docs().join(page), made).unwrap();
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
