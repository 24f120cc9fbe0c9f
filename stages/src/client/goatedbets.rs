//! GoatedBets: matchups with their props and odds, by week or by day.
//!
//! The service publishes no description of its API; this is the contract that the pipeline has with it,
//! served by the test server as well: `/{sport}/week/{week}?season=` or `/{sport}/date/{date}` gives the
//! matchups; what does not stand in them is at `/matchups/{id}/props` and `/matchups/{id}/odds`. An
//! unknown week is 404 and an empty slate.

use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::Context;
use serde_json::{Map, Value};

use super::day::{Day, text};
use super::{Answer, Api, Message, Service, call};

pub(crate) static GOATEDBETS: Api = Api {
    name: "goatedbets",
    base_url: "https://api.goatedbets.com",
    kind: ErrorKind::Api,
    timeout: Duration::from_secs(30),
    in_flight: 4,
    needs_key: true,
    key_env: "GOATEDBETS_API_KEY",
};

/// The games of a day or week with their odds and props, as a slate.
pub(crate) async fn slate(
    context: &dyn Context,
    service: &Service,
    day: &Day,
) -> Result<Value, StageError> {
    let (path, season) = match day.week {
        Some(week) => (format!("/{}/week/{week}", day.sport), Some(day.season)),
        None => (format!("/{}/date/{}", day.sport, day.date), None),
    };
    let Some(found) = get(context, service, &path, season).await? else {
        return Ok(day.slate(Vec::new()));
    };
    let Some(Value::Array(rows)) = found.get("matchups") else {
        let message = "the answer has no list `matchups`";
        return Err(service.failure(ErrorClass::Malformed, format!("get {path}"), message));
    };
    let mut matchups = Vec::with_capacity(rows.len());
    for row in rows {
        matchups.push(whole(context, service, row.clone()).await?);
    }
    Ok(day.slate(matchups))
}

/// A matchup with what its row lacks.
async fn whole(
    context: &dyn Context,
    service: &Service,
    mut row: Value,
) -> Result<Value, StageError> {
    let id = text(&row, "matchup_id").map(str::to_owned);
    let Some((id, matchup)) = id.zip(row.as_object_mut()) else { return Ok(row) };
    if !is_plain(&id) {
        // It stands in no path; the slate names what is wrong with it.
        return Ok(row);
    }
    matchup.insert("source".into(), GOATEDBETS.name.into());
    if !matchup.contains_key("props") {
        let found = get(context, service, &format!("/matchups/{id}/props"), None).await?;
        let props = found.and_then(|mut found| found.get_mut("props").map(Value::take));
        matchup.insert("props".into(), props.unwrap_or_else(|| Value::Array(Vec::new())));
    }
    if !matchup.contains_key("vegas_spread") && !matchup.contains_key("over_under") {
        let found = get(context, service, &format!("/matchups/{id}/odds"), None).await?;
        let odds = found.as_ref().and_then(Value::as_object);
        matchup.extend(odds.map(lines).unwrap_or_default());
    }
    Ok(row)
}

fn is_plain(id: &str) -> bool {
    id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn lines(odds: &Map<String, Value>) -> Map<String, Value> {
    let known = ["vegas_spread", "over_under"];
    let found = known.iter().filter_map(|name| Some((*name, odds.get(*name)?)));
    let given = found.filter(|(_, value)| !value.is_null());
    given.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// An object; `None` for what the service does not have.
async fn get(
    context: &dyn Context,
    service: &Service,
    path: &str,
    season: Option<u32>,
) -> Result<Option<Value>, StageError> {
    let operation = format!("get {path} from {}", GOATEDBETS.name);
    call(context, service, &operation, |_| async {
        let scheme = service.option_or("auth_scheme", "Bearer");
        let credentials = format!("{scheme} {}", service.key()?);
        let name = service.option_or("auth_header", "authorization");
        let mut message = Message::get(service.url(path)?).header_named(name, &credentials);
        if let Some(season) = season {
            message = message.query("season", season);
        }
        let answer = service.send(context, &operation, message).await?;
        match answer.status {
            404 => Ok(None),
            200..=299 => match answer.json(service)? {
                object @ Value::Object(_) => Ok(Some(object)),
                _ => Err(answer.misshapen(service, "is no object")),
            },
            _ => Err(failure(service, &answer)),
        }
    })
    .await
}

/// What a failure means: the code in the body first, the status second.
pub(super) fn failure(service: &Service, answer: &Answer) -> StageError {
    let value = answer.value().unwrap_or_default();
    let code = value.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
    let class = match code {
        "quota_exhausted" | "quota_exceeded" => Some(ErrorClass::QuotaExhausted),
        "rate_limited" => Some(ErrorClass::RateLimited),
        "unauthorized" | "invalid_key" | "forbidden" => Some(ErrorClass::Auth),
        _ => None,
    };
    let said = value.pointer("/error/message").and_then(Value::as_str);
    answer.refusal(service, class, said)
}
