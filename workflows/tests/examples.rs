//! Every workflow that is shipped is valid: the examples, and those that make reels.

use std::path::{Path, PathBuf};

use flow_core::graph;
use flow_stages::process::Spawner;

/// The workflow files right in a folder of the repository.
fn workflows(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let entries = std::fs::read_dir(&folder).expect("a folder of the repository");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| path.file_name().is_some_and(|name| name != "Cargo.toml"))
        .collect();
    found.sort();
    found
}

/// Loads and checks a file; its faults and warnings as text.
fn faults(path: &Path) -> Vec<String> {
    let catalog = flow_stages::catalog(Spawner::new());
    let mut loaded = flow_workflows::load(path).expect("a readable file");
    if let Some(definition) = &loaded.definition
        && let Err(found) = graph::check(definition, &catalog)
    {
        loaded.join(found);
    }
    assert!(loaded.definition.is_some(), "{} has no definition", path.display());
    loaded.diagnostics.iter().map(|fault| format!("{}: {}", fault.code, fault.message)).collect()
}

#[test]
fn every_shipped_workflow_is_valid_and_warns_of_nothing() {
    for folder in ["examples", "workflows"] {
        let files = workflows(folder);
        assert!(!files.is_empty(), "{folder} has no workflow");
        for path in files {
            assert_eq!(faults(&path), Vec::<String>::new(), "{}", path.display());
        }
    }
}

#[test]
fn every_example_says_when_to_use_it_and_how_to_run_it() {
    for path in workflows("examples") {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let command = format!("flow run examples/{name}");
        assert!(head.len() > 2, "{name} begins without a comment");
        assert!(head.iter().any(|line| line.contains(&command)), "{name}: {command} is not told");
    }
}

#[test]
fn everything_that_an_example_uses_lies_beside_it() {
    for path in workflows("examples") {
        let loaded = flow_workflows::load(&path).expect("a readable file");
        let definition = loaded.definition.expect("a definition");
        for used in definition.nodes.values().flat_map(|node| &node.uses) {
            let used = definition.source.dir.join(&used.value);
            assert!(used.exists(), "{} is not there", used.display());
        }
    }
}
