//! `flow export` and `flow import`: one run as one file, for another store.

use std::fs;
use std::io;
use std::path::{Path, absolute};

use flow_core::id::RunId;
use flow_core::store::StoreError;
use flow_store::DiskStore;
use serde_json::json;

use crate::args::{ExportArgs, ImportArgs};
use crate::failure::{Exit, Failure};
use crate::report::tell;
use crate::report::text::{bytes, clean};
use crate::session::{Session, find_run};

/// Writes a run with all that it needs into a file.
pub(crate) fn export(args: &ExportArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let file = absolute(&args.output)
        .map_err(|source| Failure::System { operation: "find the current folder", source })?;
    store.export(&run, &file).map_err(|error| not_written(error, &store, &args.output))?;
    let size = fs::metadata(&file).map_or(0, |meta| meta.len());
    if env.json {
        let object = json!({ "run": run, "file": file, "size": size });
        env.out.line(&object.to_string());
    } else {
        let name = clean(&args.output.to_string_lossy());
        tell(&format!("wrote run {run} to {name}, {}\n", bytes(size)));
    }
    Ok(Exit::SUCCEEDED)
}

/// A file that cannot be written is no failure of the store.
fn not_written(error: StoreError, store: &DiskStore, target: &Path) -> Failure {
    match error {
        StoreError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
            Failure::usage(
                format!("{} is there already", target.display()),
                "remove it, or choose another file with -o",
            )
        }
        StoreError::Io { path, source, .. } if !path.starts_with(store.dir()) => {
            Failure::Write { path: target.to_owned(), source }
        }
        other => other.into(),
    }
}

/// Takes a run from a file into the store.
pub(crate) fn import(args: &ImportArgs, env: &Session) -> Result<Exit, Failure> {
    // Looked at first: no store is made for a file that is not there.
    let meta = fs::metadata(&args.file).map_err(|source| unreadable(&args.file, &source))?;
    if !meta.is_file() {
        return Err(unreadable(&args.file, &io::ErrorKind::IsADirectory.into()));
    }
    let store = env.open_or_make_named_store()?;
    let run = store.import(&args.file).map_err(|error| not_taken(error, env, &args.file))?;
    if env.json {
        env.out.line(&json!({ "run": run }).to_string());
    } else {
        env.out.line(run.as_str());
        tell(&format!("look at it: {}\n", env.command(&["show", run.as_str()])));
    }
    Ok(Exit::SUCCEEDED)
}

fn unreadable(file: &Path, source: &io::Error) -> Failure {
    Failure::usage(
        format!("cannot read {}: {source}", file.display()),
        "name a file that `flow export` wrote",
    )
}

fn not_taken(error: StoreError, env: &Session, file: &Path) -> Failure {
    match error {
        StoreError::RunExists(run) => exists(&run, env),
        StoreError::Io { path, source, .. } if path == file => unreadable(file, &source),
        other => other.into(),
    }
}

fn exists(run: &RunId, env: &Session) -> Failure {
    Failure::state(
        format!("this store has a run {run} already; nothing was changed"),
        format!(
            "look at it: {}; or import into another store with --store",
            env.command(&["show", run.as_str()])
        ),
    )
}
