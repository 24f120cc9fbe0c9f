//! Pixels: areas, rounded boxes and glyphs, blended with clean edges.

use ab_glyph::{Font, GlyphId, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};

use super::colour::{Colour, contrast_of};
use super::type_setting::Style;

/// Width of a slide in pixels.
pub(in crate::media) const WIDTH: u32 = 1080;
/// Height of a slide in pixels.
pub(in crate::media) const HEIGHT: u32 = 1920;

/// A box in pixels; `right` and `bottom` are outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::media) struct Area {
    pub(in crate::media) left: f32,
    pub(in crate::media) top: f32,
    pub(in crate::media) right: f32,
    pub(in crate::media) bottom: f32,
}

impl Area {
    pub(super) const fn new(left: f32, top: f32, width: f32, height: f32) -> Self {
        Self { left, top, right: left + width, bottom: top + height }
    }

    pub(super) fn width(self) -> f32 {
        self.right - self.left
    }

    pub(super) fn height(self) -> f32 {
        self.bottom - self.top
    }

    /// The box without a rim of this width.
    pub(super) fn inset(self, by: f32) -> Self {
        Self {
            left: self.left + by,
            top: self.top + by,
            right: self.right - by,
            bottom: self.bottom - by,
        }
    }

    fn cover(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// A line of text on a slide, as measured.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::media) struct Placed {
    /// The words.
    pub(in crate::media) text: String,
    /// Size of the em in pixels.
    pub(in crate::media) px: f32,
    /// The pixels that the glyphs touch.
    pub(in crate::media) ink: Area,
    /// Lowest contrast of a glyph to what is behind it.
    pub(in crate::media) contrast: f32,
}

/// A slide while it is drawn.
pub(super) struct Canvas {
    pub(super) image: RgbImage,
    pub(super) placed: Vec<Placed>,
}

impl Canvas {
    pub(super) fn new() -> Self {
        Self { image: RgbImage::new(WIDTH, HEIGHT), placed: Vec::new() }
    }

    /// Gives every pixel of an area the colour that `paint` makes of place and present colour.
    pub(super) fn paint(&mut self, area: Area, paint: impl Fn(f32, f32, Colour) -> Colour) {
        let (columns, rows) = self.clip(area);
        for y in rows {
            for x in columns.clone() {
                let pixel = self.image.get_pixel_mut(x, y);
                #[expect(clippy::cast_precision_loss, reason = "pictures are small")]
                let colour = paint(x as f32 + 0.5, y as f32 + 0.5, Colour::from_bytes(pixel.0));
                *pixel = Rgb(colour.bytes());
            }
        }
    }

    /// Lays a box with round corners over what is there.
    pub(super) fn rounded(&mut self, area: Area, radius: f32, colour: Colour, alpha: f32) {
        self.paint(area, |x, y, under| {
            let inside = (0.5 - distance(area, radius, x, y)).clamp(0.0, 1.0);
            under.mix(colour, alpha * inside)
        });
    }

    /// Draws the rim of a box with round corners, inside the box.
    pub(super) fn rim(&mut self, area: Area, radius: f32, width: f32, colour: Colour, alpha: f32) {
        self.paint(area, |x, y, under| {
            let away = distance(area, radius, x, y);
            let inside = (0.5 - away).clamp(0.0, 1.0) * (away + width + 0.5).clamp(0.0, 1.0);
            under.mix(colour, alpha * inside)
        });
    }

    /// Lays a soft round light over everything.
    pub(super) fn glow(&mut self, x: f32, y: f32, radius: f32, colour: Colour, alpha: f32) {
        let area = Area::new(x - radius, y - radius, 2.0 * radius, 2.0 * radius);
        self.paint(area, |px, py, under| {
            let away = ((px - x).hypot(py - y) / radius).min(1.0);
            let light = (1.0 - away * away).powi(2);
            under.mix(colour, alpha * light)
        });
    }

    /// Draws one line of text from `x`, its letters standing on `baseline`, and measures it.
    pub(super) fn glyphs(&mut self, text: &str, style: &Style<'_>, x: f32, baseline: f32) {
        let mut line = Placed {
            text: text.to_owned(),
            px: style.px,
            ink: Area { left: f32::MAX, top: f32::MAX, right: f32::MIN, bottom: f32::MIN },
            contrast: 21.0,
        };
        let font = style.font.as_scaled(PxScale::from(style.scale()));
        let mut pen = x;
        let mut previous: Option<GlyphId> = None;
        for id in text.chars().map(|c| font.glyph_id(c)) {
            pen += previous.map_or(0.0, |previous| font.kern(previous, id) + style.tracking);
            let glyph = id.with_scale_and_position(style.scale(), point(pen, baseline));
            if let Some(outline) = font.outline_glyph(glyph) {
                self.outline(&outline, style.colour, &mut line);
            }
            pen += font.h_advance(id);
            previous = Some(id);
        }
        if line.ink.left < line.ink.right {
            self.placed.push(line);
        }
    }

    fn outline(&mut self, outline: &ab_glyph::OutlinedGlyph, colour: Colour, line: &mut Placed) {
        let bounds = outline.px_bounds();
        line.ink = line.ink.cover(Area {
            left: bounds.min.x,
            top: bounds.min.y,
            right: bounds.max.x,
            bottom: bounds.max.y,
        });
        #[expect(clippy::cast_possible_truncation, reason = "pictures are small")]
        let (left, top) = (bounds.min.x as i64, bounds.min.y as i64);
        outline.draw(|x, y, coverage| {
            let at = |offset: i64, step: u32| u32::try_from(offset + i64::from(step)).ok();
            let (Some(x), Some(y)) = (at(left, x), at(top, y)) else { return };
            let Some(pixel) = self.image.get_pixel_mut_checked(x, y) else { return };
            let under = Colour::from_bytes(pixel.0);
            if coverage > 0.5 {
                line.contrast = line.contrast.min(contrast_of(colour, under));
            }
            *pixel = Rgb(under.mix(colour, coverage.clamp(0.0, 1.0)).bytes());
        });
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    fn clip(&self, area: Area) -> (std::ops::Range<u32>, std::ops::Range<u32>) {
        let bound = |v: f32, max: u32| (v.max(0.0) as u32).min(max);
        let columns = bound(area.left.floor(), WIDTH)..bound(area.right.ceil(), WIDTH);
        let rows = bound(area.top.floor(), HEIGHT)..bound(area.bottom.ceil(), HEIGHT);
        (columns, rows)
    }
}

/// How far a place is outside a box with round corners; negative inside.
fn distance(area: Area, radius: f32, x: f32, y: f32) -> f32 {
    let centre = ((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
    let dx = (x - centre.0).abs() - (area.width() / 2.0 - radius);
    let dy = (y - centre.1).abs() - (area.height() / 2.0 - radius);
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - radius
}
