//! Queues in front of pools and rates, told to who watches.

use flow_core::graph::Gate;
use flow_core::run::RunState;

use crate::bus::{Bus, Passing};

/// What was told of each queue.
#[derive(Default)]
pub(crate) struct Queues {
    told: Vec<usize>,
}

impl Queues {
    /// Tells the queues whose length is another than was told last.
    pub(crate) fn tell(&mut self, state: &RunState, bus: &Bus) {
        let gates = state.graph().gates();
        self.told.resize(gates.len(), 0);
        for ((gate, waiting), told) in gates.iter().zip(state.queue_lengths()).zip(&mut self.told) {
            if std::mem::replace(told, waiting) != waiting {
                bus.pass(Passing::Queue { gate: name(gate), waiting });
            }
        }
    }
}

/// What a gate lets into, in words: `pool encode`, `rate api`.
fn name(gate: &Gate) -> String {
    let pool = gate.pool.as_ref().map(|(name, _)| format!("pool {name}"));
    let rate = gate.rate.as_ref().map(|(name, _)| format!("rate {name}"));
    [pool, rate].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}
