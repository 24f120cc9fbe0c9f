//! `jq`: a filter over the inputs.
//!
//! A filter is a program, and one that can run for ever, fill the memory or recurse until the
//! stack is gone. So it is compiled here, to find its faults before a run, but it runs in a
//! process of its own, which a timeout can kill like any other.

mod filter;
mod serve;
#[cfg(test)]
mod tests;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::json;
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Draft, Drafts, FieldKind, FieldSpec, Job, NodeView, Ports,
    Stage, StageSpec,
};
use serde_json::Value;

use self::serve::{Answer, Question};
use crate::process::{Command, ROLE, Spawner, Stdin};

pub(crate) use serve::serve;

/// The value of [`ROLE`] that makes an executable the process of a filter.
pub(crate) const ROLE_NAME: &str = "jq";

/// The `jq` stage.
pub(crate) struct JqStage {
    spec: StageSpec,
    spawner: Spawner,
}

impl JqStage {
    pub(crate) fn new(spawner: Spawner) -> Self {
        Self { spec: spec(), spawner }
    }
}

fn spec() -> StageSpec {
    StageSpec {
        name: "jq",
        version: 1,
        summary: "Reshapes JSON with a jq filter, without a program of that name.",
        inputs: Ports::Declared,
        outputs: Ports::DeclaredOne,
        config: vec![FieldSpec {
            name: "filter",
            kind: FieldKind::Literal,
            optional: false,
            doc: "The filter. One input is `.`; several are an object by port; none is null. It \
                  must give exactly one value. `env`, `now`, `input` and `halt` are not there.",
        }],
        needs_scratch: false,
        example: r#"[nodes.names]
stage   = "jq"
inputs  = { slate = "slate.body" }
with    = { filter = "[.games[].home]" }
outputs = { names = "list<string>" }
"#,
    }
}

impl Stage for JqStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let Some(code) = node.config.get("filter").and_then(Value::as_str) else {
            return Vec::new();
        };
        let faults = filter::faults(code).into_iter().map(|fault| ConfigFault {
            pointer: "/filter".into(),
            message: fault.to_string(),
            help: fault.help,
        });
        faults.collect()
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let filter = job.config.get("filter").and_then(Value::as_str).unwrap_or_default();
            let question = Question { filter: filter.to_owned(), input: subject(job.inputs) };
            let answer = self.ask(context, &question).await?;
            let port = job.outputs.first().map_or("", |slot| slot.name.as_str());
            let value = judge(answer, port)?;
            let drafts = job.outputs.into_iter().take(1);
            Ok(drafts.map(|slot| (slot.name, Draft::Value(value.clone()))).collect())
        })
    }
}

const OPERATION: &str = "run a jq filter";

/// What `.` is: the one input, or all of them by port.
fn subject(inputs: std::collections::BTreeMap<String, Value>) -> Value {
    if inputs.len() > 1 {
        return Value::Object(inputs.into_iter().collect());
    }
    inputs.into_values().next().unwrap_or(Value::Null)
}

impl JqStage {
    async fn ask(&self, context: &dyn Context, question: &Question) -> Result<Answer, StageError> {
        let bytes = serde_json::to_vec(question).map_err(|e| not_understood(&e))?;
        let (program, args) = self.spawner.itself();
        let mut command = Command::new(program)
            .args(args)
            .env(ROLE, ROLE_NAME)
            .stdin(Stdin::Bytes(bytes.into()))
            .operation(OPERATION)
            .keep_stdout();
        command.quiet = true;
        command.env_remove = context.withheld_env().iter().map(Into::into).collect();
        let finished = self.spawner.run(context, command).await.map_err(as_filter_failure)?;
        let bytes = finished.stdout.bytes().map_err(|e| StageError::from_io(OPERATION, &e))?;
        let last_line = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        serde_json::from_slice(last_line).map_err(|e| not_understood(&e))
    }
}

/// A filter that dies has recursed too deep or taken too much memory: trying again is no use.
fn as_filter_failure(error: StageError) -> StageError {
    if error.signal.is_none() {
        return StageError { argv: Vec::new(), ..error };
    }
    StageError::new(ErrorClass::Config, OPERATION, "the filter used up its stack or the memory")
        .hint("make sure that its recursion and its generators end")
        .cause(error)
}

fn not_understood(error: &serde_json::Error) -> StageError {
    StageError::new(ErrorClass::Io, OPERATION, "the filter's process said nothing that can be read")
        .cause(error)
}

fn judge(answer: Answer, port: &str) -> Result<Value, StageError> {
    let refused = |message: String| {
        StageError::new(ErrorClass::Validation, OPERATION, message)
            .kind(ErrorKind::Validation)
            .port(port)
    };
    let not_one = |message: &str, found: &str| StageError {
        expected: Some("one value".into()),
        found: Some(found.into()),
        ..refused(message.to_owned())
    };
    match answer {
        Answer::Value(text) => json::parse(text.as_bytes()).map_err(|fault| {
            let message = format!("the filter gave a value that is not JSON: {}", fault.reason);
            let mut error = refused(message);
            let rest = text.get(fault.offset..).unwrap_or_default();
            error.found = Some(format!("`{}` at byte {}", clipped(rest, 40), fault.offset));
            error.expected = Some("JSON".into());
            error.pointer = Some(String::new());
            error.offset = Some(fault.offset as u64);
            error.cause(clipped(&text, 200))
        }),
        Answer::Nothing => Err(not_one("the filter gave no value, and must give one", "nothing")
            .hint("wrap it in `[ ]` to get a list, or end it with `// null`")),
        Answer::Several => {
            Err(not_one("the filter gave several values, and must give one", "several values")
                .hint("wrap it in `[ ]` to get one list of them all"))
        }
        Answer::Failed(message) => Err(refused(message)),
    }
}

fn clipped(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
