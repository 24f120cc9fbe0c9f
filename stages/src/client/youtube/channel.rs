//! What is on the channel already: the newest uploads, and the tags by which a piece is found.

use flow_core::error::StageError;
use flow_core::stage::Context;
use serde_json::Value;

use super::failure;
use super::token::Bearer;
use crate::client::{Message, Service, call};

/// The id of the video that has this tag, among the fifty newest of the channel.
pub(super) async fn find(
    context: &dyn Context,
    service: &Service,
    bearer: &Bearer<'_>,
    tag: &str,
) -> Result<Option<String>, StageError> {
    let look = Look { context, service, bearer };
    let channels =
        look.get("/youtube/v3/channels", &[("part", "contentDetails"), ("mine", "true")]).await?;
    let list = channels.pointer("/items/0/contentDetails/relatedPlaylists/uploads");
    let Some(list) = list.and_then(Value::as_str) else { return Ok(None) };
    let newest = [("part", "contentDetails"), ("maxResults", "50"), ("playlistId", list)];
    let uploads = look.get("/youtube/v3/playlistItems", &newest).await?;
    let ids: Vec<&str> = items(&uploads)
        .filter_map(|item| item.pointer("/contentDetails/videoId").and_then(Value::as_str))
        .collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let ids = ids.join(",");
    let videos = look.get("/youtube/v3/videos", &[("part", "snippet"), ("id", &ids)]).await?;
    let tagged = |video: &&Value| {
        let tags = video.pointer("/snippet/tags").and_then(Value::as_array);
        tags.into_iter().flatten().any(|found| found == tag)
    };
    let video = items(&videos).find(tagged);
    Ok(video.and_then(|video| video["id"].as_str()).map(str::to_owned))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

struct Look<'a> {
    context: &'a dyn Context,
    service: &'a Service,
    bearer: &'a Bearer<'a>,
}

impl Look<'_> {
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, StageError> {
        let operation = "look for the video on the channel";
        let url = self.service.url(path)?;
        call(self.context, self.service, operation, async |_try| {
            let message = Message::get(url.clone());
            let message = query.iter().fold(message, |message, (n, v)| message.query(n, v));
            let answer = self.bearer.send(self.context, operation, message).await?;
            match answer.is_success() {
                true => answer.json(self.service),
                false => Err(failure(self.service, &answer)),
            }
        })
        .await
    }
}
