//! Colours and their contrast.

/// A colour in sRGB, each part from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour {
    pub(super) r: f32,
    pub(super) g: f32,
    pub(super) b: f32,
}

impl Colour {
    pub(super) const WHITE: Self = Self::rgb(255, 255, 255);
    /// Behind everything.
    pub(super) const NIGHT: Self = Self::rgb(9, 12, 20);
    /// Quiet text.
    pub(super) const MIST: Self = Self::rgb(206, 213, 226);
    /// What the eye should find first.
    pub(super) const LIME: Self = Self::rgb(200, 255, 62);

    pub(super) const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Self { r: r as f32 / 255.0, g: g as f32 / 255.0, b: b as f32 / 255.0 }
    }

    /// Reads `#RRGGBB`.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let hex = text.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.is_ascii())?;
        let part = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
        Some(Self::rgb(part(0)?, part(2)?, part(4)?))
    }

    /// A colour that belongs to a text, for teams whose own colour is unknown.
    pub(super) fn of_text(text: &str) -> Self {
        let digest = flow_core::digest::Digest::of(text.as_bytes());
        let hue = f32::from(digest.as_bytes()[0]) / 256.0 * 6.0;
        let part = |offset: f32| ((((hue + offset) % 6.0) - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        Self { r: part(0.0), g: part(4.0), b: part(2.0) }.mix(Self::rgb(70, 70, 90), 0.35)
    }

    /// This colour with a share `t` of another.
    pub(super) fn mix(self, other: Self, t: f32) -> Self {
        let part = |a: f32, b: f32| (b - a).mul_add(t, a);
        Self { r: part(self.r, other.r), g: part(self.g, other.g), b: part(self.b, other.b) }
    }

    /// This colour, dark enough that `text` on it has this contrast.
    pub(super) fn dark_enough_for(self, text: Self, contrast: f32) -> Self {
        let darker = |step: u8| self.mix(Self::NIGHT, f32::from(step) / 20.0);
        let enough = |colour: &Self| contrast_of(*colour, text) >= contrast;
        (0..=20).map(darker).find(enough).unwrap_or(Self::NIGHT)
    }

    /// This colour, bright enough to be seen as a colour on a dark ground: lit first, so that it
    /// keeps its hue, and then whitened.
    pub(super) fn vivid(self) -> Self {
        let lit = |step: u8| {
            let by = 1.0 + f32::from(step) * 0.25;
            let part = |c: f32| (c * by).min(1.0);
            Self { r: part(self.r), g: part(self.g), b: part(self.b) }
                .mix(Self::WHITE, f32::from(step.saturating_sub(14)) / 20.0)
        };
        let enough = |colour: &Self| luminance(*colour) >= 0.05;
        (0..=24).map(lit).find(enough).unwrap_or(self)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    pub(super) fn bytes(self) -> [u8; 3] {
        [self.r, self.g, self.b].map(|part| (part.clamp(0.0, 1.0) * 255.0).round() as u8)
    }

    pub(super) fn from_bytes([r, g, b]: [u8; 3]) -> Self {
        Self::rgb(r, g, b)
    }
}

/// Relative luminance as WCAG 2 defines it.
pub(super) fn luminance(colour: Colour) -> f32 {
    let linear = |c: f32| if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    0.2126 * linear(colour.r) + 0.7152 * linear(colour.g) + 0.0722 * linear(colour.b)
}

/// Contrast as WCAG 2 defines it, from 1 to 21.
pub(super) fn contrast_of(a: Colour, b: Colour) -> f32 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_the_standard() {
        let black = Colour::rgb(0, 0, 0);
        assert!((contrast_of(black, Colour::WHITE) - 21.0).abs() < 0.01);
        let grey = Colour::rgb(119, 119, 119);
        assert!((contrast_of(grey, Colour::WHITE) - 4.48).abs() < 0.01);
    }

    #[test]
    fn every_team_colour_can_carry_white_text() {
        for hex in ["#FFB612", "#FFFFFF", "#FB4F14", "#000000", "#69BE28"] {
            let ground =
                Colour::from_hex(hex).expect("a colour").dark_enough_for(Colour::WHITE, 5.0);
            assert!(contrast_of(ground, Colour::WHITE) >= 5.0, "{hex}");
        }
        assert_eq!(Colour::from_hex("blue"), None);
        assert_eq!(Colour::of_text("BUF"), Colour::of_text("BUF"));
    }
}
