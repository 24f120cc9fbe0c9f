//! Taking outputs from where a program left them. What is taken is only named here; the gate
//! opens it, safely, and reads it by the port's type.

use std::fs;
use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::schema::Type;
use flow_core::stage::{Context, Draft, Drafts, Job, OutputFrom, OutputSlot, Stream};
use globset::{GlobBuilder, GlobMatcher};

use super::prepare::outputs_folder;
use crate::process::{Captured, Finished};

/// All outputs of a finished program, as drafts.
pub(super) fn drafts(
    context: &dyn Context,
    job: &Job,
    finished: Finished,
) -> Result<Drafts, StageError> {
    let mut finished = finished;
    let mut drafts = Drafts::new();
    for slot in &job.outputs {
        if let Some(draft) = draft(context, job, slot, &mut finished)? {
            drafts.insert(slot.name.clone(), draft);
        }
    }
    Ok(drafts)
}

fn draft(
    context: &dyn Context,
    job: &Job,
    slot: &OutputSlot,
    finished: &mut Finished,
) -> Result<Option<Draft>, StageError> {
    let found = match &slot.from {
        OutputFrom::Stream(Stream::Stdout) => of_stream(slot, &finished.stdout)?,
        OutputFrom::Stream(Stream::Stderr) => of_stream(slot, &finished.stderr)?,
        OutputFrom::Path(path) => of_path(context, job, slot, path)?,
        OutputFrom::Default => match of_outputs_folder(context, slot)? {
            None if job.outputs.len() == 1 => of_only_stdout(slot, &finished.stdout)?,
            found => found,
        },
    };
    if found.is_none() && !slot.ty.is_optional() {
        return Err(missing(context, job, slot));
    }
    Ok(found)
}

fn is_list(ty: &Type) -> bool {
    matches!(ty.inner(), Type::List(_))
}

/// Whether it is a list of files or folders.
fn artifact_list(ty: &Type) -> bool {
    matches!(ty.inner(), Type::List(element) if element.is_artifact())
}

/// Whether a glob for this type is after folders: alone, or as elements of a list.
fn wants_folders(ty: &Type) -> bool {
    match ty.inner() {
        Type::Dir => true,
        Type::List(element) => matches!(element.inner(), Type::Dir),
        _ => false,
    }
}

fn of_stream(slot: &OutputSlot, captured: &Captured) -> Result<Option<Draft>, StageError> {
    // Two ports may have the same stream, and a file that the gate takes is moved.
    if !slot.json_lines && slot.ty.is_artifact() {
        return copy_of(slot, captured).map(Some);
    }
    let read = || captured.clone().bytes().map_err(|e| unreadable(slot, &e));
    Ok(Some(match captured {
        _ if slot.json_lines => Draft::Lines(read()?),
        Captured::Memory(bytes) => Draft::Bytes(bytes.clone()),
        Captured::File { path, .. } => Draft::Path(path.clone()),
    }))
}

fn copy_of(slot: &OutputSlot, captured: &Captured) -> Result<Draft, StageError> {
    let Captured::File { path, .. } = captured else {
        return Ok(captured.clone().into_draft());
    };
    // The artifact's name is the port's, not that of the engine's own file.
    let name = slot.path.as_deref().and_then(Path::file_name).unwrap_or(slot.name.as_ref());
    let folder = path.with_extension(&slot.name);
    let target = folder.join(name);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::hard_link(path, &target).or_else(|_| fs::copy(path, &target).map(drop)))
        .map_err(|e| unreadable(slot, &e))?;
    Ok(Draft::Path(target))
}

/// stdout stands in for an output that was not written elsewhere. An empty one is an answer only
/// where empty text or an empty file is one.
fn of_only_stdout(slot: &OutputSlot, stdout: &Captured) -> Result<Option<Draft>, StageError> {
    let empty_is_an_answer =
        slot.json_lines || matches!(slot.ty.inner(), Type::String | Type::File(_));
    let absent = slot.ty.is_optional() || !empty_is_an_answer;
    if stdout.is_empty() && absent { Ok(None) } else { of_stream(slot, stdout) }
}

fn of_path(
    context: &dyn Context,
    job: &Job,
    slot: &OutputSlot,
    pattern: &str,
) -> Result<Option<Draft>, StageError> {
    if !artifact_list(&slot.ty) && !is_glob(pattern) {
        let named = slot.path.clone().filter(|path| exists(path));
        let path = named.unwrap_or_else(|| context.scratch().join(pattern));
        return if exists(&path) { of_file(slot, path).map(Some) } else { Ok(None) };
    }
    let matcher = matcher(pattern).ok_or_else(|| {
        let message = format!("`path = {pattern:?}` is no pattern that can be read");
        StageError::new(ErrorClass::Config, "take outputs", message).port(&slot.name)
    })?;
    let mut found = Vec::new();
    walk(context.scratch(), Path::new(""), job, &mut |path, kind| {
        // A link is named, so that the gate says what is wrong with it.
        let fits = kind.is_symlink() || kind.is_dir() == wants_folders(&slot.ty);
        if fits && matcher.is_match(path) {
            found.push(path.to_owned());
        }
    })
    .map_err(|e| unreadable(slot, &e))?;
    found.sort();
    let is_one = !is_list(&slot.ty);
    match found.len() {
        0 => Ok(None),
        1 if is_one => of_file(slot, context.scratch().join(&found[0])).map(Some),
        many if is_one => Err(several(slot, many, pattern)),
        _ => {
            let paths = found.iter().map(|path| context.scratch().join(path)).collect();
            Ok(Some(Draft::Paths(paths)))
        }
    }
}

fn several(slot: &OutputSlot, count: usize, pattern: &str) -> StageError {
    let message = format!("{count} files match `{pattern}`, but a {} is one", slot.ty);
    StageError::new(ErrorClass::Validation, "take outputs", message)
        .kind(ErrorKind::Validation)
        .port(&slot.name)
        .hint(format!("declare `list<{}>` to take them all, or make the pattern narrower", slot.ty))
}

/// Whether something has this name, even a link to nowhere: the gate says what is wrong with it.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether a path stands for any number of files.
pub(super) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Reads a pattern: `*` and `?` stay within a folder, `**` goes through any number of them.
pub(super) fn matcher(pattern: &str) -> Option<GlobMatcher> {
    let pattern = pattern.trim_start_matches("./");
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    glob.ok().map(|glob| glob.compile_matcher())
}

/// Visits everything below a folder. Links are visited but not followed, and what came in is left
/// out.
fn walk(
    root: &Path,
    below: &Path,
    job: &Job,
    visit: &mut dyn FnMut(&Path, fs::FileType),
) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if path == Path::new("inputs") || job.reserved.iter().any(|name| path == Path::new(name)) {
            continue;
        }
        let kind = entry.file_type()?;
        visit(&path, kind);
        if kind.is_dir() {
            walk(root, &path, job, visit)?;
        }
    }
    Ok(())
}

/// Looks where `{{ outputs.PORT }}` pointed, and then in `$FLOW_OUTPUTS` under the port's name.
fn of_outputs_folder(
    context: &dyn Context,
    slot: &OutputSlot,
) -> Result<Option<Draft>, StageError> {
    if let Some(path) = slot.path.as_ref().filter(|path| exists(path)) {
        return of_file(slot, path.clone()).map(Some);
    }
    let folder = outputs_folder(context);
    let bare = folder.join(&slot.name);
    if exists(&bare) {
        return if artifact_list(&slot.ty) && bare.is_dir() {
            folder_as_list(slot, &bare).map(Some)
        } else {
            of_file(slot, bare).map(Some)
        };
    }
    let json = folder.join(format!("{}.json", slot.name));
    if exists(&json) {
        return of_file(slot, json).map(Some);
    }
    if matches!(slot.ty.inner(), Type::File(_)) {
        with_any_extension(slot, &folder)
    } else {
        Ok(None)
    }
}

fn folder_as_list(slot: &OutputSlot, folder: &Path) -> Result<Draft, StageError> {
    let entries: std::io::Result<Vec<PathBuf>> =
        fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
    let mut paths = entries.map_err(|e| unreadable(slot, &e))?;
    paths.sort();
    Ok(Draft::Paths(paths))
}

/// `PORT.wav` for the port `PORT`, where there is just one such file.
fn with_any_extension(slot: &OutputSlot, folder: &Path) -> Result<Option<Draft>, StageError> {
    let beginning = format!("{}.", slot.name);
    let mut found: Vec<String> = fs::read_dir(folder)
        .map_err(|e| unreadable(slot, &e))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.strip_prefix(&beginning).is_some_and(|rest| !rest.contains('.')))
        .collect();
    found.sort();
    match found.len() {
        0 => Ok(None),
        1 => of_file(slot, folder.join(&found[0])).map(Some),
        _ => {
            let message =
                format!("{} could each be the output `{}`", found.join(" and "), slot.name);
            Err(StageError::new(ErrorClass::Validation, "take outputs", message)
                .port(&slot.name)
                .hint("write one of them, or name it with `path`"))
        }
    }
}

fn of_file(slot: &OutputSlot, path: PathBuf) -> Result<Draft, StageError> {
    if !slot.json_lines {
        return Ok(Draft::Path(path));
    }
    // The lines are read here, so it is here that a FIFO must not be waited for.
    let metadata = path.symlink_metadata().map_err(|e| unreadable(slot, &e))?;
    if !metadata.is_file() {
        return Ok(Draft::Path(path));
    }
    fs::read(&path).map(Draft::Lines).map_err(|e| unreadable(slot, &e))
}

fn unreadable(slot: &OutputSlot, error: &std::io::Error) -> StageError {
    StageError::from_io(format!("take output {}", slot.name), error).port(&slot.name)
}

/// The program succeeded and did not leave this output anywhere.
fn missing(context: &dyn Context, job: &Job, slot: &OutputSlot) -> StageError {
    let name = &slot.name;
    let places = match &slot.from {
        OutputFrom::Path(path) => format!("`{path}` in the scratch folder"),
        OutputFrom::Stream(_) => "its stream".to_owned(),
        OutputFrom::Default => {
            let only = if job.outputs.len() == 1 { " and on stdout, which is empty" } else { "" };
            format!("`$FLOW_OUTPUTS/{name}` and `$FLOW_OUTPUTS/{name}.json`{only}")
        }
    };
    let message = format!("the program made no output `{name}`: looked for {places}");
    let mut error = StageError::new(ErrorClass::Validation, "take outputs", message)
        .kind(ErrorKind::Validation)
        .port(name);
    error.expected = Some(slot.ty.to_string());
    error.pointer = Some(String::new());
    error.found = Some("nothing".into());
    let hint = match &slot.from {
        OutputFrom::Path(path) => {
            let (found, hint) = instead(context, job, slot, path);
            error.found = Some(found);
            hint
        }
        _ => format!(
            "write it to `$FLOW_OUTPUTS/{name}`, or to the path that `{{{{ outputs.{name} }}}}` gives; \
             declare `{}?` if it may be absent",
            slot.ty
        ),
    };
    error.hint(hint)
}

/// What is in the scratch folder instead of an output with a path, and the way out.
fn instead(context: &dyn Context, job: &Job, slot: &OutputSlot, path: &str) -> (String, String) {
    if let Some(link) = link_on_the_way(context.scratch(), path) {
        let link = link.display();
        return (
            format!("nothing that could be taken: `{link}` is a symbolic link"),
            format!("outputs are not taken through links: write to a folder instead of `{link}`"),
        );
    }
    (
        holdings(context, job),
        format!("write it there, or declare `{}?` if it may be absent", slot.ty),
    )
}

/// The first link among the folders that a path goes through, as far as its names are plain.
fn link_on_the_way(scratch: &Path, path: &str) -> Option<PathBuf> {
    let mut at = PathBuf::new();
    for part in Path::new(path).components() {
        if is_glob(&part.as_os_str().to_string_lossy()) {
            return None;
        }
        at.push(part);
        if scratch.join(&at).symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
            return Some(at);
        }
    }
    None
}

/// What the program left in the scratch folder, for people: some names, and how many more.
fn holdings(context: &dyn Context, job: &Job) -> String {
    const SHOWN: usize = 8;
    let mut names = Vec::new();
    let all = walk(context.scratch(), Path::new(""), job, &mut |path, kind| {
        let end = if kind.is_dir() { "/" } else { "" };
        names.push(format!("{}{end}", path.display()));
    });
    if all.is_err() || names.is_empty() {
        return "nothing in the scratch folder".into();
    }
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let list = names.join(", ");
    if more == 0 { format!("only {list}") } else { format!("only {list} and {more} more") }
}
