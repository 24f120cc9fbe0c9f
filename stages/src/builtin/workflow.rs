//! `workflow`: another workflow file in the place of a node.
//!
//! Its nodes are nodes of the run. What is left for the stage itself is to hand on: parameters into
//! the file, and what was made inside out of it.

use flow_core::definition::WORKFLOW_STAGE;
use flow_core::error::StageError;
use flow_core::stage::{
    BoxFuture, Context, Draft, Drafts, FieldKind, FieldSpec, Job, Ports, Stage, StageSpec,
};
use serde_json::Value;

/// The `workflow` stage.
pub(crate) struct WorkflowStage(StageSpec);

impl WorkflowStage {
    pub(crate) fn new() -> Self {
        Self(StageSpec {
            name: WORKFLOW_STAGE,
            version: 1,
            summary: "Runs the nodes of another workflow file, which become nodes of this run: `parent/child`. Its outputs are the `[outputs]` of that file.",
            inputs: Ports::Declared,
            outputs: Ports::Declared,
            config: vec![
                FieldSpec {
                    name: "file",
                    kind: FieldKind::Literal,
                    optional: false,
                    doc: "The workflow file, relative to the one that names it",
                },
                FieldSpec {
                    name: "params",
                    kind: FieldKind::Json,
                    optional: true,
                    doc: "Values of its parameters; a string that is one `{{ }}` alone gives the typed value",
                },
            ],
            needs_scratch: false,
            example: r#"[nodes.reels]
stage    = "workflow"
for_each = "days.list"
inputs   = { slate = "slate.body" }
with     = { file = "reels.toml", params = { day = "{{ item }}", slate = "{{ inputs.slate }}" } }
"#,
        })
    }
}

impl Stage for WorkflowStage {
    fn spec(&self) -> &StageSpec {
        &self.0
    }

    fn run<'a>(
        &'a self,
        _context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        let Job { config, mut inputs, outputs, .. } = job;
        // Parameters are rendered; outputs came in under their own names.
        let mut given = match config.get("params") {
            Some(Value::Object(params)) => params.clone().into_iter().collect(),
            _ => std::mem::take(&mut inputs),
        };
        let drafts = outputs.into_iter().filter_map(|slot| {
            let value = given.remove(&slot.name).filter(|value| !value.is_null())?;
            Some((slot.name, Draft::Value(value)))
        });
        Box::pin(std::future::ready(Ok(drafts.collect())))
    }
}
