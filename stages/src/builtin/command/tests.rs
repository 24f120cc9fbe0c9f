//! Programs with typed inputs and outputs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{
    ConfigFault, Context, Draft, Drafts, Job, Missing, NodeView, OutputFrom, OutputSlot, Stage,
    Stream,
};
use serde_json::{Value, json};

use super::CommandStage;
use crate::process::testing::{TestContext, spawner};

fn slot(name: &str, ty: Type) -> OutputSlot {
    let from = OutputFrom::Default;
    OutputSlot { name: name.into(), ty, from, json_lines: false, path: None }
}

fn from_path(name: &str, ty: Type, path: &str) -> OutputSlot {
    OutputSlot { from: OutputFrom::Path(path.into()), ..slot(name, ty) }
}

fn file() -> Type {
    Type::File(None)
}

fn job(config: Value, outputs: Vec<OutputSlot>) -> Job {
    Job {
        config,
        inputs: BTreeMap::new(),
        outputs,
        timeout: None,
        reserved: vec!["inputs".into(), "lib".into()],
    }
}

fn shell(script: &str, outputs: Vec<OutputSlot>) -> Job {
    job(json!({ "shell": script }), outputs)
}

async fn run_in(context: &TestContext, job: Job) -> Result<Drafts, StageError> {
    CommandStage::new(spawner()).run(context, job).await
}

async fn run(job: Job) -> Result<Drafts, StageError> {
    run_in(&TestContext::new(), job).await
}

/// The one output `out` of a job, as text of what was found and where.
async fn taken(context: &TestContext, job: Job) -> String {
    let drafts = run_in(context, job).await.expect("it succeeds");
    let relative = |path: &Path| {
        let path = path.strip_prefix(context.workflow_dir()).expect("below the attempt's folders");
        path.display().to_string()
    };
    match drafts.get("out") {
        None => "nothing".into(),
        Some(Draft::Bytes(bytes)) => format!("bytes {}", String::from_utf8_lossy(bytes)),
        Some(Draft::Lines(bytes)) => format!("lines {}", String::from_utf8_lossy(bytes)),
        Some(Draft::Path(path)) => format!("path {}", relative(path)),
        Some(Draft::Paths(paths)) => {
            let all: Vec<String> = paths.iter().map(|path| relative(path)).collect();
            format!("paths {}", all.join(" "))
        }
        Some(Draft::Value(value)) => format!("value {value}"),
    }
}

#[tokio::test]
async fn the_environment_tells_about_the_attempt() {
    let context = TestContext::new();
    let script = "cd /; echo $FLOW_RUN_ID $FLOW_NODE $FLOW_ITEM $FLOW_INDEX $FLOW_ATTEMPT \
                  $FLOW_IDEMPOTENCY_KEY $A $B; cat $FLOW_INPUTS; test -d $FLOW_OUTPUTS && \
                  test -d $FLOW_WORKFLOW_DIR && echo; test $OLDPWD -ef $FLOW_WORKFLOW_DIR/scratch";
    let config = json!({ "shell": script, "env": { "A": "a b", "FLOW_NODE": "not this" } });
    let mut job = job(config, vec![slot("out", Type::String)]);
    job.inputs.insert("n".into(), json!(1));
    assert_eq!(taken(&context, job).await, "bytes run-1 node a 0 1 key-1 a b\n{\"n\":1}\n");
}

#[tokio::test]
async fn arguments_come_as_they_are() {
    let config = json!({ "argv": ["printf", "%s|", "a b", "", "$HOME", "*", "'\""] });
    let context = TestContext::new();
    let taken = taken(&context, job(config, vec![slot("out", Type::String)])).await;
    assert_eq!(taken, "bytes a b||$HOME|*|'\"|");
}

#[tokio::test]
async fn stdin_is_text_a_file_or_json() {
    let context = TestContext::new();
    let path = context.scratch().join("data");
    fs::write(&path, "from a file").expect("a file");
    for (stdin, expected) in [
        (json!("text"), "text"),
        (json!(""), ""),
        (Value::Null, ""),
        (json!({ "$file": "00", "path": path }), "from a file"),
        (json!({ "a": [1, 2] }), r#"{"a":[1,2]}"#),
        (json!(12), "12"),
    ] {
        let config = json!({ "argv": ["cat"], "stdin": stdin });
        let taken = taken(&context, job(config, vec![slot("out", Type::String)])).await;
        assert_eq!(taken, format!("bytes {expected}"), "{stdin}");
    }
}

#[tokio::test]
async fn a_program_with_a_slash_is_beside_the_workflow_file() {
    use std::os::unix::fs::PermissionsExt;
    let context = TestContext::new();
    let write = |path: &str, says: &str| {
        let path = context.workflow_dir().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, format!("#!/bin/sh\necho {says}\n")).expect("a script");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode");
    };
    write("tool.sh", "beside");
    write("lib/tool.sh", "changed since");
    write("scratch/lib/tool.sh", "as recorded");
    for (program, expected) in [("./tool.sh", "beside"), ("lib/tool.sh", "as recorded")] {
        let job = job(json!({ "argv": [program] }), vec![slot("out", Type::String)]);
        assert_eq!(taken(&context, job).await, format!("bytes {expected}\n"));
    }
}

#[tokio::test]
async fn outputs_are_found_where_they_may_be() {
    let png = || Type::File(MediaPattern::parse("image/png"));
    let list = || file().list();
    let table = [
        ("echo 1", slot("out", Type::Json), "bytes 1\n"),
        ("echo 1 > $FLOW_OUTPUTS/out", slot("out", Type::Json), "path side/outputs/out"),
        (
            "echo 1 > $FLOW_OUTPUTS/out.json; echo x",
            slot("out", Type::Json),
            "path side/outputs/out.json",
        ),
        ("echo x > $FLOW_OUTPUTS/out.png", slot("out", png()), "path side/outputs/out.png"),
        ("mkdir $FLOW_OUTPUTS/out", slot("out", Type::Dir), "path side/outputs/out"),
        (
            "mkdir $FLOW_OUTPUTS/out; cd $FLOW_OUTPUTS/out; touch b a",
            slot("out", list()),
            "paths side/outputs/out/a side/outputs/out/b",
        ),
        ("true", slot("out", Type::Json.optional()), "nothing"),
        ("true", slot("out", Type::String.optional()), "nothing"),
        ("true", slot("out", Type::String), "bytes "),
        ("echo x > a.txt", from_path("out", file(), "a.txt"), "path scratch/a.txt"),
        (
            "mkdir d; echo x > d/a.txt",
            from_path("out", file(), "./d/*.txt"),
            "path scratch/d/a.txt",
        ),
        (
            "touch b.txt a.txt c.md",
            from_path("out", list(), "*.txt"),
            "paths scratch/a.txt scratch/b.txt",
        ),
        (
            "mkdir -p lib inputs/x x/y; touch lib/a.txt inputs/x/b.txt x/y/c.txt d.txt",
            from_path("out", list(), "**/*.txt"),
            "paths scratch/d.txt scratch/x/y/c.txt",
        ),
        ("true", from_path("out", list().optional(), "*.txt"), "nothing"),
        ("true", from_path("out", file().optional(), "a.txt"), "nothing"),
    ];
    for (script, slot, expected) in table {
        let context = TestContext::new();
        assert_eq!(taken(&context, shell(script, vec![slot])).await, expected, "{script}");
    }
}

#[tokio::test]
async fn streams_can_be_outputs() {
    let context = TestContext::new();
    let of = |stream, ty| OutputSlot { from: OutputFrom::Stream(stream), ..slot("out", ty) };
    let both = "echo 1; echo 2; echo e >&2";
    let lines = OutputSlot { json_lines: true, ..of(Stream::Stdout, Type::Integer.list()) };
    for (slot, expected) in [
        (of(Stream::Stdout, Type::String), "bytes 1\n2\n"),
        (of(Stream::Stderr, Type::String), "bytes e\n"),
        (lines, "lines 1\n2\n"),
    ] {
        assert_eq!(taken(&context, shell(both, vec![slot])).await, expected);
    }
    let large = of(Stream::Stdout, file());
    let path = taken(&context, shell("head -c 2000000 /dev/zero", vec![large])).await;
    assert!(path.starts_with("path side/stdout-") && path.ends_with("/out"), "{path}");
    let lines = OutputSlot { json_lines: true, ..from_path("out", Type::Integer.list(), "x") };
    assert_eq!(taken(&context, shell("echo 7 > x", vec![lines])).await, "lines 7\n");
}

#[tokio::test]
async fn the_rendered_path_of_an_output_comes_first() {
    let context = TestContext::new();
    let path = context.side().join("outputs").join("out.wav");
    let slot = OutputSlot { path: Some(path.clone()), ..slot("out", file()) };
    let script = format!("echo x > {}; echo y > $FLOW_OUTPUTS/out", path.display());
    let job = shell(&script, vec![slot]);
    assert_eq!(taken(&context, job).await, "path side/outputs/out.wav");
}

#[tokio::test]
async fn an_output_that_is_not_there_is_named_with_the_places() {
    let two = vec![slot("a", Type::Json), slot("b", Type::Json)];
    let several = vec![slot("out", Type::File(None))];
    let table = [
        ("true", vec![slot("out", Type::Json)], "stdout, which is empty"),
        ("echo 1 > $FLOW_OUTPUTS/a; echo 2", two, "`$FLOW_OUTPUTS/b.json`"),
        ("true", vec![from_path("out", file(), "a.txt")], "`a.txt` in the scratch folder"),
        ("true", vec![from_path("out", file().list(), "*.txt")], "`*.txt` in the scratch folder"),
        ("touch a.txt b.txt", vec![from_path("out", file(), "*.txt")], "2 files match"),
        ("touch $FLOW_OUTPUTS/out.wav $FLOW_OUTPUTS/out.mp3", several, "out.mp3 and out.wav"),
    ];
    for (script, outputs, words) in table {
        let error = run(shell(script, outputs)).await.expect_err(script);
        assert_eq!(error.class, ErrorClass::Validation, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(error.port.is_some() && error.hint.is_some(), "{error:?}");
    }
}

#[tokio::test]
async fn failures_show_the_command_and_its_last_words() {
    let job = job(json!({ "argv": ["sh", "-c", "echo no luck >&2; exit 9"] }), Vec::new());
    let error = run(job).await.expect_err("it fails");
    assert_eq!((error.class, error.exit_code), (ErrorClass::Process, Some(9)));
    assert_eq!(error.argv[..2], ["sh", "-c"]);
    assert_eq!((error.operation.as_str(), error.stderr_tail.as_str()), ("run sh", "no luck"));
    let empty = run(self::job(json!({ "argv": [""] }), Vec::new())).await.expect_err("no program");
    assert_eq!(empty.class, ErrorClass::Config);
}

/// A node as the check sees it.
struct Node {
    config: Value,
    outputs: Vec<OutputSlot>,
    uses: Vec<String>,
    tools: BTreeMap<String, String>,
}

impl Node {
    fn new(config: Value) -> Self {
        Self { config, outputs: Vec::new(), uses: Vec::new(), tools: BTreeMap::new() }
    }

    fn with<T>(&self, look: impl FnOnce(&CommandStage, &NodeView<'_>) -> T) -> T {
        let view = NodeView {
            config: &self.config,
            inputs: &BTreeMap::new(),
            outputs: &self.outputs,
            tools: &self.tools,
            workflow_dir: Path::new("/nowhere"),
            uses: &self.uses,
            params: &["x".to_owned()],
        };
        look(&CommandStage::new(spawner()), &view)
    }

    fn faults(&self) -> Vec<ConfigFault> {
        self.with(|stage, view| stage.check(view))
    }

    fn remarks(&self) -> Vec<ConfigFault> {
        self.with(|stage, view| stage.remarks(view))
    }

    fn missing(&self) -> Vec<Missing> {
        self.with(|stage, view| stage.preflight(view))
    }
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let node = |config, outputs| Node { outputs, ..Node::new(config) };
    let ok = json!({ "argv": ["true"] });
    let lines = |ty| OutputSlot { json_lines: true, ..slot("out", ty) };
    let table = [
        (node(json!({}), vec![]), "", "needs `argv` or `shell`"),
        (node(json!({ "argv": ["a"], "shell": "b" }), vec![]), "/shell", "exclude"),
        (node(json!({ "argv": [] }), vec![]), "/argv", "names no program"),
        (node(json!({ "argv": [""] }), vec![]), "/argv", "names no program"),
        (node(json!({ "shell": " " }), vec![]), "/shell", "is empty"),
        (node(json!({ "argv": ["python3", "script.py"] }), vec![]), "/argv/1", "script.py"),
        (node(json!({ "argv": ["/usr/bin/bash", "./x.sh"] }), vec![]), "/argv/1", "./x.sh"),
        (node(ok.clone(), vec![from_path("o", file(), "../x")]), "", "not inside"),
        (node(ok.clone(), vec![from_path("o", file(), "/x")]), "", "not inside"),
        (node(ok.clone(), vec![from_path("o", file().list(), "[a")]), "", "no pattern"),
        (node(ok, vec![lines(Type::Integer)]), "", "JSON Lines"),
    ];
    for (node, pointer, words) in table {
        let faults = node.faults();
        assert_eq!(faults.len(), 1, "{words}: {faults:?}");
        assert_eq!(faults[0].pointer, pointer, "{words}");
        assert!(faults[0].message.contains(words), "{faults:?}");
        assert!(faults[0].help.is_some(), "{words}");
    }
}

#[test]
fn scripts_that_will_be_there_are_accepted() {
    for (argv, uses) in [
        (json!(["python3", "script.py"]), vec!["script.py"]),
        (json!(["python3", "./script.py"]), vec!["script.py"]),
        (json!(["python3", "lib/script.py"]), vec!["lib/"]),
        (json!(["python3", "inputs/code/main.py"]), vec![]),
        (json!(["python3", "{{ inputs.code }}"]), vec![]),
        (json!(["python3", "/opt/script.py"]), vec![]),
        (json!(["python3", "-c", "print(1)"]), vec![]),
        (json!(["python3", { "each": "inputs.all" }]), vec![]),
        (json!([{ "each": "inputs.all" }]), vec![]),
        (json!(["tool", "notes.py"]), vec![]),
    ] {
        let uses = uses.into_iter().map(str::to_owned).collect();
        let node = Node { uses, ..Node::new(json!({ "argv": argv })) };
        assert_eq!(node.faults(), [], "{:?}", node.config);
    }
}

#[test]
fn programs_are_looked_for_before_the_run() {
    let tools = |path: &str| BTreeMap::from([("tool".to_owned(), path.to_owned())]);
    let argv = |program: &str| Node::new(json!({ "argv": [program] }));
    let with_path = |path: &str| Node::new(json!({ "argv": ["sh"], "env": { "PATH": path } }));
    let table = [
        (argv("sh"), None),
        (argv("/bin/sh"), None),
        (argv("{{ inputs.program }}"), None),
        (Node::new(json!({ "shell": "anything at all" })), None),
        (Node { tools: tools("/bin/sh"), ..argv("tool") }, None),
        (argv("no-such-tool"), Some(("no-such-tool", "[tools]"))),
        (argv("./no-such-tool"), Some(("/nowhere/no-such-tool", "correct `argv`"))),
        (argv("/etc/passwd"), Some(("/etc/passwd", "chmod +x"))),
        (
            Node { tools: tools("bin/tool"), ..argv("tool") },
            Some(("/nowhere/bin/tool", "`[tools]`")),
        ),
        (with_path("/nonexistent"), Some(("sh", "[tools]"))),
        (with_path("{{ env.PATH }}"), None),
    ];
    for (node, expected) in table {
        let missing = node.missing();
        match expected {
            None => assert_eq!(missing, [], "{:?}", node.config),
            Some((what, fix)) => {
                let what: &str = what;
                let found = missing.first().expect(what);
                assert_eq!(found.what, what);
                assert!(found.fix.contains(fix), "{found:?}");
            }
        }
    }
}

#[test]
fn words_of_a_shell_are_remarked_where_no_shell_reads_them() {
    for (config, place) in [
        (json!({ "argv": ["cat", "a", "|", "sort"] }), "/argv/2"),
        (json!({ "argv": ["echo", "2>&1"] }), "/argv/1"),
        (json!({ "argv": ["echo", "${HOME}/x"] }), "/argv/1"),
        (json!({ "argv": ["echo", "`date`"] }), "/argv/1"),
        (json!({ "argv": ["ls", "~"] }), "/argv/1"),
        (json!({ "argv": ["sh", "-c", "echo ${{ params.x }}"] }), "/argv/2"),
        (json!({ "argv": ["make all"] }), "/argv/0"),
        (json!({ "shell": "echo $x" }), "/shell"),
        (json!({ "argv": ["env"], "env": { "A": "{inputs.a}" } }), "/env/A"),
    ] {
        let found: Vec<String> =
            Node::new(config.clone()).remarks().into_iter().map(|remark| remark.pointer).collect();
        assert_eq!(found, [place], "{config}");
    }
}

#[test]
fn words_that_a_program_wants_are_not_remarked() {
    for config in [
        json!({ "argv": ["find", ".", "-name", "*.txt", "-exec", "rm", "{}", ";"] }),
        json!({ "argv": ["sh", "-c", "ls *.txt | sort > $HOME/out && cd ~"] }),
        json!({ "argv": ["tar", "--exclude", "*.o", "-cf", "x.tar", "."] }),
        json!({ "argv": ["awk", "{ print $NF }"] }),
        json!({ "argv": ["printf", "{\"n\": %d}", "5"] }),
        json!({ "argv": ["echo", "costs $5", "a * b", "{{ params.x }}"] }),
        json!({ "argv": ["{{ params.x }} y", "/opt/my tool/run"] }),
        json!({ "shell": "x=1; echo $x; for i in a b; do echo $i; done" }),
        json!({ "shell": "echo $x", "env": { "x": "{{ params.x }}" } }),
    ] {
        assert_eq!(Node::new(config.clone()).remarks(), [], "{config}");
    }
}
