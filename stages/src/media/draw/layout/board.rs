//! A board: a headline over up to four rows, each a name with a value or a line of text. Rows and
//! headline share the whole stage: the fewer rows, the larger both.

use super::super::canvas::Area;
use super::super::colour::Colour;
use super::super::type_setting::{Align, Setter, Style};
use super::{STAGE, Slide, glass};

const GAP: f32 = 28.0;
/// Where rows begin when there are many.
const ROWS_TOP: f32 = 512.0;
/// Rows are no higher than this; what is left is the headline's.
const HIGHEST_ROW: f32 = 300.0;
const MOST_ROWS: usize = 4;

pub(super) fn draw(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    slide.ground(setter.canvas, slide.game.home.colour, slide.game.away.colour);
    let bullets = &slide.facts.section.slide.bullets;
    let bullets = &bullets[..bullets.len().min(MOST_ROWS)];
    let (rows_top, height) = rows(bullets.len());
    let teams = format!("{} at {}", slide.game.away.nickname, slide.game.home.nickname);
    let y = slide.kicker(setter, STAGE.top, &teams);
    let size = if bullets.len() > 2 { 190.0 } else { 300.0 };
    let title = Style::new(&slide.faces.display, size, Colour::WHITE).leading(1.0);
    setter.fit_middle(Area { top: y, bottom: rows_top - 26.0, ..STAGE }, &slide.title(), &title, 3);
    let mut top = rows_top;
    for (at, bullet) in bullets.iter().enumerate() {
        let area = Area { top, bottom: top + height, ..STAGE };
        row(slide, setter, area, bullet, at == 0);
        top += height + GAP;
    }
}

/// Where so many rows begin, and how high each is: the last one ends with the stage.
fn rows(count: usize) -> (f32, f32) {
    #[expect(clippy::cast_precision_loss, reason = "few rows")]
    let count = count as f32;
    let gaps = GAP * (count - 1.0).max(0.0);
    let height = ((STAGE.bottom - ROWS_TOP - gaps) / count.max(1.0)).min(HIGHEST_ROW);
    (STAGE.bottom - gaps - height * count, height)
}

fn row(slide: &Slide<'_>, setter: &mut Setter<'_>, area: Area, bullet: &str, is_first: bool) {
    glass(setter.canvas, area, 40.0);
    let marker = Area::new(area.left + 34.0, area.top + 48.0, 12.0, area.height() - 96.0);
    let tint = if is_first { Colour::LIME } else { Colour::WHITE };
    setter.canvas.rounded(marker, 6.0, tint, if is_first { 1.0 } else { 0.45 });
    let inside = Area {
        left: area.left + 84.0,
        right: area.right - 48.0,
        top: area.top + 22.0,
        bottom: area.bottom - 22.0,
    };
    match bullet.split_once(": ") {
        Some((name, value)) => named_value(slide, setter, inside, name, value),
        None => {
            let size = (area.height() * 0.36).max(72.0);
            let style = Style::new(&slide.faces.strong, size, Colour::WHITE).leading(1.1);
            setter.fit_middle(inside, bullet, &style, 2);
        }
    }
}

fn named_value(slide: &Slide<'_>, setter: &mut Setter<'_>, area: Area, name: &str, value: &str) {
    let size = (area.height() * 0.68).clamp(112.0, 170.0);
    let big = Style::new(&slide.faces.display, size, Colour::WHITE).align(Align::Right);
    let split = area.left + area.width() * 0.46;
    setter.fit_middle(Area { left: split, ..area }, value, &big, 1);
    let small =
        Style::new(&slide.faces.label, size * 0.5, Colour::MIST).tracking(1.5).leading(1.04);
    let left = Area { right: split - 20.0, ..area };
    setter.fit_middle(left, &name.to_uppercase(), &small, 2);
}
