//! The engine's own words (`tracing`): warnings to stderr, everything to the log files, in lines of
//! the same form as those of events.

use std::fmt;
use std::sync::Arc;

use flow_runtime::Secrets;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::logfile::{SharedLog, write_line};
use super::tell;
use super::text::clean;

/// Sends the engine's words to the log files, and warnings to stderr too.
pub(crate) fn install(run: &str, log: SharedLog, secrets: Arc<Secrets>) {
    let layer = Words { run: run.to_owned(), log, secrets };
    let filter = tracing_subscriber::filter::LevelFilter::INFO;
    // A second subscriber in one process would be a mistake that costs only these words.
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().ok();
}

struct Words {
    run: String,
    log: SharedLog,
    secrets: Arc<Secrets>,
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Words {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields.rest);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = spans(event, &context);
        let level = *event.metadata().level();
        let mut line = Map::new();
        line.insert("ts".into(), json!(Timestamp::now().to_string()));
        line.insert("level".into(), json!(level.as_str()));
        line.insert("target".into(), json!(event.metadata().target()));
        line.insert("run_id".into(), json!(self.run));
        for name in ["node", "item", "attempt"] {
            let around = || spans.iter().rev().find_map(|span| span.get(name).cloned());
            let value = fields.rest.remove(name).or_else(around).unwrap_or(Value::Null);
            line.insert(name.into(), value);
        }
        line.insert("event".into(), json!("log"));
        line.insert("message".into(), json!(fields.message));
        line.extend(fields.rest.clone());
        if level <= Level::WARN && !spans.is_empty() {
            line.insert("spans".into(), json!(spans));
        }
        write_line(&self.log, &Value::Object(line), level == Level::ERROR);
        // A panic is told once, by whoever handles it. What a library says of itself is nothing that a user
        // could act on; it comes from the crate `log`, under that name.
        if level == Level::WARN && event.metadata().target() != "log" {
            let rest: Vec<String> =
                fields.rest.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            let words = format!("{}{}", fields.message, rest.concat());
            tell(&format!("warning: {}\n", clean(&self.secrets.mask(&words))));
        }
    }
}

/// What an event happened in, outermost first: each span's name and fields.
fn spans<S: Subscriber + for<'s> LookupSpan<'s>>(
    event: &Event<'_>,
    context: &Context<'_, S>,
) -> Vec<Map<String, Value>> {
    let scope = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
    let told = scope.map(|span| {
        let mut told = Map::from_iter([("name".to_owned(), json!(span.name()))]);
        told.extend(span.extensions().get::<Map<String, Value>>().cloned().unwrap_or_default());
        told
    });
    told.collect()
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.rest.insert(field.name().into(), Value::String(text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.rest.insert(field.name().into(), json!(value));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.rest.insert(field.name().into(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.rest.insert(field.name().into(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.rest.insert(field.name().into(), json!(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::report::logfile::LogFiles;

    #[test]
    fn a_panic_stands_in_the_log_of_errors_with_its_trace_and_where_it_happened() {
        let folder = tempfile::tempdir().expect("a folder");
        let secrets = Arc::new(Secrets::default());
        let log = LogFiles::open(folder.path(), Arc::clone(&secrets)).expect("log files");
        let words = Words { run: "one".into(), log: Arc::new(Mutex::new(log)), secrets };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(words), || {
            let node = tracing::info_span!("node", node = "a", item = "k");
            let _in_node = node.entered();
            let attempt = tracing::info_span!("attempt", attempt = 2);
            let _in_attempt = attempt.entered();
            tracing::error!(panic = "boom", at = "x.rs:1:2", trace = %"0: f\n1: g", "panic");
        });
        for name in ["errors.log", "pipeline.log"] {
            let text = std::fs::read_to_string(folder.path().join(name)).expect("a log");
            let line: Value = serde_json::from_str(&text).expect("one line of JSON");
            for (key, value) in [
                ("run_id", json!("one")),
                ("node", json!("a")),
                ("item", json!("k")),
                ("attempt", json!(2)),
                ("level", json!("ERROR")),
                ("panic", json!("boom")),
                ("at", json!("x.rs:1:2")),
                ("trace", json!("0: f\n1: g")),
            ] {
                assert_eq!(line[key], value, "{key} in {line}");
            }
            assert_eq!(line["spans"][1]["name"], "attempt");
        }
    }
}
