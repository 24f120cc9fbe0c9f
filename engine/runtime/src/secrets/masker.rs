//! Finding secrets in all their forms, and writing `***` in their place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};

use super::forms::forms;
use super::squeeze::{Squeezed, Squeezer};
use super::{Hidden, known};

/// What stands in the place of a secret.
const MASK: &[u8] = b"***";

/// What is read of a file at once.
const READ_BYTES: usize = 256 * 1024;

/// The end of a secret at the beginning of a text that was cut off: from this many bytes on.
const END_MIN: usize = 4;

/// The beginning of a secret at the end of all output, such as that of a program that was killed:
/// from this many bytes on.
const BEGINNING_MIN: usize = 8;

/// Knows the forms of all secrets. It has no `Debug`, which would show them.
pub(super) struct Masker {
    automaton: AhoCorasick,
    /// All forms, sorted, each with the number of its secret.
    forms: Vec<(Vec<u8>, usize)>,
    /// Bytes of the longest form.
    longest: usize,
    /// Whether a form begins with this byte.
    begins: [bool; 256],
}

impl Masker {
    /// A masker for these secrets; `None` without any.
    pub(super) fn new<'s>(
        secrets: impl Iterator<Item = &'s str>,
    ) -> Result<Option<Self>, BuildError> {
        let mut all = BTreeMap::new();
        for (number, secret) in secrets.enumerate() {
            for form in forms(secret) {
                all.entry(form).or_insert(number);
            }
        }
        if all.is_empty() {
            return Ok(None);
        }
        // The one kind whose memory grows with the forms alone.
        let automaton =
            AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(all.keys())?;
        let mut begins = [false; 256];
        let mut longest = 0;
        for form in all.keys() {
            begins[usize::from(form[0])] = true;
            longest = longest.max(form.len());
        }
        Ok(Some(Self { automaton, forms: all.into_iter().collect(), longest, begins }))
    }

    /// The text with every secret in it masked.
    pub(super) fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        masked(text, self.ranges(&Squeezer::default().squeeze(text.as_bytes())))
    }

    /// As [`Masker::mask`], for the last of a stream.
    fn mask_last<'t>(&self, text: &'t str) -> Cow<'t, str> {
        masked(text, self.last_ranges(&Squeezer::default().squeeze(text.as_bytes())))
    }

    /// As [`Masker::ranges`], with a secret that was cut off by the end.
    fn last_ranges(&self, squeezed: &Squeezed) -> Vec<Range<usize>> {
        let mut ranges = self.ranges(squeezed);
        if let (Some(at), Some(last)) = (self.open_end(squeezed), squeezed.places.last())
            && last + 1 - at >= BEGINNING_MIN
        {
            join(&mut ranges, at..last + 1);
        }
        ranges
    }

    /// The end of a longer text: it may begin in the middle of a secret.
    pub(super) fn mask_end(&self, text: &str) -> String {
        let head = Squeezer::default().squeeze(text.as_bytes());
        let cut = self.forms.iter().filter_map(|(form, _)| {
            let most = form.len().saturating_sub(1).min(head.bytes.len());
            (END_MIN..=most).rev().find(|length| form.ends_with(&head.bytes[..*length]))
        });
        let Some(length) = cut.max() else { return self.mask_last(text).into_owned() };
        let rest = &text.as_bytes()[head.places[length - 1] + 1..];
        format!("***{}", self.mask_last(&String::from_utf8_lossy(rest)))
    }

    /// The number of a secret that is in these bytes.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        self.find_squeezed(&Squeezer::default().squeeze(bytes).bytes)
    }

    /// The number of a secret that is in this stream of bytes.
    pub(super) fn find_in(&self, mut reader: impl Read) -> io::Result<Option<usize>> {
        let mut squeezer = Squeezer::default();
        let mut buffer = vec![0; READ_BYTES];
        let mut kept: Vec<u8> = Vec::with_capacity(READ_BYTES + self.longest);
        loop {
            let length = match reader.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            kept.extend(buffer[..length].iter().filter(|byte| squeezer.keeps(**byte)));
            if let Some(found) = self.find_squeezed(&kept) {
                return Ok(Some(found));
            }
            kept.drain(..kept.len().saturating_sub(self.longest - 1));
        }
    }

    fn find_squeezed(&self, bytes: &[u8]) -> Option<usize> {
        self.automaton.find(bytes).map(|found| self.forms[found.pattern().as_usize()].1)
    }

    /// Where secrets are, in order, apart from each other. Forms that overlap or touch are one.
    fn ranges(&self, squeezed: &Squeezed) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        for found in self.automaton.find_overlapping_iter(&squeezed.bytes) {
            let start = squeezed.places[found.start()];
            let end = squeezed.places[found.end() - 1] + 1;
            join(&mut ranges, start..end);
        }
        ranges
    }

    /// Where the longest end begins that may be the beginning of a secret.
    fn open_end(&self, squeezed: &Squeezed) -> Option<usize> {
        let all = &squeezed.bytes;
        let from = all.len().saturating_sub(self.longest - 1);
        (from..all.len()).find(|at| self.is_beginning(&all[*at..])).map(|at| squeezed.places[at])
    }

    /// Whether a form goes on after these bytes.
    fn is_beginning(&self, bytes: &[u8]) -> bool {
        if !self.begins[usize::from(bytes[0])] {
            return false;
        }
        let first = self.forms.partition_point(|(form, _)| form.as_slice() < bytes);
        let mut next = self.forms[first..].iter().take(2).map(|(form, _)| form);
        next.any(|form| form.len() > bytes.len() && form.starts_with(bytes))
    }
}

/// The text with a mask for each range.
fn masked(text: &str, ranges: Vec<Range<usize>>) -> Cow<'_, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        out.extend_from_slice(&text.as_bytes()[at..range.start]);
        out.extend_from_slice(MASK);
        at = range.end;
    }
    out.extend_from_slice(&text.as_bytes()[at..]);
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Adds a range that ends after all others.
fn join(ranges: &mut Vec<Range<usize>>, mut range: Range<usize>) {
    while let Some(last) = ranges.last().filter(|last| last.end >= range.start) {
        range = range.start.min(last.start)..range.end.max(last.end);
        ranges.pop();
    }
    ranges.push(range);
}

/// Masks a stream that comes in pieces. What may be the beginning of a secret is held back until
/// more has come; never more than the longest form of a secret.
pub(crate) struct StreamMasker {
    hidden: Hidden,
    /// Not handed on yet.
    held: Vec<u8>,
    /// How much of its beginning belongs to a secret that began before it.
    covered: usize,
    /// Whether the last thing handed on is a mask.
    masked: bool,
    squeezer: Squeezer,
}

impl StreamMasker {
    pub(super) fn new(hidden: Hidden) -> Self {
        Self { hidden, held: Vec::new(), covered: 0, masked: false, squeezer: Squeezer::default() }
    }

    /// Takes the next piece, and hands on what is known to be safe.
    pub(crate) fn write(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) {
        let known = known(&self.hidden);
        let Some(masker) = &known.masker else { return sink(bytes) };
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let squeezed = self.squeezer.clone().squeeze(&all);
        let safe = masker.open_end(&squeezed).unwrap_or(all.len());
        self.hand_on(&all, &masker.ranges(&squeezed), safe, sink);
        self.held = all.split_off(safe);
    }

    /// Hands on the rest.
    pub(crate) fn finish(&mut self, sink: &mut dyn FnMut(&[u8])) {
        let known = known(&self.hidden);
        let Some(masker) = &known.masker else { return };
        let all = std::mem::take(&mut self.held);
        let squeezed = self.squeezer.clone().squeeze(&all);
        self.hand_on(&all, &masker.last_ranges(&squeezed), all.len(), sink);
    }

    /// Hands on the first `safe` bytes of `all`, masked.
    fn hand_on(
        &mut self,
        all: &[u8],
        found: &[Range<usize>],
        safe: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) {
        if safe == 0 {
            return;
        }
        let mut ranges = Vec::new();
        if self.covered > 0 {
            ranges.push(0..self.covered);
        }
        found.iter().cloned().for_each(|range| join(&mut ranges, range));
        let (mut out, mut at) = (Vec::with_capacity(safe), 0);
        let mut end_of_mask = None;
        for range in ranges.into_iter().take_while(|range| range.start < safe) {
            out.extend_from_slice(&all[at..range.start]);
            if range.start > 0 || !self.masked {
                out.extend_from_slice(MASK);
            }
            at = range.end.min(safe);
            end_of_mask = Some(range.end);
        }
        out.extend_from_slice(&all[at..safe]);
        self.covered = end_of_mask.map_or(0, |end| end.saturating_sub(safe));
        self.masked = end_of_mask.is_some_and(|end| end >= safe);
        for byte in &all[..safe] {
            self.squeezer.keeps(*byte);
        }
        if !out.is_empty() {
            sink(&out);
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::sync::{Arc, RwLock};

    use proptest::prelude::*;

    use super::super::Known;
    use super::*;

    fn masker(secrets: &[&str]) -> Arc<Masker> {
        Arc::new(Masker::new(secrets.iter().copied()).expect("small").expect("some"))
    }

    fn hidden(masker: &Arc<Masker>) -> Hidden {
        let masker = Some(Arc::clone(masker));
        Arc::new(RwLock::new(Arc::new(Known { masker, ..Known::default() })))
    }

    /// What comes out when `text` comes in these pieces, and the most that was held back.
    fn streamed(masker: &Arc<Masker>, pieces: &[&[u8]]) -> (String, usize) {
        let mut out = Vec::new();
        let mut most = 0;
        let mut stream = StreamMasker::new(hidden(masker));
        for piece in pieces {
            stream.write(piece, &mut |bytes| out.extend_from_slice(bytes));
            most = most.max(stream.held.len());
        }
        stream.finish(&mut |bytes| out.extend_from_slice(bytes));
        (String::from_utf8(out).expect("text"), most)
    }

    #[test]
    fn what_overlaps_is_masked_as_one_and_nothing_of_it_is_left() {
        let masker = masker(&["abcdef", "defghi"]);
        for (text, expected) in [
            ("no secret", "no secret"),
            ("x abcdefghi y", "x *** y"),
            ("abcdefabcdef", "***"),
            ("abcdef abcdef", "*** ***"),
            ("abcde", "abcde"),
        ] {
            assert_eq!(masker.mask(text), expected, "{text}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(streamed(&masker, &bytes).0, expected, "{text} byte by byte");
        }
    }

    #[test]
    fn a_stream_holds_back_nothing_that_cannot_become_a_secret() {
        let masker = masker(&["hunter2secret"]);
        let mut out = Vec::new();
        let mut stream = StreamMasker::new(hidden(&masker));
        stream.write(b"a line\nthe next: hunter2s", &mut |bytes| out.extend_from_slice(bytes));
        assert_eq!(out, b"a line\nthe next: ");
        stream.write(b"afe\n", &mut |bytes| out.extend_from_slice(bytes));
        assert_eq!(out, b"a line\nthe next: hunter2safe\n");
    }

    #[test]
    fn a_secret_that_the_end_cuts_off_is_masked() {
        let masker = masker(&["correct-horse-battery"]);
        assert_eq!(streamed(&masker, &[b"a correct-hor"]).0, "a ***");
        assert_eq!(streamed(&masker, &[b"it is correct"]).0, "it is correct");
        assert_eq!(masker.mask_end("se-battery, correct-hor"), "***, ***");
    }

    #[test]
    fn a_secret_that_repeats_itself_is_masked_without_end_and_without_memory() {
        let masker = masker(&["aaaaaaaa"]);
        let text = vec![b'a'; 100_000];
        let (out, most) = streamed(&masker, &text.chunks(7).collect::<Vec<_>>());
        assert_eq!(out, "***");
        assert!(most <= masker.longest);
    }

    #[test]
    fn base64_is_found_across_the_line_ends_of_its_encoder() {
        let secret = "a-key-of-some-length-0123456789";
        let masker = masker(&[secret]);
        for before in 0..80 {
            let all = format!("{}{secret}{}", "x".repeat(before), "y".repeat(80));
            let encoded = STANDARD.encode(all);
            let lines: Vec<&str> = (0..encoded.len())
                .step_by(76)
                .map(|at| &encoded[at..encoded.len().min(at + 76)])
                .collect();
            for end in ["\n", "\r\n"] {
                let text = lines.join(end);
                assert!(masker.find(text.as_bytes()).is_some(), "{text}");
                let (out, _) = streamed(&masker, &text.as_bytes().chunks(5).collect::<Vec<_>>());
                assert!(out.contains("***"), "{out}");
                assert!(masker.find(out.as_bytes()).is_none(), "{out}");
            }
        }
    }

    #[test]
    fn the_end_of_a_text_may_begin_inside_a_secret() {
        let masker = masker(&["correct-horse-battery"]);
        assert_eq!(masker.mask_end("horse-battery said"), "*** said");
        assert_eq!(masker.mask_end("ery said correct-horse-battery"), "ery said ***");
    }

    #[test]
    fn a_secret_is_found_where_two_reads_of_a_file_meet() {
        let masker = masker(&["correct-horse-battery"]);
        for shift in [0, 5, 20, 21] {
            let mut file = vec![b'.'; READ_BYTES - shift];
            file.extend_from_slice(b"correct-horse-battery and more");
            assert_eq!(masker.find_in(file.as_slice()).expect("readable"), Some(0));
        }
    }

    proptest! {
        /// However a stream is cut, what comes out is what comes out of the whole.
        #[test]
        fn pieces_do_not_matter(
            text in proptest::collection::vec(
                prop_oneof![Just("s3cr3t/key"), Just("s3cr"), Just("3t/key"), Just("\n"), Just("abc "),
                    Just("czNjcjN0L2tleQ=="), Just("s3cr3t%2Fkey"), Just("s3cr3t\\/key")], 0..20),
            cuts in proptest::collection::vec(1_usize..9, 1..60),
        ) {
            let masker = masker(&["s3cr3t/key", "key\nabc"]);
            let text = text.concat();
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let (out, most) = streamed(&masker, &pieces);
            let whole = masker.mask(&text);
            prop_assert_eq!(&out, whole.as_ref());
            prop_assert!(masker.find(out.as_bytes()).is_none());
            prop_assert!(most <= 2 * masker.longest);
        }
    }
}
