//! `flow shell`: a shell in the place of an attempt.

use insta::assert_snapshot;
use serde_json::json;

use crate::harness::{Done, Place};
use crate::terminal::Terminal;

const CALL: &str = r#"
[secrets]
api   = { env = "TEST_API_KEY" }
other = { env = "TEST_OTHER_KEY", optional = true }
[nodes.list]
stage = "value"
with  = { value = ["a b", "c"] }
outputs = { items = "list<string>" }
[nodes.call]
stage  = "command"
for_each = "list.items"
key    = "{{ item }}"
inputs = { it = "item" }
uses   = ["tool.sh"]
with   = { argv = ["sh", "tool.sh", "{{ inputs.it }}"], env = { TOKEN = "Bearer {{ secrets.api }}", PLAIN = "x y" }, stdin = "hello {{ inputs.it }}" }
[nodes.shape]
stage  = "jq"
inputs = { items = "list.items" }
with   = { filter = "map(length)" }
outputs = { n = "list<integer>" }
"#;

fn place() -> Place {
    let place = Place::with(CALL);
    place.write("tool.sh", "echo \"$1 $(cat) ${#TOKEN} $PLAIN\"; exit 3");
    let mut command = place.command(&["run", "flow.toml", "--run-id", "one"]);
    command.env("TEST_API_KEY", "s3cret-value");
    place.finish(command).exits(1);
    place
}

/// `flow shell ARGS` with lines for the shell to run.
fn shell(place: &Place, args: &[&str], key: Option<&str>, lines: &str) -> Done {
    place.write("lines", lines);
    let mut command = place.command(&["shell", "one"]);
    command.args(args).env("SHELL", "/bin/sh");
    command.stdin(std::fs::File::open(place.path("lines")).unwrap());
    match key {
        Some(key) => command.env("TEST_API_KEY", key),
        None => command.env_remove("TEST_API_KEY"),
    };
    place.finish(command)
}

#[test]
fn what_an_attempt_ran_is_printed_without_secrets() {
    let place = place();
    let done = shell(&place, &["call[a b]", "--print"], Some("s3cret-value"), "");
    let text = regex::Regex::new("[0-9a-f]{12}\\.1\\.\\d+").unwrap();
    assert_snapshot!(text.replace_all(&done.to_string(), "[attempt]"), @"
    exit: 0
    --- stdout
    # call[a b] of run one, attempt 1, stage command
    # the folder is not kept: add --keep to look at it
    cd [dir]/.flow/scratch/one/call@0-c95e5a48e784.1.[pid]/work
    unset TEST_API_KEY
    unset TEST_OTHER_KEY
    # TOKEN has the secret api: set it yourself
    export PLAIN='x y'
    export FLOW_RUN_ID=one
    export FLOW_NODE=call
    export FLOW_ATTEMPT=1
    export FLOW_IDEMPOTENCY_KEY=[digest]
    export FLOW_WORKFLOW_DIR=[dir]
    export FLOW_INPUTS=[dir]/.flow/scratch/one/call@0-[attempt]/side/inputs.json
    export FLOW_OUTPUTS=[dir]/.flow/scratch/one/call@0-[attempt]/side/outputs
    export FLOW_ITEM='a b'
    export FLOW_INDEX=0
    sh tool.sh 'a b' # reads 9 bytes from standard input
    ");
    let done = shell(&place, &["call[c]", "--json"], Some("s3cret-value"), "").json();
    assert_eq!(done["stdin"], "hello c");
    assert_eq!(done["env"]["FLOW_ATTEMPT"], "1");
    assert_eq!(done["secret_env"], json!({ "TOKEN": ["api"] }));
    assert!(!done.to_string().contains("s3cret"), "{done}");
}

#[test]
fn the_shell_has_folder_inputs_environment_and_the_command_itself() {
    let place = place();
    let lines = "cat inputs/it.json; echo; ls; echo \"$TOKEN|$TEST_API_KEY|$FLOW_ITEM\"; ../side/command; exit 0";
    let done = shell(&place, &["call[a b]"], Some("s3cret-value"), lines).exits(0);
    assert_eq!(
        done.stdout,
        "\"a b\"\ninputs\ntool.sh\nBearer s3cret-value||a b\na b hello a b 19 x y\n"
    );
    assert!(done.stderr.contains("TOKEN is set from api"), "{done}");
    assert!(!done.stderr.contains("s3cret"), "{done}");
    let kept = place.path(".flow/scratch/one");
    let left: Vec<_> = std::fs::read_dir(kept).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 2, "only the folders of the failed attempts: {left:?}");
}

#[test]
fn a_secret_without_a_value_leaves_its_variable_out() {
    let place = place();
    let done = shell(&place, &["call[c]"], None, "echo \"${TOKEN-nothing}\"").exits(0);
    assert_eq!(done.stdout, "nothing\n");
    assert!(done.stderr.contains("TOKEN is not set: api has no value here"), "{done}");
}

#[test]
fn a_stage_that_is_no_program_is_laid_out_as_files() {
    let place = place();
    let done = shell(&place, &["shape"], None, "cat inputs/items.json with.json").exits(0);
    assert_eq!(done.stdout, "[\"a b\",\"c\"]{\n  \"filter\": \"map(length)\"\n}");
    assert!(done.stderr.contains("jq is no program"), "{done}");
}

#[test]
fn the_folder_is_kept_where_that_is_asked_for() {
    let place = place();
    let done = shell(&place, &["shape", "--keep"], None, "echo mine > note").exits(0);
    let kept = done.stderr.lines().find_map(|line| line.strip_prefix("kept: ")).unwrap();
    assert_eq!(std::fs::read_to_string(format!("{kept}/note")).unwrap(), "mine\n");
}

#[test]
fn what_cannot_be_laid_out_is_told() {
    let place = place();
    shell(&place, &["call"], None, "").exits(5);
    shell(&place, &["call[d]"], None, "").exits(5);
    shell(&place, &["nothing"], None, "").exits(5);
    // How the shell itself ended is told by the exit code.
    shell(&place, &["shape"], None, "exit 9").exits(1);
}

#[test]
fn on_a_terminal_ctrl_c_is_for_the_shell() {
    let place = place();
    let flow = env!("CARGO_BIN_EXE_flow");
    let argv = ["env", "SHELL=/bin/sh", "PS1=inside> ", flow, "shell", "one", "shape"];
    let mut terminal = Terminal::start_program(&place, &argv, 100, 24);
    terminal.wait_for("inside>");
    // The word is not in what is typed: once it is there, the program has the terminal.
    terminal.press("sh -c 'echo be\"\"gun; exec sleep 60'\r");
    terminal.wait_for("begun");
    terminal.press("\u{3}");
    terminal.press("echo still $((40 + 2))\r");
    terminal.wait_for("still 42");
    terminal.press("exit 0\r");
    assert_eq!(terminal.end(), 0);
}
