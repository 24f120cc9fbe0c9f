//! What has been said and picked on a day, so that no piece repeats another.

use std::collections::{HashMap, HashSet};

use super::seed::Seed;
use crate::contract::{IdeaPackage, NormalizedMatchup, PropData, ScriptStructure};

/// How long sentences should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taste {
    /// As the seed chooses.
    Free,
    /// The shortest.
    Brief,
}

/// A sentence and the template that it was made of.
#[derive(Debug, Clone)]
pub(super) struct Phrase {
    pub(super) template: &'static str,
    pub(super) text: String,
}

/// The memory of a day's pieces.
#[derive(Debug, Clone, Default)]
pub(in crate::media) struct Day {
    said: HashSet<String>,
    /// How often each template has been used.
    uses: HashMap<&'static str, u32>,
    picked: HashSet<String>,
}

impl Day {
    /// One of the sentences that has not been said today, of a template that has been used least;
    /// `None` when all have been said.
    pub(super) fn fresh(
        &mut self,
        mut phrases: Vec<Phrase>,
        seed: &mut Seed,
        taste: Taste,
    ) -> Option<String> {
        phrases.retain(|phrase| !self.said.contains(&folded(&phrase.text)));
        if taste == Taste::Brief {
            let words = |phrase: &Phrase| ScriptStructure::words_in(&phrase.text);
            let fewest = phrases.iter().map(words).min()?;
            phrases.retain(|phrase| words(phrase) == fewest);
        }
        let uses = |phrase: &Phrase| self.uses.get(phrase.template).copied().unwrap_or_default();
        let least = phrases.iter().map(uses).min()?;
        phrases.retain(|phrase| uses(phrase) == least);
        let chosen = seed.choose(&phrases)?.clone();
        *self.uses.entry(chosen.template).or_default() += 1;
        self.said.insert(folded(&chosen.text));
        Some(chosen.text)
    }

    /// As [`Self::fresh`]; something that must be said is said again rather than left out.
    pub(super) fn sentence(
        &mut self,
        phrases: Vec<Phrase>,
        seed: &mut Seed,
        taste: Taste,
    ) -> String {
        let any = phrases.first().map(|phrase| phrase.text.clone());
        self.fresh(phrases, seed, taste).or(any).unwrap_or_default()
    }

    /// Whether a pick of the day is on this prop.
    pub(super) fn is_picked(&self, game: &NormalizedMatchup, prop: &PropData) -> bool {
        self.picked.contains(&pick_of(game, prop))
    }

    /// Remembers the pick of an idea that came from elsewhere.
    pub(in crate::media) fn take(&mut self, game: &NormalizedMatchup, idea: &IdeaPackage) {
        let prop = game.props.iter().find(|prop| idea.pick.is_on(prop));
        prop.into_iter().for_each(|prop| self.pick(game, prop));
    }

    /// Remembers a pick.
    pub(super) fn pick(&mut self, game: &NormalizedMatchup, prop: &PropData) {
        self.picked.insert(pick_of(game, prop));
    }
}

fn folded(sentence: &str) -> String {
    sentence.to_lowercase()
}

fn pick_of(game: &NormalizedMatchup, prop: &PropData) -> String {
    [&game.matchup_id, &prop.player_name, &prop.stat_type].map(String::as_str).join("\u{1f}")
}
