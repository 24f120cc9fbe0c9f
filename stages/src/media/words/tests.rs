//! What a day's ideas must be, over many seeds: true to the slate, each in words of its own, as
//! long as wanted, and fit to be read aloud.

use std::collections::HashSet;

use flow_core::schema::validate;
use proptest::prelude::*;

use super::*;
use crate::contract::{self, IdeaPackage, ScriptStructure, SegmentData, Slate};
use crate::media::ideas::tests::{calendar, segments, slate};

/// A day of sixteen pieces: one of each game of the shipped slate, and a second of the first.
fn sixteen(slate: &Slate, seed: &str, seconds: u64, slides: u32) -> Vec<IdeaPackage> {
    let mut wanted = segments(slate, seconds, slides);
    let again = SegmentData { segment_id: "again".into(), ..wanted[0].clone() };
    wanted.push(again);
    assert_eq!(wanted.len(), 16);
    let mut day = Day::default();
    let write = |segment: &SegmentData| {
        let id = &segment.matchup_ids[0];
        let game = slate.matchups.iter().find(|game| game.matchup_id == *id).expect("a game");
        write(&mut day, game, segment, &calendar("2025-11-23"), seed).expect("an idea")
    };
    wanted.iter().map(write).collect()
}

/// The sentences of a script; a point inside a number ends none.
fn sentences(script: &ScriptStructure) -> Vec<String> {
    let texts: Vec<&str> = script.sections.iter().map(|section| section.text.as_str()).collect();
    let joined = texts.join(" ") + " ";
    let parts =
        joined.split_inclusive(['.', '?', '!']).fold(vec![String::new()], |mut all, part| {
            if part.starts_with(' ') || all.len() == 1 && all[0].is_empty() {
                all.push(part.trim().to_owned());
            } else if let Some(last) = all.last_mut() {
                last.push_str(part);
            }
            all
        });
    parts.into_iter().filter(|sentence| !sentence.is_empty()).collect()
}

fn assert_true_to_the_slate(slate: &Slate, idea: &IdeaPackage) {
    let game = slate.matchups.iter().find(|game| game.matchup_id == idea.matchup_id);
    let game = game.expect("the idea is on a game of the slate");
    let prop = game.props.iter().find(|prop| idea.pick.is_on(prop)).expect("the pick is a prop");
    let has_price = if idea.pick.side == "over" { prop.over_odds } else { prop.under_odds };
    assert!(has_price.is_some(), "the pick can be taken: {:?}", idea.pick);
    assert!(!idea.disclaimer.is_empty() && idea.caption.contains(&idea.disclaimer));
}

/// Digits in the words: each number is one of the game's or follows from its prices.
fn assert_no_invented_number(idea: &IdeaPackage, text: &str) {
    let game = idea.matchup.as_ref().expect("the game");
    let mut known: HashSet<String> = ["in", "49ers"].map(str::to_owned).into();
    let odds = game.props.iter().flat_map(|prop| [prop.over_odds, prop.under_odds]).flatten();
    known.extend(odds.clone().map(american));
    known.extend(odds.map(|odds| odds::percent(odds::implied(odds)).to_string()));
    known.extend(game.props.iter().map(|prop| line(prop.line)));
    let fair = game
        .props
        .iter()
        .filter_map(|prop| Some(odds::percent(odds::fair_over(prop.over_odds?, prop.under_odds?))));
    known.extend(fair.flat_map(|share| [share.to_string(), (100 - share).to_string()]));
    known.extend(game.over_under.map(line));
    known.extend(game.vegas_spread.map(|spread| line(spread.abs())));
    let start = facts::Start::of(&game.game_time, "America/New_York").expect("a start").written;
    known.extend(start.split([' ', ',']).map(|part| part.trim_end_matches(":00").to_owned()));
    for word in text.split_whitespace() {
        let word = word.trim_end_matches(['.', ',', '?', '!', ':']);
        let is_number = word.bytes().any(|b| b.is_ascii_digit());
        assert!(!is_number || known.contains(word), "{word} is no number of the game: {text}");
    }
}

fn assert_fit_to_be_read(text: &str) {
    for bad in ["vs", "O/U", "{", "}", "  ", " .", "..", " ,", "_", "undefined", "null"] {
        assert!(!text.contains(bad), "{bad:?} in {text}");
    }
    let first = text.chars().next().expect("a text");
    assert!(first.is_uppercase() || first.is_numeric(), "{text}");
    assert!(text.ends_with(['.', '?', '!']), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sixteen_ideas_are_true_to_the_slate_and_repeat_no_sentence(
        seed in "[a-z0-9]{0,8}",
        slides in 1_u32..=6,
        seconds in 20_u64..=45,
    ) {
        let slate = slate();
        let ideas = sixteen(&slate, &seed, seconds, slides);
        prop_assert_eq!(&ideas, &sixteen(&slate, &seed, seconds, slides));
        let value = serde_json::to_value(&ideas).expect("JSON");
        let faults = validate(&contract::ty::<IdeaPackage>().list(), &value);
        // One slide takes 400 characters, and no more.
        prop_assert!(slides < 2 || faults.is_empty(), "{faults:?}");
        let mut heard = HashSet::new();
        for idea in &ideas {
            assert_true_to_the_slate(&slate, idea);
            for section in &idea.script.sections {
                assert_fit_to_be_read(&section.text);
                assert_no_invented_number(idea, &section.text);
            }
            for sentence in sentences(&idea.script) {
                prop_assert!(heard.insert(sentence.to_lowercase()), "twice: {sentence}");
            }
        }
    }

    #[test]
    fn a_script_is_as_long_as_wanted_or_says_that_it_cannot_be(
        seed in "[a-z]{0,4}",
        slides in 1_u32..=10,
        seconds in 6_u64..=90,
    ) {
        let slate = slate();
        for idea in sixteen(&slate, &seed, seconds, slides) {
            let script = &idea.script;
            let (words, target) = (script.words(), script.target_words.expect("a target"));
            if script.too_long().is_some() {
                prop_assert!(check_length(script, "write", "ideas", "/script").is_err());
                prop_assert!(seconds < 6 * u64::from(slides.min(8)), "{seconds} s, {slides} slides");
            } else if !ScriptStructure::is_long_enough(words, target) {
                prop_assert!(seconds > 30 && (slides < 4 || seconds > 55), "{seconds} s, {slides} slides");
            }
            for section in &script.sections {
                prop_assert!((1..=400).contains(&section.text.chars().count()));
            }
        }
    }
}

#[test]
fn six_templates_and_more_are_used_in_a_week() {
    let slate = slate();
    let ideas = (0..7).flat_map(|day| sixteen(&slate, &day.to_string(), 20, 4));
    let angles: HashSet<String> = ideas.map(|idea| idea.angle).collect();
    assert!(angles.len() >= 7, "{angles:?}");
}

#[test]
fn a_game_without_prices_still_has_a_number_to_talk_about() {
    let mut slate = slate();
    slate.matchups[0].vegas_spread = None;
    slate.matchups[0].over_under = None;
    for prop in &mut slate.matchups[0].props {
        (prop.over_odds, prop.under_odds) = (None, None);
    }
    let wanted = segments(&slate, 20, 4).remove(0);
    let mut day = Day::default();
    let idea = write(&mut day, &slate.matchups[0], &wanted, &calendar("2025-11-23"), "");
    let idea = idea.expect("an idea");
    assert_eq!(idea.angle, "number");
    for section in &idea.script.sections {
        assert_fit_to_be_read(&section.text);
    }
}

#[test]
fn a_milestone_is_told_as_a_feat_and_not_as_half_a_touchdown() {
    let slate = slate();
    let ideas = (0..20).flat_map(|seed| sixteen(&slate, &seed.to_string(), 20, 4));
    let feats: Vec<IdeaPackage> = ideas.filter(|idea| idea.angle == "milestone").collect();
    assert!(!feats.is_empty());
    for idea in feats {
        assert!(idea.headline.ends_with("to score a touchdown"), "{}", idea.headline);
        assert!(idea.script.sections.iter().all(|section| !section.text.contains("0.5")));
    }
}

#[test]
fn a_day_of_basketball_knows_nothing_of_football() {
    let file = include_str!("../../../../workflows/data/slate-nba.json");
    let file = serde_json::from_str(file).expect("JSON");
    let built = crate::media::slate::build(file, jiff::civil::date(2025, 11, 23), None);
    let slate: Slate = contract::read(&built.expect("a slate").slate).expect("a Slate");
    for seed in 0..40 {
        let mut day = Day::default();
        for segment in segments(&slate, 25, 4) {
            let id = &segment.matchup_ids[0];
            let game = slate.matchups.iter().find(|game| game.matchup_id == *id).expect("a game");
            let calendar = calendar("2025-11-23");
            let idea = write(&mut day, game, &segment, &calendar, &seed.to_string());
            let idea = serde_json::to_string(&idea).expect("JSON");
            for word in ["throw", "carries", "touchdown", "ground", "yards", "Football", "football"]
            {
                assert!(!idea.contains(word), "{word} in {idea}");
            }
        }
    }
}

/// For a person to read: `cargo nextest run -p flow-stages --run-ignored only --no-capture scripts`.
#[test]
#[ignore = "writes scripts for a person to read"]
fn scripts_of_a_day_are_written_to_the_temporary_folder() {
    let mut text = String::new();
    for idea in sixteen(&slate(), "", 20, 4).iter().chain(&sixteen(&slate(), "b", 40, 7)) {
        text += &format!(
            "\n== {} [{}] {:?} words of {:?}\n",
            idea.headline, idea.angle, idea.script.word_count, idea.script.target_words
        );
        for section in &idea.script.sections {
            text += &format!(
                "{}: {}\n    {} | {}\n",
                section.section_id,
                section.text,
                section.slide.title,
                section.slide.bullets.join(" | ")
            );
        }
        text += &format!("{}\n{}\n", idea.caption, idea.hashtags.join(" "));
    }
    std::fs::write(std::env::temp_dir().join("flow-scripts.txt"), text).expect("a file");
}
#[test]
fn the_most_slides_fit_into_the_shortest_time_whatever_the_seed() {
    let slate = slate();
    for seed in (0..60).map(|n| format!("{n:x}")) {
        for idea in sixteen(&slate, &seed, 20, 6) {
            assert_eq!(idea.script.too_long(), None, "seed {seed}: {:?}", idea.script);
        }
    }
}
