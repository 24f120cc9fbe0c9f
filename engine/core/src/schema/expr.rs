//! Type expressions as they are written: `list<file<audio/*>>?`.

use std::fmt;

use super::{MediaPattern, Type};

/// A type as it is written, with names not yet resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeExpr {
    /// A built-in type without parameters, already resolved.
    Builtin(Type),
    /// A name from `[types]` or from a stage.
    Name(String),
    /// `list<T>`.
    List(Box<TypeExpr>),
    /// `map<T>`.
    Map(Box<TypeExpr>),
    /// `T?`.
    Optional(Box<TypeExpr>),
}

/// Why a text is not a type expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TypeSyntaxError {
    /// Byte offset into the text.
    pub offset: usize,
    /// What is wrong there.
    pub message: String,
}

/// Nesting of a type expression is limited so that no check recurses without bound.
const MAX_NESTING: usize = 32;

impl TypeExpr {
    /// Reads a type expression.
    ///
    /// # Errors
    /// [`TypeSyntaxError`] with the offset and reason.
    pub fn parse(text: &str) -> Result<Self, TypeSyntaxError> {
        let mut reader = Reader { text, at: 0 };
        let expr = reader.ty(0)?;
        reader.skip_space();
        if reader.at < text.len() {
            return Err(
                reader.fault(format!("`{}` does not belong to the type", &text[reader.at..]))
            );
        }
        Ok(expr)
    }

    /// Resolves names with `lookup`.
    ///
    /// # Errors
    /// The first name that `lookup` does not know.
    pub fn resolve(&self, lookup: &dyn Fn(&str) -> Option<Type>) -> Result<Type, String> {
        Ok(match self {
            Self::Builtin(ty) => ty.clone(),
            Self::Name(name) => lookup(name).ok_or_else(|| name.clone())?,
            Self::List(inner) => Type::List(Box::new(inner.resolve(lookup)?)),
            Self::Map(inner) => Type::Map(Box::new(inner.resolve(lookup)?)),
            Self::Optional(inner) => inner.resolve(lookup)?.optional(),
        })
    }

    /// Every name that must be resolved.
    pub fn names<'a>(&'a self, out: &mut Vec<&'a str>) {
        match self {
            Self::Builtin(_) => {}
            Self::Name(name) => out.push(name),
            Self::List(inner) | Self::Map(inner) | Self::Optional(inner) => inner.names(out),
        }
    }
}

impl fmt::Display for TypeExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(ty) => ty.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Map(inner) => write!(f, "map<{inner}>"),
            Self::Optional(inner) => write!(f, "{inner}?"),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn fault(&self, message: String) -> TypeSyntaxError {
        TypeSyntaxError { offset: self.at, message }
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), TypeSyntaxError> {
        if self.eat(wanted) { Ok(()) } else { Err(self.fault(format!("`{wanted}` is missing"))) }
    }

    fn word(&mut self) -> String {
        self.skip_space();
        let rest = &self.text[self.at..];
        let len =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += len;
        rest[..len].to_owned()
    }

    fn ty(&mut self, depth: usize) -> Result<TypeExpr, TypeSyntaxError> {
        if depth > MAX_NESTING {
            return Err(self.fault(format!("types nest at most {MAX_NESTING} levels")));
        }
        let word = self.word();
        if word.is_empty() {
            return Err(self.fault("a type is missing, such as `string` or `list<file>`".into()));
        }
        let mut expr = self.named(&word, depth)?;
        // `T??` is `T?`: a box for each sign would nest without bound.
        while self.eat('?') {
            if !matches!(expr, TypeExpr::Optional(_)) {
                expr = TypeExpr::Optional(Box::new(expr));
            }
        }
        Ok(expr)
    }

    fn named(&mut self, word: &str, depth: usize) -> Result<TypeExpr, TypeSyntaxError> {
        let builtin = match word {
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            "datetime" => Type::Datetime,
            "duration" => Type::Duration,
            "json" => Type::Json,
            "dir" => Type::Dir,
            "file" => return self.file(),
            "list" | "map" => {
                self.expect('<')?;
                let inner = Box::new(self.ty(depth + 1)?);
                self.expect('>')?;
                return Ok(if word == "list" {
                    TypeExpr::List(inner)
                } else {
                    TypeExpr::Map(inner)
                });
            }
            _ => return Ok(TypeExpr::Name(word.to_owned())),
        };
        Ok(TypeExpr::Builtin(builtin))
    }

    fn file(&mut self) -> Result<TypeExpr, TypeSyntaxError> {
        if !self.eat('<') {
            return Ok(TypeExpr::Builtin(Type::File(None)));
        }
        let rest = &self.text[self.at..];
        let end = rest.find('>').ok_or_else(|| self.fault("`>` is missing".into()))?;
        let media = MediaPattern::parse(&rest[..end]).ok_or_else(|| {
            self.fault(format!(
                "`{}` is not a media type such as `audio/wav` or `image/*`",
                &rest[..end]
            ))
        })?;
        self.at += end + 1;
        Ok(TypeExpr::Builtin(Type::File(Some(media))))
    }
}
