//! Which objects something needs. Anything that looks like a digest counts as a reference, wherever
//! it stands: what is kept too long does no harm, what is removed too early does.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::StoreError;

use crate::disk::no_journal;
use crate::files::entries;
use crate::layout::{INBOX, Layout};
use crate::objects::FileState;
use crate::plain::open_plain;

/// How much is in memory at once.
const CHUNK: usize = 256 * 1024;

/// A digest has so many digits.
const DIGITS: usize = 64;

/// An object that might be removed.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    /// Its state when the collection began.
    pub(super) state: FileState,
    needed: bool,
}

/// The objects that were there when a collection began.
#[derive(Debug, Default)]
pub(super) struct Marks {
    objects: HashMap<Digest, Candidate>,
    /// Needed objects that were not looked into yet.
    open: Vec<Digest>,
}

impl Marks {
    /// All objects, none of them needed.
    pub(super) fn of(layout: &Layout) -> Result<Self, StoreError> {
        let mut marks = Self::default();
        for (digest, path) in super::objects::each_object(layout, &mut |_| {})? {
            if let Some(state) = FileState::of(&path)? {
                marks.objects.insert(digest, Candidate { path, state, needed: false });
            }
        }
        Ok(marks)
    }

    /// Marks what a run refers to, in its journal and in whatever else is recorded with it. The
    /// bytes are gone through as they are, so that damage hides nothing.
    ///
    /// # Errors
    /// Failure to read; a run without a journal, of which nobody can tell what it needs.
    pub(super) fn mark_run(&mut self, layout: &Layout, run: &RunId) -> Result<(), StoreError> {
        let folder = layout.run(run);
        if open_plain(&layout.journal(run))?.is_none() && folder.exists() {
            return Err(no_journal(layout.journal(run)));
        }
        for folder in [folder.join(INBOX), folder] {
            for (path, kind) in entries(&folder)? {
                if kind.is_file() {
                    self.mark_file(&path)?;
                }
            }
        }
        self.follow()
    }

    /// Marks what needed objects refer to: folders their files, JSON whatever stands in it.
    fn follow(&mut self) -> Result<(), StoreError> {
        while let Some(digest) = self.open.pop() {
            let Some(path) = self.objects.get(&digest).map(|object| object.path.clone()) else {
                continue;
            };
            if is_json(&path)? {
                self.mark_file(&path)?;
            }
        }
        Ok(())
    }

    fn mark_file(&mut self, path: &Path) -> Result<(), StoreError> {
        each_digest_in(path, &mut |digest| self.mark(digest))
    }

    fn mark(&mut self, digest: Digest) {
        if let Some(object) = self.objects.get_mut(&digest)
            && !object.needed
        {
            object.needed = true;
            self.open.push(digest);
        }
    }

    /// The objects that nothing needs.
    pub(super) fn unneeded(&self) -> impl Iterator<Item = &Candidate> {
        self.objects.values().filter(|object| !object.needed)
    }
}

/// Shows whatever looks like a digest in a file; nothing if it is gone.
pub(super) fn each_digest_in(path: &Path, visit: &mut dyn FnMut(Digest)) -> Result<(), StoreError> {
    let Some(mut file) = open_plain(path)? else { return Ok(()) };
    let mut digits = Digits::none();
    let mut buffer = vec![0; CHUNK];
    loop {
        let len = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        buffer[..len].iter().filter_map(|byte| digits.take(*byte)).for_each(&mut *visit);
    }
    // The end of the file ends a row of digits as well.
    digits.take(b'\n').into_iter().for_each(visit);
    Ok(())
}

/// Whether a file may be JSON that refers to something: an object or a list.
pub(super) fn is_json(path: &Path) -> Result<bool, StoreError> {
    let Some(mut file) = open_plain(path)? else { return Ok(false) };
    let mut first = [0];
    let len = file.read(&mut first).map_err(StoreError::io("read", path))?;
    Ok(len == 1 && matches!(first[0], b'{' | b'['))
}

/// Hexadecimal digits in a row.
struct Digits {
    text: [u8; DIGITS],
    len: usize,
}

impl Digits {
    fn none() -> Self {
        Self { text: [0; DIGITS], len: 0 }
    }

    /// Takes the next byte; a digest, if exactly as many digits as it has stood before this byte.
    fn take(&mut self, byte: u8) -> Option<Digest> {
        if matches!(byte, b'0'..=b'9' | b'a'..=b'f') {
            if let Some(place) = self.text.get_mut(self.len) {
                *place = byte;
            }
            self.len = self.len.saturating_add(1);
            return None;
        }
        let len = std::mem::take(&mut self.len);
        if len != DIGITS {
            return None;
        }
        str::from_utf8(&self.text).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Digest> {
        let mut digits = Digits::none();
        format!("{text}\n").bytes().filter_map(|byte| digits.take(byte)).collect()
    }

    #[test]
    fn a_digest_is_seen_wherever_it_stands_alone() {
        let digest = Digest::of(b"x");
        let all = [
            format!("{digest}"),
            format!("{{\"$file\":\"{digest}\"}}"),
            format!("abc {digest}-"),
            format!("\u{0}{digest}\u{0}"),
        ];
        for text in all {
            assert_eq!(found(&text), [digest], "{text}");
        }
        assert_eq!(found(&format!("{digest} {digest}")), [digest, digest]);
        assert_eq!(found(&format!("{digest}0")), []);
        assert_eq!(found(&digest.to_string()[1..]), []);
    }
}
