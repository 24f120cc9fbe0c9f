//! A board: a headline over up to four rows, each a name with a value or a line of text.

use super::super::canvas::Area;
use super::super::colour::Colour;
use super::super::type_setting::{Align, Setter, Style};
use super::{STAGE, Slide, glass};

const ROW: f32 = 228.0;
const GAP: f32 = 30.0;
const ROWS_TOP: f32 = 600.0;

pub(super) fn draw(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    slide.ground(setter.canvas, slide.game.home.colour, slide.game.away.colour);
    let teams = format!("{} at {}", slide.game.away.nickname, slide.game.home.nickname);
    let y = slide.kicker(setter, 196.0, &teams);
    let title = Style::new(&slide.faces.display, 190.0, Colour::WHITE).leading(0.94);
    setter.fit_middle(Area { top: y, bottom: ROWS_TOP - 30.0, ..STAGE }, &slide.title(), &title, 2);
    let mut top = ROWS_TOP;
    for (at, bullet) in slide.facts.section.slide.bullets.iter().take(4).enumerate() {
        let area = Area { top, bottom: top + ROW, ..STAGE };
        row(slide, setter, area, bullet, at == 0);
        top += ROW + GAP;
    }
}

fn row(slide: &Slide<'_>, setter: &mut Setter<'_>, area: Area, bullet: &str, first: bool) {
    glass(setter.canvas, area, 40.0);
    let marker = Area::new(area.left + 34.0, area.top + 52.0, 12.0, area.height() - 104.0);
    let tint = if first { Colour::LIME } else { Colour::WHITE };
    setter.canvas.rounded(marker, 6.0, tint, if first { 1.0 } else { 0.45 });
    let inside = Area {
        left: area.left + 84.0,
        right: area.right - 48.0,
        top: area.top + 24.0,
        bottom: area.bottom - 24.0,
    };
    match bullet.split_once(": ") {
        Some((name, value)) => named_value(slide, setter, inside, name, value),
        None => {
            let style = Style::new(&slide.faces.strong, 72.0, Colour::WHITE).leading(1.1);
            setter.fit_middle(inside, bullet, &style, 2);
        }
    }
}

fn named_value(slide: &Slide<'_>, setter: &mut Setter<'_>, area: Area, name: &str, value: &str) {
    let big = Style::new(&slide.faces.display, 124.0, Colour::WHITE).align(Align::Right);
    let split = area.left + area.width() * 0.5;
    setter.fit_middle(Area { left: split, ..area }, value, &big, 1);
    let small = Style::new(&slide.faces.label, 62.0, Colour::MIST).tracking(1.5).leading(1.04);
    let left = Area { right: split - 20.0, ..area };
    setter.fit_middle(left, &name.to_uppercase(), &small, 2);
}
