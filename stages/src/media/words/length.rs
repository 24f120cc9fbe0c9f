//! Scripts against the time they have.

use flow_core::error::{ErrorClass, ErrorKind, StageError};

use super::WORDS_PER_SECOND;
use crate::contract::{CalendarConfig, ScriptStructure, SegmentData};

/// The layer that speaks.
const NARRATION: &str = "L4";

/// Words that fill a segment's time, where its script is heard.
pub(in crate::media) fn target_words(
    segment: &SegmentData,
    calendar: &CalendarConfig,
) -> Option<u64> {
    let is_heard = calendar.layers.iter().any(|layer| layer == NARRATION);
    is_heard.then(|| words_in_ms(segment.target_duration_ms))
}

/// Words that the offline voice speaks in this time.
fn words_in_ms(ms: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "durations are short")]
    let words = ms as f64 / 1000.0 * WORDS_PER_SECOND;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
    let words = words.round() as u64;
    words
}

/// Whole seconds that so many words take.
fn seconds_of(words: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "scripts are short")]
    let seconds = (words as f64 / WORDS_PER_SECOND).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
    let seconds = seconds as u64;
    seconds
}

/// Refuses a script that is too long for its target: names its longest section, and says what
/// makes it fit. `pointer` is where the script is in the port's record.
///
/// # Errors
/// If there are more than a quarter more words than the target.
pub(in crate::media) fn check_length(
    script: &ScriptStructure,
    operation: &str,
    port: &str,
    pointer: &str,
) -> Result<(), StageError> {
    let (Some(at), Some(target)) = (script.too_long(), script.target_words) else { return Ok(()) };
    let section = &script.sections[at];
    let (all, own) = (script.words(), ScriptStructure::words_in(&section.text));
    let most = target * 5 / 4;
    let id = &section.section_id;
    let message =
        format!("the script has {all} words, and at most {most} fit: section {id} alone has {own}");
    let mut error = StageError::new(ErrorClass::Validation, operation, message)
        .kind(ErrorKind::Validation)
        .port(port)
        .hint(format!(
            "take at least {} words out (section {id} first), ask for fewer `slides`, or raise \
             `target_duration` of media.calendar to {}s",
            all - most,
            seconds_of(all),
        ));
    error.pointer = Some(format!("{pointer}/sections/{at}/text"));
    error.expected = Some(format!("at most {most} words in all sections"));
    error.found = Some(format!("{all} words"));
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{ScriptSection, SlideText};

    fn script(target: u64, texts: [&str; 2]) -> ScriptStructure {
        let section = |(at, text): (usize, &str)| ScriptSection {
            section_id: format!("s{}", at + 1),
            role: "body".into(),
            text: text.into(),
            slide: SlideText {
                title: "t".into(),
                bullets: Vec::new(),
                layout: None,
                visual_prompt: None,
            },
        };
        ScriptStructure {
            language: "en-US".into(),
            sections: texts.into_iter().enumerate().map(section).collect(),
            word_count: None,
            target_words: Some(target),
        }
    }

    #[test]
    fn a_script_that_is_too_long_names_its_longest_section_and_the_way_out() {
        let texts = ["Two words.", "And here are another ten words, or so it seems."];
        let error = check_length(&script(8, texts), "narrate", "idea", "/script")
            .expect_err("twelve words do not fit into ten");
        assert_eq!((error.class, error.kind), (ErrorClass::Validation, ErrorKind::Validation));
        assert_eq!(
            error.message,
            "the script has 12 words, and at most 10 fit: section s2 alone has 10"
        );
        assert_eq!(error.pointer.as_deref(), Some("/script/sections/1/text"));
        assert_eq!(
            error.hint.as_deref(),
            Some(
                "take at least 2 words out (section s2 first), ask for fewer `slides`, or raise \
                 `target_duration` of media.calendar to 5s"
            )
        );
        assert!(check_length(&script(10, texts), "narrate", "idea", "/script").is_ok());
    }
}
