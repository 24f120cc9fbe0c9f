//! Events as the lines that people and other programs get.

use serde_json::{Map, Value, json};

use super::event::{Event, Outputs, Recorded};
use crate::id::RunId;
use crate::payload::PayloadRef;

/// Payloads of at most this many bytes of JSON are shown in full where a run is shown.
pub const SHOWN_VALUE_MAX: u64 = 4096;

impl Recorded {
    /// The line of the event stream; `None` for internal events. `value_of` gives the JSON of a
    /// small payload, where it is at hand.
    #[must_use]
    pub fn to_public_json(
        &self,
        run: &RunId,
        value_of: &dyn Fn(&PayloadRef) -> Option<Value>,
    ) -> Option<Value> {
        let mut line = Map::new();
        line.insert("seq".into(), json!(self.seq?));
        line.insert("ts".into(), json!(self.ts.to_string()));
        line.insert("run".into(), json!(run));
        line.insert("event".into(), json!(self.event.name()?));
        if let Some(node) = self.event.node() {
            line.insert("node".into(), json!(node));
            let item = self.event.task().and_then(|t| t.item.as_ref()).map(|i| i.key.clone());
            line.insert("item".into(), json!(item));
        }
        let mut put = |name: &str, value: Value| {
            line.insert(name.to_owned(), value);
        };
        match &self.event {
            Event::RunStarted { workflow, params, max_parallel, .. } => {
                put("workflow", json!(workflow));
                put("params", params.clone());
                put("max_parallel", json!(max_parallel));
            }
            Event::RunResumed { notes, .. } => put("notes", json!(notes)),
            Event::RunInterrupted { signal } => put("signal", json!(signal)),
            Event::RunFinished { status } => put("status", json!(status)),
            Event::AttemptStarted { attempt, key, intent, .. } => {
                put("attempt", json!(attempt));
                put("key", json!(key));
                if let Some(intent) = intent {
                    put("idempotency_key", json!(intent));
                }
            }
            Event::CallRetried { attempt, retry, .. } => {
                put("attempt", json!(attempt));
                put("provider", json!(retry.provider));
                put("operation", json!(retry.operation));
                put("call", json!(retry.call));
                put("delay_ms", json!(retry.delay_ms));
                put("error", json!(retry.error));
            }
            Event::PassedOver { attempt, fallback, .. } => {
                put("attempt", json!(attempt));
                put("from", json!(fallback.from));
                put("to", json!(fallback.to));
                put("reason", json!(fallback.reason.name()));
                put("error", json!(fallback.reason.error()));
            }
            Event::FellBack { from, to, error, .. } => {
                put("attempt", json!(error.attempt));
                put("from", json!(from));
                put("to", json!(to));
                put("reason", json!("failed"));
                put("error", json!(error));
            }
            Event::Waiting { wait, .. } => {
                put("attempt", json!(wait.attempt));
                put("until", json!(wait.until.map(|t| t.to_string())));
                if let Some(question) = &wait.question {
                    put("message", json!(question.message));
                    put("choices", json!(question.choices));
                }
            }
            Event::CacheHit { key, from, made_at, .. } => {
                put("key", json!(key));
                put("from", json!(from));
                put("made_at", json!(made_at.to_string()));
            }
            Event::CacheMiss { key, .. } => put("key", json!(key)),
            Event::AttemptFailed { attempt, error, usage, .. } => {
                put("attempt", json!(attempt));
                put("error", json!(error));
                if !usage.is_nothing() {
                    put("usage", json!(usage));
                }
            }
            Event::Unknown { attempt, error, .. } | Event::Failed { attempt, error, .. } => {
                put("attempt", json!(attempt));
                put("error", json!(error));
            }
            Event::RetryScheduled { attempt, delay_ms, at, .. } => {
                put("attempt", json!(attempt));
                put("delay_ms", json!(delay_ms));
                put("at", json!(at.to_string()));
            }
            Event::Succeeded {
                attempt,
                key,
                outputs,
                duration_ms,
                warnings,
                usage,
                provisional,
                ..
            } => {
                put("attempt", json!(attempt));
                put("key", json!(key));
                put("duration_ms", json!(duration_ms));
                put("outputs", outputs_json(outputs, value_of));
                if !warnings.is_empty() {
                    put("warnings", json!(warnings));
                }
                if !usage.is_nothing() {
                    put("usage", json!(usage));
                }
                if *provisional {
                    put("provisional", json!(true));
                }
            }
            Event::Reused { key, outputs, from, .. } => {
                put("key", json!(key));
                put("from", json!(from));
                put("outputs", outputs_json(outputs, value_of));
            }
            Event::Skipped { reason, .. } | Event::NodeSkipped { reason, .. } => {
                put("reason", json!(reason));
            }
            Event::Cancelled { attempt, .. } => put("attempt", json!(attempt)),
            Event::NodeGathered { succeeded, left_out, .. } => {
                // As in the object of the run: its items have them.
                put("key", Value::Null);
                put("outputs", json!({}));
                put("succeeded", json!(succeeded));
                put("left_out", json!(left_out));
            }
            Event::NodeFailed { error, .. } => put("error", json!(error)),
            Event::ItemsResolved { .. }
            | Event::ProcessStarted { .. }
            | Event::OutputKept { .. }
            | Event::Remembered { .. }
            | Event::EffectSettled { .. }
            | Event::Invalidated { .. }
            | Event::OutputsLost { .. } => return None,
        }
        Some(Value::Object(line))
    }
}

/// Outputs as events and `show` print them: type, digest, size, and the value where it is small.
#[must_use]
pub fn outputs_json(outputs: &Outputs, value_of: &dyn Fn(&PayloadRef) -> Option<Value>) -> Value {
    let one = |payload: &PayloadRef| {
        let mut map = Map::new();
        map.insert("type".into(), json!(payload.ty));
        map.insert("digest".into(), json!(payload.digest));
        map.insert("size".into(), json!(payload.size));
        let value = match &payload.artifact {
            None if payload.size <= SHOWN_VALUE_MAX => value_of(payload),
            _ => None,
        };
        map.insert("value".into(), value.unwrap_or(Value::Null));
        if let Some(artifact) = &payload.artifact {
            map.insert("name".into(), json!(artifact.name));
            map.insert("media_type".into(), json!(artifact.media_type));
        }
        Value::Object(map)
    };
    Value::Object(outputs.iter().map(|(port, payload)| (port.clone(), one(payload))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallRetry, Fallback, FallbackReason, Usage};
    use crate::error::{ErrorClass, StageError};
    use crate::run::event::TaskRef;

    /// The line of an event, without what every event has, and with no more of an error than its
    /// class.
    fn line(event: Event) -> String {
        let recorded = Recorded { seq: Some(1), ts: jiff::Timestamp::UNIX_EPOCH, event };
        // What is written to a journal is read back as it was.
        let text = serde_json::to_string(&recorded.event).expect("JSON");
        assert_eq!(serde_json::from_str::<Event>(&text).expect("an event"), recorded.event);
        let run = RunId::new("r").expect("a run id");
        let mut line = recorded.to_public_json(&run, &|_| None).expect("a public event");
        let map = line.as_object_mut().expect("an object");
        map.retain(|name, _| !["seq", "ts", "run", "item"].contains(&name.as_str()));
        if let Some(Value::Object(error)) = map.get_mut("error") {
            error.retain(|name, _| name == "class");
        }
        line.to_string()
    }

    fn error() -> StageError {
        StageError { attempt: 2, ..StageError::new(ErrorClass::Network, "ask", "no answer") }
    }

    #[test]
    fn both_kinds_of_fallback_have_one_shape() {
        let passed = |to: Option<&str>, reason| {
            let (from, to) = ("bank".to_owned(), to.map(str::to_owned));
            let fallback = Box::new(Fallback { from, to, reason });
            line(Event::PassedOver { task: TaskRef::node("n"), attempt: 2, fallback })
        };
        let head = r#"{"event":"provider_fallback","node":"n","attempt":2,"from":"bank","#;
        assert_eq!(
            passed(Some("safe"), FallbackReason::NoKey),
            format!(r#"{head}"to":"safe","reason":"no_key","error":null}}"#)
        );
        assert_eq!(
            passed(None, FallbackReason::Exhausted),
            format!(r#"{head}"to":null,"reason":"exhausted","error":null}}"#)
        );
        let failed =
            format!(r#"{head}"to":"safe","reason":"failed","error":{{"class":"network"}}}}"#);
        assert_eq!(passed(Some("safe"), FallbackReason::Failed(error())), failed);
        let (from, to, error) = ("bank".into(), "safe".into(), Box::new(error()));
        let own = Event::FellBack { task: TaskRef::node("n"), variant: 1, from, to, error };
        assert_eq!(line(own), failed);
    }

    #[test]
    fn a_retried_call_tells_which_and_when() {
        let (provider, operation) = ("bank".to_owned(), "pay".to_owned());
        let retry = CallRetry { provider, operation, call: 2, delay_ms: 40, error: error() };
        let event =
            Event::CallRetried { task: TaskRef::node("n"), attempt: 1, retry: Box::new(retry) };
        assert_eq!(
            line(event),
            r#"{"event":"call_retried","node":"n","attempt":1,"provider":"bank","operation":"pay","call":2,"delay_ms":40,"error":{"class":"network"}}"#
        );
    }

    #[test]
    fn a_fanned_out_node_has_the_fields_of_every_node_that_succeeded() {
        let gathered = Event::NodeGathered { node: "n".into(), succeeded: 3, left_out: 1 };
        assert_eq!(
            line(gathered),
            r#"{"event":"node_succeeded","node":"n","key":null,"outputs":{},"succeeded":3,"left_out":1}"#
        );
    }

    #[test]
    fn usage_stands_at_the_end_of_an_attempt_where_there_is_any() {
        let failed = |usage| {
            let error = Box::new(error());
            line(Event::AttemptFailed { task: TaskRef::node("n"), attempt: 1, error, usage })
        };
        let head =
            r#"{"event":"attempt_failed","node":"n","attempt":1,"error":{"class":"network"}"#;
        assert_eq!(failed(Usage::default()), format!("{head}}}"));
        let usage = Usage { usd: 0.25, tokens: 0, calls: 1 };
        assert_eq!(failed(usage), format!(r#"{head},"usage":{{"usd":0.25,"calls":1}}}}"#));
    }
}
