//! `with`, compiled once: every field checked against the stage's description, every template
//! parsed, so that an attempt only renders.

use std::collections::BTreeMap;

use serde_json::Value;

use super::codes;
use crate::definition::{Config, Span};
use crate::diagnostic::{Diagnostic, nearest};
use crate::policy::parse_duration;
use crate::schema::{Type, validate};
use crate::stage::{FieldKind, FieldSpec, StageSpec};
use crate::template::{Expr, Template, TemplateFault};

/// `with`, ready to be rendered, by field.
pub type CompiledConfig = BTreeMap<String, CompiledField>;

/// A field of `with`, ready to be rendered.
#[derive(Debug, Clone, PartialEq)]
pub enum CompiledField {
    /// Needs no rendering.
    Plain(Value),
    /// Becomes text.
    Text(Template),
    /// Becomes a shell command.
    Shell(Template),
    /// Becomes a table of text.
    TextMap(Vec<(String, Template)>),
    /// Becomes a list of text.
    Argv(Vec<ArgPart>),
    /// Becomes a program's stdin.
    Stdin(Template),
    /// Becomes JSON.
    Json(JsonTemplate),
}

/// A part of `argv`.
#[derive(Debug, Clone, PartialEq)]
pub enum ArgPart {
    /// One argument.
    One(Template),
    /// One argument for each element of a list.
    Each(Expr),
}

/// JSON with templates in its strings.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonTemplate {
    /// As it is.
    Plain(Value),
    /// A string with expressions.
    Template(Template),
    /// A list.
    List(Vec<JsonTemplate>),
    /// An object; keys have no templates.
    Object(Vec<(String, JsonTemplate)>),
}

impl CompiledField {
    /// Calls `visit` with every expression.
    pub fn each_expr(&self, visit: &mut dyn FnMut(&Expr)) {
        let mut template = |t: &Template| t.expressions().for_each(|(e, _)| visit(e));
        match self {
            Self::Plain(_) => {}
            Self::Text(t) | Self::Shell(t) | Self::Stdin(t) => template(t),
            Self::TextMap(map) => map.iter().for_each(|(_, t)| template(t)),
            Self::Argv(parts) => parts.iter().for_each(|part| match part {
                ArgPart::One(t) => t.expressions().for_each(|(e, _)| visit(e)),
                ArgPart::Each(e) => visit(e),
            }),
            Self::Json(json) => json.each_expr(visit),
        }
    }
}

impl JsonTemplate {
    pub(super) fn each_expr(&self, visit: &mut dyn FnMut(&Expr)) {
        match self {
            Self::Plain(_) => {}
            Self::Template(t) => t.expressions().for_each(|(e, _)| visit(e)),
            Self::List(list) => list.iter().for_each(|j| j.each_expr(visit)),
            Self::Object(map) => map.iter().for_each(|(_, j)| j.each_expr(visit)),
        }
    }
}

/// An expression with its place.
pub(super) struct FoundExpr {
    pub(super) expr: Expr,
    pub(super) span: Span,
}

/// Compiles `with`. Faults are pushed; what could be compiled is returned with all expressions.
pub(super) fn compile(
    spec: &StageSpec,
    config: &Config,
    node_span: &Span,
    faults: &mut Vec<Diagnostic>,
) -> (CompiledConfig, Vec<FoundExpr>) {
    let mut compiler = Compiler { config, node_span, faults, found: Vec::new() };
    let mut fields = CompiledConfig::new();
    let empty = serde_json::Map::new();
    let table = match &config.value {
        Value::Object(map) => map,
        _ => &empty,
    };
    for (name, value) in table {
        let pointer = format!("/{}", escape(name));
        match spec.config.iter().find(|f| f.name == name) {
            None => compiler.unknown_field(spec, name, &pointer),
            Some(field) => {
                if let Some(compiled) = compiler.field(field, value, &pointer) {
                    fields.insert(name.clone(), compiled);
                }
            }
        }
    }
    for field in spec.config.iter().filter(|f| !f.optional && !table.contains_key(f.name)) {
        compiler.faults.push(
            Diagnostic::error(
                codes::MISSING_FIELD,
                node_span.clone(),
                format!("stage `{}` needs `with.{}`", spec.name, field.name),
            )
            .help(format!(
                "{}; for example:\n{}",
                field.doc.trim_end_matches('.'),
                spec.example.trim()
            )),
        );
    }
    let found = compiler.found;
    (fields, found)
}

struct Compiler<'a> {
    config: &'a Config,
    node_span: &'a Span,
    faults: &'a mut Vec<Diagnostic>,
    found: Vec<FoundExpr>,
}

/// What `env`, `headers` and their like must be.
const TABLE_OF_TEXTS: &str = "a table of strings";

impl Compiler<'_> {
    fn span(&self, pointer: &str) -> Span {
        self.config.spans.get(pointer).unwrap_or(self.node_span).clone()
    }

    fn unknown_field(&mut self, spec: &StageSpec, name: &str, pointer: &str) {
        let span = self.config.key_spans.get(pointer).unwrap_or(self.node_span).clone();
        let known: Vec<&str> = spec.config.iter().map(|f| f.name).collect();
        let help = match nearest(name, known.iter().copied()) {
            None if matches!(name, "cmd" | "command" | "run" | "script" | "exec")
                && known.contains(&"shell") =>
            {
                "write shell = \"…\" for a line of a shell, or argv = [\"program\", \"argument\"]"
                    .into()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("stage `{}` takes no `with`", spec.name),
            None => format!("stage `{}` takes {}", spec.name, known.join(", ")),
        };
        self.faults.push(
            Diagnostic::error(
                codes::UNKNOWN_FIELD,
                span,
                format!("stage `{}` has no field `{name}`", spec.name),
            )
            .help(help),
        );
    }

    fn wrong(&mut self, pointer: &str, expected: &str) {
        let mut fault = Diagnostic::error(
            codes::BAD_FIELD,
            self.span(pointer),
            format!("`with{}` must be {expected}", pointer.replace('/', ".")),
        )
        .label(format!("expected {expected}"));
        if expected == TABLE_OF_TEXTS {
            fault = fault.help("write { NAME = \"value\" }");
        }
        self.faults.push(fault);
    }

    fn field(&mut self, spec: &FieldSpec, value: &Value, pointer: &str) -> Option<CompiledField> {
        match &spec.kind {
            FieldKind::Argv => self.argv(value, pointer).map(CompiledField::Argv),
            FieldKind::Shell => self.shell(value, pointer).map(CompiledField::Shell),
            FieldKind::Text => self.text(value, pointer).map(CompiledField::Text),
            FieldKind::Stdin => self.text(value, pointer).map(CompiledField::Stdin),
            FieldKind::TextMap => self.text_map(value, pointer).map(CompiledField::TextMap),
            FieldKind::Json => self.json(value, pointer).map(CompiledField::Json),
            FieldKind::Duration => self.duration(value, pointer).map(CompiledField::Plain),
            FieldKind::Literal => match value {
                Value::String(_) => Some(CompiledField::Plain(value.clone())),
                _ => self.refuse(pointer, "a string"),
            },
            FieldKind::Plain(ty) => self.plain(ty, value, pointer).map(CompiledField::Plain),
        }
    }

    fn refuse<T>(&mut self, pointer: &str, expected: &str) -> Option<T> {
        self.wrong(pointer, expected);
        None
    }

    fn plain(&mut self, ty: &Type, value: &Value, pointer: &str) -> Option<Value> {
        match validate(ty, value).first() {
            None => Some(value.clone()),
            Some(fault) => {
                let at = format!("{pointer}{}", fault.pointer);
                self.refuse(&at, &fault.expected)
            }
        }
    }

    fn duration(&mut self, value: &Value, pointer: &str) -> Option<Value> {
        match value.as_str().and_then(parse_duration) {
            Some(d) => Some(Value::from(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))),
            None => self.refuse(pointer, "a duration such as \"30s\" or \"1h30m\""),
        }
    }

    fn text(&mut self, value: &Value, pointer: &str) -> Option<Template> {
        match value {
            Value::String(text) => self.template(text, pointer),
            Value::Bool(_) | Value::Number(_) => self.template(&value.to_string(), pointer),
            _ => self.refuse(pointer, "a string"),
        }
    }

    fn template(&mut self, text: &str, pointer: &str) -> Option<Template> {
        let span = self.span(pointer);
        match Template::parse(text) {
            Ok(template) => {
                let found = template
                    .expressions()
                    .map(|(expr, _)| FoundExpr { expr: expr.clone(), span: span.clone() });
                self.found.extend(found);
                Some(template)
            }
            Err(fault) => {
                self.faults.push(template_fault(fault, span));
                None
            }
        }
    }

    fn shell(&mut self, value: &Value, pointer: &str) -> Option<Template> {
        let template = self.text(value, pointer)?;
        if !template.quoted_in_shell().is_empty() {
            self.faults.push(
                Diagnostic::error(
                    codes::QUOTED_IN_SHELL,
                    self.span(pointer),
                    "a `{{ }}` stands inside quotes of a shell command",
                )
                .label("it is quoted as one word already")
                .help("remove the quotes around it"),
            );
        }
        Some(template)
    }

    fn text_map(&mut self, value: &Value, pointer: &str) -> Option<Vec<(String, Template)>> {
        let Value::Object(map) = value else {
            return self.refuse(pointer, TABLE_OF_TEXTS);
        };
        let mut out = Vec::new();
        for (name, value) in map {
            if name.is_empty() || name.contains(['=', '\0']) {
                self.wrong(&format!("{pointer}/{}", escape(name)), "under a name without `=`");
            }
            if let Some(template) = self.text(value, &format!("{pointer}/{}", escape(name))) {
                out.push((name.clone(), template));
            }
        }
        Some(out)
    }

    fn argv(&mut self, value: &Value, pointer: &str) -> Option<Vec<ArgPart>> {
        let Value::Array(list) = value else {
            let expected =
                "a list of strings such as [\"python3\", \"script.py\"] (or use `shell`)";
            return self.refuse(pointer, expected);
        };
        let mut parts = Vec::new();
        for (i, element) in list.iter().enumerate() {
            let at = format!("{pointer}/{i}");
            let each = element.as_object().filter(|m| m.len() == 1).and_then(|m| m.get("each"));
            let part = match (each, element) {
                (Some(Value::String(expr)), _) => self.each(expr, &format!("{at}/each")),
                (_, Value::String(_) | Value::Number(_)) => {
                    self.text(element, &at).map(ArgPart::One)
                }
                _ => self.refuse(&at, "a string, or { each = \"inputs.clips\" }"),
            };
            parts.extend(part);
        }
        Some(parts)
    }

    fn each(&mut self, source: &str, pointer: &str) -> Option<ArgPart> {
        let span = self.span(pointer);
        match Expr::parse(source) {
            Ok(expr) => {
                self.found.push(FoundExpr { expr: expr.clone(), span });
                Some(ArgPart::Each(expr))
            }
            Err(fault) => {
                self.faults.push(template_fault(fault, span));
                None
            }
        }
    }

    fn json(&mut self, value: &Value, pointer: &str) -> Option<JsonTemplate> {
        Some(match value {
            Value::String(text) => {
                let template = self.template(text, pointer)?;
                match template.is_plain() {
                    true => JsonTemplate::Plain(value.clone()),
                    false => JsonTemplate::Template(template),
                }
            }
            Value::Array(list) => JsonTemplate::List(
                list.iter()
                    .enumerate()
                    .map(|(i, v)| self.json(v, &format!("{pointer}/{i}")))
                    .collect::<Option<_>>()?,
            ),
            Value::Object(map) => JsonTemplate::Object(
                map.iter()
                    .map(|(k, v)| {
                        Some((k.clone(), self.json(v, &format!("{pointer}/{}", escape(k)))?))
                    })
                    .collect::<Option<_>>()?,
            ),
            other => JsonTemplate::Plain(other.clone()),
        })
    }
}

/// A template's fault at the place of the whole string, since escapes move its bytes.
pub(super) fn template_fault(fault: TemplateFault, span: Span) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(codes::BAD_TEMPLATE, span, fault.message);
    diagnostic.help = fault.help;
    diagnostic
}

/// Escapes a key for a JSON pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
