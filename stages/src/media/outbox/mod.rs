//! `media.outbox`: a finished piece in a folder, ready to be posted.

mod folder;

pub(super) use folder::digest;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{BoxFuture, Context, Drafts, FieldKind, Job, Ports, Stage, StageSpec};
use jiff::civil::Date;
use serde_json::{Value, json};

use super::ports::{config_error, draft, field, file, optional_input, optional_port, port, text};
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
                version: 2,
                summary: "Puts a reel with caption and manifest into a folder, all or nothing",
                inputs: Ports::Fixed(vec![
                    port("reel", Type::File(MediaPattern::parse("video/*")), "The video."),
                    optional_port(
                        "idea",
                        contract::ty::<IdeaPackage>(),
                        "The idea with its caption; without it `name` and `caption` tell them.",
                    ),
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
                    field(
                        "name",
                        FieldKind::Text,
                        "Name of the piece's folder, where no idea is bound; default: the idea's id.",
                    ),
                    field(
                        "caption",
                        FieldKind::Text,
                        "Words to post with it; default: the idea's caption and hashtags.",
                    ),
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
            let reel = file(&job, "reel")?;
            let piece = Piece::read(&job, day(context, &job)?)?;
            let dir = context.workflow_dir().join(text(&job, "dir").unwrap_or(DEFAULT_DIR));
            let dir = tidy(&dir);
            let posted = tokio::task::spawn_blocking(move || {
                piece.post(&reel, &dir).map_err(|e| unwritable(&dir, &e))
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

/// What is told of a video beside it.
struct Piece {
    id: String,
    day: Date,
    caption: String,
    /// What the manifest tells of it, without the video.
    facts: Value,
    result: Option<AssemblyResult>,
}

impl Piece {
    fn read(job: &Job, day: Date) -> Result<Self, StageError> {
        let idea: Option<IdeaPackage> = optional_input(job, "idea")?;
        let result = optional_input(job, "result")?;
        let (name, caption) = (text(job, "name"), text(job, "caption"));
        let id = name.map(str::to_owned).or_else(|| idea.as_ref().map(|idea| idea.idea_id.clone()));
        let id = id.ok_or_else(|| {
            let message = "there is neither an idea nor a name".to_owned();
            config_error("name", message, "bind `idea`, or name the piece: name = \"mashup\"")
        })?;
        let own = idea.as_ref().map(|idea| {
            format!("{}\n\n{}", idea.caption, idea.hashtags.join(" ")).trim_end().to_owned()
        });
        let caption = caption.map(str::to_owned).or(own).unwrap_or_default();
        Ok(Self { facts: facts(idea.as_ref(), &id, &caption), id, day, caption, result })
    }

    /// Puts the video and what is told of it into the folder of the day.
    fn post(&self, reel: &Path, dir: &Path) -> io::Result<Receipt> {
        let (sha256, bytes) = folder::digest(reel)?;
        let files = [
            ("caption.txt", format!("{}\n", self.caption)),
            ("manifest.json", self.manifest(&sha256, bytes)),
        ];
        let day = dir.join(self.day.to_string());
        let name = folder::safe_name(&self.id);
        let status = match folder::publish(&day, &name, reel, &sha256, &files)? {
            folder::Outcome::Unchanged => "unchanged",
            folder::Outcome::Published => "published",
        };
        Ok(Receipt {
            target: "outbox".into(),
            idea_id: self.id.clone(),
            path: day.join(name).join(folder::VIDEO).display().to_string(),
            sha256,
            bytes,
            status: status.to_owned(),
            ..Receipt::default()
        })
    }

    fn manifest(&self, sha256: &str, bytes: u64) -> String {
        let output = self.result.as_ref().and_then(|result| result.outputs.first());
        let mut manifest = self.facts.clone();
        manifest["schema_version"] = json!(1);
        manifest["date"] = json!(self.day.to_string());
        manifest["video"] = json!({
            "file": folder::VIDEO,
            "sha256": sha256,
            "bytes": bytes,
            "duration_ms": output.map(|o| o.duration_ms),
            "width_px": output.map(|o| o.width_px),
            "height_px": output.map(|o| o.height_px),
            "loudness_lufs": output.and_then(|o| o.loudness_lufs),
            "warnings": self.result.as_ref().map(|result| &result.warnings),
        });
        format!("{manifest:#}\n")
    }
}

fn facts(idea: Option<&IdeaPackage>, id: &str, caption: &str) -> Value {
    match idea {
        None => json!({"idea_id": id, "caption": caption}),
        Some(idea) => json!({
            "idea_id": id,
            "matchup_id": idea.matchup_id,
            "title": idea.headline,
            "angle": idea.angle,
            "pick": idea.pick,
            "caption": idea.caption,
            "hashtags": idea.hashtags,
            "disclaimer": idea.disclaimer,
            "provider": idea.provider,
        }),
    }
}
