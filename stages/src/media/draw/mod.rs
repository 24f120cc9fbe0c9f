//! Slides drawn in Rust: pixels, type, colours, layouts, and the measures that every slide must
//! meet.

mod canvas;
mod colour;
mod layout;
mod type_setting;

pub(super) use canvas::{HEIGHT, Placed, WIDTH};
pub(super) use layout::{SlideFacts, draw};

/// Nothing is smaller than this, in pixels of the em.
pub(super) const MIN_TEXT_PX: f32 = 40.0;
/// Least contrast of text to what is behind it (WCAG 2, level AA).
pub(super) const MIN_CONTRAST: f32 = 4.5;
/// Free space at the left and right edge, in pixels.
pub(super) const MARGIN_X: f32 = 64.0;
/// Free space at the top and bottom edge, in pixels: viewers cut there.
pub(super) const MARGIN_Y: f32 = 96.0;

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
            let (right, bottom) = (WIDTH as f32 - MARGIN_X, HEIGHT as f32 - MARGIN_Y);
            if line.contrast < MIN_CONTRAST {
                Some(format!("{text:?} has a contrast of {:.1}", line.contrast))
            } else if line.px < MIN_TEXT_PX {
                Some(format!("{text:?} is {} pixels high", line.px))
            } else if ink.left < MARGIN_X
                || ink.top < MARGIN_Y
                || ink.right > right
                || ink.bottom > bottom
            {
                Some(format!("{text:?} reaches over the margin"))
            } else {
                None
            }
        };
        self.placed.iter().filter_map(fault).collect()
    }
}
