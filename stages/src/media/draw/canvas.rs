//! Pixels: areas, rounded boxes and glyphs, blended with clean edges.

use ab_glyph::{Font, GlyphId, OutlinedGlyph, PxScale, ScaleFont, point};
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

    /// Whether it shares more with another than the accents and tails of neighbouring lines do.
    pub(super) fn lies_on(self, other: Self) -> bool {
        let across = self.right.min(other.right) - self.left.max(other.left);
        let down = self.bottom.min(other.bottom) - self.top.max(other.top);
        across > 0.0 && down > 0.25 * self.height().min(other.height())
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

/// A soft round light.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glow {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) radius: f32,
    pub(super) colour: Colour,
    pub(super) alpha: f32,
}

impl Glow {
    /// A colour as it looks in this light at a place.
    pub(super) fn over(&self, under: Colour, x: f32, y: f32) -> Colour {
        let (dx, dy) = (x - self.x, y - self.y);
        let away = dx.mul_add(dx, dy * dy) / (self.radius * self.radius);
        if away >= 1.0 {
            return under;
        }
        under.mix(self.colour, self.alpha * (1.0 - away) * (1.0 - away))
    }
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
    pub(super) fn glow(&mut self, light: Glow) {
        let size = 2.0 * light.radius;
        let area = Area::new(light.x - light.radius, light.y - light.radius, size, size);
        self.paint(area, |x, y, under| light.over(under, x, y));
    }

    /// Draws one line of text from `x`, its letters standing on `baseline`, and measures it.
    pub(super) fn glyphs(&mut self, text: &str, style: &Style<'_>, x: f32, baseline: f32) {
        let Some(mask) = Mask::of(text, style, x, baseline) else { return };
        let contrast = self.ink(&mask, style.colour, 1.0);
        self.placed.push(Placed { text: text.to_owned(), px: style.px, ink: mask.ink, contrast });
    }

    /// Draws letters as decoration: nobody has to read them, and the picture's edge may cut them.
    pub(super) fn ghost(&mut self, text: &str, style: &Style<'_>, x: f32, baseline: f32) {
        if let Some(mask) = Mask::of(text, style, x, baseline) {
            self.ink(&mask, style.colour, 0.05);
        }
    }

    /// Lays a colour through a mask. Returns its lowest contrast to what was there.
    fn ink(&mut self, mask: &Mask, colour: Colour, alpha: f32) -> f32 {
        let (columns, rows) = self.clip(mask.ink);
        let mut contrast = 21.0_f32;
        for y in rows {
            for x in columns.clone() {
                let coverage = mask.at(x, y);
                if coverage <= 0.0 {
                    continue;
                }
                let pixel = self.image.get_pixel_mut(x, y);
                let under = Colour::from_bytes(pixel.0);
                if coverage > 0.5 {
                    contrast = contrast.min(contrast_of(colour, under));
                }
                *pixel = Rgb(under.mix(colour, coverage * alpha).bytes());
            }
        }
        contrast
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    fn clip(&self, area: Area) -> (std::ops::Range<u32>, std::ops::Range<u32>) {
        let bound = |v: f32, max: u32| (v.max(0.0) as u32).min(max);
        let columns = bound(area.left.floor(), WIDTH)..bound(area.right.ceil(), WIDTH);
        let rows = bound(area.top.floor(), HEIGHT)..bound(area.bottom.ceil(), HEIGHT);
        (columns, rows)
    }
}

/// Where the letters of a line are, and how much of each pixel they cover.
struct Mask {
    ink: Area,
    left: i64,
    top: i64,
    width: usize,
    coverage: Vec<f32>,
}

impl Mask {
    /// The letters of a line; `None` if there is nothing to see.
    fn of(text: &str, style: &Style<'_>, x: f32, baseline: f32) -> Option<Self> {
        let font = style.font.as_scaled(PxScale::from(style.scale()));
        let (mut pen, mut previous) = (x, None::<GlyphId>);
        let mut outlines = Vec::new();
        for id in text.chars().map(|c| font.glyph_id(c)) {
            pen += previous.map_or(0.0, |previous| font.kern(previous, id) + style.tracking);
            let glyph = id.with_scale_and_position(style.scale(), point(pen, baseline));
            outlines.extend(font.outline_glyph(glyph));
            pen += font.h_advance(id);
            previous = Some(id);
        }
        let mut mask = Self::around(&outlines)?;
        outlines.iter().for_each(|outline| mask.add(outline));
        Some(mask)
    }

    /// An empty mask that holds these outlines.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "pictures are small"
    )]
    fn around(outlines: &[OutlinedGlyph]) -> Option<Self> {
        let ink = outlines.iter().map(bounds).reduce(Area::cover)?;
        let (width, height) = (ink.width().ceil() as usize, ink.height().ceil() as usize);
        Some(Self {
            ink,
            left: ink.left as i64,
            top: ink.top as i64,
            width,
            coverage: vec![0.0; width * height],
        })
    }

    /// Adds a letter. Where letters overlap, the more covering one counts.
    #[expect(clippy::cast_possible_truncation, reason = "pictures are small")]
    fn add(&mut self, outline: &OutlinedGlyph) {
        let bounds = bounds(outline);
        let (left, top) = (bounds.left as i64 - self.left, bounds.top as i64 - self.top);
        outline.draw(|x, y, coverage| {
            if let Some(at) = self.place(left + i64::from(x), top + i64::from(y)) {
                self.coverage[at] = self.coverage[at].max(coverage.min(1.0));
            }
        });
    }

    fn at(&self, x: u32, y: u32) -> f32 {
        let place = self.place(i64::from(x) - self.left, i64::from(y) - self.top);
        place.map_or(0.0, |at| self.coverage[at])
    }

    fn place(&self, x: i64, y: i64) -> Option<usize> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        let at = y * self.width + x;
        (x < self.width && at < self.coverage.len()).then_some(at)
    }
}

/// The pixels that a letter touches.
fn bounds(outline: &OutlinedGlyph) -> Area {
    let bounds = outline.px_bounds();
    Area { left: bounds.min.x, top: bounds.min.y, right: bounds.max.x, bottom: bounds.max.y }
}

/// How far a place is outside a box with round corners; negative inside.
fn distance(area: Area, radius: f32, x: f32, y: f32) -> f32 {
    let centre = ((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
    let dx = (x - centre.0).abs() - (area.width() / 2.0 - radius);
    let dy = (y - centre.1).abs() - (area.height() / 2.0 - radius);
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - radius
}
