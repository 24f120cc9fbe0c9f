//! The one way to open a file of the store.
//!
//! Anything may have come to lie where a file belongs: a pipe, at which an ordinary open waits for
//! ever, a folder, a link that leads elsewhere, a socket, a device. Nothing but a plain file is worked
//! with, nothing is waited for, and what lies there is told.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use flow_core::store::StoreError;

use crate::platform;

/// Opens a file for reading; `None` if nothing is there. Never waits.
///
/// # Errors
/// [`StoreError::NoFile`] if something else lies there; failure to open.
pub fn open_plain(path: &Path) -> Result<Option<File>, StoreError> {
    match open_plain_with(path, OpenOptions::new().read(true)) {
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Opens a file as `options` say; what is created is a plain file. Never waits.
///
/// # Errors
/// [`StoreError::NoFile`] if something else lies there; failure to open or create.
pub fn open_plain_with(path: &Path, options: &mut OpenOptions) -> Result<File, StoreError> {
    let opened = options.custom_flags(platform::careful_open_flags()).open(path);
    let file = opened.map_err(|error| match fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => no_file(path, meta.file_type()),
        _ => StoreError::io("open", path)(error),
    })?;
    let kind = file.metadata().map_err(StoreError::io("read", path))?.file_type();
    if kind.is_file() { Ok(file) } else { Err(no_file(path, kind)) }
}

/// The bytes of a file; `None` if nothing is there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(mut file) = open_plain(path)? else { return Ok(None) };
    // The length is asked for once, so that a file is read in one piece.
    let length = file.metadata().map_err(StoreError::io("read", path))?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(StoreError::io("read", path))?;
    Ok(Some(bytes))
}

/// What lies in a folder's place, or in that of a file, in words.
pub(crate) fn name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_file() => "a plain file",
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

fn no_file(path: &Path, kind: FileType) -> StoreError {
    StoreError::NoFile { path: path.to_owned(), found: name(kind) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn whatever_is_no_plain_file_is_told_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), 0o600.into()).expect("a pipe");
        fs::create_dir(path("folder")).expect("a folder");
        fs::write(path("file"), "x").expect("a file");
        symlink("file", path("link")).expect("a link");
        symlink("nowhere", path("dangling")).expect("a link");
        let _socket = UnixListener::bind(path("socket")).expect("a socket");
        let kinds = [
            ("pipe", "a named pipe"),
            ("folder", "a folder"),
            ("link", "a link"),
            ("dangling", "a link"),
            ("socket", "a socket"),
        ];
        for (name, kind) in kinds {
            let path = path(name);
            let mut both = OpenOptions::new();
            both.read(true).write(true).create(true);
            let mut append = OpenOptions::new();
            append.append(true).create(true);
            for opened in [
                open_plain(&path).map(drop),
                open_plain_with(&path, &mut both).map(drop),
                open_plain_with(&path, &mut append).map(drop),
                read(&path).map(drop),
            ] {
                assert!(
                    matches!(&opened, Err(StoreError::NoFile { found, .. }) if *found == kind),
                    "{name}: {opened:?}"
                );
            }
        }
        assert!(!path("nowhere").exists(), "a link leads to nothing that is made");
        assert_eq!(read(&path("file")).expect("read").as_deref(), Some(&b"x"[..]));
        assert!(open_plain(&path("absent")).expect("asked").is_none());
        assert!(matches!(
            open_plain(Path::new("/dev/null")),
            Err(StoreError::NoFile { found: "a device", .. })
        ));
    }
}
