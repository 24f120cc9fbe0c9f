//! The live view, on terminals.

use insta::assert_snapshot;

use crate::harness::{Place, steady};
use crate::terminal::Terminal;

/// Nodes that go on until a file named `go` is there.
const HELD: &str = r#"
[nodes.first]
stage = "noop"
[nodes.held]
stage = "command"
after = ["first"]
with  = { shell = "while [ ! -e \"$FLOW_WORKFLOW_DIR/go\" ]; do sleep 0.02; done" }
[nodes.last]
stage = "noop"
after = ["held"]
"#;

fn shown(terminal: &Terminal, place: &Place) -> String {
    let lines = terminal.text();
    let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
    steady(&lines.join("\n"), &place.path("").canonicalize().unwrap())
}

#[test]
fn what_goes_on_is_pinned_below_the_lines_and_gone_at_the_end() {
    let place = Place::with(HELD);
    let mut terminal = Terminal::start(&place, &["run", "flow.toml"], 80, 24);
    terminal.wait_for(" ● held");
    assert!(terminal.text().contains(" ▸ 1/3 nodes · 1 running"), "{}", terminal.text());
    place.write("go", "");
    assert_eq!(terminal.end(), 0);
    assert!(terminal.has_cursor());
    assert_snapshot!(shown(&terminal, &place), @r"
    [time] ▶ run  [run] of workflow test

       NODE  STATUS  ATTEMPTS  TIME
    ✔  first  succeeded  1  [took]
    ✔  held  succeeded  1  [took]
    ✔  last  succeeded  1  [took]
    run [run] succeeded: 3 succeeded in [took]
    ");
}

#[test]
fn failures_and_retries_scroll_by_with_the_last_words() {
    let place = Place::with(
        r#"
        [nodes.bad]
        stage = "command"
        retry = { attempts = 2, base = "10ms", on = ["exit:3"] }
        with  = { argv = ["sh", "-c", "printf 'no \\033[2Jway\\n' >&2; exit 3"] }
        "#,
    );
    let mut terminal = Terminal::start(&place, &["run", "flow.toml"], 100, 30);
    assert_eq!(terminal.end(), 1);
    let text = shown(&terminal, &place);
    for line in [
        "attempt 1: process: `sh` ended with exit code 3",
        "│ no \\u{1b}[2Jway",
        "flow resume [run]",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn narrow_terminals_and_changes_of_size_leave_no_trace() {
    let place = Place::with(HELD);
    let mut terminal = Terminal::start(&place, &["run", "flow.toml"], 20, 10);
    terminal.wait_for(" ● held");
    let rows = |text: &str, sign: &str| text.lines().filter(|line| line.contains(sign)).count();
    for (columns, size) in [(60, 24), (20, 8), (100, 30)] {
        // Not in the middle of a frame of the old size.
        terminal.wait_for_change();
        terminal.resize(columns, size);
        // One more frame in the new size: its rows are shorter than before, or as long as needed.
        terminal.wait_for(if columns > 40 { "· test" } else { "…" });
        let text = terminal.text();
        assert_eq!((rows(&text, "▸"), rows(&text, "●")), (1, 1), "{columns} columns:\n{text}");
    }
    place.write("go", "");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.text().contains('▸'), "{}", terminal.text());
}

#[test]
fn ctrl_c_ends_the_run_and_leaves_a_clean_terminal() {
    let place = Place::with(HELD);
    let mut terminal = Terminal::start(&place, &["run", "flow.toml", "--run-id", "one"], 80, 24);
    terminal.wait_for(" ● held");
    terminal.press("\u{3}");
    assert_eq!(terminal.end(), 130);
    let text = terminal.text();
    assert!(text.contains("SIGINT: ending what runs"), "{text}");
    assert!(text.contains("flow resume one") && !text.contains('▸'), "{text}");
    assert!(terminal.has_cursor());
}

#[test]
fn a_kill_leaves_a_terminal_that_can_be_used() {
    let place = Place::with(HELD);
    let mut terminal = Terminal::start(&place, &["run", "flow.toml"], 80, 24);
    terminal.wait_for(" ● held");
    terminal.send("-KILL");
    place.write("go", "");
    terminal.end();
    assert!(terminal.has_cursor());
    // Nothing was switched on that would have to be switched off again.
    let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    assert!(!bytes.contains("\x1b[?25l") && !bytes.contains("\x1b[?1049h"), "{bytes:?}");
}

#[test]
fn ctrl_z_takes_the_view_away_and_fg_brings_it_back() {
    let place = Place::with(HELD);
    let flow = env!("CARGO_BIN_EXE_flow");
    let mut terminal =
        Terminal::start_program(&place, &["bash", "--norc", "--noprofile", "-i"], 80, 24);
    terminal.press(&format!("PS1='ready> '; clear; {flow} run flow.toml\r"));
    terminal.wait_for(" ● held");
    terminal.press("\u{1a}");
    terminal.wait_for("Stopped");
    assert!(!terminal.text().contains('▸'), "{}", terminal.text());
    terminal.press("fg\r");
    terminal.wait_for(" ● held");
    place.write("go", "");
    terminal.wait_for("succeeded: 3 succeeded");
    terminal.press("exit\r");
    terminal.end();
    assert!(terminal.has_cursor() && !terminal.text().contains('▸'), "{}", terminal.text());
}

#[test]
fn a_terminal_that_takes_nothing_does_not_hold_up_the_run() {
    let place = Place::with(HELD);
    let mut terminal =
        Terminal::start(&place, &["run", "flow.toml", "--run-id", "one", "-v"], 80, 24);
    terminal.wait_for(" ● held");
    // Ctrl-S: the terminal takes nothing more.
    terminal.press("\u{13}");
    place.write("go", "");
    crate::harness::wait_until("the run has succeeded", || {
        place.show("one")["status"] == "succeeded"
    });
    terminal.press("\u{11}");
    assert_eq!(terminal.end(), 0);
    assert!(terminal.text().contains("succeeded: 3 succeeded"), "{}", terminal.text());
}

#[test]
fn a_question_stands_there_with_the_command_that_answers() {
    let place = Place::with(
        "[nodes.ask]\nstage = \"approve\"\nwith = { message = \"Publish?\", choices = [\"all\", \"none\"] }\n",
    );
    let mut terminal = Terminal::start(&place, &["run", "flow.toml", "--run-id", "one"], 80, 24);
    terminal.wait_for(" ? ask asks: Publish?");
    terminal.wait_for("   flow approve one ask --choice all");
    place.flow(&["approve", "one", "ask", "--choice", "all"]).exits(0);
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.text().contains(" ? ask"), "{}", terminal.text());
}

#[test]
fn output_of_programs_scrolls_above_the_view_when_it_is_wanted() {
    let place = Place::with(
        r#"
        [nodes.talk]
        stage = "command"
        with  = { shell = "printf 'a\\033[31mb\\nc\\r\\n'; head -c 3000 /dev/zero | tr '\\0' x; echo; while [ ! -e \"$FLOW_WORKFLOW_DIR/go\" ]; do sleep 0.02; done; printf end" }
        "#,
    );
    let mut terminal = Terminal::start(&place, &["run", "flow.toml", "-v"], 80, 60);
    terminal.wait_for("(3.0 kB in all: see `flow logs`)");
    terminal.wait_for(" ● talk");
    assert!(terminal.text().contains("a\\x1b[31mb"), "{}", terminal.text());
    place.write("go", "");
    assert_eq!(terminal.end(), 0);
    assert!(terminal.text().contains("talk     end"), "{}", terminal.text());
}

#[test]
fn a_rerun_is_watched_too() {
    let place = Place::with(HELD);
    place.write("go", "");
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    std::fs::remove_file(place.path("go")).unwrap();
    let mut terminal = Terminal::start(&place, &["rerun", "one", "held"], 80, 24);
    terminal.wait_for(" ● held");
    place.write("go", "");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.text().contains('▸'), "{}", terminal.text());
}

#[test]
fn elsewhere_there_are_plain_lines() {
    let place = Place::with(HELD);
    place.write("go", "");
    for args in [&["run", "flow.toml", "-q"][..], &["run", "flow.toml", "--json"]] {
        let mut terminal = Terminal::start(&place, args, 80, 24);
        assert_eq!(terminal.end(), 0);
        assert!(!terminal.bytes().contains(&0x1b) || args.contains(&"-q"), "{args:?}");
        assert!(!String::from_utf8_lossy(&terminal.bytes()).contains("\x1b[J"), "{args:?}");
    }
    let dumb = ["env", "TERM=dumb", env!("CARGO_BIN_EXE_flow"), "run", "flow.toml"];
    let mut terminal = Terminal::start_program(&place, &dumb, 80, 24);
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.bytes().contains(&0x1b), "{}", terminal.text());
}

#[test]
fn colors_follow_the_environment_and_the_option() {
    let place = Place::with(HELD);
    place.write("go", "");
    let flow = env!("CARGO_BIN_EXE_flow");
    let has_color = |argv: &[&str]| {
        let mut terminal = Terminal::start_program(&place, argv, 80, 24);
        assert_eq!(terminal.end(), 0);
        String::from_utf8_lossy(&terminal.bytes()).contains("\x1b[32m")
    };
    assert!(has_color(&[flow, "run", "flow.toml"]));
    assert!(!has_color(&["env", "NO_COLOR=1", flow, "run", "flow.toml"]));
    assert!(has_color(&["env", "NO_COLOR=1", flow, "--color", "always", "run", "flow.toml"]));
    assert!(!has_color(&[flow, "--color", "never", "run", "flow.toml"]));
}

/// Escapes wherever others may put them: names, parameters, keys, questions, payloads, output of
/// programs, the text of an artifact, errors.
const EVIL: &str = r#"
[workflow]
name = "ev\u001b[31mil\u009b2J"
[params]
p = { type = "string", default = "a\u001b[2Jb" }
[types.R.fields]
line = { type = "number", greater_than = 0 }
[nodes.list]
stage = "value"
with = { value = ["k\u001b[31m", "l\u009b2J\u202e"] }
outputs = { items = "list<string>" }
[nodes.each]
stage = "command"
for_each = "list.items"
key = "{{ item }}"
inputs = { it = "item" }
with = { argv = ["sh", "-c", "printf '\\033[31mx\\n'; printf '\\033[31merr\\233' >&2; exit 4", "{{ item }}{{ params.p }}"] }
[nodes.bad]
stage = "command"
with = { shell = "printf '{\"line\": -1, \"\\\\u001b[31m\": \"\\302\\2332J\"}'" }
outputs = { r = "R" }
[nodes.text]
stage = "command"
with = { shell = "printf 'one\\033[31m\\r\\ntwo\\033]0;t\\007\\n%s' \"$FLOW_RUN_ID\" | tee file" }
outputs.line = { type = "string", from = "stdout" }
outputs.file = { type = "file<text/plain>", path = "file" }
[nodes.ask]
stage = "approve"
with = { message = "go\u001b[2J on?" }
"#;

#[test]
fn nothing_that_others_wrote_steers_the_terminal() {
    let place = Place::new();
    place.write("flow.toml", EVIL);
    for run in ["one", "two"] {
        place.flow(&["run", "flow.toml", "--run-id", run, "--no-wait"]).exits(7);
    }
    let commands = [
        "run flow.toml --run-id three --no-wait -v",
        "run flow.toml --run-id four --no-wait --json",
        "resume one --no-wait",
        "rerun one text",
        "rerun one bad",
        "show one",
        "show one each",
        "show one bad --json",
        "logs one",
        "logs one --json -v",
        "why one each",
        "why one bad",
        "diff one two",
        "diff one two --json",
        "plan --resume one",
        "runs",
        "graph one",
        "graph one --format dot",
        "graph one --format mermaid",
        "output one list",
        "output one list --json",
        "output one text.line",
        "output one text.file",
        "show one no\u{1b}[31mde",
        "show no\u{1b}[31mrun",
        "run no\u{1b}[31mfile",
        "explain no\u{1b}[31mcode",
    ];
    for command in commands {
        let flow = ["env", "TERM=dumb", env!("CARGO_BIN_EXE_flow"), "--color", "never"];
        let argv: Vec<&str> = flow.into_iter().chain(command.split(' ')).collect();
        let mut terminal = Terminal::start_program(&place, &argv, 80, 24);
        terminal.end();
        let text = String::from_utf8(terminal.bytes()).unwrap();
        let steers = |c: &char| (c.is_control() && !"\r\n\t".contains(*c)) || *c == '\u{202e}';
        assert_eq!(text.chars().find(steers), None, "{command:?}:\n{text:?}");
        assert!(!text.is_empty(), "{command:?}");
    }
}
