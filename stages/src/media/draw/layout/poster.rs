//! The front slide: two teams, split by a slanted edge, and a headline.

use super::super::canvas::{Area, Canvas};
use super::super::colour::Colour;
use super::super::type_setting::{Align, Setter, Style};
use super::{STAGE, Slide, pill, whole};

/// Where the slanted edge meets the left and the right side.
const EDGE: (f32, f32) = (842.0, 520.0);
/// The middle of the disc between the teams, on the edge and clear of both names.
const DISC: (f32, f32) = (372.0, 731.0);
/// Where the teams end and the headline's ground begins.
const FLOOR: f32 = 1080.0;

pub(super) fn draw(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    ground(slide, setter.canvas);
    teams(slide, setter);
    let bullets = &slide.facts.section.slide.bullets;
    if let Some(kicker) = bullets.first() {
        let style =
            Style::new(&slide.faces.label, 50.0, Colour::NIGHT).tracking(2.0).align(Align::Centre);
        let width = style.width(&kicker.to_uppercase()) + 72.0;
        let area = Area::new(STAGE.left, STAGE.top, width.min(STAGE.width()), 84.0);
        pill(setter, area, kicker, Colour::LIME, &style);
    }
    let headline = Style::new(&slide.faces.display, 176.0, Colour::WHITE).leading(1.0);
    let area = Area { top: 1126.0, bottom: 1406.0, ..STAGE };
    setter.fit(area, &slide.title(), &headline, 2);
    if let Some(when) = bullets.get(1) {
        let style = Style::new(&slide.faces.body, 52.0, Colour::MIST);
        setter.fit(Area { top: 1410.0, bottom: 1474.0, ..STAGE }, when, &style, 1);
    }
}

fn ground(slide: &Slide<'_>, canvas: &mut Canvas) {
    let away = slide.game.away.colour.vivid().dark_enough_for(Colour::WHITE, 5.2);
    let home = slide.game.home.colour.vivid().dark_enough_for(Colour::WHITE, 5.2);
    // Teams of nearly the same colour would melt into one.
    let away = if distance(away, home) < 0.02 { away.mix(Colour::NIGHT, 0.45) } else { away };
    canvas.paint(whole(), |x, y, _| {
        let over = EDGE.0 + (EDGE.1 - EDGE.0) * x / 1080.0 - y;
        let lit = |colour: Colour, t: f32| colour.mix(Colour::NIGHT, t.clamp(0.0, 1.0));
        let above = lit(away, 0.42 - y / 1500.0);
        let below = lit(home, (y - 720.0) / 1300.0);
        let teams = below.mix(above, (over + 0.5).clamp(0.0, 1.0));
        let stripe = ((x + y * 0.6) / 54.0).rem_euclid(2.0) < 1.0;
        let teams = match slide.facts.backdrop {
            Some(backdrop) => backdrop.at(x, y).mix(teams, 0.5),
            None if stripe => teams.mix(Colour::NIGHT, 0.06),
            None => teams,
        };
        let edge = 1.0 - (over.abs() - 4.0).clamp(0.0, 1.0);
        let teams = teams.mix(Colour::WHITE, edge * 0.9);
        let floor = ((y - FLOOR + 150.0) / 190.0).clamp(0.0, 1.0);
        // A picture may be seen through the floor.
        let cover = if slide.facts.backdrop.is_some() { 0.72 } else { 0.96 };
        teams.mix(Colour::NIGHT, floor * floor * cover)
    });
    canvas.rounded(Area::new(STAGE.left, 1100.0, 120.0, 12.0), 6.0, Colour::LIME, 1.0);
}

/// How far two colours are apart, roughly.
fn distance(a: Colour, b: Colour) -> f32 {
    (a.r - b.r).powi(2) + (a.g - b.g).powi(2) + (a.b - b.b).powi(2)
}

fn teams(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    let code = Style::new(&slide.faces.display, 330.0, Colour::WHITE).leading(0.9);
    let name = Style::new(&slide.faces.label, 64.0, Colour::WHITE).tracking(3.0);
    let (away, home) = (&slide.game.away, &slide.game.home);
    setter.fit(Area::new(STAGE.left, 318.0, 530.0, 300.0), &away.abbreviation, &code, 1);
    let below = Area::new(STAGE.left, 608.0, 396.0, 76.0);
    setter.fit(below, &away.nickname.to_uppercase(), &name, 1);
    let right = |top: f32, width: f32, height: f32| Area {
        left: STAGE.right - width,
        top,
        right: STAGE.right,
        bottom: top + height,
    };
    let code = code.align(Align::Right);
    let name = name.align(Align::Right);
    setter.fit(right(692.0, 530.0, 300.0), &home.abbreviation, &code, 1);
    setter.fit(right(992.0, 520.0, 76.0), &home.nickname.to_uppercase(), &name, 1);
    let disc = Area::new(DISC.0 - 62.0, DISC.1 - 62.0, 124.0, 124.0);
    setter.canvas.rounded(disc, 62.0, Colour::WHITE, 1.0);
    let at = Style::new(&slide.faces.display, 72.0, Colour::NIGHT).align(Align::Centre);
    setter.fit_middle(disc, "AT", &at, 1);
}
