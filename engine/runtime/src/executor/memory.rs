//! What an attempt leaves to later ones of its task, and what it finds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::id::RunId;
use flow_core::json;
use flow_core::run::event::TaskRef;
use flow_core::run::memory::{Kept, Memory};
use flow_core::stage::{REMEMBERED_MAX, REMEMBERED_NAME_MAX};
use flow_core::store::{Adopt, PRIVATE_PREFIX, Store, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Assignment, Surroundings, store_error};
use crate::secrets::{SECRET_MAX, SECRET_MIN, Secrets};

/// Something to be recorded for later attempts.
pub(crate) struct Memo {
    pub(crate) key: Digest,
    pub(crate) name: String,
    pub(crate) kept: Kept,
}

/// Where it goes what an attempt remembers.
pub(crate) enum Keeper {
    /// Into the run; the receiver gets its word once that is durable.
    Run(Box<dyn Fn(Memo) -> oneshot::Receiver<()> + Send + Sync>),
    /// Nowhere but here: in a trial beside the run, and in tests.
    Here(Recollection),
}

/// Things that are remembered, by name. Clones are one and the same.
#[derive(Clone, Default)]
pub struct Recollection(Arc<Mutex<BTreeMap<String, Thing>>>);

#[derive(Clone)]
enum Thing {
    Value(Arc<Value>),
    File { digest: Digest, size: u64 },
    Secret(SecretString),
}

impl Thing {
    fn kept(&self) -> Kept {
        match self {
            Self::Value(value) => Kept::Value(Arc::clone(value)),
            Self::File { digest, size } => Kept::File { digest: *digest, size: *size },
            Self::Secret(_) => Kept::Secret,
        }
    }
}

impl Recollection {
    /// The value that was remembered by this name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value> {
        match self.things().get(name) {
            Some(Thing::Value(value)) => Some(value.as_ref().clone()),
            _ => None,
        }
    }

    /// The secret that was remembered by this name.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<String> {
        match self.things().get(name) {
            Some(Thing::Secret(secret)) => Some(secret.expose_secret().to_owned()),
            _ => None,
        }
    }

    fn file(&self, name: &str) -> Option<Digest> {
        match self.things().get(name) {
            Some(Thing::File { digest, .. }) => Some(*digest),
            _ => None,
        }
    }

    fn things(&self) -> MutexGuard<'_, BTreeMap<String, Thing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All secrets, as they stand in the private file.
    fn secrets(&self) -> BTreeMap<String, String> {
        let things = self.things();
        let secrets = things.iter().filter_map(|(name, thing)| match thing {
            Thing::Secret(secret) => Some((name.clone(), secret.expose_secret().to_owned())),
            Thing::Value(_) | Thing::File { .. } => None,
        });
        secrets.collect()
    }
}

/// The memory of one attempt.
pub(super) struct AttemptMemory {
    key: Digest,
    run: RunId,
    private_file: String,
    store: Arc<dyn Store>,
    secrets: Arc<Secrets>,
    keeper: Keeper,
    found: Recollection,
    /// Held while a secret is kept: the private file has all of them.
    writes: tokio::sync::Mutex<()>,
}

impl AttemptMemory {
    /// What the attempt finds under its key.
    pub(super) fn open(
        around: &Surroundings,
        assignment: &Assignment,
        key: Digest,
        keeper: Keeper,
    ) -> Self {
        let private_file = private_file(&assignment.task, &key);
        let found = match &keeper {
            Keeper::Here(found) => found.clone(),
            Keeper::Run(_) => {
                let left = assignment.memories.as_ref().and_then(|memories| memories.of(&key));
                left.map(|memory| recollect(around, memory, &private_file)).unwrap_or_default()
            }
        };
        let memory = Self {
            key,
            run: around.run.clone(),
            private_file,
            store: Arc::clone(&around.store),
            secrets: Arc::clone(&around.secrets),
            keeper,
            found,
            writes: tokio::sync::Mutex::default(),
        };
        for (name, secret) in memory.found.secrets() {
            if let Err(error) = memory.secrets.learn(&name, &secret) {
                tracing::warn!(name, %error, "a remembered secret is not taken up");
                memory.found.things().remove(&name);
            }
        }
        memory
    }

    pub(super) fn found(&self) -> &Recollection {
        &self.found
    }

    pub(super) async fn value(&self, name: &str, value: Value) -> Result<(), StageError> {
        self.check_name(name)?;
        let bytes = json::canonical(&value);
        if bytes.len() > REMEMBERED_MAX {
            let found = bytes.len();
            return Err(refused(name, format!("it has {found} bytes of JSON"))
                .hint(format!("at most {REMEMBERED_MAX} are kept; keep larger things as a file")));
        }
        let value = json::parse(&bytes).map_err(|fault| refused(name, fault.to_string()))?;
        self.refuse_secret(name, self.secrets.find_in_value(&value))?;
        self.keep(name, Thing::Value(Arc::new(value))).await
    }

    pub(super) async fn file(&self, name: &str, path: PathBuf) -> Result<(), StageError> {
        self.check_name(name)?;
        let (store, secrets) = (Arc::clone(&self.store), Arc::clone(&self.secrets));
        let operation = operation(name);
        let stored = blocking(&operation, move || store_file(store.as_ref(), &secrets, &path));
        match stored.await? {
            Stored::Object { digest, size } => self.keep(name, Thing::File { digest, size }).await,
            Stored::Secret(secret) => self.refuse_secret(name, Some(secret)),
        }
    }

    pub(super) async fn secret(&self, name: &str, value: &str) -> Result<(), StageError> {
        self.check_name(name)?;
        if !(SECRET_MIN..=SECRET_MAX).contains(&value.len()) {
            let hint = format!(
                "a secret has {SECRET_MIN} to {SECRET_MAX} bytes, so that it can be recognised in what programs write"
            );
            return Err(refused(name, format!("it has {} bytes", value.len())).hint(hint));
        }
        // Hidden before anything can go wrong with it in a message.
        self.secrets.learn(name, value).map_err(|error| refused(name, error.to_string()))?;
        let secret = Thing::Secret(SecretString::from(value));
        let _alone = self.writes.lock().await;
        if let Keeper::Run(_) = self.keeper {
            let mut all = self.found.secrets();
            all.insert(name.to_owned(), value.to_owned());
            self.write_private(name, all).await?;
        }
        self.keep(name, secret).await
    }

    /// Writes the private file anew, durably.
    async fn write_private(
        &self,
        name: &str,
        all: BTreeMap<String, String>,
    ) -> Result<(), StageError> {
        let content = serde_json::to_vec(&all).map_err(|e| refused(name, e.to_string()))?;
        let (store, run) = (Arc::clone(&self.store), self.run.clone());
        let file = self.private_file.clone();
        let operation = operation(name);
        // A record of the run that cannot be written stops the run, as one in the journal does.
        let failed = |error: StoreError| {
            Box::new(StageError::new(ErrorClass::Store, "write a private file", error.to_string()))
        };
        blocking(&operation, move || store.put_run_file(&run, &file, &content).map_err(failed))
            .await
    }

    /// Makes it durable that something is remembered, and only then finds it.
    async fn keep(&self, name: &str, thing: Thing) -> Result<(), StageError> {
        if let Keeper::Run(record) = &self.keeper {
            let memo = Memo { key: self.key, name: name.to_owned(), kept: thing.kept() };
            // A sender that is gone means that the run is over for this process.
            record(memo).await.map_err(|_gone| {
                let message = "the run ended before it was recorded";
                StageError::new(ErrorClass::Cancelled, operation(name), message)
            })?;
        }
        self.found.things().insert(name.to_owned(), thing);
        Ok(())
    }

    /// Copies a remembered file to `to`; false if there is none, or none any more.
    pub(super) async fn place(&self, name: &str, to: PathBuf) -> Result<bool, StageError> {
        let Some(digest) = self.found.file(name) else { return Ok(false) };
        let store = Arc::clone(&self.store);
        let operation = operation(name);
        blocking(&operation, move || copy_object(store.as_ref(), &digest, &to)).await
    }

    fn check_name(&self, name: &str) -> Result<(), StageError> {
        if name.len() > REMEMBERED_NAME_MAX {
            let hint = format!("a name has at most {REMEMBERED_NAME_MAX} bytes");
            return Err(refused("something", "its name is too long".into()).hint(hint));
        }
        self.refuse_secret("something", self.secrets.find(name.as_bytes()))
    }

    fn refuse_secret(&self, name: &str, secret: Option<Arc<str>>) -> Result<(), StageError> {
        match secret {
            None => Ok(()),
            Some(secret) => Err(refused(name, format!("it has the secret `{secret}` in it"))
                .hint("what is remembered is recorded in the run; keep a secret as one")),
        }
    }
}

/// The private file of a task's attempts with this key: no name in it, since names may have any
/// characters.
fn private_file(task: &TaskRef, key: &Digest) -> String {
    let digest = Digest::of(format!("{task}\n{key}").as_bytes()).to_string();
    format!("{PRIVATE_PREFIX}{}", &digest[..32])
}

/// What earlier attempts left.
fn recollect(around: &Surroundings, memory: &Memory, private_file: &str) -> Recollection {
    let mut secrets = match memory.values().any(|kept| *kept == Kept::Secret) {
        true => read_private(around, private_file),
        false => BTreeMap::new(),
    };
    let thing = |name: &String, kept: &Kept| match kept {
        Kept::Value(value) => Some(Thing::Value(Arc::clone(value))),
        Kept::File { digest, size } => Some(Thing::File { digest: *digest, size: *size }),
        Kept::Secret => secrets.remove(name).map(|secret| Thing::Secret(secret.into())),
    };
    let mut thing = thing;
    let things = memory.iter().filter_map(|(name, kept)| Some((name.clone(), thing(name, kept)?)));
    Recollection(Arc::new(Mutex::new(things.collect())))
}

/// A private file that is lost, as in a run that was imported, is as good as nothing remembered.
fn read_private(around: &Surroundings, name: &str) -> BTreeMap<String, String> {
    let read = around.store.run_file(&around.run, name).map_err(|error| error.to_string());
    let parsed = read.and_then(|bytes| {
        // The text of the fault might show what is in the file.
        serde_json::from_slice(&bytes).map_err(|_fault| "it is damaged".to_owned())
    });
    parsed.unwrap_or_else(|reason| {
        tracing::warn!(run = %around.run, file = name, reason, "remembered secrets are lost");
        BTreeMap::new()
    })
}

enum Stored {
    Object { digest: Digest, size: u64 },
    Secret(Arc<str>),
}

/// Stores a regular file without secrets as an object, durably.
fn store_file(
    store: &dyn Store,
    secrets: &Secrets,
    path: &Path,
) -> Result<Stored, Box<StageError>> {
    let io = |error: &std::io::Error| Box::new(StageError::from_io("read a file", error));
    let kind = std::fs::symlink_metadata(path).map_err(|e| io(&e))?.file_type();
    if !kind.is_file() {
        let message = format!("{} is no regular file", path.display());
        return Err(Box::new(StageError::new(ErrorClass::Validation, "read a file", message)));
    }
    if let Some(secret) = secrets.find_in_path(path).map_err(|e| io(&e))? {
        return Ok(Stored::Secret(secret));
    }
    let failed = |error: StoreError| store_error("store a file", &error);
    let (digest, size) = store.put_file(path, Adopt::Copy).map_err(failed)?;
    store.settle().map_err(failed)?;
    Ok(Stored::Object { digest, size })
}

/// A copy of its own, which whoever gets it may go on writing.
fn copy_object(store: &dyn Store, digest: &Digest, to: &Path) -> Result<bool, Box<StageError>> {
    let object = match store.object(digest) {
        Ok(object) => object,
        Err(error @ (StoreError::Missing { .. } | StoreError::Damaged { .. })) => {
            tracing::warn!(%error, "a remembered file is lost");
            return Ok(false);
        }
        Err(error) => return Err(store_error("read a file", &error)),
    };
    let copy = || {
        let mut target = std::fs::File::options().write(true).create_new(true).open(to)?;
        std::io::copy(&mut std::fs::File::open(&object)?, &mut target)
    };
    copy().map_err(|error| {
        let operation = format!("copy a file to {}", to.display());
        Box::new(StageError::from_io(operation, &error))
    })?;
    Ok(true)
}

/// Runs what waits for the disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    operation: &str,
    work: impl FnOnce() -> Result<T, Box<StageError>> + Send + 'static,
) -> Result<T, StageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| StageError {
            operation: format!("{operation}: {}", error.operation),
            ..*error
        }),
        Err(error) => Err(StageError::new(ErrorClass::Panic, operation, error.to_string())),
    }
}

fn operation(name: &str) -> String {
    format!("remember {name}")
}

fn refused(name: &str, message: String) -> StageError {
    StageError::new(ErrorClass::Validation, operation(name), message).kind(ErrorKind::Validation)
}
