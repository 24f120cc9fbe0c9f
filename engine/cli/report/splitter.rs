//! Bytes of a program as lines.

/// A longer line is told in pieces, so that one without an end needs no memory without end.
const PIECE: usize = 1 << 20;

/// Makes lines of bytes that come bit by bit.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The beginning of a line whose end is not there yet.
    partial: Vec<u8>,
}

impl Splitter {
    /// Takes more bytes; gives every line that is whole now.
    pub(crate) fn push(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            let whole = std::mem::take(&mut self.partial);
            line(whole.strip_suffix(b"\r").unwrap_or(&whole));
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        while self.partial.len() > PIECE {
            let end = boundary(&self.partial, PIECE);
            line(&self.partial[..end]);
            self.partial.drain(..end);
        }
    }

    /// Gives what is left: nothing more comes.
    pub(crate) fn finish(&mut self, line: &mut dyn FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&std::mem::take(&mut self.partial));
        }
    }
}

/// A place at or a little before `at` that cuts no character of UTF-8 in two.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let is_inside = |place: usize| bytes.get(place).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at).rev().find(|place| !is_inside(*place)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        for part in parts {
            splitter.push(part, &mut |line| lines.push(line.to_vec()));
        }
        splitter.finish(&mut |line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn lines_are_the_same_however_their_bytes_come() {
        let whole: &[u8] = b"one\r\n\ntwo\xff\nthree";
        let expected: Vec<Vec<u8>> =
            [&b"one"[..], b"", b"two\xff", b"three"].map(<[u8]>::to_vec).to_vec();
        assert_eq!(lines(&[whole]), expected);
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(lines(&bytes), expected);
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces_that_cut_no_character() {
        let text = "é".repeat(PIECE);
        let pieces = lines(&[b"x", text.as_bytes(), b"\nend"]);
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
        assert!(pieces.iter().all(|piece| std::str::from_utf8(piece).is_ok()));
        assert_eq!(pieces.concat(), format!("x{text}end").into_bytes());
        assert_eq!(pieces.last().map(Vec::as_slice), Some(&b"end"[..]));
    }
}
