//! Entries: what stands in the body of a frame.
//!
//! An entry is a tag, a length and its content. An event's content is its number and time in
//! binary, its lookup if it is a checkpoint, and its JSON; a payload's is its digest and its bytes.

use flow_core::digest::Digest;
use flow_core::run::event::{Event, Recorded};
use jiff::Timestamp;
use serde::Deserialize;

use super::header::{u32_at, u64_at};
use crate::lookup;

const EVENT: u8 = b'E';
const PAYLOAD: u8 = b'P';

/// Tag and length.
pub(super) const ENTRY_HEAD: usize = 5;

/// Set where an event has a number.
const HAS_SEQ: u8 = 1;
/// Set where an event is a checkpoint.
const IS_CHECKPOINT: u8 = 2;
/// Set where a checkpoint was made by its run, not reused.
const IS_MADE: u8 = 4;

/// Flags, seconds, nanoseconds, number, length of the lookup.
const EVENT_HEAD: usize = 1 + 8 + 4 + 8 + 4;

/// One entry of a frame, or of a record in the checkpoint database.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Entry<'a> {
    /// A fact.
    Event(EventEntry<'a>),
    /// An inline payload.
    Payload {
        /// Its digest, as written beside it.
        digest: Digest,
        /// Its bytes.
        bytes: &'a [u8],
    },
}

/// A fact that is not parsed yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EventEntry<'a> {
    /// The bytes by which it is found, if it is a checkpoint.
    pub(crate) lookup: Option<&'a [u8]>,
    /// Whether it is a checkpoint that its run made, not one that it reused.
    pub(crate) made: bool,
    seq: Option<u64>,
    second: i64,
    nanosecond: i32,
    json: &'a [u8],
}

impl EventEntry<'_> {
    /// The key of the result, if it is a checkpoint that its run made.
    pub(crate) fn made_key(&self) -> Option<Digest> {
        self.lookup.filter(|_| self.made).and_then(lookup::key)
    }

    /// When it was recorded, in seconds and nanoseconds.
    pub(crate) fn time(&self) -> (i64, i32) {
        (self.second, self.nanosecond)
    }

    /// The record. The reason, if the bytes are no event of this version.
    pub(crate) fn parse(&self) -> Result<Recorded, String> {
        let ts = Timestamp::new(self.second, self.nanosecond).map_err(|e| e.to_string())?;
        let mut json = serde_json::Deserializer::from_slice(self.json);
        // What was written nests at most a few levels deeper than the parameters in it, whose
        // depth was limited when they were read.
        json.disable_recursion_limit();
        let event = Event::deserialize(&mut json).map_err(|e| e.to_string())?;
        Ok(Recorded { seq: self.seq, ts, event })
    }
}

/// Appends an event. Returns whether it is a checkpoint.
pub(crate) fn write_event(recorded: &Recorded, out: &mut Vec<u8>) -> Result<bool, std::io::Error> {
    let start = begin(EVENT, out);
    let mut flags = 0;
    if recorded.seq.is_some() {
        flags |= HAS_SEQ;
    }
    let checkpoint = lookup::parts(recorded);
    if checkpoint.is_some() {
        flags |= IS_CHECKPOINT;
    }
    if recorded.event.is_made() {
        flags |= IS_MADE;
    }
    out.push(flags);
    out.extend_from_slice(&recorded.ts.as_second().to_le_bytes());
    out.extend_from_slice(&recorded.ts.subsec_nanosecond().to_le_bytes());
    out.extend_from_slice(&recorded.seq.unwrap_or(0).to_le_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    if let Some((task, key)) = checkpoint {
        lookup::write(task, key, out);
        write_length(length_at, out)?;
    }
    serde_json::to_writer(&mut *out, &recorded.event).map_err(std::io::Error::from)?;
    end(start, out)?;
    Ok(checkpoint.is_some())
}

/// Appends an inline payload.
pub(crate) fn write_payload(
    digest: &Digest,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), std::io::Error> {
    let start = begin(PAYLOAD, out);
    out.extend_from_slice(digest.as_bytes());
    out.extend_from_slice(bytes);
    end(start, out)
}

fn begin(tag: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.push(tag);
    out.extend_from_slice(&[0; 4]);
    start
}

fn end(start: usize, out: &mut [u8]) -> Result<(), std::io::Error> {
    write_length(start + 1, out)
}

/// Writes at `at` how many bytes follow the length itself.
fn write_length(at: usize, out: &mut [u8]) -> Result<(), std::io::Error> {
    let length = u32::try_from(out.len() - at - 4).map_err(std::io::Error::other)?;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// The entry at the start of `bytes`, and how many bytes it takes.
pub(crate) fn entry_at(bytes: &[u8]) -> Result<(Entry<'_>, usize), &'static str> {
    let len = ENTRY_HEAD + u32_at(bytes, 1) as usize;
    let content = bytes.get(ENTRY_HEAD..len).ok_or("an entry is longer than its frame")?;
    let entry = match bytes[0] {
        EVENT => Entry::Event(event_in(content)?),
        PAYLOAD => payload_in(content)?,
        _ => return Err("an entry has a kind that is not known"),
    };
    Ok((entry, len))
}

fn event_in(content: &[u8]) -> Result<EventEntry<'_>, &'static str> {
    let (head, rest) = content.split_at_checked(EVENT_HEAD).ok_or("an event is cut short")?;
    let lookup_len = u32_at(head, 21) as usize;
    let (lookup, json) = rest.split_at_checked(lookup_len).ok_or("an event is cut short")?;
    Ok(EventEntry {
        lookup: (head[0] & IS_CHECKPOINT != 0).then_some(lookup),
        made: head[0] & IS_MADE != 0,
        seq: (head[0] & HAS_SEQ != 0).then(|| u64_at(head, 13)),
        second: u64_at(head, 1).cast_signed(),
        nanosecond: u32_at(head, 9).cast_signed(),
        json,
    })
}

fn payload_in(content: &[u8]) -> Result<Entry<'_>, &'static str> {
    let (digest, bytes) = content.split_first_chunk::<32>().ok_or("a payload is cut short")?;
    Ok(Entry::Payload { digest: Digest::from_bytes(*digest), bytes })
}

/// The entries of a frame's body, each with its place in it and as raw bytes.
pub(crate) fn entries(
    body: &[u8],
) -> impl Iterator<Item = Result<(usize, &[u8], Entry<'_>), Fault>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = body.get(at..).filter(|rest| !rest.is_empty())?;
        Some(match entry_at(rest) {
            Ok((entry, len)) => {
                let place = at;
                at += len;
                Ok((place, &rest[..len], entry))
            }
            Err(reason) => {
                let fault = Fault { at, reason };
                at = body.len();
                Err(fault)
            }
        })
    })
}

/// An entry that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fault {
    /// Its place in the body.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) reason: &'static str,
}
