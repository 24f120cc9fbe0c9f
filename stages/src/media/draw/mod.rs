//! Slides drawn in Rust: pixels, type, colours, layouts, and the measures that every slide must
//! meet.

mod backdrop;
mod canvas;
mod colour;
mod layout;
#[cfg(test)]
mod tests;
mod type_setting;

pub(super) use backdrop::Backdrop;
pub(super) use canvas::{HEIGHT, Placed, WIDTH};
pub(super) use layout::{SlideFacts, draw};

/// Nothing is smaller than this, in pixels of the em.
pub(super) const MIN_TEXT_PX: f32 = 40.0;
/// Least contrast of text to what is behind it (WCAG 2, level AA).
pub(super) const MIN_CONTRAST: f32 = 4.5;
/// Free space at the left and right edge, in pixels.
pub(super) const MARGIN_X: f32 = 64.0;
/// Free space at the top edge, in pixels: players lay their tabs over it.
pub(super) const MARGIN_TOP: f32 = 160.0;
/// Free space at the bottom edge, in pixels: players lay account, caption and buttons over it.
pub(super) const MARGIN_BOTTOM: f32 = 320.0;

/// A slide, and where its words are.
pub(super) struct Drawing {
    /// The picture.
    pub(super) image: image::RgbImage,
    /// Its words, line by line.
    pub(super) placed: Vec<Placed>,
    /// What had to be changed to make it fit, as sentences.
    pub(super) issues: Vec<String>,
}

impl Drawing {
    /// Lowest contrast of any text.
    pub(super) fn contrast(&self) -> f32 {
        self.placed.iter().map(|line| line.contrast).fold(21.0, f32::min)
    }

    /// Everything that is below the measures, as sentences.
    pub(super) fn faults(&self) -> Vec<String> {
        let fault = |line: &Placed| {
            let text = &line.text;
            let ink = line.ink;
            #[expect(clippy::cast_precision_loss, reason = "pictures are small")]
            let (right, bottom) = (WIDTH as f32 - MARGIN_X, HEIGHT as f32 - MARGIN_BOTTOM);
            if line.contrast < MIN_CONTRAST {
                let (x, y) = (ink.left, ink.top);
                Some(format!("{text:?} at {x},{y} has a contrast of {:.1}", line.contrast))
            } else if line.px < MIN_TEXT_PX {
                Some(format!("{text:?} is {} pixels high", line.px))
            } else if ink.left < MARGIN_X
                || ink.top < MARGIN_TOP
                || ink.right > right
                || ink.bottom > bottom
            {
                Some(format!("{text:?} reaches over the margin"))
            } else {
                None
            }
        };
        self.placed.iter().filter_map(fault).chain(self.collisions()).collect()
    }

    /// Lines that lie on others, as sentences.
    fn collisions(&self) -> Vec<String> {
        let pairs =
            self.placed.iter().enumerate().flat_map(|(at, line)| {
                self.placed[at + 1..].iter().map(move |other| (line, other))
            });
        pairs
            .filter(|(line, other)| line.ink.lies_on(other.ink))
            .map(|(line, other)| format!("{:?} lies on {:?}", other.text, line.text))
            .collect()
    }
}
