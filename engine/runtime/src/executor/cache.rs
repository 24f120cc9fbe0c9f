//! Results of other runs that need not be made again, computed once however many ask.

use std::time::Duration;

use flow_core::digest::Digest;
use flow_core::error::StageError;
use flow_core::id::RunId;
use flow_core::payload::each_artifact;
use flow_core::policy::CachePolicy;
use flow_core::run::Outcome;
use flow_core::run::decide::Origin;
use flow_core::run::event::{Outputs, TaskRef};
use flow_core::stage::CancelReason;
use flow_core::store::{Checkpoint, Hold, INLINE_MAX, InlinePayload, Store, StoreError};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::patience::Patience;

use super::{Surroundings, cancelled, store_error};

/// The first and the longest wait between two looks at a key that someone else computes.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(200);

/// What a look at the cache gives.
pub(super) enum Look {
    /// A result that is young enough.
    Hit(Outcome),
    /// None; whoever gets this computes it, and nobody else meanwhile.
    Miss(Box<dyn Hold>),
}

/// Looks for a result of any run. While someone else computes it, this waits; the wait ends with
/// the attempt, and with the process of that other one.
pub(super) async fn look(
    around: &Surroundings,
    task: &TaskRef,
    key: &Digest,
    policy: CachePolicy,
    mut cancel: watch::Receiver<Option<CancelReason>>,
) -> Result<Look, Box<StageError>> {
    let (mut pause, mut patience) = (FIRST_LOOK, Patience::begin());
    loop {
        if let Some(hit) = young_result(around, key, policy)? {
            return Ok(Look::Hit(hit));
        }
        let flight = around.store.try_flight(key);
        if let Some(flight) = flight.map_err(|e| store_error("look into the cache", &e))? {
            // Whoever computed it may have ended between the look and the flight.
            return Ok(match young_result(around, key, policy)? {
                Some(hit) => Look::Hit(hit),
                None => Look::Miss(flight),
            });
        }
        if patience.ends() {
            let message = "waits for the same result, which another run computes; `flow runs` shows what \
                           goes on, and --fresh computes it here";
            around.note(task, message.to_owned());
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LAST_LOOK),
            _ = cancel.wait_for(Option::is_some) => {
                return Err(cancelled("the run ended while another one computed the same result"));
            }
        }
    }
}

fn young_result(
    around: &Surroundings,
    key: &Digest,
    policy: CachePolicy,
) -> Result<Option<Outcome>, Box<StageError>> {
    match find(around, key, policy)? {
        Found::Young(outcome) => Ok(Some(outcome)),
        Found::Nothing | Found::Old { .. } | Found::Lost { .. } => Ok(None),
    }
}

/// What the results of all runs have for a key.
#[derive(Debug)]
pub(crate) enum Found {
    /// A result that may be taken.
    Young(Outcome),
    /// None.
    Nothing,
    /// One that is too old.
    Old {
        /// The run that made it.
        run: RunId,
        /// When.
        at: Timestamp,
    },
    /// One whose bytes are missing or damaged.
    Lost {
        /// The run that made it.
        run: RunId,
    },
}

/// Looks for a result of any run, once.
pub(crate) fn find(
    around: &Surroundings,
    key: &Digest,
    policy: CachePolicy,
) -> Result<Found, Box<StageError>> {
    let store = around.store.as_ref();
    let failed = |e: &StoreError| store_error("look into the cache", e);
    let Some(found) = store.cached(key).map_err(|e| failed(&e))? else {
        return Ok(Found::Nothing);
    };
    let age = around.clock.now().wall.duration_since(found.at);
    let young = match policy {
        CachePolicy::Off => false,
        CachePolicy::Forever => true,
        // A result from the future comes of a clock that was set back: it is as good as new.
        CachePolicy::For(span) => Duration::try_from(age).unwrap_or_default() <= span,
    };
    if !young {
        return Ok(Found::Old { run: found.run, at: found.at });
    }
    if !outputs_are_there(store, &found).map_err(|e| failed(&e))? {
        return Ok(Found::Lost { run: found.run });
    }
    let payloads = inline_payloads(store, &found).map_err(|e| failed(&e))?;
    let from = Origin::Cache { run: found.run, made_at: found.at };
    Ok(Found::Young(Outcome::Reused { key: *key, outputs: found.outputs, payloads, from }))
}

/// The payloads that must stand in this run's journal too.
fn inline_payloads(
    store: &dyn Store,
    found: &Checkpoint,
) -> Result<Vec<InlinePayload>, StoreError> {
    let inline = found.outputs.values().filter(|p| p.artifact.is_none() && p.size <= INLINE_MAX);
    inline.map(|payload| Ok((payload.digest, store.payload(&found.run, payload)?))).collect()
}

/// Whether every byte of a result is there and undamaged.
pub(super) fn outputs_are_there(store: &dyn Store, found: &Checkpoint) -> Result<bool, StoreError> {
    match check_outputs(store, &found.run, &found.outputs) {
        Ok(()) => Ok(true),
        Err(StoreError::Missing { .. } | StoreError::Damaged { .. } | StoreError::NoRun(_)) => {
            Ok(false)
        }
        Err(other) => Err(other),
    }
}

/// Reads every payload and artifact of outputs, which checks them.
pub(crate) fn check_outputs(
    store: &dyn Store,
    run: &RunId,
    outputs: &Outputs,
) -> Result<(), StoreError> {
    for payload in outputs.values() {
        if let Some(artifact) = &payload.artifact {
            store.check_artifact(artifact)?;
            continue;
        }
        let bytes = store.payload(run, payload)?;
        // Without one of these marks there is no artifact inside, and nothing to parse.
        let marked = |mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
        if !marked(b"\"$file\"") && !marked(b"\"$dir\"") {
            continue;
        }
        let value = serde_json::from_slice(&bytes).unwrap_or_default();
        let mut found = Ok(());
        each_artifact(&value, &mut |artifact| {
            if found.is_ok() {
                found = store.check_artifact(&artifact);
            }
        });
        found?;
    }
    Ok(())
}
