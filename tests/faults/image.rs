//! The content of a disk, and what a power cut may leave of what was not flushed yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::disk::SIZE;
use crate::point::{Cut, Dice, Loss};
use crate::record::{Log, Op};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// A disk, without its empty pages.
#[derive(Clone)]
pub(crate) struct Image(BTreeMap<u64, Vec<u8>>);

impl Image {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Self {
        let mut bytes = Vec::new();
        File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        let pages = bytes.chunks(PAGE).enumerate();
        let used = pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0));
        Self(used.map(|(number, page)| (number as u64, page.to_vec())).collect())
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; SIZE as usize];
        for (number, page) in &self.0 {
            bytes[*number as usize * PAGE..][..PAGE].copy_from_slice(page);
        }
        bytes
    }

    /// Becomes the content of a file.
    pub(crate) fn put(&self, file: &File) {
        file.set_len(0).and_then(|()| file.set_len(SIZE)).unwrap();
        for (number, page) in &self.0 {
            file.write_all_at(page, number * PAGE as u64).unwrap();
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (number, within) = (offset / PAGE as u64, offset as usize % PAGE);
            let (now, later) = rest.split_at(rest.len().min(PAGE - within));
            let page = self.0.entry(number).or_insert_with(|| vec![0; PAGE]);
            page[within..][..now.len()].copy_from_slice(now);
            (offset, rest) = (offset + now.len() as u64, later);
        }
    }
}

impl Log {
    /// Index of the operation before which a cut happens.
    pub(crate) fn place(&self, cut: &Cut) -> usize {
        let share = u128::from(cut.place) * (self.ops.len() as u128 + 1);
        (share >> 64) as usize
    }

    /// When the disk got its last write before an operation.
    pub(crate) fn time(&self, place: usize) -> u64 {
        let time = |op: &Op| match op {
            Op::Write { time, .. } => Some(*time),
            Op::Flush => None,
        };
        self.ops[..place].iter().rev().find_map(time).unwrap_or(0)
    }

    /// The first operation after a time.
    pub(crate) fn after(&self, time: u64) -> usize {
        (0..=self.ops.len()).find(|place| self.time(*place) > time).unwrap_or(self.ops.len())
    }

    /// What is on the disk after a cut: all that was flushed, and of the rest what chance has left.
    pub(crate) fn image(&self, place: usize, cut: &Cut) -> Image {
        let flushed = self.ops[..place].iter().rposition(|op| matches!(op, Op::Flush)).unwrap_or(0);
        let mut image = Image::clone(&self.before);
        let mut dice = Dice(cut.seed);
        // Of four writes so many arrive.
        let arrive = dice.below(5);
        for (number, op) in self.ops[..place].iter().enumerate() {
            let Op::Write { offset, bytes, .. } = op else { continue };
            let piece = match cut.loss {
                _ if number < flushed => bytes.len(),
                Loss::None | Loss::Writes => bytes.len(),
                Loss::Pages => PAGE,
                Loss::Sectors => SECTOR,
            };
            for (index, part) in bytes.chunks(piece.max(1)).enumerate() {
                let is_safe = number < flushed || cut.loss == Loss::None;
                if is_safe || dice.below(4) < arrive {
                    image.write(offset + (index * piece) as u64, part);
                }
            }
        }
        image
    }

    /// The disk after the last operation.
    pub(crate) fn last(&self) -> Image {
        self.image(self.ops.len(), &Cut { place: u64::MAX, loss: Loss::None, seed: 0 })
    }

    /// Number of writes.
    pub(crate) fn writes(&self) -> usize {
        self.ops.iter().filter(|op| matches!(op, Op::Write { .. })).count()
    }
}
