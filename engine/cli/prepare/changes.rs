//! What changed on the disk since a run was recorded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flow_core::digest::{Digest, EntryKind, Hasher, ManifestEntry, manifest_bytes};
use flow_core::payload::Artifact;
use flow_core::run::manifest::Manifest;

use super::uses::is_executable;

/// A line for each file that is not as it was recorded.
pub(crate) fn changes(manifest: &Manifest) -> Vec<String> {
    let workflow = &manifest.workflow_path;
    let mut notes = Vec::new();
    let mut note = |what: &str, path: &Path, state: Option<&str>| {
        if let Some(state) = state {
            let path = path.display();
            notes.push(format!("{what} {path} {state}; this resume uses the recorded version"));
        }
    };
    note("the workflow file", workflow, state(workflow_digest(workflow), manifest.definition));
    let dir = workflow.parent().unwrap_or(workflow);
    for (name, text) in &manifest.files {
        let path = dir.join(name);
        let recorded = Digest::of(without_mark(text.as_bytes()));
        let what = if name.ends_with(".toml") { "the workflow file" } else { "the schema" };
        note(what, &path, state(workflow_digest(&path), recorded));
    }
    for (name, used) in &manifest.uses {
        let path = dir.join(name);
        let found = fingerprint(&path, &used.artifact);
        let mode_changed =
            !used.artifact.is_dir() && found.is_ok() && is_executable(&path) != used.executable;
        let changed = state(found, used.artifact.digest);
        note("the used path", &path, changed.or(mode_changed.then_some("has another mode")));
    }
    for (name, path) in &manifest.param_paths {
        // A JSON pointer into the parameter's value follows its name.
        let (param, pointer) = name.split_at(name.find('/').unwrap_or(name.len()));
        let value = manifest.params.get(param).and_then(|value| value.pointer(pointer));
        let Some(recorded) = value.and_then(Artifact::from_json) else { continue };
        let what = format!("the file of parameter `{name}`,");
        note(&what, path, state(fingerprint(path, &recorded), recorded.digest));
    }
    notes
}

/// How a path stands to its record, if it is not the same.
fn state(found: io::Result<Digest>, recorded: Digest) -> Option<&'static str> {
    match found {
        Ok(digest) if digest == recorded => None,
        Ok(_) => Some("has changed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("is gone"),
        Err(_) => Some("cannot be read"),
    }
}

/// The digest of a workflow file as it would be recorded: without a byte order mark.
fn workflow_digest(path: &Path) -> io::Result<Digest> {
    let bytes = std::fs::read(path)?;
    Ok(Digest::of(without_mark(&bytes)))
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// The digest that a file or folder would be stored under.
fn fingerprint(path: &Path, recorded: &Artifact) -> io::Result<Digest> {
    match recorded.is_dir() {
        false => file_digest(path).map(|(digest, _)| digest),
        true => folder_digest(path).map(|(digest, _)| digest),
    }
}

/// The digest of a folder, and the bytes of all its files.
pub(super) fn folder_digest(path: &Path) -> io::Result<(Digest, u64)> {
    let mut entries = Vec::new();
    collect(path, "", &mut entries)?;
    let size = entries.iter().map(|entry| entry.size).sum();
    Ok((Digest::of(&manifest_bytes(&mut entries)), size))
}

/// The digest of a file, and its bytes.
pub(super) fn file_digest(path: &Path) -> io::Result<(Digest, u64)> {
    // Opening a FIFO would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut file = File::open(path)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher.finish(), size));
        }
        size += read as u64;
        hasher.update(&buffer[..read]);
    }
}

fn collect(folder: &Path, prefix: &str, entries: &mut Vec<ManifestEntry>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().or(Err(io::ErrorKind::InvalidData))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), entries)?;
            let kind = EntryKind::Dir;
            entries.push(ManifestEntry { path, kind, executable: false, size: 0, digest: None });
        } else {
            let (digest, size) = file_digest(&entry.path())?;
            let executable = is_executable(&entry.path());
            let (kind, digest) = (EntryKind::File, Some(digest));
            entries.push(ManifestEntry { path, kind, executable, size, digest });
        }
    }
    Ok(())
}
