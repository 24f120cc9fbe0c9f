//! The two programs in C: the library that is loaded into the engine, and the program behind every
//! node.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What was compiled, in a folder that goes with it.
pub(crate) struct Tools {
    folder: TempDir,
}

impl Tools {
    /// Compiles both.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("rig-tools-").tempdir_in(memory()).unwrap();
        let tools = Self { folder };
        compile("shim.c", &tools.shim(), &["-shared", "-fPIC", "-ldl", "-pthread"]);
        compile("stage.c", &tools.stage(), &[]);
        tools
    }

    /// The library to preload.
    pub(crate) fn shim(&self) -> PathBuf {
        self.folder.path().join("shim.so")
    }

    /// The program behind every node.
    pub(crate) fn stage(&self) -> PathBuf {
        self.folder.path().join("stage")
    }
}

/// A folder in memory, where there is one with enough room: the witnesses are not on the disk under
/// test.
pub(crate) fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |fs| fs.f_bavail * fs.f_frsize);
    if room > 1 << 30 { memory.to_owned() } else { std::env::temp_dir() }
}

fn compile(source: &str, target: &Path, options: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/c").join(source);
    let mut command = Command::new("cc");
    command
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(target)
        .arg(source)
        .args(options);
    let output = command.output().unwrap_or_else(|error| panic!("a C compiler is needed: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
