//! `value`: a value from the workflow file, with templates filled in.

use flow_core::error::StageError;
use flow_core::stage::{
    BoxFuture, Context, Draft, Drafts, FieldKind, FieldSpec, Job, Ports, Stage, StageSpec,
};
use serde_json::Value;

/// The `value` stage.
pub(crate) struct ValueStage(StageSpec);

impl ValueStage {
    pub(crate) fn new() -> Self {
        Self(StageSpec {
            name: "value",
            version: 1,
            summary: "Hands on a value that is written in the workflow file, as its one output.",
            inputs: Ports::Declared,
            outputs: Ports::DeclaredOne,
            config: vec![FieldSpec {
                name: "value",
                kind: FieldKind::Json,
                optional: false,
                doc: "The value; a string that is one `{{ }}` alone gives the typed value.",
            }],
            needs_scratch: false,
            example: r#"[nodes.settings]
stage   = "value"
with    = { value = { sport = "{{ params.sport }}", limit = 5 } }
outputs = { settings = "json" }
"#,
        })
    }
}

impl Stage for ValueStage {
    fn spec(&self) -> &StageSpec {
        &self.0
    }

    fn run<'a>(
        &'a self,
        _context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        let value = job.config.get("value").cloned().unwrap_or(Value::Null);
        let drafts = job.outputs.into_iter().take(1);
        let drafts = drafts.map(|slot| (slot.name, Draft::Value(value.clone()))).collect();
        Box::pin(std::future::ready(Ok(drafts)))
    }
}
