//! `command`: a program, with typed inputs and outputs.

mod check;
mod collect;
mod habits;
mod prepare;
#[cfg(test)]
mod tests;

use flow_core::error::StageError;
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Drafts, FieldKind, FieldSpec, Job, Missing, NodeView, Ports,
    Stage, StageSpec,
};

use crate::process::{Spawner, with_room};

pub use prepare::{command_of, environment_of};

/// The `command` stage.
pub struct CommandStage {
    spec: StageSpec,
    spawner: Spawner,
}

impl CommandStage {
    /// The stage; its programs are started by `spawner`.
    #[must_use]
    pub fn new(spawner: Spawner) -> Self {
        Self { spec: spec(), spawner }
    }
}

fn spec() -> StageSpec {
    StageSpec {
        name: "command",
        version: 1,
        summary: "Runs a program or a shell command in a folder of its own.",
        inputs: Ports::Declared,
        outputs: Ports::Declared,
        config: fields(),
        needs_scratch: true,
        example: r#"[nodes.script]
stage   = "command"
inputs  = { slate = "slate.body" }
uses    = ["script.py"]
with    = { argv = ["python3", "script.py", "{{ inputs.slate }}"], env = { LANG = "C.UTF-8" } }
outputs = { ideas = "list<json>" }
"#,
    }
}

fn fields() -> Vec<FieldSpec> {
    let field = |name, kind, doc| FieldSpec { name, kind, optional: true, doc };
    vec![
        field(
            "argv",
            FieldKind::Argv,
            "The program and its arguments. Without `/` the program is searched on PATH, with one \
             it is relative to the workflow file.",
        ),
        field(
            "shell",
            FieldKind::Shell,
            "A command for `/bin/sh -c`, as it is: begin with `set -e` to stop at the first \
             failure. Every `{{ }}` is quoted as one word.",
        ),
        field("env", FieldKind::TextMap, "Variables on top of the engine's environment."),
        field(
            "stdin",
            FieldKind::Stdin,
            "Text for standard input, or a reference: a file's bytes, a string as it is, anything \
             else as JSON. Without it standard input is empty.",
        ),
        field(
            "idle_timeout",
            FieldKind::Duration,
            "The longest time without any output, such as `30s`.",
        ),
    ]
}

impl Stage for CommandStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        check::faults(node)
    }

    fn remarks(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        habits::remarks(node)
    }

    fn preflight(&self, node: &NodeView<'_>) -> Vec<Missing> {
        check::missing(node)
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let command = command_of(context, &job)?;
            let finished = self.spawner.run(context, command).await;
            let finished = finished.map_err(|error| with_room(error, context.scratch()))?;
            collect::drafts(context, &job, finished)
        })
    }
}
