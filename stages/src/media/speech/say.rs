//! Text as a synthetic voice reads it well: odds, scores, signs and short forms in words.

/// The words of a text as they are to be spoken, each beside the word it stands for.
pub(super) fn words(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.split_whitespace().map(|word| (word, spoken_word(word)))
}

/// A whole text as it is to be spoken.
pub(in crate::media) fn spoken(text: &str) -> String {
    let spoken: Vec<String> =
        words(text).map(|(_, spoken)| spoken).filter(|word| !word.is_empty()).collect();
    spoken.join(" ")
}

fn spoken_word(word: &str) -> String {
    let (core, tail) = split_tail(word);
    let core = match core.to_ascii_lowercase().as_str() {
        "vs" | "vs." | "v." => "versus".into(),
        "o/u" => "over under".into(),
        "w/" => "with".into(),
        "@" => "at".into(),
        "&" => "and".into(),
        "yds" => "yards".into(),
        "tds" => "touchdowns".into(),
        "td" => "touchdown".into(),
        "jr" => "junior".into(),
        "sr" => "senior".into(),
        "ii" => "the second".into(),
        "iii" => "the third".into(),
        "st" => "saint".into(),
        "49ers" => "Forty Niners".into(),
        _ => number(core).unwrap_or_else(|| without_markup(core)),
    };
    core + tail
}

/// A word and the punctuation that ends its clause.
fn split_tail(word: &str) -> (&str, &str) {
    if matches!(word.to_ascii_lowercase().as_str(), "vs." | "v.") {
        return (word, "");
    }
    // The point of a short form inside a name ends no clause.
    if matches!(word.to_ascii_lowercase().as_str(), "st." | "jr." | "sr.") {
        return (&word[..word.len() - 1], "");
    }
    let core = word.trim_end_matches(['.', ',', '!', '?', ';', ':']);
    (core, &word[core.len()..])
}

/// Signed odds, scores, shares and sums.
fn number(core: &str) -> Option<String> {
    let plain = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && text.bytes().any(|b| b.is_ascii_digit())
    };
    let signs =
        [("-", "minus "), ("\u{2212}", "minus "), ("+", "plus "), ("#", "number "), ("$", "")];
    for (sign, said) in signs {
        if let Some(rest) = core.strip_prefix(sign).filter(|rest| plain(rest)) {
            let unit = if sign == "$" { " dollars" } else { "" };
            return Some(format!("{said}{rest}{unit}"));
        }
    }
    if let Some(share) = core.strip_suffix('%').filter(|share| plain(share)) {
        return Some(format!("{share} percent"));
    }
    if let Some(said) = clock(core) {
        return Some(said);
    }
    let (left, right) = core.split_once(['-', '\u{2013}'])?;
    (plain(left) && plain(right)).then(|| format!("{left} to {right}"))
}

/// A clock time: `4:25` is "4 25", `4:05` is "4 oh 5", `4:00` is "4".
fn clock(core: &str) -> Option<String> {
    let (hour, minute) = core.split_once(':')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) || hour.len() > 2 || minute.len() != 2 {
        return None;
    }
    Some(match minute.strip_prefix('0') {
        Some("0") => hour.to_owned(),
        Some(minute) => format!("{hour} oh {minute}"),
        None => format!("{hour} {minute}"),
    })
}

/// Letters and what belongs to words; brackets would switch the voice to phonemes.
fn without_markup(core: &str) -> String {
    let said = |c: char| match c {
        '&' => " and ".to_owned(),
        '%' => " percent ".to_owned(),
        '/' | '_' => " ".to_owned(),
        '\u{2019}' => "'".to_owned(),
        c if c.is_alphanumeric() || matches!(c, '\'' | '-' | '.' | ',') => c.to_string(),
        _ => String::new(),
    };
    core.chars().map(said).collect::<String>().trim().to_owned()
}

/// How much time the words of a text take, relative to each other: their spoken length.
pub(super) fn weights(text: &str) -> Vec<(String, u64)> {
    words(text).map(|(word, spoken)| (word.to_owned(), spoken.len() as u64 + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_short_forms_become_words() {
        let cases = [
            ("Bills vs. Dolphins", "Bills versus Dolphins"),
            ("The O/U is 49.5.", "The over under is 49.5."),
            ("They lead 3-1, at -110.", "They lead 3 to 1, at minus 110."),
            ("It pays +105!", "It pays plus 105!"),
            ("60% of bets", "60 percent of bets"),
            ("Smith-Jones & co", "Smith-Jones and co"),
            ("[[hello]] <b>you</b>", "hello byou b"),
            ("275.5 passing yds", "275.5 passing yards"),
            ("\u{1f525}", ""),
            ("- dash", "- dash"),
            (
                "Sunday at 4:25 PM, or 8:05 PM, or 1:00 PM.",
                "Sunday at 4 25 PM, or 8 oh 5 PM, or 1 PM.",
            ),
            ("49ers at Cardinals.", "Forty Niners at Cardinals."),
            ("Amon St. Brown Jr. and Bob Lee III", "Amon saint Brown junior and Bob Lee the third"),
        ];
        for (text, expected) in cases {
            assert_eq!(spoken(text), expected, "{text}");
        }
    }
}
