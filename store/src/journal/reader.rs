//! Reading a journal, while it may grow.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flow_core::run::event::Recorded;
use flow_core::store::StoreError;

use super::Tip;
use super::entry::{ENTRY_HEAD, Entry, entries};
use super::frame::{FRAME_HEAD, Head, MAGIC, checksum};
use super::header::{self, HEADER_LEN, Header, u32_at};
use crate::plain::open_plain;

/// How much a reader reads first: whoever follows a journal finds little at a time.
const FIRST_READ: usize = 8 * 1024;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// An open journal with its header.
#[derive(Debug)]
pub(crate) struct JournalFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
}

impl JournalFile {
    /// Opens a journal for reading; `None` if there is no such file.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let Some(file) = open_plain(path)? else { return Ok(None) };
        let header = Header::read(&file, path)?;
        Ok(Some(Self { file, path: path.to_owned(), header }))
    }

    /// A reader from the first frame on.
    pub(crate) fn reader(&self) -> Reader<'_> {
        self.reader_from(Tip::first(&self.header))
    }

    /// A reader from a place that an earlier one came to.
    pub(crate) fn reader_from(&self, tip: Tip) -> Reader<'_> {
        Reader {
            journal: self,
            tip,
            floor: self.header.mark,
            buffer: Vec::new(),
            start: 0,
            ahead: FIRST_READ,
        }
    }

    /// All records, and the place after the last.
    pub(crate) fn records(&self, floor: u64) -> Result<(Vec<Recorded>, Tip), StoreError> {
        let mut records = Vec::new();
        let tip = self.visit(floor, &mut |record| records.push(record))?;
        Ok((records, tip))
    }

    /// As [`JournalFile::records`], one after the other.
    pub(crate) fn visit(
        &self,
        floor: u64,
        visit: &mut dyn FnMut(Recorded),
    ) -> Result<Tip, StoreError> {
        let mut reader = self.reader();
        reader.raise_floor(floor);
        while let Some(frame) = reader.next()? {
            for entry in frame.entries() {
                if let (offset, _, Entry::Event(event)) = entry? {
                    let record = event.parse().map_err(|reason| self.damaged(offset, reason))?;
                    visit(record);
                }
            }
        }
        Ok(reader.tip())
    }

    /// Reads `len` bytes at `offset`, all of them.
    pub(crate) fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged(offset, "the journal ends here"),
            _ => StoreError::io("read", &self.path)(error),
        })?;
        Ok(bytes)
    }

    /// The bytes of the entry at `offset`, as far as its length can be believed.
    pub(crate) fn entry_bytes(&self, offset: u64) -> Result<Vec<u8>, StoreError> {
        let head = self.read_at(offset, ENTRY_HEAD)?;
        let size = self.file.metadata().map_err(StoreError::io("read", &self.path))?.len();
        let len = ENTRY_HEAD as u64 + u64::from(u32_at(&head, 1));
        match usize::try_from(len) {
            Ok(len) if offset + len as u64 <= size => self.read_at(offset, len),
            _ => Err(self.damaged(offset, "an entry is longer than the journal")),
        }
    }

    /// Whether a frame begins at a place, which need not be complete.
    pub(crate) fn has_more(&self, tip: &Tip) -> Result<bool, StoreError> {
        let mut bytes = [0; MAGIC.len()];
        Ok(read_up_to(&self.file, &self.path, tip.offset, &mut bytes)? > 0 && bytes == MAGIC)
    }

    /// Whether the frame at `offset` is the one that `after` follows.
    pub(crate) fn has_frame(&self, offset: u64, after: &Tip) -> Result<bool, StoreError> {
        let mut bytes = [0; FRAME_HEAD];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(Head::read(&bytes).is_some_and(|head| head.tip_after(offset) == *after)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(StoreError::io("read", &self.path)(error)),
        }
    }

    /// What is wrong with the part of the header that is written over in place, if anything is. Only
    /// of a journal that nobody holds.
    pub(crate) fn header_fault(&self) -> Result<Option<&'static str>, StoreError> {
        let bytes = self.read_at(0, HEADER_LEN as usize)?;
        Ok(header::fault(&self.header.identity, &bytes))
    }

    /// Whether anything was written behind a place, besides reserved space.
    pub(crate) fn has_bytes_behind(&self, mut offset: u64) -> Result<bool, StoreError> {
        let mut window = vec![0; CHUNK];
        loop {
            let len = read_up_to(&self.file, &self.path, offset, &mut window)?;
            if window[..len].iter().fold(0, |all, byte| all | byte) != 0 {
                return Ok(true);
            }
            if len < window.len() {
                return Ok(false);
            }
            offset += len as u64;
        }
    }

    /// The error for damage at `offset`.
    pub(crate) fn damaged(&self, offset: u64, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), offset, reason: reason.into() }
    }
}

/// Goes through a journal frame by frame and checks each.
pub(crate) struct Reader<'a> {
    journal: &'a JournalFile,
    tip: Tip,
    /// Everything before this position was durable once, so it must be valid.
    floor: u64,
    buffer: Vec<u8>,
    /// Offset in the file of the buffer's first byte.
    start: u64,
    /// How much is read next, up to [`CHUNK`].
    ahead: usize,
}

/// A valid frame.
pub(crate) struct Frame<'a> {
    journal: &'a JournalFile,
    /// Where it begins.
    pub(crate) offset: u64,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Its entries, each with its place in the file and as raw bytes.
    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<Item = Result<(u64, &'a [u8], Entry<'a>), StoreError>> + use<'a> {
        let (journal, start) = (self.journal, self.offset + FRAME_HEAD as u64);
        entries(self.body).map(move |entry| match entry {
            Ok((at, raw, entry)) => Ok((start + at as u64, raw, entry)),
            Err(fault) => Err(journal.damaged(start + fault.at as u64, fault.reason)),
        })
    }
}

/// What stands at a place.
enum Found {
    /// A valid frame.
    Frame(Head),
    /// Nothing that was written, or nothing complete.
    Nothing(&'static str),
}

impl Reader<'_> {
    /// The place after the last frame that was read.
    pub(crate) fn tip(&self) -> Tip {
        self.tip
    }

    /// Demands that everything before `position` is valid.
    pub(crate) fn raise_floor(&mut self, position: u64) {
        self.floor = self.floor.max(position);
    }

    /// The next frame; `None` at the end, which may be a torn one.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, StoreError> {
        let head = match self.look()? {
            Found::Frame(head) => head,
            Found::Nothing(reason) => {
                if !self.must_be_valid()? {
                    return Ok(None);
                }
                // The journal may have grown between the two looks. What is known to be durable was
                // complete before that became known, so a fresh look is final.
                self.forget();
                match self.look()? {
                    Found::Frame(head) => head,
                    Found::Nothing(_) => {
                        return Err(self.journal.damaged(self.tip.offset, reason));
                    }
                }
            }
        };
        Ok(Some(self.take(head)))
    }

    /// The next frame, if it is there already. Unlike [`Reader::next`] this does not look for
    /// damage behind the end, for callers that only follow what others have checked.
    pub(crate) fn next_written(&mut self) -> Result<Option<Frame<'_>>, StoreError> {
        if let Found::Frame(head) = self.look()? {
            return Ok(Some(self.take(head)));
        }
        // What is in the buffer may be older than what is in the file by now.
        self.forget();
        match self.look()? {
            Found::Frame(head) => Ok(Some(self.take(head))),
            Found::Nothing(_) => Ok(None),
        }
    }

    fn take(&mut self, head: Head) -> Frame<'_> {
        let offset = self.tip.offset;
        self.tip = head.tip_after(offset);
        // `look` has put the whole frame into the buffer.
        let at = usize::try_from(offset - self.start).unwrap_or(0);
        let body = &self.buffer[at + FRAME_HEAD..at + FRAME_HEAD + head.len as usize];
        Frame { journal: self.journal, offset, body }
    }

    /// Checks what stands at the tip.
    fn look(&mut self) -> Result<Found, StoreError> {
        let Tip { offset, number, link } = self.tip;
        let bytes = self.fill(offset, FRAME_HEAD as u64)?;
        if bytes.len() < FRAME_HEAD {
            return Ok(Found::Nothing("the journal ends in the middle of a frame"));
        }
        let Some(head) = Head::read(bytes) else {
            return Ok(Found::Nothing("no frame begins here"));
        };
        if head.number != number || head.link != link {
            return Ok(Found::Nothing("this frame does not follow the one before it"));
        }
        let identity = self.journal.header.identity;
        let bytes = self.fill(offset, head.frame_len())?;
        if (bytes.len() as u64) < head.frame_len() {
            return Ok(Found::Nothing("the journal ends in the middle of a frame"));
        }
        if checksum(&identity, bytes) != head.checksum {
            return Ok(Found::Nothing("the frame does not match its checksum"));
        }
        Ok(Found::Frame(head))
    }

    /// Whether something shows that what stands at the tip was durable once: the closing mark, or
    /// a later frame that says so.
    fn must_be_valid(&self) -> Result<bool, StoreError> {
        let at = self.tip.offset;
        Ok(self.floor > at || self.later_witness()?)
    }

    /// Whether some valid frame behind the tip was written when the tip's was durable.
    fn later_witness(&self) -> Result<bool, StoreError> {
        let mut window = Vec::new();
        let mut from = self.tip.offset + 1;
        loop {
            window.resize(CHUNK, 0);
            let len = read_up_to(&self.journal.file, &self.journal.path, from, &mut window)?;
            window.truncate(len);
            if len < FRAME_HEAD {
                return Ok(false);
            }
            // Folding over all bytes is much faster than looking at them one by one, and the rest of
            // a journal is nearly always the zeros of reserved space.
            if window.iter().fold(0, |all, byte| all | byte) != 0 {
                for at in 0..len - MAGIC.len() {
                    if window[at..].starts_with(&MAGIC) && self.is_witness(from + at as u64)? {
                        return Ok(true);
                    }
                }
            }
            // Windows overlap, so that a frame's first bytes are never cut in two.
            from += (len - MAGIC.len()) as u64;
        }
    }

    fn is_witness(&self, offset: u64) -> Result<bool, StoreError> {
        let (file, path) = (&self.journal.file, &self.journal.path);
        let mut bytes = vec![0; FRAME_HEAD];
        let len = read_up_to(file, path, offset, &mut bytes)?;
        let Some(head) = Head::read(&bytes[..len]) else { return Ok(false) };
        let plausible = head.number > self.tip.number
            && head.synced_to > self.tip.offset
            && head.synced_to <= offset;
        let size = file.metadata().map_err(StoreError::io("read", path))?.len();
        if !plausible || offset + head.frame_len() > size {
            return Ok(false);
        }
        bytes.resize(FRAME_HEAD + head.len as usize, 0);
        let len = read_up_to(file, path, offset, &mut bytes)?;
        Ok(len == bytes.len() && checksum(&self.journal.header.identity, &bytes) == head.checksum)
    }

    fn forget(&mut self) {
        self.buffer.clear();
        self.ahead = FIRST_READ;
    }

    /// The `len` bytes at `offset`, fewer at the end of the file.
    fn fill(&mut self, offset: u64, len: u64) -> Result<&[u8], StoreError> {
        let Ok(len) = usize::try_from(len) else {
            return Err(self
                .journal
                .damaged(offset, "a frame is larger than this machine's memory"));
        };
        let ahead = offset.checked_sub(self.start).and_then(|n| usize::try_from(n).ok());
        let ahead = ahead.filter(|ahead| ahead + len <= self.buffer.len());
        let at = match ahead {
            Some(at) => at,
            None => {
                self.refill(offset, len)?;
                0
            }
        };
        let end = self.buffer.len().min(at + len);
        Ok(&self.buffer[at..end])
    }

    fn refill(&mut self, offset: u64, len: usize) -> Result<(), StoreError> {
        let (file, path) = (&self.journal.file, &self.journal.path);
        let size = file.metadata().map_err(StoreError::io("read", path))?.len();
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.buffer.resize(len.max(self.ahead).min(left), 0);
        self.ahead = (self.ahead * 4).min(CHUNK);
        let got = read_up_to(file, path, offset, &mut self.buffer)?;
        self.buffer.truncate(got);
        self.start = offset;
        Ok(())
    }
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &File, path: &Path, offset: u64, out: &mut [u8]) -> Result<usize, StoreError> {
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut out[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io("read", path)(error)),
        }
    }
    Ok(done)
}
