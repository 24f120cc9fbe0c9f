//! Resolving the types that a definition writes.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::{codes, conditions};
use crate::catalog::Catalog;
use crate::definition::{Definition, FieldDef, Spanned, TypeDef};
use crate::diagnostic::{Diagnostic, nearest};
use crate::schema::{Constrained, JsonSchema, Record, Type, TypeExpr};

/// All named types of a definition, resolved.
pub(super) struct Types<'a> {
    catalog: &'a Catalog,
    named: HashMap<String, Type>,
}

const BUILTIN: [&str; 12] = [
    "string", "integer", "number", "boolean", "datetime", "duration", "json", "file", "dir",
    "list", "map", "item",
];

impl<'a> Types<'a> {
    /// Resolves `[types]`. Types that contain themselves or an unknown name become `json`, so that
    /// one fault does not cause others.
    pub(super) fn resolve(
        definition: &Definition,
        catalog: &'a Catalog,
        faults: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut types = Self { catalog, named: HashMap::new() };
        let mut path = Vec::new();
        for name in definition.types.keys() {
            types.named(definition, name, &mut path, faults);
        }
        types
    }

    fn named(
        &mut self,
        definition: &Definition,
        name: &str,
        path: &mut Vec<String>,
        faults: &mut Vec<Diagnostic>,
    ) -> Type {
        if let Some(ty) = self.named.get(name) {
            return ty.clone();
        }
        let Some(def) = definition.types.get(name) else { return Type::Json };
        if path.iter().any(|p| p == name) {
            let cycle = format!("{} → {name}", path.join(" → "));
            faults.push(
                Diagnostic::error(
                    codes::RECURSIVE_TYPE,
                    def.span().clone(),
                    format!("type `{name}` contains itself"),
                )
                .label(cycle)
                .help("break the circle with `json` at one place"),
            );
            // Known from here on, so that the circle is told once.
            self.named.insert(name.to_owned(), Type::Json);
            return Type::Json;
        }
        path.push(name.to_owned());
        let ty = match def {
            TypeDef::Record { fields, .. } => {
                let fields: IndexMap<String, Type> = fields
                    .iter()
                    .map(|(field, def)| {
                        (field.clone(), self.field_within(definition, def, path, faults))
                    })
                    .collect();
                Type::Record(Arc::new(Record { name: name.to_owned(), fields, rule: None }))
            }
            TypeDef::Alias { ty, .. } => {
                let base = self.expr_within(definition, &ty.ty, path, faults);
                conditions::check(ty, &base, faults);
                constrained(name, base, ty)
            }
            TypeDef::Schema { path, text, .. } => schema(name, path, text, faults),
        };
        path.pop();
        self.named.insert(name.to_owned(), ty.clone());
        ty
    }

    fn field_within(
        &mut self,
        definition: &Definition,
        field: &FieldDef,
        path: &mut Vec<String>,
        faults: &mut Vec<Diagnostic>,
    ) -> Type {
        let base = self.expr_within(definition, &field.ty, path, faults);
        conditions::check(field, &base, faults);
        constrained("", base, field)
    }

    fn expr_within(
        &mut self,
        definition: &Definition,
        expr: &Spanned<TypeExpr>,
        path: &mut Vec<String>,
        faults: &mut Vec<Diagnostic>,
    ) -> Type {
        let mut names = Vec::new();
        expr.names(&mut names);
        for name in names {
            if definition.types.contains_key(name) {
                self.named(definition, name, path, faults);
            }
        }
        self.expr(expr, faults)
    }

    /// Resolves a type expression.
    pub(super) fn expr(&self, expr: &Spanned<TypeExpr>, faults: &mut Vec<Diagnostic>) -> Type {
        let lookup = |name: &str| self.named.get(name).or_else(|| self.catalog.ty(name)).cloned();
        match expr.value.resolve(&lookup) {
            Ok(ty) => ty,
            Err(name) => {
                let known = self
                    .named
                    .keys()
                    .map(String::as_str)
                    .chain(BUILTIN)
                    .chain(self.catalog.types().map(|(n, _)| n));
                let help = nearest(&name, known).map_or_else(
                    || "declare it under `[types]`, or use a built-in type such as string, number, json, file or list<…>".into(),
                    |near| format!("did you mean `{near}`?"),
                );
                faults.push(
                    Diagnostic::error(
                        codes::UNKNOWN_TYPE,
                        expr.span.clone(),
                        format!("there is no type `{name}`"),
                    )
                    .help(help),
                );
                Type::Json
            }
        }
    }

    /// Resolves a field with its conditions.
    pub(super) fn field(&self, field: &FieldDef, faults: &mut Vec<Diagnostic>) -> Type {
        let base = self.expr(&field.ty, faults);
        conditions::check(field, &base, faults);
        constrained("", base, field)
    }
}

/// Compiles a schema file. One that cannot be used becomes `json`.
fn schema(name: &str, path: &Spanned<String>, text: &str, faults: &mut Vec<Diagnostic>) -> Type {
    match JsonSchema::compile(name, text) {
        Ok(schema) => Type::Schema(Arc::new(schema)),
        Err(fault) => {
            let message = format!("`{}` is no schema that can be used", path.value);
            faults.push(
                Diagnostic::error(codes::BAD_SCHEMA, path.span.clone(), message)
                    .label(fault.to_string())
                    .help(fault.help.unwrap_or("schemas are JSON Schema, draft 2020-12")),
            );
            Type::Json
        }
    }
}

/// Puts conditions and a name on a type; under `?`, so that null stays accepted and everyone sees
/// that it is.
fn constrained(name: &str, base: Type, field: &FieldDef) -> Type {
    if field.constraints.is_empty() && name.is_empty() {
        return base;
    }
    if let Type::Optional(inner) = &base {
        return constrained(name, inner.as_ref().clone(), field).optional();
    }
    let constraints = field.constraints.iter().map(|c| c.value.clone()).collect();
    Type::Constrained(Arc::new(Constrained { name: name.to_owned(), base, constraints }))
}
