//! Nothing that stands in a file makes the reader panic.

use proptest::prelude::*;

use super::{parse, plain};

const GOOD: &str = include_str!("good.toml");

fn tokens() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\"",
        "'",
        "'''",
        "\"\"\"",
        "\n",
        "\r",
        " ",
        "#",
        "nodes",
        "types",
        "params",
        "workflow",
        "outputs",
        "stage",
        "with",
        "retry",
        "type",
        "a",
        "é",
        "1",
        "-",
        "1e999",
        "nan",
        "true",
        "2025-01-01",
        "07:32",
        "\\u",
        "{{",
        "{%",
        "\u{feff}",
    ]);
    prop::collection::vec(token, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        plain(&parse(&text));
    }

    #[test]
    fn arbitrary_tokens_never_panic(text in tokens()) {
        plain(&parse(&text));
    }

    #[test]
    fn a_good_file_with_a_hole_never_panics(start in 0..GOOD.len(), len in 0..200_usize) {
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes.drain(start..(start + len).min(GOOD.len()));
        plain(&parse(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn a_good_file_with_foreign_text_never_panics(at in 0..GOOD.len(), text in tokens()) {
        let at = (0..=at).rev().find(|i| GOOD.is_char_boundary(*i)).unwrap_or_default();
        plain(&parse(&format!("{}{text}{}", &GOOD[..at], &GOOD[at..])));
    }
}

#[test]
fn no_truncation_of_a_good_file_panics() {
    for end in (0..GOOD.len()).filter(|i| GOOD.is_char_boundary(*i)) {
        plain(&parse(&GOOD[..end]));
    }
}

#[test]
fn the_good_file_is_good() {
    super::valid(GOOD);
}
