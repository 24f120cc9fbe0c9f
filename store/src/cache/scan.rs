//! Going through the journals of all runs for what they made.

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::StoreError;

use crate::journal::{Entry, EventEntry, Identity, JournalFile};
use crate::layout::Layout;
use crate::runs;

/// A checkpoint in a journal that its run made.
pub(crate) struct Made<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) journal: &'a JournalFile,
    pub(crate) key: Digest,
    pub(crate) position: u64,
    pub(crate) event: EventEntry<'a>,
}

impl Made<'_> {
    /// What decides which of two checkpoints with the same key is the later one: the time, and
    /// something that never is the same.
    pub(crate) fn rank(&self) -> (i64, i32, Identity, u64) {
        let (second, nanosecond) = self.event.time();
        (second, nanosecond, self.journal.header.short_identity(), self.position)
    }
}

/// Shows everything that was made in any run, run by run. A run that cannot be read is left out,
/// from the place on where it is damaged.
pub(crate) fn each_made(
    layout: &Layout,
    mut visit: impl FnMut(&Made<'_>),
) -> Result<(), StoreError> {
    for run in runs::ids(layout)? {
        if let Err(error) = each_made_in(layout, &run, &mut visit) {
            tracing::warn!(%run, %error, "results of a run cannot be reused");
        }
    }
    Ok(())
}

fn each_made_in(
    layout: &Layout,
    run: &RunId,
    visit: &mut impl FnMut(&Made<'_>),
) -> Result<(), StoreError> {
    let Some(journal) = JournalFile::open(&layout.journal(run))? else { return Ok(()) };
    let mut reader = journal.reader();
    while let Some(frame) = reader.next_written()? {
        for found in frame.entries() {
            let (position, _, entry) = found?;
            let Entry::Event(event) = entry else { continue };
            if let Some(key) = event.made_key() {
                visit(&Made { run, journal: &journal, key, position, event });
            }
        }
    }
    Ok(())
}
