//! The state of a file, as far as the kernel tells without reading it.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use flow_core::store::StoreError;

use crate::files::if_there;

/// What changes whenever a file's bytes are changed. The time of the last change of state cannot
/// be set by programs, unlike that of the last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    /// The state of the file at `path`; `None` if there is none.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, StoreError> {
        let meta = if_there(fs::symlink_metadata(path)).map_err(StoreError::io("read", path))?;
        Ok(meta.filter(Metadata::is_file).map(|meta| Self::from(&meta)))
    }

    /// The state of an open file.
    pub(crate) fn of_open(file: &File, path: &Path) -> Result<Self, StoreError> {
        let meta = file.metadata().map_err(StoreError::io("read", path))?;
        Ok(Self::from(&meta))
    }

    /// Whether `other` is the same file with the same bytes, perhaps under more or fewer names.
    pub(crate) fn differs_in_links_only(&self, other: &Self) -> bool {
        Self { changed: other.changed, ..*self } == *other
    }

    /// Whether the last change of state was before `time`.
    pub(crate) fn is_before(&self, time: SystemTime) -> bool {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let second = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        self.changed < (second, i64::from(since_epoch.subsec_nanos()))
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl From<&Metadata> for FileState {
    fn from(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            written: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}
