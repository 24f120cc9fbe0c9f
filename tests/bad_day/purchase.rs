//! What was bought at a service, and what was bought again.

use std::collections::{HashMap, HashSet};

use flow_core::digest::Digest;
use flow_core::json;
use serde_json::{Value, json};

use crate::services::Asked;

/// A request that was paid for.
#[derive(Debug)]
pub(crate) struct Purchase {
    pub(crate) service: &'static str,
    /// Its place among the requests to the service.
    pub(crate) at: usize,
    /// The same for the same order alone.
    pub(crate) order: String,
    /// How the name begins under which a run records what came of it.
    pub(crate) record: String,
}

impl Purchase {
    /// Pictures of `openai` have no seed: two slides with the same words are two orders with equal bodies, which
    /// our name of the request tells apart. Elsewhere an order is what stands in its request.
    pub(crate) fn of(service: &'static str, at: usize, asked: &Asked) -> Self {
        let body = asked.json();
        let last = asked.path.rsplit('/').next().unwrap_or_default();
        let (order, digest) = match service {
            "openai" => {
                let name = asked.header("x-client-request-id").unwrap_or_default();
                // flow-ORDER-TASK-ATTEMPT-TRY
                let parts: Vec<&str> = name.split('-').collect();
                (parts[..3].join("-"), parts[1].to_owned())
            }
            "flux" => record(&json!({"model": last, "seed": body["seed"], "body": body})),
            "elevenlabs" => {
                let voice = asked.path.rsplit('/').nth(1).unwrap_or_default();
                record(&json!({"voice": voice, "request": body}))
            }
            _ => record(&body),
        };
        Self { service, at, order, record: format!("{service}/{digest}") }
    }
}

fn record(asked: &Value) -> (String, String) {
    let digest = Digest::of(&json::canonical(asked)).to_string();
    (digest.clone(), digest)
}

/// How things stood when the engine was killed.
#[derive(Debug, Default)]
pub(crate) struct Kill {
    /// How many requests each service had had.
    pub(crate) asked: HashMap<&'static str, usize>,
    /// The names of what the run had recorded.
    pub(crate) recorded: HashSet<String>,
}

impl Kill {
    /// Whether this was answered before the kill, and nothing of it was on record.
    fn has_lost(&self, bought: &Purchase) -> bool {
        let was_before = self.asked.get(bought.service).is_some_and(|asked| bought.at < *asked);
        was_before && !self.recorded.iter().any(|name| name.starts_with(&bought.record))
    }
}

/// The services at which something was bought again.
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// After a success, or although it was on record when the engine was killed.
    pub(crate) needlessly: Vec<&'static str>,
    /// Since its answer had come, and was not on record yet, when the engine was killed.
    pub(crate) lost: Vec<&'static str>,
}

impl Again {
    /// Looks through what was bought in a run, which was killed or not.
    pub(crate) fn among(bought: Vec<Purchase>, kill: Option<&Kill>) -> Self {
        let mut again = Self::default();
        let mut orders: HashMap<String, Vec<Purchase>> = HashMap::new();
        for one in bought {
            orders.entry(format!("{}/{}", one.service, one.order)).or_default().push(one);
        }
        for purchases in orders.into_values() {
            let lost = kill.is_some_and(|kill| kill.has_lost(&purchases[0]));
            let mut repeated = purchases[1..].iter().map(|one| one.service);
            again.lost.extend(repeated.by_ref().take(usize::from(lost)));
            again.needlessly.extend(repeated);
        }
        again
    }
}
