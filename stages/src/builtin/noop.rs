//! `noop`: nothing, at a place where branches meet.

use flow_core::error::StageError;
use flow_core::stage::{BoxFuture, Context, Drafts, Job, Ports, Stage, StageSpec};

/// The `noop` stage.
pub(crate) struct NoopStage(StageSpec);

impl NoopStage {
    pub(crate) fn new() -> Self {
        Self(StageSpec {
            name: "noop",
            version: 1,
            summary: "Does nothing. Joins branches, so that others can come `after` it.",
            inputs: Ports::Declared,
            outputs: Ports::Fixed(Vec::new()),
            config: Vec::new(),
            needs_scratch: false,
            example: r#"[nodes.all_checked]
stage = "noop"
after = ["lint", "test"]
"#,
        })
    }
}

impl Stage for NoopStage {
    fn spec(&self) -> &StageSpec {
        &self.0
    }

    fn run<'a>(
        &'a self,
        _context: &'a dyn Context,
        _job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(std::future::ready(Ok(Drafts::new())))
    }
}
