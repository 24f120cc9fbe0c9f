//! What a model wrote, made an idea and held to its rules.

use std::collections::BTreeSet;

use flow_core::schema::{Fault, Severity, validate};
use serde_json::{Map, Value, json};

use super::{Brief, Checked, prompt};
use crate::client::language::Written;
use crate::contract::{self, IdeaPackage};
use crate::media::words;

/// Raised when the same facts are put to a model in other words.
const PROMPT: &str = "prompt-1";
/// Numbers that may be said without being a fact of the game: those of the disclaimer, and the counts
/// of everyday speech.
const COMMON: [&str; 7] = ["1", "2", "21", "800", "18", "24", "100"];

/// Makes an idea of what was written, and finds all that is wrong with it.
pub(super) fn check(brief: Brief<'_>, provider: &str, written: &Written) -> Checked {
    let Some(value) = completed(brief, provider, written) else {
        let fault = Fault::error("/ideas/0", "one idea", "none");
        return Checked { idea: None, faults: vec![fault], doubts: Vec::new() };
    };
    let mut faults = validate(&contract::ty::<IdeaPackage>(), &value);
    // The game is not the model's.
    faults.retain(|fault| !fault.pointer.starts_with("/matchup"));
    if faults.iter().any(|fault| fault.severity == Severity::Error) {
        return Checked { idea: None, faults, doubts: Vec::new() };
    }
    let mut idea: IdeaPackage = match contract::read(&value) {
        Ok(idea) => idea,
        Err(error) => {
            faults.push(Fault::error("", "an idea", error.to_string()));
            return Checked { idea: None, faults, doubts: Vec::new() };
        }
    };
    idea.script.word_count = Some(idea.script.words());
    faults.extend(impossible_side(brief, &idea));
    let mut doubts = invented(brief, &idea);
    doubts.extend(other_count(brief, &idea));
    Checked { idea: Some(idea), faults, doubts }
}

/// What was written, with the fields that are ours.
fn completed(brief: Brief<'_>, provider: &str, written: &Written) -> Option<Value> {
    let Brief { game, segment, calendar, .. } = brief;
    let listed = written.value.get("ideas");
    let mut idea = match listed {
        Some(Value::Array(ideas)) => ideas.first()?.as_object()?.clone(),
        Some(_) => return None,
        None => written.value.as_object()?.clone(),
    };
    let ours = json!({
        "schema_version": 1,
        "idea_id": words::idea_id(game, segment, PROMPT),
        "matchup_id": game.matchup_id,
        "provider": provider,
        "model": written.model,
        "status": "approved",
        "disclaimer": words::DISCLAIMER,
        "matchup": serde_json::to_value(game).ok()?,
    });
    idea.extend(ours.as_object()?.clone());
    if let Some(Value::Object(script)) = idea.get_mut("script") {
        let target = words::target_words(segment, calendar);
        script.insert("language".into(), "en-US".into());
        script.insert("target_words".into(), target.into());
        script.remove("word_count");
        number_sections(script);
    }
    if let Some(Value::String(caption)) = idea.get_mut("caption")
        && !caption.contains(words::DISCLAIMER)
    {
        *caption = format!("{}\n\n{}", caption.trim_end(), words::DISCLAIMER);
    }
    Some(Value::Object(idea))
}

/// Gives each section its id, and each slide the layout that suits what it is for.
fn number_sections(script: &mut Map<String, Value>) {
    let sections = script.get_mut("sections").and_then(Value::as_array_mut);
    let mut is_first_body = true;
    for (at, section) in sections.into_iter().flatten().enumerate() {
        let Some(section) = section.as_object_mut() else { continue };
        section.insert("section_id".into(), format!("s{}", at + 1).into());
        let layout = match section.get("role").and_then(Value::as_str) {
            Some("hook") => "poster",
            Some("cta") => "outro",
            _ if std::mem::take(&mut is_first_body) => "pick",
            _ => "board",
        };
        if let Some(Value::Object(slide)) = section.get_mut("slide") {
            slide.insert("layout".into(), layout.into());
        }
    }
}

/// An under where there is none to be had.
fn impossible_side(brief: Brief<'_>, idea: &IdeaPackage) -> Option<Fault> {
    let prop = brief.game.props.iter().find(|prop| idea.pick.is_on(prop))?;
    (prop.is_milestone() && idea.pick.side != "over")
        .then(|| Fault::error("/pick/side", "over: a milestone has no under", &idea.pick.side))
}

fn other_count(brief: Brief<'_>, idea: &IdeaPackage) -> Option<Fault> {
    let (wanted, found) = (brief.segment.slides as usize, idea.script.sections.len());
    (wanted != found).then(|| {
        Fault::warning("/script/sections", format!("{wanted} sections"), format!("{found}"))
    })
}

/// Numbers that stand in no fact.
fn invented(brief: Brief<'_>, idea: &IdeaPackage) -> Vec<Fault> {
    let facts = prompt::facts(brief).to_string();
    let mut known: BTreeSet<&str> = numbers(&facts).collect();
    known.extend(COMMON);
    let invented = |(pointer, text): (String, &str)| {
        let new: Vec<&str> = numbers(text).filter(|number| !known.contains(number)).collect();
        (!new.is_empty())
            .then(|| Fault::warning(pointer, "numbers from the facts alone", new.join(", ")))
    };
    texts(idea).into_iter().filter_map(invented).collect()
}

/// All that a model wrote to be read or heard, with its place.
fn texts(idea: &IdeaPackage) -> Vec<(String, &str)> {
    let mut texts = vec![
        ("/headline".to_owned(), idea.headline.as_str()),
        ("/caption".to_owned(), idea.caption.as_str()),
    ];
    for (at, section) in idea.script.sections.iter().enumerate() {
        let here = format!("/script/sections/{at}");
        texts.push((format!("{here}/text"), &section.text));
        texts.push((format!("{here}/slide/title"), &section.slide.title));
        let bullets = section.slide.bullets.iter().enumerate();
        texts.extend(bullets.map(|(b, text)| (format!("{here}/slide/bullets/{b}"), text.as_str())));
    }
    texts
}

/// Numbers of a text without their signs; `3.0` is `3`, and what belongs to a name such as `49ers`
/// is none.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '.').filter_map(|word| {
        let number = word.trim_matches('.');
        let is_number = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        is_number.then(|| number.strip_suffix(".0").unwrap_or(number))
    })
}
