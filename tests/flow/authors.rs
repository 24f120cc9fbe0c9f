//! What helps authors of workflows: a starter project, and the schema of workflow files.

use insta::assert_snapshot;

use super::harness::Place;

#[test]
fn a_starter_project_runs_as_it_is() {
    let place = Place::new();
    assert_snapshot!(place.flow(&["init", "my flow"]), @r#"
    exit: 0
    --- stdout
    made my flow/workflow.toml, my flow/.gitignore, my flow/.flow
    next:
      cd 'my flow'
      flow validate workflow.toml
      flow run workflow.toml
      flow show latest
    "#);
    assert_eq!(place.read("my flow/.gitignore"), ".flow/\n");
    let flow = |args: &[&str]| {
        let mut command = place.command(args);
        command.current_dir(place.path("my flow"));
        place.finish(command)
    };
    flow(&["validate", "workflow.toml"]).exits(0);
    let run = flow(&["run", "workflow.toml", "--param", "greeting=Hi"]).exits(0);
    assert!(run.stdout.contains("report.txt"), "{run}");
    assert_eq!(flow(&["output", "latest", "report"]).stdout, "Hi, venus!\nHi, earth!\nHi, mars!\n");
    let shown = flow(&["show", "latest", "greet", "--json"]).exits(0);
    assert!(shown.stdout.contains("\"attempts\":2"), "mars was tried twice: {shown}");
}

#[test]
fn init_changes_nothing_that_is_there() {
    let place = Place::new();
    place.write(".gitignore", "target");
    place.flow(&["init"]).exits(0);
    assert_eq!(place.read(".gitignore"), "target\n.flow/\n");
    assert!(place.path(".flow/format").exists() && place.path("workflow.toml").exists());
    place.write("workflow.toml", "mine");
    assert_snapshot!(place.flow(&["init"]), @r#"
    exit: 6
    --- stderr
    error: workflow.toml is there already, and nothing was changed
    help: name another folder: flow init DIR
    "#);
    assert_eq!(
        (place.read("workflow.toml"), place.read(".gitignore")),
        ("mine".into(), "target\n.flow/\n".into())
    );
    std::fs::remove_file(place.path("workflow.toml")).unwrap();
    let again = place.flow(&["init", "--json"]).exits(0).json();
    assert_eq!(again["made"], serde_json::json!(["workflow.toml", ".flow"]));
    assert_eq!(place.read(".gitignore"), "target\n.flow/\n");
}

#[test]
fn the_schema_of_workflow_files_knows_keys_and_stages() {
    let place = Place::new();
    let schema = place.flow(&["schema"]).exits(0).json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let node = &schema["$defs"]["node"]["properties"];
    assert!(node["timeout"]["description"].as_str().unwrap().contains("one attempt"));
    assert!(node["stage"]["enum"].as_array().unwrap().iter().any(|name| name == "media.assemble"));
    assert!(place.flow(&["schema"]).stdout.contains("\n  \"$defs\""), "it is laid out for people");
}
