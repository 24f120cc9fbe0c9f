//! `flow output`: a payload to stdout or a file, artifacts byte for byte.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flow_core::graph::{Source, Take};
use flow_core::json;
use flow_core::payload::Artifact;
use flow_core::run::event::RunEnd;
use flow_core::store::Store;
use serde_json::Value;

use crate::args::OutputArgs;
use crate::failure::{Exit, Failure};
use crate::history::{History, load_fault};
use crate::lost;
use crate::report::tell;
use crate::report::text::clean;
use crate::session::{Session, find_run};
use crate::target::{self, Target};

/// A longer line is shown in pieces of so many bytes.
const PIECE_MAX: u64 = 1 << 20;

pub(crate) fn run(args: &OutputArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    let written = write(args, env, store.as_ref(), &history);
    let target = args.target.as_deref();
    written.map_err(|failure| lost::explained(failure, store.as_ref(), &history, target))?;
    Ok(Exit::SUCCEEDED)
}

/// Writes what is asked for.
fn write(
    args: &OutputArgs,
    env: &Session,
    store: &dyn Store,
    history: &History,
) -> Result<(), Failure> {
    let value = match &args.target {
        None => workflow_outputs(history, store)?,
        Some(text) => payload(history, store, text, env)?,
    };
    let artifact = Artifact::from_json(&value).filter(|_| !env.json);
    match (artifact, &args.output) {
        (Some(artifact), Some(path)) => save_artifact(store, &artifact, path)?,
        (Some(artifact), None) => print_artifact(store, &artifact, env)?,
        (None, Some(path)) => save(path, |file| file.write_all(&text_of(&value, env, false)))?,
        (None, None) => {
            env.out.write(&text_of(&value, env, io::stdout().is_terminal()));
        }
    }
    Ok(())
}

/// The outputs of the workflow as one object.
fn workflow_outputs(history: &History, store: &dyn Store) -> Result<Value, Failure> {
    let outputs = history.outputs(store).map_err(Failure::Unreadable)?;
    if history.end() != Some(RunEnd::Succeeded) {
        let status = history.outline.status.name();
        tell(&format!("note: the run is {status}; these are the outputs so far\n"));
    }
    Ok(serde_json::json!(outputs))
}

/// The payload of an output port.
fn payload(
    history: &History,
    store: &dyn Store,
    text: &str,
    env: &Session,
) -> Result<Value, Failure> {
    let state = &history.state;
    let (target, port) = target::output(state, text)?;
    let port = port_of(history, target, port, env)?;
    let node = state.graph().node(target.node);
    let take = match (&node.fan, target.item) {
        (None, _) => Take::Whole,
        (Some(_), Some(_)) => Take::SameItem,
        (Some(_), None) => Take::Gather,
    };
    if !state.is_present(target.node, take, target.item) {
        let run = history.run().as_str();
        return Err(Failure::state(
            format!("there is no output of `{}`: it has not succeeded", clean(text)),
            format!("see how it stands: {}", env.command(&["show", run, &node.name])),
        ));
    }
    let source = Source::Output { node: target.node, port, path: Vec::new(), optional: true, take };
    let task = target.item.map(|index| flow_core::id::TaskId::item(target.node, index));
    let wire = flow_runtime::wiring::wire(state, &history.manifest.params, &source, task);
    flow_runtime::value_at(store, history.run(), &wire)
        .map_err(|fault| Failure::Unreadable(load_fault(fault)))
}

/// The port that is meant: the only one, if none is named.
fn port_of(
    history: &History,
    target: Target,
    port: Option<&str>,
    env: &Session,
) -> Result<String, Failure> {
    let node = history.state.graph().node(target.node);
    let names: Vec<&str> = node.outputs.iter().map(|port| port.name.as_str()).collect();
    let all = names.join(", ");
    match (port, names.as_slice()) {
        (Some(port), _) if names.contains(&port) => Ok(port.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (_, []) => Err(Failure::not_found(
            format!("node `{}` has no outputs", node.name),
            Some(format!(
                "what it wrote is in its log: {}",
                env.command(&["logs", history.run().as_str(), &node.name])
            )),
        )),
        (Some(port), _) => Err(Failure::not_found(
            format!("node `{}` has no output `{port}`", node.name),
            Some(format!("its outputs are {all}")),
        )),
        (None, [first, ..]) => Err(Failure::usage(
            format!("node `{}` has several outputs: {all}", node.name),
            format!("name one of them: {}.{first}", node.name),
        )),
    }
}

/// The text of a value: a string as it is unless JSON is wanted, else JSON.
fn text_of(value: &Value, env: &Session, is_terminal: bool) -> Vec<u8> {
    let mut bytes = match value {
        Value::String(text) if !env.json && is_terminal => clean_text(text).into_bytes(),
        Value::String(text) if !env.json => text.clone().into_bytes(),
        other if is_terminal && !env.json => {
            // Any value can be written as JSON.
            serde_json::to_vec_pretty(other).unwrap_or_default()
        }
        other => json::canonical(other),
    };
    bytes.push(b'\n');
    bytes
}

/// Text of many lines, made harmless for a terminal.
fn clean_text(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

fn print_artifact(store: &dyn Store, artifact: &Artifact, env: &Session) -> Result<(), Failure> {
    let name = clean(&artifact.name);
    if artifact.is_dir() {
        return Err(Failure::usage(format!("`{name}` is a folder"), "write it to a path: -o PATH"));
    }
    let is_terminal = io::stdout().is_terminal();
    if is_terminal && !is_text(artifact) {
        return Err(Failure::usage(
            format!("`{name}` is {}, which is nothing for a terminal", artifact.media_type),
            "write it to a path with -o PATH, or send stdout somewhere else",
        ));
    }
    let path = store.object(&artifact.digest)?;
    let read = |source| Failure::System { operation: "read a stored file", source };
    let mut file = File::open(&path).map_err(read)?;
    if is_terminal {
        return show_text(BufReader::new(file), env).map_err(read);
    }
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let length = file.read(&mut buffer).map_err(read)?;
        if length == 0 || !env.out.write(&buffer[..length]) {
            return Ok(());
        }
    }
}

/// Writes a text to a terminal, made harmless.
fn show_text(mut file: BufReader<File>, env: &Session) -> io::Result<()> {
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if file.by_ref().take(PIECE_MAX).read_until(b'\n', &mut piece)? == 0 {
            return Ok(());
        }
        let (text, end) = match piece.strip_suffix(b"\n") {
            Some(line) => (line.strip_suffix(b"\r").unwrap_or(line), "\n"),
            None => (&piece[..], ""),
        };
        if !env.out.write(format!("{}{end}", clean(&String::from_utf8_lossy(text))).as_bytes()) {
            return Ok(());
        }
    }
}

fn is_text(artifact: &Artifact) -> bool {
    let media = artifact.media_type.as_str();
    media.starts_with("text/") || matches!(media, "application/json" | "application/xml")
}

/// Copies an artifact to a path. Never a link: what the user does with it must not reach the store.
fn save_artifact(store: &dyn Store, artifact: &Artifact, path: &Path) -> Result<(), Failure> {
    if !artifact.is_dir() {
        let object = store.object(&artifact.digest)?;
        let mut from = File::open(&object)
            .map_err(|source| Failure::System { operation: "read a stored file", source })?;
        return save(path, |file| io::copy(&mut from, file).map(drop));
    }
    let failed = |source| Failure::Write { path: path.to_owned(), source };
    if path.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let (linked, copied) = (aside(path, "linked"), aside(path, "copied"));
    let saved = store.place(artifact, &linked).map_err(Failure::from).and_then(|()| {
        copy_folder(&linked, &copied).and_then(|()| fs::rename(&copied, path)).map_err(failed)
    });
    for folder in [linked, copied] {
        // What is left aside after a failure is removed as far as it can be.
        fs::remove_dir_all(folder).ok();
    }
    saved
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            let mode = entry.metadata()?.permissions().mode() | 0o200;
            fs::set_permissions(&target, Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Writes a file aside and renames it, so that nobody ever sees half of it. A pipe or device is
/// written as it is.
fn save(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Failure> {
    let failed = |source| Failure::Write { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(meta) if !meta.is_file() => {
            let mut file = File::options().write(true).open(path).map_err(failed)?;
            return write(&mut file).map_err(failed);
        }
        _ => {}
    }
    let aside = aside(path, "part");
    let written = File::create(&aside)
        .and_then(|mut file| write(&mut file).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        fs::remove_file(&aside).ok();
    }
    written.map_err(failed)
}

/// A path beside `path` that no other process uses.
fn aside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{what}", std::process::id()))
}
