//! Layouts: how a section of a script becomes a slide.

mod bet;
mod board;
mod outro;
mod pick;
mod poster;

use ab_glyph::InvalidFont;

use super::backdrop::Backdrop;
use super::canvas::{Area, Canvas, Glow, HEIGHT, WIDTH};
use super::colour::Colour;
use super::type_setting::{Align, Faces, Setter, Style};
use super::{Drawing, MARGIN_BOTTOM, MARGIN_TOP, MARGIN_X};
use crate::contract::{IdeaPackage, PropData, ScriptSection, TeamData};
use crate::media::words::team_nickname;

/// Where layouts may put things: beside the margins, above the footer, below the progress bar.
const STAGE: Area = Area { left: 84.0, top: 214.0, right: 996.0, bottom: 1468.0 };

/// Where the disclaimer stands.
const FOOTER: Area = Area { left: 84.0, top: 1492.0, right: 996.0, bottom: 1594.0 };

/// What one slide is made of.
pub(in crate::media) struct SlideFacts<'a> {
    /// The idea it belongs to.
    pub(in crate::media) idea: &'a IdeaPackage,
    /// The section it shows.
    pub(in crate::media) section: &'a ScriptSection,
    /// Its place among the slides, from 0.
    pub(in crate::media) position: usize,
    /// How many slides there are.
    pub(in crate::media) count: usize,
    /// The picture behind its words; without one, the colours of the teams.
    pub(in crate::media) backdrop: Option<&'a Backdrop>,
}

/// Draws a slide.
///
/// # Errors
/// If the bundled faces cannot be read.
pub(in crate::media) fn draw(facts: &SlideFacts<'_>) -> Result<Drawing, InvalidFont> {
    let faces = Faces::bundled()?;
    let game = Game::of(facts.idea);
    let mut canvas = Canvas::new();
    let mut setter = Setter { canvas: &mut canvas, issues: Vec::new() };
    let slide = Slide { facts, faces: &faces, game: &game };
    match slide.layout() {
        "poster" => poster::draw(&slide, &mut setter),
        "pick" => pick::draw(&slide, &mut setter),
        "outro" => outro::draw(&slide, &mut setter),
        _ => board::draw(&slide, &mut setter),
    }
    slide.ghosts(setter.canvas);
    slide.progress(&mut setter);
    slide.footer(&mut setter);
    let issues = setter.issues;
    Ok(Drawing { image: canvas.image, placed: canvas.placed, issues })
}

/// A team as slides show it.
struct Side {
    abbreviation: String,
    nickname: String,
    colour: Colour,
}

impl Side {
    fn of(full: &str, team: Option<&TeamData>, code: &str) -> Self {
        let abbreviation = match team.map(|team| team.abbreviation.as_str()) {
            Some(known) if !known.is_empty() => known.to_owned(),
            _ => code.to_uppercase(),
        };
        let named = team.and_then(|team| team.primary_color.as_deref()).and_then(Colour::from_hex);
        Self {
            nickname: team_nickname(full, team),
            colour: named.unwrap_or_else(|| Colour::of_text(&abbreviation)),
            abbreviation,
        }
    }
}

/// The two teams of a slide.
struct Game {
    away: Side,
    home: Side,
}

impl Game {
    fn of(idea: &IdeaPackage) -> Self {
        let mut codes = idea.matchup_id.rsplit('_');
        let (home, away) = (codes.next().unwrap_or_default(), codes.next().unwrap_or_default());
        match &idea.matchup {
            Some(game) => Self {
                away: Side::of(&game.away_team, game.away.as_ref(), away),
                home: Side::of(&game.home_team, game.home.as_ref(), home),
            },
            None => Self { away: Side::of(away, None, away), home: Side::of(home, None, home) },
        }
    }
}

struct Slide<'a> {
    facts: &'a SlideFacts<'a>,
    faces: &'a Faces,
    game: &'a Game,
}

impl Slide<'_> {
    fn layout(&self) -> &str {
        let section = self.facts.section;
        match (section.slide.layout.as_deref(), section.role.as_str()) {
            (Some(layout), _) => layout,
            (None, "hook") => "poster",
            (None, "cta") => "outro",
            (None, _) => "board",
        }
    }

    fn title(&self) -> String {
        self.facts.section.slide.title.to_uppercase()
    }

    /// The prop that is picked, if the idea carries its game.
    fn picked_prop(&self) -> Option<&PropData> {
        let idea = self.facts.idea;
        idea.matchup.as_ref()?.props.iter().find(|prop| idea.pick.is_on(prop))
    }

    /// The team of the picked player, if it plays.
    fn picked_side(&self) -> Option<(&Side, &Side)> {
        let prop = self.picked_prop()?;
        let (away, home) = (&self.game.away, &self.game.home);
        if prop.team == away.abbreviation {
            return Some((away, home));
        }
        (prop.team == home.abbreviation).then_some((home, away))
    }

    /// A dark ground lit by the colours of both teams: the picture, if there is one, else faint stripes.
    fn ground(&self, canvas: &mut Canvas, first: Colour, second: Colour) {
        let (top, bottom) = (first.vivid(), second.vivid());
        let top_shade = Colour::NIGHT.mix(top.dark_enough_for(Colour::WHITE, 7.0), 0.55);
        let bottom_shade = Colour::NIGHT.mix(bottom.dark_enough_for(Colour::WHITE, 7.0), 0.30);
        let (lit, dim) = (top.mix(Colour::NIGHT, 0.25), bottom.mix(Colour::NIGHT, 0.35));
        let above = Glow { x: 960.0, y: 260.0, radius: 760.0, colour: lit, alpha: 0.42 };
        let below = Glow { x: 60.0, y: 1560.0, radius: 700.0, colour: dim, alpha: 0.34 };
        canvas.paint(whole(), |x, y, _| {
            let down = (y * 0.92 + x * 0.25) / 2000.0;
            let base = if down < 0.5 {
                top_shade.mix(Colour::NIGHT, down * 2.0)
            } else {
                Colour::NIGHT.mix(bottom_shade, down * 2.0 - 1.0)
            };
            if let Some(backdrop) = self.facts.backdrop {
                return backdrop.at(x, y).mix(base, 0.22);
            }
            let stripe = ((x + y * 0.6) / 54.0).rem_euclid(2.0) < 1.0;
            let base = if stripe { base.mix(Colour::WHITE, 0.014) } else { base };
            below.over(above.over(base, x, y), x, y)
        });
    }

    /// Faint letters of both teams where players cover the picture: nothing there must be read.
    fn ghosts(&self, canvas: &mut Canvas) {
        let style = |code: &str| {
            let style = Style::new(&self.faces.display, 400.0, Colour::WHITE);
            let narrower = (450.0 / style.width(code)).min(1.0);
            Style { px: style.px * narrower, ..style }
        };
        let (away, home) = (&self.game.away.abbreviation, &self.game.home.abbreviation);
        canvas.ghost(away, &style(away), STAGE.left - 24.0, 1934.0);
        let at_right = STAGE.right + 24.0 - style(home).width(home);
        canvas.ghost(home, &style(home), at_right, 1934.0);
    }

    /// One bar for each slide, bright up to this one.
    fn progress(&self, setter: &mut Setter<'_>) {
        let count = self.facts.count.clamp(1, 10);
        let gap = 14.0;
        #[expect(clippy::cast_precision_loss, reason = "few slides")]
        let width = (STAGE.width() - gap * (count - 1) as f32) / count as f32;
        for at in 0..count {
            #[expect(clippy::cast_precision_loss, reason = "few slides")]
            let left = STAGE.left + at as f32 * (width + gap);
            let bar = Area::new(left, 174.0, width, 10.0);
            let alpha = if at <= self.facts.position { 0.95 } else { 0.28 };
            setter.canvas.rounded(bar, 5.0, Colour::WHITE, alpha);
        }
    }

    /// The disclaimer, on every slide.
    fn footer(&self, setter: &mut Setter<'_>) {
        let align = if self.layout() == "poster" { Align::Left } else { Align::Centre };
        let style = Style::new(&self.faces.label, 42.0, Colour::MIST).align(align);
        setter.fit(FOOTER, &self.facts.idea.disclaimer, &style, 2);
    }

    /// A small line of capitals at the top of the stage. Returns the y below it.
    fn kicker(&self, setter: &mut Setter<'_>, top: f32, text: &str) -> f32 {
        let style = Style::new(&self.faces.label, 56.0, Colour::LIME).tracking(4.0);
        setter.fit(Area { top, ..STAGE }, &text.to_uppercase(), &style, 1)
    }
}

/// The whole slide.
#[expect(clippy::cast_precision_loss, reason = "pictures are small")]
fn whole() -> Area {
    Area::new(0.0, 0.0, WIDTH as f32, HEIGHT as f32)
}

/// A box of frosted glass.
fn glass(canvas: &mut Canvas, area: Area, radius: f32) {
    let shadow = Area { top: area.top + 14.0, bottom: area.bottom + 26.0, ..area }.inset(-4.0);
    canvas.rounded(shadow, radius + 8.0, Colour::rgb(0, 0, 0), 0.22);
    canvas.rounded(area, radius, Colour::NIGHT, 0.55);
    canvas.rounded(area, radius, Colour::WHITE, 0.055);
    canvas.rim(area, radius, 2.5, Colour::WHITE, 0.16);
}

/// A filled pill with a line of capitals in it.
fn pill(setter: &mut Setter<'_>, area: Area, text: &str, ground: Colour, style: &Style<'_>) {
    setter.canvas.rounded(area, area.height() / 2.0, ground, 1.0);
    let inside = Area { left: area.left + 28.0, right: area.right - 28.0, ..area };
    setter.fit_middle(inside, &text.to_uppercase(), style, 1);
}

const _: () = assert!(STAGE.left >= MARGIN_X && STAGE.top >= MARGIN_TOP);
const _: () = assert!(FOOTER.bottom <= 1920.0 - MARGIN_BOTTOM);
