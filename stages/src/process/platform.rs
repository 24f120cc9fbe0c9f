//! Every call that is not the same on all systems: starting processes, reaping them, sending
//! signals to just the right one, and moving descriptors over a socket.
//!
//! Linux has all of it. Elsewhere there is no subreaper, no signal descriptor and no `/proc`: the
//! starter process then looks at its children on a timer and ends process groups only.

use std::ffi::{CStr, CString};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use nix::unistd::Pid as NixPid;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::protocol::End;

/// Descriptors that travel with one message, at most: stdout, stderr and stdin.
pub(super) const MAX_DESCRIPTORS: usize = 3;

/// The session flag of `posix_spawn`, which nix does not name. The number is the same in glibc
/// and musl.
#[cfg(target_os = "linux")]
const SET_SESSION: i32 = 0x80;
/// The session flag of `posix_spawn` on macOS.
#[cfg(target_os = "macos")]
const SET_SESSION: i32 = 0x0400;

/// Starts programs, each in a session of its own, with all signals at their defaults.
pub(super) struct Starter {
    attributes: PosixSpawnAttr,
}

/// The streams of a new process; `None` is `/dev/null`.
pub(super) struct Streams<'fd> {
    /// Standard input.
    pub(super) stdin: Option<BorrowedFd<'fd>>,
    /// Standard output.
    pub(super) stdout: Option<BorrowedFd<'fd>>,
    /// Standard error.
    pub(super) stderr: Option<BorrowedFd<'fd>>,
}

impl Starter {
    /// A starter whose processes have no signal blocked.
    pub(super) fn new() -> io::Result<Self> {
        Self::with_mask(&SigSet::empty())
    }

    /// A starter whose processes have every signal blocked: for the starter process itself, which
    /// must not die of a signal to a group and must not lose the end of a child.
    pub(super) fn deaf() -> io::Result<Self> {
        Self::with_mask(&SigSet::all())
    }

    fn with_mask(mask: &SigSet) -> io::Result<Self> {
        let mut attributes = PosixSpawnAttr::init()?;
        let flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
            | PosixSpawnFlags::from_bits_retain(SET_SESSION);
        attributes.set_flags(flags)?;
        // An ignored signal would otherwise be inherited: SIGCHLD from a careless parent loses
        // exit codes, and SIGPIPE is ignored by every Rust program.
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_sigmask(mask)?;
        Ok(Self { attributes })
    }

    /// Starts `program` and returns its process id. `close` are descriptors that it must not
    /// have, beyond those that close on exec by themselves.
    pub(super) fn start(
        &self,
        program: &CStr,
        argv: &[CString],
        env: &[&CStr],
        streams: &Streams<'_>,
        close: &[i32],
    ) -> io::Result<u32> {
        let mut actions = PosixSpawnFileActions::init()?;
        for (stream, target) in [(streams.stdin, 0), (streams.stdout, 1), (streams.stderr, 2)] {
            match stream {
                Some(fd) => actions.add_dup2(fd.as_raw_fd(), target)?,
                None => {
                    let mode = if target == 0 { OFlag::O_RDONLY } else { OFlag::O_WRONLY };
                    actions.add_open(target, c"/dev/null", mode, Mode::empty())?;
                }
            }
        }
        for fd in close {
            actions.add_close(*fd)?;
        }
        let pid: NixPid = posix_spawn(program, &actions, &self.attributes, argv, env)?;
        Ok(pid.as_raw().unsigned_abs())
    }
}

/// Numbers of this process's descriptors above 2 that a new process would inherit.
pub(super) fn inheritable_descriptors() -> Vec<i32> {
    // Where the list cannot be read nothing is closed: it only matters for descriptors that
    // someone left open for this program on purpose.
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect()
}

/// Makes this process the parent of all orphans below it.
pub(super) fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Reaps one child that has ended, if there is one.
pub(super) fn reap() -> Option<(u32, End)> {
    // No child at all is an error of the call, and no news either.
    let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok().flatten()?;
    Some((pid.as_raw_pid().unsigned_abs(), end_of(status)))
}

/// Whether this process has any child, one that has ended and is not reaped yet included.
pub(super) fn has_children() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::All, options).err() != Some(rustix::io::Errno::CHILD)
}

/// Reaps just this child, if it has ended.
pub(super) fn reap_one(pid: u32) -> Option<End> {
    let (_, status) = rustix::process::waitpid(as_pid(pid), WaitOptions::NOHANG).ok().flatten()?;
    Some(end_of(status))
}

fn end_of(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Code(code),
        (None, Some(signal)) => End::Signal(signal),
        // Neither is reported without WUNTRACED and WCONTINUED.
        (None, None) => End::Code(-1),
    }
}

fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Tells when a child has ended.
#[cfg(target_os = "linux")]
pub(super) struct ChildWatch(nix::sys::signalfd::SignalFd);

#[cfg(target_os = "linux")]
impl ChildWatch {
    /// Watches the children of this process. SIGCHLD must be blocked, as in a process that
    /// [`Starter::deaf`] started.
    pub(super) fn new() -> io::Result<Self> {
        use nix::sys::signal::Signal as Named;
        use nix::sys::signalfd::{SfdFlags, SignalFd};
        let mut mask = SigSet::empty();
        mask.add(Named::SIGCHLD);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self(SignalFd::with_flags(&mask, flags)?))
    }

    /// The descriptor to poll.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    /// Longest sleep while children run.
    pub(super) fn interval(&self) -> Option<Duration> {
        None
    }

    /// Takes the news off the descriptor, so that it can be polled again.
    pub(super) fn clear(&self) {
        // One standing signal at most is pending; an error means that there was none.
        self.0.read_signal().ok();
    }
}

/// Tells when a child may have ended: by the clock alone.
#[cfg(not(target_os = "linux"))]
pub(super) struct ChildWatch;

#[cfg(not(target_os = "linux"))]
impl ChildWatch {
    /// Watches the children of this process.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// The descriptor to poll.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Longest sleep while children run.
    pub(super) fn interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(5))
    }

    /// Takes the news off the descriptor.
    pub(super) fn clear(&self) {}
}

/// Sends a signal to the process `pid` that started at `start_time`, and to no later one with the
/// same id. A process that is gone is no error.
#[cfg(target_os = "linux")]
pub(super) fn signal_process(pid: u32, start_time: u64, signal: Signal) {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    let Some(target) = as_pid(pid) else { return };
    // The descriptor pins the process; a start time read afterwards belongs to it.
    let pinned = pidfd_open(target, PidfdFlags::empty());
    if super::tree::start_time(pid) != Some(start_time) {
        return;
    }
    let sent = match pinned {
        Ok(pidfd) => pidfd_send_signal(pidfd, signal),
        // Kernels before 5.3 have no such descriptors.
        Err(rustix::io::Errno::NOSYS) => rustix::process::kill_process(target, signal),
        Err(gone) => Err(gone),
    };
    // It may have ended meanwhile, or belong to another user: the caller looks again.
    sent.ok();
}

/// Without a process table nobody knows a process by its start time.
#[cfg(not(target_os = "linux"))]
pub(super) fn signal_process(_pid: u32, _start_time: u64, _signal: Signal) {}

/// Sends a signal to a whole process group.
pub(super) fn signal_group(pid: u32, signal: Signal) {
    if let Some(group) = as_pid(pid) {
        // A group that is gone is what the caller wants.
        rustix::process::kill_process_group(group, signal).ok();
    }
}

/// Sends bytes, with descriptors at the first of them, without waiting. Returns how many bytes
/// were taken.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let flags = SendFlags::DONTWAIT | no_signal();
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?)
}

#[cfg(target_os = "linux")]
fn no_signal() -> SendFlags {
    SendFlags::NOSIGNAL
}

#[cfg(not(target_os = "linux"))]
fn no_signal() -> SendFlags {
    // Rust programs ignore SIGPIPE from the start.
    SendFlags::empty()
}

/// What one read of a socket brought.
pub(super) struct Received {
    /// Bytes read; 0 is the end.
    pub(super) bytes: usize,
    /// Descriptors that came along; `None` if some were lost because this process may not have
    /// more.
    pub(super) descriptors: Option<Vec<OwnedFd>>,
}

/// Reads bytes and descriptors without waiting.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | close_on_exec();
    let message =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    let lost = message.flags.contains(rustix::net::ReturnFlags::CTRUNC);
    Ok(Received { bytes: message.bytes, descriptors: (!lost).then_some(descriptors) })
}

#[cfg(target_os = "linux")]
fn close_on_exec() -> RecvFlags {
    RecvFlags::CMSG_CLOEXEC
}

#[cfg(not(target_os = "linux"))]
fn close_on_exec() -> RecvFlags {
    RecvFlags::empty()
}

/// Has the runtime watch a descriptor for one kind of news alone.
#[expect(unsafe_code, reason = "the safe constructors watch for both kinds, a wake-up for nothing")]
pub(super) fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `OwnedFd` keeps its descriptor open until it is dropped and always names the same.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    watched.map_err(io::Error::from)
}

/// A pipe for a program's output: the end to read does not block, the end to write does.
pub(super) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe()?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((read, write))
}

/// A pipe for a program's input: the end to write does not block, the end to read does.
pub(super) fn input_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe()?;
    rustix::io::ioctl_fionbio(&write, true)?;
    Ok((read, write))
}

#[cfg(target_os = "linux")]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

#[cfg(not(target_os = "linux"))]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe()?;
    for end in [&read, &write] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok((read, write))
}

/// Gives a busy pipe more room.
pub(super) fn widen_pipe(pipe: BorrowedFd<'_>) {
    // A refusal (the user's pages for pipes are used up) costs speed alone.
    #[cfg(target_os = "linux")]
    rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20).ok();
    #[cfg(not(target_os = "linux"))]
    let _: BorrowedFd<'_> = pipe;
}

/// The file that this process executes, as an argument of exec: right even when the file was
/// replaced since.
pub(super) fn own_executable() -> io::Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(std::path::PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}

/// Clock ticks since boot, in the unit of a process's start time.
#[cfg(target_os = "linux")]
pub(super) fn ticks_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let per_second = rustix::param::clock_ticks_per_second();
    let seconds = now.tv_sec.unsigned_abs() * per_second;
    seconds + now.tv_nsec.unsigned_abs() * per_second / 1_000_000_000
}

/// Clock ticks since boot; not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn ticks_since_boot() -> u64 {
    0
}

/// The id of this boot of the machine; empty where the system has none.
pub(super) fn boot_id() -> &'static str {
    static BOOT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BOOT.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default()
    })
}
