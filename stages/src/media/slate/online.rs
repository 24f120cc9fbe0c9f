//! The games of a day from the services of the chain.

use std::sync::{Mutex, PoisonError};

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{BoxFuture, Context, Job};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::calendar::season_of;
use super::super::ports::{config_error, text};
use super::build::{Built, DEFAULT_ZONE, build};
use super::merge::{merge, without_props};
use crate::client::balldontlie::{self, BALLDONTLIE};
use crate::client::chain::Known;
use crate::client::day::Day;
use crate::client::goatedbets::{self, GOATEDBETS};
use crate::client::odds_api::{self, ODDS_API};
use crate::client::{Chain, Provider, Remote, Service};

/// The provider that reads the file on the input port.
const RECORDED: &str = "recorded";

/// All providers of games.
pub(super) static KNOWN: Known =
    Known { apis: &[&GOATEDBETS, &BALLDONTLIE, &ODDS_API], locals: &[RECORDED] };

/// The slate that the services of the chain give together; `None` if it is the recorded one's turn.
pub(super) async fn find(
    context: &dyn Context,
    job: &Job,
    remote: &Remote,
    sport: Option<&str>,
    date: Date,
) -> Result<Option<Built>, StageError> {
    let chain = Chain::read(job, remote, &KNOWN, &[RECORDED])?;
    if chain.is_local() {
        return Ok(None);
    }
    let day = wanted(job, sport, date)?;
    let found: Mutex<Vec<Value>> = Mutex::default();
    let ask = |provider| ask(context, provider, &day, &found);
    match chain.ask(context, ask).await {
        Ok(built) => Ok(built),
        // Better some games than none: what is left out of them stands in the slate.
        Err(error) => usable(&found, &day).map(Some).map_err(|_nothing| error),
    }
}

/// Asks one provider: done when every game has props, which it or one before it gave.
fn ask<'a>(
    context: &'a dyn Context,
    provider: &'a Provider,
    day: &'a Day,
    found: &'a Mutex<Vec<Value>>,
) -> BoxFuture<'a, Result<Option<Built>, StageError>> {
    Box::pin(async move {
        let Some(service) = provider.service() else {
            return Ok(usable(found, day).ok());
        };
        let slate = fetch(context, service, day).await?;
        let games = slate.get("matchups").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut known = found.lock().unwrap_or_else(PoisonError::into_inner);
        merge(&mut known, games);
        incomplete(service, day, &known).map_or(Ok(()), Err)?;
        drop(known);
        usable(found, day).map(Some).map_err(|error| of(service, error))
    })
}

async fn fetch(context: &dyn Context, service: &Service, day: &Day) -> Result<Value, StageError> {
    let name = service.api.name;
    if name == GOATEDBETS.name {
        goatedbets::slate(context, service, day).await
    } else if name == BALLDONTLIE.name {
        balldontlie::slate(context, service, day).await
    } else {
        odds_api::slate(context, service, day).await
    }
}

/// Why the next provider has to be asked as well.
fn incomplete(service: &Service, day: &Day, known: &[Value]) -> Option<StageError> {
    let name = service.api.name;
    let failure = |message: String| {
        service
            .failure(
                ErrorClass::Validation,
                format!("get the games of the day from {name}"),
                message,
            )
            .hint("choose another `date`, or end `providers` with `recorded`")
    };
    if known.is_empty() {
        let Day { sport, date, .. } = day;
        return Some(failure(format!("{name} has no game of {sport} on {date}")));
    }
    let lacking = without_props(known);
    (!lacking.is_empty()).then(|| failure(format!("no props for {}", lacking.join(", "))))
}

/// The slate of what was found; an error if no game of it can be used.
fn usable(found: &Mutex<Vec<Value>>, day: &Day) -> Result<Built, StageError> {
    let known = found.lock().unwrap_or_else(PoisonError::into_inner).clone();
    build(day.slate(known), day.date, Some(&day.sport))
}

fn of(service: &Service, mut error: StageError) -> StageError {
    error.provider = Some(service.api.name.to_owned());
    error.kind(ErrorKind::Validation)
}

fn wanted(job: &Job, sport: Option<&str>, date: Date) -> Result<Day, StageError> {
    let Some(sport) = sport else {
        let message = "services have to know which sport".to_owned();
        return Err(config_error("sport", message, "set sport = \"nfl\" or another one"));
    };
    let zone = TimeZone::get(DEFAULT_ZONE).unwrap_or(TimeZone::UTC);
    Ok(Day {
        sport: sport.to_owned(),
        date,
        zone,
        season: whole(job, "season")?.unwrap_or_else(|| season_of(date, sport)),
        week: whole(job, "week")?,
    })
}

fn whole(job: &Job, name: &str) -> Result<Option<u32>, StageError> {
    let Some(text) = text(job, name) else { return Ok(None) };
    let wrong = |_not_a_number| {
        config_error(name, format!("{text} is no whole number"), "write it as digits, such as 17")
    };
    text.trim().parse().map(Some).map_err(wrong)
}
