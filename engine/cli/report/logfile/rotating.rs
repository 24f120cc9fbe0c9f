//! A log file that many processes write to, and that never grows without end.
//!
//! Lines are appended, each with one call, so that lines of different processes stay whole. A file that
//! has grown too long is renamed under a lock of the folder; a process that still has the old one open
//! sees that before its next write and opens the new one. What it wrote in between stands in the
//! renamed file: no line is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How long a file gets before the next one is begun, in bytes.
pub(super) const LONGEST: u64 = 32 * 1024 * 1024;
/// How many full files are kept beside the one that is written.
const KEPT: u32 = 4;

/// One of the log files of a store.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    file: File,
    longest: u64,
}

impl Rotating {
    /// Opens the file for appending.
    pub(super) fn open(path: PathBuf, longest: u64) -> io::Result<Self> {
        let file = append(&path)?;
        Ok(Self { path, file, longest })
    }

    /// Appends whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.is_current() {
            self.file = append(&self.path)?;
        }
        self.file.write_all(lines)?;
        if self.file.metadata()?.len() > self.longest {
            self.rotate()?;
        }
        Ok(())
    }

    /// Whether the path still leads to the file that is open.
    fn is_current(&self) -> bool {
        match (std::fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(here)) => (there.dev(), there.ino()) == (here.dev(), here.ino()),
            _ => false,
        }
    }

    /// Begins the next file, unless another process has just done so.
    fn rotate(&mut self) -> io::Result<()> {
        let path = self.path.with_extension("lock");
        let lock = open(&path, OpenOptions::new().write(true).create(true).truncate(false))?;
        lock.lock()?;
        if self.is_current() {
            for number in (1..KEPT).rev() {
                rename(&self.numbered(number), &self.numbered(number + 1))?;
            }
            rename(&self.path, &self.numbered(1))?;
        }
        self.file = append(&self.path)?;
        Ok(())
    }

    /// The path of a full file: 1 is the latest.
    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().create(true).append(true))
}

/// Opens a file and nothing else, without waiting.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    flow_store::open_plain_with(path, options).map_err(io::Error::other)
}

/// Renames a file if it is there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All lines of a log and of what was renamed.
    fn lines(folder: &Path) -> Vec<String> {
        let files = std::fs::read_dir(folder).expect("a folder");
        let paths = files.map(|file| file.expect("a file").path());
        let text = |path: PathBuf| std::fs::read_to_string(path).expect("text");
        paths.flat_map(|path| text(path).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn writers_that_rotate_at_the_same_time_lose_no_line_and_cut_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipeline.log");
        let write = |writer: usize| {
            let path = path.clone();
            move || {
                // As short as all lines fit into the files that are kept.
                let mut log = Rotating::open(path, 8_000).expect("a log");
                for line in 0..100 {
                    log.write(format!("{writer} {line} {}\n", "x".repeat(20)).as_bytes())
                        .expect("a line");
                }
            }
        };
        let writers: Vec<_> = (0..8).map(|writer| std::thread::spawn(write(writer))).collect();
        for writer in writers {
            writer.join().expect("no panic");
        }
        let lines = lines(folder.path());
        let whole = |line: &&String| line.ends_with(&"x".repeat(20));
        assert!(lines.iter().all(|line| whole(&line)), "a line was cut");
        let heads: BTreeSet<&str> = lines.iter().map(|line| &line[..line.len() - 21]).collect();
        assert_eq!((heads.len(), lines.len()), (800, 800));
        assert!(folder.path().join("pipeline.log.1").exists());
    }

    #[test]
    fn only_so_many_full_files_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Rotating::open(folder.path().join("a.log"), 10).expect("a log");
        for _ in 0..20 {
            log.write(b"a line of text\n").expect("a line");
        }
        let logs = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(logs, 1 + KEPT as usize + 1, "the log, the full ones, the lock");
    }

    #[test]
    fn a_log_that_was_taken_away_is_begun_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let mut log = Rotating::open(path.clone(), LONGEST).expect("a log");
        log.write(b"one\n").expect("a line");
        std::fs::remove_file(&path).expect("a file");
        log.write(b"two\n").expect("a line");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "two\n");
    }
}
