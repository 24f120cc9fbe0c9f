//! The records of a run as they are written, for whoever follows it.

use flow_core::run::Recorded;
use flow_core::store::StoreError;

use crate::journal::{Entry, JournalFile, Tip};

/// A place in the journal of a run that may go on.
pub struct RunTail {
    journal: JournalFile,
    tip: Tip,
}

impl RunTail {
    pub(crate) fn new(journal: JournalFile) -> Self {
        let tip = Tip::first(&journal.header);
        Self { journal, tip }
    }

    /// The records that were written since this was asked last; reads no more than those.
    ///
    /// # Errors
    /// A journal that cannot be read, or is damaged.
    pub fn news(&mut self) -> Result<Vec<Recorded>, StoreError> {
        let mut records = Vec::new();
        let mut reader = self.journal.reader_from(self.tip);
        while let Some(frame) = reader.next_written()? {
            for entry in frame.entries() {
                if let (offset, _, Entry::Event(event)) = entry? {
                    let record = event.parse().map_err(|why| self.journal.damaged(offset, why))?;
                    records.push(record);
                }
            }
        }
        self.tip = reader.tip();
        Ok(records)
    }
}
