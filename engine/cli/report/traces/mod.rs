//! Traces for an OpenTelemetry collector: a run, its nodes, their attempts. They are one more way to
//! tell the events of a run, and are part of a build with the feature `otel` alone.

#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod spans;

use std::sync::Arc;

use flow_core::graph::Graph;
use flow_core::id::RunId;
use flow_runtime::Observer;

/// Whether this build can send traces.
pub(crate) const ARE_BUILT_IN: bool = cfg!(feature = "otel");

/// Where a collector is said to be, first the name that is asked first.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// A collector that the environment names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The variable that names it.
    pub(crate) variable: &'static str,
    /// Its URL as it stands there, which may have a password in it.
    pub(crate) url: String,
}

/// The collector that traces are to be sent to: none where the environment names none, or switches
/// traces off in one of the standard ways.
pub(crate) fn endpoint() -> Option<Endpoint> {
    endpoint_in(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn endpoint_in(variable: &dyn Fn(&str) -> Option<String>) -> Option<Endpoint> {
    let is_disabled =
        variable("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"));
    let others = variable("OTEL_TRACES_EXPORTER")
        .is_some_and(|names| !names.split(',').any(|name| name.trim() == "otlp"));
    if is_disabled || others {
        return None;
    }
    ENDPOINTS
        .into_iter()
        .find_map(|name| variable(name).map(|url| Endpoint { variable: name, url }))
}

/// The traces of one invocation on their way. When it is dropped, what was not sent yet is waited
/// for a little.
#[derive(Default)]
pub(crate) struct Traces {
    #[cfg(feature = "otel")]
    sender: Option<Arc<collector::Sender>>,
}

impl Traces {
    /// Who makes spans of the events of a run, if the environment names a collector. One that cannot
    /// be used is told, and the run goes on without.
    #[cfg(feature = "otel")]
    pub(crate) fn observer(
        &mut self,
        run: &RunId,
        graph: &Arc<Graph>,
    ) -> Option<Box<dyn Observer>> {
        let sender = collector::Sender::start(&endpoint()?)?;
        self.sender = Some(Arc::clone(&sender));
        let send = Box::new(move |span| sender.send(span));
        Some(Box::new(spans::Spans::new(run, Arc::clone(graph), send)))
    }

    /// Nobody: this build has no traces.
    #[cfg(not(feature = "otel"))]
    #[expect(clippy::unused_self, reason = "the same call in every build")]
    pub(crate) fn observer(
        &mut self,
        _run: &RunId,
        _graph: &Arc<Graph>,
    ) -> Option<Box<dyn Observer>> {
        None
    }
}

#[cfg(feature = "otel")]
impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the environment with these variables names.
    fn named(variables: &[(&str, &str)]) -> Option<&'static str> {
        let found = |name: &str| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        endpoint_in(&found).map(|endpoint| endpoint.variable)
    }

    #[test]
    fn a_collector_must_be_named_and_can_be_switched_off() {
        let [traces, all] = ENDPOINTS;
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[(all, "http://a")]), Some(all));
        assert_eq!(named(&[(all, "http://a"), (traces, "http://b")]), Some(traces));
        assert_eq!(named(&[(all, "http://a"), ("OTEL_SDK_DISABLED", "TRUE")]), None);
        assert_eq!(named(&[(all, "http://a"), ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(
            named(&[(all, "http://a"), ("OTEL_TRACES_EXPORTER", "console, otlp")]),
            Some(all)
        );
    }
}
