//! The bytes that a result refers to: its payloads, and the artifacts that stand in them.

use flow_core::id::RunId;
use flow_core::payload::{Artifact, DIR_MARK, FILE_MARK, PayloadRef, each_artifact};
use flow_core::store::{Checkpoint, Store, StoreError};

use crate::objects::Objects;

/// Whether everything is there that a result of a run refers to.
pub(crate) fn are_there(
    store: &dyn Store,
    objects: &Objects,
    checkpoint: &Checkpoint,
) -> Result<bool, StoreError> {
    for output in checkpoint.outputs.values() {
        match expect(store, objects, &checkpoint.run, output) {
            Ok(()) => {}
            Err(error @ (StoreError::Missing { .. } | StoreError::Damaged { .. })) => {
                let (run, task) = (&checkpoint.run, &checkpoint.task);
                tracing::warn!(%run, %task, %error, "a result cannot be reused");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn expect(
    store: &dyn Store,
    objects: &Objects,
    run: &RunId,
    payload: &PayloadRef,
) -> Result<(), StoreError> {
    if let Some(artifact) = &payload.artifact {
        return objects.expect(artifact);
    }
    let json = store.payload(run, payload)?;
    artifacts_in(&json).iter().try_for_each(|artifact| objects.expect(artifact))
}

/// The artifacts that the JSON of a payload refers to.
pub(crate) fn artifacts_in(json: &[u8]) -> Vec<Artifact> {
    let mut found = Vec::new();
    // What has no mark has no artifact, and most payloads need not be parsed for that.
    let has = |mark: &str| json.windows(mark.len()).any(|window| window == mark.as_bytes());
    if (has(FILE_MARK) || has(DIR_MARK))
        && let Ok(value) = flow_core::json::parse(json)
    {
        each_artifact(&value, &mut |artifact| found.push(artifact));
    }
    found
}
