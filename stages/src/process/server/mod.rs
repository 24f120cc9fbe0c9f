//! The starter process: the one parent of all external programs.
//!
//! It does little, so that starting a program from it is cheap: it reads requests from its
//! socket, starts programs, reaps them and says how they ended. It is the subreaper of all that
//! it starts, so no descendant leaves it; when its socket ends, by whatever death of the engine,
//! it ends every one of them and then itself. It has one thread and sleeps in `poll`.

mod ending;
mod link;
mod start;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::ending::{Attempt, Strays, Unseen};
use self::link::Link;
use self::start::Launcher;
use super::platform::{self, ChildWatch};
use super::protocol::{Reply, Request};
use super::tree::{self, OwnChildren};

/// A program that lives this long is announced to the engine with its process id.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(10);

/// Time between SIGTERM and SIGKILL when the engine is gone.
const ORPHANED_GRACE: Duration = Duration::from_secs(5);

/// Serves the engine at the other end of `socket` until that end closes, then ends every process
/// that was started and returns when none is left.
pub(super) fn serve(socket: OwnedFd) -> io::Result<()> {
    let mut server = Server::new(socket)?;
    server.serve_engine();
    server.end_everything();
    Ok(())
}

struct Server {
    link: Link,
    launcher: Launcher,
    watch: ChildWatch,
    own_children: Option<OwnChildren>,
    /// Running programs by process id.
    children: BTreeMap<u32, u64>,
    /// Programs that have not been reported as wholly gone.
    attempts: BTreeMap<u64, Attempt>,
    strays: Strays,
    unseen: Unseen,
    /// Programs that are to be announced, in order of time.
    unannounced: Vec<(Instant, u64)>,
    /// When to look again after the processes that are being ended.
    look_again: Option<Instant>,
    pause: Duration,
    killing_all: bool,
    /// Locks that tell others whether anything is left.
    held: Vec<OwnedFd>,
}

impl Server {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        platform::adopt_orphans()?;
        Ok(Self {
            link: Link::new(socket),
            launcher: Launcher::new()?,
            watch: ChildWatch::new()?,
            own_children: OwnChildren::open(),
            children: BTreeMap::new(),
            attempts: BTreeMap::new(),
            strays: Strays::default(),
            unseen: Unseen::default(),
            unannounced: Vec::new(),
            look_again: None,
            pause: ending::SHORTEST_PAUSE,
            killing_all: false,
            held: Vec::new(),
        })
    }

    /// Runs until the engine's end of the socket closes, or says something damaged.
    fn serve_engine(&mut self) {
        while let Ok(News { engine, child }) = self.wait() {
            let open = !engine || self.link.read();
            while let Some(request) = self.link.next_request() {
                // Nothing is started for an engine that is gone.
                if open || request == Request::KillAll {
                    self.obey(request);
                }
            }
            if child {
                self.reap();
            }
            self.announce();
            self.look_after_ending();
            if !open || self.link.is_damaged() {
                return;
            }
            self.link.flush();
        }
    }

    fn obey(&mut self, request: Request) {
        match request {
            Request::Spawn(spawn) => self.start(&spawn),
            Request::End { id, grace_ms } => self.end(id, Duration::from_millis(grace_ms)),
            Request::Hold => {
                // Programs that are started here do not inherit it: it came close-on-exec.
                self.held.extend(self.link.take_descriptors().unwrap_or_default());
            }
            Request::KillAll => {
                self.killing_all = true;
                let ids: Vec<u64> = self.attempts.keys().copied().collect();
                for id in ids {
                    self.end(id, Duration::ZERO);
                }
                self.tell_when_all_is_gone();
            }
        }
    }

    /// Sleeps until the engine speaks, a child ends or something is due.
    fn wait(&mut self) -> io::Result<News> {
        let timeout = self.next_due().map(|due| timespec(due - Instant::now().min(due)));
        let mut interest = PollFlags::IN;
        if self.link.has_output() {
            interest |= PollFlags::OUT;
        }
        let mut polled = Vec::with_capacity(2);
        polled.push(PollFd::from_borrowed_fd(self.link.descriptor(), interest));
        let child = self.watch.descriptor();
        polled.extend(child.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let has_news = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let engine = polled.first().is_some_and(has_news);
        let child = polled.get(1).is_none_or(has_news);
        if child {
            self.watch.clear();
        }
        Ok(News { engine, child })
    }

    fn next_due(&self) -> Option<Instant> {
        let interval = if self.children.is_empty() { None } else { self.watch.interval() };
        [
            self.unannounced.first().map(|(due, _)| *due),
            self.look_again,
            interval.map(|interval| Instant::now() + interval),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Tells the engine the process ids of programs that have run for a moment.
    fn announce(&mut self) {
        let now = Instant::now();
        let due = self.unannounced.partition_point(|(at, _)| *at <= now);
        for (_, id) in self.unannounced.drain(..due) {
            let Some(pid) = self.attempts.get(&id).and_then(Attempt::running) else { continue };
            let start_time = tree::start_time(pid).unwrap_or(0);
            self.link.tell(Reply::Started { id, pid, start_time });
        }
    }

    /// Takes the exit codes of all children that have ended.
    fn reap(&mut self) {
        let mut ended = Vec::new();
        while let Some((pid, end)) = platform::reap() {
            match self.children.remove(&pid) {
                Some(id) => ended.push((id, end)),
                None => self.strays.forget(pid),
            }
        }
        for (id, end) in ended {
            self.child_ended(id, end);
        }
    }
}

/// What woke the process.
struct News {
    /// The socket has something, or takes something.
    engine: bool,
    /// A child may have ended.
    child: bool,
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up to a millisecond, so that a wake-up is never a moment too early.
    Timespec::try_from(duration + Duration::from_millis(1))
        .unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
}
