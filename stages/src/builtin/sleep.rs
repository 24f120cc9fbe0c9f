//! `sleep`: a wait that outlives the process.

use std::time::Duration;

use flow_core::error::{ErrorClass, StageError};
use flow_core::policy::parse_duration;
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Drafts, FieldKind, FieldSpec, Job, NodeView, Ports, Stage,
    StageSpec, Wait,
};
use serde_json::Value;

/// The `sleep` stage.
pub(crate) struct SleepStage(StageSpec);

impl SleepStage {
    pub(crate) fn new() -> Self {
        let field = |name, doc| FieldSpec { name, kind: FieldKind::Text, optional: true, doc };
        Self(StageSpec {
            name: "sleep",
            version: 1,
            summary: "Waits for a span or until an instant, without holding anything. A restart does \
                      not lengthen the wait.",
            inputs: Ports::Declared,
            outputs: Ports::Fixed(Vec::new()),
            config: vec![
                field("duration", "How long, such as `90s` or `{{ params.pause }}`."),
                field(
                    "until",
                    "The instant, as RFC 3339 with an offset; one that has passed is no wait.",
                ),
            ],
            needs_scratch: false,
            example: r#"[nodes.cool_down]
stage = "sleep"
after = ["publish"]
with  = { duration = "15m" }
"#,
        })
    }
}

impl Stage for SleepStage {
    fn spec(&self) -> &StageSpec {
        &self.0
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let fault = |pointer: &str, message: String, help: &str| ConfigFault {
            pointer: pointer.to_owned(),
            message,
            help: Some(help.to_owned()),
        };
        let given = |name: &str| node.config.get(name).and_then(Value::as_str);
        let plain = |name: &str| given(name).filter(|text| !text.contains("{{"));
        let mut faults = Vec::new();
        if given("duration").is_some() == given("until").is_some() {
            let message = "`sleep` takes either `duration` or `until`".to_owned();
            faults.push(fault("", message, "write with = { duration = \"15m\" }"));
        }
        if let Some(text) = plain("duration").filter(|text| parse_duration(text).is_none()) {
            faults.push(fault(
                "/duration",
                format!("{text:?} is not a duration"),
                "write numbers with units: \"90s\", \"15m\", \"1h30m\"",
            ));
        }
        if let Some(text) = plain("until").filter(|text| instant(text).is_none()) {
            faults.push(fault(
                "/until",
                format!("{text:?} is not an instant"),
                "write RFC 3339 with an offset: \"2026-01-31T06:00:00Z\"",
            ));
        }
        faults
    }

    fn waits(&self) -> bool {
        true
    }

    fn wait(&self, job: &Job) -> Result<Wait, StageError> {
        let given = |name: &str| job.config.get(name).and_then(Value::as_str);
        let refuse = |name: &str, text: &str, form: &str| {
            let message = format!("`with.{name}` is {text:?}, and must be {form}");
            StageError::new(ErrorClass::Config, "read the wait", message)
                .hint("correct the expression in the workflow file, or what it reads")
        };
        match (given("duration"), given("until")) {
            (Some(text), _) => parse_duration(text)
                .map(Wait::For)
                .ok_or_else(|| refuse("duration", text, "a duration such as 15m")),
            (None, Some(text)) => instant(text)
                .map(Wait::Until)
                .ok_or_else(|| refuse("until", text, "an instant such as 2026-01-31T06:00:00Z")),
            (None, None) => Ok(Wait::For(Duration::ZERO)),
        }
    }

    fn run<'a>(
        &'a self,
        _context: &'a dyn Context,
        _job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(std::future::ready(Ok(Drafts::new())))
    }
}

fn instant(text: &str) -> Option<jiff::Timestamp> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn wait(config: Value) -> Result<Wait, StageError> {
        let (inputs, outputs, reserved) = (BTreeMap::new(), Vec::new(), Vec::new());
        SleepStage::new().wait(&Job { config, inputs, outputs, timeout: None, reserved })
    }

    #[test]
    fn a_wait_is_a_span_or_an_instant() {
        assert_eq!(wait(json!({"duration": "90s"})), Ok(Wait::For(Duration::from_secs(90))));
        let noon = "2026-01-31T12:00:00Z".parse().expect("an instant");
        assert_eq!(wait(json!({"until": "2026-01-31T13:00:00+01:00"})), Ok(Wait::Until(noon)));
        for config in [json!({"duration": "soon"}), json!({"until": "2026-01-31T13:00:00"})] {
            let error = wait(config.clone()).expect_err("it is refused");
            assert_eq!(error.class, ErrorClass::Config, "{config}");
        }
    }
}
