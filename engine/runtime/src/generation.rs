//! What a run goes by: its first manifest and definition, and those that took their place.
//!
//! A later generation is written whole under names made of its digests, beside what is in force.
//! The journal then names it, in one record: a crash at any instant leaves the old one or the new
//! one in force, never a mixture.

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::run::Recorded;
use flow_core::run::manifest::{
    DEFINITION_FILE, MANIFEST_FILE, Manifest, in_force, later_definition, later_manifest,
};
use flow_core::store::{Store, StoreError};

/// Writes a generation durably; nothing goes by it before a record names its digest, which is
/// returned. `files` are further files that the manifest names.
///
/// # Errors
/// Failure to write.
pub fn record_generation(
    store: &dyn Store,
    run: &RunId,
    manifest: &Manifest,
    definition: &str,
    files: &[(&str, &[u8])],
) -> Result<Digest, StoreError> {
    let bytes = manifest_bytes(manifest)?;
    let digest = Digest::of(&bytes);
    for (name, content) in files {
        store.put_run_file(run, name, content)?;
    }
    store.put_run_file(run, &later_definition(&manifest.definition), definition.as_bytes())?;
    store.put_run_file(run, &later_manifest(&digest), &bytes)?;
    Ok(digest)
}

/// The manifest and the definition that the records of a run have put in force.
///
/// # Errors
/// [`StoreError::Damaged`] where a file is not what was recorded, or failure to read.
pub fn recorded_generation(
    store: &dyn Store,
    run: &RunId,
    records: &[Recorded],
) -> Result<(Manifest, String), StoreError> {
    let first = store.run_file(run, MANIFEST_FILE)?;
    let wanted = in_force(records).filter(|digest| *digest != Digest::of(&first));
    let (name, bytes) = match &wanted {
        None => (MANIFEST_FILE.to_owned(), first),
        Some(digest) => later(store, run, digest)?,
    };
    let damaged = |name: &str, reason: String| damaged(store, run, name, reason);
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| damaged(&name, error.to_string()))?;
    let name = match &wanted {
        None => DEFINITION_FILE.to_owned(),
        Some(_) => later_definition(&manifest.definition),
    };
    let text = String::from_utf8(store.run_file(run, &name)?)
        .map_err(|error| damaged(&name, error.to_string()))?;
    if Digest::of(text.as_bytes()) != manifest.definition {
        let reason = "it is not the workflow that the run recorded".to_owned();
        return Err(damaged(&name, reason));
    }
    Ok((manifest, text))
}

/// The bytes of a later manifest. If there is none of this digest, the first one was changed.
fn later(store: &dyn Store, run: &RunId, digest: &Digest) -> Result<(String, Vec<u8>), StoreError> {
    let name = later_manifest(digest);
    let reason = || "it is not the manifest that the run recorded".to_owned();
    match store.run_file(run, &name) {
        Ok(bytes) if Digest::of(&bytes) == *digest => Ok((name, bytes)),
        Ok(_) => Err(damaged(store, run, &name, reason())),
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(damaged(store, run, MANIFEST_FILE, reason()))
        }
        Err(other) => Err(other),
    }
}

fn damaged(store: &dyn Store, run: &RunId, name: &str, reason: String) -> StoreError {
    StoreError::Damaged { path: store.run_dir(run).join(name), offset: 0, reason }
}

/// A manifest as it is written.
///
/// # Errors
/// One that cannot be JSON.
pub(crate) fn manifest_bytes(manifest: &Manifest) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec_pretty(manifest).map_err(|e| StoreError::Io {
        operation: "encode",
        path: MANIFEST_FILE.into(),
        source: e.into(),
    })
}
