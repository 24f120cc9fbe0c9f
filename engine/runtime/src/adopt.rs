//! Facts that are recorded in a run that no process drives.

use std::sync::Arc;

use flow_core::run::{Now, Recorded};
use flow_core::store::Store;

use crate::runner::{Opened, RunError};

/// Records what was adopted, durably, and takes it into the state; the run is not taken up.
///
/// # Errors
/// Failure to write. [`RunError::Store`]; nothing was recorded then.
pub fn record_adopted(
    store: &Arc<dyn Store>,
    opened: &mut Opened,
    now: Now,
) -> Result<(), RunError> {
    let (events, payloads) = std::mem::take(&mut opened.first);
    let mut seq = opened.state.last_seq();
    let records: Vec<Recorded> = events
        .into_iter()
        .map(|event| {
            let named = event.name().is_some();
            seq += u64::from(named);
            Recorded { seq: named.then_some(seq), ts: now.wall, event }
        })
        .collect();
    store.settle()?;
    opened.journal.append(&records, &payloads)?;
    opened.journal.syncer().sync()?;
    records.iter().for_each(|recorded| opened.state.apply(recorded));
    Ok(())
}
