//! Choices that look free and are always the same for the same inputs.

use flow_core::digest::Digest;

/// A source of choices, made from text. It is a plain counter-based generator (SplitMix64).
#[derive(Debug, Clone)]
pub(in crate::media) struct Seed(u64);

impl Seed {
    /// The source that belongs to these texts in this order.
    pub(in crate::media) fn of(parts: &[&str]) -> Self {
        let digest = Digest::of(parts.join("\u{1f}").as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of the choices; `None` if there are none.
    pub(in crate::media) fn choose<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let len = u64::try_from(choices.len()).ok().filter(|len| *len > 0)?;
        choices.get(usize::try_from(self.next() % len).ok()?)
    }

    /// One of the texts; empty if there are none.
    pub(in crate::media) fn pick(&mut self, choices: &[&'static str]) -> &'static str {
        self.choose(choices).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_texts_choose_the_same_and_others_differ() {
        let draw = |parts: &[&str]| {
            let mut seed = Seed::of(parts);
            [seed.next(), seed.next()]
        };
        assert_eq!(draw(&["2025-01-05", "a"]), draw(&["2025-01-05", "a"]));
        assert_ne!(draw(&["2025-01-05", "a"]), draw(&["2025-01-06", "a"]));
        assert_ne!(draw(&["ab", "c"]), draw(&["a", "bc"]));
    }
}
