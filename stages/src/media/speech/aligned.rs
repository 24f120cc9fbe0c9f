//! Words that a service has told the times of, matched with the words of the script.

use super::say::words;
use crate::contract::WordTiming;

/// The words of a text with the times that the voice told for what it was given to speak, from the
/// beginning of the section. A word that is not spoken lasts no time. `None` if the voice told of
/// more words or of fewer than it was given.
pub(in crate::media) fn aligned(text: &str, heard: &[(u64, u64)]) -> Option<Vec<WordTiming>> {
    let (mut rest, mut last_ms) = (heard, 0);
    let mut timed = Vec::new();
    for (word, spoken) in words(text) {
        let (own, after) = rest.split_at_checked(spoken.split_whitespace().count())?;
        rest = after;
        let start_ms = own.first().map_or(last_ms, |(start, _)| *start);
        last_ms = own.last().map_or(start_ms, |(_, end)| *end);
        timed.push(WordTiming { text: word.to_owned(), start_ms, end_ms: last_ms });
    }
    rest.is_empty().then_some(timed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::speech::spoken;

    fn times(text: &str) -> Vec<(u64, u64)> {
        (0..spoken(text).split_whitespace().count() as u64)
            .map(|n| (n * 100, n * 100 + 90))
            .collect()
    }

    #[test]
    fn a_word_that_is_said_in_several_lasts_as_long_as_they_do() {
        let text = "O/U 49.5 at -110, yes";
        let words = aligned(text, &times(text)).expect("times");
        let told: Vec<(&str, u64, u64)> =
            words.iter().map(|w| (w.text.as_str(), w.start_ms, w.end_ms)).collect();
        assert_eq!(
            told,
            [
                ("O/U", 0, 190),
                ("49.5", 200, 290),
                ("at", 300, 390),
                ("-110,", 400, 590),
                ("yes", 600, 690)
            ]
        );
    }

    #[test]
    fn a_sign_that_nobody_speaks_takes_no_time() {
        let text = "Go \u{1f525} now";
        let words = aligned(text, &times(text)).expect("times");
        assert_eq!((words[1].start_ms, words[1].end_ms), (90, 90));
    }

    #[test]
    fn other_words_than_were_given_have_no_times() {
        assert_eq!(aligned("one two", &[(0, 10)]), None);
        assert_eq!(aligned("one two", &[(0, 10), (10, 20), (20, 30)]), None);
    }
}
