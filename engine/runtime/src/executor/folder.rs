//! The folder of an attempt: `work` (the scratch folder that a program starts in) and `side` (what
//! the engine keeps beside it, out of reach of a program's globs).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{Node, Work};
use flow_core::json;
use flow_core::payload::{Artifact, each_artifact};
use flow_core::run::event::TaskRef;
use flow_core::store::StoreError;
use serde_json::{Map, Value};

use super::scope::located;
use super::{Assignment, Input, Surroundings, store_error};

/// Folders of attempts that left nothing in them: taken by later attempts under their own names,
/// because making and removing folders costs more than starting a small program.
#[derive(Default)]
pub(crate) struct SpareFolders {
    roots: Mutex<Vec<PathBuf>>,
    /// The folder of all attempts of the run, once there is one.
    parent: OnceLock<PathBuf>,
}

impl SpareFolders {
    fn take(&self) -> Option<PathBuf> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give(&self, root: PathBuf) {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner).push(root);
    }
}

impl Drop for SpareFolders {
    fn drop(&mut self) {
        while let Some(root) = self.take() {
            remove(&root);
        }
        // Folders of failed attempts are kept, and then their parent is not empty.
        if let Some(parent) = self.parent.get()
            && let Err(error) = std::fs::remove_dir(parent)
            && error.kind() != std::io::ErrorKind::DirectoryNotEmpty
        {
            tracing::debug!(path = %parent.display(), %error, "a scratch folder was not removed");
        }
    }
}

/// The folder of one attempt, or nothing for stages that need none.
pub(super) struct Folder {
    root: Option<PathBuf>,
    reserved: Vec<String>,
    /// Where each artifact was put first, by digest and name.
    placed: Mutex<BTreeMap<(Digest, String), (Artifact, PathBuf)>>,
}

impl Folder {
    /// Makes the folder with inputs and `uses` in it, if the stage works in one.
    pub(super) fn make(
        around: &Surroundings,
        node: &Node,
        work: &Work,
        assignment: &Assignment,
        inputs: &[Input],
    ) -> Result<Self, Box<StageError>> {
        if !work.stage.spec().needs_scratch {
            return Ok(Self { root: None, reserved: Vec::new(), placed: Mutex::default() });
        }
        Self::make_anyhow(around, node, assignment, inputs)
    }

    /// Makes the folder, whatever the stage is.
    pub(super) fn make_anyhow(
        around: &Surroundings,
        node: &Node,
        assignment: &Assignment,
        inputs: &[Input],
    ) -> Result<Self, Box<StageError>> {
        let name = format!(
            "{}.{}.{}",
            file_name(&assignment.task),
            assignment.attempt,
            std::process::id()
        );
        let reserved = node
            .uses
            .iter()
            .map(|u| u.trim_end_matches('/').to_owned())
            .chain(["inputs".to_owned()])
            .collect();
        let (root, is_made) = fresh_root(around, &name)?;
        let folder = Self { root: Some(root), reserved, placed: Mutex::default() };
        if !is_made {
            folder.make_parts()?;
        }
        folder.fill(around, node, inputs)?;
        Ok(folder)
    }

    fn make_parts(&self) -> Result<(), Box<StageError>> {
        let (Some(work), Some(side)) = (self.work(), self.side()) else { return Ok(()) };
        for path in [&work, &side, &side.join("outputs")] {
            std::fs::create_dir(path).map_err(|e| {
                let operation = format!("make the folder {}", path.display());
                Box::new(StageError::from_io(operation, &e))
            })?;
        }
        Ok(())
    }

    fn fill(
        &self,
        around: &Surroundings,
        node: &Node,
        inputs: &[Input],
    ) -> Result<(), Box<StageError>> {
        let Some(work) = self.work() else { return Ok(()) };
        for input in inputs.iter().filter(|i| !i.value.is_null()) {
            self.place_all(around, &input.value, &input.name)?;
        }
        for input in inputs.iter().filter(|i| Artifact::from_json(&i.value).is_none()) {
            let bytes = json::canonical(&self.with_paths(&input.value));
            write_new(&work.join("inputs"), &format!("{}.json", input.name), &bytes)?;
        }
        for path in &node.uses {
            self.place_used(around, path, &node.home.recorded(path))?;
        }
        for output in &node.outputs {
            if let flow_core::stage::OutputFrom::Path(path) = &output.from
                && let Some(parent) = work.join(path).parent()
                && !path.contains(['*', '?', '['])
            {
                make_dir(parent)?;
            }
        }
        Ok(())
    }

    fn place_used(
        &self,
        around: &Surroundings,
        path: &str,
        recorded: &str,
    ) -> Result<(), Box<StageError>> {
        let (Some(work), Some(used)) = (self.work(), around.manifest.uses.get(recorded)) else {
            return Ok(());
        };
        let target = work.join(path.trim_end_matches('/'));
        if let Some(parent) = target.parent() {
            make_dir(parent)?;
        }
        let operation = format!("put `{path}` into the scratch folder");
        if used.executable {
            // A link would share its mode with the stored object, which is not executable.
            let object = around
                .store
                .object(&used.artifact.digest)
                .map_err(|e| store_error(&operation, &e))?;
            std::fs::copy(object, &target)
                .and_then(|_| set_mode(&target, 0o555))
                .map_err(|e| Box::new(StageError::from_io(operation, &e)))
        } else {
            around.store.place(&used.artifact, &target).map_err(|e| store_error(&operation, &e))
        }
    }

    /// Puts every artifact of a value under `inputs/PORT`: alone by its name, several in numbered
    /// folders, so that programs see names and globs keep order.
    pub(super) fn place_all(
        &self,
        around: &Surroundings,
        value: &Value,
        port: &str,
    ) -> Result<(), Box<StageError>> {
        let Some(work) = self.work() else { return Ok(()) };
        let base = work.join("inputs").join(port);
        let alone = Artifact::from_json(value).is_some();
        let mut artifacts = Vec::new();
        each_artifact(value, &mut |artifact| artifacts.push(artifact));
        for (index, artifact) in artifacts.into_iter().enumerate() {
            let folder = if alone { base.clone() } else { base.join(format!("{index:05}")) };
            make_dir(&folder)?;
            let target = folder.join(&artifact.name);
            around
                .store
                .place(&artifact, &target)
                .map_err(|e| store_error(&format!("read input port {port}"), &e))?;
            let key = (artifact.digest, artifact.name.clone());
            self.lock().entry(key).or_insert((artifact, target));
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Digest, String), (Artifact, PathBuf)>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value with the path of every artifact that was placed.
    pub(super) fn with_paths(&self, value: &Value) -> Value {
        if let Some(artifact) = Artifact::from_json(value) {
            let key = (artifact.digest, artifact.name.clone());
            return match self.lock().get(&key) {
                Some((_, path)) => located(&artifact, path),
                None => value.clone(),
            };
        }
        match value {
            Value::Array(list) => Value::Array(list.iter().map(|v| self.with_paths(v)).collect()),
            Value::Object(map) => {
                Value::Object(map.iter().map(|(k, v)| (k.clone(), self.with_paths(v))).collect())
            }
            other => other.clone(),
        }
    }

    /// Parameters as templates see them: file parameters that the node reads are placed.
    pub(super) fn params(
        &self,
        around: &Surroundings,
        work: &Work,
        params: &BTreeMap<String, Value>,
    ) -> Result<Value, Box<StageError>> {
        let mut out = Map::new();
        for (name, value) in params {
            if holds_artifacts(value) && reads_param(work, name) && self.root.is_some() {
                self.place_all(around, value, &format!("params.{name}"))?;
            }
            out.insert(name.clone(), self.with_paths(value));
        }
        Ok(Value::Object(out))
    }

    /// Whether the objects behind the inputs still have their bytes: a program that writes through
    /// a link must not change what others read.
    pub(super) fn check_inputs(&self, around: &Surroundings) -> Result<(), Box<StageError>> {
        for (artifact, path) in self.lock().values() {
            around.store.check_placed(artifact).map_err(|error| match error {
                StoreError::Damaged { .. } => {
                    let error = StageError::new(
                        ErrorClass::Validation,
                        "check inputs after the attempt",
                        format!("the program changed its input {}", path.display()),
                    )
                    .cause(error)
                    .hint("inputs are read-only: copy the file before changing it");
                    Box::new(error)
                }
                other => store_error("check inputs after the attempt", &other),
            })?;
        }
        Ok(())
    }

    /// The working folder.
    pub(super) fn work(&self) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join("work"))
    }

    /// The engine's own files beside it.
    pub(super) fn side(&self) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join("side"))
    }

    /// Top-level names in the working folder that are no outputs.
    pub(super) fn reserved(&self) -> Vec<String> {
        self.reserved.clone()
    }

    /// Removes the folder, whatever is in it.
    pub(super) fn discard(self) {
        let Some(root) = &self.root else { return };
        remove(root);
        // The folder of the run is kept while anything else is in it.
        if let Some(parent) = root.parent() {
            std::fs::remove_dir(parent).ok();
        }
    }

    /// Removes the folder after success, or sets it aside if nothing was left in it.
    pub(super) fn remove(self, around: &Surroundings) {
        let Some(root) = self.root else { return };
        if is_untouched(&root) { around.spare.give(root) } else { remove(&root) }
    }

    /// Keeps the folder after a failure, and says where it is. A folder with a secret in it is not
    /// kept.
    pub(super) async fn keep(
        &self,
        around: &Surroundings,
        mut error: Box<StageError>,
    ) -> Box<StageError> {
        let (Some(root), Some(work)) = (&self.root, self.work()) else { return error };
        let said = if secret_in(around, root).await {
            remove(root);
            "its scratch folder had a secret in it, and is not kept".to_owned()
        } else if error.class == ErrorClass::Cancelled {
            return error;
        } else {
            format!("its scratch folder is kept: {}", work.display())
        };
        error.hint = Some(match error.hint.take() {
            Some(hint) => format!("{hint}; {said}"),
            None => said,
        });
        error
    }
}

/// Whether a folder has a secret in it, or something that cannot be looked at.
async fn secret_in(around: &Surroundings, root: &Path) -> bool {
    if around.secrets.is_empty() {
        return false;
    }
    let (secrets, root) = (Arc::clone(&around.secrets), root.to_owned());
    let looked = tokio::task::spawn_blocking(move || {
        secrets.find_in_path(&root).map_or(true, |found| found.is_some())
    });
    looked.await.unwrap_or(true)
}

/// A folder of this name; whether its parts are there already.
fn fresh_root(around: &Surroundings, name: &str) -> Result<(PathBuf, bool), Box<StageError>> {
    if let Some(spare) = around.spare.take() {
        let target = spare.with_file_name(name);
        // A folder that an earlier process left under this name must not be mixed with this one.
        if !target.exists() && std::fs::rename(&spare, &target).is_ok() {
            return Ok((target, true));
        }
        remove(&spare);
    }
    let root = around
        .store
        .scratch(&around.run, name)
        .map_err(|e| store_error("make a scratch folder", &e))?;
    if let Some(parent) = root.parent() {
        around.spare.parent.get_or_init(|| {
            sweep(around, parent, &root);
            parent.to_owned()
        });
    }
    Ok((root, false))
}

/// Removes folders with a secret in them that a process left behind which died before it could
/// look. Called before this process has any but `own`.
fn sweep(around: &Surroundings, parent: &Path, own: &Path) {
    if around.secrets.is_empty() {
        return;
    }
    let folders = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in folders.map(|entry| entry.path()).filter(|path| path != own) {
        if !matches!(around.secrets.find_in_path(&folder), Ok(None)) {
            remove(&folder);
        }
    }
}

/// Whether nothing but the empty list of inputs is in the folder of an attempt.
fn is_untouched(root: &Path) -> bool {
    let count = |path: PathBuf| {
        std::fs::read_dir(path).map_or(usize::MAX, |entries| entries.take(3).count())
    };
    let side = root.join("side");
    count(root.join("work")) == 0
        && count(side.join("outputs")) == 0
        && count(side.clone()) == 2
        && std::fs::read(side.join("inputs.json")).is_ok_and(|content| content == b"{}")
}

/// A folder that cannot be removed is only in the way.
fn remove(root: &Path) {
    if let Err(error) = std::fs::remove_dir_all(root) {
        tracing::warn!(path = %root.display(), %error, "a scratch folder was not removed");
    }
}

fn holds_artifacts(value: &Value) -> bool {
    let mut found = false;
    each_artifact(value, &mut |_| found = true);
    found
}

fn reads_param(work: &Work, name: &str) -> bool {
    let dotted = format!("params.{name}");
    let mut found = false;
    for field in work.config.values() {
        field.each_expr(&mut |expr| {
            found |= expr.names().any(|n| n == dotted || n.starts_with(&format!("{dotted}.")));
        });
    }
    found
}

fn make_dir(path: &Path) -> Result<(), Box<StageError>> {
    std::fs::create_dir_all(path).map_err(|e| {
        Box::new(StageError::from_io(format!("make the folder {}", path.display()), &e))
    })
}

fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Box<StageError>> {
    make_dir(folder)?;
    let path = folder.join(name);
    std::fs::write(&path, bytes)
        .and_then(|()| set_mode(&path, 0o444))
        .map_err(|e| Box::new(StageError::from_io(format!("write {}", path.display()), &e)))
}

fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// A task as a file name: readable, of bounded length, and safe whatever an item's key has in it.
pub(crate) fn file_name(task: &TaskRef) -> String {
    // No name of a node has this sign, so that the two names stay apart.
    let node: String = task.node.chars().take(60).map(|c| if c == '/' { '~' } else { c }).collect();
    let short = if node.len() < task.node.len() {
        format!("{node}~{}", Digest::of(task.node.as_bytes()).short())
    } else {
        node
    };
    match &task.item {
        None => short,
        Some(item) => format!("{short}@{}-{}", item.index, Digest::of(item.key.as_bytes()).short()),
    }
}
