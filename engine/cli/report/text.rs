//! Words and numbers as people read them, and text of others made harmless.

use std::fmt::Write as _;

use flow_core::call::Usage;
use jiff::Timestamp;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns that a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A text in at most so many columns; what is left out shows as `…`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    // A long text need not be measured whole.
    if text.len() <= columns || (text.len() <= columns * 4 && width(text) <= columns) {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Both ends of a text that has more characters than this, with a word on what is left out.
pub(crate) fn ends(text: &str, most: usize) -> String {
    let all = text.chars().count();
    if all <= most {
        return text.to_owned();
    }
    let place = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let (head, tail) = (&text[..place(most / 2)], &text[place(all - most / 2)..]);
    let left_out = count(all - most / 2 * 2, "character");
    format!("{head} … {left_out} more … {tail}")
}

/// Text of unknown origin with every control character written out, so that it cannot steer a
/// terminal. Tabs stay; line ends stay only with [`clean_lines`].
pub(crate) fn clean(text: &str) -> String {
    if !text.chars().any(is_hostile) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if is_hostile(c) && u32::from(c) < 0x100 => {
                // Writing to a string cannot fail.
                write!(out, "\\x{:02x}", u32::from(c)).unwrap_or_default();
            }
            c if is_hostile(c) => {
                write!(out, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default();
            }
            c => out.push(c),
        }
    }
    out
}

/// JSON in which every character that [`clean`] would write out is an escape of JSON.
pub(crate) fn clean_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        // The others are escaped already, or stand between the values.
        match is_hostile(c) && !c.is_ascii() {
            true => write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
            false => out.push(c),
        }
    }
    out
}

/// Whether a character can steer a terminal, or make text look like other text.
fn is_hostile(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The lines of a text, each made harmless.
pub(crate) fn clean_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(clean)
}

/// A span for people: `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 3 min`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// A span that grows while it is looked at, in whole seconds: `0 s`, `12 s`, `2 min 5 s`.
pub(crate) fn seconds(ms: u64) -> String {
    if ms < 60_000 { format!("{} s", ms / 1_000) } else { duration(ms) }
}

/// The milliseconds from one point in time to another; 0 if the clock went back.
pub(crate) fn millis_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

/// A number of bytes for people.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    UNITS.iter().find(|(_, unit)| size >= *unit).map_or_else(
        || format!("{size} B"),
        |(name, unit)| format!("{:.1} {name}", size as f64 / *unit as f64),
    )
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{s}")
}

/// What calls used, such as `$0.012, 812 tokens, 3 calls`; nothing for nothing.
pub(crate) fn used(usage: Usage) -> String {
    let counted = |number: u64, noun| {
        (number > 0).then(|| count(usize::try_from(number).unwrap_or(usize::MAX), noun))
    };
    let money = (usage.usd > 0.0).then(|| dollars(usage.usd));
    let parts = [money, counted(usage.tokens, "token"), counted(usage.calls, "call")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Money to the cent, and to three digits where it is less than a dollar.
fn dollars(usd: f64) -> String {
    match usd {
        1.0.. => format!("${usd:.2}"),
        0.0005.. => format!("${usd:.3}"),
        _ => "under $0.001".to_owned(),
    }
}

/// A command as it can be typed into a shell.
pub(crate) fn command_line<S: AsRef<str>>(argv: &[S]) -> String {
    let words: Vec<String> = argv.iter().map(|word| quote(word.as_ref())).collect();
    words.join(" ")
}

/// One word of a shell.
fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    if word.chars().any(is_hostile) {
        // The form that bash, zsh and ksh read back exactly.
        let escaped = word.replace('\\', "\\\\").replace('\'', "\\'");
        return format!("$'{}'", clean(&escaped).replace('\t', "\\t"));
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// How long ago something was, in its largest unit.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    match millis_between(at, now) / 1_000 {
        0..5 => "just now".to_owned(),
        s @ 5..60 => format!("{s} s ago"),
        s @ 60..3_600 => format!("{} min ago", s / 60),
        s @ 3_600..86_400 => format!("{} h ago", s / 3_600),
        s => format!("{} d ago", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(
            clean("a\tb\u{1b}[31m\r\n\u{7f}\u{202e}é"),
            "a\tb\\x1b[31m\\r\\n\\x7f\\u{202e}é"
        );
        assert_eq!(clean("plain"), "plain");
    }

    #[test]
    fn json_is_made_harmless_as_json() {
        let text = "{\"a\": \"\u{9b}2J\u{202e}é\"}\n";
        let clean = clean_json(text);
        assert_eq!(clean, "{\"a\": \"\\u009b2J\\u202eé\"}\n");
        let value = |text| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&clean), value(text));
    }

    #[test]
    fn of_a_long_text_both_ends_are_told() {
        assert_eq!(ends("äbcdef", 6), "äbcdef");
        assert_eq!(ends("äbcdefgö", 5), "äb … 4 characters more … gö");
    }

    #[test]
    fn what_was_used_is_told_in_the_unit_that_fits() {
        let usage = |usd, tokens, calls| used(Usage { usd, tokens, calls });
        assert_eq!(usage(0.0, 0, 0), "");
        assert_eq!(usage(0.0, 0, 1), "1 call");
        assert_eq!(usage(0.012, 812, 3), "$0.012, 812 tokens, 3 calls");
        assert_eq!(usage(1.5, 0, 0), "$1.50");
        assert_eq!(usage(0.000_04, 1, 0), "under $0.001, 1 token");
    }

    #[test]
    fn spans_and_sizes_have_the_unit_that_fits() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (61_000, "1 min 1 s"),
            (3_780_000, "1 h 3 min"),
        ] {
            assert_eq!(duration(ms), text);
        }
        for (size, text) in [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2_000_000, "2.0 MB")] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn a_text_is_cut_by_the_columns_it_takes() {
        for (text, columns, cut_to) in [
            ("plain", 5, "plain"),
            ("plain", 4, "pla…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("ab", 1, "…"),
            ("ab", 0, ""),
        ] {
            assert_eq!(cut(text, columns), cut_to, "{text} in {columns}");
            assert!(width(&cut(text, columns)) <= columns);
        }
        assert_eq!(cut(&"x".repeat(1 << 20), 3), "xx…");
    }

    #[test]
    fn a_command_line_can_be_typed_again() {
        assert_eq!(
            command_line(&["sh", "-c", "echo 'a' > \"b\"", "", "a=b", "\u{1b}'"]),
            "sh -c 'echo '\\''a'\\'' > \"b\"' '' a=b $'\\x1b\\''"
        );
    }
}
