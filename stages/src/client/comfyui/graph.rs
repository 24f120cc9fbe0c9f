//! The user's graph: read, filled in, and what ComfyUI says is wrong with it.

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::json;
use flow_core::stage::Context;
use serde_json::{Map, Value};

use super::super::picture::Wanted;
use super::super::{Answer, Service};

/// Where the prompt goes, in any text of the graph.
const PROMPT: &str = "%prompt%";
/// Where the seed goes.
pub(super) const SEED: &str = "%seed%";
const WIDTH: &str = "%width%";
const HEIGHT: &str = "%height%";
/// Inputs that name the file of a model, the most telling first.
const MODELS: [&str; 2] = ["ckpt_name", "unet_name"];

/// The graph of `services.comfyui.graph`: a table, or the path of a file, which is looked for among what
/// `uses` brings, and beside the workflow file.
///
/// # Errors
/// `config` when there is none, or one that is not in the form of the API.
pub(super) async fn read(context: &dyn Context, service: &Service) -> Result<Value, StageError> {
    let graph = match service.options.get("graph") {
        Some(Value::Object(nodes)) => Value::Object(nodes.clone()),
        Some(Value::String(path)) if !path.is_empty() => of_file(context, service, path).await?,
        None | Some(Value::Null) => {
            let hint = "export a graph of ComfyUI in API format, write %prompt% where the prompt goes (and \
                        %seed%, %width%, %height%), and name its file: services = { comfyui = { graph = \
                        \"graph.json\" } }";
            return Err(wrong(service, "there is no graph").hint(hint));
        }
        Some(_) => return Err(wrong(service, "it is neither a graph nor the path of one")),
    };
    check(service, &graph)?;
    Ok(graph)
}

async fn of_file(
    context: &dyn Context,
    service: &Service,
    path: &str,
) -> Result<Value, StageError> {
    let used = context.scratch().join(path);
    let file = if used.is_file() { used } else { context.workflow_dir().join(path) };
    let shown = file.display();
    let bytes = tokio::fs::read(&file)
        .await
        .map_err(|error| wrong(service, &format!("`{shown}` cannot be read")).cause(error))?;
    json::parse(&bytes).map_err(|fault| {
        let mut error = wrong(service, &format!("`{shown}` is not JSON: {fault}"));
        error.offset = Some(fault.offset as u64);
        error
    })
}

fn check(service: &Service, graph: &Value) -> Result<(), StageError> {
    let nodes = graph.as_object().map(Map::values);
    let is_node = |node: &Value| node["class_type"].is_string() && node["inputs"].is_object();
    if !nodes.is_some_and(|mut nodes| nodes.len() > 0 && nodes.all(is_node)) {
        return Err(wrong(service, "it is not in the form of the API").hint(
            "export it with Workflow > Export (API): each node then has `class_type` and `inputs`",
        ));
    }
    if !has(graph, PROMPT) {
        return Err(wrong(service, "no text of the graph has %prompt% in it")
            .hint("write %prompt% where the words go that say what the picture shows"));
    }
    Ok(())
}

fn wrong(service: &Service, what: &str) -> StageError {
    let operation = "read with.services.comfyui.graph";
    let mut error =
        service.failure(ErrorClass::Config, operation, what).kind(ErrorKind::Validation);
    error.unsent = true;
    error
}

/// Whether some text of the graph has a mark in it.
pub(super) fn has(graph: &Value, mark: &str) -> bool {
    match graph {
        Value::String(text) => text.contains(mark),
        Value::Array(all) => all.iter().any(|value| has(value, mark)),
        Value::Object(all) => all.values().any(|value| has(value, mark)),
        _ => false,
    }
}

/// The graph with prompt, seed and size in the place of their marks. A text that is nothing but the mark
/// of a number becomes the number.
///
/// # Errors
/// `config` when a side cannot be told to a model.
pub(super) fn filled(
    service: &Service,
    graph: &Value,
    wanted: &Wanted,
    (width, height): (u32, u32),
) -> Result<Value, StageError> {
    if width % 8 != 0 || height % 8 != 0 {
        let message = format!("{width}x{height} are no sides of a picture that models make");
        return Err(wrong(service, &message).hint("choose multiples of 8, such as 768x1344"));
    }
    let numbers = [(SEED, wanted.seed), (WIDTH, width), (HEIGHT, height)];
    Ok(fill(graph, &wanted.prompt, &numbers))
}

fn fill(value: &Value, prompt: &str, numbers: &[(&str, u32)]) -> Value {
    match value {
        Value::String(text) => match numbers.iter().find(|(mark, _)| text == mark) {
            Some((_, number)) => (*number).into(),
            None => fill_text(text, prompt, numbers).into(),
        },
        Value::Array(all) => all.iter().map(|value| fill(value, prompt, numbers)).collect(),
        Value::Object(all) => {
            all.iter().map(|(name, value)| (name.clone(), fill(value, prompt, numbers))).collect()
        }
        other => other.clone(),
    }
}

/// The prompt comes last: what looks like a mark in it is none.
fn fill_text(text: &str, prompt: &str, numbers: &[(&str, u32)]) -> String {
    let with_number =
        |text: String, (mark, number): &(&str, u32)| text.replace(mark, &number.to_string());
    numbers.iter().fold(text.to_owned(), with_number).replace(PROMPT, prompt)
}

/// The file of the model that the graph loads.
pub(super) fn model(graph: &Value) -> Option<&str> {
    let nodes = || graph.as_object().into_iter().flat_map(Map::values);
    let named = |name: &&str| nodes().find_map(|node| node["inputs"][*name].as_str());
    MODELS.iter().find_map(named)
}

/// The failure of a graph that ComfyUI does not take, with the first node that is wrong.
pub(super) fn refused(service: &Service, answer: &Answer, value: &Value) -> Option<StageError> {
    let nodes = value["node_errors"].as_object().filter(|nodes| !nodes.is_empty());
    let is_refusal = answer.status == 400 && value["error"]["type"].is_string();
    if nodes.is_none() && !is_refusal {
        return None;
    }
    let first = nodes.and_then(|nodes| nodes.iter().next());
    let at = first.map(|(id, node)| format!(" at {}", named(id, &node["class_type"])));
    let message = format!("comfyui refused the graph{}", at.unwrap_or_default());
    let mut error = answer.failure(service, ErrorClass::Config, message);
    let general = &value["error"];
    error.causes.extend(told(general));
    for (id, node) in nodes.into_iter().flatten() {
        let of_node = node["errors"].as_array().into_iter().flatten().filter_map(told);
        let name = named(id, &node["class_type"]);
        error.causes.extend(of_node.map(|cause| format!("{name}: {cause}")));
    }
    Some(error.hint(
        "open the graph in ComfyUI, mend that node (a model or node that is not installed there?), and \
         export it again",
    ))
}

/// A node as people find it: its number, and what it is.
pub(super) fn named(id: &str, class: &Value) -> String {
    let id = id.escape_debug();
    match class.as_str() {
        Some(class) => format!("node {id} ({})", class.escape_debug()),
        None => format!("node {id}"),
    }
}

/// Message and details of an error.
fn told(error: &Value) -> Option<String> {
    let message = error["message"].as_str()?.escape_debug();
    match error["details"].as_str().filter(|details| !details.is_empty()) {
        Some(details) => Some(format!("{message}: {}", details.escape_debug())),
        None => Some(message.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marks_become_what_is_wanted_and_a_prompt_is_taken_as_it_is() {
        let graph = json!({"3": {"class_type": "KSampler", "inputs":
            {"seed": "%seed%", "text": "a photo of %prompt%, %width%x%height%", "model": ["4", 0]}}});
        let numbers = [(SEED, 7), (WIDTH, 768), (HEIGHT, 1344)];
        let filled = fill(&graph, "100%seed% wool", &numbers);
        assert_eq!(
            filled["3"]["inputs"],
            json!({"seed": 7, "text": "a photo of 100%seed% wool, 768x1344", "model": ["4", 0]})
        );
        assert!(has(&graph, SEED) && !has(&filled["3"]["inputs"]["seed"], SEED));
    }

    #[test]
    fn a_model_is_named_by_the_file_that_is_loaded() {
        let graph =
            json!({"1": {"inputs": {"unet_name": "u"}}, "4": {"inputs": {"ckpt_name": "c"}}});
        assert_eq!(model(&graph), Some("c"));
        assert_eq!(model(&json!({"1": {"inputs": {}}})), None);
    }
}
