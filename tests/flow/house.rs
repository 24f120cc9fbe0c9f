//! The house rules: who may depend on whom.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// The crates around the core; none of them knows another. Tests may.
const SIBLINGS: [&str; 4] = ["flow-runtime", "flow-stages", "flow-store", "flow-workflows"];

#[test]
fn dependencies_form_a_star_around_the_core() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let own: BTreeMap<&str, Vec<&str>> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let normal = dependencies
                .iter()
                .filter(|d| d["kind"].is_null())
                .filter_map(|d| d["name"].as_str())
                .filter(|name| name.starts_with("flow-"));
            (package["name"].as_str().expect("name"), normal.collect())
        })
        .collect();
    assert_eq!(own["flow-core"], Vec::<&str>::new(), "the core depends on no other part");
    for sibling in SIBLINGS {
        assert_eq!(own[sibling], ["flow-core"], "{sibling} depends on the core alone");
    }
    for sibling in SIBLINGS {
        assert!(own["flow"].contains(&sibling), "the command line knows {sibling}");
    }
}

#[test]
fn a_build_without_traces_has_nothing_of_them() {
    let tree = |features: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "-e", "normal", "-p", "flow"])
            .args(features)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(!tree(&[]).contains("opentelemetry"));
    assert!(tree(&["--features", "otel"]).contains("opentelemetry"));
}
