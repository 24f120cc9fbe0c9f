//! From a rendered job to a program with its environment, input and limits.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::payload::{DIR_MARK, FILE_MARK};
use flow_core::stage::{Context, Job, OutputFrom, OutputSlot, Stream};
use serde_json::Value;

use crate::process::{Command, Keep, Stdin};

/// The folder that `FLOW_OUTPUTS` names.
pub(super) fn outputs_folder(context: &dyn Context) -> PathBuf {
    context.side().join("outputs")
}

/// The program of a `command` node, ready to run: what it executes, its environment, its input.
/// Writes the file that `FLOW_INPUTS` names.
///
/// # Errors
/// When the configuration names no program, or a file that the program is to have cannot be
/// written or opened.
pub fn command_of(context: &dyn Context, job: &Job) -> Result<Command, StageError> {
    let mut command = program(context, job)?;
    command.operation = format!("run {}", command.program.display());
    command.cwd = Some(context.scratch().to_owned());
    command.stdin = stdin(job.config.get("stdin").unwrap_or(&Value::Null))?;
    command.idle_timeout =
        job.config.get("idle_timeout").and_then(Value::as_u64).map(Duration::from_millis);
    command.env = environment_of(context, job)?;
    command.env_remove = absent_names(context);
    command.stdout = keep(job, Stream::Stdout);
    command.stderr = keep(job, Stream::Stderr);
    Ok(command)
}

fn program(context: &dyn Context, job: &Job) -> Result<Command, StageError> {
    if let Some(script) = job.config.get("shell").and_then(Value::as_str) {
        return Ok(Command::new("/bin/sh").args(["-c", script]));
    }
    let argv: Vec<&str> = job
        .config
        .get("argv")
        .and_then(Value::as_array)
        .map(|argv| argv.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some((program, args)) = argv.split_first().filter(|(program, _)| !program.is_empty())
    else {
        let message = "`argv` has become empty: there is no program to run";
        return Err(StageError::new(ErrorClass::Config, "run a program", message));
    };
    Ok(Command::new(locate(context, job, program)).args(args.iter().copied()))
}

/// Where a program is: named by `[tools]`, a path, or a name for a search on PATH.
fn locate(context: &dyn Context, job: &Job, program: &str) -> PathBuf {
    if !program.contains('/') {
        let tool = context.tool(program);
        let is_path = tool.as_os_str().as_encoded_bytes().contains(&b'/');
        return if is_path { context.workflow_dir().join(tool) } else { tool };
    }
    // What `uses` brought is run from the recorded copy, which is what the key knows of.
    let relative = Path::new(program.trim_start_matches("./"));
    let used = job.reserved.iter().any(|name| relative.starts_with(name) && name != "inputs");
    let base = if used { context.scratch() } else { context.workflow_dir() };
    base.join(relative)
}

fn stdin(value: &Value) -> Result<Stdin, StageError> {
    let bytes = match value {
        Value::Null => return Ok(Stdin::Empty),
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(map) if map.contains_key(DIR_MARK) => {
            return Err(StageError::new(
                ErrorClass::Config,
                "open stdin",
                "a folder cannot be a program's standard input",
            ));
        }
        Value::Object(map) if map.contains_key(FILE_MARK) => {
            let path = map.get("path").and_then(Value::as_str).unwrap_or_default();
            let file = File::open(path)
                .map_err(|e| StageError::from_io(format!("open {path} as stdin"), &e))?;
            return Ok(Stdin::File(Arc::new(file)));
        }
        other => other.to_string().into_bytes(),
    };
    Ok(if bytes.is_empty() { Stdin::Empty } else { Stdin::Bytes(bytes.into()) })
}

/// The variables that a program of a job gets on top of the engine's environment: `with.env`, and
/// then what the engine says about the attempt. Writes the file that `FLOW_INPUTS` names.
///
/// # Errors
/// When that file or the folder for outputs cannot be made.
pub fn environment_of(
    context: &dyn Context,
    job: &Job,
) -> Result<Vec<(OsString, OsString)>, StageError> {
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    let given = job.config.get("env").and_then(Value::as_object);
    for (name, value) in given.into_iter().flatten() {
        env.push((name.into(), value.as_str().unwrap_or_default().into()));
    }
    let inputs = write_inputs(context, job)
        .map_err(|e| StageError::from_io("write the file of inputs", &e))?;
    let outputs = outputs_folder(context);
    if !outputs.is_dir() {
        fs::create_dir(&outputs)
            .map_err(|e| StageError::from_io("make the folder for outputs", &e))?;
    }
    let mut set = |name: &str, value: OsString| env.push((name.into(), value));
    set("FLOW_RUN_ID", context.run_id().into());
    set("FLOW_NODE", context.node().into());
    set("FLOW_ATTEMPT", context.attempt().to_string().into());
    set("FLOW_IDEMPOTENCY_KEY", context.idempotency_key().into());
    set("FLOW_WORKFLOW_DIR", context.workflow_dir().into());
    set("FLOW_INPUTS", inputs.into());
    set("FLOW_OUTPUTS", outputs.into());
    if let Some(item) = context.item() {
        set("FLOW_ITEM", item.into());
    }
    if let Some(index) = context.index() {
        set("FLOW_INDEX", index.to_string().into());
    }
    Ok(env)
}

fn write_inputs(context: &dyn Context, job: &Job) -> io::Result<PathBuf> {
    let path = context.side().join("inputs.json");
    // A folder that is used again may have the file of a node without inputs, which is always the
    // same; making a file takes longer than starting a small program.
    if job.inputs.is_empty() && fs::metadata(&path).is_ok_and(|file| file.len() == 2) {
        return Ok(path);
    }
    fs::write(&path, serde_json::to_vec(&job.inputs)?)?;
    Ok(path)
}

/// Variables that must not reach the program: secrets, and what an outer run has said about an
/// item of its own.
fn absent_names(context: &dyn Context) -> Vec<OsString> {
    let items =
        [("FLOW_ITEM", context.item().is_none()), ("FLOW_INDEX", context.index().is_none())];
    items
        .into_iter()
        .filter(|(_, absent)| *absent)
        .map(|(name, _)| name.into())
        .chain(context.withheld_env().iter().map(OsString::from))
        .collect()
}

fn keep(job: &Job, stream: Stream) -> Keep {
    let wanted = |slot: &OutputSlot| match slot.from {
        OutputFrom::Stream(from) => from == stream,
        OutputFrom::Default => stream == Stream::Stdout && job.outputs.len() == 1,
        OutputFrom::Path(_) => false,
    };
    if job.outputs.iter().any(wanted) { Keep::All } else { Keep::Nothing }
}
