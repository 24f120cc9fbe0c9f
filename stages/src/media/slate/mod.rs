//! `media.slate`: the day's games, from services or from a recorded file.

mod build;
mod merge;
mod online;

use std::collections::BTreeMap;
use std::path::Path;

use flow_core::error::{ErrorKind, StageError};
use flow_core::json;
use flow_core::schema::Type;
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Draft, Drafts, FieldKind, Job, NodeView, Ports, Stage,
    StageSpec,
};
use jiff::civil::Date;
use serde_json::Value;

pub(in crate::media) use build::build;

use self::build::refused;
use super::ports::{config_error, field, optional_file, optional_port, port, text};
use crate::client::Remote;
use crate::client::chain::providers_field;
use crate::client::service::{keys_field, services_field};
use crate::contract::{self, SPORTS, Slate};

/// Fetches or reads a slate, normalizes its matchups and leaves out those that cannot be used.
pub(super) struct SlateStage {
    spec: StageSpec,
    remote: Remote,
}

impl SlateStage {
    pub(super) fn new(remote: Remote) -> Self {
        Self { spec: spec(), remote }
    }
}

fn spec() -> StageSpec {
    StageSpec {
        name: "media.slate",
        version: 1,
        summary: "Fetches the day's games from services, or reads them from a recorded slate",
        inputs: Ports::Fixed(vec![optional_port(
            "slate_file",
            Type::File(None),
            "For the provider `recorded`: a slate as JSON, an object with `matchups`, or a list of \
             matchups.",
        )]),
        outputs: Ports::Fixed(vec![port(
            "slate",
            contract::ty::<Slate>(),
            "The games that can be worked on, and those that were left out.",
        )]),
        config: vec![
            field(
                "sport",
                FieldKind::Text,
                "Games of other sports are left out; services need it.",
            ),
            field(
                "date",
                FieldKind::Text,
                "The day, and the one to which recorded games are moved; default: the run's date.",
            ),
            field(
                "week",
                FieldKind::Text,
                "The week of the season, in the place of the day, for services and sports that have \
                 weeks.",
            ),
            field(
                "season",
                FieldKind::Text,
                "Year in which the season began; default: by the date.",
            ),
            providers_field(
                "Sources in turn: `goatedbets`, `balldontlie`, `odds_api`, and `recorded`, which is the \
                 default alone. What one lacks the next ones fill in, by teams and day.",
            ),
            services_field(),
            keys_field(),
        ],
        needs_scratch: true,
        example: r#"[nodes.slate]
stage  = "media.slate"
inputs = { slate_file = "params.slate" }
with   = { sport = "{{ params.sport }}", date = "{{ run.date }}" }
"#,
    }
}

impl Stage for SlateStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        online::KNOWN.faults(node)
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let date = day(context, &job)?;
            let sport = sport(&job)?;
            let found = online::find(context, &job, &self.remote, sport.as_deref(), date).await?;
            let built = match found {
                Some(built) => built,
                None => build(recorded(&job)?, date, sport.as_deref())?,
            };
            built.warnings.into_iter().for_each(|text| context.warn(text));
            Ok(BTreeMap::from([("slate".to_owned(), Draft::Value(built.slate))]))
        })
    }
}

fn day(context: &dyn Context, job: &Job) -> Result<Date, StageError> {
    let Some(date) = text(job, "date") else { return Ok(context.run_date()) };
    date.parse().map_err(|e: jiff::Error| {
        let message = format!("{date} is no date");
        config_error("date", message, "write it as 2025-01-05 or {{ run.date }}").cause(e)
    })
}

fn sport(job: &Job) -> Result<Option<String>, StageError> {
    let Some(sport) = text(job, "sport").map(str::to_ascii_lowercase) else { return Ok(None) };
    if SPORTS.contains(&sport.as_str()) {
        return Ok(Some(sport));
    }
    let hint = format!("choose one of {}", SPORTS.join(", "));
    Err(config_error("sport", format!("{sport} is no known sport"), &hint))
}

/// The slate on the input port.
fn recorded(job: &Job) -> Result<Value, StageError> {
    let Some(path) = optional_file(job, "slate_file")? else {
        return Err(refused("the provider `recorded` has no slate")
            .port("slate_file")
            .hint("bind it: inputs = { slate_file = \"params.slate\" }"));
    };
    parse(&path)
}

fn parse(path: &Path) -> Result<Value, StageError> {
    let bytes = std::fs::read(path).map_err(|e| {
        StageError::from_io("read the slate", &e).kind(ErrorKind::Validation).port("slate_file")
    })?;
    json::parse(&bytes).map_err(|fault| {
        let mut error = refused("the slate is not JSON").port("slate_file").cause(&fault);
        error.offset = Some(fault.offset as u64);
        error
    })
}
