//! Which providers of services were passed over in a run, why, and how often.

use std::collections::BTreeSet;

use flow_core::call::{Fallback, FallbackReason};
use flow_core::run::event::Event;

use super::text::{clean, count};

/// The steps from one provider to the next, each once.
#[derive(Default)]
pub(crate) struct PassedOver {
    /// In the order in which they first happened.
    steps: Vec<(String, usize)>,
    without_key: BTreeSet<String>,
}

impl PassedOver {
    /// Takes in the next event.
    pub(crate) fn take(&mut self, event: &Event) {
        let Event::PassedOver { fallback, .. } = event else { return };
        let Some(step) = step(fallback) else {
            self.without_key.insert(clean(&fallback.from));
            return;
        };
        match self.steps.iter_mut().find(|(known, _)| *known == step) {
            Some((_, times)) => *times += 1,
            None => self.steps.push((step, 1)),
        }
    }

    /// Those that failed, or had no quota left; empty if there were none.
    pub(crate) fn told(&self) -> String {
        let one = |(step, times): &(String, usize)| match times {
            1 => step.clone(),
            times => format!("{step}, {}", count(*times, "time")),
        };
        self.steps.iter().map(one).collect::<Vec<_>>().join(" · ")
    }

    /// Those that have no key; empty if there were none.
    pub(crate) fn without_key(&self) -> String {
        self.without_key.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// `flux failed (moderated), openai took its place`; none where only a key is missing.
fn step(fallback: &Fallback) -> Option<String> {
    let from = clean(&fallback.from);
    let why = match &fallback.reason {
        FallbackReason::NoKey => return None,
        FallbackReason::Exhausted => format!("{from} had no quota left"),
        FallbackReason::Failed(error) => format!("{from} failed ({})", error.class.name()),
    };
    Some(match &fallback.to {
        Some(to) => format!("{why}, {} took its place", clean(to)),
        None => why,
    })
}
