//! An idea: what is said, what is shown, and the pick it makes.

use flow_core::schema::{Fault, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::slate::first_version;
use super::{Contract, NormalizedMatchup, PropData, checks, ty};

/// The wager that an idea is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct Pick {
    /// Full name of the player.
    #[validate(custom(function = "checks::present"))]
    pub player_name: String,
    /// Canonical name of the statistic.
    #[validate(custom(function = "checks::stat_type"))]
    pub stat_type: String,
    /// The number to go over or under.
    #[validate(custom(function = "checks::positive_line"))]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub line: f64,
    /// `over` or `under`.
    #[validate(custom(function = "checks::side"))]
    #[schemars(extend("enum" = checks::SIDES))]
    pub side: String,
}

impl Pick {
    /// Whether the pick is on this prop.
    #[must_use]
    pub fn is_on(&self, prop: &PropData) -> bool {
        self.player_name == prop.player_name
            && self.stat_type == prop.stat_type
            && (self.line - prop.line).abs() < f64::EPSILON
    }
}

impl Contract for Pick {
    const NAME: &'static str = "Pick";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("player_name", Type::String),
            ("stat_type", Type::String),
            ("line", Type::Number),
            ("side", Type::String),
        ]
    }
}

/// The words on one slide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct SlideText {
    /// Headline.
    #[validate(length(max = 40, code = "advice", message = "at most 40 characters"))]
    pub title: String,
    /// Short lines below it.
    #[serde(default)]
    #[validate(length(max = 4, code = "advice", message = "at most 4 bullets"))]
    pub bullets: Vec<String>,
    /// How the slide is laid out: `poster`, `pick`, `board` or `outro`; by role where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// What a picture behind the words would show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visual_prompt: Option<String>,
}

impl Contract for SlideText {
    const NAME: &'static str = "SlideText";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("title", Type::String),
            ("bullets", Type::String.list().optional()),
            ("layout", Type::String.optional()),
            ("visual_prompt", Type::String.optional()),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let too_long = |(at, bullet): (usize, &String)| {
            (bullet.chars().count() > 30).then(|| {
                Fault::warning(format!("/bullets/{at}"), "at most 30 characters", "a longer bullet")
            })
        };
        self.bullets.iter().enumerate().filter_map(too_long).collect()
    }
}

/// One part of a script: a slide and the words spoken over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct ScriptSection {
    /// Id within the script.
    #[validate(custom(function = "checks::present"))]
    pub section_id: String,
    /// `hook`, `body` or `cta`.
    #[validate(custom(function = "checks::role"))]
    #[schemars(extend("enum" = checks::ROLES))]
    pub role: String,
    /// What is said.
    #[validate(length(min = 1, max = 400, code = "advice", message = "from 1 to 400 characters"))]
    pub text: String,
    /// What is shown.
    pub slide: SlideText,
}

impl Contract for ScriptSection {
    const NAME: &'static str = "ScriptSection";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("section_id", Type::String),
            ("role", Type::String),
            ("text", Type::String),
            ("slide", ty::<SlideText>()),
        ]
    }
}

/// What is said, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct ScriptStructure {
    /// BCP 47 tag of the language.
    pub language: String,
    /// The parts.
    #[validate(length(min = 1, max = 10, code = "advice", message = "from 1 to 10 sections"))]
    pub sections: Vec<ScriptSection>,
    /// Words in all sections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_count: Option<u64>,
    /// Words that fill the target duration at the voice's rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_words: Option<u64>,
}

impl ScriptStructure {
    /// Words of a text as they are heard: each digit, point and sign of a number is about one.
    #[must_use]
    pub fn words_in(text: &str) -> u64 {
        text.split_whitespace().map(heard_in).sum()
    }

    /// Words of all sections.
    #[must_use]
    pub fn words(&self) -> u64 {
        self.sections.iter().map(|section| Self::words_in(&section.text)).sum()
    }

    /// Whether so many words fill the time of `target` words, or nearly: a quarter less still
    /// suits the slides' pace.
    #[must_use]
    pub fn is_long_enough(words: u64, target: u64) -> bool {
        words * 4 >= target * 3
    }

    /// Whether so many words fit the time of `target` words, or nearly: a quarter more still does.
    #[must_use]
    pub fn is_short_enough(words: u64, target: u64) -> bool {
        words * 4 <= target * 5
    }

    /// The section with the most words, by its place, if the script is too long for its target.
    #[must_use]
    pub fn too_long(&self) -> Option<usize> {
        let target = self.target_words?;
        if Self::is_short_enough(self.words(), target) {
            return None;
        }
        let words = |at: &usize| Self::words_in(&self.sections[*at].text);
        (0..self.sections.len()).rev().max_by_key(words)
    }

    fn repeated_sections(&self) -> Vec<Fault> {
        let repeated = |(at, section): (usize, &ScriptSection)| {
            let before = &self.sections[..at];
            before.iter().any(|other| other.section_id == section.section_id).then(|| {
                let pointer = format!("/sections/{at}/section_id");
                Fault::warning(pointer, "an id that no other section has", "a repeated id")
            })
        };
        self.sections.iter().enumerate().filter_map(repeated).collect()
    }
}

fn heard_in(word: &str) -> u64 {
    let word = word.trim_end_matches(['.', ',', '!', '?', ';', ':']);
    let digits = word.bytes().filter(u8::is_ascii_digit).count() as u64;
    let others = word.bytes().filter(|b| matches!(b, b'.' | b'-' | b'+' | b'%')).count() as u64;
    match digits {
        0 => u64::from(word.contains(char::is_alphanumeric)),
        digits => digits + others,
    }
}

impl Contract for ScriptStructure {
    const NAME: &'static str = "ScriptStructure";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("language", Type::String),
            ("sections", ty::<ScriptSection>().list()),
            ("word_count", Type::Integer.optional()),
            ("target_words", Type::Integer.optional()),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let words = self.words();
        let mut faults = self.repeated_sections();
        if let Some(target) = self.target_words
            && !(Self::is_long_enough(words, target) && Self::is_short_enough(words, target))
        {
            let expected = format!("within a quarter of {target} words");
            faults.push(Fault::warning("/sections", expected, format!("{words} words")));
        }
        faults
    }
}

/// An idea for one piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct IdeaPackage {
    /// Version of this record's form.
    #[serde(default = "first_version")]
    pub schema_version: u32,
    /// Hash of matchup, segment and template version.
    #[validate(custom(function = "checks::present"))]
    pub idea_id: String,
    /// The game it is about.
    #[validate(custom(function = "checks::present"))]
    pub matchup_id: String,
    /// One line that sells it.
    #[validate(length(max = 60, code = "advice", message = "at most 60 characters"))]
    pub headline: String,
    /// Why this pick, in a word or two.
    pub angle: String,
    /// The pick.
    pub pick: Pick,
    /// What is said and shown.
    pub script: ScriptStructure,
    /// Text to post with it.
    #[validate(length(max = 2_200, code = "advice", message = "at most 2200 characters"))]
    pub caption: String,
    /// Tags to post with it, each with its `#`.
    #[validate(length(max = 30, code = "advice", message = "at most 30 hashtags"))]
    pub hashtags: Vec<String>,
    /// What wrote it, such as `templates`.
    pub provider: String,
    /// The model, where one wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `draft` or `approved`.
    #[validate(custom(function = "checks::idea_status"))]
    #[schemars(extend("enum" = checks::IDEA_STATUS))]
    pub status: String,
    /// What must be shown with it.
    #[validate(custom(function = "checks::present"))]
    pub disclaimer: String,
    /// The game itself, so that later stages need no other record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matchup: Option<NormalizedMatchup>,
}

impl Contract for IdeaPackage {
    const NAME: &'static str = "IdeaPackage";

    fn fields() -> Vec<(&'static str, Type)> {
        vec![
            ("schema_version", Type::Integer.optional()),
            ("idea_id", Type::String),
            ("matchup_id", Type::String),
            ("headline", Type::String),
            ("angle", Type::String),
            ("pick", ty::<Pick>()),
            ("script", ty::<ScriptStructure>()),
            ("caption", Type::String),
            ("hashtags", Type::String.list()),
            ("provider", Type::String),
            ("model", Type::String.optional()),
            ("status", Type::String),
            ("disclaimer", Type::String),
            ("matchup", ty::<NormalizedMatchup>().optional()),
        ]
    }

    fn across(&self) -> Vec<Fault> {
        let Some(matchup) = &self.matchup else { return Vec::new() };
        let mut faults = Vec::new();
        if matchup.matchup_id != self.matchup_id {
            faults.push(Fault::warning("/matchup/matchup_id", "the idea's matchup_id", "another"));
        }
        if !matchup.props.iter().any(|prop| self.pick.is_on(prop)) {
            faults.push(Fault::warning(
                "/pick",
                "a prop of the matchup",
                "a pick on no prop of it",
            ));
        }
        faults
    }

    fn normalize(&mut self) {
        self.matchup_id.make_ascii_lowercase();
        self.matchup.iter_mut().for_each(Contract::normalize);
    }
}
