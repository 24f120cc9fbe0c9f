//! Writing a journal: one writer, one write per append, one sync for all appends before it.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flow_core::id::RunId;
use flow_core::run::event::Recorded;
use flow_core::store::{InlinePayload, Journal, JournalSync, Position, StoreError};

use jiff::Timestamp;

use super::frame::FrameBuilder;
use super::{Header, JournalFile, Tip};
use crate::lease::RunLease;
use crate::plain::open_plain_with;
use crate::platform;

/// Space is reserved in steps that begin with this and double up to the second.
const FIRST_RESERVE: u64 = 256 * 1024;
const LARGEST_RESERVE: u64 = 4 * 1024 * 1024;

/// Is told what a journal has written and made durable.
pub(crate) trait Observer: Send + Sync {
    /// These payloads stand in the journal now.
    fn appended(&self, payloads: &[InlinePayload]);
    /// Everything before `position` is durable, with about so many checkpoints more than before.
    fn synced(&self, run: &RunId, position: u64, checkpoints: u64);
}

/// A journal held by its writer.
pub(crate) struct DiskJournal {
    shared: Arc<Shared>,
    tip: Tip,
    builder: FrameBuilder,
    /// End of the reserved space, and how much is reserved next.
    reserved: u64,
    reserve: u64,
    /// Given free last.
    lease: RunLease,
}

/// What the writer and its syncers share.
struct Shared {
    journal: JournalFile,
    observer: Arc<dyn Observer>,
    written: AtomicU64,
    synced: AtomicU64,
    /// End of the last frame with checkpoints, how many were written and not reported to the
    /// observer yet, and the position of the last report.
    checkpoints_to: AtomicU64,
    unreported: AtomicU64,
    reported: AtomicU64,
    failed: AtomicBool,
}

impl DiskJournal {
    /// Takes over a journal whose lease is held: checks all of it, drops a torn end, and makes the
    /// rest durable, since what is read from here on leads to decisions.
    pub(crate) fn open(
        path: PathBuf,
        lease: RunLease,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StoreError> {
        let file = open_plain_with(&path, OpenOptions::new().read(true).write(true))?;
        let header = Header::read(&file, &path)?;
        let journal = JournalFile { file, path, header };
        let mut reader = journal.reader();
        while reader.next()?.is_some() {}
        let tip = reader.tip();
        let path = &journal.path;
        let size = journal.file.metadata().map_err(StoreError::io("read", path))?.len();
        if size > tip.offset {
            tracing::debug!(path = %path.display(), from = tip.offset, to = size, "cut a torn end");
            journal.file.set_len(tip.offset).map_err(StoreError::io("cut", path))?;
        }
        journal.file.sync_data().map_err(StoreError::io("sync", path))?;
        Ok(Self::at(journal, tip, lease, observer))
    }

    /// Takes over a journal that was created just now.
    pub(crate) fn fresh(
        path: PathBuf,
        lease: RunLease,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StoreError> {
        let file = open_plain_with(&path, OpenOptions::new().read(true).write(true))?;
        let header = Header::read(&file, &path)?;
        let tip = Tip::first(&header);
        Ok(Self::at(JournalFile { file, path, header }, tip, lease, observer))
    }

    fn at(journal: JournalFile, tip: Tip, lease: RunLease, observer: Arc<dyn Observer>) -> Self {
        let shared = Arc::new(Shared {
            journal,
            observer,
            written: AtomicU64::new(tip.offset),
            synced: AtomicU64::new(tip.offset),
            checkpoints_to: AtomicU64::new(0),
            unreported: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        });
        Self {
            shared,
            tip,
            builder: FrameBuilder::default(),
            reserved: tip.offset,
            reserve: FIRST_RESERVE,
            lease,
        }
    }

    /// The position after the last record.
    pub(crate) fn end(&self) -> u64 {
        self.tip.offset
    }

    /// When the run was created.
    pub(crate) fn created_at(&self) -> Timestamp {
        self.shared.journal.header.created_at
    }

    /// Reserves space up to at least `end`. Where that does not work the write itself will, or
    /// will say why not.
    fn reserve(&mut self, end: u64) {
        if end <= self.reserved {
            return;
        }
        let until = end.max(self.reserved + self.reserve);
        let file = &self.shared.journal.file;
        match platform::preallocate(file, self.reserved, until - self.reserved) {
            Ok(()) => self.reserve = (self.reserve * 2).min(LARGEST_RESERVE),
            Err(error) => tracing::debug!(%error, "no space was reserved for the journal"),
        }
        self.reserved = until;
    }
}

impl Journal for DiskJournal {
    fn programs_lock(&self) -> Result<Option<std::fs::File>, StoreError> {
        let cloned = self.lease.share_programs();
        cloned.map(Some).map_err(StoreError::io("share the lock of", &self.shared.journal.path))
    }

    fn append(
        &mut self,
        records: &[Recorded],
        payloads: &[InlinePayload],
    ) -> Result<Position, StoreError> {
        self.shared.check("write")?;
        if records.is_empty() && payloads.is_empty() {
            return Ok(Position(self.tip.offset));
        }
        let synced = self.shared.synced.load(Ordering::Acquire);
        let header = &self.shared.journal.header;
        let mut builder = std::mem::take(&mut self.builder);
        let built = builder.build(header, &self.tip, synced, records, payloads);
        let built = built.map_err(StoreError::io("write", &self.shared.journal.path))?;
        self.reserve(built.next.offset);
        let shared = &self.shared;
        if let Err(error) = shared.journal.file.write_all_at(built.bytes, self.tip.offset) {
            shared.failed.store(true, Ordering::Release);
            return Err(StoreError::io("write", &shared.journal.path)(error));
        }
        self.tip = built.next;
        if built.checkpoints > 0 {
            shared.unreported.fetch_add(built.checkpoints, Ordering::AcqRel);
            shared.checkpoints_to.store(self.tip.offset, Ordering::Release);
        }
        shared.written.store(self.tip.offset, Ordering::Release);
        self.builder = builder;
        shared.observer.appended(payloads);
        Ok(Position(self.tip.offset))
    }

    fn syncer(&self) -> Arc<dyn JournalSync> {
        self.shared.clone()
    }

    fn replay(&self) -> Result<Vec<Recorded>, StoreError> {
        self.shared.check("read")?;
        let (records, tip) = self.shared.journal.records(self.tip.offset)?;
        if tip != self.tip {
            let reason = "the journal was changed by someone who does not hold it";
            return Err(self.shared.journal.damaged(tip.offset, reason));
        }
        Ok(records)
    }
}

impl Shared {
    fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) {
            let source = std::io::Error::other("an earlier write or sync of this journal failed");
            return Err(StoreError::io(operation, &self.journal.path)(source));
        }
        Ok(())
    }

    /// Syncs, and makes sure that the file still has a name: in a store that was removed meanwhile
    /// nothing is durable.
    fn sync_file(&self) -> std::io::Result<()> {
        self.journal.file.sync_data()?;
        if self.journal.file.metadata()?.nlink() == 0 {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        Ok(())
    }
}

impl JournalSync for Shared {
    fn sync(&self) -> Result<Position, StoreError> {
        self.check("sync")?;
        let written = self.written.load(Ordering::Acquire);
        if self.synced.load(Ordering::Acquire) < written {
            if let Err(error) = self.sync_file() {
                self.failed.store(true, Ordering::Release);
                return Err(StoreError::io("sync", &self.journal.path)(error));
            }
            self.synced.fetch_max(written, Ordering::AcqRel);
        }
        // A frame written after `written` was read is due again at the next sync.
        if self.reported.fetch_max(written, Ordering::AcqRel)
            < self.checkpoints_to.load(Ordering::Acquire)
        {
            let checkpoints = self.unreported.swap(0, Ordering::AcqRel);
            self.observer.synced(&self.journal.header.run, written, checkpoints);
        }
        Ok(Position(written))
    }
}

impl Drop for DiskJournal {
    /// Gives back reserved space and leaves the closing mark. Both only help later readers, so a
    /// failure is no more than logged.
    fn drop(&mut self) {
        let shared = &self.shared;
        if shared.failed.load(Ordering::Acquire) {
            return;
        }
        let JournalFile { file, header, path } = &shared.journal;
        let synced = shared.synced.load(Ordering::Acquire);
        let closed = file.set_len(self.tip.offset).and_then(|()| header.write_mark(file, synced));
        if let Err(error) = closed {
            tracing::debug!(path = %path.display(), %error, "the journal was not closed cleanly");
        }
    }
}
