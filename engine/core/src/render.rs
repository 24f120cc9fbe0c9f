//! Rendering `with` for one attempt, and once more symbolically for its key.

use serde_json::{Map, Value, json};

use crate::graph::{ArgPart, CompiledConfig, CompiledField, JsonTemplate};
use crate::json;
use crate::payload::{Artifact, DIR_MARK, FILE_MARK};
use crate::template::Scope;

/// What stands in text for a value that is no scalar.
pub type Compose<'a> = dyn FnMut(&Value) -> Result<String, String> + 'a;

/// Renders all of `with`.
///
/// # Errors
/// The field and a sentence about its expression.
pub fn render(
    config: &CompiledConfig,
    scope: &Scope,
    compose: &mut Compose<'_>,
) -> Result<Value, (String, String)> {
    let mut out = Map::new();
    for (name, field) in config {
        let value = render_field(field, scope, compose).map_err(|e| (name.clone(), e))?;
        out.insert(name.clone(), value);
    }
    Ok(Value::Object(out))
}

fn render_field(
    field: &CompiledField,
    scope: &Scope,
    compose: &mut Compose<'_>,
) -> Result<Value, String> {
    match field {
        CompiledField::Plain(value) => Ok(value.clone()),
        CompiledField::Text(t) => t.render(scope, &mut compose_json).map(Value::String),
        CompiledField::Shell(t) => t.render_shell(scope, compose).map(Value::String),
        CompiledField::Stdin(t) => t.render_json(scope, &mut compose_json),
        CompiledField::TextMap(map) => map
            .iter()
            .map(|(k, t)| Ok((k.clone(), Value::String(t.render(scope, compose)?))))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
        CompiledField::Argv(parts) => render_argv(parts, scope, compose),
        CompiledField::Json(json) => render_json(json, scope, &mut compose_json),
    }
}

fn render_argv(
    parts: &[ArgPart],
    scope: &Scope,
    compose: &mut Compose<'_>,
) -> Result<Value, String> {
    let mut argv = Vec::new();
    for part in parts {
        match part {
            ArgPart::One(template) => argv.push(Value::String(template.render(scope, compose)?)),
            ArgPart::Each(expr) => {
                let value = expr.eval(scope)?;
                let Value::Array(list) = value else {
                    return Err(format!("`{}` is not a list, and `each` needs one", expr.source()));
                };
                for element in &list {
                    argv.push(Value::String(text_of(element, compose)?));
                }
            }
        }
    }
    if argv.iter().any(|arg| arg.as_str().is_some_and(|a| a.contains('\0'))) {
        return Err("an argument has a NUL character in it".into());
    }
    Ok(Value::Array(argv))
}

fn text_of(value: &Value, compose: &mut Compose<'_>) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Bool(_) | Value::Number(_) => {
            Ok(String::from_utf8_lossy(&json::canonical(value)).into_owned())
        }
        Value::Array(_) | Value::Object(_) => compose(value),
    }
}

fn render_json(
    template: &JsonTemplate,
    scope: &Scope,
    compose: &mut Compose<'_>,
) -> Result<Value, String> {
    Ok(match template {
        JsonTemplate::Plain(value) => value.clone(),
        JsonTemplate::Template(t) => t.render_json(scope, compose)?,
        JsonTemplate::List(list) => Value::Array(
            list.iter().map(|j| render_json(j, scope, compose)).collect::<Result<_, _>>()?,
        ),
        JsonTemplate::Object(map) => Value::Object(
            map.iter()
                .map(|(k, j)| Ok((k.clone(), render_json(j, scope, compose)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

/// The value as keys know it: an artifact is its digest, name and type, and its path is made of
/// the digest alone.
#[must_use]
pub fn symbolic(value: &Value) -> Value {
    if let Some(artifact) = Artifact::from_json(value) {
        return with_path(&artifact, &format!("artifact:{}", artifact.digest));
    }
    match value {
        Value::Array(list) => Value::Array(list.iter().map(symbolic).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), symbolic(v))).collect())
        }
        other => other.clone(),
    }
}

/// The JSON of an artifact as consumers see it, with `digest` and `path`.
#[must_use]
pub fn with_path(artifact: &Artifact, path: &str) -> Value {
    let mut value = artifact.to_json();
    if let Value::Object(map) = &mut value {
        map.insert("digest".into(), json!(artifact.digest));
        map.insert("path".into(), json!(path));
        map.insert("media_type".into(), json!(artifact.media_type));
    }
    value
}

/// What stands for a composite value in symbolic text: the digest of its symbolic form.
///
/// # Errors
/// Never; the form is that of [`Compose`].
pub fn compose_symbolic(value: &Value) -> Result<String, String> {
    Ok(match artifact_path(value) {
        Some(path) => path.to_owned(),
        None => format!("json:{}", json::digest(value)),
    })
}

/// What stands for a composite value in text that no program takes as an argument: its JSON.
fn compose_json(value: &Value) -> Result<String, String> {
    Ok(match artifact_path(value) {
        Some(path) => path.to_owned(),
        None => String::from_utf8_lossy(&json::canonical(value)).into_owned(),
    })
}

/// The path of an artifact as consumers see it; `None` for any other value.
#[must_use]
pub fn artifact_path(value: &Value) -> Option<&str> {
    let map = value.as_object()?;
    if !map.contains_key(FILE_MARK) && !map.contains_key(DIR_MARK) {
        return None;
    }
    map.get("path")?.as_str()
}
