//! Two files or folders beside each other.

use std::collections::BTreeMap;
use std::path::Path;

use flow_core::digest::ManifestEntry;
use flow_core::payload::Artifact;
use flow_stages::media::compare::{Apart, Bench, Medium, compare};
use serde_json::{Value, json};

use super::contrast::{Contrast, Desk, lost, texts};
use super::words::shown_artifact;
use crate::command::runtime;
use crate::report::text::{bytes, clean, count};

/// Larger texts are compared by digest alone.
const TEXT_MAX: u64 = 4 << 20;

/// So many entries of a folder are named.
const ENTRIES_MAX: usize = 10;

impl Desk<'_> {
    /// Two files or folders.
    pub(super) fn artifacts(&self, before: &Artifact, after: &Artifact) -> Contrast {
        let mut contrast = match (before.is_dir(), after.is_dir()) {
            (true, true) => self.folders(before, after),
            (false, false) => self.files(before, after),
            _ => Contrast { lines: Vec::new(), json: json!({ "kind": "file" }) },
        };
        contrast.lines.insert(0, format!("{} → {}", shown_artifact(before), shown_artifact(after)));
        contrast.json["before"] = described(before);
        contrast.json["after"] = described(after);
        contrast
    }

    fn files(&self, before: &Artifact, after: &Artifact) -> Contrast {
        let only_digests = || Contrast { lines: Vec::new(), json: json!({ "kind": "file" }) };
        if before.digest == after.digest {
            return only_digests();
        }
        let medium = Medium::of(&before.media_type);
        if medium.is_some() && medium == Medium::of(&after.media_type) {
            return match (medium, self.media.get().checked_sub(1)) {
                (Some(medium), Some(left)) => {
                    self.media.set(left);
                    self.media(medium, before, after)
                }
                _ => only_digests(),
            };
        }
        if before.size.max(after.size) > TEXT_MAX {
            return only_digests();
        }
        let text = |artifact: &Artifact| {
            let path = self.store.object(&artifact.digest).map_err(|e| e.to_string())?;
            std::fs::read(path).map_err(|e| e.to_string())
        };
        match (text(before), text(after)) {
            (Ok(old), Ok(new)) => match (String::from_utf8(old), String::from_utf8(new)) {
                (Ok(old), Ok(new)) if !old.contains('\0') && !new.contains('\0') => {
                    texts(&old, &new)
                }
                _ => only_digests(),
            },
            (Err(reason), _) | (_, Err(reason)) => lost(&reason),
        }
    }

    fn media(&self, medium: Medium, before: &Artifact, after: &Artifact) -> Contrast {
        let measured = || -> Result<Apart, String> {
            let path = |artifact: &Artifact| {
                self.store.object(&artifact.digest).map_err(|error| error.to_string())
            };
            let (old, new) = (path(before)?, path(after)?);
            let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
            let bench =
                Bench { spawner: &self.env.spawner, tools: &self.tools, folder: folder.path() };
            let runtime = runtime().map_err(|failure| failure.to_string())?;
            let files: [&Path; 2] = [&old, &new];
            runtime.block_on(compare(&bench, medium, files)).map_err(|error| error.to_string())
        };
        match measured() {
            Ok(apart) => told(&apart),
            Err(reason) => lost(&reason),
        }
    }

    fn folders(&self, before: &Artifact, after: &Artifact) -> Contrast {
        match (self.entries(before), self.entries(after)) {
            (Ok(old), Ok(new)) => entries(&old, &new),
            (Err(reason), _) | (_, Err(reason)) => lost(&reason),
        }
    }

    /// What is in a stored folder, by path.
    fn entries(&self, folder: &Artifact) -> Result<BTreeMap<String, ManifestEntry>, String> {
        let path = self.store.object(&folder.digest).map_err(|error| error.to_string())?;
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let entry = |line: &str| -> Result<(String, ManifestEntry), String> {
            let entry: ManifestEntry = serde_json::from_str(line).map_err(|e| e.to_string())?;
            Ok((entry.path.clone(), entry))
        };
        text.lines().filter(|line| !line.is_empty()).map(entry).collect()
    }
}

fn described(artifact: &Artifact) -> Value {
    json!({
        "name": artifact.name, "size": artifact.size, "digest": artifact.digest,
        "media_type": artifact.media_type,
    })
}

/// Two folders by what is in them.
fn entries(
    old: &BTreeMap<String, ManifestEntry>,
    new: &BTreeMap<String, ManifestEntry>,
) -> Contrast {
    let mut lines = Vec::new();
    let mut changes = Vec::new();
    let mut note = |path: &str, word: &str, sizes: String| {
        lines.push(format!("  {} {word}{sizes}", clean(path)));
        changes.push(json!({ "path": path, "change": word }));
    };
    for (path, was) in old {
        match new.get(path) {
            None => note(path, "removed", String::new()),
            Some(is) if is != was => {
                let mode = if is.digest == was.digest { ", mode alone" } else { "" };
                let sizes = format!(", {} → {}{mode}", bytes(was.size), bytes(is.size));
                note(path, "changed", sizes);
            }
            Some(_) => {}
        }
    }
    for (path, is) in new.iter().filter(|(path, _)| !old.contains_key(*path)) {
        note(path, "added", format!(", {}", bytes(is.size)));
    }
    let more = lines.len().saturating_sub(ENTRIES_MAX);
    lines.truncate(ENTRIES_MAX);
    changes.truncate(ENTRIES_MAX);
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    Contrast { lines, json: json!({ "kind": "folder", "changes": changes, "more": more }) }
}

/// How far two media files are apart.
fn told(apart: &Apart) -> Contrast {
    match apart {
        Apart::Image { sizes, distance } => Contrast::line(
            format!("  looks {} different{}", percent(*distance), size_change(sizes)),
            json!({ "kind": "image", "sizes": sizes, "distance": distance }),
        ),
        Apart::Audio { seconds, loudness } => Contrast::line(
            format!("  {}, {}", spans(seconds), loud(loudness)),
            json!({ "kind": "audio", "seconds": seconds, "loudness_lufs": loudness }),
        ),
        Apart::Video { seconds, sizes, loudness, frames } => {
            let known = [sizes[0].unwrap_or_default(), sizes[1].unwrap_or_default()];
            let most = frames.iter().map(|(_, distance)| *distance).fold(0.0, f64::max);
            let at: Vec<String> = frames
                .iter()
                .map(|(at, distance)| format!("{} at {at:.1} s", percent(*distance)))
                .collect();
            let mut lines =
                vec![format!("  {}, {}{}", spans(seconds), loud(loudness), size_change(&known))];
            if !frames.is_empty() {
                let frames = count(frames.len(), "frame");
                lines.push(format!(
                    "  {frames}, at most {} different: {}",
                    percent(most),
                    at.join(", ")
                ));
            }
            let samples: Vec<Value> = frames
                .iter()
                .map(|(at, distance)| json!({ "seconds": at, "distance": distance }))
                .collect();
            let json = json!({
                "kind": "video", "seconds": seconds, "sizes": sizes, "loudness_lufs": loudness,
                "frames": samples,
            });
            Contrast { lines, json }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn size_change([before, after]: &[(u32, u32); 2]) -> String {
    let size = |(width, height): &(u32, u32)| format!("{width}×{height}");
    if before == after {
        format!(", {}", size(after))
    } else {
        format!(", {} → {}", size(before), size(after))
    }
}

fn spans([before, after]: &[f64; 2]) -> String {
    if (before - after).abs() < 0.0005 {
        format!("{after:.2} s long")
    } else {
        format!("{before:.2} s → {after:.2} s long")
    }
}

fn loud([before, after]: &[Option<f64>; 2]) -> String {
    let level = |level: &Option<f64>| match level {
        Some(lufs) => format!("{lufs:.1} LUFS"),
        None => "silent".to_owned(),
    };
    let same = match (before, after) {
        (Some(before), Some(after)) => (before - after).abs() < 0.05,
        (before, after) => before.is_none() && after.is_none(),
    };
    if same { level(after) } else { format!("{} → {}", level(before), level(after)) }
}
