//! What programs write: kept whole if wanted, the last lines of it for errors, and line by line
//! for those who follow along. Memory stays bounded whatever comes.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::command::Captured;

/// What is kept in memory before a file takes it.
const IN_MEMORY: usize = 1 << 20;

/// What is kept in memory where there is no folder for a file.
const WITHOUT_FILE: usize = 256 << 20;

/// What an error shows of stderr, in bytes and lines.
const TAIL_BYTES: usize = 8 * 1024;
const TAIL_LINES: usize = 20;

/// The longest line that is handed on whole.
const LINE_BYTES: usize = 64 * 1024;

/// Keeps a stream whole.
pub(super) struct Spool {
    memory: Vec<u8>,
    file: Option<(File, u64)>,
    /// `None` where there is no folder for it.
    path: Option<PathBuf>,
}

impl Spool {
    /// Keeps in memory at first and later in a new file in `folder`, if that is not empty.
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        let path = (!folder.as_os_str().is_empty()).then(|| folder.join(name));
        Self { memory: Vec::new(), file: None, path }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let most = if self.path.is_some() { IN_MEMORY } else { WITHOUT_FILE };
        if self.file.is_none() && self.memory.len() + bytes.len() <= most {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let (file, size) = match &mut self.file {
            Some(open) => open,
            none => {
                let path = self.path.as_ref().ok_or(io::ErrorKind::FileTooLarge)?;
                let mut file = File::create(path)?;
                file.write_all(&self.memory)?;
                let size = self.memory.len() as u64;
                self.memory = Vec::new();
                none.insert((file, size))
            }
        };
        file.write_all(bytes)?;
        *size += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> Captured {
        match (self.file, self.path) {
            (Some((_, size)), Some(path)) => Captured::File { path, size },
            _ => Captured::Memory(self.memory),
        }
    }
}

/// Remembers the end of a stream.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        self.0.extend_from_slice(last);
        // Cut now and then, not for every byte that comes.
        if self.0.len() > 4 * TAIL_BYTES {
            self.0.drain(..self.0.len() - TAIL_BYTES);
        }
    }

    /// The last lines as text that is safe to show.
    pub(super) fn text(&self) -> String {
        let last = &self.0[self.0.len().saturating_sub(TAIL_BYTES)..];
        let text = String::from_utf8_lossy(last);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        escape_controls(&shown.join("\n"))
    }
}

/// The text with every control character but line ends and tabs written as an escape, so that it
/// can do nothing to a terminal.
pub(crate) fn escape_controls(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Cuts a stream into lines.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Calls `sink` for every line that is complete; a line that is too long comes in pieces.
    pub(super) fn write(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.0.extend_from_slice(&bytes[..end]);
            self.flush(sink);
            bytes = &bytes[end + 1..];
        }
        self.0.extend_from_slice(bytes);
        if self.0.len() >= LINE_BYTES {
            self.flush(sink);
        }
    }

    /// Calls `sink` for a last line without an end.
    pub(super) fn finish(mut self, sink: &mut dyn FnMut(&str)) {
        if !self.0.is_empty() {
            self.flush(sink);
        }
    }

    fn flush(&mut self, sink: &mut dyn FnMut(&str)) {
        let line = self.0.strip_suffix(b"\r").unwrap_or(&self.0);
        sink(&String::from_utf8_lossy(line));
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_moves_to_a_file_when_it_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stdout");
        let mut small = Spool::new(folder.path(), "stdout");
        small.write(b"abc").expect("in memory");
        assert_eq!(small.finish(), Captured::Memory(b"abc".to_vec()));
        assert!(!path.exists());
        let mut large = Spool::new(folder.path(), "stdout");
        for _ in 0..40 {
            large.write(&[7; 64 * 1024]).expect("in the file");
        }
        let size = 40 * 64 * 1024;
        assert_eq!(large.finish(), Captured::File { path: path.clone(), size });
        assert_eq!(std::fs::metadata(path).expect("the file").len(), size);
    }

    #[test]
    fn the_tail_has_the_last_lines_and_no_control_characters() {
        let mut tail = Tail::default();
        for line in 0..10_000 {
            tail.write(format!("line {line}\n").as_bytes());
        }
        tail.write(b"\x1b[31mred\x07\tand \xff bytes\r\n\n");
        let text = tail.text();
        assert_eq!(text.lines().count(), TAIL_LINES);
        assert!(text.starts_with("line 9981"), "{text}");
        assert!(text.ends_with("\\u{1b}[31mred\\u{7}\tand \u{fffd} bytes"), "{text}");
        let mut huge = Tail::default();
        huge.write(&vec![b'x'; 1 << 20]);
        assert_eq!(huge.text().len(), TAIL_BYTES);
    }

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        let mut seen = Vec::new();
        let mut sink = |line: &str| seen.push(line.to_owned());
        let mut lines = Lines::default();
        for piece in ["a", "b\r", "\nc\n\nd", "e"] {
            lines.write(piece.as_bytes(), &mut sink);
        }
        lines.finish(&mut sink);
        assert_eq!(seen, ["ab", "c", "", "de"]);
    }
}
