//! The engine's side of the starter process.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::SPAWNER_ARG;
use super::platform::{self, Starter, Streams};
use super::program::PathCache;
use super::protocol::{Reply, Request, take_frame};
use super::tree::{self, Snapshot};

/// The name of the environment's entry that marks the descendants of a program.
pub(super) const TOKEN_NAME: &str = "FLOW_SPAWN_ID";

/// How long [`Spawner::kill_all`] waits.
const KILL_ALL_LIMIT: Duration = Duration::from_secs(2);

/// Starts external programs. Cheap to clone; all clones share one starter process, which runs
/// from the first program until the last clone is gone.
#[derive(Clone)]
pub struct Spawner(Arc<Shared>);

struct Shared {
    program: PathBuf,
    args: Vec<OsString>,
    /// Distinguishes this engine's programs from those of any other.
    name: String,
    link: Mutex<Option<Arc<Link>>>,
    /// What every starter process keeps open.
    held: Mutex<Vec<File>>,
    paths: PathCache,
}

impl Spawner {
    /// A spawner for a program whose `main` calls [`serve_if_spawner`](super::serve_if_spawner).
    #[must_use]
    pub fn new() -> Self {
        // A path that cannot be found shows when the first program is to be started.
        Self::with_program(platform::own_executable().unwrap_or_default(), [SPAWNER_ARG])
    }

    /// A spawner whose starter process is another executable, for programs that cannot be run
    /// again themselves, such as tests.
    #[must_use]
    pub fn with_program<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Self(Arc::new(Shared {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            name: format!("{}-{random:016x}", std::process::id()),
            link: Mutex::new(None),
            held: Mutex::default(),
            paths: PathCache::default(),
        }))
    }

    /// Has the starter process keep a file open for as long as anything that it started lives,
    /// also when this process has died: a lock on the file then tells that all have ended.
    ///
    /// # Errors
    /// A system without a free descriptor.
    pub fn hold(&self, lock: File) -> io::Result<()> {
        // The link first, as in `link`.
        let link = self.0.lock();
        if let Some(link) = link.as_ref() {
            link.send(&Request::Hold, vec![lock.try_clone()?.into()]);
        }
        self.0.held().push(lock);
        Ok(())
    }

    /// Kills everything that was started, without any grace, and waits until it is gone: for an
    /// engine that was told to stop twice. Whatever cannot be killed in two seconds is left to
    /// the starter process, which goes on after the engine.
    pub async fn kill_all(&self) {
        let Some(link) = self.0.current_link() else { return };
        let mut replies = link.register(KILL_ALL_ID);
        link.send(&Request::KillAll, Vec::new());
        // Neither the end of the wait nor that of the link leaves anything else to do.
        tokio::time::timeout(KILL_ALL_LIMIT, replies.recv()).await.ok();
    }

    /// The program and the arguments that make a process of this program's own roles.
    pub(crate) fn itself(&self) -> (PathBuf, Vec<OsString>) {
        (self.0.program.clone(), self.0.args.clone())
    }

    /// The link to the starter process, which is started if none runs.
    pub(super) fn link(&self) -> io::Result<Arc<Link>> {
        let mut link = self.0.lock();
        if let Some(alive) = link.as_ref().filter(|link| link.is_alive()) {
            return Ok(alive.clone());
        }
        let new = Arc::new(self.0.start()?);
        new.drive(&self.0.name);
        for lock in self.0.held().iter() {
            new.send(&Request::Hold, vec![lock.try_clone()?.into()]);
        }
        *link = Some(new.clone());
        Ok(new)
    }

    /// Look-ups of programs.
    pub(super) fn paths(&self) -> &PathCache {
        &self.0.paths
    }

    /// The entry of the environment that marks the program `id` and its descendants.
    pub(super) fn token(&self, id: u64) -> OsString {
        OsString::from(format!("{TOKEN_NAME}={}-{id}", self.0.name))
    }
}

impl Default for Spawner {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(link) = self.lock().take() {
            link.close();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Vec<File>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current_link(&self) -> Option<Arc<Link>> {
        self.lock().clone().filter(|link| link.is_alive())
    }

    /// Starts the starter process.
    fn start(&self) -> io::Result<Link> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::empty(),
            None,
        )?;
        for end in [&ours, &theirs] {
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        }
        rustix::io::ioctl_fionbio(&ours, true)?;
        let starter = self.execute(&theirs)?;
        // Watched for reading alone: room to write is there nearly always, and news of it would
        // wake the runtime after every request.
        let socket = platform::watched(ours, Interest::READABLE)?;
        Ok(Link { socket, starter, state: Mutex::default(), wake_writer: Notify::new() })
    }

    fn execute(&self, socket: &OwnedFd) -> io::Result<u32> {
        let name = OsString::from("flow");
        let argv: Vec<CString> = std::iter::once(&name)
            .chain(&self.args)
            .map(|arg| CString::new(arg.as_bytes()))
            .collect::<Result<_, _>>()?;
        let env: Vec<CString> = std::env::vars_os()
            .filter_map(|(name, value)| {
                CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
            })
            .collect();
        let env: Vec<&std::ffi::CStr> = env.iter().map(CString::as_c_str).collect();
        let program = CString::new(self.program.as_os_str().as_bytes())?;
        let streams = Streams { stdin: Some(socket.as_fd()), stdout: None, stderr: None };
        // Descriptors that this program inherited stay its own: a pipe to `tee` must end with it.
        let close = platform::inheritable_descriptors();
        Starter::deaf()?.start(&program, &argv, &env, &streams, &close)
    }
}

/// The number under which the answer to [`Request::KillAll`] arrives.
const KILL_ALL_ID: u64 = 0;

/// The engine's end of the socket.
pub(super) struct Link {
    socket: AsyncFd<OwnedFd>,
    starter: u32,
    state: Mutex<State>,
    wake_writer: Notify,
}

#[derive(Default)]
struct State {
    last_id: u64,
    waiting: HashMap<u64, Waiter>,
    outbox: VecDeque<Outgoing>,
    tasks: Vec<JoinHandle<()>>,
    lost: bool,
}

struct Waiter {
    replies: mpsc::UnboundedSender<Reply>,
    process: Option<tree::Identity>,
}

struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_alive(&self) -> bool {
        let state = self.lock();
        !state.lost && !state.tasks.iter().any(JoinHandle::is_finished)
    }

    /// A number for a new program.
    pub(super) fn new_id(&self) -> u64 {
        let mut state = self.lock();
        state.last_id += 1;
        state.last_id
    }

    /// Where the replies about `id` will arrive. The channel ends when the link is lost.
    pub(super) fn register(&self, id: u64) -> mpsc::UnboundedReceiver<Reply> {
        let (replies, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        if !state.lost {
            state.waiting.insert(id, Waiter { replies, process: None });
        }
        receiver
    }

    /// Forgets `id`: nobody waits for it any more. `false` if nobody did.
    pub(super) fn unregister(&self, id: u64) -> bool {
        self.lock().waiting.remove(&id).is_some()
    }

    /// Sends a request with its descriptors: at once if nothing else waits, else in its turn.
    pub(super) fn send(&self, request: &Request, descriptors: Vec<OwnedFd>) {
        let mut state = self.lock();
        if state.lost {
            return;
        }
        state.outbox.push_back(Outgoing { bytes: request.encode(), sent: 0, descriptors });
        if state.outbox.len() > 1 || !self.write(&mut state) {
            self.wake_writer.notify_one();
        }
    }

    /// Writes what the socket takes; `false` if something is left.
    fn write(&self, state: &mut State) -> bool {
        while let Some(next) = state.outbox.front_mut() {
            let descriptors: Vec<_> = if next.sent == 0 {
                next.descriptors.iter().map(AsFd::as_fd).collect()
            } else {
                Vec::new()
            };
            match platform::send(
                self.socket.get_ref().as_fd(),
                &next.bytes[next.sent..],
                &descriptors,
            ) {
                Ok(written) => next.sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The starter process is gone; the reading side tells everybody.
                Err(_closed) => next.sent = next.bytes.len(),
            }
            if state.outbox.front().is_some_and(|next| next.sent == next.bytes.len()) {
                state.outbox.pop_front();
            }
        }
        true
    }

    async fn write_rest(&self) -> io::Result<()> {
        // A second registration of the same socket needs a descriptor of its own.
        let again = self.socket.get_ref().try_clone()?;
        let socket = platform::watched(again, Interest::WRITABLE)?;
        while !self.write(&mut self.lock()) {
            socket.writable().await?.clear_ready();
        }
        Ok(())
    }

    /// Starts the two tasks that read and write in the background.
    fn drive(self: &Arc<Self>, name: &str) {
        let beginning = format!("{TOKEN_NAME}={name}-").into_bytes();
        let reader = tokio::spawn(read_replies(self.clone(), beginning));
        let writer = tokio::spawn(write_requests(self.clone()));
        self.lock().tasks.extend([reader, writer]);
    }

    /// Ends the background tasks, so that the socket closes with the last reference.
    fn close(&self) {
        self.lock().tasks.iter().for_each(JoinHandle::abort);
    }

    fn deliver(&self, reply: Reply) {
        let mut state = self.lock();
        let id = match reply {
            Reply::Started { id, pid, start_time } => {
                if let Some(waiter) = state.waiting.get_mut(&id) {
                    waiter.process = Some(tree::Identity { pid, start_time });
                }
                id
            }
            Reply::Failed { id, .. } | Reply::Exited { id, .. } | Reply::Gone { id } => id,
            Reply::AllGone => KILL_ALL_ID,
        };
        if let Some(waiter) = state.waiting.get(&id) {
            // Nobody listens when the attempt was given up.
            waiter.replies.send(reply).ok();
        }
    }

    /// The starter process died: everybody who waits is told, and what it left is killed.
    fn lose(&self, beginning: &[u8]) {
        let waiting = {
            let mut state = self.lock();
            state.lost = true;
            state.outbox.clear();
            std::mem::take(&mut state.waiting)
        };
        let known: Vec<tree::Identity> = waiting.values().filter_map(|w| w.process).collect();
        kill_survivors(beginning, &known);
        platform::reap_one(self.starter);
    }
}

async fn read_replies(link: Arc<Link>, beginning: Vec<u8>) {
    let mut inbox = Vec::new();
    while let Ok(mut ready) = link.socket.readable().await {
        let mut buffer = [0_u8; 4_096];
        match ready.try_io(|socket| Ok(rustix::io::read(socket.get_ref(), &mut buffer)?)) {
            Ok(Ok(0)) => break,
            Ok(Ok(length)) => {
                inbox.extend_from_slice(&buffer[..length]);
                // A read that was not filled has emptied the socket.
                if length < buffer.len() {
                    ready.clear_ready();
                }
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(_closed)) => break,
            Err(_would_block) => continue,
        }
        loop {
            match take_frame(&mut inbox, Reply::decode) {
                Ok(Some(reply)) => link.deliver(reply),
                Ok(None) => break,
                Err(_damaged) => return link.lose(&beginning),
            }
        }
    }
    link.lose(&beginning);
}

/// Writes what did not fit into the socket at once.
async fn write_requests(link: Arc<Link>) {
    loop {
        link.wake_writer.notified().await;
        if link.write_rest().await.is_err() {
            return;
        }
    }
}

/// Kills what a starter process that died itself has left behind: everything that carries this
/// engine's mark, and everything below the programs that are known by id.
fn kill_survivors(beginning: &[u8], known: &[tree::Identity]) {
    // What is killed can leave children behind, and what forks and ends while the table is read can
    // hide its child: the table is read until it shows none twice. A process that cannot be killed
    // must not hold the engine for ever.
    let mut was_empty = false;
    for _ in 0..100 {
        let snapshot = Snapshot::take();
        let mut targets: Vec<tree::Identity> = snapshot
            .all()
            .filter(|process| {
                !process.zombie && tree::has_entry_beginning(process.identity.pid, beginning)
            })
            .map(|process| process.identity)
            .collect();
        for root in known.iter().filter(|root| snapshot.is_alive(**root)) {
            targets.push(*root);
            let below = snapshot.descendants(root.pid);
            targets.extend(below.iter().filter(|p| !p.zombie).map(|p| p.identity));
        }
        let is_empty = targets.is_empty();
        if is_empty && was_empty {
            return;
        }
        was_empty = is_empty;
        for target in targets {
            platform::signal_process(target.pid, target.start_time, Signal::KILL);
        }
    }
}
