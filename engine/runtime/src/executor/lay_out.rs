//! An attempt laid out and not run: its folder, its inputs, and what its stage would be given, for a
//! person to stand in its place.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use flow_core::error::StageError;
use flow_core::key::idempotency_key;
use flow_core::stage::{Context, Job};
use tokio::sync::watch;

use super::context::{AttemptContext, Lines};
use super::folder::Folder;
use super::memory::AttemptMemory;
use super::scope::Scopes;
use super::{Case, Keeper, Recollection, Spent, Taken, key_parts};
use crate::secrets::Secrets;

/// An attempt as it would begin.
pub struct LaidOut {
    /// What the stage would be given, with what stands for secrets in the plan.
    pub shown: Job,
    /// The same with the values of secrets: never to be written anywhere.
    pub real: Job,
    folder: Folder,
    context: AttemptContext,
}

/// Lays out the task of a case. Its plan has what stands for the secrets; `real` are their values.
///
/// # Errors
/// An input that cannot be read, a folder that cannot be made, or an expression that fails.
pub fn lay_out(case: Case<'_>, real: &Secrets) -> Result<LaidOut, Box<StageError>> {
    let around = case.surroundings(None);
    let recorded = case.state.task(case.task).map_or(1, |task| task.attempts.max(1));
    let mut assignment = case.assignment(&Arc::new(OnceLock::new()));
    assignment.attempt = recorded;
    let node = around.graph.node(assignment.node);
    let work = node.variant(assignment.variant);
    let taken = Taken::load(&around, node, &assignment)?;
    let symbolic = Scopes::symbolic(&around, node, work, &assignment, &taken);
    let key = key_parts(&around, node, work, &symbolic, &taken.inputs)?.digest();
    let idempotency = match &assignment.intent {
        Some(intent) => intent.to_string(),
        None => {
            let item = assignment.task.item.as_ref().map(|item| &*item.key);
            idempotency_key(around.run.as_str(), &assignment.task.node, item, &key)
        }
    };
    let folder = Folder::make_anyhow(&around, node, &assignment, &taken.inputs)?;
    let secrets = [around.secrets.as_ref(), real];
    let jobs = || {
        let [shown, real] = Scopes::real_with(
            &around,
            node,
            work,
            &assignment,
            &taken,
            &folder,
            &idempotency,
            secrets,
        )?;
        let job = |scopes: &Scopes| -> Result<Job, Box<StageError>> {
            Ok(Job {
                config: scopes.render(&around, work)?,
                inputs: scopes.inputs(),
                outputs: scopes.outputs(node),
                timeout: assignment.timeout,
                reserved: folder.reserved(),
            })
        };
        Ok::<_, Box<StageError>>([job(&shown)?, job(&real)?])
    };
    let [shown, real] = match jobs() {
        Ok(jobs) => jobs,
        Err(error) => {
            folder.discard();
            return Err(error);
        }
    };
    let (_, cancel) = watch::channel(None);
    // Nothing runs, so nothing is remembered or told.
    let keeper = Keeper::Here(Recollection::default());
    let memory = AttemptMemory::open(&around, &assignment, key, keeper);
    let (tell, spent) = (Box::new(|_| {}), Spent::default());
    let lines = Lines { tell, memory, spent, cancel };
    let context = AttemptContext::new(&around, &assignment, &folder, idempotency, lines);
    Ok(LaidOut { shown, real, folder, context })
}

impl LaidOut {
    /// What a stage would ask.
    #[must_use]
    pub fn context(&self) -> &dyn Context {
        &self.context
    }

    /// The working folder.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.work().unwrap_or_default()
    }

    /// The engine's own files beside it.
    #[must_use]
    pub fn side(&self) -> PathBuf {
        self.folder.side().unwrap_or_default()
    }

    /// Removes the folder.
    pub fn remove(self) {
        self.folder.discard();
    }
}
