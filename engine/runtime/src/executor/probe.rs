//! The probe of an effect: it finds out whether an attempt that gave no answer acted.

use std::time::Instant;

use flow_core::digest::Digest;
use flow_core::error::StageError;
use flow_core::run::Outcome;
use flow_core::run::event::Outputs;
use flow_core::stage::Job;

use super::context::{AttemptContext, Lines};
use super::folder::Folder;
use super::memory::AttemptMemory;
use super::scope::Scopes;
use super::{Assignment, Keeper, Line, Recollection, Spent, Surroundings, Taken, admit, make};

/// The exit code of a probe that says: it did not happen.
const NOT_DONE: i32 = 1;

/// Asks the probe about the latest attempt of a task. It has the node's inputs, `uses` and
/// idempotency key; what it gives becomes the node's outputs if it says that the effect happened.
pub(crate) async fn probe_node(
    around: &Surroundings,
    assignment: &Assignment,
    line: Line,
) -> Outcome {
    let started = Instant::now();
    let unsure = |error: Option<&StageError>| {
        if let Some(error) = error {
            tracing::warn!(node = %assignment.task, %error, "the probe cannot tell whether it happened");
        }
        Outcome::Probed {
            happened: None,
            outputs: Outputs::new(),
            payloads: Vec::new(),
            duration_ms: 0,
        }
    };
    match ask(around, assignment, line).await.map_err(|error| around.secrets.mask_error(error)) {
        Ok(Some(admitted)) => Outcome::Probed {
            happened: Some(true),
            outputs: admitted.outputs,
            payloads: admitted.payloads,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        },
        Ok(None) => unsure(None),
        Err(error) if error.exit_code == Some(NOT_DONE) || error.http_status == Some(404) => {
            Outcome::Probed {
                happened: Some(false),
                outputs: Outputs::new(),
                payloads: Vec::new(),
                duration_ms: 0,
            }
        }
        Err(error) => unsure(Some(&error)),
    }
}

async fn ask(
    around: &Surroundings,
    assignment: &Assignment,
    line: Line,
) -> Result<Option<admit::Admitted>, Box<StageError>> {
    let node = around.graph.node(assignment.node);
    let Some(work) = node.effect.as_ref().and_then(|effect| effect.probe.as_ref()) else {
        return Ok(None);
    };
    let timeout = work.timeout.or(node.policy.timeout);
    let assignment = &Assignment { timeout, by_deadline: false, ..assignment.clone() };
    let taken = Taken::load(around, node, assignment)?;
    let intent = assignment.intent.as_deref().unwrap_or_default().to_owned();
    let folder = Folder::make(around, node, work, assignment, &taken.inputs)?;
    let real = Scopes::real(around, node, work, assignment, &taken, &folder, &intent)?;
    let job = Job {
        config: real.render(around, work)?,
        inputs: real.inputs(),
        outputs: real.outputs(node),
        timeout,
        reserved: folder.reserved(),
    };
    // A probe is other work than the attempt it asks about: it has nothing of its memory.
    let keeper = Keeper::Here(Recollection::default());
    let key = Digest::of(intent.as_bytes());
    let memory = AttemptMemory::open(around, assignment, key, keeper);
    let spent = Spent::default();
    let lines = Lines { tell: line.tell, memory, spent, cancel: line.cancel };
    let context = AttemptContext::for_probe(around, assignment, &folder, intent, lines);
    match make(around, node, work, &folder, &context, job, assignment).await {
        Ok(admitted) => {
            folder.remove(around);
            Ok(Some(admitted))
        }
        Err(error) => Err(folder.keep(around, error).await),
    }
}
