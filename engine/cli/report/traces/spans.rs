//! Spans out of events: one for each invocation of a run, in it one for each node that does something
//! meanwhile, in that one for each attempt. All invocations of a run share a trace.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use flow_core::call::Usage;
use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::Graph;
use flow_core::id::RunId;
use flow_core::run::Recorded;
use flow_core::run::event::{Event, RunEnd, TaskRef};
use flow_runtime::Observer;
use jiff::Timestamp;
use opentelemetry::trace::{
    Event as Noted, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::super::human::{in_short, passes};

/// Notes that one span carries at most; later ones are counted.
const NOTES_MAX: usize = 128;

/// The number of the first event of every run.
const FIRST: u64 = 1;

/// Makes spans of the events of one invocation.
pub(super) struct Spans {
    run: RunId,
    graph: Arc<Graph>,
    trace: TraceId,
    scope: InstrumentationScope,
    send: Box<dyn Fn(SpanData) + Send>,
    /// The event that began this invocation, and the spans in it so far: their identities.
    seq: u64,
    begun: u64,
    invocation: Option<Open>,
    nodes: HashMap<Arc<str>, Open>,
    attempts: HashMap<TaskRef, Open>,
}

/// A span that has begun.
struct Open {
    id: SpanId,
    parent: SpanId,
    kind: SpanKind,
    name: String,
    since: Timestamp,
    attributes: Vec<KeyValue>,
    notes: Vec<Noted>,
    left_out: u32,
    links: Vec<Link>,
    /// Items that were taken from elsewhere and have no attempt.
    reused: i64,
}

/// How a span ends: a word of the conventions, and what is wrong.
struct Ending<'a> {
    result: Option<&'static str>,
    error: Option<&'a StageError>,
}

impl Ending<'_> {
    fn of(result: &'static str) -> Self {
        Self { result: Some(result), error: None }
    }
}

impl<'a> Ending<'a> {
    fn failed(error: &'a StageError) -> Self {
        let result = match error.class {
            ErrorClass::Timeout => "timeout",
            ErrorClass::Cancelled => "cancellation",
            ErrorClass::Panic | ErrorClass::Store => "error",
            _ => "failure",
        };
        Self { result: Some(result), error: Some(error) }
    }
}

impl Spans {
    pub(super) fn new(run: &RunId, graph: Arc<Graph>, send: Box<dyn Fn(SpanData) + Send>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self {
            run: run.clone(),
            graph,
            trace: trace_of(run),
            scope: InstrumentationScope::builder("flow").with_version(version).build(),
            send,
            seq: FIRST,
            begun: 0,
            invocation: None,
            nodes: HashMap::new(),
            attempts: HashMap::new(),
        }
    }

    fn begin_run(&mut self, at: Timestamp, seq: Option<u64>) {
        let seq = seq.unwrap_or(FIRST);
        self.seq = seq;
        let workflow = self.graph.name().to_owned();
        let mut open = Open::new(invocation_id(&self.run, seq), at, format!("RUN {workflow}"));
        open.kind = SpanKind::Server;
        open.attributes = vec![
            KeyValue::new("cicd.pipeline.action.name", "RUN"),
            KeyValue::new("cicd.pipeline.name", workflow),
            KeyValue::new("cicd.pipeline.run.id", self.run.to_string()),
            KeyValue::new("flow.resumed", seq != FIRST),
        ];
        if seq != FIRST {
            open.links.push(Link::with_context(self.context(invocation_id(&self.run, FIRST))));
        }
        self.invocation = Some(open);
    }

    /// Ends what is open, and the run with it.
    fn end_run(&mut self, at: Timestamp, ending: &Ending<'_>, status: &'static str) {
        let result = ending.result.filter(|result| *result == "cancellation");
        let cut_off = Ending { result, error: None };
        for open in self.attempts.drain().map(|(_, open)| open).collect::<Vec<_>>() {
            self.end(open, at, "cicd.pipeline.task.run.result", &cut_off);
        }
        for open in self.nodes.drain().map(|(_, open)| open).collect::<Vec<_>>() {
            self.end(open, at, "cicd.pipeline.task.run.result", &cut_off);
        }
        if let Some(mut open) = self.invocation.take() {
            open.attributes.push(KeyValue::new("flow.run.status", status));
            self.end(open, at, "cicd.pipeline.result", ending);
        }
    }

    /// The span of a node, which begins with the first that is heard of it.
    fn node(&mut self, name: &Arc<str>, at: Timestamp) -> &mut Open {
        let parent = self.invocation.as_ref().map(|run| run.id);
        let (run, graph, seq, begun) = (&self.run, &self.graph, self.seq, &mut self.begun);
        self.nodes.entry(Arc::clone(name)).or_insert_with(|| {
            let mut open = Open::new(next_id(run, seq, begun), at, name.to_string());
            open.parent = parent.unwrap_or(SpanId::INVALID);
            open.attributes.push(KeyValue::new("cicd.pipeline.task.name", name.to_string()));
            let stage = graph.find(name).map(|id| graph.node(id).work.stage.spec().name);
            open.attributes.extend(stage.map(|s| KeyValue::new("flow.stage", s.to_string())));
            open
        })
    }

    fn begin_attempt(&mut self, at: Timestamp, task: &TaskRef, attempt: u32) {
        let parent = self.node(&task.node, at).id;
        let id = next_id(&self.run, self.seq, &mut self.begun);
        let mut open = Open::new(id, at, format!("{} attempt", task.node));
        open.parent = parent;
        open.attributes = vec![
            KeyValue::new("cicd.pipeline.task.name", task.node.to_string()),
            KeyValue::new("cicd.pipeline.task.run.id", format!("{}/{task}/{attempt}", self.run)),
            KeyValue::new("flow.attempt", i64::from(attempt)),
        ];
        if let Some(item) = &task.item {
            open.attributes.push(KeyValue::new("flow.item.key", item.key.to_string()));
            open.attributes.push(KeyValue::new("flow.item.index", i64::from(item.index)));
        }
        self.attempts.insert(task.clone(), open);
    }

    fn end_attempt(&mut self, at: Timestamp, task: &TaskRef, usage: Usage, ending: &Ending<'_>) {
        if let Some(mut open) = self.attempts.remove(task) {
            open.attributes.extend(used(usage));
            self.end(open, at, "cicd.pipeline.task.run.result", ending);
        }
    }

    fn end_node(
        &mut self,
        at: Timestamp,
        name: &Arc<str>,
        more: impl IntoIterator<Item = KeyValue>,
        ending: &Ending<'_>,
    ) {
        self.node(name, at).attributes.extend(more);
        if let Some(mut open) = self.nodes.remove(name) {
            if open.reused > 0 {
                open.attributes.push(KeyValue::new("flow.items.reused", open.reused));
            }
            self.end(open, at, "cicd.pipeline.task.run.result", ending);
        }
    }

    /// Ends the node of a task, unless it is one of many items.
    fn end_whole(
        &mut self,
        at: Timestamp,
        task: &TaskRef,
        more: impl IntoIterator<Item = KeyValue>,
        ending: &Ending<'_>,
    ) {
        if task.item.is_none() {
            self.end_node(at, &task.node, more, ending);
        }
    }

    fn end(&self, mut open: Open, at: Timestamp, word: &'static str, ending: &Ending<'_>) {
        open.attributes.extend(ending.result.map(|result| KeyValue::new(word, result)));
        if let Some(error) = ending.error {
            open.fail(at, error);
        }
        (self.send)(SpanData {
            span_context: self.context(open.id),
            parent_span_id: open.parent,
            parent_span_is_remote: false,
            span_kind: open.kind,
            name: open.name.into(),
            start_time: open.since.into(),
            // Clocks may go back; spans may not.
            end_time: at.max(open.since).into(),
            attributes: open.attributes,
            dropped_attributes_count: 0,
            events: events(open.notes, open.left_out),
            links: links(open.links),
            status: match ending.error {
                Some(error) => Status::error(in_short(error)),
                None if ending.result == Some("success") => Status::Ok,
                None if ending.result == Some("failure") => Status::error("the run failed"),
                None => Status::Unset,
            },
            instrumentation_scope: self.scope.clone(),
        });
    }

    fn context(&self, span: SpanId) -> SpanContext {
        SpanContext::new(self.trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
    }

    /// Notes something at the attempt of a task, or at its node between attempts.
    fn note(
        &mut self,
        at: Timestamp,
        task: &TaskRef,
        name: &'static str,
        attributes: Vec<KeyValue>,
    ) {
        match self.attempts.get_mut(task) {
            Some(open) => open.note(at, name, attributes),
            None => self.node(&task.node, at).note(at, name, attributes),
        }
    }
}

impl Open {
    fn new(id: SpanId, since: Timestamp, name: String) -> Self {
        Self {
            id,
            parent: SpanId::INVALID,
            kind: SpanKind::Internal,
            name,
            since,
            attributes: Vec::new(),
            notes: Vec::new(),
            left_out: 0,
            links: Vec::new(),
            reused: 0,
        }
    }

    fn note(&mut self, at: Timestamp, name: &'static str, attributes: Vec<KeyValue>) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(Noted::new(name, SystemTime::from(at), attributes, 0));
        } else {
            self.left_out += 1;
        }
    }

    fn fail(&mut self, at: Timestamp, error: &StageError) {
        self.attributes.push(KeyValue::new("error.type", error.class.name()));
        self.attributes.push(KeyValue::new("flow.error.code", error.code.clone()));
        let exit = error.exit_code.map(|code| KeyValue::new("process.exit.code", i64::from(code)));
        self.attributes.extend(exit);
        let causes = std::iter::once(&error.message).chain(&error.causes);
        let causes: Vec<&str> = causes.map(String::as_str).collect();
        let told = vec![
            KeyValue::new("exception.type", error.class.name()),
            KeyValue::new("exception.message", causes.join(": ")),
        ];
        self.note(at, "exception", told);
    }
}

impl Observer for Spans {
    fn event(&mut self, recorded: &Recorded) {
        let at = recorded.ts;
        let nothing = Usage::default();
        match &recorded.event {
            Event::RunStarted { .. } | Event::RunResumed { .. } => {
                self.begin_run(at, recorded.seq);
            }
            Event::RunFinished { status } => {
                let (result, word) = match status {
                    RunEnd::Succeeded => ("success", "succeeded"),
                    RunEnd::Failed => ("failure", "failed"),
                    RunEnd::Cancelled => ("cancellation", "cancelled"),
                };
                self.end_run(at, &Ending::of(result), word);
            }
            Event::RunInterrupted { .. } => {
                self.end_run(at, &Ending::of("cancellation"), "interrupted");
            }
            Event::AttemptStarted { task, attempt, .. } => self.begin_attempt(at, task, *attempt),
            Event::AttemptFailed { task, error, usage, .. } => {
                self.end_attempt(at, task, *usage, &Ending::failed(error));
            }
            Event::Unknown { task, error, .. } => {
                self.end_attempt(at, task, nothing, &Ending::failed(error));
                self.note(at, task, "unknown", Vec::new());
            }
            Event::Succeeded { task, usage, .. } => {
                self.end_attempt(at, task, *usage, &Ending::of("success"));
                self.end_whole(at, task, [], &Ending::of("success"));
            }
            Event::Failed { task, error, .. } => {
                self.end_attempt(at, task, nothing, &Ending::failed(error));
                self.end_whole(at, task, [], &Ending::failed(error));
            }
            Event::Cancelled { task, .. } => {
                self.end_attempt(at, task, nothing, &Ending::of("cancellation"));
                self.end_whole(at, task, [], &Ending::of("cancellation"));
            }
            Event::Reused { task, from, .. } if task.item.is_none() => {
                self.end_attempt(at, task, nothing, &Ending::of("success"));
                let more = [
                    KeyValue::new("flow.reused", true),
                    KeyValue::new("flow.reused.from", from.clone()),
                ];
                self.end_node(at, &task.node, more, &Ending::of("success"));
            }
            Event::Reused { task, .. } => self.node(&task.node, at).reused += 1,
            Event::Skipped { task, reason } => {
                let more = [KeyValue::new("flow.skipped", reason.clone())];
                self.end_attempt(at, task, nothing, &Ending::of("skip"));
                self.end_whole(at, task, more, &Ending::of("skip"));
            }
            Event::NodeGathered { node, succeeded, left_out } => {
                let more = [
                    KeyValue::new("flow.items.succeeded", i64::from(*succeeded)),
                    KeyValue::new("flow.items.left_out", i64::from(*left_out)),
                ];
                self.end_node(at, node, more, &Ending::of("success"));
            }
            Event::NodeFailed { node, error } => {
                self.end_node(at, node, [], &Ending::failed(error));
            }
            Event::NodeSkipped { node, reason } => {
                let more = [KeyValue::new("flow.skipped", reason.clone())];
                self.end_node(at, node, more, &Ending::of("skip"));
            }
            event => self.remark(at, event),
        }
    }
}

impl Spans {
    /// Notes what is neither a beginning nor an end.
    fn remark(&mut self, at: Timestamp, event: &Event) {
        let text = |key: &'static str, value: String| KeyValue::new(key, value);
        let span = |ms: u64| KeyValue::new("flow.delay_ms", i64::try_from(ms).unwrap_or(i64::MAX));
        match event {
            Event::RetryScheduled { task, delay_ms, .. } => {
                self.note(at, task, "retry_scheduled", vec![span(*delay_ms)]);
            }
            Event::CallRetried { task, retry, .. } => {
                let told = vec![
                    text("flow.provider", retry.provider.clone()),
                    KeyValue::new("error.type", retry.error.class.name()),
                    span(retry.delay_ms),
                ];
                self.note(at, task, "call_retried", told);
            }
            Event::PassedOver { task, fallback, .. } => {
                let told = vec![text("flow.reason", passes(fallback))];
                self.note(at, task, "provider_fallback", told);
            }
            Event::FellBack { task, from, to, error, .. } => {
                let told = vec![
                    text("flow.stage.from", from.clone()),
                    text("flow.stage.to", to.clone()),
                    KeyValue::new("error.type", error.class.name()),
                ];
                self.note(at, task, "provider_fallback", told);
            }
            Event::Waiting { task, .. } => self.note(at, task, "waiting", Vec::new()),
            Event::CacheHit { task, from, .. } => {
                self.note(at, task, "cache_hit", vec![text("flow.run.from", from.clone())]);
            }
            _ => {}
        }
    }
}

impl Drop for Spans {
    /// What waits when the process ends, or stopped with its store, ends here without a result.
    fn drop(&mut self) {
        self.end_run(Timestamp::now(), &Ending { result: None, error: None }, "open");
    }
}

/// What calls used.
fn used(usage: Usage) -> impl Iterator<Item = KeyValue> {
    let whole = |number: u64| Value::I64(i64::try_from(number).unwrap_or(i64::MAX));
    let all = [
        ("flow.usage.usd", usage.usd > 0.0, Value::F64(usage.usd)),
        ("flow.usage.tokens", usage.tokens > 0, whole(usage.tokens)),
        ("flow.usage.calls", usage.calls > 0, whole(usage.calls)),
    ];
    all.into_iter()
        .filter(|(_, is_there, _)| *is_there)
        .map(|(key, _, value)| KeyValue::new(key, value))
}

fn events(notes: Vec<Noted>, left_out: u32) -> SpanEvents {
    let mut events = SpanEvents::default();
    events.events = notes;
    events.dropped_count = left_out;
    events
}

fn links(all: Vec<Link>) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.links = all;
    links
}

/// The trace of a run: its id where that is a UUID, so that one is found by the other, else the
/// beginning of a hash of it.
fn trace_of(run: &RunId) -> TraceId {
    let uuid = uuid::Uuid::try_parse(run.as_str()).ok().filter(|uuid| !uuid.is_nil());
    TraceId::from_bytes(uuid.map_or_else(|| beginning(run.as_str()), uuid::Uuid::into_bytes))
}

/// The span of an invocation, by the event that begins it: later ones refer to it.
fn invocation_id(run: &RunId, seq: u64) -> SpanId {
    span_id(&format!("{run}/{seq}"))
}

/// The next span of the invocation that this event began.
fn next_id(run: &RunId, seq: u64, begun: &mut u64) -> SpanId {
    *begun += 1;
    span_id(&format!("{run}/{seq}/{begun}"))
}

fn span_id(text: &str) -> SpanId {
    SpanId::from_bytes(beginning(text))
}

/// The first bytes of the hash of a text.
fn beginning<const N: usize>(text: &str) -> [u8; N] {
    let digest = Digest::of(text.as_bytes());
    std::array::from_fn(|at| digest.as_bytes().get(at).copied().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(run: &str) -> String {
        RunId::new(run).map(|run| trace_of(&run).to_string()).unwrap_or_default()
    }

    #[test]
    fn the_trace_of_a_run_is_its_uuid_or_stands_for_its_name() {
        let uuid = "0192f0c1-2345-7abc-8def-0123456789ab";
        assert_eq!(id(uuid), uuid.replace('-', ""));
        assert_eq!(id("nightly"), id("nightly"));
        assert_ne!(id("nightly"), id("daily"));
        assert_eq!(id("nightly").len(), 32);
    }
}
