//! What a model wrote, held to the contract and to the facts.

use serde_json::{Value, json};

use super::*;
use crate::contract::Slate;
use crate::media::ideas::tests::{calendar, segments, slate};

struct Day {
    slate: Slate,
    calendar: CalendarConfig,
    segments: Vec<SegmentData>,
}

impl Day {
    fn new() -> Self {
        let slate = slate();
        let segments = segments(&slate, 20, 3);
        Self { slate, calendar: calendar("2025-11-23"), segments }
    }

    fn brief(&self) -> Brief<'_> {
        Brief {
            game: &self.slate.matchups[0],
            segment: &self.segments[0],
            calendar: &self.calendar,
            seed: "",
        }
    }

    /// A good idea, as a model would write it.
    fn idea(&self) -> Value {
        let prop = &self.slate.matchups[0].props[0];
        let filler = "and we like how that looks from here ".repeat(2);
        let section = |role: &str, text: String| json!({"role": role, "text": text, "slide": {"title": "One look", "bullets": ["Now"]}});
        json!({
            "headline": format!("{} over {}", prop.player_name, prop.line),
            "angle": "market_lean",
            "pick": {"player_name": prop.player_name, "stat_type": prop.stat_type,
                     "line": prop.line, "side": "over"},
            "script": {"sections": [
                section("hook", format!("One line stands out, {filler}.")),
                section("body", format!("{} over {}, {filler}.", prop.player_name, prop.line)),
                section("cta", format!("Tell us your side, {filler}.")),
            ]},
            "caption": "Your side?",
            "hashtags": ["#nfl"],
        })
    }

    fn check(&self, value: Value) -> Checked {
        let written = Written { value, model: "m-1".into(), request_id: None };
        answer::check(self.brief(), "anthropic", &written)
    }
}

#[test]
fn a_good_idea_is_taken_with_our_own_fields() {
    let day = Day::new();
    for value in [day.idea(), json!({"ideas": [day.idea()]})] {
        let checked = day.check(value);
        assert_eq!((checked.faults, checked.doubts), (Vec::new(), Vec::new()));
        let idea = checked.idea.expect("an idea");
        assert_eq!((idea.provider.as_str(), idea.model.as_deref()), ("anthropic", Some("m-1")));
        let layouts: Vec<_> =
            idea.script.sections.iter().filter_map(|s| s.slide.layout.as_deref()).collect();
        assert_eq!(layouts, ["poster", "pick", "outro"]);
        assert_eq!(idea.script.word_count, Some(idea.script.words()));
        assert!(idea.caption.ends_with(crate::media::words::DISCLAIMER));
    }
}

#[test]
fn each_fault_is_found_where_it_is() {
    let day = Day::new();
    for (pointer, value, at) in [
        ("/pick/player_name", json!("Nobody"), "/pick"),
        ("/pick/line", json!(1.25), "/pick"),
        ("/pick/side", json!("both"), "/pick/side"),
        ("/headline", json!("x".repeat(61)), "/headline"),
        ("/caption", json!("x".repeat(2300)), "/caption"),
        ("/hashtags", json!(vec!["#a"; 31]), "/hashtags"),
        ("/hashtags", json!("#a"), "/hashtags"),
        ("/script/sections/0/text", json!("Short."), "/script/sections"),
        ("/script/sections/0/text", json!("word ".repeat(70)), "/script/sections"),
        ("/script/sections/0/role", json!("intro"), "/script/sections/0/role"),
        ("/script/sections/0/slide/title", json!("x".repeat(41)), "/script/sections/0/slide/title"),
        (
            "/script/sections/0/slide/bullets",
            json!(["x".repeat(31)]),
            "/script/sections/0/slide/bullets/0",
        ),
        ("/script", json!(null), "/script"),
    ] {
        let mut idea = day.idea();
        *idea.pointer_mut(pointer).expect("a place") = value.clone();
        let checked = day.check(idea);
        assert!(!checked.is_usable(), "{pointer} {value}");
        let places: Vec<&str> = checked.faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert!(places.contains(&at), "{pointer}: {places:?}");
        let told = prompt::repair(&checked.faults, &checked.doubts);
        assert!(told.contains(at), "{told}");
    }
    for value in [json!({"ideas": []}), json!([1]), json!("an idea"), json!({"ideas": 3})] {
        assert!(!day.check(value).is_usable());
    }
}

#[test]
fn numbers_that_stand_in_no_fact_and_missing_sections_are_doubts() {
    let day = Day::new();
    let mut idea = day.idea();
    idea["caption"] = json!("He had 987 yards in 2019, and 3 reasons.");
    idea["script"]["sections"].as_array_mut().expect("sections").remove(2);
    idea["script"]["sections"][0]["text"] = json!("look at this one now ".repeat(8));
    let checked = day.check(idea);
    assert!(checked.is_usable(), "{:?}", checked.faults);
    let told: Vec<(&str, &str)> =
        checked.doubts.iter().map(|d| (d.pointer.as_str(), d.found.as_str())).collect();
    assert!(told.contains(&("/script/sections", "2")), "{told:?}");
    let caption = told.iter().find(|(pointer, _)| *pointer == "/caption").expect("a doubt");
    assert!(caption.1.contains("987") && caption.1.contains("2019"), "{told:?}");
}

#[test]
fn a_milestone_has_no_under() {
    let mut day = Day::new();
    day.slate.matchups[0].props[0].market = Some("milestone".into());
    let mut idea = day.idea();
    idea["pick"]["side"] = json!("under");
    let checked = day.check(idea);
    assert!(checked.faults.iter().any(|fault| fault.pointer == "/pick/side"));
}

#[test]
fn numbers_are_read_as_people_write_them() {
    let found: Vec<&str> =
        answer::numbers("Over 262.5, at -110. The 49ers (3-1) won 24.0 to 7; O/U 49.5!").collect();
    assert_eq!(found, ["262.5", "110", "3", "1", "24", "7", "49.5"]);
}

#[test]
fn a_model_is_told_the_facts_and_how_long_it_may_speak() {
    let day = Day::new();
    let question = prompt::question(day.brief(), 100);
    let Turn::User(text, pictures) = &question.turns[0] else { panic!("it is the user's turn") };
    assert!(pictures.is_empty());
    let game = &day.slate.matchups[0];
    for fact in [&game.away_team, &game.home_team, &game.props[0].player_name] {
        assert!(text.contains(fact.as_str()), "{fact}");
    }
    assert!(text.contains("\"about\": 53"), "{text}");
    let silent = CalendarConfig { layers: vec!["L3".into()], ..day.calendar.clone() };
    let question = prompt::question(Brief { calendar: &silent, ..day.brief() }, 100);
    let Turn::User(text, _) = &question.turns[0] else { panic!("it is the user's turn") };
    assert!(!text.contains("spoken_words"));
}
