//! The gate out: what a stage made is read by the declared type, checked, and stored.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::graph::{Node, OutputPort};
use flow_core::json;
use flow_core::payload::{Artifact, DIR_MEDIA_TYPE, PayloadRef};
use flow_core::run::event::{Outputs, Warning};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{Draft, Drafts};
use flow_core::store::{Adopt, INLINE_MAX, InlinePayload, Store, StoreError};
use serde_json::Value;

use super::folder::Folder;
use super::{Surroundings, gate, media_type, scope, store_error};
use crate::secrets::Secrets;

/// JSON of more bytes than this is refused before it is read into memory.
const JSON_MAX: u64 = 256 * 1024 * 1024;

/// What went through the gate.
pub(super) struct Admitted {
    pub(super) outputs: Outputs,
    pub(super) payloads: Vec<InlinePayload>,
    pub(super) warnings: Vec<Warning>,
}

pub(super) type Refused = Box<StageError>;

/// Admits all outputs of an attempt, and makes their bytes durable.
pub(super) async fn outputs(
    around: &Surroundings,
    node: &Node,
    folder: &Folder,
    drafts: Drafts,
) -> Result<Admitted, Refused> {
    if node.outputs.is_empty() {
        return Ok(Admitted {
            outputs: Outputs::new(),
            payloads: Vec::new(),
            warnings: Vec::new(),
        });
    }
    let mut gate = Gate::new(&around.store, folder.work(), folder.side());
    gate.secrets = Arc::clone(&around.secrets);
    let mut ports = node.outputs.clone();
    if node.ends_workflow() {
        ports.retain(|port| drafts.contains_key(&port.name));
    }
    gate.adopt = if ports.iter().any(|p| p.ty.holds_folders()) { Adopt::Copy } else { Adopt::Move };
    let small = drafts.values().all(|d| matches!(d, Draft::Value(_)))
        && ports.iter().all(|p| !p.ty.holds_artifacts());
    if small {
        return gate.run(&ports, drafts);
    }
    // Hashing and syncing take their time: the driver's thread has other things to do.
    tokio::task::spawn_blocking(move || gate.run(&ports, drafts))
        .await
        .map_err(|e| Box::new(StageError::new(ErrorClass::Panic, "store outputs", e.to_string())))?
}

/// Admits values that no attempt made.
pub(super) fn values(
    store: &Arc<dyn Store>,
    node: &Node,
    drafts: Drafts,
) -> Result<Admitted, Refused> {
    Gate::new(store, None, None).run(&node.outputs, drafts)
}

pub(super) struct Gate {
    pub(super) store: Arc<dyn Store>,
    /// How files are taken: moved, unless a folder that is taken too may have them in it.
    adopt: Adopt,
    work: Option<PathBuf>,
    side: Option<PathBuf>,
    /// Files that were taken already: two ports may name one file.
    moved: BTreeMap<PathBuf, (Digest, u64)>,
    stored: bool,
    /// What no payload may have in it.
    secrets: Arc<Secrets>,
    admitted: Admitted,
}

impl Gate {
    fn new(store: &Arc<dyn Store>, work: Option<PathBuf>, side: Option<PathBuf>) -> Self {
        let (outputs, payloads, warnings) = (Outputs::new(), Vec::new(), Vec::new());
        Self {
            store: Arc::clone(store),
            adopt: Adopt::Move,
            work,
            side,
            moved: BTreeMap::new(),
            stored: false,
            secrets: Arc::default(),
            admitted: Admitted { outputs, payloads, warnings },
        }
    }

    fn run(mut self, ports: &[OutputPort], mut drafts: Drafts) -> Result<Admitted, Refused> {
        for port in ports {
            self.refuse_secrets_in(port, drafts.get(&port.name))?;
        }
        for port in ports {
            self.port(port, drafts.remove(&port.name))?;
        }
        if let Some(name) = drafts.keys().next() {
            let message = format!("the stage made an output `{name}` that it does not declare");
            return Err(Box::new(
                StageError::new(ErrorClass::Validation, "take outputs", message).port(name),
            ));
        }
        if self.stored {
            self.store.settle().map_err(|e| store_error("make outputs durable", &e))?;
        }
        Ok(self.admitted)
    }

    fn port(&mut self, port: &OutputPort, draft: Option<Draft>) -> Result<(), Refused> {
        let value = match draft {
            Some(draft) => self.value(port, draft)?,
            None => Value::Null,
        };
        // Once more as a value: JSON can write a text in more ways than are sought.
        self.refuse_secret(port, self.secrets.find_in_value(&value))?;
        let warnings = gate("output", &port.name, &port.ty, &value)?;
        self.admitted.warnings.extend(warnings);
        if value.is_null() && port.ty.is_optional() {
            return Ok(());
        }
        let ty = port.ty.to_string();
        let payload = match Artifact::from_json(&value) {
            Some(artifact) if port.ty.is_artifact() => PayloadRef::of_artifact(ty, artifact),
            _ => self.json_payload(ty, &value)?,
        };
        self.admitted.outputs.insert(port.name.clone(), payload);
        Ok(())
    }

    /// Looks into everything that is at hand before any of it is read, so that no message about what
    /// was found shows a part of a secret, and before any of it is stored. Files are looked into
    /// when they are taken.
    fn refuse_secrets_in(&self, port: &OutputPort, draft: Option<&Draft>) -> Result<(), Refused> {
        let found = match draft {
            Some(Draft::Bytes(bytes) | Draft::Lines(bytes)) => self.secrets.find(bytes),
            Some(Draft::Value(value)) => self.secrets.find_in_value(value),
            Some(Draft::Path(_) | Draft::Paths(_)) | None => None,
        };
        self.refuse_secret(port, found)
    }

    /// Looks into a file or folder, and at its name.
    fn refuse_secret_at(
        &self,
        port: &OutputPort,
        path: &Path,
        pointer: &str,
    ) -> Result<(), Refused> {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let found = match self.secrets.find(name) {
            Some(secret) => Some(secret),
            None => self.secrets.find_in_path(path).map_err(|e| io(port, path, &e))?,
        };
        self.refuse_secret(port, found).map_err(|mut error| {
            error.pointer = Some(pointer.to_owned());
            error
        })
    }

    fn refuse_secret(&self, port: &OutputPort, secret: Option<Arc<str>>) -> Result<(), Refused> {
        let Some(secret) = secret else { return Ok(()) };
        let message = format!("output `{}` has the secret `{secret}` in it", port.name);
        let mut error = refuse(port, message);
        error.expected = Some("a payload without secrets, because payloads are stored".into());
        error.found = Some(format!("the secret `{secret}`, plain or encoded"));
        error.pointer = None;
        let mut hint =
            "nothing of it is stored: leave the secret out of what the node writes".to_owned();
        if self.secrets.is_declared(&secret) {
            hint.push_str(&format!(", and read `{{{{ secrets.{secret} }}}}` where it is needed"));
        }
        error.hint = Some(hint);
        Err(error)
    }

    fn json_payload(&mut self, ty: String, value: &Value) -> Result<PayloadRef, Refused> {
        let bytes = json::canonical(value);
        let payload = PayloadRef::of_json(ty, &bytes);
        if payload.size <= INLINE_MAX {
            self.admitted.payloads.push((payload.digest, bytes.into()));
        } else {
            self.stored = true;
            self.store.put_bytes(&bytes).map_err(|e| store_error("store an output", &e))?;
        }
        Ok(payload)
    }

    /// Reads a draft by the port's type.
    fn value(&mut self, port: &OutputPort, draft: Draft) -> Result<Value, Refused> {
        match (port.ty.inner(), draft) {
            (_, Draft::Value(value)) => self.with_artifacts(port, &port.ty, value, ""),
            (Type::File(media), Draft::Bytes(bytes)) => {
                self.file_of_bytes(port, media.as_ref(), &bytes)
            }
            (Type::File(media), Draft::Path(path)) => self.file(port, &path, media.as_ref(), ""),
            (Type::Dir, Draft::Path(path)) => self.dir(port, &path, ""),
            (Type::List(element), Draft::Paths(paths)) => self.files(port, element, &paths),
            (_, Draft::Lines(bytes)) => {
                let value = json_lines(port, &bytes)?;
                self.with_artifacts(port, &port.ty, value, "")
            }
            (_, Draft::Bytes(bytes)) => self.parsed(port, bytes),
            (_, Draft::Path(path)) => {
                let bytes = self.read(port, &path)?;
                self.parsed(port, bytes)
            }
            (ty, Draft::Paths(_)) => {
                Err(refuse(port, format!("files were made, and `{ty}` is declared")))
            }
        }
    }

    fn parsed(&mut self, port: &OutputPort, bytes: Vec<u8>) -> Result<Value, Refused> {
        if is_text(&port.ty) {
            return text(port, bytes).map(Value::String);
        }
        let value = json::parse(&bytes)
            .map_err(|fault| not_json(port, &bytes, fault.offset, &fault.reason))?;
        self.with_artifacts(port, &port.ty, value, "")
    }

    fn read(&self, port: &OutputPort, path: &Path) -> Result<Vec<u8>, Refused> {
        let (base, relative) = self.locate(port, path)?;
        // Another port may have taken the same file.
        let path = match self.moved.get(&base.join(&relative)) {
            Some((digest, _)) => self
                .store
                .object(digest)
                .map_err(|e| store_error(&format!("read output {}", port.name), &e))?,
            None => {
                check_kind(port, &base, &relative, Kind::File)?;
                base.join(relative)
            }
        };
        let size = std::fs::metadata(&path).map_err(|e| io(port, &path, &e))?.len();
        if size > JSON_MAX {
            return Err(refuse(
                port,
                format!(
                    "{} has {size} bytes, and JSON is limited to {JSON_MAX}; declare it as `file`",
                    path.display()
                ),
            ));
        }
        let bytes = std::fs::read(&path).map_err(|e| io(port, &path, &e))?;
        self.refuse_secret(port, self.secrets.find(&bytes))?;
        Ok(bytes)
    }

    fn file_of_bytes(
        &mut self,
        port: &OutputPort,
        media: Option<&MediaPattern>,
        bytes: &[u8],
    ) -> Result<Value, Refused> {
        let Some(side) = &self.side else {
            return Err(refuse(port, "bytes were made by a stage without a folder".into()));
        };
        let name = format!("{}{}", port.name, media.map_or("", |m| scope::extension_of(m)));
        let folder = side.join("taken");
        let path = folder.join(name);
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(|e| io(port, &path, &e))?;
        self.file(port, &path, media, "")
    }

    fn files(
        &mut self,
        port: &OutputPort,
        element: &Type,
        paths: &[PathBuf],
    ) -> Result<Value, Refused> {
        paths
            .iter()
            .enumerate()
            .map(|(i, path)| match element.inner() {
                Type::File(media) => self.file(port, path, media.as_ref(), &format!("/{i}")),
                Type::Dir => self.dir(port, path, &format!("/{i}")),
                _ => self.element(port, element, path, &format!("/{i}")),
            })
            .collect::<Result<_, _>>()
            .map(Value::Array)
    }

    /// One file of several, each of which is an element of a list.
    fn element(
        &mut self,
        port: &OutputPort,
        ty: &Type,
        path: &Path,
        pointer: &str,
    ) -> Result<Value, Refused> {
        let bytes = self.read(port, path).map_err(|e| at(e, pointer, ty))?;
        if is_text(ty) {
            return text(port, bytes).map(Value::String).map_err(|e| at(e, pointer, ty));
        }
        let value = json::parse(&bytes).map_err(|fault| {
            let error = not_json(port, &bytes, fault.offset, &fault.reason);
            Box::new(at(error, pointer, ty).cause(format!("the file is {}", path.display())))
        })?;
        self.with_artifacts(port, ty, value, pointer)
    }

    pub(super) fn file(
        &mut self,
        port: &OutputPort,
        path: &Path,
        media: Option<&MediaPattern>,
        pointer: &str,
    ) -> Result<Value, Refused> {
        let ty = Type::File(media.cloned());
        let (base, relative) = self.locate(port, path).map_err(|e| at(e, pointer, &ty))?;
        let path = base.join(&relative);
        let failed = |e| store_error(&format!("store output {}", port.name), &e);
        let ((digest, size), media_type) = match self.moved.get(&path) {
            Some(known) => {
                let stored = self.store.object(&known.0).map_err(failed)?;
                (*known, media_type::detect(&stored, media).map_err(|e| io(port, &path, &e))?)
            }
            None => {
                check_kind(port, &base, &relative, Kind::File).map_err(|e| at(e, pointer, &ty))?;
                self.refuse_secret_at(port, &path, pointer)?;
                let media_type =
                    media_type::detect(&path, media).map_err(|e| io(port, &path, &e))?;
                let taken = self.store.put_file(&path, self.adopt).map_err(failed)?;
                self.moved.insert(path.clone(), taken);
                (taken, media_type)
            }
        };
        self.stored = true;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Artifact { digest, name, size, media_type }.to_json())
    }

    pub(super) fn dir(
        &mut self,
        port: &OutputPort,
        path: &Path,
        pointer: &str,
    ) -> Result<Value, Refused> {
        let found = self.open(port, path, Kind::Dir).map_err(|e| at(e, pointer, &Type::Dir))?;
        self.refuse_secret_at(port, &found, pointer)?;
        let (digest, size) = self.store.put_dir(&found).map_err(|error| match &error {
            StoreError::Io { path: inside, source, .. }
                if source.kind() == std::io::ErrorKind::InvalidInput =>
            {
                at(unfit_inside(port, &found, inside, source), pointer, &Type::Dir)
            }
            _ => store_error(&format!("store output {}", port.name), &error),
        })?;
        let path = found;
        self.stored = true;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Artifact { digest, name, size, media_type: DIR_MEDIA_TYPE.into() }.to_json())
    }

    /// The path of an output, after it was found to be below the attempt's folders, reached
    /// through no link, and of the wanted kind. Nothing is read: a FIFO would block.
    fn open(&self, port: &OutputPort, path: &Path, kind: Kind) -> Result<PathBuf, Refused> {
        let (base, relative) = self.locate(port, path)?;
        check_kind(port, &base, &relative, kind)?;
        Ok(base.join(relative))
    }

    /// The folder of the attempt that a path is below, and the path from there.
    fn locate(&self, port: &OutputPort, path: &Path) -> Result<(PathBuf, PathBuf), Refused> {
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(refuse_found(port, "the path", "a path with a NUL character in it"));
        }
        if path.as_os_str().is_empty() {
            return Err(refuse_found(port, "the path", "empty"));
        }
        let bases: Vec<&PathBuf> = self.work.iter().chain(&self.side).collect();
        let found = if path.is_absolute() {
            bases
                .iter()
                .find_map(|base| Some(((*base).clone(), path.strip_prefix(base).ok()?.to_owned())))
        } else {
            // A relative path is looked for in the working folder, then among `$FLOW_OUTPUTS`.
            let below_outputs = self.side.as_ref().map(|side| side.join("outputs"));
            let first = self.work.iter().cloned().chain(below_outputs);
            first.map(|base| (base, path.to_owned())).reduce(|work, outputs| {
                let missing = std::fs::symlink_metadata(work.0.join(&work.1)).is_err();
                if missing && outputs.0.join(&outputs.1).exists() { outputs } else { work }
            })
        };
        let Some((base, relative)) = found else {
            return Err(refuse_found(
                port,
                &format!("the path {}", path.display()),
                "outside the scratch folder",
            ));
        };
        let relative: PathBuf = relative.components().filter(|c| *c != Component::CurDir).collect();
        if relative.components().any(|c| !matches!(c, Component::Normal(_)))
            || relative.as_os_str().is_empty()
        {
            return Err(refuse_found(
                port,
                &format!("the path {}", path.display()),
                "outside the scratch folder",
            ));
        }
        Ok((base, relative))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Dir,
}

/// Looks at a path below `base` without following a link or opening what is there.
fn check_kind(port: &OutputPort, base: &Path, relative: &Path, kind: Kind) -> Result<(), Refused> {
    use rustix::fs::{FileType, OFlags, openat};
    let mut at: OwnedFd =
        rustix::fs::open(base, OFlags::DIRECTORY | OFlags::CLOEXEC, rustix::fs::Mode::empty())
            .map_err(|e| io(port, base, &e.into()))?;
    let parts: Vec<_> = relative.components().map(|c| c.as_os_str().to_owned()).collect();
    let shown = relative.display().to_string();
    for (i, part) in parts.iter().enumerate() {
        let stat =
            rustix::fs::statat(&at, part, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).map_err(|e| {
                if e == rustix::io::Errno::NOENT {
                    refuse_found(port, &shown, "not there")
                } else {
                    io(port, &base.join(relative), &e.into())
                }
            })?;
        let found = FileType::from_raw_mode(stat.st_mode);
        let last = i + 1 == parts.len();
        match (found, last, kind) {
            (FileType::RegularFile, true, Kind::File) | (FileType::Directory, true, Kind::Dir) => {
                return Ok(());
            }
            (FileType::Directory, false, _) => {}
            (FileType::Symlink, _, _) => {
                return Err(refuse_found(port, &shown, "reached through a symbolic link"));
            }
            (FileType::Directory, true, Kind::File) => {
                return Err(refuse_found(port, &shown, "a folder, and a file is declared"));
            }
            (FileType::RegularFile, true, Kind::Dir) => {
                return Err(refuse_found(port, &shown, "a file, and a folder is declared"));
            }
            (FileType::Fifo, _, _) => return Err(refuse_found(port, &shown, "a FIFO")),
            _ => return Err(refuse_found(port, &shown, "neither a file nor a folder")),
        }
        at = openat(
            &at,
            part,
            OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(|e| io(port, &base.join(relative), &e.into()))?;
    }
    Err(refuse_found(port, &shown, "not there"))
}

/// Whether bytes are the text itself: a `string`, and what is written like one.
fn is_text(ty: &Type) -> bool {
    matches!(ty.inner(), Type::String)
}

/// Text less one newline at its end.
fn text(port: &OutputPort, mut bytes: Vec<u8>) -> Result<String, Refused> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    String::from_utf8(bytes).map_err(|e| {
        let offset = e.utf8_error().valid_up_to();
        let mut error = refuse(port, format!("the text is not UTF-8 (at byte {offset})"));
        error.offset = Some(offset as u64);
        error.expected = Some("UTF-8 text".into());
        error.found = Some(format!(
            "the byte 0x{:02x}",
            e.as_bytes().get(offset).copied().unwrap_or_default()
        ));
        error
    })
}

fn json_lines(port: &OutputPort, bytes: &[u8]) -> Result<Value, Refused> {
    let mut list = Vec::new();
    let mut offset = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if !line.iter().all(u8::is_ascii_whitespace) {
            let value = json::parse(line).map_err(|fault| {
                let mut error = not_json(port, bytes, offset + fault.offset, &fault.reason);
                error.pointer = Some(format!("/{}", list.len()));
                error
            })?;
            list.push(value);
        }
        offset += line.len();
    }
    Ok(Value::Array(list))
}

fn not_json(port: &OutputPort, bytes: &[u8], offset: usize, reason: &str) -> Refused {
    let shown: String = String::from_utf8_lossy(&bytes[offset.min(bytes.len())..])
        .chars()
        .take(40)
        .flat_map(char::escape_debug)
        .collect();
    let message = if bytes.iter().all(u8::is_ascii_whitespace) {
        format!("nothing was written to output `{}`, and `{}` is declared", port.name, port.ty)
    } else {
        format!("output `{}` is not acceptable JSON: {reason}", port.name)
    };
    let mut error = refuse(port, message);
    error.hint = Some(
        "write the JSON value and nothing else (words for people go to stderr), or declare another type, such as \"string\"".into(),
    );
    error.offset = Some(offset as u64);
    error.pointer = Some(String::new());
    error.expected = Some(port.ty.to_string());
    error.found = Some(if shown.is_empty() {
        "the end".into()
    } else {
        format!("`{shown}` at byte {offset}")
    });
    error
}

fn refuse(port: &OutputPort, message: String) -> Refused {
    let mut error =
        StageError::new(ErrorClass::Validation, format!("take output {}", port.name), message)
            .kind(ErrorKind::Validation)
            .port(&port.name)
            .hint("change what the node writes, or the type that its output declares");
    error.expected = Some(port.ty.to_string());
    error.pointer = Some(String::new());
    Box::new(error)
}

/// A refusal that says what was found where.
pub(super) fn refuse_found(port: &OutputPort, what: &str, found: &str) -> Refused {
    let mut error = refuse(port, format!("{what} is {found}"));
    error.found = Some(found.to_owned());
    error
}

/// What is in a folder and cannot be stored with it: a link, a device, a name that is no text.
fn unfit_inside(
    port: &OutputPort,
    folder: &Path,
    inside: &Path,
    reason: &std::io::Error,
) -> Refused {
    let kind = std::fs::symlink_metadata(inside).map(|meta| meta.file_type());
    let found = match kind {
        Ok(kind) if kind.is_symlink() => "a symbolic link".to_owned(),
        Ok(kind) if kind.is_fifo() => "a FIFO".to_owned(),
        _ => reason.to_string(),
    };
    let parent = folder.parent().unwrap_or(folder);
    let shown = inside.strip_prefix(parent).unwrap_or(inside).display().to_string();
    let mut error = refuse_found(port, &shown, &found);
    error.hint =
        Some("a folder is stored with its files and folders alone: copy what a link names".into());
    error
}

/// The refusal at a place inside the payload, where `ty` is expected.
pub(super) fn at(mut error: Refused, pointer: &str, ty: &Type) -> Refused {
    error.pointer = Some(pointer.to_owned());
    error.expected = Some(ty.to_string());
    error
}

fn io(port: &OutputPort, path: &Path, error: &std::io::Error) -> Refused {
    Box::new(
        StageError::from_io(format!("take output {} from {}", port.name, path.display()), error)
            .port(&port.name),
    )
}
