//! What is counted over a day, and over all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::day::Day;

/// Calls that met trouble which may pass, and what became of them.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cured {
    /// Calls of which at least one try failed in a way that may pass.
    pub(super) troubled: usize,
    /// Those that succeeded by a later try.
    pub(super) cured: usize,
}

/// A call: node, item, attempt, provider, operation. The attempts of a program are calls too.
type Call = [String; 5];

impl Cured {
    /// Counts the calls in the events of a run. A call that was retried is cured unless its failure
    /// is the reason of a fall-over, or of the end of its attempt, which follows.
    pub(super) fn of(events: &[Value]) -> Self {
        let mut calls: BTreeMap<Call, bool> = BTreeMap::new();
        for event in events {
            match event["event"].as_str().unwrap_or_default() {
                "call_retried" => {
                    calls.insert(call(event, &event["provider"], &event["operation"]), true);
                }
                "provider_fallback" if is_transient(&event["error"]) => {
                    let operation = &event["error"]["operation"];
                    calls.insert(call(event, &event["from"], operation), false);
                }
                "attempt_failed" if is_transient(&event["error"]) => {
                    let error = &event["error"];
                    calls.insert(call(event, &error["provider"], &error["operation"]), false);
                }
                _ => {}
            }
        }
        let cured = calls.values().filter(|cured| **cured).count();
        Self { troubled: calls.len(), cured: cured + encodes_cured(events) }
    }
}

/// Failed encodes are in the table above as not cured; those whose item succeeded later are.
fn encodes_cured(events: &[Value]) -> usize {
    let is = |event: &&Value, name: &str| event["event"] == name && event["node"] == "assemble";
    let failed = events.iter().filter(|event| is(event, "attempt_failed"));
    let succeeded = |item: &Value| {
        events.iter().any(|event| is(&event, "item_succeeded") && event["item"] == *item)
    };
    failed.filter(|event| is_transient(&event["error"]) && succeeded(&event["item"])).count()
}

fn call(event: &Value, provider: &Value, operation: &Value) -> Call {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    [&event["node"], &event["item"], &event["attempt"], provider, operation].map(text)
}

fn is_transient(error: &Value) -> bool {
    let class = error["class"].as_str().unwrap_or_default();
    matches!(class, "timeout" | "network" | "rate_limited" | "http_5xx" | "malformed" | "io")
        || class == "process" && !error["signal"].is_null()
}

/// All days together.
#[derive(Default)]
pub(super) struct Sum {
    days: usize,
    good: usize,
    killed: usize,
    killed_good: usize,
    troubled: usize,
    cured: usize,
    paid_twice: usize,
    paid_twice_killed: usize,
    posted_twice: usize,
    silent: usize,
    requests: usize,
    troubles: usize,
    took: Vec<Duration>,
}

impl Sum {
    pub(super) fn add(&mut self, day: &Day) {
        let good = usize::from(day.succeeded());
        if day.is_killed {
            self.killed += 1;
            self.killed_good += good;
            self.paid_twice_killed += day.paid_twice;
        } else {
            self.days += 1;
            self.good += good;
            self.paid_twice += day.paid_twice;
            self.took.push(day.took);
        }
        self.troubled += day.cured.troubled;
        self.cured += day.cured.cured;
        self.posted_twice += day.posted_twice;
        self.silent += day.silent;
        self.requests += day.requests;
        self.troubles += day.troubles;
    }

    /// The table.
    pub(super) fn told(&self, clean: Duration) -> String {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        let mut took = self.took.clone();
        took.sort();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        format!(
            "\nruns that succeeded            {} of {} ({:.1} %)\n\
             runs killed and resumed        {} of {} succeeded ({:.1} %)\n\
             requests in trouble            {} of {} ({:.1} %)\n\
             transient failures cured       {} of {} calls ({:.1} %)\n\
             paid for again after success   {} ({} in killed runs)\n\
             double posts                   {}\n\
             silent failures                {}\n\
             wall time                      {:.1} s in the median, {:.2} x the clean day\n",
            self.good,
            self.days,
            percent(self.good, self.days),
            self.killed_good,
            self.killed,
            percent(self.killed_good, self.killed),
            self.troubles,
            self.requests,
            percent(self.troubles, self.requests),
            self.cured,
            self.troubled,
            percent(self.cured, self.troubled),
            self.paid_twice + self.paid_twice_killed,
            self.paid_twice_killed,
            self.posted_twice,
            self.silent,
            median.as_secs_f64(),
            median.as_secs_f64() / clean.as_secs_f64(),
        )
    }

    /// Fails where a promise does not hold.
    pub(super) fn assert_good(&self) {
        assert!(self.good * 100 >= self.days * 95, "fewer than 95 % of the runs succeeded");
        assert!(self.cured * 100 >= self.troubled * 90, "fewer than 90 % of the calls were cured");
        assert_eq!(self.paid_twice, 0, "something was paid for twice");
        assert_eq!(self.posted_twice, 0, "something was posted twice");
        assert_eq!(self.silent, 0, "something failed in silence");
    }
}
