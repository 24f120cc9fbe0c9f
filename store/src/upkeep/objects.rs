//! Hashing every object, on a few threads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use flow_core::digest::Digest;
use flow_core::store::StoreError;

use super::finding::{Finding, FindingKind};
use super::verify::Check;
use crate::files::entries;
use crate::layout::Layout;
use crate::objects::{digest_at, hash};
use crate::plain::open_plain;

/// More threads than this only make a disk seek.
const THREADS: usize = 4;

/// What is known of the objects: whether the bytes of each are right.
pub(super) type Known = HashMap<Digest, bool>;

/// Hashes all objects and reports those that are damaged.
pub(super) fn check(check: &mut Check<'_>) -> Result<Known, StoreError> {
    let all = list(check)?;
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let (results, arrived) = mpsc::channel();
    let mut known = Known::new();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (all, next, results) = (&all, &next, results.clone());
            scope.spawn(move || {
                while let Some((digest, path)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // The receiver goes away early only when it met an error.
                    if results.send((digest, path, look(path))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (digest, path, found) in arrived {
            take(check, &mut known, *digest, path, found)?;
        }
        Ok(known)
    })
}

/// Counts an object, and reports it if its bytes are wrong.
fn take(
    check: &mut Check<'_>,
    known: &mut Known,
    digest: Digest,
    path: &Path,
    found: Result<Option<(Digest, u64)>, StoreError>,
) -> Result<(), StoreError> {
    let reason = match found {
        // One that is gone by now was removed by someone who may do so.
        Ok(None) => return Ok(()),
        Ok(Some((found, size))) => {
            check.read(size);
            (found != digest).then(|| format!("its bytes have the digest {}", found.short()))
        }
        Err(StoreError::NoFile { found, .. }) => {
            Some(format!("it is {found}, and a plain file belongs there"))
        }
        Err(error) => return Err(error),
    };
    known.insert(digest, reason.is_none());
    if let Some(reason) = reason {
        let remedy = "`flow verify --repair` moves it out of the way; `flow resume` of a run that \
                      needs it makes it again";
        check.report(Finding::new(FindingKind::Object, path, reason, remedy));
    }
    Ok(())
}

/// The digest and size of a file; `None` if it is gone.
fn look(path: &Path) -> Result<Option<(Digest, u64)>, StoreError> {
    let Some(mut file) = open_plain(path)? else { return Ok(None) };
    let size = file.metadata().map_err(StoreError::io("read", path))?.len();
    Ok(Some((hash(&mut file, path)?, size)))
}

/// All objects; what lies between them is reported.
fn list(check: &mut Check<'_>) -> Result<Vec<(Digest, PathBuf)>, StoreError> {
    let mut strays = Vec::new();
    let all = each_object(&check.store.layout, &mut |path| strays.push(path));
    for path in strays {
        let remedy = "nothing uses it; remove it if you do not know it";
        check.report(Finding::new(FindingKind::Stray, path, "this is no object", remedy));
    }
    all
}

/// The objects of a store, in no order. Anything else that lies there is shown to `stray`.
pub(super) fn each_object(
    layout: &Layout,
    stray: &mut dyn FnMut(PathBuf),
) -> Result<Vec<(Digest, PathBuf)>, StoreError> {
    let mut all = Vec::new();
    for (folder, kind) in entries(&layout.objects())? {
        if !kind.is_dir() {
            stray(folder);
            continue;
        }
        for (path, _) in entries(&folder)? {
            match digest_at(&path) {
                Some(digest) if layout.object(&digest) == path => all.push((digest, path)),
                _ => stray(path),
            }
        }
    }
    Ok(all)
}
