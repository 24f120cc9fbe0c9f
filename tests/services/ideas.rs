//! What a language model would write when it is asked for an idea: it reads the facts in the prompt, and
//! writes an idea about one of the props, or what a test wants it to write.

use serde_json::{Value, json};

/// How a model behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// It does what it is asked for.
    #[default]
    Good,
    /// It writes prose in the place of JSON.
    Prose,
    /// It picks a player who is in no game.
    ForeignPick,
    /// The same, until it is told.
    ForeignPickOnce,
    /// It tells numbers that are in no fact.
    Invents,
    /// It writes more than it may, unless it may write a lot.
    LongWinded,
    /// It refuses.
    Refuses,
}

/// Whether a prompt asks for an idea.
pub fn is_asked_for(prompt: &str) -> bool {
    prompt.contains("The facts:\n")
}

/// An idea for a prompt. `is_repair`: the model has been told that something was wrong.
pub fn idea(prompt: &str, mood: Mood, is_repair: bool) -> Value {
    let (facts, wanted) =
        (json_after(prompt, "The facts:\n"), json_after(prompt, "What is wanted:\n"));
    let prop = &facts["props"][0];
    let (player, line) = (prop["player_name"].as_str().unwrap_or_default(), &prop["line"]);
    let stat = prop["said_as"].as_str().unwrap_or_default();
    let is_foreign = mood == Mood::ForeignPick || mood == Mood::ForeignPickOnce && !is_repair;
    let picked = if is_foreign { "Nobody Inparticular" } else { player };
    let tail = if mood == Mood::Invents { " He did it in 97531 games." } else { "" };
    let said = format!("The pick is {player}, over {line} {stat}.{tail}");
    let sections = sections(&facts, &wanted, &said);
    let headline: String = format!("{player} over {line} {stat}").chars().take(60).collect();
    json!({"ideas": [{
        "headline": headline,
        "angle": "market_lean",
        "pick": {"player_name": picked, "stat_type": prop["stat_type"], "line": line, "side": "over"},
        "script": {"sections": sections},
        "caption": format!("{player} over {line} {stat}. Your pick?"),
        "hashtags": ["#props", "#sports"],
    }]})
}

fn json_after(text: &str, mark: &str) -> Value {
    let rest = text.split_once(mark).map(|(_, rest)| rest).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    values.next().and_then(Result::ok).unwrap_or_default()
}

/// As many sections as are wanted, with about as many words.
fn sections(facts: &Value, wanted: &Value, said: &str) -> Vec<Value> {
    let team = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
    let count = wanted["sections"].as_u64().unwrap_or(1).max(1) as usize;
    let hook =
        format!("{} visit {}, and one line stands out.", team("away_team"), team("home_team"));
    let mut texts = vec![said.to_owned()];
    if count > 1 {
        texts.insert(0, hook);
    }
    while texts.len() + 1 < count {
        texts.push(format!("The market leans our way on the {}.", team("away_team")));
    }
    if texts.len() < count {
        texts.push(format!("Tell us your side of the {}, and follow us.", team("home_team")));
    }
    let about = wanted["spoken_words_in_all_sections"]["about"].as_u64().unwrap_or_default();
    let mut at = 0;
    while texts.iter().map(|text| words(text)).sum::<u64>() + 6 <= about {
        let text = &mut texts[at % count];
        text.push_str(" We like how this one looks.");
        at += 1;
    }
    let role = |at: usize| match at {
        _ if count == 1 => "body",
        0 => "hook",
        at if at + 1 == count => "cta",
        _ => "body",
    };
    let section = |(at, text): (usize, String)| {
        let slide = json!({"title": format!("Part {}", ["one", "two", "three"][at % 3]),
                           "bullets": ["A closer look"]});
        json!({"role": role(at), "text": text, "slide": slide})
    };
    texts.into_iter().enumerate().map(section).collect()
}

/// Words as they are heard.
fn words(text: &str) -> u64 {
    let heard = |word: &str| {
        let core = word.trim_end_matches(['.', ',', '!', '?', ';', ':']);
        let digits = core.chars().filter(char::is_ascii_digit).count();
        let signs = core.chars().filter(|c| ".-+%".contains(*c)).count();
        if digits == 0 { 1 } else { (digits + signs) as u64 }
    };
    text.split_whitespace().map(heard).sum()
}
