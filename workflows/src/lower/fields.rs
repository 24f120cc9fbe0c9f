//! A table whose keys are known: unknown ones are told when it is opened.

use flow_core::definition::Span;
use flow_core::diagnostic::{Diagnostic, nearest};
use toml::de::DeTable;

use super::vocabulary::Scope;
use super::{Lower, Value, habits, in_order, read};
use crate::codes;

/// A table in a scope.
pub(super) struct Fields<'a, 't> {
    table: &'a DeTable<'t>,
    /// Place of what the table describes, for what is missing from it.
    pub(super) span: Span,
}

impl<'a, 't> Fields<'a, 't> {
    /// Looks over the keys of `table` and tells those that have no meaning in `scope`.
    pub(super) fn open(cx: &mut Lower, scope: Scope, table: &'a DeTable<'t>, span: Span) -> Self {
        let known = scope.keys();
        if table.keys().any(|key| !known.contains(&key.get_ref().as_ref())) {
            for (key, place, value) in in_order(table) {
                if !known.contains(&key) {
                    cx.fault(unknown_key(scope, key, place, value));
                }
            }
        }
        Self { table, span }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value<'t>> {
        self.table.get(key)
    }

    /// The value of a key and the place of the key.
    pub(super) fn entry(&self, key: &str) -> Option<(Span, &'a Value<'t>)> {
        self.table.get_key_value(key).map(|(key, value)| (key.span(), value))
    }

    /// The table under a key; tells anything else.
    pub(super) fn table(&self, cx: &mut Lower, key: &str) -> Option<&'a DeTable<'t>> {
        let table = read::table(cx, key, self.get(key)?);
        if table.is_none() {
            cx.lost();
        }
        table
    }
}

fn unknown_key(scope: Scope, key: &str, place: Span, value: &Value<'_>) -> Diagnostic {
    if scope.later_keys().contains(&key) {
        let message = format!("`{key}` is not in this version of flow");
        return Diagnostic::error(codes::NOT_IN_THIS_VERSION, place, message)
            .help(format!("remove `{key}`: it is refused because nothing would act on it"));
    }
    let message = format!("`{key}` is not a key of {}", scope.noun());
    if let Some(help) = habits::key_help(scope, key, value) {
        return Diagnostic::error(codes::FOREIGN_KEY, place, message).help(help);
    }
    let help = match nearest(key, scope.keys().iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let list: Vec<String> = scope.keys().iter().map(|k| format!("`{k}`")).collect();
            format!("its keys are {}", list.join(", "))
        }
    };
    Diagnostic::error(codes::UNKNOWN_KEY, place, message).help(help)
}
