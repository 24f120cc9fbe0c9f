//! What the WebSocket tells, as progress of the stage. It may break, or never be there: the job is
//! looked at all the same.

use std::convert::Infallible;
use std::time::Duration;

use flow_core::error::StageError;
use flow_core::stage::{Context, Progress};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio_tungstenite::tungstenite;

use super::super::{Message, Service};
use super::authorized;

/// The wait before a socket that broke is opened again.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells the progress of a job for as long as it is asked to.
pub(super) async fn tell(context: &dyn Context, service: &Service, job: &Value) -> Infallible {
    loop {
        if let Err(error) = follow(context, service, job).await {
            tracing::debug!(%error, "there is no progress of comfyui to be told");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow(context: &dyn Context, service: &Service, job: &Value) -> Result<(), StageError> {
    let operation = "follow a job of comfyui";
    let client = job["client_id"].as_str().unwrap_or_default();
    let message = Message::get(service.url("/ws")?).query("clientId", client);
    let mut socket = service.socket(operation, authorized(service, message)).await?;
    while let Some(Ok(message)) = socket.next().await {
        // Binary ones are previews.
        let tungstenite::Message::Text(text) = message else { continue };
        let event = serde_json::from_str(&text).unwrap_or_default();
        if let Some(progress) = progress(&event, &job["prompt_id"]) {
            context.progress(progress);
        }
    }
    Ok(())
}

/// The progress that an event tells of a job.
fn progress(event: &Value, job: &Value) -> Option<Progress> {
    let data = &event["data"];
    let steps = |value: &Value, of: &str| {
        Some(Progress {
            done: value["value"].as_f64()?,
            total: Some(value["max"].as_f64().filter(|most| *most > 0.0)?),
            unit: "steps",
            message: format!("comfyui, node {of}"),
        })
    };
    let is_ours = data["prompt_id"] == *job || data["prompt_id"].is_null();
    match event["type"].as_str()? {
        "progress" if is_ours => steps(data, data["node"].as_str().unwrap_or("?")),
        "progress_state" if is_ours => {
            let nodes = data["nodes"].as_object()?;
            let (id, node) = nodes.iter().find(|(_, node)| node["state"] == "running")?;
            steps(node, id)
        }
        "status" => {
            let waiting = data["status"]["exec_info"]["queue_remaining"].as_f64()?;
            let message = "in the queue of comfyui".into();
            (waiting > 1.0).then_some(Progress {
                done: waiting,
                total: None,
                unit: "jobs",
                message,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_of_the_own_job_are_progress_and_those_of_others_are_none() {
        let job = json!("j");
        let told =
            |event: Value| progress(&event, &job).map(|told| (told.done, told.total, told.message));
        let steps = |id: &str| json!({"type": "progress", "data": {"value": 3, "max": 20, "prompt_id": id, "node": "5"}});
        assert_eq!(told(steps("j")), Some((3.0, Some(20.0), "comfyui, node 5".into())));
        assert_eq!(told(steps("other")), None);
        let state = json!({"type": "progress_state", "data": {"prompt_id": "j", "nodes": {
            "4": {"value": 1, "max": 1, "state": "finished"}, "5": {"value": 2, "max": 8, "state": "running"}}}});
        assert_eq!(told(state), Some((2.0, Some(8.0), "comfyui, node 5".into())));
        let queue = |left: u32| json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": left}}}});
        assert_eq!(told(queue(3)).map(|told| told.0), Some(3.0));
        assert_eq!(told(queue(1)), None);
        assert_eq!(
            told(json!({"type": "executing", "data": {"node": null, "prompt_id": "j"}})),
            None
        );
    }
}
