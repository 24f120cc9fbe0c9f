//! Plain tables: columns as wide as their widest cell.

use super::text::width;

/// A cell: what is shown, and how many columns it takes without its colors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    width: usize,
}

impl Cell {
    /// A cell without colors.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { width: width(&text), text }
    }

    /// A cell whose text was painted from `plain`.
    pub(crate) fn painted(plain: &str, paint: impl FnOnce(&str) -> String) -> Self {
        Self { width: width(plain), text: paint(plain) }
    }
}

/// The rows with their columns aligned, each indented by `indent` spaces; nothing trails a line.
pub(crate) fn render(rows: &[Vec<Cell>], indent: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.width).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let last = row.iter().rposition(|cell| cell.width > 0).unwrap_or(0);
        out.push_str(&" ".repeat(indent));
        for (cell, width) in row.iter().zip(&widths).take(last) {
            out.push_str(&cell.text);
            out.push_str(&" ".repeat(width - cell.width + 2));
        }
        out.push_str(row.get(last).map_or("", |cell| &cell.text));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let row = |a: &str, b: &str, c: &str| vec![Cell::plain(a), Cell::plain(b), Cell::plain(c)];
        let shown = render(&[row("a", "bbb", "c"), row("aaaa", "é", ""), row("日本", "x", "")], 1);
        assert_eq!(shown, " a     bbb  c\n aaaa  é\n 日本  x\n");
    }
}
