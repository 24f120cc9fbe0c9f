//! Small file operations with the store's error.

use std::fs::{self, FileType, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flow_core::store::StoreError;

use crate::platform;

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    let opened =
        OpenOptions::new().read(true).custom_flags(platform::folder_open_flags()).open(path);
    let synced = opened.and_then(|folder| folder.sync_all());
    match synced {
        Err(error) if platform::cannot_sync_folders(&error) => Ok(()),
        other => other.map_err(StoreError::io("sync", path)),
    }
}

/// Writes a file that must not exist yet, and makes its bytes durable.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    write_all_synced([(path, content)])
}

/// As [`write_synced`], with a mode that the mask of the process may narrow.
pub(crate) fn write_synced_with(path: &Path, content: &[u8], mode: u32) -> Result<(), StoreError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(StoreError::io("create", path))?;
    file.write_all(content).map_err(StoreError::io("write", path))?;
    file.sync_all().map_err(StoreError::io("sync", path))
}

/// Writes files that must not exist yet, and makes their bytes durable: all are on their way to the
/// disk before the first is waited for.
pub(crate) fn write_all_synced<P: AsRef<Path>>(
    files: impl IntoIterator<Item = (P, impl AsRef<[u8]>)>,
) -> Result<(), StoreError> {
    let mut written = Vec::new();
    for (path, content) in files {
        let path = path.as_ref().to_owned();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        file.write_all(content.as_ref()).map_err(StoreError::io("write", &path))?;
        written.push((path, file));
    }
    if written.len() > 1 {
        written.iter().for_each(|(_, file)| platform::start_writing(file));
    }
    written
        .iter()
        .try_for_each(|(path, file)| file.sync_all().map_err(StoreError::io("sync", path)))
}

/// Fewer things than this are synced one after the other.
const FEW: usize = 8;
/// So many threads wait for the disk at once.
const THREADS: usize = 8;

/// Syncs many things. The kernel serves those that wait at the same time with one commit.
pub(crate) fn sync_together<T: Sync>(
    items: &[T],
    sync: impl Fn(&T) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    if items.len() < FEW {
        return items.iter().try_for_each(sync);
    }
    let sync = &sync;
    std::thread::scope(|scope| {
        let shares = items.chunks(items.len().div_ceil(THREADS));
        let threads: Vec<_> =
            shares.map(|share| scope.spawn(move || share.iter().try_for_each(sync))).collect();
        // All threads are waited for, whatever the first of them says.
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        results.into_iter().try_for_each(|result| match result {
            Ok(synced) => synced,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Creates a folder; one that is there already is as good.
pub(crate) fn ensure_dir(path: &Path) -> Result<bool, StoreError> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(StoreError::io("create", path)(error)),
    }
}

/// Makes "not found" an answer instead of an error.
pub(crate) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is in a folder, links not followed; nothing if it is gone.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(PathBuf, FileType)>, StoreError> {
    let listed = if_there(fs::read_dir(folder)).map_err(StoreError::io("read", folder))?;
    let mut found = Vec::new();
    for entry in listed.into_iter().flatten() {
        let entry = entry.map_err(StoreError::io("read", folder))?;
        if let Some(kind) = if_there(entry.file_type()).map_err(StoreError::io("read", folder))? {
            found.push((entry.path(), kind));
        }
    }
    Ok(found)
}

/// Removes a file that is of no more use; failing to do so is harmless and only logged.
pub(crate) fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "a temporary file stays behind");
    }
}

/// Refuses a name that is not exactly one ordinary component of a path.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let ordinary = !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && !name.bytes().any(|byte| byte == b'/' || byte == 0);
    if ordinary {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::InvalidInput, "this is not a plain file name");
    Err(StoreError::io("use", name)(source))
}
