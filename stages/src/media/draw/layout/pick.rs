//! The pick: player, side, line and prices on one card.

use super::super::canvas::Area;
use super::super::colour::Colour;
use super::super::type_setting::{Align, Setter, Style};
use super::bet::Bet;
use super::{STAGE, Slide, glass, pill};
use crate::media::words::{american, implied, percent};

const CARD: Area = Area { left: 84.0, top: 700.0, right: 996.0, bottom: 1462.0 };

pub(super) fn draw(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    let (own, other) = slide.picked_side().unwrap_or((&slide.game.away, &slide.game.home));
    slide.ground(setter.canvas, own.colour, other.colour);
    let y = slide.kicker(setter, STAGE.top, &slide.facts.section.slide.title);
    name(slide, setter, y + 8.0);
    if let Some((own, other)) = slide.picked_side() {
        let style = Style::new(&slide.faces.label, 50.0, Colour::WHITE).align(Align::Centre);
        let text = format!("{} vs {}", own.abbreviation, other.abbreviation);
        let width = style.width(&text.to_uppercase()) + 64.0;
        let ground = own.colour.dark_enough_for(Colour::WHITE, 5.5);
        let area = Area::new(STAGE.left, 598.0, width, 76.0);
        setter.canvas.rounded(area.inset(-3.0), 42.0, Colour::WHITE, 0.35);
        pill(setter, area, &text, ground, &style);
    }
    card(slide, setter);
}

/// First names small, surname as large as it fits.
fn name(slide: &Slide<'_>, setter: &mut Setter<'_>, top: f32) {
    let full = slide.facts.idea.pick.player_name.to_uppercase();
    let (first, last) = full.rsplit_once(' ').unwrap_or(("", &full));
    let small = Style::new(&slide.faces.label, 88.0, Colour::WHITE).tracking(2.0);
    let large = Style::new(&slide.faces.display, 232.0, Colour::WHITE).leading(0.92);
    let below = setter.fit(Area { top, bottom: top + 104.0, ..STAGE }, first, &small, 1);
    setter.fit_middle(Area { top: below - 14.0, bottom: 592.0, ..STAGE }, last, &large, 1);
}

fn card(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    let bet = Bet::of(slide);
    glass(setter.canvas, CARD, 52.0);
    let side =
        Style::new(&slide.faces.display, 96.0, Colour::NIGHT).align(Align::Centre).tracking(3.0);
    let width = side.width(&bet.badge) + 110.0;
    let area = Area::new(540.0 - width / 2.0, CARD.top + 44.0, width, 116.0);
    pill(setter, area, &bet.badge, Colour::LIME, &side);
    let number = Style::new(&slide.faces.display, 380.0, Colour::WHITE).align(Align::Centre);
    let area = Area { top: CARD.top + 164.0, bottom: CARD.top + 480.0, ..CARD.inset(48.0) };
    setter.fit_middle(area, &bet.number, &number.leading(0.86), 1);
    let stat =
        Style::new(&slide.faces.label, 78.0, Colour::MIST).align(Align::Centre).tracking(5.0);
    let area = Area { top: CARD.top + 478.0, bottom: CARD.top + 570.0, ..CARD.inset(48.0) };
    setter.fit_middle(area, &bet.label, &stat, 1);
    prices(slide, setter);
}

/// Both prices, the pick's side lit; of a feat, whose price stands above, when it breaks even.
fn prices(slide: &Slide<'_>, setter: &mut Setter<'_>) {
    let Some(prop) = slide.picked_prop() else { return };
    let side = slide.facts.idea.pick.side.as_str();
    let offers: Vec<(String, bool)> = if prop.is_milestone() {
        let even = prop.over_odds.map(|odds| format!("BREAK-EVEN {}%", percent(implied(odds))));
        even.map(|text| (text, false)).into_iter().collect()
    } else {
        let offer = |name: &str, odds: Option<i64>| {
            odds.map(|odds| (format!("{} {}", name.to_uppercase(), american(odds)), side == name))
        };
        [offer("over", prop.over_odds), offer("under", prop.under_odds)]
            .into_iter()
            .flatten()
            .collect()
    };
    let inner = CARD.inset(48.0);
    let gap = 28.0;
    #[expect(clippy::cast_precision_loss, reason = "at most two")]
    let width =
        (inner.width() - gap * (offers.len().max(1) - 1) as f32) / offers.len().max(1) as f32;
    let mut left = inner.left;
    for (text, is_chosen) in offers {
        let area = Area::new(left, CARD.bottom - 172.0, width, 128.0);
        offer(slide, setter, area, &text, is_chosen);
        left += width + gap;
    }
}

fn offer(slide: &Slide<'_>, setter: &mut Setter<'_>, area: Area, text: &str, is_chosen: bool) {
    let (ground, alpha, ink) = if is_chosen {
        (Colour::LIME, 0.16, Colour::LIME)
    } else {
        (Colour::WHITE, 0.07, Colour::MIST)
    };
    setter.canvas.rounded(area, 32.0, ground, alpha);
    setter.canvas.rim(area, 32.0, 3.0, ink, if is_chosen { 0.9 } else { 0.22 });
    let style = Style::new(&slide.faces.display, 76.0, ink).align(Align::Centre).tracking(1.0);
    setter.fit_middle(area.inset(20.0), text, &style, 1);
}
