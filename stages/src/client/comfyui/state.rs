//! How a job stands, by what the history and the queue say.

use flow_core::error::{ErrorClass, StageError};
use serde_json::{Map, Value};

use super::super::job::State;
use super::super::{Answer, Service};
use super::graph::named;

/// A picture as the server names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) filename: String,
    pub(super) subfolder: String,
    /// `output`, or `temp` for what was only shown.
    pub(super) folder: String,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Running,
    Pending,
    Nowhere,
}

/// Finds a job in the answer of `/queue`: each entry is a list with its id in second place.
pub(super) fn place_in_queue(queue: &Value, id: &str) -> Place {
    let has = |name: &str| queue[name].as_array().into_iter().flatten().any(|job| job[1] == id);
    if has("queue_running") {
        Place::Running
    } else if has("queue_pending") {
        Place::Pending
    } else {
        Place::Nowhere
    }
}

/// The state of a job that stands in the history.
///
/// # Errors
/// `malformed` when it has succeeded and made no picture that can be told.
pub(super) fn of_history(
    service: &Service,
    answer: &Answer,
    entry: &Value,
) -> Result<State<Image>, StageError> {
    let status = &entry["status"];
    if status["status_str"] == "error" {
        return Ok(State::Gone(failed(service, answer, status)));
    }
    match image(&entry["outputs"]) {
        Some(image) => Ok(State::Done(image)),
        None => {
            let message = "the graph has ended without a picture";
            let error = answer.failure(service, ErrorClass::Config, message);
            Err(error.hint("let it end in a node that saves an image, such as SaveImage"))
        }
    }
}

/// The first picture that was saved, else the first that was shown.
fn image(outputs: &Value) -> Option<Image> {
    let nodes = outputs.as_object().into_iter().flat_map(Map::values);
    let images: Vec<Image> =
        nodes.filter_map(|node| node["images"].as_array()).flatten().filter_map(read).collect();
    let saved = images.iter().find(|image| image.folder == "output");
    saved.or(images.first()).cloned()
}

fn read(image: &Value) -> Option<Image> {
    let text = |name: &str| image[name].as_str().map(str::to_owned);
    Some(Image {
        filename: text("filename")?,
        subfolder: text("subfolder").unwrap_or_default(),
        folder: text("type").unwrap_or_else(|| "output".into()),
    })
}

/// The failure of a job that did not succeed: the last message says whether it failed or was stopped.
fn failed(service: &Service, answer: &Answer, status: &Value) -> StageError {
    let messages = status["messages"].as_array();
    let last = |name: &str| {
        let mut named = messages.into_iter().flatten().rev().filter(|message| message[0] == name);
        named.next().map(|message| &message[1])
    };
    if let Some(data) = last("execution_error") {
        let node = named(data["node_id"].as_str().unwrap_or_default(), &data["node_type"]);
        let message = format!("{node} failed at comfyui");
        let error = answer.failure(service, ErrorClass::Http5xx, message);
        let said = data["exception_message"].as_str().unwrap_or_default();
        let kind = data["exception_type"].as_str().unwrap_or("an exception");
        return error
            .cause(format!("{}: {}", kind.escape_debug(), said.trim().escape_debug()))
            .hint("see what ComfyUI wrote; a smaller `size` needs less of its memory");
    }
    if last("execution_interrupted").is_some() {
        let message = "the job was interrupted at comfyui";
        return answer
            .failure(service, ErrorClass::Rejected, message)
            .hint("somebody has stopped it there; `flow resume` puts it into the queue again");
    }
    answer.failure(
        service,
        ErrorClass::Http5xx,
        "the job failed at comfyui, which does not say why",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_saved_picture_comes_before_one_that_was_only_shown() {
        let preview = json!({"filename": "p.png", "subfolder": "", "type": "temp"});
        let saved = json!({"filename": "s.png", "subfolder": "a", "type": "output"});
        let found = image(&json!({"3": {"images": [preview]}, "9": {"images": [saved]}}));
        assert_eq!(found.map(|image| image.filename).as_deref(), Some("s.png"));
        let found = image(&json!({"3": {"images": [preview]}, "7": {"text": ["a"]}}));
        assert_eq!(found.map(|image| image.folder).as_deref(), Some("temp"));
        assert_eq!(image(&json!({})), None);
    }

    #[test]
    fn a_job_is_found_by_the_second_place_of_its_entry() {
        let queue = json!({"queue_running": [[1, "a", {}, {}, []]], "queue_pending": [[2, "b", {}, {}, []]]});
        assert_eq!(place_in_queue(&queue, "a"), Place::Running);
        assert_eq!(place_in_queue(&queue, "b"), Place::Pending);
        assert_eq!(place_in_queue(&queue, "c"), Place::Nowhere);
    }
}
