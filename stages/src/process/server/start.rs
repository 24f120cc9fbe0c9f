//! Starting one program.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Instant;

use super::ending::Attempt;
use super::{ANNOUNCE_AFTER, Server};
use crate::process::platform::{Starter, Streams};
use crate::process::protocol::{Reply, Spawn, Step};

/// What all programs are started with: the engine's environment and a ready-made set of
/// attributes.
pub(super) struct Launcher {
    starter: Starter,
    /// `/dev/null`, the stdin of most.
    nothing: File,
    environment: Vec<CString>,
}

impl Launcher {
    pub(super) fn new() -> io::Result<Self> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| {
                let mut entry = name.into_vec();
                entry.push(b'=');
                entry.extend(value.into_vec());
                CString::new(entry).ok()
            })
            .collect();
        Ok(Self { starter: Starter::new()?, nothing: File::open("/dev/null")?, environment })
    }

    /// Starts a program and returns its process id.
    fn launch(&self, spawn: &Spawn, descriptors: &[OwnedFd]) -> Result<u32, (Step, io::Error)> {
        let expected = 2 + usize::from(spawn.has_stdin);
        if descriptors.len() != expected {
            let error = rustix::io::Errno::MFILE.into();
            return Err((Step::Descriptors, error));
        }
        let at_exec = |error| (Step::Execute, error);
        // This process has one thread and no files of its own by relative path, so its working
        // folder is free to be the next program's.
        std::env::set_current_dir(Path::new(&spawn.cwd)).map_err(|e| (Step::Folder, e))?;
        let set = strings(spawn.set.iter().chain([&spawn.token])).map_err(at_exec)?;
        let argv = strings(spawn.argv.iter()).map_err(at_exec)?;
        let program = string(&spawn.program).map_err(at_exec)?;
        let streams = Streams {
            stdin: Some(descriptors.get(2).map_or(self.nothing.as_fd(), AsFd::as_fd)),
            stdout: descriptors.first().map(AsFd::as_fd),
            stderr: descriptors.get(1).map(AsFd::as_fd),
        };
        let env = self.environment(&set, &spawn.remove);
        self.starter.start(&program, &argv, &env, &streams, &[]).map_err(at_exec)
    }

    /// The engine's environment without the names in `set` and `remove`, and then `set`.
    fn environment<'a>(&'a self, set: &'a [CString], remove: &[OsString]) -> Vec<&'a CStr> {
        let replaced: BTreeSet<&[u8]> = set
            .iter()
            .map(|entry| name_of(entry))
            .chain(remove.iter().map(|name| name.as_bytes()))
            .collect();
        self.environment
            .iter()
            .filter(|entry| !replaced.contains(name_of(entry)))
            .chain(set)
            .map(CString::as_c_str)
            .collect()
    }
}

fn name_of(entry: &CStr) -> &[u8] {
    entry.to_bytes().split(|b| *b == b'=').next().unwrap_or_default()
}

fn string(text: &OsString) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::from)
}

fn strings<'a>(texts: impl Iterator<Item = &'a OsString>) -> io::Result<Vec<CString>> {
    texts.map(string).collect()
}

impl Server {
    /// Starts a program, or tells why it cannot be started.
    pub(super) fn start(&mut self, spawn: &Spawn) {
        let descriptors = self.link.take_descriptors().unwrap_or_default();
        match self.launcher.launch(spawn, &descriptors) {
            Ok(pid) => {
                self.children.insert(pid, spawn.id);
                for attempt in self.attempts.values_mut() {
                    attempt.session_reused(pid);
                }
                self.attempts.insert(spawn.id, Attempt::new(pid, spawn));
                self.unannounced.push((Instant::now() + ANNOUNCE_AFTER, spawn.id));
            }
            Err((step, error)) => {
                let errno = error.raw_os_error().unwrap_or(libc_einval());
                self.link.tell(Reply::Failed { id: spawn.id, step, errno });
            }
        }
    }
}

/// The error number of an argument that cannot be passed on, such as one with a NUL in it.
fn libc_einval() -> i32 {
    rustix::io::Errno::INVAL.raw_os_error()
}
