//! The forms that a secret takes on its way into a text: as it is, and as URLs, base64, hex and
//! JSON write it. All forms are sought at once, so each is a plain string of bytes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// A line of a secret with several lines is sought by itself from this many bytes on; a shorter one
/// may be an ordinary word.
const LINE_MIN: usize = 8;

/// A longer secret is sought in overlapping pieces of this size, so that what must be remembered of
/// a stream stays small whatever the secret. Each piece shares enough with the next for the forms of
/// both to touch.
const PIECE: usize = 96;
const STRIDE: usize = 64;

/// A form of fewer bytes would be found where no secret is.
const FORM_MIN: usize = 4;

/// All forms of a secret, each once.
pub(super) fn forms(secret: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    for spelling in spellings(secret) {
        for piece in pieces(&spelling) {
            forms.insert(piece.as_bytes().to_vec());
            in_urls(piece.as_bytes(), &mut forms);
            in_base64(piece.as_bytes(), &mut forms);
            in_hex(piece.as_bytes(), &mut forms);
            in_json(piece, &mut forms);
        }
    }
    forms.retain(|form| form.len() >= FORM_MIN);
    forms
}

/// The secret as programs pass it on: whole, without white space around it, with the line ends of
/// another system, and line by line.
fn spellings(secret: &str) -> BTreeSet<String> {
    let mut spellings = BTreeSet::from([secret.to_owned(), secret.trim().to_owned()]);
    if secret.contains('\n') {
        spellings.insert(secret.replace("\r\n", "\n"));
        spellings.insert(secret.replace("\r\n", "\n").replace('\n', "\r\n"));
        // Right after a long word its first line end is taken for one of an encoder.
        spellings.insert(secret.replace("\r\n", "\n").replacen('\n', "", 1));
        // The first and last line of a key in PEM form are the same for all keys.
        let lines = secret.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        spellings.extend(lines.filter(|line| line.len() >= LINE_MIN).map(str::to_owned));
    }
    spellings
}

/// The text in pieces that cover it and overlap.
fn pieces(text: &str) -> Vec<&str> {
    if text.len() <= PIECE {
        return vec![text];
    }
    let mut pieces = Vec::new();
    let mut from = 0;
    while from + PIECE < text.len() {
        pieces.push(&text[text.floor_char_boundary(from)..text.ceil_char_boundary(from + PIECE)]);
        from += STRIDE;
    }
    pieces.push(&text[text.floor_char_boundary(text.len() - PIECE)..]);
    pieces
}

/// The characters that the usual encoders leave as they are, beside letters and digits, and what
/// they make of a space.
const URL_RULES: [(&[u8], &str); 7] = [
    (b"-_.~", "%20"),
    (b"-_.~/", "%20"),
    (b"-_.!~*'()", "%20"),
    (b"-_.!~*'();/?:@&=+$,#", "%20"),
    (b"-_.~", "+"),
    (b"*-._", "+"),
    (b"-_.~/", "+"),
];

fn in_urls(bytes: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    for (safe, space) in URL_RULES {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || safe.contains(&byte);
        forms.insert(escaped(bytes, is_safe, space, |byte| format!("%{byte:02X}")));
        forms.insert(escaped(bytes, is_safe, space, |byte| format!("%{byte:02x}")));
    }
    forms.insert(escaped(bytes, |_| false, "%20", |byte| format!("%{byte:02X}")));
    forms.insert(escaped(bytes, |_| false, "%20", |byte| format!("%{byte:02x}")));
}

fn escaped(
    bytes: &[u8],
    is_safe: impl Fn(u8) -> bool,
    space: &str,
    escape: impl Fn(u8) -> String,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for byte in bytes {
        match byte {
            b' ' => out.extend_from_slice(space.as_bytes()),
            byte if is_safe(*byte) => out.push(*byte),
            byte => out.extend_from_slice(escape(*byte).as_bytes()),
        }
    }
    out
}

/// In base64 three bytes are four characters, so there are three ways in which the bytes before the
/// secret shift it. What stands of the neighbours in the same character is not part of the form.
fn in_base64(bytes: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    for (before, first) in [(0, 0), (1, 2), (2, 3)] {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(bytes);
        let inside = shifted.len() * 8 / 6;
        for text in [STANDARD.encode(&shifted), URL_SAFE.encode(&shifted)] {
            forms.insert(text.as_bytes()[first..inside].to_vec());
            // At the end of the data the last character is known too.
            forms.insert(text.trim_end_matches('=').as_bytes()[first..].to_vec());
            forms.insert(text.as_bytes()[first..].to_vec());
        }
    }
}

fn in_hex(bytes: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a text cannot fail.
        write!(hex, "{byte:02x}").ok();
        hex
    });
    forms.insert(hex.to_ascii_uppercase().into_bytes());
    forms.insert(hex.into_bytes());
}

/// What a JSON writer escapes beyond what it must.
#[derive(Clone, Copy)]
struct JsonRules {
    slash: bool,
    non_ascii: bool,
    /// What HTML gives a meaning to.
    html: bool,
    /// Everything, as `\u0000`.
    all: bool,
    /// Control characters as `\u000a` where there is a short form.
    long_controls: bool,
    upper: bool,
}

fn in_json(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    for bits in 0_u8..64 {
        let has = |bit: u8| bits & (1 << bit) != 0;
        let rules = JsonRules {
            slash: has(0),
            non_ascii: has(1),
            html: has(2),
            long_controls: has(3),
            upper: has(4),
            all: has(5),
        };
        let once = json_text(text, rules);
        // JSON in a text of JSON.
        if bits == 0 {
            forms.insert(json_text(&once, rules).into_bytes());
        }
        forms.insert(once.into_bytes());
    }
    // What the engine itself makes of control characters in the last words of a program.
    forms.insert(crate::secrets::escape_controls(text).into_bytes());
}

fn json_text(text: &str, rules: JsonRules) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if rules.all => as_units(c, rules, &mut out),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' if rules.slash => out.push_str("\\/"),
            '<' | '>' | '&' | '\'' if rules.html => as_units(c, rules, &mut out),
            '\n' if !rules.long_controls => out.push_str("\\n"),
            '\r' if !rules.long_controls => out.push_str("\\r"),
            '\t' if !rules.long_controls => out.push_str("\\t"),
            '\u{8}' if !rules.long_controls => out.push_str("\\b"),
            '\u{c}' if !rules.long_controls => out.push_str("\\f"),
            c if c < ' ' => as_units(c, rules, &mut out),
            c if !c.is_ascii() && rules.non_ascii => as_units(c, rules, &mut out),
            c => out.push(c),
        }
    }
    out
}

/// A character as one or two escapes of UTF-16.
fn as_units(c: char, rules: JsonRules, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let escape = match rules.upper {
            true => format!("\\u{unit:04X}"),
            false => format!("\\u{unit:04x}"),
        };
        out.push_str(&escape);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_usual_encoder_writes_one_of_the_forms() {
        let forms = forms("pä ss/w\"rd+&1");
        for written in [
            "pä ss/w\"rd+&1",
            "p%C3%A4%20ss%2Fw%22rd%2B%261",
            "p%c3%a4%20ss/w%22rd%2b%261",
            "p%C3%A4+ss%2Fw%22rd%2B%261",
            r#"pä ss/w\"rd+&1"#,
            r#"p\u00e4 ss/w\"rd+&1"#,
            r#"p\u00E4 ss\/w\"rd+&1"#,
            r#"pä ss/w\"rd+\u00261"#,
            r#"pä ss/w\\\"rd+&1"#,
            "70c3a42073732f77227264",
            "70C3A42073732F77227264",
        ] {
            let found = forms.iter().any(|form| form.starts_with(written.as_bytes()));
            assert!(found, "{written}");
        }
    }

    #[test]
    fn a_secret_of_many_lines_is_sought_by_line_too() {
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nshort\n-----END KEY-----\n";
        let forms = forms(key);
        assert!(forms.contains("MIIEvQIBADANBgkq".as_bytes()));
        assert!(!forms.contains("short".as_bytes()));
        assert!(!forms.contains("-----BEGIN KEY-----".as_bytes()));
    }

    #[test]
    fn long_secrets_give_short_forms() {
        let forms = forms(&"q/".repeat(4000));
        assert!(forms.iter().all(|form| form.len() <= 6 * (PIECE + 6)));
    }

    proptest! {
        /// Whatever stands around a secret, its base64 has a form of it in it.
        #[test]
        fn base64_is_found_at_any_offset(
            before in proptest::collection::vec(any::<u8>(), 0..7),
            secret in "[ -~]{8,40}",
            after in proptest::collection::vec(any::<u8>(), 0..7),
        ) {
            let forms = forms(&secret);
            let all = [before.as_slice(), secret.as_bytes(), after.as_slice()].concat();
            for text in [STANDARD.encode(&all), URL_SAFE.encode(&all)] {
                let found = forms.iter().any(|form| {
                    form.len() >= secret.len()
                        && text.as_bytes().windows(form.len()).any(|part| part == form)
                });
                prop_assert!(found, "{text}");
            }
        }
    }
}
