//! Standard output that is closed, full, or not a terminal.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use insta::assert_snapshot;

use super::harness::{Place, steady};

const SOME: &str = r#"
[nodes.a]
stage = "command"
with = { shell = "echo 1" }
outputs.n = "integer"
[nodes.b]
stage = "command"
inputs = { n = "a.n" }
with = { shell = "echo done > $DIR/done; head -c 1000000 /dev/zero", env = { DIR = "{{ workflow.dir }}" } }
outputs.f = { type = "file", from = "stdout" }
[outputs]
n = "a.n"
"#;

#[test]
fn a_closed_stdout_is_no_failure_and_the_run_goes_on() {
    for args in [&["run", "flow.toml"][..], &["run", "flow.toml", "--json"]] {
        let place = Place::with(SOME);
        let mut command = place.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(place.read("done"), "done\n");
        assert_eq!(place.show("latest")["status"], "succeeded");
    }
}

#[test]
fn a_long_output_stops_when_nobody_reads() {
    let place = Place::with(SOME);
    place.flow(&["run", "flow.toml"]).exits(0);
    let mut command = place.command(&["output", "latest", "b"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_full_disk_behind_stdout_is_told_and_the_run_goes_on() {
    for args in
        [&["run", "flow.toml"][..], &["run", "flow.toml", "--json"], &["stages"], &["--version"]]
    {
        let place = Place::with(SOME);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = place.command(args);
        let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("error: cannot write to standard output"), "{stderr}");
        if args[0] == "run" {
            assert_eq!(place.show("latest")["status"], "succeeded");
        }
    }
}

#[test]
fn colors_are_there_when_wanted_alone() {
    let place = Place::with(SOME);
    let plain = place.flow(&["run", "flow.toml"]).exits(0);
    assert!(!plain.stderr.contains('\u{1b}'));
    let painted = place.flow(&["--color", "always", "run", "flow.toml"]).exits(0);
    assert!(painted.stderr.contains('\u{1b}') && !painted.stdout.contains('\u{1b}'), "{painted}");
    let mut never = place.command(&["show", "latest"]);
    never.env("NO_COLOR", "1");
    assert!(!place.finish(never).stdout.contains('\u{1b}'));
}

#[test]
fn a_name_that_could_steer_a_terminal_is_written_out() {
    let place = Place::with(
        r#"
[nodes.list]
stage = "value"
with = { value = ["\u001b]0;x\u0007"] }
outputs.list = "list<string>"
[nodes.each]
stage = "command"
for_each = "list.list"
key = "{{ item }}"
with = { argv = ["sh", "-c", "printf '\\033[2J' >&2; exit 1", "{{ item }}"] }
"#,
    );
    let done = place.flow(&["run", "flow.toml", "-v"]).exits(1);
    assert!(!done.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", done.stderr);
    assert!(!place.flow(&["show", "latest", "each"]).stdout.contains(['\u{1b}', '\u{7}']));
}

#[test]
fn help_is_a_result() {
    let place = Place::new();
    let done = place.flow(&["--help"]).exits(0);
    assert!(done.stderr.is_empty());
    assert_snapshot!(steady(&done.stdout, &place.path("")), @r#"
    A durable workflow engine: typed DAGs in TOML, resumed from the last good stage

    Usage: flow [OPTIONS] <COMMAND>

    Commands:
      run  Validate a workflow file, then run it
      resume  Go on with a run from its last good stage
      rerun  Run one stage again with its recorded inputs, beside the run
      cancel  End a run for good
      approve  Answer what a node of a run asks
      resolve  Say whether an effect happened whose attempt ended without an answer
      cache  Results that other runs may take
      validate  Check workflow files without running them
      plan  Say what a run would do, without doing it
      show  Show a run: states, attempts, timings, errors, outputs
      runs  List runs, newest first
      output  Write a payload to stdout or a file
      why  Say why a node ran, was reused, or did not run
      diff  Say where two runs differ, where that began and where it healed
      logs  Show the events and the captured output of a run
      shell  Open a shell in the place of an attempt: its folder, inputs, environment and command
      graph  Draw the DAG of a workflow file, or of a run with its states and times
      stages  List the stages, or explain one; or print the JSON Schema of a record
      init  Make a starter project
      explain  Say what a code means, with an example and the way out
      schema  Print the JSON Schema of workflow files, for editors
      verify  Read every byte of the store and name what is damaged or lost
      gc  Remove old runs, and what no run needs any more
      export  Write one run with all its payloads into a file
      import  Take a run from a file into the store
      doctor  Check tools, store, secrets and limits of this machine
      completions  Print what a shell needs to complete command lines
      man  Print the manual page, or write those of all commands into a folder

    Options:
          --store <DIR>
              The store; default: $FLOW_STORE, else the nearest .flow at or above the current folder

          --json
              Print results as JSON

          --color <WHEN>
              When to use colors

              Possible values:
              - auto:  On a terminal, unless NO_COLOR is set
              - always: Wherever it goes
              - never:  Nowhere
              
              [default: auto]

      -v, --verbose...
              Tell more: output of programs, progress

      -q, --quiet
              Tell only failures and the end

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Exit codes: 0 succeeded, 1 failed, 2 usage, 3 invalid workflow or parameter, 4 store, 5 no such run
    or node, 6 the run's state refuses, 7 only waiting is left (--no-wait), 70 a bug of flow, 129, 130,
    143 interrupted (the run can be resumed)
    "#);
}

#[test]
fn a_limit_on_file_sizes_is_a_failed_write() {
    let value = "{{ params.x }}".repeat(40);
    let place = Place::with(&format!(
        "[params]\nx = {{ type = \"string\", default = \"{}\" }}\n[nodes.a]\nstage = \"value\"\nwith = {{ value = \"{value}\" }}\noutputs.x = \"string\"\n",
        "x".repeat(1_000),
    ));
    let mut limited = std::process::Command::new("sh");
    // Room for the recorded workflow, and not for the journal with the payload.
    let script =
        format!("ulimit -f 20; exec {} run flow.toml --run-id r", env!("CARGO_BIN_EXE_flow"));
    limited.args(["-c", &script]).current_dir(place.path("."));
    place.finish(limited).exits(4);
    place.flow(&["resume", "r"]).exits(0);
}
