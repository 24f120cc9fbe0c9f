//! Where a cached result stands, and reading it there.

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::{Checkpoint, StoreError};

use crate::journal::{Entry, Identity, JournalFile, entry_at};
use crate::layout::Layout;

/// Where a result stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The run that made it.
    pub(crate) run: RunId,
    /// The journal of that run: another run may have its name by now.
    pub(crate) journal: Identity,
    /// Where the record begins.
    pub(crate) position: u64,
}

impl Place {
    /// The checkpoint at this place, if it is the one of `key` and its journal is still there.
    pub(crate) fn read(
        &self,
        layout: &Layout,
        key: &Digest,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let Some(journal) = self.open(layout)? else { return Ok(None) };
        let bytes = journal.entry_bytes(self.position)?;
        match entry_at(&bytes) {
            Ok((Entry::Event(event), _)) if event.made_key() == Some(*key) => {
                let parsed = event.parse();
                let recorded = parsed.map_err(|reason| journal.damaged(self.position, reason))?;
                Ok(Checkpoint::of(&self.run, &recorded))
            }
            _ => Err(journal.damaged(self.position, "the checkpoint that was here is gone")),
        }
    }

    /// Makes the journal durable: another process may have written the record just now.
    pub(crate) fn sync(&self, layout: &Layout) -> Result<(), StoreError> {
        let Some(journal) = self.open(layout)? else { return Ok(()) };
        journal.file.sync_data().map_err(StoreError::io("sync", &journal.path))
    }

    fn open(&self, layout: &Layout) -> Result<Option<JournalFile>, StoreError> {
        let journal = JournalFile::open(&layout.journal(&self.run))?;
        Ok(journal.filter(|journal| journal.header.short_identity() == self.journal))
    }
}
