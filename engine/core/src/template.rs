//! Templates: text with `{{ expression }}` in it, and nothing else special.
//!
//! Expressions are minijinja's, strict about undefined names and bounded in work. A string that is
//! exactly one `{{ expression }}` can give its typed value; in text, scalars stand as they are and
//! everything else through what the caller makes of it (a path, a digest).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

/// Steps that one evaluation may take; far more than a sensible expression needs.
const FUEL: u64 = 1_000_000;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(64);
    env
});

/// Why a template or expression does not work, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateFault {
    /// Bytes of the template that are at fault.
    pub span: std::ops::Range<usize>,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

/// Whether a name is a function of the expression language itself, such as `range`.
#[must_use]
pub fn is_global(name: &str) -> bool {
    ENVIRONMENT.globals().any(|(known, _)| known == name)
}

/// All names that an expression may read, with their values.
#[derive(Debug, Clone)]
pub struct Scope(minijinja::Value);

impl Scope {
    /// Takes an object whose fields are the names.
    #[must_use]
    pub fn new(names: &Value) -> Self {
        Self(minijinja::value::Serde(names).into())
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Expr { source: Expr, span: std::ops::Range<usize> },
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    source: String,
    names: BTreeSet<String>,
}

impl Expr {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`TemplateFault`] over the whole text.
    pub fn parse(source: &str) -> Result<Self, TemplateFault> {
        let fault = |message: String| TemplateFault { span: 0..source.len(), message, help: None };
        if source.trim().is_empty() {
            return Err(fault("the expression is empty".into()));
        }
        let compiled = ENVIRONMENT.compile_expression(source).map_err(|e| {
            fault(format!("`{}` is not an expression: {}", source.trim(), explain(&e)))
        })?;
        let names = compiled.undeclared_variables(true).into_iter().collect();
        Ok(Self { source: source.to_owned(), names })
    }

    /// The dotted names that the expression reads, such as `inputs.slate.games`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The text of the expression.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates the expression in `scope`.
    ///
    /// # Errors
    /// A sentence that names the expression and what went wrong.
    pub fn eval(&self, scope: &Scope) -> Result<Value, String> {
        let fail = |e: &minijinja::Error| format!("`{}`: {}", self.source.trim(), explain(e));
        let compiled = ENVIRONMENT.compile_expression(&self.source).map_err(|e| fail(&e))?;
        let value = compiled.eval(scope.0.clone()).map_err(|e| fail(&e))?;
        if value.is_undefined() {
            return Err(format!("`{}` is not defined", self.source.trim()));
        }
        let json = serde_json::to_value(&value)
            .map_err(|e| format!("`{}` has no JSON form: {e}", self.source.trim()))?;
        finite(&value)
            .then_some(json)
            .ok_or_else(|| format!("`{}` is not a finite number", self.source.trim()))
    }
}

/// serde_json writes NaN and infinity as null; they must be an error instead.
fn finite(value: &minijinja::Value) -> bool {
    value.kind() != minijinja::value::ValueKind::Number
        || f64::try_from(value.clone()).map_or(true, f64::is_finite)
}

/// minijinja's message without its template name and line, which mean nothing in a one-line
/// expression.
fn explain(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.kind() {
        minijinja::ErrorKind::UndefinedError => format!(
            "undefined value{}",
            error.detail().map(|d| format!(": {d}")).unwrap_or_default()
        ),
        minijinja::ErrorKind::OutOfFuel => "the expression takes too long".into(),
        _ => detail,
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`TemplateFault`] with the place: a `{{` that never closes, or a bad expression.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|i| at + i) {
            if open > at {
                pieces.push(Piece::Text(text[at..open].to_owned()));
            }
            let close = closing(text, open + 2).ok_or_else(|| TemplateFault {
                span: open..text.len(),
                message: "`{{` never closes".into(),
                help: Some(
                    "write `}}` after the expression, or `{{ \"{{\" }}` for the two braces".into(),
                ),
            })?;
            let source = Expr::parse(&text[open + 2..close])
                .map_err(|fault| TemplateFault { span: open..close + 2, ..fault })?;
            pieces.push(Piece::Expr { source, span: open..close + 2 });
            at = close + 2;
        }
        if at < text.len() {
            pieces.push(Piece::Text(text[at..].to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The expressions with their places.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expr, &std::ops::Range<usize>)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Expr { source, span } => Some((source, span)),
            Piece::Text(_) => None,
        })
    }

    /// Whether there is no expression in it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.expressions().next().is_none()
    }

    /// The expression, if the template is exactly one.
    #[must_use]
    pub fn single(&self) -> Option<&Expr> {
        match self.pieces.as_slice() {
            [Piece::Expr { source, .. }] => Some(source),
            _ => None,
        }
    }

    /// Renders as text; `compose` says what stands for a list, an object or an artifact.
    ///
    /// # Errors
    /// A sentence that names the expression and what went wrong.
    pub fn render(
        &self,
        scope: &Scope,
        compose: &mut dyn FnMut(&Value) -> Result<String, String>,
    ) -> Result<String, String> {
        self.render_with(scope, &mut |value| text_of(value, compose))
    }

    /// Renders as a shell command: every expression becomes one quoted word.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_shell(
        &self,
        scope: &Scope,
        compose: &mut dyn FnMut(&Value) -> Result<String, String>,
    ) -> Result<String, String> {
        self.render_with(scope, &mut |value| text_of(value, compose).map(|text| shell_quote(&text)))
    }

    /// Renders as JSON: the typed value of a single expression, else text.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_json(
        &self,
        scope: &Scope,
        compose: &mut dyn FnMut(&Value) -> Result<String, String>,
    ) -> Result<Value, String> {
        match self.single() {
            Some(expr) => expr.eval(scope),
            None => self.render(scope, compose).map(Value::String),
        }
    }

    fn render_with(
        &self,
        scope: &Scope,
        write: &mut dyn FnMut(&Value) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Expr { source, .. } => out.push_str(&write(&source.eval(scope)?)?),
            }
        }
        Ok(out)
    }

    /// Places where an expression stands inside quotes of a shell command, where quoting it once
    /// more would put the quotes into the word.
    #[must_use]
    pub fn quoted_in_shell(&self) -> Vec<std::ops::Range<usize>> {
        let mut quote: Option<char> = None;
        let mut found = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    let mut chars = text.chars();
                    while let Some(c) = chars.next() {
                        match (quote, c) {
                            (None | Some('"'), '\\') => drop(chars.next()),
                            (None, '\'' | '"') => quote = Some(c),
                            (Some(open), c) if c == open => quote = None,
                            _ => {}
                        }
                    }
                }
                Piece::Expr { span, .. } if quote.is_some() => found.push(span.clone()),
                Piece::Expr { .. } => {}
            }
        }
        found
    }
}

/// The index of the `}}` that closes an expression, past string literals inside it.
fn closing(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote: Option<u8> = None;
    let mut depth = 0_usize;
    let mut i = start;
    while i < bytes.len() {
        match (quote, bytes[i]) {
            (Some(_), b'\\') => i += 1,
            (Some(q), b) if b == q => quote = None,
            (Some(_), _) => {}
            (None, b @ (b'"' | b'\'')) => quote = Some(b),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(i + 1) == Some(&b'}') => return Some(i),
            (None, _) => {}
        }
        i += 1;
    }
    None
}

fn text_of(
    value: &Value,
    compose: &mut dyn FnMut(&Value) -> Result<String, String>,
) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Bool(_) | Value::Number(_) => {
            let mut out = String::new();
            // Numbers in text look as they do in payloads.
            let bytes = crate::json::canonical(value);
            write!(out, "{}", String::from_utf8_lossy(&bytes)).map_err(|e| e.to_string())?;
            Ok(out)
        }
        Value::Array(_) | Value::Object(_) => compose(value),
    }
}

/// Quotes text as one word of a POSIX shell.
#[must_use]
pub fn shell_quote(text: &str) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&b);
    if !text.is_empty() && text.bytes().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> Result<String, String> {
        let scope = Scope::new(&json!({
            "params": { "sport": "nfl", "n": 3, "x": 1.0, "list": [1, 2] }, "empty": null,
        }));
        let template = Template::parse(text).map_err(|f| format!("{:?}: {}", f.span, f.message))?;
        template.render(&scope, &mut |v| Ok(format!("<{v}>")))
    }

    #[test]
    fn only_double_braces_are_special() {
        for (text, expected) in [
            ("plain {% for %} {# no #} {x}", "plain {% for %} {# no #} {x}"),
            ("{{ params.sport }}-{{ params.n + 1 }}", "nfl-4"),
            ("{{ \"{{\" }}x}}", "{{x}}"),
            ("{{ '}}' }}", "}}"),
            ("{{ {'a': 1}.a }}", "1"),
            ("{{ params.list }}", "<[1,2]>"),
            ("{{ params.x }}", "1"),
            ("{{ params.list | length > 1 and params.sport == 'nfl' }}", "true"),
            ("[{{ empty }}]", "[]"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_name_the_expression() {
        let faults: Vec<String> =
            ["{{ params.nope }}", "{{ nope }}", "{{ 1 +", "{{ }}", "{{ 1 + }}", "{{ 1 / 0 }}"]
                .iter()
                .map(|text| render(text).expect_err(text))
                .collect();
        insta::assert_snapshot!(faults.join("\n"), @"
        `params.nope` is not defined
        `nope` is not defined
        0..6: `{{` never closes
        0..5: the expression is empty
        0..9: `1 +` is not an expression: unexpected end of input, expected expression
        `1 / 0`: unable to calculate 1 / 0
        ");
    }

    #[test]
    fn names_are_dotted_paths() {
        let expr = Expr::parse("inputs.slate.games | length + params.n").expect("valid");
        assert_eq!(expr.names().collect::<Vec<_>>(), ["inputs.slate.games", "params.n"]);
    }

    #[test]
    fn shell_words_are_quoted_and_quotes_around_them_found() {
        assert_eq!(shell_quote("a b'c"), "'a b'\\''c'");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("x/y.z"), "x/y.z");
        let t = Template::parse("echo '{{ a }}' \"x{{ b }}\" {{ c }} \\'{{ d }}").expect("valid");
        assert_eq!(t.quoted_in_shell().len(), 2);
    }
}
