//! Which results there are, by key: held in memory by the process that has the checkpoint
//! database, and continued from the journals before every answer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::StoreError;

use super::place::Place;
use super::removed::Removed;
use crate::checkpoints::{Database, KeyEntry, applied, key_entries};
use crate::journal::{Entry, Identity, JournalFile, Tip};
use crate::layout::Layout;
use crate::lease;
use crate::objects::FileState;
use crate::runs::{self, ListFollower};

/// So often at most it is asked whether a run is still in someone's hands.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the index asks of the process that has it.
pub(crate) trait Backing {
    /// The checkpoint database, if it could be opened.
    fn database(&self) -> Option<std::sync::Arc<Database>>;
    /// Has a journal taken over into the database, up to a position; from its start, if the
    /// database lost something of it.
    fn take_over(&self, run: &RunId, upto: u64, again: bool);
}

/// The results of all runs.
pub(crate) struct Index {
    /// The newest result by half its key, which is compared in full where the result stands.
    newest: HashMap<[u8; 16], Newest>,
    journals: Vec<Followed>,
    numbers: HashMap<RunId, usize>,
    /// Those that may grow.
    live: Vec<usize>,
    list: ListFollower,
    removed: Removed,
    removed_state: Option<FileState>,
}

/// A result, ranked by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Newest {
    nanos: i64,
    journal: usize,
    position: u64,
}

/// A journal and how far it was read.
struct Followed {
    run: RunId,
    identity: Identity,
    tip: Tip,
    /// Everything before this position is durable.
    durable: u64,
    /// Open while it may grow.
    file: Option<JournalFile>,
    asked: Option<Instant>,
}

impl Followed {
    /// Opens the journal, if it is still the same.
    fn open(&self, layout: &Layout) -> Result<Option<JournalFile>, StoreError> {
        let file = JournalFile::open(&layout.journal(&self.run))?;
        Ok(file.filter(|file| file.header.short_identity() == self.identity))
    }
}

impl Index {
    /// Reads what the database has, and the rest from the journals.
    pub(crate) fn load(layout: &Layout, backing: &impl Backing) -> Result<Self, StoreError> {
        let list = ListFollower::at_end(layout)?;
        let removed_state = FileState::of(&layout.removed())?;
        let removed = Removed::read(layout)?;
        let mut index = Self {
            newest: HashMap::new(),
            journals: Vec::new(),
            numbers: HashMap::new(),
            live: Vec::new(),
            list,
            removed,
            removed_state,
        };
        for run in runs::ids(layout)? {
            index.follow_or_warn(layout, &run);
        }
        // Journals are opened one at a time: there may be more runs than a process may open files.
        if let Some(database) = backing.database() {
            index.take_from(layout, &database, backing)?;
        }
        index.continue_all(layout, backing);
        Ok(index)
    }

    /// Where the newest result with this key stands, after a look at what was written meanwhile.
    pub(crate) fn find(
        &mut self,
        layout: &Layout,
        backing: &impl Backing,
        key: &Digest,
    ) -> Result<Option<Place>, StoreError> {
        if FileState::of(&layout.removed())? != self.removed_state {
            *self = Self::load(layout, backing)?;
        }
        for run in self.list.new_runs(layout)? {
            self.follow_or_warn(layout, &run);
        }
        self.continue_all(layout, backing);
        let Some(found) = self.newest.get(&half(key)).copied() else { return Ok(None) };
        let journal = &mut self.journals[found.journal];
        let place =
            Place { run: journal.run.clone(), journal: journal.identity, position: found.position };
        if journal.durable <= found.position {
            place.sync(layout)?;
            journal.durable = journal.tip.offset;
        }
        Ok(Some(place))
    }

    fn follow_or_warn(&mut self, layout: &Layout, run: &RunId) {
        if let Err(error) = self.follow(layout, run) {
            tracing::warn!(%run, %error, "results of a run cannot be reused");
        }
    }

    /// Begins to follow a journal, or goes on with one.
    fn follow(&mut self, layout: &Layout, run: &RunId) -> Result<(), StoreError> {
        let Some(file) = JournalFile::open(&layout.journal(run))? else { return Ok(()) };
        let identity = file.header.short_identity();
        let known = self.numbers.get(run).copied();
        let known = known.filter(|number| self.journals[*number].identity == identity);
        let number = known.unwrap_or(self.journals.len());
        if known.is_none() {
            let tip = Tip::first(&file.header);
            let (run, durable) = (run.clone(), tip.offset);
            self.numbers.insert(run.clone(), number);
            self.journals.push(Followed { run, identity, tip, durable, file: None, asked: None });
        }
        self.live.push(number);
        Ok(())
    }

    /// Takes what the database has of the journals that are followed, which were not read yet.
    fn take_from(
        &mut self,
        layout: &Layout,
        database: &Database,
        backing: &impl Backing,
    ) -> Result<(), StoreError> {
        // How far a journal was taken over is read before its keys, of which there can only be more.
        let mut known = HashMap::new();
        for (number, journal) in self.journals.iter().enumerate() {
            let found = journal.open(layout).and_then(|file| match file {
                Some(file) => applied(database, &file),
                None => Ok(None),
            });
            match found {
                Ok(Some(applied)) => {
                    known.insert(journal.identity, (number, applied, Vec::new()));
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(run = %journal.run, %error, "read from its journal"),
            }
        }
        key_entries(database, |identity, entries| {
            if let Some((_, _, all)) = known.get_mut(identity) {
                all.extend(entries);
            }
        })?;
        for (number, applied, entries) in known.into_values() {
            if count_before(&entries, applied.tip.offset) == applied.made {
                self.journals[number].tip = applied.tip;
                self.journals[number].durable = applied.tip.offset;
                entries.iter().for_each(|entry| self.note(number, entry));
            } else {
                let run = &self.journals[number].run;
                tracing::warn!(%run, "the checkpoint database lost keys of a run");
                backing.take_over(run, applied.tip.offset, true);
            }
        }
        Ok(())
    }

    /// Reads on in all journals that may grow.
    fn continue_all(&mut self, layout: &Layout, backing: &impl Backing) {
        let mut live = std::mem::take(&mut self.live);
        live.sort_unstable();
        live.dedup();
        for number in live {
            match self.go_on(layout, number, backing) {
                Ok(true) => self.live.push(number),
                Ok(false) => self.journals[number].file = None,
                Err(error) => {
                    let journal = &mut self.journals[number];
                    tracing::warn!(run = %journal.run, %error, "no more results of it are reused");
                    journal.file = None;
                }
            }
        }
    }

    /// Reads on in a journal. Returns whether it may still grow.
    fn go_on(
        &mut self,
        layout: &Layout,
        number: usize,
        backing: &impl Backing,
    ) -> Result<bool, StoreError> {
        let journal = &mut self.journals[number];
        let file = match journal.file.take() {
            Some(file) => Some(file),
            None => journal.open(layout)?,
        };
        let Some(file) = file else { return Ok(false) };
        // Asked first, so that what its last holder wrote is read below.
        let mut live = true;
        if journal.asked.is_none_or(|asked| asked.elapsed() >= LOOK_AGAIN) {
            live = lease::holder(&layout.lock(&journal.run))?.is_some();
            journal.asked = live.then(Instant::now);
        }
        if file.has_more(&journal.tip)? {
            let (tip, entries) = read_on(&file, journal.tip)?;
            journal.tip = tip;
            backing.take_over(&journal.run, tip.offset, false);
            entries.iter().for_each(|entry| self.note(number, entry));
        }
        self.journals[number].file = Some(file);
        Ok(live)
    }

    fn note(&mut self, number: usize, entry: &KeyEntry) {
        let identity = &self.journals[number].identity;
        if self.removed.covers(identity, &entry.key, entry.position) {
            return;
        }
        let KeyEntry { key, nanos, position } = *entry;
        let found = Newest { nanos, journal: number, position };
        let newest = self.newest.entry(key).or_insert(found);
        *newest = found.max(*newest);
    }
}

/// The results behind `tip`, and the place after them.
fn read_on(file: &JournalFile, tip: Tip) -> Result<(Tip, Vec<KeyEntry>), StoreError> {
    let mut reader = file.reader_from(tip);
    let mut entries = Vec::new();
    while let Some(frame) = reader.next_written()? {
        for found in frame.entries() {
            if let (position, _, Entry::Event(event)) = found? {
                entries.extend(KeyEntry::of(position, &event));
            }
        }
    }
    Ok((reader.tip(), entries))
}

/// How many different results stand before a position.
fn count_before(entries: &[KeyEntry], end: u64) -> u64 {
    let mut positions: Vec<u64> =
        entries.iter().map(|entry| entry.position).filter(|position| *position < end).collect();
    positions.sort_unstable();
    positions.dedup();
    positions.len() as u64
}

/// Half a key.
pub(crate) fn half(key: &Digest) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&key.as_bytes()[..16]);
    half
}
