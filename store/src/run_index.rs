//! Where the checkpoints and payloads of a run stand in its journal.
//!
//! Built by going through the journal once, when something is asked that nothing faster knows, and
//! continued from there as the journal grows. The journal decides: what is not in this index is
//! not in the run.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use flow_core::digest::Digest;
use flow_core::run::event::Recorded;
use flow_core::store::StoreError;

use crate::journal::{Entry, JournalFile, Tip, entry_at};

/// A place in a journal.
#[derive(Debug, Clone, Copy)]
struct Span {
    offset: u64,
    len: u32,
}

/// The index of one journal.
#[derive(Debug)]
pub(crate) struct RunIndex {
    journal: JournalFile,
    tip: Tip,
    payloads: HashMap<Digest, Span>,
    checkpoints: HashMap<Box<[u8]>, Span>,
}

impl RunIndex {
    /// An index that has seen nothing yet; `None` if there is no journal.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        Ok(JournalFile::open(path)?.map(|journal| Self {
            tip: Tip::first(&journal.header),
            journal,
            payloads: HashMap::new(),
            checkpoints: HashMap::new(),
        }))
    }

    /// The last checkpoint with this lookup, and where it stands.
    pub(crate) fn checkpoint(
        &mut self,
        lookup: &[u8],
    ) -> Result<Option<(u64, Recorded)>, StoreError> {
        // A newer checkpoint with the same lookup replaces an older one, so the index must be
        // complete before it is asked.
        self.catch_up()?;
        let Some(Span { offset, len }) = self.checkpoints.get(lookup).copied() else {
            return Ok(None);
        };
        Ok(Some((offset, checkpoint_at(&self.journal, lookup, offset, len)?)))
    }

    /// An inline payload, checked against its digest.
    pub(crate) fn payload(&mut self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        if !self.payloads.contains_key(digest) {
            self.catch_up()?;
        }
        let Some(span) = self.payloads.get(digest).copied() else { return Ok(None) };
        let bytes = self.journal.read_at(span.offset, span.len as usize)?;
        match entry_at(&bytes) {
            Ok((Entry::Payload { bytes, .. }, _)) if Digest::of(bytes) == *digest => {
                Ok(Some(bytes.into()))
            }
            _ => Err(self.journal.damaged(span.offset, "a payload does not match its digest")),
        }
    }

    /// Takes in what was written since the last look.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let mut reader = self.journal.reader_from(self.tip);
        let complete = self.tip != Tip::first(&self.journal.header);
        loop {
            // The first pass looks for damage everywhere; later ones only follow the end.
            let frame = if complete { reader.next_written()? } else { reader.next()? };
            let Some(frame) = frame else { break };
            for found in frame.entries() {
                let (offset, raw, entry) = found?;
                // An entry is part of a frame, whose length fits 32 bits.
                let span = Span { offset, len: u32::try_from(raw.len()).unwrap_or(u32::MAX) };
                match entry {
                    Entry::Payload { digest, .. } => {
                        self.payloads.insert(digest, span);
                    }
                    Entry::Event(event) => {
                        if let Some(lookup) = event.lookup {
                            self.checkpoints.insert(lookup.into(), span);
                        }
                    }
                }
            }
        }
        self.tip = reader.tip();
        Ok(())
    }
}

/// Reads the checkpoint at a place that is known from an index.
pub(crate) fn checkpoint_at(
    journal: &JournalFile,
    lookup: &[u8],
    offset: u64,
    len: u32,
) -> Result<Recorded, StoreError> {
    let bytes = journal.read_at(offset, len as usize)?;
    match entry_at(&bytes) {
        Ok((Entry::Event(event), _)) if event.lookup == Some(lookup) => {
            event.parse().map_err(|reason| journal.damaged(offset, reason))
        }
        _ => Err(journal.damaged(offset, "the checkpoint that was here is gone")),
    }
}
