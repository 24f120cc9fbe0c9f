//! Secrets: programs get them, and nothing else ever shows them.

use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

use super::harness::{Done, Place, kill_9};

/// Its base64 has `+` and `/` in it, its URL and JSON forms differ from it, and it has no part that
/// anything else could have.
const CANARY: &str = "kQ~>?zv7\"W/9 x+Yé%tR2\\pL-canary-0815";

/// Every text that would give the canary away.
fn forms() -> Vec<Vec<u8>> {
    let bytes = CANARY.as_bytes();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let url = |safe: &str, upper: bool, plus: bool| -> String {
        bytes
            .iter()
            .map(|b| match b {
                b' ' if plus => "+".to_owned(),
                b if b.is_ascii_alphanumeric() || safe.contains(char::from(*b)) => {
                    char::from(*b).to_string()
                }
                b if upper => format!("%{b:02X}"),
                b => format!("%{b:02x}"),
            })
            .collect()
    };
    let json = serde_json::to_string(CANARY).unwrap();
    let json = json.trim_matches('"').to_owned();
    let mut forms = vec![
        CANARY.to_owned(),
        hex.to_uppercase(),
        hex,
        url("-_.~", true, false),
        url("-_.~", false, false),
        url("-_.~/", true, true),
        json.replace('/', "\\/"),
        json.replace('é', "\\u00e9"),
        json.replace('é', "\\u00E9"),
        json.replace('é', "\\u00e9").replace('/', "\\/"),
        json,
    ];
    for before in 0..3 {
        let padded = [vec![b'x'; before], bytes.to_vec()].concat();
        let inside = base64(&padded)[[0, 2, 3][before]..padded.len() * 8 / 6].to_owned();
        forms.push(inside.replace('+', "-").replace('/', "_"));
        forms.push(inside);
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().chain([&0, &0]).take(3).fold(0, |n, b| n << 8 | u32::from(*b));
        for place in 0..=three.len() {
            let six = word >> (18 - 6 * place) & 63;
            out.push(char::from(ALPHABET[six as usize]));
        }
    }
    out
}

/// Everything in a place where a form of the canary stands: files of the store, and what was said.
fn leaks(place: &Place, said: &[&Done]) -> Vec<String> {
    let mut found = Vec::new();
    let mut by_first = vec![Vec::new(); 256];
    for form in forms() {
        by_first[usize::from(form[0])].push(form);
    }
    let mut look = |name: String, bytes: &[u8]| {
        // An encoder breaks its lines.
        let bytes: Vec<u8> = bytes.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
        for at in 0..bytes.len() {
            for form in &by_first[usize::from(bytes[at])] {
                if bytes[at..].starts_with(form) {
                    found.push(format!("{name}: {}", String::from_utf8_lossy(form)));
                }
            }
        }
    };
    each_file(&place.path(".flow"), &mut |path, bytes| look(path.display().to_string(), bytes));
    for (number, done) in said.iter().enumerate() {
        look(format!("stdout of {number}"), done.stdout.as_bytes());
        look(format!("stderr of {number}"), done.stderr.as_bytes());
    }
    found
}

fn each_file(folder: &Path, visit: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            each_file(&path, visit);
        } else if meta.is_file() {
            visit(&path, &std::fs::read(&path).unwrap_or_default());
        }
        visit(Path::new("a name"), path.as_os_str().as_encoded_bytes());
    }
}

/// `flow ARGS` with the canary in the environment.
fn armed(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(args);
    command.env("CANARY", CANARY);
    command
}

fn run(place: &Place, args: &[&str]) -> Done {
    place.finish(armed(place, args))
}

/// Everything that is said about the latest run.
fn all_words(place: &Place) -> Vec<Done> {
    [
        &["show", "latest"][..],
        &["show", "latest", "--json"],
        &["logs", "latest"],
        &["logs", "latest", "--json"],
        &["runs", "--json"],
    ]
    .iter()
    .map(|args| place.flow(args))
    .collect()
}

/// Says the secret in every way: on both streams, in pieces, encoded.
const BLAB: &str = r#"
import base64, json, os, sys, time, urllib.parse
s = sys.stdin.read() or os.environ["TOKEN"]
out = sys.stdout if os.environ.get("BLAB", "stderr") == "stdout" else sys.stderr
for text in [s, urllib.parse.quote(s), urllib.parse.quote_plus(s), urllib.parse.quote(s).lower(),
             json.dumps(s), json.dumps(s, ensure_ascii=False), json.dumps(s).replace("/", "\\/"),
             s.encode().hex(), s.encode().hex().upper()] + [
             f(b"x" * n + s.encode() + b"tail").decode() for n in range(3)
             for f in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes)] + [
             base64.encodebytes(b"y" * n + s.encode() + b"z" * 40).decode() for n in range(30, 60)]:
    out.write("said: " + text + "\n")
for c in s:
    out.write(c)
    out.flush()
out.write(" end\n")
out.flush()
"#;

fn blabber(nodes: &str) -> Place {
    let place = Place::with(&format!("[secrets]\ntoken = {{ env = \"CANARY\" }}\n{nodes}"));
    place.write("blab.py", BLAB);
    place
}

#[test]
fn a_program_gets_a_secret_by_env_and_stdin_and_nothing_shows_it() {
    let place = blabber(
        r#"
[nodes.by_env]
stage = "command"
uses = ["blab.py"]
with = { argv = ["python3", "blab.py"], env = { TOKEN = "{{ secrets.token }}" } }
[nodes.by_stdin]
stage = "command"
uses = ["blab.py"]
with = { argv = ["python3", "blab.py"], stdin = "{{ secrets.token }}" }
[nodes.digest]
stage = "command"
with = { shell = "printf %s \"$TOKEN\" | sha256sum | cut -c1-64", env = { TOKEN = "{{ secrets.token }}" } }
outputs = { sum = "string" }
[nodes.same_name]
stage = "command"
with = { shell = "printf %s \"$CANARY\" | sha256sum | cut -c1-64", env = { CANARY = "{{ secrets.token }}" } }
outputs = { sum = "string" }
[nodes.inherits]
stage = "command"
with = { shell = "echo ${CANARY-nothing}; tr '\\0' '\\n' < /proc/self/environ | grep -c canary; true" }
outputs = { seen = "string" }
[nodes.argv]
stage = "command"
with = { shell = "cat /proc/$PPID/cmdline /proc/$$/cmdline | tr '\\0' ' '", env = { TOKEN = "{{ secrets.token }}" } }
outputs = { argv = "string" }
"#,
    );
    let done = run(&place, &["run", "flow.toml", "-v"]).exits(0);
    let json = run(&place, &["run", "flow.toml", "-v", "--json"]).exits(0);
    let words = all_words(&place);
    let said: Vec<&Done> = [&done, &json].into_iter().chain(&words).collect();
    assert_eq!(leaks(&place, &said), Vec::<String>::new());
    assert!(done.stderr.contains("said: ***"), "{done}");
    let output = |name: &str| place.flow(&["output", "latest", name]).stdout;
    let mut sum = Command::new("sha256sum");
    std::fs::write(place.path("expected"), CANARY).unwrap();
    let sum = sum.arg(place.path("expected")).output().unwrap().stdout;
    for node in ["digest", "same_name"] {
        assert_eq!(output(node).trim_matches(['"', '\n']).as_bytes(), &sum[..64], "{node}");
    }
    assert_eq!(output("inherits").trim_matches(['"', '\n']), "nothing\\n0".replace("\\n", "\n"));
}

#[test]
fn failures_timeouts_and_retries_show_no_secret() {
    let place = blabber(
        r#"
[nodes.fails]
stage = "command"
uses = ["blab.py"]
with = { shell = "python3 blab.py; echo \"$TOKEN\" > left-behind; exit 3", env = { TOKEN = "{{ secrets.token }}" } }
[nodes.late]
stage = "command"
uses = ["blab.py"]
timeout = "1s"
retry = { attempts = 1 }
with = { shell = "python3 blab.py; printf %s \"$TOKEN\" >&2; sleep 60", env = { TOKEN = "{{ secrets.token }}" } }
[nodes.again]
stage = "command"
uses = ["blab.py"]
retry = { attempts = 2, base = "1ms" }
with = { shell = "python3 blab.py; exit 75", env = { TOKEN = "{{ secrets.token }}" } }
[nodes.template]
stage = "command"
with = { argv = ["true"], env = { TOKEN = "{{ secrets.token | int }}" } }
"#,
    );
    let done = run(&place, &["run", "flow.toml", "-v"]).exits(1);
    let resumed = run(&place, &["resume", "latest", "--json"]).exits(1);
    let again = run(&place, &["rerun", "latest", "fails"]).exits(1);
    let again_json = run(&place, &["rerun", "latest", "again", "--json"]).exits(1);
    let words = all_words(&place);
    let said: Vec<&Done> =
        [&done, &resumed, &again, &again_json].into_iter().chain(&words).collect();
    assert_eq!(leaks(&place, &said), Vec::<String>::new());
    assert!(done.stderr.contains("│ *** end"), "{done}");
    assert!(
        done.stderr.contains("its scratch folder had a secret in it, and is not kept"),
        "{done}"
    );
}

#[test]
fn a_run_that_is_killed_leaves_no_secret_behind() {
    let place = blabber(
        r#"
[nodes.first]
stage = "command"
uses = ["blab.py"]
with = { argv = ["python3", "blab.py"], stdin = "{{ secrets.token }}" }
[nodes.second]
stage = "command"
after = ["first"]
uses = ["blab.py"]
with = { shell = "python3 blab.py; printf %s \"$TOKEN\" | head -c 20 >&2; test -e ../../../../../go && exit 0; echo here > ../../../../../begun; sleep 60", env = { TOKEN = "{{ secrets.token }}" } }
"#,
    );
    let file = |name: &str| std::fs::File::create(place.path(name)).unwrap();
    let mut command = armed(&place, &["run", "flow.toml", "-v"]);
    let mut child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
    place.wait_for("begun");
    kill_9(&mut child);
    assert_eq!(leaks(&place, &all_words(&place).iter().collect::<Vec<_>>()), Vec::<String>::new());
    place.write("go", "");
    let resumed = run(&place, &["resume", "latest", "-v"]).exits(0);
    let words = all_words(&place);
    let said: Vec<&Done> = [&resumed].into_iter().chain(&words).collect();
    assert_eq!(leaks(&place, &said), Vec::<String>::new());
    let said = place.read("stderr");
    assert!(said.contains("***") && !said.contains(CANARY), "{said}");
}

#[test]
fn a_payload_with_a_secret_in_it_is_refused_and_nothing_of_it_is_stored() {
    let node = |name: &str, shell: &str, outputs: &str| {
        format!(
            r#"
[nodes.{name}]
stage = "command"
uses = ["blab.py"]
with = {{ shell = '''{shell}''', env = {{ TOKEN = "{{{{ secrets.token }}}}", BLAB = "stdout" }} }}
outputs = {{ {outputs} }}
"#
        )
    };
    let cases = [
        ("text", "printf %s \"$TOKEN\"", "out = \"string\""),
        (
            "json",
            "printf '{\"a\": [\"%s\"]}' \"$(printf %s \"$TOKEN\" | base64 -w0)\"",
            "out = \"json\"",
        ),
        ("broken", "printf '{\"a\": %s' \"$TOKEN\"", "out = \"json\""),
        (
            "escaped",
            r#"python3 -c 'import os; print("\"" + "".join("\\u%04x" % ord(c) for c in os.environ["TOKEN"]) + "\"")'"#,
            "out = \"json\"",
        ),
        (
            "lines",
            "echo '\"x\"'; printf %s \"$TOKEN\" | od -An -v -tx1 | tr -d ' \\n' | sed 's/.*/\"&\"/'",
            "out = { type = \"list<string>\", from = \"stdout\", format = \"jsonl\" }",
        ),
        (
            "file",
            "{ head -c 1200000 /dev/zero; python3 blab.py; } > out.bin",
            "out = { type = \"file\", path = \"out.bin\" }",
        ),
        ("spooled", "head -c 1200000 /dev/zero | tr '\\0' a; python3 blab.py", "out = \"file\""),
        (
            "folder",
            "mkdir -p out/deep; python3 blab.py > out/deep/x",
            "out = { type = \"dir\", path = \"out\" }",
        ),
        (
            "name",
            "mkdir -p out; touch \"out/$(printf %s \"$TOKEN\" | base64 -w0 | tr / _)\"",
            "out = { type = \"list<file>\", path = \"out/*\" }",
        ),
    ];
    let nodes: String = cases.iter().map(|(name, shell, out)| node(name, shell, out)).collect();
    let place = blabber(&format!(
        "{nodes}\n[nodes.value]\nstage = \"value\"\nwith = {{ value = {{ a = \"{{{{ secrets.token }}}}\" }} }}\noutputs = {{ v = \"json\" }}\n"
    ));
    let done = run(&place, &["run", "flow.toml"]).exits(1);
    let words = all_words(&place);
    let said: Vec<&Done> = [&done].into_iter().chain(&words).collect();
    assert_eq!(leaks(&place, &said), Vec::<String>::new());
    let shown = place.show("latest");
    for node in shown["nodes"].as_array().unwrap() {
        let error = &node["error"];
        assert_eq!(error["class"], "validation", "{node:#}");
        assert_eq!(error["port"], if node["id"] == "value" { "v" } else { "out" });
        assert_eq!(error["retryable"], false);
        assert_eq!(error["expected"], "a payload without secrets, because payloads are stored");
        assert!(
            error["message"].as_str().unwrap().contains("has the secret `token` in it"),
            "{node:#}"
        );
        assert!(error["hint"].as_str().unwrap().starts_with("nothing of it is stored"), "{node:#}");
    }
    let mut stored = 0;
    each_file(&place.path(".flow/objects"), &mut |_, bytes| stored = stored.max(bytes.len()));
    assert!(stored < 500_000, "a file of {stored} bytes was stored");
}

#[test]
fn what_is_missing_is_told_before_anything_runs() {
    let place = Place::with(
        r#"
[secrets]
absent = { env = "NO_SUCH_VARIABLE" }
empty = { env = "EMPTY_VARIABLE" }
short = { env = "SHORT_VARIABLE" }
file = { file = "no-such-file" }
folder = { file = "." }
optional = { env = "NO_SUCH_VARIABLE", optional = true }
unused = { env = "NO_SUCH_VARIABLE" }
[nodes.first]
stage = "command"
with = { shell = "touch ../../../../../ran" }
[nodes.a]
stage = "command"
with = { argv = ["true"], env = { A = "{{ secrets.absent }}", B = "{{ secrets.empty }}", C = "{{ secrets.short }}" } }
[nodes.b]
stage = "command"
with = { argv = ["no-such-program"], stdin = "{{ secrets.file }}{{ secrets.folder }}{{ secrets.optional }}{{ secrets.absent }}" }
"#,
    );
    let mut command = place.command(&["run", "flow.toml"]);
    command.env("EMPTY_VARIABLE", "").env("SHORT_VARIABLE", "xyz");
    assert_snapshot!(place.finish(command), @r#"
    exit: 1
    --- stderr
    error[E0202]: 6 things that the workflow needs are missing, so nothing was started
      - secret `absent`: the variable NO_SUCH_VARIABLE is not set (needed by a, b): export NO_SUCH_VARIABLE=…, or declare `optional = true` if the nodes can do without it
      - secret `empty`: the variable EMPTY_VARIABLE is empty (needed by a): export EMPTY_VARIABLE=…, or declare `optional = true` if the nodes can do without it
      - secret `short`: the variable SHORT_VARIABLE has only 3 bytes, and could not be told from other text (needed by a): use a secret of at least 4 bytes
      - secret `file`: the file no-such-file is not there (needed by b): write the value to no-such-file, beside the workflow, or declare `optional = true` if the nodes can do without it
      - secret `folder`: the file . is not a file (needed by b): name a file with the value in it
      - no-such-program (needed by b): install `no-such-program`, add its folder to PATH, or say where it is: `[tools]` no-such-program = "/path/to/no-such-program"
    "#);
    assert!(!place.path("ran").exists() && !place.path(".flow").exists());
    place.flow(&["run", "flow.toml", "--only", "first"]).exits(0);
}

#[test]
fn an_optional_secret_that_is_absent_is_null_and_empty_text() {
    let place = Place::with(
        r#"
[secrets]
token = { env = "TOKEN_FOR_TEST", optional = true }
[nodes.a]
stage = "command"
with = { shell = "printf '[%s][%s]' \"$T\" \"$H\"", env = { T = "{{ secrets.token }}", H = "{{ 'Bearer ' ~ secrets.token if secrets.token else 'anonymous' }}" } }
outputs = { out = "string" }
"#,
    );
    place.flow(&["run", "flow.toml"]).exits(0);
    assert!(place.flow(&["output", "latest", "a"]).stdout.contains("[][anonymous]"));
}

#[test]
fn a_file_gives_a_secret_less_one_line_end_and_keys_do_not_know_its_value() {
    let place = Place::with(
        r#"
[secrets]
token = { file = "token" }
[nodes.a]
stage = "command"
with = { shell = "printf %s \"$T\" | wc -c", env = { T = "{{ secrets.token }}" } }
outputs = { out = "integer" }
"#,
    );
    let key = |text: &str| {
        place.write("token", text);
        place.flow(&["run", "flow.toml"]).exits(0);
        let shown = place.show("latest");
        let out = &shown["nodes"][0]["outputs"]["out"]["value"];
        (shown["nodes"][0]["key"].as_str().unwrap().to_owned(), out.as_i64().unwrap())
    };
    let (first, length) = key("one-secret\n\n");
    assert_eq!(length, 11);
    let (second, length) = key("another-secret\r\n");
    assert_eq!(length, 14);
    assert_eq!(first, second);
}

#[test]
fn a_secret_that_would_be_recorded_with_the_run_is_refused() {
    let place = Place::with(
        r#"
[params]
who = "string"
data = { type = "file", default = "data" }
[secrets]
token = { env = "CANARY" }
[nodes.a]
stage = "command"
uses = ["used"]
with = { argv = ["echo", "{{ env.OTHER }}", "{{ params.who }}"], env = { T = "{{ secrets.token }}" } }
"#,
    );
    place.write("data", &base64(CANARY.as_bytes()));
    place.write("used", CANARY);
    let mut command = armed(&place, &["run", "flow.toml", "--param", &format!("who=x{CANARY}y")]);
    command.env("OTHER", CANARY);
    assert_snapshot!(place.finish(command), @"
    exit: 3
    --- stderr
    error: a secret would be recorded with the run, so nothing was done
      - parameter `who`: the secret `token`
      - the file of parameter `data`: the secret `token`
      - `used`, which is in `uses`: the secret `token`
      - `env.OTHER`: the secret `token`
    help: take the value out there, and read it with {{ secrets.NAME }} in `with`
    ");
    assert!(!place.path(".flow").exists());
}

#[test]
fn what_a_person_is_asked_shows_no_secret() {
    let place = blabber(
        r#"
[nodes.ask]
stage = "approve"
with = { message = "May I use {{ secrets.token }}?" }
"#,
    );
    let done = run(&place, &["run", "flow.toml", "--no-wait"]).exits(7);
    let words = all_words(&place);
    let said: Vec<&Done> = [&done].into_iter().chain(&words).collect();
    assert_eq!(leaks(&place, &said), Vec::<String>::new());
    let asked = |done: &&Done| format!("{done}").contains("May I use ***?");
    assert!(said.iter().any(asked), "{done}");
    let said = armed(&place, &["approve", "latest", "ask", "--comment", CANARY]);
    assert!(place.finish(said).exits(3).stderr.contains("what is said: the secret `token`"));
    run(&place, &["approve", "latest", "ask", "--comment", "yes"]).exits(0);
}
