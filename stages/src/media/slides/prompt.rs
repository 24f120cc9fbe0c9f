//! What the picture behind a slide is to show.

use flow_core::digest::Digest;

use crate::contract::{IdeaPackage, ScriptSection};

/// How pictures look where `with.style` says nothing else.
const STYLE: &str = "Cinematic photograph, dramatic light, deep shadows, shallow depth of field.";

/// What keeps a picture behind the words that are drawn over it.
const RULES: &str = "Upright picture, a background for words that are added later: calm and dark in the \
                     middle. No text, no letters, no numbers, no logos, no watermarks, no faces.";

/// From where a scene is seen: sections of one script that say nothing of their own show different pictures,
/// and no two of their orders are the same, also where a service has no seeds.
const VIEWS: [&str; 10] = [
    "Wide view",
    "Seen from low down",
    "Seen from above",
    "Long lens, flattened depth",
    "Seen through rain",
    "Backlit, from the side",
    "Close view",
    "Seen from behind",
    "Seen through an arch",
    "In the last light of the day",
];

/// The prompt for the picture of a section: what the script says, or a scene of the sport, then the
/// style, and that there are no words in it.
pub(super) fn prompt(idea: &IdeaPackage, section: &ScriptSection, style: Option<&str>) -> String {
    let said = section.slide.visual_prompt.as_deref().map(str::trim);
    let scene = match said.filter(|said| !said.is_empty()) {
        Some(said) if said.ends_with(['.', '!', '?']) => said.to_owned(),
        Some(said) => format!("{said}."),
        None => scene(idea, section),
    };
    format!("{scene} {} {RULES}", style.unwrap_or(STYLE))
}

fn scene(idea: &IdeaPackage, section: &ScriptSection) -> String {
    let sport = idea.matchup_id.split('_').next().unwrap_or_default();
    let (venue, thing) = match sport {
        "nfl" | "ncaaf" => ("an American football stadium", "a leather football on wet grass"),
        "nba" | "ncaab" => ("an indoor basketball arena", "a basketball on polished hardwood"),
        "mlb" => ("a baseball park", "a baseball and a bat on red clay"),
        "nhl" => ("an ice hockey rink", "a puck and a stick on scratched ice"),
        _ => ("a sports stadium", "an empty playing field"),
    };
    let scene = match section.role.as_str() {
        "hook" => {
            format!("The inside of {venue} under floodlights before the game, mist in the air")
        }
        "cta" => format!("{venue} at night, lights of the crowd out of focus"),
        _ => format!("{thing}, close up, floodlights of {venue} out of focus behind"),
    };
    let mut begin = scene.chars();
    let scene: String =
        begin.next().into_iter().flat_map(char::to_uppercase).chain(begin).collect();
    let position = idea.script.sections.iter().position(|own| own.section_id == section.section_id);
    let view = VIEWS[position.unwrap_or_default() % VIEWS.len()];
    format!("{scene}. {view}.{}", colours(idea))
}

/// The colours of both teams, where they are known.
fn colours(idea: &IdeaPackage) -> String {
    let teams = idea.matchup.iter().flat_map(|game| [&game.away, &game.home]);
    let known: Vec<&str> =
        teams.filter_map(|team| team.as_ref()?.primary_color.as_deref()).collect();
    match known[..] {
        [away, home] => format!(" The light has the colours {away} and {home}."),
        _ => String::new(),
    }
}

/// The seed of a section's picture: the same for the same idea, another one for each round.
pub(super) fn seed(idea: &IdeaPackage, section: &ScriptSection, round: u32) -> u32 {
    let name = format!("{}/{}/{round}", idea.idea_id, section.section_id);
    let digest = Digest::of(name.as_bytes());
    let bytes = digest.as_bytes();
    // Services take whole numbers up to 2^31 - 1.
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::media::ideas::tests::written;

    #[test]
    fn a_section_without_a_prompt_shows_its_sport_and_no_words() {
        let mut idea = written("2025-11-23", 20, 4).remove(0);
        let hook = prompt(&idea, &idea.script.sections[0], None);
        assert!(hook.starts_with("The inside of an American football stadium"), "{hook}");
        assert!(hook.contains("No text") && hook.contains("colours #"), "{hook}");
        // As many as a script may have, none of which says what is to be seen.
        let sections: Vec<ScriptSection> = (0..10)
            .map(|n| ScriptSection {
                section_id: format!("s{n}"),
                ..idea.script.sections[0].clone()
            })
            .collect();
        idea.script.sections.clone_from(&sections);
        let all: HashSet<String> = sections.iter().map(|one| prompt(&idea, one, None)).collect();
        assert_eq!(all.len(), sections.len(), "each section has a picture of its own");
        idea.script.sections[0].slide.visual_prompt = Some("A lone helmet".into());
        let own = prompt(&idea, &idea.script.sections[0], Some("Ink drawing."));
        assert!(own.starts_with("A lone helmet. Ink drawing. Upright picture"), "{own}");
    }

    #[test]
    fn a_seed_belongs_to_idea_section_and_round() {
        let idea = written("2025-11-23", 20, 4).remove(0);
        let sections = &idea.script.sections;
        let first = seed(&idea, &sections[0], 0);
        assert_eq!(first, seed(&idea, &sections[0], 0));
        assert_ne!(first, seed(&idea, &sections[0], 1));
        assert_ne!(first, seed(&idea, &sections[1], 0));
        assert!(first < 1 << 31);
    }
}
