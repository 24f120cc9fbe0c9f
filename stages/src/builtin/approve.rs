//! `approve`: a question to a person, and a wait for the answer.

use std::sync::Arc;

use flow_core::error::StageError;
use flow_core::schema::{Record, Type};
use flow_core::stage::{
    BoxFuture, Context, Drafts, FieldKind, FieldSpec, Job, PortSpec, Ports, Stage, StageSpec, Wait,
};
use serde_json::Value;

/// The `approve` stage.
pub(crate) struct ApproveStage(StageSpec);

impl ApproveStage {
    pub(crate) fn new() -> Self {
        Self(StageSpec {
            name: "approve",
            version: 1,
            summary: "Asks a person and waits for `flow approve`, without holding anything. A no fails \
                      the node unless something reads its decision.",
            inputs: Ports::Declared,
            outputs: Ports::Fixed(vec![PortSpec {
                name: "decision".into(),
                ty: decision(),
                optional: false,
                retypable: false,
                doc: "The answer.",
            }]),
            config: vec![
                FieldSpec {
                    name: "message",
                    kind: FieldKind::Text,
                    optional: true,
                    doc: "The question.",
                },
                FieldSpec {
                    name: "choices",
                    kind: FieldKind::Plain(Type::String.list()),
                    optional: true,
                    doc: "Answers among which one is chosen; without them it is yes or no.",
                },
            ],
            needs_scratch: false,
            example: r#"[nodes.review]
stage   = "approve"
inputs  = { reel = "assemble.reel" }
with    = { message = "Post {{ inputs.reel.name }}?" }
timeout = "1d"

[nodes.publish]
stage  = "command"
when   = "inputs.review.approved"
inputs = { review = "review.decision", reel = "assemble.reel" }
with   = { argv = ["publish", "{{ inputs.reel }}"] }
"#,
        })
    }
}

/// The record of an answer.
fn decision() -> Type {
    let fields = [
        ("approved", Type::Boolean),
        ("by", Type::String),
        ("comment", Type::String.optional()),
        ("choice", Type::String.optional()),
        ("at", Type::Datetime),
    ];
    let fields = fields.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect();
    Type::Record(Arc::new(Record { name: "Decision".into(), fields, rule: None }))
}

impl Stage for ApproveStage {
    fn spec(&self) -> &StageSpec {
        &self.0
    }

    fn waits(&self) -> bool {
        true
    }

    fn wait(&self, job: &Job) -> Result<Wait, StageError> {
        let message = job.config.get("message").and_then(Value::as_str);
        let choices = job.config.get("choices").and_then(Value::as_array);
        let choices = choices.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        Ok(Wait::Answer {
            message: message.unwrap_or("go on?").to_owned(),
            choices: choices.collect(),
        })
    }

    fn run<'a>(
        &'a self,
        _context: &'a dyn Context,
        _job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(std::future::ready(Ok(Drafts::new())))
    }
}
