//! Captured output of programs: secrets in it are masked, and the rest is appended to files of the
//! run, opened with the first byte, capped.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::secrets::StreamMasker;

/// Bytes of one stream that are kept.
const CAP: u64 = 64 * 1024 * 1024;

/// One captured stream of an attempt.
pub(super) struct Capture {
    kept: Kept,
    masker: StreamMasker,
}

/// What is kept of it.
struct Kept {
    path: PathBuf,
    file: Option<File>,
    written: u64,
    capped: bool,
}

impl Capture {
    pub(super) fn new(path: PathBuf, masker: StreamMasker) -> Self {
        Self { kept: Kept { path, file: None, written: 0, capped: false }, masker }
    }

    /// Takes what came; `follow` gets what is kept.
    pub(super) fn take(&mut self, bytes: &[u8], follow: &mut dyn FnMut(&[u8])) {
        self.masker.write(bytes, &mut |safe| {
            self.kept.append(safe);
            follow(safe);
        });
    }

    /// Takes the end.
    pub(super) fn finish(&mut self, follow: &mut dyn FnMut(&[u8])) {
        self.masker.finish(&mut |safe| {
            self.kept.append(safe);
            follow(safe);
        });
    }
}

impl Kept {
    /// Keeps bytes up to the cap, and then a mark. Output that cannot be kept does not fail the
    /// attempt: what the program made is checked elsewhere.
    fn append(&mut self, bytes: &[u8]) {
        if self.capped || bytes.is_empty() {
            return;
        }
        let room = usize::try_from(CAP - self.written).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        if let Err(error) = self.write(kept) {
            tracing::warn!(path = %self.path.display(), %error, "captured output is not kept");
            self.capped = true;
            return;
        }
        self.written += kept.len() as u64;
        if kept.len() < bytes.len() {
            self.capped = true;
            let mark = format!("\n[output over {} MiB is not kept]\n", CAP / 1024 / 1024);
            if let Err(error) = self.write(mark.as_bytes()) {
                tracing::warn!(path = %self.path.display(), %error, "captured output is not kept");
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.file.is_none() {
            if let Some(parent) = self.path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            self.file = Some(open(&self.path)?);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }
}

/// Opens a file for appending, and nothing else that may lie there, such as a pipe or a link.
fn open(path: &Path) -> std::io::Result<File> {
    let careful = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().create(true).append(true).custom_flags(careful).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("something else than a plain file lies there")),
    }
}
