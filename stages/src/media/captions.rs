//! Captions: a few words at a time, each lit while it is heard.

use super::ffmpeg::{Line, Place};
use crate::contract::{TimingData, WordTiming};

/// Most words that are shown together.
const WORDS: usize = 4;
/// Most letters that are shown together: what fits one line.
const LETTERS: usize = 22;
/// A longer silence ends a group of words.
const PAUSE_MS: u64 = 350;
/// How long words stay after they were heard, if nothing follows.
const LINGER_MS: u64 = 250;

/// The lines for all words of a narration: one for each word, with its group around it.
pub(super) fn captions(timing: &TimingData) -> Vec<Line> {
    timing.segments.iter().flat_map(|segment| section(&segment.words, segment.end_ms)).collect()
}

fn section(words: &[WordTiming], end_ms: u64) -> Vec<Line> {
    let shown: Vec<&WordTiming> =
        words.iter().filter(|word| !caption_of(&word.text).is_empty()).collect();
    let groups = groups(&shown);
    let starts: Vec<u64> = groups.iter().map(|group| group[0].start_ms).collect();
    let mut lines = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let next = starts.get(at + 1).copied().unwrap_or(end_ms);
        let last = group.last().map_or(0, |word| word.end_ms);
        let gone = if next < last + PAUSE_MS { next } else { (last + LINGER_MS).min(next) };
        lines.extend(lit_in_turn(group, gone));
    }
    lines
}

/// Words that are shown together: up to a pause, the end of a sentence, or what fits.
fn groups<'w>(words: &[&'w WordTiming]) -> Vec<Vec<&'w WordTiming>> {
    let mut groups: Vec<Vec<&WordTiming>> = Vec::new();
    for word in words {
        let goes_on = groups.last().is_some_and(|group| belongs(group, word));
        match groups.last_mut() {
            Some(group) if goes_on => group.push(word),
            _ => groups.push(vec![word]),
        }
    }
    groups
}

fn belongs(group: &[&WordTiming], word: &WordTiming) -> bool {
    let letters: usize = group.iter().map(|w| caption_of(&w.text).chars().count() + 1).sum();
    let Some(last) = group.last() else { return true };
    group.len() < WORDS
        && letters + caption_of(&word.text).chars().count() <= LETTERS
        && word.start_ms < last.end_ms + PAUSE_MS
        && !last.text.ends_with(['.', '!', '?', ':', ';', ','])
}

/// One line for each word of a group, without gaps; the last stays until the group goes.
fn lit_in_turn(group: &[&WordTiming], gone_ms: u64) -> Vec<Line> {
    let words: Vec<String> = group.iter().map(|word| caption_of(&word.text)).collect();
    let line = |(at, word): (usize, &&WordTiming)| {
        let end_ms = group.get(at + 1).map_or(gone_ms, |next| next.start_ms);
        Line {
            start_ms: word.start_ms,
            end_ms,
            words: words.clone(),
            spoken: Some(at),
            place: Place::Strip,
        }
    };
    let timed = |line: &Line| line.end_ms > line.start_ms;
    group.iter().enumerate().map(line).filter(timed).collect()
}

/// A word in capitals, without the marks that nobody needs at the end of a caption.
fn caption_of(word: &str) -> String {
    word.trim().trim_end_matches(['.', ',', ';', ':']).to_uppercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::SegmentTiming;

    fn words(texts: &[&str], each_ms: u64) -> Vec<WordTiming> {
        let word = |(at, text): (u64, &&str)| WordTiming {
            text: (*text).to_owned(),
            start_ms: at * each_ms,
            end_ms: (at + 1) * each_ms,
        };
        (0_u64..).zip(texts).map(word).collect()
    }

    fn timing(words: Vec<WordTiming>, end_ms: u64) -> TimingData {
        let segment = SegmentTiming {
            section_id: "s1".into(),
            start_ms: 0,
            end_ms,
            words,
            timing_source: "exact".into(),
        };
        TimingData { schema_version: 1, duration_ms: end_ms, segments: vec![segment] }
    }

    fn shown(lines: &[Line]) -> Vec<String> {
        let mut texts: Vec<String> = lines.iter().map(|line| line.words.join(" ")).collect();
        texts.dedup();
        texts
    }

    #[test]
    fn words_come_in_groups_that_end_with_sentences_and_what_fits() {
        let words = words(
            &[
                "Bills",
                "at",
                "Dolphins.",
                "Over",
                "262.5",
                "passing",
                "yards,",
                "60%",
                "of",
                "bets",
            ],
            200,
        );
        let lines = captions(&timing(words, 2_000));
        assert_eq!(
            shown(&lines),
            ["BILLS AT DOLPHINS", "OVER 262.5 PASSING", "YARDS", "60% OF BETS"]
        );
        assert_eq!(lines[1].spoken, Some(1));
        assert_eq!((lines[1].start_ms, lines[1].end_ms), (200, 400));
    }

    #[test]
    fn words_go_soon_after_they_were_heard() {
        let mut two = words(&["one", "two"], 300);
        two[1].start_ms = 2_000;
        two[1].end_ms = 2_300;
        let lines = captions(&timing(two, 9_000));
        assert_eq!(shown(&lines), ["ONE", "TWO"]);
        assert_eq!((lines[0].end_ms, lines[1].end_ms), (550, 2_550));
    }

    #[test]
    fn a_narration_without_words_has_no_captions() {
        assert_eq!(captions(&timing(Vec::new(), 1_000)), []);
        assert_eq!(captions(&timing(words(&[" ", "."], 100), 1_000)), []);
    }

    proptest! {
        #[test]
        fn no_two_lines_are_shown_at_once(lengths in prop::collection::vec((1_u64..900, "[a-z]{1,30}[.,]?"), 0..30)) {
            let mut now = 0;
            let words: Vec<WordTiming> = lengths.iter().map(|(ms, text)| {
                let word = WordTiming { text: text.clone(), start_ms: now, end_ms: now + ms };
                now += ms + ms % 3 * 200;
                word
            }).collect();
            let lines = captions(&timing(words, now));
            for pair in lines.windows(2) {
                prop_assert!(pair[0].end_ms <= pair[1].start_ms);
            }
            prop_assert!(lines.iter().all(|line| line.start_ms < line.end_ms));
        }
    }
}
