//! Checking the runs: every frame of every journal, the files recorded with it, and whether all
//! that it refers to is there.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::payload::{Artifact, PayloadRef, each_artifact};
use flow_core::run::event::{Event, KeptOutput, TaskRef};
use flow_core::run::manifest::{
    DEFINITION_FILE, MANIFEST_FILE, Manifest, later_definition, later_manifest,
};
use flow_core::run::memory::Kept;
use flow_core::store::StoreError;

use super::finding::{Finding, FindingKind};
use super::objects::Known;
use super::verify::{Check, or_told};
use super::words;
use crate::bytes::artifacts_in;
use crate::journal::{Entry, HEADER_LEN, JournalFile};
use crate::{lease, plain};

/// What a run refers to, and from where.
struct Reference {
    task: Option<(TaskRef, String)>,
    payload: PayloadRef,
}

/// What was read of a run.
#[derive(Default)]
struct Content {
    inline: HashSet<Digest>,
    /// Artifacts that stand in inline payloads, by payload.
    nested: Vec<(Digest, Artifact)>,
    references: Vec<Reference>,
    /// What attempts wrote.
    captured: Vec<(TaskRef, KeptOutput)>,
    /// Files that attempts of a task remember, by name.
    remembered: HashMap<TaskRef, Vec<(String, Digest)>>,
    /// The manifests that the run has gone by, in this order: the last one is in force.
    manifests: Vec<Digest>,
}

/// Checks one run.
pub(super) fn check(
    check: &mut Check<'_>,
    run: &RunId,
    known: &mut Known,
) -> Result<(), StoreError> {
    let path = check.store.layout.journal(run);
    let mut content = Content::default();
    match read_journal(check, run, &mut content) {
        Ok(()) => {}
        Err(StoreError::Damaged { path, offset, reason }) => {
            let remedy = "put back a copy of the run, or go on with a new one; its damaged record is \
                          never used";
            let finding = Finding::new(FindingKind::Journal, path, reason, remedy);
            check.report(finding.at(offset).of_run(run));
        }
        Err(StoreError::TooNew { path, found, known }) => {
            let reason = format!("it has format {found}, and this version reads up to {known}");
            let remedy = "use the version of flow that wrote it";
            check.report(Finding::new(FindingKind::NotChecked, path, reason, remedy).of_run(run));
        }
        // Told with all that is no file where one belongs.
        Err(StoreError::NoFile { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    if !path.exists() {
        return Ok(());
    }
    check_files(check, run, &mut content)?;
    for (task, kept) in std::mem::take(&mut content.captured) {
        words::check_captured(check, run, &task, &kept)?;
    }
    References { check, run, known, content: &content }.check()
}

fn read_journal(
    check: &mut Check<'_>,
    run: &RunId,
    content: &mut Content,
) -> Result<(), StoreError> {
    let path = check.store.layout.journal(run);
    let held = or_told(lease::holder(&check.store.layout.lock(run)))?.flatten().is_some();
    let Some(journal) = JournalFile::open(&path)? else {
        let remedy = "put the journal back, or remove the folder of the run";
        let finding = Finding::new(FindingKind::Journal, path, "the run has no journal", remedy);
        check.report(finding.of_run(run));
        return Ok(());
    };
    if journal.header.run != *run {
        return Err(journal.damaged(0, format!("it is the journal of run {}", journal.header.run)));
    }
    if !held && let Some(reason) = journal.header_fault()? {
        return Err(journal.damaged(HEADER_LEN, reason));
    }
    let mut reader = journal.reader();
    while let Some(frame) = reader.next()? {
        for found in frame.entries() {
            let (position, _, entry) = found?;
            match entry {
                Entry::Payload { digest, bytes } if Digest::of(bytes) == digest => {
                    content.inline.insert(digest);
                    let nested = artifacts_in(bytes);
                    content.nested.extend(nested.into_iter().map(|artifact| (digest, artifact)));
                }
                Entry::Payload { .. } => {
                    return Err(journal.damaged(position, "a payload does not match its digest"));
                }
                Entry::Event(event) => {
                    let parsed = event.parse();
                    let recorded = parsed.map_err(|reason| journal.damaged(position, reason))?;
                    content.take(recorded.event);
                }
            }
        }
    }
    let end = reader.tip().offset;
    check.read(end);
    if !held && journal.has_bytes_behind(end)? {
        let reason = "the end was being written when its process died";
        let remedy =
            "nothing of it was acknowledged; `flow resume` or `flow verify --repair` drops it";
        let finding = Finding::new(FindingKind::TornEnd, &path, reason, remedy);
        check.report(finding.at(end).of_run(run));
    }
    Ok(())
}

impl Content {
    fn take(&mut self, event: Event) {
        match event {
            Event::RunStarted { manifest, params, .. } => {
                self.manifests.push(manifest);
                each_artifact(&params, &mut |artifact| self.add(None, artifact));
            }
            Event::RunResumed { manifest, .. } if self.manifests.last() != Some(&manifest) => {
                self.manifests.push(manifest);
            }
            Event::OutputKept { task, kept, .. } => {
                self.captured.extend(kept.into_iter().map(|kept| (task.clone(), kept)));
            }
            // What is known to be lost is made again when something needs it.
            Event::OutputsLost { task, .. } => self.references.retain(|reference| {
                reference.task.as_ref().is_none_or(|(known, _)| *known != task)
            }),
            Event::Remembered { task, name, kept: Kept::File { digest, .. }, .. } => {
                self.remembered.entry(task).or_default().push((name, digest));
            }
            Event::Skipped { task, .. } => drop(self.remembered.remove(&task)),
            Event::Succeeded { task, outputs, .. } | Event::Reused { task, outputs, .. } => {
                self.remembered.remove(&task);
                for (port, payload) in outputs {
                    let task = Some((task.clone(), port));
                    self.references.push(Reference { task, payload });
                }
            }
            _ => {}
        }
    }

    /// Files and folders among the parameters, and those that nodes use.
    fn take_artifacts(&mut self, manifest: Manifest) {
        for value in manifest.params.values() {
            each_artifact(value, &mut |artifact| self.add(None, artifact));
        }
        for used in manifest.uses.into_values() {
            self.add(None, used.artifact);
        }
    }

    fn add(&mut self, task: Option<(TaskRef, String)>, artifact: Artifact) {
        let payload = PayloadRef::of_artifact(String::new(), artifact);
        self.references.push(Reference { task, payload });
    }
}

/// Checks the manifests and the definitions that were recorded with a run, those that it goes by no
/// more as well.
fn check_files(
    check: &mut Check<'_>,
    run: &RunId,
    content: &mut Content,
) -> Result<(), StoreError> {
    let manifests = std::mem::take(&mut content.manifests);
    let (first, in_force) = (manifests.first(), manifests.last());
    let mut seen = HashSet::new();
    for expected in &manifests {
        let remedy = if Some(expected) == in_force { NEEDED } else { SUPERSEDED };
        let names = |first_name: &str, later: String| match Some(expected) == first {
            true => first_name.to_owned(),
            false => later,
        };
        let name = names(MANIFEST_FILE, later_manifest(expected));
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(bytes) = recorded(check, run, &name, *expected, remedy)? else { continue };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else { continue };
        let name = names(DEFINITION_FILE, later_definition(&manifest.definition));
        if seen.insert(name.clone()) {
            recorded(check, run, &name, manifest.definition, remedy)?;
        }
        content.take_artifacts(manifest);
    }
    Ok(())
}

/// What to do about a recorded file that the run goes by, and about one that it goes by no more.
const NEEDED: &str =
    "put back what was recorded; until then the run can be shown and not be resumed";
const SUPERSEDED: &str = "put back what was recorded; the run goes by a later file";

/// A recorded file, if it is what was recorded.
fn recorded(
    check: &mut Check<'_>,
    run: &RunId,
    name: &str,
    expected: Digest,
    remedy: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let path = check.store.layout.run(run).join(name);
    let Some(bytes) = or_told(plain::read(&path))? else { return Ok(None) };
    check.read(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64));
    let found = bytes.as_deref().map(Digest::of);
    if found == Some(expected) {
        return Ok(bytes);
    }
    let reason = match found {
        None => "it is missing".to_owned(),
        Some(found) => {
            format!("its bytes have the digest {}, recorded is {}", found.short(), expected.short())
        }
    };
    check.report(Finding::new(FindingKind::RecordedFile, path, reason, remedy).of_run(run));
    Ok(None)
}

/// Goes through what a run refers to.
struct References<'a, 'b> {
    check: &'a mut Check<'b>,
    run: &'a RunId,
    known: &'a mut Known,
    content: &'a Content,
}

impl References<'_, '_> {
    fn check(&mut self) -> Result<(), StoreError> {
        let mut seen = HashSet::new();
        for reference in &self.content.references {
            let task = reference.task.as_ref();
            if let Some(artifact) = &reference.payload.artifact {
                if seen.insert((artifact.digest, task)) {
                    self.artifact(artifact, task)?;
                }
                continue;
            }
            let digest = reference.payload.digest;
            if !seen.insert((digest, task)) {
                continue;
            }
            if self.content.inline.contains(&digest) {
                let nested = self.content.nested.iter().filter(|(payload, _)| *payload == digest);
                for (_, artifact) in nested {
                    self.artifact(artifact, task)?;
                }
            } else if let Some(bytes) = self.object(&digest, task)? {
                for artifact in artifacts_in(&bytes) {
                    self.artifact(&artifact, task)?;
                }
            }
        }
        self.check_remembered();
        Ok(())
    }

    /// Nothing that is remembered is ever needed: an attempt that does not find it does all its work.
    fn check_remembered(&mut self) {
        for (task, files) in &self.content.remembered {
            for (name, digest) in files {
                let Some((kind, reason)) = self.fault(digest) else { continue };
                let path = self.check.store.layout.object(digest);
                let reason = format!("{reason}: a file that it remembers as `{name}`");
                let remedy = "nothing has to be done: the next attempt does without it";
                let finding = Finding::new(kind, path, reason, remedy).of_run(self.run);
                self.check.report(Finding { task: Some(task.clone()), ..finding });
            }
        }
    }

    fn artifact(
        &mut self,
        artifact: &Artifact,
        task: Option<&(TaskRef, String)>,
    ) -> Result<(), StoreError> {
        if !artifact.is_dir() {
            self.is_there(&artifact.digest, task);
            return Ok(());
        }
        if !self.is_there(&artifact.digest, task) {
            return Ok(());
        }
        match self.check.store.objects.manifest(&artifact.digest) {
            Ok(entries) => {
                for digest in entries.iter().filter_map(|(_, entry)| entry.digest) {
                    self.is_there(&digest, task);
                }
                Ok(())
            }
            Err(StoreError::Damaged { path, reason, .. }) => {
                self.report(FindingKind::Object, path, reason, task);
                Ok(())
            }
            Err(StoreError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a payload that is an object, if they are right.
    fn object(
        &mut self,
        digest: &Digest,
        task: Option<&(TaskRef, String)>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.is_there(digest, task) {
            return Ok(None);
        }
        let path = self.check.store.layout.object(digest);
        plain::read(&path)
    }

    /// Whether an object is there and right; else it is told who needs it.
    fn is_there(&mut self, digest: &Digest, task: Option<&(TaskRef, String)>) -> bool {
        let Some((kind, reason)) = self.fault(digest) else { return true };
        let path = self.check.store.layout.object(digest);
        self.report(kind, path, reason.into(), task);
        false
    }

    /// What is wrong with an object that something refers to.
    fn fault(&self, digest: &Digest) -> Option<(FindingKind, &'static str)> {
        match self.known.get(digest) {
            Some(true) => None,
            Some(false) => Some((FindingKind::Object, "its bytes are damaged, and this needs it")),
            // It may have been stored since all objects were looked at.
            None if self.check.store.layout.object(digest).exists() => None,
            None => Some((FindingKind::Missing, "the object is missing")),
        }
    }

    fn report(
        &mut self,
        kind: FindingKind,
        path: PathBuf,
        reason: String,
        task: Option<&(TaskRef, String)>,
    ) {
        let run = self.run;
        let (finding, remedy) = match task {
            Some((task, port)) => {
                let remedy = format!(
                    "`flow resume {run}` makes it again if something still needs it, `flow rerun {run} \
                     '{task}'` in any case"
                );
                (Finding::new(kind, path, reason, "").of_output(task, port), remedy)
            }
            None => {
                let remedy = "put back the file that was recorded as a parameter or under `uses`, or \
                              adopt the present one with `flow resume --update`";
                (Finding::new(kind, path, reason, ""), remedy.to_owned())
            }
        };
        self.check.report(Finding { remedy, ..finding.of_run(run) });
    }
}
