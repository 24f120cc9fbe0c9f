//! Captured output of programs: secrets in it are masked, and the rest is appended to files of the
//! run, opened with the first byte, capped.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flow_core::digest::Hasher;
use flow_core::run::event::KeptOutput;
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
    /// The file, from the first byte on.
    opened: Option<Box<Opened>>,
    written: u64,
    capped: bool,
}

/// A file that is written to.
struct Opened {
    file: File,
    /// Where in the file this attempt begins.
    start: u64,
    digest: Hasher,
}

impl Capture {
    pub(super) fn new(path: PathBuf, masker: StreamMasker) -> Self {
        Self { kept: Kept::new(path), masker }
    }

    /// Takes what came; `follow` gets what is kept.
    pub(super) fn take(&mut self, bytes: &[u8], follow: &mut dyn FnMut(&[u8])) {
        self.masker.write(bytes, &mut |safe| {
            self.kept.append(safe);
            follow(safe);
        });
    }

    /// Takes the end. Gives what is kept, if anything is.
    pub(super) fn finish(&mut self, follow: &mut dyn FnMut(&[u8])) -> Option<KeptOutput> {
        self.masker.finish(&mut |safe| {
            self.kept.append(safe);
            follow(safe);
        });
        self.kept.told()
    }
}

impl Kept {
    fn new(path: PathBuf) -> Self {
        Self { path, opened: None, written: 0, capped: false }
    }

    /// What is on record of it: every byte that reached the file, the mark of the cap as well.
    fn told(&self) -> Option<KeptOutput> {
        let opened = self.opened.as_ref()?;
        let file = self.path.file_name()?.to_str()?.to_owned();
        let (at, bytes, digest) = (opened.start, self.written, opened.digest.finish());
        Some(KeptOutput { file, at, bytes, digest })
    }

    /// Keeps bytes up to the cap, and then a mark. Output that cannot be kept does not fail the
    /// attempt: what the program made is checked elsewhere.
    fn append(&mut self, bytes: &[u8]) {
        if self.capped || bytes.is_empty() {
            return;
        }
        let room = usize::try_from(CAP - self.written).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        let mut written = self.write(kept);
        if kept.len() < bytes.len() && written.is_ok() {
            self.capped = true;
            let mark = format!("\n[output over {} MiB is not kept]\n", CAP / 1024 / 1024);
            written = self.write(mark.as_bytes());
        }
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "captured output is not kept");
            self.capped = true;
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let opened = match &mut self.opened {
                Some(opened) => opened,
                None => self.opened.insert(Box::new(Opened::at(&self.path)?)),
            };
            match opened.file.write(bytes) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    opened.digest.update(&bytes[..length]);
                    self.written += length as u64;
                    bytes = &bytes[length..];
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Opened {
    fn at(path: &Path) -> std::io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = open(path)?;
        let start = file.metadata()?.len();
        Ok(Self { file, start, digest: Hasher::default() })
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
