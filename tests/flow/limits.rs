//! Where something runs out, or is not what it should be: disks, outputs, and whoever is left to
//! clean up.
#![cfg(target_os = "linux")]

use std::process::Command;

use super::harness::{Place, is_alive, kill_9, wait_until};

/// A file system of three megabytes at a path, for as long as this lives.
struct Small(std::path::PathBuf);

impl Small {
    /// `None` where nothing can be mounted, which takes root.
    #[allow(clippy::print_stderr, reason = "what was not tried must be seen")]
    fn mount(path: std::path::PathBuf) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&path);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        eprintln!("SKIPPED: a full disk: nothing can be mounted here, which takes root");
        None
    }

    fn unmount(&self) {
        // What was started there may still be ending.
        wait_until("the small disk is free", || {
            Command::new("umount").arg(&self.0).output().is_ok_and(|done| done.status.success())
        });
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

/// The output of each is too large for the disk: one is kept by the engine, one the program writes.
const LARGE: &str = r#"
[defaults]
retry = { attempts = 3, base = "1ms" }
[nodes.said]
stage = "command"
with = { shell = "head -c 9000000 /dev/zero | tr '\\0' x" }
outputs.s = "string"
[nodes.written]
stage = "command"
after = ["small"]
with = { shell = "head -c 9000000 /dev/zero > {{ outputs.f }}" }
outputs.f = "file"
[nodes.small]
stage = "command"
with = { shell = "echo 1" }
outputs.n = "integer"
"#;

#[test]
fn a_full_disk_is_told_as_such_and_is_not_tried_again() {
    let place = Place::with(LARGE);
    place.flow(&["run", "flow.toml", "--run-id", "first", "--only", "small"]).exits(0);
    for node in ["said", "written"] {
        let Some(small) = Small::mount(place.path(".flow/scratch")) else { return };
        place.flow(&["run", "flow.toml", "--run-id", node, "--only", node]).exits(1);
        let show = place.show(node);
        let failed = show["nodes"].as_array().unwrap().iter().find(|found| found["id"] == node);
        let failed = failed.unwrap();
        assert_eq!(failed["error"]["class"], "disk_full", "{failed}");
        assert_eq!(failed["attempts"], 1, "{failed}");
        small.unmount();
        place.flow(&["resume", node]).exits(0);
    }
}

/// The error of a node whose program leaves `o` in this way.
fn refused(shell: &str, output: &str) -> serde_json::Value {
    let place = Place::with(&format!(
        "[nodes.a]\nstage = \"command\"\nretry.attempts = 1\nwith = {{ shell = '''{shell}''' }}\n\
         outputs.o = {output}\n"
    ));
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    place.show("one")["nodes"][0]["error"].clone()
}

/// Opening a FIFO would wait for a writer, opening a device may do anything, and a link may lead
/// out of the scratch folder.
#[test]
fn an_output_that_is_no_plain_file_is_refused_and_never_opened() {
    let kinds =
        ["mkfifo $P", "mkdir $P", "ln -s /etc/passwd $P", "ln -s /dev/zero $P", "mknod $P c 1 5"];
    let places = [
        ("P=o", "{ type = \"file\", path = \"o\" }"),
        ("P=$FLOW_OUTPUTS/o", "\"file\""),
        ("P=$FLOW_OUTPUTS/o.json", "\"json\""),
    ];
    for kind in kinds {
        for (path, output) in places {
            let error = refused(&format!("{path}; {kind}"), output);
            let class = error["class"].as_str().unwrap();
            // Only root can make a device.
            let could_not = class == "process" && kind.starts_with("mknod");
            assert!(class == "validation" || could_not, "{kind} at {path}: {error}");
            assert!(could_not || error["port"] == "o", "{kind} at {path}: {error}");
        }
    }
}

#[test]
fn json_over_the_limit_is_refused_before_it_is_read() {
    let error = refused("truncate -s 300M $FLOW_OUTPUTS/o.json", "\"json\"");
    assert_eq!(error["class"], "validation", "{error}");
    assert!(error["message"].as_str().unwrap().contains("declare it as `file`"), "{error}");
}

/// The starter of programs cannot end them if it is killed as well; they are on record, so that the
/// next process does.
#[test]
fn what_outlives_both_the_engine_and_its_starter_is_ended_before_the_next_attempt() {
    let place = Place::with(
        "[nodes.a]\nstage = \"command\"\n\
         with = { shell = \"echo $$ > $DIR/pid$FLOW_ATTEMPT; test -e $DIR/open || exec sleep 1000\", \
         env = { DIR = \"{{ workflow.dir }}\" } }\n",
    );
    let mut engine = place.start(&["run", "flow.toml", "--run-id", "one"]);
    place.wait_for("pid1");
    let pid = place.read("pid1").trim().to_owned();
    let (word, journal) = (format!("\"pid\":{pid},"), place.path(".flow/runs/one/journal"));
    wait_until("it is on record", || {
        let journal = std::fs::read(&journal).unwrap();
        journal.windows(word.len()).any(|window| window == word.as_bytes())
    });
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let starter = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, starter]).status().unwrap().success());
    };
    // Stopped, it does not notice that the engine dies.
    signal("-STOP");
    kill_9(&mut engine);
    signal("-KILL");
    wait_until("the starter is dead", || !is_alive(starter));
    assert!(is_alive(&pid), "nobody was there to end it");
    place.write("open", "");
    place.flow(&["resume", "one"]).exits(0);
    assert!(!is_alive(&pid), "the next process ends what is on record");
    assert_eq!(place.show("one")["nodes"][0]["attempts"], 2);
}

#[test]
fn however_few_files_may_be_open_a_run_says_why_it_cannot_go_on() {
    for limit in (6..=34).step_by(2) {
        let place = Place::with(
            "[nodes.a]\nstage = \"command\"\nwith = { argv = [\"true\"] }\nretry = { attempts = 1 }\n",
        );
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" run flow.toml --run-id one");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_flow")]);
        command.current_dir(place.path("")).env_remove("FLOW_STORE");
        let done = place.finish_in_time(command);
        assert!(matches!(done.code, Some(0 | 1 | 4)), "{limit} files: {done}");
        assert!(!done.stderr.contains("panicked"), "{limit} files: {done}");
        if done.code != Some(0) && place.path(".flow/runs/one").exists() {
            place.flow(&["resume", "one"]).exits(0);
        }
    }
}
