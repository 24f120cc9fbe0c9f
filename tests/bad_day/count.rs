//! What is counted over a day, and over all of them.

use std::time::Duration;

use serde_json::Value;

use super::day::Day;

/// Failures that may pass, and what became of them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cured {
    /// Tries of calls and of programs that failed in a way that may pass.
    pub(crate) failures: usize,
    /// Those after which the same thing succeeded by trying again: the same call of the same provider,
    /// in this attempt of its node or a later one. That another provider did the work is no cure.
    pub(crate) cured: usize,
}

/// A failed try.
struct Failure {
    /// Node and item.
    place: [String; 2],
    /// Attempt, provider and operation.
    call: [String; 3],
    /// Whether it was the first of its call.
    is_first: bool,
    /// Whether the call ended with it, and so the attempt.
    is_last: bool,
    /// Whether another provider was asked then.
    is_passed_over: bool,
}

impl Cured {
    /// Counts the failures in the events of a run.
    pub(crate) fn of(events: &[Value]) -> Self {
        let mut failures: Vec<Failure> = Vec::new();
        for event in events {
            let error = &event["error"];
            match event["event"].as_str().unwrap_or_default() {
                "call_retried" if is_transient(error) => {
                    let mut failure = Failure::of(event, &event["provider"], &event["operation"]);
                    failure.is_first = event["call"] == 2;
                    failures.push(failure);
                }
                "provider_fallback" if is_transient(error) => {
                    let failure = Failure::of(event, &event["from"], &error["operation"]);
                    end(&mut failures, failure, |failure| failure.is_passed_over = true);
                }
                "attempt_failed" if is_transient(error) => {
                    let failure = Failure::of(event, &error["provider"], &error["operation"]);
                    end(&mut failures, failure, |failure| failure.is_last = true);
                }
                _ => {}
            }
        }
        let cured = failures.iter().filter(|failure| failure.is_cured(events)).count();
        Self { failures: failures.len(), cured }
    }
}

/// Adds the last failure of a call, and marks all failures of that call.
fn end(failures: &mut Vec<Failure>, last: Failure, mark: impl Fn(&mut Failure)) {
    let same = |failure: &&mut Failure| failure.place == last.place && failure.call == last.call;
    for failure in failures.iter_mut().rev().filter(same) {
        mark(failure);
        if failure.is_first {
            break;
        }
    }
    failures.push(last);
    failures.last_mut().into_iter().for_each(mark);
}

impl Failure {
    fn of(event: &Value, provider: &Value, operation: &Value) -> Self {
        Self {
            place: [&event["node"], &event["item"]].map(text),
            call: [&event["attempt"], provider, operation].map(text),
            is_first: false,
            is_last: false,
            is_passed_over: false,
        }
    }

    /// A call that did not end with this failure has succeeded, if its attempt went on until its end. One
    /// that did, or that was cut short, has if a later attempt did without another provider.
    fn is_cured(&self, events: &[Value]) -> bool {
        let here = |event: &&Value| [&event["node"], &event["item"]].map(text) == self.place;
        let has_ended = |event: &Value| {
            let name = event["event"].as_str().unwrap_or_default();
            let succeeded = matches!(name, "node_succeeded" | "item_succeeded");
            let failed = name == "attempt_failed" && text(&event["attempt"]) == self.call[0];
            succeeded || failed && !self.is_last
        };
        let was_replaced = |event: &Value| {
            event["event"] == "provider_fallback" && text(&event["from"]) == self.call[1]
        };
        let was_replaced = self.is_last && events.iter().filter(here).any(was_replaced);
        !self.is_passed_over && !was_replaced && events.iter().filter(here).any(has_ended)
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_transient(error: &Value) -> bool {
    let class = error["class"].as_str().unwrap_or_default();
    matches!(class, "timeout" | "network" | "rate_limited" | "http_5xx" | "malformed" | "io")
        || class == "process" && !error["signal"].is_null()
}

/// All days together.
#[derive(Default)]
pub(crate) struct Sum {
    days: usize,
    good: usize,
    killed: usize,
    killed_good: usize,
    failures: usize,
    cured: usize,
    paid_twice: usize,
    lost: usize,
    posted_twice: usize,
    silent: usize,
    requests: usize,
    troubles: usize,
    took: Vec<Duration>,
}

impl Sum {
    pub(crate) fn add(&mut self, day: &Day) {
        let good = usize::from(day.succeeded());
        if day.is_killed {
            self.killed += 1;
            self.killed_good += good;
        } else {
            self.days += 1;
            self.good += good;
            self.took.push(day.took);
        }
        self.paid_twice += day.again.needlessly.len();
        self.lost += day.again.lost.len();
        self.failures += day.cured.failures;
        self.cured += day.cured.cured;
        self.posted_twice += day.posted_twice;
        self.silent += day.silent;
        self.requests += day.requests;
        self.troubles += day.troubles;
    }

    /// The table.
    pub(crate) fn told(&self, clean: Duration) -> String {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        let mut took = self.took.clone();
        took.sort();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        format!(
            "\nruns that succeeded            {} of {} ({:.1} %)\n\
             runs killed and resumed        {} of {} succeeded ({:.1} %)\n\
             requests in trouble            {} of {} ({:.1} %)\n\
             transient failures cured       {} of {} ({:.1} %)\n\
             paid for again after success   {}\n\
             paid for again, since a kill   {} (answered, and not on record when the engine was killed)\n\
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
            self.failures,
            percent(self.cured, self.failures),
            self.paid_twice,
            self.lost,
            self.posted_twice,
            self.silent,
            median.as_secs_f64(),
            median.as_secs_f64() / clean.as_secs_f64(),
        )
    }

    /// Fails where a rate is lower than is promised; of a few runs that says nothing.
    #[allow(dead_code, reason = "two programs count days, and one of them lives too few for rates")]
    pub(crate) fn assert_rates(&self) {
        assert!(self.good * 100 >= self.days * 95, "fewer than 95 % of the runs succeeded");
        let enough = self.cured * 100 >= self.failures * 90;
        assert!(enough, "fewer than 90 % of the failures that may pass were cured");
    }

    /// Fails where something was done twice, or lost in silence.
    pub(crate) fn assert_once(&self) {
        assert_eq!(self.paid_twice, 0, "something was paid for twice");
        assert_eq!(self.posted_twice, 0, "something was posted twice");
        assert_eq!(self.silent, 0, "something failed in silence");
    }
}
