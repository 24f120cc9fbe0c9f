//! `flow explain`: what a code means, with an example and the way out.

use flow_core::diagnostic::nearest;
use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use crate::args::ExplainArgs;
use crate::failure::{Exit, Failure};
use crate::report::style::Paint;
use crate::report::table::{self, Cell};
use crate::session::Session;

/// The page of every code, in order.
pub(crate) const PAGES: &[(&str, &str)] = &[
    ("E0101", include_str!("../explain/E0101.md")),
    ("E0102", include_str!("../explain/E0102.md")),
    ("E0103", include_str!("../explain/E0103.md")),
    ("E0104", include_str!("../explain/E0104.md")),
    ("E0105", include_str!("../explain/E0105.md")),
    ("E0106", include_str!("../explain/E0106.md")),
    ("E0201", include_str!("../explain/E0201.md")),
    ("E0202", include_str!("../explain/E0202.md")),
    ("E0203", include_str!("../explain/E0203.md")),
    ("E0204", include_str!("../explain/E0204.md")),
    ("E0205", include_str!("../explain/E0205.md")),
    ("E0206", include_str!("../explain/E0206.md")),
    ("E0207", include_str!("../explain/E0207.md")),
    ("E0208", include_str!("../explain/E0208.md")),
    ("E0209", include_str!("../explain/E0209.md")),
    ("E0210", include_str!("../explain/E0210.md")),
    ("E0211", include_str!("../explain/E0211.md")),
    ("E0212", include_str!("../explain/E0212.md")),
    ("E0301", include_str!("../explain/E0301.md")),
    ("E0901", include_str!("../explain/E0901.md")),
    ("W001", include_str!("../explain/W001.md")),
    ("W002", include_str!("../explain/W002.md")),
    ("W003", include_str!("../explain/W003.md")),
    ("W004", include_str!("../explain/W004.md")),
    ("W005", include_str!("../explain/W005.md")),
    ("W006", include_str!("../explain/W006.md")),
    ("W007", include_str!("../explain/W007.md")),
    ("W008", include_str!("../explain/W008.md")),
    ("W009", include_str!("../explain/W009.md")),
    ("W010", include_str!("../explain/W010.md")),
    ("W011", include_str!("../explain/W011.md")),
    ("W012", include_str!("../explain/W012.md")),
    ("W013", include_str!("../explain/W013.md")),
    ("W014", include_str!("../explain/W014.md")),
    ("W015", include_str!("../explain/W015.md")),
    ("W016", include_str!("../explain/W016.md")),
    ("W017", include_str!("../explain/W017.md")),
    ("W018", include_str!("../explain/W018.md")),
    ("W019", include_str!("../explain/W019.md")),
    ("W021", include_str!("../explain/W021.md")),
    ("W022", include_str!("../explain/W022.md")),
    ("W023", include_str!("../explain/W023.md")),
    ("W024", include_str!("../explain/W024.md")),
    ("W025", include_str!("../explain/W025.md")),
    ("W026", include_str!("../explain/W026.md")),
    ("W027", include_str!("../explain/W027.md")),
    ("W028", include_str!("../explain/W028.md")),
    ("W029", include_str!("../explain/W029.md")),
    ("W030", include_str!("../explain/W030.md")),
    ("W031", include_str!("../explain/W031.md")),
    ("W032", include_str!("../explain/W032.md")),
    ("W033", include_str!("../explain/W033.md")),
    ("W034", include_str!("../explain/W034.md")),
    ("W035", include_str!("../explain/W035.md")),
    ("W045", include_str!("../explain/W045.md")),
    ("W050", include_str!("../explain/W050.md")),
    ("W101", include_str!("../explain/W101.md")),
    ("W102", include_str!("../explain/W102.md")),
    ("W103", include_str!("../explain/W103.md")),
    ("W104", include_str!("../explain/W104.md")),
    ("W105", include_str!("../explain/W105.md")),
    ("W106", include_str!("../explain/W106.md")),
    ("W107", include_str!("../explain/W107.md")),
    ("W108", include_str!("../explain/W108.md")),
    ("W109", include_str!("../explain/W109.md")),
    ("W110", include_str!("../explain/W110.md")),
    ("W111", include_str!("../explain/W111.md")),
    ("W112", include_str!("../explain/W112.md")),
    ("W113", include_str!("../explain/W113.md")),
    ("W114", include_str!("../explain/W114.md")),
    ("W115", include_str!("../explain/W115.md")),
    ("W116", include_str!("../explain/W116.md")),
    ("W117", include_str!("../explain/W117.md")),
    ("W118", include_str!("../explain/W118.md")),
    ("W119", include_str!("../explain/W119.md")),
    ("W120", include_str!("../explain/W120.md")),
    ("W121", include_str!("../explain/W121.md")),
    ("W122", include_str!("../explain/W122.md")),
    ("W123", include_str!("../explain/W123.md")),
    ("W124", include_str!("../explain/W124.md")),
    ("W125", include_str!("../explain/W125.md")),
    ("W126", include_str!("../explain/W126.md")),
    ("W127", include_str!("../explain/W127.md")),
    ("W128", include_str!("../explain/W128.md")),
    ("W129", include_str!("../explain/W129.md")),
    ("W130", include_str!("../explain/W130.md")),
    ("W140", include_str!("../explain/W140.md")),
    ("W141", include_str!("../explain/W141.md")),
    ("W142", include_str!("../explain/W142.md")),
    ("W150", include_str!("../explain/W150.md")),
    ("W151", include_str!("../explain/W151.md")),
];

pub(crate) fn run(args: &ExplainArgs, env: &Session) -> Result<Exit, Failure> {
    let text = match &args.code {
        Some(wanted) => one(find(wanted, env)?, env),
        None => all(env),
    };
    env.out.write(text.as_bytes());
    Ok(Exit::SUCCEEDED)
}

type Page = (&'static str, &'static str);

/// The page of a code, or of a class of failures.
fn find(wanted: &str, env: &Session) -> Result<Page, Failure> {
    let by_class = ErrorClass::from_name(wanted).map(ErrorClass::code);
    let code = by_class.map_or_else(|| wanted.to_ascii_uppercase(), str::to_owned);
    let page = PAGES.iter().find(|(known, _)| *known == code);
    page.copied().ok_or_else(|| {
        let names = PAGES.iter().map(|(code, _)| *code);
        let classes = ErrorClass::ALL.iter().map(|(_, name)| *name);
        let help = match nearest(&code, names).or_else(|| nearest(wanted, classes)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("list all codes with: {}", env.command(&["explain"])),
        };
        Failure::not_found(format!("there is no code `{wanted}`"), Some(help))
    })
}

fn one((code, page): Page, env: &Session) -> String {
    if env.json {
        return format!("{}\n", object(code, page));
    }
    shown(page, env.stdout)
}

/// A page for a terminal: headings painted, examples indented.
fn shown(page: &str, paint: Paint) -> String {
    let (mut out, mut in_example) = (String::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            in_example = !in_example;
            continue;
        }
        let line = match (line.strip_prefix("# "), line.strip_prefix("## ")) {
            (Some(title), _) if !in_example => paint.strong(title),
            (_, Some(heading)) if !in_example => paint.dim(&heading.to_uppercase()),
            _ if in_example => format!("    {line}"),
            _ => line.to_owned(),
        };
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn all(env: &Session) -> String {
    if env.json {
        let all: Vec<Value> = PAGES.iter().map(|(code, page)| object(code, page)).collect();
        return format!("{}\n", Value::Array(all));
    }
    let row = |(code, page): &Page| {
        vec![Cell::painted(code, |text| env.stdout.strong(text)), Cell::plain(title(page))]
    };
    table::render(&PAGES.iter().map(row).collect::<Vec<_>>(), 0)
}

fn object(code: &str, page: &str) -> Value {
    json!({"code": code, "title": title(page), "text": page})
}

/// What stands behind the code in a page's first line.
fn title(page: &str) -> &str {
    let first = page.lines().next().unwrap_or_default();
    first.split_once(": ").map_or(first, |(_, title)| title)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every code that can be told.
    fn codes() -> BTreeSet<&'static str> {
        let files = flow_workflows::codes::ALL.iter().map(|(code, _)| *code);
        let graphs = flow_core::graph::codes::ALL.iter().map(|(code, _)| *code);
        let classes = ErrorClass::ALL.iter().map(|(class, _)| class.code());
        let own =
            [crate::prepare::UNUSABLE, super::super::validate::MISSING_TOOL, crate::bug::CODE];
        files.chain(graphs).chain(classes).chain(own).collect()
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let pages: BTreeSet<&str> = PAGES.iter().map(|(code, _)| *code).collect();
        assert_eq!(pages, codes());
        assert_eq!(pages.len(), PAGES.len());
    }

    #[test]
    fn every_page_names_its_code_and_says_what_to_do() {
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
            assert!(page.contains("\n## What to do\n"), "{code}");
            assert!(page.lines().all(|line| line.len() < 600), "{code}");
        }
    }
}
