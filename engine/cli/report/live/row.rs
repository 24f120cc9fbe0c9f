//! One row of the region: words with their colors, cut to the width of the terminal.

use crate::report::style::Paint;
use crate::report::text::{cut, width};

/// How words are painted.
pub(super) type Tint = fn(Paint, &str) -> String;

/// Words without a color of their own.
pub(super) fn plain(_: Paint, text: &str) -> String {
    text.to_owned()
}

/// A row, as words that were made harmless before.
#[derive(Default)]
pub(super) struct Row {
    words: Vec<(Tint, String)>,
}

impl Row {
    /// Adds words.
    pub(super) fn add(mut self, tint: Tint, text: impl Into<String>) -> Self {
        self.words.push((tint, text.into().replace('\t', " ")));
        self
    }

    /// Adds words in a column of this width, cut if they are longer, and a space.
    pub(super) fn column(self, tint: Tint, text: &str, columns: usize) -> Self {
        let text = cut(text, columns);
        let pad = columns.saturating_sub(width(&text)) + 1;
        self.add(tint, format!("{text}{}", " ".repeat(pad)))
    }

    /// The row in at most so many columns.
    pub(super) fn render(&self, columns: usize, paint: Paint) -> String {
        let mut out = String::new();
        let mut left = columns;
        let last = self.words.len().saturating_sub(1);
        for (place, (tint, text)) in self.words.iter().enumerate() {
            let whole = width(text);
            let more_follows = self.words[place + 1..].iter().any(|(_, text)| !text.is_empty());
            // A column is left for the mark that something was cut, where something follows.
            let fits = whole < left || (whole == left && !more_follows);
            let text =
                if fits { text.clone() } else { cut(text, left.min(whole.saturating_sub(1))) };
            let text = if place == last { text.trim_end().to_owned() } else { text };
            left = left.saturating_sub(width(&text));
            out.push_str(&tint(paint, &text));
            if !fits {
                break;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Color;

    #[test]
    fn a_row_never_takes_more_columns_than_there_are() {
        let paint = Paint::of(Color::Never, &std::io::stdout());
        let row = Row::default().column(plain, "日本語", 4).add(plain, "ab\tc").add(plain, "de");
        for columns in 0..14 {
            let shown = row.render(columns, paint);
            assert!(width(&shown) <= columns, "{shown:?} in {columns}");
        }
        assert_eq!(row.render(80, paint), "日…  ab cde");
        assert_eq!(row.render(9, paint), "日…  ab…");
        assert_eq!(row.render(5, paint), "日……");
    }
}
