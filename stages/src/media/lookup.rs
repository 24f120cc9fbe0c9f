//! `media.lookup`: rows of BallDontLie as they are, for what the slate does not carry: statistics of
//! players, teams, results.

use std::collections::BTreeMap;

use flow_core::error::StageError;
use flow_core::schema::Type;
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Draft, Drafts, FieldKind, FieldSpec, Job, NodeView, Ports,
    Stage, StageSpec,
};
use serde_json::Value;

use super::ports::{config_error, field, port, text};
use crate::client::balldontlie::{self, BALLDONTLIE};
use crate::client::service::{keys_field, services_field};
use crate::client::{Remote, Service};
use crate::contract::SPORTS;

/// What can be asked for, and where it is below a sport.
const LISTS: [(&str, &str); 6] = [
    ("games", "games"),
    ("teams", "teams"),
    ("players", "players"),
    ("stats", "stats"),
    ("odds", "odds"),
    ("props", "odds/player_props"),
];

/// Fetches a list of rows, all of its pages.
pub(super) struct LookupStage {
    spec: StageSpec,
    remote: Remote,
}

impl LookupStage {
    pub(super) fn new(remote: Remote) -> Self {
        Self { spec: spec(), remote }
    }
}

fn required(name: &'static str, kind: FieldKind, doc: &'static str) -> FieldSpec {
    FieldSpec { name, kind, optional: false, doc }
}

fn spec() -> StageSpec {
    StageSpec {
        name: "media.lookup",
        version: 1,
        summary: "Fetches rows of BallDontLie: games, teams, players, statistics, odds or props",
        inputs: Ports::Declared,
        outputs: Ports::Fixed(vec![port(
            "rows",
            Type::Json.list(),
            "The rows of all pages, as the service has them.",
        )]),
        config: vec![
            required("sport", FieldKind::Text, "`nfl`, `nba`, `mlb`, `nhl`, `ncaaf` or `ncaab`."),
            required(
                "list",
                FieldKind::Text,
                "`games`, `teams`, `players`, `stats`, `odds` or `props`.",
            ),
            field(
                "query",
                FieldKind::Json,
                "Parameters of the service, such as { seasons = [2025], player_ids = [1, 2] }; of a \
                 list each element is sent.",
            ),
            services_field(),
            keys_field(),
        ],
        needs_scratch: false,
        example: r#"[nodes.stats]
stage = "media.lookup"
with  = { sport = "nfl", list = "stats", query = { seasons = [2025], player_ids = [1234] }, keys = { balldontlie = "{{ secrets.balldontlie_key }}" } }
cache = "30m"
"#,
    }
}

impl Stage for LookupStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let list = node.config.get("list").and_then(Value::as_str).unwrap_or_default();
        let known = list.contains("{{") || LISTS.iter().any(|(name, _)| *name == list);
        let fault = || ConfigFault {
            pointer: "/list".into(),
            message: format!("`{list}` is no list of the service"),
            help: Some(choices()),
        };
        (!known).then(fault).into_iter().collect()
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let service = Service::read(&BALLDONTLIE, &job, &self.remote)?;
            service.key()?;
            let query = query(&job)?;
            let query: Vec<(&str, String)> =
                query.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let rows = balldontlie::rows(context, &service, &path(&job)?, &query).await?;
            Ok(BTreeMap::from([("rows".to_owned(), Draft::Value(rows.into()))]))
        })
    }
}

fn choices() -> String {
    format!("choose one of {}", LISTS.map(|(name, _)| name).join(", "))
}

fn path(job: &Job) -> Result<String, StageError> {
    let sport = text(job, "sport").unwrap_or_default().to_ascii_lowercase();
    if !SPORTS.contains(&sport.as_str()) {
        let hint = format!("choose one of {}", SPORTS.join(", "));
        return Err(config_error("sport", format!("{sport} is no known sport"), &hint));
    }
    let list = text(job, "list").unwrap_or_default();
    let found = LISTS.iter().find(|(name, _)| *name == list).map(|(_, path)| *path);
    let path =
        found.ok_or_else(|| config_error("list", format!("`{list}` is no list"), &choices()))?;
    let version = if path.starts_with("odds") { balldontlie::version(&sport) } else { "v1" };
    Ok(format!("/{sport}/{version}/{path}"))
}

/// The parameters, each as often as it is sent. The names of those with several values end in `[]`.
fn query(job: &Job) -> Result<Vec<(String, String)>, StageError> {
    let wrong = || {
        let hint = "write it as a table of texts, numbers, and lists of them";
        config_error("query", "it is no table of parameters".into(), hint)
    };
    let table = match job.config.get("query") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_object().ok_or_else(wrong)?,
    };
    let mut pairs = Vec::new();
    for (name, value) in table {
        match value {
            Value::Array(list) => {
                for one in list {
                    let name = format!("{}[]", name.trim_end_matches("[]"));
                    pairs.push((name, scalar(one).ok_or_else(wrong)?));
                }
            }
            one => pairs.push((name.clone(), scalar(one).ok_or_else(wrong)?)),
        }
    }
    Ok(pairs)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}
