//! `media.ideas`: what is said and shown, by a language model or from templates, and from the day's
//! numbers alone.

use std::collections::BTreeMap;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Drafts, FieldKind, Job, NodeView, Ports, Stage, StageSpec,
};
use futures_util::future::join_all;
use serde_json::Value;

use super::ports::{config_error, draft, field, input, input_list, number, port, text};
use super::words::{self, Day};
use super::writer::{self, Brief, PROVIDERS};
use crate::client::chain::providers_field;
use crate::client::service::{keys_field, services_field};
use crate::client::{Chain, Provider, Remote};
use crate::contract::{self, CalendarConfig, IdeaPackage, NormalizedMatchup, SegmentData, Slate};

/// Writes one idea for each segment.
pub(super) struct IdeasStage {
    spec: StageSpec,
    remote: Remote,
}

impl IdeasStage {
    pub(super) fn new(remote: Remote) -> Self {
        Self {
            remote,
            spec: StageSpec {
                name: "media.ideas",
                version: 1,
                summary: "Writes an idea for each segment: a pick, a script, slides and a caption",
                inputs: Ports::Fixed(vec![
                    port("slate", contract::ty::<Slate>(), "The day's games."),
                    port("calendar", contract::ty::<CalendarConfig>(), "The plan of the day."),
                    port("segments", contract::ty::<SegmentData>().list(), "The pieces to make."),
                ]),
                outputs: Ports::Fixed(vec![
                    port("ideas", contract::ty::<IdeaPackage>().list(), "One for each segment."),
                    port("idea", contract::ty::<IdeaPackage>(), "The first of them."),
                ]),
                config: vec![
                    field(
                        "count",
                        FieldKind::Json,
                        "Most ideas to write; default: one for each segment.",
                    ),
                    field(
                        "seed",
                        FieldKind::Text,
                        "Another text gives other ideas for the same day; default: none.",
                    ),
                    providers_field(
                        "Who writes, in order: `anthropic`, `gemini`, `templates`; default: \
                         `[\"templates\"]`.",
                    ),
                    services_field(),
                    keys_field(),
                ],
                needs_scratch: false,
                example: r#"[nodes.ideas]
stage  = "media.ideas"
inputs = { slate = "slate.slate", calendar = "calendar.calendar", segments = "calendar.segments" }
with   = { count = 3 }
"#,
            },
        }
    }
}

impl Stage for IdeasStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let mut faults = PROVIDERS.faults(node);
        let given = node.config.get("count").filter(|given| !is_template(given));
        if given.is_some_and(|given| !is_count(given)) {
            faults.push(ConfigFault {
                pointer: "/count".into(),
                message: "`count` is no whole number".into(),
                help: Some(COUNT_HELP.into()),
            });
        }
        faults
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let slate: Slate = input(&job, "slate")?;
            let calendar: CalendarConfig = input(&job, "calendar")?;
            let segments: Vec<SegmentData> = input_list(&job, "segments")?;
            let count = count(&job)?;
            let seed = text(&job, "seed").unwrap_or_default();
            let wanted: Vec<SegmentData> =
                segments.into_iter().take(count.unwrap_or(usize::MAX)).collect();
            let chain = Chain::read(&job, &self.remote, &PROVIDERS, &["templates"])?;
            let briefs = briefs(&slate, &calendar, &wanted, seed);
            let makers = ask(context, &chain, &briefs).await?;
            let ideas = write(&briefs, makers)?;
            shortcomings(&wanted, &ideas).into_iter().for_each(|text| context.warn(text));
            let first = ideas.first().ok_or_else(nothing_to_write)?;
            Ok(BTreeMap::from([
                ("idea".to_owned(), draft(first)?),
                ("ideas".to_owned(), draft(&ideas)?),
            ]))
        })
    }
}

/// Who makes an idea.
enum Maker {
    /// A model has made it.
    Model(Box<IdeaPackage>),
    /// It is still to be made from templates.
    Templates,
}

/// What is to be written: the segments that name a game of the slate.
fn briefs<'a>(
    slate: &'a Slate,
    calendar: &'a CalendarConfig,
    segments: &'a [SegmentData],
    seed: &'a str,
) -> Vec<Brief<'a>> {
    let brief = |segment| Some(Brief { game: game_of(slate, segment)?, segment, calendar, seed });
    segments.iter().filter_map(brief).collect()
}

fn game_of<'a>(slate: &'a Slate, segment: &SegmentData) -> Option<&'a NormalizedMatchup> {
    segment.matchup_ids.iter().find_map(|id| {
        let id = id.to_ascii_lowercase();
        slate.matchups.iter().find(|game| game.matchup_id == id)
    })
}

/// Asks the chain for each idea: one question for each, so that what was paid for is kept idea by
/// idea. The first is asked alone, and tells which services have no money left; the others follow
/// together, as many at a time as the services take.
async fn ask(
    context: &dyn Context,
    chain: &Chain,
    briefs: &[Brief<'_>],
) -> Result<Vec<Maker>, StageError> {
    let Some((first, others)) = briefs.split_first() else { return Ok(Vec::new()) };
    let mut makers = vec![ask_one(context, chain, *first).await?];
    let asked = others.iter().map(|brief| ask_one(context, chain, *brief));
    for maker in join_all(asked).await {
        makers.push(maker?);
    }
    Ok(makers)
}

async fn ask_one(
    context: &dyn Context,
    chain: &Chain,
    brief: Brief<'_>,
) -> Result<Maker, StageError> {
    chain.ask(context, |provider| Box::pin(made_by(context, provider, brief))).await
}

async fn made_by(
    context: &dyn Context,
    provider: &Provider,
    brief: Brief<'_>,
) -> Result<Maker, StageError> {
    match provider {
        Provider::Local(_) => Ok(Maker::Templates),
        Provider::Remote(service) => {
            let idea = writer::write(context, service, brief).await?;
            Ok(Maker::Model(Box::new(idea)))
        }
    }
}

/// All ideas in order. Those from templates are in no other's words.
fn write(briefs: &[Brief<'_>], makers: Vec<Maker>) -> Result<Vec<IdeaPackage>, StageError> {
    let mut day = Day::default();
    let mut ideas = Vec::with_capacity(briefs.len());
    for (brief, maker) in briefs.iter().zip(makers) {
        let Brief { game, segment, calendar, seed } = *brief;
        match maker {
            Maker::Model(idea) => {
                day.take(game, &idea);
                ideas.push(*idea);
            }
            Maker::Templates => {
                let idea = words::write(&mut day, game, segment, calendar, seed);
                let Some(idea) = idea else { continue };
                let operation = format!("write the idea of {}", segment.segment_id);
                words::check_length(&idea.script, &operation, "ideas", "/script")?;
                ideas.push(idea);
            }
        }
    }
    Ok(ideas)
}

/// What was asked for and is not there, as sentences.
fn shortcomings(wanted: &[SegmentData], ideas: &[IdeaPackage]) -> Vec<String> {
    let mut told = Vec::new();
    if ideas.len() < wanted.len() {
        told.push("some segments name no game of the slate and got no idea".to_owned());
    }
    let most = wanted.iter().map(|segment| segment.slides as usize).max().unwrap_or_default();
    let fewer = ideas.iter().find(|idea| idea.script.sections.len() < most);
    told.extend(fewer.map(|idea| {
        format!(
            "{} has things to tell for {} slides, not for {most}",
            idea.matchup_id,
            idea.script.sections.len()
        )
    }));
    told
}

fn nothing_to_write() -> StageError {
    StageError::new(ErrorClass::Validation, "write ideas", "no segment names a game of the slate")
        .kind(ErrorKind::Validation)
        .port("segments")
        .hint("check that the calendar was made from the same slate")
}

/// How `count` is to be written.
const COUNT_HELP: &str = "write it as a number such as 3, or as \"{{ params.count }}\"";

/// The most ideas to write, if there is a limit. What is no number is never taken for none: models are
/// paid by the idea.
fn count(job: &Job) -> Result<Option<usize>, StageError> {
    match job.config.get("count") {
        None | Some(Value::Null) => Ok(None),
        Some(given) => match number(job, "count").and_then(|n| usize::try_from(n).ok()) {
            Some(count) => Ok(Some(count)),
            None => {
                let message = format!("{given} is no whole number");
                Err(config_error("count", message, COUNT_HELP))
            }
        },
    }
}

fn is_count(given: &Value) -> bool {
    given.as_u64().is_some() || given.as_str().is_some_and(|text| text.parse::<u64>().is_ok())
}

fn is_template(given: &Value) -> bool {
    given.as_str().is_some_and(|text| text.contains("{{"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use flow_core::schema::validate;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_count_that_is_no_number_is_refused_and_never_taken_for_all() {
        let count = |given: Value| {
            let (inputs, outputs) = (BTreeMap::new(), Vec::new());
            let config = serde_json::json!({ "count": given });
            super::count(&Job { config, inputs, outputs, timeout: None, reserved: Vec::new() })
        };
        assert_eq!(count(Value::Null).expect("all"), None);
        assert_eq!(count(3.into()).expect("a number"), Some(3));
        assert_eq!(count("3".into()).expect("a number"), Some(3));
        for wrong in [Value::from("three"), Value::from(-1), Value::from(1.5), Value::from(true)] {
            let error = count(wrong.clone()).expect_err("no number");
            assert_eq!(error.class, ErrorClass::Config, "{wrong}");
            assert!(!is_count(&wrong) && !is_template(&wrong), "{wrong}");
        }
        assert!(is_template(&"{{ params.count }}".into()));
    }

    pub(in crate::media) fn slate() -> Slate {
        let file = include_str!("../../../workflows/data/slate.json");
        let file: Value = serde_json::from_str(file).expect("JSON");
        let slate = super::super::slate::build(file, jiff::civil::date(2025, 11, 23), None);
        contract::read(&slate.expect("a slate").slate).expect("a Slate")
    }

    pub(in crate::media) fn calendar(date: &str) -> CalendarConfig {
        contract::read(&serde_json::json!({
            "date": date, "timezone": "America/New_York", "sport": "nfl", "season": 2025,
            "phase": "regular", "preset_id": "narrated", "layers": ["L3", "L4"], "max_matchups": 11
        }))
        .expect("a calendar")
    }

    pub(in crate::media) fn segments(slate: &Slate, seconds: u64, slides: u32) -> Vec<SegmentData> {
        let segment = |game: &contract::NormalizedMatchup| SegmentData {
            segment_id: format!("narrated-{}", game.matchup_id),
            title: String::new(),
            kind: "matchup".into(),
            weekday: None,
            matchup_ids: vec![game.matchup_id.clone()],
            target_duration_ms: seconds * 1000,
            slides,
        };
        slate.matchups.iter().map(segment).collect()
    }

    pub(in crate::media) fn written(date: &str, seconds: u64, slides: u32) -> Vec<IdeaPackage> {
        let slate = slate();
        let segments = segments(&slate, seconds, slides);
        from_templates(&slate, &calendar(date), &segments)
    }

    fn from_templates(
        slate: &Slate,
        calendar: &CalendarConfig,
        segments: &[SegmentData],
    ) -> Vec<IdeaPackage> {
        let briefs = briefs(slate, calendar, segments, "");
        let makers = briefs.iter().map(|_| Maker::Templates).collect();
        write(&briefs, makers).expect("ideas")
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes_and_another_day_gives_others() {
        let bytes = |date| serde_json::to_vec(&written(date, 20, 4)).expect("JSON");
        assert_eq!(bytes("2025-11-23"), bytes("2025-11-23"));
        assert_ne!(bytes("2025-11-23"), bytes("2025-11-24"));
    }

    #[test]
    fn every_idea_of_many_days_is_a_record_without_faults() {
        for day in 1..=28 {
            let ideas = written(&format!("2025-11-{day:02}"), 20, 4);
            assert_eq!(ideas.len(), 15);
            let value = serde_json::to_value(ideas).expect("JSON");
            assert_eq!(validate(&contract::ty::<IdeaPackage>().list(), &value), [], "day {day}");
        }
    }

    #[test]
    fn a_script_that_nobody_speaks_has_no_wanted_length() {
        let slate = slate();
        let silent = CalendarConfig { layers: vec!["L3".into()], ..calendar("2025-11-23") };
        let ideas = from_templates(&slate, &silent, &segments(&slate, 7, 3));
        assert_eq!(ideas[0].script.target_words, None);
    }

    #[test]
    fn many_days_show_many_angles() {
        let angles: BTreeSet<String> = (1..=28)
            .flat_map(|day| written(&format!("2025-11-{day:02}"), 20, 4))
            .map(|idea| idea.angle)
            .collect();
        assert!(angles.len() >= 6, "{angles:?}");
    }

    #[test]
    fn a_script_has_as_many_sections_as_the_segment_has_slides() {
        for slides in 1..=6 {
            let ideas = written("2025-11-23", 20, slides);
            let sections = ideas[0].script.sections.len();
            assert_eq!(sections, slides as usize);
        }
    }
}
