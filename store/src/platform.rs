//! What the standard library does not offer of the operating system.

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use flow_core::store::StoreError;
use rustix::fs::FallocateFlags;

use crate::locks;

/// Reserves disk space for `len` bytes at `offset` and lets the file grow over them, so that later
/// syncs need not record a new size.
pub(crate) fn preallocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len)?)
}

/// Shares the bytes of `source` with the empty file `target`, where the file system can.
#[cfg(target_os = "linux")]
pub(crate) fn clone_file(source: &File, target: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(target, source)?)
}

/// Says that bytes cannot be shared, so that they are copied.
#[cfg(not(target_os = "linux"))]
pub(crate) fn clone_file(_: &File, _: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Asks the kernel to begin writing a file to disk and does not wait for it, so that a later sync
/// finds most of its work done. Only a hint: nothing depends on it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "neither std nor rustix offers sync_file_range")]
pub(crate) fn start_writing(file: &File) {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open as long as `file` is borrowed, and no memory is passed.
    let result =
        unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    if result != 0 {
        tracing::trace!(error = %io::Error::last_os_error(), "no early writing");
    }
}

/// Does nothing where the kernel cannot be asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn start_writing(_: &File) {}

/// Whether a process of this machine may be alive. One that has ended and was not asked for its end yet
/// holds nothing any more.
pub(crate) fn is_alive(pid: i32) -> bool {
    let Some(process) = rustix::process::Pid::from_raw(pid) else { return true };
    if let Err(rustix::io::Errno::SRCH) = rustix::process::test_kill_process(process) {
        return false;
    }
    !is_in_state(pid, 'Z')
}

/// Whether a process was stopped by a signal and does nothing until it gets another one.
pub(crate) fn is_stopped(pid: i32) -> bool {
    is_in_state(pid, 'T')
}

fn is_in_state(pid: i32, state: char) -> bool {
    // `pid (name) state …`, where the name may have anything in it.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(state))
}

/// A file at `path` with the byte at `place` locked, as long as that file is open; `None` if another
/// open file has it, of this process or another one.
#[cfg(target_os = "linux")]
pub(crate) fn lock_place(path: &Path, place: u64) -> Result<Option<File>, StoreError> {
    use nix::fcntl::{FcntlArg, fcntl};
    let file = locks::open(path)?;
    let byte = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: (place >> 1).cast_signed(),
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte)) {
        Ok(_) => Ok(Some(file)),
        Err(nix::Error::EAGAIN | nix::Error::EACCES) => Ok(None),
        Err(errno) => Err(locks::refused(path, errno.into())),
    }
}

/// Where open files cannot lock single bytes, each place is a file of its own in a folder at `path`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lock_place(path: &Path, place: u64) -> Result<Option<File>, StoreError> {
    crate::files::ensure_dir(path)?;
    let path = path.join(format!("{place:016x}"));
    let file = locks::open(&path)?;
    Ok(locks::try_lock(&file, &path)?.then_some(file))
}

/// Listens at a path of any length.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    with_short_path(path, |path| UnixListener::bind(path))
}

/// Connects to whoever listens at a path, without waiting where many wait already.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
    with_short_path(path, |path| {
        let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::io::ioctl_fionbio(&socket, false)?;
        Ok(UnixStream::from(socket))
    })
}

/// A longer path does not fit into the address of a socket.
const SOCKET_PATH_MAX: usize = 100;

/// Names a file by way of its folder's descriptor, if its path is too long for a socket.
#[cfg(target_os = "linux")]
fn with_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return act(path) };
    if path.as_os_str().len() <= SOCKET_PATH_MAX {
        return act(path);
    }
    let folder = File::open(folder)?;
    act(&Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}

/// Where descriptors have no paths, a link in the folder for temporary files leads to the folder.
#[cfg(not(target_os = "linux"))]
fn with_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return act(path) };
    if path.as_os_str().len() <= SOCKET_PATH_MAX {
        return act(path);
    }
    let link = std::env::temp_dir().join(format!("flow-{}", crate::tmp::unique_name()));
    std::os::unix::fs::symlink(folder, &link)?;
    let done = act(&link.join(name));
    std::fs::remove_file(&link)?;
    done
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether a hard link failed for a reason that a copy gets around.
pub(crate) fn link_needs_copy(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let reasons = [Errno::MLINK, Errno::XDEV, Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS];
    Errno::from_io_error(error).is_some_and(|errno| reasons.contains(&errno))
}

/// Whether a lock failed because the file system has none, rather than because someone has it.
pub(crate) fn lacks_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let reasons = [Errno::OPNOTSUPP, Errno::NOSYS, Errno::NOLCK, Errno::INVAL];
    Errno::from_io_error(error).is_some_and(|errno| reasons.contains(&errno))
}

/// Flags that open a file only if the path itself is no link, never wait for a pipe's other end, and
/// never take up with a terminal.
pub(crate) fn careful_open_flags() -> i32 {
    use rustix::fs::OFlags;
    (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()
}

/// Flags that open a folder and nothing else, without waiting.
pub(crate) fn folder_open_flags() -> i32 {
    use rustix::fs::OFlags;
    (OFlags::DIRECTORY | OFlags::NONBLOCK).bits().cast_signed()
}

/// Whether a folder cannot be synced by design of its file system.
pub(crate) fn cannot_sync_folders(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INVAL)
}
