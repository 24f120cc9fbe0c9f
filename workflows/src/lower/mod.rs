//! From a TOML tree to a definition: by hand, so that no fault hides another one.

mod bindings;
mod constraints;
mod effects;
mod fields;
mod habits;
mod nodes;
mod outputs;
mod params;
mod policies;
mod read;
mod sharing;
mod types;
mod values;
mod vocabulary;
mod workflow;

use std::collections::{HashMap, HashSet};

use flow_core::definition::{Definition, Policies, Source, Span};
use flow_core::diagnostic::Diagnostic;
use indexmap::IndexMap;
use toml::Spanned as Placed;
use toml::de::{DeTable, DeValue};

use self::fields::Fields;
pub(crate) use self::vocabulary::Scope;
use crate::source::Document;
use crate::{Loaded, ReadFile, codes};

/// A TOML value with its place.
type Value<'t> = Placed<DeValue<'t>>;

/// What lowering collects on its way.
struct Lower {
    faults: Vec<Diagnostic>,
    /// Places of syntax faults, in order.
    broken: Vec<Span>,
    /// Whether everything that was written has its place in the definition.
    complete: bool,
    /// The names that `[types]` declares.
    type_names: HashSet<String>,
    /// The schema files that `[types]` names: their texts, or why they cannot be had.
    schemas: HashMap<String, Result<String, String>>,
}

impl Lower {
    /// Tells a fault, unless a syntax fault at the same place has told it already.
    fn fault(&mut self, fault: Diagnostic) {
        let place = fault.labels.first().map_or(0..0, |label| label.span.clone());
        if !self.is_broken(&place) {
            self.faults.push(fault);
        }
    }

    /// Tells that something is missing. After a syntax fault it may only have been lost.
    fn missing(&mut self, fault: Diagnostic) {
        if self.broken.is_empty() {
            self.fault(fault);
        }
    }

    /// Notes that the definition lacks something that was written.
    fn lost(&mut self) {
        self.complete = false;
    }

    fn is_broken(&self, place: &Span) -> bool {
        let next = self.broken.partition_point(|span| span.end < place.start);
        self.broken.get(next).is_some_and(|span| span.start <= place.end)
    }
}

/// Lowers a whole document. The faults come in no particular order.
pub(crate) fn lower(document: Document<'_>, source: &Source, read: &ReadFile<'_>) -> Loaded {
    let Document { root, faults, broken } = document;
    let complete = broken.is_empty();
    let type_names = declared_types(&root);
    let schemas = named_schemas(&root).map(|path| (path.to_owned(), read(path))).collect();
    let mut cx = Lower { faults: Vec::new(), broken, complete, type_names, schemas };
    let definition = file(&mut cx, &root, source);
    let run_settings = workflow::run_settings(&root);
    let mut diagnostics = faults;
    diagnostics.append(&mut cx.faults);
    Loaded {
        definition: Some(definition),
        complete: cx.complete,
        diagnostics,
        source: source.clone(),
        files: cx.schemas.into_iter().filter_map(|(path, text)| Some((path, text.ok()?))).collect(),
        run_settings,
    }
}

fn declared_types(root: &DeTable<'_>) -> HashSet<String> {
    let types = root.get("types").and_then(|value| value.get_ref().as_table());
    types.into_iter().flat_map(|t| t.keys()).map(|key| key.get_ref().to_string()).collect()
}

/// The schema files that types name.
fn named_schemas<'a>(root: &'a DeTable<'_>) -> impl Iterator<Item = &'a str> {
    let types = root.get("types").and_then(|value| value.get_ref().as_table());
    let tables = types.into_iter().flat_map(|t| t.values()).filter_map(|v| v.get_ref().as_table());
    tables.filter_map(|table| table.get("schema")?.get_ref().as_str())
}

fn file(cx: &mut Lower, root: &DeTable<'_>, source: &Source) -> Definition {
    let fields = Fields::open(cx, Scope::File, root, 0..0);
    let head = workflow::lower(cx, &fields);
    let types = fields.table(cx, "types").map(|t| types::lower(cx, t)).unwrap_or_default();
    Definition {
        source: source.clone(),
        name: head.name,
        description: head.description,
        max_parallel: head.max_parallel,
        fail_fast: head.fail_fast,
        deadline: head.deadline,
        timezone: head.timezone,
        params: fields.table(cx, "params").map(|t| params::lower(cx, t)).unwrap_or_default(),
        types,
        pools: fields.table(cx, "pools").map(|t| sharing::pools(cx, t)).unwrap_or_default(),
        rates: fields.table(cx, "rates").map(|t| sharing::rates(cx, t)).unwrap_or_default(),
        secrets: fields.table(cx, "secrets").map(|t| sharing::secrets(cx, t)).unwrap_or_default(),
        tools: fields.table(cx, "tools").map(|t| workflow::tools(cx, t)).unwrap_or_default(),
        defaults: defaults(cx, &fields),
        nodes: nodes::lower(cx, &fields),
        outputs: fields
            .table(cx, "outputs")
            .map(|t| bindings::table(cx, t, "workflow output"))
            .unwrap_or_default(),
    }
}

fn defaults(cx: &mut Lower, file: &Fields<'_, '_>) -> Policies {
    let Some((span, value)) = file.entry("defaults") else { return Policies::default() };
    let Some(table) = read::table(cx, "defaults", value) else { return Policies::default() };
    let fields = Fields::open(cx, Scope::Defaults, table, span);
    policies::lower(cx, &fields)
}

/// The entries of a table in the order of the file.
fn in_order<'a, 't>(table: &'a DeTable<'t>) -> Vec<(&'a str, Span, &'a Value<'t>)> {
    let mut entries: Vec<_> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    entries.sort_by_key(|(_, span, _)| span.start);
    entries
}

/// Lowers each entry of a table to something with a name.
fn named<'a, 't, T>(
    cx: &mut Lower,
    table: &'a DeTable<'t>,
    mut each: impl FnMut(&mut Lower, &'a str, Span, &'a Value<'t>) -> Option<T>,
) -> IndexMap<String, T> {
    let mut map = IndexMap::with_capacity(table.len());
    for (name, span, value) in in_order(table) {
        match each(cx, name, span, value) {
            Some(lowered) => {
                map.insert(name.to_owned(), lowered);
            }
            None => cx.lost(),
        }
    }
    map
}

/// Checks the name of a parameter, type, field or port.
fn check_identifier(cx: &mut Lower, name: &str, span: &Span, kind: &'static str) {
    if let Err(invalid) = flow_core::id::check_identifier(name, kind) {
        cx.fault(
            Diagnostic::error(codes::IDENTIFIER, span.clone(), format!("{name:?} is not a {kind}"))
                .label(invalid.rule)
                .help(habits::name_help(name)),
        );
    }
}
