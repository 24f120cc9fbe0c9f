//! The items of a fanned-out node: the keys of a list's elements.

use std::collections::HashMap;
use std::sync::Arc;

use flow_core::error::{ErrorClass, StageError};
use flow_core::render::{compose_symbolic, symbolic};
use flow_core::template::Scope;
use serde_json::{Map, Value, json};

use super::load::value_at;
use super::{Surroundings, load, scope};
use crate::wiring::Wire;

/// Items that one list may have.
const MAX_ITEMS: usize = 1_000_000;

/// The keys of a list's elements, in order. A key that stands twice is a failure.
pub(crate) fn resolve_items(
    around: &Surroundings,
    group: usize,
    wire: &Wire,
    params: &[Wire],
) -> Result<Vec<Arc<str>>, Box<StageError>> {
    let operation = "read the list of `for_each`";
    let refuse =
        |message: String| Box::new(StageError::new(ErrorClass::Validation, operation, message));
    let list = match value_at(around.store.as_ref(), &around.run, wire)
        .map_err(|e| e.of_port("for_each"))?
    {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        other => {
            let kind = match other {
                Value::Object(_) => "an object",
                Value::String(_) => "a string",
                _ => "a single value",
            };
            return Err(refuse(format!("`for_each` needs a list, and this is {kind}")));
        }
    };
    if list.len() > MAX_ITEMS {
        return Err(refuse(format!(
            "the list has {} elements, and at most {MAX_ITEMS} are possible",
            list.len()
        )));
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
            .map_err(|message| scope::template_error("key", message))?
            .into();
        if key.is_empty() {
            return Err(refuse(format!("the key of element {index} is empty")));
        }
        if let Some(first) = seen.insert(Arc::clone(&key), index) {
            return Err(refuse(format!("elements {first} and {index} have the same key {key:?}")));
        }
        keys.push(key);
    }
    Ok(keys)
}
