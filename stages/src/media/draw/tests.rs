//! Slides held to their measures, whatever they have to show.

use proptest::prelude::*;

use super::*;
use crate::contract::{IdeaPackage, NormalizedMatchup};
use crate::media::ideas::tests::written;

const LAYOUTS: [&str; 4] = ["poster", "pick", "board", "outro"];

/// Words that names, titles and rows are made of: long, short, accented, signs, other scripts.
fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[A-Z][a-z]{1,14}",
        2 => "[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿāčěğłńőřšťůżž]{1,12}",
        1 => "[A-Z][a-z]{4,12}-[A-Z][a-z]{4,16}",
        1 => "[WM@%&$#]{1,12}",
        1 => "[0-9]{1,9}(\\.[0-9]{1,3})?%?",
        1 => "[\u{4e00}-\u{4e10}\u{1f525}]{1,3}",
    ];
    prop::collection::vec(word, 1..5).prop_map(|words| words.join(" "))
}

fn line() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.5), Just(262.5), 0.001..1.0_f64, 1.0..1e6_f64, Just(1e15), Just(123_456.789)]
}

fn odds() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        Just(None),
        Just(Some(-110)),
        (100..1_000_000_i64).prop_map(Some),
        (-1_000_000..-100_i64).prop_map(Some)
    ]
}

fn colour() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        "#[0-9A-F]{6}".prop_map(Some),
        Just(Some("#FFFFFF".into())),
        Just(Some("#000000".into())),
        Just(Some("#FFFF00".into()))
    ]
}

fn with_teams(
    game: &mut NormalizedMatchup,
    colours: [Option<String>; 2],
    names: [String; 2],
    codes: [String; 2],
) {
    let [away, home] = names;
    (game.away_team, game.home_team) = (away.clone(), home.clone());
    let teams = [game.away.as_mut(), game.home.as_mut()].into_iter().flatten();
    for (((team, colour), name), code) in teams.zip(colours).zip([away, home]).zip(codes) {
        team.primary_color = colour;
        team.name = name;
        team.city = None;
        team.abbreviation = code;
    }
}

/// An idea that shows whatever it is given, on every layout.
fn idea() -> impl Strategy<Value = IdeaPackage> {
    let texts = (words(), words(), prop::collection::vec(words(), 0..5), words());
    let numbers = (line(), odds(), odds(), any::<bool>(), any::<bool>());
    let teams = ([colour(), colour()], [words(), words()], ["[A-Z]{2,4}", "[A-Z]{2,4}"]);
    (texts, numbers, teams).prop_map(|((name, title, bullets, stat), numbers, teams)| {
        let mut idea = written("2025-11-23", 20, 4).remove(0);
        let (line, over, under, is_over, is_milestone) = numbers;
        let game = idea.matchup.as_mut().expect("a game");
        with_teams(game, teams.0, teams.1, teams.2);
        game.props.truncate(1);
        let prop = &mut game.props[0];
        prop.player_name.clone_from(&name);
        prop.stat_type.clone_from(&stat);
        (prop.line, prop.over_odds, prop.under_odds) = (line, over, under);
        prop.market = is_milestone.then(|| "milestone".to_owned());
        idea.pick.player_name = name;
        idea.pick.stat_type = stat;
        idea.pick.line = line;
        idea.pick.side = if is_over { "over" } else { "under" }.into();
        for (section, layout) in idea.script.sections.iter_mut().zip(LAYOUTS) {
            section.slide.title.clone_from(&title);
            section.slide.bullets.clone_from(&bullets);
            section.slide.layout = Some(layout.to_owned());
        }
        idea
    })
}

fn drawn(idea: &IdeaPackage, position: usize) -> Drawing {
    let count = idea.script.sections.len();
    draw(&SlideFacts {
        idea,
        section: &idea.script.sections[position],
        position,
        count,
        backdrop: None,
    })
    .expect("the bundled font")
}

/// The share of pixels in a line's box that have clearly another colour than the box's corners
/// would have without it: the letters are really there.
fn is_inked(drawing: &Drawing, line: &Placed) -> bool {
    let colours = |x: f32, y: f32| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside")]
        let (x, y) = (x as u32, y as u32);
        drawing.image.get_pixel(x.min(WIDTH - 1), y.min(HEIGHT - 1)).0
    };
    let (mut darkest, mut lightest) = ([255_u8; 3], [0_u8; 3]);
    let steps = 60_u8;
    for row in 0..=steps {
        for column in 0..=steps {
            let at = |from: f32, to: f32, step: u8| from + (to - from) * f32::from(step) / 60.0;
            let seen = colours(
                at(line.ink.left, line.ink.right - 1.0, column),
                at(line.ink.top, line.ink.bottom - 1.0, row),
            );
            for part in 0..3 {
                darkest[part] = darkest[part].min(seen[part]);
                lightest[part] = lightest[part].max(seen[part]);
            }
        }
    }
    darkest.iter().zip(lightest).any(|(dark, light)| light.abs_diff(*dark) > 60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 0, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_is_shown_is_legible_whole_and_apart(idea in idea()) {
        for position in 0..idea.script.sections.len() {
            let drawing = drawn(&idea, position);
            prop_assert_eq!(drawing.faults(), Vec::<String>::new(), "slide {}", position);
            prop_assert!(drawing.contrast() >= MIN_CONTRAST);
            for line in &drawing.placed {
                prop_assert!(line.px >= MIN_TEXT_PX);
                prop_assert!(is_inked(&drawing, line), "{:?} cannot be seen", line.text);
            }
        }
    }
}

#[test]
fn letters_with_accents_are_in_the_bundled_font() {
    let mut idea = written("2025-11-23", 20, 4).remove(0);
    idea.matchup = None;
    for name in
        ["Nikola Jokić", "Luka Dončić", "José Ramírez", "Jüri Šmíd", "Łukasz Żółć", "Ñoño Ávila"]
    {
        idea.pick.player_name = name.into();
        let position = idea.script.sections.len() - 1;
        assert_eq!(drawn(&idea, position).issues, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn lines_that_lie_on_each_other_are_faults() {
    let mut drawing = drawn(&written("2025-11-23", 20, 4).remove(0), 0);
    let mut copy = drawing.placed[0].clone();
    copy.ink.left += 5.0;
    drawing.placed.push(copy);
    assert_eq!(drawing.faults().len(), 1);
}

#[test]
fn names_of_wide_signs_stay_clear_of_the_edge_between_teams() {
    let wide = "%WW@$MMM#W@&";
    for colour in ["#FFFF00", "#FFFFFF", "#000000", "#C60C30", "#00FF00"] {
        let mut idea = written("2025-11-23", 20, 4).remove(0);
        let game = idea.matchup.as_mut().expect("a game");
        let colours = [Some(colour.to_owned()), Some(colour.to_owned())];
        with_teams(game, colours, [wide.into(), wide.into()], ["WWWW".into(), "MMMM".into()]);
        idea.script.sections[0].slide.title = wide.into();
        idea.script.sections[0].slide.bullets = vec![wide.repeat(3), wide.repeat(4)];
        let drawing = drawn(&idea, 0);
        let faults: Vec<&Placed> =
            drawing.placed.iter().filter(|line| line.contrast < MIN_CONTRAST).collect();
        assert_eq!(drawing.faults(), Vec::<String>::new(), "{colour} {faults:?}");
    }
}
