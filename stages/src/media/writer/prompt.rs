//! What a model is told: the facts of one game, what is wanted of it, and the form of its answer.

use flow_core::schema::Fault;
use serde_json::{Value, json};

use super::{Brief, sentence};
use crate::client::language::{Question, Turn};
use crate::contract::{NormalizedMatchup, PropData};
use crate::media::words;

/// The most props that a model is shown.
const MOST_PROPS: usize = 40;

const SYSTEM: &str = "\
You write short vertical videos about one player prop of one game, for adults who follow the sport. \
You are given facts as JSON. They are all you know.\n\
- Use numbers, names and times only as they stand in the facts. Never invent or compute a number, a \
record, a trend, an injury, a quote or a result.\n\
- Choose one prop as the pick. Copy its player_name, stat_type and line unchanged. A prop whose \
market is milestone has no under.\n\
- Argue from the market alone: line, prices, spread, total. Never promise that a pick wins, and never \
press anybody to bet.\n\
- Plain words in plain sentences: no markup, no emoji, no hashtags outside `hashtags`.\n\
- `script.sections` are spoken one after the other, each over its slide. The first has the role hook, \
the last the role cta, those between the role body; a single one has the role body. The pick is said \
in a body section.\n\
- Slides show few words: a title of at most 40 characters, and at most 4 bullets of at most 30 \
characters each. They do not repeat the spoken text.\n\
- `headline` has at most 60 characters. `caption` is the text to post, at most 1500 characters. \
`hashtags` are 3 to 10 words with a # in front.";

/// What a model is asked for.
pub(super) fn question(brief: Brief<'_>, most_tokens: u64) -> Question {
    let text = format!(
        "Write one idea. The facts:\n{}\n\nWhat is wanted:\n{}",
        pretty(&facts(brief)),
        pretty(&wanted(brief)),
    );
    Question {
        system: SYSTEM.to_owned(),
        turns: vec![Turn::User(text, Vec::new())],
        schema: schema(brief.game),
        most_tokens,
    }
}

/// What was wrong with the answer.
pub(super) fn repair(faults: &[Fault], doubts: &[Fault]) -> String {
    let lines: Vec<String> =
        faults.iter().chain(doubts).map(|fault| format!("- {}", sentence(fault))).collect();
    format!(
        "That idea cannot be used as it is. What is wrong with it, by JSON pointer:\n{}\n\nGive the \
         whole idea again with all of this put right, in the same form and from the same facts.",
        lines.join("\n")
    )
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_never| value.to_string())
}

/// All that a model may tell.
pub(super) fn facts(brief: Brief<'_>) -> Value {
    let Brief { game, segment, calendar, seed } = brief;
    let mut facts = json!({
        "sport": game.sport,
        "date": calendar.date,
        "season": calendar.season,
        "week": calendar.week,
        "away_team": game.away_team,
        "home_team": game.home_team,
        "starts": words::start(&game.game_time, &calendar.timezone),
        "spread_of_the_home_team": game.vegas_spread,
        "total": game.over_under,
        "piece": segment.title,
        "props": game.props.iter().take(MOST_PROPS).map(prop).collect::<Vec<_>>(),
    });
    if !seed.is_empty() {
        facts["variation"] = seed.into();
    }
    without_nothing(&mut facts);
    facts
}

fn prop(prop: &PropData) -> Value {
    let chance = |odds: Option<i64>| odds.map(|odds| words::percent(words::implied(odds)));
    let mut told = json!({
        "player_name": prop.player_name,
        "team": prop.team,
        "stat_type": prop.stat_type,
        "said_as": words::stat_name(&prop.stat_type),
        "line": prop.line,
        "market": if prop.is_milestone() { "milestone" } else { "over_under" },
        "over_odds": prop.over_odds.map(words::american),
        "under_odds": prop.under_odds.map(words::american),
        "over_break_even_percent": chance(prop.over_odds),
        "under_break_even_percent": chance(prop.under_odds),
    });
    without_nothing(&mut told);
    told
}

fn without_nothing(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null() && *value != "");
    }
}

/// Form and length.
fn wanted(brief: Brief<'_>) -> Value {
    let mut wanted = json!({"sections": brief.segment.slides});
    if let Some(target) = words::target_words(brief.segment, brief.calendar) {
        wanted["spoken_words_in_all_sections"] = json!({
            "about": target,
            "at_least": (target * 3).div_ceil(4),
            "at_most": target * 5 / 4,
            "how_to_count": "a word counts as one; of a number each digit, point and sign counts as one",
        });
    }
    wanted
}

/// The form of the answer. Limits that a schema for models cannot state are in the words above.
fn schema(game: &NormalizedMatchup) -> Value {
    let shown = || game.props.iter().take(MOST_PROPS);
    let slide = record(&json!({
        "title": text("At most 40 characters."),
        "bullets": list(&text("At most 30 characters.")),
    }));
    let section = record(&json!({
        "role": {"type": "string", "enum": ["hook", "body", "cta"]},
        "text": text("What is spoken: 1 to 400 characters."),
        "slide": slide,
    }));
    let pick = record(&json!({
        "player_name": {"type": "string", "enum": unique(shown().map(|p| p.player_name.as_str()))},
        "stat_type": {"type": "string", "enum": unique(shown().map(|p| p.stat_type.as_str()))},
        "line": {"type": "number"},
        "side": {"type": "string", "enum": ["over", "under"]},
    }));
    let idea = record(&json!({
        "headline": text("One line that sells it, at most 60 characters."),
        "angle": text("Why this pick, in a word or two, such as market_lean."),
        "pick": pick,
        "script": record(&json!({"sections": list(&section)})),
        "caption": text("The text to post, at most 1500 characters."),
        "hashtags": list(&text("A word with a # in front.")),
    }));
    record(&json!({"ideas": list(&idea)}))
}

fn record(properties: &Value) -> Value {
    let names: Vec<&String> =
        properties.as_object().into_iter().flat_map(|map| map.keys()).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": false,
    })
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}
