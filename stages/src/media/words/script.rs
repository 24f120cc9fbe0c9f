//! A script from a pick: what is said and shown, part by part, to a wanted length.

use std::borrow::Cow;
use std::collections::VecDeque;

use flow_core::digest::Digest;

use super::angle::{Candidate, choose};
use super::day::{Day, Taste};
use super::facts::{Facts, Start};
use super::length::target_words;
use super::odds::team_nickname;
use super::seed::Seed;
use super::{board, phrases, post};
use crate::contract::{
    CalendarConfig, IdeaPackage, NormalizedMatchup, PropData, ScriptSection, ScriptStructure,
    SegmentData, SlideText,
};

/// Raised when the same inputs give other words.
const TEMPLATES: &str = "templates-3";
/// Characters that a section's text may have.
const LONGEST_TEXT: usize = 400;

/// Writes the idea of one segment, in words that the day has not heard. The same inputs and the
/// same day give the same bytes.
pub(in crate::media) fn write(
    day: &mut Day,
    game: &NormalizedMatchup,
    segment: &SegmentData,
    calendar: &CalendarConfig,
    seed: &str,
) -> Option<IdeaPackage> {
    let date = &calendar.date;
    let mut seed = Seed::of(&[TEMPLATES, date, &game.matchup_id, &segment.segment_id, seed]);
    let candidate = choose(game, |prop| day.is_picked(game, prop), &mut seed)?;
    day.pick(game, candidate.prop);
    let front = seed.pick(candidate.angle.headline());
    let start = Start::of(&game.game_time, &calendar.timezone).map(|start| start.written);
    let writer = Writer {
        game,
        segment,
        front,
        start: start.as_deref(),
        target: target_words(segment, calendar),
        facts: Facts::of(&candidate, game, &calendar.timezone),
        c: candidate,
    };
    let teams = [
        team_nickname(&game.away_team, game.away.as_ref()),
        team_nickname(&game.home_team, game.home.as_ref()),
    ];
    Some(IdeaPackage {
        schema_version: 1,
        idea_id: idea_id(game, segment, TEMPLATES),
        matchup_id: game.matchup_id.clone(),
        headline: post::headline(&candidate),
        angle: candidate.angle.name().into(),
        pick: candidate.pick(),
        script: writer.script(day, &seed),
        caption: post::caption(front, &candidate, game, start.as_deref()),
        hashtags: post::hashtags(&candidate, game, [&teams[0], &teams[1]]),
        provider: "templates".into(),
        model: None,
        status: "approved".into(),
        disclaimer: post::DISCLAIMER.into(),
        matchup: Some(game.clone()),
    })
}

/// The id of a piece that was written by this version of templates or of a prompt.
pub(in crate::media) fn idea_id(
    game: &NormalizedMatchup,
    segment: &SegmentData,
    version: &str,
) -> String {
    let parts = [game.matchup_id.as_str(), &segment.segment_id, version];
    Digest::of(parts.join("\u{1f}").as_bytes()).short()
}

struct Writer<'a> {
    game: &'a NormalizedMatchup,
    segment: &'a SegmentData,
    /// The headline of the front slide.
    front: &'static str,
    /// Day and clock time of the game, where they can be told.
    start: Option<&'a str>,
    /// Words that fill the wanted time, where the script is heard.
    target: Option<u64>,
    facts: Facts,
    c: Candidate<'a>,
}

/// One slide and what is said over it.
struct Part {
    place: Place,
    text: String,
    slide: SlideText,
}

/// What a part is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Front,
    Pick,
    Reason,
    Other,
    Costs,
    Market,
    End,
}

impl Writer<'_> {
    /// The script as the seed would have it, or in the shortest words where that is too long.
    fn script(&self, day: &mut Day, seed: &Seed) -> ScriptStructure {
        let attempt = |taste| {
            let mut heard = day.clone();
            let script = self.attempt(&mut heard, &mut seed.clone(), taste);
            (script, heard)
        };
        let (mut script, mut heard) = attempt(Taste::Free);
        if script.too_long().is_some() {
            (script, heard) = attempt(Taste::Brief);
        }
        *day = heard;
        script
    }

    fn attempt(&self, day: &mut Day, seed: &mut Seed, taste: Taste) -> ScriptStructure {
        let mut parts = self.parts(day, seed, taste);
        if let Some(target) = self.target {
            self.lengthen(&mut parts, target, day, seed);
        }
        let section = |(at, part): (usize, Part)| ScriptSection {
            section_id: format!("s{}", at + 1),
            role: part.place.role().to_owned(),
            text: part.text,
            slide: part.slide,
        };
        let mut script = ScriptStructure {
            language: "en-US".into(),
            sections: parts.into_iter().enumerate().map(section).collect(),
            word_count: None,
            target_words: self.target,
        };
        script.word_count = Some(script.words());
        script
    }

    /// As many parts as the segment has slides and the game has things to tell: the pick always,
    /// then front, end and reasons.
    fn parts(&self, day: &mut Day, seed: &mut Seed, taste: Taste) -> Vec<Part> {
        let slides = usize::try_from(self.segment.slides).unwrap_or(1).max(1);
        let mut places = vec![Place::Pick];
        if slides >= 2 {
            places.insert(0, Place::Front);
        }
        if slides >= 4 {
            places.push(Place::Reason);
        }
        if slides >= 5 {
            places.push(Place::Market);
        }
        let mut others = self.others();
        let more = slides.saturating_sub(5);
        places.extend(std::iter::repeat_n(Place::Other, more.min(others.len())));
        if more > others.len() {
            places.push(Place::Costs);
        }
        if slides >= 3 {
            places.push(Place::End);
        }
        places.into_iter().map(|place| self.part(place, &mut others, day, seed, taste)).collect()
    }

    fn others(&self) -> VecDeque<&PropData> {
        self.game.props.iter().filter(|prop| !std::ptr::eq(*prop, self.c.prop)).collect()
    }

    fn part(
        &self,
        place: Place,
        others: &mut VecDeque<&PropData>,
        day: &mut Day,
        seed: &mut Seed,
        taste: Taste,
    ) -> Part {
        let other = if place == Place::Other { others.pop_front() } else { None };
        let sentences = match (place, other) {
            (_, Some(prop)) => Facts::of_other(prop, self.game).fill_all(&phrases::OTHERS),
            _ => self.facts.fill_all(place.phrases(&self.c)),
        };
        let text = day.sentence(sentences, seed, taste);
        let (title, bullets, layout) = match place {
            Place::Front => {
                let kicker = seed.pick(&phrases::FRONTS).to_owned();
                let start = self.start.map(str::to_owned);
                (self.front, board::rows([Some(kicker), start]), "poster")
            }
            Place::Pick => ("The pick", board::prices(self.c.prop), "pick"),
            Place::Reason => {
                let alone = self.segment.slides < 5;
                ("Why it plays", board::reasons(&self.c, self.game, alone), "board")
            }
            Place::Market => ("The market", board::market(self.game), "board"),
            Place::Costs => ("The price", board::costs(&self.c), "board"),
            Place::Other => {
                ("Also on the board", other.map(board::other).unwrap_or_default(), "board")
            }
            Place::End => {
                let call = "Follow for tomorrow's number".to_owned();
                (seed.pick(&phrases::ENDS), vec![call], "outro")
            }
        };
        Part { place, text, slide: slide(title, bullets, layout) }
    }

    /// Adds sentences while the script is clearly shorter than wanted, each where it belongs and
    /// none that tells what has been told.
    fn lengthen(&self, parts: &mut [Part], target: u64, day: &mut Day, seed: &mut Seed) {
        for extra in self.extras() {
            let said: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
            let said = said.join(" ");
            let words = ScriptStructure::words_in(&said);
            if words * 20 >= target * 19 {
                return;
            }
            if extra.news.is_some_and(|fact| extra.facts.tells(&said, fact)) {
                continue;
            }
            // A script that is far too short may become a little long; another may not.
            let is_long_enough = ScriptStructure::is_long_enough(words, target);
            let most = if is_long_enough { target * 23 / 20 } else { target * 5 / 4 };
            let room = most.saturating_sub(words);
            let mut sentences = extra.facts.fill_all(extra.templates);
            sentences.retain(|phrase| ScriptStructure::words_in(&phrase.text) <= room);
            let longest =
                sentences.iter().map(|p| p.text.chars().count()).max().unwrap_or_default();
            let Some(at) = with_room(parts, extra.places, longest) else { continue };
            if let Some(sentence) = day.fresh(sentences, seed, Taste::Free) {
                parts[at].text = format!("{} {sentence}", parts[at].text);
            }
        }
    }

    /// What else can be said, the most useful first.
    fn extras(&self) -> Vec<Extra<'_>> {
        use Place::{Costs, Front, Market, Other, Pick, Reason};
        let own = |news, places, templates| Extra {
            facts: Cow::Borrowed(&self.facts),
            news: Some(news),
            places,
            templates,
        };
        let mut extras: Vec<Extra<'_>> = vec![
            own("price", &[Costs, Pick, Reason], &phrases::PRICE),
            own("total", &[Market, Reason, Front, Pick], &phrases::TOTAL),
            own("clock", &[Front, Market, Pick], &phrases::START),
            own("spread", &[Market, Reason, Front, Pick], &phrases::SPREAD),
            own("chance", &[Reason, Costs, Pick], &phrases::CHANCE),
            own("other_price", &[Costs, Pick, Reason], &phrases::OTHER_PRICE),
            own("even", &[Costs, Reason, Pick], &phrases::BREAK_EVEN),
        ];
        for prop in self.others() {
            let of = |news, templates| Extra {
                facts: Cow::Owned(Facts::of_other(prop, self.game)),
                news,
                places: &[Other, Market, Reason, Pick],
                templates,
            };
            extras.push(of(Some("player"), &phrases::OTHERS));
            if !prop.is_milestone() {
                extras.push(of(None, &phrases::OTHER_PRICES));
            }
        }
        extras
    }
}

/// A sentence that can be added.
struct Extra<'a> {
    facts: Cow<'a, Facts>,
    /// The fact that it is about: once that is told, the sentence is not needed.
    news: Option<&'static str>,
    /// The parts that it suits best.
    places: &'static [Place],
    templates: &'static [&'static str],
}

impl Place {
    fn role(self) -> &'static str {
        match self {
            Self::Front => "hook",
            Self::End => "cta",
            _ => "body",
        }
    }

    /// What a part of this kind has to say first.
    fn phrases(self, c: &Candidate<'_>) -> &'static [&'static str] {
        match self {
            Self::Front => &phrases::HOOKS,
            Self::Pick => &phrases::PICKS,
            Self::Reason => c.angle.arguments(),
            Self::Other => &phrases::OTHERS,
            Self::Costs => &phrases::COSTS,
            Self::Market => &phrases::MARKET,
            Self::End => &phrases::CALLS,
        }
    }
}

/// The first part of the wanted kinds, or any body part, that can take so many characters more.
fn with_room(parts: &[Part], places: &[Place], chars: usize) -> Option<usize> {
    let has_room = |part: &Part| part.text.chars().count() + 1 + chars <= LONGEST_TEXT;
    let of = |place: &Place| parts.iter().position(|p| p.place == *place && has_room(p));
    let body = || parts.iter().position(|p| p.place.role() == "body" && has_room(p));
    places.iter().find_map(of).or_else(body)
}

fn slide(title: &str, bullets: Vec<String>, layout: &str) -> SlideText {
    SlideText {
        title: title.to_owned(),
        bullets,
        layout: Some(layout.to_owned()),
        visual_prompt: None,
    }
}
