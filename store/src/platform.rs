//! What the standard library does not offer of the operating system.

use std::fs::File;
use std::io;

use rustix::fs::FallocateFlags;

/// Reserves disk space for `len` bytes at `offset` and lets the file grow over them, so that later
/// syncs need not record a new size.
pub(crate) fn preallocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len)?)
}

/// Shares the bytes of `source` with the empty file `target`, where the file system can.
pub(crate) fn clone_file(source: &File, target: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(target, source)?)
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

/// Flags that open a file only if the path itself is no link, and never wait for a pipe's writer.
pub(crate) fn careful_open_flags() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed()
}

/// Whether a folder cannot be synced by design of its file system.
pub(crate) fn cannot_sync_folders(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INVAL)
}
