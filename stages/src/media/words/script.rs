//! A script from a pick: what is said and shown, part by part, to a wanted length.

use super::WORDS_PER_SECOND;
use super::angle::{Candidate, choose, favourite};
use super::odds::{american, line, stat_name, team_nickname};
use super::seed::Seed;
use crate::contract::{
    CalendarConfig, IdeaPackage, NormalizedMatchup, PropData, ScriptSection, ScriptStructure,
    SegmentData, SlideText,
};
use flow_core::digest::Digest;

/// Raised when the same inputs give other words.
const TEMPLATES: &str = "templates-1";
/// What every piece shows.
const DISCLAIMER: &str =
    "21+ only. Entertainment, not advice. Gambling problem? Call 1-800-GAMBLER.";

/// The layer that speaks.
const NARRATION: &str = "L4";
/// Characters that a section's text may have.
const LONGEST_TEXT: usize = 400;

const HOOKS: [&str; 6] = [
    "{away} at {home}, and one number stands out.",
    "Before {away} at {home} kicks off, look at this line.",
    "One prop from {away} at {home} deserves a second look.",
    "{away} at {home}. Here is the number to know.",
    "Your one minute read on {away} at {home}.",
    "A quiet line in {away} at {home}. Let's talk about it.",
];
const CALLS: [&str; 5] = [
    "Over or under? Tell us in the comments, and follow for tomorrow's number.",
    "Follow for the next number, and only play what you can lose.",
    "Agree? Save this, and follow for the next one.",
    "Which side are you on? Comment, and follow for more.",
    "Follow along, track the number, and keep it fun.",
];
const FRONTS: [&str; 4] =
    ["Prop of the day", "Today's number", "One line to know", "The daily prop"];
const ENDS: [&str; 4] = ["Over or under?", "Your call.", "Which side?", "What do you say?"];

/// Writes the idea of one segment. The same inputs give the same bytes.
pub(in crate::media) fn write(
    game: &NormalizedMatchup,
    segment: &SegmentData,
    calendar: &CalendarConfig,
    seed: &str,
) -> Option<IdeaPackage> {
    let date = &calendar.date;
    let mut seed = Seed::of(&[TEMPLATES, date, &game.matchup_id, &segment.segment_id, seed]);
    let candidate = choose(game, &mut seed)?;
    let kickoff = kickoff(&game.game_time, &calendar.timezone);
    let spoken = calendar.layers.iter().any(|layer| layer == NARRATION);
    let writer = Writer { game, segment, kickoff, spoken, c: candidate };
    let idea_id = Digest::of(
        [game.matchup_id.as_str(), &segment.segment_id, TEMPLATES].join("\u{1f}").as_bytes(),
    );
    let title = writer.c.angle.headline();
    let front = seed.pick(title);
    let script = writer.script(front, &mut seed);
    Some(IdeaPackage {
        schema_version: 1,
        idea_id: idea_id.short(),
        matchup_id: game.matchup_id.clone(),
        headline: writer.headline(),
        angle: candidate.angle.name().into(),
        pick: candidate.pick(),
        script,
        caption: writer.caption(front),
        hashtags: writer.hashtags(),
        provider: "templates".into(),
        model: None,
        status: "approved".into(),
        disclaimer: DISCLAIMER.into(),
        matchup: Some(game.clone()),
    })
}

struct Writer<'a> {
    game: &'a NormalizedMatchup,
    segment: &'a SegmentData,
    /// Day and clock time of the game, where they can be told.
    kickoff: Option<String>,
    /// Whether the words are heard, and so have to fill the wanted time.
    spoken: bool,
    c: Candidate<'a>,
}

impl Writer<'_> {
    fn away(&self) -> String {
        team_nickname(&self.game.away_team, self.game.away.as_ref())
    }

    fn home(&self) -> String {
        team_nickname(&self.game.home_team, self.game.home.as_ref())
    }

    fn fill(&self, template: &str) -> String {
        template.replace("{away}", &self.away()).replace("{home}", &self.home())
    }

    /// At most 60 characters: the player's surname takes over where the full name is too long.
    fn headline(&self) -> String {
        let prop = self.c.prop;
        let rest = format!("{} {} {}", self.c.side(), line(prop.line), stat_name(&prop.stat_type));
        let full = format!("{} {rest}", prop.player_name);
        if full.chars().count() <= 60 {
            return full;
        }
        let surname = prop.player_name.rsplit(' ').next().unwrap_or_default();
        format!("{surname} {rest}").chars().take(60).collect()
    }

    fn script(&self, front: &str, seed: &mut Seed) -> ScriptStructure {
        let target = self.spoken.then(|| self.target_words());
        let mut parts = self.parts(front, seed);
        if let Some(target) = target {
            self.lengthen(&mut parts, target);
        }
        let sections = parts.into_iter().enumerate().map(|(at, (role, text, slide))| {
            ScriptSection { section_id: format!("s{}", at + 1), role: role.to_owned(), text, slide }
        });
        let sections: Vec<ScriptSection> = sections.collect();
        let words = sections.iter().map(|s| ScriptStructure::words_in(&s.text)).sum();
        ScriptStructure {
            language: "en-US".into(),
            sections,
            word_count: Some(words),
            target_words: target,
        }
    }

    fn target_words(&self) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "durations are short")]
        let seconds = self.segment.target_duration_ms as f64 / 1000.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
        let words = (seconds * WORDS_PER_SECOND).round() as u64;
        words
    }

    /// As many parts as the segment has slides: the pick always, then front, end and reasons.
    fn parts(&self, front: &str, seed: &mut Seed) -> Vec<Part> {
        let slides = usize::try_from(self.segment.slides).unwrap_or(1).max(1);
        let mut parts = vec![self.pick_part()];
        if slides >= 2 {
            parts.insert(0, self.front_part(front, seed));
        }
        if slides >= 4 {
            parts.push(self.reason_part());
        }
        parts.extend(self.other_parts().take(slides.saturating_sub(5)));
        if slides >= 5 {
            parts.push(self.market_part());
        }
        if slides >= 3 {
            parts.push(self.end_part(seed));
        }
        parts
    }

    fn front_part(&self, front: &str, seed: &mut Seed) -> Part {
        let kicker = seed.pick(&FRONTS);
        let bullets = std::iter::once(kicker.to_owned()).chain(self.kickoff.clone()).collect();
        ("hook", self.fill(seed.pick(&HOOKS)), slide(front, bullets, "poster"))
    }

    fn pick_part(&self) -> Part {
        let prop = self.c.prop;
        let said = format!(
            "{}, {} {} {}.",
            prop.player_name,
            self.c.side(),
            line(prop.line),
            stat_name(&prop.stat_type),
        );
        ("body", said, slide("The pick", prices(prop), "pick"))
    }

    fn reason_part(&self) -> Part {
        let c = &self.c;
        let mut bullets = vec![c.angle.reason().to_owned()];
        bullets.extend(favourite(self.game).map(|text| format!("Spread: {text}")));
        bullets.extend(self.game.over_under.map(|total| format!("Game total: {}", line(total))));
        bullets.extend(c.chance().map(|share| format!("Fair chance of {}: {share}%", c.side())));
        bullets.truncate(4);
        ("body", c.angle.argument(c, self.game), slide("Why it plays", bullets, "board"))
    }

    fn market_part(&self) -> Part {
        let total = self.game.over_under.map(|total| format!("The total is {}.", line(total)));
        let spread = self.game.vegas_spread.map(|spread| {
            let favourite = if spread <= 0.0 { self.home() } else { self.away() };
            format!("The {favourite} are giving {} points.", line(spread.abs()))
        });
        let mut bullets = Vec::new();
        bullets.extend(favourite(self.game).map(|text| format!("Spread: {text}")));
        bullets.extend(self.game.over_under.map(|total| format!("Game total: {}", line(total))));
        let said: Vec<String> = spread.into_iter().chain(total).collect();
        let text = if said.is_empty() { self.fill("{away} at {home}.") } else { said.join(" ") };
        ("body", text, slide("The market", bullets, "board"))
    }

    /// Other props of the game, one part each.
    fn other_parts(&self) -> impl Iterator<Item = Part> {
        let others = self.game.props.iter().filter(|prop| !std::ptr::eq(*prop, self.c.prop));
        others.map(|prop| {
            let bullets = std::iter::once(prop.player_name.clone())
                .chain(std::iter::once(format!(
                    "{} {}",
                    line(prop.line),
                    stat_name(&prop.stat_type)
                )))
                .chain(prices(prop));
            let bullets: Vec<String> = bullets.take(4).collect();
            ("body", also(prop), slide("Also on the board", bullets, "board"))
        })
    }

    fn end_part(&self, seed: &mut Seed) -> Part {
        let title = seed.pick(&ENDS);
        let bullets = vec!["Follow for tomorrow's number".to_owned()];
        ("cta", seed.pick(&CALLS).to_owned(), slide(title, bullets, "outro"))
    }

    /// Adds sentences while the script is clearly shorter than wanted: the price to the pick,
    /// other props to the last body part.
    fn lengthen(&self, parts: &mut [Part], target: u64) {
        let of_body = |(role, ..): &Part| *role == "body";
        let (Some(pick), Some(last)) =
            (parts.iter().position(of_body), parts.iter().rposition(of_body))
        else {
            return;
        };
        let price = self.c.price().map(|odds| (pick, format!("The price is {}.", american(odds))));
        let other = |prop: &&PropData| !std::ptr::eq(*prop, self.c.prop);
        let others = self.game.props.iter().filter(other).map(|prop| (last, also(prop)));
        for (at, sentence) in price.into_iter().chain(others) {
            let words: u64 = parts.iter().map(|(_, text, _)| ScriptStructure::words_in(text)).sum();
            let is_short = words * 10 < target * 9;
            let has_room = parts[at].1.chars().count() + sentence.chars().count() < LONGEST_TEXT;
            if is_short && has_room && !parts.iter().any(|(_, text, _)| text.contains(&sentence)) {
                parts[at].1 = format!("{} {sentence}", parts[at].1);
            }
        }
    }

    fn caption(&self, front: &str) -> String {
        let c = &self.c;
        let prop = c.prop;
        let price = c.price().map(|odds| format!(" ({})", american(odds))).unwrap_or_default();
        format!(
            "{front}: {} at {}.\n\n{} {} {} {}{price}. {}.\n\nOver or under? Tell us below.\n\n{DISCLAIMER}",
            self.game.away_team,
            self.game.home_team,
            prop.player_name,
            c.side(),
            line(prop.line),
            stat_name(&prop.stat_type),
            c.angle.reason(),
        )
    }

    fn hashtags(&self) -> Vec<String> {
        let tag = |text: &str| {
            let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
            format!("#{letters}")
        };
        let mut tags = vec![tag(&self.game.sport.to_uppercase())];
        tags.extend([tag(&self.away()), tag(&self.home()), tag(&self.c.prop.player_name)]);
        tags.extend(["#playerprops", "#sports"].map(str::to_owned));
        tags
    }
}

/// Such as `Sun, Jan 5, 1:00 PM EST`.
fn kickoff(time: &str, zone: &str) -> Option<String> {
    let zone = jiff::tz::TimeZone::get(zone).ok()?;
    let zoned = match time.parse::<jiff::Timestamp>() {
        Ok(instant) => instant.to_zoned(zone),
        Err(_) => time.parse::<jiff::civil::DateTime>().ok()?.to_zoned(zone).ok()?,
    };
    Some(zoned.strftime("%a, %b %-d, %-I:%M %p %Z").to_string())
}

/// Role, words, slide.
type Part = (&'static str, String, SlideText);

fn slide(title: &str, bullets: Vec<String>, layout: &str) -> SlideText {
    SlideText {
        title: title.to_owned(),
        bullets,
        layout: Some(layout.to_owned()),
        visual_prompt: None,
    }
}

fn prices(prop: &PropData) -> Vec<String> {
    let over = prop.over_odds.map(|odds| format!("Over {}", american(odds)));
    let under = prop.under_odds.map(|odds| format!("Under {}", american(odds)));
    over.into_iter().chain(under).collect()
}

fn also(prop: &PropData) -> String {
    if prop.stat_type == "anytime_td" {
        return format!("Also on the board: {} to score a touchdown.", prop.player_name);
    }
    let stat = stat_name(&prop.stat_type);
    format!("Also on the board: {}, {} {stat}.", prop.player_name, line(prop.line))
}
