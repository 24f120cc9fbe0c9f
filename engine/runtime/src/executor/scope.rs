//! The names that templates read: once with real paths for an attempt, once symbolically for its
//! key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{Node, OutputPort, Work};
use flow_core::json;
use flow_core::payload::Artifact;
use flow_core::render::{artifact_path, render, symbolic, with_path};
use flow_core::schema::{MediaPattern, Type};
use flow_core::stage::{OutputFrom, OutputSlot};
use flow_core::template::Scope;
use serde_json::{Map, Value, json};

use super::folder::Folder;
use super::{Assignment, Surroundings, Taken};
use crate::secrets::Secrets;

/// The names for one attempt.
pub(super) struct Scopes {
    scope: Scope,
    inputs: BTreeMap<String, Value>,
    side: Option<PathBuf>,
    outputs: BTreeMap<String, PathBuf>,
}

impl Scopes {
    /// Names as keys know them: no path, no attempt.
    pub(super) fn symbolic(
        around: &Surroundings,
        node: &Node,
        work: &Work,
        assignment: &Assignment,
        taken: &Taken<'_>,
    ) -> Self {
        let Taken { inputs, params, item } = taken;
        if !work.has_templates && node.when.is_none() {
            return Self {
                scope: Scope::new(&Value::Null),
                inputs: BTreeMap::new(),
                side: None,
                outputs: BTreeMap::new(),
            };
        }
        let inputs: Map<String, Value> =
            inputs.iter().map(|i| (i.name.clone(), symbolic(&i.value))).collect();
        let params: Map<String, Value> =
            params.iter().map(|(k, v)| (k.clone(), symbolic(v))).collect();
        let outputs: Map<String, Value> = node
            .outputs
            .iter()
            .map(|o| (o.name.clone(), json!(format!("output:{}", o.name))))
            .collect();
        let mut names = common(around, node, assignment);
        names.insert("inputs".into(), Value::Object(inputs));
        names.insert("params".into(), Value::Object(params));
        names.insert("outputs".into(), Value::Object(outputs));
        names
            .insert("attempt".into(), json!({ "number": 0, "idempotency_key": "idempotency-key" }));
        names.insert("workflow".into(), json!({ "name": node.home.name, "dir": "workflow-dir" }));
        names.insert("secrets".into(), around.secrets.placeholders(&node.secrets));
        if let Some(item) = item {
            names.insert("item".into(), symbolic(item));
        }
        Self {
            scope: Scope::new(&Value::Object(names)),
            inputs: BTreeMap::new(),
            side: None,
            outputs: BTreeMap::new(),
        }
    }

    /// Names as the attempt sees them.
    pub(super) fn real(
        around: &Surroundings,
        node: &Node,
        work: &Work,
        assignment: &Assignment,
        taken: &Taken<'_>,
        folder: &Folder,
        idempotency_key: &str,
    ) -> Result<Self, Box<StageError>> {
        let [scopes] = Self::real_with(
            around,
            node,
            work,
            assignment,
            taken,
            folder,
            idempotency_key,
            [&around.secrets],
        )?;
        Ok(scopes)
    }

    /// The same for several forms of the secrets: what is shown of an attempt has none of their
    /// values.
    #[expect(clippy::too_many_arguments, reason = "all that names come from")]
    pub(super) fn real_with<const N: usize>(
        around: &Surroundings,
        node: &Node,
        work: &Work,
        assignment: &Assignment,
        taken: &Taken<'_>,
        folder: &Folder,
        idempotency_key: &str,
        secrets: [&Secrets; N],
    ) -> Result<[Self; N], Box<StageError>> {
        let Taken { inputs, params, item } = taken;
        let inputs: BTreeMap<String, Value> =
            inputs.iter().map(|i| (i.name.clone(), folder.with_paths(&i.value))).collect();
        let outputs = output_paths(node, folder);
        let of = |scope| Self {
            scope,
            inputs: inputs.clone(),
            side: folder.side(),
            outputs: outputs.clone(),
        };
        if !work.has_templates {
            return Ok(secrets.map(|_| of(Scope::new(&Value::Null))));
        }
        let mut names = common(around, node, assignment);
        names.insert("inputs".into(), json!(inputs));
        names.insert("params".into(), folder.params(around, work, params)?);
        let paths: Map<String, Value> =
            outputs.iter().map(|(k, v)| (k.clone(), json!(v.to_string_lossy()))).collect();
        names.insert("outputs".into(), Value::Object(paths));
        names.insert(
            "attempt".into(),
            json!({ "number": assignment.attempt, "idempotency_key": idempotency_key }),
        );
        names.insert(
            "workflow".into(),
            json!({ "name": node.home.name, "dir": node.home.dir.to_string_lossy() }),
        );
        if let Some(item) = item {
            folder.place_all(around, item, "item")?;
            names.insert("item".into(), folder.with_paths(item));
        }
        let mut names = Value::Object(names);
        Ok(secrets.map(|secrets| {
            names["secrets"] = secrets.values(&node.secrets);
            of(Scope::new(&names))
        }))
    }

    /// The names.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Inputs by port, artifacts with their paths.
    pub(super) fn inputs(&self) -> BTreeMap<String, Value> {
        self.inputs.clone()
    }

    /// `with`, rendered for the attempt. A composite in text becomes a JSON file beside the
    /// working folder.
    pub(super) fn render(
        &self,
        around: &Surroundings,
        work: &Work,
    ) -> Result<Value, Box<StageError>> {
        if !work.has_templates {
            // Durations and the like are compiled, so the plain form is rendered too.
            return render(&work.config, &self.scope, &mut |_| Err(String::new()))
                .map_err(|(field, message)| template_error(&field, message));
        }
        let mut written = 0_u32;
        let mut compose = |value: &Value| match (artifact_path(value), &self.side) {
            (Some(path), _) => Ok(path.to_owned()),
            (None, Some(_)) if around.secrets.find_in_value(value).is_some() => Err(
                "a list or record in a text is written to a file, and this one has a secret in \
                     it: give the secret alone"
                    .into(),
            ),
            (None, Some(side)) => {
                written += 1;
                write_argument(side, written, value)
            }
            (None, None) => Ok(String::from_utf8_lossy(&json::canonical(value)).into_owned()),
        };
        render(&work.config, &self.scope, &mut compose)
            .map_err(|(field, message)| template_error(&field, message))
    }

    /// Declared outputs with the paths that templates saw.
    pub(super) fn outputs(&self, node: &Node) -> Vec<OutputSlot> {
        node.outputs
            .iter()
            .map(|port| OutputSlot {
                name: port.name.clone(),
                ty: port.ty.clone(),
                from: port.from.clone(),
                json_lines: port.json_lines,
                path: self.outputs.get(&port.name).cloned(),
            })
            .collect()
    }
}

fn write_argument(side: &Path, number: u32, value: &Value) -> Result<String, String> {
    let folder = side.join("args");
    let path = folder.join(format!("{number}.json"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, json::canonical(value)))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(path.to_string_lossy().into_owned())
}

fn common(around: &Surroundings, node: &Node, assignment: &Assignment) -> Map<String, Value> {
    let started = around.manifest.started_at;
    let date = started.to_zoned(around.zone.clone()).date();
    let env: Map<String, Value> = node
        .env
        .iter()
        .filter_map(|name| Some((name.clone(), json!(around.manifest.env.get(name)?))))
        .collect();
    let mut names = Map::new();
    let mut run =
        json!({ "id": around.run, "date": date.to_string(), "started_at": started.to_string() });
    if let Some(end) = assignment.closing {
        run["status"] = json!(end);
    }
    names.insert("run".into(), run);
    names.insert("env".into(), Value::Object(env));
    if let Some(item) = &assignment.task.item {
        names.insert("index".into(), json!(item.index));
    }
    names
}

/// Where templates tell a program to write each output.
fn output_paths(node: &Node, folder: &Folder) -> BTreeMap<String, PathBuf> {
    let (Some(work), Some(side)) = (folder.work(), folder.side()) else { return BTreeMap::new() };
    let place = |port: &OutputPort| match &port.from {
        OutputFrom::Path(path) => work.join(path),
        _ => side.join("outputs").join(format!("{}{}", port.name, extension(&port.ty))),
    };
    node.outputs.iter().map(|port| (port.name.clone(), place(port))).collect()
}

/// The usual extension of a type's files, with its dot.
fn extension(ty: &Type) -> &'static str {
    match ty.inner() {
        Type::File(media) => media.as_ref().map_or("", |m| extension_of(m)),
        Type::Dir => "",
        Type::String => ".txt",
        _ => ".json",
    }
}

/// The usual extension of a media type, with its dot; empty if there is none.
pub(super) fn extension_of(media: &MediaPattern) -> &'static str {
    match media.to_string().as_str() {
        "audio/wav" => ".wav",
        "audio/mpeg" => ".mp3",
        "audio/flac" => ".flac",
        "audio/ogg" => ".ogg",
        "audio/mp4" => ".m4a",
        "video/mp4" => ".mp4",
        "video/webm" => ".webm",
        "video/quicktime" => ".mov",
        "video/x-matroska" => ".mkv",
        "image/png" => ".png",
        "image/jpeg" => ".jpg",
        "image/gif" => ".gif",
        "image/webp" => ".webp",
        "image/svg+xml" => ".svg",
        "image/tiff" => ".tiff",
        "application/pdf" => ".pdf",
        "application/json" => ".json",
        "application/zip" => ".zip",
        "application/gzip" => ".gz",
        "application/xml" => ".xml",
        "text/csv" => ".csv",
        "text/html" => ".html",
        "text/markdown" => ".md",
        "text/plain" | "text/*" => ".txt",
        _ => "",
    }
}

/// Why a task is skipped by its condition; `None` if it runs.
pub(super) fn condition(node: &Node, symbolic: &Scopes) -> Result<Option<String>, Box<StageError>> {
    let Some(when) = &node.when else { return Ok(None) };
    let value = when.eval(symbolic.scope()).map_err(|message| template_error("when", message))?;
    match value {
        Value::Bool(true) => Ok(None),
        Value::Bool(false) => Ok(Some(format!("`when` is false: {}", when.source().trim()))),
        other => {
            let mut error = StageError::new(
                ErrorClass::Validation,
                "evaluate `when`",
                format!("`{}` must be true or false, and is {other}", when.source().trim()),
            )
            .hint("compare it with something, such as `inputs.x | length > 0`");
            error.expected = Some("a boolean".into());
            error.found = Some(other.to_string());
            Err(Box::new(error))
        }
    }
}

/// The failure of an expression.
pub(super) fn template_error(field: &str, message: String) -> Box<StageError> {
    Box::new(
        StageError::new(ErrorClass::Config, format!("render `{field}`"), message)
            .hint("correct the expression in the workflow file; what may be absent has a default: {{ … | default('…') }}"),
    )
}

/// An artifact with its path, as consumers see it.
pub(super) fn located(artifact: &Artifact, path: &Path) -> Value {
    with_path(artifact, &path.to_string_lossy())
}
