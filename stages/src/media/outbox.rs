//! `media.outbox`: a finished piece in a folder, ready to be posted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{BoxFuture, Context, Drafts, FieldKind, Job, Ports, Stage, StageSpec};
use jiff::civil::Date;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::ports::{
    config_error, draft, field, file, input, optional_input, optional_port, port, text,
};
use crate::contract::{self, AssemblyResult, IdeaPackage, Receipt};

/// The folder beside the workflow file where nothing else is said.
const DEFAULT_DIR: &str = "outbox";

/// Writes a piece to a folder by day and idea; the same piece again changes nothing.
pub(super) struct OutboxStage {
    spec: StageSpec,
}

impl OutboxStage {
    pub(super) fn new() -> Self {
        Self {
            spec: StageSpec {
                name: "media.outbox",
                version: 1,
                summary: "Puts a reel with caption and manifest into a folder, all or nothing",
                inputs: Ports::Fixed(vec![
                    port("reel", Type::File(MediaPattern::parse("video/*")), "The video."),
                    port("idea", contract::ty::<IdeaPackage>(), "The idea with its caption."),
                    optional_port(
                        "result",
                        contract::ty::<AssemblyResult>(),
                        "How it was made, for the manifest.",
                    ),
                ]),
                outputs: Ports::Fixed(vec![port(
                    "receipt",
                    contract::ty::<Receipt>(),
                    "Where it is, and the digest of the video.",
                )]),
                config: vec![
                    field(
                        "dir",
                        FieldKind::Text,
                        "The outbox, relative to the workflow file; default `outbox`.",
                    ),
                    field("date", FieldKind::Text, "The day's folder; default: the run's date."),
                ],
                needs_scratch: true,
                example: r#"[nodes.publish]
stage  = "media.outbox"
inputs = { reel = "assemble.reel", idea = "ideas.idea", result = "assemble.result" }
with   = { dir = "../outbox", date = "{{ run.date }}" }
"#,
            },
        }
    }
}

impl Stage for OutboxStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let idea: IdeaPackage = input(&job, "idea")?;
            let result: Option<AssemblyResult> = optional_input(&job, "result")?;
            let reel = file(&job, "reel")?;
            let day = day(context, &job)?;
            let dir = context.workflow_dir().join(text(&job, "dir").unwrap_or(DEFAULT_DIR));
            let piece = Piece { idea, result, reel, day };
            let dir = tidy(&dir);
            let posted = tokio::task::spawn_blocking(move || {
                piece.post(&dir).map_err(|e| unwritable(&dir, &e))
            });
            let receipt = posted.await.map_err(|e| {
                StageError::new(ErrorClass::Panic, "write to the outbox", e.to_string())
            })??;
            Ok(BTreeMap::from([("receipt".to_owned(), draft(&receipt)?)]))
        })
    }
}

fn day(context: &dyn Context, job: &Job) -> Result<Date, StageError> {
    let Some(date) = text(job, "date") else { return Ok(context.run_date()) };
    date.parse().map_err(|e: jiff::Error| {
        let message = format!("{date} is no date");
        config_error("date", message, "write it as 2025-01-05 or {{ run.date }}").cause(e)
    })
}

/// A path without `.` and `..` where that is certain, for people to read.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if tidy.file_name().is_some() && !tidy.is_symlink() => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

fn unwritable(dir: &Path, error: &io::Error) -> StageError {
    use io::ErrorKind as K;
    let failure = StageError::from_io("write to the outbox", error);
    let hint = format!("check that `{}` is a folder that can be written to", dir.display());
    match error.kind() {
        // Waiting does not give anybody a permission.
        K::PermissionDenied | K::ReadOnlyFilesystem | K::NotADirectory | K::AlreadyExists => {
            let message = format!("the outbox `{}` cannot be written: {error}", dir.display());
            StageError::new(ErrorClass::Config, "write to the outbox", message).hint(hint)
        }
        _ => failure.hint(hint),
    }
}

struct Piece {
    idea: IdeaPackage,
    result: Option<AssemblyResult>,
    reel: PathBuf,
    day: Date,
}

impl Piece {
    /// Writes everything to a hidden folder and then gives it its name.
    fn post(&self, dir: &Path) -> io::Result<Receipt> {
        let (sha256, bytes) = digest(&self.reel)?;
        let day = dir.join(self.day.to_string());
        let folder = day.join(safe_name(&self.idea.idea_id));
        let receipt = |status: &str| Receipt {
            target: "outbox".into(),
            idea_id: self.idea.idea_id.clone(),
            path: folder.join("reel.mp4").display().to_string(),
            sha256: sha256.clone(),
            bytes,
            status: status.to_owned(),
            ..Receipt::default()
        };
        let files =
            [("caption.txt", self.caption()), ("manifest.json", self.manifest(&sha256, bytes))];
        if is_posted(&folder, &sha256, &files)? {
            return Ok(receipt("unchanged"));
        }
        fs::create_dir_all(&day)?;
        let hidden = |state: &str| day.join(format!(".{}.{state}", safe_name(&self.idea.idea_id)));
        let (new, old) = (hidden("new"), hidden("old"));
        for leftover in [&new, &old] {
            remove(leftover)?;
        }
        fs::create_dir(&new)?;
        self.fill(&new, &files)?;
        if folder.exists() {
            fs::rename(&folder, &old)?;
        }
        fs::rename(&new, &folder)?;
        sync_folder(&day)?;
        remove(&old)?;
        Ok(receipt("published"))
    }

    fn fill(&self, folder: &Path, files: &[(&str, String)]) -> io::Result<()> {
        let reel = folder.join("reel.mp4");
        fs::copy(&self.reel, &reel)?;
        // The store's files are read-only; a person may want to move or trim this one.
        let mut permissions = fs::metadata(&reel)?.permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        fs::set_permissions(&reel, permissions)?;
        File::open(&reel)?.sync_all()?;
        for (name, content) in files {
            let mut file = File::create(folder.join(name))?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
        }
        sync_folder(folder)
    }

    fn caption(&self) -> String {
        format!("{}\n\n{}\n", self.idea.caption, self.idea.hashtags.join(" "))
    }

    fn manifest(&self, sha256: &str, bytes: u64) -> String {
        let output = self.result.as_ref().and_then(|result| result.outputs.first());
        let manifest = json!({
            "schema_version": 1,
            "idea_id": self.idea.idea_id,
            "matchup_id": self.idea.matchup_id,
            "date": self.day.to_string(),
            "title": self.idea.headline,
            "angle": self.idea.angle,
            "pick": self.idea.pick,
            "caption": self.idea.caption,
            "hashtags": self.idea.hashtags,
            "disclaimer": self.idea.disclaimer,
            "provider": self.idea.provider,
            "video": {
                "file": "reel.mp4",
                "sha256": sha256,
                "bytes": bytes,
                "duration_ms": output.map(|o| o.duration_ms),
                "width_px": output.map(|o| o.width_px),
                "height_px": output.map(|o| o.height_px),
            },
        });
        format!("{manifest:#}\n")
    }
}

/// A name that cannot leave its folder.
fn safe_name(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    id.chars().map(safe).collect()
}

/// Whether exactly this piece is in the folder already.
fn is_posted(folder: &Path, sha256: &str, files: &[(&str, String)]) -> io::Result<bool> {
    let reel = folder.join("reel.mp4");
    if !reel.is_file() || digest(&reel)?.0 != sha256 {
        return Ok(false);
    }
    let same = |(name, content): &(&str, String)| {
        fs::read(folder.join(name)).is_ok_and(|found| found == content.as_bytes())
    };
    Ok(files.iter().all(same))
}

/// SHA-256 and size of a file.
fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, bytes))
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
