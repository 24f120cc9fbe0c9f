//! Messages for runs: files that are written aside, synced, and renamed into the run's folder.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flow_core::id::RunId;
use flow_core::store::{MESSAGE_MAX, Message, StoreError};

use crate::files::{check_name, discard, ensure_dir, if_there, sync_dir, write_synced};
use crate::layout::Layout;
use crate::platform;
use crate::tmp::{TmpSpace, unique_name};

/// So many messages are read at once.
const AT_ONCE: usize = 256;

/// Leaves a message.
pub(crate) fn post(
    layout: &Layout,
    tmp: &TmpSpace,
    run: &RunId,
    message: &[u8],
) -> Result<(), StoreError> {
    let folder = layout.inbox(run);
    if message.len() as u64 > MESSAGE_MAX {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the message is too long");
        return Err(StoreError::io("write to", folder)(source));
    }
    let aside = tmp.fresh()?;
    let left = write_synced(&aside, message).and_then(|()| give_name(&folder, &aside));
    if left.is_err() {
        discard(&aside);
    }
    left
}

fn give_name(folder: &Path, aside: &Path) -> Result<(), StoreError> {
    ensure_dir(folder)?;
    let target = folder.join(message_name());
    fs::rename(aside, &target).map_err(StoreError::io("rename", &target))?;
    sync_dir(folder)
}

/// A name that comes after those of earlier messages, as far as the clock tells.
fn message_name() -> String {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:020}-{}", since_epoch.map_or(0, |time| time.as_nanos()), unique_name())
}

/// What waits, oldest first.
pub(crate) fn read(layout: &Layout, run: &RunId) -> Result<Vec<Message>, StoreError> {
    let folder = layout.inbox(run);
    let listed = if_there(fs::read_dir(&folder)).map_err(StoreError::io("read", &folder))?;
    let mut names = BTreeSet::new();
    for entry in listed.into_iter().flatten() {
        names.insert(entry.map_err(StoreError::io("read", &folder))?.file_name());
        if names.len() > AT_ONCE {
            names.pop_last();
        }
    }
    let mut messages = Vec::new();
    for name in names {
        let path = folder.join(&name);
        match (name.to_str(), read_message(&path)) {
            (_, Ok(None)) => {}
            (Some(name), Ok(Some(content))) => messages.push((name.to_owned(), content)),
            (None, Ok(Some(_))) => put_aside(layout, run, &name, "its name is no text"),
            (_, Err(error)) => put_aside(layout, run, &name, &error.to_string()),
        }
    }
    Ok(messages)
}

/// The content of a message; `None` if it is gone. Whoever can write to the folder may have put
/// anything there, so nothing but a regular file of moderate size is read.
fn read_message(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = platform::careful_open_flags();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let Some(file) = if_there(opened)? else { return Ok(None) };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if meta.len() > MESSAGE_MAX {
        return Err(io::Error::other("it is too long for a message"));
    }
    read_limited(&file).map(Some)
}

fn read_limited(file: &File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // It may grow while it is read.
    file.take(MESSAGE_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MESSAGE_MAX {
        return Err(io::Error::other("it is too long for a message"));
    }
    Ok(content)
}

/// Moves something that is no message out of the way, without opening it.
fn put_aside(layout: &Layout, run: &RunId, name: &OsStr, reason: &str) {
    let path = layout.inbox(run).join(name);
    let aside = layout.quarantine().join(format!("inbox.{run}.{}", unique_name()));
    let moved = ensure_dir(&layout.quarantine())
        .and_then(|_| fs::rename(&path, &aside).map_err(StoreError::io("move", &path)));
    match moved {
        Ok(()) => tracing::warn!(
            path = %path.display(), aside = %aside.display(), reason, "this is no message"
        ),
        Err(error) => tracing::warn!(path = %path.display(), reason, %error, "this is no message"),
    }
}

/// Removes a message.
pub(crate) fn take(layout: &Layout, run: &RunId, name: &str) -> Result<(), StoreError> {
    check_name(name)?;
    let folder = layout.inbox(run);
    let path = folder.join(name);
    if if_there(fs::remove_file(&path)).map_err(StoreError::io("remove", &path))?.is_some() {
        sync_dir(&folder)?;
    }
    Ok(())
}
