//! Names in expressions: what may be read where.

use std::collections::BTreeMap;

use super::check::{Checker, FanState};
use super::codes;
use super::edges::unknown_param;
use crate::definition::{SecretSource, Span};
use crate::diagnostic::{Diagnostic, nearest};
use crate::schema::Type;
use crate::template::Expr;

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    With,
    When,
    Key,
}

impl Checker<'_> {
    pub(super) fn check_names(
        &mut self,
        index: usize,
        expr: &Expr,
        span: &Span,
        inputs: &BTreeMap<String, Type>,
        place: Place,
    ) {
        for name in expr.names() {
            if let Some(fault) = self.name_fault(index, name, span, inputs, place) {
                self.faults.push(fault);
            }
        }
    }

    fn secret_fault(&self, name: Option<&str>, span: &Span) -> Option<Diagnostic> {
        let known = &self.definition.secrets;
        let Some(name) = name else {
            let fault = Diagnostic::error(
                codes::UNDEFINED_NAME,
                span.clone(),
                "`secrets` is used without a name",
            );
            return Some(fault.help("write `secrets.NAME`"));
        };
        if known.contains_key(name) {
            return None;
        }
        let help = nearest(name, known.keys().map(String::as_str)).map_or_else(
            || format!("declare it below [secrets]: {name} = {{ env = \"VARIABLE\" }}"),
            |near| format!("did you mean `secrets.{near}`?"),
        );
        let message = format!("there is no secret `{name}`");
        Some(Diagnostic::error(codes::UNDECLARED, span.clone(), message).help(help))
    }

    fn name_fault(
        &self,
        index: usize,
        name: &str,
        span: &Span,
        inputs: &BTreeMap<String, Type>,
        place: Place,
    ) -> Option<Diagnostic> {
        let parts: Vec<&str> = name.split('.').collect();
        let undefined = |message: String, help: String| {
            Some(Diagnostic::error(codes::UNDEFINED_NAME, span.clone(), message).help(help))
        };
        let one_of = |known: &[&str]| match parts.get(1) {
            Some(field) if !known.contains(field) => undefined(
                format!("`{}` has no `{field}`", parts[0]),
                nearest(field, known.iter().copied()).map_or_else(
                    || format!("it has {}", known.join(", ")),
                    |near| format!("did you mean `{}.{near}`?", parts[0]),
                ),
            ),
            _ => None,
        };
        let fan = match &self.fans[index] {
            FanState::Done(fan) => Some(fan),
            _ => None,
        };
        match parts[0] {
            "params" => {
                let param = parts.get(1)?;
                match self.params.get(*param) {
                    None => Some(unknown_param(param, span, &self.params)),
                    Some(ty) => missing_field(ty, &parts[2..], span),
                }
            }
            "inputs" if place != Place::Key => {
                let port = parts.get(1)?;
                match inputs.get(*port) {
                    Some(ty) => missing_field(ty, &parts[2..], span),
                    // A port whose binding is at fault was told already.
                    None if self.definition.nodes[index].inputs.contains_key(*port) => None,
                    None => undefined(
                        format!("there is no input `{port}` here"),
                        nearest(port, inputs.keys().map(String::as_str)).map_or_else(
                            || format!("bind it: inputs = {{ {port} = \"NODE.PORT\" }}"),
                            |near| format!("did you mean `inputs.{near}`?"),
                        ),
                    ),
                }
            }
            "outputs" if place == Place::With => {
                let port = parts.get(1)?;
                let known: Vec<&str> = self.ports[index].iter().map(|p| p.name.as_str()).collect();
                (!known.contains(port)).then(|| {
                    let help = nearest(port, known.iter().copied()).map_or_else(
                        || format!("declare it: outputs = {{ {port} = \"file\" }}"),
                        |near| format!("did you mean `outputs.{near}`?"),
                    );
                    Diagnostic::error(
                        codes::UNDEFINED_NAME,
                        span.clone(),
                        format!("there is no output `{port}` here"),
                    )
                    .help(help)
                })
            }
            "item" | "index" if fan.is_some() => match (parts[0], fan) {
                ("item", Some(fan)) => missing_field(&fan.item_ty, &parts[1..], span),
                _ => None,
            },
            "item" | "index" => undefined(
                format!("there is no `{}` here", parts[0]),
                "it is defined in nodes with `for_each`".into(),
            ),
            "run" if place == Place::Key => one_of(&["id"]),
            "run" if self.definition.nodes[index].always.is_some() => {
                one_of(&["id", "date", "started_at", "status"])
            }
            "run" if parts.get(1) == Some(&"status") => undefined(
                "`run.status` is not known before the end".into(),
                "it is defined in nodes with `always = true`".into(),
            ),
            "run" => one_of(&["id", "date", "started_at"]),
            "secrets" if place == Place::With => self.secret_fault(parts.get(1).copied(), span),
            "secrets" => undefined(
                "a secret can be read in `with` alone".into(),
                "what a secret decides would show it: compare a parameter instead".into(),
            ),
            "attempt" if place == Place::With => one_of(&["number", "idempotency_key"]),
            "workflow" if place == Place::With => one_of(&["name", "dir"]),
            "workflow" if place == Place::When => one_of(&["name"]),
            "env" if place != Place::Key && parts.len() > 1 => {
                let secret = self.definition.secrets.iter().find(
                    |(_, def)| matches!(&def.from, SecretSource::Env(name) if name == parts[1]),
                );
                secret.map(|(secret, _)| {
                    let message = format!("`env.{}` would record the secret `{secret}`", parts[1]);
                    Diagnostic::error(codes::SECRET_SHOWN, span.clone(), message)
                        .help(format!("write `secrets.{secret}`, which is never recorded"))
                })
            }
            "env" if place != Place::Key => undefined(
                "`env` is used without a name".into(),
                "write `env.NAME`, so that the value can be recorded with the run".into(),
            ),
            other if crate::template::is_global(other) => None,
            other => {
                let known = [
                    "params", "inputs", "outputs", "item", "index", "run", "attempt", "workflow",
                    "env",
                ];
                let help = if known.contains(&other) {
                    "it has a meaning in `with` alone: a condition or key must be the same for every attempt".into()
                } else if inputs.contains_key(other) {
                    format!("did you mean `inputs.{other}`?")
                } else if self.params.contains_key(other) {
                    format!("did you mean `params.{other}`?")
                } else if self.definition.nodes.contains_key(other) {
                    format!(
                        "bind the node as an input (inputs = {{ {other} = \"{other}\" }}) and write `inputs.{other}`"
                    )
                } else if matches!(other, "nodes" | "steps" | "needs" | "tasks" | "jobs") {
                    "bind the other node's output as an input (inputs = { PORT = \"NODE.PORT\" }) and write `inputs.PORT`".into()
                } else {
                    nearest(other, known).map_or_else(
                        || format!("expressions know {}", known.join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    )
                };
                undefined(format!("`{other}` is not defined"), help)
            }
        }
    }
}

fn missing_field(ty: &Type, path: &[&str], span: &Span) -> Option<Diagnostic> {
    let mut ty = ty.clone();
    for field in path {
        match ty.inner() {
            // Methods and positions of these are the expression language's affair.
            Type::List(_)
            | Type::String
            | Type::Number
            | Type::Integer
            | Type::Boolean
            | Type::Datetime
            | Type::Duration => return None,
            _ => {}
        }
        match ty.field(field) {
            Some(next) => ty = next,
            // Expressions may read what a schema does not describe.
            None if matches!(ty.inner(), Type::Schema(_)) => return None,
            None => {
                let known: Vec<String> = match ty.inner() {
                    Type::Record(record) => record.fields.keys().cloned().collect(),
                    _ => {
                        ["path", "name", "size", "digest", "media_type"].map(String::from).to_vec()
                    }
                };
                // A record may carry more fields than it declares, so only a likely slip is a fault.
                let near = nearest(field, known.iter().map(String::as_str));
                if matches!(ty.inner(), Type::Record(_)) && near.is_none() {
                    return None;
                }
                let help = near.map_or_else(
                    || format!("it has {}", known.join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                return Some(
                    Diagnostic::error(
                        codes::NO_SUCH_FIELD,
                        span.clone(),
                        format!("`{ty}` has no field `{field}`"),
                    )
                    .help(help),
                );
            }
        }
    }
    None
}
