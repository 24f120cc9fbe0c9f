//! A process is ended by SIGKILL in the middle of an attempt, on a store on disk: what the attempt
//! was told is kept is there when another process takes the run up.
#![allow(clippy::unwrap_used, missing_docs)]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::check;
use flow_core::id::RunId;
use flow_core::run::Ending;
use flow_core::run::event::RunEnd;
use flow_core::run::manifest::Manifest;
use flow_core::stage::{BoxFuture, Context, Draft, Drafts, Job, Ports, Stage, StageSpec};
use flow_core::store::Store;
use flow_runtime::{Runner, SystemClock, open, start};
use flow_store::DiskStore;
use serde_json::json;

const FOLDER: &str = "FLOW_TEST_CUT_SHORT";
const ADDRESS: &str = "https://there/upload?token=canary-4711";

const TEXT: &str = "[workflow]\nname = \"upload\"\n[nodes.a]\nstage = \"upload\"\noutputs = { out = \"string\" }\n";

/// Uploads in parts. The first attempt ends with its process, the second one fails, the third one
/// makes sure that all is there.
struct Upload(StageSpec);

impl Stage for Upload {
    fn spec(&self) -> &StageSpec {
        &self.0
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        _job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let part = context.scratch().join("part");
            let Some(offset) = context.remembered("offset") else {
                context.remember_secret("address", ADDRESS).await?;
                std::fs::write(&part, b"the first half").unwrap();
                context.remember_file("part", &part).await?;
                context.remember("offset", json!({ "bytes": 14 })).await?;
                let this = rustix::process::getpid();
                rustix::process::kill_process(this, rustix::process::Signal::KILL).unwrap();
                return std::future::pending().await;
            };
            assert_eq!(offset, json!({ "bytes": 14 }));
            assert_eq!(context.remembered_secret("address").as_deref(), Some(ADDRESS));
            assert!(context.remembered_file("part", &part).await?);
            assert_eq!(std::fs::read(&part).unwrap(), b"the first half");
            if context.attempt() == 2 {
                let message = format!("PUT {ADDRESS} was refused");
                return Err(StageError::new(ErrorClass::Config, "upload", message));
            }
            Ok(Drafts::from([("out".into(), Draft::Value(json!("done")))]))
        })
    }
}

fn drive(folder: &Path) -> Ending {
    let spec = StageSpec {
        name: "upload",
        version: 1,
        summary: "Uploads.",
        inputs: Ports::Declared,
        outputs: Ports::Declared,
        config: Vec::new(),
        needs_scratch: true,
        example: "",
    };
    let definition = flow_workflows::parse("w.toml", TEXT, "/".into()).definition.unwrap();
    let graph = check(&definition, &Catalog::new().with(Upload(spec))).unwrap();
    let store: Arc<dyn Store> = Arc::new(DiskStore::create(folder).unwrap());
    let manifest = Manifest::new("/w.toml".into(), TEXT, jiff::Timestamp::UNIX_EPOCH);
    let (run, graph) = (run(), Arc::new(graph));
    let opened = match store.runs().unwrap().is_empty() {
        true => start(&store, run, graph, manifest, TEXT),
        false => open(&store, &run, graph, manifest),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_keep, control) = tokio::sync::mpsc::unbounded_channel();
    let runner = Runner { store, clock: Arc::new(SystemClock::start()) };
    runtime.block_on(runner.drive(opened.unwrap(), Vec::new(), control)).unwrap()
}

fn run() -> RunId {
    RunId::new("r").unwrap()
}

/// All files of a store whose bytes have the address in them.
fn files_with_address(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with_address(&path));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(11).any(|window| window == b"canary-4711")
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn what_was_kept_before_a_kill_is_there_after_it_and_a_secret_is_in_the_private_file_alone() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let test = "what_was_kept_before_a_kill_is_there_after_it_and_a_secret_is_in_the_private_file_alone";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", test, "--test-threads=1"]).env(FOLDER, &store);
        assert_eq!(child.output().unwrap().status.signal(), Some(9));
        assert_eq!(drive(&store), Ending::Finished(RunEnd::Failed));
        let found = files_with_address(&store);
        let [private] = found.as_slice() else { panic!("{found:?}") };
        let name = private.file_name().unwrap().to_string_lossy();
        assert!(name.starts_with("private."), "{name}");
        assert_eq!(std::fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600);
        let records = DiskStore::open(&store).unwrap().read_run(&run()).unwrap();
        let told = format!("{records:?}");
        assert!(told.contains("PUT *** was refused"), "{told}");
        assert_eq!(drive(&store), Ending::Finished(RunEnd::Succeeded));
        assert_eq!(files_with_address(&store).len(), 0);
        return;
    };
    drive(Path::new(&folder));
}
