//! Messages for runs: files that are written aside, synced, and renamed into the run's folder.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use flow_core::id::RunId;
use flow_core::store::{MESSAGE_MAX, Message, StoreError};

use crate::files::{check_name, discard, ensure_dir, if_there, sync_dir, write_synced};
use crate::layout::Layout;
use crate::plain::open_plain;
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
fn read_message(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(file) = open_plain(path)? else { return Ok(None) };
    let failed = || StoreError::io("read", path);
    let mut content = Vec::new();
    file.take(MESSAGE_MAX + 1).read_to_end(&mut content).map_err(failed())?;
    if content.len() as u64 > MESSAGE_MAX {
        return Err(failed()(io::Error::other("it is too long for a message")));
    }
    Ok(Some(content))
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_no_message_is_moved_away_and_holds_nothing_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::create(&folder.path().join("store")).expect("a store");
        let tmp = TmpSpace::new(layout.tmp());
        let run = RunId::new("one").expect("an id");
        let inbox = layout.inbox(&run);
        fs::create_dir_all(&inbox).expect("a folder");
        fs::create_dir(inbox.join("0-folder")).expect("a folder");
        fs::write(inbox.join("0-folder/file"), b"x").expect("a file");
        symlink("/etc/hostname", inbox.join("0-link")).expect("a link");
        symlink("/dev/zero", inbox.join("0-endless")).expect("a link");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let pipe = inbox.join("0-pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe");
        let large = File::create(inbox.join("0-large")).expect("a file");
        large.set_len(1 << 40).expect("a hole");
        fs::write(inbox.join(OsStr::from_bytes(b"0-\xFF")), b"x").expect("a file");
        fs::write(inbox.join("0-empty"), b"").expect("a file");
        post(&layout, &tmp, &run, b"a message").expect("it is left there");
        for _ in 0..2 {
            let contents: Vec<_> =
                read(&layout, &run).expect("messages").into_iter().map(|(_, c)| c).collect();
            assert_eq!(contents, [b"".to_vec(), b"a message".to_vec()]);
            assert_eq!(fs::read_dir(&inbox).expect("a folder").count(), 2);
        }
        assert_eq!(fs::read_dir(layout.quarantine()).expect("a folder").count(), 6);
    }

    #[test]
    fn very_many_messages_are_read_in_parts_oldest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::create(&folder.path().join("store")).expect("a store");
        let run = RunId::new("one").expect("an id");
        let inbox = layout.inbox(&run);
        fs::create_dir_all(&inbox).expect("a folder");
        for n in 0..600 {
            fs::write(inbox.join(format!("{n:05}")), n.to_string()).expect("a file");
        }
        let mut seen = Vec::new();
        loop {
            let messages = read(&layout, &run).expect("messages");
            if messages.is_empty() {
                break;
            }
            assert!(messages.len() <= AT_ONCE);
            for (name, content) in messages {
                seen.push(content);
                take(&layout, &run, &name).expect("it is removed");
            }
        }
        let all: Vec<_> = (0..600).map(|n| n.to_string().into_bytes()).collect();
        assert_eq!(seen, all);
    }
}
