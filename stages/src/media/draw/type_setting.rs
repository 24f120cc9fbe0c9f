//! Type: bundled faces, measuring, wrapping and fitting.

use ab_glyph::{Font, FontRef, InvalidFont, PxScale, ScaleFont};

use super::MIN_TEXT_PX;
use super::canvas::{Area, Canvas};
use super::colour::Colour;

/// The bundled faces (Barlow, SIL Open Font License 1.1).
pub(super) struct Faces {
    /// Headlines and numbers.
    pub(super) display: FontRef<'static>,
    /// Small capitals over and beside things.
    pub(super) label: FontRef<'static>,
    /// Running text.
    pub(super) body: FontRef<'static>,
    /// Running text that counts.
    pub(super) strong: FontRef<'static>,
}

impl Faces {
    /// Reads the faces that are part of this program.
    ///
    /// # Errors
    /// If their bytes are no fonts.
    pub(super) fn bundled() -> Result<Self, InvalidFont> {
        let read = FontRef::try_from_slice;
        Ok(Self {
            display: read(include_bytes!("../../../fonts/BarlowCondensed-ExtraBold.ttf"))?,
            label: read(include_bytes!("../../../fonts/BarlowCondensed-SemiBold.ttf"))?,
            body: read(include_bytes!("../../../fonts/Barlow-Medium.ttf"))?,
            strong: read(include_bytes!("../../../fonts/Barlow-Bold.ttf"))?,
        })
    }
}

/// Where a line stands in its box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// How a line is set.
#[derive(Clone)]
pub(super) struct Style<'f> {
    pub(super) font: &'f FontRef<'static>,
    /// Size of the em in pixels.
    pub(super) px: f32,
    pub(super) colour: Colour,
    /// Extra space between letters in pixels.
    pub(super) tracking: f32,
    pub(super) align: Align,
    /// Height of a line, as a multiple of the em.
    pub(super) leading: f32,
}

impl<'f> Style<'f> {
    pub(super) fn new(font: &'f FontRef<'static>, px: f32, colour: Colour) -> Self {
        Self { font, px, colour, tracking: 0.0, align: Align::Left, leading: 1.16 }
    }

    pub(super) fn align(mut self, align: Align) -> Self {
        self.align = align;
        self
    }

    pub(super) fn tracking(mut self, tracking: f32) -> Self {
        self.tracking = tracking;
        self
    }

    pub(super) fn leading(mut self, leading: f32) -> Self {
        self.leading = leading;
        self
    }

    /// The style with lines high enough for what stands above capitals and hangs below them, so
    /// that no accent leaves its line.
    fn roomy_for(&self, text: &str) -> Self {
        let reaches_out = |c: char| !c.is_ascii() || "@$|()[]{}_/".contains(c);
        let least = if text.contains(reaches_out) { 1.32 } else { 0.0 };
        Self { leading: self.leading.max(least), ..self.clone() }
    }

    fn at(&self, px: f32) -> Self {
        Self { px, ..self.clone() }
    }

    /// The scale that `ab_glyph` understands: the height from descender to ascender.
    pub(super) fn scale(&self) -> f32 {
        let em = self.font.units_per_em().unwrap_or(1000.0);
        self.px * self.font.height_unscaled() / em
    }

    pub(super) fn width(&self, text: &str) -> f32 {
        let font = self.font.as_scaled(PxScale::from(self.scale()));
        let mut previous = None;
        let advance = |id| {
            let kern = previous.map_or(0.0, |before| font.kern(before, id) + self.tracking);
            previous = Some(id);
            kern + font.h_advance(id)
        };
        text.chars().map(|c| font.glyph_id(c)).map(advance).sum()
    }

    /// Height of capital letters.
    fn cap_height(&self) -> f32 {
        let font = self.font.as_scaled(PxScale::from(self.scale()));
        let height = font.outline_glyph(font.scaled_glyph('H')).map(|o| o.px_bounds().height());
        height.unwrap_or(self.px * 0.7)
    }

    pub(super) fn line_height(&self) -> f32 {
        self.px * self.leading
    }

    /// Breaks text at spaces into lines no wider than `width`; a longer word stays whole.
    fn wrap(&self, text: &str, width: f32) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if self.width(&format!("{line} {word}")) <= width => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }

    fn fits(&self, lines: &[String], area: Area, max_lines: usize) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "few lines")]
        let height = lines.len() as f32 * self.line_height();
        lines.len() <= max_lines
            && height <= area.height()
            && lines.iter().all(|line| self.width(line) <= area.width())
    }
}

/// A pen that sets text into boxes and notes what did not fit.
pub(super) struct Setter<'c> {
    pub(super) canvas: &'c mut Canvas,
    pub(super) issues: Vec<String>,
}

impl Setter<'_> {
    /// Sets text at the greatest size up to the style's at which it fits the box, starting at the
    /// box's top. Returns the y below the last line.
    pub(super) fn fit(&mut self, area: Area, text: &str, style: &Style<'_>, lines: usize) -> f32 {
        let text = self.drawable(text, style);
        let (style, lines) = self.fitted(area, &text, &style.roomy_for(&text), lines);
        let mut top = area.top;
        for line in &lines {
            self.line(Area { top, ..area }, line, &style);
            top += style.line_height();
        }
        top
    }

    /// Like [`Self::fit`], in the vertical middle of the box.
    pub(super) fn fit_middle(&mut self, area: Area, text: &str, style: &Style<'_>, lines: usize) {
        let text = self.drawable(text, style);
        let (style, lines) = self.fitted(area, &text, &style.roomy_for(&text), lines);
        #[expect(clippy::cast_precision_loss, reason = "few lines")]
        let height = lines.len() as f32 * style.line_height();
        let mut top = area.top + (area.height() - height) / 2.0;
        for line in &lines {
            self.line(Area { top, ..area }, line, &style);
            top += style.line_height();
        }
    }

    /// Sets one line at the top of a box, its capitals in the middle of the line's height.
    fn line(&mut self, area: Area, text: &str, style: &Style<'_>) {
        let width = style.width(text);
        let x = match style.align {
            Align::Left => area.left,
            Align::Centre => area.left + (area.width() - width) / 2.0,
            Align::Right => area.right - width,
        };
        let baseline = area.top + (style.line_height() + style.cap_height()) / 2.0;
        self.canvas.glyphs(text, style, x.round(), baseline.round());
    }

    fn fitted<'f>(
        &mut self,
        area: Area,
        text: &str,
        style: &Style<'f>,
        max_lines: usize,
    ) -> (Style<'f>, Vec<String>) {
        let mut px = style.px;
        while px >= MIN_TEXT_PX {
            let smaller = style.at(px);
            let lines = smaller.wrap(text, area.width());
            if smaller.fits(&lines, area, max_lines) {
                let lines = balanced(text, &smaller, area.width(), lines);
                return (smaller, lines);
            }
            px -= 2.0;
        }
        self.issues.push(format!("{text:?} was shortened to fit"));
        let least = style.at(MIN_TEXT_PX);
        let lines = shortened(text, &least, area, max_lines);
        (least, lines)
    }

    /// The text in characters that the face has.
    fn drawable(&mut self, text: &str, style: &Style<'_>) -> String {
        let has = |c: &char| c.is_whitespace() || style.font.glyph_id(*c).0 != 0;
        let kept: String = text.chars().filter(has).collect();
        if kept.len() != text.len() {
            self.issues.push(format!("{text:?} has characters that the font lacks"));
        }
        kept
    }
}

/// Lines of about the same length: the narrowest box that needs no further line.
fn balanced(text: &str, style: &Style<'_>, width: f32, lines: Vec<String>) -> Vec<String> {
    if lines.len() < 2 {
        return lines;
    }
    let narrower = (1..=20_u8).map(|step| width * (1.0 - f32::from(step) * 0.025));
    let rewrapped = narrower.map(|width| (width, style.wrap(text, width)));
    rewrapped
        .take_while(|(width, wrapped)| {
            wrapped.len() == lines.len() && wrapped.iter().all(|line| style.width(line) <= *width)
        })
        .last()
        .map_or(lines.clone(), |(_, wrapped)| wrapped)
}

/// As many words as fit, with an ellipsis; a single long word is cut.
fn shortened(text: &str, style: &Style<'_>, area: Area, max_lines: usize) -> Vec<String> {
    let mut chars: Vec<char> = text.chars().collect();
    while !chars.is_empty() {
        chars.pop();
        let shorter: String = chars.iter().collect::<String>().trim_end().to_owned() + "…";
        let lines = style.wrap(&shorter, area.width());
        if style.fits(&lines, area, max_lines) {
            return lines;
        }
    }
    Vec::new()
}
