//! The last slide: a question, the pick once more, and what to do next.

use super::super::canvas::{Area, Glow};
use super::super::colour::Colour;
use super::super::type_setting::{Align, Setter, Style};
use super::bet::Bet;
use super::{STAGE, Slide, glass, pill};

pub(super) fn draw(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    slide.ground(setter.canvas, slide.game.away.colour, slide.game.home.colour);
    let glow = Glow { x: 540.0, y: 960.0, radius: 620.0, colour: Colour::LIME, alpha: 0.07 };
    setter.canvas.glow(glow);
    let title =
        Style::new(&slide.faces.display, 250.0, Colour::WHITE).align(Align::Centre).leading(1.0);
    setter.fit_middle(Area { bottom: 690.0, ..STAGE }, &slide.title(), &title, 2);
    recap(slide, setter);
    if let Some(call) = slide.facts.section.slide.bullets.first() {
        let style = Style::new(&slide.faces.display, 72.0, Colour::NIGHT)
            .align(Align::Centre)
            .tracking(1.0);
        pill(
            setter,
            Area::new(STAGE.left, 1290.0, STAGE.width(), 148.0),
            call,
            Colour::LIME,
            &style,
        );
    }
}

fn recap(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    let pick = &slide.facts.idea.pick;
    let card = Area { top: 726.0, bottom: 1226.0, ..STAGE };
    glass(setter.canvas, card, 52.0);
    let inner = card.inset(48.0);
    let name =
        Style::new(&slide.faces.label, 84.0, Colour::MIST).align(Align::Centre).tracking(2.0);
    let area = Area { bottom: inner.top + 104.0, ..inner };
    setter.fit_middle(area, &pick.player_name.to_uppercase(), &name, 1);
    let number =
        Style::new(&slide.faces.display, 236.0, Colour::LIME).align(Align::Centre).leading(0.9);
    let bet = Bet::of(slide);
    let text = format!("{} {}", bet.badge, bet.number);
    let area = Area { top: inner.top + 110.0, bottom: inner.bottom - 92.0, ..inner };
    setter.fit_middle(area, &text, &number, 1);
    let stat =
        Style::new(&slide.faces.label, 70.0, Colour::WHITE).align(Align::Centre).tracking(4.0);
    let area = Area { top: inner.bottom - 88.0, ..inner };
    setter.fit_middle(area, &bet.label, &stat, 1);
}
