//! `media.calendar`: what is made of the day's games.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::error::StageError;
use flow_core::schema::Type;
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Drafts, FieldKind, Job, NodeView, Ports, Stage, StageSpec,
};
use jiff::civil::Date;
use serde_json::Value;

use super::ports::{config_error, draft, field, input, number, port, text};
use super::words::team_nickname;
use crate::contract::{self, CalendarConfig, NormalizedMatchup, SegmentData, Slate};

/// How a day's pieces are made.
struct Preset {
    name: &'static str,
    /// Layers it uses; without `L4` nothing is spoken and every slide stands for a fixed time.
    layers: &'static [&'static str],
    slides: u32,
    /// Length of a piece; where nothing is spoken it follows from the slides.
    spoken: Option<Duration>,
}

const SPOKEN: &[&str] = &["L1", "L2", "L3", "L4", "L5", "L6", "L7"];
const SILENT: &[&str] = &["L1", "L2", "L3", "L5", "L6", "L7"];

const PRESETS: [Preset; 4] = [
    Preset { name: "narrated", layers: SPOKEN, slides: 4, spoken: Some(Duration::from_secs(20)) },
    Preset {
        name: "narrated_long",
        layers: SPOKEN,
        slides: 7,
        spoken: Some(Duration::from_secs(40)),
    },
    Preset { name: "carousel", layers: SILENT, slides: 3, spoken: None },
    Preset { name: "carousel_long", layers: SILENT, slides: 6, spoken: None },
];

/// How long a slide stands where nothing is spoken.
const SILENT_SLIDE_MS: u64 = 2_500;

/// Whole numbers of `with`, and their limits.
const LIMITS: [(&str, std::ops::RangeInclusive<u64>); 2] =
    [("slides", 1..=10), ("max_matchups", 1..=20)];
/// Limits of `target_duration`, in milliseconds.
const DURATIONS_MS: std::ops::RangeInclusive<u64> = 6_000..=90_000;

/// Plans the pieces of a day: one for each game, the closest and highest-scoring first.
pub(super) struct CalendarStage {
    spec: StageSpec,
}

impl CalendarStage {
    pub(super) fn new() -> Self {
        Self {
            spec: StageSpec {
                name: "media.calendar",
                version: 1,
                summary: "Plans which games get a piece, how long it is and how many slides it has",
                inputs: Ports::Fixed(vec![port(
                    "slate",
                    contract::ty::<Slate>(),
                    "The day's games.",
                )]),
                outputs: Ports::Fixed(vec![
                    port("calendar", contract::ty::<CalendarConfig>(), "The plan of the day."),
                    port(
                        "segments",
                        contract::ty::<SegmentData>().list(),
                        "The pieces to make, the most interesting game first.",
                    ),
                ]),
                config: vec![
                    field(
                        "preset",
                        FieldKind::Text,
                        "`narrated` (default, 4 slides, 20 s), `narrated_long` (7, 40 s), `carousel` (3 silent slides) or `carousel_long` (6).",
                    ),
                    field(
                        "target_duration",
                        FieldKind::Duration,
                        "Length of a narrated piece, 6s to 90s; silent slides stand for 2.5 s each.",
                    ),
                    field("slides", FieldKind::Plain(Type::Integer), "Slides of a piece, 1 to 10."),
                    field(
                        "max_matchups",
                        FieldKind::Plain(Type::Integer),
                        "Most games to work on, 1 to 20; default 11.",
                    ),
                ],
                needs_scratch: false,
                example: r#"[nodes.calendar]
stage  = "media.calendar"
inputs = { slate = "slate.slate" }
with   = { preset = "narrated", target_duration = "20s", max_matchups = 1 }
"#,
            },
        }
    }
}

impl Stage for CalendarStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let outside = LIMITS.iter().filter_map(|(name, range)| {
            let given = node.config.get(*name).and_then(Value::as_i64)?;
            let inside = u64::try_from(given).is_ok_and(|given| range.contains(&given));
            (!inside).then(|| ConfigFault {
                pointer: format!("/{name}"),
                message: outside(name, range),
                help: None,
            })
        });
        outside.collect()
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let slate: Slate = input(&job, "slate")?;
            let wishes = Wishes::read(&job)?;
            if wishes.preset.spoken.is_none() && number(&job, "target_duration").is_some() {
                context.warn(format!(
                    "`target_duration` changes nothing: the preset {} is silent, and each of its slides stands for 2.5 s",
                    wishes.preset.name
                ));
            }
            let (calendar, segments) = plan(&slate, &wishes)?;
            Ok(BTreeMap::from([
                ("calendar".to_owned(), draft(&calendar)?),
                ("segments".to_owned(), draft(&segments)?),
            ]))
        })
    }
}

/// What the workflow asks for.
struct Wishes {
    preset: &'static Preset,
    duration_ms: u64,
    slides: u32,
    max_matchups: u32,
}

impl Wishes {
    fn read(job: &Job) -> Result<Self, StageError> {
        let name = text(job, "preset").unwrap_or(PRESETS[0].name);
        let preset = PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
            let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            let hint = format!("choose one of {}", known.join(", "));
            config_error("preset", format!("{name} is no known preset"), &hint)
        })?;
        let slides = limited(job, 0, preset.slides)?;
        let duration_ms = match preset.spoken {
            Some(usual) => spoken_ms(job, usual)?,
            None => u64::from(slides) * SILENT_SLIDE_MS,
        };
        Ok(Self { preset, duration_ms, slides, max_matchups: limited(job, 1, 11)? })
    }
}

/// The whole number of `with` that the limits of this place are for.
fn limited(job: &Job, place: usize, default: u32) -> Result<u32, StageError> {
    let (name, range) = &LIMITS[place];
    let Some(given) = number(job, name) else { return Ok(default) };
    let inside = u32::try_from(given).ok().filter(|_| range.contains(&given));
    inside.ok_or_else(|| {
        let hint = format!("choose a number from {} to {}", range.start(), range.end());
        config_error(name, format!("{}, not {given}", outside(name, range)), &hint)
    })
}

fn outside(name: &str, range: &std::ops::RangeInclusive<u64>) -> String {
    format!("{name} must be from {} to {}", range.start(), range.end())
}

fn spoken_ms(job: &Job, usual: Duration) -> Result<u64, StageError> {
    let usual = u64::try_from(usual.as_millis()).unwrap_or(u64::MAX);
    let given = number(job, "target_duration").unwrap_or(usual);
    if DURATIONS_MS.contains(&given) {
        return Ok(given);
    }
    let message = format!("target_duration must be from 6s to 90s, not {given} ms");
    Err(config_error("target_duration", message, "choose a length that platforms take"))
}

fn plan(slate: &Slate, wishes: &Wishes) -> Result<(CalendarConfig, Vec<SegmentData>), StageError> {
    let date: Date = slate.date.parse().map_err(|e: jiff::Error| {
        config_error("date", format!("{} is no date", slate.date), "look at the slate").cause(e)
    })?;
    let sport = slate.sport.clone().or_else(|| slate.matchups.first().map(|m| m.sport.clone()));
    let sport = sport.unwrap_or_default();
    let calendar = CalendarConfig {
        schema_version: 1,
        date: slate.date.clone(),
        timezone: slate.timezone.clone(),
        season: slate.season.unwrap_or_else(|| season_of(date, &sport)),
        phase: phase_of(slate.week, &sport).to_owned(),
        sport,
        week: slate.week,
        preset_id: wishes.preset.name.to_owned(),
        layers: wishes.preset.layers.iter().map(|&layer| layer.to_owned()).collect(),
        max_matchups: wishes.max_matchups,
    };
    let segments = by_interest(&slate.matchups)
        .into_iter()
        .take(wishes.max_matchups as usize)
        .map(|matchup| segment(matchup, date, wishes))
        .collect();
    Ok((calendar, segments))
}

fn segment(matchup: &NormalizedMatchup, date: Date, wishes: &Wishes) -> SegmentData {
    let away = team_nickname(&matchup.away_team, matchup.away.as_ref());
    let home = team_nickname(&matchup.home_team, matchup.home.as_ref());
    SegmentData {
        segment_id: format!("{}-{}", wishes.preset.name, matchup.matchup_id),
        title: format!("{away} at {home}"),
        kind: "matchup".into(),
        weekday: Some(date.strftime("%A").to_string().to_lowercase()),
        matchup_ids: vec![matchup.matchup_id.clone()],
        target_duration_ms: wishes.duration_ms,
        slides: wishes.slides,
    }
}

/// Close games with many points first; ties in the order of their ids.
fn by_interest(matchups: &[NormalizedMatchup]) -> Vec<&NormalizedMatchup> {
    let score = |m: &NormalizedMatchup| {
        m.over_under.unwrap_or(0.0) - 2.0 * m.vegas_spread.map_or(7.0, f64::abs)
    };
    let mut sorted: Vec<&NormalizedMatchup> = matchups.iter().collect();
    sorted.sort_by(|a, b| {
        score(b).total_cmp(&score(a)).then_with(|| a.matchup_id.cmp(&b.matchup_id))
    });
    sorted
}

/// The year in which the season of a day began: winter sports reach into the next year.
pub(super) fn season_of(date: Date, sport: &str) -> u32 {
    let last_month_of_last_years = match sport {
        "nfl" | "ncaaf" => 2,
        "nba" | "nhl" | "ncaab" => 6,
        _ => 0,
    };
    let back = i16::from(date.month() <= last_month_of_last_years);
    u32::try_from(date.year() - back).unwrap_or_default()
}

fn phase_of(week: Option<u32>, sport: &str) -> &'static str {
    match (sport, week) {
        ("nfl", Some(19..)) => "postseason",
        ("nfl", Some(0)) => "preseason",
        _ => "regular",
    }
}

#[cfg(test)]
mod tests {
    use flow_core::error::{ErrorClass, ErrorKind};
    use flow_core::schema::validate;
    use serde_json::{Value, json};

    use super::*;

    fn slate() -> Slate {
        let file = include_str!("../../../workflows/data/slate.json");
        let file: Value = serde_json::from_str(file).expect("JSON");
        let slate = super::super::slate::build(file, jiff::civil::date(2025, 11, 23), None);
        contract::read(&slate.expect("a slate").slate).expect("a Slate")
    }

    fn wishes(config: Value) -> Result<Wishes, StageError> {
        Wishes::read(&Job {
            config,
            inputs: BTreeMap::new(),
            outputs: Vec::new(),
            timeout: None,
            reserved: Vec::new(),
        })
    }

    fn planned(config: Value) -> (CalendarConfig, Vec<SegmentData>) {
        plan(&slate(), &wishes(config).expect("wishes")).expect("a plan")
    }

    #[test]
    fn the_most_open_high_scoring_games_come_first() {
        let (_, segments) = planned(json!({"max_matchups": 3}));
        let titles: Vec<&str> = segments.iter().map(|s| s.title.as_str()).collect();
        assert_eq!(titles, ["Vikings at Lions", "49ers at Cardinals", "Commanders at Cowboys"]);
    }

    #[test]
    fn plans_are_records_without_faults() {
        for preset in PRESETS.map(|preset| preset.name) {
            let (calendar, segments) = planned(json!({"preset": preset}));
            let calendar = serde_json::to_value(calendar).expect("JSON");
            assert_eq!(validate(&contract::ty::<CalendarConfig>(), &calendar), []);
            let segments = serde_json::to_value(segments).expect("JSON");
            assert_eq!(validate(&contract::ty::<SegmentData>().list(), &segments), []);
            assert_eq!(segments.as_array().map(Vec::len), Some(11));
        }
    }

    #[test]
    fn a_carousel_skips_the_narration() {
        let (calendar, segments) = planned(json!({"preset": "carousel"}));
        assert!(!calendar.layers.contains(&"L4".to_owned()));
        assert_eq!((segments[0].slides, segments[0].target_duration_ms), (3, 7_500));
        let (_, segments) = planned(json!({"preset": "carousel_long", "target_duration": 30_000}));
        assert_eq!((segments[0].slides, segments[0].target_duration_ms), (6, 15_000));
    }

    #[test]
    fn wishes_outside_the_limits_are_refused_with_the_limits() {
        let cases = [
            (json!({"slides": 0}), "slides must be from 1 to 10, not 0"),
            (json!({"slides": 11}), "slides must be from 1 to 10, not 11"),
            (json!({"slides": "11"}), "slides must be from 1 to 10, not 11"),
            (json!({"max_matchups": 21}), "max_matchups must be from 1 to 20, not 21"),
            (
                json!({"target_duration": 5_999}),
                "target_duration must be from 6s to 90s, not 5999 ms",
            ),
        ];
        for (config, message) in cases {
            let error = wishes(config).err().expect("it is refused");
            assert_eq!(error.message, message);
            assert_eq!((error.class, error.kind), (ErrorClass::Config, ErrorKind::Validation));
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn the_same_slate_and_wishes_give_the_same_plan() {
        let wishes = || json!({"preset": "narrated", "slides": 5, "max_matchups": 20});
        assert_eq!(planned(wishes()), planned(wishes()));
        assert_eq!(planned(wishes()).1.len(), 15);
    }

    #[test]
    fn an_unknown_preset_names_the_known_ones() {
        let error = wishes(json!({"preset": "podcast"})).err().expect("it is refused");
        assert_eq!(
            error.hint.as_deref(),
            Some("choose one of narrated, narrated_long, carousel, carousel_long")
        );
    }

    #[test]
    fn a_season_is_the_year_it_began() {
        let cases = [
            ((2025, 1, 5), "nfl", 2024),
            ((2025, 9, 5), "nfl", 2025),
            ((2026, 4, 1), "nba", 2025),
            ((2026, 4, 1), "mlb", 2026),
        ];
        for ((y, m, d), sport, season) in cases {
            assert_eq!(season_of(jiff::civil::date(y, m, d), sport), season, "{sport} {y}-{m}");
        }
    }
}
