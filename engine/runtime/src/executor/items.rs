//! The items of a fanned-out node: the keys of a list's elements.

use std::collections::HashMap;
use std::sync::Arc;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::graph::Source;
use flow_core::render::{compose_symbolic, symbolic};
use flow_core::run::RunState;
use flow_core::schema::describe;
use flow_core::template::Scope;
use serde_json::{Map, Value, json};

use super::{Surroundings, load, scope};
use crate::wiring::{Wire, wire};

/// Items that one list may have.
const MAX_ITEMS: usize = 1_000_000;

/// The keys of a list's elements, given what has ended.
pub(crate) fn read_items(
    around: &Surroundings,
    state: &RunState,
    group: usize,
) -> Result<Vec<Arc<str>>, Box<StageError>> {
    let params = &around.manifest.params;
    let read = |source: &Source| wire(state, params, source, None);
    let list = &around.graph.groups()[group];
    let of_key: Vec<_> = list.params.iter().flatten().map(|p| read(&p.source)).collect();
    resolve_items(around, group, &read(&list.list), &of_key)
}

/// The keys of a list's elements, in order. A key that stands twice is a failure.
fn resolve_items(
    around: &Surroundings,
    group: usize,
    wire: &Wire,
    params: &[Wire],
) -> Result<Vec<Arc<str>>, Box<StageError>> {
    let operation = "read the list of `for_each`";
    let refuse = |message: String, pointer: String, expected: &str, found: String| {
        let mut error = StageError::new(ErrorClass::Validation, operation, message)
            .kind(ErrorKind::Validation)
            .port("for_each");
        error.pointer = Some(pointer);
        error.expected = Some(expected.to_owned());
        error.found = Some(found);
        Box::new(error)
    };
    let list = match around.values().read(wire).map_err(|e| e.of_port("for_each"))? {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        other => {
            let found = describe(&other);
            let message = format!("`for_each` needs a list, and this is {found}");
            return Err(refuse(message, String::new(), "a list", found));
        }
    };
    if list.len() > MAX_ITEMS {
        let (len, most) = (list.len(), format!("at most {MAX_ITEMS} elements"));
        let message = format!("the list has {len} elements, and at most {MAX_ITEMS} are possible");
        return Err(refuse(message, String::new(), &most, format!("{len} elements")));
    }
    let Some(template) = &around.graph.groups()[group].key else {
        return Ok((0..list.len()).map(|i| Arc::from(i.to_string())).collect());
    };
    let nested = match &around.graph.groups()[group].params {
        None => None,
        Some(read) => Some(load::values(around, read, params)?),
    };
    let params = nested.as_ref().unwrap_or(&around.manifest.params);
    let params: Map<String, Value> = params.iter().map(|(k, v)| (k.clone(), symbolic(v))).collect();
    let mut seen: HashMap<Arc<str>, usize> = HashMap::new();
    let mut keys = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let names = json!({ "item": symbolic(item), "index": index, "params": params, "run": { "id": around.run } });
        let key: Arc<str> = template
            .render(&Scope::new(&names), &mut compose_symbolic)
            .map_err(|message| {
                let mut error = scope::template_error("key", message);
                error.pointer = Some(format!("/{index}"));
                error.found = Some(describe(item));
                error
            })?
            .into();
        if key.is_empty() {
            let message = format!("the key of element {index} is empty");
            return Err(refuse(message, format!("/{index}"), "a key", "empty text".into()));
        }
        if let Some(first) = seen.insert(Arc::clone(&key), index) {
            let message = format!("elements {first} and {index} have the same key {key:?}");
            let found = format!("the key {key:?} of element {first} again");
            return Err(refuse(message, format!("/{index}"), "a key of its own", found)
                .hint("let `key` name what tells the elements apart, or leave it out: it is the index then").into());
        }
        keys.push(key);
    }
    Ok(keys)
}
